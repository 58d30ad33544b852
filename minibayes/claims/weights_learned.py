"""z of concrete dropout is nearly Bernoulli(keep), and by how much not; the product of two noises."""

import itertools
import math

import numpy as np

from .. import nn
from .claim import Finding, claim
from .common import EPS, worst

TEMPERATURES = (0.1, 0.05, 0.02)
KEEPS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def soft(keep: float, t: float) -> tuple[float, float]:
    """(E[z], E[z^2]) of z = sigmoid((logit keep + e)/t), e logistic, by a trapezoid sum in e/t.

    Both poles of the integrand, those of z and of the density of e, are pi from the real axis or farther:
    a step of 1/8 loses exp(-2 pi^2 8). Cut off at |e| = 40: e^-40.
    """
    step = 1 / 8
    v = np.arange(-40 / t, 40 / t, step)
    weights = step * t / (4 * np.cosh(t * v / 2) ** 2)
    z = 0.5 * (1 + np.tanh((math.log(keep / (1 - keep)) / t + v) / 2))
    return float(weights @ z), float(weights @ z**2)


@claim("weights-concrete-moments", "weights-concrete-gap")
def concrete() -> list[Finding]:
    """The moments that weight averaging uses, and how far they are from keep.

    r(e) is the logistic density, with r = keep (1 - keep) at logit keep; its Taylor series under the integral
    of `Concrete.moments`, with int v^2 s(v) s(-v) dv = 2 int v s(-v) dv = pi^2/6 and int v^3 s(-v) dv =
    7 pi^4/120, s the sigmoid and all v > 0; |r'''| < 0.13 everywhere, so that the rest is bounded.
    """
    apart, gaps = [], []
    for t, keep in itertools.product(TEMPERATURES, KEEPS):
        logit = {"logit_keep": np.array([math.log(keep / (1 - keep))])}
        moments = [m.item() for m in nn.Concrete(0.5, t).moments(logit)]
        apart.append(np.abs(np.subtract(moments, soft(keep, t))).max())
        r = keep * (1 - keep)
        slope, bend = r * (1 - 2 * keep), r * (1 - 6 * r)               # r', r''
        first = keep + math.pi**2 / 6 * t**2 * slope
        second = first - t * r - math.pi**2 / 6 * t**3 * bend
        rest = 0.13 / 3 * 7 * math.pi**4 / 120 * t**4
        gaps += [abs(moments[0] - first) / rest, abs(moments[1] - second) / rest]
    short = ", ".join(f"{keep - soft(keep, 0.1)[1]:.3f} at {keep}" for keep in (0.5, 0.8, 0.95))
    return [
        Finding(
            "weights-concrete-moments",
            "E[z] and E[z^2] of concrete dropout are those of z as it is drawn",
            "Concrete.moments against a trapezoid sum over u, keep = 0.3 ... 0.99, t = 0.1, 0.05, 0.02",
            worst(apart), 1e-9, "the nodes of `moments`, a Gauss-Legendre rule of 128"),
        Finding(
            "weights-concrete-gap",
            "relaxed dropout is not quite dropout: E[z] is off by pi^2/6 t^2 keep(1-keep)(1-2 keep), "
            "and E[z^2] short by t keep(1-keep)",
            f"moments against these and one term more, over the bound on the rest; "
            f"at t = 0.1 E[z^2] is short by {short}",
            worst(gaps), 1.0, "Taylor's remainder of the logistic density"),
    ]


@claim("weights-times-moments")
def times() -> list[Finding]:
    """The product of two independent noises, over all pairs of what each may be."""
    pairs = [(nn.Bernoulli(0.5), nn.Gaussian(0.3)), (nn.Bernoulli(0.6), nn.Bernoulli(0.7)),
             (nn.LearnedGaussian(0.4), nn.Bernoulli(0.2)),
             (nn.Times(nn.Bernoulli(0.5), nn.Gaussian(0.3)), nn.Gaussian(0.1))]
    apart, sizes = [], []
    for a, b in pairs:
        product = nn.Times(a, b)
        phi = product.start((1,))
        values, weights = product.points(6)
        z = np.asarray(product.z(phi, values), np.float64).reshape(-1)
        (z_a, w_a), (z_b, w_b) = ((np.asarray(noise.z(noise.start((1,)), eps), np.float64), w)
                                  for noise, (eps, w) in ((a, a.points(6)), (b, b.points(6))))
        for power, moment in zip((1, 2), product.moments(phi), strict=True):
            by_pairs = sum(u * v * (p * q) ** power for (p, u), (q, v) in itertools.product(
                zip(z_a, w_a, strict=True), zip(z_b, w_b, strict=True)))
            apart += [abs(np.squeeze(moment) - by_pairs), abs(weights @ z**power - by_pairs)]
            sizes.append(abs(by_pairs))
    return [Finding(
        "weights-times-moments",
        "the product of two independent noises is a noise: its moments are the products of theirs",
        "moments, and sums over points, of nn.Times against sums over all pairs of values",
        worst(apart), 256 * EPS * (1 + worst(sizes)), "rounding: of the sums and of the nodes")]
