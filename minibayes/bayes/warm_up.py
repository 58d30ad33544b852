"""L-hat_c = data + c KL, c <= 1: the KL counted in part, step by step, while a network warms up.

With c < 1 it is not the bound: q is paid for at less than its price, and the minimum is a tempered posterior,
p(y | x, omega)^(1/c) p(omega) over its integral. A schedule that ends at 1 ends at the bound.
"""

from collections.abc import Callable

from .. import require


class KLFactor:
    """c at each step: a number in (0, 1], or a schedule, a function of the step alone, into [0, 1].

    given: the number or the function; steps count from 0.
    """

    def __init__(self, given: float | Callable = 1.0):
        self._schedule = given if callable(given) else None
        self._number = 1.0 if callable(given) else require.real("kl_factor", given, 0, 1, open_low=True)
        self.at(0)

    @property
    def whole(self) -> bool:
        """Whether c = 1 at every step."""
        return self._schedule is None and self._number == 1

    def at(self, step: int) -> float:
        """c at one step."""
        if self._schedule is None:
            return self._number
        return require.real(f"kl_factor({step})", self._schedule(step), 0, 1)

    def row(self, first: int, last: int) -> dict:
        """What joins a row of the history, for steps first ... last - 1; nothing where c is always 1.

        kl_factor: the least c among them.
        bound: whether c is 1 at each of them, so that the row's loss is of the bound.
        """
        if self.whole:
            return {}
        steps = range(first, last) if self._schedule else range(first, first + 1)
        least = min(self.at(step) for step in steps)
        return {"kl_factor": least, "bound": least == 1}

    def record(self, step: int) -> list[float]:
        """c at some of the steps before this one, the first and the last too: what a checkpoint keeps."""
        return recorded(self.at, step)


def recorded(schedule: Callable, step: int) -> list[float]:
    """A schedule at steps 0, 1, 3, 7, ... and the last before `step`: whether another is the same shows."""
    some = {2**power - 1 for power in range(step.bit_length())} | {step - 1} if step else ()
    return [schedule(s) for s in sorted(some)]
