"""The poster's MNIST result: LeNet without dropout, with dropout on the inner product, and after every layer; two ways to predict.

Claim: dropout after convolutions fails when predicted with by weight averaging ("standard dropout") and works when predicted with by
averaging stochastic passes (MC). The third rule, probabilistic pooling, separates the two reasons why: it is deterministic like weight
averaging, but takes the exact mean of a max-pool over dropped units.
"""

import math
import sys

from .. import data, metrics, models, nn, plots, require
from ..bayes import Prior
from ..fast import parallel
from ..model import BayesianNetwork
from ..progress import bar
from . import common

RATE, MOMENTUM, DECAY = 0.01, 0.9, 5e-4  # the short official solver: "inv" policy, batch 64, 10,000 steps (arXiv 1506.02158)
BATCH, STEPS = 64, 10_000
RULES = {"none": ("weight-averaging",), "ip": ("weight-averaging", "mc"),
         "all": ("weight-averaging", "probabilistic-pooling", "mc")}
SHORT = {"weight-averaging": "WA", "probabilistic-pooling": "PP", "mc": "MC"}


def add_arguments(parser):
    common.add_options(parser)
    parser.add_argument("--epochs", type=float, default=None, metavar="E", help="training epochs (default 10.7: 10,000 steps; quick: 1)")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="train with K seeds, S to S+K-1 (default 1)")
    parser.add_argument("--samples", type=int, default=None, metavar="T", help="MC passes of the final table (default 50; quick: 20)")


def official_solver(net, num_data):
    """(optimizer, prior) that train M exactly as the paper's Caffe solver trains its weights Theta.

    Caffe rescales its masks by 1/keep, so Theta = keep M wherever the noise acts. One step on Theta with rate r and decay wd,
    Theta' = Theta - r (dL/dTheta + wd Theta), is with dL/dTheta = dL/dM / keep

        M' = M - (r/keep^2) (dL/dM + keep^2 wd M),       and KL/N has the decay l^2 keep/N:      l^2 = keep wd N.

    Biases learn at twice the rate, as there. One difference is left: a dense bias lies outside its layer's noise, where the prior's
    single l per layer gives it the decay keep wd, not wd (10 numbers in the last layer).
    """
    multipliers, lengthscales = {}, {}
    for name, layer in net.layers.items():
        if layer.param_shapes():
            keep = layer.noise.mean
            multipliers[name] = {p: (2 if p == "b" else 1) / (keep**2 if p in layer.noisy_params else 1) for p in layer.param_shapes()}
            lengthscales[name] = math.sqrt(keep * DECAY * num_data)
    return nn.SGD(RATE, momentum=MOMENTUM, policy="inv", multipliers=multipliers), Prior(lengthscales)


def evaluate(model, x, y, rules, samples, seed, threads, progress=False):
    """{rule: (error, nll, wrong)} on (x, y); `wrong` says on which inputs the rule errs."""
    scores = {}
    for rule in rules:
        prediction = model.predict(x, rule=rule, samples=samples, seed=seed, threads=threads, progress=progress)
        scores[rule] = prediction.error(y), -float(prediction.log_likelihood(y).mean()), prediction.label != y
    return scores


def study(images, steps, seeds, samples, curve_samples, report_every, threads=None, progress=False):
    """Train every variant with every seed on images = (x, y, x_test, y_test): what mnist.json holds beside settings and versions."""
    x, y, x_test, y_test = images
    results, history, comparisons = [], [], []
    with bar(progress, len(seeds) * len(models.VARIANTS), "networks", " networks") as shown:
        for seed in seeds:
            for variant in models.VARIANTS:
                net = models.lenet(variant, init_scheme="lecun")
                optimizer, prior = official_solver(net, len(x))
                model = BayesianNetwork(net, prior=prior)

                def report(snapshot, row, rules=RULES[variant], seed=seed):
                    scores = evaluate(snapshot, x_test, y_test, rules, curve_samples, seed, threads)
                    return {"error": {rule: score[0] for rule, score in scores.items()}}

                rows = model.fit(x, y, steps=steps, batch_size=BATCH, optimizer=optimizer, seed=seed, report_every=report_every,
                                 on_report=report, progress=progress, threads=threads)
                history += [{"variant": variant, "seed": seed} | row for row in rows]
                scores = evaluate(model, x_test, y_test, RULES[variant], samples, seed, threads, progress)
                for rule, (error, nll, _) in scores.items():
                    results.append({"variant": variant, "rule": rule, "seed": seed, "error": error,
                                    "error_se": metrics.binomial_std_error(error, len(y_test)), "nll": nll})
                for rule in RULES[variant][:-1] if variant != "none" else ():
                    mc_only, rule_only, p = metrics.mcnemar(scores["mc"][2], scores[rule][2])
                    comparisons.append({"variant": variant, "seed": seed, "a": "mc", "b": rule, "only_a_wrong": mc_only,
                                        "only_b_wrong": rule_only, "p_value": p})
                shown.update(1)
    return {"results": results, "comparisons": comparisons, "history": history}


def summary_table(result):
    """The printed table: variant x rule, then the paired comparisons."""
    settings, rows = result["settings"], []
    seeds, test = settings["seeds"], settings["test_images"]
    for variant, rules in RULES.items():
        for rule in rules:
            chosen = [r for r in result["results"] if r["variant"] == variant and r["rule"] == rule]
            error, se = common.mean_and_error([100 * r["error"] for r in chosen])
            nll, _ = common.mean_and_error([r["nll"] for r in chosen])
            spread = f"{se:.2f}" if se is not None else "-"
            rows.append((f"lenet-{variant}", f"{plots.NAMES[rule]}" + (f", T = {settings['samples']}" if rule == "mc" else ""),
                         f"{error:.2f}", f"{100 * metrics.binomial_std_error(error / 100, test):.2f}", spread, f"{nll:.4f}"))
    lines = [f"MNIST test set, {test:,} images; {settings['steps']} steps of {BATCH} ({settings['epochs']:.1f} epochs), "
             f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}", "",
             common.table(("network", "predicted by", "error %", "± binomial", "± seeds", "nll, nats"), rows), "",
             "MC against another rule on the same weights and images (McNemar's exact paired test, two-sided):"]
    for c in result["comparisons"]:
        lines.append(f"  lenet-{c['variant']}, seed {c['seed']}: only MC wrong on {c['only_a_wrong']} images, only {plots.NAMES[c['b']]} "
                     f"on {c['only_b_wrong']}: p = {c['p_value']:.2g}")
    lines += ["", "± binomial: standard error of one error rate on so many test images. ± seeds: standard error of the mean over seeds.",
              "weight averaging: one pass with z replaced by E[z]. probabilistic pooling: the same, with the exact mean of a",
              "max-pool over dropped units: what it gains over weight averaging is the max-pool's bias, what MC gains over it is the rest."]
    return "\n".join(lines)


def curves(result):
    """One line per variant and rule for plots.error_curves: means over seeds, with their standard errors if there are several."""
    lines = []
    for variant, rules in RULES.items():
        for rule in rules if variant != "none" else rules[:1]:
            by_step = {}
            for row in result["history"]:
                if row["variant"] == variant:
                    by_step.setdefault(row["step"], []).append((row["epoch"], row["error"][rule]))
            stats = [common.mean_and_error([e for _, e in v]) for _, v in sorted(by_step.items())]
            lines.append({"variant": variant, "rule": rule, "samples": result["settings"]["curve_samples"],
                          "epochs": [v[0][0] for _, v in sorted(by_step.items())],
                          "errors": [mean for mean, _ in stats],
                          "error_se": [se for _, se in stats] if len(result["settings"]["seeds"]) > 1 else None})
    return lines


def figure_title(result):
    """The finding, in the figures of the final table."""
    mean = {rule: common.mean_and_error([100 * r["error"] for r in result["results"] if r["variant"] == "all" and r["rule"] == rule])[0]
            for rule in RULES["all"]}
    return (f"MNIST: with dropout after every layer, MC averaging errs on {mean['mc']:.2f} %,\n"
            f"weight averaging of the same networks on {mean['weight-averaging']:.2f} %")


def main(args):
    """Run the study, write mnist.json and mnist.png, print the table (or the JSON)."""
    seed, seeds = require.integer("--seed", args.seed, 0), require.integer("--seeds", args.seeds, 1, 1000)
    samples = require.integer("--samples", (20 if args.quick else 50) if args.samples is None else args.samples, 1, 100_000)
    threads = parallel.thread_count(None if args.threads is None else require.integer("--threads", args.threads, 1))
    common.training_steps(args.epochs, 1, 1)  # a bad number shows before the data are read
    require.integer("--seed + --seeds", seed + seeds, 1, 2**64)
    folder = common.output_folder(args.out)
    images = data.mnist()
    per_epoch = -(-len(images[0]) // BATCH)
    steps = common.training_steps(args.epochs, per_epoch, per_epoch if args.quick else STEPS)
    settings = {"quick": args.quick, "train_images": len(images[0]), "test_images": len(images[2]), "steps": steps,
                "epochs": steps / per_epoch, "batch_size": BATCH, "rate": RATE, "momentum": MOMENTUM,
                "policy": "inv", "weight_decay": DECAY, "keep": 0.5, "samples": samples,
                "curve_samples": 5 if args.quick else 10, "seeds": list(range(seed, seed + seeds)), "threads": threads}
    report_every = -(-per_epoch // 4) if steps <= 2 * per_epoch else per_epoch
    result = {"settings": settings, "versions": common.versions()}
    result |= study(images, steps, settings["seeds"], samples, settings["curve_samples"], report_every, threads, progress=True)
    common.write_json(folder / "mnist.json", result)
    plots.save(plots.error_curves(curves(result), figure_title(result)), folder / "mnist.png")
    print(common.to_json(result) if args.json else summary_table(result))
    print(f"wrote {folder / 'mnist.json'} and {folder / 'mnist.png'}", file=sys.stderr)
