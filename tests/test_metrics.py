"""Every metric against values worked out by hand, an independent form, and the inputs it must refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibayes import InputError, metrics

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5], [0.9, 0.05, 0.05]])
Y = np.array([0, 2, 2, 1])  # right, wrong, right, wrong


def test_scores_of_probabilities_by_hand():
    assert metrics.accuracy(P, Y) == 0.5
    nll = -(math.log(0.7) + math.log(0.3) + math.log(0.5) + math.log(0.05)) / 4
    assert metrics.negative_log_likelihood(P, Y) == pytest.approx(nll)
    rows = [0.3**2 + 0.2**2 + 0.1**2, 0.1**2 + 0.6**2 + 0.7**2, 0.25**2 + 0.25**2 + 0.5**2,
            0.9**2 + 0.95**2 + 0.05**2]
    assert metrics.brier(P, Y) == pytest.approx(sum(rows) / 4)


def test_extremes():
    sure, y = np.eye(3), np.arange(3)
    assert metrics.accuracy(sure, y) == 1 and metrics.brier(sure, y) == 0
    assert metrics.negative_log_likelihood(sure, y) == 0
    wrong = np.roll(y, 1)
    assert metrics.accuracy(sure, wrong) == 0 and metrics.brier(sure, wrong) == 2
    assert metrics.negative_log_likelihood(sure, wrong) == math.inf
    assert metrics.accuracy([[0.5, 0.5]], [0]) == 1 and metrics.accuracy([[0.5, 0.5]], [1]) == 0


def test_calibration_by_hand():
    """Confidences .7 (right), .6 (wrong), .5 (right), .9 (wrong) in four bins.

    (.25, .5], (.5, .75], (.75, 1].
    """
    c = metrics.calibration(P, Y, bins=4)
    assert c.edges.tolist() == [0, 0.25, 0.5, 0.75, 1] and c.count.tolist() == [0, 1, 2, 1]
    np.testing.assert_allclose(c.confidence, [np.nan, 0.5, 0.65, 0.9])
    np.testing.assert_allclose(c.accuracy, [np.nan, 1, 0.5, 0])
    assert c.ece == pytest.approx(1 / 4 * 0.5 + 2 / 4 * 0.15 + 1 / 4 * 0.9)
    assert c.mce == pytest.approx(0.9)


def test_calibration_is_zero_when_confidence_is_the_share_that_is_right():
    y = np.array([0, 0, 0, 1])
    c = metrics.calibration(np.tile([0.75, 0.25], (4, 1)), y)
    assert c.ece == pytest.approx(0) and c.mce == pytest.approx(0) and c.count.sum() == 4
    one = metrics.calibration([[1.0, 0.0]], [0], bins=1)
    assert one.ece == one.mce == 0 and one.count.tolist() == [1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 20))
def test_calibration_bin_by_bin(seed, count, bins):
    rng = np.random.default_rng(seed)
    p = np.round(rng.dirichlet(np.ones(3), count) * 20) / 20  # many at the edges
    p = p[np.isclose(p.sum(axis=1), 1)]
    if not len(p):
        return
    y, confidence = rng.integers(0, 3, len(p)), p.max(axis=1)
    c, total, worst = metrics.calibration(p, y, bins), 0.0, 0.0
    for i in range(bins):
        low, high = c.edges[i], c.edges[i + 1]
        chosen = [n for n in range(len(p)) if (low < confidence[n] or (i == 0 and confidence[n] == low))
                  and confidence[n] <= high]
        assert c.count[i] == len(chosen)
        if chosen:
            right = np.mean([p[n].argmax() == y[n] for n in chosen])
            gap = abs(np.mean([confidence[n] for n in chosen]) - right)
            total, worst = total + gap * len(chosen) / len(p), max(worst, gap)
    assert c.ece == pytest.approx(total, abs=1e-12) and c.mce == pytest.approx(worst, abs=1e-12)


def test_auroc_by_hand():
    assert metrics.auroc([1, 2], [3, 4]) == 1 and metrics.auroc([3, 4], [1, 2]) == 0
    assert metrics.auroc([1, 1], [1, 1, 1]) == 0.5
    assert metrics.auroc([1, 3], [2, 3]) == (1 + 0 + 1 + 0.5) / 4  # pairs 2>1, 2<3, 3>1, 3=3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=30),
       st.lists(st.integers(-4, 4), min_size=1, max_size=30))
def test_auroc_and_fpr_are_their_definitions(inside, outside):
    pairs = [(b > a) + 0.5 * (b == a) for a in inside for b in outside]
    assert metrics.auroc(inside, outside) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    for recall in (0.5, 0.95, 1):
        thresholds = [t for t in outside if np.mean(np.array(outside) >= t) >= recall]
        assert metrics.fpr_at_recall(inside, outside, recall) == np.mean(np.array(inside) >= max(thresholds))


def test_fpr_at_recall_by_hand():
    inside, outside = [0, 1, 2, 3, 9], np.arange(1, 21)  # 95 % of 20 are the 19 that are >= 2
    assert metrics.fpr_at_recall(inside, outside) == 3 / 5
    assert metrics.fpr_at_recall(inside, outside, recall=1) == 4 / 5


def test_risk_coverage_by_hand():
    c = metrics.risk_coverage([0.3, 0.1, 0.2, 0.4], [True, False, False, True])
    assert c.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert c.risk.tolist() == [0, 0, pytest.approx(1 / 3), 0.5]
    assert c.area == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert metrics.risk_coverage([1, 2, 3], [False] * 3).area == 0
    assert metrics.risk_coverage([1, 2, 3], [True] * 3).area == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12),
       st.randoms(use_true_random=False))
def test_risk_coverage_of_ties_is_the_mean_over_their_orders(pairs, random):
    """Against the average over many random orders of equal inputs; and the order given does not matter."""
    u, wrong = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    curve = metrics.risk_coverage(u, wrong)
    shuffled = random.sample(range(len(pairs)), len(pairs))
    assert np.allclose(metrics.risk_coverage(u[shuffled], wrong[shuffled]).risk, curve.risk)
    # E[errors among the first k]: whole groups, and a share of the group in which k falls.
    for k in range(1, len(pairs) + 1):
        expected = 0.0
        for value in range(4):
            group, before = wrong[u == value], (u < value).sum()
            expected += group.sum() * min(max(k - before, 0), len(group)) / max(len(group), 1)
        assert curve.risk[k - 1] == pytest.approx(expected / k)


def test_precision_recall_by_hand():
    c = metrics.precision_recall([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    assert c.recall.tolist() == [0.5, 0.5, 1, 1]
    assert c.precision.tolist() == [1, 0.5, pytest.approx(2 / 3), 0.5]
    assert c.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    tied = metrics.precision_recall([1, 1, 1, 1], [True, False, False, False])
    assert tied.recall.tolist() == [1] and tied.precision.tolist() == [0.25]
    assert tied.average_precision == 0.25
    assert metrics.precision_recall([3, 2, 1], [True, True, False]).average_precision == 1


def test_intervals_and_rmse():
    assert metrics.interval_coverage([0, 0, 0, 0], [1, 1, 1, 1],
                                     [0, 1, 0.5, 2]) == 0.75  # the ends belong to it
    assert metrics.rmse([1.0, 2.0], [4.0, 6.0]) == math.sqrt((9 + 16) / 2)


def test_mcnemar_and_binomial():
    a, b = np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 1, 1, 0], bool)
    assert metrics.mcnemar(a, b) == (2, 1, 1.0)  # min(1, 2 (1 + 3)/8)
    assert metrics.mcnemar(np.ones(6, bool), np.zeros(6, bool)) == (6, 0, 2 / 64)
    assert metrics.mcnemar(a, a) == (0, 0, 1.0)
    assert metrics.binomial_std_error(0.1, 900) == pytest.approx(0.01)


@pytest.mark.parametrize("call, message", [
    (lambda: metrics.accuracy([0.5, 0.5], [0]), r"probabilities must have shape \(N, C\), got \(2,\)"),
    (lambda: metrics.accuracy([[0.5, 0.6]], [0]), "sum to 1"),
    (lambda: metrics.brier([[1.5, -0.5]], [0]), "non-negative"),
    (lambda: metrics.brier([[np.nan, 1]], [0]), "probabilities must be finite"),
    (lambda: metrics.negative_log_likelihood([[0.5, 0.5]], [2]),
     r"y must be labels in 0..1, got values from 2 to 2"),
    (lambda: metrics.negative_log_likelihood([[0.5, 0.5]], [0.0]), "y must be 1 integer labels, got float64"),
    (lambda: metrics.calibration(P, Y[:3]), "y must be 4 integer labels"),
    (lambda: metrics.calibration(P, Y, bins=0), "bins must be >= 1"),
    (lambda: metrics.auroc([], [1]), "inside must be a non-empty row of numbers"),
    (lambda: metrics.auroc([1], [np.inf]), "outside must be finite"),
    (lambda: metrics.fpr_at_recall([1], [1], recall=0), "recall must be"),
    (lambda: metrics.risk_coverage([1, 2], [True]),
     "uncertainty and wrong must have one length, got 2 and 1"),
    (lambda: metrics.risk_coverage([1, 2], [0, 2]), "wrong must be a non-empty row of true or false"),
    (lambda: metrics.precision_recall([1, 2], [0, 0]), "at least one true entry"),
    (lambda: metrics.interval_coverage([0, 2], [1, 1], [0, 0]), "lower must not be above upper, got 1 such"),
    (lambda: metrics.interval_coverage([0], [1, 1], [0, 0]), "one shape"),
    (lambda: metrics.rmse([1, 2], [1]), r"one shape and not be empty, got \(2,\) and \(1,\)"),
    (lambda: metrics.rmse([], []), "not be empty"),
])
def test_what_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
