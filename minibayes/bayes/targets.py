"""y as the likelihoods take it: labels or real numbers, checked against the numbers of inputs and outputs."""

import numpy as np
from numpy.typing import ArrayLike

from .. import require


def labels(name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
    """y as int64 labels (count,) in 0..outputs-1, or an error that says what is wrong."""
    y = require.array(name, y)
    if y.shape != (count,):
        raise require.InputError(f"{name} must have shape ({count},), one label per input, got {y.shape}")
    if y.dtype.kind not in "iu":
        raise require.InputError(f"{name} must be integer labels, got dtype {y.dtype}")
    if y.min() < 0 or y.max() >= outputs:
        raise require.InputError(f"{name} must be labels in 0..{outputs - 1} (the network has {outputs} "
                                 f"outputs), got values from {y.min()} to {y.max()}")
    return y.astype(np.int64)


# support: what numbers y may be, and how that is said.
SUPPORTS = {
    "real": (np.isfinite, "finite numbers"),
    "positive": (lambda y: y > 0, "positive numbers"),
    "unit": (lambda y: (y >= 0) & (y <= 1), "numbers in [0, 1]"),
    "count": (lambda y: (y >= 0) & (y == np.floor(y)), "counts, whole numbers from 0"),
}


def numbers(name: str, y: ArrayLike, count: int, outputs: int, support: str = "real") -> np.ndarray:
    """y as finite float64 (count, outputs), all in `support`; (count,) is taken for one output."""
    y = require.array(name, y)
    if y.ndim == 1 and outputs == 1:
        y = y[:, None]
    if y.shape != (count, outputs):
        raise require.InputError(f"{name} must have shape ({count}, {outputs}), got {y.shape}")
    y = require.finite(name, y.astype(np.float64))
    allowed, said = SUPPORTS[require.choice("support", support, SUPPORTS)]
    if not (good := allowed(y)).all():
        bad = np.count_nonzero(~good)
        raise require.InputError(f"{name} must be {said}, got {y[~good][0]:g}, one of {bad} that are not")
    return y
