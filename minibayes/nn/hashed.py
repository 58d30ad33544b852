"""W_kj = g_kj v_h(k, j): few values for many weights, shared at random. HashedNets."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..own import read_only, settle
from .initial import INITS, initial
from .key import Key, Rows
from .layers import Layer, ShapeError


@lru_cache(maxsize=16)
def ties(n_out: int, n_in: int, values: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(h, g), both (K, D): which value each weight has, and its sign, a pure function of the four numbers."""
    key = Key(seed).derive("hashed")
    u = key.uniform((n_out, n_in), Rows.of(key, n_out, dtype=np.float64))
    g = key.of("sign").bernoulli((n_out, n_in), Rows.of(key, n_out), 0.5)
    return read_only((u * values).astype(np.int64)), read_only(2 * g.astype(np.int8) - 1)


@dataclass(frozen=True)
class Hashed(Layer):
    """f_n = W x_n + b, W_kj = g_kj v_h(k, j).     v (values,), b (K,): all that is stored.

    dL/dv_i = sum over h(k, j) = i of g_kj dL/dW_kj. Which weights share is drawn once, from the seed, and
    never learned (Chen et al., arXiv 1504.04788): what a learned sharing (`minibayes.compress`) has to beat.

    n_in: D, numbers in one input.
    n_out: K, numbers in one output.
    values: how many there are.
    seed: of h and of the signs g = +-1, 0 by default.
    init_scheme: of v, as for nn.Dense; b starts at 0.
    """

    n_in: int
    n_out: int
    values: int
    seed: int = 0
    init_scheme: str = "xavier"

    def __post_init__(self):
        for name in ("n_in", "n_out", "values"):
            settle(self, **{name: require.integer(name, getattr(self, name), 1)})
        settle(self, seed=require.integer("seed", self.seed, 0, 2**64 - 1),
               init_scheme=require.choice("init_scheme", self.init_scheme, INITS))

    def param_shapes(self) -> dict:
        return {"v": (self.values,), "b": (self.n_out,)}

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        v = initial(rng, (self.values,), self.n_in, self.n_out, self.init_scheme, 1.0, dtype)
        return {"v": v, "b": np.zeros(self.n_out, dtype)}

    def flops(self, shape: tuple) -> int:
        return 2 * self.n_in * self.n_out

    def input_shape(self) -> tuple:
        return (self.n_in,)

    def output_shape(self, shape: tuple) -> tuple:
        if tuple(shape) != (self.n_in,):
            raise ShapeError(f"takes inputs of shape ({self.n_in},)", shape)
        return (self.n_out,)

    def matrix(self, params: dict) -> np.ndarray:
        """W (K, D), as it acts."""
        h, g = ties(self.n_out, self.n_in, self.values, self.seed)
        return params["v"][h] * g

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        W = self.matrix(params)
        return x @ W.T + params["b"], (x, W)                            # (B, K)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        x, W = cache
        h, g = ties(self.n_out, self.n_in, self.values, self.seed)
        dW = (df.T @ x) * g                                             # (K, D)
        dv = np.bincount(h.ravel(), dW.ravel(), self.values)            # summed over those that share
        return df @ W, {"v": dv.astype(df.dtype), "b": df.sum(axis=0)}
