"""An optimizer's step on all parameters end to end, with the sum of the shards' gradients: once over memory.

    g = grads[0] + grads[1] + ... + decay theta;   theta', slots' = update(theta, g, slots)

A table by exact type: an optimizer of the user's own is not in it, and takes its own step (memory.py).
"""

from collections.abc import Callable

import numpy as np

from .. import kernels
from ..nn.optimizers import SGD, Adam

Arrays = dict[str, np.ndarray]  # theta and the optimizer's slots, each all parameters end to end


def sgd(optimizer: SGD, grads: np.ndarray, rows: slice, *, bounds: np.ndarray, decay: np.ndarray,
        rate: np.ndarray, step: int, old: Arrays, new: Arrays, penalty: np.ndarray) -> None:
    """The numbers `rows` of `new` from grads (S, n) and `old`; penalty gets 1/2 decay theta^2, in parts.

    Parameter l, with decay[l] and rate[l], begins at bounds[l].
    """
    momentum = old["theta"].dtype.type(optimizer.momentum)
    kernels.sgd_shards(grads, rows.start, rows.stop, bounds, decay, rate, old["theta"], old["v"], momentum,
                       new["theta"], new["v"], penalty)


def adam(optimizer: Adam, grads: np.ndarray, rows: slice, *, bounds: np.ndarray, decay: np.ndarray,
         rate: np.ndarray, step: int, old: Arrays, new: Arrays, penalty: np.ndarray) -> None:
    """As sgd."""
    constants = optimizer.constants(old["theta"].dtype.type, step)
    kernels.adam_shards(grads, rows.start, rows.stop, bounds, decay, rate, old["theta"], old["m"], old["s"],
                        *constants, new["theta"], new["m"], new["s"], penalty)


FLAT: dict[type, Callable] = {SGD: sgd, Adam: adam}
