"""W_n = M + T(phi, e o r_n t_n^T): one e a pass, random signs for each example: flipout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import require
from .key import Key, Rows
from .noise import Noise
from .weight_noise import LARGEST, Weights

ORDER = 4  # nodes, to see whether a noise is symmetric


@dataclass(frozen=True)
class Flipout(Weights):
    """f_n = (M + z_n) x_n + b, eps_n = e o r_n t_n^T: Wen, Vicol, Ba, Tran and Grosse (arXiv 1803.04386).

    e (K, D) belongs to the pass alone, in training to the step; the signs r_n (K,) and t_n (D,), each +1 or
    -1, to pass and example (of a convolution t_n has a sign for each input channel). Where the law of e is
    symmetric about 0, eps_n has the same law as e: for one example this is `Weights`. Two examples of a pass
    have weights that are dependent, as |eps_n| is the same for both, and uncorrelated given e.

    So what is odd in e, such as dL/dM of a squared loss, has the variance of a draw for each example; what
    is even is shared by the batch, such as the part of dL/dlog s that has e^2. Sharing e lets a fast program
    take two products, M x_n + r_n o ((s o e) (t_n o x_n)), in the place of a matrix for each example. This
    plain form writes the matrices out as Weights does, and refuses more than 2^26 numbers; for normal noise
    of dense layers `Local` has less variance for the same two products.

    Noise must be additive, with an eps that is symmetric about 0, such as nn.MeanField(std). With
    shared=True one omega serves all examples, as at Weights.
    """

    def check(self, noise: Noise, images: bool) -> None:
        if noise.random and not (noise.additive and symmetric(noise)):
            raise require.InputError("place Flipout needs additive noise whose eps is symmetric about 0, "
                                     f"such as nn.MeanField(std), got {noise!r}")

    def draw(self, noise: Noise, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        if (size := int(np.prod(shape))) > LARGEST:
            raise require.InputError(f"place Flipout needs {size} numbers of noise for {shape[0]} examples "
                                     f"at once, at most {LARGEST} are drawn: take smaller batches, or "
                                     "place=Local()")
        passes, which = np.unique(rows.passes, return_inverse=True)
        e = noise.draw(key.of("e"), (len(passes), *shape[1:]),
                       Rows(np.zeros_like(passes), passes, rows.dtype))         # of no example
        return flipped(e[which], signs(key.of("r"), shape[1], rows), signs(key.of("t"), shape[-1], rows))


def flipped(e: np.ndarray, r: np.ndarray, t: np.ndarray) -> np.ndarray:
    """e o r_n t_n^T for each row.     (R, K, ..., D), (R, K), (R, D) -> (R, K, ..., D)"""
    between = (1,) * (e.ndim - 3)
    return e * r.reshape(*r.shape, *between, 1) * t.reshape(len(t), 1, *between, -1)


def signs(key: Key, count: int, rows: Rows) -> np.ndarray:
    """+1 or -1, each with probability 1/2.     (R, count)"""
    return 2 * key.bernoulli((len(rows), count), rows, 0.5).astype(rows.dtype) - 1


def symmetric(noise: Noise) -> bool:
    """Whether -eps has the law of eps, as far as `points` tells."""
    values, weights = noise.points(ORDER)
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    return np.allclose(values, -values[::-1]) and np.allclose(weights, weights[::-1])
