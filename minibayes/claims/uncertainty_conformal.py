"""P(s <= s_(k)) = k/(n + 1): conformal intervals hold as often as they say, by counting (claim 13).

And what others take, the plain quantile of the n scores, does not: it is the same for k = ceil(n (1 - a)).
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from .. import conformal
from .claim import Finding, claim
from .common import worst

REPETITIONS, CALIBRATION, LEVEL = 1000, 39, 0.9
SIZES, LEVELS = (1, 2, 9, 10, 19, 20, 29, 60), (0.1, 0.5, 0.8, 0.9, 0.95)


def covered(n: int, level: float, threshold: Callable = conformal.threshold) -> float:
    """P(s_new <= threshold) for n + 1 exchangeable scores without ties: each in turn is the new one."""
    scores = np.random.default_rng(n).permutation(n + 1).astype(float)
    inside = [scores[i] <= threshold(np.delete(scores, i), level) for i in range(n + 1)]
    return float(Fraction(sum(inside), n + 1))


def plain_quantile(scores: np.ndarray, level: float) -> float:
    """The mistake: the least score that so many of the n are not above, as if the new one were among them."""
    return float(np.sort(scores)[math.ceil(Fraction(str(level)) * len(scores)) - 1])


@claim("uncertainty-conformal-exact", "uncertainty-conformal-law")
def coverage() -> list[Finding]:
    """By order statistics: on average, and given one calibration set."""
    far = [abs(covered(n, level) - math.ceil(Fraction(str(level)) * (n + 1)) / (n + 1))
           for n in SIZES for level in LEVELS]
    rng, law = np.random.default_rng(13), conformal.law(CALIBRATION, LEVEL)
    # A new score is below q with probability F(q), so of scores with F(q) = q the threshold is the coverage.
    found = np.array([conformal.threshold(rng.random(CALIBRATION), LEVEL) for _ in range(REPETITIONS)])
    # The variance of a sample variance, from the Beta law's kurtosis.
    a, b = law
    excess = 6 * ((a - b) ** 2 * (a + b + 1) - a * b * (a + b + 2)) / (a * b * (a + b + 2) * (a + b + 3))
    errors = [(found.mean() - law.mean) / (law.std / math.sqrt(REPETITIONS)),
              (found.var(ddof=1) / law.std**2 - 1) / math.sqrt((2 + excess) / REPETITIONS)]
    return [
        Finding(
            "uncertainty-conformal-exact",
            "a conformal set of level 1 - a holds the truth with probability ceil((n + 1)(1 - a))/(n + 1)",
            f"coverage counted over which of n + 1 rows is the new one, n = {min(SIZES)} to {max(SIZES)}, "
            "against that",
            worst(far), 0.0, "exact: both are fractions of n + 1"),
        Finding(
            "uncertainty-conformal-law",
            "given the calibration set, coverage is distributed as Beta(k, n + 1 - k)",
            f"mean and variance of the coverage over {REPETITIONS} sets of {CALIBRATION} rows, level "
            f"{LEVEL:g}, against Beta({a}, {b}): mean {found.mean():.4f} and {law.mean:.4f}; in standard "
            "errors",
            worst(np.abs(errors)), 4.0, "4 standard errors, from the law's own moments"),
    ]


@claim("uncertainty-conformal-plain")
def plain() -> list[Finding]:
    """By order statistics: short by up to 1/(n + 1), wherever its rank is not that of n + 1."""
    cases = [(n, level) for n in SIZES for level in LEVELS]
    off, low = [], []
    for n, level in cases:
        theirs, ours = covered(n, level, plain_quantile), covered(n, level)
        off += [abs(theirs - math.ceil(Fraction(str(level)) * n) / (n + 1)), max(level - ours, 0.0)]
        if theirs < ours:
            low.append(level - theirs)
    return [Finding(
        "uncertainty-conformal-plain",
        "the plain quantile of n scores holds the truth with probability ceil(n(1 - a))/(n + 1), "
        "which is less than 1 - a for most n; that of the one with n + 1 never is",
        f"coverage counted, of the plain quantile against that, of the other against 1 - a: the plain one is "
        f"too low in {sum(short > 0 for short in low)} of {len(cases)} cases, at n = 20 and 0.9 it is "
        f"{covered(20, 0.9, plain_quantile):.3f}, the other {covered(20, 0.9):.3f}",
        worst([*off, *(max(-short, 0.0) for short in low)]), 0.0, "exact: all are fractions of n + 1")]
