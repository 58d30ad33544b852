"""Flipout: for one example the law of Weights; two are uncorrelated; what is odd in e has the variance of a draw for each."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from minibayes import BayesianNetwork, InputError, bayes, checks, load, nn
from minibayes.bayes import posterior
from minibayes.nn.flipout import flipped
from minibayes.truth import exact

X, M, STD = np.array([[1.2, -0.7], [0.9, -1.6]]), np.array([[0.8, -1.1]]), 0.5
MASKS = [np.array(signs, float) for signs in itertools.product((-1, 1), repeat=2)]


@dataclass(frozen=True)
class Coin(nn.Noise):
    """z = c or -c."""

    c: float = STD
    additive = True

    def draw(self, key, shape, rows):
        return self.c * (2 * key.bernoulli(shape, rows, 0.5).astype(rows.dtype) - 1)

    def moments(self, phi):
        return 0.0, self.c**2

    def points(self, order):
        return np.array([-self.c, self.c]), np.full(2, 0.5)


@dataclass(frozen=True)
class Lopsided(Coin):
    """z = 2 c or -c."""

    def points(self, order):
        return np.array([-self.c, 2 * self.c]), np.array([2, 1]) / 3


def net_of(place, noise=None):
    return nn.Network(a=nn.Dense(2, 1, noise=noise or Coin(), place=place))


def gradients(place, z):
    """f, and dL/dM of L = 1/2 sum_n (f_n - y_n)^2, for z (draws, B, K, D): (draws, B), (draws, 2)."""
    net, params, y = net_of(place), {"a": {"M": M, "b": np.array([0.3])}}, np.array([[0.4], [-1.0]])
    found = []
    for each in z:
        f, caches = net.forward(params, X, {"a": each})
        found.append((f[:, 0], net.backward(params, caches, f - y)[1]["a"]["M"][0]))
    return tuple(map(np.array, zip(*found, strict=True)))


def test_every_sign_enumerated():
    """e, r_1, r_2, t_1, t_2: 2^8 settings, against the 2^4 of two weights for each of two examples."""
    by_flips = np.array([flipped(np.stack([STD * e[None]] * 2), np.reshape(r, (2, 1)), np.stack([t1, t2]))
                         for e, r, t1, t2 in itertools.product(MASKS, repeat=4)])
    by_weights = np.array([STD * np.stack([one, two])[:, None] for one, two in itertools.product(MASKS, repeat=2)])
    for n in range(2):                                                  # one example: the same law
        laws = [np.unique(z[:, n, 0], axis=0, return_counts=True) for z in (by_flips, by_weights)]
        np.testing.assert_array_equal(laws[0][0], laws[1][0])
        np.testing.assert_array_equal(laws[0][1] / len(by_flips), laws[1][1] / len(by_weights))
    (f, dM), (f_w, dM_w) = gradients(nn.Flipout(), by_flips), gradients(nn.Weights(), by_weights)
    np.testing.assert_allclose(np.cov(f.T, bias=True), np.cov(f_w.T, bias=True), atol=1e-14)
    assert abs(np.cov(f.T, bias=True)[0, 1]) < 1e-14                    # two examples
    np.testing.assert_allclose(dM.mean(axis=0), dM_w.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.cov(dM.T, bias=True), np.cov(dM_w.T, bias=True), rtol=1e-12)
    one_for_all = gradients(nn.Weights(), np.array([STD * np.stack([e, e])[:, None] for e in MASKS]))[1]
    assert (one_for_all.var(axis=0) > 1.01 * dM.var(axis=0)).any()


def test_draws_have_the_law_of_weights_and_dependent_examples():
    """Mean field: E z, E z^2, E z^4 of an example and E z_1 z_2 = 0, at 4 standard errors; but E z_1^2 z_2^2 = 3 s^4, not s^4."""
    net = net_of(nn.Flipout(), nn.MeanField(STD))
    params = {"a": {"M": M, "b": np.zeros(1), "log_std": np.full((1, 2), np.log(STD))}}
    T, examples, passes = 4000, np.tile([0, 1], 4000), np.repeat(np.arange(4000), 2)
    z = net.sample(3, (2 * T, 2), examples=examples, passes=passes, dtype=float, params=params)["a"].reshape(T, 2, 2)
    for values, wanted in ((z, 0), (z**2, STD**2), (z**4, 3 * STD**4), (z[:, 0] * z[:, 1], 0), (z[:, 0] * z[:, 1, ::-1], 0),
                           (z[:, :, 0] * z[:, :, 1], 0), ((z[:, 0] * z[:, 1]) ** 2, 3 * STD**4)):
        assert (abs(values.mean(axis=0) - wanted) <= 4 * values.std(axis=0) / np.sqrt(T)).all()
    own, truth = exact.predict(net, params, bayes.Gaussian(1.0), X), X**2 @ np.full(2, STD**2)
    np.testing.assert_allclose(own.epistemic[:, 0], truth, rtol=1e-12)


def test_a_row_depends_on_its_pass_and_example_alone():
    net, examples, passes = net_of(nn.Flipout()), np.array([7, 2, 2, 9]), np.array([0, 4, 5, 4])
    whole = net.draw(1, (4, 2), examples, passes)["a"]
    for rows in ([0], [3, 1], [2, 0, 1]):
        np.testing.assert_array_equal(net.draw(1, (len(rows), 2), examples[rows], passes[rows])["a"], whole[rows])
    sizes = np.abs(net_of(nn.Flipout(), nn.MeanField()).draw(1, (4, 2), examples, passes)["a"])
    assert (sizes[1] == sizes[3]).all() and (sizes[1] != sizes[2]).all()        # one e a pass
    assert net.draw(1, (50, 2), shared=True)["a"].shape == (1, 1, 2)


@pytest.mark.parametrize("layer, shape", [
    (nn.Dense(3, 2, noise=nn.MeanField(0.3), place=nn.Flipout()), (3,)),
    (nn.Dense(3, 2, noise=nn.MeanField(0.3), place=nn.Flipout()), (4, 3)),
    (nn.Conv2d(2, 2, 2, noise=nn.MeanField(0.3), place=nn.Flipout()), (3, 3, 2))], ids=["rows", "sequences", "images"])
def test_graded_as_any_layer(layer, shape):
    verdict = checks.layer(layer, shape)
    assert verdict.passed, verdict
    net = nn.Network(shape, a=layer)
    params, rng = net.init(0, np.float64), np.random.default_rng(0)
    x = rng.standard_normal((3, *shape))
    eps = net.draw(2, x.shape, dtype=np.float64)
    f, caches = net.forward(params, x, net.z(params, eps))
    W = posterior.weights(net, params, net.z(params, eps), "a")["W"]
    for n in range(3):                                                  # one omega for each example
        alone = {"a": {"M": W[n].reshape(params["a"]["M"].shape), "b": params["a"]["b"]}}
        np.testing.assert_allclose(f[n:n + 1], net.without_noise().forward(alone, x[n:n + 1], {})[0], rtol=1e-12)
    g = rng.standard_normal(f.shape)
    grads = net.pull(params, eps, net.backward(params, caches, g)[1])
    check = checks.gradient_check(lambda p: float((net.forward(p, x, net.z(p, eps))[0] * g).sum()), params, grads, rng)
    assert check.passed, check


def test_signs_of_a_convolution_are_of_channels():
    """conv(x_n; W_n) = conv(x_n; M) + r_n o conv(t_n o x_n; z): what sharing e is for."""
    net = nn.Network((5, 4, 2), a=nn.Conv2d(2, 3, 3, noise=Coin(), place=nn.Flipout()))
    z = net.draw(0, (6, 5, 4, 2), dtype=np.float64)["a"]                # (6, 3, 3, 3, 2)
    ratio = z / z[:1]
    np.testing.assert_array_equal(ratio, np.broadcast_to(ratio[:, :, :1, :1], z.shape))
    np.testing.assert_array_equal(ratio, ratio[:, :1] * ratio[..., :1] * ratio[:, :1, ..., :1])


def test_trained_saved_and_the_same_on_any_threads(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 3)).astype("f4")
    net = nn.Network(a=nn.Dense(3, 8, noise=nn.MeanField(0.1), place=nn.Flipout()), r=nn.ReLU(),
                     b=nn.Dense(8, 1, noise=nn.MeanField(0.1), place=nn.Flipout()))
    models = [BayesianNetwork(net, bayes.Prior(1.0), bayes.Gaussian(10.0)) for _ in range(2)]
    for model, threads in zip(models, (1, 2), strict=True):
        model.fit(x, np.sin(x[:, :1]), steps=20, batch_size=100, seed=1, threads=threads)
    for name, group in models[0].params.items():
        assert all((a == models[1].params[name][p]).all() for p, a in group.items())
    models[0].save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.net.layers["a"].place == nn.Flipout()
    whole = models[0].predict(x, samples=5, first=0).mean
    assert (again.predict(x[:9], samples=5, first=0).mean == whole[:9]).all()
    assert (again.predict(x[9:40], samples=5, first=9).mean == whole[9:40]).all()


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian(), Lopsided()], ids=repr)
def test_noise_that_cannot_be_turned(noise):
    with pytest.raises(InputError, match="place Flipout needs additive noise whose eps is symmetric about 0"):
        nn.Dense(2, 1, noise=noise, place=nn.Flipout())


def test_too_much_of_it():
    large = nn.Network(a=nn.Dense(2000, 2000, noise=nn.MeanField(), place=nn.Flipout()))
    with pytest.raises(InputError, match="place Flipout needs 256000000 numbers of noise for 64 examples"):
        large.draw(0, (64, 2000))
