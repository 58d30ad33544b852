"""<grad f, d> = (f(theta + h d) - f(theta - h d))/2h, <A x, c> = <x, A' c>, E[estimate] = truth: checks for a derivation of one's own.

Each check returns what it found; `passed` says whether it agrees, and str() says in words what is wrong, where, and by how much.
`explain` takes the objective apart.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from . import require
from .bayes.explain import Explanation, Term, explain

__all__ = ["Explanation", "GradientCheck", "Term", "UnbiasedCheck", "adjoint_check", "explain", "gradient_check", "unbiased_check"]

SAMPLE = 1000  # entries of a wrong gradient that are looked at one by one


@dataclass(frozen=True)
class GradientCheck:
    """The worst direction of a gradient check: where, what was claimed, what was measured, how far they are apart; and a hint."""

    param: str
    direction: int
    claimed: float
    measured: float
    relative_error: float
    tolerance: float
    hint: str = ""

    @property
    def passed(self):
        return self.relative_error <= self.tolerance

    def __str__(self):
        verdict = "agrees with" if self.passed else "differs from"
        return (f"along random direction {self.direction} of {self.param}, the gradient gives {self.claimed:.10g}, which {verdict} the "
                f"finite difference {self.measured:.10g}: relative error {self.relative_error:.2g} (tolerance {self.tolerance:.2g})"
                + (f"; {self.hint}" if self.hint else ""))


def gradient_check(f, params, grads, rng, directions=3, step=1e-5, tolerance=1e-7):
    """Compare `grads` with central differences of f(params), a scalar, along random directions of each parameter array.

    params, grads: {layer: {param: float64 array}}, or {param: array}. f must be deterministic: freeze the noise first. Each direction d
    has unit length; the relative error is |claimed - measured| / max(|claimed|, |measured|, ||grad||/sqrt(size)), the last being the
    typical size of <grad, d>, so that a direction that happens to be orthogonal to the gradient does not count as an error.
    Returns the worst GradientCheck; assert its `passed`, and print it: if it failed, its hint looks for a factor, a sign, single entries.
    """
    rng, worst, at, found = np.random.default_rng(rng), None, None, {}
    first, second = float(f(params)), float(f(params))
    if first != second and not math.isnan(first):
        raise require.InputError(f"f must give the same value each time, got {first!r} and {second!r}: draw the noise once, outside f")
    for path, array, gradient, put in _leaves(params, grads):
        found[path] = []
        typical = np.linalg.norm(gradient) / np.sqrt(array.size)
        for i in range(directions):
            d = rng.standard_normal(array.shape)
            d /= np.linalg.norm(d)
            claimed = float((gradient * d).sum())
            measured = float((f(put(array + step * d)) - f(put(array - step * d))) / (2 * step))
            found[path].append((claimed, measured))
            scale = max(abs(claimed), abs(measured), typical)
            error = abs(claimed - measured) / scale if scale else 0.0
            error = error if np.isfinite(error) else np.inf
            if worst is None or error > worst.relative_error:
                worst, at = GradientCheck(path, i, claimed, measured, error, tolerance), (array, gradient, put)
    if worst is None:
        raise require.InputError("params must hold at least one array, got none")
    if worst.passed:
        return worst
    right = [path for path, pairs in found.items() if path != worst.param and all(_near(c, m, tolerance) for c, m in pairs)]
    hint = _hint(f, *at, found[worst.param], step, tolerance) + (f"; {', '.join(right)} are right" if right else "")
    return GradientCheck(worst.param, worst.direction, worst.claimed, worst.measured, worst.relative_error, tolerance, hint)


def _near(claimed, measured, tolerance):
    return abs(claimed - measured) <= tolerance * max(abs(claimed), abs(measured))


def _hint(f, array, gradient, put, pairs, step, tolerance):
    """What is wrong with one parameter's gradient: not finite, zero, a factor or a sign in all directions, or some entries."""
    if not np.isfinite(gradient).all():
        return f"{int((~np.isfinite(gradient)).sum())} of its {gradient.size} entries are NaN or infinite"
    if not gradient.any():
        return "it is zero everywhere"
    if not all(measured for _, measured in pairs):
        return "f does not depend on it" if not any(measured for _, measured in pairs) else ""
    ratios = np.array([claimed / measured for claimed, measured in pairs])
    if len(ratios) > 1 and np.ptp(ratios) <= 1e-4 * abs(ratios).max():
        ratio = ratios.mean()
        if abs(ratio + 1) < 1e-4:
            return "in every direction it is right but for its sign"
        return f"in every direction it is {ratio:.6g} times what it should be: a constant factor"
    entries = list(np.ndindex(array.shape))[:SAMPLE]
    wrong = []
    for entry in entries:
        values = []
        for sign in (1, -1):
            moved = array.copy()
            moved[entry] += sign * step
            values.append(float(f(put(moved))))
        measured, claimed = (values[0] - values[1]) / (2 * step), float(gradient[entry])
        floor = 4 * np.finfo(float).eps * max(map(abs, values)) / step      # rounding in the two values
        if not abs(claimed - measured) <= max(tolerance * max(abs(claimed), abs(measured)), floor):
            wrong.append((abs(claimed - measured), entry, claimed, measured))
    if not wrong:
        return ""
    _, entry, claimed, measured = max(wrong)
    where = ", ".join(map(str, entry))
    counted = f"{len(wrong)} of its {'first ' if len(entries) < array.size else ''}{len(entries)} entries are wrong"
    return f"{counted}, most of all [{where}]: {claimed:.6g}, which should be {measured:.6g}"


def _leaves(params, grads, path=""):
    """(path, array, gradient, put) of each array; put(new) is a copy of params with that array replaced."""
    if not isinstance(grads, dict) or set(grads) != set(params):
        raise require.InputError(f"grads{f' of {path[:-1]!r}' if path else ''} must be a dict with {list(params)}, got "
                                 f"{list(grads) if isinstance(grads, dict) else type(grads).__name__}")
    for key, value in params.items():
        here = f"{path}{key}"
        if isinstance(value, dict):
            for found, array, gradient, put in _leaves(value, grads[key], f"{here}/"):
                yield found, array, gradient, lambda new, k=key, put=put: params | {k: put(new)}
        else:
            if value.dtype != np.float64:
                raise TypeError(f"params must be float64 for a gradient check, {here} is {value.dtype}")
            if np.shape(grads[key]) != value.shape:
                raise require.InputError(f"the gradient of {here} must have its shape {value.shape}, got {np.shape(grads[key])}")
            yield here, value, np.asarray(grads[key]), lambda new, k=key: params | {k: new}


def adjoint_check(forward, adjoint, x, c):
    """|<forward(x), c> - <x, adjoint(c)>| / (|forward(x)| |c|): zero, up to rounding, if `adjoint` is the transpose of `forward`."""
    y = forward(x)
    left, right = float(np.vdot(y, c)), float(np.vdot(x, adjoint(c)))
    return abs(left - right) / max(float(np.linalg.norm(y) * np.linalg.norm(c)), np.finfo(float).tiny)


@dataclass(frozen=True)
class UnbiasedCheck:
    """The worst number of an unbiasedness check: which one, the mean of the draws, the truth, and their distance in standard errors."""

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
        ratio = f"; it is {self.mean / self.truth:.4g} times the truth" if self.truth and not self.passed else ""
        return (f"the mean of {self.draws} draws of {self.entry} is {self.mean:.8g} +- {self.std_error:.2g}, which {verdict} the truth "
                f"{self.truth:.8g}: {self.distance:.3g} standard errors (tolerance {self.tolerance:.3g}){ratio}")


def unbiased_check(estimate, truth, draws=1000, tolerance=4.0):
    """Compare the mean of estimate(t), t = 0 ... draws - 1, with `truth`, in standard errors of that mean.

    estimate(t) must be an independent draw for every t (give t to nn.Key), in the form of truth: a number, an array, or {name: ...} of
    such.  tolerance: in standard errors, for one number. Among m numbers the largest distance is what counts, so it is widened to where
    the largest of m independent normal distances would be as rare as a single one beyond `tolerance`.  draws: at least 100, with which
    the standard error itself is known to 7 %; rare large values (heavy tails) need more. Returns the worst UnbiasedCheck.
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
    rounding = draws * np.finfo(float).eps * largest  # of the running mean: all there is if every draw is the same
    distance = abs(mean - true) / np.maximum(np.hypot(error, rounding), np.finfo(float).tiny)
    distance[~np.isfinite(distance)] = np.inf
    i = int(np.argmax(distance))
    tail = NormalDist().cdf(-tolerance) / len(true)
    return UnbiasedCheck(_name(form, i), float(mean[i]), float(true[i]), float(error[i]), draws, float(distance[i]),
                         -NormalDist().inv_cdf(tail) if tail > 0 else tolerance)


def _flat(tree, path=""):
    """({path: shape}, values): all numbers of a number, an array or {name: ...} of such, in a row."""
    if not isinstance(tree, dict):
        array = np.asarray(tree, np.float64)
        return {path or "the estimate": array.shape}, array.reshape(-1)
    parts = [_flat(value, f"{path}/{key}" if path else str(key)) for key, value in tree.items()]
    return {p: shape for form, _ in parts for p, shape in form.items()}, np.concatenate([v for _, v in parts] or [np.zeros(0)])


def _name(form, i):
    """What the i-th of all numbers is called."""
    for path, shape in form.items():
        if i < math.prod(shape):
            return path + (f"[{', '.join(str(k) for k in np.unravel_index(i, shape))}]" if shape else "")
        i -= math.prod(shape)
