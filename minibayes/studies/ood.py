"""Does the network know what it does not know? Trained on MNIST, asked about clothes, turned digits and noisy digits.

Each input gets a score of how foreign it looks: the entropy of the prediction, the mutual information between prediction and weights, the
share of passes that vote otherwise (variation ratio), 1 - the largest probability. A score is good if it is larger for foreign inputs than
for the test digits: the area under the ROC curve. Then calibration, as the digits are turned and noised; and how much error is avoided by
answering only the least uncertain. MC averaging against weight averaging (and probabilistic pooling), on the same weights.
"""

import sys

import numpy as np

from .. import data, metrics, models, plots, require
from ..fast import parallel
from ..model import BayesianNetwork
from ..progress import bar
from . import common
from .mnist import BATCH, official_solver
from .shift import noisy, rotated

RULES = ("mc", "weight-averaging", "probabilistic-pooling")
SCORES = {"entropy": "entropy", "mutual_information": "mutual information", "variation_ratio": "variation ratio",
          "max_probability": "1 - largest probability"}
DETERMINISTIC = ("entropy", "max_probability")  # the scores that one pass without noise has
TURNED, NOISED = 60, 0.5  # degrees, and std on a scale where ink is 1: the foreign digits
LEVELS = [("turned", angle) for angle in (0, 15, 30, 45, 60, 75, 90)] + [("noised", std) for std in (0.1, 0.2, 0.3, 0.4, 0.5)]
TABLED = (("turned", 0), ("turned", 45), ("turned", 90), ("noised", 0.5))
EPOCHS = 4


def add_arguments(parser):
    common.add_options(parser)
    common.add_training_options(parser, f"{EPOCHS}; quick: 1")
    parser.add_argument("--seeds", type=int, default=None, metavar="K", help="networks, with seeds S to S+K-1 (default 3; quick: 1)")
    parser.add_argument("--images", type=int, default=None, metavar="N", help="test images of each kind (default 5000; quick: 1000)")


def shifted(x, kind, level, seed):
    return rotated(x, level) if kind == "turned" else noisy(x, level, seed)


def scores(prediction, rule):
    """{score: (N,)}, each larger for inputs that look foreign."""
    found = {"entropy": prediction.entropy, "mutual_information": prediction.mutual_information,
             "variation_ratio": prediction.variation_ratio, "max_probability": 1 - prediction.mean.max(axis=1)}
    return {name: found[name] for name in (SCORES if rule == "mc" else DETERMINISTIC)}


def measure(model, x, y, clothes, samples, seed, threads):
    """(detection rows, calibration rows, what the figure needs) for one trained network."""
    def predict(images, rule):
        return model.predict(images, rule=rule, samples=samples, seed=seed, threads=threads)

    foreign = {"clothes": clothes, f"turned {TURNED}°": rotated(x, TURNED), f"noise {NOISED:g}": noisy(x, NOISED, seed)}
    detection, calibration, shown = [], [], {}
    for rule in RULES:
        inside = predict(x, rule)
        wrong, inside_scores = inside.label != y, scores(inside, rule)
        shown[rule] = {"reliability": metrics.calibration(inside.mean, y),
                       "risk": {name: metrics.risk_coverage(u, wrong) for name, u in inside_scores.items()}}
        for group, images in foreign.items():
            outside_scores = scores(predict(images, rule), rule)
            for name, u in inside_scores.items():
                detection.append({"rule": rule, "score": name, "group": group, "auroc": metrics.auroc(u, outside_scores[name]),
                                  "fpr95": metrics.fpr_at_recall(u, outside_scores[name])})
            if rule == "mc" and group == "clothes":
                shown["histograms"] = {"digits": inside_scores["entropy"], "clothes": outside_scores["entropy"]}
        for kind, level in LEVELS:
            p = inside if (kind, level) == LEVELS[0] else predict(shifted(x, kind, level, seed), rule)
            c = metrics.calibration(p.mean, y)
            if (kind, level) == ("turned", 45):
                shown[rule]["reliability under shift"] = c
            calibration.append({"rule": rule, "shift": kind, "level": level, "error": p.error(y), "ece": c.ece,
                                "confidence": float(p.mean.max(axis=1).mean()), "brier": metrics.brier(p.mean, y),
                                "nll": -float(p.log_likelihood(y).mean())})
    for rule in RULES:
        shown[rule]["risk areas"] = {name: r.area for name, r in shown[rule]["risk"].items()}
    return detection, calibration, shown


def mean_rows(runs, keys, values):
    """Rows that agree in `keys`, one from each run, as means and standard errors of `values`."""
    return [{k: same[0][k] for k in keys} | {name: found for v in values for name, found in zip(
        (v, f"{v}_se"), common.mean_and_error([row[v] for row in same]), strict=True)} for same in zip(*runs, strict=True)]


def study(images, steps, seeds, count, samples, threads, progress):
    """(result, shown): means over the seeds, and the last network's curves for the figure."""
    x, y, x_test, y_test = images
    x_test, y_test, clothes = x_test[:count], y_test[:count], data.fashion_mnist()[0][:count]
    runs = []
    with bar(progress, len(seeds), "networks", " networks") as done:
        for seed in seeds:
            net = models.lenet("all", init_scheme="lecun")
            optimizer, prior = official_solver(net, len(x))
            model = BayesianNetwork(net, prior=prior)
            model.fit(x, y, steps=steps, batch_size=BATCH, optimizer=optimizer, seed=seed, threads=threads, progress=progress)
            runs.append(measure(model, x_test, y_test, clothes, samples, seed, threads))
            done.update(1)
    detection, calibration, shown = zip(*runs, strict=True)
    risk = [[{"rule": rule, "score": name, "area": area} for rule in RULES for name, area in s[rule]["risk areas"].items()] for s in shown]
    return {"detection": mean_rows(detection, ("rule", "score", "group"), ("auroc", "fpr95")),
            "calibration": mean_rows(calibration, ("rule", "shift", "level"), ("error", "confidence", "ece", "brier", "nll")),
            "risk_coverage": mean_rows(risk, ("rule", "score"), ("area",))}, shown[-1]


def pm(row, name, scale=1.0, digits=3):
    """mean ± standard error over seeds."""
    error = row[f"{name}_se"]
    return f"{scale * row[name]:.{digits}f}" + (f" ± {scale * error:.{digits}f}" if error is not None else "")


def summary_table(result):
    settings = result["settings"]
    groups = list(dict.fromkeys(r["group"] for r in result["detection"]))
    by = {(r["rule"], r["score"], r["group"]): r for r in result["detection"]}
    detection = [(plots.NAMES[rule], SCORES[name], *(f"{pm(by[rule, name, g], 'auroc')}" for g in groups),
                  *(pm(by[rule, name, g], "fpr95", 100, 1) for g in groups[:1]))
                 for rule in RULES for name in (SCORES if rule == "mc" else DETERMINISTIC)]
    shown = sorted((r for r in result["calibration"] if (r["shift"], r["level"]) in TABLED),
                   key=lambda r: LEVELS.index((r["shift"], r["level"])))
    calibration = [(f"{r['shift']} {r['level']:g}", plots.NAMES[r["rule"]], pm(r, "error", 100, 1), pm(r, "confidence", 100, 1),
                    pm(r, "ece"), pm(r, "brier"), pm(r, "nll")) for r in shown]
    risk = [(plots.NAMES[r["rule"]], SCORES[r["score"]], pm(r, "area", 100)) for r in result["risk_coverage"]]
    return "\n".join([
        f"lenet-all on MNIST, {settings['steps']} steps; {settings['images']} test images of each kind, T = {settings['samples']}; seeds "
        f"{', '.join(map(str, settings['seeds']))}: means ± standard errors over them", "",
        "Test digits against foreign inputs: area under the ROC curve (1: told apart, 0.5: not at all)", "",
        common.table(("predicted by", "score", *groups, f"FPR % at 95 % of {groups[0]}"), detection), "",
        "Calibration of the test digits, as they are and shifted (turned: degrees; noised: std, where ink is 1)", "",
        common.table(("digits", "predicted by", "error %", "confidence %", "ECE", "Brier", "nll, nats"), calibration), "",
        "Answering the least uncertain digits first: mean error over all coverages, %", "",
        common.table(("predicted by", "score", "area"), risk), "", *findings(result)])


def findings(result):
    """What the numbers say, whichever way they fall."""
    by = {(r["rule"], r["score"], r["group"]): r["auroc"] for r in result["detection"]}
    lines = []
    for group in dict.fromkeys(r["group"] for r in result["detection"]):
        best = max((k for k in by if k[2] == group), key=by.get)
        gain = by["mc", "entropy", group] - by["weight-averaging", "entropy", group]
        lines.append(f"{group}: best is {SCORES[best[1]]} by {plots.NAMES[best[0]]} ({by[best]:.3f}); by entropy MC is "
                     f"{abs(gain):.3f} {'above' if gain >= 0 else 'below'} weight averaging, and mutual information is "
                     f"{abs(by['mc', 'mutual_information', group] - by['mc', 'entropy', group]):.3f} "
                     f"{'above' if by['mc', 'mutual_information', group] >= by['mc', 'entropy', group] else 'below'} entropy.")
    return lines


def draw(result, shown):
    axes, groups = plots.figure(2, 3, (17, 9.5)), list(dict.fromkeys(r["group"] for r in result["detection"]))
    by = {(r["rule"], r["score"], r["group"]): r for r in result["detection"]}
    plots.score_histograms(shown["histograms"], axes[0, 0], xlabel="entropy of the MC prediction, nats",
                           title=f"Entropy tells digits from clothes:\nAUROC {by['mc', 'entropy', 'clothes']['auroc']:.3f}")
    lines = [(rule, name) for rule in RULES for name in (SCORES if rule == "mc" else DETERMINISTIC)]
    best = max(lines, key=lambda k: np.mean([by[(*k, g)]["auroc"] for g in groups]))
    for i, (rule, name) in enumerate(lines):
        values = [by[rule, name, g]["auroc"] for g in groups]
        errors = [by[rule, name, g]["auroc_se"] or 0 for g in groups]
        axes[0, 1].errorbar(np.arange(len(groups)) + 0.09 * (i - len(lines) / 2), values, yerr=errors, fmt=plots.look.SHAPES[i % 7],
                            color=plots.PALETTE[i % 7], label=f"{plots.NAMES[rule]}, {SCORES[name]}", markersize=5, capsize=2,
                            fillstyle="none" if i >= 7 else "full")
    axes[0, 1].set_xticks(range(len(groups)), groups)
    plots.finish(axes[0, 1], f"Best score on average: {SCORES[best[1]]}\nby {plots.NAMES[best[0]]}", "foreign inputs",
                 "AUROC ± standard error")
    error = {(r["rule"], r["shift"], r["level"]): r for r in result["calibration"]}
    for i, rule in enumerate(RULES):
        plots.reliability(shown[rule]["reliability under shift"], axes[0, 2], plots.NAMES[rule], i)
        levels = [level for kind, level in LEVELS if kind == "turned"]
        plots.curve(axes[1, 0], levels, [error[rule, "turned", level]["ece"] for level in levels], plots.NAMES[rule], i)
        noise = [0, *(level for kind, level in LEVELS if kind == "noised")]
        plots.curve(axes[1, 1], noise, [(error[rule, "noised", s] if s else error[rule, "turned", 0])["ece"] for s in noise],
                    plots.NAMES[rule], i)
    at = {rule: error[rule, "turned", 45] for rule in RULES}
    axes[0, 2].set_title(f"Turned by 45° it errs on {at['mc']['error']:.0%} and is {at['mc']['confidence']:.0%} sure by MC,\n"
                         f"{at['weight-averaging']['confidence']:.0%} by weight averaging")
    for ax, kind, most, last, unit in ((axes[1, 0], "turned", 90, "90°", "rotation, degrees"),
                                       (axes[1, 1], "noised", 0.5, "0.5", "std of the noise")):
        ends = {rule: error[rule, kind, most]["ece"] for rule in RULES}
        plots.finish(ax, f"Calibration error of digits {kind} by {last}: {ends['mc']:.2f} by MC,\n"
                     f"{ends['weight-averaging']:.2f} by weight averaging", unit, "expected calibration error")
    curves = {f"{plots.NAMES[rule]}, {SCORES[name]}": shown[rule]["risk"][name]
              for rule, name in (("mc", "entropy"), ("mc", "mutual_information"), ("weight-averaging", "entropy"))}
    low = min(curves, key=lambda label: curves[label].area)
    plots.risk_coverage(curves, axes[1, 2], title=f"Test digits, most certain first:\nleast error by {low}")
    return axes[0, 0]


def main(args):
    """Run the study, write ood.json and ood.png, print the table (or the JSON)."""
    seed = require.integer("--seed", args.seed, 0)
    seeds = require.integer("--seeds", (1 if args.quick else 3) if args.seeds is None else args.seeds, 1, 100)
    count = require.integer("--images", (1000 if args.quick else 5000) if args.images is None else args.images, 10, 10_000)
    samples = require.integer("--samples", (20 if args.quick else 50) if args.samples is None else args.samples, 2, 100_000)
    threads = parallel.thread_count(None if args.threads is None else require.integer("--threads", args.threads, 1))
    require.integer("--seed + --seeds", seed + seeds, 1, 2**64)
    common.training_steps(args.epochs, 1, 1)
    folder = common.output_folder(args.out)
    images = data.mnist()
    per_epoch = -(-len(images[0]) // BATCH)
    steps = common.training_steps(args.epochs, per_epoch, (1 if args.quick else EPOCHS) * per_epoch)
    result = {"settings": {"quick": args.quick, "seeds": list(range(seed, seed + seeds)), "steps": steps, "samples": samples,
                           "images": min(count, len(images[2])), "variant": "all", "threads": threads}, "versions": common.versions()}
    found, shown = study(images, steps, result["settings"]["seeds"], count, samples, threads, progress=True)
    result |= found
    plots.save(draw(result, shown), folder / "ood.png")
    common.write_json(folder / "ood.json", result)
    print(common.to_json(result) if args.json else summary_table(result))
    print(f"wrote {folder / 'ood.json'} and {folder / 'ood.png'}", file=sys.stderr)
