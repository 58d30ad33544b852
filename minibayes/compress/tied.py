"""dL/dtheta_k = sum of dL/dw_ij over the weights of value k: what is left is trained, zeros and ties kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..nn import Optimizer
from ..nn.optimizers import check_optimizer


@dataclass(frozen=True)
class Tied(Optimizer):
    """The steps of `inner` on shared values: weights that are 0 stay 0, and equal ones equal. See `tied`."""

    rate: float = field(default=1.0, init=False, repr=False)
    inner: Optimizer = None
    ties: dict = field(default=None, repr=False)  # {layer: {param: (which value, the 0s)}}

    def __post_init__(self):
        check_optimizer(self.inner)

    @property
    def slots(self) -> tuple:
        return self.inner.slots

    def init(self, params: dict) -> dict:
        return self.inner.init(params)

    def rate_at(self, t: int) -> float:
        return self.inner.rate_at(t)

    def update(self, params: dict, grads: dict, state: dict, out: tuple | None = None) -> tuple:
        summed = {layer: {p: self.summed(layer, p, g) for p, g in group.items()}
                  for layer, group in grads.items()}
        return self.inner.update(params, summed, state, out)

    def summed(self, layer: str, param: str, grad: np.ndarray) -> np.ndarray:
        if param not in self.ties.get(layer, {}):
            return grad
        index, zero = self.ties[layer][param]
        sums = np.bincount(index.ravel(), grad.ravel())
        sums[zero] = 0
        return sums[index].astype(grad.dtype)


def tied(params: Mapping, optimizer: Optimizer) -> Tied:
    """An optimizer for `fit(params=params)` that keeps the zeros and ties of all matrices in `params`.

    Each weight gets the gradient of its value, the sum over all that have it, so they move alike (Han, Mao
    and Dally, arXiv 1510.00149, section 3). Biases are free.
    """
    ties = {}
    for layer, group in params.items():
        for p, a in group.items():
            if np.ndim(a) > 1:
                values, index = np.unique(a, return_inverse=True)
                ties.setdefault(layer, {})[p] = index.reshape(a.shape), np.flatnonzero(values == 0)
    return Tied(inner=check_optimizer(optimizer), ties=ties)
