"""Does the network know what it does not know? Trained on MNIST, asked about clothes and odd digits.

Each input gets a score of how foreign it looks: the entropy of the prediction, the mutual information between
prediction and weights, the share of passes that vote otherwise (variation ratio), 1 - the largest
probability. A score is good if it is larger for foreign inputs than for the test digits: the area under the
ROC curve. Then calibration, as the digits are turned and noised; and how much error is avoided by answering
only the least uncertain. MC averaging against weight averaging (and probabilistic pooling), on the same
weights.
"""

from collections.abc import Sequence

import numpy as np

from .. import data, metrics, plots
from ..bayes.prediction import ClassPrediction
from ..model import BayesianNetwork
from ..progress import bar
from . import common
from .frame import Count
from .mnist import LeNetStudy, trained, training_steps
from .shift import noisy, rotated

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


def study(images: tuple, seeds: Sequence[int], steps: int, count: int, samples: int,
          threads: int | None = None, progress: bool = False) -> tuple[dict, dict]:
    """(means over the seeds, the curves), each group of images cut to `count`.

    Histograms and reliability are the last network's.
    """
    x, y, x_test, y_test = images
    x_test, y_test = x_test[:count], y_test[:count]
    clothes = data.fashion_mnist()[0][:count]
    runs, risks = [], []
    with bar(progress, len(seeds), "networks", " networks") as progress_bar:
        for seed in seeds:
            model, _ = trained("all", x, y, steps=steps, seed=seed, threads=threads, progress=progress)
            found, curves = measure(model, x_test, y_test, clothes, samples, seed, threads, progress)
            runs.append(found)
            risks.append(curves["risk"])
            progress_bar.update(1)
    curves["risk"] = {line: mean_risk([one[line] for one in risks]) for line in risks[0]}
    parts = {"detection": (("rule", "score", "group"), ("auroc", "fpr95")),
             "calibration": (("rule", "shift", "level"), ("error", "confidence", "ece", "brier", "nll")),
             "risk_coverage": (("rule", "score"), ("area",))}
    return {part: mean_rows([found[part] for found in runs], *names) for part, names in parts.items()}, curves


# ------------------------------------------------------------------------------- the table and the figure

def pm(row: dict, name: str, scale: float = 1.0, digits: int = 3) -> str:
    """mean ± standard error over seeds."""
    error = row[f"{name}_se"]
    return f"{scale * row[name]:.{digits}f}" + (f" ± {scale * error:.{digits}f}" if error is not None else "")


def groups_of(result: dict) -> list[str]:
    return list(dict.fromkeys(r["group"] for r in result["detection"]))


def summary_table(result: dict) -> str:
    settings, groups = result["settings"], groups_of(result)
    by = {(r["rule"], r["score"], r["group"]): r for r in result["detection"]}
    detection = [(plots.NAMES[rule], SCORES[name], *(pm(by[rule, name, group], "auroc") for group in groups),
                  pm(by[rule, name, groups[0]], "fpr95", 100, 1)) for rule, name in LINES]
    tabled = sorted((r for r in result["calibration"] if (r["shift"], r["level"]) in TABLED),
                    key=lambda r: LEVELS.index((r["shift"], r["level"])))
    calibration = [(f"{r['shift']} {r['level']:g}", plots.NAMES[r["rule"]], pm(r, "error", 100, 1),
                    pm(r, "confidence", 100, 1), pm(r, "ece"), pm(r, "brier"), pm(r, "nll")) for r in tabled]
    risk = [(plots.NAMES[r["rule"]], SCORES[r["score"]], pm(r, "area", 100)) for r in result["risk_coverage"]]
    return "\n".join([
        f"lenet-all on MNIST, {settings['steps']} steps; {settings['images']} test images of each kind, "
        f"T = {settings['samples']}; seeds {', '.join(map(str, settings['seeds']))}: "
        "means ± standard errors over them", "",
        "Test digits against foreign inputs: area under the ROC curve (1: told apart, 0.5: not at all)", "",
        common.table(("predicted by", "score", *groups, f"FPR % at 95 % of {groups[0]}"), detection), "",
        "Calibration of the test digits, as they are and shifted "
        "(turned: degrees; noised: std, where ink is 1)", "",
        common.table(("digits", "predicted by", "error %", "confidence %", "ECE", "Brier", "nll, nats"),
                     calibration), "",
        "Answering the least uncertain digits first: mean error over all coverages, %", "",
        common.table(("predicted by", "score", "area"), risk), "", *findings(result)])


def findings(result: dict) -> list[str]:
    """What the numbers say, whichever way they fall."""
    by = {(r["rule"], r["score"], r["group"]): r["auroc"] for r in result["detection"]}

    def compared(difference: float) -> str:
        return f"{abs(difference):.3f} {'above' if difference >= 0 else 'below'}"

    lines = []
    for group in groups_of(result):
        best = max((key for key in by if key[2] == group), key=by.get)
        entropy, information = (by["mc", name, group] for name in ("entropy", "mutual_information"))
        lines.append(
            f"{group}: best is {SCORES[best[1]]} by {plots.NAMES[best[0]]} ({by[best]:.3f}); "
            f"by entropy MC is {compared(entropy - by['weight-averaging', 'entropy', group])} "
            f"weight averaging, and mutual information is {compared(information - entropy)} entropy.")
    return lines


def figure(result: dict, curves: dict) -> plots.Axes:
    """Detection, calibration, and answering the most certain first."""
    axes = plots.figure(2, 3, (17, 9.5))
    detection_panels(result, curves["histograms"], axes[0])
    calibration_panels(result, curves["reliability"], axes)
    best = min(result["risk_coverage"], key=lambda row: row["area"])
    low = (best["rule"], best["score"])
    chosen = [low, ("mc", "entropy"), ("mc", "mutual_information"), ("weight-averaging", "entropy")]
    plots.risk_coverage({LABELS[line]: curves["risk"][line] for line in chosen}, axes[1, 2], title=(
        f"Test digits, most certain first: least error\nby {LABELS[low]}, area {100 * best['area']:.3g} %"))
    return axes[0, 0]


def last_of(result: dict) -> str:
    """To be added to a title with figures of several networks, where the drawing is of one."""
    seeds = result["settings"]["seeds"]
    return f" (drawn: seed {seeds[-1]}; figures: means)" if len(seeds) > 1 else ""


def detection_panels(result: dict, histograms: dict, axes: np.ndarray) -> None:
    """The two histograms of entropy, and every score on every group."""
    groups = groups_of(result)
    by = {(r["rule"], r["score"], r["group"]): r for r in result["detection"]}
    plots.score_histograms(histograms, axes[0], xlabel="entropy of the MC prediction, nats",
                           title="Entropy tells digits from clothes:\n"
                           f"AUROC {by['mc', 'entropy', 'clothes']['auroc']:.3f}" + last_of(result))
    best = max(LINES, key=lambda line: np.mean([by[(*line, group)]["auroc"] for group in groups]))
    for i, line in enumerate(LINES):
        rows = [by[(*line, group)] for group in groups]
        axes[1].errorbar(np.arange(len(groups)) + 0.09 * (i - len(LINES) / 2), [r["auroc"] for r in rows],
                         yerr=[r["auroc_se"] or 0 for r in rows], fmt=plots.look.SHAPES[i % 7],
                         color=plots.PALETTE[i % 7], label=LABELS[line], markersize=5, capsize=2,
                         fillstyle="none" if i >= 7 else "full")
    axes[1].set_xticks(range(len(groups)), groups)
    plots.finish(axes[1], f"Best score on average: {SCORES[best[1]]}\nby {plots.NAMES[best[0]]}",
                 "foreign inputs", "AUROC ± standard error", below=2)


def calibration_panels(result: dict, reliability: dict, axes: np.ndarray) -> None:
    """Reliability of digits turned by 45 degrees, and the calibration error as they are turned and noised."""
    by = {(r["rule"], r["shift"], r["level"]): r for r in result["calibration"]}
    for i, rule in enumerate(RULES):
        plots.reliability(reliability[rule], axes[0, 2], plots.NAMES[rule], i)
        turned = [by[rule, "turned", angle]["ece"] for angle in ANGLES]
        noised = [turned[0], *(by[rule, "noised", std]["ece"] for std in STDS)]
        plots.curve(axes[1, 0], ANGLES, turned, plots.NAMES[rule], i)
        plots.curve(axes[1, 1], [0, *STDS], noised, plots.NAMES[rule], i)
    mc, average = (by[rule, "turned", 45] for rule in ("mc", "weight-averaging"))
    axes[0, 2].set_title(f"Turned by 45° it errs on {mc['error']:.0%} "
                         f"and is {mc['confidence']:.0%} sure by MC,\n"
                         f"{average['confidence']:.0%} by weight averaging" + last_of(result))
    for ax, kind, most, last, unit in ((axes[1, 0], "turned", 90, "90°", "rotation, degrees"),
                                       (axes[1, 1], "noised", 0.5, "0.5", "std of the noise")):
        mc, average = (by[rule, kind, most]["ece"] for rule in ("mc", "weight-averaging"))
        plots.finish(ax, f"Calibration error of digits {kind} by {last}: {mc:.2f} by MC,\n"
                     f"{average:.2f} by weight averaging", unit, "expected calibration error")


class OOD(LeNetStudy, name="ood", about="inputs unlike the training data: detection, calibration under "
          "shift, selective prediction; ood.png, ood.json"):
    counts = {"samples": Count("T", "stochastic passes", 2, 100_000),
              "seeds": Count("K", "networks, with seeds S to S+K-1", 1, 100),
              "images": Count("N", "test images of each kind", 10, 10_000)}
    full = {"epochs": 4, "samples": 50, "seeds": 3, "images": 5000}
    quick = {"epochs": 1, "samples": 20, "seeds": 1, "images": 1000}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, dict]:
        images = data.mnist()
        seeds, samples = settings["seeds"], settings["samples"]
        steps = training_steps(settings["epochs"], len(images[0]))
        result, curves = study(images, seeds, steps, settings["images"], samples, threads, progress)
        full = {"quick": settings["quick"], "seeds": seeds, "steps": steps, "samples": samples,
                "images": min(settings["images"], len(images[2])), "variant": "all", "threads": threads}
        return {"settings": full} | result, curves

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: dict) -> plots.Axes:
        return figure(result, figure_data)
