"""The kernels of the stages against naive loops, against their own .py_func, sparse against dense."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from minibayes import kernels
from minibayes.kernels import Geometry, Lines


def both(kernel):
    return kernel, kernel.py_func


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_patches_in_both_forms(channels, k, stride, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 7, 6, channels))
    patches = reference.im2col(x, k, stride, 0)
    _, Ho, Wo, _ = patches.shape
    for kernel in both(kernels.planes):
        cols = np.full((channels * k * k, Ho, 2, Wo), np.nan)
        kernel(x, k, stride, cols)
        assert (cols == patches.reshape(2, Ho, Wo, k, k, channels).transpose(5, 3, 4, 1, 0, 2).reshape(cols.shape)).all()
    for kernel, adjoint in zip(both(kernels.lines), both(kernels.add_lines), strict=True):
        cols = np.full((7, 2, Wo, k * channels), np.nan)
        kernel(x, k, stride, cols)
        of_row = patches.reshape(2, Ho, Wo, k, -1).transpose(3, 1, 0, 2, 4)
        for di in range(k):
            rows = cols[di:di + (Ho - 1) * stride + 1:stride]
            assert (rows == of_row[di]).all()
            c, dx = rng.standard_normal(rows.shape), np.zeros(x.shape)
            adjoint(c, di, stride, dx)
            np.testing.assert_allclose(np.vdot(rows, c), np.vdot(x, dx), rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.booleans(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_respond_and_its_dense_derivative(narrow, channels, k, stride, seed):
    """Against a naive im2col: y = cols M^T;  dM = dy^T cols;  dx = col2im(dy M)."""
    rng = np.random.default_rng(seed)
    x, K = rng.standard_normal((3, 7, 6, channels)), 4
    cols = reference.im2col(x, k, stride, 0)
    _, Ho, Wo, numbers = cols.shape
    M = rng.standard_normal((K, k, k, channels))
    rows = np.ascontiguousarray(M.transpose(0, 3, 1, 2) if narrow else M).reshape(K, -1)
    g, scratch = Geometry(k, stride, 1, 1, int(narrow), 2), np.empty(max(7, k * Ho) * 3 * Wo * k * channels)
    for kernel in both(kernels.respond):
        y = np.full((Ho, 3, Wo, K), np.nan)
        kernel(x, rows, g, scratch, y)
        np.testing.assert_allclose(y.transpose(1, 0, 2, 3), cols @ M.reshape(K, -1).T, rtol=1e-12, atol=1e-12)
    delta, arg = rng.standard_normal((3, Ho, Wo, K)), np.zeros((3, Ho, Wo, K), np.uint8)  # a pooling of size 1
    wanted = np.zeros(x.shape)
    kernels.col2im(np.ascontiguousarray(delta @ M.reshape(K, -1)), k, k, stride, 0, wanted)
    for kernel in both(kernels.conv_backward):
        dM, dx = np.full((K, numbers), np.nan), np.full(x.shape, np.nan)
        kernel(x, M.reshape(K, -1), delta, arg, g, scratch, np.empty(3 * Ho * Wo * K), dM, True, dx)
        dM = dM.reshape(K, channels, k, k).transpose(0, 2, 3, 1) if narrow else dM.reshape(M.shape)
        np.testing.assert_allclose(dM.reshape(K, -1), np.einsum("nijo,nijd->od", delta, cols), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(dx, wanted, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.sampled_from(["patch", "kernel", "shared", "one"]), st.booleans(),
       st.integers(0, 2**32 - 1))
def test_noisy_max_pool_and_back(size, stride, per, bernoulli, seed):
    rng = np.random.default_rng(seed)
    y, b = rng.integers(-3, 4, (2, 5, 6, 3)).astype(float), rng.standard_normal(3)
    shape = {"patch": y.shape, "kernel": (2, 1, 1, 3), "shared": (1, 5, 6, 3), "one": (1, 1, 1, 3)}[per]
    z = rng.integers(0, 2, shape).astype(np.uint8) if bernoulli else rng.standard_normal(shape)
    noisy, g = z * (y + b), Geometry(1, 1, size, stride, 0, 1)
    out, arg = reference.max_pool(noisy, size, stride)
    N, P, Q, C = out.shape
    dout, whole = rng.standard_normal(out.shape), np.broadcast_to(z, y.shape)
    slope, dy = np.zeros(out.shape), np.zeros(y.shape)
    for n, p, q, c in np.ndindex(out.shape):
        i, j = p * stride + arg[n, p, q, c] // size, q * stride + arg[n, p, q, c] % size
        slope[n, p, q, c] = whole[n, i, j, c]
        dy[n, i, j, c] += whole[n, i, j, c] * dout[n, p, q, c]
    for forward, backward, scatter in (
            (kernels.noisy_max_pool, kernels.noisy_max_pool_backward, kernels.scatter),
            (kernels.noisy_max_pool.py_func, kernels.noisy_max_pool_backward.py_func, kernels.scatter.py_func)):
        o, a, s = np.full(out.shape, np.nan), np.full(out.shape, 99, np.uint8), np.full(out.shape, np.nan)
        forward(y.reshape(-1), 90, 18, 6, b, z, g, o, a, s)
        assert (o == out).all() and (a == arg).all() and (s == slope).all()
        value = np.full(out.shape, np.nan)
        (kernels.noisy_max_pool_value if forward is kernels.noisy_max_pool else kernels.noisy_max_pool_value.py_func)(
            y.reshape(-1), 90, 18, 6, b, z, g, 1, value)
        assert (value == out).all()
        delta, db, written = np.full(out.shape, np.nan), np.full(C, np.nan), np.full((5, 2, 6, 3), np.nan)
        count = backward(dout, s, delta, db)
        assert (delta == slope * dout).all() and count == np.count_nonzero(delta)
        np.testing.assert_allclose(db, dy.sum(axis=(0, 1, 2)), rtol=1e-12, atol=1e-12)
        scatter(delta, a, g, written)
        np.testing.assert_allclose(written.transpose(1, 0, 2, 3), dy, rtol=1e-13, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_sparse_products_are_the_dense_ones(k, stride, size, pool_stride, density, seed):
    """On the images as they are, and on strips, where a patch is one run (here two numbers longer, which must not matter)."""
    rng = np.random.default_rng(seed)
    x, K = rng.standard_normal((2, 9, 8, 3)), 11
    cols = reference.im2col(x, k, stride, 0)
    Ho, Wo = cols.shape[1:3]
    if min(Ho, Wo) < size:
        return
    P, Q = (Ho - size) // pool_stride + 1, (Wo - size) // pool_stride + 1
    delta = rng.standard_normal((2, P, Q, K)) * (rng.random((2, P, Q, K)) < density)
    arg, M = rng.integers(0, size**2, delta.shape).astype(np.uint8), rng.standard_normal((K, k, k * 3))
    dy = np.zeros((Ho, 2, Wo, K))
    kernels.scatter(delta, arg, Geometry(k, stride, size, pool_stride, 0, 1), dy)
    dy = np.ascontiguousarray(dy.transpose(1, 0, 2, 3))
    dM = np.einsum("nijo,nijd->od", dy, cols)
    dx = np.zeros(x.shape)
    kernels.col2im(np.ascontiguousarray(dy @ M.reshape(K, -1)), k, k, stride, 0, dx)
    images = Lines(9, 8 * 3, stride, stride * 3)
    for form in (lambda kernel: kernel, lambda kernel: kernel.py_func):
        value, offset = np.empty(2 * P * Q + K + 8), np.empty(2 * P * Q + K + 8, np.uint64)
        got, back, strip = np.full((K, k, k * 3), np.nan), np.full(x.shape, np.nan), 8 * k * 3
        form(kernels.pooled_conv_dM)(delta, arg, size, pool_stride, x.reshape(-1), images, value, offset, got)
        form(kernels.pooled_conv_dx)(delta, arg, size, pool_stride, M, stride, value, offset, back)
        np.testing.assert_allclose(got.reshape(K, -1), dM, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(back, dx, rtol=1e-12, atol=1e-12)
        strips, long = np.full(2 * Ho * strip + 2, np.nan), np.full((K, 1, k * k * 3 + 2), np.nan)
        form(kernels.strips)(x, k, stride, strips)
        form(kernels.pooled_conv_dM)(delta, arg, size, pool_stride, strips, Lines(Ho, strip, 1, stride * k * 3), value, offset, long)
        got = long[:, 0, :-2].reshape(K, k, k, 3).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(got.reshape(K, -1), dM, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 7, 1030]), st.floats(0, 1), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_sparse_product_is_the_product(I, J, D, density, turned, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((I, J)) * (rng.random((I, J)) < density), rng.standard_normal((J, D))
    a = np.ascontiguousarray(a.T).T if turned else a
    for product in (kernels.sparse_product, kernels.sparse_product.py_func):
        c = np.full((I, D), np.nan)
        product(a, b, c)
        np.testing.assert_allclose(c, a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("relu", [False, True])
def test_dense(relu):
    rng = np.random.default_rng(0)
    x, M, b = rng.standard_normal((3, 4)), rng.standard_normal((5, 4)), rng.standard_normal(5)
    x[1, 2] = np.nan
    wanted = np.maximum(x @ M.T + b, 0) if relu else x @ M.T + b
    for kernel in (kernels.dense, kernels.dense.py_func):
        f = np.full((3, 5), 7.0)
        kernel(x, M, b, relu, f)
        np.testing.assert_allclose(f, wanted, rtol=1e-13)


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 5, 8, 11])
def test_compact(kept):
    rng = np.random.default_rng(kept)
    M, rows, columns = rng.random((11, 7)), np.sort(rng.permutation(11)[:kept]).astype(np.uint32), np.array([1, 2, 6], np.uint32)
    for kernel in (kernels.compact, kernels.compact.py_func):
        out = np.full((kept, 3), np.nan)
        kernel(M, rows, columns, out)
        assert (out == M[np.ix_(rows, columns)]).all()


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 4e-7), (np.float64, 1e-15)])
def test_rises_and_their_slopes(dtype, tolerance):
    """tanh to some units in the last digit of itself, odd, monotone where it has room, 1 far out; NaN stays; ReLU exactly."""
    f = np.concatenate([np.geomspace(1e-30, 30, 999), [0, 88, 1e30, np.inf, np.nan]]).astype(dtype)
    for kernel in both(kernels.rise_in_place):
        g, minus, none = f.copy(), -f, f.copy()
        with np.errstate(all="ignore"):
            kernel(g, kernels.TANH), kernel(minus, kernels.TANH), kernel(none, kernels.NO_RISE)
        np.testing.assert_allclose(g, np.tanh(f.astype(np.float64)), rtol=tolerance)
        np.testing.assert_array_equal(minus, -g)
        np.testing.assert_array_equal(none, f)
        relu = np.array([-1, -0.0, 2, np.nan], dtype)
        kernel(relu, kernels.RELU)
        np.testing.assert_array_equal(relu, [0, 0, 2, np.nan])
    for kernel in both(kernels.rise_and_slope):
        h, slope = np.array([-2, 0.5], dtype), np.array([3, 4], dtype)
        kernel(h, slope, kernels.RELU)
        assert h.tolist() == [0, 0.5] and slope.tolist() == [0, 4]
        kernel(h, slope, kernels.TANH)
        np.testing.assert_allclose(slope, [0, 4 * (1 - np.tanh(0.5) ** 2)], rtol=10 * tolerance)
