"""<grad f, d> = (f(theta + h d) - f(theta - h d))/2h, <A x, c> = <x, A' c>: checks of derivations."""

import math
from dataclasses import dataclass, replace

import numpy as np

from .. import require
from ..floats import usual

SAMPLE = 1000  # entries of a wrong gradient that are looked at one by one


@dataclass(frozen=True)
class GradientCheck:
    """The worst direction of a gradient check: where, claimed, measured, how far apart; and a hint."""

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
        return (f"along random direction {self.direction} of {self.param}, the gradient gives "
                f"{self.claimed:.10g}, which {verdict} the finite difference {self.measured:.10g}: "
                f"relative error {self.relative_error:.2g} (tolerance {self.tolerance:.2g})"
                + (f"; {self.hint}" if self.hint else ""))


@usual
def gradient_check(f, params, grads, rng, directions=3, step=1e-5, tolerance=1e-7):
    """Compare `grads` with central differences of f(params), a scalar, along random directions of each array.

    params, grads: {layer: {param: float64 array}}, or {param: array}. f must be deterministic: freeze the
    noise first. Each direction d has unit length; the relative error is |claimed - measured| / max(|claimed|,
    |measured|, ||grad||/sqrt(size)), the last being the typical size of <grad, d>, so that a direction that
    happens to be orthogonal to the gradient does not count as an error. Returns the worst GradientCheck;
    assert its `passed`, and print it: if it failed, its hint looks for a factor, a sign, single entries.
    """
    rng, worst, at, found = np.random.default_rng(rng), None, None, {}
    first, second = float(f(params)), float(f(params))
    if first != second and not math.isnan(first):
        raise require.InputError(f"f must give the same value each time, got {first!r} and {second!r}: draw "
                                 "the noise once, outside f")
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
                worst = GradientCheck(path, i, claimed, measured, error, tolerance)
                at = array, gradient, put
    if worst is None:
        raise require.InputError("params must hold at least one array, got none")
    if worst.passed:
        return worst
    right = [path for path, pairs in found.items()
             if path != worst.param and all(_near(c, m, tolerance) for c, m in pairs)]
    hint = _hint(f, *at, found[worst.param], step, tolerance)
    return replace(worst, hint=hint + (f"; {', '.join(right)} are right" if right else ""))


def _near(claimed, measured, tolerance):
    return abs(claimed - measured) <= tolerance * max(abs(claimed), abs(measured))


def _hint(f, array, gradient, put, pairs, step, tolerance):
    """What is wrong with one gradient: not finite, zero, a factor, a sign, or some entries."""
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
    first = "first " if len(entries) < array.size else ""
    counted = f"{len(wrong)} of its {first}{len(entries)} entries are wrong"
    return f"{counted}, most of all [{where}]: {claimed:.6g}, which should be {measured:.6g}"


def _leaves(params, grads, path=""):
    """(path, array, gradient, put) of each array; put(new) is a copy of params with that array replaced."""
    if not isinstance(grads, dict) or set(grads) != set(params):
        of = f" of {path[:-1]!r}" if path else ""
        raise require.InputError(f"grads{of} must be a dict with {list(params)}, got "
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
                raise require.InputError(f"the gradient of {here} must have its shape {value.shape}, "
                                         f"got {np.shape(grads[key])}")
            yield here, value, np.asarray(grads[key]), lambda new, k=key: params | {k: new}


@usual
def adjoint_check(forward, adjoint, x, c):
    """|<forward(x), c> - <x, adjoint(c)>| / (|forward(x)| |c|): 0, up to rounding, for a transpose."""
    y = forward(x)
    left, right = float(np.vdot(y, c)), float(np.vdot(x, adjoint(c)))
    return abs(left - right) / max(float(np.linalg.norm(y) * np.linalg.norm(c)), np.finfo(float).tiny)
