"""KL = sum over rays of -1/2 log alpha + E log |z| + C: MGN under the log-uniform prior; M is not in it.

Derivation. p(log |w|) is constant, so -E_q log p(ray) = E log |z| + log ||m||, and the entropy along the ray
is log ||m|| + 1/2 log alpha + C: log ||m|| cancels. What is left is one function of alpha for each ray, which
loguniform.py integrates: variational dropout (arXiv 1506.02557; Molchanov, Ashukha and Vetrov, arXiv
1701.05369). Weights outside the noise, such as a dense bias, have no penalty there, and none here.
"""

import numpy as np

from ... import nn
from .. import kl
from ..prior import LogUniform
from . import loguniform

FORMULA = "sum over rays of E log|z| - 1/2 log alpha + C"


@kl.rule(nn.Delta, LogUniform)
def outside(q: kl.Q, prior: LogUniform) -> kl.Part:
    """0: left alone."""
    return kl.Part()


@kl.rule(nn.Gaussian, LogUniform)
def fixed(q: kl.Q, prior: LogUniform) -> kl.Part:
    """A number that nothing learned changes."""
    value = len(q.rays()) * float(loguniform.exact(np.log(q.noise.variance)))
    return kl.Part({}, (kl.Term("alpha", value, {}, FORMULA),))


@kl.rule(nn.LearnedGaussian, LogUniform)
def learned(q: kl.Q, prior: LogUniform) -> kl.Part:
    """One KL(alpha) for each ray, and its derivative in log alpha."""
    log_alpha = q.phi["log_alpha"].astype(np.float64)
    rays = len(q.rays()) / log_alpha.size  # that share one alpha
    value = rays * float(loguniform.exact(log_alpha).sum())
    slope = rays * loguniform.exact_grad(log_alpha)
    return kl.Part({}, (kl.Term("alpha", value, {"log_alpha": slope}, FORMULA),))
