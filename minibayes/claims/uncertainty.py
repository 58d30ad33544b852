"""Var y = 1/tau + Var f, log E p: what a prediction says of its uncertainty, measured (claims 10 and 11)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .. import bayes, nn
from ..model import BayesianNetwork
from ..truth import exact
from .claim import Finding, claim
from .common import ROUNDING, random_params, rounding, worst

TAU, COPIES = 3.0, 4000


def regression(outputs: int) -> tuple[BayesianNetwork, np.ndarray]:
    """A 2-3-K tanh net with five Bernoulli units, and one input."""
    net = nn.Network(a=nn.Dense(2, 3, noise=nn.Bernoulli(0.8)), t=nn.Tanh(),
                     b=nn.Dense(3, outputs, noise=nn.Bernoulli(0.5)))
    model = BayesianNetwork(net, likelihood=bayes.Gaussian(TAU), params=random_params(net, 12))
    return model, np.array([[0.7, -1.1]])


@claim("uncertainty-variance")
def variance() -> list[Finding]:
    """Claim 10, exactly: the mixture's moments by integrating its density over y.

    A trapezoid sum with steps of 1/8 sd to 10 sd beyond the outermost mean: it is off by exp(-2 pi^2 8^2),
    and by the e^-50 cut off.
    """
    model, x = regression(1)
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    sd = 1 / math.sqrt(TAU)
    y = np.arange(truth.f.min() - 10 * sd, truth.f.max() + 10 * sd, sd / 8)
    copies = exact.predict(model.net, model.params, model.likelihood, np.repeat(x, len(y), axis=0))
    p = np.exp(copies.log_likelihood(y)) * sd / 8
    mean = (p * y).sum()
    second = (p * (y - mean) ** 2).sum()
    off = worst([abs(p.sum() - 1), abs(mean - truth.mean.item()), abs(second - truth.variance.item())])
    return [Finding(
        "uncertainty-variance",
        "the predictive variance is 1/tau plus the variance of f over omega",
        "exact mass, mean and variance against the exact density integrated over y",
        off, rounding(len(y) + 2**5, np.abs(y).max() ** 2), ROUNDING)]


def log_mixture(y: np.ndarray, f: np.ndarray, w: np.ndarray) -> float:
    """log sum_i w_i N(y; f_i, 1/tau I), the densities written out.     y (K,), f (P, K), w (P,)"""
    scale = math.sqrt(TAU / (2 * math.pi))
    densities = [wi * math.prod(scale * math.exp(-TAU / 2 * (a - b) ** 2) for a, b in zip(y, fi, strict=True))
                 for wi, fi in zip(w, f, strict=True)]
    return math.log(math.fsum(densities))


@claim("uncertainty-variance-passes", "uncertainty-log-density")
def mixture() -> list[Finding]:
    """Claim 10, exactly: the mixture's density, and what the passes of one prediction make of it."""
    model, x = regression(2)
    target = np.array([[0.3, -1.0]])
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    found = model.predict(x, samples=50, seed=12, keep_samples=True)
    passes = found.samples[:, 0]
    by_hand = ((truth, log_mixture(target[0], truth.f[0], truth.w)),
               (found, log_mixture(target[0], passes, np.full(50, 1 / 50))))
    density = worst([abs(one.log_likelihood(target).item() - wanted) for one, wanted in by_hand])
    spread = np.abs(found.variance - 1 / TAU - ((passes - passes.mean(axis=0)) ** 2).mean(axis=0)).max()
    exponent = TAU / 2 * ((np.abs(target).max() + np.abs(truth.f).max()) ** 2) * 2
    return [
        Finding(
            "uncertainty-variance-passes",
            "the reported variance is 1/tau plus the variance of the passes",
            "RegressionPrediction.variance against its own 50 kept passes",
            spread, rounding(3 * 50, np.abs(passes).max() ** 2), ROUNDING),
        Finding(
            "uncertainty-log-density",
            "log p(y | x) = logsumexp_t(-tau/2 ||y - f_t||^2) - log T - D/2 log 2 pi + D/2 log tau: "
            "of the mean of densities",
            "exact and 50-pass log_likelihood, D = 2, against densities written out and added, nats",
            density, rounding(50 + 8, exponent), "rounding, in exponents and in the sum"),
    ]


def far(values: np.ndarray, wanted: ArrayLike) -> float:
    """The distance of the mean over COPIES predictions from what is wanted, in standard errors."""
    return (np.abs(values.mean(axis=0) - wanted) / (values.std(axis=0, ddof=1) / math.sqrt(COPIES))).max()


@claim("uncertainty-passes", "uncertainty-passes-variance", "uncertainty-passes-log-density")
def passes() -> list[Finding]:
    """Claim 10, by sampling: what T passes estimate without bias, and what with."""
    T = 64
    model, x = regression(2)
    target, copies = np.array([[0.3, -1.0]]), np.repeat(x, COPIES, axis=0)
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    few, found = model.predict(copies, samples=8, seed=13), model.predict(copies, samples=T, seed=14)
    logs = found.log_likelihood(np.repeat(target, COPIES, axis=0))
    exact_log = truth.log_likelihood(target).item()
    # and N(1, 0.4): E f = M x + b, Var f = 0.4 sum (M x)^2
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.Gaussian(0.4)))
    mgn = BayesianNetwork(net, likelihood=bayes.Gaussian(TAU), params=random_params(net, 13))
    parts, drawn = mgn.params["a"]["M"][0] * x[0], mgn.predict(copies, samples=8, seed=13)
    unbiased = [far(np.exp(logs - exact_log), 1.0), far(found.mean, truth.mean[0]),
                far(few.mean, truth.mean[0]), far(drawn.mean, parts.sum() + mgn.params["a"]["b"])]
    spread = [far(few.epistemic, (1 - 1 / 8) * truth.epistemic[0]),
              far(drawn.epistemic, (1 - 1 / 8) * 0.4 * (parts**2).sum())]
    # p-hat/p = 1 + e: E log(1 + e) = -E e^2/2 + E e^3/3 - E e^4/4 + O(T^-3),
    # with E e^2 = c2/T, E e^3 = c3/T^2, E e^4 = 3 c2^2/T^2 + ...
    log_p = -TAU / 2 * ((target - truth.f[0]) ** 2).sum(axis=1) + math.log(TAU / (2 * math.pi))
    e = np.exp(log_p - exact_log) - 1
    c2, c3 = truth.w @ e**2, truth.w @ e**3
    low = -c2 / (2 * T) + (c3 / 3 - 3 * c2**2 / 4) / T**2
    return [
        Finding(
            "uncertainty-passes",
            "the mean of T passes and their mean density are unbiased",
            f"{COPIES} predictions with T = 8 and 64, and of MGN, against the exact ones, in standard errors",
            worst(unbiased), 4.0, "4 standard errors"),
        Finding(
            "uncertainty-passes-variance",
            "the variance of T passes is too small by 1 - 1/T, as the published formula is",
            "mean epistemic variance of those with T = 8, and of MGN, against 7/8 of the exact one, "
            "in standard errors",
            worst(spread), 4.0, "4 standard errors"),
        Finding(
            "uncertainty-passes-log-density",
            f"the log density from T passes is on average too small by Var p/(2 T p^2), "
            f"here {-low:.4f} nats at T = {T}",
            "mean log density over those with T = 64 against the exact one less that, to order 1/T^2, "
            "in standard errors",
            far(logs, exact_log + low), 4.0,
            "4 standard errors; what is left out, of order 1/T^3, is a hundredth of one"),
    ]


@claim("uncertainty-one-layer", "uncertainty-one-layer-convex")
def one_layer() -> list[Finding]:
    """Claim 11: Var f(x) = Var[z] sum_j w_j^2 relu(a_j x + b_j)^2, convex."""
    off, allowed = [], []
    bend, bend_allowed = [], []
    line = np.linspace(-3, 3, 61)[:, None] * np.array([[1.0, -0.4]])  # inputs on a line in the plane
    for noise, variance_z, hidden in ((nn.Bernoulli(0.7), 0.7 * 0.3, 8), (nn.Gaussian(0.5), 0.5, 2)):
        net = nn.Network(a=nn.Dense(2, hidden), r=nn.ReLU(), b=nn.Dense(hidden, 1, noise=noise))
        params = random_params(net, 14)
        # order 4: f^2 is quadratic in z
        found = exact.predict(net, params, bayes.Gaussian(TAU), line, order=4).epistemic[:, 0]
        relu = np.maximum(line @ params["a"]["M"].T + params["a"]["b"], 0)
        w, b = params["b"]["M"][0], params["b"]["b"][0]
        off.append(np.abs(found - variance_z * (relu**2 @ w**2)).max())
        bend.append(-np.diff(found, 2).min())
        size = (3 * (relu @ np.abs(w)).max() + np.abs(b)) ** 2  # |z| < 3 at all nodes
        allowed.append(rounding(2**8 + 8, size))
        bend_allowed.append(4 * rounding(2**8 + 8, size))
    return [
        Finding(
            "uncertainty-one-layer",
            "one hidden layer with noise after it has Var f(x) = Var[z] sum_j w_j^2 relu(a_j x + b_j)^2",
            "exact epistemic variance along a line against that, "
            "Bernoulli by masks and Gaussian by quadrature",
            worst(off), worst(allowed), ROUNDING),
        Finding(
            "uncertainty-one-layer-convex",
            "the variance of one hidden layer is convex in x: "
            "no bump of it between two clusters of data (Foong et al.)",
            "the most negative second difference of the exact variance along the line, and 0",
            max(worst(bend), 0.0), worst(bend_allowed), "rounding of three values, one of them doubled"),
    ]


@claim("uncertainty-two-layers")
def two_layers() -> list[Finding]:
    """Claim 11, what a second hidden layer can do: relu(1 - relu(x) - relu(-x)) is a hat over 0.

    Noise after it has its variance there, and none at -1 and 1.
    """
    keep = 0.7
    net = nn.Network(a=nn.Dense(1, 2), r=nn.ReLU(), h=nn.Dense(2, 1), s=nn.ReLU(),
                     b=nn.Dense(1, 1, noise=nn.Bernoulli(keep)))
    params = {"a": {"M": np.array([[1.0], [-1.0]]), "b": np.zeros(2)},
              "h": {"M": np.array([[-1.0, -1.0]]), "b": np.ones(1)},
              "b": {"M": np.ones((1, 1)), "b": np.zeros(1)}}
    x = np.array([[-1.0], [0.0], [1.0]])
    bump = exact.predict(net, params, bayes.Gaussian(TAU), x).epistemic[:, 0]
    return [Finding(
        "uncertainty-two-layers",
        "two hidden layers can have such a bump: a hat function before the noise has variance "
        "keep(1-keep) hat(x)^2",
        "exact variance at -1, 0, 1 against 0, keep(1-keep), 0",
        np.abs(bump - [0, keep * (1 - keep), 0]).max(), rounding(4, 1), ROUNDING)]
