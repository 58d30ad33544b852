"""Passes that share work: every route, and the sweeps over all inputs, against one forward pass after another."""

import numpy as np
import pytest

from minibayes import bayes, models, nn
from minibayes.fast import parallel, routes, sweep
from minibayes.fast.program import Program

NETS = [
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
    nn.Network(a=nn.Dense(12, 9, noise=nn.Bernoulli(0.5), place=nn.Weights()), r=nn.ReLU(), b=nn.Dense(9, 4, noise=nn.Gaussian(0.3))),
    nn.Network((9, 8, 2), c=nn.Conv2d(2, 4, 3, noise=nn.Bernoulli(0.5), noise_per="kernel"), p=nn.MaxPool2d(2),
               d=nn.Conv2d(4, 3, 2), q=nn.MaxPool2d(2), f=nn.Flatten(), e=nn.Dense(3, 3, noise=nn.Gaussian(0.5), place=nn.Local())),
    nn.Network(a=nn.Dense(12, 9, noise=nn.LearnedGaussian(0.4, "unit")), r=nn.ReLU(), b=nn.Dense(9, 4, noise=nn.Bernoulli(0.5))),
    nn.Network((8, 7, 2), c=nn.Conv2d(2, 4, 3, noise=nn.Gaussian(0.5)), r=nn.ReLU(), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(24, 3)),
]
IDS = ["lenet, kernels", "kernels, relu, MGN", "mlp", "dense", "MGN", "lenet-ip", "keep 1 first", "no noise", "weights", "kernels, local",
       "learned", "conv-relu-pool"]


def shaken(net):
    rng, params = np.random.default_rng(0), net.init(0, np.float64)
    for group in params.values():
        group["b"] += rng.standard_normal(group["b"].shape)
    return params


def alone(net, params, x, key, t, shared):
    """f of one pass at every input, by the plain network."""
    return net.forward(params, x, net.sample(key.at(t), x.shape, shared=shared, dtype=x.dtype, params=params))[0]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_passes_that_share_work(net, N, T, shared):
    """Every route against the plain network: T passes at N inputs, each with its own noise or one for all."""
    params, x, key = shaken(net), np.random.default_rng(1).standard_normal((N, *net.input_shape)), nn.Key(3)
    fused = Program(net)
    route = fused.route(shared)
    f = sweep.sweep(fused, route, params, x, route.prefix(params, x, fused.work), slice(0, N), range(2, 2 + T), key, shared)
    assert f.shape == (T, N, net.output_shape(net.input_shape)[0])
    for t in range(T):
        np.testing.assert_allclose(f[t], alone(net, params, x, key, 2 + t, shared), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("count", [1, 7, 70])
@pytest.mark.parametrize("N", [3, 40, 300])
@pytest.mark.parametrize("net", [NETS[2], NETS[8], NETS[9], NETS[11]], ids=[IDS[i] for i in (2, 8, 9, 11)])
def test_all_passes_at_all_inputs(net, N, count, shared):
    """Each once, in the order promised, the same bits on 1 and 3 threads; the plain network's up to rounding."""
    if N * count > 4000:
        return
    params, x, key = shaken(net), np.random.default_rng(1).standard_normal((N, *net.input_shape)), nn.Key(3, 5)

    def outputs(runner):
        f, called = np.full((count, N, net.output_shape(net.input_shape)[0]), np.nan), []

        def gather(so_far, block, passes, rows):
            assert block.shape == f[passes, rows].shape and np.isnan(f[passes, rows]).all()
            assert (passes.start == so_far[-1].stop) if so_far else so_far is None
            f[passes, rows] = block
            called.append(passes)
            return [*(so_far or []), passes]

        found = list(runner.passes(params, x, key, count, gather, shared))
        starts = [rows.start for rows, _ in found]
        assert starts == sorted(starts) and sum(len(so_far) for _, so_far in found) == len(called)
        for start in set(starts):  # the tasks at the same inputs, one after another, are all the passes
            own = [passes for rows, so_far in found if rows.start == start for passes in so_far]
            assert [p.start for p in own] == [0, *(p.stop for p in own[:-1])] and own[-1].stop == count
        return f

    one = outputs(Program(net, threads=1))
    assert (one == outputs(Program(net, threads=3))).all()
    np.testing.assert_allclose(one, outputs(net), rtol=1e-9, atol=1e-10)


def test_a_few_inputs_of_each_size_side_by_side():
    """A route keeps nothing of its prefix: images of two sizes, in several threads at once."""
    net = nn.Network(c=nn.Conv2d(1, 3, 3, noise=nn.Bernoulli(0.5), noise_per="kernel"), p=nn.MaxPool2d(2), d=nn.Conv2d(3, 4, 2),
                     q=nn.MaxPool2d(9), f=nn.Flatten(), e=nn.Dense(4, 2))
    fused, params = Program(net), shaken(net)
    route, xs = fused.route(False), [np.random.default_rng(i).standard_normal((3, 24 + i % 3, 24, 1)) for i in range(6)]
    hs = [route.prefix(params, x, fused.work).copy() for x in xs]
    for x, h in zip(xs, hs, strict=True):
        f = sweep.sweep(fused, route, params, x, h, slice(0, 3), range(4), nn.Key(1), False)
        np.testing.assert_allclose(f[1], alone(net, params, x, nn.Key(1), 1, False), rtol=1e-10, atol=1e-10)
    joined = route.joined([hs[0], hs[3]])
    f = sweep.sweep(fused, route, params, np.concatenate([xs[0], xs[3]]), joined, slice(0, 6), range(1), nn.Key(1), False)
    np.testing.assert_allclose(f[0], alone(net, params, np.concatenate([xs[0], xs[3]]), nn.Key(1), 0, False), rtol=1e-10, atol=1e-10)
    with parallel.pool(3) as run:
        def two_steps(x):
            h = route.prefix(params, x, fused.work)
            return sweep.sweep(fused, route, params, x, h, slice(0, 3), range(2), nn.Key(1), False)
        for x, f in zip(xs * 4, run(two_steps, xs * 4), strict=True):
            np.testing.assert_allclose(f[0], alone(net, params, x, nn.Key(1), 0, False), rtol=1e-10, atol=1e-10)


def test_much_noise_is_drawn_for_few_inputs_at_a_time(monkeypatch):
    """One z per weight: as many inputs at once as keep it small, and the same numbers."""
    net = NETS[8]
    fused, params, x = Program(net), shaken(net), np.random.default_rng(0).standard_normal((70, 12))
    monkeypatch.setattr(routes, "NOISE_NUMBERS", 1000)
    assert fused.route(False).inputs_at_once((12,)) == 9 and fused.route(True).inputs_at_once((12,)) == 64
    for rows, f in fused.passes(params, x, nn.Key(2), 1, lambda so_far, f, passes, rows: f[0]):
        np.testing.assert_allclose(f, alone(net, params, x, nn.Key(2), 0, False)[rows], rtol=1e-11)


class ByColumns(nn.Tanh):
    """A user's own layer whose output lies in memory column by column."""

    def forward(self, params, x, z=1):
        y, cache = super().forward(params, x, z)
        return np.asfortranarray(y), cache


def test_shared_passes_take_any_memory_order():
    rng = np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(4, 6, noise=nn.Bernoulli(0.5)), t=ByColumns(), b=nn.Dense(6, 3))
    params, x = net.init(0, np.float64), rng.standard_normal((7, 4))
    params["b"]["M"] = np.asfortranarray(params["b"]["M"])
    (_, f), = Program(net).passes(params, x, nn.Key(1), 2, lambda so_far, f, passes, rows: f, True)
    for t in (0, 1):
        np.testing.assert_allclose(f[t], alone(net, params, x, nn.Key(1), t, True), rtol=1e-11)


class OddTanh(nn.Tanh):
    """A subclass may mix its inputs, so all of them are needed."""

    def forward(self, params, x, z=1):
        y, cache = super().forward(params, x, z)
        return y + x.sum(axis=1, keepdims=True), cache


def test_outputs_are_dropped_early_only_behind_what_is_known_to_work_on_each_alone():
    net = nn.Network(a=nn.Dense(4, 6, noise=nn.Bernoulli(0.5)), t=OddTanh(), b=nn.Dense(6, 3, noise=nn.Bernoulli(0.5)))
    params, x = shaken(net), np.random.default_rng(0).standard_normal((7, 4))
    fused = Program(net)
    assert [step.needed_by for step in fused.route(True).steps] == [None, None, None]
    for _, f in fused.passes(params, x, nn.Key(1), 1, lambda so_far, f, passes, rows: f[0], True):
        np.testing.assert_allclose(f, alone(net, params, x, nn.Key(1), 0, True), rtol=1e-11)


class Rounded(nn.Bernoulli):
    """A subclass may have other values than 0 and 1."""

    def draw(self, key, shape, rows):
        return 2 * super().draw(key, shape, rows).astype(rows.dtype) - 1


@pytest.mark.parametrize("net", [
    nn.Network(a=nn.Dense(4, 6, noise=Rounded(0.5)), r=nn.ReLU(), b=nn.Dense(6, 3, noise=Rounded(0.5))),
    nn.Network((9, 8, 2), c=nn.Conv2d(2, 4, 3, noise=Rounded(0.5), noise_per="kernel"), p=nn.MaxPool2d(2),
               d=nn.Conv2d(4, 3, 2), q=nn.MaxPool2d(2), f=nn.Flatten(), e=nn.Dense(3, 3))], ids=["dense", "kernels"])
def test_a_subclass_of_bernoulli_is_not_taken_for_it(net):
    params, x = shaken(net), np.random.default_rng(0).standard_normal((3, *net.input_shape))
    for shared in (False, True):
        for _, f in Program(net).passes(params, x, nn.Key(1), 1, lambda so_far, f, passes, rows: f[0], shared):
            np.testing.assert_allclose(f, alone(net, params, x, nn.Key(1), 0, shared), rtol=1e-11)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_deterministic_rules(pooled, threads):
    net = models.lenet("all")
    params, x = shaken(net), np.random.default_rng(0).random((70, 28, 28, 1))
    pairs = {"conv1": "pool1", "conv2": "pool2"} if pooled else {}
    found = list(Program(net, threads).average(params, x, lambda so_far, f, passes, rows: (so_far, f, passes), pairs))
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 64), (64, 70)]
    assert all(so_far is None and passes == slice(0, 1) for _, (so_far, _, passes) in found)
    f = np.concatenate([f[0] for _, (_, f, _) in found])
    (_, plain), = net.average(params, x, lambda so_far, f, passes, rows: f[0], pairs)
    np.testing.assert_allclose(f, plain, rtol=1e-11, atol=1e-11)


class OddConv(nn.Conv2d):
    """Runs as it is, so its pooling has no stage with it."""


def test_expected_pooling_of_layers_that_run_as_they_are():
    net = nn.Network((8, 8, 1), c=OddConv(1, 3, 3, noise=nn.Bernoulli(0.5)), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(27, 2))
    params, x = shaken(net), np.random.default_rng(0).standard_normal((3, 8, 8, 1))
    fast, plain = (next(iter(r.average(params, x, lambda so_far, f, passes, rows: f, {"c": "p"})))[1] for r in (Program(net), net))
    np.testing.assert_allclose(fast, plain, rtol=1e-11)


def test_a_prediction_is_the_plain_ones():
    net = models.lenet("all", noise_per="kernel")
    params, x = net.init(0), np.random.default_rng(0).random((20, 28, 28, 1), np.float32)
    fast, plain = (bayes.predictive.predict(r, params, bayes.Categorical(), x, samples=12, key=4) for r in (Program(net), net))
    np.testing.assert_allclose(fast.mean, plain.mean, rtol=1e-4, atol=1e-6)


def test_little_work_is_done_in_one_thread(monkeypatch):
    """As many threads as have SMALL operations each; the same bits, and the user's number at most."""
    program, opened = Program(models.mlp([13, 50, 1], noise=nn.Bernoulli(0.9)), threads=3), []

    def pool(threads, real=parallel.pool):
        opened.append(threads)
        return real(threads)

    monkeypatch.setattr(parallel, "pool", pool)
    params, x = program.init(0), np.random.default_rng(0).standard_normal((64, 13)).astype(np.float32)

    def gather(so_far, f, passes, rows):
        return f if so_far is None else np.concatenate([so_far, f])

    def answers():
        runs = *program.passes(params, x, nn.Key(0), 10, gather), *program.average(params, x, gather)
        return b"".join(f.tobytes() for _, f in runs)

    few = answers()
    monkeypatch.setattr(sweep, "SMALL", 64 * 10 * sweep.operations_of(program, (13,)) / 2)
    assert answers() == few
    monkeypatch.setattr(sweep, "SMALL", 1)
    assert answers() == few
    assert opened == [1, 1, 2, 1, 3, 3]


class Silent(nn.Dense):
    """A layer that does not say how much it does."""

    def flops(self, shape):
        return 0


@pytest.mark.parametrize("layers, least", [
    ({"a": Silent(30, 40)}, 2 * 30 * 40), ({"a": nn.Dense(30, 40, noise=nn.Bernoulli(0.5), place=nn.Weights())}, 10 * 30 * 40),
    ({"a": nn.Dense(30, 4), "t": nn.Tanh()}, 10 * 2 * 4)], ids=["a layer of the user's", "noise", "activations"])
def test_work_that_is_no_product_counts(layers, least):
    program = Program(nn.Network(**layers))
    assert sweep.operations_of(program, (30,)) >= least and sweep.operations_of(program, (30,)) > program.flops((30,))
