"""Pieces of one prediction give the bits of the whole, however they are cut: each input has its own number."""

import time
import tracemalloc

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, models, nn

rng = np.random.default_rng(0)
N = 200
X, IMAGES = rng.standard_normal((N, 6)).astype(np.float32), rng.random((N, 12, 12, 1)).astype(np.float32)
DROP = nn.Bernoulli(0.5)


def conv(noise_per="patch"):
    return nn.Network((12, 12, 1), c1=nn.Conv2d(1, 4, 3, noise=DROP, noise_per=noise_per), p1=nn.MaxPool2d(2),
                      c2=nn.Conv2d(4, 6, 3, noise=DROP, noise_per=noise_per), p2=nn.MaxPool2d(2),
                      flat=nn.Flatten(), d=nn.Dense(6, 3, noise=DROP))


# name: (network, inputs, likelihood, options of predict)
CASES = {
    "dense": (models.mlp([6, 40, 30, 3]), X, None, {}),
    "dense, noise on the inputs": (models.mlp([6, 40, 1], input_noise=DROP), X, bayes.Gaussian(2.0), {}),
    "wide": (models.mlp([6, 500, 500, 3]), X, None, {}),
    "shared": (models.mlp([6, 40, 30, 3]), X, None, {"shared": True}),
    "two heads": (models.mlp([6, 40, 2], activation="tanh"), X, bayes.Heteroscedastic(), {}),
    "one z a weight": (nn.Network(a=nn.Dense(6, 9, noise=DROP, place=nn.Weights()), r=nn.ReLU(), b=nn.Dense(9, 3)),
                       X, None, {}),
    "images": (conv(), IMAGES, None, {}),
    "kernels": (conv("kernel"), IMAGES, None, {}),
    "kernels, shared": (conv("kernel"), IMAGES, None, {"shared": True}),
    "weight averaging": (conv(), IMAGES, None, {"rule": "weight-averaging"}),
    "pooled": (conv(), IMAGES, None, {"rule": "probabilistic-pooling"}),
}
PARTS = ([0, 1, 200], [0, 64, 200], [0, 7, 70, 71, 150, 200], [0, 128, 129, 200])


def everything(prediction, y):
    found = [prediction.samples, prediction.mean, prediction.std_error, prediction.std, prediction.log_likelihood(y),
             prediction.constant.astype(float)]
    if hasattr(prediction, "entropy"):
        return [*found, prediction.entropy, prediction.mutual_information, prediction.variation_ratio]
    return [*found, prediction.epistemic, prediction.aleatoric, prediction.quantile(0.2)]


@pytest.mark.parametrize("samples", [3, 70])
@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("name", CASES)
def test_pieces_have_the_bits_of_the_whole(name, plain, samples):
    net, x, likelihood, options = CASES[name]
    if plain and samples == 70 or samples == 70 and "rule" in options:
        return
    m = mb.BayesianNetwork(net, likelihood=likelihood, params=net.init(1))
    y = np.zeros(N, int) if likelihood is None else np.zeros((N, 1))
    options = {"samples": samples, "plain": plain, "keep_samples": True, "seed": 4} | options
    whole = everything(m.predict(x, first=0, threads=1, **options), y)
    for cuts in PARTS[:2] if plain or samples == 70 else PARTS:
        parts = [everything(m.predict(x[a:b], first=a, threads=2, **options), y[a:b])
                 for a, b in zip(cuts, cuts[1:], strict=False)]
        for i, expected in enumerate(whole):
            found = np.concatenate([p[i] for p in parts], axis=1 if i == 0 else 0)
            assert found.tobytes() == expected.tobytes(), (i, cuts)


@pytest.mark.parametrize("name", ["dense", "shared", "images", "kernels"])
def test_the_whole_is_what_it_is_without_numbers(name):
    """The same noise and the same passes; only sums may be rounded in another order."""
    net, x, likelihood, options = CASES[name]
    m = mb.BayesianNetwork(net, params=net.init(1))
    a, b = (m.predict(x, samples=20, keep_samples=True, first=first, **options) for first in (None, 0))
    np.testing.assert_allclose(a.samples, b.samples, atol=1e-5)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)


def test_pieces_without_numbers_share_their_masks_and_with_numbers_do_not():
    net = models.mlp([6, 40, 3])
    m = mb.BayesianNetwork(net, params=net.init(1))
    same = np.repeat(X[:1], 64, axis=0)
    a, b = (m.predict(same, samples=1, first=first).mean for first in (0, 64))
    assert not np.array_equal(a, b)
    assert np.array_equal(m.predict(same, samples=1).mean, m.predict(same, samples=1).mean)


def test_first_is_checked():
    net = models.mlp([6, 4, 3])
    m = mb.BayesianNetwork(net, params=net.init(1))
    for first, message in ((-1, "first must be in"), (1.5, "first must be an integer"), (2**32 - 3, "first must be in")):
        with pytest.raises(InputError, match=message):
            m.predict(X, samples=1, first=first)
    with pytest.raises(InputError, match="samples must be a number of passes where first is given, got 'auto'"):
        m.predict(X, samples="auto", first=0)
    assert m.predict(X[:2], samples=1, first=2**32 - 2).mean.shape == (2, 3)


def peak(net, x, **options):
    """The most bytes that a prediction holds at once, for each input, and the seconds it takes."""
    m = mb.BayesianNetwork(net, params=net.init(0))
    m.predict(x[:130], **options)
    tracemalloc.start()
    try:
        began = time.perf_counter()
        m.predict(x, threads=2, **options)
        return tracemalloc.get_traced_memory()[1] / len(x), time.perf_counter() - began
    finally:
        tracemalloc.stop()


def test_memory_of_many_small_inputs_and_of_many_classes():
    """Summaries are written into arrays for all inputs as they come, and few of them wait."""
    each, _ = peak(models.mlp([6, 8, 2]), np.tile(X, (150, 1)), samples=2)
    assert each < 190, "207 bytes an input when the summaries of all groups waited for the last"
    each, _ = peak(models.mlp([6, 8, 5000]), X[:64], samples=20)
    assert each / 5000 < 450, "684 bytes an input and class when all tasks did"


def test_votes_are_counted_at_once():
    """The time of a summary does not grow with the square of the classes: 7 s for 5,000 when each was counted alone."""
    f = np.random.default_rng(0).standard_normal((20, 8, 5000))
    summary = bayes.Categorical().summary(f)
    assert summary.votes.sum() == 160 and summary.votes.shape == (8, 5000)
    voted = f.argmax(-1)
    expected = np.stack([(voted == c).sum(axis=0) for c in range(5000)], axis=-1)
    assert np.array_equal(summary.votes, expected)
    weights = np.random.default_rng(1).dirichlet(np.ones(20))
    weighted = bayes.Categorical().summary(f[:, :, :7], weights).votes
    one_hot = np.eye(7)[f[:, :, :7].argmax(-1)]
    np.testing.assert_allclose(weighted, np.einsum("t,tnc->nc", weights, one_hot))
