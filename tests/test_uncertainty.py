"""Predictive summaries: the heteroscedastic likelihood, quantiles, samples="auto", and standard errors against enumeration."""

import math
import warnings
from statistics import NormalDist

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, cautions, kernels, models, nn
from minibayes.truth import exact

DROP = nn.Bernoulli(0.7)


def model(likelihood, outputs, seed=0, dtype=np.float64):
    net = models.mlp([2, 6, outputs], noise=DROP)
    return mb.BayesianNetwork(net, likelihood=likelihood, params=net.init(seed, dtype))


X = np.random.default_rng(0).standard_normal((7, 2))


# --------------------------------------------------------------------------------------------------------- heteroscedastic

def test_heteroscedastic_nll_is_the_normal_density():
    f, y = np.array([[1.0, -2.0, 0.5, -1.0]]), np.array([[1.5, 0.0]])  # means 1, -2; log-variances 0.5, -1
    wanted = -math.log(NormalDist(1, math.exp(0.25)).pdf(1.5)) - math.log(NormalDist(-2, math.exp(-0.5)).pdf(0.0))
    assert bayes.Heteroscedastic().nll(f, y)[0] == pytest.approx([wanted])
    same = bayes.Gaussian(tau=4.0).nll(f[:, :2], y)[0]  # with s = -log tau it is the Gaussian
    assert bayes.Heteroscedastic().nll(np.concatenate([f[:, :2], np.full((1, 2), -math.log(4))], axis=1), y)[0] == pytest.approx(same)


def test_heteroscedastic_derivative_by_differences():
    rng = np.random.default_rng(1)
    f, y, h = rng.standard_normal((5, 6)), rng.standard_normal((5, 3)), 1e-6
    _, df = bayes.Heteroscedastic().nll(f, y)
    for k in range(6):
        step = np.zeros(6)
        step[k] = h
        difference = (bayes.Heteroscedastic().nll(f + step, y)[0] - bayes.Heteroscedastic().nll(f - step, y)[0]) / (2 * h)
        np.testing.assert_allclose(df[:, k], difference, rtol=1e-8, atol=1e-8)


def test_heteroscedastic_prediction_from_its_passes():
    p = model(bayes.Heteroscedastic(), 4).predict(X, samples=30, keep_samples=True)
    m, s = p.samples[..., :2], p.samples[..., 2:]
    assert p.mean.shape == (7, 2)
    np.testing.assert_allclose(p.mean, m.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(p.epistemic, m.var(axis=0), rtol=1e-10)
    np.testing.assert_allclose(p.aleatoric, np.exp(s).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(p.variance, p.epistemic + p.aleatoric)
    np.testing.assert_allclose(p.std_error, m.std(axis=0, ddof=1) / math.sqrt(30), rtol=1e-10)
    y = np.random.default_rng(2).standard_normal((7, 2))
    density = (np.exp(-((y - m) ** 2) / np.exp(s) / 2) / np.sqrt(2 * np.pi * np.exp(s))).prod(axis=2)
    np.testing.assert_allclose(p.log_likelihood(y), np.log(density.mean(axis=0)), rtol=1e-10)
    assert p.rmse(y) == pytest.approx(math.sqrt(((y - m.mean(axis=0)) ** 2).mean()))


def test_heteroscedastic_prediction_against_enumeration():
    m, y = model(bayes.Heteroscedastic(), 4), np.zeros((7, 2))
    truth, p = exact.predict(m.net, m.params, m.likelihood, X), m.predict(X, samples=4000, keep_samples=True)
    sigma2 = np.exp(p.samples[..., 2:])
    assert (np.abs(p.mean - truth.mean) < 4 * np.sqrt(truth.epistemic / 4000)).all()
    assert (np.abs(p.aleatoric - truth.aleatoric) < 4 * sigma2.std(axis=0) / np.sqrt(4000)).all()
    likelihoods = np.exp(-m.likelihood.nll(p.samples.reshape(-1, 4), np.zeros((28000, 2)))[0].reshape(4000, 7))
    error = likelihoods.std(axis=0) / likelihoods.mean(axis=0) / np.sqrt(4000)  # of the log of a mean
    assert (np.abs(p.log_likelihood(y) - truth.log_likelihood(y)) < 4 * error).all()


def test_heteroscedastic_noise_is_learnt_where_it_is():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (400, 1))
    std = np.where(x > 0, 1.0, 0.1)
    net = models.mlp([1, 40, 2], noise=nn.Bernoulli(0.95))
    fitted = mb.BayesianNetwork(net, prior=bayes.Prior(0.1), likelihood=bayes.Heteroscedastic())
    fitted.fit(x, std * rng.standard_normal(x.shape), epochs=200, optimizer=nn.Adam(0.01), batch_size=100)
    low, high = np.sqrt(fitted.predict([[-0.5], [0.5]], samples=200).aleatoric[:, 0])
    assert 0.05 < low < 0.25 and 0.7 < high < 1.3


def test_heteroscedastic_model_file(tmp_path):
    before = model(bayes.Heteroscedastic(), 4)
    before.save(tmp_path / "m.npz")
    after = mb.load(tmp_path / "m.npz")
    assert after.likelihood == bayes.Heteroscedastic()
    assert (after.predict(X, samples=3).aleatoric == before.predict(X, samples=3).aleatoric).all()


def test_heteroscedastic_overflow_is_a_divergence():
    net = models.mlp([2, 6, 2], noise=DROP)
    params = net.init(0)
    params["fc2"]["b"][1] = -200.0  # e^200 is too large for float32
    with pytest.raises(mb.DivergenceError, match="step 1"):
        mb.BayesianNetwork(net, likelihood=bayes.Heteroscedastic()).fit(X, X[:, :1], steps=2, params=params)


# --------------------------------------------------------------------------------------------------------------- quantiles

def mixture_cdf(x, mean, std):
    return np.mean([NormalDist(m, s).cdf(x) for m, s in zip(mean, std, strict=True)])


@pytest.mark.parametrize("q", [1e-6, 0.025, 0.5, 0.9, 1 - 1e-9])
@pytest.mark.parametrize("likelihood, outputs", [(bayes.Gaussian(4.0), 2), (bayes.Heteroscedastic(), 4)])
def test_quantiles_are_where_the_mixture_reaches_q(likelihood, outputs, q):
    p = model(likelihood, outputs).predict(X, samples=25, keep_samples=True)
    found = p.quantile(q)
    assert found.shape == (7, 2)
    for n in range(7):
        for k in range(2):
            std = np.exp(p.samples[:, n, 2 + k] / 2) if outputs == 4 else np.full(25, 0.5)
            assert mixture_cdf(found[n, k], p.samples[:, n, k], std) == pytest.approx(q, rel=1e-7)


def test_a_single_part_has_the_quantile_of_a_normal():
    p = model(bayes.Gaussian(0.25), 1).predict(X, samples=1, keep_samples=True)
    np.testing.assert_allclose(p.quantile(0.975), p.mean + 2 * NormalDist().inv_cdf(0.975), rtol=1e-12)
    out = np.empty(1)
    kernels.mixture_quantile.py_func(np.array([[-3.0, 3.0]]), np.ones((1, 2)), np.ones(2), 0.5, np.array([-3.0]), np.array([3.0]), out)
    assert abs(out[0]) < 1e-9  # two equal bumps: the median lies between them


def test_quantiles_draw_the_passes_again_if_they_were_not_kept():
    m = model(bayes.Heteroscedastic(), 2)
    for options in ({}, {"shared": True}, {"plain": True}, {"first": 5}, {"rule": "weight-averaging"}):
        kept = m.predict(X, samples=6, keep_samples=True, **options)
        assert np.array_equal(m.predict(X, samples=6, **options).quantile(0.3), kept.quantile(0.3))


# -------------------------------------------------------------------------------------------------------------------- auto

@pytest.mark.parametrize("likelihood, outputs", [(bayes.Categorical(), 3), (bayes.Gaussian(), 2), (bayes.Heteroscedastic(), 4)])
def test_auto_is_the_prediction_with_as_many_passes(likelihood, outputs):
    m = model(likelihood, outputs)
    auto = m.predict(X, samples="auto", tolerance=0.02, seed=4, keep_samples=True)
    assert auto.converged and 25 < auto.num_samples < 10_000 and auto.std_error.max() <= 0.02
    fixed = m.predict(X, samples=auto.num_samples, seed=4, keep_samples=True)
    assert fixed.converged is None and (fixed.samples == auto.samples).all()
    np.testing.assert_allclose(auto.mean, fixed.mean, rtol=1e-12)
    np.testing.assert_allclose(auto.std_error, fixed.std_error, rtol=1e-9)
    y = np.zeros(7, int) if outputs == 3 else np.zeros((7, 2))
    np.testing.assert_allclose(auto.log_likelihood(y), fixed.log_likelihood(y), rtol=1e-12)
    for threads in (1, 2, 3):
        again = m.predict(X, samples="auto", tolerance=0.02, seed=4, threads=threads)
        assert again.num_samples == auto.num_samples and (again.mean == auto.mean).all() and (again.std_error == auto.std_error).all()


def test_auto_stops_at_the_most_that_is_allowed_and_not_before_it_must():
    m = model(bayes.Categorical(), 3)
    with pytest.warns(cautions.ConvergenceWarning, match="after 60 passes .* is 0.02.*, above the tolerance 1e-06"):
        short = m.predict(X, samples="auto", tolerance=1e-6, max_samples=60)
    assert short.num_samples == 60 and short.converged is False
    with pytest.warns(cautions.ConvergenceWarning, match="after 1 passes .* is inf"):
        assert m.predict(X, samples="auto", tolerance=1e-6, max_samples=1).num_samples == 1
    assert m.predict(X, samples="auto", tolerance=0.9).num_samples == 25
    deterministic = m.predict(X, samples="auto", rule="weight-averaging")
    assert deterministic.num_samples == 1 and deterministic.converged is None


def test_auto_covers_the_truth():
    """Over many seeds the exact mean lies within two reported standard errors about as often as a normal says (and not much less)."""
    m = model(bayes.Categorical(), 3)
    truth = exact.predict(m.net, m.params, m.likelihood, X[:1]).mean[0, 0]
    inside = []
    for seed in range(300):
        p = m.predict(X[:1], samples="auto", tolerance=0.02, seed=seed)
        inside.append(abs(p.mean[0, 0] - truth) <= 2 * p.std_error[0, 0])
    assert abs(np.mean(inside) - 0.954) < 4 * math.sqrt(0.954 * 0.046 / 300)


# ------------------------------------------------------------------------------------------------- errors, and no noise at all

def test_standard_errors_of_probabilities_by_enumeration():
    """std_error^2 T estimates Var_omega(p), which all masks of a tiny net give exactly; its relative error is sqrt((kurtosis - 1)/T)."""
    m, T = model(bayes.Categorical(), 3), 4000
    p = m.predict(X, samples=T, keep_samples=True)
    truth = exact.predict(m.net, m.params, m.likelihood, X)
    probabilities = np.exp(p.samples - p.samples.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    centred = probabilities - truth.mean
    tolerance = 4 * np.sqrt(((centred**4).mean(axis=0) - (centred**2).mean(axis=0) ** 2) / T)
    assert (np.abs(p.std_error**2 * T - truth.std**2) < tolerance).all()
    assert (np.abs(p.mean - truth.mean) < 4 * truth.std / np.sqrt(T)).all()


@pytest.mark.parametrize("noise", [nn.Delta(), nn.Bernoulli(1.0)], ids=str)
def test_no_noise_is_said_once(noise):
    net = models.mlp([2, 4, 2], noise=noise)
    m = mb.BayesianNetwork(net, params=net.init(0))
    with pytest.warns(bayes.ZeroVarianceWarning, match="all 5 passes .* the network has no noise") as caught:
        m.predict(X, samples=5)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert m.predict(X, samples=1).mean.shape == (7, 2)
        m.predict(X, rule="weight-averaging")
        model(bayes.Categorical(), 3).predict(X, samples=2)


def test_noise_that_does_not_reach_the_outputs():
    """All units dead: said from ten passes on; few passes at few inputs may agree by chance, which is nothing to warn of."""
    net = models.mlp([2, 4, 2], noise=nn.Bernoulli(0.5))
    params = net.init(0)
    params["fc1"]["b"] -= 100
    m = mb.BayesianNetwork(net, params=params)
    with pytest.warns(bayes.ZeroVarianceWarning, match="all 10 passes .* does not reach them"):
        m.predict(X, samples=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert m.predict(X, samples=9).constant.all() and m.predict(X[:1], samples=50).constant.all()
