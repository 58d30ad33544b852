"""The compiled GRU and LSTM: tanh, every step and its derivative against the layer, with padding, either output, any noise they take."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import kernels, nn, run
from minibayes.fast import sweep
from minibayes.fast.program import Program
from minibayes.fast.recurrent_stage import RecurrentStage, fits

DROP = nn.Bernoulli(0.6)
CELLS = (nn.GRU, nn.LSTM)


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


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("noise", [nn.Delta(), DROP, nn.Gaussian(0.4)])
@pytest.mark.parametrize("settings", [{}, {"tied": False}, {"over": "step"}, {"over": "step", "tied": False}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("one", [False, True])
def test_the_stage_is_the_layer(kind, noise, settings, dtype, one):
    """Both outputs; T = 130, of which the inputs' products take several blocks, in float64 only."""
    for states in ("last", "all"):
        layer = kind(3, 5, noise=noise, states=states, **settings)
        net, rng = nn.Network(r=layer), np.random.default_rng(0)
        params = {"r": {p: (a + 0.3 * rng.standard_normal(a.shape)).astype(dtype) for p, a in net.init(0, dtype)["r"].items()}}
        x = rng.standard_normal((4, 130 if dtype == np.float64 else 6, 3)).astype(dtype)
        x[1, 4:], x[2, 0], x[3, 1:3] = np.nan, np.nan, np.nan
        z = net.sample(1, x.shape, shared=one, dtype=dtype)
        fast = Program(net)
        assert isinstance(fast.stages[0], RecurrentStage)
        (f, caches), (g, others) = net.forward(params, x, z), fast.forward(params, x, z)
        df = rng.standard_normal(f.shape).astype(dtype)
        close = {"atol": 4e-6} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
        np.testing.assert_allclose(g, f, **close)
        (dx, grads), (ex, more) = net.backward(params, caches, df), fast.backward(params, others, df)
        np.testing.assert_allclose(ex, dx, **close)
        assert set(more["r"]) == set(grads["r"])
        for p, a in grads["r"].items():
            np.testing.assert_allclose(more["r"][p], a, **close)
        mean, _ = net.forward(params, x, net.mean_noise(dtype=dtype))
        (_, average), = fast.average(params, x, lambda found, f, *_: f)
        np.testing.assert_allclose(average[0], mean, **close)  # without a cache


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("settings", [{}, {"tied": False}, {"over": "step"}], ids=str)
def test_the_same_bits_on_any_number_of_threads(monkeypatch, kind, settings):
    """In shards of 32 sequences, so that two threads have something to divide."""
    monkeypatch.setattr(run, "SMALL", 1)
    monkeypatch.setattr(sweep, "SMALL", 1)
    net = nn.Network(e=nn.Embedding(5, 3, noise=DROP), r=kind(3, 6, noise=DROP, states="all", **settings),
                     d=nn.Dense(6, 5, noise=DROP))
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
    class Own(nn.GRU):
        """A cell of the user's own."""

    assert not fits(nn.GRU(2, 2, noise=nn.LearnedGaussian())) and not fits(Own(2, 2)) and not fits(nn.Dense(2, 2))
    assert all(fits(kind(2, 2, noise=DROP, over=over, tied=tied))
               for kind in CELLS for over in ("step", "sequence") for tied in (True, False))


def test_what_comes_before_the_first_noise_is_run_once_for_all_passes(monkeypatch):
    """A recurrent layer without noise behind which something is drawn: its states serve all T passes."""
    net = nn.Network(e=nn.Embedding(5, 3), r=nn.GRU(3, 6, states="all"), s=nn.LSTM(6, 4, states="all"), d=nn.Dense(4, 5, noise=DROP))
    params, x, rows = net.init(0), np.random.default_rng(0).integers(0, 5, (7, 9)).astype(np.float32), []
    monkeypatch.setattr(RecurrentStage, "_run", lambda self, params, x, *rest, real=RecurrentStage._run:
                        (rows.append((self.name, len(x))), real(self, params, x, *rest))[1])
    fast, key = Program(net), nn.Key(3)
    found = np.concatenate([f for _, f in fast.passes(params, x, key, 20, lambda _, f, *__: f)])
    assert sorted(rows) == [("r", 7), ("s", 7)]
    for t, f in enumerate(found):
        np.testing.assert_allclose(f, net.forward(params, x, net.sample(key.at(t), x.shape))[0], atol=2e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_without_a_compiler_they_are_the_same(tied):
    """The kernels' own Python."""
    T, B, D, H = 3, 2, 2, 2
    rng = np.random.default_rng(1)
    x, there = rng.standard_normal((T, B, D)), np.array([[True, True], [True, False], [True, True]])
    for G, forward, back, states, deltas in ((3, kernels.gru, kernels.gru_backward, 1, 2), (4, kernels.lstm, kernels.lstm_backward, 2, 1)):
        own, K, found = 1 if tied else G, G * H, []
        z, M = rng.integers(0, 2, (B, 1, own, D + H)).astype(float), rng.standard_normal((K, D + H))
        others = [rng.standard_normal(n) for n in ((K, H) if G == 3 else (K,))]
        for which in (lambda kernel: kernel, lambda kernel: getattr(kernel, "py_func", kernel)):
            shapes = ((own, T, B, D), (own, T, B, H), (2, B, K), (B, K), (T, G + 1, B, H), *[(T + 1, B, H)] * states)
            xz, hz, p, q, gates, *carried = held = [np.zeros(shape) for shape in shapes]
            which(forward)(x, there, z, True, np.ascontiguousarray(M.T), *others, *held)
            scratch = [np.zeros(shape) for shape in [(T, B, K)] * deltas + [(B, H)]]
            out, dx = [np.zeros(a.shape) for a in (M, *others)], np.zeros(x.shape)
            dstates = [np.ones((B, H)) for _ in range(states)]
            which(back)(np.zeros((B, 0, H)), *dstates, x, there, z, True, M, xz, hz, gates, *carried, *scratch, *out, True, dx)
            found.append([*carried, *out, dx])
        for a, other in zip(*found, strict=True):
            np.testing.assert_allclose(a, other, atol=1e-14)
