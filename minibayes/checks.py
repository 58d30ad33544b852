"""<grad f, d> = (f(theta + h d) - f(theta - h d)) / 2h: check a derivative along random directions, in float64."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GradientCheck:
    """The worst direction of a gradient check: where, what was claimed, what was measured, and how far they are apart."""

    param: str
    direction: int
    claimed: float
    measured: float
    relative_error: float
    tolerance: float

    @property
    def passed(self):
        return self.relative_error <= self.tolerance

    def __str__(self):
        verdict = "agrees with" if self.passed else "differs from"
        return (f"along random direction {self.direction} of {self.param}, the gradient gives {self.claimed:.10g}, which {verdict} the "
                f"finite difference {self.measured:.10g}: relative error {self.relative_error:.2g} (tolerance {self.tolerance:.2g})")


def gradient_check(f, params, grads, rng, directions=3, step=1e-5, tolerance=1e-7):
    """Compare `grads` with central differences of f(params), a scalar, along random directions of each parameter array.

    params, grads: {layer: {param: float64 array}}, or {param: array}. f must be deterministic: freeze the noise first. Each direction d
    has unit length; the relative error is |claimed - measured| / max(|claimed|, |measured|, ||grad||/sqrt(size)), the last being the
    typical size of <grad, d>, so that a direction that happens to be orthogonal to the gradient does not count as an error.
    Returns the worst GradientCheck; assert its `passed`, and print it.
    """
    rng, worst = np.random.default_rng(rng), None
    for path, array, gradient, put in _leaves(params, grads):
        if array.dtype != np.float64:
            raise TypeError(f"params must be float64 for a gradient check, {path} is {array.dtype}")
        if np.shape(gradient) != array.shape:
            raise ValueError(f"the gradient of {path} must have its shape {array.shape}, got {np.shape(gradient)}")
        typical = np.linalg.norm(gradient) / np.sqrt(array.size)
        for i in range(directions):
            d = rng.standard_normal(array.shape)
            d /= np.linalg.norm(d)
            claimed = float((gradient * d).sum())
            measured = float((f(put(array + step * d)) - f(put(array - step * d))) / (2 * step))
            scale = max(abs(claimed), abs(measured), typical)
            error = abs(claimed - measured) / scale if scale else 0.0
            error = error if np.isfinite(error) else np.inf
            if worst is None or error > worst.relative_error:
                worst = GradientCheck(path, i, claimed, measured, error, tolerance)
    return worst


def _leaves(params, grads):
    """(path, array, gradient, put) of each array; put(new) is a copy of params with that array replaced."""
    for key, value in params.items():
        if isinstance(value, dict):
            for path, array, gradient, put in _leaves(value, grads[key]):
                yield f"{key}/{path}", array, gradient, lambda new, k=key, put=put: params | {k: put(new)}
        else:
            yield key, value, grads[key], lambda new, k=key: params | {k: new}


def adjoint_check(forward, adjoint, x, c):
    """|<forward(x), c> - <x, adjoint(c)>| / (|forward(x)| |c|): zero, up to rounding, if `adjoint` is the transpose of `forward`."""
    y = forward(x)
    left, right = float(np.vdot(y, c)), float(np.vdot(x, adjoint(c)))
    return abs(left - right) / max(float(np.linalg.norm(y) * np.linalg.norm(c)), np.finfo(float).tiny)
