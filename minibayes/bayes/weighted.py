"""-w_n log p(y_n | f_n): data that count in part or several times; a row of weight 2 is that row twice.

L-hat = -(N/B) sum_n w_n log p(y_n | f_n) + KL, so N is the number of rows and sum_n w_n that of data. The
weights travel with the targets, through minibatches and shards; no other file knows of them.
"""

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from .likelihood import Likelihood


class Weighted:
    """The loss of a likelihood, each datum times its weight.

    likelihood: p(y | f).
    """

    def __init__(self, likelihood: Likelihood):
        self.likelihood = likelihood

    def nll(self, f: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(-w_n log p(y_n | f_n), its derivative in f_n); rows: what `joined` gives."""
        nll, df = self.likelihood.nll(f, rows["y"])
        w = rows["weight"].astype(f.dtype)
        return w * nll, w.reshape(-1, *(1,) * (df.ndim - 1)) * df       # of sequences: all steps alike


    def counted(self, nats: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """w_n times what else each datum costs."""
        return rows["weight"].astype(nats.dtype).reshape(-1, *(1,) * (nats.ndim - 1)) * nats


def joined(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A record (y_n, w_n) for each row."""
    rows = np.empty(len(y), [("y", y.dtype, y.shape[1:]), ("weight", np.float64)])
    rows["y"], rows["weight"] = y, weights
    return rows


def check_weights(name: str, weights: ArrayLike, count: int) -> np.ndarray:
    """`weights` as (count,) finite float64 >= 0, not all 0."""
    w = require.array(name, weights)
    if w.shape != (count,):
        raise require.InputError(f"{name} must have shape ({count},), one weight per input, got {w.shape}")
    w = require.finite(name, w.astype(np.float64))
    if w.min() < 0 or not w.max():
        said = f"{np.count_nonzero(w < 0)} negative ones" if w.min() < 0 else "nothing but zeros"
        raise require.InputError(f"{name} must be numbers >= 0, and not all 0, got {said}")
    return w
