"""The printed table, the findings in words, and the figure."""

import numpy as np

from ... import plots
from .. import common
from .measure import ANGLES, LABELS, LEVELS, LINES, RULES, SCORES, STDS, TABLED


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
