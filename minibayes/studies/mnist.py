"""The poster's MNIST result: LeNet without dropout, with it before the inner product, and after every layer.

Claim: dropout after convolutions fails when predicted with by weight averaging ("standard dropout") and works
when predicted with by averaging stochastic passes (MC). The third rule, probabilistic pooling, separates the
two reasons why: it is deterministic like weight averaging, but takes the exact mean of a max-pool over
dropped units.
"""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from .. import bayes, data, metrics, models, nn, plots
from ..bayes import convert
from ..model import BayesianNetwork
from ..progress import bar
from ..spread import Record, alone, spread
from . import common
from .frame import Count, Epochs
from .repeats import Repeats

# The short official solver: "inv" policy, batch 64, 10,000 steps (arXiv 1506.02158).
RATE, MOMENTUM = 0.01, 0.9
DECAY = 5e-4
BATCH, STEPS = 64, 10_000
RULES = {"none": ("weight-averaging",), "ip": ("weight-averaging", "mc"),
         "all": ("weight-averaging", "probabilistic-pooling", "mc")}
NOTES = (
    "± binomial: standard error of one error rate on so many test images. "
    "± seeds: standard error of the mean over seeds.\n"
    "weight averaging: one pass with z replaced by E[z]. "
    "probabilistic pooling: the same, with the exact mean of a\n"
    "max-pool over dropped units: what it gains over weight averaging is the max-pool's bias, "
    "what MC gains over it is the rest.")


# ----------------------------------------------------------- what the studies of LeNet on MNIST share

class LeNetStudy(Epochs):
    """It trains LeNet on MNIST for so many --epochs; None in full or quick: the solver's own 10,000 steps."""

    def epochs_in_words(self, epochs: float | None) -> str:
        return "10.7: 10,000 steps" if epochs is None else f"{epochs}"


def steps_an_epoch(num_data: int) -> int:
    return -(-num_data // BATCH)


def training_steps(epochs: float | None, num_data: int) -> int:
    """Minibatch steps of so many epochs; the solver's own 10,000 if None."""
    return STEPS if epochs is None else max(1, round(epochs * steps_an_epoch(num_data)))


def official_solver(net: nn.Network, num_data: int) -> tuple[nn.SGD, bayes.Prior]:
    """(optimizer, prior) that train M as the paper's Caffe solver trains Theta = keep M (bayes/convert.py).

    Biases learn at twice the rate, as there. Ten of them, in the last layer, decay by keep wd and not by wd.
    """
    twice = {name: {"b": 2} for name, layer in net.layers.items() if layer.param_shapes()}
    caffe = nn.SGD(RATE, momentum=MOMENTUM, policy="inv", multipliers=twice)
    return convert.sgd_of_inverted(net, caffe, DECAY, num_data)


def trained(variant: str, x: np.ndarray, y: np.ndarray, **options) -> tuple[BayesianNetwork, list[dict]]:
    """(LeNet trained by the official solver, the rows that `fit` reports); options: those of `fit`."""
    net = models.lenet(variant, init_scheme="lecun")
    optimizer, prior = official_solver(net, len(x))
    model = BayesianNetwork(net, prior=prior)
    return model, model.fit(x, y, batch_size=BATCH, optimizer=optimizer, **options)


# ------------------------------------------------------------------------------- the poster's result

def evaluate(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, rules: tuple, **options) -> dict:
    """{rule: (error, nll, on which inputs it errs)} on (x, y); options: those of `predict`."""
    scores = {}
    for rule in rules:
        prediction = model.predict(x, rule=rule, **options)
        scores[rule] = prediction.error(y), -float(prediction.log_likelihood(y).mean()), prediction.label != y
    return scores


def study(images: tuple, seeds: Sequence[int], threads: int | None = None, progress: bool = False,
          executor: Executor | None = None, record: Record | None = None, **settings) -> dict:
    """What mnist.json has beside settings and versions: `network` of every variant with every seed."""
    found = {"results": [], "comparisons": [], "history": []}
    jobs = [{"variant": variant, "seed": seed} | settings for seed in seeds for variant in models.VARIANTS]
    with bar(progress, len(jobs), "networks", " networks") as progress_bar:
        made = spread(alone(network, executor, threads, progress, images=images), jobs, executor,
                      finished=lambda i: progress_bar.update(1), record=record)
    for job, parts in zip(jobs, made, strict=True):
        for part, rows in parts.items():
            found[part] += [{"variant": job["variant"]} | row for row in rows]
    return found


def network(job: dict, threads: int | None = None, progress: bool = False,
            images: tuple | None = None) -> dict:
    """One network trained and tested on images = (x, y, x_test, y_test): its rows of each part of mnist.json.

    job: "variant"; "seed"; "steps"; "samples", passes of the final scores; "curve_samples", of those during
    training, every "report_every" steps.
    """
    x, y, x_test, y_test = data.mnist() if images is None else images
    variant, seed, steps, samples, curve_samples, report_every = (job[name] for name in (
        "variant", "seed", "steps", "samples", "curve_samples", "report_every"))
    rules = RULES[variant]

    def report(snapshot: BayesianNetwork, row: dict) -> dict:
        scores = evaluate(snapshot, x_test, y_test, rules, samples=curve_samples, seed=seed, threads=threads)
        return {"error": {rule: error for rule, (error, _, _) in scores.items()}}

    run = {"seed": seed, "threads": threads, "progress": progress}
    model, rows = trained(variant, x, y, steps=steps, report_every=report_every, on_report=report, **run)
    history = [{"seed": seed} | row for row in rows]
    scores = evaluate(model, x_test, y_test, rules, samples=samples, **run)
    results = [{"rule": rule, "seed": seed, "error": error,
                "error_se": metrics.binomial_std_error(error, len(y_test)), "nll": nll}
               for rule, (error, nll, _) in scores.items()]
    comparisons = []
    for rule in rules[:-1]:  # none of "none"
        mc_only, rule_only, p = metrics.mcnemar(scores["mc"][2], scores[rule][2])
        comparisons.append({"seed": seed, "a": "mc", "b": rule, "only_a_wrong": mc_only,
                            "only_b_wrong": rule_only, "p_value": p})
    return {"results": results, "comparisons": comparisons, "history": history}


def summary_table(result: dict) -> str:
    """The printed table: variant x rule, then the paired comparisons."""
    settings, rows = result["settings"], []
    seeds, test = settings["seeds"], settings["test_images"]
    for variant, rules in RULES.items():
        for rule in rules:
            chosen = [r for r in result["results"] if r["variant"] == variant and r["rule"] == rule]
            error, se = common.mean_and_error([100 * r["error"] for r in chosen])
            nll, _ = common.mean_and_error([r["nll"] for r in chosen])
            passes = f", T = {settings['samples']}" if rule == "mc" else ""
            rows.append((f"lenet-{variant}", plots.NAMES[rule] + passes, f"{error:.2f}",
                         f"{100 * metrics.binomial_std_error(error / 100, test):.2f}",
                         "-" if se is None else f"{se:.2f}", f"{nll:.4f}"))
    return "\n".join([
        f"MNIST test set, {test:,} images; {settings['steps']} steps of {BATCH} "
        f"({settings['epochs']:.1f} epochs), "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}", "",
        common.table(("network", "predicted by", "error %", "± binomial", "± seeds", "nll, nats"), rows), "",
        "MC against another rule on the same weights and images (McNemar's exact paired test, two-sided):",
        *(f"  lenet-{c['variant']}, seed {c['seed']}: only MC wrong on {c['only_a_wrong']} images, only "
          f"{plots.NAMES[c['b']]} on {c['only_b_wrong']}: p = {c['p_value']:.2g}"
          for c in result["comparisons"]),
        "", NOTES])


def curves(result: dict) -> list[dict]:
    """A line per variant and rule for plots.error_curves: means over seeds, with their standard errors."""
    lines, several = [], len(result["settings"]["seeds"]) > 1
    for variant, rules in RULES.items():
        for rule in rules:
            by_step = {}
            for row in result["history"]:
                if row["variant"] == variant:
                    by_step.setdefault(row["step"], []).append((row["epoch"], row["error"][rule]))
            stats = [common.mean_and_error([e for _, e in v]) for _, v in sorted(by_step.items())]
            lines.append({"variant": variant, "rule": rule, "samples": result["settings"]["curve_samples"],
                          "epochs": [v[0][0] for _, v in sorted(by_step.items())],
                          "errors": [mean for mean, _ in stats],
                          "error_se": [se for _, se in stats] if several else None})
    return lines


def figure_title(result: dict) -> str:
    """The finding, in the figures of the final table, which has more passes than the lines."""
    rows = [r for r in result["results"] if r["variant"] == "all"]
    mean = {rule: common.mean_and_error([100 * r["error"] for r in rows if r["rule"] == rule])[0]
            for rule in RULES["all"]}
    settings = result["settings"]
    drawn, final = (f"T = {settings[name]}" for name in ("curve_samples", "samples"))
    figures = f", {final}" if drawn == final else f", {final} (line: {drawn})"
    return (f"MNIST, dropout after every layer: MC averaging{figures},\nerrs on {mean['mc']:.2f} %, "
            f"weight averaging of the same networks on {mean['weight-averaging']:.2f} %")


class MNIST(Repeats, LeNetStudy, name="mnist", about="the poster's MNIST result: LeNet none / ip / all, by "
            "weight averaging and by MC; table, mnist.png, mnist.json"):
    counts = {"seeds": Count("K", "train with K seeds, S to S+K-1", 1, 1000),
              "samples": Count("T", "MC passes of the final table", 1, 100_000)}
    full = {"epochs": None, "seeds": 1, "samples": 50, "curve_samples": 10}
    quick = {"epochs": 1, "seeds": 1, "samples": 20, "curve_samples": 5}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False,
            executor: Executor | None = None, record: Record | None = None) -> tuple[dict, None]:
        images = data.mnist()
        epoch = steps_an_epoch(len(images[0]))
        steps = training_steps(settings["epochs"], len(images[0]))
        chosen = {name: settings[name] for name in ("samples", "curve_samples", "seeds")}
        report_every = -(-epoch // 4) if steps <= 2 * epoch else epoch
        found = study(images, steps=steps, report_every=report_every, threads=threads, progress=progress,
                      executor=executor, record=record, **chosen)
        full = {"quick": settings["quick"], "train_images": len(images[0]), "test_images": len(images[2]),
                "steps": steps, "epochs": steps / epoch, "batch_size": BATCH, "rate": RATE,
                "momentum": MOMENTUM, "policy": "inv", "weight_decay": DECAY, "keep": 0.5, **chosen,
                "threads": threads}
        return {"settings": full} | found, None

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: None) -> plots.Axes:
        return plots.error_curves(curves(result), figure_title(result))
