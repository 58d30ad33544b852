"""l^2/2 E[z^2] ||M||^2, and no more: -E_q log p under N(0, l^-2), the entropy of q left out by name.

For dropout this is the KL (dropout.py): the entropy does not depend on M. For multiplicative Gaussian noise
it is not, -log ||m|| of each ray is missing (mgn.py); but it is what the field trains with: "Gaussian
dropout" in any framework is noise beside a weight decay, and says nothing of a KL.

It can predict better than the KL does. The noise of a ray is as long as the ray, so -log ||m|| holds every
ray, needed or not, near ||m|| = 1/(l sqrt(1 + variance)), and what it is not needed for it adds to the
outputs as noise. A weight decay lets such a ray go to 0, and its noise with it. The price: what is minimised
is no bound, and its minimum without data, all M at 0, is no posterior. It need not: where the network must
use its rays anyway, they differ little (digits of 8 x 8 pixels, 64-60-10, variance 1/4, three folds: 0.208
nats by the KL and 0.218 by the decay at l = 1, 0.199 and 0.198 at l = 0.1, paired ± 0.002 and 0.004).

Where alpha is learned there is no such rule: without its entropy every noise would be learned away.
"""

from ... import nn
from .. import kl
from ..prior import WeightDecay
from .dropout import expected_log_p


@kl.rule(nn.Delta, WeightDecay, pure_decay=True, by_weight=True)
@kl.rule(nn.Bernoulli, WeightDecay, pure_decay=True)
@kl.rule(nn.Gaussian, WeightDecay, pure_decay=True, by_weight=True)
def alone(q: kl.Q, prior: WeightDecay) -> kl.Part:
    """l^2/2 E[z^2] ||m||^2 for each ray m."""
    return expected_log_p(q, prior, q.moments[1], "E[z^2]" if q.noise.random else "")
