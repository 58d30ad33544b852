"""What every study shares: its options, an output folder that is checked before the work, JSON, versions, and plain tables."""

import json
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

from .. import __version__, require


def add_options(parser):
    """The options that each study takes."""
    parser.add_argument("--quick", action="store_true", help="a small version, about a minute")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="first seed (default 0)")
    parser.add_argument("--out", default=".", metavar="DIR", help="folder for the figure and the JSON (default: here)")
    parser.add_argument("--json", action="store_true", help="print the JSON to stdout instead of the table")
    parser.add_argument("--threads", type=int, default=None, metavar="N", help="threads (default: all processors)")


def add_training_options(parser, epochs):
    """The options of the studies that train one kind of network; `epochs` says what the default is."""
    parser.add_argument("--epochs", type=float, default=None, metavar="E", help=f"training epochs (default {epochs})")
    parser.add_argument("--samples", type=int, default=None, metavar="T", help="stochastic passes")


def training_steps(epochs, per_epoch, default):
    """Minibatch steps for --epochs, or `default` if it was not given."""
    if epochs is None:
        return default
    return max(1, round(require.real("--epochs", epochs, 0, 10_000, open_low=True) * per_epoch))


def output_folder(path):
    """`path` as a folder that exists and can be written to; an error before any work if it cannot."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:  # ValueError: a null byte
        said = getattr(error, "strerror", None) or error
        raise require.InputError(f"--out must be a folder that can be written to, got {str(path)!r}: {said}") from None


def versions():
    """The versions a result depends on, and the processor."""
    return {"minibayes": __version__, "python": platform.python_version(), "machine": platform.machine(),
            **{name: metadata.version(name) for name in ("numpy", "numba")}}


def write_json(path, result):
    """Write `result` as JSON, whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(to_json(result) + "\n")
    os.replace(temporary, path)


def to_json(result):
    return json.dumps(result, indent=1, allow_nan=False)


def table(header, rows):
    """Columns as wide as their widest cell; the first and those without numbers to the left, the rest to the right."""
    cells = [header, *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    left = [i == 0 or all(not row[i][:1].isdigit() for row in cells[1:]) for i in range(len(header))]
    lines = ["  ".join(c.ljust(w) if to_left else c.rjust(w) for c, w, to_left in zip(row, widths, left, strict=True)).rstrip()
             for row in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def mean_and_error(values):
    """(mean, standard error of the mean); the error is None for a single value."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
