"""python -m minibayes sparsify: how many weights can go; table, sparsify.png, sparsify.json."""

from concurrent.futures import Executor

from ... import plots
from ...spread import Record
from ..frame import Count, Epochs
from ..repeats import Repeats
from ..talk import tell
from . import measure, report, training
from .training import Schedule

STEP = 0.03  # seconds, on two cores


class Sparsify(Repeats, Epochs, name="sparsify", about="how many weights does it need? sparse variational "
               "dropout on MNIST, pruned; sparsify.png, sparsify.json"):
    counts = {"images": Count("N", "training images", 200, 60_000),
              "samples": Count("T", "MC passes at the end", 2, 100_000),
              "seeds": Count("K", "train with K seeds, S to S+K-1", 1, 1000)}
    timed = True
    full = {"epochs": 100, "images": 60_000, "samples": 20, "seeds": 1}
    quick = {"epochs": 10, "images": 6000, "samples": 5, "seeds": 1}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        schedule, count, sizes = Schedule(settings["epochs"]), settings["images"], training.SIZES
        steps = len(settings["seeds"]) * schedule.steps(count)
        if progress:
            tell(f"{steps:,.0f} steps: about {max(1, round(steps * STEP / 60))} min on two cores")
        rows = measure.study(settings, threads, progress, executor, record)
        full = settings | {"steps": schedule.steps(count), "warm_up": schedule.warm(count),
                           "batch_size": schedule.batch, "stages": schedule.stages,
                           "log_std": training.LOG_STD, "sizes": list(sizes), "fewer": measure.FEWER,
                           "more_epochs": measure.MORE_EPOCHS,
                           "weights": sum(a * b for a, b in zip(sizes, sizes[1:], strict=False)),
                           "threads": threads}
        return {"settings": full, "results": rows}, None

    def table(self, result: dict) -> str:
        return report.summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return report.figure(result)
