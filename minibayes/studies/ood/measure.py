"""One LeNet measured: every score on every group, calibration under shift, risk by coverage; and seeds."""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from ... import data, metrics, plots
from ...bayes.prediction import ClassPrediction
from ...model import BayesianNetwork
from ...progress import bar
from ...spread import Record, alone, spread
from .. import common
from ..mnist import trained
from ..shift import noisy, rotated

RULES = ("mc", "weight-averaging", "probabilistic-pooling")
SCORES = {"entropy": "entropy", "mutual_information": "mutual information",
          "variation_ratio": "variation ratio", "max_probability": "1 - largest probability"}
DETERMINISTIC = ("entropy", "max_probability")  # the scores that one pass without noise has
LINES = [(rule, name) for rule in RULES for name in (SCORES if rule == "mc" else DETERMINISTIC)]
TURNED, NOISED = 60, 0.5  # degrees, and std on a scale where ink is 1: the foreign digits
ANGLES, STDS = (0, 15, 30, 45, 60, 75, 90), (0.1, 0.2, 0.3, 0.4, 0.5)
LEVELS = [*(("turned", angle) for angle in ANGLES), *(("noised", std) for std in STDS)]
TABLED = (("turned", 0), ("turned", 45), ("turned", 90), ("noised", 0.5))
LABELS = {line: f"{plots.NAMES[line[0]]}, {SCORES[line[1]]}" for line in LINES}


def shifted(x: np.ndarray, kind: str, level: float, seed: int) -> np.ndarray:
    return rotated(x, level) if kind == "turned" else noisy(x, level, seed)


def scores(prediction: ClassPrediction, rule: str) -> dict[str, np.ndarray]:
    """{score: (N,)}, each larger for inputs that look foreign."""
    found = {"entropy": prediction.entropy, "mutual_information": prediction.mutual_information,
             "variation_ratio": prediction.variation_ratio,
             "max_probability": 1 - prediction.mean.max(axis=1)}
    return {name: found[name] for name in (SCORES if rule == "mc" else DETERMINISTIC)}


def measure(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, clothes: np.ndarray, samples: int,
            seed: int, threads: int | None, progress: bool = False) -> tuple[dict, dict]:
    """({part of the result: rows}, the curves that the figure needs) of one trained network."""
    def predict(images: np.ndarray, rule: str) -> ClassPrediction:
        return model.predict(images, rule=rule, samples=samples, seed=seed, threads=threads,
                             progress=progress)

    foreign = {"clothes": clothes, f"turned {TURNED}°": rotated(x, TURNED),
               f"noise {NOISED:g}": noisy(x, NOISED, seed)}
    found = {"detection": [], "calibration": [], "risk_coverage": []}
    curves = {"histograms": {}, "reliability": {}, "risk": {}}
    for rule in RULES:
        inside = predict(x, rule)
        inside_scores = scores(inside, rule)
        for group, images in foreign.items():
            outside_scores = scores(predict(images, rule), rule)
            found["detection"] += [{"rule": rule, "score": name, "group": group,
                                    "auroc": metrics.auroc(inside_scores[name], outside),
                                    "fpr95": metrics.fpr_at_recall(inside_scores[name], outside)}
                                   for name, outside in outside_scores.items()]
            if (rule, group) == ("mc", "clothes"):
                both = {"digits": inside_scores, "clothes": outside_scores}
                curves["histograms"] = {name: found_scores["entropy"] for name, found_scores in both.items()}
        for kind, level in LEVELS:
            p = inside if (kind, level) == LEVELS[0] else predict(shifted(x, kind, level, seed), rule)
            reliability = metrics.calibration(p.mean, y)
            if (kind, level) == ("turned", 45):
                curves["reliability"][rule] = reliability
            found["calibration"].append({
                "rule": rule, "shift": kind, "level": level, "error": p.error(y), "ece": reliability.ece,
                "confidence": float(p.mean.max(axis=1).mean()), "brier": metrics.brier(p.mean, y),
                "nll": -float(p.log_likelihood(y).mean())})
        for name, score in inside_scores.items():
            curves["risk"][rule, name] = risk = metrics.risk_coverage(score, inside.label != y)
            found["risk_coverage"].append({"rule": rule, "score": name, "area": risk.area})
    return found, curves


def mean_rows(runs: Sequence[list[dict]], keys: Sequence[str], values: Sequence[str]) -> list[dict]:
    """Rows that agree in `keys`, one from each run, as means and standard errors of `values`."""
    rows = []
    for same in zip(*runs, strict=True):
        row = {key: same[0][key] for key in keys}
        for value in values:
            row[value], row[f"{value}_se"] = common.mean_and_error([one[value] for one in same])
        rows.append(row)
    return rows


def mean_risk(curves: Sequence[metrics.RiskCoverage]) -> metrics.RiskCoverage:
    """The mean of several networks' curves, which have one coverage."""
    risk, area = (np.mean([getattr(c, part) for c in curves], axis=0) for part in ("risk", "area"))
    return metrics.RiskCoverage(curves[0].coverage, risk, float(area))


def network(job: dict, threads: int | None = None, progress: bool = False,
            images: tuple | None = None) -> dict:
    """What `measure` finds of one network, as plain data: {"found", "curves"}.

    job: "seed", "steps", "samples", "images", test images of each kind.
    images: (x, y, x_test, y_test).
    """
    x, y, x_test, y_test = data.mnist() if images is None else images
    count, seed = job["images"], job["seed"]
    model, _ = trained("all", x, y, steps=job["steps"], seed=seed, threads=threads, progress=progress)
    found, curves = measure(model, x_test[:count], y_test[:count], data.fashion_mnist()[0][:count],
                            job["samples"], seed, threads, progress)
    risk = [vars(curves["risk"][line]) for line in LINES]
    reliability = {rule: vars(one) for rule, one in curves["reliability"].items()}
    return {"found": found, "curves": curves | {"reliability": reliability, "risk": risk}}


def study(images: tuple, seeds: Sequence[int], steps: int, count: int, samples: int,
          threads: int | None = None, progress: bool = False, executor: Executor | None = None,
          record: Record | None = None) -> tuple[dict, dict]:
    """(means over the seeds, the curves), each group of images cut to `count`.

    Histograms and reliability are the last network's.
    """
    jobs = [{"seed": seed, "steps": steps, "samples": samples, "images": count} for seed in seeds]
    with bar(progress, len(seeds), "networks", " networks") as progress_bar:
        made = spread(alone(network, executor, threads, progress, images=images), jobs, executor,
                      finished=lambda i: progress_bar.update(1), record=record)
    runs, last = [one["found"] for one in made], made[-1]["curves"]
    risks = [[metrics.RiskCoverage(**risk) for risk in one["curves"]["risk"]] for one in made]
    curves = {"histograms": last["histograms"],
              "reliability": {rule: metrics.Calibration(**one) for rule, one in last["reliability"].items()},
              "risk": dict(zip(LINES, map(mean_risk, zip(*risks, strict=True)), strict=True))}
    parts = {"detection": (("rule", "score", "group"), ("auroc", "fpr95")),
             "calibration": (("rule", "shift", "level"), ("error", "confidence", "ece", "brier", "nll")),
             "risk_coverage": (("rule", "score"), ("area",))}
    return {part: mean_rows([found[part] for found in runs], *names) for part, names in parts.items()}, curves
