"""Sums and integrals over y of exp(-nll): what a density must add up to, its mean and its variance."""

import math

import numpy as np

from .. import require
from .slopes import near
from .verdict import Failed, call

NEAR = 2e-3  # relative: what a kink in the density costs
COUNTS = {1: 400, 2: 100}  # the counts summed over, 0 ... COUNTS - 1, for y with one number and with two
POINTS = {1: 4001, 2: 201}  # nodes along each axis, for y with one number and with two


def examples(support: str, rng, rows: int, width: int) -> np.ndarray:
    """Targets of that support, (rows, width), or labels (rows,) below width."""
    if support == "label":
        return rng.integers(0, width, rows)
    shape = rows, width
    made = {"real": lambda: rng.standard_normal(shape), "positive": lambda: rng.exponential(1, shape) + 0.1,
            "unit": lambda: rng.uniform(0.05, 0.95, shape), "count": lambda: rng.integers(0, 5, shape),
            "binary": lambda: rng.integers(0, 2, shape)}
    if support not in made:
        raise Failed(f"support must be one of {', '.join(map(repr, (*made, 'label')))}, got {support!r}")
    return made[support]()


def targets(likelihood, outputs: int, rows: int, y, rng) -> np.ndarray:
    """Targets as the likelihood takes them: y, or examples of its support, as many columns as it wants."""
    given = [y] if y is not None else [examples(likelihood.support, rng, rows, width)
                                       for width in range(outputs, 0, -1)]
    errors = []
    for some in given:
        try:
            return np.asarray(likelihood.targets("y", some, rows, outputs))
        except require.InputError as error:
            errors.append(str(error))
        except Exception:
            call(likelihood, "targets", "y", some, rows, outputs)  # an error that names the method
    raise Failed(f"targets refuses good targets ({likelihood.support}): {errors[0]}")


def refuses(likelihood, outputs: int, good: np.ndarray) -> str:
    """Bad targets must raise an InputError (or another ValueError)."""
    bad = {"one example too few": good[:-1], "words": np.full(good.shape, "a")}
    if good.dtype.kind == "f":
        bad |= {"NaN": np.where(np.arange(good.size).reshape(good.shape) == 1, np.nan, good)}
    counts = bool(np.all(good == np.floor(good)))
    if likelihood.support == "real" and good.dtype.kind == "f" and counts and good.size > 3:
        bad |= {"a fraction, though all y given are counts: say support = 'count'": good + 0.5}
    bad |= {"label": {"a label that no output has": good + outputs, "a negative label": good - 100},
            "count": {"a fraction": good + 0.5, "a negative count": good - 100.0},
            "positive": {"a negative number": -good},
            "binary": {"a number that is neither 0 nor 1": good * 0.5 + 0.25},
            "unit": {"a number above 1": good + 1.5}}.get(likelihood.support, {})
    for what, some in bad.items():
        try:
            likelihood.targets("y", some, len(good), outputs)
        except ValueError:
            continue
        except Exception as error:
            return f"targets raises {type(error).__name__} for {what}, and must a ValueError that says why"
        return f"targets accepts {what}"
    return ""


def grid(likelihood, outputs: int, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(y (P, width) or labels (P,), weights (P,)) at one f (1, outputs): sum_i weights_i g(y_i) = int g."""
    if likelihood.support == "label":
        return np.arange(outputs), np.ones(outputs)
    width = targets(likelihood, outputs, 1, None, np.random.default_rng(0)).shape[1]
    if likelihood.support == "binary":
        axis = [(np.arange(2.0), np.ones(2))] * width
    elif likelihood.support == "count":
        axis = [(np.arange(COUNTS[width], dtype=float), np.ones(COUNTS[width]))] * width
    else:
        t, step = np.linspace(-1, 1, POINTS[width], retstep=True)
        axis = [nodes(likelihood, f, k, t, step) for k in range(width)]
    y = np.stack(np.meshgrid(*(a for a, _ in axis), indexing="ij"), axis=-1).reshape(-1, width)
    weights = np.multiply.reduce(np.meshgrid(*(w for _, w in axis), indexing="ij")).reshape(-1)
    return y, weights


def nodes(likelihood, f, k, t, step):
    """One axis of y, by a change of variables: dense where it is likely, and out to a thousand deviations."""
    if likelihood.support == "unit":
        y = 1 / (1 + np.exp(-25 * t))
        return y, 25 * y * (1 - y) * step
    if likelihood.support == "positive":
        y = np.exp(18 * t)
        return y, 18 * y * step
    try:  # around what the likelihood claims, if it claims something of use
        mean, variance = likelihood.mean_and_variance(f)
        centre = float(np.broadcast_to(mean, (1, k + 1))[0, k])
        scale = math.sqrt(float(np.ravel(variance)[-1]))
    except Exception:
        centre, scale = 0.0, 1.0
    if not (math.isfinite(centre) and math.isfinite(scale) and scale):
        centre, scale = 0.0, 1.0
    return centre + scale * np.sinh(8 * t), scale * 8 * np.cosh(8 * t) * step


def narrow(likelihood, outputs: int) -> int:
    """The outputs to integrate at: as given, if y has at most 2 numbers, else as few as give 2 or 1."""
    if likelihood.support == "label":
        return outputs
    for fewer in (outputs, *range(4, 0, -1)):
        try:
            if targets(likelihood, fewer, 1, None, np.random.default_rng(0)).shape[1] <= 2:
                return fewer
        except (Failed, IndexError):
            continue
    raise Failed("it takes no targets of one or two numbers, so nothing can be summed over y")


def density(likelihood, outputs: int, f: np.ndarray):
    """(y, weights * exp(-nll), weights) over all y at one f (1, outputs)."""
    y, weights = grid(likelihood, outputs, f)
    with np.errstate(all="ignore"):
        nll = np.asarray(call(likelihood, "nll", np.repeat(f, len(y), axis=0), y)[0], np.float64)
        p = np.exp(-nll) * weights
    return y, np.nan_to_num(p, nan=0, posinf=1e300), weights


def normalised(likelihood, outputs: int, rng) -> str:
    """sum or integral of exp(-nll) over y is 1, at three f; a guess at the constant that is missing."""
    outputs = narrow(likelihood, outputs)
    found, corrected = [], []
    for f in rng.standard_normal((3, 1, outputs)):
        y, p, _ = density(likelihood, outputs, f)
        found.append(p.sum())
        if likelihood.support == "count":
            log_factorial = np.array([math.lgamma(v + 1) for v in range(COUNTS[1])])
            log_factorial = log_factorial[y.astype(int)].sum(axis=1)
            corrected.append((p * np.exp(-log_factorial)).sum())
    found = np.array(found)
    if np.allclose(found, 1, rtol=NEAR):
        return ""
    said = "adds up" if likelihood.support in ("label", "count", "binary") else "integrates"
    if corrected and np.allclose(corrected, 1, rtol=NEAR):
        return f"exp(-nll) {said} to {found[0]:.4g}, not 1: nll lacks log y!"
    if np.isfinite(found).all() and np.ptp(found) <= NEAR * found.max():
        width = np.ndim(y) and y.shape[-1] if np.ndim(y) > 1 else 1
        missing = math.log(found.mean())
        name = constant_name(missing, width)
        return (f"exp(-nll) {said} to {found.mean():.5g} for every f, not 1: a constant is missing in nll, "
                f"{missing:.4g} nats{name}")
    return (f"exp(-nll) {said} to {', '.join(f'{v:.4g}' for v in found)} at three f, not 1: "
            "a term of the normaliser that depends on f is missing in nll, or a factor in it is wrong")


def constant_name(missing: float, width: int) -> str:
    """What `missing` nats may be: 1/2 log(2 pi) and the like, for each of the targets, or for all but one."""
    for what, number in (("2 pi", 2 * math.pi), ("2", 2), ("pi", math.pi)):
        for half, value in (("1/2 ", math.log(number) / 2), ("", math.log(number))):
            for sign in (1, -1):
                name = f", {'-' * (sign < 0)}{half}log({what})"
                if abs(missing - sign * value * width) < 2 * NEAR:
                    return f"{name} for each target"
                if width > 1 and abs(missing - sign * value * (width - 1)) < 2 * NEAR:
                    return f"{name} for all {width} targets together: it belongs to each of them"
    return ""


def moments(likelihood, outputs: int, rng) -> str:
    """E[y | f] and Var[y | f], or the class probabilities, beside sums over y of exp(-nll)."""
    outputs = narrow(likelihood, outputs)
    f = rng.standard_normal((2, 3, outputs))
    if likelihood.support == "label":
        return probabilities(likelihood, outputs, f)
    made = call(likelihood, "mean_and_variance", f)
    flat = call(likelihood, "mean_and_variance", f.reshape(6, outputs))
    width = density(likelihood, outputs, f[0, :1])[0].shape[1]
    for what, a, b in zip(("the mean", "the variance"), made, flat, strict=True):
        if np.ndim(a) and np.shape(a) != (2, 3, width):
            return (f"mean_and_variance gives {what} of shape {np.shape(a)} for f {f.shape}: take the last "
                    "axis, f[..., k]")
        if np.ndim(a) and not near(np.reshape(a, (6, width)), b):
            return f"mean_and_variance, of f (T, N, K), gives {what} another value than for each pass alone"
    mean, variance = (np.broadcast_to(a, (6, width)) for a in flat)
    true = np.empty((2, 6, width))
    for n, row in enumerate(f.reshape(6, 1, outputs)):
        y, p, _ = density(likelihood, outputs, row)
        total = p.sum()
        true[0, n] = p @ y / total
        true[1, n] = p @ (y - true[0, n]) ** 2 / total
    return guess("the mean", mean, true[0], {"is what E[y^2] should be": true[1] + true[0] ** 2}) or guess(
        "the variance", variance, true[1], {
            "is the standard deviation: square it": np.sqrt(true[1]),
            "is the precision: 1 over it": 1 / true[1],
            "is E[y^2]: E[y]^2 is to be taken off": true[1] + true[0] ** 2, "is the mean": true[0]})


def guess(what: str, claimed, true, candidates) -> str:
    """What `claimed` is instead of `true`."""
    if not np.isfinite(true).all() or np.allclose(claimed, true, rtol=5 * NEAR, atol=1e-6):
        return ""
    for said, other in candidates.items():
        if np.allclose(claimed, other, rtol=5 * NEAR, atol=1e-6):
            return f"{what} {said}"
    ratio = np.median(claimed / np.where(true == 0, 1, true))
    if np.allclose(claimed, ratio * true, rtol=5 * NEAR):
        return (f"{what} is {ratio:.4g} times what it should be: nll and mean_and_variance speak of two "
                "distributions")
    worst = np.unravel_index(np.argmax(np.abs(claimed - true)), true.shape)
    return f"{what} is {claimed[worst]:.5g} where exp(-nll) has {true[worst]:.5g}"


def probabilities(likelihood, outputs: int, f: np.ndarray) -> str:
    made = call(likelihood, "expected", f)
    if np.shape(made) != f.shape:
        return f"expected gives the shape {np.shape(made)} for f {f.shape}: one probability for each class"
    for row, p in zip(f.reshape(-1, 1, outputs), np.reshape(made, (-1, outputs)), strict=True):
        true = density(likelihood, outputs, row)[1]
        if not near(p, true / true.sum(), 1e-6):
            return f"expected gives p(y = 0) = {p[0]:.5g} where exp(-nll) gives {true[0] / true.sum():.5g}"
    return ""
