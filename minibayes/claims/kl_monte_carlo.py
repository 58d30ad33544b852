"""KL(q || p) = E_q[log q - log p] over weights that the package draws, blurred (claims 5 and 6)."""

import math

import numpy as np

from ..bayes import posterior
from .claim import Finding, claim
from .common import worst
from .kl import DROP, MGN, RAYS, L, constant, log_density_ratio, network, value
from .kl_mgn import covariance, remainder

DRAWS = 100_000


def dropout_terms(m: np.ndarray, w: np.ndarray, s: float) -> tuple[np.ndarray, float]:
    """log q(w) - log p(w) at weights w (DRAWS, K), and what its mean should be; of dropout's ray."""
    exact = value(DROP, m) + constant(DROP, len(m), s) + L**2 / 2 * len(m) * s**2
    return log_density_ratio(w / s, (w - m) / s, s, DROP.keep), exact


def mgn_terms(m: np.ndarray, w: np.ndarray, s: float) -> tuple[np.ndarray, float]:
    """The same of a Gaussian ray."""
    S = covariance(m, s)
    square = ((w - m) * np.linalg.solve(S, (w - m).T).T).sum(axis=1)
    log_q = -square / 2 - np.linalg.slogdet(2 * math.pi * S)[1] / 2
    log_p = -(L**2) / 2 * (w * w).sum(axis=1) - len(m) / 2 * math.log(2 * math.pi / L**2)
    return log_q - log_p, value(MGN, m) + constant(MGN, len(m), s) + remainder(m, s)


@claim("kl-dropout-monte-carlo", "kl-mgn-monte-carlo")
def monte_carlo() -> list[Finding]:
    """Claims 5 and 6: the mean of log q - log p against the closed forms."""
    out, rng = [], np.random.default_rng(5)
    m = RAYS[1]
    for name, noise, terms in (("dropout", DROP, dropout_terms), ("mgn", MGN, mgn_terms)):
        errors = []
        for key, s in enumerate((0.1, 1e-2, 1e-3)):
            net, params = network(noise, m)
            z = net.sample(key, (DRAWS, 1), dtype=np.float64)
            n = rng.standard_normal((DRAWS, len(m)))
            w = posterior.weights(net, params, z, "a")["W"][:, :, 0] + s * n  # m z + blur
            values, exact = terms(m, w, s)
            errors.append(abs(values.mean() - exact) / (values.std() / math.sqrt(DRAWS)))
        out.append(Finding(
            f"kl-{name}-monte-carlo",
            f"the KL of {name} is the mean of log q - log p over its draws",
            f"closed form against {DRAWS} draws of m z + blur, s = 0.1, 0.01, 0.001, in standard errors",
            worst(errors), 4.0, "4 standard errors of the mean"))
    return out
