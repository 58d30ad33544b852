"""Which inputs matter: one learned alpha or keep for each; Friedman's five above the other five, MNIST's frame off."""

import math

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, data, nn
from minibayes.bayes.sparsity import relevance


def network(n_in, hidden, n_out, noise, activation=None):
    return nn.Network(fc1=nn.Dense(n_in, hidden, noise=noise), between=activation or nn.Tanh(), fc2=nn.Dense(hidden, n_out, noise=noise))


def test_it_is_one_over_alpha_and_the_odds_of_a_coin():
    gaussian, coin = nn.LearnedGaussian(0.1, per="unit"), nn.Concrete(0.9, temperature=0.0, per="unit")
    logits = np.array([-1.0, 0.0, 3.0])
    for noise, phi, wanted in ((gaussian, {"log_alpha": logits}, np.exp(-logits)), (coin, {"logit_keep": logits}, np.exp(logits))):
        net = network(3, 4, 1, noise)
        params = net.init(0, np.float64)
        params["fc1"] |= phi
        np.testing.assert_allclose(relevance(net, params), wanted, rtol=1e-12)
    soft = nn.Concrete(0.9, temperature=0.1, per="unit")
    first, second = soft.moments({"logit_keep": logits})
    net = network(3, 4, 1, soft)
    params["fc1"]["logit_keep"] = logits
    np.testing.assert_allclose(relevance(net, params), first**2 / (second - first**2), rtol=1e-12)


@pytest.mark.parametrize("noise", [nn.Delta(), nn.Bernoulli(0.5), nn.LearnedGaussian(0.1), nn.MeanField(0.1),
                                   nn.LearnedGaussian(0.1, per="weight")], ids=repr)
def test_noise_that_says_nothing_of_single_inputs(noise):
    net = network(3, 4, 1, noise)
    with pytest.raises(mb.InputError, match="net must begin with a layer whose noise learns a number for each input.*got Dense"):
        relevance(net, net.init(0))


def test_a_convolution_has_no_inputs_of_its_own():
    net = nn.Network((8, 8, 1), c=nn.Conv2d(1, 1, 3, noise=nn.LearnedGaussian(0.1, per="unit")), f=nn.Flatten(), d=nn.Dense(36, 2))
    with pytest.raises(mb.InputError, match="net must begin with a layer whose noise learns"):
        relevance(net, net.init(0))


def friedman(count, seed):
    """y = 10 sin(pi u1 u2) + 20 (u3 - 1/2)^2 + 10 u4 + 5 u5 + e, e ~ N(0, 1), of ten u; inputs of std 1, y over 5."""
    u = np.random.default_rng(seed).uniform(0, 1, (count, 10))
    y = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2 + 10 * u[:, 3] + 5 * u[:, 4]
    y += np.random.default_rng([seed, 1]).standard_normal(count)
    return (u - 0.5) * math.sqrt(12), (y - 14.4) / 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_friedman_s_five_are_above_the_rest(seed):
    """In ten of ten seeds."""
    x, y = friedman(500, seed)
    model = mb.BayesianNetwork(network(10, 20, 1, nn.LearnedGaussian(0.1, per="unit")), bayes.LogUniform(), bayes.Gaussian(25.0))
    model.fit(x, y, steps=3000, batch_size=100, report_every=3000, seed=seed, threads=1,
              optimizer=nn.Adam(0.01, policy="inv", gamma=5 / 3000))
    found = relevance(model.net, model.params)
    assert found[:5].min() > found[5:].max(), found
    x, y = friedman(1000, 100 + seed)
    assert model.predict(x, samples=20, threads=1).rmse(y) < 0.4, "noise in the data: 0.2; the spread of y: 1"


@pytest.mark.slow
def test_the_frame_of_mnist_is_off():
    """Pixels at the edge, and all that no digit reaches, bear more noise than any of the 100 in the middle."""
    x, y, _, _ = data.mnist()
    x, y = x[:5000].reshape(5000, -1), y[:5000]
    model = mb.BayesianNetwork(network(784, 50, 10, nn.LearnedGaussian(0.1, per="unit"), nn.ReLU()), bayes.LogUniform())
    model.fit(x, y, steps=1000, batch_size=100, report_every=1000, seed=0, optimizer=nn.Adam(0.005))
    found = relevance(model.net, model.params).reshape(28, 28)
    edge = np.ones((28, 28), bool)
    edge[1:-1, 1:-1] = False
    assert found[edge].max() < found[9:19, 9:19].min()
    blank = (x == 0).all(axis=0).reshape(28, 28)
    assert blank.any() and found[blank].max() < found[9:19, 9:19].min()
