"""python -m minibayes compress: error against bytes on disk, and what was promised of it."""

from ... import bayes, data, plots
from ..frame import Count, Study
from ..talk import tell
from . import report
from .networks import Trainer
from .points import Points

STEP = {"mlp": 0.028, "lenet": 0.11}  # seconds of a step of sparse variational dropout, on two cores


class Compress(Study, name="compress", about="how few bytes does a network need? pruned and shared, error "
               "against files on disk; compress.png, compress.json"):
    counts = {"images": Count("N", "training images", 500, 60_000)}
    full = {"nets": ["mlp", "lenet"], "images": 60_000, "dense_epochs": {"mlp": 8, "lenet": 3},
            "sparse_epochs": {"mlp": 40, "lenet": 8}, "more_epochs": {"mlp": 3, "lenet": 1},
            "random_images": 6000, "random_epochs": 80}
    quick = {"nets": ["mlp", "lenet"], "images": 6000, "dense_epochs": {"mlp": 6, "lenet": 2},
             "sparse_epochs": {"mlp": 25, "lenet": 4}, "more_epochs": {"mlp": 3, "lenet": 1},
             "random_images": 2000, "random_epochs": 40}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, None]:
        trainer = Trainer(data.mnist(), settings, threads, progress)
        if progress:
            tell(f"about {max(1, round(seconds(settings) / 60))} min on two cores")
        rows = []
        for kind in settings["nets"]:
            points, more = Points(trainer, kind, threads), settings["more_epochs"][kind]
            dense = trainer.dense(kind)
            points.dense(dense)
            if kind == "mlp":
                points.shared_dense(dense, more / 3)
                points.hashed()
                points.by_noise(trainer.mean_field(), (0.5, 0.75, 0.9, 0.95, 0.98))
            sparse = trainer.sparse(kind)
            kept = points.pruned(sparse, more)
            points.both(sparse, kept, more / 3)
            rows += points.rows
        drawn = trainer.random_labels()
        control = trainer.sparse("mlp", drawn)
        left = {"images": len(drawn), "sparsity": bayes.sparsity.sparsity(control.net, control.params),
                "compression": report.finite(bayes.sparsity.compression(control.net, control.params))}
        full = settings | {"threads": threads, "weights": report.WEIGHTS}
        result = {"points": rows, "random_labels": left, "bars": report.bars(rows, left)}
        return {"settings": full} | result, None

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
