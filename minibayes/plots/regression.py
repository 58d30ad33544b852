"""Regression: what the network expects, how sure it is, and which functions it holds possible."""

import numpy as np

from .. import require
from .look import PALETTE, Axes, axis, finish, fit_together, row


def band(x: np.ndarray, mean: np.ndarray, std: np.ndarray, ax: Axes | None = None, label: str = "mean",
         color: str = PALETTE[0], title: str = "", xlabel: str = "x", ylabel: str = "y") -> Axes:
    """The predictive mean as a line, in bands of one and of two std; x, mean, std (N,), x in any order."""
    ax = ax or axis()
    x, mean = row("x", x), row("mean", mean)
    std = row("std", std)
    fit_together(x=x, mean=mean, std=std)
    if (std < 0).any():
        raise require.InputError(f"std must not be negative, got {std.min():.6g}")
    order = np.argsort(x, kind="stable")
    x, mean = x[order], mean[order]
    for k, alpha in ((2, 0.15), (1, 0.3)):
        reach = k * std[order]
        ax.fill_between(x, mean - reach, mean + reach, color=color, alpha=alpha, linewidth=0,
                        label=f"±{k} std")
    ax.plot(x, mean, color=color, label=label)
    return finish(ax, title, xlabel, ylabel)


def functions(x: np.ndarray, draws: np.ndarray, ax: Axes | None = None, color: str = PALETTE[0],
              label: str = "draws of the function", title: str = "", xlabel: str = "x",
              ylabel: str = "f(x)") -> Axes:
    """Draws of the function from q, each a thin line: (T, N) over x (N,).

    A row needs one omega-hat for all of x: predict with shared=True.
    """
    ax = ax or axis()
    x, draws = row("x", x), row("draws", draws, 2)
    if draws.shape[1] != len(x):
        raise require.InputError(f"draws must have shape (T, {len(x)}), got {draws.shape}")
    order = np.argsort(x, kind="stable")
    alpha = max(0.15, min(1, 5 / len(draws)))
    for t, draw in enumerate(draws):
        ax.plot(x[order], draw[order], color=color, linewidth=0.8, alpha=alpha,
                label=label if t == 0 else None)
    return finish(ax, title, xlabel, ylabel)
