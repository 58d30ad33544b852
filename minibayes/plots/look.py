"""The one look: colours, line styles and markers that go together, no global state, files written whole."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import files, require

# Okabe and Ito's palette: told apart with any colour vision.
COLORS = {"none": "#555555", "ip": "#E69F00", "all": "#0072B2"}
LINES = {"mc": "-", "weight-averaging": "--", "probabilistic-pooling": ":"}
MARKERS = {"mc": "o", "weight-averaging": "s", "probabilistic-pooling": "^"}
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#555555")
STYLES, SHAPES = ("-", "--", ":", "-."), ("o", "s", "^", "D", "v", "P", "X")  # lines differ in grey print too
NAMES = {"mc": "MC averaging", "weight-averaging": "weight averaging",
         "probabilistic-pooling": "probabilistic pooling"}


def axis(width: float = 7.0, height: float = 4.6) -> Axes:
    """A new axis on a figure of its own; no window, no global state."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained").add_subplot()


def figure(rows: int, columns: int, size: tuple[float, float]) -> np.ndarray:
    """(rows, columns) axes on one new figure of `size` = (width, height) inches."""
    return Figure(figsize=size, dpi=150, layout="constrained").subplots(rows, columns, squeeze=False)


def save(ax: Axes, path: Path) -> None:
    """Write the axis' figure to `path`, whole or not at all."""
    with files.whole(path) as file:
        ax.figure.savefig(file, format=path.suffix[1:])


def style(i: int) -> dict[str, str]:
    """Colour, line style and marker of the i-th line of a figure."""
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": STYLES[i % len(STYLES)],
            "marker": SHAPES[i % len(SHAPES)]}


def finish(ax: Axes, title: str, xlabel: str, ylabel: str, legend: bool = True, below: int = 0) -> Axes:
    """Title, labels, a faint grid, and a legend if anything has a label.

    below: the legend's columns, if it stands below the axis: where points are everywhere it would hide some.
    """
    ax.set(title=title or ax.get_title(), xlabel=xlabel, ylabel=ylabel)
    ax.grid(True, alpha=0.3)
    if legend and ax.get_legend_handles_labels()[1]:
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12), "ncols": below} if below else {}
        made = ax.legend(fontsize=8, **where)
        for handle in made.legend_handles:  # a small and faint dot of a cloud would say nothing there
            handle.set_alpha(1)
            if hasattr(handle, "set_sizes"):
                handle.set_sizes([40])
    return ax


def curve(ax: Axes, x: Sequence[float], y: Sequence[float], label: str, i: int, points: int = 40) -> Line2D:
    """The i-th line of a figure, with at most `points` markers."""
    return ax.plot(x, y, label=label, markersize=4, markevery=max(1, len(x) // points), **style(i))[0]


def between(ax: Axes, x: Sequence[float], low: Sequence[float], high: Sequence[float], i: int) -> None:
    """A faint band around the i-th line of a figure."""
    ax.fill_between(x, low, high, color=PALETTE[i % len(PALETTE)], alpha=0.2, linewidth=0)


def row(name: str, values: np.ndarray, ndim: int = 1) -> np.ndarray:
    """`values` as a finite float array of `ndim` axes, not empty."""
    values = require.finite(name, require.array(name, values)).astype(float)
    if values.ndim != ndim or not values.size:
        raise require.InputError(f"{name} must have {ndim} axes and not be empty, got shape {values.shape}")
    return values


def fit_together(**arrays: np.ndarray) -> None:
    """An error if the arrays do not have one shape."""
    shapes = {name: np.shape(a) for name, a in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise require.InputError(f"one shape is wanted for {found}")
