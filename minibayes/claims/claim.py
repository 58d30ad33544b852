"""|computed - true| <= tolerance: what one check of one claim found, and in which words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One claim, measured once. It passes if discrepancy <= tolerance; `why` says where the tolerance comes from."""

    name: str  # short, lower-case-with-hyphens, unique: what --only selects
    claim: str  # the claim in words
    computed: str  # what was computed against what
    discrepancy: float
    tolerance: float
    why: str

    @property
    def passed(self):
        return bool(self.discrepancy <= self.tolerance)  # False for NaN
