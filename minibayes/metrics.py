"""How good a prediction is, and what is luck. Probabilities are (N, C), labels (N,), losses in nats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import require
from .arrays import flags, numbers, probabilities_and_labels, row, same_length, same_shape
from .floats import usual

WHOLE = 10_000  # examples up to which a binomial tail is summed in whole numbers


@usual
def accuracy(probabilities: np.ndarray, y: np.ndarray) -> float:
    """(1/N) sum_n [argmax_c p_nc = y_n]; the first of several largest classes counts."""
    probabilities, y = probabilities_and_labels(probabilities, y)
    return float((probabilities.argmax(axis=1) == y).mean())


@usual
def negative_log_likelihood(probabilities: np.ndarray, y: np.ndarray) -> float:
    """-(1/N) sum_n log p_n(y_n), nats: infinite if an observed class was given probability 0."""
    probabilities, y = probabilities_and_labels(probabilities, y)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(y)), y]).mean())


@usual
def brier(probabilities: np.ndarray, y: np.ndarray) -> float:
    """(1/N) sum_n sum_c (p_nc - [y_n = c])^2, from 0 (sure and right) to 2 (sure and wrong).

    Brier, Monthly Weather Review 78, 1950.
    """
    probabilities, y = probabilities_and_labels(probabilities, y)
    squares = (probabilities**2).sum(axis=1) - 2 * probabilities[np.arange(len(y)), y] + 1
    return float(squares.mean())


@dataclass(frozen=True)
class Calibration:
    """Inputs by confidence: bin i is (edges[i], edges[i+1]], the first with its left edge. NaN: no inputs."""

    edges: np.ndarray  # (bins + 1,)
    count: np.ndarray  # (bins,)
    confidence: np.ndarray  # (bins,) mean confidence in the bin
    accuracy: np.ndarray  # (bins,) share of the bin that is right
    ece: float  # sum_i count_i/N |accuracy_i - confidence_i|
    mce: float  # the largest |accuracy_i - confidence_i|


@usual
def calibration(probabilities: np.ndarray, y: np.ndarray, bins: int = 15) -> Calibration:
    """Is the most probable class right as often as its probability says? Expected and largest error, bins.

    Confidence is max_c p_nc; bins are equally wide; empty ones count for nothing. The errors depend on `bins`
    and are biased upwards when bins hold few inputs. Naeini, Cooper and Hauskrecht, AAAI 2015; 15 bins as in
    Guo et al., arXiv 1706.04599.
    """
    probabilities, y = probabilities_and_labels(probabilities, y)
    edges = np.linspace(0, 1, require.integer("bins", bins, 1) + 1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / count
        share_right = np.bincount(index, right, bins) / count
    gaps = np.abs(share_right - mean_confidence)[count > 0]
    ece, mce = float(gaps @ count[count > 0] / len(y)), float(gaps.max())
    return Calibration(edges, count, mean_confidence, share_right, ece, mce)


@usual
def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """P(score outside > score inside) + 1/2 P(they are equal): 1 tells both groups apart, 1/2 says nothing.

    inside, outside: scores, larger for "more outside". The area under the ROC curve is the Mann-Whitney
    statistic (Hanley and McNeil, Radiology 143, 1982), so it needs ranks only, ties sharing theirs.
    """
    inside, outside = row("inside", inside), row("outside", outside)
    together = np.concatenate([inside, outside])
    _, place, count = np.unique(together, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # from 1; equal scores share the mean of their ranks
    above = ranks[len(inside):].sum() - len(outside) * (len(outside) + 1) / 2
    return float(above / (len(inside) * len(outside)))


@usual
def fpr_at_recall(inside: np.ndarray, outside: np.ndarray, recall: float = 0.95) -> float:
    """The share of inside inputs flagged by the largest threshold that flags `recall` or more of the outside.

    Flagged is score >= threshold, so inputs that tie with the threshold are flagged too.
    """
    inside, outside = row("inside", inside), row("outside", outside)
    needed = math.ceil(require.real("recall", recall, 0, 1, open_low=True) * len(outside) - 1e-9)
    threshold = np.sort(outside)[len(outside) - needed]
    return float((inside >= threshold).mean())


@dataclass(frozen=True)
class RiskCoverage:
    """Answer only the least uncertain inputs: point i answers coverage[i] and errs on risk[i] of those."""

    coverage: np.ndarray
    risk: np.ndarray
    area: float  # the mean of the risk over coverages 1/N, 2/N, ..., 1


@usual
def risk_coverage(uncertainty: np.ndarray, wrong: np.ndarray) -> RiskCoverage:
    """The error rate among the least uncertain inputs, against how many are answered.

    Selective prediction: Geifman and El-Yaniv, arXiv 1705.08500. uncertainty (N,), wrong (N,) true or false.
    Inputs of equal uncertainty cannot be told apart: they join together, each at the mean error of its group,
    so no order of the inputs changes the curve.
    """
    uncertainty, wrong = row("uncertainty", uncertainty), flags("wrong", wrong)
    same_length(uncertainty=uncertainty, wrong=wrong)
    _, place, count = np.unique(uncertainty, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(place, wrong) / count, count)  # in order of uncertainty
    answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(expected) / answered
    return RiskCoverage(answered / len(wrong), risk, float(risk.mean()))


@dataclass(frozen=True)
class PrecisionRecall:
    """By falling score, a point per score: recall of the positives found, precision of the named."""

    recall: np.ndarray
    precision: np.ndarray
    average_precision: float  # sum_i (recall_i - recall_{i-1}) precision_i


@usual
def precision_recall(score: np.ndarray, positive: np.ndarray) -> PrecisionRecall:
    """How well a score finds the positives: the curve and its area. Inputs of equal score are named together.

    The base rate, the precision of naming everything, is positive.mean(). Average precision is the step-wise
    area, without interpolation.
    """
    score, positive = row("score", score), flags("positive", positive)
    same_length(score=score, positive=positive)
    if not positive.any():
        raise require.InputError("positive must have at least one true entry, got none")
    values, place = np.unique(-score, return_inverse=True)
    found = np.cumsum(np.bincount(place, positive, len(values)))
    named = np.cumsum(np.bincount(place, minlength=len(values)))
    recall, precision = found / found[-1], found / named
    return PrecisionRecall(recall, precision, float(np.diff(recall, prepend=0) @ precision))


@usual
def interval_coverage(lower: np.ndarray, upper: np.ndarray, y: np.ndarray) -> float:
    """The share of targets with lower <= y <= upper: for a good 95 % interval, 0.95."""
    lower, upper = numbers("lower", lower), numbers("upper", upper)
    y = numbers("y", y)
    same_shape(lower=lower, upper=upper, y=y)
    if (lower > upper).any():
        count = int((lower > upper).sum())
        raise require.InputError(f"lower must not be above upper, got {count} such intervals")
    return float(((lower <= y) & (y <= upper)).mean())


@usual
def rmse(mean: np.ndarray, y: np.ndarray) -> float:
    """sqrt of the mean of (mean - y)^2, in the units of y."""
    mean, y = numbers("mean", mean), numbers("y", y)
    same_shape(mean=mean, y=y)
    return float(np.sqrt(((mean.astype(np.float64) - y) ** 2).mean()))


@usual
def binomial_std_error(fraction: float, count: int) -> float:
    """sqrt(e (1 - e) / n): the standard error of an error rate e measured on n independent examples."""
    fraction, count = require.real("fraction", fraction, 0, 1), require.integer("count", count, 1)
    return math.sqrt(fraction * (1 - fraction) / count)


@usual
def mcnemar(wrong_a: Sequence[bool], wrong_b: Sequence[bool]) -> tuple[int, int, float]:
    """McNemar's exact paired test: (only a wrong, only b wrong, two-sided p-value).

    Of the n examples on which exactly one of the two rules errs, under the hypothesis of equal error rates
    the number on which a errs is Binomial(n, 1/2); p = min(1, 2 P(X <= min(n_a, n_b))). McNemar 1947, in its
    exact form. Rows of true or false, one entry per example.
    """
    wrong_a, wrong_b = flags("wrong_a", wrong_a), flags("wrong_b", wrong_b)
    same_length(wrong_a=wrong_a, wrong_b=wrong_b)
    only_a, only_b = int((wrong_a & ~wrong_b).sum()), int((wrong_b & ~wrong_a).sum())
    return only_a, only_b, min(1.0, 2 * binomial_tail(min(only_a, only_b), only_a + only_b))


@usual
def binomial_tail(most: int, n: int) -> float:
    """P(X <= most), X ~ Binomial(n, 1/2).

    Up to n = 10,000 in whole numbers, C(n, k+1) = C(n, k) (n-k)/(k+1).
    Beyond it, from the largest term down, C(n, k-1)/C(n, k) = k/(n-k+1): to nine digits.
    """
    if n <= WHOLE:
        term = total = 1
        for k in range(most):
            term = term * (n - k) // (k + 1)
            total += term
        return total / 2**n
    log_top = math.lgamma(n + 1) - math.lgamma(most + 1) - math.lgamma(n - most + 1) - n * math.log(2)
    k = np.arange(most, 0, -1)
    terms = np.cumprod(k / (n - k + 1))  # the rest of them over the largest: falling, and 0 in the end
    return math.exp(log_top) * (1 + float(terms.sum()))
