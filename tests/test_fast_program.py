"""A Program against its network: stages against layers, in both directions, in any form that arrays may come in."""

import pickle

import numpy as np
import pytest

from minibayes import BayesianNetwork, DivergenceError, InputError, models, nn
from minibayes.fast import conv_stage, parallel
from minibayes.fast.memory import StepMemory
from minibayes.fast.program import Program

NOISES = [nn.Delta(), nn.Bernoulli(0.5), nn.Bernoulli(0.9), nn.Gaussian(0.7)]


def tiny_conv(rng, noise, noise_per, rise=None, pooled=True):
    """conv, pool, ReLU, or conv, rise, pool; without the pooling if not pooled. None where the sizes do not fit."""
    k, stride, padding, c_in, c_out = (int(v) for v in rng.integers([1, 1, 0, 1, 1], [5, 3, 3, 12, 6]))
    H, W = (int(v) for v in rng.integers(8, 14, 2))
    size, pool_stride = (int(v) for v in rng.integers([1, 1], [4, 4]))
    conv = nn.Conv2d(c_in, c_out, k, stride=stride, padding=padding, noise=noise, noise_per=noise_per)
    pool = nn.MaxPool2d(size, pool_stride)
    try:
        shape = pool.output_shape(conv.output_shape((H, W, c_in)))
    except ValueError:
        return None
    order = {"p": pool, "r": nn.ReLU()} if rise is None else {"r": rise, "p": pool}
    if not pooled:
        shape = conv.output_shape((H, W, c_in))
        del order["p"]
    n = int(np.prod(shape))
    return nn.Network((H, W, c_in), c=conv, **order, f=nn.Flatten(), d=nn.Dense(n, 5, noise=noise), t=nn.Tanh(),
                      e=nn.Dense(5, 3, noise=noise))


def shaken(net, rng):
    """Parameters with biases that are not zero."""
    params = net.init(rng, np.float64)
    for group in params.values():
        for name in group.keys() - {"M"}:
            group[name] = group[name] + 0.5 * rng.standard_normal(group[name].shape)
    return params


def compare(net, params, x, z, rng, tolerance):
    fused = Program(net)
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
    route = fused.route(False)
    passed = route.passes(params, route.prefix(params, x, fused.work), z, 1, fused.work)
    np.testing.assert_allclose(passed, f, rtol=tolerance, atol=tolerance)



@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["dense backward", "sparse backward"])
@pytest.mark.parametrize("narrow", [0, 10**6], ids=["rows", "planes"])
@pytest.mark.parametrize("seed", range(12))
def test_a_program_is_its_network(seed, narrow, sparse, monkeypatch):
    """Every way through the stage, at random kernels, strides, paddings, poolings (overlapping, or leaving a rest) and noises."""
    monkeypatch.setattr(conv_stage, "NARROW", narrow)
    monkeypatch.setattr(conv_stage, "SPARSE", sparse)
    monkeypatch.setattr(conv_stage, "BLOCK", 3)
    rng, tried = np.random.default_rng(seed), 0
    while tried < 5:
        rise = (None, nn.ReLU(), nn.Tanh(), nn.ReLU(), nn.Tanh())[tried]
        net = tiny_conv(rng, NOISES[rng.integers(4)], ("patch", "kernel")[rng.integers(2)], rise, pooled=tried < 3)
        if net is None:
            continue
        tried += 1
        params, x = shaken(net, rng), rng.standard_normal((5, *net.input_shape))
        compare(net, params, x, net.sample(seed, x.shape, shared=bool(rng.integers(2)), dtype=np.float64), rng, 1e-11)


@pytest.mark.parametrize("rise", [nn.ReLU(), nn.Tanh()], ids=repr)
def test_what_rises_between_a_convolution_and_its_pooling_comes_after_it(rise):
    conv, drop = nn.Conv2d(2, 4, 3, noise=nn.Bernoulli(0.5)), nn.Bernoulli(0.5)
    net = nn.Network((9, 8, 2), c=conv, r=rise, p=nn.MaxPool2d(2), c2=nn.Conv2d(4, 3, 2, noise=drop), f=nn.Flatten(), d=nn.Dense(12, 3))
    stages = Program(net).stages
    assert [(type(stage).__name__, stage.name) for stage in stages] == [("Conv", "c"), ("Conv", "c2"), ("Plain", "f"), ("DenseStack", "d")]
    assert stages[0].rise == rise and stages[0].pool.size == 2 and stages[1].rise is None and stages[1].pool.size == 1
    odd = nn.Network((9, 8, 2), c=conv, r=type("OddReLU", (type(rise),), {})(), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(36, 3))
    assert [type(stage).__name__ for stage in Program(odd).stages[:3]] == ["Conv", "Plain", "Plain"]  # a subclass need not rise


def test_a_tanh_behind_noise_per_kernel_is_not_linear_in_z():
    """tanh(z y) = z tanh(y) for z in {0, 1}, but the route of parts takes what it was proved for: nothing and ReLU."""
    for rise, route in ((nn.ReLU(), "KernelRoute"), (nn.Tanh(), "StageRoute")):
        conv = nn.Conv2d(1, 4, 3, noise=nn.Bernoulli(0.5), noise_per="kernel")
        net = nn.Network((9, 9, 1), c=conv, r=rise, c2=nn.Conv2d(4, 3, 3), f=nn.Flatten(), d=nn.Dense(75, 3, noise=nn.Bernoulli(0.5)))
        assert type(Program(net).route(False)).__name__ == route


def test_tanh_in_a_dense_stack():
    rng = np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(4, 9), t=nn.Tanh(), b=nn.Dense(9, 7, noise=nn.Bernoulli(0.5)), u=nn.Tanh(),
                     c=nn.Dense(7, 3, noise=nn.Gaussian()))
    assert [type(stage).__name__ for stage in Program(net).stages] == ["DenseStack"] * 2
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 3e-6)):
        params, x = net.init(0, dtype), rng.standard_normal((6, 4)).astype(dtype)
        compare(net, params, x, net.sample(0, x.shape, dtype=dtype), rng, tolerance)


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
    fused, params, x = Program(net), net.init(0, np.float64), np.random.default_rng(0).standard_normal((2, 6, 6, 1))
    z = {"c": np.zeros((2, 4, 4, 2), np.uint8)}
    f, caches = fused.forward(params, x, z)
    _, grads = fused.backward(params, caches, np.ones_like(f))
    assert (f == 0).all() and (grads["c"]["M"] == 0).all() and (grads["c"]["b"] == 0).all()


def test_nan_comes_through_every_stage():
    net, x = models.lenet("all"), np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    params = net.init(0)
    x[1, 14, 14, 0] = np.nan
    z = {name: np.ones_like(a) for name, a in net.sample(0, x.shape).items()}
    f, _ = Program(net).forward(params, x, z)
    assert np.isnan(f[1]).all() and np.isfinite(f[0]).all()


def test_a_parameter_that_becomes_nan_is_the_documented_error(monkeypatch):
    """NaN through the fused kernels surfaces as DivergenceError at that step, not as a wrong number."""
    original = StepMemory.begin

    def begin(self, params, state, *args):
        tasks, new, new_state = original(self, params, state, *args)
        return [*tasks, lambda: new["conv1"]["b"].fill(np.nan) if state["step"] == 2 else None], new, new_state

    monkeypatch.setattr(StepMemory, "begin", begin)
    x, y = np.random.default_rng(0).random((32, 28, 28, 1), np.float32), np.zeros(32, int)
    with pytest.raises(DivergenceError, match="step 4"):
        BayesianNetwork(models.lenet("all")).fit(x, y, steps=6, batch_size=8, threads=1)


def test_workspaces_belong_to_threads():
    net = models.lenet("all")
    fused, params = Program(net), net.init(0)
    xs = [np.random.default_rng(i).random((4, 28, 28, 1), np.float32) for i in range(6)]
    alone = [net.forward(params, x, net.sample(0, x.shape))[0] for x in xs]
    with parallel.pool(3) as run:
        together = run(lambda x: fused.forward(params, x, net.sample(0, x.shape))[0].copy(), xs * 4)
    for i, f in enumerate(together):
        np.testing.assert_allclose(f, alone[i % 6], rtol=1e-4, atol=1e-5)


PLACES = [nn.Inputs(), nn.Outputs(), nn.Weights(), nn.Local()]
PLACED = [nn.Bernoulli(0.6), nn.Gaussian(0.5), nn.LearnedGaussian(0.5), nn.LearnedGaussian(0.5, "unit")]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("place", PLACES, ids=repr)
@pytest.mark.parametrize("noise", PLACED, ids=repr)
def test_noise_that_acts_elsewhere_or_learns(noise, place, shared):
    """The gradients with dL/dz in them, and what `pull` makes of it, are those of the network; `out` gets the weights'."""
    if place == nn.Local() and not noise.local:
        return
    conv = nn.Conv2d(2, 3, 3, noise=noise, place=nn.Outputs() if place == nn.Inputs() else place)
    net = nn.Network((7, 6, 2), c=conv, p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(12, 5, noise=noise, place=place), r=nn.ReLU(),
                     e=nn.Dense(5, 3, noise=nn.Bernoulli(0.5)))
    fused, rng = Program(net), np.random.default_rng(0)
    params, x = shaken(net, rng), rng.standard_normal((4, 7, 6, 2))
    eps = net.draw(2, x.shape, shared=shared, dtype=np.float64)
    z = net.z(params, eps)
    f, caches = net.forward(params, x, z)
    g, fused_caches = fused.forward(params, x, fused.z(params, eps))
    np.testing.assert_allclose(g, f, rtol=1e-11)
    df = rng.standard_normal(f.shape)
    dx, grads = net.backward(params, caches, df)
    out = {name: {p: np.full_like(a, np.nan) for p, a in group.items()} for name, group in params.items()}
    fused_dx, fused_grads = fused.backward(params, fused_caches, df, out=out)
    np.testing.assert_allclose(fused_dx, dx, rtol=1e-10, atol=1e-11)
    for pulled, fused_pulled in ((grads, fused_grads), (net.pull(params, eps, grads), fused.pull(params, eps, fused_grads))):
        assert list(pulled) == list(fused_pulled)
        for name, group in pulled.items():
            assert set(group) == set(fused_pulled[name])
            for p in group:
                np.testing.assert_allclose(fused_pulled[name][p], group[p], rtol=1e-10, atol=1e-11)
    assert all((out[name][p] == fused_grads[name][p]).all() for name in out for p in ("M", "b"))


ORDERS = {"columns": np.asfortranarray, "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
          "read-only": lambda a: read_only(a.copy()), "backwards": lambda a: a[::-1].copy()[::-1]}


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("noise_per", ["patch", "kernel"])
def test_arrays_in_any_memory_order(order, noise_per):
    """Parameters, x, z, df and the arrays for gradients: the bits are those of arrays in rows, and nothing given is written to."""
    rng, turned = np.random.default_rng(0), ORDERS[order]
    net = nn.Network((9, 8, 2), c=nn.Conv2d(2, 4, 3, padding=1, noise=nn.Bernoulli(0.5), noise_per=noise_per), p=nn.MaxPool2d(2),
                     f=nn.Flatten(), d=nn.Dense(64, 6, noise=nn.Gaussian(0.4)), r=nn.ReLU(), e=nn.Dense(6, 6))
    fused, params, x = Program(net), shaken(net, rng), rng.standard_normal((5, 9, 8, 2))
    z, df = net.sample(1, x.shape, dtype=np.float64), rng.standard_normal((5, 6))

    def run(form):
        given = {name: {p: form(a) for p, a in group.items()} for name, group in params.items()}
        f, caches = fused.forward(given, form(x), {name: form(a) for name, a in z.items()})
        out = None if order == "read-only" else {name: {p: form(np.zeros_like(a)) for p, a in g.items()} for name, g in params.items()}
        dx, grads = fused.backward(given, caches, form(df), out=out)
        assert out is None or all(out[name][p] is grads[name][p] for name in out for p in out[name])
        passes = [f for _, f in fused.passes(given, form(x), nn.Key(3), 3, lambda so_far, f, passes, rows: f)]
        return [f, dx, *passes, *(a for group in grads.values() for a in group.values())]

    for a, b in zip(run(np.ascontiguousarray), run(turned), strict=True):
        assert (a == b).all()


def test_what_is_returned_is_the_callers():
    net = models.mlp([4, 5, 3])
    fused, params, x = Program(net), net.init(0), np.ones((2, 4), np.float32)
    f, caches = fused.forward(params, x, net.sample(0, x.shape))
    dx, _ = fused.backward(params, caches, f)
    before = f.copy(), dx.copy()
    _, caches = fused.forward(params, 3 * x, net.sample(1, x.shape))
    fused.backward(params, caches, 2 * f)
    assert (f == before[0]).all() and (dx == before[1]).all()


def test_parameters_and_noise_of_another_shape_or_dtype_are_one_clear_error():
    net = models.mlp([4, 5, 3])
    fused, params, x = Program(net), net.init(0), np.ones((2, 4), np.float32)
    z = net.sample(0, x.shape)
    with pytest.raises(InputError, match=r"params\['fc1'\]\['M'\] must be \(5, 4\) of float64"):
        fused.forward(params, x.astype(np.float64), z)
    with pytest.raises(InputError, match=r"\['fc2'\]\['b'\] must be \(3,\) of float32.*got \(2,\) of float32"):
        fused.forward(params | {"fc2": params["fc2"] | {"b": np.zeros(2, np.float32)}}, x, z)
    with pytest.raises(InputError, match=r"z\['fc2'\] must have shape"):
        fused.forward(params, x, z | {"fc2": np.ones((3, 5), np.uint8)})
    with pytest.raises(InputError, match="noisy layers"):
        fused.forward(params, x, {})


def test_a_program_pickles_and_copies():
    net = models.lenet("all")
    fused = pickle.loads(pickle.dumps(Program(net, threads=2)))
    params, x = net.init(0), np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    z = net.sample(0, x.shape)
    assert fused.threads == 2 and (fused.forward(params, x, z)[0] == Program(net).forward(params, x, z)[0]).all()


def test_a_network_without_parameters_has_a_backward():
    net = nn.Network((4,), t=nn.Tanh())
    x = np.ones((2, 4))
    f, caches = Program(net).forward({}, x, {})
    dx, grads = Program(net).backward({}, caches, f)
    assert grads == {} and (dx == net.backward({}, net.forward({}, x, {})[1], f)[0]).all()
