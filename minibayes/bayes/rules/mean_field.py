"""KL(N(m, s^2) || p), weight by weight: mean field, under N(0, l^-2) and under the log-uniform prior.

Derivation. Every weight is a ray of its own, w = m + s e, with no blur: KL = -E_q log p(w) - H[q],
H[q] = log s + 1/2 log(2 pi e).

    N(0, l^-2):     -E_q log p = l^2/2 (m^2 + s^2) + 1/2 log(2 pi/l^2), so
                    KL = l^2/2 m^2 + l^2/2 s^2 - log s + C,    C = -1/2 - log l: finite, so this is a bound
                    d/dm = l^2 m: a weight decay, all of it;   d/dlog s = l^2 s^2 - 1;   least at s = 1/l
    log-uniform:    w/m ~ N(1, alpha), alpha = s^2/m^2: the KL of alpha that loguniform.py integrates. With
                    g(log alpha) its derivative, log alpha = 2 log s - 2 log |m|:
                    d/dlog s = 2 g,    d/dm = -2 g/m, which is sqrt(2)/s D(u) with u = m/(s sqrt 2): 0 at 0

The second is sparse variational dropout (Molchanov, Ashukha and Vetrov, arXiv 1701.05369) in its own
parameters: log alpha free beside m, with s = sqrt(alpha) |m|, has gradients in m that grow with alpha, and
these have not. The first is Bayes by Backprop's with a normal prior (Blundell et al., arXiv 1505.05424).
"""

import math

import numpy as np

from ... import nn
from .. import kl
from ..prior import LogUniform, Normal
from . import loguniform
from .variational import note


@kl.rule(nn.MeanField, Normal, by_weight=True)
def under_normal(q: kl.Q, prior: Normal) -> kl.Part:
    """sum of 1/2 (l^2 (m^2 + s^2) - 1 - log(l^2 s^2)), its constant apart."""
    l, log_std = prior.of(q.name), q.phi["log_std"]                     # in its own precision
    value, slope = of_std(l, log_std)
    term = kl.Term("std", float(value.sum(dtype=np.float64)), {"log_std": slope}, "sum of l^2/2 s^2 - log s")
    return kl.Part({p: kl.Decay(l**2, "l^2") for p in q.params}, (term,), log_std.size * constant(l))


def of_std(l: float, log_std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(l^2/2 s^2 - log s, its derivative in log s), number by number."""
    spread = np.exp(2 * log_std) * l**2                                 # l^2 s^2
    return spread / 2 - log_std, spread - 1


def constant(l: float) -> float:
    """C of one number."""
    return -0.5 - math.log(l)


@kl.rule(nn.MeanField, LogUniform, by_weight=True)
def under_log_uniform(q: kl.Q, prior: LogUniform) -> kl.Part:
    """One KL(alpha) for each weight, alpha = s^2/m^2, and its derivatives in m and log s."""
    m, = (a.astype(np.float64) for a in q.params.values())
    s = np.exp(q.phi["log_std"].astype(np.float64)).reshape(m.shape)
    value, slope = loguniform.FORMS[prior.kl](np.abs(m) / (s * math.sqrt(2)))
    by_m = np.divide(-2 * slope, m, out=np.zeros_like(m), where=m != 0)
    p, = q.params
    term = kl.Term("alpha", float(value.sum()), {p: by_m, "log_std": 2 * slope},
                   "sum over weights of KL(alpha), alpha = s^2/m^2", note(prior))
    return kl.Part({}, (term,))
