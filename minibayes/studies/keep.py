"""Which keep does concrete dropout learn as the data grow? The toy of Gal, Hron and Kendall, 1705.07832.

y = 2 x + 8 + e, x and e ~ N(0, 1): a line, so the data can in the end say all, and noise of std 1, of which
no data make less. A network of three hidden layers, concrete dropout before each of its layers, the input
too, predicts a mean and a log-variance. Its epistemic std should fall with N, its aleatoric std stay at 1,
and keep rise: dropout that is no longer needed is learned away.

The settings are those of the paper's notebook: 3 x 1024 units, keep from 0.9, prior lengthscale 1e-4, batches
of 20, Adam, and so many epochs that each N has 1,000 to 2,000 steps. Their scores are of 20 passes, which are
short of the std by 2.5 %. Adam moves logit keep by its rate a step as long as the gradient has one sign, so
what is learned from few points is how many steps there were: the table says how much of that way was taken.
"""

from concurrent.futures import Executor

import numpy as np

from .. import bayes, nn, plots
from ..model import BayesianNetwork
from ..progress import bar
from ..spread import Record, alone, spread
from . import common
from .frame import Count
from .repeats import Repeats

EPOCHS = {10: 2000, 25: 1000, 50: 500, 100: 200, 1000: 20, 10_000: 2}  # N and epochs, as published
PUBLISHED = {"epistemic": (1.09, 0.82, 0.75, 0.67, 0.65, 0.54),  # at these N; and P(z = 0) of the layer 2
             "drop": (0.404, 0.404, 0.326, 0.236, 0.231, 0.137)}
PUBLISHED_ALEATORIC = (1.23, 1.36)  # from, to
BATCH, RATE, LENGTHSCALE, KEEP = 20, 1e-3, 1e-4, 0.9
FRESH, STD = 1000, 1.0
LAYERS = ("fc1", "fc2", "fc3", "fc4")


def line(count: int, seed: int, purpose: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` points (x (N, 1), y (N,))."""
    rng = np.random.default_rng([seed, count, purpose])
    x = rng.standard_normal((count, 1))
    return x, 2 * x[:, 0] + 8 + STD * rng.standard_normal(count)


def network(width: int) -> nn.Network:
    drop, layers = nn.Concrete(KEEP), {}
    for i, (n_in, n_out) in enumerate(((1, width), (width, width), (width, width), (width, 2)), start=1):
        layers[f"fc{i}"] = nn.Dense(n_in, n_out, noise=drop)
        if i < 4:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Network(**layers)


def measured(job: dict, threads: int | None = None, progress: bool = False) -> dict:
    """One network trained on "N" points: its two stds at fresh points, and the keep of each layer."""
    count, seed, settings = job["N"], job["seed"], job
    x, y = line(count, seed, 0)
    fresh, y_fresh = line(FRESH, seed, 1)
    model = BayesianNetwork(network(settings["width"]), bayes.Prior(LENGTHSCALE), bayes.Heteroscedastic())
    batches = -(-count // min(BATCH, count))
    steps = max(1, round(settings["part"] * EPOCHS[count] * batches))
    model.fit(x, y, steps=steps, batch_size=BATCH, optimizer=nn.Adam(RATE), seed=seed, report_every=steps,
              threads=threads, progress=progress)
    found = {"N": count, "seed": seed, "steps": steps}
    for name, net in (("soft", model.net), ("hard", model.net.hard())):
        reader = BayesianNetwork(net, model.prior, model.likelihood, model.params)
        p = reader.predict(fresh, samples=settings["samples"], seed=seed, threads=threads)
        found[name] = {"epistemic": float(np.sqrt(p.epistemic.mean())),
                       "aleatoric": float(np.sqrt(p.aleatoric.mean())), "rmse": p.rmse(y_fresh),
                       "nll": -float(p.log_likelihood(y_fresh).mean())}
    keeps = (float(1 / (1 + np.exp(-model.params[name]["logit_keep"].item()))) for name in LAYERS)
    return found | {"keep": dict(zip(LAYERS, keeps, strict=True))}


def over_seeds(result: dict, count: int, *path: str) -> tuple[float, float | None]:
    """(mean, standard error) of one number at one N."""
    found = []
    for row in result["results"]:
        if row["N"] == count:
            for key in path:
                row = row[key]
            found.append(row)
    return common.mean_and_error(found)


def pm(statistic: tuple, digits: int = 2) -> str:
    mean, error = statistic
    return f"{mean:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def trend(result: dict, *path: str) -> tuple[float, float]:
    """One number at the smallest and at the largest N."""
    counts = result["settings"]["counts"]
    return over_seeds(result, counts[0], *path)[0], over_seeds(result, counts[-1], *path)[0]


def way_taken(row: dict, name: str = "fc2") -> float:
    """How far logit keep has come, over `RATE` for every step: 1 says that Adam pushed it all the time."""
    keep = row["keep"][name]
    return (np.log(KEEP / (1 - KEEP)) - np.log(keep / (1 - keep))) / (RATE * row["steps"])


def summary_table(result: dict) -> str:
    settings, rows = result["settings"], []
    for at, count in enumerate(EPOCHS):
        rows.append((f"{count:,}", *(pm(over_seeds(result, count, "hard", part))
                                     for part in ("epistemic", "aleatoric", "rmse", "nll")),
                     pm(over_seeds(result, count, "soft", "epistemic")), f"{PUBLISHED['epistemic'][at]:.2f}",
                     *(pm(over_seeds(result, count, "keep", name), 3) for name in LAYERS),
                     f"{1 - PUBLISHED['drop'][at]:.3f}",
                     f"{np.mean([way_taken(row) for row in result['results'] if row['N'] == count]):.2f}"))
    header = ("N", "epistemic", "aleatoric", "RMSE", "nll", "epistemic, soft z", "published",
              *(f"keep {name}" for name in LAYERS), "published, fc2", "way taken")
    first, last = trend(result, "hard", "epistemic")
    low, high = trend(result, "keep", "fc2")
    return "\n".join([
        f"y = 2 x + 8 + N(0, 1) by 3 x {settings['width']} ReLU with concrete dropout, T = "
        f"{settings['samples']}; seeds {', '.join(map(str, settings['seeds']))}", "",
        common.table(header, rows), "",
        f"From N = {settings['counts'][0]} to {settings['counts'][-1]:,} the epistemic std goes from "
        f"{first:.2f} to {last:.2f} and keep before the second layer from {low:.2f} to {high:.2f}.",
        "std at fresh points: epistemic, of the mean over passes; aleatoric, predicted (true: "
        f"{STD:g}; published {PUBLISHED_ALEATORIC[0]} to {PUBLISHED_ALEATORIC[1]}). nll in nats.\n"
        "way taken: how far logit keep of fc2 has come from where it began, over Adam's rate times the "
        "steps; near 1, more steps would have\ntaken it further, and keep says how many there were.\n"
        "Predicted with z in {0, 1}; soft: with the relaxed z of the training. "
        "± one standard error over seeds."])


def figure(result: dict) -> plots.Axes:
    """The two stds, and keep layer by layer, against N."""
    axes, counts = plots.figure(1, 2, (12, 4.8))[0], result["settings"]["counts"]

    def draw(ax: plots.Axes, label: str, i: int, *path: str) -> None:
        found = [over_seeds(result, count, *path) for count in counts]
        plots.curve(ax, counts, [mean for mean, _ in found], label, i)
        ax.errorbar(counts, [mean for mean, _ in found], yerr=[error or 0 for _, error in found], fmt="none",
                    color=plots.PALETTE[i], capsize=2)

    draw(axes[0], "epistemic", 0, "hard", "epistemic")
    draw(axes[0], "aleatoric", 1, "hard", "aleatoric")
    grey = plots.COLORS["none"]
    axes[0].plot(counts, PUBLISHED["epistemic"], "x", color=grey, label="epistemic, published")
    axes[0].axhline(STD, color=grey, linewidth=0.6, label="the noise in the data")
    for i, name in enumerate(LAYERS):
        draw(axes[1], f"before {name}", i, "keep", name)
    axes[1].plot(counts, [1 - drop for drop in PUBLISHED["drop"]], "x", color=grey,
                 label="before fc2, published")
    (first, last), (low, high) = trend(result, "hard", "epistemic"), trend(result, "keep", "fc2")
    noise = [over_seeds(result, count, "hard", "aleatoric")[0] for count in counts]
    for ax in axes:
        ax.set_xscale("log")
    axes[0].set_ylim(0)
    plots.finish(axes[0], f"Epistemic std: {first:.2f} at N = {counts[0]}, {last:.2f} at {counts[-1]:,};\n"
                 f"aleatoric: {min(noise):.2f} to {max(noise):.2f}, the truth is {STD:g}",
                 "training points, N (log scale)", "std of y at fresh points")
    plots.finish(axes[1], f"keep before the second layer: {low:.2f} at N = {counts[0]},\n"
                 f"{high:.2f} at {counts[-1]:,}", "training points, N (log scale)", "keep = P(z = 1)")
    return axes[0]


class Keep(Repeats, name="keep", about="which keep does concrete dropout learn from 10 to 10,000 points of a "
           "line? keep.png, keep.json"):
    counts = {"width": Count("W", "units in each of the three hidden layers", 1, 8192),
              "samples": Count("T", "MC passes", 2, 100_000),
              "seeds": Count("K", "repetitions, with seeds S to S+K-1", 1, 1000)}
    timed = True
    full = {"width": 1024, "samples": 100, "seeds": 1, "part": 1.0}
    quick = {"width": 128, "samples": 100, "seeds": 1, "part": 0.5}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        part = {name: settings[name] for name in ("width", "samples", "part")}
        jobs = [{"N": count, "seed": seed} | part for seed in settings["seeds"] for count in EPOCHS]
        with bar(progress, len(jobs), "networks", " networks") as progress_bar:
            rows = spread(alone(measured, executor, threads, progress), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)
        full = settings | {"counts": list(EPOCHS), "batch_size": BATCH, "rate": RATE,
                           "lengthscale": LENGTHSCALE, "threads": threads}
        return {"settings": full, "results": rows}, None

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return figure(result)
