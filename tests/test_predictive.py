"""Prediction: against explicit passes, against the exact answer by enumeration, and for any split into tasks and threads."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from minibayes import BayesianNetwork, bayes, models, nn
from minibayes.bayes import summary
from minibayes.bayes.likelihood import log_softmax
from minibayes.fast import routes, sweep


def conv_net(noise, noise_per="patch"):
    return nn.Network((8, 8, 1), c=nn.Conv2d(1, 3, 3, noise=noise, noise_per=noise_per), p=nn.MaxPool2d(2), f=nn.Flatten(),
                      d=nn.Dense(27, 6, noise=noise), r=nn.ReLU(), e=nn.Dense(6, 4, noise=noise))


def fitted(net, likelihood=None, scale=1.0, dtype=np.float32):
    params = net.init(1, dtype)
    for group in params.values():
        group["M"] *= dtype(scale)
        group["b"] += np.linspace(-0.5, 0.5, group["b"].size, dtype=dtype)
    return BayesianNetwork(net, likelihood=likelihood, params=params)


def inputs(n, shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(dtype)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("net", [conv_net(nn.Bernoulli(0.5)), conv_net(nn.Gaussian(), "kernel"), models.mlp([64, 9, 4])], ids=str)
def test_mc_is_the_average_of_explicit_passes(net, shared):
    model, T = fitted(net), 70  # more passes than one block
    x = inputs(5, (8, 8, 1) if "c" in net.layers else (64,))
    prediction = model.predict(x, samples=T, seed=3, shared=shared, keep_samples=True)
    key = nn.Key(3).derive("predict")
    f = np.stack([net.forward(model.params, x, net.sample(key.at(t), x.shape, shared=shared))[0] for t in range(T)])
    np.testing.assert_allclose(prediction.samples, f, rtol=1e-5, atol=1e-5)
    log_p = log_softmax(f.astype(float))
    p = np.exp(log_p)
    np.testing.assert_allclose(prediction.mean, p.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(prediction.std_error, p.std(axis=0, ddof=1) / math.sqrt(T), atol=1e-6)
    mean = p.mean(axis=0)
    np.testing.assert_allclose(prediction.entropy, -(mean * np.log(mean)).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(prediction.expected_entropy, -(p * log_p).sum(axis=2).mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(prediction.mutual_information, prediction.entropy - prediction.expected_entropy, atol=1e-12)
    votes = np.stack([(f.argmax(axis=2) == c).mean(axis=0) for c in range(4)])
    np.testing.assert_allclose(prediction.variation_ratio, 1 - votes.max(axis=0), atol=1e-12)
    y = np.arange(5) % 4
    np.testing.assert_allclose(prediction.log_likelihood(y), np.log(p.mean(axis=0)[np.arange(5), y]), atol=1e-5)


@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_same_bits_for_any_number_of_threads(kind, monkeypatch):
    monkeypatch.setattr(routes.StageRoute, "inputs", 7)
    model = fitted(models.mlp([5, 8, 3]), bayes.Gaussian(2.0) if kind == "regression" else None)
    x = inputs(33, (5,))
    y = np.zeros((33, 3)) if kind == "regression" else np.zeros(33, int)
    runs = [model.predict(x, samples=41, threads=threads) for threads in (1, 2, 3)]
    for other in runs[1:]:
        assert (runs[0].mean == other.mean).all() and (runs[0].std_error == other.std_error).all()
        assert (runs[0].log_likelihood(y) == other.log_likelihood(y)).all()


def test_what_comes_before_the_noise_is_computed_in_pieces():
    """Two groups of 256 and 44 inputs that share omega-hat_t, each with several tasks: 256 are more than one piece."""
    model, x, T = fitted(models.mlp([6, 9, 8, 3]), dtype=np.float64), inputs(300, (6,), dtype=np.float64), 7
    runs = [model.predict(x, samples=T, seed=2, shared=True, keep_samples=True, threads=threads) for threads in (1, 2, 3)]
    assert all((runs[0].samples == other.samples).all() and (runs[0].mean == other.mean).all() for other in runs[1:])
    key = nn.Key(2).derive("predict")
    for t in range(T):
        f, _ = model.net.forward(model.params, x, model.net.sample(key.at(t), x.shape, shared=True, dtype=x.dtype))
        np.testing.assert_allclose(runs[0].samples[t], f, rtol=1e-12, atol=1e-12)


def test_draws_do_not_depend_on_the_split_into_tasks(monkeypatch):
    model, x = fitted(models.mlp([5, 8, 3]), dtype=np.float64), inputs(20, (5,), dtype=np.float64)
    whole = model.predict(x, samples=30, keep_samples=True)
    monkeypatch.setattr(routes.StageRoute, "inputs", 3)
    monkeypatch.setattr(routes, "SWEEP_ROWS", 5)
    monkeypatch.setattr(sweep, "TASKS", 50)
    split = model.predict(x, samples=30, keep_samples=True)
    np.testing.assert_allclose(whole.samples, split.samples, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(whole.mean, split.mean, rtol=1e-12)
    np.testing.assert_allclose(whole.std_error, split.std_error, rtol=1e-10)


def every_omega(net, params, x):
    """(probability, f) for every mask of a dense net, one input."""
    widths = [(name, net.layers[name].n_in) for name in net.noisy]
    for bits in itertools.product((0, 1), repeat=sum(d for _, d in widths)):
        bits, z, probability = np.array(bits, np.uint8), {}, 1.0
        for name, d in widths:
            z[name], bits = bits[None, :d], bits[d:]
            keep = net.layers[name].noise.keep
            probability *= np.prod(np.where(z[name] == 1, keep, 1 - keep))
        yield probability, net.forward(params, x, z)[0][0]


def test_mc_tends_to_the_exact_predictive():
    """Within 4 standard errors of the enumerated mean, the error itself from the exact variance; the reported one agrees."""
    net = nn.Network(a=nn.Dense(2, 4, noise=nn.Bernoulli(0.8)), t=nn.ReLU(), b=nn.Dense(4, 3, noise=nn.Bernoulli(0.5)))
    model, x, T = fitted(net, scale=3, dtype=np.float64), inputs(3, (2,), dtype=np.float64), 20_000
    prediction = model.predict(x, samples=T)
    for n in range(3):
        weights, f = zip(*every_omega(net, model.params, x[n:n + 1]), strict=True)
        weights, p = np.array(weights), np.exp(log_softmax(np.array(f)))
        mean = weights @ p
        std = np.sqrt(weights @ (p - mean) ** 2)
        assert (np.abs(prediction.mean[n] - mean) <= 4 * std / math.sqrt(T)).all()
        np.testing.assert_allclose(prediction.std_error[n], std / math.sqrt(T), rtol=0.05)
        entropies = -(p * np.log(p)).sum(axis=1)
        expected = weights @ entropies
        assert abs(prediction.expected_entropy[n] - expected) <= 4 * math.sqrt(weights @ (entropies - expected) ** 2 / T)


def test_regression_prediction_against_the_exact_mixture():
    tau = 3.0
    net = nn.Network(a=nn.Dense(2, 4), t=nn.ReLU(), b=nn.Dense(4, 2, noise=nn.Bernoulli(0.6)))
    model, x, T = fitted(net, bayes.Gaussian(tau), 2, np.float64), inputs(2, (2,), dtype=np.float64), 20_000
    prediction, y = model.predict(x, samples=T, keep_samples=True), np.array([[0.3, -1.0], [2.0, 0.5]])
    for n in range(2):
        weights, f = map(np.array, zip(*every_omega(net, model.params, x[n:n + 1]), strict=True))
        mean = weights @ f
        variance = weights @ (f - mean) ** 2
        assert (np.abs(prediction.mean[n] - mean) <= 4 * np.sqrt(variance / T)).all()
        fourth = weights @ (f - mean) ** 4
        assert (np.abs(prediction.epistemic[n] - variance) <= 4 * np.sqrt((fourth - variance**2) / T) + 1e-3 * variance).all()
        densities = np.exp(-tau / 2 * ((y[n] - f) ** 2).sum(axis=1) + np.log(tau / (2 * math.pi)))
        exact = weights @ densities
        se = math.sqrt(weights @ (densities - exact) ** 2 / T) / exact
        assert abs(prediction.log_likelihood(y)[n] - math.log(exact)) <= 4 * se
    np.testing.assert_allclose(prediction.variance, prediction.epistemic + 1 / tau)
    np.testing.assert_allclose(prediction.epistemic, prediction.samples.var(axis=0), rtol=1e-9)
    assert prediction.rmse(y) == pytest.approx(math.sqrt(((y - prediction.mean) ** 2).mean()))


def test_log_likelihood_is_log_of_the_mean():
    """Two passes, one sure and right, one sure and wrong: log 1/2, where the mean of logs would be minus infinity."""
    half = summary.CategoricalSummary(np.array([[[800.0, 0.0]], [[0.0, 800.0]]]))
    assert half.log_mean.value[0] == pytest.approx([-math.log(2)] * 2)
    rare = summary.LogMean(np.array([[-1000.0], [-1001.0]]))
    assert rare.value[0] == pytest.approx(-1000 + math.log((1 + math.exp(-1)) / 2), rel=1e-14)
    odd = summary.LogMean(np.array([[-np.inf, -np.inf, np.inf, np.nan], [-np.inf, 1.0, 900.0, 1.0]])).value
    assert odd[0] == -np.inf and odd[1] == pytest.approx(1 - math.log(2)) and odd[2] == np.inf and np.isnan(odd[3])


def test_known_mutual_information():
    """Members (0, 1) and (1, 0): ln 2. Identical members: 0."""
    from minibayes.bayes.prediction import ClassPrediction
    disagree = ClassPrediction("mc", summary.CategoricalSummary(np.array([[[0.0, 900.0]], [[900.0, 0.0]]])), None)
    assert disagree.mutual_information[0] == pytest.approx(math.log(2), rel=1e-12)
    assert disagree.variation_ratio[0] == 0.5
    agree = ClassPrediction("mc", summary.CategoricalSummary(np.array([[[0.3, 0.9]]] * 6)), None)
    assert agree.mutual_information[0] == pytest.approx(0, abs=1e-15) and agree.entropy[0] > 0.5


def test_merging_summaries_is_one_summary():
    f = np.random.default_rng(0).standard_normal((13, 4, 3)) * 3
    whole, parts = summary.CategoricalSummary(f), summary.CategoricalSummary(f[:1])
    for cut in ((1, 6), (6, 7), (7, 13)):
        parts.merge(summary.CategoricalSummary(f[slice(*cut)]))
    np.testing.assert_allclose(parts.probabilities.mean, whole.probabilities.mean, rtol=1e-13)
    np.testing.assert_allclose(parts.probabilities.std_error, whole.probabilities.std_error, rtol=1e-12)
    np.testing.assert_allclose(parts.log_mean.value, whole.log_mean.value, rtol=1e-13)
    assert (parts.votes == whole.votes).all() and parts.probabilities.count == 13


def test_weight_averaging_is_one_pass_at_the_mean_noise():
    net = conv_net(nn.Bernoulli(0.3))
    model, x = fitted(net), inputs(3, (8, 8, 1))
    z = {name: np.full((3, *net.layers[name].noise_shape(shape)), 0.3, np.float32)
         for name, (shape, _) in net.shapes((8, 8, 1)).items() if name in net.noisy}
    prediction = model.predict(x, rule="weight-averaging")
    np.testing.assert_allclose(prediction.mean, np.exp(log_softmax(net.forward(model.params, x, z)[0].astype(float))), atol=1e-6)
    assert (prediction.std_error == 0).all() and (prediction.mutual_information == 0).all() and prediction.num_samples == 1


def test_weight_averaging_is_exact_where_f_is_linear_in_z():
    net = nn.Network(a=nn.Dense(3, 4), t=nn.Tanh(), b=nn.Dense(4, 2, noise=nn.Bernoulli(0.3)))
    model, x = fitted(net, bayes.Gaussian(1.0), dtype=np.float64), inputs(1, (3,), dtype=np.float64)
    exact = sum(p * f for p, f in every_omega(net, model.params, x))
    np.testing.assert_allclose(model.predict(x, rule="weight-averaging").mean[0], exact, rtol=1e-12)
    deep = nn.Network(a=nn.Dense(3, 4, noise=nn.Bernoulli(0.3)), t=nn.ReLU(), b=nn.Dense(4, 2))
    model = fitted(deep, bayes.Gaussian(1.0), dtype=np.float64)
    exact = sum(p * f for p, f in every_omega(deep, model.params, x))
    assert np.abs(model.predict(x, rule="weight-averaging").mean[0] - exact).max() > 1e-3


def test_probabilistic_pooling_is_exact_for_conv_pool_linear():
    """conv -> drop -> max-pool -> dense: the network's mean output by enumerating all masks of every window."""
    net = nn.Network((3, 5, 1), c=nn.Conv2d(1, 2, 2, noise=nn.Bernoulli(0.7)), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(4, 3))
    model = fitted(net, bayes.Gaussian(1.0), dtype=np.float64)
    x = inputs(1, (3, 5, 1), dtype=np.float64)
    mean = np.zeros(3)
    for bits in itertools.product((0, 1), repeat=16):
        z = np.array(bits, np.uint8).reshape(1, 2, 4, 2)
        mean += 0.7**z.sum() * 0.3 ** (16 - z.sum()) * net.forward(model.params, x, {"c": z})[0][0]
    np.testing.assert_allclose(model.predict(x, rule="probabilistic-pooling").mean[0], mean, rtol=1e-10)
    assert np.abs(model.predict(x, rule="weight-averaging").mean[0] - mean).max() > 1e-3


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("N, T", [(2, 3), (7, 20), (7, 50), (70, 50)])
@pytest.mark.parametrize("net, tolerance", [(models.lenet("none"), 1e-12), (models.mlp([784, 30, 20, 10], noise=nn.Bernoulli(1.0)), 1e-5)],
                         ids=["none", "keep 1"])
def test_a_net_without_noise_predicts_the_same_every_time(net, tolerance, N, T, shared):
    """Without noise f is computed once; with keep = 1 once a pass, and the rounding of a product depends on how many rows it has."""
    model, x = fitted(net), inputs(N, net.input_shape)
    with pytest.warns(bayes.ZeroVarianceWarning, match=f"all {T} passes gave the same outputs: the network has no noise"):
        mc = model.predict(x, samples=T, shared=shared, keep_samples=True)
    f, _ = net.forward(model.params, x, net.mean_noise())
    assert mc.samples.shape == (T, N, 10)
    np.testing.assert_allclose(mc.samples, np.broadcast_to(f, mc.samples.shape), atol=1e-5 * np.abs(f).max())
    np.testing.assert_allclose(mc.mean, model.predict(x, rule="weight-averaging").mean, rtol=tolerance)
    assert (mc.std_error < tolerance).all() and (mc.constant.all() or net.noisy)


def test_noise_is_not_constant():
    assert not fitted(models.mlp([5, 8, 3])).predict(inputs(2, (5,)), samples=3).constant.any()


def test_seeds_and_shared_draws():
    model, x = fitted(models.mlp([5, 8, 3])), np.repeat(inputs(1, (5,)), 6, axis=0)
    assert (model.predict(x, seed=1).mean == model.predict(x, seed=1).mean).all()
    assert (model.predict(x, seed=1).mean != model.predict(x, seed=2).mean).any()
    own, shared = (model.predict(x, samples=8, shared=s, keep_samples=True).samples for s in (False, True))
    assert (shared == shared[:, :1]).all()  # one function, the same input: the same output
    assert np.unique(own[:, :, 0]).size > np.unique(shared[:, :, 0]).size


def test_memory_does_not_grow_with_passes():
    model, x = fitted(models.mlp([20, 50, 4], nn.Bernoulli(0.9))), inputs(300, (20,))

    def peak(samples):
        tracemalloc.start()
        model.predict(x, samples=samples, threads=1)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)
    assert peak(2000) < 1.2 * peak(200) + 2**20
