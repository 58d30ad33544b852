"""L-hat_c = data + c KL: with a factor c the KL counts c times, in value, gradient and training."""

import numpy as np

from .. import bayes, nn
from ..bayes import kl
from ..model import BayesianNetwork
from .claim import Finding, claim
from .common import ROUNDING, add, distance, largest, random_params, rounding, worst


@claim("objective-kl-factor")
def kl_factor() -> list[Finding]:
    """A step and its loss with c, against the data's part and c times the KL's."""
    rng = np.random.default_rng(5)
    net = nn.Network(a=nn.Dense(3, 4, noise=nn.Concrete(0.8)), t=nn.Tanh(),
                     b=nn.Dense(4, 2, noise=nn.Gaussian(0.5)))
    params, N, rate = random_params(net, rng), 12, 0.1
    x, y = rng.standard_normal((N, 3)), rng.standard_normal((N, 2))
    prior, likelihood = bayes.Prior(0.9), bayes.Gaussian(2.0)
    objective = bayes.Objective(net, prior, likelihood, N)
    value, of_kl = kl.value(net, params, prior), kl.grad(net, params, prior, N)
    eps = net.draw(5, x.shape, dtype=np.float64)
    nll, data = objective.data_term(params, x, y, eps, N)
    apart, sizes = [], []
    ends = {}
    for c in (0.0, 0.3, 1.0):
        terms, grads = objective.value_and_grad(params, x, y, eps, c)
        apart += [abs(terms.total - nll - c * value) / N, distance(grads, add(data, of_kl, c))]
        sizes += [abs(terms.total) + abs(value), largest(grads)]
        for plain in (True, False):
            model = BayesianNetwork(net, prior, likelihood)
            row, = model.fit(x, y, steps=1, batch_size=N, optimizer=nn.SGD(rate), params=params,
                             dtype=np.float64, threads=1, plain=plain, kl_factor=lambda step, c=c: c)
            apart.append(abs(row["loss"] - row["nll"] - c * value / N))
            ends[plain, c] = model.params
    for plain in (True, False):                                         # the data's part is the same in both
        less = add(ends[plain, 0.3], ends[plain, 1.0], -1)
        apart.append(distance(less, add(of_kl, of_kl, 0.7 * rate - 1)))
    return [Finding(
        "objective-kl-factor",
        "with kl_factor c what is minimised is data + c KL: the bound for c = 1 alone",
        "value, gradient and one step of fit, plain and fast, against the two parts, c = 0, 0.3, 1",
        worst(apart), rounding(256, worst(sizes)), ROUNDING)]

