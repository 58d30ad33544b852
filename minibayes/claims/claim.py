"""|computed - true| <= tolerance: what a check of a claim found, in words, and which function finds it."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from .. import require
from ..floats import usual


@dataclass(frozen=True)
class Finding:
    """One claim, measured once: it passes if discrepancy <= tolerance. `why`: where the tolerance is from."""

    name: str  # short, lower-case-with-hyphens, unique: what --only selects
    claim: str  # the claim in words
    computed: str  # what was computed against what
    discrepancy: float
    tolerance: float
    why: str

    @property
    def passed(self) -> bool:
        return bool(self.discrepancy <= self.tolerance)  # False for NaN


Measurement = Callable[[], list[Finding]]

# {function that measures: the names of what it finds}, in the order of definition. Only `claim` writes here.
FINDINGS: dict[Measurement, tuple[str, ...]] = {}


def claim(*names: str) -> Callable[[Measurement], Measurement]:
    """Decorator of a function that measures: it returns one Finding for each of `names`, in this order.

        @claim("weights-dense", "weights-dense-gradient")
        def dense() -> list[Finding]: ...

    So the names are known before anything is measured, and one can be asked for without running all.
    """
    if not names:
        raise require.InputError("claim must be given the names of what the function finds, got none")
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise require.InputError(f"a claim's name must be lower-case-with-hyphens, got {name!r}")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise require.InputError(f"one function declares {twice} more than once")

    def enter(measure: Measurement) -> Measurement:
        where = _where(measure)

        @usual
        @functools.wraps(measure)
        def measured() -> list[Finding]:
            findings = measure()
            found = tuple(finding.name for finding in findings)
            if found != names:
                raise require.InputError(f"{where} must find what it declares, {names}, got {found}")
            return findings

        _make_room(where, names)
        FINDINGS[measured] = names
        return measured

    return enter


def _where(function):
    return f"{function.__module__}.{function.__qualname__}"


def _make_room(where, names):
    """A name belongs to one function; but a function that is defined once more replaces itself."""
    before = [other for other in FINDINGS if _where(other) == where]
    for other, taken in FINDINGS.items():
        twice = [name for name in names if name in taken]
        if twice and other not in before:
            raise require.InputError(f"{where} declares {twice}, which {_where(other)} finds already")
    for other in before:
        del FINDINGS[other]
