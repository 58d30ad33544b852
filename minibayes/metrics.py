"""Scores of predictions, and whether a difference between two of them means anything."""

import math

import numpy as np


def binomial_std_error(fraction, count):
    """sqrt(e (1 - e) / n): the standard error of an error rate e measured on n independent examples."""
    return math.sqrt(fraction * (1 - fraction) / count)


def mcnemar(wrong_a, wrong_b):
    """McNemar's exact paired test: (only a wrong, only b wrong, two-sided p-value).

    Of the n examples on which exactly one of the two rules errs, under the hypothesis of equal error rates the number on which a errs
    is Binomial(n, 1/2); p = min(1, 2 P(X <= min(n_a, n_b))). McNemar 1947, in its exact form. Boolean arrays, one entry per example.
    """
    wrong_a, wrong_b = np.asarray(wrong_a, bool), np.asarray(wrong_b, bool)
    only_a, only_b = int((wrong_a & ~wrong_b).sum()), int((wrong_b & ~wrong_a).sum())
    n = only_a + only_b
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))  # whole numbers: exact at any n
    return only_a, only_b, min(1.0, 2 * tail / 2**n)
