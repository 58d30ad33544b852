"""z ~ uniform(1 - width, 1 + width), and its KL under N(0, l^-2): continuous noise that learns nothing.

Along a ray m, z m is uniform on a length of 2 width ||m||: H = log ||m|| + C; E[z^2] = 1 + width^2/3. So

    KL = sum over rays of l^2/2 (1 + width^2/3) ||m||^2 - log ||m|| + C
    d/dm = l^2 (1 + width^2/3) m - m/||m||^2
"""

from dataclasses import dataclass

import numpy as np

from minibayes import bayes, nn


@dataclass(frozen=True)
class UniformNoise(nn.Noise):
    width: float = 0.5

    def draw(self, key, shape, rows):
        return (1 + self.width * (2 * key.uniform(shape, rows) - 1)).astype(rows.dtype)

    def moments(self, phi):
        return 1.0, 1 + self.width**2 / 3

    def points(self, order):
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return 1 + self.width * nodes, weights / 2


@bayes.kl.rule(UniformNoise, bayes.Normal)
def uniform_under_normal(q, prior):
    decay, squares = prior.of(q.name) ** 2 * q.moments[1], q.rays()
    slope = q.along(1 / squares)
    grads = {p: -m * slope[p] for p, m in q.params.items()}
    entropy = bayes.kl.Term("rays", -np.log(squares).sum() / 2, grads, "-sum log ||ray||")
    return bayes.kl.Part({p: bayes.kl.Decay(decay, "(1 + width^2/3) l^2") for p in q.params}, (entropy,))
