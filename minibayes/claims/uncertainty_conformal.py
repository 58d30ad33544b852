"""P(s <= s_(k)) = k/(n + 1): conformal intervals hold as often as they say, by counting (claim 13)."""

import math
from fractions import Fraction

import numpy as np

from .. import conformal
from .claim import Finding, claim
from .common import worst

REPETITIONS, CALIBRATION, LEVEL = 1000, 39, 0.9


def covered(n: int, level: float) -> float:
    """P(s_new <= threshold) for n + 1 exchangeable scores without ties: each in turn is the new one."""
    scores = np.random.default_rng(n).permutation(n + 1).astype(float)
    inside = [scores[i] <= conformal.threshold(np.delete(scores, i), level) for i in range(n + 1)]
    return float(Fraction(sum(inside), n + 1))


@claim("uncertainty-conformal-exact", "uncertainty-conformal-law")
def coverage() -> list[Finding]:
    """By order statistics: on average, and given one calibration set."""
    sizes, levels = (1, 2, 9, 10, 19, 20, 29, 60), (0.1, 0.5, 0.8, 0.9, 0.95)
    far = [abs(covered(n, level) - math.ceil(Fraction(str(level)) * (n + 1)) / (n + 1))
           for n in sizes for level in levels]
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
            f"coverage counted over which of n + 1 rows is the new one, n = {min(sizes)} to {max(sizes)}, "
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
