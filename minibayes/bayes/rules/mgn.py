"""KL = sum over rays of l^2/2 (1 + alpha) ||m||^2 - log ||m|| - 1/2 log alpha + C: MGN under N(0, l^-2).

Derivation. q blurred: one ray m in R^K is z m + s n with z ~ N(1, alpha): exactly N(m, s^2 I + alpha m m').

    -E_q log p(ray) = l^2/2 (1 + alpha) ||m||^2 + ...               as for dropout, with E[z^2] = 1 + alpha
    -H[q] = -K/2 log(2 pi e s^2) - 1/2 log(1 + alpha ||m||^2/s^2)
          -> -log ||m|| - 1/2 log alpha + (what depends on s alone)

The weight-decay reading (keep ||M||^2 with E[z^2] for keep) leaves out the entropy along the ray, -log ||m||,
which is finite and pushes m away from 0. Where alpha is learned, -1/2 log alpha counts too: without data the
best is alpha = 1/(l^2 ||m||^2). For K = 1 the blur can be left out altogether and C is finite: -1/2 - log l
for each weight, and -1/2 log alpha where that is fixed. Source: the entropy of a normal distribution.
"""

import math

import numpy as np

from ... import nn
from .. import kl
from ..along import Along
from ..prior import Normal
from .dropout import expected_log_p

SMALLEST = np.finfo(np.float32).tiny


def entropy_along_the_ray(q: kl.Q) -> kl.Term:
    """-sum log ||m||, and its derivative -m/||m||^2."""
    squares = np.maximum(q.rays(), SMALLEST)
    slope = q.along(-1 / squares)
    shared = "the weights" + (" and bias" if "b" in q.params else "") + " that share one z"
    value = float(-np.log(squares, dtype=np.float64).sum() / 2)
    return kl.Term("rays", value, {p: Along(slope[p], a) for p, a in q.params.items()}, "-sum log ||ray||",
                   f"a ray: {shared}; what weight decay leaves out")


def constant(q: kl.Q, prior: Normal, log_alpha: float = 0.0) -> float | None:
    """C = -1/2 - log l - 1/2 log alpha for each weight, if each is a ray of its own."""
    rays = len(q.rays())
    alone = rays == sum(a.size for a in q.params.values())
    return -rays * (0.5 + math.log(prior.of(q.name)) + log_alpha / 2) if alone else None


@kl.rule(nn.Gaussian, Normal, by_weight=True)
def mgn(q: kl.Q, prior: Normal) -> kl.Part:
    """l^2/2 (1 + variance) ||m||^2 - log ||m|| for each ray m; log variance is a constant, and part of C."""
    return expected_log_p(q, prior, 1 + q.noise.variance, "(1 + variance)", (entropy_along_the_ray(q),),
                          constant(q, prior, math.log(q.noise.variance)))


@kl.rule(nn.LearnedGaussian, Normal, by_weight=True)
def learned(q: kl.Q, prior: Normal) -> kl.Part:
    """For each ray l^2/2 (1 + alpha) ||m||^2 - log ||m|| - 1/2 log alpha.

    d/dlog alpha = l^2/2 alpha ||m||^2 - 1/2.
    """
    log_alpha, l2 = q.phi["log_alpha"], prior.of(q.name) ** 2
    squares = q.rays()
    each = log_alpha.reshape(-1).astype(np.float64)
    alpha = np.exp(each)
    slope = l2 / 2 * alpha * squares - 0.5
    slope = (slope if each.size > 1 else slope.sum()).reshape(log_alpha.shape)
    entropy = kl.Term("alpha", float(np.broadcast_to(-each / 2, squares.shape).sum()), {"log_alpha": slope},
                      "-1/2 sum log alpha", "one for each ray; its gradient is the KL's in log alpha, the "
                      "weight decay's share included")
    return expected_log_p(q, prior, np.exp(log_alpha) + 1, "(1 + alpha)", (entropy_along_the_ray(q), entropy),
                          constant(q, prior))
