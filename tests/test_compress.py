"""compress: the Gibbs sampler against enumeration, what is taken out changes no output, and what is stored is counted right."""

import math
import types
from dataclasses import dataclass

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, checks, compress, kernels, nn
from minibayes.bayes import sparsity
from minibayes.claims import sharing
from minibayes.compress import share
from minibayes.compress.step import of_network
from minibayes.kernels import seating


def in_python(name):
    functions = {n: getattr(f, "py_func", f) for n, f in vars(seating).items()}
    functions |= {n: types.FunctionType(f.__code__, functions) for n, f in functions.items() if isinstance(f, types.FunctionType)}
    return functions[name]


def tables_of(label, w, r, prior):
    """(count, precision, weighted, how many tables) as the kernel keeps them."""
    n, count = len(w), np.bincount(label, minlength=len(w))
    return count, prior + np.bincount(label, r, n), np.bincount(label, r * w, n), int(label.max()) + 1


def partitions(n):
    """All partitions of n things, as labels in the order of first appearance."""
    out = [()]
    for _ in range(n):
        out = [(*p, k) for p in out for k in range(max(p, default=-1) + 2)]
    return np.array(out)


def posterior(all_labels, w, r, alpha, prior):
    """p(partition | w) ~ alpha^K prod_k (n_k - 1)! N(w_k; 0, diag(1/r) + 11'/prior): the integral over values done as a matrix."""
    logs = []
    for label in all_labels:
        total = 0.0
        for k in range(max(label) + 1):
            x, at = w[label == k], r[label == k]
            cov = np.diag(1 / at) + 1 / prior
            total += math.log(alpha) + math.lgamma(len(x)) - 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1] - 0.5 * x @ np.linalg.solve(cov, x)
        logs.append(total)
    q = np.exp(np.array(logs) - max(logs))
    return q / q.sum()


@pytest.mark.parametrize("w, r, alpha", [([0.3, 0.4, -1.0, 0.35], [4.0, 9.0, 1.0, 25.0], 0.7), ([0.0, 1.0, 2.0], [2.0, 2.0, 2.0], 3.0)])
def test_a_gibbs_sweep_leaves_the_enumerated_posterior_as_it_is(w, r, alpha):
    """Begun from the posterior over all partitions, 15 of four weights, a sweep ends in it: independent draws, 4 standard errors."""
    w, r, prior, draws = np.array(w), np.array(r), 0.5, 6000
    every, rng = partitions(len(w)), np.random.default_rng(0)
    assert len(every) == {3: 5, 4: 15}[len(w)]
    q = posterior(every, w, r, alpha, prior)
    found, begun = np.zeros(len(every)), rng.choice(len(every), draws, p=q)
    for start, u in zip(begun, rng.random((draws, len(w))), strict=True):
        label = every[start].copy()
        count, precision, weighted, tables = tables_of(label, w, r, prior)
        kernels.restaurant(w, r, alpha, prior, u, label, count, precision, weighted, tables)
        names = {}
        found[(every == [names.setdefault(k, len(names)) for k in label]).all(axis=1)] += 1
    assert (np.abs(found / draws - q) <= 4 * np.sqrt(q * (1 - q) / draws) + 1e-12).all()


def test_a_chain_forgets_where_it_began():
    """From one table for all, after 30 sweeps, the same posterior."""
    w, r, alpha, prior, draws = np.array([0.3, 0.4, -1.0]), np.array([4.0, 9.0, 1.0]), 0.7, 0.5, 3000
    every, rng, found = partitions(3), np.random.default_rng(1), np.zeros(5)
    q = posterior(every, w, r, alpha, prior)
    for u in rng.random((draws, 30, 3)):
        label = np.zeros(3, np.int64)
        count, precision, weighted, tables = tables_of(label, w, r, prior)
        for sweep in u:
            tables = kernels.restaurant(w, r, alpha, prior, sweep, label, count, precision, weighted, tables)
        names = {}
        found[(every == [names.setdefault(k, len(names)) for k in label]).all(axis=1)] += 1
    assert (np.abs(found / draws - q) <= 4 * np.sqrt(q * (1 - q) / draws)).all()


@pytest.mark.parametrize("alpha", [0.5, 5.0])
@pytest.mark.parametrize("sweeps", [1, 4])
def test_without_data_the_number_of_values_is_the_priors(alpha, sweeps):
    """E[K] = sum_i alpha/(alpha + i), seated once, and after more sweeps."""
    n, chains = 120, 400
    p = alpha / (alpha + np.arange(n))
    found = [len(set(share.partition(np.zeros(n), np.zeros(n), alpha, 1.0, sweeps, nn.Key(chain).of("crp"), settle_down=0)))
             for chain in range(chains)]
    assert abs(np.mean(found) - p.sum()) <= 4 * np.sqrt((p * (1 - p)).sum() / chains)


def test_the_sampler_is_its_plain_twin_and_far_weights_are_no_nan():
    rng = np.random.default_rng(0)
    w, r = np.concatenate([rng.standard_normal(20), [1e6, -1e6]]), np.full(22, 1e4)
    for u in (rng.random(22), np.full(22, -1.0)):
        states = []
        for run in (kernels.restaurant, in_python("restaurant")):
            state = np.full(22, -1), np.zeros(22, np.int64), np.full(22, 1.0), np.zeros(22)
            states.append((run(w, r, 1.0, 1.0, u, *state, 0), state))
        (a, one), (b, two) = states
        assert a == b and (one[0] == two[0]).all() and (one[1] == two[1]).all() and np.allclose(one[2:], two[2:], rtol=1e-9)
        assert (np.bincount(one[0], minlength=22) == one[1]).all() and np.sum(one[0] == one[0][20]) == 1


def test_it_finds_the_values_that_were_there():
    rng = np.random.default_rng(3)
    theta = np.array([-1.0, -0.2, 0.5, 0.9])
    which = rng.integers(0, 4, 500)
    w = theta[which] + 0.02 * rng.standard_normal(500)
    label = share.partition(w, np.full(500, 0.02**-2), 1.0, 1.0, 20, nn.Key(0).of("a"))
    assert len(set(zip(label, which, strict=True))) == 4 == len(set(label))


@pytest.mark.parametrize("mistake, caught", [
    ("alpha", {"sharing-expected-values", "sharing-partitions"}), ("r", {"sharing-partitions"}), ("code", {"sharing-code-length"})])
def test_the_claims_catch_what_they_are_there_for(mistake, caught, monkeypatch):
    """A new table counted twice; precisions taken for variances; symbols that are coded as fair coins."""
    true, encode = kernels.restaurant, kernels.encode
    if mistake == "alpha":
        monkeypatch.setattr(kernels, "restaurant", lambda w, r, alpha, *rest: true(w, r, 2 * alpha, *rest))
    elif mistake == "r":
        monkeypatch.setattr(kernels, "restaurant", lambda w, r, *rest: true(w, np.where(r > 0, 1 / np.maximum(r, 1e-9), 0), *rest))
    else:
        monkeypatch.setattr(kernels, "encode", lambda code, rest, depth, extra, out: encode(code, code - 1, 0, depth, out))
    measured = sharing.number_of_values, sharing.sweep_keeps_the_posterior, sharing.code_is_evidence
    assert {f.name for function in measured for f in function() if not f.passed} == caught


# ------------------------------------------------------------------------------------------------------- pruning, sharing

def noisy_model(seed=0):
    net = nn.Network(a=nn.Dense(6, 8, noise=nn.MeanField(0.05)), r=nn.ReLU(), b=nn.Dense(8, 3, noise=nn.MeanField(0.05)))
    params = net.init(seed, np.float64)
    for group in params.values():
        group["log_std"] += np.random.default_rng(seed).normal(0, 1.5, group["M"].shape)
    return net, params


def test_std_is_in_units_of_the_weights_and_blur_is_of_qs():
    net, params = noisy_model()
    def values(**how):
        return [row.values for row in compress.compress(net, params, compress.DirichletProcess(**how)).rows]
    assert values(std=0.2) == values(std=0.2, blur=5)
    assert sum(values(blur=0.01)) > sum(values(blur=3)) and sum(values(std=0.01)) > sum(values(std=1))


def test_log_alpha_and_signal_to_noise_ask_for_one_order():
    net, params = noisy_model()
    for threshold in (-3.0, -1.0, 1.0):
        made, masked = compress.LogAlpha(threshold).apply(of_network(net, params), None), sparsity.prune(net, params, threshold)
        assert all((made[n, "M"] == masked[n]["M"]).all() for n in ("a", "b"))
        gone = sum((m == 0).sum() for m in made.values())
        same = compress.SignalToNoise(gone / 72).apply(of_network(net, params), None)
        assert gone and all((same[at] == made[at]).all() for at in made)
    ratios = {at: np.abs(w.mean) / w.sd for at, w in of_network(net, params).items()}
    half = compress.SignalToNoise(0.5).apply(of_network(net, params), None)
    kept = np.concatenate([ratios[at][half[at] != 0] for at in half])
    assert len(kept) == 36 and kept.min() >= max(ratios[at][half[at] == 0].max() for at in half)
    assert all((m == params[n]["M"]).all() for (n, _), m in compress.SignalToNoise(0).apply(of_network(net, params), None).items())


def test_k_means_is_a_fixed_point_and_finds_clusters():
    rng = np.random.default_rng(0)
    x = np.concatenate([c + 0.01 * rng.standard_normal(30) for c in (-2.0, 0.5, 3.0)])
    found = compress.KMeans(3).apply({("a", "M"): compress.Weights(x.reshape(9, 10), None)}, nn.Key(0))["a", "M"].ravel()
    assert np.allclose(found, np.repeat([x[:30].mean(), x[30:60].mean(), x[60:].mean()], 30), rtol=1e-12)
    x = rng.standard_normal(400)
    found = compress.KMeans(7).apply({("a", "M"): compress.Weights(x.reshape(20, 20), None)}, nn.Key(0))["a", "M"].ravel()
    part = compress.KMeans(7 / 400).apply({("a", "M"): compress.Weights(x.reshape(20, 20), None)}, nn.Key(0))["a", "M"].ravel()
    values = np.unique(found)
    assert len(values) == 7 and (part == found).all()
    assert len(values) == 7 and (np.abs(x[:, None] - values).argmin(axis=1) == np.searchsorted(values, found)).all()
    assert np.allclose([x[found == v].mean() for v in values], values, rtol=1e-9)


@pytest.mark.parametrize("step", [compress.KMeans(4), compress.AtRandom(4), compress.DirichletProcess(std=0.2),
                                  compress.DirichletProcess(blur=3)])
def test_shared_values_are_few_and_zeros_stay(step):
    net, params = noisy_model()
    made = compress.compress(net, params, (compress.LogAlpha(0), step), seed=3)
    again = compress.compress(net, params, (compress.LogAlpha(0), step), seed=3)
    for row, name in zip(made.rows, ("a", "b"), strict=True):
        few = made.params[name]["M"]
        assert row.values == len(np.unique(few[few != 0])) < row.left and again.params[name]["M"].tobytes() == few.tobytes()


# --------------------------------------------------------------------------------------------------- the smaller network

def idle_units(net, params, integers, rng):
    """Rows and columns of zeros, in parameters that are whole numbers or not."""
    for name in params:
        for p, a in params[name].items():
            params[name][p] = (rng.integers(-2, 3, a.shape) if integers else rng.standard_normal(a.shape)).astype(a.dtype)
        M = params[name]["M"]
        M[rng.random(len(M)) < 0.3] = 0                                          # says the same number
        M[..., rng.random(M.shape[-1]) < 0.2] = 0                                # is not read
    return params


NETWORKS = {
    "dense": nn.Network(a=nn.Dense(7, 12), r=nn.ReLU(), b=nn.Dense(12, 9), t=nn.Tanh(), c=nn.Dense(9, 6), d=nn.Dense(6, 3)),
    "lenet": nn.Network((12, 12, 1), c=nn.Conv2d(1, 6, 3), p=nn.MaxPool2d(2), d=nn.Conv2d(6, 7, 2), q=nn.AveragePool2d(2), f=nn.Flatten(),
                        e=nn.Dense(28, 9), r=nn.ReLU(), g=nn.Dense(9, 4)),
    "padding": nn.Network((6, 6, 2), c=nn.Conv2d(2, 6, 3, padding=1), r=nn.ReLU(), d=nn.Conv2d(6, 5, 3, padding=1), f=nn.Flatten(),
                          e=nn.Dense(180, 3)),
    "sequence": nn.Network((5, 4), a=nn.Dense(4, 9), r=nn.ReLU(), b=nn.Dense(9, 6), g=nn.GRU(6, 5), c=nn.Dense(5, 2)),
}


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_smaller_network_is_the_masked_one(name, integers):
    """Whole numbers are not rounded (nor their halves): the same bits. Others: to rounding, where sums are grouped otherwise."""
    net, rng = NETWORKS[name], np.random.default_rng(2)
    relu = not integers or name != "dense"
    net = net if relu else nn.Network(**{n: nn.ReLU() if n == "t" else layer for n, layer in net.layers.items()})
    params = idle_units(net, net.init(0), integers and name != "sequence", rng)
    small, few = compress.smaller(net, params)
    sizes = [sum(a.size for g in p.values() for a in g.values()) for p in (params, few)]
    assert sizes[1] < 0.9 * sizes[0]
    x = (rng.integers(-3, 4, (16, *net.input_shape)) if integers else rng.standard_normal((16, *net.input_shape))).astype("f4")
    a, b = (mb.BayesianNetwork(n, params=p).predict(x, rule="weight-averaging", keep_samples=True).samples for n, p in
            ((net, params), (small, few)))
    if integers and name != "sequence":
        assert a.tobytes() == b.tobytes() and np.abs(a).max() > 0
    assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


def test_without_a_constant_sums_in_one_order_are_the_same_bits():
    """Rows and columns of zeros add exact zeros: summed from left to right, any numbers give the bits of the masked network."""
    rng = np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(9, 12), r=nn.ReLU(), b=nn.Dense(12, 8), s=nn.ReLU(), c=nn.Dense(8, 3))
    params = net.init(0)
    for name in "ab":
        params[name]["M"][::3] = 0
        params[name]["b"][:] = np.where(params[name]["M"].any(axis=1), rng.standard_normal(len(params[name]["b"])), -1)  # ReLU: 0
    small, few = compress.smaller(net, params)
    assert few["b"]["M"].shape == (5, 8)

    def run(params, x):
        for name in "abc":
            total = np.zeros((len(x), len(params[name]["M"])), np.float32)
            for j in range(x.shape[1]):
                total = total + x[:, j:j + 1] * params[name]["M"][:, j]
            x = total + params[name]["b"]
            x = np.maximum(x, 0) if name != "c" else x
        return x
    x = rng.standard_normal((20, 9)).astype("f4")
    assert run(params, x).tobytes() == run(few, x).tobytes()


def test_a_border_of_zeros_is_no_constant():
    """Beyond the border a padded convolution reads 0, not the unit's constant: such a unit stays, unless its constant is 0."""
    net = nn.Network((4, 4, 1), c=nn.Conv2d(1, 3, 1), d=nn.Conv2d(3, 2, 3, padding=1), f=nn.Flatten(), e=nn.Dense(32, 2))
    params = net.init(0)
    params["c"]["M"][:2], params["c"]["b"][:] = 0, [1, 0, 1]
    small, few = compress.smaller(net, params)
    assert few["c"]["M"].shape[0] == few["d"]["M"].shape[-1] == 2
    x = np.random.default_rng(0).standard_normal((5, 4, 4, 1)).astype("f4")
    assert np.allclose(net.forward(params, x, {})[0], small.forward(few, x, {})[0], atol=1e-5)


def test_a_layer_that_lies_is_found():
    @dataclass(frozen=True)
    class Gated(nn.Dense):
        def forward(self, params, x, z=1):
            y, cache = super().forward(params, x, z)
            return y + x.sum(axis=1, keepdims=True), cache
    net = nn.Network(a=Gated(4, 5), r=nn.ReLU(), b=nn.Dense(5, 2))
    params = net.init(0)
    params["a"]["M"][:3] = 0
    with pytest.raises(InputError, match="does not fit its forward"):
        compress.smaller(net, params)


def test_nothing_is_left_and_nothing_is_taken():
    net, params = noisy_model()
    made = compress.compress(net, params, compress.LogAlpha(-100))
    assert made.fewer_weights == math.inf and [row.after for row in made.rows] == [(1, 6), (3, 1)]
    assert made.net.forward(made.params, np.ones((2, 6)), {})[0].shape == (2, 3) and "inf" in str(made.table)
    made = compress.compress(net, params, ())
    assert made.fewer_weights == 1 and all((made.params[n]["M"] == params[n]["M"]).all() for n in "ab")
    assert "log_std" not in made.params["a"] and not made.net.noisy and params["a"]["log_std"].shape == (8, 6)


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.6), nn.Gaussian(0.5), nn.LearnedGaussian(0.5)])
def test_other_noise_is_read_by_weight_averaging(noise):
    net = nn.Network(a=nn.Dense(5, 7, noise=noise), r=nn.ReLU(), b=nn.Dense(7, 2, noise=noise))
    model = mb.BayesianNetwork(net, params=net.init(0))
    made = compress.compress(net, model.params, ())
    x = np.random.default_rng(0).standard_normal((9, 5))
    a, b = model, mb.BayesianNetwork(made.net, params=made.params)
    a, b = (m.predict(x, rule="weight-averaging").mean for m in (a, b))
    assert np.abs(a - b).max() < 1e-6
    with pytest.raises(InputError, match="noise on each weight"):
        compress.compress(net, model.params, compress.LogAlpha())
    with pytest.raises(InputError, match="std must be given"):
        compress.compress(net, model.params, compress.DirichletProcess())


def test_a_step_of_ones_own_and_what_is_stored(tmp_path):
    @dataclass(frozen=True)
    class Signs(compress.Step):
        def apply(self, weights, key):
            return {at: np.sign(w.mean) * (np.arange(w.mean.size).reshape(w.mean.shape) % 3 > 0) for at, w in weights.items()}
    net, params = noisy_model()
    made = compress.compress(net, params, Signs())
    row = made.rows[0]
    counts = np.unique(made.params["a"]["M"], return_counts=True)[1] / made.params["a"]["M"].size
    assert (row.weights, row.values, row.left) == (48, 2, 32)
    assert math.isclose(row.bits, made.params["a"]["M"].size * -(counts * np.log2(counts)).sum() + 64)
    assert math.isclose(made.fewer_bits, 32 * 72 / sum(r.bits for r in made.rows)) and made.fewer_weights == 1.5
    mb.BayesianNetwork(made.net, bayes.Prior(), params=made.params).save(tmp_path / "m.npz", compact=True)
    assert made.packed < (tmp_path / "m.npz").stat().st_size < made.packed + 900
    again = mb.load(tmp_path / "m.npz")
    assert all(again.params[n][p].tobytes() == a.tobytes() for n, g in made.params.items() for p, a in g.items())


@pytest.mark.parametrize("wrong", [{("a", "M"): np.ones(3)}, {("c", "M"): np.ones((8, 6))}, {("a", "M"): np.full((8, 6), np.nan)}])
def test_a_step_that_gives_something_else(wrong):
    @dataclass(frozen=True)
    class Wrong(compress.Step):
        def apply(self, weights, key):
            return wrong
    with pytest.raises(InputError, match="Wrong.* must give finite numbers"):
        compress.compress(*noisy_model(), Wrong())


@pytest.mark.parametrize("call, message", [
    (lambda n, p: compress.compress(n, p, "prune"), "how must be a step"),
    (lambda n, p: compress.compress(n, p, (compress.LogAlpha(), 3)), "how must be a step"),
    (lambda n, p: compress.compress(n, p, seed=-1), "seed must be"),
    (lambda n, p: compress.compress(n, {"a": p["a"]}), "params must have the shapes"),
    (lambda n, p: compress.smaller(n, {"a": 3}), "params must be"),
    (lambda n, p: compress.compress("net", p), "net must be an nn.Network"),
    (lambda n, p: compress.SignalToNoise(1), "share must be"),
    (lambda n, p: compress.KMeans(0), "count must be"),
    (lambda n, p: compress.AtRandom(1.5), "count must be"),
    (lambda n, p: compress.DirichletProcess(alpha=0), "alpha must be"),
    (lambda n, p: compress.DirichletProcess(std=-1), "std must be"),
    (lambda n, p: compress.LogAlpha("a"), "threshold must be")])
def test_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call(*noisy_model())


@pytest.mark.parametrize("net", [
    nn.Network(e=nn.Embedding(9, 4, noise=nn.Bernoulli(0.5)), g=nn.GRU(4, 5, noise=nn.Bernoulli(0.5)), d=nn.Dense(5, 3)),
    nn.Network((5, 4), a=nn.Dense(4, 6, noise=nn.Concrete(0.8)), l=nn.LSTM(6, 5), d=nn.Dense(5, 3))])
def test_layers_that_keep_their_units(net):
    """Embedding, GRU and LSTM: their matrices are shared, no unit of theirs is taken."""
    made = compress.compress(net, net.init(0), compress.KMeans(4))
    assert made.net.param_shapes() == net.without_noise().param_shapes()
    assert all(row.values <= 4 for row in made.rows)
    mb.BayesianNetwork(made.net, params=made.params)


def test_training_on_resumes(tmp_path):
    net, params = noisy_model()
    made = compress.compress(net, params, compress.KMeans(3))
    x, y = np.random.default_rng(0).standard_normal((60, 6)), np.arange(60) % 3
    models = [mb.BayesianNetwork(made.net) for _ in range(2)]
    for model, epochs in ((models[0], 2), (models[0], 4), (models[1], 4)):
        model.fit(x, y, epochs=epochs, params=made.params, optimizer=compress.tied(made.params, nn.Adam(0.01)),
                  checkpoint=tmp_path / f"{models.index(model)}.npz")
    assert all((models[0].params[n]["M"] == models[1].params[n]["M"]).all() for n in "ab")


@pytest.mark.parametrize("inner", [nn.Adam(0.01), nn.SGD(0.05, momentum=0.9)])
@pytest.mark.parametrize("plain", [False, True])
def test_training_on_keeps_zeros_and_ties(inner, plain):
    net, params = noisy_model()
    made = compress.compress(net, params, (compress.LogAlpha(0), compress.KMeans(3)))
    x, y = np.random.default_rng(0).standard_normal((60, 6)), np.arange(60) % 3
    model = mb.BayesianNetwork(made.net, params=made.params)
    model.fit(x, y, epochs=3, params=made.params, optimizer=compress.tied(made.params, inner), plain=plain)
    for name in made.params:
        before, after = made.params[name]["M"], model.params[name]["M"]
        assert ((before == 0) == (after == 0)).all() and (before != after).any()
        assert len(np.unique(after)) == len(np.unique(before)) == len(set(zip(before.ravel(), after.ravel(), strict=True)))


def test_a_tied_gradient_is_the_derivative_in_the_value():
    rng = np.random.default_rng(0)
    M, g = rng.integers(0, 3, (4, 5)).astype(float), rng.standard_normal((4, 5))
    made = compress.tied({"a": {"M": M, "b": np.ones(4)}}, nn.SGD(1.0)).summed("a", "M", g)
    assert np.allclose(made, sum((M == v) * g[M == v].sum() for v in (1, 2)))


# ------------------------------------------------------------------------------------------------------------ HashedNets

def test_hashed_is_dense_with_ties():
    layer = nn.Hashed(6, 5, 4, seed=2)
    assert checks.layer(layer, (6,)).passed
    rng = np.random.default_rng(0)
    params, x, df = layer.init(rng, np.float64), rng.standard_normal((3, 6)), rng.standard_normal((3, 5))
    W = layer.matrix(params)
    assert len(np.unique(np.abs(W))) == 4 and len(layer.param_shapes()["v"]) == 1
    y, cache = layer.forward(params, x)
    assert np.allclose(y, x @ W.T)
    dx, grads = layer.backward(params, cache, df)
    wanted = [((df.T @ x) * np.sign(W / v) * (np.abs(W) == abs(v))).sum() for v in params["v"]]
    assert np.allclose(grads["v"], wanted) and np.allclose(dx, df @ W)
    assert (nn.Hashed(6, 5, 4, seed=3).matrix(params) != W).any() and (nn.Hashed(6, 5, 4, seed=2).matrix(params) == W).all()
    h = nn.hashed.ties(300, 400, 8, 0)[0]
    assert np.abs(np.bincount(h.ravel(), minlength=8) / h.size - 1 / 8).max() < 4 * np.sqrt(7 / 64 / h.size)
