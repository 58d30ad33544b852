"""Arrays as `metrics` takes them: rows of numbers, flags, labels, probabilities; or one line that says why.

A row of N numbers may come as (N,), (N, 1), (1, N) or a list: of two such shapes broadcasting would make
N x N numbers.
"""

import numpy as np
from numpy.typing import ArrayLike

from . import require

ROUNDED = 1e-3  # how far the sums of rows of probabilities may be from 1: those of half floats are
THIRD = 5e-4  # and for each class, if all are rounded to three decimals
EXACT = 1e-9  # how far they may be without being divided by their sum


def numbers(name: str, values: ArrayLike) -> np.ndarray:
    """All of it finite; a column or a line of numbers is a row."""
    values = require.finite(name, require.array(name, values))
    return values.reshape(-1) if values.ndim == 2 and 1 in values.shape else values


def row(name: str, values: ArrayLike) -> np.ndarray:
    """Float64 (N,), N > 0."""
    values = numbers(name, values).astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise require.InputError(f"{name} must be a non-empty row of numbers, got shape {values.shape}")
    return values


def flags(name: str, values: ArrayLike) -> np.ndarray:
    """Bool (N,), N > 0, of True and False or 1 and 0."""
    values = require.array(name, values)
    flat = values.reshape(-1) if values.ndim == 2 and 1 in values.shape else values
    if flat.ndim != 1 or not flat.size or not np.isin(flat, (0, 1)).all():
        raise require.InputError(f"{name} must be a non-empty row of true or false, "
                                 f"got {values.dtype} of shape {values.shape}")
    return flat.astype(bool)


def same_shape(**arrays: np.ndarray) -> None:
    """An error that names them if they have not one shape."""
    shapes = [a.shape for a in arrays.values()]
    if len(set(shapes)) > 1 or not next(iter(arrays.values())).size:
        *most, last = arrays
        raise require.InputError(f"{', '.join(most)} and {last} must have one shape and not be empty, got "
                                 f"{', '.join(map(str, shapes[:-1]))} and {shapes[-1]}")


def same_length(**rows: np.ndarray) -> None:
    """An error that names them if they have not one length."""
    lengths = [len(a) for a in rows.values()]
    if len(set(lengths)) > 1:
        raise require.InputError(f"{' and '.join(rows)} must have one length, got "
                                 f"{' and '.join(map(str, lengths))}")


def probabilities_and_labels(probabilities: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Float64 (N, C), rows that sum to one, and N labels below C.

    Rows that are off by rounding, of their type or to three decimals, are divided by their sum.
    """
    p = require.finite("probabilities", require.array("probabilities", probabilities)).astype(np.float64)
    if p.ndim != 2 or not p.size:
        raise require.InputError(f"probabilities must have shape (N, C), got {p.shape}")
    sums = p.sum(axis=1)
    rounded = np.abs(p - np.round(p, 3)).max() <= EXACT
    allowed = max(ROUNDED, THIRD * p.shape[1] + EXACT) if rounded else ROUNDED
    if p.min() < 0 or np.abs(sums - 1).max() > allowed:
        worst = int(np.abs(sums - 1).argmax())
        raise require.InputError("probabilities must be non-negative rows that sum to 1, "
                                 f"got sums from {sums.min():.6g} to {sums.max():.6g}, the worst in row "
                                 f"{worst}, and a smallest entry of {p.min():.6g}")
    y = require.array("y", y)
    y = y.reshape(-1) if y.ndim == 2 and 1 in y.shape else y
    if y.shape != p.shape[:1] or y.dtype.kind not in "iu":
        mend = ": give y.astype(int)" if y.shape == p.shape[:1] else ""
        raise require.InputError(f"y must be {len(p)} integer labels, got {y.dtype} of shape {y.shape}{mend}")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise require.InputError(f"y must be labels in 0..{p.shape[1] - 1}, "
                                 f"got values from {y.min()} to {y.max()}")
    off = np.abs(sums - 1) > EXACT
    return np.where(off[:, None], p / sums[:, None], p) if off.any() else p, y
