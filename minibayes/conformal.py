"""P(y in set) = k/(n + 1) >= level, k = ceil((n + 1) level): split conformal prediction, for any model.

Let s_1 .. s_n be scores, of how badly a prediction fits the truth, on n rows that the model has not seen, and
s that of one more row. If the n + 1 rows are exchangeable and no scores are equal, s is as likely to be the
j-th smallest of the n + 1 for each j; so s is at most the k-th smallest of the n with probability k/(n + 1)
exactly, whatever the model and the data. (Equal scores make it more.) Where k > n nothing less than
everything will do: the threshold is infinite.

The +1 is the point: the plain quantile of n scores, k = ceil(n level), covers less than it says.

That is an average over calibration sets. Given one, coverage is a random number, ~ Beta(k, n + 1 - k): at
n = 100 and level 0.9 its standard deviation is 0.029.

Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005); Angelopoulos and Bates, arXiv
2107.07511.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import require
from .arrays import probabilities_and_labels, row, same_length


class Law(NamedTuple):
    """Coverage, given n calibration rows, ~ Beta(a, b): a = k, b = n + 1 - k. b = 0: it is always 1."""

    a: int
    b: int

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    @property
    def std(self) -> float:
        total = self.a + self.b
        return math.sqrt(self.a * self.b / (total + 1)) / total


def rank(n: int, level: float) -> int:
    """k = ceil((n + 1) level), from 1 to n + 1; level is read as the decimal number that it is written as."""
    n = require.integer("n", n, 1)
    level = require.real("level", level, 0, 1, open_low=True, open_high=True)
    return math.ceil((n + 1) * Fraction(str(level)))


def law(n: int, level: float) -> Law:
    """Of the coverage given one calibration set of n rows without equal scores."""
    k = rank(n, level)
    return Law(k, n + 1 - k)


def threshold(scores: ArrayLike, level: float = 0.9) -> float:
    """The k-th smallest of the scores (n,); infinite where k = n + 1, for which n is too small."""
    scores = row("scores", scores)
    k = rank(len(scores), level)
    return math.inf if k > len(scores) else float(np.partition(scores, k - 1)[k - 1])


def residual_scores(mean: ArrayLike, y: ArrayLike, std: ArrayLike | None = None) -> np.ndarray:
    """|y_n - mean_n|, over std_n if given: intervals are then wide where the model is unsure.     (N,)"""
    mean, y = row("mean", mean), row("y", y)
    same_length(mean=mean, y=y)
    if std is None:
        return np.abs(y - mean)
    std = row("std", std)
    same_length(std=std, y=y)
    if (std <= 0).any():
        raise require.InputError(f"std must be positive, got {std.min():.6g}")
    return np.abs(y - mean) / std


def class_scores(probabilities: ArrayLike, y: ArrayLike) -> np.ndarray:
    """1 - p_n(y_n): a set is then every class whose probability is at least 1 - threshold.     (N,)"""
    p, y = probabilities_and_labels(probabilities, y)
    return 1 - p[np.arange(len(y)), y]
