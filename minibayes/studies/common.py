"""What the studies report with: plain tables, means with their standard errors, what noise has learned."""

from collections.abc import Sequence

import numpy as np

from ..model import BayesianNetwork


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


def learned(model: BayesianNetwork) -> dict[str, dict[str, float]]:
    """{layer: {"mean": E[z], "sd": sqrt(Var[z])}}, means over its units, of the layers whose noise learns."""
    found = {}
    for name in model.net.learned:
        layer = model.net.layers[name]
        phi = layer.phi(model.params[name])
        found[name] = {"mean": float(np.mean(layer.noise.moments(phi)[0])),
                       "sd": float(np.mean(layer.noise.sd(phi)))}
    return found
