"""python -m minibayes compress: error against bytes on disk, and what was promised of it."""

from concurrent.futures import Executor

from ... import bayes, data, plots
from ...progress import bar
from ...spread import Record, alone, spread
from ..frame import Count
from ..repeats import Repeats
from ..talk import tell
from . import report
from .networks import Trainer
from .points import Points

STEP = {"mlp": 0.028, "lenet": 0.11}  # seconds of a step of sparse variational dropout, on two cores
RANDOM = "random labels"


def one(job: dict, threads: int | None = None, progress: bool = False) -> dict:
    """All files of one network from one seed: {"points": rows}; of random labels {"random_labels": a row}.

    job: "net", "seed" and the settings.
    """
    kind, trainer = job["net"], Trainer(data.mnist(), job, threads, progress)
    if kind == RANDOM:
        drawn = trainer.random_labels()
        control = trainer.sparse("mlp", drawn)
        fewer = bayes.sparsity.compression(control.net, control.params)
        return {RANDOM: {"seed": job["seed"], "images": len(drawn), "compression": report.finite(fewer),
                         "sparsity": bayes.sparsity.sparsity(control.net, control.params)}}
    points, more = Points(trainer, kind, threads), job["more_epochs"][kind]
    dense = trainer.dense(kind)
    points.dense(dense)
    if kind == "mlp":
        points.shared_dense(dense, more / 3)
        points.hashed()
        points.by_noise(trainer.mean_field(), (0.5, 0.75, 0.9, 0.95, 0.98))
    sparse = trainer.sparse(kind)
    kept = points.pruned(sparse, more)
    points.both(sparse, kept, more / 3)
    return {"points": points.rows}


class Compress(Repeats, name="compress", about="how few bytes does a network need? pruned and shared, error "
               "against files on disk; compress.png, compress.json"):
    counts = {"images": Count("N", "training images", 500, 60_000),
              "seeds": Count("K", "train with K seeds, S to S+K-1", 1, 1000)}
    full = {"nets": ["mlp", "lenet"], "images": 60_000, "dense_epochs": {"mlp": 8, "lenet": 3},
            "sparse_epochs": {"mlp": 40, "lenet": 8}, "more_epochs": {"mlp": 3, "lenet": 1},
            "random_images": 6000, "random_epochs": 80, "seeds": 1}
    quick = {"nets": ["mlp", "lenet"], "images": 6000, "dense_epochs": {"mlp": 6, "lenet": 2},
             "sparse_epochs": {"mlp": 25, "lenet": 4}, "more_epochs": {"mlp": 3, "lenet": 1},
             "random_images": 2000, "random_epochs": 40, "seeds": 1}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        if progress:
            minutes = len(settings["seeds"]) * seconds(settings) / 60
            tell(f"about {max(1, round(minutes))} min on two cores")
        part = {name: value for name, value in settings.items() if name not in ("nets", "seeds", "quick")}
        jobs = [{"net": net, "seed": seed} | part
                for seed in settings["seeds"] for net in (*settings["nets"], RANDOM)]
        with bar(progress, len(jobs), "networks", " networks") as progress_bar:
            made = spread(alone(one, executor, threads, progress), jobs, executor,
                          finished=lambda i: progress_bar.update(1), record=record)
        rows = [row for each in made for row in each.get("points", ())]
        control = [each[RANDOM] for each in made if RANDOM in each]
        full = settings | {"threads": threads, "weights": report.WEIGHTS}
        return {"settings": full, "points": rows, "random_labels": control,
                "bars": report.bars(rows, control)}, None

    def table(self, result: dict) -> str:
        return report.table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return report.figure(result)


def seconds(settings: dict) -> float:
    """How long it takes, from what a step took: the sparse networks, and half as much again."""
    images = settings["images"]
    steps = {"mlp": settings["sparse_epochs"]["mlp"] * images / 250,
             "lenet": settings["sparse_epochs"]["lenet"] * images / 200}
    return 1.5 * sum(STEP[kind] * steps[kind] for kind in settings["nets"])
