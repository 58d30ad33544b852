"""Regression: what the network expects, how sure it is, and which functions it holds possible."""

import numpy as np

from .. import require
from .look import PALETTE, axis, finish, fit_together, row


def band(x, mean, std, ax=None, label="mean", color=PALETTE[0], title="", xlabel="x", ylabel="y"):
    """The predictive mean (N,) over x (N,) as a line, in bands of one and of two standard deviations `std` (N,). x need not be sorted."""
    ax = ax or axis()
    x, mean, std = row("x", x), row("mean", mean), row("std", std)
    fit_together(x=x, mean=mean, std=std)
    if (std < 0).any():
        raise require.InputError(f"std must not be negative, got {std.min():.6g}")
    order = np.argsort(x, kind="stable")
    x, mean, std = x[order], mean[order], std[order]
    for k, alpha in ((2, 0.15), (1, 0.3)):
        ax.fill_between(x, mean - k * std, mean + k * std, color=color, alpha=alpha, linewidth=0, label=f"±{k} std")
    ax.plot(x, mean, color=color, label=label)
    return finish(ax, title, xlabel, ylabel)


def functions(x, draws, ax=None, color=PALETTE[0], label="draws of the function", title="", xlabel="x", ylabel="f(x)"):
    """Functions drawn from q, each a thin line: draws (T, N) over x (N,), one omega-hat for a whole row (predict with shared=True)."""
    ax = ax or axis()
    x, draws = row("x", x), row("draws", draws, 2)
    if draws.shape[1] != len(x):
        raise require.InputError(f"draws must have shape (T, {len(x)}), got {draws.shape}")
    order = np.argsort(x, kind="stable")
    for t, draw in enumerate(draws):
        ax.plot(x[order], draw[order], color=color, linewidth=0.8, alpha=max(0.15, min(1, 5 / len(draws))), label=label if t == 0 else None)
    return finish(ax, title, xlabel, ylabel)
