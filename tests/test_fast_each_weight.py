"""z per weight and example, drawn where it is used: the same numbers, and the same outputs and gradients, as from the array z."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import nn
from minibayes.fast.each_weight import EachWeight, Undrawn
from minibayes.fast.program import Program

NOISES = (nn.Bernoulli(0.5), nn.Bernoulli(0.3), nn.Gaussian(0.7))


def net(noise, sizes=(37, 61, 45, 3)):
    """37 x 61 > 2048, what the kernels draw at once, and no multiple of 128; the last layer is shorter than that."""
    layers = {}
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers |= {f"d{i}": nn.Dense(n_in, n_out, noise=noise, place=nn.Weights()), f"r{i}": nn.ReLU()}
    layers.popitem()
    return nn.Network(**layers)


def drawn(plain, fast, key, x):
    rows = nn.Rows.of(key, len(x), examples=np.arange(5, 5 + len(x)), passes=np.arange(len(x))[::-1])
    z, undrawn = plain.draw_rows(key, x.shape[1:], rows), fast.draw_rows(key, x.shape[1:], rows)
    assert all(isinstance(a, Undrawn) and a.shape == z[name].shape for name, a in undrawn.items())
    return z, undrawn


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("shape", [(61, 70), (130, 64), (1, 5000), (5000, 1), (3, 4), (2, 31)], ids=str)
def test_the_numbers_are_those_of_the_noise(noise, shape):
    """With M = 1 and one input that is not 0, f is a column of z."""
    D, K = shape
    plain = nn.Network(d=nn.Dense(D, K, noise=noise, place=nn.Weights()))
    fast, params = Program(plain), {"d": {"M": np.ones((K, D), np.float32), "b": np.zeros(K, np.float32)}}
    for d in {0, D // 2, D - 1}:
        x = np.zeros((3, D), np.float32)
        x[:, d] = 1
        z, undrawn = drawn(plain, fast, nn.Key(3, 1), x)
        assert np.array_equal(fast.forward(params, x, undrawn)[0], z["d"][:, :, d])
        assert np.array_equal(undrawn["d"][1:].drawn(), z["d"][1:])


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_the_stages_are_the_layers(noise):
    plain, rng = net(noise), np.random.default_rng(0)
    fast, params = Program(plain), plain.init(0)
    assert sum(isinstance(stage, EachWeight) for stage in fast.stages) == 3
    x, df = rng.standard_normal((9, 37)).astype(np.float32), rng.standard_normal((9, 3)).astype(np.float32)
    df[4] = 0  # an example without a gradient: nothing is drawn for it
    z, undrawn = drawn(plain, fast, nn.Key(7), x)
    (f, caches), (g, others) = plain.forward(params, x, z), fast.forward(params, x, undrawn)
    np.testing.assert_allclose(g, f, rtol=1e-5, atol=1e-5)
    (dx, grads), (ex, more) = plain.backward(params, caches, df), fast.backward(params, others, df)
    np.testing.assert_allclose(ex, dx, rtol=1e-4, atol=1e-5)
    for name, group in grads.items():
        for p, a in group.items():
            np.testing.assert_allclose(more[name][p], a, rtol=1e-4, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_and_prediction_are_those_of_the_layers(dtype, monkeypatch):
    """Batches that are cut into shards, passes in sweeps, one omega for all, and the same bits on any threads."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((70, 37)).astype(dtype), rng.integers(0, 3, 70)
    fitted = []
    for options in ({"plain": True}, {"threads": 1}, {"threads": 2}):
        model = mb.BayesianNetwork(net(NOISES[0]))
        model.fit(x, y, epochs=2, batch_size=33, optimizer=nn.SGD(0.05), seed=2, dtype=dtype, **options)
        fitted.append(model)
    plain, one, two = fitted
    for name, group in one.params.items():
        for p, a in group.items():
            assert np.array_equal(a, two.params[name][p])
            np.testing.assert_allclose(a, plain.params[name][p], rtol=2e-3, atol=2e-5)
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    for shared in (False, True):
        made = [model.predict(x[:40], samples=7, shared=shared, threads=threads).mean for model, threads in ((one, 1), (one, 2))]
        assert np.array_equal(*made)
    one.fit(x, y, epochs=3, batch_size=33, optimizer=nn.SGD(0.05), dtype=dtype)


def test_a_step_needs_no_array_of_z():
    """256 examples of 600 x 600 weights: 92 million numbers, more than the plain form draws."""
    wide = nn.Network(d=nn.Dense(600, 600, noise=nn.Bernoulli(0.5), place=nn.Weights()))
    x = np.ones((256, 600), np.float32)
    with pytest.raises(ValueError, match="at most 67108864"):
        wide.sample(0, x.shape)
    fast = Program(wide)
    z = fast.draw(0, x.shape)
    f, _ = fast.forward({"d": {"M": np.ones((600, 600), np.float32), "b": np.zeros(600, np.float32)}}, x, z)
    error = 4 * np.sqrt(600 / 4 / f.size)
    assert abs(f.mean() - 300) < error and abs(f.var() - 150) < 4 * 150 * np.sqrt(2 / f.size)


def test_a_sequence_has_one_z_for_its_steps():
    plain = nn.Network(d=nn.Dense(5, 20, noise=nn.Bernoulli(0.5), place=nn.Weights()))
    fast, params = Program(plain), plain.init(0)
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    z, undrawn = drawn(plain, fast, nn.Key(1), x)
    (f, caches), (g, others) = plain.forward(params, x, z), fast.forward(params, x, undrawn)
    np.testing.assert_allclose(g, f, rtol=1e-5, atol=1e-6)
    (dx, grads), (ex, more) = plain.backward(params, caches, f), fast.backward(params, others, f)
    np.testing.assert_allclose(ex, dx, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(more["d"]["M"], grads["d"]["M"], rtol=1e-5, atol=1e-5)
