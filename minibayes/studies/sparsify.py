"""How many weights does a network need? 784-300-100-10 on MNIST by sparse variational dropout, then pruned.

w = m + s e for each weight, log s learned, under the log-uniform prior: a weight that the data do not need
drifts to a large log alpha = log s^2/m^2, and those above 3 are set to 0 (Molchanov, Ashukha and Vetrov,
arXiv 1701.05369). The settings are those of a published small run (98.4 % right with 32.9 x fewer weights):
log s is -5 at first, pixels are standardised, 100 epochs of batches of 100, and Adam's rate falls in steps
once the KL counts whole. Until then its share grows linearly from nothing: what such a fit minimises is no
bound, and the table says so. It takes so many steps because most weights that go are not pushed hard: the
KL's pull on them is small beside the noise of the gradient.
"""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import bayes, data, nn, plots, require
from ..model import BayesianNetwork
from . import common
from .frame import Count, Study
from .talk import tell

SIZES = (784, 300, 100, 10)
LAYERS = ("fc1", "fc2", "fc3")
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
LOG_STD = -5.0


class Schedule(NamedTuple):
    """How sparse variational dropout is trained."""

    epochs: float
    batch: int = 100
    warm_up: float = 0.5  # of all steps: the KL's share grows
    # Of all steps, and the rate of Adam, who begins anew in each stage.
    stages: tuple = ((0.5, 1e-3), (0.1, 2e-4), (0.1, 4e-5), (0.1, 8e-6), (0.2, 1.6e-6))

    def steps(self, images: int) -> int:
        return max(len(self.stages), round(self.epochs * self.epoch(images)))

    def epoch(self, images: int) -> int:
        return -(-images // min(self.batch, images))


STEP = 0.03  # seconds, on two cores
THRESHOLDS = tuple(range(-4, 9))
PUBLISHED = {"32.9 x, small run": (98.4, 32.9), "68 x, paper": (98.08, 68.0)}  # % right, compression


def network(log_std: float = LOG_STD) -> nn.Network:
    noise, layers = nn.MeanField(math.exp(log_std)), {}
    for i, (n_in, n_out) in enumerate(zip(SIZES, SIZES[1:], strict=False), start=1):
        layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=noise)
        if i < len(SIZES) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Network(**layers)


def rows(images: np.ndarray) -> np.ndarray:
    """(N, 784), standardised as published."""
    return ((images.reshape(len(images), -1) - PIXEL_MEAN) / PIXEL_STD).astype(np.float32)


def pruned(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, threads: int | None,
           threshold: float = bayes.sparsity.THRESHOLD) -> dict:
    """The error without the weights of log alpha above the threshold, and how many are left."""
    params = bayes.sparsity.prune(model.net, model.params, threshold)
    left = BayesianNetwork(model.net, model.prior, params=params)
    compression = bayes.sparsity.compression(model.net, model.params, threshold)
    return {"threshold": threshold,
            "error": left.predict(x, rule="weight-averaging", threads=threads).error(y),
            "compression": compression if math.isfinite(compression) else None,
            "sparsity": bayes.sparsity.sparsity(model.net, model.params, threshold)}


def share_of_kl(before: int, warm_up: int, step: int) -> float:
    """How much of the KL counts at a step of a stage that so many steps went `before`."""
    return min((before + step + 1) / warm_up, 1.0)


def fit(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, schedule: Schedule, seed: int,
        threads: int | None = None, progress: bool = False, report: Callable | None = None) -> list:
    """Train by a schedule, in its stages; the history, a row an epoch with what `report` adds."""
    epoch, steps = schedule.epoch(len(x)), schedule.steps(len(x))
    warm_up = max(1, round(schedule.warm_up * steps))
    ends = [round(steps * sum(share for share, _ in schedule.stages[:i + 1]))
            for i in range(len(schedule.stages))]
    history, done = [], 0
    for stage, (end, (_, rate)) in enumerate(zip(ends, schedule.stages, strict=True)):
        if end == done:
            continue
        run = {"steps": end - done, "batch_size": schedule.batch, "threads": threads, "progress": progress,
               "optimizer": nn.Adam(rate), "seed": nn.Key(seed).derive(f"stage {stage}").seed,
               "report_every": epoch, "on_report": report, "params": model.params}
        found = model.fit(x, y, kl_factor=partial(share_of_kl, done, warm_up), **run)
        history += [row | {"step": row["step"] + done, "epoch": (row["step"] + done) / epoch}
                    for row in found]
        done = end
    return history


def study(settings: dict, threads: int | None = None, progress: bool = False) -> dict:
    """What sparsify.json has beside settings: "history", a row an epoch; "final"; "thresholds"."""
    x, y, x_test, y_test = data.mnist()
    x, y, x_test = rows(x[:settings["images"]]), y[:settings["images"]], rows(x_test)
    model, schedule = BayesianNetwork(network(), bayes.LogUniform()), Schedule(settings["epochs"])

    def report(snapshot: BayesianNetwork, row: dict) -> dict:
        plain = snapshot.predict(x_test, rule="weight-averaging", threads=threads).error(y_test)
        return {"error": plain, "pruned": pruned(snapshot, x_test, y_test, threads)}

    history = fit(model, x, y, schedule, settings["seed"], threads, progress, report)
    steps = schedule.steps(len(x))
    kept = ("epoch", "step", "loss", "nll", "kl_factor", "bound", "error", "pruned")
    mc = model.predict(x_test, samples=settings["samples"], seed=settings["seed"], threads=threads)
    final = {"error": history[-1]["error"], "mc_error": mc.error(y_test),
             "mc_nll": -float(mc.log_likelihood(y_test).mean())} | {"pruned": history[-1]["pruned"]}
    full = settings | {"images": len(x), "steps": steps, "warm_up": max(1, round(schedule.warm_up * steps)),
                       "batch_size": schedule.batch, "stages": schedule.stages, "log_std": LOG_STD,
                       "sizes": list(SIZES),
                       "weights": sum(a * b for a, b in zip(SIZES, SIZES[1:], strict=False)),
                       "threads": threads}
    return {"settings": full, "final": final,
            "history": [{name: row[name] for name in kept if name in row} for row in history],
            "thresholds": [pruned(model, x_test, y_test, threads, float(at)) for at in THRESHOLDS]}


def times(row: dict) -> str:
    return "none left" if row["compression"] is None else f"{row['compression']:.1f}"


def summary_table(result: dict) -> str:
    settings, final, history = result["settings"], result["final"], result["history"]
    every = max(1, len(history) // 10)
    shown = [row for i, row in enumerate(history) if i % every == 0 or row is history[-1]]
    lines = [(f"{row['epoch']:.0f}", f"{row.get('kl_factor', 1):.2f}", f"{row['nll']:.4f}",
              f"{100 * row['error']:.2f}", f"{100 * row['pruned']['error']:.2f}", times(row["pruned"]),
              *(f"{100 * row['pruned']['sparsity'][name]:.1f}" for name in LAYERS)) for row in shown]
    sweep = [(f"{row['threshold']:g}", f"{100 * row['error']:.2f}", times(row))
             for row in result["thresholds"]]
    right = [f"{100 * (1 - error):.2f} %"
             for error in (final["pruned"]["error"], final["error"], final["mc_error"])]
    return "\n".join([
        f"{'-'.join(map(str, SIZES))} on {settings['images']:,} digits, {settings['weights']:,} weights, "
        f"{settings['steps']:,} steps of {settings['batch_size']} ({settings['epochs']:g} epochs), "
        f"seed {settings['seed']}", "",
        common.table(("epoch", "KL counted", "training nll", "error %", "pruned %", "x fewer weights",
                      *(f"% zero {name}" for name in LAYERS)), lines), "",
        common.table(("pruned where log alpha >", "error %", "x fewer weights"), sweep), "",
        f"At the end {right[0]} right with {times(final['pruned'])} x fewer weights; before pruning "
        f"{right[1]}, and {right[2]} by MC (T = {settings['samples']}).",
        "published: 98.4 % at 32.9 x in 100 epochs of a small run; 98.08 % at 68 x in the paper's 200.",
        "Error by weight averaging. Weights: without the biases. Compression counts weights, not bits."])


def figure(result: dict) -> plots.Axes:
    """Error and compression along the training, and what each threshold would give."""
    axes, history, final = plots.figure(1, 3, (17, 4.8))[0], result["history"], result["final"]
    epochs, warm = [row["epoch"] for row in history], result["settings"]["warm_up"]
    for i, (label, errors) in enumerate((("all weights", [row["error"] for row in history]),
                                         ("pruned", [row["pruned"]["error"] for row in history]))):
        plots.curve(axes[0], epochs, [100 * error for error in errors], label, i)
    left = [(row["epoch"], row["pruned"]["compression"]) for row in history if row["pruned"]["compression"]]
    plots.curve(axes[1], *zip(*left, strict=True), "x fewer weights", 0)
    axes[1].set_yscale("log")
    per = result["settings"]["steps"] / result["settings"]["epochs"]
    for ax in axes[:2]:
        ax.axvline(warm / per, color=plots.COLORS["none"], linewidth=0.8, label="from here all of the KL")
    swept = [row for row in result["thresholds"] if row["compression"]]
    plots.curve(axes[2], [row["compression"] for row in swept], [100 * row["error"] for row in swept],
                "thresholds of log alpha from -4 to 8", 0)
    for marker, (label, (right, fewer)) in zip("x+", PUBLISHED.items(), strict=True):
        axes[2].plot(fewer, 100 - right, marker, color=plots.COLORS["none"], markersize=8,
                     label=f"published, {label}")
    at = final["pruned"]
    if at["compression"]:
        axes[2].plot(at["compression"], 100 * at["error"], "o", markersize=9, fillstyle="none",
                     color=plots.PALETTE[3], label="log alpha > 3")
    axes[2].set_xscale("log")
    for ax in axes[1:]:
        plain_ticks(ax.yaxis if ax is axes[1] else ax.xaxis)
    plots.finish(axes[0], f"Pruned at the end: {100 * at['error']:.2f} % wrong,\n"
                 f"with all weights {100 * final['error']:.2f} %", "training epoch", "test error, %")
    shares = ", ".join(f"{100 * (1 - at['sparsity'][name]):.1f} %" for name in LAYERS)
    plots.finish(axes[1], f"{times(at)} x fewer weights at the end;\nleft in the layers: {shares}",
                 "training epoch", "weights for each that stays (log scale)")
    plots.finish(axes[2], "What each threshold would keep", "weights for each that stays (log scale)",
                 "test error, %")
    return axes[0]


def plain_ticks(of) -> None:
    """Ticks of a log axis as plain numbers."""
    low, high = of.get_view_interval()
    ticks = [tick for tick in (1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
             if low <= tick <= high]
    of.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
    of.set_tick_params(which="minor", bottom=False, left=False, labelbottom=False, labelleft=False)


class Sparsify(Study, name="sparsify", about="how many weights does it need? sparse variational dropout on "
               "MNIST, pruned; sparsify.png, sparsify.json"):
    counts = {"images": Count("N", "training images", 200, 60_000),
              "samples": Count("T", "MC passes of the last line", 2, 100_000)}
    full = {"epochs": 100, "images": 60_000, "samples": 20}
    quick = {"epochs": 10, "images": 6000, "samples": 5}

    def add_options(self, parser: ArgumentParser) -> None:
        default = f"{self.full['epochs']}; quick: {self.quick['epochs']}"
        parser.add_argument("--epochs", type=float, metavar="E", help=f"training epochs (default {default})")

    def settings(self, options: Namespace) -> dict:
        settings = super().settings(options)
        if options.epochs is not None:
            settings["epochs"] = require.real("--epochs", options.epochs, 0, 10_000, open_low=True)
        return settings

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, None]:
        steps = Schedule(settings["epochs"]).steps(settings["images"])
        if progress:
            tell(f"{steps:,.0f} steps: about {max(1, round(steps * STEP / 60))} min on two cores")
        return study(settings, threads, progress), None

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return figure(result)

    def closing(self, wrote: str, seconds: float, threads: int) -> str:
        return f"{wrote} after {seconds:.0f} s"
