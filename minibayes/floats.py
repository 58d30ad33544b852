"""Floating-point errors: what a result is does not depend on the caller's `np.seterr`.

Numbers too small for their type become 0, here as in any network, and that is harmless: a softmax of sure
outputs, a square of a small gradient. Under `np.seterr(all="raise")` each such place would stop. So what is
called from outside runs under NumPy's own defaults, in the thread that calls it, and the caller's settings
are back when it returns. Warnings that a caller has switched off stay off.
"""

import threading
from collections.abc import Callable
from functools import wraps

import numpy as np

DEFAULTS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # NumPy's
QUIET = dict.fromkeys(DEFAULTS, "ignore")
HARMLESS = ("ignore", "warn")  # what changes no result
_thread = threading.local()


def usual(function: Callable) -> Callable:
    """`function`, run under NumPy's default treatment of floating-point errors. Not for generators.

    The outermost such call of a thread decides: those within it, of which there may be many, look at nothing.
    """
    @wraps(function)
    def run(*args, **kwargs):
        if hasattr(_thread, "inside"):
            return function(*args, **kwargs)
        _thread.inside = True
        try:
            theirs = np.geterr()
            if theirs == DEFAULTS or theirs == QUIET:
                return function(*args, **kwargs)
            ours = {kind: how if how in HARMLESS else "warn" for kind, how in theirs.items()}
            with np.errstate(**ours | {"under": "ignore"}):
                return function(*args, **kwargs)
        finally:
            del _thread.inside

    return run


def quiet() -> np.errstate:
    """Where what is not finite is found and said by other means: no warnings. For this thread."""
    return np.errstate(**QUIET)
