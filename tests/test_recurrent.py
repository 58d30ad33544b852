"""Sequences: one omega for a sequence, two cells against loops and differences, padding, chunks, words, and all that layers promise."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, checks, nn, require
from minibayes.fast.program import Program
from minibayes.truth import exact

CELLS = (nn.GRU, nn.LSTM)
DROP = nn.Bernoulli(0.6)


def randomised(net, seed=0, scale=0.5, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {name: {p: (a + scale * rng.standard_normal(a.shape)).astype(dtype) for p, a in group.items()}
            for name, group in net.init(seed, dtype).items()}


def sequences(B=3, T=5, D=2, seed=1):
    return np.random.default_rng(seed).standard_normal((B, T, D))


def sigma(a):
    return 1 / (1 + np.exp(-a))


def by_hand(kind, params, W, x):
    """The equations for one sequence and the matrix W, as they stand in the literature; h after each step."""
    H, D = W.shape[1] - x.shape[1], x.shape[1]
    h, c, out, b = np.zeros(H), np.zeros(H), [], params["b"]
    for x_t in x:
        if kind is nn.GRU:
            (Wr, Wu, Wn), (br, bu, bn) = np.split(W, 3), np.split(b, 3)
            row = np.concatenate([x_t, h])
            r, u = sigma(Wr @ row + br), sigma(Wu @ row + bu)
            n = np.tanh(Wn[:, :D] @ x_t + bn + r * (Wn[:, D:] @ h + params["c"]))
            h = (1 - u) * n + u * h
        else:
            i, f, g, o = np.split(W @ np.concatenate([x_t, h]) + b, 4)
            c = sigma(f) * c + sigma(i) * np.tanh(g)
            h = sigma(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("tied", [True, False])
def test_one_z_over_all_steps_is_one_masked_matrix_run_again_and_again(kind, tied):
    net = nn.Network(r=kind(2, 3, noise=DROP, tied=tied, states="all"))
    params, x = randomised(net), sequences()
    z = net.sample(4, x.shape)
    assert z["r"].shape == ((3, 5) if tied else (3, kind.gates, 5))  # no axis of time
    f, _ = net.forward(params, x, z)
    W = bayes.posterior.weights(net, params, z, "r")["W"]
    expected = np.array([by_hand(kind, params["r"], W[n], x[n]) for n in range(3)])
    np.testing.assert_allclose(f, expected, atol=1e-12)
    masks = np.repeat(z["r"][:, None] if tied else z["r"], 3 * kind.gates if tied else 3, axis=1)
    assert np.array_equal(W, params["r"]["M"] * masks)
    whole, _ = nn.Network(r=kind(2, 3, states="all")).forward(
        {"r": params["r"] | {"M": W[1]}}, x[1:2], {})  # the masked matrix in a layer without noise
    np.testing.assert_allclose(f[1], whole[0], atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("settings", [{}, {"tied": False}, {"over": "step"}, {"over": "step", "tied": False}, {"states": "all"}])
def test_the_grader_passes_the_cells(kind, settings):
    verdict = checks.layer(kind(2, 2, **settings), (3, 2), batch=2)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("states", ["last", "all"])
def test_back_propagation_through_time_against_differences(kind, states):
    """Along random directions, through an embedding, two cells, padding and noise that learns; 1e-7."""
    net = nn.Network(e=nn.Embedding(4, 2, noise=DROP), r=kind(2, 3, noise=nn.LearnedGaussian(0.3), tied=False, states="all"),
                     s=kind(3, 2, noise=DROP, states=states), d=nn.Dense(2, 2, noise=DROP))
    x = np.array([[0, 3, 1, 1], [2, 2, -1, -1], [1, 0, 3, -1.0]])
    params, rng = randomised(net), np.random.default_rng(3)
    eps = net.draw(2, x.shape, dtype=np.float64)
    f, caches = net.forward(params, x, net.z(params, eps))
    df = rng.standard_normal(f.shape)
    df = np.where(np.isnan(f), 0, df)

    def loss(tree):
        return float(np.nansum(df * net.forward(tree, x, net.z(tree, eps))[0]))
    _, grads = net.backward(params, caches, df)
    found = checks.gradient_check(loss, params, net.pull(params, eps, grads), rng=5)
    assert found.relative_error < 1e-7, found


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("states", ["last", "all"])
def test_padding_changes_no_bit(kind, states):
    """Behind, before or between the steps: the same states, and the same gradients up to the order of sums."""
    net = nn.Network(e=nn.Embedding(5, 3, noise=DROP), r=kind(3, 4, noise=DROP, states="all"), s=kind(4, 3, noise=DROP, states=states))
    params = randomised(net)
    short = np.array([[1, 2, 3], [4, 0, 1.0]])
    padded = np.full((2, 6), -1.0)
    padded[0, [0, 1, 2]], padded[1, [1, 3, 5]] = short
    z = net.sample(1, short.shape)
    assert all(np.array_equal(a, net.sample(1, padded.shape)[name]) for name, a in z.items())
    (f, caches), (g, more) = net.forward(params, short, z), net.forward(params, padded, z)
    there = padded != -1
    if states == "all":
        assert np.isnan(g[~there]).all()
        assert np.array_equal(g[there], f.reshape(-1, 3))
        df = np.random.default_rng(0).standard_normal(f.shape)
        wide = np.random.default_rng(1).standard_normal(g.shape)  # what is asked of a step that is not there has no effect
        wide[there] = df.reshape(-1, 3)
    else:
        assert np.array_equal(f, g)
        df = wide = np.random.default_rng(0).standard_normal(f.shape)
    grads, others = net.backward(params, caches, df)[1], net.backward(params, more, wide)[1]
    for name, group in grads.items():
        for p, a in group.items():
            np.testing.assert_allclose(others[name][p], a, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_chunks_with_the_state_carried_are_the_whole(kind):
    layer = kind(2, 3, noise=DROP, states="all")
    net = nn.Network(r=layer)
    params, x = randomised(net)["r"], sequences(T=7)
    numbers = np.array([11, 5, 8])
    whole, cache = layer.forward(params, x, net.sample(3, x.shape, examples=numbers)["r"])
    state, found = None, []
    for part in (slice(0, 2), slice(2, 3), slice(3, 7)):
        z = net.sample(3, x[:, part].shape, examples=numbers)["r"]  # keyed by the sequence's number: the same for each chunk
        y, own = layer.forward(params, x[:, part], z, state)
        state = layer.last_state(own)
        found.append(y)
    assert np.array_equal(np.concatenate(found, axis=1), whole)
    assert np.array_equal(state, layer.last_state(cache))


def test_a_z_for_each_step_is_no_omega():
    """h_2 and h_1 of a two-step net: with another mask at the second step a pair comes out that no mask of both can give."""
    over = {name: nn.Network((2, 1), r=nn.GRU(1, 1, noise=nn.Bernoulli(0.5), over=name, states="all")) for name in ("sequence", "step")}
    params, x = randomised(over["sequence"], 3), np.ones((1, 2, 1))
    pairs = {}
    for name, net in over.items():
        z = np.concatenate([eps["r"] for _, eps in exact.points(net, (2, 1))])
        f, _ = net.forward(params, np.repeat(x, len(z), axis=0), {"r": z})
        pairs[name] = {tuple(np.round(pair, 12)) for pair in f[..., 0]}
    assert len(pairs["sequence"]) == 4 and pairs["sequence"] < pairs["step"]


@pytest.mark.parametrize("kind", CELLS)
def test_every_mask_enumerated_against_passes_and_gradients(kind):
    net = nn.Network(e=nn.Embedding(2, 1, noise=nn.Bernoulli(0.8)), r=kind(1, 2, noise=DROP), d=nn.Dense(2, 2, noise=DROP))
    params, x, y = randomised(net, 2, 1.0), np.array([[0, 1, 1], [1, 0, -1.0]]), np.array([1, 0])
    true = exact.predict(net, params, bayes.Categorical(), x)
    T = 2000
    mc = bayes.predictive.predict(Program(net), params, bayes.Categorical(), x, samples=T)
    assert np.abs((mc.mean - true.mean) / (true.std / np.sqrt(T))).max() < 4
    objective = bayes.Objective(net, bayes.Prior(), bayes.Categorical(), 2)
    _, exactly = exact.value_and_grad(objective, params, x, y)
    draws, key = [], nn.Key(5)
    for t in range(200):
        _, g = objective.value_and_grad(params, x, y, net.draw(key.at(t), x.shape, dtype=np.float64))
        draws.append(np.concatenate([a.reshape(-1) for group in g.values() for a in group.values()]))
    wanted = np.concatenate([exactly[name][p].reshape(-1) for name, group in g.items() for p in group])
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.abs((np.mean(draws, axis=0) - wanted) / np.maximum(error, 1e-12)).max() < 4.5  # of some 60 numbers


def test_an_embedding_is_a_dense_layer_on_one_hot_rows():
    net, words = nn.Network(e=nn.Embedding(6, 3, noise=DROP)), np.array([[0, 5, 2, 0], [3, 3, 1, 4.0]])
    dense = nn.Network((4, 6), e=nn.Dense(6, 3, noise=DROP))
    params, z = randomised(net), net.sample(0, words.shape)
    assert z["e"].shape == (2, 6) and net.draw(0, (2, 9))["e"].tobytes() == z["e"].tobytes()  # by type of word, at any length
    f, caches = net.forward(params, words, z)
    with_b = {"e": params["e"] | {"b": np.zeros(3)}}
    expected, others = dense.forward(with_b, np.eye(6)[words.astype(int)], z)
    np.testing.assert_allclose(f, expected, atol=1e-15)
    df = np.random.default_rng(0).standard_normal(f.shape)
    np.testing.assert_allclose(net.backward(params, caches, df)[1]["e"]["M"], dense.backward(with_b, others, df)[1]["e"]["M"],
                               atol=1e-14)
    assert bayes.kl.weight_decay(net, params, bayes.Prior())["e"] == {"M": 0.6}
    assert checks.layer(nn.Embedding(4, 2), (3,), x=np.array([[0, 1, 3], [2, 2, 0], [1, 1, 2.0]])).passed


def test_the_kl_of_recurrent_noise_is_that_of_its_columns():
    """Column by column, or with untied gates gate by gate: keep l^2/2 ||M||^2, and M's log of each ray for Gaussian noise."""
    for tied in (True, False):
        layer = nn.GRU(2, 3, noise=nn.Gaussian(0.5), tied=tied)
        net = nn.Network(r=layer)
        params = randomised(net)
        M = params["r"]["M"].reshape(1 if tied else 3, -1, 5)
        rays = (M**2).sum(axis=1)
        np.testing.assert_allclose(np.sort(layer.rays(params["r"]).reshape(-1)), np.sort(rays.reshape(-1)))
        others = sum((params["r"][p] ** 2).sum() for p in "bc")
        value = bayes.kl.value(net, params, bayes.Prior(2.0))
        assert value == pytest.approx(2 * (1.5 * rays.sum() + others) - 0.5 * np.log(rays).sum())


@pytest.mark.parametrize("place", [nn.Inputs(), nn.Outputs(), nn.Weights()])
def test_a_dense_layer_on_each_step_has_one_omega(place):
    net, x = nn.Network((4, 3), d=nn.Dense(3, 2, noise=DROP, place=place)), sequences(2, 4, 3)
    params, z = randomised(net), net.sample(7, (2, 4, 3))
    f, _ = net.forward(params, x, z)
    at_once, _ = nn.Network(d=nn.Dense(3, 2, noise=DROP, place=place)).forward(
        params, x.reshape(8, 3), {"d": np.repeat(z["d"], 4, axis=0)})
    np.testing.assert_allclose(f.reshape(8, 2), at_once, atol=1e-15)
    verdict = checks.layer(nn.Dense(3, 2, place=place), (4, 3), batch=2)
    assert verdict.passed, str(verdict)


def test_a_place_that_draws_at_each_step_takes_no_sequences():
    with pytest.raises(nn.ShapeError, match="no one omega"):
        nn.Network((4, 3), d=nn.Dense(3, 2, noise=nn.MeanField(0.1)))


def model(states="last", noise=DROP, kind=nn.GRU):
    net = nn.Network(e=nn.Embedding(6, 4, noise=noise), r=kind(4, 5, noise=noise, states="all"), s=kind(5, 4, noise=noise),
                     d=nn.Dense(4, 2, noise=noise))
    return mb.BayesianNetwork(net)


def words(count=80, T=7, seed=0):
    """Does word 2 stand before word 3? Of different lengths."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (count, T))
    for n, length in enumerate(rng.integers(2, T + 1, count)):
        x[n, length:] = -1
    first = [np.argmax(np.append(row, w) == w) for w in (2, 3) for row in x]
    return x, (np.array(first[:count]) < np.array(first[count:])).astype(int)


@pytest.mark.parametrize("kind", CELLS)
def test_the_fast_way_is_the_plain_way(kind, monkeypatch):
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    made, (x, y) = model(kind=kind), words()
    made.fit(x, y, steps=4, dtype=np.float64, threads=1)
    for settings in ({}, {"shared": True}, {"rule": "weight-averaging"}, {"first": 3}):
        made.predict(x[:20], samples=5, **settings)


def test_fit_predict_save_load_and_resume(tmp_path):
    x, y = words()
    runs = []
    for threads, stop in ((1, None), (2, 3)):
        made = model()
        file = tmp_path / f"{threads}.npz"
        if stop:
            made.fit(x, y, steps=stop, checkpoint=file, optimizer=nn.Adam(0.01), threads=1)
        made.fit(x, y, steps=6, checkpoint=file, optimizer=nn.Adam(0.01), threads=threads)
        made.save(tmp_path / "model.npz")
        again = mb.load(tmp_path / "model.npz")
        assert np.array_equal(made.predict(x, samples=3).mean, again.predict(x, samples=3, threads=2).mean)
        runs.append(made.params)
    for name, group in runs[0].items():
        assert all(np.array_equal(a, runs[1][name][p]) for p, a in group.items())


def test_it_learns_an_order_of_words():
    x, y = words(600)
    net = nn.Network(e=nn.Embedding(6, 8), r=nn.GRU(8, 16, noise=nn.Bernoulli(0.9)), d=nn.Dense(16, 2))
    made = mb.BayesianNetwork(net, bayes.Prior(0.1))
    made.fit(x, y, epochs=20, optimizer=nn.Adam(0.01), threads=1)
    fresh, labels = words(300, seed=1)
    assert made.predict(fresh, samples=10).error(labels) < 0.1 < min(labels.mean(), 1 - labels.mean())


def test_errors_are_said_before_the_work():
    made, (x, y) = model(), words()
    wrong = [(np.where(x == 2, 6, x), r"x must be words in 0\.\.5 \(the vocabulary has 6\), or -1 .*, got numbers from -1 to 6"),
             (np.where(x == 2, -2, x), "from -2 to"), (x + 0.5, "whole numbers of words, got"),
             (np.full_like(x, -1), r"a word in every sequence, got none in x\[0\]")]
    for bad, said in wrong:
        with pytest.raises(require.InputError, match=said):
            made.fit(bad, y)
    for make in (lambda noise: nn.GRU(2, 2, noise=noise), lambda noise: nn.Embedding(2, 2, noise=noise)):
        with pytest.raises(require.InputError, match=r"noise of an? .*nn.Bernoulli\(keep\).*got MeanField"):
            make(nn.MeanField(0.1))
    with pytest.raises(require.InputError, match="over must be one of 'sequence', 'step', got 'time'"):
        nn.GRU(2, 2, over="time")
    with pytest.raises(nn.ShapeError, match=r"takes sequences of shape \(T, 3\), got \(4, 2\)"):
        nn.Network((4, 2), r=nn.GRU(3, 2))
    real = mb.BayesianNetwork(nn.Network(r=nn.GRU(2, 3), d=nn.Dense(3, 1)), likelihood=bayes.Gaussian(1.0))
    steps = sequences(4, 3, 2)
    steps[1, 2] = np.nan  # a step that is not there
    real.fit(steps, np.zeros(4), steps=2)
    steps[0, 0, 1] = np.nan
    with pytest.raises(require.InputError, match=r"x must be finite, got 1 NaN .* \[0, 0, 1\]"):
        real.predict(steps)
