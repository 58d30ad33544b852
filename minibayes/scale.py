"""Whether a fit can learn from its data: asked of the data before it, and of its outputs after it.

Networks start with weights for inputs and targets of unit scale, and float32 has seven digits. Raw tables are
often far from the one, and clocks, counters and ids lie beyond the other; training then ends in a constant,
without an error. Images, 0-1 columns and columns that are 0 throughout are no reason for a warning.
"""

from collections.abc import Iterator

import numpy as np

from . import cautions, require
from .floats import quiet

LARGE = 30  # root mean square of a column from which it is far from unit scale,
SMALL = 1e-3  # and largest number below which it is
ERROR = 1e-3  # rounding beside which a column's standard deviation is too small to be told apart
SAMPLE = 2048  # rows that are looked at first; what is found there is confirmed on all
END = 64  # inputs whose outputs are looked at after the run
NAMED = 5  # columns that a warning names


def check(name: str, given: object, array: np.ndarray) -> None:
    """A ScaleWarning that names the columns of `array` that are lost, constant or far from unit scale.

    given: what the caller gave, before it became `array`, with a row per example.
    """
    raw = require.array(name, given)
    raw = raw.reshape(array.shape) if raw.size == array.size else raw
    table = array.ndim == 2
    columns = list(getattr(given, "columns", ())) if table else []
    found = {}
    with quiet():
        for j, why in troubles(raw, array, table):
            called = f" ({columns[j]!r})" if j < len(columns) else ""
            column = f"column {j}{called}" if table else "all of it"
            found.setdefault(why[0], []).append(f"{column}: {why[1]}")
    if not found:
        return
    said = []
    for kind, lines in found.items():
        more = f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
        said.append(f"{name} {kind}: {'; '.join(lines[:NAMED])}{more}.")
    axis = "axis=0" if table else ""
    same = ", and the inputs of predict likewise" if name == "x" else ", and predictions back likewise"
    mend = f"mean, std = {name}.mean({axis}), {name}.std({axis})\n    {name} = ({name} - mean) / std"
    lost = "; or give fit dtype=np.float64" if LOST in found else ""
    cautions.warn(f"{' '.join(said)} What mends it{same}{lost}:\n    {mend}", cautions.ScaleWarning)


LOST = "has numbers that its type cannot tell apart"
CONSTANT = "has a constant column, which says nothing (leave it out)"
FAR = "is far from unit scale"


def troubles(raw: np.ndarray, array: np.ndarray, table: bool) -> Iterator:
    """(column, (kind, what was found)); where it is no table, all numbers are one column."""
    few = np.linspace(0, len(array) - 1, min(SAMPLE, len(array))).astype(int)
    width = array.shape[1] if table else 1
    a, b = (part[few].reshape(-1, width).astype(np.float64) for part in (raw, array))
    std, largest, rms = a.std(axis=0), np.abs(b).max(axis=0), np.sqrt((b * b).mean(axis=0))
    ids = raw.dtype.kind in "iu" and np.abs(a).max(initial=0) > 2**24
    odd = ((np.abs(a - b).max(axis=0) > ERROR * std) | (std <= 1e-12 * largest) | (rms > LARGE)
           | (largest < SMALL) | ids)
    suspects = np.flatnonzero(odd & ((largest > 0) | (np.abs(a).max(axis=0) > 0)))
    found = {j: trouble(raw.reshape(-1, width)[:, j], array.reshape(-1, width)[:, j]) for j in suspects}
    values = [array.reshape(-1, width)[0, j] for j, why in found.items() if why and why[0] == CONSTANT]
    for j, why in found.items():
        shared = why and why[0] == CONSTANT and values.count(array.reshape(-1, width)[0, j]) > 1
        if why and not shared:  # columns that share a constant are the background of images
            yield int(j), why


def trouble(raw: np.ndarray, column: np.ndarray) -> tuple | None:
    """(kind, what was found) of one column, before and after it became the type of the run; None: nothing."""
    exact, kept = raw.astype(np.float64), column.astype(np.float64)
    std, largest = float(exact.std()), float(np.abs(kept).max())
    error = float(np.abs(exact - kept).max())
    if len(exact) < 2:
        return None
    if np.ptp(exact) and std <= 1e-12 * largest:
        return CONSTANT, f"{kept[0]:g} but for its last digits"
    if error and error > ERROR * std and np.ptp(exact):
        before, after = len(np.unique(raw)), len(np.unique(column))
        return LOST, f"of {before} different numbers {after} are left in {column.dtype}, near {kept[0]:.6g}"
    if raw.dtype.kind in "iu" and largest > 2**24 and len(np.unique(raw)) > len(np.unique(column)):
        return LOST, (f"of {len(np.unique(raw))} different numbers {len(np.unique(column))} are left in "
                      f"{column.dtype}, up to {largest:.6g}")
    if not np.ptp(exact):
        return None if largest in (0, 1) else (CONSTANT, f"{kept[0]:g}")
    rms = float(np.sqrt((kept * kept).mean()))
    if rms > LARGE:
        return FAR, f"mean {exact.mean():.3g}, standard deviation {std:.3g}"
    return (FAR, f"none beyond {largest:.3g}") if largest < SMALL else None


def check_end(runner: object, params: dict, likelihood: object, x: np.ndarray, y: np.ndarray) -> None:
    """A FitWarning if the outputs are one constant for different inputs, or far worse than outputs of 0.

    First those under one omega-hat for all inputs: for that nothing is compiled which training did not need.
    Only what looks odd there is looked at with z = E[z], which decides.
    """
    few = np.linspace(0, len(x) - 1, min(END, len(x))).astype(int)
    x, y = x[few], y[few]
    with quiet():
        z = runner.z(params, runner.draw(0, x.shape, shared=True, dtype=x.dtype))
        f = there(runner.forward(params, x, z)[0])
        nll, of_zero = (float(likelihood.nll(each, y)[0].mean()) for each in (f, np.zeros_like(f)))
        if not exploded(f, nll, of_zero, 5) and not flat(f):
            return
        f = np.concatenate([f for _, f in runner.average(params, x, lambda found, f, passes, rows: f[0], {})])
        f = there(f)
        nll = float(likelihood.nll(f, y)[0].mean())
        burst, constant = exploded(f, nll, of_zero, 10), flat(f)
    if burst:
        cautions.warn(f"the run ended, but its loss exploded: {nll:.3g} nats per datum, where outputs of 0 "
                      f"have {of_zero:.3g}. Lower the learning rate, and look at the scale of x and y",
                      cautions.FitWarning)
    elif constant and (x != x[:1]).any() and (y != y[:1]).any():
        one = np.round(f[0], 4).tolist()
        cautions.warn(f"the run ended with outputs that are one constant, {one}, "
                      "whatever the input: nothing was learned of x. Are all units of a layer dead? Lower "
                      "the learning rate, and look at the scale of x and y", cautions.FitWarning)


def there(f: np.ndarray) -> np.ndarray:
    """Outputs as float64; 0 at steps of a sequence that are not there."""
    f = f.astype(np.float64)
    return np.where(np.isnan(f).all(axis=-1, keepdims=True), 0, f) if f.ndim > 2 else f


def exploded(f: np.ndarray, nll: float, of_zero: float, times: float) -> bool:
    """Whether outputs are not finite, or their loss is that many times what outputs of 0 have, and more."""
    return not np.isfinite(f).all() or bool(np.isfinite(of_zero) and not nll <= times * (abs(of_zero) + 10))


def flat(f: np.ndarray) -> bool:
    """Whether outputs (N, K) are one constant, up to rounding."""
    return bool((np.ptp(f, axis=0) <= 1e-5 * np.abs(f).max(axis=0)).all())
