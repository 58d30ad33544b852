"""p(w) = exp(-|w|/scale)/(2 scale), and the KL of dropout under it: keep/scale ||M||_1, an L1 penalty.

A ray is m with probability keep, else 0: -E_q log p = keep sum_k |m_k|/scale + C; no m in the entropy.
"""

import math
from dataclasses import dataclass

import numpy as np

from minibayes import bayes, nn


@dataclass(frozen=True)
class Laplace(bayes.Prior):
    scale: float = 1.0

    def log_p(self, layer, w):
        return -np.abs(w).sum() / self.scale - w.size * math.log(2 * self.scale), -np.sign(w) / self.scale

    def draw(self, rng, layer, shape):
        return rng.laplace(0, self.scale, shape)


@bayes.kl.rule(nn.Delta, Laplace)
@bayes.kl.rule(nn.Bernoulli, Laplace)
def l1(q, prior):
    factor = q.moments[0] / prior.scale                             # E[z] = keep, or 1
    return bayes.kl.Part({}, tuple(
        bayes.kl.Term(p, factor * float(np.abs(m).sum()), {p: factor * np.sign(m)}, f"E[z]/scale ||{p}||_1")
        for p, m in q.params.items()))
