"""The truth for tiny nets: against loops over single masks, integrals on a grid, finite differences; and where it says no."""

import itertools
import math

import numpy as np
import pytest
from reference import log_normal

from minibayes import InputError, bayes, checks, nn
from minibayes.bayes import kl
from minibayes.truth import exact


def shaped(net, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {n: {p: rng.standard_normal(a.shape).astype(dtype) for p, a in g.items()} for n, g in net.init(0, dtype).items()}


def dense(outputs=2):
    return nn.Network(a=nn.Dense(2, 3, noise=nn.Bernoulli(0.7)), t=nn.Tanh(), b=nn.Dense(3, outputs, noise=nn.Bernoulli(0.4)))


def conv(noise_per="patch"):
    return nn.Network((3, 3, 1), c=nn.Conv2d(1, 2, 2, noise=nn.Bernoulli(0.6), noise_per=noise_per), p=nn.MaxPool2d(2, 1), r=nn.ReLU(),
                      f=nn.Flatten(), d=nn.Dense(2, 3, noise=nn.Bernoulli(0.8)))


def loop(net, shape):
    """(probability, z of one row) mask by mask, with Python numbers."""
    units = [(name, index) for name in net.noisy for index in np.ndindex(net.layers[name].noise_shape(net.shapes(shape)[name][0]))]
    for bits in itertools.product((0, 1), repeat=len(units)):
        probability, z = 1.0, {name: np.zeros((1, *net.layers[name].noise_shape(net.shapes(shape)[name][0]))) for name in net.noisy}
        for (name, index), bit in zip(units, bits, strict=True):
            keep = net.layers[name].noise.keep
            probability *= keep if bit else 1 - keep
            z[name][(0, *index)] = bit
        yield probability, z


@pytest.mark.parametrize("net, shape", [(dense(), (2,)), (conv(), (3, 3, 1)), (conv("kernel"), (3, 3, 1))], ids=["dense", "conv", "kernel"])
def test_points_are_all_masks_once(net, shape):
    blocks = list(exact.points(net, shape))
    w = np.concatenate([w for w, _ in blocks])
    rows = np.concatenate([np.hstack([z[name].reshape(len(v), -1) for name in net.noisy]) for v, z in blocks])
    wanted = {tuple(np.hstack([z[name].reshape(-1) for name in net.noisy])): p for p, z in loop(net, shape)}
    assert len(rows) == len(wanted) and all(len(v) <= exact.CHUNK for v, _ in blocks)
    assert {tuple(row): pytest.approx(p, rel=1e-14) for row, p in zip(rows, w, strict=True)} == wanted
    assert all(z[name].shape[1:] == net.layers[name].noise_shape(net.shapes(shape)[name][0]) for _, z in blocks for name in net.noisy)
    assert w.sum() == pytest.approx(1, abs=1e-13)


def test_points_come_in_blocks():
    net = nn.Network(a=nn.Dense(14, 1, noise=nn.Bernoulli(0.3)))
    blocks = list(exact.points(net, (14,)))
    assert [len(w) for w, _ in blocks] == [4096] * 4
    ones = np.concatenate([z["a"].sum(axis=1) for _, z in blocks])
    w = np.concatenate([w for w, _ in blocks])
    for k in range(15):
        assert w[ones == k].sum() == pytest.approx(math.comb(14, k) * 0.3**k * 0.7 ** (14 - k), rel=1e-11)


@pytest.mark.parametrize("likelihood, net, shape", [
    (bayes.Categorical(), dense(), (2,)), (bayes.Gaussian(2.5), dense(), (2,)), (bayes.Categorical(), conv(), (3, 3, 1)),
], ids=["classes", "regression", "conv"])
def test_objective_and_its_gradient(likelihood, net, shape):
    """Against loops over masks and examples; the gradient against finite differences of the exact value."""
    params, prior, N = shaped(net), bayes.Prior(1.3), 7
    rng, K = np.random.default_rng(1), net.output_shape(shape)[0]
    x = rng.standard_normal((3, *shape))
    y = rng.integers(0, K, 3) if isinstance(likelihood, bayes.Categorical) else rng.standard_normal((3, K))
    nll = 0.0
    for n in range(3):
        for p, z in loop(net, shape):
            f = net.forward(params, x[n:n + 1], z)[0][0]
            if isinstance(likelihood, bayes.Categorical):
                nll -= p * (f[y[n]] - math.log(sum(math.exp(v) for v in f)))
            else:
                nll -= p * sum(log_normal(y[n, k], f[k], 1 / 2.5) for k in range(K))
    objective = bayes.Objective(net, prior, likelihood, N)
    terms, grads = exact.value_and_grad(objective, params, x, y)
    assert terms.nll == pytest.approx(nll / 3, rel=1e-12) and terms.kl == kl.value(net, params, prior) and terms.num_data == N
    assert terms.total == pytest.approx(N / 3 * nll + terms.kl, rel=1e-12)
    assert exact.terms(objective, params, x, y) == terms
    check = checks.gradient_check(lambda p: exact.terms(objective, p, x, y).per_datum, params, grads, rng=0)
    assert check.passed, check


def test_gaussian_noise_by_quadrature():
    """Polynomials exactly, a smooth function to rounding, a kink like 1/order; two units as well as one."""
    net = nn.Network(a=nn.Dense(1, 1, noise=nn.Gaussian(0.7)))
    params = {"a": {"M": np.array([[1.2]]), "b": np.array([0.3])}}
    found = exact.predict(net, params, bayes.Gaussian(2.0), np.array([[1.5]]), order=2)
    assert found.mean.item() == pytest.approx(1.2 * 1.5 + 0.3, rel=1e-14)
    assert found.epistemic.item() == pytest.approx(0.7 * (1.2 * 1.5) ** 2, rel=1e-13)
    # log p(y) of y = f + noise, both Gaussian: N(y; 2.1, 0.7 1.8^2 + 1/2)
    sharp = exact.predict(net, params, bayes.Gaussian(2.0), np.array([[1.5]]), order=100).log_likelihood(np.array([1.0])).item()
    assert sharp == pytest.approx(log_normal(1.0, 2.1, 0.7 * 1.8**2 + 0.5), abs=1e-10)
    # smooth: two classes with logit 0, f = M z: against a fine grid
    two = nn.Network(a=nn.Dense(2, 2, noise=nn.Gaussian(0.5)))
    params = {"a": {"M": np.array([[0.0, 0.0], [0.8, -0.5]]), "b": np.array([0.0, 0.2])}}
    t = np.arange(-10, 10, 1 / 8)
    weight = np.exp(-(t[:, None] ** 2 + t**2) / 2) / (2 * math.pi) / 64
    logit = 0.8 * (1 + math.sqrt(0.5) * t[:, None]) - 0.5 * (1 + math.sqrt(0.5) * t) + 0.2
    assert exact.predict(two, params, bayes.Categorical(), np.ones((1, 2))).mean[0, 1] == pytest.approx(
        (weight / (1 + np.exp(-logit))).sum(), abs=1e-13)
    # a kink: E relu(1/2 + n)
    kink = nn.Network(a=nn.Dense(1, 1, noise=nn.Gaussian()), r=nn.ReLU())
    params = {"a": {"M": np.ones((1, 1)), "b": np.array([-0.5])}}
    true = 0.25 * math.erfc(-0.5 / math.sqrt(2)) + math.exp(-0.125) / math.sqrt(2 * math.pi)
    for order in (8, 16, 32, 64, 100):
        assert abs(exact.predict(kink, params, bayes.Gaussian(), np.ones((1, 1)), order=order).mean.item() - true) < 0.5 / order


def test_both_kinds_of_noise_at_once():
    """f = M_2 z_2 relu(M_1 z_1 x): independent, so moments multiply."""
    net = nn.Network(a=nn.Dense(1, 1, noise=nn.Bernoulli(0.6)), r=nn.ReLU(), b=nn.Dense(1, 1, noise=nn.Gaussian(0.5)))
    params = {"a": {"M": np.array([[2.0]]), "b": np.zeros(1)}, "b": {"M": np.array([[1.5]]), "b": np.zeros(1)}}
    found = exact.predict(net, params, bayes.Gaussian(1.0), np.array([[1.0]]), order=3)
    assert found.mean.item() == pytest.approx(0.6 * 3) and found.epistemic.item() == pytest.approx(0.6 * 9 * 1.5 - 1.8**2)


def test_predictive_against_loops():
    net, params, x = dense(3), shaped(dense(3)), np.random.default_rng(2).standard_normal((2, 2))
    found, regression = (exact.predict(net, params, likelihood, x) for likelihood in (bayes.Categorical(), bayes.Gaussian(3.0)))
    y, t = np.array([2, 0]), np.array([[0.3, -1.0, 0.2], [0.1, 0.4, 2.0]])
    for n in range(2):
        weights, f = (np.array(v) for v in zip(*[(p, net.forward(params, x[n:n + 1], z)[0][0]) for p, z in loop(net, (2,))], strict=True))
        p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
        mean = weights @ p
        np.testing.assert_allclose(found.mean[n], mean, rtol=1e-12)
        np.testing.assert_allclose(found.std[n], np.sqrt(weights @ p**2 - mean**2), rtol=1e-9)
        assert found.entropy[n] == pytest.approx(-(mean * np.log(mean)).sum(), rel=1e-12)
        assert found.expected_entropy[n] == pytest.approx(-(weights @ (p * np.log(p)).sum(axis=1)), rel=1e-12)
        assert found.mutual_information[n] == pytest.approx(found.entropy[n] - found.expected_entropy[n], abs=1e-12)
        assert found.log_likelihood(y)[n] == pytest.approx(math.log(mean[y[n]]), rel=1e-12)
        np.testing.assert_allclose(regression.mean[n], weights @ f, rtol=1e-12)
        np.testing.assert_allclose(regression.epistemic[n], weights @ f**2 - (weights @ f) ** 2, rtol=1e-10)
        np.testing.assert_allclose(regression.variance[n], regression.epistemic[n] + 1 / 3, rtol=1e-14)
        np.testing.assert_allclose(regression.std[n] ** 2, regression.epistemic[n], rtol=1e-14)
        densities = [math.exp(sum(log_normal(t[n, k], v[k], 1 / 3) for k in range(3))) for v in f]
        assert regression.log_likelihood(t)[n] == pytest.approx(math.log(weights @ densities), rel=1e-12)


def test_certainty_does_not_underflow():
    """Logits far apart: log probabilities stay finite, and certain members have no entropy."""
    net = nn.Network(a=nn.Dense(1, 2, noise=nn.Bernoulli(0.25)))
    params = {"a": {"M": np.array([[-2000.0], [2000.0]]), "b": np.array([1000.0, -1000.0])}}
    found = exact.predict(net, params, bayes.Categorical(), np.ones((1, 1)))
    assert found.log_likelihood(np.array([1])).item() == pytest.approx(math.log(0.25))
    assert found.expected_entropy.item() == 0 and found.mutual_information.item() == pytest.approx(found.entropy.item(), rel=1e-14)
    far = exact.predict(net, params, bayes.Gaussian(1.0), np.ones((1, 1))).log_likelihood(np.array([[5000.0, 0.0]])).item()
    assert np.isfinite(far) and far < -1e6


def test_float32_parameters_are_taken_as_float64():
    net = dense()
    single, x = shaped(net, dtype=np.float32), np.ones((1, 2), np.float32)
    double = {n: {p: a.astype(np.float64) for p, a in g.items()} for n, g in single.items()}
    a, b = (exact.predict(net, p, bayes.Categorical(), x) for p in (single, double))
    assert (a.mean == b.mean).all() and a.mean.dtype == np.float64


def test_noise_that_is_none():
    """A network without noise, and Bernoulli(1): one omega."""
    for noise in (nn.Delta(), nn.Bernoulli(1.0)):
        net = nn.Network(a=nn.Dense(20, 2, noise=noise))
        if isinstance(noise, nn.Delta):
            (w, z), = exact.points(net, (20,))
            assert w.tolist() == [1.0] and z == {}
            found = exact.predict(net, shaped(net), bayes.Categorical(), np.ones((2, 20)))
            assert found.mutual_information == pytest.approx([0, 0], abs=1e-15) and (found.std == 0).all()
    net = nn.Network(a=nn.Dense(3, 2, noise=nn.Bernoulli(1.0)))
    (w, z), = exact.points(net, (3,))
    assert w.tolist() == [1.0] and z["a"].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("net, shape, says", [
    (nn.Network(a=nn.Dense(17, 2, noise=nn.Bernoulli(0.5))), (17,), "at most 16 units of Bernoulli noise .* got 17: 17 in 'a'"),
    (nn.Network(a=nn.Dense(9, 8, noise=nn.Bernoulli(0.5)), b=nn.Dense(8, 1, noise=nn.Bernoulli(0.5))), (9,), "got 17: 9 in 'a', 8 in 'b'"),
    (nn.Network((6, 6, 1), c=nn.Conv2d(1, 1, 2, noise=nn.Bernoulli(0.5)), f=nn.Flatten()), (6, 6, 1), "got 25: 25 in 'c'"),
    (nn.Network(a=nn.Dense(3, 2, noise=nn.Gaussian())), (3,), "at most 2 units of Gaussian noise .* got 3: 3 in 'a'"),
    (nn.Network(a=nn.Dense(11, 1, noise=nn.Bernoulli(0.5)), b=nn.Dense(1, 1, noise=nn.Gaussian())), (11,), "at most 65536 .* got 131072"),
], ids=["17 units", "two layers", "conv", "3 Gaussian", "both"])
def test_too_large(net, shape, says):
    params, x, y = shaped(net), np.zeros((1, *shape)), np.zeros((1, *net.output_shape(shape)))
    objective = bayes.Objective(net, bayes.Prior(), bayes.Gaussian(), 1)
    for call in (lambda: list(exact.points(net, shape)), lambda: exact.predict(net, params, bayes.Gaussian(), x),
                 lambda: exact.value_and_grad(objective, params, x, y)):
        with pytest.raises(InputError, match=says):
            call()


def test_sixteen_units_are_done():
    net = nn.Network(a=nn.Dense(16, 1, noise=nn.Bernoulli(0.5)))
    params = shaped(net)
    found = exact.predict(net, params, bayes.Gaussian(1.0), np.ones((1, 16)))
    assert found.mean.item() == pytest.approx(0.5 * params["a"]["M"].sum() + params["a"]["b"].item(), rel=1e-11)
    assert found.epistemic.item() == pytest.approx(0.25 * (params["a"]["M"] ** 2).sum(), rel=1e-11)


@pytest.mark.parametrize("order", [0, 101, 2.0, "many"])
def test_order(order):
    with pytest.raises(ValueError, match="order must be"):
        list(exact.points(dense(), (2,), order))


def test_bad_data():
    net = dense()
    params, objective = shaped(net), bayes.Objective(net, bayes.Prior(), bayes.Categorical(), 2)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2\)"):
        exact.predict(net, params, bayes.Categorical(), np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"y must be labels in 0\.\.1"):
        exact.value_and_grad(objective, params, np.zeros((2, 2)), np.array([0, 2]))
