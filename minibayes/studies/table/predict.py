"""python -m minibayes predict --csv new.csv --model houses.npz: new rows in; mean, std and interval out."""

import csv
import io
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from ... import estimators, files, plots, require
from .. import common
from ..frame import JSON_HELP, THREADS_HELP, Command, output_folder, thread_count
from ..talk import tell
from . import read

SHOWN = 10  # rows that are printed


class Predict(Command, name="predict", about="use a model of `minibayes train` on new rows: a table with "
              "mean, std and interval, or class and probabilities; a picture"):
    def options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--csv", required=True, metavar="FILE", help="a table with the columns that the "
                            "model was trained on, in any order; others are kept as they are")
        parser.add_argument("--model", required=True, metavar="FILE", help="the model file, an .npz")
        parser.add_argument("--level", type=float, default=0.9, metavar="P",
                            help="probability within an interval (default 0.9)")
        parser.add_argument("--out", metavar="FILE", help="the table (default: NAME-predicted.csv, here)")
        parser.add_argument("--json", action="store_true", help=JSON_HELP)
        parser.add_argument("--threads", type=int, metavar="N", help=THREADS_HELP)

    def settings(self, options: Namespace) -> dict:
        level = require.real("--level", options.level, 0, 1, open_low=True, open_high=True)
        out = Path(options.out) if options.out else read.beside(options.csv, "-predicted.csv")
        if out.suffix == ".png" or out.resolve() == Path(options.csv).resolve():
            raise require.InputError(f"--out must be a table of its own, got {str(out)!r}")
        model = estimators.load(options.model)
        names = getattr(getattr(model, "columns_", None), "names", None)
        if not names:
            raise require.InputError(f"{options.model}: must be a model that was trained on a table with "
                                     "named columns, by `minibayes train` or mb.Regressor, and is not")
        cells = read.read(options.csv, str(names[0]))
        kinds = {each.name: "category" if each.kind == "category" else "number"
                 for each in model.columns_.columns}
        return {"model": model, "cells": cells, "x": read.features(cells, names, kinds), "level": level,
                "out": output_folder(out.parent) / out.name}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> dict:
        """{"target", "kind", "level", "columns": {name: values}}."""
        model, x, level = settings["model"], settings["x"], settings["level"]
        model.set_params(threads=threads)
        target = getattr(model, "target_name_", None) or "y"
        if model.kind == "classifier":
            made = model.predictive(x)
            columns = {f"{target} predicted": model.classes_[made.label]}
            columns |= {f"p({label})": made.mean[:, i] for i, label in enumerate(model.classes_)}
            columns["mutual information, nats"] = made.mutual_information
        else:
            mean, std = model.predict(x, return_std=True)
            lower, upper = model.interval(x, level)
            columns = {f"{target} mean": mean, "std": std, f"lower {level:.0%}": lower,
                       f"upper {level:.0%}": upper}
        columns = {name: np.asarray(values).tolist() for name, values in columns.items()}
        return {"target": target, "kind": model.kind, "level": level, "rows": settings["cells"].rows,
                "columns": columns}

    def table(self, result: dict) -> str:
        rows = list(zip(*result["columns"].values(), strict=True))[:SHOWN]
        cells = [[str(n), *(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row)]
                 for n, row in enumerate(rows, start=1)]
        more = result["rows"] - len(rows)
        return common.table(("row", *result["columns"]), cells) + (f"\nand {more:,} more" if more else "")

    def main(self, options: Namespace) -> int:
        settings = self.settings(options)
        result = self.run(settings, thread_count(options))
        out, picture = settings["out"], settings["out"].with_suffix(".png")
        write(out, settings["cells"], result["columns"])
        self.show(result, options.json)
        plots.save(figure(result), picture)
        tell(f"wrote {out} and {picture}")
        return 0


def write(path: Path, cells: read.Cells, columns: dict) -> None:
    """The table as it was, what is predicted beside it, comma-separated; written whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*cells, *columns])
    writer.writerows(zip(*cells.values(), *columns.values(), strict=True))
    with files.whole(path) as file:
        file.write(text.getvalue().encode())


def figure(result: dict) -> plots.Axes:
    """The rows by what is predicted, each with its interval; or for classes how sure the rows are."""
    columns = list(map(np.array, result["columns"].values()))
    if result["kind"] == "classifier":
        sure = np.max(columns[1:-1], axis=0)
        title = f"{result['target']}: how sure {result['rows']:,} predictions are"
        return plots.score_histograms({"rows": sure}, title=title,
                                      xlabel="probability of the most probable class")
    mean, _, lower, upper = columns
    title = f"{result['target']}: {result['rows']:,} rows, each with its {result['level']:.0%} interval"
    return plots.ranked_intervals(mean, lower, upper, title=title, ylabel=result["target"])
