"""The temperature of averaged probabilities: its derivatives, against a scan, and that it is found again where it is known."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, models, nn, temperature

RNG = np.random.default_rng(0)


def logits(T, N=400, C=3, seed=0, sure=1.0):
    rng = np.random.default_rng(seed)
    return sure * (rng.standard_normal((1, N, C)) * 2 + rng.standard_normal((T, N, C)))


def drawn(f, seed=1):
    """Labels from the averaged probabilities."""
    p = bayes.Categorical().expected(f).mean(axis=0)
    return (np.random.default_rng(seed).random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("T", [1, 7])
@pytest.mark.parametrize("u", [-2.0, 0.0, 1.3])
def test_derivatives(T, u):
    f, w = logits(T), RNG.random(400)
    y, h = drawn(f), 1e-5
    at = [temperature.slopes(f, y, np.exp(v), w) for v in (u - h, u, u + h)]
    assert at[1][1] == pytest.approx((at[2][0] - at[0][0]) / (2 * h), rel=1e-6, abs=1e-6)
    assert at[1][2] == pytest.approx((at[2][1] - at[0][1]) / (2 * h), rel=1e-6, abs=1e-6)
    wanted = -w @ np.log(bayes.Categorical().expected(np.exp(u) * f).mean(axis=0)[np.arange(400), y])
    assert at[1][0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("sure", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found(sure):
    """Logits made `sure` times too large: 4 standard errors, from the curvature of the nll."""
    f = logits(5, 4000)
    y = drawn(f)
    found = temperature.best(sure * f, y)
    curvature = temperature.slopes(f, y, 1.0, np.ones(4000))[2]
    assert abs(np.log(found / sure)) < 4 / np.sqrt(curvature)
    scan = np.exp(np.linspace(-1, 1, 2001)) * found
    nll = [temperature.slopes(sure * f, y, 1 / t, np.ones(4000))[0] for t in scan[::40]]
    assert temperature.slopes(sure * f, y, 1 / found, np.ones(4000))[0] <= min(nll) + 1e-9


def test_it_is_of_the_average_and_not_of_single_passes():
    """Five passes that disagree: the average is less sure than they are, so they must be colder than each alone would be."""
    f = logits(5, 4000)
    y = drawn(f)
    single = temperature.best(f.reshape(1, -1, 3), np.tile(y, 5))
    assert single > 1.2 > temperature.best(f, y)


def test_weight_2_is_the_row_twice_and_ends_are_bounded():
    f, w = logits(3, 60), np.arange(60) % 3
    y = drawn(f)
    which = np.repeat(np.arange(60), w)
    assert temperature.best(f, y, w) == pytest.approx(temperature.best(f[:, which], y[which]), rel=1e-9)
    always = f[0].argmax(axis=1)
    assert temperature.best(f[0], always) == pytest.approx(temperature.COLDEST)  # nothing is too sure of what is always right
    assert temperature.best(f[0], f[0].argmin(axis=1)) == pytest.approx(temperature.HOTTEST)


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian(0.3), nn.Delta()], ids=repr)
def test_a_scaled_model_divides_the_logits_of_every_pass(noise):
    net = models.mlp([4, 8, 3], noise=noise)
    model, x = mb.BayesianNetwork(net, params=net.init(0, np.float64)), RNG.standard_normal((6, 4))
    options = {"samples": 5, "keep_samples": True} if net.noisy else {"rule": "weight-averaging", "keep_samples": True}
    f = model.predict(x, **options).samples
    np.testing.assert_allclose(temperature.scaled(model, 2.5).predict(x, **options).samples, f / 2.5, rtol=1e-12)


def test_one_clear_error():
    f, net = logits(2, 5), models.mlp([4, 8, 3])
    untrained = mb.BayesianNetwork(net)
    for work, says in [
            (lambda: temperature.best(f[0, 0], [0]), r"outputs must have shape \(T, N, C\)"),
            (lambda: temperature.best(f, [0, 1]), r"y must have shape \(5,\)"),
            (lambda: temperature.best(f, [0, 1, 2, 3, 0]), r"y must be labels in 0..2"),
            (lambda: temperature.best(f * np.nan, [0] * 5), "outputs must be finite"),
            (lambda: temperature.best(f, [0] * 5, [0] * 5), "weights must be 5 numbers >= 0, and not all 0"),
            (lambda: temperature.scaled(untrained, 2.0), "model must be trained and end in a layer of weights M and b"),
            (lambda: temperature.scaled(untrained, 0.0), "temperature must be"),
            (lambda: temperature.scaled(mb.BayesianNetwork(net, likelihood=bayes.Gaussian()), 2.0), "model must predict classes")]:
        with pytest.raises(mb.InputError, match=says):
            work()
