"""The KL to the log-uniform prior: the exact integral, and published approximations against it (claim 6)."""

import math

import numpy as np

from ..bayes.rules import loguniform
from .claim import Finding, claim
from .common import EPS, worst

DRAWS = 100_000


@claim("kl-loguniform-integral", "kl-loguniform-monte-carlo")
def integral() -> list[Finding]:
    """The integral against a series, and against the mean that it stands for."""
    far, allowed = [], []
    for log_a in np.linspace(-8, 8, 33):
        wanted, terms = loguniform.series(log_a)
        far.append(abs(loguniform.exact(log_a) - wanted))
        allowed.append(terms * EPS * (wanted + 1))
    away, rng = [], np.random.default_rng(6)
    for a in (0.05, 1.0, 20.0):
        v = np.log(np.abs(1 + math.sqrt(a) * rng.standard_normal(DRAWS))) - math.log(a) / 2 + loguniform.C
        away.append(abs(v.mean() - loguniform.exact(math.log(a))) / (v.std() / math.sqrt(DRAWS)))
    return [
        Finding(
            "kl-loguniform-integral",
            "under the log-uniform prior -KL = 1/2 log a - E log|e| - C, e ~ N(1, a), whatever m",
            "numerical integral against a Poisson mixture of digamma values, log a = -8 ... 8, nats",
            worst(far), worst(allowed), "rounding in the series: its number of terms times the largest"),
        Finding(
            "kl-loguniform-monte-carlo",
            "the log-uniform KL's E log|e| is the mean it stands for",
            f"against {DRAWS} draws of log|e| at a = 0.05, 1, 20, in standard errors",
            worst(away), 4.0, "4 standard errors of the mean"),
    ]


@claim("kl-loguniform-sigmoid", "kl-loguniform-cubic")
def approximations() -> list[Finding]:
    """The two published approximations, each by its largest error."""
    log_a = np.linspace(-8, 8, 641)
    sigmoid = np.abs(loguniform.molchanov(log_a) - loguniform.exact(log_a)).max()
    log_a = np.log(np.linspace(0, 1, 501)[1:])
    cubic = np.append(loguniform.kingma(log_a) - loguniform.exact(log_a), 0)  # and 0 at a = 0
    half, middle = (cubic.max() - cubic.min()) / 2, (cubic.max() + cubic.min()) / 2
    beyond = loguniform.kingma(math.log(2)) - loguniform.exact(math.log(2)) - middle
    return [
        Finding(
            "kl-loguniform-sigmoid",
            "the sigmoid of Molchanov et al. (2017) is within 0.0094 nats of the log-uniform KL "
            "on log a in [-8, 8]",
            f"largest error of the approximation, {sigmoid:.5f} nats, against 0.0094",
            abs(sigmoid - 0.0094), 5e-5, "half of the last digit claimed"),
        Finding(
            "kl-loguniform-cubic",
            "the cubic of Kingma et al. (2015) is, up to its constant, within 0.0202 nats of it for a <= 1; "
            "at a = 2, 0.9268 too low",
            f"largest error {half:.5f}, error at a = 2 {beyond:.5f}, nats",
            worst([abs(half - 0.0202), abs(beyond + 0.9268)]), 5e-5, "half of the last digit claimed"),
    ]
