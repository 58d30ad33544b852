"""MINIBAYES_COMPARE=1: every fast step and prediction is done the plain way too, and both must agree.

How far apart they may be: rounding, 1e-9 in float64; in float32, where a unit next to a kink or two nearly
equal maxima may fall to the other side and change a whole row of a gradient, 5e-3 of the array's length. A
forgotten mask or factor is off by far more.
"""

import os

import numpy as np

LIMITS = {"float64": 1e-9, "float32": 5e-3}


class Disagreement(AssertionError):
    """The fast and the plain way gave different numbers."""


def wanted() -> bool:
    """Whether the environment asks for the comparison."""
    return os.environ.get("MINIBAYES_COMPARE", "") not in ("", "0")


def same(what: str, fast, plain, dtype, floor: float = 0.0):
    """A Disagreement if ||fast - plain|| exceeds the limit for that dtype times ||plain||.

    floor: the size of the numbers that these are differences of; what rounding does to those is allowed too.
    """
    a, b = np.asarray(fast, np.float64), np.asarray(plain, np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        if np.array_equal(np.isfinite(a), np.isfinite(b)):
            return
        raise Disagreement(f"{what}: only one of the fast and the plain result is finite")
    distance, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    info = np.finfo(dtype)
    allowed = LIMITS[np.dtype(dtype).name] * size + 4 * info.eps * floor * np.sqrt(a.size) + info.tiny
    if distance > allowed:
        raise Disagreement(f"{what}: the fast way is {distance:.3g} from the plain way, of length "
                           f"{size:.3g}; {allowed:.2g} is rounding")
