"""KL = sum over rays of l^2/2 keep ||m||^2 - H(keep) + C: dropout whose keep is learned, under N(0, l^-2).

Derivation. As for dropout (dropout.py), q blurred is keep N(m, s^2 I) + (1 - keep) N(0, s^2 I), s -> 0, but
now H(keep) = -keep log keep - (1 - keep) log(1 - keep) counts: it is no constant. With a = logit keep,

    dH/dkeep = -a,  dkeep/da = keep (1 - keep):   dKL/da = keep (1 - keep) sum over rays of l^2/2 ||m||^2 + a

Each ray has a z of its own, so each has its entropy, also where all rays of a layer share one keep: for K
rays -K H(keep). Without data dKL/da = 0 at a = -l^2 ||M||^2/(2 K), so keep <= 1/2 there.

It is the KL of Bernoulli(keep), of which nn.Concrete is a relaxation. The relaxed z has a density at every
t > 0, so its own KL has the term -log ||m|| of a continuous z (mgn.py), and no limit as t -> 0. What Gal,
Hron and Kendall (arXiv 1705.07832) minimise, and what is here, is E log p(y | f) relaxed, to have a
derivative in keep, beside the KL of what is meant. At temperature 0, `nn.Concrete.hard`, both are of one q.
"""

import numpy as np

from ... import nn
from ...nn.concrete import sigmoid
from .. import kl
from ..prior import Normal
from .dropout import expected_log_p


def minus_entropy(logit: np.ndarray) -> np.ndarray:
    """-H(keep) = keep log keep + (1 - keep) log(1 - keep), nats."""
    return -sigmoid(logit) * np.logaddexp(0, -logit) - sigmoid(-logit) * np.logaddexp(0, logit)


@kl.rule(nn.Concrete, Normal)
def concrete(q: kl.Q, prior: Normal) -> kl.Part:
    """For each ray l^2/2 keep ||m||^2 - H(keep).

    d/dlogit keep = keep (1 - keep) (l^2/2 ||m||^2 + logit keep).
    """
    squares, logit = q.rays(), np.asarray(q.phi["logit_keep"], np.float64)
    rays = squares.size // logit.size  # that share one keep
    squares = squares.sum(dtype=np.float64) if logit.size == 1 else squares.reshape(logit.shape)
    keep = sigmoid(logit)
    slope = keep * sigmoid(-logit) * (prior.of(q.name) ** 2 / 2 * squares + rays * logit)
    entropy = kl.Term("keep", float(rays * minus_entropy(logit).sum()), {"logit_keep": slope}, "-sum H(keep)",
                      "one for each ray; its gradient is the KL's in logit keep, the weight decay's share "
                      "included")
    return expected_log_p(q, prior, keep, "keep", (entropy,))
