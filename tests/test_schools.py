"""The eight schools: published values, sums over a plane, gradients, and claims that fail for the mistakes they are there for."""

import numpy as np
import pytest

from minibayes import checks
from minibayes.claims import posterior_schools
from minibayes.truth import schools


def test_the_exact_posterior_is_the_published_one():
    """To the digits in which it is known: mu ~ N(0, 5), tau ~ HalfCauchy(5)."""
    truth = schools.exact()
    assert truth.mu == pytest.approx(4.397, abs=5e-4) and truth.tau == pytest.approx(3.598, abs=5e-4)
    np.testing.assert_allclose(truth.theta, [6.212, 4.940, 3.927, 4.757, 3.615, 4.043, 6.297, 4.854], atol=6e-4)
    assert truth.tau == pytest.approx(schools.exact(8001).tau, rel=1e-9)


def test_the_exact_posterior_is_a_sum_over_the_plane():
    """mu is summed over here, too, with no formula for it."""
    mu, log_tau = np.linspace(-25, 35, 601)[:, None], np.linspace(-12, 7, 951)
    total = schools.SIGMA[:, None, None] ** 2 + np.exp(2 * log_tau)
    log_p = -(mu / 5) ** 2 / 2 + log_tau - np.log1p(np.exp(2 * log_tau) / 25)
    log_p = log_p - (np.log(total) + (schools.Y[:, None, None] - mu) ** 2 / total).sum(axis=0) / 2
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    truth = schools.exact()
    assert (p * mu).sum() == pytest.approx(truth.mu, rel=1e-5)
    assert (p * np.exp(log_tau)).sum() == pytest.approx(truth.tau, rel=1e-4)  # tau beyond exp(7) is cut off


@pytest.mark.parametrize("target", [schools.Centred(), schools.NonCentred()], ids=["centred", "non-centred"])
def test_gradients(target):
    q = np.random.default_rng(0).standard_normal(target.size)
    check = checks.gradient_check(lambda p: target(p["q"])[0], {"q": q}, {"q": target(q)[1]}, rng=0, directions=8)
    assert check.passed, check


def test_two_coordinates_of_one_density():
    """p(mu, log tau, e) = p(mu, log tau, theta) tau^8."""
    rng = np.random.default_rng(0)
    for q in rng.standard_normal((5, 10)):
        theta = schools.NonCentred().theta(q)
        other = schools.Centred()(np.array([*q[:2], *theta]))[0] + 8 * q[1]
        assert schools.NonCentred()(q)[0] == pytest.approx(other, rel=1e-12)


def failing():
    return {finding.name for finding in posterior_schools.eight_schools() if not finding.passed}


@pytest.mark.slow
def test_without_the_jacobian(monkeypatch):
    """log p(tau) taken for the density of log tau."""
    monkeypatch.setattr(schools.NonCentred, "__call__", without_jacobian)
    assert failing() - {"posterior-schools-funnel"} == {"posterior-schools-non-centred"}


def without_jacobian(self, q, whole=schools.NonCentred.__call__):
    value, slope = whole(self, q)
    slope[1] -= 1
    return value - q[1], slope


@pytest.mark.parametrize("factor, fail", [(1.05, {"posterior-schools-mean-field"}),
                                          (3.0, {"posterior-schools-mean-field", "posterior-schools-mean-field-tau"})])
def test_a_mean_field_that_is_not_the_best(factor, fail, monkeypatch):
    """The standard deviation of log tau times `factor`; the draws, which have no part in it, are made once."""
    right, chains = schools.best_log_tau, posterior_schools.sampled(schools.NonCentred())
    monkeypatch.setattr(posterior_schools, "sampled", lambda target: chains)
    monkeypatch.setattr(schools, "best_log_tau", lambda a, s, S: (right(a, s, S)[0], right(a, s, S)[1] * factor))
    assert failing() == fail | {"posterior-schools-funnel"}  # for want of a funnel
