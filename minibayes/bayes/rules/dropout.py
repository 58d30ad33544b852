"""KL = l^2/2 (keep ||M||^2 + ||b||^2) + C: dropout under N(0, l^-2) is a weight decay.

Derivation. q blurred: one ray m in R^K is keep N(m, s^2 I) + (1 - keep) N(0, s^2 I), s -> 0.

    -E_q log p(ray) = l^2/2 (E[z^2] ||m||^2 + K s^2) + K/2 log(2 pi/l^2)        any noise with that moment
    -H[q]           -> -H(keep) - K/2 log(2 pi e s^2)                           two narrow bumps: no m in it

and E[z^2] = keep. A weight outside the noise is the case z = 1. The rest, C, depends on s and keep alone and
is infinite in the limit. Source: arXiv 1506.02142, appendix 4.2.
"""

import numpy as np

from ...nn.noise import Bernoulli, Delta
from .. import kl
from ..prior import Normal


@kl.rule(Delta, Normal, pure_decay=True, by_weight=True)
def without_noise(q: kl.Q, prior: Normal) -> kl.Part:
    """l^2/2 ||w||^2."""
    return expected_log_p(q, prior, 1.0, "")


@kl.rule(Bernoulli, Normal, pure_decay=True)
def dropout(q: kl.Q, prior: Normal) -> kl.Part:
    """l^2/2 keep ||m||^2 for each ray m."""
    return expected_log_p(q, prior, q.noise.keep, "keep")


def expected_log_p(q: kl.Q, prior: Normal, second_moment: np.ndarray | float, symbol: str,
                   terms: tuple = (), constant: float | None = None) -> kl.Part:
    """-E_q log p = l^2/2 E[z^2] ||m||^2 for each ray m: a weight decay if all share E[z^2], else terms."""
    l2, formula = prior.of(q.name) ** 2, f"{symbol} l^2".strip()
    if np.size(second_moment) == 1:
        factor = l2 * float(np.squeeze(second_moment))
        return kl.Part({p: kl.Decay(factor, formula) for p in q.params}, terms, constant)
    along, own = q.along(second_moment), []
    for p, a in q.params.items():
        value = l2 / 2 * float((along[p] * a * a).sum())
        own.append(kl.Term(p, value, {p: l2 * along[p] * a}, f"{formula}/2 ||{p}||^2, ray by ray"))
    return kl.Part({}, (*own, *terms), constant)
