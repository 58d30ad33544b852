"""The compiled GRU: tanh, every step and its derivative against the layer, with padding, either output, any noise it is made for."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import kernels, nn, run
from minibayes.fast.gru_stage import GRUStage, fits
from minibayes.fast.program import Program

DROP = nn.Bernoulli(0.6)


def test_tanh():
    a = np.linspace(-12, 12, 200_001).astype(np.float32)
    t = a.copy()
    kernels.tanh(t)
    assert np.abs(t - np.tanh(a.astype(float))).max() < 4e-7 and np.abs(t).max() <= 1
    odd = np.array([np.nan, np.inf, -np.inf, 0, 1e-30], np.float32)
    kernels.tanh(odd)
    assert np.isnan(odd[0]) and np.allclose(odd[1:4], [1, -1, 0], atol=1e-6) and odd[4] == pytest.approx(1e-30)
    exact = np.linspace(-3, 3, 7)
    kernels.tanh(exact)
    np.testing.assert_allclose(exact, np.tanh(np.linspace(-3, 3, 7)), atol=1e-15)


@pytest.mark.parametrize("noise", [nn.Delta(), DROP, nn.Gaussian(0.4)])
@pytest.mark.parametrize("states", ["last", "all"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("one", [False, True])
def test_the_stage_is_the_layer(noise, states, dtype, one):
    layer = nn.GRU(3, 5, noise=noise, states=states)
    net, rng = nn.Network(r=layer), np.random.default_rng(0)
    params = {"r": {p: (a + 0.3 * rng.standard_normal(a.shape)).astype(dtype) for p, a in net.init(0, dtype)["r"].items()}}
    x = rng.standard_normal((4, 6, 3)).astype(dtype)
    x[1, 4:], x[2, 0], x[3, 1:3] = np.nan, np.nan, np.nan
    z = net.sample(1, x.shape, shared=one, dtype=dtype)
    fast = Program(net)
    assert isinstance(fast.stages[0], GRUStage)
    (f, caches), (g, others) = net.forward(params, x, z), fast.forward(params, x, z)
    df = rng.standard_normal(f.shape).astype(dtype)
    close = {"atol": 3e-6 if dtype == np.float32 else 1e-13}
    np.testing.assert_allclose(g, f, **close)
    (dx, grads), (ex, more) = net.backward(params, caches, df), fast.backward(params, others, df)
    np.testing.assert_allclose(ex, dx, **close)
    for p, a in grads["r"].items():
        np.testing.assert_allclose(more["r"][p], a, **close)
    assert np.array_equal(fast.average(params, x, lambda found, f, *_: f).__next__()[1].shape[1:], f.shape)


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    """In shards of 32 sequences, so that two threads have something to divide."""
    monkeypatch.setattr(run, "SMALL", 1)
    net = nn.Network(e=nn.Embedding(5, 3, noise=DROP), r=nn.GRU(3, 6, noise=DROP, states="all"), d=nn.Dense(6, 5, noise=DROP))
    x = np.random.default_rng(0).integers(-1, 5, (200, 8))
    x[:, 0] = 1
    found = []
    for threads in (1, 2, 3):
        made = mb.BayesianNetwork(net)
        made.fit(x, x, steps=3, batch_size=128, threads=threads)
        found.append([a for group in made.params.values() for a in group.values()] + [made.predict(x, samples=3, threads=threads).mean])
    for others in found[1:]:
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found[0], others, strict=True))


def test_what_it_is_not_made_for_runs_as_it_is():
    for layer in (nn.GRU(2, 2, noise=DROP, over="step"), nn.GRU(2, 2, noise=DROP, tied=False), nn.LSTM(2, 2),
                  nn.GRU(2, 2, noise=nn.LearnedGaussian())):
        assert not fits(layer)
    assert fits(nn.GRU(2, 2, over="step")) and fits(nn.GRU(2, 2, noise=DROP))


def test_without_a_compiler_it_is_the_same():
    """The kernels' own Python."""
    T, B, D, H = 3, 2, 2, 2
    rng = np.random.default_rng(1)
    x, z = rng.standard_normal((T, B, D)), rng.integers(0, 2, (B, D + H)).astype(np.uint8)
    there = np.array([[True, True], [True, False], [True, True]])
    M, b, c = rng.standard_normal((3 * H, D + H)), rng.standard_normal(3 * H), rng.standard_normal(H)
    found = []
    compiled = kernels.gru, kernels.gru_backward
    for forward, back in (compiled, [getattr(kernel, "py_func", kernel) for kernel in compiled]):
        shapes = ((T, B, D), (T, B, H), (B, 3 * H), (B, 3 * H), (T, B, 4 * H), (T + 1, B, H))
        xz, hz, p, q, gates, states = (np.zeros(shape) for shape in shapes)
        forward(x, there, z, True, M, b, c, 0.5, xz, hz, p, q, gates, states)
        out = [np.zeros(shape) for shape in ((T, B, 3 * H), (T, B, 3 * H), (B, H), M.shape, b.shape, c.shape)]
        dx, dh = np.zeros(x.shape), np.ones((B, H))
        back(np.zeros((0, B, H)), dh, x, there, z, True, M, 0.5, xz, hz, gates, states, *out, True, dx)
        found.append([states, *out[3:], dx])
    for a, other in zip(*found, strict=True):
        np.testing.assert_allclose(a, other, atol=1e-14)
