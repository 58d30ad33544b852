"""Of equal maxima in a pooling window the first in reading order counts, in every path; 0 and -0 are equal."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from minibayes import kernels, nn
from minibayes.fast import conv_stage
from minibayes.fast.program import Program
from minibayes.kernels import Geometry


def first_maxima(y, size, stride):
    """(out, arg) of the maxima, found number by number."""
    N, H, W, C = y.shape
    out = np.zeros((N, (H - size) // stride + 1, (W - size) // stride + 1, C))
    arg = np.zeros(out.shape, int)
    for n, p, q, c in np.ndindex(out.shape):
        best = None
        for w in range(size * size):
            value = y[n, p * stride + w // size, q * stride + w % size, c]
            if best is None or value > best:
                best, arg[n, p, q, c] = value, w
        out[n, p, q, c] = best
    return out, arg


values = st.sampled_from([0.0, -0.0, 1.0, -1.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(values, min_size=30, max_size=30), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["patch", "kernel", "none"]),
       st.integers(0, 2**32 - 1))
def test_every_pooling_kernel(numbers, size, stride, per, seed):
    y = np.array(numbers).reshape(1, 5, 6, 1)
    rng, shape = np.random.default_rng(seed), {"patch": (1, 5, 6, 1), "kernel": (1, 1, 1, 1), "none": (1, 1, 1, 1)}[per]
    z = np.ones(shape, np.uint8) if per == "none" else rng.integers(0, 2, shape).astype(np.uint8)
    dropped = y * z  # zeros of both signs, next to responses that are zero themselves
    out, arg = first_maxima(dropped, size, stride)
    assert (reference.max_pool(dropped, size, stride)[1] == arg).all()
    for kernel in (kernels.max_pool, kernels.max_pool.py_func):
        o, a = np.full(out.shape, np.nan), np.full(out.shape, 99, np.uint16)
        kernel(dropped, size, stride, o, a)
        assert (a == arg).all() and (o == out).all() and (np.signbit(o) == np.signbit(out)).all()
    for kernel in (kernels.noisy_max_pool, kernels.noisy_max_pool.py_func):
        o, a, slope = np.full(out.shape, np.nan), np.full(out.shape, 99, np.uint8), np.full(out.shape, np.nan)
        kernel(y.reshape(-1), 30, 6, 6, np.zeros(1), z, Geometry(1, 1, size, stride, 0, 1), o, a, slope)
        assert (a == arg).all() and (o == out).all()
        whole = np.broadcast_to(z, y.shape)
        for n, p, q, c in np.ndindex(out.shape):
            assert slope[n, p, q, c] == whole[n, p * stride + arg[n, p, q, c] // size, q * stride + arg[n, p, q, c] % size, c]


@pytest.mark.parametrize("noise", [nn.Delta(), nn.Bernoulli(0.3)], ids=repr)
@pytest.mark.parametrize("noise_per", ["patch", "kernel"])
@pytest.mark.parametrize("size, stride", [(2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["dense backward", "sparse backward"])
@pytest.mark.parametrize("narrow", [0, 10**6], ids=["rows", "planes"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_where_almost_all_is_tied(noise, noise_per, size, stride, sparse, narrow, dtype, monkeypatch):
    """Small whole numbers, which no order of summation rounds: the fast gradients are exactly those of the layers."""
    monkeypatch.setattr(conv_stage, "NARROW", narrow)
    monkeypatch.setattr(conv_stage, "SPARSE", sparse)
    rng = np.random.default_rng(0)
    net = nn.Network((10, 11, 2), c=nn.Conv2d(2, 3, 3, padding=1, noise=noise, noise_per=noise_per), p=nn.MaxPool2d(size, stride))
    x = rng.integers(-1, 2, (4, 10, 11, 2)).astype(dtype) * rng.integers(0, 2, (4, 10, 11, 1))
    params = {"c": {"M": rng.integers(-1, 2, (3, 3, 3, 2)).astype(dtype), "b": np.array([0, 1, -1], dtype)}}
    x = x.astype(dtype)
    z, fused = net.sample(1, x.shape), Program(net)
    f, caches = net.forward(params, x, z)
    g, fused_caches = fused.forward(params, x, z)
    assert (f == g).all()
    df = rng.integers(-3, 4, f.shape).astype(dtype)
    dx, grads = net.backward(params, caches, df)
    fused_dx, fused_grads = fused.backward(params, fused_caches, df)
    assert (dx == fused_dx).all() and all((grads["c"][p] == fused_grads["c"][p]).all() for p in ("M", "b"))
