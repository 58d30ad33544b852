"""Error and compression along the training and by threshold: the printed table and the figure."""

import numpy as np

from ... import metrics, plots
from .. import common
from .training import LAYERS

PUBLISHED = {"32.9 x, small run": (98.4, 32.9), "68 x, paper": (98.08, 68.0)}  # % right, compression


def at(row: dict, *path: str) -> float | None:
    """row[path[0]][path[1]]...; None where nothing was left to count."""
    for name in path:
        row = row[name]
    return row


def mean(rows: list[dict], *path: str) -> float | None:
    """Over the seeds; None if one of them has none."""
    found = [at(row, *path) for row in rows]
    return None if None in found else float(np.mean(found))


def histories(result: dict) -> list[list[dict]]:
    """For each epoch its row of every seed."""
    return [list(rows) for rows in zip(*(one["history"] for one in result["results"]), strict=True)]


def sweep(result: dict) -> list[list[dict]]:
    """For each threshold its row of every seed."""
    return [list(rows) for rows in zip(*(one["thresholds"] for one in result["results"]), strict=True)]


def times(fewer: float | None) -> str:
    return "none left" if fewer is None else f"{fewer:.1f}"


def percent(result: dict, *path: str, right: bool = False) -> str:
    """One error at the end in %, or what is right, ± its standard error over seeds."""
    average, error = common.mean_and_error([at(one["final"], *path) for one in result["results"]])
    text = f"{100 * (1 - average if right else average):.2f}"
    return text if error is None else f"{text} ± {100 * error:.2f}"


def end_rows(result: dict) -> list[tuple]:
    """What is left at the end, by both predictions."""
    finals, settings = [one["final"] for one in result["results"]], result["settings"]
    return [("all weights", "1.0", percent(result, "error"), percent(result, "mc_error")),
            ("log alpha > 3 gone", times(mean(finals, "pruned", "compression")),
             percent(result, "pruned", "error"), percent(result, "pruned", "mc_error")),
            (f"cut at {settings['fewer']:g} x", times(mean(finals, "cut", "compression")),
             percent(result, "cut", "error"), percent(result, "cut", "mc_error")),
            (f"and trained on, {settings['more_epochs']} epochs without noise",
             times(mean(finals, "cut", "compression")), percent(result, "trained_on"), "-")]


def summary_table(result: dict) -> str:
    settings, history = result["settings"], histories(result)
    every = max(1, len(history) // 10)
    shown = [rows for i, rows in enumerate(history) if i % every == 0 or rows is history[-1]]
    lines = [(f"{rows[0]['epoch']:.0f}", f"{rows[0].get('kl_factor', 1):.2f}", f"{mean(rows, 'nll'):.4f}",
              f"{100 * mean(rows, 'error'):.2f}", f"{100 * mean(rows, 'pruned', 'error'):.2f}",
              times(mean(rows, "pruned", "compression")),
              *(f"{100 * mean(rows, 'pruned', 'sparsity', name):.1f}" for name in LAYERS)) for rows in shown]
    swept = [(f"{rows[0]['threshold']:g}", f"{100 * mean(rows, 'error'):.2f}",
              times(mean(rows, "compression"))) for rows in sweep(result)]
    cut = [one["final"]["cut"] for one in result["results"]]
    images = result["results"][0]["final"]["test_images"]
    binomial = 100 * metrics.binomial_std_error(mean(cut, "error"), images)
    return "\n".join([
        f"{'-'.join(map(str, settings['sizes']))} on {settings['images']:,} digits, "
        f"{settings['weights']:,} weights, {settings['steps']:,} steps of {settings['batch_size']} "
        f"({settings['epochs']:g} epochs); seeds {', '.join(map(str, settings['seeds']))}", "",
        common.table(("epoch", "KL counted", "training nll", "error %", "pruned %", "x fewer weights",
                      *(f"% zero {name}" for name in LAYERS)), lines), "",
        common.table(("gone where log alpha >", "error %", "x fewer weights"), swept), "",
        common.table(("at the end", "x fewer weights", "error %, WA", f"MC, T = {settings['samples']}"),
                     end_rows(result)), "",
        f"Cut at {settings['fewer']:g} x (log alpha > {mean(cut, 'threshold'):.2f}) "
        f"{percent(result, 'cut', 'error', right=True)} % is right, "
        f"{percent(result, 'trained_on', right=True)} % trained on; one binomial standard error of "
        f"{images:,} images: {binomial:.2f} %.",
        "published: 98.4 % at 32.9 x in 100 epochs of a small run; 98.08 % at 68 x in the paper's 200.",
        "WA: weight averaging. MC: under the noise of the weights that are left. Weights: without biases. "
        "Compression counts weights, not bits.\nMeans over seeds, ± one standard error. Nothing was chosen "
        "by the test images."])


def figure(result: dict) -> plots.Axes:
    """Error and compression along the training, and what each threshold would give."""
    axes, history = plots.figure(1, 3, (17, 4.8))[0], histories(result)
    finals = [one["final"] for one in result["results"]]
    epochs = [rows[0]["epoch"] for rows in history]
    for i, (label, path) in enumerate((("all weights", ("error",)), ("pruned", ("pruned", "error")))):
        plots.curve(axes[0], epochs, [100 * mean(rows, *path) for rows in history], label, i)
    left = [(rows[0]["epoch"], fewer) for rows in history if (fewer := mean(rows, "pruned", "compression"))]
    plots.curve(axes[1], *zip(*left, strict=True), "x fewer weights", 0)
    axes[1].set_yscale("log")
    per = result["settings"]["steps"] / result["settings"]["epochs"]
    for ax in axes[:2]:
        ax.axvline(result["settings"]["warm_up"] / per, color=plots.COLORS["none"], linewidth=0.8,
                   label="from here all of the KL")
    swept = [(fewer, 100 * mean(rows, "error")) for rows in sweep(result)
             if (fewer := mean(rows, "compression"))]
    plots.curve(axes[2], *zip(*swept, strict=True), "thresholds of log alpha from -4 to 8", 0)
    for marker, (label, (right, fewer)) in zip("x+", PUBLISHED.items(), strict=True):
        axes[2].plot(fewer, 100 - right, marker, color=plots.COLORS["none"], markersize=8,
                     label=f"published, {label}")
    pruned, cut = ([mean(finals, name, part) for part in ("compression", "error")]
                   for name in ("pruned", "cut"))
    if pruned[0]:
        axes[2].plot(pruned[0], 100 * pruned[1], "o", markersize=9, fillstyle="none",
                     color=plots.PALETTE[3], label="log alpha > 3")
    trained_on = mean(finals, "trained_on")
    axes[2].plot(cut[0], 100 * trained_on, "s", markersize=7, fillstyle="none", color=plots.PALETTE[2],
                 label=f"cut at {result['settings']['fewer']:g} x, trained on")
    axes[2].set_xscale("log")
    axes[2].set_yscale("log")
    for axis in (axes[1].yaxis, axes[2].xaxis, axes[2].yaxis):
        plain_ticks(axis)
    plots.finish(axes[0], f"Pruned at the end: {100 * pruned[1]:.2f} % wrong,\n"
                 f"with all weights {100 * mean(finals, 'error'):.2f} %", "training epoch", "test error, %")
    shares = ", ".join(f"{100 * (1 - mean(finals, 'pruned', 'sparsity', name)):.1f} %" for name in LAYERS)
    plots.finish(axes[1], f"{times(pruned[0])} x fewer weights at the end;\nleft in the layers: {shares}",
                 "training epoch", "weights for each that stays (log scale)")
    plots.finish(axes[2], f"With {cut[0]:.0f} x fewer {100 * cut[1]:.2f} % are wrong,\n"
                 f"trained on {100 * trained_on:.2f} %", "weights for each that stays (log scale)",
                 "test error, % (log scale)")
    return axes[0]


def plain_ticks(of) -> None:
    """Ticks of a log axis as plain numbers."""
    low, high = of.get_view_interval()
    ticks = [tick for tick in (1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
             if low <= tick <= high]
    of.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
    of.set_tick_params(which="minor", bottom=False, left=False, labelbottom=False, labelleft=False)
