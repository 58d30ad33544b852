"""python -m minibayes uci: the published protocol on Boston and Concrete, or on a table of your own; table, uci.png, uci.json."""

import sys
import time
from pathlib import Path

from ... import data, plots, require
from ...fast import parallel
from .. import common
from . import jobs, protocol, report, table

TABLES = {"boston": data.boston, "concrete": data.concrete}
QUICK = {"splits": 4, "epochs": 100, "samples": 500}
FULL = {"splits": 20, "epochs": 4000, "samples": 10_000}


def add_arguments(parser):
    common.add_options(parser)
    parser.add_argument("--data", choices=TABLES, default=None, help="one of the two data sets (default: both)")
    parser.add_argument("--csv", default=None, metavar="FILE", help="a table of your own instead: names in the first line, then numbers")
    parser.add_argument("--target", default=None, metavar="COLUMN", help="with --csv: the column to predict from all others")
    for name, letter, what in (("splits", "K", "divisions into training and test rows"), ("epochs", "E", "training epochs of each network"),
                               ("samples", "T", "MC passes")):
        default = f"default {FULL[name]:,}; quick: {QUICK[name]}"
        parser.add_argument(f"--{name}", type=int, default=None, metavar=letter, help=f"{what} ({default})")


def settings_of(args):
    """The run's settings, checked."""
    for name, highest in (("splits", 1000), ("epochs", 100_000), ("samples", 100_000)):
        value = getattr(args, name)
        if value is not None:
            require.integer(f"--{name}", value, 1, highest)
    if args.csv is None and args.target is not None:
        raise require.InputError("--target needs a table: --csv FILE")
    if args.csv is not None and args.target is None:
        raise require.InputError("--csv needs the column to predict: --target COLUMN")
    if args.csv is not None and args.data is not None:
        raise require.InputError("--csv FILE or --data NAME, not both")
    given = {name: getattr(args, name) for name in FULL if getattr(args, name) is not None}
    seed = require.integer("--seed", args.seed, 0, 2**64 - 1)
    return {"quick": args.quick, "csv": args.csv is not None} | (QUICK if args.quick else FULL) | given | {"seed": seed}


def tables_of(args):
    """{name: Table}: the user's, or the embedded ones."""
    if args.csv is not None:
        return {Path(args.csv).name: table.read(args.csv, args.target)}
    return {name: TABLES[name]() for name in ([args.data] if args.data else TABLES)}


def study(tables, settings, processes=None, progress=False):
    """What uci.json holds beside the versions."""
    taus = {name: None if settings["csv"] else protocol.TAUS[name] for name in tables}
    every = [split for name, t in tables.items() for split in protocol.splits(name, t, taus[name], settings["splits"])]
    options = {name: settings[name] for name in ("epochs", "samples", "seed")}
    results = jobs.run(every, **options, processes=processes, progress=progress)
    about = {name: {"rows": len(t.y), "features": t.x.shape[1], "target": t.target, "taus": taus[name]} for name, t in tables.items()}
    result = {"settings": settings | {"hidden": protocol.HIDDEN, "batch_size": protocol.BATCH, "lengthscale": protocol.LENGTHSCALE,
                                      "rate": protocol.RATE, "keeps": protocol.KEEPS}, "data": about, "results": results}
    return result | {"summary": report.summarise(result)}


def main(args):
    """Run the study, write uci.json and uci.png, print the table (or the JSON); the time it took goes to stderr."""
    settings = settings_of(args)
    processes = parallel.thread_count(None if args.threads is None else require.integer("--threads", args.threads, 1))
    folder = common.output_folder(args.out)
    tables = tables_of(args)
    began = time.perf_counter()
    result = study(tables, settings, processes, progress=True)
    result = {"settings": result.pop("settings"), "versions": common.versions()} | result
    took = time.perf_counter() - began
    common.write_json(folder / "uci.json", result)
    plots.save(report.draw(result), folder / "uci.png")
    print(common.to_json(result) if args.json else report.summary_table(result))
    print(f"{took:.0f} s in {processes} process{'es' if processes > 1 else ''}; wrote {folder / 'uci.json'} and {folder / 'uci.png'}",
          file=sys.stderr)
