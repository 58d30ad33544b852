"""The KL of a coin times a normal, q a spike and a slab, against quadrature of the blurred mixture.

Along the ray, r = ||m||, S^2 = s^2 + variance r^2, and w the coordinate along m,

    q = (1 - keep) N(0, s^2) + keep N(r, S^2),     across it N(0, s^2) in K - 1 directions,

    KL = kl.value + C(s) + l^2/2 s^2 K - keep/2 log(1 + s^2/(variance r^2)) + H(coin | w)
    C(s) = K/2 log(2 pi/l^2) - (K - keep)/2 log(2 pi e s^2) - H(keep) - keep/2 log(2 pi e variance)

The last is the overlap: with A(w), B(w) the two parts of q it is int A log(1 + B/A) + B log(1 + A/B), which
grows with B: at most what it is with the slab's greatest density for B everywhere.
"""

import math

import numpy as np

from .. import bayes, checks, nn
from ..bayes import kl
from .claim import Finding, claim
from .common import worst
from .kl import RAYS, L, rounding

KEEP, VARIANCE = 0.6, 0.3
STEP = 1 / 256  # in asinh(w/s)


def network(noise: nn.Noise, m: np.ndarray) -> tuple:
    """One ray, the column m of a dense M."""
    net = nn.Network(a=nn.Dense(1, len(m), noise=noise))
    return net, {"a": net.init(0, np.float64)["a"] | {"M": m[:, None].copy()}}


def densities(r: float, s: float) -> tuple[np.ndarray, ...]:
    """(w, dw, A, B): the spike's and the slab's part of q along the ray, on a grid even in asinh(w/s)."""
    S = math.sqrt(s**2 + VARIANCE * r**2)
    end = math.asinh((r + 12 * S) / s)
    t = np.arange(-end, end, STEP)
    w, dw = s * np.sinh(t), s * np.cosh(t) * STEP
    spike = (1 - KEEP) * np.exp(-np.minimum((w / s) ** 2 / 2, 700)) / (s * math.sqrt(2 * math.pi))
    slab = KEEP * np.exp(-(((w - r) / S) ** 2) / 2) / (S * math.sqrt(2 * math.pi))
    return w, dw, spike, slab


def quadrature(m: np.ndarray, s: float) -> float:
    """KL of the blurred mixture."""
    K, r = len(m), float(np.linalg.norm(m))
    w, dw, A, B = densities(r, s)
    log_p = -(L**2) / 2 * w**2 - math.log(2 * math.pi / L**2) / 2
    along = (dw * (A + B) * (np.log(A + B) - log_p)).sum()
    across = (math.log(2 * math.pi / L**2) - math.log(2 * math.pi * math.e * s**2) + L**2 * s**2) / 2
    return float(along) + (K - 1) * across


def most_overlap(r: float, s: float) -> float:
    """The bound on H(coin | w): the slab's greatest density everywhere."""
    _, dw, A, _ = densities(r, s)
    near, B = A > 1e-290, KEEP / math.sqrt(2 * math.pi * VARIANCE * r**2)
    A = A[near]
    return float((dw[near] * (A * np.log1p(B / A) + B * np.log1p(A / B))).sum())


def constant(K: int, s: float) -> float:
    """C(s), as above."""
    coin = KEEP * math.log(KEEP) + (1 - KEEP) * math.log1p(-KEEP)
    return (K / 2 * math.log(2 * math.pi / L**2) - (K - KEEP) / 2 * math.log(2 * math.pi * math.e * s**2)
            + coin - KEEP / 2 * math.log(2 * math.pi * math.e * VARIANCE))


@claim("kl-spike-and-slab-closed-form", "kl-spike-and-slab-gradient")
def spike_and_slab() -> list[Finding]:
    """The value, where the overlap is bounded; the gradients, also where the slab's variance is learned."""
    noise, places = nn.Times(nn.Bernoulli(KEEP), nn.Gaussian(VARIANCE)), []
    for m in (*RAYS, np.array([0.4])):
        K, r = len(m), float(np.linalg.norm(m))
        value = kl.value(*network(noise, m), bayes.Prior(L))
        for s in (1e-3, 1e-4, 1e-6):
            vanishing = L**2 / 2 * K * s**2 - KEEP / 2 * math.log1p(s**2 / (VARIANCE * r**2))
            more = quadrature(m, s) - value - constant(K, s) - vanishing
            places.append(abs(2 * more / most_overlap(r, s) - 1))           # in [0, 1] of the bound: -1 ... 1
    errors = []
    for product in (noise, nn.Times(nn.LearnedGaussian(VARIANCE, "unit"), nn.Bernoulli(KEEP))):
        net = nn.Network(a=nn.Dense(3, 2, noise=product))
        params = net.init(1, np.float64)
        check = checks.gradient_check(lambda p, net=net: kl.value(net, p, bayes.Prior(L)), params,
                                      kl.grad(net, params, bayes.Prior(L)), rng=0)
        errors.append(check.relative_error)
    return [
        Finding(
            "kl-spike-and-slab-closed-form",
            "the KL of a coin times N(1, variance) is keep times that of the normal, "
            "keep (l^2/2 (1+variance) ||m||^2 - log||m||) + C(s), and the overlap of spike and slab",
            "quadrature of q log(q/p) - closed form, K = 1 and 2, s = 1e-3, 1e-4, 1e-6, as its place between "
            "none, -1, and the bound on the overlap, 1",
            worst(places), 1.0 + rounding(100) / most_overlap(0.4, 1e-6),
            "the bound on H(coin | w), derived in claims/kl_spike_and_slab.py, and rounding"),
        Finding(
            "kl-spike-and-slab-gradient",
            "its gradient is the derivative of its value, in M and in a learned log alpha",
            "kl.grad against differences of kl.value along random directions", worst(errors), 1e-7,
            "central differences"),
    ]
