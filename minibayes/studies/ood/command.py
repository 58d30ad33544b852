"""python -m minibayes ood: inputs unlike the training data; table, ood.png, ood.json."""

from concurrent.futures import Executor

from ... import data, plots
from ...spread import Record
from ..frame import Count
from ..mnist import LeNetStudy, training_steps
from ..repeats import Repeats
from .measure import study
from .report import figure, summary_table


class OOD(Repeats, LeNetStudy, name="ood", about="inputs unlike the training data: detection, calibration "
          "under shift, selective prediction; ood.png, ood.json"):
    counts = {"samples": Count("T", "stochastic passes", 2, 100_000),
              "seeds": Count("K", "networks, with seeds S to S+K-1", 1, 100),
              "images": Count("N", "test images of each kind", 10, 10_000)}
    full = {"epochs": 4, "samples": 50, "seeds": 3, "images": 5000}
    quick = {"epochs": 1, "samples": 20, "seeds": 1, "images": 1000}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, dict]:
        images = data.mnist()
        seeds, samples = settings["seeds"], settings["samples"]
        steps = training_steps(settings["epochs"], len(images[0]))
        result, curves = study(images, seeds, steps, settings["images"], samples, threads, progress,
                               executor, record)
        full = {"quick": settings["quick"], "seeds": seeds, "steps": steps, "samples": samples,
                "images": min(settings["images"], len(images[2])), "variant": "all", "threads": threads}
        return {"settings": full} | result, curves

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: dict) -> plots.Axes:
        return figure(result, figure_data)
