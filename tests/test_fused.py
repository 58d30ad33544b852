"""Every fast path against its plain twin: fused stages against layers, sparse against dense, the flat step against combine and update."""

import ctypes

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cfunc, njit, types

from minibayes import BayesianNetwork, DivergenceError, bayes, kernels, models, nn
from minibayes.fast import conv_stage, parallel
from minibayes.fast import memory as memory_module
from minibayes.fast.memory import StepMemory
from minibayes.fast.program import FusedNetwork
from minibayes.kernels import blas

NOISES = [nn.Delta(), nn.Bernoulli(0.5), nn.Bernoulli(0.9), nn.Gaussian(0.7)]


def tiny_conv(rng, noise, noise_per):
    k, stride, padding, c_in, c_out = (int(v) for v in rng.integers([1, 1, 0, 1, 1], [5, 3, 3, 12, 6]))
    H, W = (int(v) for v in rng.integers(8, 14, 2))
    size, pool_stride = (int(v) for v in rng.integers([1, 1], [4, 4]))
    conv = nn.Conv2d(c_in, c_out, k, stride=stride, padding=padding, noise=noise, noise_per=noise_per)
    pool = nn.MaxPool2d(size, pool_stride)
    try:
        shape = pool.output_shape(conv.output_shape((H, W, c_in)))
    except ValueError:
        return None
    n = int(np.prod(shape))
    return nn.Network((H, W, c_in), c=conv, p=pool, r=nn.ReLU(), f=nn.Flatten(), d=nn.Dense(n, 5, noise=noise), t=nn.Tanh(),
                      e=nn.Dense(5, 3, noise=noise))


def compare(net, params, x, z, rng, tolerance):
    fused = FusedNetwork(net)
    f, caches = net.forward(params, x, z)
    g, fused_caches = fused.forward(params, x, z)
    np.testing.assert_allclose(g, f, rtol=tolerance, atol=tolerance)
    df = rng.standard_normal(f.shape).astype(f.dtype)
    dx, grads = net.backward(params, caches, df)
    fused_dx, fused_grads = fused.backward(params, fused_caches, df)
    np.testing.assert_allclose(fused_dx, dx, rtol=tolerance, atol=10 * tolerance)
    assert list(fused_grads) == list(grads)
    for name in grads:
        for p in grads[name]:
            scale = max(1, np.abs(grads[name][p]).max())
            np.testing.assert_allclose(fused_grads[name][p], grads[name][p], rtol=tolerance, atol=10 * tolerance * scale)
    out = {name: {p: np.full_like(a, np.nan) for p, a in group.items()} for name, group in params.items()}
    fused.backward(params, fused.forward(params, x, z)[1], df, want_dx=False, out=out)
    assert all((out[name][p] == fused_grads[name][p]).all() for name in out for p in out[name])
    h = fused.prefix(params, x)
    np.testing.assert_allclose(fused.suffix(params, h, z), f, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["dense backward", "sparse backward"])
@pytest.mark.parametrize("narrow", [0, 10**6], ids=["rows", "planes"])
@pytest.mark.parametrize("seed", range(12))
def test_fused_network_is_the_network(seed, narrow, sparse, monkeypatch):
    """Every way through the stage, at random kernels, strides, paddings, poolings (overlapping, or leaving a rest) and noises."""
    monkeypatch.setattr(conv_stage, "NARROW", narrow)
    monkeypatch.setattr(conv_stage, "SPARSE", sparse)
    monkeypatch.setattr(conv_stage, "BLOCK", 3)
    rng, tried = np.random.default_rng(seed), 0
    while tried < 3:
        net = tiny_conv(rng, NOISES[rng.integers(4)], ("patch", "kernel")[rng.integers(2)])
        if net is None:
            continue
        tried += 1
        params, x = net.init(rng, np.float64), rng.standard_normal((5, *net.input_shape))
        for group in params.values():
            group["b"] += rng.standard_normal(group["b"].shape)
        compare(net, params, x, net.sample(seed, x.shape, shared=bool(rng.integers(2)), dtype=np.float64), rng, 1e-11)


@pytest.mark.parametrize("variant", models.VARIANTS)
@pytest.mark.parametrize("noise_per", ["patch", "kernel"])
def test_fused_lenet_in_both_precisions(variant, noise_per):
    rng = np.random.default_rng(0)
    net = models.lenet(variant, noise_per=noise_per)
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 1e-4)):
        params, x = net.init(0, dtype), rng.random((9, 28, 28, 1)).astype(dtype)
        compare(net, params, x, net.sample(1, x.shape), rng, tolerance)


def test_fused_backward_is_exactly_zero_where_units_were_dropped():
    net = nn.Network((6, 6, 1), c=nn.Conv2d(1, 2, 3, noise=nn.Bernoulli(0.5)), p=nn.MaxPool2d(2))
    fused, params, x = FusedNetwork(net), net.init(0, np.float64), np.random.default_rng(0).standard_normal((2, 6, 6, 1))
    z = {"c": np.zeros((2, 4, 4, 2), np.uint8)}
    f, caches = fused.forward(params, x, z)
    _, grads = fused.backward(params, caches, np.ones_like(f))
    assert (f == 0).all() and (grads["c"]["M"] == 0).all() and (grads["c"]["b"] == 0).all()


def test_nan_comes_through_every_stage():
    net, x = models.lenet("all"), np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    params = net.init(0)
    x[1, 14, 14, 0] = np.nan
    z = {name: np.ones_like(a) for name, a in net.sample(0, x.shape).items()}
    f, _ = FusedNetwork(net).forward(params, x, z)
    assert np.isnan(f[1]).all() and np.isfinite(f[0]).all()


def test_a_parameter_that_becomes_nan_is_the_documented_error(monkeypatch):
    """NaN through the fused kernels surfaces as DivergenceError at that step, not as a wrong number."""
    original = StepMemory.begin

    def begin(self, params, state, count, parts):
        tasks, new, new_state = original(self, params, state, count, parts)
        return [*tasks, lambda: new["conv1"]["b"].fill(np.nan) if state["step"] == 2 else None], new, new_state

    monkeypatch.setattr(StepMemory, "begin", begin)
    x, y = np.random.default_rng(0).random((32, 28, 28, 1), np.float32), np.zeros(32, int)
    with pytest.raises(DivergenceError, match="step 4"):
        BayesianNetwork(models.lenet("all")).fit(x, y, steps=6, batch_size=8, threads=1)


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
    scratch = np.empty(max(7, k * Ho) * 3 * Wo * k * channels)
    for kernel in both(kernels.respond):
        y = np.full((Ho, 3, Wo, K), np.nan)
        kernel(x, rows, k, stride, narrow, scratch, y)
        np.testing.assert_allclose(y.transpose(1, 0, 2, 3), cols @ M.reshape(K, -1).T, rtol=1e-12, atol=1e-12)
    delta, arg = rng.standard_normal((3, Ho, Wo, K)), np.zeros((3, Ho, Wo, K), np.uint8)  # a pooling of size 1
    wanted = np.zeros(x.shape)
    kernels.col2im(np.ascontiguousarray(delta @ M.reshape(K, -1)), k, k, stride, 0, wanted)
    for kernel in both(kernels.conv_backward):
        dM, dx = np.full((K, numbers), np.nan), np.full(x.shape, np.nan)
        kernel(x, M.reshape(K, -1), delta, arg, k, stride, narrow, 1, 1, 2, scratch, np.empty(3 * Ho * Wo * K), dM, True, dx)
        dM = dM.reshape(K, channels, k, k).transpose(0, 2, 3, 1) if narrow else dM.reshape(M.shape)
        np.testing.assert_allclose(dM.reshape(K, -1), np.einsum("nijo,nijd->od", delta, cols), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(dx, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_matrix_products_of_compiled_code(ta, tb, dtype):
    """NumPy's BLAS, called by address, and the loops that stand in where it is not found, on matrices that are parts of larger ones."""
    real = {np.float32: types.float32, np.float64: types.float64}[dtype]
    loops = cfunc(blas.signature(real))(blas.loops)
    routine = loops.ctypes

    @njit
    def compiled(ta, tb, a, b, beta, c):
        blas.gemm(ta, tb, a, b, beta, c)

    def by_loops(ta, tb, a, b, beta, c):
        m, k = a.shape[::-1] if ta else a.shape
        pointers = [m_.ctypes.data_as(ctypes.POINTER(ctypes.c_float if dtype == np.float32 else ctypes.c_double)) for m_ in (a, b, c)]
        lds = [m_.strides[0] // m_.itemsize for m_ in (a, b, c)]
        routine(101, 112 if ta else 111, 112 if tb else 111, m, c.shape[1], k, 1.0, pointers[0], lds[0], pointers[1], lds[1], beta,
                pointers[2], lds[2])

    rng = np.random.default_rng(0)
    A, B, C = (rng.standard_normal(shape).astype(dtype) for shape in ((7, 5), (5, 3), (7, 3)))
    a, b = np.zeros((5, 9) if ta else (7, 7), dtype), np.zeros((3, 6) if tb else (5, 4), dtype)
    a, b = a[:, :7 if ta else 5], b[:, :5 if tb else 3]
    a[...], b[...] = A.T if ta else A, B.T if tb else B
    for product in (compiled, by_loops, blas.gemm):
        for beta in (0.0, 1.0, -2.0):
            whole = np.full((7, 5), np.nan, dtype)
            c = whole[:, 1:4]
            if beta:
                c[...] = C
            product(ta, tb, a, b, beta, c)
            np.testing.assert_allclose(c, A @ B + (beta * C if beta else 0), rtol=1e-5 if dtype == np.float32 else 1e-13)
            assert np.isnan(whole[:, [0, 4]]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.sampled_from(["patch", "kernel", "shared", "one"]), st.booleans(),
       st.integers(0, 2**32 - 1))
def test_noisy_max_pool_and_back(size, stride, per, bernoulli, seed):
    rng = np.random.default_rng(seed)
    y, b = rng.integers(-3, 4, (2, 5, 6, 3)).astype(float), rng.standard_normal(3)
    shape = {"patch": y.shape, "kernel": (2, 1, 1, 3), "shared": (1, 5, 6, 3), "one": (1, 1, 1, 3)}[per]
    z = rng.integers(0, 2, shape).astype(np.uint8) if bernoulli else rng.standard_normal(shape)
    noisy = z * (y + b)
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
        forward(y.reshape(-1), 90, 18, 6, b, z, size, stride, o, a, s)
        assert (o == out).all() and (a == arg).all() and (s == slope).all()
        value = np.full(out.shape, np.nan)
        (kernels.noisy_max_pool_value if forward is kernels.noisy_max_pool else kernels.noisy_max_pool_value.py_func)(
            y.reshape(-1), 90, 18, 6, b, z, size, stride, 1, value)
        assert (value == out).all()
        delta, db, written = np.full(out.shape, np.nan), np.full(C, np.nan), np.full((5, 2, 6, 3), np.nan)
        count = backward(dout, s, delta, db)
        assert (delta == slope * dout).all() and count == np.count_nonzero(delta)
        np.testing.assert_allclose(db, dy.sum(axis=(0, 1, 2)), rtol=1e-12, atol=1e-12)
        scatter(delta, a, size, stride, written)
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
    kernels.scatter(delta, arg, size, pool_stride, dy)
    dy = np.ascontiguousarray(dy.transpose(1, 0, 2, 3))
    dM = np.einsum("nijo,nijd->od", dy, cols)
    dx = np.zeros(x.shape)
    kernels.col2im(np.ascontiguousarray(dy @ M.reshape(K, -1)), k, k, stride, 0, dx)
    for form in (lambda kernel: kernel, lambda kernel: kernel.py_func):
        value, offset = np.empty(2 * P * Q + K + 8), np.empty(2 * P * Q + K + 8, np.uint64)
        got, back, strip = np.full((K, k, k * 3), np.nan), np.full(x.shape, np.nan), 8 * k * 3
        form(kernels.pooled_conv_dM)(delta, arg, size, pool_stride, x.reshape(-1), 9, 8 * 3, stride, stride * 3, value, offset, got)
        form(kernels.pooled_conv_dx)(delta, arg, size, pool_stride, M, stride, value, offset, back)
        np.testing.assert_allclose(got.reshape(K, -1), dM, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(back, dx, rtol=1e-12, atol=1e-12)
        strips, long = np.full(2 * Ho * strip + 2, np.nan), np.full((K, 1, k * k * 3 + 2), np.nan)
        form(kernels.strips)(x, k, stride, strips)
        form(kernels.pooled_conv_dM)(delta, arg, size, pool_stride, strips, Ho, strip, 1, stride * k * 3, value, offset, long)
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


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1, momentum=0.9, policy="inv", multipliers={"fc1": {"b": 2.0}}), nn.Adam(0.01)], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_flat_step_is_combine_and_update_bit_for_bit(optimizer, dtype, count, parts, monkeypatch):
    monkeypatch.setattr(memory_module, "HOP", 1)
    net = models.mlp([60, 90, 7])  # more numbers than one chunk of the kernel
    objective = bayes.Objective(net, bayes.Prior(30.0), bayes.Categorical(), 50)
    rng = np.random.default_rng(0)
    start = net.init(rng, dtype)
    memory = StepMemory(optimizer, start, 5, objective.weight_decay(start))
    fast = slow = start
    state = fast_state = optimizer.init(start)
    for _ in range(4):
        shards = [(1.0, {n: {p: rng.standard_normal(a.shape).astype(dtype) for p, a in g.items()} for n, g in start.items()})
                  for _ in range(count)]
        for i, (_, grads) in enumerate(shards):
            for n, p, a in nn.optimizers.leaves(grads):
                memory.grads[i][n][p][...] = a
        terms, grads = objective.combine(slow, shards, 10)
        slow, state = optimizer.update(slow, grads, state)
        old = {n: {p: a.copy() for p, a in g.items()} for n, g in fast.items()}
        tasks, new, new_state = memory.begin(fast, fast_state, count, parts)
        assert len(tasks) == min(parts, 2)
        for task in reversed(tasks):
            task()
        assert memory.penalty() == pytest.approx(terms.kl / 50, rel=1e-6 if dtype == np.float32 else 1e-13)
        assert all((old[n][p] == fast[n][p]).all() for n in old for p in old[n])  # the old state stays whole
        fast, fast_state = new, new_state
        for n, p, a in nn.optimizers.leaves(slow):
            assert (fast[n][p] == a).all()
            assert all((fast_state[slot][n][p] == state[slot][n][p]).all() for slot in optimizer.slots)
    assert fast_state["step"] == state["step"] == 4


def test_update_kernels_are_their_py_func():
    rng = np.random.default_rng(0)
    n, bounds, decay, rate = 30, np.array([0, 11, 30]), np.array([0.1, 0.2]), np.array([0.5, 1.5])
    shards, theta, v, m = rng.standard_normal((3, n)), *rng.standard_normal((2, n)), np.abs(rng.standard_normal(n))
    for kernel, args in ((kernels.sgd_shards, (theta, v, 0.9)), (kernels.adam_shards, (theta, v, m, 0.9, 0.99, 1e-8, 0.5, 0.4))):
        results = []
        for form in (kernel, kernel.py_func):
            outs, penalty = [np.zeros(n) for _ in range(2 if kernel is kernels.sgd_shards else 3)], np.zeros(1)
            form(shards, 0, 29, bounds, decay, rate, *args, *outs, penalty)
            assert all(o[29] == 0 for o in outs)
            assert penalty[0] == pytest.approx((0.1 * (theta[:11] ** 2).sum() + 0.2 * (theta[11:29] ** 2).sum()) / 2, rel=1e-13)
            results.append(outs)
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)


def test_workspaces_belong_to_threads():
    net = models.lenet("all")
    fused, params = FusedNetwork(net), net.init(0)
    xs = [np.random.default_rng(i).random((4, 28, 28, 1), np.float32) for i in range(6)]
    alone = [net.forward(params, x, net.sample(0, x.shape))[0] for x in xs]
    with parallel.pool(3) as run:
        together = run(lambda x: fused.forward(params, x, net.sample(0, x.shape))[0].copy(), xs * 4)
    for i, f in enumerate(together):
        np.testing.assert_allclose(f, alone[i % 6], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("net", [
    models.lenet("all", noise_per="kernel"),
    nn.Network((9, 10, 2), c=nn.Conv2d(2, 7, 3, padding=1, noise=nn.Bernoulli(0.6), noise_per="kernel"), p=nn.MaxPool2d(3, 2), r=nn.ReLU(),
               e=nn.Conv2d(7, 5, 2, stride=2, padding=1, noise=nn.Gaussian(0.5)), q=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(5, 3)),
    models.mlp([12, 30, 20, 4], input_noise=nn.Bernoulli(0.7)),
    nn.Network(a=nn.Dense(12, 9, noise=nn.Bernoulli(0.5)), t=nn.Tanh(), b=nn.Dense(9, 8), r=nn.ReLU(),
               c=nn.Dense(8, 7, noise=nn.Bernoulli(0.4)), d=nn.Dense(7, 3, noise=nn.Bernoulli(0.9))),
    models.mlp([12, 30, 4], noise=nn.Gaussian(0.3)),
    models.lenet("ip"),
    models.mlp([12, 30, 20, 4], input_noise=nn.Bernoulli(1.0)),
    models.lenet("none"),
], ids=["lenet, kernels", "kernels, relu, MGN", "mlp", "dense", "MGN", "lenet-ip", "keep 1 first", "no noise"])
def test_passes_that_share_work(net, T, shared):
    """Every route against the plain network: T passes at 5 inputs, each with its own noise or one for all."""
    rng = np.random.default_rng(0)
    params, x, fused = net.init(0, np.float64), rng.standard_normal((5, *net.input_shape)), FusedNetwork(net)
    for group in params.values():
        group["b"] += rng.standard_normal(group["b"].shape)
    rows = T if shared else 5 * T
    z = net.sample(3, (rows, *net.input_shape), np.arange(rows) % 5, np.arange(rows) // 2, dtype=np.float64)
    plain = net.passes(params, net.prefix(params, x), z, T)
    np.testing.assert_allclose(fused.passes(params, fused.prefix(params, x), z, T), plain, rtol=1e-10, atol=1e-10)
    for n in range(5):
        for t in range(T):
            alone = {name: a[t:t + 1] if shared else a[n * T + t:n * T + t + 1] for name, a in z.items()}
            np.testing.assert_allclose(plain[n * T + t], net.forward(params, x[n:n + 1], alone)[0][0], rtol=1e-10, atol=1e-10)


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


class ByColumns(nn.Tanh):
    """A user's own layer whose output lies in memory column by column."""

    def forward(self, params, x, z=1):
        y, cache = super().forward(params, x, z)
        return np.asfortranarray(y), cache


def test_shared_passes_take_any_memory_order():
    rng = np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(4, 6, noise=nn.Bernoulli(0.5)), t=ByColumns(), b=nn.Dense(6, 3))
    params, x, z = net.init(0, np.float64), rng.standard_normal((7, 4)), net.sample(1, (2, 4))
    params["b"]["M"] = np.asfortranarray(params["b"]["M"])
    wanted = np.stack([net.forward(params, x, {"a": z["a"][t:t + 1]})[0] for t in range(2)], axis=1).reshape(14, 3)
    fused = FusedNetwork(net)
    np.testing.assert_allclose(fused.passes(params, fused.prefix(params, x), z, 2), wanted, rtol=1e-11)


def test_expected_pooling_in_stages():
    net, rng = models.lenet("all"), np.random.default_rng(0)
    params, x = net.init(0, np.float64), rng.random((5, 28, 28, 1))
    for group in params.values():
        group["b"] += rng.standard_normal(group["b"].shape)
    pooled, z = {"conv1": "pool1", "conv2": "pool2"}, net.mean_noise(np.float64)
    plain = net.expected_pooling(params, x, z, pooled)
    np.testing.assert_allclose(FusedNetwork(net).expected_pooling(params, x, z, pooled), plain, rtol=1e-12, atol=1e-12)
    assert np.abs(plain - net.forward(params, x, z)[0]).max() > 0.1


class Doubled(nn.Dense):
    """A user's own layer."""

    def forward(self, params, x, z=1):
        f, cache = super().forward(params, x, z)
        return 2 * f, cache

    def backward(self, params, cache, df, want_dx=True):
        return super().backward(params, cache, 2 * df, want_dx)


def test_a_subclass_runs_as_it_is():
    rng = np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(4, 6), r=nn.ReLU(), b=nn.Dense(6, 5, noise=nn.Bernoulli(0.5)), c=Doubled(5, 3))
    params, x = net.init(0, np.float64), rng.standard_normal((7, 4))
    compare(net, params, x, net.sample(0, x.shape), rng, 1e-11)
    z = net.sample(1, (2, 4))  # two passes, each shared by all inputs
    wanted = np.stack([net.forward(params, x, {"b": z["b"][t:t + 1]})[0] for t in range(2)], axis=1).reshape(14, 3)
    fused = FusedNetwork(net)
    np.testing.assert_allclose(fused.passes(params, fused.prefix(params, x), z, 2), wanted, rtol=1e-11)
