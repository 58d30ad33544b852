"""p(y | f) = prod_k sigma(f_k)^y_k (1 - sigma(f_k))^(1 - y_k): yes or no, or pixels in black and white."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..floats import usual
from . import targets
from .likelihood import Likelihood


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """p(y | f) = prod_k sigma(f_k)^y_k (1 - sigma(f_k))^(1 - y_k),  sigma(f) = 1/(1 + e^-f).     f, y (B, K)

    y is 0 or 1. Grey pixels between are refused: summed over them this is no density, and nats a pixel under
    it do not compare with any that are.
    """

    support = "binary"

    def targets(self, name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
        """y as uint8 (count, outputs); (count,) is taken for one output."""
        return targets.binary(name, y, count, outputs)

    @usual
    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(sum_k log(1 + e^f) - y f, sigma(f) - y).     f, y (B, K) -> (B,), (B, K)

        log(1 + e^f) = max(f, 0) + log(1 + e^-|f|), and sigma by the same e^-|f| <= 1: nothing overflows.
        """
        y = y.astype(f.dtype)
        small = np.exp(-np.abs(f))
        nll = np.add.reduce(np.maximum(f, 0) - y * f + np.log1p(small), axis=1)
        return nll, np.where(f >= 0, 1, small) / (1 + small) - y

    @usual
    def mean_and_variance(self, f: np.ndarray) -> tuple:
        """(sigma(f), sigma(f) sigma(-f)), for f (..., K)."""
        small = np.exp(-np.abs(f))
        return np.where(f >= 0, 1, small) / (1 + small), small / (1 + small) ** 2

    def draw(self, f: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(f.shape) < self.mean_and_variance(f)[0]).astype(np.uint8)

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        return (("data", f"{scale}sum_nk log(1 + e^f) - y f", total, "f_n = f(x_n, omega-hat)"),)
