"""The KL of dropout whose keep is learned, C(s) and the overlap apart, against quadrature of the mixture.

For one ray, kl.value + C(s), C(s) = K/2 log(2 pi/l^2) - K/2 log(2 pi e s^2) + K/2 l^2 s^2: of what kl.py has
as C(s), -H(keep) is now part of the value.
"""

import math

import numpy as np

from .. import bayes, nn
from ..bayes import kl
from ..model import BayesianNetwork
from .claim import Finding, claim
from .common import worst
from .kl import RAYS, L, quadrature, rounding

KEEPS = (0.3, 0.7, 0.95)
H = 0.02  # of differences in logit keep


def logit(keep: float) -> float:
    return math.log(keep / (1 - keep))


def layer(rays: np.ndarray, keep: float, per: str = "layer") -> tuple:
    """A network and its parameters, with these rays (n, K) as the columns of M, and no bias."""
    net = nn.Network(a=nn.Dense(len(rays), rays.shape[1], noise=nn.Concrete(keep, per=per)))
    return net, net.init(0, np.float64) | {"a": net.init(0, np.float64)["a"] | {"M": rays.T.copy()}}


def constant(K: int, s: float) -> float:
    """C(s), as above."""
    return K / 2 * (math.log(2 * math.pi / L**2) - math.log(2 * math.pi * math.e * s**2) + L**2 * s**2)


def slope(f, at: float) -> float:
    """df/dat from four values, to H^4/30 of the fifth derivative."""
    return (8 * (f(at + H) - f(at - H)) - (f(at + 2 * H) - f(at - 2 * H))) / (12 * H)


@claim("kl-concrete-closed-form", "kl-concrete-gradient", "kl-concrete-every-ray")
def concrete() -> list[Finding]:
    """One ray: value and gradient; several that share one keep: each has its entropy."""
    apart, steep = [], []
    for m in RAYS:
        for keep in KEEPS:
            net, params = layer(m[None], keep)
            for s in (0.01, 1e-4):
                apart.append(abs(quadrature(m, s, keep) - kl.value(net, params, bayes.Prior(L))
                                 - constant(len(m), s)))
            found = kl.grad(net, params, bayes.Prior(L))["a"]
            true = slope(lambda a, m=m: quadrature(m, 0.01, 1 / (1 + math.exp(-a))), logit(keep))
            steep.append(abs(found["logit_keep"].item() - true))
            true = [(quadrature(m + e, 0.01, keep) - quadrature(m - e, 0.01, keep)) / 0.1
                    for e in 0.05 * np.eye(len(m))]
            steep.append(np.abs(found["M"][:, 0] - true).max())
    rays, each = np.array([[1.7, 0.4], [0.9, -1.2], [-0.6, 1.1], [1.3, 1.3], [2.0, -0.5]]), []
    for per in ("layer", "unit"):
        net, params = layer(rays, 0.8, per)
        each.append(abs(sum(quadrature(m, 0.01, 0.8) - constant(2, 0.01) for m in rays)
                        - kl.value(net, params, bayes.Prior(L))))
    # the fifth derivatives, |a| < 3: of keep below 1/4, of H(keep) = -int a dkeep below 3/4 + 4/8
    fifth = (L**2 / 2 * max(m @ m for m in RAYS) + 5) / 4
    return [
        Finding(
            "kl-concrete-closed-form",
            "where keep is learned dropout's KL is keep l^2/2 ||M||^2 - H(keep) for each ray: "
            "C(s) has no keep in it",
            "closed form with C(s) against quadrature of q log(q/p) in 1-D and 2-D, keep = 0.3, 0.7, 0.95",
            worst(apart), rounding(abs(constant(2, 1e-4)) + 10),
            "rounding: the bumps do not overlap, and the quadrature is exact"),
        Finding(
            "kl-concrete-gradient",
            "d KL/d logit keep = keep(1-keep) (l^2/2 ||M||^2 + logit keep), d KL/dM = keep l^2 M",
            "kl.grad against differences of the quadrature",
            worst(steep), H**4 / 30 * fifth + rounding(abs(constant(2, 0.01)) + 10) / H,
            "the fifth derivative in logit keep, and rounding over the step"),
        Finding(
            "kl-concrete-every-ray",
            "one keep for a layer of K inputs has K entropies, not one",
            "kl.value of five columns, with one keep and with five, against the sum of five quadratures",
            worst(each), rounding(5 * (abs(constant(2, 0.01)) + 10)), "rounding"),
    ]


@claim("kl-concrete-without-data")
def without_data() -> list[Finding]:
    """Inputs of zero say nothing of keep, so training is led by the KL alone; M stays where it is."""
    K, errors, found = 4, [], []
    for per, l in (("layer", 0.5), ("unit", 0.8)):
        net = nn.Network(a=nn.Dense(K, 2, noise=nn.Concrete(0.9, per=per)))
        params = net.init(0, np.float64)
        params["a"]["M"] = np.array([[0.5, -1.0, 1.5, 0.8], [1.2, 0.3, -0.7, 2.0]])
        model = BayesianNetwork(net, bayes.Prior(l), bayes.Gaussian(1.0))
        sgd = nn.SGD(5.0, multipliers={"a": {"M": 0.0, "b": 0.1, "logit_keep": 1.0}})
        model.fit(np.zeros((4, K)), np.zeros((4, 2)), steps=150, batch_size=4, optimizer=sgd, params=params,
                  dtype=np.float64, threads=1)
        squares = (params["a"]["M"] ** 2).sum(axis=0)
        wanted = -l**2 / 2 * (squares.mean(keepdims=True) if per == "layer" else squares)
        errors.append(np.abs(model.params["a"]["logit_keep"] - wanted).max())
        found.append(1 / (1 + math.exp(-model.params["a"]["logit_keep"].max())))
    return [Finding(
        "kl-concrete-without-data",
        "without data keep falls to logit keep = -l^2 ||M||^2/(2K), 1/2 or less: a keep above is the data's",
        f"logit keep after 150 steps of SGD on inputs of zero against that; "
        f"keep ends at most at {max(found):.3f}",
        worst(errors), 1e-9, "a fixed point: the steps shrink to rounding")]
