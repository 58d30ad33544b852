"""One clear error per bad input: it names the argument, says what came and what is wanted."""

import math
import numbers
from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


class InputError(ValueError):
    """An argument, array or file that cannot be used: the message says which, what it is, what is wanted."""


def integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """`value` as an int in [low, high]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise InputError(f"{name} must be an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        wanted = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise InputError(f"{name} must be {wanted}, got {value!r}")
    return int(value)


def real(name: str, value: object, low: float = -math.inf, high: float = math.inf, open_low: bool = False,
         open_high: bool = False) -> float:
    """`value` as a finite float in the interval from low to high, each end closed unless said to be open."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} must be a number, got {value!r}")
    below = value <= low if open_low else value < low
    above = value >= high if open_high else value > high
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        finite = False
    if not finite or below or above:
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise InputError(f"{name} must be a finite number in {left}{low:g}, {high:g}{right}, got {value!r}")
    return float(value)


def boolean(name: str, value: object) -> bool:
    """`value` as True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def choice(name: str, value: object, allowed: Collection) -> str:
    """`value` if it is one of `allowed`, a collection of strings."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def finite(name: str, array: np.ndarray) -> np.ndarray:
    """`array` unchanged, if every number in it is finite."""
    # A sum is finite unless something in it is not (or it overflows): one cheap pass decides the common case.
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(array.sum(dtype=np.float64)) and not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))
            at = ", ".join(map(str, bad[0]))
            raise InputError(f"{name} must be finite, got {len(bad)} NaN or infinite entries, "
                             f"the first at [{at}]")
    return array


def array(name: str, value: ArrayLike) -> np.ndarray:
    """`value` as an array of real numbers."""
    try:
        result = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} must be an array of numbers: {' '.join(str(error).split())}") from None
    if result.dtype.kind not in "fiub":
        raise InputError(f"{name} must be an array of real numbers, got dtype {result.dtype}")
    return result


def inputs(name: str, x: ArrayLike, dtype: DTypeLike, shape: tuple | None = None) -> np.ndarray:
    """`x` as a finite array (N, ...) of `dtype`, N >= 1; `shape`: what one example must have, if anything."""
    x = array(name, x)
    if x.ndim < 2 or len(x) == 0:
        raise InputError(f"{name} must have shape (N, ...) with N >= 1 examples, got {x.shape}")
    if shape is not None and x.shape[1:] != tuple(shape):
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{name} must have shape (N, {wanted}), got {x.shape}")
    x = finite(name, x) if x.dtype.kind == "f" else x
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(x, dtype)
    return cast if x.dtype == cast.dtype else finite(name, cast)
