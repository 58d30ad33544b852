"""Scores of whole studies: error against training epoch or passes averaged, means with standard errors."""

from collections.abc import Sequence

import numpy as np

from .look import COLORS, LINES, MARKERS, NAMES, Axes, axis, finish, fit_together, row


def error_curves(curves: Sequence[dict], title: str, ax: Axes | None = None) -> Axes:
    """Test error in %, on a log axis, against the training epoch.

    A line for each {variant, rule, epochs, errors, error_se, samples}: errors are fractions; error_se, their
    standard errors, may be missing or None, and is a band of one to each side.
    """
    ax = ax or axis()
    for curve in curves:
        variant, rule = curve["variant"], curve["rule"]
        epochs, errors = np.asarray(curve["epochs"], float), 100 * np.asarray(curve["errors"], float)
        passes = f", T = {curve['samples']}" if rule == "mc" and curve.get("samples") else ""
        label = f"lenet-{variant}" if variant == "none" else f"lenet-{variant}, {NAMES[rule]}{passes}"
        line = "-" if variant == "none" else LINES[rule]
        ax.plot(epochs, errors, line, marker=MARKERS[rule], markersize=4, color=COLORS[variant], label=label)
        if curve.get("error_se") is not None:
            se = 100 * np.asarray(curve["error_se"], float)
            low = np.maximum(errors - se, 1e-3)
            ax.fill_between(epochs, low, errors + se, color=COLORS[variant], alpha=0.15, linewidth=0)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ticks = [t for t in (0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 90) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("training epoch")
    ax.set_ylabel("test error, % (log scale)")
    ax.set_title(title)
    ax.grid(True, alpha=0.3)
    ax.legend(fontsize=8)
    return ax


def error_against_passes(passes: np.ndarray, errors: np.ndarray, std_errors: np.ndarray,
                         ax: Axes | None = None, label: str | None = None, title: str = "") -> Axes:
    """An error or its Monte Carlo estimate (R,) against T, passes averaged (R,); bars: standard errors."""
    ax = ax or axis()
    passes, errors = row("passes", passes), row("errors", errors)
    std_errors = row("std_errors", std_errors)
    fit_together(passes=passes, errors=errors, std_errors=std_errors)
    ax.errorbar(passes, errors, yerr=std_errors, fmt="o-", color=COLORS["all"], markersize=4, capsize=3,
                label=label or "± 1 standard error")
    ax.set_xscale("log")
    ax.set_xticks(passes, [f"{p:g}" for p in passes])
    ax.minorticks_off()
    return finish(ax, title, "passes averaged, T (log scale)", "error")


def score_lines(lines: Sequence[dict], title: str, ax: Axes | None = None) -> Axes:
    """From the top, a line for each {label, mean, se, values, color}: mean ± 2 std. errors, values as dots.

    se is None where it is not known, values may be empty; color: a key of COLORS.
    """
    ax = ax or axis()
    for at, line in enumerate(lines):
        color, values = COLORS[line["color"]], np.asarray(line["values"], float)
        spread = at + 0.3 * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.full(len(values), at)
        ax.plot(values, spread, "o", color=color, alpha=0.4, markersize=4, markeredgewidth=0)
        ax.errorbar(line["mean"], at, xerr=2 * line["se"] if line["se"] else None, fmt="o", color=color,
                    markersize=6, capsize=3)
    ax.set_yticks(range(len(lines)), [line["label"] for line in lines])
    ax.set_ylim(len(lines) - 0.5, -0.5)
    ax.set_xlabel("mean ± two standard errors; a dot: one split")
    ax.set_title(title, fontsize=10)
    ax.grid(True, axis="x", alpha=0.3)
    return ax
