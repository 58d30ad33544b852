"""python -m minibayes uci: the published protocol on Boston and Concrete, or on a table of your own."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from ... import data, plots, require
from ...spread import Record
from ..frame import Count, thread_count
from ..repeats import Repeats
from . import jobs, protocol, report, table

TABLES = {"boston": data.boston, "concrete": data.concrete}


def sources(options: Namespace) -> dict[str, Callable[[], data.Table]]:
    """{name: what reads that table}: the user's file, or the embedded ones."""
    if options.csv is None:
        if options.target is not None:
            raise require.InputError("--target needs a table: --csv FILE")
        return {name: TABLES[name] for name in ([options.data] if options.data else TABLES)}
    if options.target is None:
        raise require.InputError("--csv needs the column to predict: --target COLUMN")
    if options.data is not None:
        raise require.InputError("--csv FILE or --data NAME, not both")
    return {Path(options.csv).name: partial(table.read, options.csv, options.target)}


def study(tables: dict[str, data.Table], settings: dict, processes: int | None = None,
          progress: bool = False, **how) -> dict:
    """What uci.json holds beside the versions."""
    taus = {name: None if settings["csv"] else protocol.TAUS[name] for name in tables}
    every = [split for name, t in tables.items()
             for split in protocol.splits(name, t, taus[name], settings["splits"])]
    chosen = {name: settings[name] for name in ("epochs", "samples", "seed", "q")}
    results = jobs.run(every, **chosen, processes=processes, progress=progress, **how)
    about = {name: {"rows": len(t.y), "features": t.x.shape[1], "target": t.target, "taus": taus[name]}
             for name, t in tables.items()}
    fixed = {"hidden": protocol.HIDDEN, "batch_size": protocol.BATCH, "lengthscale": protocol.LENGTHSCALE,
             "rate": protocol.RATE, "keeps": protocol.KEEPS if settings["q"] == "dropout" else ()}
    result = {"settings": settings | fixed, "data": about, "results": results}
    return result | {"summary": report.summarise(result)}


class UCI(Repeats, name="uci", about="the published regression benchmark on Boston and Concrete, or on a "
          "table of your own; table, uci.png, uci.json"):
    counts = {"splits": Count("K", "divisions into training and test rows", 1, 1000),
              "epochs": Count("E", "training epochs of each network", 1, 100_000),
              "samples": Count("T", "MC passes", 1, 100_000)}
    full = {"splits": 20, "epochs": 4000, "samples": 10_000}
    quick = {"splits": 4, "epochs": 100, "samples": 500}

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", choices=TABLES, help="one of the two data sets (default: both)")
        parser.add_argument("--q", choices=protocol.QS, default="dropout", metavar="NAME",
                            help=f"{', '.join(protocol.QS)} (default: dropout, as published); the others "
                                 "learn their noise, so there is no grid over keep")
        parser.add_argument("--csv", metavar="FILE",
                            help="a table of your own instead: names in the first line, then numbers, in any "
                                 "units; separated by commas, semicolons or tabs")
        parser.add_argument("--target", metavar="COLUMN",
                            help="with --csv: the column to predict from all others")

    def settings(self, options: Namespace) -> dict:
        own = {"csv": options.csv is not None, "q": options.q, "sources": sources(options)}
        return super().settings(options) | own

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        """Each network is a job of its own; without an executor, for one of `threads` processes."""
        tables = {name: read() for name, read in settings["sources"].items()}
        chosen = {name: settings[name] for name in ("quick", "csv", *self.counts, "seed", "q")}
        how = {"executor": executor, "record": record}
        return study(tables, chosen, threads, progress, **how), None

    def processes(self, options: Namespace) -> int:
        """By default as many as there are threads: each network is too small for more than one."""
        return options.processes or thread_count(options)

    def table(self, result: dict) -> str:
        return report.summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return report.figure(result)

    def closing(self, wrote: str, seconds: float, threads: int) -> str:
        return f"{seconds:.0f} s; {wrote}"
