"""L-hat(theta) = -(N/B) sum_n log p(y_n | f(x_n, omega-hat)) + KL(q || p): the only file that knows N.

One minibatch and one omega-hat ~ q estimate the poster's L(theta) without bias; KL is counted once per data
set, not per batch.
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..floats import usual
from ..nn.network import Network
from ..own import fixed, settle
from . import codes, kl
from .likelihood import Likelihood
from .prior import Prior


@dataclass(frozen=True)
class Terms:
    """L-hat in its terms, nats; the constant `kl.CONSTANT` is left out of `kl`, `total` and `per_datum`.

    With kl_factor below 1, as in a warm-up, `total` and `per_datum` are *not the bound*.
    """

    nll: float  # (1/B) sum_n -log p(y_n | f_n), + KL(q(h_n | x_n) || p(h)) of a code: nats per datum
    kl: float  # KL(q || p) + constant: nats
    num_data: int  # N
    kl_factor: float = 1.0  # c

    @property
    def bound(self) -> bool:
        """Whether the KL counts in full."""
        return self.kl_factor == 1

    @property
    def total(self) -> float:
        """L-hat = N nll + c KL, nats."""
        return self.num_data * self.nll + self.kl_factor * self.kl

    @property
    def per_datum(self) -> float:
        """L-hat / N = nll + c KL/N, nats per datum: what training minimises."""
        return self.nll + self.kl_factor * self.kl / self.num_data


@dataclass(frozen=True)
class Objective:
    """L-hat. The draw of omega-hat is an argument: eps, which is z for noise without parameters.

    net: f(x, omega).
    prior: p(omega).
    likelihood: p(y | f).
    num_data: N, examples in the data set.
    """

    net: Network
    prior: Prior
    likelihood: Likelihood
    num_data: int

    def __post_init__(self):
        settle(self, num_data=require.integer("num_data", self.num_data, 1))
        kl.check(self.net, self.prior)
        settle(self, _constant=None)  # of kl_split, if nothing learned changes it; or False

    @usual
    def terms(self, params: dict, x: np.ndarray, y: np.ndarray, eps: dict) -> Terms:
        """L-hat's terms for the minibatch (x, y) and the draw eps."""
        f, caches = self.net.forward(params, x, self.net.z(params, eps))
        nll, _ = self.likelihood.nll(f, y)
        if self.net.code:
            nll = nll + codes.counted(self, caches, y)[0]
        return Terms(float(nll.mean(dtype=np.float64)), kl.value(self.net, params, self.prior), self.num_data)

    @usual
    def value_and_grad(self, params: dict, x: np.ndarray, y: np.ndarray, eps: dict,
                       kl_factor: float = 1.0) -> tuple[Terms, dict]:
        """(terms, d(L-hat/N)/d theta) for the minibatch (x, y) and the draw eps.

        kl_factor: c, so much of the KL is counted; 1 by default, and only then it is the bound.
        """
        nll, grads = self.data_term(params, x, y, eps, len(x))
        of_kl = scaled(kl.grad(self.net, params, self.prior, self.num_data), kl_factor)
        grads = {name: {p: grads[name][p] + g for p, g in group.items()} for name, group in of_kl.items()}
        return self.terms_of([nll], len(x), kl.value(self.net, params, self.prior), kl_factor), grads

    def data_term(self, params: dict, x: np.ndarray, y: np.ndarray, eps: dict, batch: int,
                  net: Network | None = None, **out) -> tuple[float, dict]:
        """(sum_n -log p, its gradient / batch) of one shard of a minibatch of `batch` examples.

        A code belongs to its datum, and so does its KL: it is in the sum.
        net: in the place of `self.net`, one that computes the same.
        """
        net = net or self.net
        z = net.z(params, eps)                          # omega-hat = T(phi, eps)
        f, caches = net.forward(params, x, z)           # f_n = f(x_n, omega-hat)
        nll, df = self.likelihood.nll(f, y)             # -log p(y_n | f_n), and its derivative in f_n
        df = df * df.dtype.type(1 / batch)              # the mean over the minibatch
        if net.code:                                    # + KL(q(h_n | x_n) || p(h))
            of_code, dlaw = codes.counted(self, caches, y)
            nll, out["dlaw"] = nll + of_code, dlaw * dlaw.dtype.type(1 / batch)
        _, grads = net.backward(params, caches, df, want_dx=False, **out)
        grads = net.pull(params, eps, grads)            # dL/dz -> dL/dphi
        return float(np.add.reduce(nll, dtype=np.float64)), grads

    def kl_split(self, params: dict, kl_factor: float = 1.0) -> tuple[dict, float, dict]:
        """c KL/N as `kl.split` gives it; asked for only once where nothing learned can change it.

        params: of some layers, or, of layers that `kl_by_rows` names, some rows of each.
        """
        decay, rest, grads = self._whole_split(params)
        if kl_factor == 1:
            return decay, rest, grads
        return scaled(decay, kl_factor), kl_factor * rest, scaled(grads, kl_factor)

    @property
    def kl_by_rows(self) -> tuple:
        """The layers whose KL is a sum over weights: that of some rows of them may be asked for alone."""
        return tuple(name for name, layer in self.net.layers.items() if kl.by_weight(layer, self.prior))

    def _whole_split(self, params):
        if self._constant is None:
            settle(self, _constant=tuple(map(fixed, kl.split(self.net, params, self.prior, self.num_data)))
                   if kl.pure_decay(self.net, self.prior) else False)
        if self._constant:
            return self._constant
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges says so by its loss
            return kl.split(self.net, params, self.prior, self.num_data)

    def terms_of(self, nlls: list, batch: int, kl_value: float, kl_factor: float = 1.0) -> Terms:
        """L-hat's terms from the shards' sums of -log p, and the KL."""
        return Terms(sum(nlls) / batch, kl_value, self.num_data, kl_factor)

    def kl_of(self, params: dict, counted: float, kl_factor: float) -> float:
        """KL, from c KL/N as a step has counted it; where c = 0 that says nothing, and it is asked for."""
        if not kl_factor:
            return kl.value(self.net, params, self.prior)
        return self.num_data * counted / kl_factor


def scaled(tree: dict, factor: float) -> dict:
    """{layer: {param: number or array}} times a number; by 1 it is the tree itself."""
    if factor == 1:
        return tree
    return {name: {p: np.multiply(a, factor, dtype=getattr(a, "dtype", None)) for p, a in group.items()}
            for name, group in tree.items()}
