"""log p(y_n | f_n) = sum_t log softmax(f_nt)[y_nt]: a token at each step of a sequence; -1: none."""

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from .summary import log_softmax


def check(name: str, y: ArrayLike, shape: tuple) -> np.ndarray:
    """y as int64 (N, T) in -1 ... C - 1 for outputs of `shape` (N, T, C), or an error that says why not."""
    N, T, C = shape
    y = require.array(name, y)
    if y.shape != (N, T):
        raise require.InputError(f"{name} must have shape ({N}, {T}), a token for each step, got {y.shape}")
    if y.dtype.kind not in "iu":
        raise require.InputError(f"{name} must be integer tokens, got dtype {y.dtype}")
    low, high = int(y.min()), int(y.max())
    if low < -1 or high >= C:
        raise require.InputError(f"{name} must be tokens in 0..{C - 1} (the network has {C} outputs), or -1 "
                                 f"where there is none, got values from {low} to {high}")
    if (empty := (y < 0).all(axis=1)).any():
        raise require.InputError(f"{name} must have a token in every sequence, got none in "
                                 f"{name}[{np.flatnonzero(empty)[0]}]")
    return y.astype(np.int64)


def nll(f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(-log p(y_n | f_n), df): nats a sequence, (B,); df_nt = softmax(f_nt) - onehot(y_nt), 0 without one."""
    there = (y >= 0)[..., None]
    log_p = log_softmax(np.where(there, f, 0))          # what stands where no token is may be NaN
    each = picked(log_p, y)                             # log softmax(f_nt)[y_nt]       (B, T)
    df = np.exp(log_p)
    at = np.maximum(y, 0)[..., None]
    np.put_along_axis(df, at, np.take_along_axis(df, at, -1) - 1, -1)
    return -np.where(there[..., 0], each, 0).sum(axis=1), np.where(there, df, 0)


def picked(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """values[n, t, y_nt]; NaN where there is no token.     (N, T, C), (N, T) -> (N, T)"""
    each = np.take_along_axis(values, np.maximum(y, 0)[..., None], -1)[..., 0]
    return np.where(y >= 0, each, np.nan)
