"""L-hat(theta) = -(N/B) sum_n log p(y_n | f(x_n, omega-hat)) + KL(q || p): the only file that knows N.

One minibatch and one omega-hat ~ q estimate the poster's L(theta) without bias; KL is counted once per data set, not per batch.
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..nn.network import Network
from ..nn.noise import Gaussian
from . import kl


@dataclass(frozen=True)
class Terms:
    """L-hat in its terms, nats; the constant `kl.CONSTANT` is left out of `kl`, `total` and `per_datum`."""

    nll: float  # (1/B) sum_n -log p(y_n | f_n): nats per datum
    kl: float  # KL(q || p) + constant: nats
    num_data: int  # N

    @property
    def total(self):
        """L-hat = N nll + KL, nats."""
        return self.num_data * self.nll + self.kl

    @property
    def per_datum(self):
        """L-hat / N = nll + KL/N, nats per datum: what training minimises."""
        return self.nll + self.kl / self.num_data


@dataclass(frozen=True)
class Objective:
    """L-hat for a network, prior, likelihood and data-set size N."""

    net: Network
    prior: object
    likelihood: object
    num_data: int

    def __post_init__(self):
        require.integer("num_data", self.num_data, 1)

    def terms(self, params, x, y, z):
        """L-hat's terms for the minibatch (x, y) and the draw z of omega-hat."""
        f, _ = self.net.forward(params, x, z)
        nll, _ = self.likelihood.nll(f, y)
        return Terms(float(nll.mean(dtype=np.float64)), kl.value(self.net, params, self.prior), self.num_data)

    def value_and_grad(self, params, x, y, z):
        """(terms, d(L-hat/N)/d theta) for the minibatch (x, y) and the draw z."""
        return self.combine(params, [self.data_term(params, x, y, z, len(x))], len(x))

    def data_term(self, params, x, y, z, batch, **out):
        """(sum_n -log p, its gradient / batch) of one shard of a minibatch of `batch` examples."""
        f, caches = self.net.forward(params, x, z)      # f_n = f(x_n, omega-hat)
        nll, df = self.likelihood.nll(f, y)             # -log p(y_n | f_n), and its derivative in f_n
        df = df * df.dtype.type(1 / batch)              # the mean over the minibatch
        _, grads = self.net.backward(params, caches, df, want_dx=False, **out)
        return float(nll.sum(dtype=np.float64)), grads

    def combine(self, params, shards, batch):
        """(terms, d(L-hat/N)/d theta) from the shards' data terms, added in the order given."""
        grads = {}
        for name, group in kl.grad(self.net, params, self.prior, self.num_data).items():
            grads[name] = {}
            for p, g_kl in group.items():
                g = shards[0][1][name][p]
                for _, more in shards[1:]:
                    g = g + more[name][p]
                grads[name][p] = g + g_kl               # d/d theta (mean nll + KL/N)
        return self.terms_of([shard[0] for shard in shards], batch, kl.value(self.net, params, self.prior)), grads

    def terms_of(self, nlls, batch, kl_value):
        """L-hat's terms from the shards' sums of -log p, and the KL."""
        return Terms(sum(nlls) / batch, kl_value, self.num_data)

    def weight_decay(self, params):
        """{layer: {param: wd}} if the gradient of KL/N is wd * param and nothing else; None if it is more (Gaussian noise)."""
        if any(isinstance(layer.noise, Gaussian) for layer in self.net.layers.values()):
            return None
        return kl.weight_decay(self.net, params, self.prior, self.num_data)
