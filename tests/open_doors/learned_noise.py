"""z = exp(sigma n - sigma^2/2), n ~ N(0, 1), with one learned log sigma; its KL under N(0, l^-2).

E[z] = 1, E[z^2] = exp(sigma^2), dz/dlog sigma = z (n - sigma) sigma, H(z) = log sigma - sigma^2/2 + C. So

    KL = sum over rays of l^2/2 exp(sigma^2) ||m||^2 - log ||m|| - log sigma + sigma^2/2 + C
    d/dlog sigma = sum over rays of l^2 sigma^2 exp(sigma^2) ||m||^2 - 1 + sigma^2
"""

from dataclasses import dataclass

import numpy as np

from minibayes import bayes, nn


@dataclass(frozen=True)
class LogNormal(nn.Noise):
    sigma: float = 0.5

    def start(self, shape):
        return {"log_sigma": np.full((1,) * len(shape), np.log(self.sigma))}

    def draw(self, key, shape, rows):
        return key.normal(shape, rows)                              # n

    def z(self, phi, eps):
        sigma = np.exp(phi["log_sigma"])
        return np.exp(sigma * eps - sigma**2 / 2)

    def pull(self, phi, eps, dz):
        sigma = np.exp(phi["log_sigma"])
        return {"log_sigma": (dz * self.z(phi, eps) * (eps - sigma) * sigma).sum().reshape(sigma.shape)}

    def moments(self, phi):
        return 1.0, np.exp(np.exp(phi["log_sigma"]) ** 2)

    def points(self, order):
        nodes, weights = np.polynomial.hermite_e.hermegauss(order)
        return nodes, weights / weights.sum()


@bayes.kl.rule(LogNormal, bayes.Normal)
def log_normal_under_normal(q, prior):
    l2, s2, squares = prior.of(q.name) ** 2, float(np.exp(2 * q.phi["log_sigma"]).sum()), q.rays()
    along, count = q.along(1 / squares), len(squares)
    slope = l2 * s2 * np.exp(s2) * squares.sum() + count * (s2 - 1)
    grad = {"log_sigma": np.full_like(q.phi["log_sigma"], slope)}
    rays = bayes.kl.Term("rays", -np.log(squares).sum() / 2, {p: -m * along[p] for p, m in q.params.items()})
    return bayes.kl.Part({p: bayes.kl.Decay(l2 * np.exp(s2), "exp(sigma^2) l^2") for p in q.params},
                         (rays, bayes.kl.Term("sigma", count * (s2 - np.log(s2)) / 2, grad)))
