"""One clear error per bad input: it names the argument, says what came and what is wanted."""

import math
import numbers
import os
from collections.abc import Callable, Collection
from pathlib import Path

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
    return str(value)


def path(name: str, value: object) -> Path:
    """`value` as a path of a file."""
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"{name} must be the path of a file, a string or a pathlib.Path, got {value!r}")
    return Path(text)


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
    """`value` as an array of real numbers: an array, a list, or a table or column of pandas and the like.

    What is masked or missing is an error: the numbers behind a mask are not there to be used.
    """
    _check_unmasked(name, value)
    for i, part in enumerate(value) if isinstance(value, (list, tuple)) else ():
        _check_unmasked(f"{name}[{i}]", part)
    try:
        result = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise InputError(f"{name} must be an array of numbers: {' '.join(str(error).split())}") from None
    if result.dtype.kind == "O" and result.ndim:
        result = _of_objects(name, result, value)
    if result.dtype.kind not in "fiub":
        if hasattr(value, "toarray"):
            raise InputError(f"{name} must be an array of real numbers, got a sparse {type(value).__name__}: "
                             f"give {name}.toarray()")
        raise InputError(f"{name} must be an array of real numbers, got dtype {result.dtype}")
    return result


def _check_unmasked(name, value):
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        at = ", ".join(map(str, np.argwhere(np.ma.getmaskarray(value))[0]))
        raise InputError(f"{name} must have no masked entries, got {np.ma.count_masked(value)}, the first at "
                         f"[{at}]: fill them, {name}.filled(...), or leave their rows out")


def _of_objects(name, array, given):
    """Objects that are all real numbers, as tables of mixed or nullable columns hold, as such an array."""
    kinds = set(map(type, array.flat))
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return array.astype(bool)
    if kinds and all(issubclass(kind, (numbers.Real, np.bool_)) for kind in kinds):
        whole = all(issubclass(kind, numbers.Integral) for kind in kinds)
        try:
            return array.astype(np.int64 if whole else np.float64)
        except OverflowError:
            return array  # numbers beyond 64 bits
    for at in np.ndindex(array.shape):
        if not isinstance(array[at], (numbers.Real, np.bool_)):
            where = f"[{', '.join(map(str, at))}]"
            columns = list(getattr(given, "columns", ()))
            if array.ndim == 2 and len(columns) == array.shape[1]:
                where += f" (column {columns[at[1]]!r})"
            said = repr(array[at]) if len(repr(array[at])) < 60 else type(array[at]).__name__
            if isinstance(array[at], (str, bytes, type(None))) or said == "<NA>":
                raise InputError(f"{name} must be an array of real numbers, got dtype object with {said} at "
                                 f"{where}: fill or leave out what is missing, and encode text as numbers")
            break
    return array


def inputs(name: str, x: ArrayLike, dtype: DTypeLike, shape: tuple | None = None,
           check: Callable | None = None) -> np.ndarray:
    """`x` as an array (N, ...) of `dtype`, N >= 1; `shape`: what one example must have, if anything.

    check: (name, array) -> an error where the numbers cannot be taken; they must be finite by default.
    """
    x = array(name, x)
    if x.ndim < 2 or len(x) == 0:
        raise InputError(f"{name} must have shape (N, ...) with N >= 1 examples, got {x.shape}")
    if shape is not None and x.shape[1:] != tuple(shape):
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{name} must have shape (N, {wanted}), got {x.shape}")
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(x, dtype)
    (check or finite)(name, cast)
    return cast
