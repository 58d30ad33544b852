"""w = M + s e: training, prediction and files, dense and conv, its exact KL, and what sparse variational dropout prunes."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from minibayes import BayesianNetwork, InputError, bayes, checks, load, models, nn
from minibayes.bayes import kl, posterior, sparsity
from minibayes.bayes.rules import loguniform
from minibayes.nn import learned
from minibayes.truth import exact

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 6, 6, 1)).astype("f4")
Y = (X.mean(axis=(1, 2, 3)) > 0).astype(int)


def conv(noise, place=None):
    return nn.Network((6, 6, 1), c=nn.Conv2d(1, 3, 3, noise=noise, place=place), p=nn.MaxPool2d(2), f=nn.Flatten(),
                      d=nn.Dense(12, 2, noise=noise, place=place))


def test_it_acts_where_it_can():
    """At Local, unless told; in models too; M as wide as without noise."""
    assert nn.Dense(3, 2, noise=nn.MeanField()).place == nn.Local() == nn.Conv2d(1, 2, 3, noise=nn.MeanField(0.2)).place
    assert nn.Dense(3, 2, noise=nn.LearnedGaussian(0.1, "weight")).place == nn.Local()
    assert nn.Dense(3, 2).place == nn.Inputs() and nn.Conv2d(1, 2, 3).place == nn.Outputs()
    net = models.mlp([4, 5, 2], noise=nn.MeanField(0.05))
    params = net.init(0, np.float64)
    assert (params["fc2"]["M"] == models.mlp([4, 5, 2], noise=nn.Delta()).init(0, np.float64)["fc2"]["M"]).all()
    assert params["fc2"]["log_std"].shape == (2, 5) and (params["fc2"]["log_std"] == math.log(0.05)).all()


@pytest.mark.parametrize("prior", [bayes.Prior(0.5), bayes.LogUniform(), bayes.LogUniform("molchanov")], ids=repr)
@pytest.mark.parametrize("noise, place", [(nn.MeanField(0.05), None), (nn.MeanField(0.05), nn.Weights()),
                                          (nn.LearnedGaussian(0.1, "weight"), None)], ids=str)
def test_trained_predicted_and_saved(noise, place, prior, tmp_path):
    """Fast as plain; a run that stopped as one that did not; any number of threads; a file; every rule of prediction."""
    net = conv(noise, place)
    made = [BayesianNetwork(net, prior) for _ in range(3)]
    made[0].fit(X, Y, steps=5, batch_size=40, optimizer=nn.Adam(1e-2), seed=1, threads=1)
    made[1].fit(X, Y, steps=5, batch_size=40, optimizer=nn.Adam(1e-2), seed=1, plain=True)
    for steps in (2, 5):
        made[2].fit(X, Y, steps=steps, batch_size=40, optimizer=nn.Adam(1e-2), seed=1, threads=2, checkpoint=tmp_path / "run.npz")
    for name, group in made[0].params.items():
        for p, a in group.items():
            assert (a == made[2].params[name][p]).all() and np.abs(a - made[1].params[name][p]).max() < 2e-3
    moved = next(iter(net.layers["d"].start_noise()))
    assert (made[0].params["d"][moved] != net.init(0)["d"][moved]).all()
    made[0].save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.net.layers == net.layers and again.prior == prior
    for options in ({}, {"shared": True}, {"rule": "weight-averaging"}, {"plain": True}):
        mean = made[0].predict(X[:7], samples=4, threads=1, **options).mean
        assert (mean == again.predict(X[:7], samples=4, threads=2, **options).mean).all() and np.isfinite(mean).all()
    explained = checks.explain(made[0], X, Y)
    assert explained["KL"] == pytest.approx(made[0].kl()) and explained["L-hat"] > 0


def test_one_omega_for_all_inputs():
    """shared=True: f of a draw is f of its weight matrices; and at Weights each example has its own."""
    for place, shared in ((nn.Local(), True), (nn.Weights(), True), (nn.Weights(), False)):
        net = nn.Network(a=nn.Dense(4, 3, noise=nn.MeanField(0.4), place=place))
        params, x = net.init(0, np.float64), RNG.standard_normal((5, 4))
        z = net.sample(3, x.shape, shared=shared, dtype=np.float64, params=params)
        W = posterior.weights(net, params, z, "a")["W"]
        wanted = np.einsum("nkd,nd->nk", np.broadcast_to(W, (5, 3, 4)), x) + params["a"]["b"]
        np.testing.assert_allclose(net.forward(params, x, z)[0], wanted, rtol=1e-12)
        assert len(np.unique(W[:, 0, 0])) == (1 if shared else 5)


def test_moments_and_weight_averaging():
    net = nn.Network(a=nn.Dense(4, 3, noise=nn.MeanField(0.4)))
    params, x = net.init(0, np.float64), RNG.standard_normal((5, 4))
    M, b = params["a"]["M"], params["a"]["b"]
    assert (posterior.mean(net, params)["a"]["M"] == M).all()
    np.testing.assert_allclose(posterior.second_moment(net, params)["a"]["M"], M**2 + 0.16, rtol=1e-14)
    assert (posterior.second_moment(net, params)["a"]["b"] == b**2).all()
    f = net.forward(params, x, net.mean_noise(params, np.float64))[0]
    np.testing.assert_allclose(f, x @ M.T + b, rtol=1e-12)


def test_an_input_of_zeros_has_no_variance_and_a_finite_gradient():
    """sqrt at 0: f is b for sure, the bias outside the noise."""
    for dtype in (np.float32, np.float64):
        net = nn.Network(a=nn.Dense(3, 2, noise=nn.MeanField(0.4)))
        params = net.init(0, dtype)
        params["a"]["b"] = np.array([-1, 2], dtype)
        x = np.zeros((2, 3), dtype)
        f, caches = net.forward(params, x, net.draw(0, x.shape, dtype=dtype))
        dx, grads = net.backward(params, caches, np.ones_like(f))
        assert (f == params["a"]["b"]).all()
        assert all(np.isfinite(a).all() for a in (dx, *grads["a"].values())) and not grads["a"]["z"].any()


def test_exact_objective():
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.MeanField(0.3)))
    params = net.init(0, np.float64)
    x, y = RNG.standard_normal((4, 2)), RNG.standard_normal((4, 1))
    objective = bayes.Objective(net, bayes.Prior(0.5), bayes.Gaussian(2.0), 4)
    found, grads = exact.value_and_grad(objective, params, x, y, order=6)
    errors = (y - x @ params["a"]["M"].T - params["a"]["b"])[:, 0] ** 2 + 0.09 * (x * x).sum(axis=1)
    assert 4 * found.nll == pytest.approx((errors - math.log(2 / (2 * math.pi)) / 2).sum(), rel=1e-12)  # tau = 2
    check = checks.gradient_check(lambda p: exact.terms(objective, p, x, y, order=6).per_datum, params, grads, rng=0)
    assert check.passed, check


def test_the_whole_kl_under_a_normal_prior():
    """sum of 1/2 (l^2 (m^2 + s^2) - 1 - log(l^2 s^2)), in float64 and float32, at both places."""
    for place in (None, nn.Weights()):
        net = nn.Network(a=nn.Dense(3, 2, noise=nn.MeanField(0.3), place=place))
        for dtype, near in ((np.float64, 1e-13), (np.float32, 1e-6)):
            params, prior = net.init(0, dtype), bayes.Prior(0.7)
            M, var = params["a"]["M"].astype(float), np.exp(2.0 * params["a"]["log_std"].astype(float))
            whole = 0.5 * (0.49 * (M**2 + var) - 1 - np.log(0.49 * var)).sum()
            assert kl.value(net, params, prior) + kl.constant(net, params, prior)["a"] == pytest.approx(whole, rel=near)
            assert kl.weight_decay(net, params, prior, 10)["a"] == {"M": pytest.approx(0.049), "b": pytest.approx(0.049), "log_std": 0}


def test_under_the_log_uniform_prior_m_counts_too():
    """alpha = s^2/m^2, not a parameter: the gradient in m is sqrt(2)/s D(u); at m = 0 it is 0, and all is finite."""
    net = nn.Network(a=nn.Dense(3, 1, noise=nn.MeanField(0.3)))
    params = {"a": {"M": np.array([[0.0, 0.5, -40.0]]), "b": np.zeros(1), "log_std": np.log([[0.3, 0.2, 0.1]])}}
    alpha = np.array([0.04 / 0.25, 0.01 / 1600])
    assert kl.value(net, params, bayes.LogUniform()) == pytest.approx(loguniform.exact(np.log(alpha)).sum(), rel=1e-13)
    for prior in (bayes.LogUniform(), bayes.LogUniform("molchanov")):
        grads = kl.grad(net, params, prior)["a"]
        assert grads["M"][0, 0] == 0 == grads["log_std"][0, 0] and np.isfinite(grads["M"]).all()
        check = checks.gradient_check(lambda p, prior=prior: kl.value(net, p, prior), params, {"a": grads}, 0)
        assert check.passed, check


def test_sparsity_and_pruning():
    net = nn.Network(a=nn.Dense(2, 2, noise=nn.MeanField(0.3)), r=nn.ReLU(), b=nn.Dense(2, 1, noise=nn.LearnedGaussian(0.3, "weight")),
                     c=nn.Dense(1, 2, noise=nn.Bernoulli(0.5)))
    params = net.init(0, np.float32)
    params["a"] |= {"M": np.array([[1, 0.001], [0, -2]], "f4"), "log_std": np.log(np.array([[0.1, 0.1], [0.1, 20]], "f4"))}
    params["b"]["log_alpha"] = np.array([[3.5, -1]], "f4")
    found = sparsity.log_alpha(net, params)
    np.testing.assert_allclose(found["a"][0], [math.log(0.01), math.log(1e4)], rtol=1e-5)
    assert found["a"][1, 0] == math.inf and set(found) == {"a", "b"}
    assert sparsity.sparsity(net, params) == {"a": 0.75, "b": 0.5} and sparsity.compression(net, params) == 3
    assert sparsity.sparsity(net, params, 20) == {"a": 0.25, "b": 0.0}
    pruned = sparsity.prune(net, params)
    assert (pruned["a"]["M"] == [[1, 0], [0, 0]]).all() and pruned["b"]["M"][0, 0] == 0 and params["a"]["M"][1, 1] == -2
    assert (pruned["a"]["log_std"][1] == np.float32(learned.SILENT)).all() and (pruned["c"]["M"] == params["c"]["M"]).all()
    assert sparsity.sparsity(net, pruned) == {"a": 0.75, "b": 0.5}                    # and it stays so
    assert pruned["a"]["log_std"].dtype == np.float32 and np.isfinite(kl.value(net.without_noise(), {
        name: {p: group[p] for p in ("M", "b")} for name, group in pruned.items()}, bayes.Prior()))
    only = nn.Network(a=net.layers["a"])
    assert np.isfinite(kl.value(only, {"a": pruned["a"]}, bayes.LogUniform()))
    f = only.forward({"a": pruned["a"]}, np.ones((50, 2), "f4"), only.draw(0, (50, 2)))[0]
    assert f[:, 0].std() > 0.05 and f[:, 1].std() < 1e-12
    with pytest.raises(InputError, match="net must have a layer with noise on each weight"):
        sparsity.log_alpha(nn.Network(a=nn.Dense(2, 1, noise=nn.Gaussian())), {})


@dataclass(frozen=True)
class Laplace(nn.Noise):
    """A factorised posterior of one's own: w = M + s e, e ~ Laplace, by ten lines."""

    std: float = 0.2
    additive = True

    def start(self, shape):
        return {"log_std": np.full(shape, np.log(self.std))}

    def draw(self, key, shape, rows):
        u = key.uniform(shape, rows) - 0.5
        return (-np.sign(u) * np.log1p(-2 * np.abs(u)) / np.sqrt(2)).astype(rows.dtype)

    def z(self, phi, eps):
        return np.exp(phi["log_std"]) * eps

    def pull(self, phi, eps, dz):
        return {"log_std": (dz * self.z(phi, eps)).sum(axis=0)}

    def moments(self, phi):
        return 0.0, np.exp(2 * phi["log_std"])


def test_additive_noise_of_one_s_own():
    """At Weights by default, as it is not normal; graded, trained, its KL by a rule of one's own."""
    assert checks.noise(Laplace()).passed and nn.Dense(3, 2, noise=Laplace()).place == nn.Weights()
    verdict = checks.layer(nn.Dense(3, 2, noise=Laplace()), (3,))
    assert verdict.passed, verdict
    with pytest.raises(InputError, match="place Local needs normal noise"):
        nn.Dense(3, 2, noise=Laplace(), place=nn.Local())
    try:
        @kl.rule(Laplace, bayes.Normal)
        def rule(q, prior):
            l2, log_std = prior.of(q.name) ** 2, q.phi["log_std"]
            spread = l2 * np.exp(2 * log_std)
            term = kl.Term("std", float((spread / 2 - log_std).sum()), {"log_std": spread - 1})
            return kl.Part({p: l2 for p in q.params}, (term,))

        verdict = checks.rule(Laplace(0.5), bayes.Prior(1.3))
        assert verdict.passed, verdict
        model = BayesianNetwork(nn.Network((6, 6, 1), f=nn.Flatten(), d=nn.Dense(36, 2, noise=Laplace())))
        assert np.isfinite(model.fit(X, Y, steps=3, threads=1)[-1]["loss"])
    finally:
        kl._rules.pop((Laplace, bayes.Normal))
