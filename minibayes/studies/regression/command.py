"""python -m minibayes regression: three data sets learned and scored; regression.png, regression.json."""

from ... import plots
from ..frame import Count, Study
from . import co2, report, toy


def study(settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, dict]:
    """(what regression.json holds beside settings and versions, what its figure needs)."""
    run = {"samples": settings["samples"], "seed": settings["seed"], "threads": threads, "progress": progress}
    sine, sine_scores = toy.sine(steps=settings["toy_steps"], **run)
    noisy, noisy_scores = toy.growing_noise(steps=settings["toy_steps"], **run)
    record = co2.series()
    bands, noise_std, rows = co2.study(record, width=settings["width"], steps=settings["steps"], **run)
    result = {"sine": sine_scores, "growing_noise": noisy_scores,
              "co2": {"scale": record.scale, "noise_std": noise_std, "scores": rows}}
    return result, {"sine": sine, "growing_noise": noisy, "record": record, "co2": bands}


class Regression(Study, name="regression", about="y = x sin x, and Mauna Loa CO2 scored on its real later "
                 "months; table, regression.png, regression.json"):
    counts = {"width": Count("W", "units in each hidden layer of the CO2 networks; the paper: 1024", 1, 8192),
              "steps": Count("K", "training steps of the CO2 networks", 1, 10**7),
              "samples": Count("T", "MC passes", 2, 10**5)}
    timed = True
    full = {"width": 256, "steps": 16_000, "samples": 1000, "toy_steps": 5000}
    quick = {"width": 128, "steps": 1000, "samples": 100, "toy_steps": 2000}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, dict]:
        return study(settings, threads, progress)

    def table(self, result: dict) -> str:
        return report.summary(result)

    def figure(self, result: dict, figure_data: dict) -> plots.Axes:
        return report.figure(result, figure_data)
