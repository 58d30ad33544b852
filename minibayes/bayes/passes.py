"""The passes of one prediction: drawn again, and the same, as often as something of them is averaged.

Where the inputs have numbers, `first`, `first` + 1, ..., each is drawn for its own number, and is computed
among as many others as always: with the neighbours it has in the whole, or with copies of an end of x where
those are not there. So pieces of any size, asked for one after another, give the bits that all inputs
together give. A piece that does not begin and end at a multiple of the group (64 inputs, most often) costs as
much as the groups it lies in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .. import own
from ..floats import quiet
from ..nn.key import Key
from .summary import LogMean, Summary, joined, part


@dataclass(frozen=True)
class Passes:
    """f(x, omega-hat_t) of a runner.

    runner: an nn.Network, or what runs it faster.
    params: theta.
    x: inputs, (N, ...).
    rule: of the prediction.
    key: pass t uses key.at(key.t + t).
    shared: whether a pass has one omega-hat for all inputs.
    pooled: {conv: pool} of probabilistic pooling.
    first: the number of the first input; None: 0, and the last bit may depend on what else is in x.
    """

    runner: object
    params: dict
    x: np.ndarray
    rule: str
    key: Key
    shared: bool
    pooled: dict
    first: int | None = None
    before: int = field(init=False, default=0)  # copies of the first input in front of x, and of the last
    after: int = field(init=False, default=0)  # behind it: then groups begin and end as in the whole

    def __post_init__(self):
        if self.first is not None:
            size = self.runner.group(self.x.shape[1:], self.shared, self.rule != "mc")
            own.settle(self, before=self.first % size, after=-(self.first + len(self.x)) % size)

    def filled(self, rows: np.ndarray) -> np.ndarray:
        """x, or what belongs to it row by row, with the copies."""
        if not self.before and not self.after:
            return rows
        return np.concatenate([np.repeat(rows[:1], self.before, axis=0), rows,
                               np.repeat(rows[-1:], self.after, axis=0)])

    def own(self, found: object, axis: int = 0) -> object:
        """What was found, without that of the copies."""
        if not self.before and not self.after:
            return found
        rows = slice(self.before, self.before + len(self.x))
        return found[(slice(None),) * axis + (rows,)] if isinstance(found, np.ndarray) else part(found, rows)

    def room(self, count: int) -> np.ndarray:
        """Where the outputs of so many passes fit."""
        outputs = self.runner.output_shape(self.x.shape[1:])
        return np.empty((count, self.before + len(self.x) + self.after, *outputs), self.x.dtype)

    def average(self, start: int, count: int, summarise: Callable) -> Summary | LogMean:
        """(1/T) sum_t g(f(x, omega-hat_t)), t = start ... start + count - 1, for the g that is summarised.

        summarise: f (T', N', K), passes, inputs -> a summary that merges with others.
        """
        def gather(found, f, passes, inputs):
            with quiet():
                more = summarise(f, passes, inputs)
                if found is None:
                    return more
                found.merge(more)
                return found

        x = self.filled(self.x)
        if self.rule == "mc":
            key = self.key.at(self.key.t + start)
            first = None if self.first is None else self.first - self.before
            blocks = self.runner.passes(self.params, x, key, count, gather, self.shared, first)
        elif self.first is None:
            blocks = self.runner.average(self.params, x, gather, self.pooled)
        else:
            blocks = self.runner.average(self.params, x, gather, self.pooled, True)
        return joined(blocks, len(x))


class Again:
    """y -> log (1/T) sum_t p(y_n | f_tn): the same passes, drawn again, now with y known.

    It has copies of x and theta, so that what becomes of a caller's arrays, or of a model, changes nothing.
    """

    def __init__(self, likelihood: object, source: Passes, count: int):
        self._likelihood, self._count = likelihood, count
        self._source = Passes(source.runner, own.tree(source.params), own.copy(source.x), source.rule,
                              source.key, source.shared, dict(source.pooled), source.first)

    def __call__(self, y: np.ndarray) -> np.ndarray:
        y = self._source.filled(y)

        def summarise(f, passes, inputs):
            f = f.astype(np.float64)
            y_of_each = np.broadcast_to(y[inputs], (*f.shape[:2], *y.shape[1:])).reshape(-1, *y.shape[1:])
            nll, _ = self._likelihood.nll(f.reshape(-1, f.shape[-1]), y_of_each)
            return LogMean(-nll.reshape(f.shape[:2]))

        with quiet():
            return self._source.own(self._source.average(0, self._count, summarise).value)

    def outputs(self) -> np.ndarray:
        """f of every pass, (T, N, K)."""
        found = self._source.room(self._count)

        def keep(f, passes, inputs):
            found[passes, inputs] = f
            return Nothing()

        with quiet():
            self._source.average(0, self._count, keep)
        return self._source.own(found, 1)


class Nothing:
    """A summary of nothing."""

    def merge(self, other: "Nothing") -> None:
        """Nothing."""
