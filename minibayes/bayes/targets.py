"""y as the likelihoods take it: labels or real numbers, checked against the numbers of inputs and outputs."""

import numpy as np
from numpy.typing import ArrayLike

from .. import require

# What a regression without its likelihood is told.
REAL = "for real targets give the model likelihood=bayes.Gaussian(tau), tau = 1/Var[y given x]"


def labels(name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
    """y as int64 labels (count,) in 0..outputs-1, or an error that says what is wrong, and what mends it."""
    _check_text(name, y)
    y = require.array(name, y)
    if y.shape != (count,):
        mend = _mend_shape(name, y, count, outputs)
        raise require.InputError(f"{name} must have shape ({count},), one label per input, "
                                 f"got {y.shape}{mend}")
    if y.dtype.kind not in "iu":
        whole = y.dtype.kind == "b" or bool((y == np.floor(y)).all())
        mend = f"give {name}.astype(int)" if whole else REAL
        raise require.InputError(f"{name} must be integer labels, got dtype {y.dtype}: {mend}")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= outputs:
        raise require.InputError(f"{name} must be labels in 0..{outputs - 1} (the network has {outputs} "
                                 f"outputs), got values from {low} to {high}: "
                                 f"{_mend_range(name, low, high, outputs)}")
    return y.astype(np.int64)


def _mend_shape(name, y, count, outputs):
    if y.shape == (count, 1) and outputs > 1:
        return f": give {name}.ravel()"
    if y.shape != (count, outputs):
        return ""
    return f": give {name}.argmax(axis=1)" if outputs > 1 and np.isin(y, (0, 1)).all() else f": {REAL}"


def _mend_range(name, low, high, outputs):
    if outputs == 1:
        return f"{REAL}; for classes give the network an output for each"
    if low == 1 and high == outputs:
        return f"for classes numbered from 1 give {name} - 1"
    numbered = f"{name} = np.unique({name}, return_inverse=True)[1] numbers the classes from 0"
    return f"{numbered}, or give the network {high + 1} outputs" if low >= 0 else numbered


def _check_text(name, y):
    """An error if y holds names of classes instead of their numbers."""
    try:
        y = np.asarray(y)
    except (ValueError, TypeError, RuntimeError):
        return
    if y.size and isinstance(y.flat[0], (str, bytes)):
        raise require.InputError(f"{name} must be an array of real numbers, got dtype {y.dtype}, such as "
                                 f"{str(y.flat[0])!r}: names, {name} = np.unique({name}, "
                                 "return_inverse=True) makes numbers of them")


# support: what numbers y may be, and how that is said.
SUPPORTS = {
    "real": (np.isfinite, "finite numbers"),
    "positive": (lambda y: y > 0, "positive numbers"),
    "unit": (lambda y: (y >= 0) & (y <= 1), "numbers in [0, 1]"),
    "count": (lambda y: (y >= 0) & (y == np.floor(y)), "counts, whole numbers from 0"),
    "binary": (lambda y: (y == 0) | (y == 1), "0 or 1"),
}


def binary(name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
    """y as uint8 (count, outputs), all 0 or 1; (count,) is taken for one output."""
    _check_text(name, y)
    y = require.array(name, y)
    if y.ndim == 1 and outputs == 1:
        y = y[:, None]
    if y.shape != (count, outputs):
        rows = y.ndim > 2 and y.shape == (count, *y.shape[1:]) and y[0].size == outputs
        mend = f": give {name}.reshape(len({name}), -1)" if rows else ""
        raise require.InputError(f"{name} must have shape ({count}, {outputs}), got {y.shape}{mend}")
    good = (y == 0) | (y == 1)
    if not good.all():
        unit = y.dtype.kind == "f" and bool(((y >= 0) & (y <= 1)).all())
        mend = f": {name} > 0.5 makes grey values black and white" if unit else ""
        raise require.InputError(f"{name} must be 0 or 1, got {y[~good][0]:g}, one of "
                                 f"{np.count_nonzero(~good)} that are not{mend}")
    return y.astype(np.uint8)


def numbers(name: str, y: ArrayLike, count: int, outputs: int, support: str = "real") -> np.ndarray:
    """y as finite float64 (count, outputs), all in `support`; (count,) is taken for one output."""
    y = require.array(name, y)
    if y.ndim == 1 and outputs == 1:
        y = y[:, None]
    if y.shape != (count, outputs):
        labels = y.shape == (count,) and y.dtype.kind in "iub" and outputs > 1
        mend = ": for classes give the model likelihood=bayes.Categorical()" if labels else ""
        raise require.InputError(f"{name} must have shape ({count}, {outputs}), got {y.shape}{mend}")
    y = require.finite(name, y.astype(np.float64))
    allowed, said = SUPPORTS[require.choice("support", support, SUPPORTS)]
    if not (good := allowed(y)).all():
        bad = np.count_nonzero(~good)
        raise require.InputError(f"{name} must be {said}, got {y[~good][0]:g}, one of {bad} that are not")
    return y
