"""What a result does not show of itself: the warnings of minibayes, each with what to do about it.

    ScaleWarning         fit: inputs or targets far from unit scale, or that the dtype cannot tell apart
    FitWarning           fit: a run that ended with one constant for all outputs, or with a loss that exploded
    NotFiniteWarning     predict: inputs at which the outputs are NaN or infinite; the others are as they are
    ConvergenceWarning   predict(samples="auto"): max_samples were not enough for the tolerance
    ZeroVarianceWarning  predict: all passes gave the same outputs

All are UserWarnings, and `warnings.simplefilter("error", FitWarning)` makes one an error.
"""

import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parent)


class ScaleWarning(UserWarning):
    """A column of x or y that training can probably do little with, and the two lines that mend it."""


class FitWarning(UserWarning):
    """A run that ended, but learned nothing: its outputs are all one constant, or its loss exploded."""


class NotFiniteWarning(UserWarning):
    """Outputs that are NaN or infinite, and at which inputs: nothing is known there."""


class ConvergenceWarning(UserWarning):
    """samples="auto" ended at max_samples, with a standard error above the tolerance."""


class ZeroVarianceWarning(UserWarning):
    """All passes gave the same outputs: no noise, or none that reaches them; no uncertainty is predicted."""


def warn(message: str, kind: type[UserWarning]) -> None:
    """A warning at the line outside of this package that led to it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, kind, stacklevel=level)
