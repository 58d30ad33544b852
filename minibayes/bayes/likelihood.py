"""p(y | f): softmax for classes, N(f, tau^-1 I) or N(mean, e^s) for regression; each with -log p in nats and its derivative in f."""

import math
from dataclasses import dataclass

import numpy as np

from .. import require


def log_softmax(f):
    """log softmax(f)_c = f_c - log sum_k exp f_k, shifted by the maximum so that nothing overflows."""
    f = f - f.max(axis=-1, keepdims=True)
    return f - np.log(np.exp(f).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Categorical:
    """p(y = c | f) = softmax(f)_c."""

    def targets(self, name, y, count, outputs):
        """y as int64 labels (count,) in 0..outputs-1, or an error that says what is wrong."""
        y = require.array(name, y)
        if y.shape != (count,):
            raise require.InputError(f"{name} must have shape ({count},), one label per input, got {y.shape}")
        if y.dtype.kind not in "iu":
            raise require.InputError(f"{name} must be integer labels, got dtype {y.dtype}")
        if y.min() < 0 or y.max() >= outputs:
            raise require.InputError(f"{name} must be labels in 0..{outputs - 1} (the network has {outputs} outputs), "
                                     f"got values from {y.min()} to {y.max()}")
        return y.astype(np.int64)

    def nll(self, f, y):
        """(-log p(y_n | f_n), df) with df = d(-log p)/df = softmax(f) - onehot(y).      f (B, C), y (B,) -> (B,), (B, C)"""
        log_p = log_softmax(f)
        rows = np.arange(len(y))
        df = np.exp(log_p)
        df[rows, y] -= 1
        return -log_p[rows, y], df


@dataclass(frozen=True)
class Gaussian:
    """p(y | f) = N(y; f, tau^-1 I), with precision tau in 1/(units of y)^2."""

    tau: float = 1.0

    def __post_init__(self):
        require.real("tau", self.tau, 0, open_low=True)

    def targets(self, name, y, count, outputs):
        """y as finite float64 (count, outputs); (count,) is taken for one output."""
        y = require.array(name, y)
        if y.ndim == 1 and outputs == 1:
            y = y[:, None]
        if y.shape != (count, outputs):
            raise require.InputError(f"{name} must have shape ({count}, {outputs}), got {y.shape}")
        return require.finite(name, y.astype(np.float64))

    def nll(self, f, y):
        """(tau/2 ||y_n - f_n||^2 + D/2 log(2 pi/tau), df) with df = tau (f - y).           f, y (B, D) -> (B,), (B, D)"""
        residual = f - y.astype(f.dtype, copy=False)
        constant = f.shape[1] / 2 * math.log(2 * math.pi / self.tau)
        return self.tau / 2 * (residual * residual).sum(axis=1) + f.dtype.type(constant), self.tau * residual

    def mean_and_variance(self, f):
        """(f, 1/tau): the mean of y given f, and its variance as a number."""
        return f, 1 / self.tau


@dataclass(frozen=True)
class Heteroscedastic:
    """p(y | f) = prod_k N(y_k; m_k, e^{s_k}) with f = (m_1 .. m_K, s_1 .. s_K): the network predicts the noise too, as s = log sigma^2.

    Kendall and Gal, arXiv 1703.04977, equation 8. There is no tau: the prior's l stands beside the plain -log p, as for classes. Where
    e^-s overflows (s < -88 in float32) the loss is infinite and training stops with a DivergenceError.
    """

    def targets(self, name, y, count, outputs):
        """y as finite float64 (count, outputs/2); (count,) is taken for one mean."""
        if outputs % 2:
            raise require.InputError(f"net must end in an even number of outputs, a mean and a log-variance for each target, got {outputs}")
        return Gaussian.targets(self, name, y, count, outputs // 2)

    def nll(self, f, y):
        """(sum_k 1/2 [e^{-s} (y - m)^2 + s + log 2 pi], df).                                f (B, 2K), y (B, K) -> (B,), (B, 2K)

        d/dm = e^{-s} (m - y),   d/ds = 1/2 [1 - e^{-s} (y - m)^2].
        """
        K = f.shape[1] // 2
        m, s = f[:, :K], f[:, K:]
        residual = m - y.astype(f.dtype, copy=False)
        precision = np.exp(-s)
        squares = precision * residual * residual
        df = np.concatenate([precision * residual, (1 - squares) / 2], axis=1)
        return (squares + s + f.dtype.type(math.log(2 * math.pi))).sum(axis=1) / 2, df

    def mean_and_variance(self, f):
        """(m, e^s): the mean and the variance of y given f (..., 2K), each (..., K)."""
        K = f.shape[-1] // 2
        return f[..., :K], np.exp(f[..., K:])
