"""Sequences: what each pass says as a word is read, letter by letter."""

import numpy as np

from .look import PALETTE, Axes, axis, finish, row


def as_it_reads(word: str, passes: np.ndarray, ax: Axes | None = None, title: str = "", ylabel: str = "p",
                shown: int = 40) -> Axes:
    """A thin line for each of the first `shown` passes (T, letters), a thick one for their mean."""
    passes, ax = row("passes", passes, 2), ax or axis()
    letters = np.arange(1, passes.shape[1] + 1)
    for i, line in enumerate(passes[:shown]):
        label = "" if i else "a pass: one omega"
        ax.plot(letters, line, color=PALETTE[5], alpha=0.35, linewidth=0.8, label=label)
    mean = passes.mean(axis=0)
    ax.plot(letters, mean, color=PALETTE[0], linewidth=2.4, marker="o", label="mean of all passes")
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    ax.set_xticks(letters, list(word))
    ax.set_ylim(-0.03, 1.03)
    return finish(ax, title or word, "read so far", ylabel)
