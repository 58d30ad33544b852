"""Each layer: forward against naive loops, backward against finite differences, and dropping units = W = M diag(z)."""

import numpy as np
import pytest
from reference import conv2d
from reference import im2col as naive_im2col

from minibayes import bayes, checks, models, nn
from minibayes.bayes import posterior

NOISES = [nn.Delta(), nn.Bernoulli(0.5), nn.Bernoulli(0.8), nn.Gaussian(), nn.Gaussian(0.3)]


def scalar(net, x, z, g):
    """params -> <f(x), g>: a scalar whose gradient is backward(g)."""
    return lambda params: float((net.forward(params, x, z)[0] * g).sum())


def check_network(net, shape, seed, dx=True):
    rng = np.random.default_rng(seed)
    params = net.init(rng, np.float64)
    for group in params.values():
        group["b"] += rng.standard_normal(group["b"].shape)  # zero biases would hide a missing bias
    x = rng.standard_normal((3, *shape))
    z = net.sample(seed, x.shape, dtype=np.float64)
    f, caches = net.forward(params, x, z)
    g = rng.standard_normal(f.shape)
    gx, grads = net.backward(params, caches, g)
    if params:
        check = checks.gradient_check(scalar(net, x, z, g), params, grads, rng)
        assert check.passed, check
    check = checks.gradient_check(lambda p: float((net.forward(params, p["x"], z)[0] * g).sum()), {"x": x}, {"x": gx}, rng)
    assert check.passed, check
    none, again = net.backward(params, caches, g, want_dx=False)
    assert none is None or not params
    assert all((again[n][p] == grads[n][p]).all() for n in grads for p in grads[n])


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_dense_gradient(noise):
    check_network(nn.Network(a=nn.Dense(7, 5, noise=noise)), (7,), 1)


@pytest.mark.parametrize("noise_per", ["patch", "kernel"])
@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_conv_gradient(noise, noise_per, seed):
    rng = np.random.default_rng(seed)
    k, stride, padding = (int(v) for v in rng.integers([1, 1, 0], [5, 4, 3]))
    shape = tuple(int(v) for v in rng.integers(5, 9, 2)) + (int(rng.integers(1, 4)),)
    layer = nn.Conv2d(shape[2], 3, k, stride=stride, padding=padding, noise=noise, noise_per=noise_per)
    check_network(nn.Network(shape, a=layer), shape, seed)


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.Tanh(), nn.Flatten(), nn.MaxPool2d(2), nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 3)], ids=repr)
def test_layers_without_weights(layer):
    check_network(nn.Network((7, 6, 2), a=layer), (7, 6, 2), 3)


@pytest.mark.parametrize("noise_per", ["patch", "kernel"])
@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian(0.5)], ids=repr)
def test_lenet_gradient(noise, noise_per):
    check_network(models.lenet("all", noise=noise, noise_per=noise_per), (28, 28, 1), 5)


@pytest.mark.parametrize("likelihood", [bayes.Categorical(), bayes.Gaussian(2.5)], ids=repr)
@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_objective_gradient(noise, likelihood):
    """d(L-hat/N)/d theta, KL included, for a net with every kind of layer."""
    net = nn.Network((8, 8, 2), c=nn.Conv2d(2, 3, 3, padding=1, noise=noise), p=nn.MaxPool2d(2), t=nn.Tanh(), f=nn.Flatten(),
                     d=nn.Dense(48, 6, noise=noise), r=nn.ReLU(), e=nn.Dense(6, 4, noise=noise))
    rng = np.random.default_rng(0)
    params, x = net.init(rng, np.float64), rng.standard_normal((5, 8, 8, 2))
    for group in params.values():
        group["b"] += rng.standard_normal(group["b"].shape)
    y = rng.integers(0, 4, 5) if isinstance(likelihood, bayes.Categorical) else rng.standard_normal((5, 4))
    z = net.sample(0, x.shape, dtype=np.float64)
    objective = bayes.Objective(net, bayes.Prior({"c": 2.0, "d": 0.7, "e": 1.3}), likelihood, num_data=17)
    terms, grads = objective.value_and_grad(params, x, y, z)
    assert terms == objective.terms(params, x, y, z)
    check = checks.gradient_check(lambda p: objective.terms(p, x, y, z).per_datum, params, grads, rng)
    assert check.passed, check


@pytest.mark.parametrize("stride, padding, k", [(1, 0, 3), (2, 1, 3), (1, 2, 5), (3, 0, 2)])
def test_conv_is_the_naive_sum(stride, padding, k):
    rng = np.random.default_rng(2)
    layer = nn.Conv2d(2, 4, k, stride=stride, padding=padding)
    params = {"M": rng.standard_normal((4, k, k, 2)), "b": rng.standard_normal(4)}
    x = rng.standard_normal((2, 7, 6, 2))
    np.testing.assert_allclose(layer.forward(params, x)[0], conv2d(x, params["M"], params["b"], stride, padding), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian()], ids=repr)
def test_dropping_units_is_the_weight_matrix_dense(noise):
    """forward with z = forward with W_n = M diag(z_n) built explicitly, and no noise."""
    net = nn.Network(a=nn.Dense(9, 6, noise=noise))
    rng = np.random.default_rng(0)
    params, x = net.init(rng, np.float64), rng.standard_normal((4, 9))
    params["a"]["b"] += rng.standard_normal(6)
    z = net.sample(3, x.shape, dtype=np.float64)
    f, _ = net.forward(params, x, z)
    omega = posterior.weights(net, params, z, "a")
    explicit = [params["a"]["M"] @ np.diag(z["a"][n]) @ x[n] + params["a"]["b"] for n in range(4)]
    np.testing.assert_allclose(f, explicit, rtol=1e-12, atol=1e-12)
    plain = nn.Network(a=nn.Dense(9, 6))
    for n in range(4):
        np.testing.assert_allclose(plain.forward({"a": {"M": omega["W"][n], "b": omega["b"]}}, x[n:n + 1], {})[0][0], f[n],
                                   rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("noise_per", ["patch", "kernel"])
@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian()], ids=repr)
def test_dropping_responses_is_a_weight_matrix_per_patch(noise, noise_per):
    """Dropout after a convolution: each patch, as a row of im2col, meets its own W_ij = diag(z_ij) [M, b]."""
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1, noise=noise, noise_per=noise_per)
    net = nn.Network((6, 7, 2), a=layer)
    rng = np.random.default_rng(1)
    params, x = net.init(rng, np.float64), rng.standard_normal((2, 6, 7, 2))
    params["a"]["b"] += rng.standard_normal(3)
    z = net.sample(3, x.shape, dtype=np.float64)
    f, _ = net.forward(params, x, z)
    omega = posterior.weights(net, params, z, "a")
    patches = naive_im2col(x, 3, 2, 1)
    W, b = (np.broadcast_to(omega[k], (*f.shape, *omega[k].shape[4:])) for k in ("W", "b"))
    np.testing.assert_allclose(f, np.einsum("nijkd,nijd->nijk", W, patches) + b, rtol=1e-12, atol=1e-12)
    if noise_per == "kernel":  # one weight matrix for the whole image: an ordinary convolution with it
        for n in range(2):
            params_n = {"a": {"M": omega["W"][n, 0, 0].reshape(3, 3, 3, 2), "b": omega["b"][n, 0, 0]}}
            plain = nn.Network((6, 7, 2), a=nn.Conv2d(2, 3, 3, stride=2, padding=1))
            np.testing.assert_allclose(plain.forward(params_n, x[n:n + 1], {})[0][0], f[n], rtol=1e-12, atol=1e-12)


def test_noise_one_draw_shared_by_all_inputs():
    net = nn.Network(a=nn.Dense(5, 4, noise=nn.Bernoulli(0.5)), r=nn.ReLU(), b=nn.Dense(4, 2, noise=nn.Gaussian()))
    rng = np.random.default_rng(1)
    params, x = net.init(rng, np.float64), rng.standard_normal((6, 5))
    z = net.sample(8, x.shape, shared=True, dtype=np.float64)
    together = net.forward(params, x, z)[0]
    one_by_one = [net.forward(params, x[n:n + 1], z)[0][0] for n in range(6)]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-13, atol=1e-13)
    f, caches = net.forward(params, x, z)
    g = rng.standard_normal(f.shape)
    check = checks.gradient_check(scalar(net, x, z, g), params, net.backward(params, caches, g)[1], rng)
    assert check.passed, check


@pytest.mark.parametrize("scheme, fans", [("xavier", lambda i, o: 2 / (i + o)), ("he", lambda i, o: 2 / i), ("lecun", lambda i, o: 1 / i)])
@pytest.mark.parametrize("noise", [nn.Delta(), nn.Bernoulli(0.5)], ids=repr)
def test_init_gives_the_mean_weights_the_scheme_s_variance(scheme, fans, noise):
    for layer, n_in, n_out in ((nn.Dense(300, 200, noise=noise, init_scheme=scheme), 300, 200),
                               (nn.Conv2d(20, 60, 5, noise=noise, init_scheme=scheme), 500, 1500)):
        M = layer.init(np.random.default_rng(0), np.float64)["M"]
        W = noise.mean * M
        variance = fans(n_in, n_out)
        # Var of the sample variance of a uniform: (mu4 - sigma^4)/n with mu4 = 9/5 sigma^4.
        assert abs(W.var() - variance) < 4 * variance * np.sqrt(0.8 / W.size)
        assert np.abs(W).max() <= np.sqrt(3 * variance)


def test_nothing_given_is_written_into():
    net = models.lenet("all")
    params, x = net.init(0), np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    z = net.sample(0, x.shape)
    f, caches = net.forward(params, x, z)
    arrays = [x, f, *z.values(), *(a for g in params.values() for a in g.values())]
    arrays += [a for c in caches.values() for a in (c if isinstance(c, tuple) else (c,)) if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    net.backward(params, caches, f)
    net.forward(params, x, z)
    assert all((a == b).all() for a, b in zip(arrays, before, strict=True))


def test_dtypes_are_those_of_the_parameters():
    net = nn.Network((6, 6, 1), c=nn.Conv2d(1, 2, 3, noise=nn.Bernoulli(0.5)), p=nn.MaxPool2d(2), f=nn.Flatten(),
                     d=nn.Dense(8, 3, noise=nn.Gaussian()), t=nn.Tanh(), e=nn.Dense(3, 2))
    for dtype in (np.float32, np.float64):
        params, x = net.init(0, dtype), np.ones((2, 6, 6, 1), dtype)
        f, caches = net.forward(params, x, net.sample(0, x.shape))
        dx, grads = net.backward(params, caches, f)
        assert f.dtype == dx.dtype == dtype
        assert all(a.dtype == dtype for g in grads.values() for a in g.values())
