"""KL(q || p) with every constant kept; dropout's closed form against quadrature (claim 5).

A ray m in R^K is the set of numbers that share one z. Blurred by N(0, s^2 I), and up to terms that vanish
with s (each is derived where it is used), its KL to p = N(0, l^-2 I) is kl.value + C(s), nats, with

    Bernoulli(keep):     C(s) = K/2 log(2 pi/l^2) - K/2 log(2 pi e s^2) - H(keep)
    Gaussian(variance):  C(s) = K/2 log(2 pi/l^2) - (K-1)/2 log(2 pi e s^2) - 1/2 log(2 pi e variance)

A Gaussian ray has one blurred direction less: along m it is wide by itself.
"""

import math

import numpy as np

from .. import bayes, nn
from ..bayes import kl
from .claim import Finding, claim
from .common import EPS, Tree, worst

KEEP, VARIANCE = 0.7, 0.6
L = 1.3
DROP, MGN = nn.Bernoulli(KEEP), nn.Gaussian(VARIANCE)
RAYS = (np.array([1.7]), np.array([1.1, -0.8]))
STEP, REACH = 1 / 16, 12.0  # the grid of `quadrature` in units of s; a power of 2: its points are exact


def network(noise: nn.Bernoulli | nn.Gaussian, m: np.ndarray) -> tuple[nn.Network, Tree]:
    """A network whose only parameters with noise are the ray m: one column of a dense M, the bias at 0."""
    net = nn.Network(a=nn.Dense(1, len(m), noise=noise))
    return net, {"a": {"M": m[:, None].copy(), "b": np.zeros(len(m))}}


def value(noise: nn.Bernoulli | nn.Gaussian, m: np.ndarray) -> float:
    """What the package calls the KL: everything but C(s)."""
    return kl.value(*network(noise, m), bayes.Prior(L))


def gradient(noise: nn.Bernoulli | nn.Gaussian, m: np.ndarray) -> np.ndarray:
    """What the package calls the gradient of it in m."""
    return kl.grad(*network(noise, m), bayes.Prior(L))["a"]["M"][:, 0]


def constant(noise: nn.Bernoulli | nn.Gaussian, K: int, s: float) -> float:
    """C(s), as above."""
    blur = math.log(2 * math.pi * math.e * s**2) / 2  # the entropy of one blurred direction
    p = K / 2 * math.log(2 * math.pi / L**2)
    if noise is DROP:
        return p - K * blur + KEEP * math.log(KEEP) + (1 - KEEP) * math.log1p(-KEEP)
    return p - (K - 1) * blur - math.log(2 * math.pi * math.e * VARIANCE) / 2


def log_density_ratio(from_0: np.ndarray, from_m: np.ndarray, s: float, keep: float) -> np.ndarray:
    """log q(w) - log p(w), q = keep N(m, s^2 I) + (1 - keep) N(0, s^2 I), from w/s and (w - m)/s.

    (..., K) -> (...)
    """
    K = from_0.shape[-1]
    square_0, square_m = ((v * v).sum(axis=-1) for v in (from_0, from_m))
    log_q = np.logaddexp(math.log(keep) - square_m / 2, math.log1p(-keep) - square_0 / 2)
    log_q = log_q - K * math.log(s * math.sqrt(2 * math.pi))
    log_p = -(L**2) / 2 * s**2 * square_0 - K / 2 * math.log(2 * math.pi / L**2)
    return log_q - log_p


def quadrature(m: np.ndarray, s: float, keep: float = KEEP) -> float:
    """KL of the mixture: E_q = keep E[. at m + s n] + (1 - keep) E[. at s n], n ~ N(0, I).

    By the trapezoid rule on [-12, 12]^K; what is cut off is below e^-72. The integrand's nearest poles,
    mid-way between the bumps, are pi s/||m|| off the real axis; where they are within reach (||m||/2s < 12)
    that is above 1/8, so that a step of 1/16 loses e^(-2 pi 16/8) = 4e-6 of a weight that is itself e^-72
    there; nearer bumps have poles farther off. Rounding is all that remains.
    """
    n1 = np.arange(-REACH, REACH + STEP / 2, STEP)
    n = np.stack(np.meshgrid(*[n1] * len(m), indexing="ij"), axis=-1)
    weight = np.exp(-(n * n).sum(axis=-1) / 2) * (STEP / math.sqrt(2 * math.pi)) ** len(m)
    kept = weight * log_density_ratio(n + m / s, n, s, keep)
    dropped = weight * log_density_ratio(n, n - m / s, s, keep)
    return keep * kept.sum() + (1 - keep) * dropped.sum()


def rounding(size: float) -> float:
    """64 roundings of the largest number in it: more than there are operations one after the other."""
    return 64 * EPS * size


def overlap(m: np.ndarray, s: float) -> tuple[float, float]:
    """(the upper bound on H(z | w), how near to it that is): the bumps' entropy is H(z) + H(blur) - H(z | w).

    With v the log-odds of z = 1 given w and h(v) the entropy of such a coin, H(z | w) = E h(v), and along m

        q(w) dw = sqrt(keep (1-keep)/(2 pi)) r e^(-1/(8 r^2)) 2 cosh(v/2) e^(-((v - v0) r)^2/2) dv

    with r = s/||m||, v0 = log(keep/(1-keep)). The last factor is at most 1, and int 2 cosh(v/2) h(v) dv is
    4 pi: the bound. It is at least 1 - ((v - v0) r)^2/2, and v^2 has mean pi^2 + 8 under
    2 cosh(v/2) h(v)/(4 pi): the relative distance.
    """
    r = s / np.linalg.norm(m)
    bound = math.sqrt(KEEP * (1 - KEEP) / (2 * math.pi)) * r * math.exp(-1 / (8 * r * r)) * 4 * math.pi
    return bound, r * r / 2 * (math.pi**2 + 8 + math.log(KEEP / (1 - KEEP)) ** 2)


@claim("kl-dropout-closed-form", "kl-dropout-rate")
def dropout_value() -> list[Finding]:
    """Claim 5: absolute values and the rate in s, the bumps being apart: their overlap is below e^-92."""
    absolute = []
    rate, allowed = [], []
    for m in RAYS:
        for s in (0.05, 0.01, 1e-3, 1e-4):
            vanishing = L**2 / 2 * len(m) * s**2
            exact, leading = quadrature(m, s), value(DROP, m) + constant(DROP, len(m), s)
            absolute.append(abs(exact - leading - vanishing))
            if s >= 0.01:
                rate.append(abs((exact - leading) / vanishing - 1))
                allowed.append(rounding(abs(exact) / vanishing))
    return [
        Finding(
            "kl-dropout-closed-form",
            "dropout's KL is keep l^2/2 ||M||^2 + K/2 l^2 s^2 + C(s); "
            "C(s) has no M in it and is infinite as s -> 0",
            "closed form with C(s) against quadrature of q log(q/p) in 1-D and 2-D, s = 0.05 ... 1e-4, nats",
            worst(absolute), rounding(abs(constant(DROP, 2, 1e-4))),
            "rounding: the bumps do not overlap, and the quadrature is exact"),
        Finding(
            "kl-dropout-rate",
            "dropout's KL approaches kl.value + C(s) as K/2 l^2 s^2",
            "(quadrature - kl.value - C(s)) / (K/2 l^2 s^2) against 1, s = 0.05 and 0.01",
            worst(rate), worst(allowed), "rounding, over K/2 l^2 s^2"),
    ]


@claim("kl-dropout-overlap")
def dropout_overlap() -> list[Finding]:
    """Claim 5: what the overlap of the bumps adds where they touch."""
    places = []
    for m in RAYS:
        for s in (0.3, 0.25, 0.2):
            bound, near = overlap(m, s)
            more = quadrature(m, s) - value(DROP, m) - constant(DROP, len(m), s) - L**2 / 2 * len(m) * s**2
            places.append(abs(2 * (1 - more / bound) / near - 1))  # [1 - near, 1] of the bound: -1 ... 1
    return [Finding(
        "kl-dropout-overlap",
        "dropout's closed form lacks only the overlap of its two bumps, "
        "about 2 sqrt(2 pi keep(1-keep)) s/||m|| exp(-||m||^2/8s^2)",
        "quadrature - closed form at s = 0.3, 0.25, 0.2, as its place between the derived bounds, "
        "-1 the upper, 1 the lower",
        worst(places), 1.0, "bounds on H(z | w), derived in claims/kl.py")]


@claim("kl-dropout-gradient")
def dropout_gradient() -> list[Finding]:
    """Claim 5: d KL/dM = keep l^2 M for every small s, though the KL itself goes to infinity."""
    h = 0.05
    errors, sizes = [], []
    for m in RAYS:
        wanted = gradient(DROP, m)
        for s in (0.05, 0.01, 1e-3, 1e-4):
            for i, e in enumerate(h * np.eye(len(m))):
                high, low = quadrature(m + e, s), quadrature(m - e, s)
                errors.append(abs((high - low) / (2 * h) - wanted[i]))
                sizes.append(abs(high))
    return [Finding(
        "kl-dropout-gradient",
        "the gradient of dropout's KL is keep l^2 M for every small s: "
        "a weight decay, though the KL is infinite",
        "kl.grad against central differences of the quadrature, 1-D and 2-D, s = 0.05 ... 1e-4",
        worst(errors), rounding(worst(sizes)) / h,
        "rounding over the step: a quadratic in M has exact central differences")]
