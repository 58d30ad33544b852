"""Claimed gradients against differences, and what is wrong with them in words: a factor, a sign, a mask."""

from collections.abc import Callable, Mapping

import numpy as np

from .verdict import Failed

STEP = 1e-5
NEAR = 1e-5  # relative, between a derivative and its difference; rounding is about 1e-16/STEP
KINK = 1e-3  # relative, between the slopes on both sides: less is curvature, and more is looked at again
MOST = 400  # entries that are looked at


class Kink(Failed):
    """f has a kink where it was looked at, so that no derivative is wrong there."""


def slopes(f: Callable, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the entries looked at, df/d of each by central differences); NaN where one-sided slopes differ."""
    entries = np.arange(at.size)
    if at.size > MOST:
        entries = np.sort(np.random.default_rng(0).choice(at.size, MOST, replace=False))
    middle, sides = f(at), np.array([one_sided(f, at, entry, STEP) for entry in entries]).reshape(-1, 2)
    middle_slope = (sides[:, 0] - sides[:, 1]) / (2 * STEP)
    bend = np.abs(sides.sum(axis=1) - 2 * middle) / STEP                # |slope on the right - on the left|
    scale = np.abs(sides - middle).max(initial=0) / STEP
    rounding = 1e3 * np.finfo(float).eps * max(1.0, abs(middle)) / STEP
    for i in np.flatnonzero(bend > KINK * scale + rounding):
        half = abs(sum(one_sided(f, at, entries[i], STEP / 2)) - 2 * middle) / (STEP / 2)
        if half > 0.75 * bend[i]:  # half of it where f is only curved
            middle_slope[i] = np.nan
    return entries, middle_slope


def one_sided(f: Callable, at: np.ndarray, entry: int, step: float) -> tuple:
    """f with one entry moved up, and down."""
    values = []
    for sign in (1, -1):
        moved = np.array(at, np.float64)
        moved.reshape(-1)[entry] += sign * step
        values.append(f(moved))
    return tuple(values)


def compare(name: str, f: Callable, at: np.ndarray, claimed, factors: Mapping = {},
            instead: Mapping = {}) -> str:
    """What is wrong with `claimed` as df/d of `at`, or "".

    factors: {what it may lack, or have too often: an array that broadcasts}.
    instead: {what is then said of it: another function, whose derivative it may be}.
    """
    claimed, at = np.asarray(claimed, np.float64), np.asarray(at, np.float64)
    if claimed.shape != at.shape:
        turned = at.ndim == 2 and claimed.shape == at.shape[::-1]
        return f"{name} must have the shape {at.shape}, got {claimed.shape}" + ": it is transposed" * turned
    if not np.isfinite(claimed).all():
        return f"{name} has NaN or infinite entries"
    entries, true = slopes(f, at)
    smooth = np.isfinite(true)
    if not smooth.any():
        raise Kink("f has a kink at this point, in every entry looked at: its slopes on both sides differ, "
                   f"so {name} cannot be judged there; give another point")
    entries, true = entries[smooth], true[smooth]

    def right(values):
        values = np.broadcast_to(values, at.shape).reshape(-1)[entries]
        size = np.linalg.norm(true) / np.sqrt(len(true))
        return np.abs(values - true) <= NEAR * np.maximum(np.abs(true), size) + 1e-9
    if right(claimed).all():
        return ""
    if right(-claimed).all():
        return f"{name} has the wrong sign"
    if not claimed.any():
        return f"{name} is zero everywhere, and should not be"
    if not true.any():
        return f"{name} should be zero: f does not depend on it"
    if at.ndim == 2 and at.shape[0] == at.shape[1] and right(claimed.T).all():
        return f"{name} is transposed"
    for what, factor in factors.items():
        with np.errstate(all="ignore"):
            if fits(factor, at.shape) and not np.allclose(np.abs(factor), 1):
                if right(claimed * factor).all():
                    return f"{name} lacks {what}"
                if right(np.nan_to_num(claimed / factor, posinf=0, neginf=0)).all():
                    return f"{name} has {what} once too often"
    picked = claimed.reshape(-1)[entries]
    for said, other in instead.items():
        looked, slope = slopes(other, at)
        if near(slope[np.isin(looked, entries)], picked, 1e-5):
            return f"{name} {said}"
    ratio = constant(picked, true)
    if ratio is not None:
        return f"{name} is {ratio:.4g} times what it should be: a constant factor"
    return entry_by_entry(name, claimed, entries, true, right(claimed), factors)


def entry_by_entry(name, claimed, entries, true, good, factors) -> str:
    """Which entries are wrong, and whether it is those where something is 0, or negative."""
    bad = np.flatnonzero(~good)
    for what, factor in factors.items():
        if not fits(factor, claimed.shape):
            continue
        picked = np.broadcast_to(factor, claimed.shape).reshape(-1)[entries]
        for where, mask in (("is 0", picked == 0), ("is negative", picked < 0), ("is positive", picked > 0)):
            if mask.any() and not mask.all() and (~good <= mask).all() and mask[bad].sum() > mask.sum() / 2:
                ratio = constant(claimed.reshape(-1)[entries][bad], true[bad])
                how = "" if ratio is None else f", {ratio:.4g} times what it should be"
                return f"{name} is wrong where {what.removeprefix('the ')} {where}{how}"
    if claimed.ndim == 2 and claimed.shape[1] > 1:
        columns = set(entries[bad] % claimed.shape[1])
        inside = np.isin(entries % claimed.shape[1], list(columns))
        if len(columns) < claimed.shape[1] and not good[inside].all():
            ratio = constant(claimed.reshape(-1)[entries][inside], true[inside])
            how = "" if ratio is None else f", {ratio:.4g} times what it should be"
            if len(columns) == 1 or ratio is not None:
                return f"{name} is wrong in column {', '.join(map(str, sorted(map(int, columns))))}{how}"
    worst = bad[np.argmax(np.abs(claimed.reshape(-1)[entries] - true)[bad])]
    where = ", ".join(str(int(i)) for i in np.unravel_index(entries[worst], claimed.shape))
    return (f"{name} is wrong in {len(bad)} of {len(entries)} entries, most of all [{where}]: "
            f"{claimed.reshape(-1)[entries[worst]]:.6g}, which should be {true[worst]:.6g}")


def constant(claimed, true, wanted: float | None = None):
    """The one number that claimed/true is, or None; or whether it is `wanted`."""
    claimed, true = np.ravel(claimed).astype(np.float64), np.ravel(true).astype(np.float64)
    if not (np.abs(true) > 0).any():
        return None
    ratio = float(claimed @ true / (true @ true))
    if np.linalg.norm(claimed - ratio * true) > 1e-4 * max(np.linalg.norm(claimed), 1e-12):
        return None
    return ratio if wanted is None else abs(ratio - wanted) < 1e-4 * abs(wanted)


def near(a, b, relative: float = 1e-6) -> bool:
    """Equal up to rounding, of the size of the larger."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    return bool(np.linalg.norm(a - b) <= relative * max(np.linalg.norm(a), np.linalg.norm(b), 1e-6))


def fits(a, shape) -> bool:
    """Whether `a` broadcasts to `shape`."""
    try:
        return np.broadcast_shapes(np.shape(a), shape) == tuple(shape)
    except ValueError:
        return False
