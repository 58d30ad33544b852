"""Concrete dropout: keep is learned; soft z to train with, hard z beside it; both ways of running agree."""

from dataclasses import replace

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, checks, nn
from minibayes.truth import exact

NOISES = [nn.Concrete(0.8), nn.Concrete(0.6, 0.3, per="unit")]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_graded(noise):
    """The KL is that of z in {0, 1}: it is graded at temperature 0, and so are the moments there."""
    assert (verdict := checks.noise(noise)).passed, verdict
    assert (verdict := checks.rule(noise.hard(), bayes.Prior(1.3))).passed, verdict
    hard = {finding.name: finding for finding in checks.noise(noise.hard()).findings}
    assert hard["moments"].passed and hard["moments at another phi"].passed
    relaxed = checks.rule(noise, bayes.Prior(1.3))  # has a density, so another KL
    assert not relaxed.passed and all(f.passed for f in relaxed.findings if f.name.startswith("dKL"))


@pytest.mark.parametrize("place", [nn.Inputs(), nn.Outputs(), nn.Weights()], ids=repr)
def test_layers(place):
    assert (verdict := checks.layer(nn.Dense(3, 2, noise=NOISES[1], place=place), (3,))).passed, verdict


@pytest.mark.parametrize("settings", [
    {"keep": 0.0}, {"keep": 1.0}, {"keep": "half"}, {"temperature": -0.1}, {"temperature": 0.005}, {"temperature": 2.0},
    {"per": "weight"}, {"keep": float("nan")}], ids=repr)
def test_bad_settings(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        nn.Concrete(**settings)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", [nn.Concrete(), nn.Concrete(temperature=0.01), nn.Concrete(temperature=0.0)], ids=repr)
def test_nothing_over_or_underflows(noise, dtype):
    """u next to 0 and 1, keep next to 0 and 1, gradients of any size."""
    tiny = np.finfo(dtype).tiny
    u = np.array([tiny, 2**-24, 0.5, 1 - np.finfo(dtype).epsneg], dtype)
    with np.errstate(all="raise"):
        eps = np.log(u) - np.log1p(-u)
        for logit in (-1e4, -30, 0, 30, 1e4):
            phi = {"logit_keep": np.array([logit], dtype)}
            z = noise.z(phi, eps)
            assert z.dtype == dtype and np.all((z >= 0) & (z <= 1)) and np.all(np.diff(z) >= 0)
            first, second = noise.moments(phi)
            assert 0 <= second <= first <= 1
            if noise.temperature:
                for size in (1e-12, 1.0, 1e12):
                    pulled = noise.pull(phi, eps[:, None], np.full((4, 1), size, dtype))["logit_keep"]
                    assert pulled.shape == (1,) and np.isfinite(pulled).all()
            net = nn.Network(a=nn.Dense(2, 3, noise=noise))
            params = {"a": net.init(0, dtype)["a"] | phi}
            assert np.isfinite(bayes.kl.value(net, params, bayes.Prior())) and all(
                np.isfinite(g).all() for g in bayes.kl.grad(net, params, bayes.Prior())["a"].values())


def model(noise=NOISES[0], last=NOISES[1]):
    net = nn.Network((6, 6, 1), c=nn.Conv2d(1, 4, 3, noise=noise), p=nn.MaxPool2d(2), r=nn.ReLU(), f=nn.Flatten(),
                     d=nn.Dense(16, 3, noise=last))
    return mb.BayesianNetwork(net, bayes.Prior(1.0))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 96)
    return rng.standard_normal((96, 6, 6, 1)).astype(np.float32) + y[:, None, None, None], y


def test_both_ways_agree_and_resume_bit_for_bit(data, monkeypatch, tmp_path):
    """Every step and the prediction, fast beside plain; a run in two parts."""
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    x, y = data
    whole, parts = model(), model()
    whole.fit(x, y, steps=12, batch_size=40, optimizer=nn.Adam(0.01), threads=1)
    for steps in (5, 12):
        parts.fit(x, y, steps=steps, batch_size=40, optimizer=nn.Adam(0.01), threads=1, checkpoint=tmp_path / "c.npz")
    start = whole.net.init(0)
    for name, shape in (("c", (1, 1, 1)), ("d", (16,))):
        learned = whole.params[name]["logit_keep"]
        assert learned.shape == shape and np.array_equal(learned, parts.params[name]["logit_keep"])
        assert np.all(learned != start[name]["logit_keep"])
    for kind in ({}, {"shared": True}, {"rule": "weight-averaging"}):
        assert np.isfinite(whole.predict(x[:7], samples=4, threads=1, **kind).mean).all()


def test_soft_and_hard(data, tmp_path):
    """One set of parameters predicts with both; hard draws are 0 and 1, and nearly those of the soft."""
    x, y = data
    m = model()
    m.fit(x, y, epochs=3, batch_size=32, optimizer=nn.Adam(0.01), threads=1)
    m.save(tmp_path / "m.npz")
    soft = mb.load(tmp_path / "m.npz")
    assert soft.net.layers == m.net.layers
    hard = mb.BayesianNetwork(soft.net.hard(), soft.prior, soft.likelihood, soft.params)
    assert hard.kl() == m.kl() and hard.net.hard().layers == hard.net.layers
    z, step = (net.sample(3, x.shape, params=m.params) for net in (m.net, hard.net))
    for name, learned in (("c", m.params["c"]), ("d", m.params["d"])):
        assert set(np.unique(step[name])) <= {0, 1}
        assert np.array_equal(step[name], (z[name] > 0.5).astype(np.float32))
        keep = 1 / (1 + np.exp(-learned["logit_keep"]))
        assert np.allclose(hard.net.mean_noise(m.params)[name], keep, rtol=1e-6)
        t = m.net.layers[name].noise.temperature
        assert np.abs(m.net.mean_noise(m.params)[name] - keep).max() < 0.17 * t**2
    gap = np.abs(soft.predict(x, samples=200, threads=1).mean - hard.predict(x, samples=200, threads=1).mean).max()
    assert 0 < gap < 0.05
    with pytest.raises(InputError, match="train with a temperature above 0"):
        hard.fit(x, y, steps=1, threads=1)
    assert (verdict := checks.explain(m, x, y))["kl[c/keep]"] < 0 and "logit_keep[d]" in str(verdict)


def test_exact(noise=NOISES[1]):
    """The objective by nodes: its gradient, and the mean of draws."""
    net = nn.Network(a=nn.Dense(2, 2, noise=noise), t=nn.Tanh(), b=nn.Dense(2, 1))
    rng = np.random.default_rng(1)
    params = {n: {p: a + 0.3 * rng.standard_normal(a.shape) for p, a in g.items()} for n, g in net.init(1, np.float64).items()}
    x, y = rng.standard_normal((3, 2)), rng.standard_normal((3, 1))
    objective = bayes.Objective(net, bayes.Prior(0.5), bayes.Gaussian(2.0), 3)
    _, grads = exact.value_and_grad(objective, params, x, y)
    check = checks.gradient_check(lambda p: exact.terms(objective, p, x, y).per_datum, params, grads, rng=0)
    assert check.passed, check
    check = checks.unbiased_check(lambda t: objective.value_and_grad(params, x, y, net.draw(nn.Key(1, t), x.shape, dtype=float))[1],
                                  grads, draws=400)
    assert check.passed, check
    with pytest.raises(InputError, match="enumerate nn.Bernoulli"):
        exact.predict(net.hard(), params, bayes.Gaussian(2.0), x)


def test_points_and_moments():
    """Beside a trapezoid sum of 10^5 nodes, wherever keep is."""
    e = np.linspace(-45, 45, 100_001)
    r = np.exp(-np.abs(e)) / (1 + np.exp(-np.abs(e))) ** 2 * (e[1] - e[0])
    for t in (0.03, 0.1, 2 / 3):
        noise = nn.Concrete(0.5, t)
        values, weights = noise.points(2)
        for logit in (-6.0, -1.0, 0.3, 4.0):
            phi = {"logit_keep": np.array([logit])}
            for power, moment in zip((1, 2), noise.moments(phi), strict=True):
                true = r @ noise.z(phi, e) ** power
                assert abs(moment - true) < 1e-9 and abs(weights @ noise.z(phi, values) ** power - true) < 1.2e-5
    assert replace(noise, temperature=0).moments(phi)[0] == pytest.approx(1 / (1 + np.exp(-4.0)), rel=1e-14)
