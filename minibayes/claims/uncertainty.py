"""Var y = 1/tau + Var f, log E p, H = E H + I: what a prediction says of its uncertainty, against the exact mixture (claims 10, 11, 13)."""

import math

import numpy as np

from .. import nn
from ..bayes import Categorical, Gaussian
from ..model import BayesianNetwork
from ..truth import exact
from .claim import Finding
from .prediction import random_params, rounding

TAU, COPIES = 3.0, 4000
ROUNDING = "rounding"


def regression(outputs):
    """A 2-3-K tanh net with five Bernoulli units, and one input."""
    net = nn.Network(a=nn.Dense(2, 3, noise=nn.Bernoulli(0.8)), t=nn.Tanh(), b=nn.Dense(3, outputs, noise=nn.Bernoulli(0.5)))
    return BayesianNetwork(net, likelihood=Gaussian(TAU), params=random_params(net, 12)), np.array([[0.7, -1.1]])


def log_mixture(y, f, w):
    """log sum_i w_i N(y; f_i, 1/tau I), the densities written out.     y (K,), f (P, K), w (P,)"""
    densities = [wi * math.prod(math.sqrt(TAU / (2 * math.pi)) * math.exp(-TAU / 2 * (a - b) ** 2) for a, b in zip(y, fi, strict=True))
                 for wi, fi in zip(w, f, strict=True)]
    return math.log(math.fsum(densities))


def mixture():
    """Claim 10, exactly: the mixture's density, and its moments by integrating that over y."""
    model, x = regression(1)
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    # trapezoid sum with steps of 1/8 sd to 10 sd beyond the outermost mean: it is off by exp(-2 pi^2 8^2), and by the e^-50 cut off
    sd = 1 / math.sqrt(TAU)
    y = np.arange(truth.f.min() - 10 * sd, truth.f.max() + 10 * sd, sd / 8)
    p = np.exp(exact.predict(model.net, model.params, model.likelihood, np.repeat(x, len(y), axis=0)).log_likelihood(y)) * sd / 8
    mean = (p * y).sum()
    moments = max(abs(p.sum() - 1), abs(mean - truth.mean.item()), abs((p * (y - mean) ** 2).sum() - truth.variance.item()))
    size = np.abs(y).max() ** 2

    model, x = regression(2)
    truth, target = exact.predict(model.net, model.params, model.likelihood, x), np.array([[0.3, -1.0]])
    found = model.predict(x, samples=50, seed=12, keep_samples=True)
    passes = found.samples[:, 0]
    by_hand = [(truth, log_mixture(target[0], truth.f[0], truth.w)), (found, log_mixture(target[0], passes, np.full(50, 1 / 50)))]
    density = max(abs(one.log_likelihood(target).item() - wanted) for one, wanted in by_hand)
    variance = np.abs(found.variance - 1 / TAU - ((passes - passes.mean(axis=0)) ** 2).mean(axis=0)).max()
    exponent = TAU / 2 * ((np.abs(target).max() + np.abs(truth.f).max()) ** 2) * 2
    return [
        Finding("uncertainty-variance", "the predictive variance is 1/tau plus the variance of f over omega",
                "exact mass, mean and variance against the exact density integrated over y", moments, rounding(len(y) + 2**5, size),
                ROUNDING),
        Finding("uncertainty-variance-passes", "the reported variance is 1/tau plus the variance of the passes",
                "RegressionPrediction.variance against its own 50 kept passes", variance, rounding(3 * 50, np.abs(passes).max() ** 2),
                ROUNDING),
        Finding("uncertainty-log-density",
                "log p(y | x) = logsumexp_t(-tau/2 ||y - f_t||^2) - log T - D/2 log 2 pi + D/2 log tau: of the mean of densities",
                "exact and 50-pass log_likelihood, D = 2, against densities written out and added, nats", density,
                rounding(50 + 8, exponent), "rounding, in exponents and in the sum"),
    ]


def passes():
    """Claim 10, by sampling: what T passes estimate without bias, and what with."""
    model, x = regression(2)
    target, copies = np.array([[0.3, -1.0]]), np.repeat(x, COPIES, axis=0)
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    few, found, T = model.predict(copies, samples=8, seed=13), model.predict(copies, samples=64, seed=14), 64
    logs = found.log_likelihood(np.repeat(target, COPIES, axis=0))
    exact_log = truth.log_likelihood(target).item()

    def distance(values, wanted):
        return (np.abs(values.mean(axis=0) - wanted) / (values.std(axis=0, ddof=1) / math.sqrt(COPIES))).max()

    unbiased = max(distance(np.exp(logs - exact_log), 1.0), distance(found.mean, truth.mean[0]), distance(few.mean, truth.mean[0]))
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.Gaussian(0.4)))               # and N(1, 0.4): E f = M x + b, Var f = 0.4 sum (M x)^2
    mgn = BayesianNetwork(net, likelihood=Gaussian(TAU), params=random_params(net, 13))
    parts, drawn = mgn.params["a"]["M"][0] * x[0], mgn.predict(copies, samples=8, seed=13)
    unbiased = max(unbiased, distance(drawn.mean, parts.sum() + mgn.params["a"]["b"]))
    spread = max(distance(few.epistemic, (1 - 1 / 8) * truth.epistemic[0]),
                 distance(drawn.epistemic, (1 - 1 / 8) * 0.4 * (parts**2).sum()))
    # p-hat/p = 1 + e: E log(1 + e) = -E e^2/2 + E e^3/3 - E e^4/4 + O(T^-3), with E e^2 = c2/T, E e^3 = c3/T^2, E e^4 = 3 c2^2/T^2 + ...
    e = np.exp(-TAU / 2 * ((target - truth.f[0]) ** 2).sum(axis=1) + math.log(TAU / (2 * math.pi)) - exact_log) - 1
    c2, c3 = truth.w @ e**2, truth.w @ e**3
    low = -c2 / (2 * T) + (c3 / 3 - 3 * c2**2 / 4) / T**2
    return [
        Finding("uncertainty-passes", "the mean of T passes and their mean density are unbiased",
                f"{COPIES} predictions with T = 8 and 64, and of MGN, against the exact ones, in standard errors", unbiased, 4.0,
                "4 standard errors"),
        Finding("uncertainty-passes-variance", "the variance of T passes is too small by 1 - 1/T, as the published formula is",
                "mean epistemic variance of those with T = 8, and of MGN, against 7/8 of the exact one, in standard errors",
                spread, 4.0, "4 standard errors"),
        Finding("uncertainty-passes-log-density",
                f"the log density from T passes is on average too small by Var p/(2 T p^2), here {-low:.4f} nats at T = {T}",
                "mean log density over those with T = 64 against the exact one less that, to order 1/T^2, in standard errors",
                distance(logs, exact_log + low), 4.0, "4 standard errors; what is left out, of order 1/T^3, is a hundredth of one"),
    ]


def one_layer():
    """Claim 11: Var f(x) = Var[z] sum_j w_j^2 relu(a_j x + b_j)^2, convex; and what a second hidden layer can do."""
    worst = allowed = dip = dip_allowed = 0.0
    line = np.linspace(-3, 3, 61)[:, None] * np.array([[1.0, -0.4]])                      # inputs on a line in the plane
    for noise, hidden in ((nn.Bernoulli(0.7), 8), (nn.Gaussian(0.5), 2)):
        net = nn.Network(a=nn.Dense(2, hidden), r=nn.ReLU(), b=nn.Dense(hidden, 1, noise=noise))
        params = random_params(net, 14)
        variance = exact.predict(net, params, Gaussian(TAU), line, order=4).epistemic[:, 0]   # order 4: f^2 is quadratic in z
        relu = np.maximum(line @ params["a"]["M"].T + params["a"]["b"], 0)
        spread = 0.7 * 0.3 if isinstance(noise, nn.Bernoulli) else 0.5
        closed = spread * (relu**2 @ params["b"]["M"][0] ** 2)
        size = (3 * (relu @ np.abs(params["b"]["M"][0])).max() + np.abs(params["b"]["b"][0])) ** 2  # |z| < 3 at all nodes
        worst, allowed = max(worst, np.abs(variance - closed).max()), max(allowed, rounding(2**8 + 8, size))
        dip = max(dip, -np.diff(variance, 2).min())
        dip_allowed = max(dip_allowed, 4 * rounding(2**8 + 8, size))
    # relu(1 - relu(x) - relu(-x)) is a hat over 0: noise after it has its variance there, and none at -1 and 1
    keep = 0.7
    net = nn.Network(a=nn.Dense(1, 2), r=nn.ReLU(), h=nn.Dense(2, 1), s=nn.ReLU(), b=nn.Dense(1, 1, noise=nn.Bernoulli(keep)))
    params = {"a": {"M": np.array([[1.0], [-1.0]]), "b": np.zeros(2)}, "h": {"M": np.array([[-1.0, -1.0]]), "b": np.ones(1)},
              "b": {"M": np.ones((1, 1)), "b": np.zeros(1)}}
    bump = exact.predict(net, params, Gaussian(TAU), np.array([[-1.0], [0.0], [1.0]])).epistemic[:, 0]
    return [
        Finding("uncertainty-one-layer", "one hidden layer with noise after it has Var f(x) = Var[z] sum_j w_j^2 relu(a_j x + b_j)^2",
                "exact epistemic variance along a line against that, Bernoulli by masks and Gaussian by quadrature",
                worst, allowed, ROUNDING),
        Finding("uncertainty-one-layer-convex",
                "the variance of one hidden layer is convex in x: no bump of it between two clusters of data (Foong et al.)",
                "the most negative second difference of the exact variance along the line, and 0", max(dip, 0.0), dip_allowed,
                "rounding of three values, one of them doubled"),
        Finding("uncertainty-two-layers",
                "two hidden layers can have such a bump: a hat function before the noise has variance keep(1-keep) hat(x)^2",
                "exact variance at -1, 0, 1 against 0, keep(1-keep), 0", np.abs(bump - [0, keep * (1 - keep), 0]).max(),
                rounding(4, 1), ROUNDING),
    ]


def entropies(f, w):
    """(H[pbar], E H[p], E KL(p || pbar)) of logits f (P, C) with weights w, written out."""
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    mean = w @ p
    return -(mean * np.log(mean)).sum(), -(w @ (p * np.log(p)).sum(axis=1)), w @ (p * np.log(p / mean)).sum(axis=1)


def information():
    """Claim 13: the decomposition, its sign, and known values."""
    net = nn.Network(a=nn.Dense(2, 4, noise=nn.Bernoulli(0.8)), r=nn.ReLU(), b=nn.Dense(4, 3, noise=nn.Bernoulli(0.5)))
    model, x = BayesianNetwork(net, params=random_params(net, 15)), np.random.default_rng(15).standard_normal((6, 2))
    truth, worst, sign = exact.predict(net, model.params, model.likelihood, x), 0.0, 0.0
    found = model.predict(x, samples=40, seed=15, keep_samples=True)
    for prediction, f, w in ((truth, truth.f, truth.w), (found, found.samples.swapaxes(0, 1), np.full(40, 1 / 40))):
        parts = np.array([entropies(f[n], w) for n in range(len(x))]).T
        given = (prediction.entropy, prediction.expected_entropy, prediction.mutual_information)
        worst = max(worst, *(np.abs(a - b).max() for a, b in zip(given, parts, strict=True)), np.abs(parts[0] - parts[1] - parts[2]).max())
        sign = max(sign, -prediction.mutual_information.min())

    # one unit that decides: logits (80, -80) or (-80, 80), sure and opposite
    def members(keep, level, T=500):
        net = nn.Network(a=nn.Dense(1, 2, noise=nn.Bernoulli(keep)))
        params = {"a": {"M": np.array([[-2 * level], [2 * level]]), "b": np.array([level, -level])}}
        model = BayesianNetwork(net, params=params)
        one = np.ones((1, 1))
        passes = model.predict(one, samples=T, seed=15, keep_samples=True)
        share = (passes.samples[:, 0, 1] > 0).mean()
        return exact.predict(net, params, Categorical(), one), passes, share

    def coin(q):
        return -q * math.log(q) - (1 - q) * math.log1p(-q)

    half, drawn, share = members(0.5, 80.0)
    third, drawn_3, share_3 = members(0.3, 80.0)
    same, drawn_0, _ = members(0.5, 0.0)                                                  # all members alike, and undecided
    known = max(abs(half.mutual_information.item() - math.log(2)), half.expected_entropy.item(),
                abs(drawn.mutual_information.item() - coin(share)), abs(drawn_3.mutual_information.item() - coin(share_3)),
                abs(third.mutual_information.item() - coin(0.3)), abs(drawn.variation_ratio.item() - min(share, 1 - share)))
    alike = max(abs(p.mutual_information.item()) + abs(p.entropy.item() - math.log(2)) for p in (same, drawn_0))
    return [
        Finding("uncertainty-information", "entropy = expected entropy + mutual information, and mutual information = E KL(p || pbar) >= 0",
                "exact and 40-pass values at six inputs against the sums written out, and the largest negative one", max(worst, sign),
                rounding(2**6 + 6, 16), "rounding of p log p, with log p above -16"),
        Finding("uncertainty-information-coin",
                "sure members that disagree have mutual information H(share), ln 2 at one half, and no expected entropy",
                "one unit that decides between (1, 0) and (0, 1): by enumeration, and by 500 passes", known, rounding(500, 160), ROUNDING),
        Finding("uncertainty-information-alike", "members that agree have no mutual information, however undecided they are",
                "a unit without influence", alike, rounding(500, 1), ROUNDING),
    ]


CLAIMS = (mixture, passes, one_layer, information)
