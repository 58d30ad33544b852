"""Intervals of many rows: predicted against true, and ranked by what is predicted."""

import numpy as np

from .look import PALETTE, Axes, axis, finish, fit_together, row


def predicted_against_true(y: np.ndarray, mean: np.ndarray, lower: np.ndarray, upper: np.ndarray,
                           ax: Axes | None = None, title: str = "", label: str = "interval",
                           unit: str = "y") -> Axes:
    """A point at (y_n, mean_n) with its interval, all (N,); on the line where both are equal it is right.

    Intervals that miss y_n stand in another colour.
    """
    ax = ax or axis()
    y, mean, lower, upper = row("y", y), row("mean", mean), row("lower", lower), row("upper", upper)
    fit_together(y=y, mean=mean, lower=lower, upper=upper)
    hit = (lower <= y) & (y <= upper)
    for group, color, marker, said in ((hit, PALETTE[0], "o", f"{label} that holds the truth"),
                                       (~hit, PALETTE[3], "D", f"{label} that misses it")):
        if group.any():
            reach = [(mean - lower)[group], (upper - mean)[group]]
            ax.errorbar(y[group], mean[group], np.maximum(reach, 0), fmt=marker, markersize=3, color=color,
                        ecolor=color, elinewidth=0.8, alpha=0.7, label=said)
    ends = [min(y.min(), mean.min()), max(y.max(), mean.max())]
    ax.plot(ends, ends, color="#555555", linewidth=1, linestyle="--", label="predicted = true")
    return finish(ax, title, f"true {unit}", f"predicted {unit}")


def ranked_intervals(mean: np.ndarray, lower: np.ndarray, upper: np.ndarray, ax: Axes | None = None,
                     title: str = "", ylabel: str = "y") -> Axes:
    """From the least mean to the greatest, all (N,): the mean as a line, the intervals as a band."""
    ax = ax or axis()
    mean, lower, upper = row("mean", mean), row("lower", lower), row("upper", upper)
    fit_together(mean=mean, lower=lower, upper=upper)
    order, place = np.argsort(mean, kind="stable"), np.arange(1, len(mean) + 1)
    ax.vlines(place, lower[order], upper[order], color=PALETTE[0], alpha=0.35,
              linewidth=max(0.6, min(6, 300 / len(mean))), label="interval")
    ax.plot(place, mean[order], ".", color=PALETTE[3], markersize=max(2, min(8, 400 / len(mean))),
            label="mean")
    return finish(ax, title, "rows, by their mean", ylabel)
