"""KL(q || p) of multiplicative Gaussian noise: the closed form against exact Gaussians (claim 6)."""

import math

import numpy as np

from .claim import Finding, claim
from .common import worst
from .kl import MGN, RAYS, VARIANCE, L, constant, gradient, quadrature, rounding, value


def covariance(m: np.ndarray, s: float) -> np.ndarray:
    """Of a blurred Gaussian ray."""
    return s**2 * np.eye(len(m)) + VARIANCE * np.outer(m, m)


def gaussian(m: np.ndarray, s: float) -> float:
    """KL(N(m, s^2 I + variance m m^T) || N(0, l^-2 I)), the textbook formula of two Gaussians."""
    K, S = len(m), covariance(m, s)
    return (L**2 * (np.trace(S) + m @ m) - K - K * math.log(L**2) - np.linalg.slogdet(S)[1]) / 2


def remainder(m: np.ndarray, s: float) -> float:
    """KL - kl.value - C(s), from log det S: l^2/2 K s^2 - 1/2 log(1 + s^2/(variance ||m||^2))."""
    return L**2 / 2 * len(m) * s**2 - math.log1p(s**2 / (VARIANCE * (m @ m))) / 2


@claim("kl-mgn-closed-form", "kl-mgn-divergence")
def mgn_value() -> list[Finding]:
    """Claim 6: absolute values, and what diverges."""
    errors, allowed = [], []
    slopes, small = [], []
    for m in (*RAYS, np.array([0.4, -0.9, 0.5])):
        K = len(m)
        for s in (0.1, 0.01, 1e-3):
            errors.append(abs(gaussian(m, s) - value(MGN, m) - constant(MGN, K, s) - remainder(m, s)))
            allowed.append(rounding(1 + VARIANCE * (m @ m) / s**2))
        slopes.append(abs((gaussian(m, 1e-3) - gaussian(m, 1e-2)) / math.log(10) - (K - 1)))
        small += [2 * abs(remainder(m, 1e-2)), L**2 / 2 * K * 1e-4]
    for m in RAYS:
        slopes.append(abs((quadrature(m, 1e-3) - quadrature(m, 1e-2)) / math.log(10) - len(m)))
    return [
        Finding(
            "kl-mgn-closed-form",
            "the KL of N(1, variance) noise is, per ray, a weight decay and an entropy: "
            "l^2/2 (1+variance) ||m||^2 - log||m|| + C(s)",
            "kl.value + C(s) + the s^2 terms against the KL of two Gaussians, "
            "K = 1, 2, 3, s = 0.1 ... 1e-3, nats",
            worst(errors), worst(allowed),
            "rounding times the condition number of q's covariance, 1 + variance ||m||^2/s^2"),
        Finding(
            "kl-mgn-divergence",
            "as s -> 0 MGN's KL grows like (K-1) log(1/s), so it is finite for one weight; "
            "dropout's grows like K log(1/s)",
            "slopes in log(1/s), s = 0.01 to 0.001: exact Gaussian KL, and dropout's quadrature",
            worst(slopes), worst(small) / math.log(10), "the s^2 terms at s = 0.01"),
    ]


@claim("kl-mgn-weight-decay")
def mgn_weight_decay() -> list[Finding]:
    """Claim 6: what weight decay leaves out.

    Along m/||m||, at the length r where kl.grad is zero, the exact KL of a blurred ray has slope
    s^2/(r (s^2 + variance r^2)).
    """
    s = h = 1e-3
    r = 1 / (L * math.sqrt(1 + VARIANCE))
    m = r * RAYS[1] / np.linalg.norm(RAYS[1])
    steep = (gaussian(m * (1 + h / r), s) - gaussian(m * (1 - h / r), s)) / (2 * h)
    pull = gradient(MGN, m) @ m / r
    third = 2 / (r - h) ** 3 * h**2 / 6  # of -log r: the central difference's own error
    cancelled = rounding(1 + VARIANCE * r**2 / s**2) / h
    return [Finding(
        "kl-mgn-weight-decay",
        "the poster's weight decay is not all: -log||m|| keeps rays from 0, "
        "and the KL is least at ||m|| = 1/(l sqrt(1+variance))",
        f"slope there of the exact Gaussian KL (s = 1e-3) and of kl.grad; "
        f"weight decay alone has {L**2 * (1 + VARIANCE) * r:.2f}",
        worst([abs(steep), abs(pull)]), s**2 / (r * (s**2 + VARIANCE * r**2)) + third + cancelled,
        "the s^2 term's slope, the third-order error of the central difference, "
        "rounding times condition number")]
