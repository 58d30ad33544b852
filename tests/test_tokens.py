"""A token at each step: nats, averages of probabilities, no token and no step, text from one omega and from the average."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, checks, nn, require
from minibayes.bayes.predictive import predict
from minibayes.bayes.summary import log_softmax
from minibayes.truth import exact


def letters(count=40, T=6, seed=0):
    """0 1 2 0 1 2 ..., with a 3 thrown in now and then; the next token is the target, of different lengths."""
    rng = np.random.default_rng(seed)
    x = (np.arange(T + 1) + rng.integers(0, 3, (count, 1))) % 3
    x[rng.random(x.shape) < 0.05] = 3
    x, y = x[:, :-1].copy(), x[:, 1:].copy()
    for n, length in enumerate(rng.integers(2, T + 1, count)):
        x[n, length:], y[n, length:] = -1, -1
    return x, y


DROP = nn.Bernoulli(0.8)


def net(noise=DROP, H=6, C=4):
    return nn.Network(e=nn.Embedding(C, 3, noise=noise), r=nn.GRU(3, H, noise=noise, states="all"), d=nn.Dense(H, C, noise=noise))


def test_nll_is_the_sum_over_tokens_and_its_derivative():
    rng, likelihood = np.random.default_rng(0), bayes.Categorical()
    f, y = rng.standard_normal((3, 4, 5)), rng.integers(0, 5, (3, 4))
    y[0, 2:], y[2, 0] = -1, -1
    f[0, 3] = np.nan  # no step, no token
    nll, df = likelihood.nll(f, y)
    for n in range(3):
        assert nll[n] == pytest.approx(-sum(log_softmax(f[n, t])[y[n, t]] for t in range(4) if y[n, t] >= 0))
    assert (df[y < 0] == 0).all()
    there = np.nan_to_num(f)
    found = checks.gradient_check(lambda tree: float(likelihood.nll(tree["f"]["f"], y)[0].sum()), {"f": {"f": there}},
                                  {"f": {"f": df}}, rng=1)
    assert found.relative_error < 1e-8


def test_predictions_average_probabilities_step_by_step():
    made, (x, y) = mb.BayesianNetwork(net()), letters()
    made.fit(x, y, epochs=2, threads=1)
    mc = made.predict(x, samples=7, keep_samples=True)
    assert mc.samples.shape == (7, 40, 6, 4) and mc.mean.shape == (40, 6, 4) and mc.entropy.shape == (40, 6)
    p = np.exp(log_softmax(mc.samples.astype(float)))
    gone = x == -1
    np.testing.assert_allclose(mc.mean[~gone], p.mean(axis=0)[~gone], atol=1e-12)
    assert np.isnan(mc.mean[gone]).all() and (mc.label[gone] == -1).all() and np.isnan(mc.mutual_information[gone]).all()
    assert mc.finite.all() and not mc.constant.any()
    per_token = mc.log_likelihood(y)
    np.testing.assert_allclose(per_token[~gone], np.log(np.take_along_axis(mc.mean, np.maximum(y, 0)[..., None], 2)[..., 0])[~gone])
    assert np.isnan(per_token[gone]).all()
    assert mc.score(y) == {"error": mc.error(y), "nll": pytest.approx(-per_token[~gone].mean())}
    pieces = [made.predict(part, samples=7, first=first) for part, first in ((x[:9], 0), (x[9:], 9))]
    whole = made.predict(x, samples=7, first=0)
    assert np.array_equal(np.concatenate([p.mean for p in pieces]), whole.mean, equal_nan=True)
    assert made.predict(x, samples="auto", tolerance=0.05).converged


def test_it_learns_and_its_history_has_nats_a_token():
    made, (x, y) = mb.BayesianNetwork(net(nn.Bernoulli(0.9), 12), bayes.Prior(0.1)), letters(300)
    history = made.fit(x, y, epochs=12, optimizer=nn.Adam(0.02), validation=letters(60, seed=1), threads=1)
    assert history[-1]["validation"]["mc"]["nll"] < 0.6 < history[0]["validation"]["mc"]["nll"] < 2


def test_the_fast_way_is_the_plain_way(monkeypatch):
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    made, (x, y) = mb.BayesianNetwork(net()), letters()
    made.fit(x, y, steps=3, dtype=np.float64, threads=1)
    for settings in ({}, {"shared": True}, {"rule": "weight-averaging"}):
        made.predict(x, samples=3, **settings)
    plain = [made.predict(x, samples=3, plain=plain).mean for plain in (True, False)]
    np.testing.assert_allclose(*plain, atol=1e-12)


@pytest.mark.parametrize("inside", [{}, {"noise": DROP}])
def test_one_function_for_all_sequences_and_its_objective_taken_apart(inside, monkeypatch):
    """Noise before the outputs alone, too: then no column leaves the matrices, as there is a time between."""
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    made, (x, y) = mb.BayesianNetwork(nn.Network(e=nn.Embedding(4, 3), r=nn.GRU(3, 5, states="all", **inside),
                                                 d=nn.Dense(5, 4, noise=DROP))), letters()
    made.fit(x, y, steps=2, dtype=np.float64, threads=1)
    same = np.repeat(x[:1], 5, axis=0)
    shared = made.predict(same, samples=4, shared=True, keep_samples=True).samples
    np.testing.assert_allclose(shared, np.repeat(shared[:, :1], 5, axis=1), atol=1e-12)
    explained = checks.explain(made, x, y)
    assert explained["data"] + explained["KL"] == pytest.approx(explained["L-hat"])
    assert explained["KL"] == pytest.approx(made.kl())


def test_every_mask_enumerated():
    small = nn.Network(e=nn.Embedding(3, 1, noise=nn.Bernoulli(0.7)), r=nn.GRU(1, 2, noise=nn.Bernoulli(0.6), states="all"),
                       d=nn.Dense(2, 3))
    params, (x, y) = small.init(3, np.float64), (np.array([[0, 1, 2], [2, 0, -1.0]]), np.array([[1, 2, 0], [0, -1, -1]]))
    true = exact.predict(small, params, bayes.Categorical(), x)
    T = 1000
    mc = predict(small, params, bayes.Categorical(), x, samples=T)
    there = x != -1
    assert np.abs((mc.mean - true.mean)[there] / (true.std[there] / np.sqrt(T))).max() < 4
    objective = bayes.Objective(small, bayes.Prior(), bayes.Categorical(), 2)
    terms, _ = exact.value_and_grad(objective, params, x, y)
    w, f = exact.outputs(small, params, x)
    by_hand = -sum(w @ log_softmax(f[n, :, t])[:, y[n, t]] for n in range(2) for t in range(3) if y[n, t] >= 0) / 2
    assert terms.nll == pytest.approx(by_hand)


def test_text_from_one_omega_and_from_the_average():
    made, (x, y) = mb.BayesianNetwork(net(nn.Bernoulli(0.9), 12), bayes.Prior(0.1)), letters(300)
    made.fit(x, y, epochs=12, optimizer=nn.Adam(0.02), threads=1)
    for samples in (1, 20):
        text = bayes.text.sample(made.net, made.params, [0, 1], 30, samples=samples, key=1, power=4.0)
        assert text.shape == (30,) and (text[:6] == [2, 0, 1, 2, 0, 1]).all()
        assert np.array_equal(text, bayes.text.sample(made.net, made.params, [0, 1], 30, samples=samples, key=1, power=4.0))
    with pytest.raises(require.InputError, match="start must be words in 0..3"):
        bayes.text.sample(made.net, made.params, [7], 3)


def test_chunks_carried_are_the_whole_text():
    deep = nn.Network(e=nn.Embedding(4, 3, noise=nn.Bernoulli(0.8)), r=nn.LSTM(3, 4, noise=nn.Bernoulli(0.8), states="all"),
                      s=nn.GRU(4, 4, states="all"), d=nn.Dense(4, 4))
    params, x = deep.init(0, np.float64), np.random.default_rng(0).integers(0, 4, (3, 9)).astype(float)
    numbers = np.array([4, 9, 2])
    whole, _ = deep.forward(params, x, deep.sample(5, x.shape, examples=numbers))
    found, states = [], None
    for part in (slice(0, 4), slice(4, 9)):
        f, _, states = nn.carry.forward(deep, params, x[:, part], deep.sample(5, x[:, part].shape, examples=numbers), states)
        found.append(f)
    np.testing.assert_allclose(np.concatenate(found, axis=1), whole, atol=1e-14)


def test_targets_are_checked():
    made, (x, y) = mb.BayesianNetwork(net()), letters()
    for bad, said in ((y[:, :3], r"y must have shape \(40, 6\), a token for each step, got \(40, 3\)"), (y + 3, "tokens in 0..3"),
                      (y * 1.0, "integer tokens, got dtype float64"), (np.full_like(y, -1), "a token in every sequence")):
        with pytest.raises(require.InputError, match=said):
            made.fit(x, bad)
    with pytest.raises(require.InputError, match="net must end in one row of outputs"):
        mb.BayesianNetwork(net(), likelihood=bayes.Gaussian(1.0)).fit(x, y)
