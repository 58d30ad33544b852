"""p(y | f) for regression: N(f, tau^-1 I), or N(mean, e^s) with both from the network."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..floats import usual
from ..own import settle
from . import targets
from .likelihood import Likelihood


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """p(y | f) = N(y; f, tau^-1 I).

    tau: precision of y given f, 1/(units of y)^2, 1 by default.
    """

    tau: float = 1.0
    normal = True

    def __post_init__(self):
        settle(self, tau=require.real("tau", self.tau, 0, open_low=True))

    @usual
    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(tau/2 ||y_n - f_n||^2 + D/2 log(2 pi/tau), tau (f - y)).     f, y (B, D) -> (B,), (B, D)"""
        residual = f - y.astype(f.dtype, copy=False)
        constant = f.shape[1] / 2 * math.log(2 * math.pi / self.tau)
        squares = np.add.reduce(residual * residual, axis=1)
        return self.tau / 2 * squares + f.dtype.type(constant), self.tau * residual

    @usual
    def mean_and_variance(self, f: np.ndarray) -> tuple:
        """(f, 1/tau): the mean of y given f, and its variance as a number."""
        return f, 1 / self.tau

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        """The misfit, and the normaliser, in which there is no theta."""
        constant = N * outputs / 2 * math.log(2 * math.pi / self.tau)
        misfit = f"{scale}tau/2 sum_n ||y_n - f_n||^2"
        return (("data: misfit", misfit, total - constant, "f_n = f(x_n, omega-hat)"),
                ("data: normaliser", "N K/2 log(2 pi/tau)", constant, f"K = {outputs} outputs; not in theta"))

    def settings(self) -> tuple:
        return (("tau", "precision of y given f", self.tau, "1/(units of y)^2"),)


@dataclass(frozen=True)
class Heteroscedastic(Likelihood):
    """p(y | f) = prod_k N(y_k; m_k, e^{s_k}), f = (m_1 .. m_K, s_1 .. s_K): s = log sigma^2 is predicted too.

    Kendall and Gal, arXiv 1703.04977, equation 8. There is no tau: the prior's l stands beside the plain
    -log p, as for classes. Where e^-s overflows (s < -88 in float32) the loss is infinite and training stops
    with a DivergenceError.
    """

    normal = True

    def targets(self, name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
        """y as finite float64 (count, outputs/2); (count,) is taken for one mean."""
        if outputs % 2:
            raise require.InputError("net must end in an even number of outputs, a mean and a log-variance "
                                     f"for each target, got {outputs}")
        return targets.numbers(name, y, count, outputs // 2)

    @usual
    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(sum_k 1/2 [e^{-s} (y - m)^2 + s + log 2 pi], df).     f (B, 2K), y (B, K) -> (B,), (B, 2K)

        d/dm = e^{-s} (m - y),   d/ds = 1/2 [1 - e^{-s} (y - m)^2].
        """
        K = f.shape[1] // 2
        m, s = f[:, :K], f[:, K:]
        residual = m - y.astype(f.dtype, copy=False)
        precision = np.exp(-s)
        squares = precision * residual * residual
        df = np.concatenate([precision * residual, (1 - squares) / 2], axis=1)
        return (squares + s + f.dtype.type(math.log(2 * math.pi))).sum(axis=1) / 2, df

    @usual
    def mean_and_variance(self, f: np.ndarray) -> tuple:
        """(m, e^s): the mean and the variance of y given f (..., 2K), each (..., K)."""
        K = f.shape[-1] // 2
        return f[..., :K], np.exp(f[..., K:])

    @usual
    def mean_and_std(self, f: np.ndarray) -> tuple:
        """(m, e^{s/2})."""
        K = f.shape[-1] // 2
        return f[..., :K], np.exp(f[..., K:] / 2)

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        formula = f"{scale}sum_nk 1/2 [e^-s (y - m)^2 + s + log 2 pi]"
        return (("data", formula, total, "(m_n, s_n) = f(x_n, omega-hat)"),)
