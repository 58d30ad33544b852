"""The step of wide dense nets: products by columns, then gradient and update by rows, against the plain step."""

import numpy as np
import pytest

from minibayes import BayesianNetwork, bayes, kernels, models, nn
from minibayes.bayes import Objective
from minibayes.checkpoint import State
from minibayes.fast import parallel, wide, wide_stack
from minibayes.fast.program import Program
from minibayes.nn.optimizers import leaves
from minibayes.run import Run

RNG = np.random.default_rng(0)
X, Y = RNG.random((150, 20)).astype(np.float32), np.arange(150) % 4
OPTIMIZERS = [nn.SGD(0.1, momentum=0.9, policy="inv", multipliers={"fc1": {"b": 2.0}}), nn.Adam(0.01)]
NOISES = [nn.Bernoulli(0.5), nn.Gaussian(0.3), nn.Delta()]


@pytest.fixture(autouse=True)
def small_is_wide(monkeypatch):
    monkeypatch.setattr(wide, "LEAST", 1)
    monkeypatch.setattr(wide_stack, "BLOCK", 100)  # several blocks of rows a layer, the last one shorter,
    monkeypatch.setattr(wide, "COLUMNS", 8)  # and of columns
    monkeypatch.setattr(wide, "OPERATIONS", 1)


def fitted(net=None, noise=NOISES[0], dtype=np.float32, **options):
    net = net or models.mlp([20, 33, 17, 4], noise=noise, input_noise=options.pop("input_noise", None))
    model = BayesianNetwork(net, bayes.Prior(2.0))
    model.fit(X, Y, **({"epochs": 2, "batch_size": 64, "optimizer": OPTIMIZERS[0], "dtype": dtype} | options))
    return model


def same(a, b):
    return all(np.array_equal(array, b.params[n][p]) for n, p, array in leaves(a.params))


def taken(net, optimizer=OPTIMIZERS[0], batch=64):
    return wide.WideStep.of(Program(net, 1), optimizer, net.init(0), batch) is not None


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("input_noise", [None, nn.Bernoulli(0.8)], ids=["inputs as they are", "noise on the inputs"])
def test_it_is_the_plain_step(optimizer, noise, input_noise):
    """An epoch's last batch is shorter, MGN's KL has a gradient beside the decay, SGD's rate changes."""
    options = {"optimizer": optimizer, "noise": noise, "input_noise": input_noise, "dtype": np.float64}
    fast, plain = fitted(**options), fitted(plain=True, **options)
    for n, p, a in leaves(plain.params):
        np.testing.assert_allclose(fast.params[n][p], a, rtol=1e-8, atol=1e-10)
    for name in ("loss", "nll"):
        assert fast.history[-1][name] == pytest.approx(plain.history[-1][name], rel=1e-10)


@pytest.mark.parametrize("net", [
    models.mlp([20, 33, 17, 4], noise=NOISES[0], activation="tanh"),
    nn.Network((4, 5, 1), f=nn.Flatten(), a=nn.Dense(20, 30), b=nn.Dense(30, 30, noise=nn.Gaussian(0.5)), t=nn.Tanh(), c=nn.Dense(30, 4)),
    nn.Network(a=nn.Dense(20, 30), r=nn.ReLU(), s=nn.Tanh(), b=nn.Dense(30, 4, noise=nn.Bernoulli(0.7))),
    nn.Network(a=nn.Dense(20, 4, noise=nn.Bernoulli(0.7)))], ids=["tanh", "flatten", "two functions", "one layer"])
def test_other_stacks(net):
    x = X.reshape(len(X), *net.input_shape)
    fits = [BayesianNetwork(net, bayes.Prior(2.0)) for _ in range(2)]
    for model, plain in zip(fits, (False, True), strict=True):
        model.fit(x, Y, epochs=2, dtype=np.float64, plain=plain)
    assert taken(net)
    for n, p, a in leaves(fits[1].params):
        np.testing.assert_allclose(fits[0].params[n][p], a, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_threads_and_a_checkpoint_change_no_bit(optimizer, tmp_path):
    options = {"optimizer": optimizer, "steps": 7}
    one = fitted(threads=1, **options)
    assert same(one, fitted(threads=3, **options))
    fitted(threads=2, **options | {"steps": 4}, checkpoint=tmp_path / "run.npz")
    assert same(one, fitted(threads=2, **options, checkpoint=tmp_path / "run.npz"))


def test_the_old_state_stays_whole():
    net = models.mlp([20, 33, 4], noise=NOISES[0])
    objective, optimizer = Objective(net, bayes.Prior(1.0), bayes.Categorical(), len(X)), OPTIMIZERS[1]
    run, start = Run(objective, optimizer, X, Y, 64, 0), net.init(0)
    state = State(0, start, optimizer.init(start))
    with parallel.pool(2) as pool:
        for _ in range(4):
            before = {n: {p: a.copy() for p, a in g.items()} for n, g in state.params.items()}
            old, state = state, run.step(state, pool)
            assert all(np.array_equal(a, old.params[n][p]) for n, p, a in leaves(before))
            assert not np.array_equal(state.params["fc1"]["M"], old.params["fc1"]["M"])
    assert run._wide and run._memory is None


class Halved(nn.SGD):
    """An update of its own."""

    def update(self, params, grads, state, out=None):
        return super().update(params, {n: {p: a / 2 for p, a in g.items()} for n, g in grads.items()}, state, out)


LEARNED = [(nn.Concrete(0.5), bayes.Prior(2.0)), (nn.LearnedGaussian(0.4, per="unit"), bayes.LogUniform()),
           (nn.LearnedGaussian(0.4), bayes.Prior(2.0)), (nn.Times(nn.Bernoulli(0.7), nn.LearnedGaussian(0.4)), bayes.Prior(2.0))]


@pytest.mark.parametrize(("noise", "prior"), LEARNED, ids=repr)
@pytest.mark.parametrize("optimizer", [nn.SGD(0.1, momentum=0.9, policy="inv"), nn.Adam(0.01)], ids=repr)
def test_noise_that_learns(noise, prior, optimizer):
    """Before the first layer, and between others; what it learns is updated beside M and b, in the plain step's way."""
    net = nn.Network(a=nn.Dense(20, 33, noise=noise), r=nn.ReLU(), b=nn.Dense(33, 17, noise=nn.Bernoulli(0.5)), s=nn.Tanh(),
                     c=nn.Dense(17, 9, noise=noise), t=nn.ReLU(), d=nn.Dense(9, 4))
    if isinstance(prior, bayes.LogUniform):  # which has no rule for dropout
        net = nn.Network(a=net.layers["a"], r=nn.ReLU(), c=nn.Dense(33, 4, noise=noise))
    assert taken(net, optimizer)
    fits = [BayesianNetwork(net, prior) for _ in range(3)]
    for model, options in zip(fits, ({"threads": 1}, {"threads": 3}, {"plain": True}), strict=True):
        model.fit(X, Y, epochs=2, batch_size=64, optimizer=optimizer, dtype=np.float64, kl_factor=0.7, **options)
    one, three, plain = fits
    for n, p, a in leaves(plain.params):
        np.testing.assert_allclose(one.params[n][p], a, rtol=1e-8, atol=1e-10)
        assert np.array_equal(one.params[n][p], three.params[n][p])
    assert one.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=1e-10)


def test_it_takes_stacks_of_dense_layers(monkeypatch):
    dense = nn.Dense(20, 4)
    assert taken(nn.Network(a=dense)) and taken(nn.Network(a=nn.Dense(20, 6), r=nn.ReLU(), b=nn.Dense(6, 4, noise=nn.Gaussian())))
    assert not taken(nn.Network(a=dense), Halved(0.1))
    assert not taken(nn.Network(a=nn.Dense(20, 4, noise=nn.Bernoulli(0.5), place=nn.Weights())))
    assert not taken(nn.Network((6, 6, 1), c=nn.Conv2d(1, 2, 3), f=nn.Flatten(), a=nn.Dense(32, 4)))
    assert not taken(nn.Network((5, 20), a=nn.Dense(20, 4)))  # each step of a sequence
    assert not taken(nn.Network(a=nn.Dense(20, 8), code=nn.Code(4), b=nn.Dense(4, 4)))
    kept = 64 * 2 * (20 + 4)  # numbers of a batch: a larger one takes more memory than gradients would
    with monkeypatch.context() as patch:
        patch.setattr(wide, "MOST", kept)
        assert taken(nn.Network(a=dense)) and not taken(nn.Network(a=dense), batch=65)
    monkeypatch.setattr(wide, "LEAST", 10_000)
    assert not taken(nn.Network(a=dense))


def test_a_sequence_net_trains_as_before():
    net, x = nn.Network((5, 20), a=nn.Dense(20, 4)), RNG.random((12, 5, 20)).astype(np.float32)
    model = BayesianNetwork(net)
    model.fit(x, np.arange(60).reshape(12, 5) % 4, steps=2)
    assert model.history[-1]["step"] == 2


RISES = {kernels.NO_RISE: (lambda f: f, np.ones_like), kernels.RELU: (lambda f: np.maximum(f, 0), lambda f: f > 0),
         kernels.TANH: (np.tanh, lambda f: 1 - f * f)}


@pytest.mark.parametrize("rise", RISES)
@pytest.mark.parametrize("shape", [(12, 9), (1, 9), (12, 1), (1, 1)], ids=["each", "shared", "one an example", "one"])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_columns_of_a_product_and_of_a_delta(rise, shape, kind):
    """Some columns, the others untouched, by the kernel and by its py_func."""
    (B, K), D, (r, slope), own = (12, 9), 5, RISES[rise], slice(2, 7)
    M, b, x = RNG.standard_normal((K, D)), RNG.standard_normal(K), RNG.standard_normal((B, D))
    z = (RNG.random(shape) * 3).astype(kind)
    f = r(x @ M.T + b)
    d, N = RNG.standard_normal((B, D)), RNG.standard_normal((D, K))
    for n in (B, 0):
        product = np.zeros((B, K))
        product[:, own] = (z * f)[:, own]
        for form in (kernels.dense_columns, kernels.dense_columns.py_func):
            out, xz = np.zeros((B, K)), np.zeros((n, K))
            form(x, M, b, rise, z, 2, 7, out, xz)
            np.testing.assert_allclose(out[:, own], f[:, own], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(xz, product[:n], rtol=1e-12, atol=1e-14)
            assert not out[:, :2].any() and not out[:, 7:].any()
    for noisy in (True, False):
        for form in (kernels.delta_columns, kernels.delta_columns.py_func):
            out = np.zeros((B, K))
            form(d, N, z, noisy, rise, f, 2, 7, out)
            expected = (d @ N) * (z if noisy else 1) * slope(f)
            np.testing.assert_allclose(out[:, own], expected[:, own], rtol=1e-12, atol=1e-14)
            assert not out[:, :2].any() and not out[:, 7:].any()


@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize("rest", [False, True])
def test_rows_are_gradient_and_update(density, rest):
    """Some rows of M and b, the others untouched, by the kernel and by its py_func."""
    K, D, B = 9, 13, 8
    d, x = RNG.standard_normal((B, K)) * (RNG.random((B, K)) < density), RNG.standard_normal((B, D))
    theta, v, m, s = RNG.standard_normal((4, K * D + K + 5))
    s = np.abs(s)
    more = RNG.standard_normal(5 * (D + 1) if rest else 0)
    at_M, at_b, decay, rate = 2, K * D + 3, np.array([0.1, 0.2]), np.array([0.5, 1.5])
    rows, bias = slice(at_M + 2 * D, at_M + 7 * D), slice(at_b + 2, at_b + 7)
    g = np.concatenate([(d.T @ x)[2:7].ravel(), d.sum(axis=0)[2:7]])
    old = np.concatenate([theta[rows], theta[bias]])
    g += np.repeat(decay, (5 * D, 5)) * old + (more if rest else 0)
    penalty = (np.repeat(decay, (5 * D, 5)) * old**2).sum() / 2
    rates = np.repeat(rate, (5 * D, 5))
    a = 0.9 * np.concatenate([m[rows], m[bias]]) + (1 - 0.9) * g
    b = 0.99 * np.concatenate([s[rows], s[bias]]) + (1 - 0.99) * g * g
    wanted = {kernels.sgd_rows: old - (0.9 * np.concatenate([v[rows], v[bias]]) + rates * g),
              kernels.adam_rows: old - rates * (a / 0.5) / (np.sqrt(b / 0.4) + 1e-8)}
    for kernel, args in ((kernels.sgd_rows, (v, 0.9)), (kernels.adam_rows, (m, s, 0.9, 0.99, 1e-8, 0.5, 0.4))):
        for form in (kernel, kernel.py_func):
            outs = [np.zeros(len(theta)) for _ in range(2 if kernel is kernels.sgd_rows else 3)]
            found = form(d, x, 2, 7, at_M, at_b, more, decay, rate, theta, *args, *outs, np.empty(6 * (D + 1)))
            np.testing.assert_allclose(np.concatenate([outs[0][rows], outs[0][bias]]), wanted[kernel], rtol=1e-9, atol=1e-11)
            assert found == pytest.approx(penalty, rel=1e-12)
            assert np.count_nonzero(outs[0]) == 5 * D + 5
