"""Each kernel against naive loops, against its own .py_func, and against its adjoint; Philox against its published answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import bernoulli_unit, expected_max, gaussian32, gaussian_unit, im2col, max_pool, philox

from minibayes import checks, kernels
from minibayes.nn.key import digits, layer_id

KNOWN = [  # Random123's known answers for philox4x32-10: counter, key, result
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]
KEY = np.array([123456789, 987654321], np.uint64)

images = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
dtypes = st.sampled_from([np.float32, np.float64])


@pytest.mark.parametrize("counter, key, answer", KNOWN)
def test_philox_known_answers(counter, key, answer):
    out = np.empty((1, 4), np.uint64)
    kernels.philox(np.array([counter], np.uint64), np.array(key, np.uint64), out)
    assert out[0].tolist() == answer == philox(counter, key)


def test_philox_of_many_counters_is_the_reference():
    counters = np.random.default_rng(0).integers(0, 2**32, (50, 4), np.uint64)
    out = np.empty((50, 4), np.uint64)
    kernels.philox(counters, KEY, out)
    assert out.tolist() == [philox(c, KEY) for c in counters]


@pytest.mark.parametrize("keep", [0.5, 0.75, 0.9, 0.3, 1e-3, 1 - 2**-30])
@pytest.mark.parametrize("units", [1, 31, 32, 33, 64, 65, 128, 300])
def test_bernoulli_kernel(keep, units):
    examples, passes = np.array([0, 7, 2**32 - 1], np.uint64), np.array([0, 5, 2], np.uint64)
    layer = np.uint64(layer_id("conv1"))
    fast, slow = np.full((3, units), 9, np.uint8), np.full((3, units), 9, np.uint8)
    args = digits(keep), examples, passes, layer, KEY
    kernels.bernoulli(*args, fast)
    kernels.bernoulli.py_func(*args, slow)
    chosen = range(0, units, 7)
    pairs = [(int(e), int(t)) for e, t in zip(examples, passes, strict=True)]
    naive = [[bernoulli_unit(keep, u, units, e, int(layer), t, KEY) for u in chosen] for e, t in pairs]
    assert (fast == slow).all()
    assert fast[:, ::7].tolist() == naive


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 40])
def test_gaussian_kernel(units, dtype):
    examples, passes, layer = np.array([3, 2**31], np.uint64), np.array([1, 9], np.uint64), np.uint64(77)
    fast, slow = np.full((2, units), 9, dtype), np.full((2, units), 9, dtype)
    kernels.gaussian(1.0, 1.5, examples, passes, layer, KEY, fast)
    kernels.gaussian.py_func(1.0, 1.5, examples, passes, layer, KEY, slow)
    naive = [[gaussian_unit(1.5, u, int(e), 77, int(t), KEY) for u in range(units)] for e, t in zip(examples, passes, strict=True)]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(fast, naive, rtol=4 * eps, atol=8 * eps)
    np.testing.assert_allclose(fast, slow, rtol=4 * eps, atol=8 * eps)


@pytest.mark.parametrize("rows, units", [(1, 1), (2, 2), (3, 3), (5, 4), (2, 5), (7, 40), (40, 7), (1, 203)])
def test_gaussian_kernel_in_float32(rows, units):
    """Against the one in float64, unit by unit; and the same bits as its formula in NumPy's float32."""
    examples, passes, layer = np.arange(rows, dtype=np.uint64) + 2**31, np.arange(rows, dtype=np.uint64), np.uint64(77)
    fast, plain = np.full((rows, units), 9, np.float32), np.empty((rows, units))
    kernels.gaussian32(np.float32(1.0), np.float32(1.5), examples, passes, layer, KEY, fast)
    kernels.gaussian(1.0, 1.5, examples, passes, layer, KEY, plain)
    assert np.abs(fast - plain).max() <= 1.5e-6
    blocks = -(-units // 4)
    words = np.empty((rows * blocks, 4), np.uint64)
    counters = [(j, e, layer, t) for e, t in zip(examples, passes, strict=True) for j in range(blocks)]
    kernels.philox(np.array(counters, np.uint64), KEY, words)
    z = np.stack([gaussian32(*words[:, pair].T, np.float32(1.0), np.float32(1.5)) for pair in ((0, 1), (2, 3))], axis=1)
    assert (z.reshape(rows, -1)[:, :units] == fast).all()


@pytest.mark.parametrize("word", [0, 1, 2**23, 2**31 - 1, 2**31, 3037000498, 3037000499, 3037000500, 2**32 - 300, 2**32 - 2, 2**32 - 1])
def test_radius_and_angle_in_float32_at_the_edges(word):
    """To a few units in the last place, near u = 0 and u = 1 and at every quarter turn too."""
    std, u = np.float32(1), (word + 0.5) / 2**32
    radius = math.sqrt(-2 * math.log1p(-(2**32 - word - 0.5) / 2**32) if u > 0.5 else -2 * math.log(u))
    for angle in (0, 1, 2**29 - 1, 2**29, 2**30, 3 * 2**29, 2**31 - 1, 2**31, 5 * 2**29, 3 * 2**30, 7 * 2**29, 2**32 - 1):
        z = gaussian32(np.array([word], np.uint64), np.array([angle], np.uint64), np.float32(0), std)[0]
        turn = 2 * math.pi * angle / 2**32
        np.testing.assert_allclose(z, [radius * math.cos(turn), radius * math.sin(turn)], atol=5e-7 * radius)


@settings(max_examples=60, deadline=None)
@given(images, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), dtypes, st.integers(0, 2**32 - 1))
def test_im2col_and_its_adjoint(shape, k, stride, padding, dtype, seed):
    N, H, W, C = shape
    if min(H, W) + 2 * padding < k:
        return
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    naive = im2col(x, k, stride, padding)

    def forward(x, kernel=kernels.im2col):
        cols = np.full(naive.shape, np.nan, dtype)
        kernel(x, k, k, stride, padding, cols)
        return cols

    def adjoint(cols, kernel=kernels.col2im):
        out = np.full(shape, np.nan, dtype)
        kernel(cols, k, k, stride, padding, out)
        return out

    assert (forward(x) == naive).all()
    assert (forward(x, kernels.im2col.py_func) == naive).all()
    c = rng.standard_normal(naive.shape).astype(dtype)
    assert checks.adjoint_check(forward, adjoint, x, c) < 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(adjoint(c), adjoint(c, kernels.col2im.py_func), rtol=20 * np.finfo(dtype).eps, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(images, st.integers(1, 3), st.integers(1, 3), dtypes, st.integers(0, 2**32 - 1))
def test_max_pool_and_its_subgradient(shape, size, stride, dtype, seed):
    if min(shape[1:3]) < size:
        return
    rng = np.random.default_rng(seed)
    y = rng.integers(-3, 4, shape).astype(dtype)  # small integers: many ties
    out, arg = max_pool(y, size, stride)
    for kernel in (kernels.max_pool, kernels.max_pool.py_func):
        o, a = np.full(out.shape, np.nan, dtype), np.full(out.shape, 99, np.uint16)
        kernel(y, size, stride, o, a)
        assert (o == out).all() and (a == arg).all()
    dout = rng.standard_normal(out.shape).astype(dtype)
    expected = np.zeros(shape)
    for n, i, j, c in np.ndindex(out.shape):
        w = arg[n, i, j, c]
        expected[n, i * stride + w // size, j * stride + w % size, c] += dout[n, i, j, c]
    for kernel in (kernels.max_pool_backward, kernels.max_pool_backward.py_func):
        dy = np.full(shape, np.nan, dtype)
        kernel(dout, arg.astype(np.uint16), size, stride, dy)
        np.testing.assert_allclose(dy, expected, rtol=10 * np.finfo(dtype).eps, atol=1e-5 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("place", range(4))
def test_max_pool_lets_nan_through(place):
    y = np.ones((1, 2, 2, 1), np.float32)
    y.reshape(-1)[place] = np.nan
    out, arg = np.zeros((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1), np.uint16)
    kernels.max_pool(y, 2, 2, out, arg)
    assert np.isnan(out).all()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.sampled_from([0.5, 0.3, 0.9, 1.0]))
def test_expected_max_pool_is_the_average_over_all_masks(values, keep):
    y = np.array(values).reshape(1, 2, 2, 1)
    for kernel in (kernels.expected_max_pool, kernels.expected_max_pool.py_func):
        out = np.zeros((1, 1, 1, 1))
        kernel(y, keep, 2, 2, np.empty((4, 1)), out)
        assert out.item() == pytest.approx(expected_max(values, keep), rel=1e-12, abs=1e-12)


def test_expected_max_pool_of_ones():
    """At keep = 1/2, rescaled by 1/keep: four ones give 1.875, not 1; four minus ones give -0.125, not -1."""
    out = np.zeros((1, 1, 1, 1))
    for value, wanted in ((1.0, 1.875), (-1.0, -0.125)):
        kernels.expected_max_pool(np.full((1, 2, 2, 1), value), 0.5, 2, 2, np.empty((4, 1)), out)
        assert 2 * out.item() == wanted
