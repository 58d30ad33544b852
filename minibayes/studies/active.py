"""Which labels are worth asking for? MNIST from 20 labels on: at random, by BALD, by BatchBALD.

BALD asks for the inputs whose labels would teach most, each by itself; of a pool with copies its batches are
copies. So the pool is taken as it is, with every image twice, and five times. BatchBALD asks for the batch
that teaches most together (Kirsch, van Amersfoort and Gal, arXiv 1906.08158). What is compared is how many
labels it takes to reach 90 and 95 % on test images, over several seeds: one seed says nothing.

The network is theirs, two convolutions of 32 and 64, 128 units, keep 1/2, trained anew for each round; ten
labels a round. To fit into minutes: no noise behind the convolutions, so that all passes share them; a few
hundred steps of Adam; a pool of a thousand different images (theirs: all 60,000); a fifth of the test set;
and from 150 labels on fifty a round, so that beyond, the labels that it takes are known up to fifty.
"""

from argparse import Namespace
from concurrent.futures import Executor

import numpy as np

from .. import active, bayes, data, nn, plots
from ..model import BayesianNetwork
from ..progress import bar
from ..spread import Record, alone, spread
from . import common
from .frame import Count
from .repeats import Repeats

METHODS = {"random": "random", "top": "BALD", "batch": "BatchBALD"}  # `how` of active.select, and its name
COPIES = (1, 2, 5)
A_CLASS = 2  # labels at first of each class
B, LATER, MANY = 10, 150, 50  # labels a round; from LATER labels on
RATE, BATCH = 2e-3, 32
GOALS = (0.9, 0.95)
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081
# Labels to 90 and 95 %, medians of six runs that were published with BatchBALD's code; None: never, by most.
PUBLISHED = {("top", 1): (155, 250), ("batch", 1): (105, 225), ("random", 1): (255, 835),
             ("random", 2): (170, None), ("top", 2): (175, None), ("batch", 2): (100, 245),
             ("random", 5): (155, None), ("top", 5): (None, None), ("batch", 5): (110, 270)}


def network() -> nn.Network:
    drop = nn.Bernoulli(0.5)
    return nn.Network((28, 28, 1), conv1=nn.Conv2d(1, 32, 5), pool1=nn.MaxPool2d(2), relu1=nn.ReLU(),
                      conv2=nn.Conv2d(32, 64, 5), pool2=nn.MaxPool2d(2), relu2=nn.ReLU(), flat=nn.Flatten(),
                      fc1=nn.Dense(1024, 128, noise=drop), relu3=nn.ReLU(), fc2=nn.Dense(128, 10, noise=drop))


def problem(pool: int, copies: int, test: int, seed: int) -> dict:
    """{"pool", "test", "start"} of active.rounds: the same images and first labels for all methods."""
    x, y, x_test, y_test = data.mnist()
    every = max(1, len(x_test) // test)
    y_test = y_test[::every][:test]
    x, x_test = ((a - PIXEL_MEAN) / PIXEL_STD for a in (x, x_test[::every][:test]))
    order = np.random.default_rng([seed, 4]).permutation(len(x))
    start = np.concatenate([order[y[order] == c][:A_CLASS] for c in np.unique(y)])
    chosen = np.concatenate([start, order[~np.isin(order, start)][:pool - len(start)]])
    return {"pool": (np.tile(x[chosen], (copies, 1, 1, 1)), np.tile(y[chosen], copies)),
            "test": (x_test, y_test), "start": np.arange(len(start))}


def labels_a_round(labelled: int) -> int:
    return B if labelled < LATER else MANY


def loop(job: dict, threads: int | None = None, progress: bool = False) -> dict:
    """The rounds of one method on one pool with one seed: {"labels", "errors", "nlls"}.

    job: "how", "copies", "seed", "pool", "test", "labels", "steps", "samples".
    """
    found = {"labels": [], "errors": [], "nlls": []}  # up to 95 % or all labels
    model = BayesianNetwork(network(), bayes.Prior(0.1))
    fit = {"steps": job["steps"], "batch_size": BATCH, "optimizer": nn.Adam(RATE), "threads": threads}
    given = problem(job["pool"], job["copies"], job["test"], job["seed"])
    for each in active.rounds(model, **given, b=labels_a_round, score="bald", how=job["how"],
                              samples=job["samples"], seed=job["seed"], **fit):
        found["labels"].append(len(each.labelled))
        found["errors"].append(each.error)
        found["nlls"].append(each.nll)
        if each.error <= 1 - GOALS[-1] or len(each.labelled) >= job["labels"]:
            return found
    return found


def pools(settings: dict) -> list[tuple[str, int]]:
    """(how, copies) of each line."""
    return [(how, copies) for copies in settings["copies"] for how in METHODS]


def reached(run: dict, goal: float) -> int | None:
    """The fewest labels with which the accuracy was at least `goal`; None: never."""
    good = [n for n, error in zip(run["labels"], run["errors"], strict=True) if error <= 1 - goal + 1e-12]
    return good[0] if good else None


def of(result: dict, how: str, copies: int) -> list[dict]:
    """The runs of one line, in order of the seeds."""
    return [run for run in result["runs"] if (run["how"], run["copies"]) == (how, copies)]


def errors_at(result: dict, how: str, copies: int, labels: int) -> list[float]:
    """The error of each seed in % with so many labels; of a run that ended before, at its end."""
    return [100 * next((e for n, e in zip(run["labels"], run["errors"], strict=True) if n >= labels),
                       run["errors"][-1]) for run in of(result, how, copies)]


def median(found: list, most: int) -> str:
    """The median of labels, in brackets the least and the most; never counts as more than all."""
    ranks = sorted(most + 1 if n is None else n for n in found)
    middle = (ranks[(len(ranks) - 1) // 2] + ranks[len(ranks) // 2]) / 2
    never = sum(n is None for n in found)
    said = "never" if middle > most else f"{middle:g}"
    if len(found) == never:
        return f"never by {most}"
    return f"{said} [{ranks[0]}-{'never' if never else ranks[-1]}]"


def published(how: str, copies: int, goal: int) -> str:
    found = PUBLISHED.get((how, copies), ("-", "-"))[goal]
    return "never" if found is None else str(found)


def differences(result: dict) -> list[str]:
    """Each two lines whose order is in question, paired by seed: they have one pool and one beginning."""
    at, lines = result["settings"]["compared"], []
    for copies in result["settings"]["copies"]:
        for one, other in (("top", "random"), ("batch", "top")):
            gaps = [a - b for a, b in zip(errors_at(result, one, copies, at),
                                          errors_at(result, other, copies, at), strict=True)]
            mean, error = common.mean_and_error(gaps)
            lines.append(f"  {name(one, copies)} minus {name(other, copies)}, {at} labels: {mean:+.1f}"
                         + ("" if error is None else f" ± {error:.1f}") + " % of error")
    return lines


def name(how: str, copies: int) -> str:
    return METHODS[how] + (f", every image {copies} times" if copies > 1 else "")


def summary_table(result: dict) -> str:
    settings, rows = result["settings"], []
    for how, copies in pools(settings):
        runs = of(result, how, copies)
        cells = [name(how, copies)]
        for labels in settings["shown"]:
            mean, error = common.mean_and_error(errors_at(result, how, copies, labels))
            cells.append(f"{mean:.1f}" + ("" if error is None else f" ± {error:.1f}"))
        for i, goal in enumerate(GOALS):
            cells += [median([reached(run, goal) for run in runs], settings["labels"]),
                      published(how, copies, i)]
        rows.append(cells)
    header = ("chosen by", *(f"error %, {n} labels" for n in settings["shown"]),
              *(part for goal in GOALS for part in (f"labels to {goal:.0%}", "published")))
    seeds = settings["seeds"]
    return "\n".join([
        f"MNIST, {settings['pool']:,} different images to choose from, {B} labels a round from "
        f"{10 * A_CLASS} on, {MANY} from {LATER} on; "
        f"{settings['steps']} steps a round, T = {settings['samples']}; seed"
        f"{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}", "",
        common.table(header, rows), "",
        "± one standard error over seeds. Labels: the median over seeds [least-most]. Published: medians of "
        "six runs", "(random with every image once: three) with all 60,000 images, noise behind the "
        "convolutions and longer training.", "", "Paired by seed:", *differences(result)])


def figure(result: dict) -> plots.Axes:
    """Error against labels, a panel for each number of copies."""
    settings = result["settings"]
    axes = plots.figure(1, len(settings["copies"]), (4.9 * len(settings["copies"]), 4.6))[0]
    at = settings["compared"]
    for ax, copies in zip(axes, settings["copies"], strict=True):
        said = []
        for i, how in enumerate(METHODS):
            runs = of(result, how, copies)
            labels = max((run["labels"] for run in runs), key=len)
            stats = [common.mean_and_error(errors_at(result, how, copies, n)) for n in labels]
            means, errors = [m for m, _ in stats], [e or 0 for _, e in stats]
            plots.curve(ax, labels, means, METHODS[how], i)
            plots.between(ax, labels, np.subtract(means, errors), np.add(means, errors), i)
            said.append(f"{METHODS[how]} {np.mean(errors_at(result, how, copies, at)):.0f}")
        for goal in GOALS:
            ax.axhline(100 * (1 - goal), color="grey", linewidth=0.8, linestyle=":")
        ax.set_ylim(0)
        times = {1: "once", 2: "twice"}.get(copies, f"{copies} times")
        plots.finish(ax, f"Every image {times}: error % with {at} labels\n{', '.join(said)}", "labels",
                     "test error, % ± standard error")
    return axes[0]


class Active(Repeats, name="active", about="which labels are worth asking for? MNIST from 20 labels on, the "
             "pool as it is, doubled and repeated five times; table, active.png, active.json"):
    counts = {"seeds": Count("K", "repetitions, with seeds S to S+K-1", 1, 1000),
              "labels": Count("N", "labels at which a run ends, if not at 95 %", 30, 60_000),
              "pool": Count("P", "different images to choose from", 40, 60_000),
              "steps": Count("E", "training steps of each round", 1, 100_000),
              "samples": Count("T", "stochastic passes", 2, 10_000)}
    timed = True
    full = {"seeds": 6, "labels": 300, "pool": 1000, "steps": 200, "samples": 20, "test": 2000}
    quick = {"seeds": 2, "labels": 50, "pool": 300, "steps": 60, "samples": 10, "test": 1000}

    def settings(self, options: Namespace) -> dict:
        settings = super().settings(options)
        settings["labels"] = min(settings["labels"], settings["pool"])
        return settings

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        copies = list(COPIES)
        part = {name: settings[name] for name in ("pool", "test", "labels", "steps", "samples")}
        jobs = [{"how": how, "copies": times, "seed": seed} | part for seed in settings["seeds"]
                for how, times in pools({"copies": copies})]
        with bar(progress, len(jobs), "loops", " loops") as progress_bar:
            made = spread(alone(loop, executor, threads, progress), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)
        shown = sorted({min(n, settings["labels"]) for n in (50, 100, 150, settings["labels"])})
        full = settings | {"copies": copies, "b": [B, LATER, MANY], "rate": RATE, "batch_size": BATCH,
                           "shown": shown, "compared": min(100, settings["labels"]), "threads": threads}
        kept = ("how", "copies", "seed")
        return {"settings": full, "runs": [{key: job[key] for key in kept} | run
                                           for job, run in zip(jobs, made, strict=True)]}, None

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return figure(result)
