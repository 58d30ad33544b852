"""python -m minibayes posteriors: one perceptron under every q; table, posteriors.png, posteriors.json."""

from argparse import ArgumentParser, Namespace
from concurrent.futures import Executor

from ... import plots
from ...spread import Record
from ..frame import Count, Epochs
from ..repeats import Repeats
from ..talk import tell
from . import measure, report
from .techniques import SIZES, TECHNIQUES, seconds


class Posteriors(Repeats, Epochs, name="posteriors", about="new q = new technique: one perceptron on MNIST "
                 "under every q, by both predictions; table, posteriors.png, posteriors.json"):
    counts = {"samples": Count("T", "MC passes", 2, 100_000),
              "seeds": Count("K", "train with K seeds, S to S+K-1", 1, 1000),
              "images": Count("N", "training images", 128, 60_000)}
    timed = True
    full = {"epochs": 5, "samples": 20, "seeds": 1, "images": 60_000, "test": 10_000}
    quick = {"epochs": 2, "samples": 5, "seeds": 1, "images": 3000, "test": 1000}

    def add_options(self, parser: ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--q", nargs="+", choices=TECHNIQUES, metavar="NAME",
                            help=f"which: {', '.join(TECHNIQUES)} (default: all)")

    def settings(self, options: Namespace) -> dict:
        asked = options.q or tuple(TECHNIQUES)
        return super().settings(options) | {"q": [name for name in TECHNIQUES if name in asked]}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        digits = measure.images(settings["images"], settings["test"])
        names, seeds, samples = tuple(settings["q"]), settings["seeds"], settings["samples"]
        steps, test = measure.steps_of(settings["epochs"], len(digits["x"])), len(digits["y_test"])
        minutes = len(seeds) * seconds(names, steps, 2 * samples * test / 10_000) / 60
        if progress:
            tell(f"{len(seeds) * len(names)} networks of {steps:,} steps: about {max(1, round(minutes))} "
                 f"minute{'s' if minutes >= 1.5 else ''} on two cores")
        found = measure.study(names, digits, seeds, steps, samples, threads, progress, executor, record)
        full = {"quick": settings["quick"], "seeds": seeds, "q": list(names), "sizes": list(SIZES),
                "epochs": settings["epochs"], "steps": steps, "batch_size": measure.BATCH,
                "rate": measure.RATE, "gamma": measure.GAMMA / steps, "power": measure.POWER,
                "samples": samples, "images": len(digits["x"]), "test_images": test, "threads": threads,
                "techniques": {name: report.described(name) for name in names}}
        return {"settings": full} | found, None

    def table(self, result: dict) -> str:
        return report.summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return report.figure(result)
