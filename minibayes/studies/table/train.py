"""python -m minibayes train --csv houses.csv --target price: a table in; model, scores, picture out."""

import os
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from ... import estimators, metrics, plots, require
from .. import common
from ..frame import JSON_HELP, THREADS_HELP, Command, output_folder, thread_count
from ..talk import tell
from . import read

LEVEL = 0.9  # of the intervals whose coverage is counted
FEWEST = 10  # rows of a file


class Train(Command, name="train", about="learn to predict a column of your own CSV table, a number or a "
            "class; a model file, scores on rows set aside, a picture"):
    def options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--csv", required=True, metavar="FILE", help="a table: names in the first line, "
                            "then numbers and text, separated by commas, semicolons or tabs")
        parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict; text, "
                            "or with --classes anything, is predicted as a class")
        parser.add_argument("--classes", action="store_true", help="the target is a class, though a number")
        parser.add_argument("--leave-out", action="append", default=[], metavar="COLUMN",
                            help="a column not to learn from, such as an id; may be given several times")
        parser.add_argument("--test", type=float, default=0.1, metavar="SHARE",
                            help="share of the rows set aside for the scores (default 0.1; 0: none)")
        parser.add_argument("--out", metavar="FILE", help="the model file (default: NAME.npz, here)")
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="(default 0)")
        parser.add_argument("--json", action="store_true", help=JSON_HELP)
        parser.add_argument("--threads", type=int, metavar="N", help=THREADS_HELP)

    def settings(self, options: Namespace) -> dict:
        seed = require.integer("--seed", options.seed, 0, 2**64 - 1)
        share = require.real("--test", options.test, 0, 0.9)
        out = Path(options.out) if options.out else read.beside(options.csv, ".npz")
        if out.suffix != ".npz":
            raise require.InputError(f"--out must be a file that ends in .npz, got {str(out)!r}")
        cells = read.read(options.csv, options.target)
        for name in [options.target, *options.leave_out]:
            if name not in cells:
                raise require.InputError(f"{options.csv}: must have the column {name!r}, it has "
                                         f"{', '.join(map(repr, list(cells)[:20]))}")
        if cells.rows < FEWEST:
            raise require.InputError(f"{options.csv}: must have at least {FEWEST} rows, got {cells.rows}")
        names = [name for name in cells if name not in (options.target, *options.leave_out)]
        if not names:
            raise require.InputError(f"{options.csv}: must have a column beside {options.target!r}")
        y = read.column(cells, options.target, "category" if options.classes else None)
        return {"csv": options.csv, "target": options.target, "x": read.features(cells, names), "y": y,
                "test": share, "seed": seed, "out": output_folder(out.parent) / out.name}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> dict:
        """Fit, score, save; the result holds the rows set aside for the picture."""
        x, y, rows = settings["x"], settings["y"], len(settings["y"])
        order = np.random.default_rng([settings["seed"], 3]).permutation(rows)
        test, train = np.split(order, [round(settings["test"] * rows)])
        kind = estimators.Classifier if y.dtype.kind == "O" else estimators.Regressor
        model = kind(seed=settings["seed"], threads=threads, progress=progress)
        began = time.perf_counter()
        model.fit({name: column[train] for name, column in x.items()}, y[train])
        model.target_name_ = settings["target"]
        model.set_params(threads=None, progress=False)  # they are no part of the model
        model.save(settings["out"])
        result = {"model": os.fspath(settings["out"]), "target": settings["target"], "kind": model.kind,
                  "rows": rows, "trained_on": len(train), "columns": len(x), "epochs": model.n_iter_,
                  "keep": list(model.keep_.values()), "seconds": time.perf_counter() - began}
        if model.kind == "classifier":
            result["classes"] = model.classes_.tolist()
        if len(test):
            score = scores_of_classes if model.kind == "classifier" else scores_of_numbers
            unseen = {name: column[test] for name, column in x.items()}
            result["scores"], found = score(model, unseen, y[test])
        return result | {"found": found if len(test) else None}

    def as_json(self, result: dict) -> dict:
        return {name: value for name, value in result.items() if name != "found"}

    def table(self, result: dict) -> str:
        keeps = ", ".join(f"{keep:.3g}" for keep in result["keep"])
        what = f"one of {len(result['classes'])} classes" if "classes" in result else "a number"
        lines = [f"{result['target']}, {what}, from {result['columns']} columns: trained on "
                 f"{result['trained_on']:,} of {result['rows']:,} rows, {result['epochs']:.0f} epochs, "
                 f"learned keep {keeps}"]
        if "scores" in result:
            rows = [(name, f"{value:.4g}") for name, value in result["scores"].items()]
            aside = result["rows"] - result["trained_on"]
            lines.append(common.table((f"on {aside:,} rows set aside", ""), rows))
        return "\n".join(lines)

    def main(self, options: Namespace) -> int:
        settings = self.settings(options)
        result = self.run(settings, thread_count(options), progress=True)
        self.show(result, options.json)
        wrote = [result["model"]]
        if result["found"] is not None:
            path = settings["out"].with_suffix(".png")
            plots.save(figure(result), path)
            wrote.append(str(path))
        tell(f"{result['seconds']:.0f} s; wrote {' and '.join(wrote)}")
        return 0


def scores_of_numbers(model: estimators.Regressor, x: dict, y: np.ndarray) -> tuple[dict, dict]:
    """(scores, what the picture shows) on rows that the model has not seen."""
    mean, (lower, upper) = model.predict(x), model.interval(x, LEVEL)
    scores = {"RMSE": metrics.rmse(mean, y), "R^2": model.score(x, y),
              "-log p, nats a row": -float(model.log_likelihood(x, y).mean()),
              "90 % intervals hold": metrics.interval_coverage(lower, upper, y),
              "their mean width": float((upper - lower).mean())}
    return scores, {"mean": mean, "lower": lower, "upper": upper, "y": y}


def scores_of_classes(model: estimators.Classifier, x: dict, y: np.ndarray) -> tuple[dict, dict]:
    """The same for classes."""
    known = np.isin(y, model.classes_)
    p, codes = model.predict_proba(x), np.searchsorted(model.classes_, y[known])
    scores = {"error": float((model.predict(x) != y).mean()),
              "-log p, nats a row": metrics.negative_log_likelihood(p[known], codes),
              "calibration error": metrics.calibration(p[known], codes).ece}
    return scores, {"p": p[known], "y": codes}


def figure(result: dict) -> plots.Axes:
    """Predicted against true with intervals; or for classes how often the sure ones are right."""
    found, scores = result["found"], result["scores"]
    if "p" in found:
        return plots.reliability(metrics.calibration(found["p"], found["y"], 8),
                                 label=f"{len(found['y'])} rows set aside",
                                 title=f"{result['target']}: error {100 * scores['error']:.1f} %")
    share = f"{100 * scores['90 % intervals hold']:.0f} % of {len(found['y'])} rows set aside"
    return plots.predicted_against_true(
        found["y"], found["mean"], found["lower"], found["upper"], label="90 % interval",
        title=f"{result['target']}: {share} lie in their 90 % interval", unit=result["target"])
