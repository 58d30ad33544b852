"""How good a prediction is, and how much of the difference between two is luck. Probabilities are (N, C), labels (N,), losses in nats."""

import math
from dataclasses import dataclass

import numpy as np

from . import require


def accuracy(probabilities, y):
    """(1/N) sum_n [argmax_c p_nc = y_n]; the first of several largest classes counts."""
    probabilities, y = checked(probabilities, y)
    return float((probabilities.argmax(axis=1) == y).mean())


def negative_log_likelihood(probabilities, y):
    """-(1/N) sum_n log p_n(y_n), nats: infinite if an observed class was given probability 0."""
    probabilities, y = checked(probabilities, y)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(y)), y]).mean())


def brier(probabilities, y):
    """(1/N) sum_n sum_c (p_nc - [y_n = c])^2, from 0 (sure and right) to 2 (sure and wrong). Brier, Monthly Weather Review 78, 1950."""
    probabilities, y = checked(probabilities, y)
    squares = (probabilities**2).sum(axis=1) - 2 * probabilities[np.arange(len(y)), y] + 1
    return float(squares.mean())


@dataclass(frozen=True)
class Calibration:
    """Inputs by confidence: bin i is (edges[i], edges[i+1]], the first one with its left edge. NaN in bins that are empty."""

    edges: np.ndarray  # (bins + 1,)
    count: np.ndarray  # (bins,)
    confidence: np.ndarray  # (bins,) mean confidence in the bin
    accuracy: np.ndarray  # (bins,) share of the bin that is right
    ece: float  # sum_i count_i/N |accuracy_i - confidence_i|
    mce: float  # the largest |accuracy_i - confidence_i|


def calibration(probabilities, y, bins=15):
    """Is the most probable class right as often as its probability says? Expected and maximum calibration error, with the bins.

    Confidence is max_c p_nc; bins are equally wide; empty ones count for nothing. The errors depend on `bins` and are biased upwards when
    bins hold few inputs. Naeini, Cooper and Hauskrecht, AAAI 2015; 15 bins as in Guo et al., arXiv 1706.04599.
    """
    probabilities, y = checked(probabilities, y)
    edges = np.linspace(0, 1, require.integer("bins", bins, 1) + 1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / count
        share_right = np.bincount(index, right, bins) / count
    gaps = np.abs(share_right - mean_confidence)[count > 0]
    return Calibration(edges, count, mean_confidence, share_right, float(gaps @ count[count > 0] / len(y)), float(gaps.max()))


def auroc(inside, outside):
    """P(score outside > score inside) + 1/2 P(they are equal): 1 if the scores tell both groups apart, 1/2 if they say nothing.

    inside, outside: scores, larger for "more outside". The area under the ROC curve is the Mann-Whitney statistic (Hanley and McNeil,
    Radiology 143, 1982), so it needs ranks only, ties sharing theirs.
    """
    inside, outside = scores("inside", inside), scores("outside", outside)
    together = np.concatenate([inside, outside])
    _, place, count = np.unique(together, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # 1 is the smallest; equal scores share the mean of their ranks
    above = ranks[len(inside):].sum() - len(outside) * (len(outside) + 1) / 2
    return float(above / (len(inside) * len(outside)))


def fpr_at_recall(inside, outside, recall=0.95):
    """The share of inside inputs that are flagged by the largest threshold that flags at least `recall` of the outside ones.

    Flagged is score >= threshold, so inputs that tie with the threshold are flagged too.
    """
    inside, outside = scores("inside", inside), scores("outside", outside)
    needed = math.ceil(require.real("recall", recall, 0, 1, open_low=True) * len(outside) - 1e-9)
    threshold = np.sort(outside)[len(outside) - needed]
    return float((inside >= threshold).mean())


@dataclass(frozen=True)
class RiskCoverage:
    """Selective prediction: answer only the least uncertain inputs. Point i answers coverage[i] of them and errs on risk[i] of those."""

    coverage: np.ndarray
    risk: np.ndarray
    area: float  # the mean of the risk over coverages 1/N, 2/N, ..., 1


def risk_coverage(uncertainty, wrong):
    """The error rate among the least uncertain inputs, against how many are answered. Geifman and El-Yaniv, arXiv 1705.08500.

    uncertainty (N,), wrong (N,) true or false. Inputs of equal uncertainty cannot be told apart: they join together, each at the mean
    error of its group, so no order of the inputs changes the curve.
    """
    uncertainty, wrong = scores("uncertainty", uncertainty), flags("wrong", wrong)
    same_length("uncertainty", uncertainty, "wrong", wrong)
    _, place, count = np.unique(uncertainty, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(place, wrong) / count, count)  # in order of uncertainty
    answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(expected) / answered
    return RiskCoverage(answered / len(wrong), risk, float(risk.mean()))


@dataclass(frozen=True)
class PrecisionRecall:
    """By falling score, one point per distinct score: of all positives, recall were found; of all named, precision are positive."""

    recall: np.ndarray
    precision: np.ndarray
    average_precision: float  # sum_i (recall_i - recall_{i-1}) precision_i


def precision_recall(score, positive):
    """How well a score finds the positives: the curve and its area. Inputs of equal score are named together.

    The base rate, the precision of naming everything, is positive.mean(). Average precision is the step-wise area, without interpolation.
    """
    score, positive = scores("score", score), flags("positive", positive)
    same_length("score", score, "positive", positive)
    if not positive.any():
        raise require.InputError("positive must have at least one true entry, got none")
    values, place = np.unique(-score, return_inverse=True)
    found = np.cumsum(np.bincount(place, positive, len(values)))
    named = np.cumsum(np.bincount(place, minlength=len(values)))
    recall, precision = found / found[-1], found / named
    return PrecisionRecall(recall, precision, float(np.diff(recall, prepend=0) @ precision))


def interval_coverage(lower, upper, y):
    """The share of targets with lower <= y <= upper: for a good 95 % interval, 0.95."""
    lower, upper, y = (require.finite(name, require.array(name, a)) for name, a in (("lower", lower), ("upper", upper), ("y", y)))
    if not lower.shape == upper.shape == y.shape or not y.size:
        raise require.InputError(f"lower, upper and y must have one shape and not be empty, got {lower.shape}, {upper.shape} and {y.shape}")
    if (lower > upper).any():
        raise require.InputError(f"lower must not be above upper, got {int((lower > upper).sum())} such intervals")
    return float(((lower <= y) & (y <= upper)).mean())


def rmse(mean, y):
    """sqrt of the mean of (mean - y)^2, in the units of y."""
    mean, y = (require.finite(name, require.array(name, a)) for name, a in (("mean", mean), ("y", y)))
    if mean.shape != y.shape or not y.size:
        raise require.InputError(f"mean and y must have one shape and not be empty, got {mean.shape} and {y.shape}")
    return float(np.sqrt(((mean - y) ** 2).mean()))


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


def checked(probabilities, y):
    """The arrays, or an error: (N, C) probabilities that sum to one, and N labels below C."""
    probabilities, y = require.finite("probabilities", require.array("probabilities", probabilities)), require.array("y", y)
    if probabilities.ndim != 2 or not probabilities.size:
        raise require.InputError(f"probabilities must have shape (N, C), got {probabilities.shape}")
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-4:
        sums = probabilities.sum(axis=1)
        raise require.InputError(f"probabilities must be non-negative rows that sum to 1, got sums from {sums.min():.6g} to "
                                 f"{sums.max():.6g} and a smallest entry of {probabilities.min():.6g}")
    if y.shape != probabilities.shape[:1] or y.dtype.kind not in "iu":
        raise require.InputError(f"y must be {len(probabilities)} integer labels, got {y.dtype} of shape {y.shape}")
    if y.min() < 0 or y.max() >= probabilities.shape[1]:
        raise require.InputError(f"y must be labels in 0..{probabilities.shape[1] - 1}, got values from {y.min()} to {y.max()}")
    return probabilities.astype(np.float64), y


def scores(name, values):
    values = require.finite(name, require.array(name, values)).astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise require.InputError(f"{name} must be a non-empty row of numbers, got shape {values.shape}")
    return values


def flags(name, values):
    values = require.array(name, values)
    if values.ndim != 1 or not values.size or not np.isin(values, (0, 1)).all():
        raise require.InputError(f"{name} must be a non-empty row of true or false, got {values.dtype} of shape {values.shape}")
    return values.astype(bool)


def same_length(name_a, a, name_b, b):
    if len(a) != len(b):
        raise require.InputError(f"{name_a} and {name_b} must have one length, got {len(a)} and {len(b)}")
