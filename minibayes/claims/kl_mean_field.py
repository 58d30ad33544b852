"""KL(N(m, s^2) || p) of single weights: mean field and a learned alpha, by rule and by quadrature (claim 6).

With w = m + s n, n ~ N(0, 1), trapezoid sums give E log q(w) - E log p(w) with no other error than rounding:
for p = N(0, l^-2) over n, step 1/16 out to 12; for the log-uniform p over t = log |w|, which takes the
logarithm's singularity to t = -infinity.
"""

import math

import numpy as np

from .. import bayes, nn
from ..bayes import kl
from ..bayes.rules import loguniform
from .claim import Finding, claim
from .common import EPS, Tree, worst

L, STEP, REACH = 1.3, 1 / 16, 12.0
M, STD = np.array([[0.9, -0.4, 2.0]]), np.array([[0.2, 0.7, 1.1]])
H = 0.02  # step of the differences
NOISES = {"mean-field": nn.MeanField(), "alpha": nn.LearnedGaussian(per="weight")}
PRIORS = {"normal": bayes.Normal(L), "loguniform": bayes.LogUniform()}


def network(noise: nn.Noise, m: np.ndarray = M, s: np.ndarray = STD) -> tuple[nn.Network, Tree]:
    """Three weights ~ N(m, s^2), in the parameters of that noise."""
    net = nn.Network(a=nn.Dense(3, 1, noise=noise))
    phi = {"log_std": np.log(s)} if noise.additive else {"log_alpha": 2 * np.log(s / np.abs(m))}
    return net, {"a": {"M": m.copy(), "b": np.zeros(1)} | phi}


def by_normal(m: float, s: float) -> float:
    """KL(N(m, s^2) || N(0, L^-2)) in all, nats."""
    n = np.arange(-REACH, REACH + STEP / 2, STEP)
    log_q = -n * n / 2 - math.log(s * math.sqrt(2 * math.pi))
    log_p = -(L**2) / 2 * (m + s * n) ** 2 - math.log(math.sqrt(2 * math.pi) / L)
    return float(np.exp(-n * n / 2) @ (log_q - log_p)) * STEP / math.sqrt(2 * math.pi)


def by_log_uniform(m: float, s: float) -> float:
    """E log|w| - log s + C: the KL of the log-uniform prior, 0 for alpha -> infinity."""
    t = np.arange(-45.0, math.log(abs(m) + REACH * s), 1 / 512)
    r = np.exp(t)
    q = sum(np.exp(-(((r - c) / s) ** 2) / 2) for c in (m, -m)) / (s * math.sqrt(2 * math.pi))
    return float((t * r) @ q) / 512 - math.log(s) + loguniform.C


QUADRATURE = {"normal": by_normal, "loguniform": by_log_uniform}


def differences(f, step: float) -> float:
    """f'(0), but for terms of order step^4."""
    return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)


def gradient_errors(noise: nn.Noise, which: str) -> tuple[list, list]:
    """(errors, what is allowed) of the package's gradient in M and in phi, weight by weight."""
    integral, (net, params) = QUADRATURE[which], network(noise)
    grads = kl.grad(net, params, PRIORS[which])["a"]
    errors, allowed = [], []
    for i, (m, s) in enumerate(zip(M[0], STD[0], strict=True)):
        moves = {"log_std": lambda h, m=m, s=s: integral(m, s * math.exp(h)),
                 "M": lambda h, m=m, s=s: integral(m + h, s)} if noise.additive else {
            "log_alpha": lambda h, m=m, s=s: integral(m, s * math.exp(h / 2)),
            "M": lambda h, m=m, s=s: integral(m + h, s * abs((m + h) / m))}  # at one alpha
        for p, moved in moves.items():
            coarse, fine = differences(moved, H), differences(moved, H / 2)
            errors.append(abs(grads[p][0, i] - fine))
            allowed.append(abs(coarse - fine) + 1e4 * EPS / H)
    return errors, allowed


def pair(noise: str, prior: str) -> list[Finding]:
    """The findings of one q under one p: the value, in all, and the gradient."""
    net, params = network(NOISES[noise])
    wanted = [QUADRATURE[prior](m, s) for m, s in zip(M[0], STD[0], strict=True)]
    C = kl.constant(net, params, PRIORS[prior])["a"]
    value = kl.value(net, params, PRIORS[prior]) + (0.0 if C is None else C)
    errors, allowed = gradient_errors(NOISES[noise], prior)
    q = {"mean-field": "mean field", "alpha": "a learned alpha per weight"}[noise]
    p = {"normal": "N(0, l^-2)", "loguniform": "the log-uniform prior"}[prior]
    said = "its constant too: a bound" if prior == "normal" else "up to the prior's own constant"
    return [
        Finding(
            f"kl-{noise}-{prior}", f"the KL of {q} under {p} is exact, {said}",
            "the rule's value against quadrature over w, three weights, nats",
            abs(value - sum(wanted)), 1e3 * EPS * sum(map(abs, wanted)) + 1e3 * EPS,
            "rounding in sums over 400 to 30,000 points"),
        Finding(
            f"kl-{noise}-{prior}-gradient", f"so is its gradient, in m and in what {q} learns",
            "kl.grad against fourth-order differences of that quadrature, the largest over what is allowed",
            worst(np.array(errors) / np.array(allowed)), 1.0,
            "what the differences change when their step is halved, and rounding over the step"),
    ]


@claim("kl-mean-field-normal", "kl-mean-field-normal-gradient")
def mean_field_normal() -> list[Finding]:
    """Claim 6."""
    return pair("mean-field", "normal")


@claim("kl-mean-field-loguniform", "kl-mean-field-loguniform-gradient")
def mean_field_log_uniform() -> list[Finding]:
    """Claim 6: sparse variational dropout."""
    return pair("mean-field", "loguniform")


@claim("kl-alpha-normal", "kl-alpha-normal-gradient")
def alpha_normal() -> list[Finding]:
    """Claim 6."""
    return pair("alpha", "normal")


@claim("kl-alpha-loguniform", "kl-alpha-loguniform-gradient")
def alpha_log_uniform() -> list[Finding]:
    """Claim 6: variational dropout, an alpha per weight."""
    return pair("alpha", "loguniform")


@claim("kl-loguniform-table", "kl-loguniform-sigmoid-gradient")
def table() -> list[Finding]:
    """The table that training uses, and the fit's gradient, against the integral."""
    log_a = np.linspace(-8, 8, 401)
    u = np.exp(-log_a / 2) / math.sqrt(2)
    integral, slope = loguniform.exact(log_a), loguniform.exact_grad(log_a)
    value, by_table = loguniform.by_table(u)
    off = [np.abs(value - integral).max(), np.abs(by_table - slope).max()]
    fit = np.abs(loguniform.by_fit(u)[1] - slope).max()
    return [
        Finding(
            "kl-loguniform-table",
            "Dawson's function, from D' = 1 - 2 u D alone, gives the log-uniform KL, 2 int_0^u D, "
            "and its derivative, -u D(u)",
            "the table's values and slopes against the integral, log a = -8 ... 8, nats",
            worst(off), 512 * EPS, "rounding, where u D(u) is a product of a large and a small number"),
        Finding(
            "kl-loguniform-sigmoid-gradient",
            "the gradient in log a of the sigmoid of Molchanov et al. is within 0.0137 of the exact one, "
            "which is at most 0.65, on log a in [-8, 8]",
            f"largest error of that gradient, {fit:.5f} nats, against 0.0137",
            abs(fit - 0.0137), 5e-5, "half of the last digit claimed"),
    ]
