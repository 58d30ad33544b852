"""y_n = (x_n, s): numbers that are learned and the same for every input, such as a regression's noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..own import settle
from .layers import Layer, ShapeError


@dataclass(frozen=True)
class Append(Layer):
    """y_n = (x_n, s).     x (B, D), s (count,) -> y (B, D + count)

    After a layer of K outputs, Append(K) gives bayes.Heteroscedastic a log-variance for each that does not
    depend on the input: a Gaussian likelihood whose tau = e^-s is learned with the weights.

    count: numbers in s.
    start: of each of them, 0 by default.
    """

    count: int
    start: float = 0.0

    def __post_init__(self):
        settle(self, count=require.integer("count", self.count, 1), start=require.real("start", self.start))

    def param_shapes(self) -> dict:
        return {"s": (self.count,)}

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        return {"s": np.full(self.count, self.start, dtype)}

    def output_shape(self, shape: tuple) -> tuple:
        if len(shape) != 1:
            raise ShapeError("takes a row of numbers per example", shape)
        return (shape[0] + self.count,)

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        s = np.broadcast_to(params["s"], (len(x), self.count))
        return np.concatenate([x, s.astype(x.dtype, copy=False)], axis=1), None         # (B, D + count)

    def backward(self, params: dict, cache: None, df: np.ndarray) -> tuple:
        D = df.shape[1] - self.count
        return df[:, :D], {"s": df[:, D:].sum(axis=0)}                                  # sum_n df_n
