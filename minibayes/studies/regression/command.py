"""python -m minibayes regression: the three data sets learned and scored; a table, regression.png, regression.json."""

import sys
import time

from ... import plots, require
from ...fast import parallel
from .. import common
from . import co2, report, toy

FULL = {"width": 256, "steps": 16_000, "samples": 1000, "toy_steps": 5000}
QUICK = {"width": 128, "steps": 1000, "samples": 100, "toy_steps": 2000}


def add_arguments(parser):
    common.add_options(parser)
    for name, letter, text in (("width", "W", "units in each hidden layer of the CO2 networks; the paper: 1024"),
                               ("steps", "K", "training steps of the CO2 networks"), ("samples", "T", "MC passes")):
        parser.add_argument(f"--{name}", type=int, default=None, metavar=letter,
                            help=f"{text} (default {FULL[name]:,}; quick: {QUICK[name]:,})")


def checked(args):
    """The settings of a run, or an error that names the option."""
    settings = {"quick": args.quick, "seed": require.integer("--seed", args.seed, 0, 2**64 - 1)} | (QUICK if args.quick else FULL)
    for name, low, high in (("width", 1, 8192), ("steps", 1, 10**7), ("samples", 2, 10**5)):
        if getattr(args, name) is not None:
            settings[name] = require.integer(f"--{name}", getattr(args, name), low, high)
    return settings


def study(settings, threads=None, progress=False):
    """(what regression.json holds beside settings and versions, what its figure shows)."""
    samples, seed, run = settings["samples"], settings["seed"], {"threads": threads, "progress": progress}
    sine, sine_scores = toy.sine(samples, settings["toy_steps"], seed, **run)
    noisy, noisy_scores = toy.growing_noise(samples, settings["toy_steps"], seed, **run)
    record = co2.series()
    bands, noise_std, rows = co2.study(record, settings["width"], settings["steps"], samples, seed, **run)
    result = {"sine": sine_scores, "growing_noise": noisy_scores, "co2": {"scale": record.scale, "noise_std": noise_std, "scores": rows}}
    return result, {"sine": sine, "growing_noise": noisy, "record": record, "co2": bands}


def main(args):
    """Run the study, write regression.json and regression.png, print the table (or the JSON)."""
    settings = checked(args)
    threads = parallel.thread_count(None if args.threads is None else require.integer("--threads", args.threads, 1))
    folder, began = common.output_folder(args.out), time.perf_counter()
    result, shown = study(settings, threads, progress=True)
    result = {"settings": settings, "versions": common.versions()} | result
    common.write_json(folder / "regression.json", result)
    plots.save(report.figure(result, shown), folder / "regression.png")
    print(common.to_json(result) if args.json else report.summary(result))
    print(f"wrote {folder / 'regression.json'} and {folder / 'regression.png'} after {time.perf_counter() - began:.0f} s", file=sys.stderr)
