"""Hamiltonian Monte Carlo: leapfrog's symmetries and order, the log posterior, exact moments, and the diagnostics on known chains."""

import math

import numpy as np
import pytest

from minibayes import bayes, checks, models, nn
from minibayes.truth import hmc


def tanh_posterior(noise=None):
    net = models.mlp([2, 4, 3], noise=noise or nn.Delta(), activation="tanh")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 2)), rng.integers(0, 3, 7)
    return hmc.LogPosterior(net, bayes.Prior({"fc1": 0.7, "fc2": 1.6}), bayes.Categorical(), x, y), rng


def test_log_posterior_is_prior_times_likelihood():
    target, rng = tanh_posterior()
    omega = target.prior_draw(rng)
    params = target.params(omega)
    assert (target.row(params) == omega).all() and omega.size == target.size == 2 * 4 + 4 + 4 * 3 + 3
    wanted = 0.0
    for name, l in (("fc1", 0.7), ("fc2", 1.6)):
        for w in np.concatenate([a.ravel() for a in params[name].values()]):
            wanted += math.log(l / math.sqrt(2 * math.pi)) - l**2 * w**2 / 2
    f, _ = target.net.forward(params, target.x, {})
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    wanted += np.log(p[np.arange(7), target.y]).sum()
    assert target(omega)[0] == pytest.approx(wanted, rel=1e-13)
    np.testing.assert_allclose(target.predictive(omega[None, None], target.x)[0, 0], p, rtol=1e-12)


@pytest.mark.parametrize("likelihood", [bayes.Categorical(), bayes.Gaussian(3.0)], ids=repr)
def test_gradient_of_log_posterior(likelihood):
    target, rng = tanh_posterior()
    y = target.y if isinstance(likelihood, bayes.Categorical) else rng.standard_normal((7, 3))
    target = hmc.LogPosterior(target.net, target.prior, likelihood, target.x, y)
    omega = target.prior_draw(rng)
    check = checks.gradient_check(lambda p: target(p["omega"])[0], {"omega": omega}, {"omega": target(omega)[1]}, rng=0, directions=6)
    assert check.passed, check


def test_noise_is_at_one():
    """A net with dropout has the posterior of the net without."""
    plain, rng = tanh_posterior()
    noisy, _ = tanh_posterior(nn.Bernoulli(0.3))
    omega = plain.prior_draw(rng)
    assert not noisy.net.noisy and plain(omega)[0] == noisy(omega)[0] and (plain(omega)[1] == noisy(omega)[1]).all()


def test_leapfrog_is_reversible_and_keeps_volume():
    target, rng = tanh_posterior()
    q, p = target.prior_draw(rng), rng.standard_normal(target.size)
    there = hmc.leapfrog(target, q, p, target(q)[1], 0.05, 30)
    back = hmc.leapfrog(target, there[0], -there[1], there[3], 0.05, 30)
    np.testing.assert_allclose(back[0], q, atol=1e-12)  # 60 steps of rounding, and no chaos within this time
    np.testing.assert_allclose(-back[1], p, atol=1e-12)
    assert there[2] == target(there[0])[0] and (there[3] == target(there[0])[1]).all()
    # the Jacobian of (q, p) -> (q', p') by central differences, for a quartic well in two dimensions

    def well(q):
        return -((q**4).sum() + q[0] * q[1]), -4 * q**3 - q[::-1]

    def step(state):
        q, p, *_ = hmc.leapfrog(well, state[:2], state[2:], well(state[:2])[1], 0.1, 7)
        return np.concatenate([q, p])

    state, h = np.array([0.4, -0.7, 0.3, 1.1]), 1e-5
    jacobian = np.stack([(step(state + h * e) - step(state - h * e)) / (2 * h) for e in np.eye(4)], axis=1)
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-7)  # h^2 times third derivatives
    assert np.abs(jacobian - np.eye(4)).max() > 0.1


def test_energy_error_is_of_second_order():
    """For -log p = q^2/2 leapfrog keeps p^2 + (1 - h^2/4) q^2 exactly; for the net, halving the step divides the error by 4."""
    q, p, h = np.array([0.9]), np.array([-0.4]), 0.7
    q2, p2, *_ = hmc.leapfrog(lambda q: (-(q @ q) / 2, -q), q, p, -q, h, 5)
    assert (p2**2 + (1 - h**2 / 4) * q2**2).item() == pytest.approx((p**2 + (1 - h**2 / 4) * q**2).item(), rel=1e-14)
    assert abs(q2.item() - q.item()) > 0.1
    target, rng = tanh_posterior()
    q, p = target.prior_draw(rng), rng.standard_normal(target.size)

    def error(steps):
        _, p2, value, _ = hmc.leapfrog(target, q, p, target(q)[1], 1 / steps, steps)
        return p2 @ p2 / 2 - value - (p @ p / 2 - target(q)[0])

    errors = [error(n) for n in (20, 40, 80)]  # c h^2 + d h^4 + ...: ratios 4 (1 + 3/4 d/c h^2), each time four times nearer to 4
    first, second = errors[0] / errors[1] - 4, errors[1] / errors[2] - 4
    assert abs(first) < 1 and abs(second) < abs(first) / 3


def linear_regression():
    """y = w x + b: the posterior is N(A^-1 tau X^T y, A^-1), A = tau X^T X + diag(l^2) with a column of ones for b."""
    rng, tau = np.random.default_rng(3), 2.0
    x = rng.standard_normal((12, 2)) * np.array([1.0, 0.3])
    y = x @ np.array([1.0, -2.0]) + 0.5 + rng.standard_normal(12) / math.sqrt(tau)
    target = hmc.LogPosterior(nn.Network(a=nn.Dense(2, 1)), bayes.Prior(0.8), bayes.Gaussian(tau), x, y)
    X = np.concatenate([x, np.ones((12, 1))], axis=1)
    A = tau * X.T @ X + 0.8**2 * np.eye(3)
    return target, np.linalg.solve(A, tau * X.T @ y), np.linalg.inv(A)


@pytest.mark.parametrize("settings", [pytest.param({}, marks=pytest.mark.slow), {"accept": 0.5, "leaps": 4}],
                         ids=["defaults", "many rejections"])
def test_exact_moments_of_linear_regression(settings):
    """Means and all second moments within 4 standard errors by effective size: four chains, from the prior."""
    target, mean, covariance = linear_regression()
    rng = np.random.default_rng(1)
    chains = hmc.sample(target, [target.prior_draw(rng) for _ in range(4)], 2, draws=1500, warmup=300, **settings)
    assert chains.draws.shape == (4, 1500, 3) and (np.abs(chains.acceptance - settings.get("accept", 0.8)) < 0.15).all()
    assert (hmc.split_rhat(chains.draws) < 1.01).all()
    assert (np.abs(chains.draws.mean(axis=(0, 1)) - mean) <= 4 * hmc.standard_error(chains.draws)).all()
    d = chains.draws - mean
    products = (d[..., :, None] * d[..., None, :]).reshape(4, 1500, 9)
    assert (np.abs(products.mean(axis=(0, 1)) - covariance.ravel()) <= 4 * hmc.standard_error(products)).all()
    assert (hmc.standard_error(products) < 0.1 * np.sqrt(np.outer(*[np.diag(covariance)] * 2)).ravel()).all()  # the check has power


def test_same_seed_same_draws_and_streams_differ():
    target, mean, _ = linear_regression()
    start = np.stack([mean, mean])
    a, b, c = (hmc.sample(target, start, seed, draws=20, warmup=10, leaps=5) for seed in (1, 1, 2))
    assert (a.draws == b.draws).all() and (a.draws != c.draws).any() and (a.draws[0] != a.draws[1]).any()
    assert (start == mean).all()


def test_step_size_is_fixed_after_warmup():
    """With no warm-up the step size given is the one used; a step far too long is rejected, not an error."""
    target, mean, _ = linear_regression()
    chains = hmc.sample(target, mean, 0, draws=30, warmup=0, step_size=0.03, leaps=3)
    assert (chains.step_sizes == 0.03).all()
    frozen = hmc.sample(target, mean, 0, draws=30, warmup=0, step_size=1e150, leaps=20)
    assert (frozen.acceptance == 0).all() and (frozen.draws == mean).all()


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_effective_size_of_an_autoregression(rho):
    """x_t = rho x_(t-1) + noise: n (1 - rho)/(1 + rho). Relative sd of such estimates: sqrt(2 (2 M + 1)/n), M lags summed, about 10 times
    the correlation time -1/log rho (Sokal 1997)."""
    rng, n = np.random.default_rng(0), 5000
    x = np.empty((4, n))
    x[:, 0] = rng.standard_normal(4) / math.sqrt(1 - rho**2)
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + rng.standard_normal(4)
    lags = 10 * (-1 / math.log(rho) if rho else 0) + 1
    wanted = 4 * n * (1 - rho) / (1 + rho)
    assert hmc.effective_size(x) == pytest.approx(wanted, rel=4 * math.sqrt(2 * (2 * lags + 1) / (4 * n)))
    assert hmc.effective_size(np.stack([x, x], axis=-1)).shape == (2,)


def test_antithetic_draws_are_worth_more():
    rng, x = np.random.default_rng(0), np.zeros((4, 2000))
    for t in range(1, 2000):
        x[:, t] = -0.5 * x[:, t - 1] + rng.standard_normal(4)
    assert 1.5 * 8000 < hmc.effective_size(x) < math.log10(8000) * 8000  # 3 times as much; at most log10 of the number is believed


def test_split_rhat_by_hand_and_on_bad_chains():
    draws = np.array([[0.0, 2.0, 1.0, 3.0], [4.0, 4.0, 6.0, 8.0]])
    halves = [[0, 2], [1, 3], [4, 4], [6, 8]]  # n = 2; variances 2, 2, 0, 2; means 1, 2, 4, 7
    within, between = 1.5, np.var([1, 2, 4, 7], ddof=1)
    assert (hmc.split(draws) == np.array(halves)[[0, 2, 1, 3]]).all()
    assert hmc.split_rhat(draws) == pytest.approx(math.sqrt((within / 2 + between) / within))
    good = np.random.default_rng(0).standard_normal((4, 1000))
    assert hmc.split_rhat(good) < 1.01 and hmc.effective_size(good) > 2000
    apart = good + np.array([0, 0, 0, 2])[:, None]
    drift = good + np.linspace(0, 2, 1000)
    for bad in (apart, drift):
        assert hmc.split_rhat(bad) > 1.1 and hmc.effective_size(bad) < 100


def test_errors():
    target, mean, _ = linear_regression()
    with pytest.raises(ValueError, match="start must have a finite log density"):
        hmc.sample(target, mean * np.nan, 0, draws=2, warmup=0)
    with pytest.raises(ValueError, match="draws must be >= 1"):
        hmc.sample(target, mean, 0, draws=0, warmup=0)
    with pytest.raises(ValueError, match="y must have shape"):
        hmc.LogPosterior(target.net, target.prior, target.likelihood, target.x, target.y[:3])
