"""KL(N(m, a m^2) || log-uniform) = -1/2 log a + E_{e ~ N(1, a)} log|e| + C: variational dropout's, without m.

The prior p(log|w|) = const is improper, so the KL is defined only up to a constant, C here. As a -> infinity,
with n ~ N(0, 1), -1/2 log a + E log|1 + sqrt(a) n| -> E log|n| = -(gamma + log 2)/2: the KL falls towards its
infimum, and the C that makes it 0 is C = (gamma + log 2)/2. As a -> 0, E log|e| -> 0 and the KL grows like
-1/2 log a + C.

Exactly, with u = 1/sqrt(2a) and Dawson's D(u) = exp(-u^2) int_0^u exp(t^2) dt:  dKL/dlog a = -u D(u), between
-0.65 and 0. All values in nats per weight; log a may be an array. `exact` and `exact_grad` integrate, a
weight at a time; `by_table` gives the same for every weight of a network, from Dawson's function, and
`by_fit` the fit of Molchanov et al. in its place. Sources: Kingma, Salimans and Welling
(arXiv 1506.02557); Molchanov, Ashukha and Vetrov (arXiv 1701.05369).
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from .dawson import dawson

C = (np.euler_gamma + math.log(2)) / 2

# The integral over r = |e|/sqrt(a) is a trapezoid sum in log r, where the integrand is smooth and falls off
# at both ends: between r = e^-40 (the rest is below 41 e^-40 = 2e-16) or 12 standard deviations from the peak
# (the rest is below e^-72), and 12 beyond the peak. The step is then at most 44/1800 in log r where the
# peak's width is at least 1/12: 3.4 steps per width, so exp(-2 (3.4 pi)^2) is what is lost.
REACH = 12.0
FLOOR = -40.0
POINTS = 1801

MOLCHANOV = (0.63576, 1.87320, 1.48695)  # k1, k2, k3
KINGMA = (1.16145124, -1.50204118, 0.58629921)  # c1, c2, c3


def exact(log_a: ArrayLike) -> np.ndarray:
    """KL = -1/2 log a + E log|1 + sqrt(a) n| + C by numerical integration, to about 1e-14."""
    log_a = np.asarray(log_a, np.float64)
    return -log_a / 2 + expected_log(log_a) + C


def exact_grad(log_a: ArrayLike) -> np.ndarray:
    """dKL/dlog a = -1/2 + d/dlog a E log|e|: the same integral, differentiated under its sign.

    With mu = 1/sqrt(a), E log|e| = E log|n + mu| - log mu, d mu/dlog a = -mu/2, and moving mu moves both
    peaks: n phi(n) each.
    """
    r, weight, mu, minus, plus = grid(log_a)
    slope = (r - mu) * minus - (r + mu) * plus                          # d/dmu (minus + plus)
    slope = (np.log(r / unit(mu)) * weight * slope).sum(axis=-1)        # d/dmu E log|n + mu|
    return -mu[..., 0] / 2 * slope


def expected_log(log_a: ArrayLike) -> np.ndarray:
    """E_{e ~ N(1, a)} log|e|."""
    r, weight, mu, minus, plus = grid(log_a)
    # log r - log max(mu, 1): near e = 1 the logarithm is small, and what is added back is
    # -log mu + log max(mu, 1) = max(0, -log mu)
    return (np.log(r / unit(mu)) * weight * (minus + plus)).sum(axis=-1) + np.maximum(0, -np.log(mu[..., 0]))


def grid(log_a: ArrayLike) -> tuple:
    """r = |n + mu|, weights dr, mu = 1/sqrt(a), and the densities phi(r - mu), phi(r + mu). (..., POINTS)"""
    mu = np.exp(-np.asarray(log_a, np.float64) / 2)[..., None]
    low = np.maximum(mu - REACH, math.exp(FLOOR))
    step = np.log((mu + REACH) / low) / (POINTS - 1)                    # d log r
    r = low * np.exp(step * np.arange(POINTS))
    minus, plus = (np.exp(-(r - c) ** 2 / 2) / math.sqrt(2 * math.pi) for c in (mu, -mu))
    return r, r * step, mu, minus, plus


def unit(mu: np.ndarray) -> np.ndarray:
    """max(mu, 1)."""
    return np.maximum(mu, 1)


def series(log_a: float) -> tuple[float, int]:
    """(E sum_{k < J} 1/(2k+1), its number of terms), J ~ Poisson(1/(2a)): the KL by another road, as a check.

    For one log a at a time. (n + mu)^2 is chi-squared with 1 + 2J degrees of freedom, J ~ Poisson(mu^2/2),
    and E log chi^2_(1+2J) - E log chi^2_1 = psi(1/2 + J) - psi(1/2) = 2 sum_{k < J} 1/(2k+1). The Poisson
    weights come by ratios from the mode, up to 14 standard deviations and 60 terms beyond it.
    """
    rate = math.exp(-log_a) / 2
    last, mode = int(rate + 14 * math.sqrt(rate) + 60), int(rate)
    up = np.cumprod(rate / np.arange(mode + 1, last + 1))
    down = np.cumprod(np.arange(mode, 0, -1) / rate)[::-1]
    weight = np.concatenate([down, [1], up])                            # J = 0 ... last
    sums = np.concatenate([[0], np.cumsum(1 / (2 * np.arange(last) + 1))])
    return float((weight / weight.sum() * sums).sum()), last


def molchanov(log_a: ArrayLike) -> np.ndarray:
    """KL ~ k1 - k1 sigm(k2 + k3 log a) + 1/2 log(1 + 1/a): Molchanov et al., for every a."""
    k1, k2, k3 = MOLCHANOV
    log_a = np.asarray(log_a, np.float64)
    return k1 - k1 * sigmoid(k2 + k3 * log_a) + np.logaddexp(0, -log_a) / 2


def molchanov_grad(log_a: ArrayLike) -> np.ndarray:
    """d/dlog a of the above: -k1 k3 sigm (1 - sigm) - 1/2 / (1 + a)."""
    k1, k2, k3 = MOLCHANOV
    log_a = np.asarray(log_a, np.float64)
    s = sigmoid(k2 + k3 * log_a)
    return -k1 * k3 * s * (1 - s) - sigmoid(-log_a) / 2


def kingma(log_a: ArrayLike) -> np.ndarray:
    """KL ~ C - 1/2 log a - c1 a - c2 a^2 - c3 a^3: Kingma et al., a fit for a <= 1 only."""
    c1, c2, c3 = KINGMA
    a = np.exp(np.asarray(log_a, np.float64))
    return C - np.log(a) / 2 - a * (c1 + a * (c2 + a * c3))


def by_table(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(KL, dKL/dlog a) at u = 1/sqrt(2a) >= 0, float64: the exact ones, 2 int_0^u D and -u D(u)."""
    D, K = dawson(u)
    return K, -u * D


def by_fit(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of the fit, `molchanov` and `molchanov_grad` with 1/a = 2 u^2: no logarithm of 0 at u = 0."""
    k1, k2, k3 = MOLCHANOV
    r = 2 * u * u                                                       # 1/a
    s = 1 / (1 + math.exp(-k2) * r**k3)                                 # sigm(k2 + k3 log a)
    return k1 * (1 - s) + np.log1p(r) / 2, -k1 * k3 * s * (1 - s) - 0.5 * r / (1 + r)


FORMS = {"exact": by_table, "molchanov": by_fit}  # by the name that bayes.LogUniform(kl=...) takes


def sigmoid(v: np.ndarray) -> np.ndarray:
    """1/(1 + exp(-v)), without overflow."""
    return np.exp(-np.logaddexp(0, -v))
