"""z = T(phi, eps), phi learned beside M and b: noise whose size the data choose."""

import math
from dataclasses import dataclass

import numpy as np

from .. import require
from ..own import settle
from .key import Key, Rows
from .noise import Noise, normal_points


def sum_to(a: np.ndarray, shape: tuple) -> np.ndarray:
    """`a` summed over the axes along which `shape` was broadcast to it: the adjoint of broadcasting."""
    lead = a.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, size in enumerate(shape) if size == 1 and a.shape[lead + i] != 1))
    return a.sum(axis=axes).reshape(shape) if axes else a


@dataclass(frozen=True)
class LearnedGaussian(Noise):
    """z = 1 + sqrt(alpha) e, e ~ N(0, 1), log alpha learned.  E[z] = 1, E[z^2] = 1 + alpha.

    dz/dlog alpha = sqrt(alpha) e/2. Variational dropout (Kingma, Salimans and Welling, arXiv 1506.02557); the
    noise is drawn as in their appendix B.

    variance: alpha to start from, 0.5 by default.
    per: "layer" (by default), one alpha for the layer; "unit", one for each ray.
    """

    variance: float = 0.5
    per: str = "layer"
    local = True

    def __post_init__(self):
        settle(self, variance=require.real("variance", self.variance, 0, open_low=True),
               per=require.choice("per", self.per, ("layer", "unit")))

    def start(self, shape: tuple) -> dict:
        shape = (1,) * len(shape) if self.per == "layer" else shape
        return {"log_alpha": np.full(shape, math.log(self.variance))}


    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return key.normal(shape, rows)                                      # e

    def z(self, phi: dict, eps: np.ndarray) -> np.ndarray:
        return 1 + np.exp(phi["log_alpha"] / 2) * eps

    def pull(self, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        std = np.exp(phi["log_alpha"] / 2)
        return {"log_alpha": sum_to(dz * eps * (std / 2), std.shape)}       # sum_n dz_n (sqrt(alpha) e_n/2)

    def moments(self, phi: dict) -> tuple:
        return 1.0, 1 + np.exp(phi["log_alpha"])

    def points(self, order: int) -> tuple:
        return normal_points(order)

    def settings(self) -> tuple:
        return (("variance", "alpha to start from", self.variance),)
