"""Cov(f(x), f(x')) = k(x, x') + 1/H: wide nets from the prior tend to a Gaussian process (claim 12).

f(x) = sum_j w_j relu(a_j x + b_j) + c with H hidden units, (a_j, b_j) ~ N(0, l^-2 I) and, so that the sum
neither vanishes nor explodes, w_j, c ~ N(0, 1/H): lengthscale sqrt(H) in the output layer. k is the
arc-cosine kernel of order 1 (Cho and Saul 2009) of (x, 1), which is the bias handled exactly. The covariance
is exact at every width; what the width brings is normality.
"""

import math

import numpy as np

from .. import bayes, nn
from .claim import Finding, claim
from .common import worst

L = 0.8
INPUTS = np.array([[0.0, 0.0], [1.0, 0.5], [-1.2, 0.7], [2.0, -1.0]])
WIDTHS = (8, 32, 128)
NETS, OUTPUTS = 5000, 64


def arc_cosine(x: np.ndarray, y: np.ndarray, l: float) -> np.ndarray:
    """E[relu(a x + b) relu(a y + b)], (a, b) ~ N(0, l^-2 I): |x~| |y~| (sin t + (pi - t) cos t)/(2 pi l^2).

    t is the angle of x~, y~ = (y, 1).     x (N, D), y (M, D) -> (N, M)
    """
    x, y = (np.concatenate([v, np.ones((len(v), 1))], axis=1) for v in (x, y))
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    cos = np.clip(x @ y.T / lengths, -1, 1)
    t = np.arccos(cos)
    return lengths * (np.sin(t) + (math.pi - t) * cos) / (2 * math.pi * l**2)


def excess(x: np.ndarray, width: int, l: float) -> np.ndarray:
    """The excess kurtosis of f(x): 3 Var V/(E V)^2, with f ~ N(0, V) given the hidden units.

    V = (1 + sum_j r_j^2)/H, r = relu(u), u ~ N(0, v), v = |x~|^2/l^2, so E r^2 = v/2, E r^4 = 3 v^2/2 and
    Var r^2 = 5 v^2/4: without the output's bias it would be 15/H.
    """
    v = ((x * x).sum(axis=1) + 1) / l**2
    return 3 * width * 5 / 4 * v**2 / (1 + width * v / 2) ** 2


def draws(width: int, rng: np.random.Generator) -> np.ndarray:
    """f at INPUTS of NETS nets from the prior, OUTPUTS outputs each, independent given the hidden units.

    (NETS, N, OUTPUTS)
    """
    net = nn.Network(a=nn.Dense(2, width), relu=nn.ReLU(), b=nn.Dense(width, OUTPUTS))
    prior = bayes.Prior({"a": L, "b": math.sqrt(width)})
    return np.stack([net.forward(prior.sample(net, rng, np.float64), INPUTS, {})[0] for _ in range(NETS)])


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over independent nets, and its standard error."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(values))


@claim("prior-covariance", "prior-kurtosis", "prior-rate")
def wide_nets() -> list[Finding]:
    """Claim 12: the covariance at every width, the excess kurtosis, and the rate at which it goes."""
    rng, logs = np.random.default_rng(12), []
    covariance, kurtosis = [], []
    for width in WIDTHS:
        f = draws(width, rng)
        wanted = arc_cosine(INPUTS, INPUTS, L) + 1 / width
        mean, error = mean_and_error(f @ f.transpose(0, 2, 1) / OUTPUTS)  # (N, N)
        covariance.append(np.abs(mean - wanted) / error)
        # the variance being known, E f^4/variance^2 - 3 is a plain mean over nets
        mean, error = mean_and_error((f**4).mean(axis=2) / np.diag(wanted) ** 2 - 3)  # (N,)
        kurtosis.append(np.abs(mean - excess(INPUTS, width, L)) / error)
        with np.errstate(invalid="ignore"):  # were it negative: NaN, and the check fails
            logs.append((np.log(mean[-1]), error[-1] / mean[-1], math.log(excess(INPUTS, width, L)[-1])))
    steps = math.log(WIDTHS[-1] / WIDTHS[0])
    slope, wanted = ((logs[-1][i] - logs[0][i]) / steps for i in (0, 2))
    return [
        Finding(
            "prior-covariance",
            "prior draws of a one-hidden-layer ReLU net have the covariance of the arc-cosine kernel, "
            "plus 1/H, at every width H",
            f"{NETS} nets of each width {WIDTHS} at {len(INPUTS)} inputs against the closed form, "
            "in standard errors",
            worst(covariance), 4.0, "4 standard errors, nets being independent"),
        Finding(
            "prior-kurtosis",
            "a net from the prior is a Gaussian process only in the limit: its excess kurtosis is about 15/H",
            "the same draws' fourth moments against the closed form, in standard errors",
            worst(kurtosis), 4.0, "4 standard errors"),
        Finding(
            "prior-rate",
            "the excess kurtosis of prior draws vanishes as 1/H",
            f"slope of log excess kurtosis in log H from {WIDTHS[0]} to {WIDTHS[-1]}, "
            f"{slope:.2f} against {wanted:.2f}",
            float(abs(slope - wanted)), 4 * math.hypot(logs[0][1], logs[-1][1]) / steps,
            "4 standard errors, by the delta method"),
    ]
