"""Conformal intervals and sets hold as often as they say, by counting; and the mistake that the claim is there for."""

import math

import numpy as np
import pytest

import minibayes as mb
from minibayes import conformal
from minibayes.claims import uncertainty_conformal

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 2))
Y = X[:, 0] + 0.5 * RNG.standard_normal(400)
KIND = np.where(Y > 0, "up", "down")


def test_the_plain_quantile_is_caught(monkeypatch):
    """ceil(n level), without the +1: at n = 20, level 0.9 it holds 18/21 = 0.857 where 19/21 = 0.905 is right."""
    assert uncertainty_conformal.covered(20, 0.9) == 19 / 21
    monkeypatch.setattr(conformal, "rank", lambda n, level: math.ceil(n * level))
    assert uncertainty_conformal.covered(20, 0.9) == 18 / 21
    failed = {finding.name for finding in uncertainty_conformal.coverage() if not finding.passed}
    assert "uncertainty-conformal-exact" in failed
    assert not uncertainty_conformal.plain()[0].passed, "the library's own is below what it says"


def test_of_the_plain_quantile_is_said_what_it_holds(monkeypatch):
    """A quantile that is right, and one of a rank too few, are told from it."""
    assert uncertainty_conformal.plain()[0].passed
    for other in (conformal.threshold, lambda scores, level: np.sort(scores)[math.ceil(len(scores) * level) - 2]):
        monkeypatch.setattr(uncertainty_conformal, "plain_quantile", other)
        assert not uncertainty_conformal.plain()[0].passed


@pytest.mark.parametrize("n, level, k", [(9, 0.9, 9), (10, 0.9, 10), (8, 0.9, 9), (29, 0.1, 3), (9, 0.7, 7), (99, 0.29, 29), (1, 0.5, 1)])
def test_ranks_are_exact(n, level, k):
    """30 * 0.1 is 3.0000000000000004 in floating point, and 100 * 0.29 is 28.999999999999996."""
    assert conformal.rank(n, level) == k and conformal.law(n, level) == (k, n + 1 - k)
    scores = np.random.default_rng(1).permutation(n)
    assert conformal.threshold(scores, level) == (k - 1 if k <= n else math.inf)


@pytest.fixture(scope="module")
def models():
    options = {"epochs": 10, "samples": 20, "keep": 0.95}
    return mb.Regressor(**options).fit(X[:60], Y[:60]), mb.Classifier(**options).fit(X[:60], KIND[:60])


@pytest.mark.parametrize("scaled", [True, False])
def test_intervals_of_a_hardly_trained_model_hold_what_they_say(models, scaled):
    model, cal, new = models[0], slice(60, 260), slice(260, 400)
    sure = mb.Conformal(model, X[cal], Y[cal], scaled=scaled)
    for level in (0.5, 0.9):
        lower, upper = sure.interval(X[new], level)
        inside, law = ((lower <= Y[new]) & (Y[new] <= upper)).mean(), sure.law(level)
        assert abs(inside - law.mean) < 4 * math.hypot(law.std, math.sqrt(level * (1 - level) / 140))
        assert np.ptp(upper - lower) < 1e-9 or scaled
    mean, std = model.predict(X[new], return_std=True)
    reach = np.sort(np.abs(Y[cal] - model.predict(X[cal])) / (model.predict(X[cal], True)[1] if scaled else 1))[181 - 1]
    np.testing.assert_allclose(upper, mean + reach * (std if scaled else 1))  # ceil(201 * 0.9) = 181
    assert np.isposinf(mb.Conformal(model, X[:5], Y[:5]).interval(X[:1], 0.9)[1]).all()


def test_sets_hold_what_they_say(models):
    model, cal, new = models[1], slice(60, 260), slice(260, 400)
    sure = mb.Conformal(model, X[cal], KIND[cal])
    sets = sure.sets(X[new], 0.9)
    inside, law = sets[np.arange(140), (KIND[new] == "up").astype(int)].mean(), sure.law(0.9)
    assert abs(inside - law.mean) < 4 * math.hypot(law.std, math.sqrt(0.09 / 140))
    assert sets.shape == (140, 2) and 0 < sets.sum() < 280
    assert (sure.sets(X[new], 0.5) <= sets).all()
    assert mb.Conformal(model, X[:5], KIND[:5]).sets(X[new], 0.9).all()  # too few rows: everything is possible


def test_one_clear_error(models):
    number, kind = models
    for work, says in [
            (lambda: mb.Conformal(mb.Regressor(), X, Y), "Regressor is not fitted yet"),
            (lambda: mb.Conformal("model", X, Y), "model must be a fitted mb.Regressor or mb.Classifier, got 'model'"),
            (lambda: mb.Conformal(number, X, Y[:3]), "mean and y must have one length, got 400 and 3"),
            (lambda: mb.Conformal(kind, X, np.full(400, "east")), "y must be labels of the training, got 'east'"),
            (lambda: mb.Conformal(kind, X, KIND).interval(X), "interval needs a Regressor, as classes have no order"),
            (lambda: mb.Conformal(number, X, Y).sets(X), "sets needs a Classifier"),
            (lambda: mb.Conformal(number, X, Y).interval(X, 1.0), "level must be a finite number"),
            (lambda: mb.Conformal(number, X, Y, scaled="yes"), "scaled must be True or False"),
            (lambda: conformal.threshold([]), "scores must be a non-empty row"),
            (lambda: conformal.residual_scores([1, 2], [1, 2], [1, 0]), "std must be positive, got 0"),
            (lambda: conformal.threshold([1, math.nan]), "scores must be finite")]:
        with pytest.raises(mb.InputError, match=says):
            work()
