"""What the studies report with: plain tables, and means with their standard errors."""

from collections.abc import Sequence

import numpy as np


def table(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """Columns as wide as their widest cell: numbers to the right, words and the first column to the left."""
    cells = [header, *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    left = [i == 0 or not any(row[i][:1].isdigit() for row in cells[1:]) for i in range(len(header))]
    lines = ["  ".join(c.ljust(w) if to_left else c.rjust(w)
                       for c, w, to_left in zip(row, widths, left, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """(mean, standard error of the mean); the error is None for a single value."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
