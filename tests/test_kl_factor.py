"""fit(kl_factor=...): so much of the KL is counted; both ways agree, a run resumes, and the history says it."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, nn
from minibayes.bayes import kl
from minibayes.bayes.warm_up import KLFactor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
Y = X @ RNG.standard_normal((4, 1)) + 0.1 * RNG.standard_normal((60, 1))


def warm_up(step):
    return min(1.0, step / 8)


def model(noise=nn.LearnedGaussian(0.5), prior=bayes.Prior(2.0)):  # noqa: B008  (frozen records)
    return mb.BayesianNetwork(nn.Network(a=nn.Dense(4, 6, noise=noise), r=nn.ReLU(), b=nn.Dense(6, 1, noise=nn.Bernoulli(0.8))),
                              prior, bayes.Gaussian(3.0))


def fit(m, kl_factor, steps=12, **settings):
    settings = {"batch_size": 25, "optimizer": nn.Adam(0.01), "dtype": np.float64, "threads": 1} | settings
    return m.fit(X, Y, steps=steps, kl_factor=kl_factor, **settings)


def same(one, other):
    return all(np.array_equal(a, other.params[name][p]) for name, group in one.params.items() for p, a in group.items())


@pytest.mark.parametrize("optimizer", [nn.Adam(0.01), nn.SGD(0.01, momentum=0.9)], ids=["adam", "sgd"])
@pytest.mark.parametrize("noise", [nn.LearnedGaussian(0.5), nn.Bernoulli(0.6)], ids=["terms", "weight decay alone"])
@pytest.mark.parametrize("kl_factor", [0.3, warm_up], ids=["number", "schedule"])
def test_fast_is_plain(noise, kl_factor, optimizer, monkeypatch):
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    m, plain = model(noise), model(noise)
    fit(m, kl_factor, optimizer=optimizer)
    fit(plain, kl_factor, optimizer=optimizer, plain=True)
    for name, group in m.params.items():
        for p, a in group.items():
            np.testing.assert_allclose(a, plain.params[name][p], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("plain", [False, True])
def test_one_changes_no_bit(plain):
    runs = [model(), model(), model()]
    histories = [runs[0].fit(X, Y, steps=7, batch_size=25, optimizer=nn.Adam(0.01), dtype=np.float64, threads=1, plain=plain),
                 fit(runs[1], 1, 7, plain=plain), fit(runs[2], lambda step: 1.0, 7, plain=plain)]
    assert same(runs[0], runs[1]) and same(runs[0], runs[2])
    for rows in zip(*histories, strict=True):
        assert rows[0].keys() == rows[1].keys() and len({row["loss"] for row in rows}) == 1
        assert rows[2]["kl_factor"] == 1 and rows[2]["bound"] is True


@pytest.mark.parametrize("noise", [nn.LearnedGaussian(0.5), nn.Bernoulli(0.6)], ids=["terms", "weight decay alone"])
def test_the_history_says_what_is_counted(noise):
    """A row's loss is nll + c KL/N at the parameters of its step; c = 0 too."""
    m, start = model(noise), model(noise).net.init(0, np.float64)
    of_kl = kl.value(m.net, start, m.prior) / 60
    for c in (0.25, lambda step: 0.0):
        row, = fit(model(noise), c, 1, report_every=1)
        factor = 0.25 if c == 0.25 else 0.0
        assert row["kl_factor"] == factor and row["bound"] is False
        assert row["loss"] - row["nll"] == pytest.approx(factor * of_kl, rel=1e-9, abs=1e-12)
    rows = fit(m, warm_up, 20, report_every=5)
    assert [(row["kl_factor"], row["bound"]) for row in rows] == [(0.0, False), (0.625, False), (1.0, True), (1.0, True)]


def test_resumes_bit_for_bit(tmp_path):
    whole, parts, path = model(), model(), tmp_path / "c.npz"
    history = fit(whole, warm_up, checkpoint_every=4)
    for steps in (5, 12):
        again = fit(parts, warm_up, steps, checkpoint=path, checkpoint_every=2)
    assert same(whole, parts) and [row["kl_factor"] for row in again if row["step"] == 12] == [history[-1]["kl_factor"]]
    for other in (1.0, 0.5, lambda step: min(1.0, step / 9)):
        with pytest.raises(mb.storage.FileError, match="is of a run with another kl_factor"):
            fit(model(), other, checkpoint=path)
    fit(model(), 1.0, 3, checkpoint=tmp_path / "whole.npz")
    with pytest.raises(mb.storage.FileError, match="another kl_factor"):
        fit(model(), 0.5, 5, checkpoint=tmp_path / "whole.npz")
    fit(model(), lambda step: 1.0, 5, checkpoint=tmp_path / "whole.npz")  # another name for the same


@pytest.mark.parametrize("bad", [0, 1.5, -0.1, float("nan"), "half", None, True, lambda step: 2.0, lambda step: "a"],
                         ids=lambda bad: repr(bad).split(" at ")[0])
def test_bad_factors(bad):
    with pytest.raises(InputError, match="kl_factor"):
        fit(model(), bad)


def test_a_bad_factor_later_names_its_step():
    m = model()
    with pytest.raises(InputError, match=r"kl_factor\(3\) must be a finite number in \[0, 1\], got 1.5"):
        fit(m, lambda step: step / 2)
    assert m.params is not None and KLFactor().whole and not KLFactor(lambda step: 1.0).whole


def test_terms():
    m = model(nn.Bernoulli(0.6))
    params = m.net.init(0, np.float64)
    objective = bayes.Objective(m.net, m.prior, m.likelihood, 60)
    eps = m.net.draw(1, X.shape, dtype=np.float64)
    (half, g), (whole, g_whole), data = (objective.value_and_grad(params, X, Y, eps, c) for c in (0.5, 1.0, 0.0))
    assert not half.bound and whole.bound and half.kl == whole.kl and half.nll == whole.nll
    assert half.total == pytest.approx(60 * half.nll + 0.5 * half.kl, rel=1e-15) and half.per_datum == pytest.approx(half.total / 60)
    np.testing.assert_allclose(2 * (g["a"]["M"] - data[1]["a"]["M"]), g_whole["a"]["M"] - data[1]["a"]["M"], rtol=1e-9, atol=1e-15)
