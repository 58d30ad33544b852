"""E[estimate] = truth, in standard errors: a check for an estimator of one's own."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .. import require
from ..floats import usual


@dataclass(frozen=True)
class UnbiasedCheck:
    """The worst number of an unbiasedness check: which, the draws' mean, the truth, how far apart."""

    entry: str
    mean: float
    truth: float
    std_error: float
    draws: int
    distance: float  # |mean - truth| / std_error
    tolerance: float

    @property
    def passed(self):
        return self.distance <= self.tolerance

    def __str__(self):
        verdict = "agrees with" if self.passed else "differs from"
        ratio = self.truth and not self.passed
        return (f"the mean of {self.draws} draws of {self.entry} is {self.mean:.8g} +- {self.std_error:.2g}, "
                f"which {verdict} the truth {self.truth:.8g}: {self.distance:.3g} standard errors "
                f"(tolerance {self.tolerance:.3g})"
                + (f"; it is {self.mean / self.truth:.4g} times the truth" if ratio else ""))


@usual
def unbiased_check(estimate, truth, draws=1000, tolerance=4.0):
    """Compare the mean of estimate(t), t = 0 ... draws - 1, with `truth`, in standard errors of that mean.

    estimate(t) must be an independent draw for every t (give t to nn.Key), in the form of truth: a number, an
    array, or {name: ...} of such.  tolerance: in standard errors, for one number. Among m numbers the largest
    distance is what counts, so it is widened to where the largest of m independent normal distances would be
    as rare as a single one beyond `tolerance`.  draws: at least 100, with which the standard error itself is
    known to 7 %; rare large values (heavy tails) need more. Returns the worst UnbiasedCheck.
    """
    draws = require.integer("draws", draws, 100)
    tolerance = require.real("tolerance", tolerance, 0, open_low=True)
    form, true = _flat(truth)
    if not len(true):
        raise require.InputError("truth must hold at least one number, got none")
    mean, squares, largest = np.zeros(len(true)), np.zeros(len(true)), abs(true)
    for t in range(draws):
        given, values = _flat(estimate(t))
        if given != form:
            raise require.InputError(f"estimate must return what has the form of truth, {form}, got {given}")
        delta = values - mean
        mean = mean + delta / (t + 1)
        squares = squares + delta * (values - mean)
        largest = np.maximum(largest, abs(values))
    error = np.sqrt(squares / (draws - 1) / draws)
    rounding = draws * np.finfo(float).eps * largest  # of the running mean: all that there is without spread
    distance = abs(mean - true) / np.maximum(np.hypot(error, rounding), np.finfo(float).tiny)
    distance[~np.isfinite(distance)] = np.inf
    i = int(np.argmax(distance))
    tail = NormalDist().cdf(-tolerance) / len(true)
    return UnbiasedCheck(_name(form, i), float(mean[i]), float(true[i]), float(error[i]), draws,
                         float(distance[i]), -NormalDist().inv_cdf(tail) if tail > 0 else tolerance)


def _flat(tree, path=""):
    """({path: shape}, values): all numbers of a number, an array or {name: ...} of such, in a row."""
    if not isinstance(tree, dict):
        array = np.asarray(tree, np.float64)
        return {path or "the estimate": array.shape}, array.reshape(-1)
    parts = [_flat(value, f"{path}/{key}" if path else str(key)) for key, value in tree.items()]
    form = {p: shape for part, _ in parts for p, shape in part.items()}
    return form, np.concatenate([v for _, v in parts] or [np.zeros(0)])


def _name(form, i):
    """What the i-th of all numbers is called."""
    for path, shape in form.items():
        if i < math.prod(shape):
            return path + (f"[{', '.join(str(k) for k in np.unravel_index(i, shape))}]" if shape else "")
        i -= math.prod(shape)
