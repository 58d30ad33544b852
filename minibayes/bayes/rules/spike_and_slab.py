"""KL = keep sum over rays of l^2/2 (1 + alpha) ||m||^2 - log ||m|| - 1/2 log alpha + C: coin times normal.

nn.Times(Bernoulli(keep), Gaussian(alpha)) under N(0, l^-2). Derivation. With z = b g, b ~ Bernoulli(keep),
g ~ N(1, alpha), q of one ray m in R^K, blurred, is a spike and a slab, s -> 0:

    q = (1 - keep) N(0, s^2 I) + keep N(m, s^2 I + alpha m m')

    -E_q log p(ray) = l^2/2 keep (1 + alpha) ||m||^2 + ...     E[z^2] = E[b^2] E[g^2]
    -H[q] -> -H(keep)                                          which of the two: they no longer overlap
             - (1 - keep) K/2 log(2 pi e s^2)                  the spike's own
             - keep [(K-1)/2 log(2 pi e s^2) + 1/2 log(2 pi e alpha) + log ||m||]    the slab's: see mgn.py

So it is keep times the KL of MGN, as only the slab moves with m, and a constant. Of an infinite KL this is
what depends on m and alpha; read as a joint KL of (b, w) against a prior with the same spike, b ~
Bernoulli(pi), it is all but KL(keep || pi), and has the same gradient.

keep itself cannot be learned here: the spike has one blurred direction more than the slab, so C contains
keep log s, and as s -> 0 nothing finite weighs against it. Hence there is no rule for nn.Times(nn.Concrete(),
...). Two coins are one, Bernoulli(keep_a keep_b). Source: the entropies of dropout.py and mgn.py; the q is
McClure and Kriegeskorte's (arXiv 1611.01639).
"""

import numpy as np

from ... import nn
from .. import kl
from ..prior import Normal
from .dropout import expected_log_p
from .mgn import entropy_along_the_ray


def along_the_rays(q: kl.Q, keep: float) -> kl.Term:
    """-keep sum log ||m||: of the slab alone."""
    term = entropy_along_the_ray(q)
    return kl.Term(term.name, keep * term.value, {p: keep * g for p, g in term.grads.items()},
                   "-keep sum log ||ray||", term.note)


def fixed(q: kl.Q, prior: Normal, keep: float, variance: float) -> kl.Part:
    """l^2/2 keep (1 + variance) ||m||^2 - keep log ||m|| for each ray m."""
    return expected_log_p(q, prior, keep * (1 + variance), "keep (1 + variance)", (along_the_rays(q, keep),))


def learned(q: kl.Q, prior: Normal, keep: float, name: str) -> kl.Part:
    """For each ray keep (l^2/2 (1 + alpha) ||m||^2 - log ||m|| - 1/2 log alpha).

    d/dlog alpha = keep (l^2/2 alpha ||m||^2 - 1/2): without data alpha = 1/(l^2 ||m||^2), as without a spike.
    """
    log_alpha, squares = np.asarray(q.phi[name], np.float64), q.rays()
    each = log_alpha.reshape(-1)
    slope = keep * (prior.of(q.name) ** 2 / 2 * np.exp(each) * squares - 0.5)
    slope = (slope if each.size > 1 else slope.sum()).reshape(log_alpha.shape)
    value = -keep / 2 * float(np.broadcast_to(each, squares.shape).sum())
    entropy = kl.Term("alpha", value, {name: slope}, "-keep/2 sum log alpha",
                      "one for each ray; its gradient is the KL's in log alpha, the weight decay's share "
                      "included")
    return expected_log_p(q, prior, keep * (1 + np.exp(log_alpha)), "keep (1 + alpha)",
                          (along_the_rays(q, keep), entropy))


@kl.rule((nn.Times, nn.Bernoulli, nn.Gaussian), Normal)
def coin_times_normal(q: kl.Q, prior: Normal) -> kl.Part:
    return fixed(q, prior, q.noise.a.keep, q.noise.b.variance)


@kl.rule((nn.Times, nn.Gaussian, nn.Bernoulli), Normal)
def normal_times_coin(q: kl.Q, prior: Normal) -> kl.Part:
    return fixed(q, prior, q.noise.b.keep, q.noise.a.variance)


@kl.rule((nn.Times, nn.Bernoulli, nn.LearnedGaussian), Normal)
def coin_times_learned(q: kl.Q, prior: Normal) -> kl.Part:
    return learned(q, prior, q.noise.a.keep, "b_log_alpha")


@kl.rule((nn.Times, nn.LearnedGaussian, nn.Bernoulli), Normal)
def learned_times_coin(q: kl.Q, prior: Normal) -> kl.Part:
    return learned(q, prior, q.noise.b.keep, "a_log_alpha")


@kl.rule((nn.Times, nn.Bernoulli, nn.Bernoulli), Normal, pure_decay=True)
def two_coins(q: kl.Q, prior: Normal) -> kl.Part:
    """Dropout with keep = keep_a keep_b."""
    return expected_log_p(q, prior, q.noise.a.keep * q.noise.b.keep, "keep_a keep_b")
