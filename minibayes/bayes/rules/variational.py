"""KL = sum over rays of -1/2 log alpha + E log |z| + C: MGN under the log-uniform prior; M is not in it.

Derivation. p(log |w|) is constant, so -E_q log p(ray) = E log |z| + log ||m||, and the entropy along the ray
is log ||m|| + 1/2 log alpha + C: log ||m|| cancels. What is left is one function of alpha for each ray, which
loguniform.py integrates: variational dropout (arXiv 1506.02557; Molchanov, Ashukha and Vetrov, arXiv
1701.05369). Weights outside the noise, such as a dense bias, have no penalty there, and none here.
"""

import math

import numpy as np

from ... import nn
from .. import kl
from ..prior import LogUniform
from . import loguniform

FORMULA = "sum over rays of E log|z| - 1/2 log alpha + C"


@kl.rule(nn.Delta, LogUniform, by_weight=True)
def outside(q: kl.Q, prior: LogUniform) -> kl.Part:
    """0: left alone."""
    return kl.Part()


@kl.rule(nn.Gaussian, LogUniform, by_weight=True)
def fixed(q: kl.Q, prior: LogUniform) -> kl.Part:
    """A number that nothing learned changes."""
    value, _ = loguniform.FORMS[prior.kl](np.array(1 / math.sqrt(2 * q.noise.variance)))
    return kl.Part({}, (kl.Term("alpha", len(q.rays()) * float(value), {}, FORMULA, note(prior)),))


@kl.rule(nn.LearnedGaussian, LogUniform, by_weight=True)
def learned(q: kl.Q, prior: LogUniform) -> kl.Part:
    """One KL(alpha) for each ray, and its derivative in log alpha."""
    log_alpha = q.phi["log_alpha"].astype(np.float64)
    rays = 1 if log_alpha.size > 1 else len(q.rays())                   # that share one alpha
    value, slope = loguniform.FORMS[prior.kl](np.exp(-log_alpha / 2) / math.sqrt(2))
    grads = {"log_alpha": rays * slope}
    return kl.Part({}, (kl.Term("alpha", rays * float(value.sum()), grads, FORMULA, note(prior)),))


def note(prior: LogUniform) -> str:
    """What a table says of a KL that is not the exact one."""
    return "" if prior.kl == "exact" else f"by the fit {prior.kl!r}, not exactly"
