"""The rotated digit: a 1 is turned step by step, and the network says how sure it is (arXiv 1506.02142).

LeNet with dropout before its last layer never saw a digit lie on its side. Does the average of its passes notice? One digit, as in the
paper, and a hundred of them, so that the finding does not rest on one image. The angles of the paper's twelve steps are not known here;
these are multiples of 10 degrees.
"""

import sys

import numpy as np

from .. import data, models, plots, require
from ..bayes.likelihood import log_softmax
from ..fast import parallel
from ..model import BayesianNetwork
from . import common
from .mnist import BATCH, STEPS, official_solver
from .shift import rotated

PUBLISHED = (1, 1, 1, 1, 1, 5, 5, 7, 7, 7, 7, 7)
ANGLES = tuple(range(0, 120, 10))  # degrees, counter-clockwise
DIGIT, MANY = 1, 100


def add_arguments(parser):
    common.add_options(parser)
    common.add_training_options(parser, "10.7: 10,000 steps; quick: 1")


def train(x, y, steps, seed, threads, progress):
    """LeNet-ip by the official solver."""
    net = models.lenet("ip", init_scheme="lecun")
    optimizer, prior = official_solver(net, len(x))
    model = BayesianNetwork(net, prior=prior)
    model.fit(x, y, steps=steps, batch_size=BATCH, optimizer=optimizer, seed=seed, threads=threads, progress=progress)
    return model


def one_digit(model, image, samples, seed, threads):
    """(rows of the table, logits (A, T, C)): what both rules say of one image at every angle."""
    turned = np.concatenate([rotated(image[None], angle) for angle in ANGLES])
    mc = model.predict(turned, samples=samples, seed=seed, threads=threads, keep_samples=True)
    average = model.predict(turned, rule="weight-averaging", threads=threads)
    rows = [{"angle": angle, "label": int(mc.label[i]), "published": PUBLISHED[i], "confidence": float(mc.mean[i].max()),
             "std_error": float(mc.std_error[i].max()), "entropy": float(mc.entropy[i]), "expected_entropy": float(mc.expected_entropy[i]),
             "mutual_information": float(mc.mutual_information[i]), "variation_ratio": float(mc.variation_ratio[i]),
             "average_label": int(average.label[i]), "average_confidence": float(average.mean[i].max())}
            for i, angle in enumerate(ANGLES)]
    return rows, mc.samples.swapaxes(0, 1)


def many_digits(model, images, samples, seed, threads):
    """Means over `images` at every angle, each with its standard error over the images."""
    rows = []
    for angle in ANGLES:
        turned = rotated(images, angle)
        mc = model.predict(turned, samples=samples, seed=seed, threads=threads)
        average = model.predict(turned, rule="weight-averaging", threads=threads)
        measured = {"right": mc.label == DIGIT, "confidence": mc.mean.max(axis=1), "entropy": mc.entropy,
                    "expected_entropy": mc.expected_entropy, "mutual_information": mc.mutual_information,
                    "average_right": average.label == DIGIT, "average_confidence": average.mean.max(axis=1)}
        row = {"angle": angle}
        for name, values in measured.items():
            row[name], row[f"{name}_se"] = common.mean_and_error(values)
        rows.append(row)
    return rows


def summary_table(result):
    settings = result["settings"]
    one = [(f"{r['angle']}", str(r["label"]), str(r["published"]), f"{r['confidence']:.2f} ± {r['std_error']:.2f}", f"{r['entropy']:.2f}",
            f"{r['expected_entropy']:.2f}", f"{r['mutual_information']:.2f}", str(r["average_label"]), f"{r['average_confidence']:.2f}")
           for r in result["one"]]
    many = [(f"{r['angle']}", *(f"{r[k]:.2f} ± {r[k + '_se']:.2f}" for k in (
        "right", "confidence", "average_right", "average_confidence", "entropy", "mutual_information"))) for r in result["many"]]
    return "\n".join([
        f"A {DIGIT} of the test set (image {settings['image']}) turned counter-clockwise; lenet-ip, {settings['steps']} steps, "
        f"T = {settings['samples']}, seed {settings['seed']}", "",
        common.table(("degrees", "MC says", "paper", "with", "entropy", "expected entropy", "mutual information", "WA says", "with"), one),
        "", f"{settings['many']} such digits, means ± standard errors over the digits", "",
        common.table(("degrees", "MC right", "its confidence", "WA right", "its confidence", "entropy", "mutual information"), many), "",
        "entropies in nats; mutual information = entropy - expected entropy: what knowing the weights would settle.",
        "WA: weight averaging, one pass. paper: what its network said in its twelve steps, at angles not known here."])


def titles(result):
    """The findings, from the numbers."""
    one, many = result["one"], result["many"]
    peak = max(one, key=lambda r: r["mutual_information"])
    worst = max(many, key=lambda r: r["average_confidence"] - r["average_right"])
    labels = " ".join(str(r["label"]) for r in one)
    return (f"The digit is called {labels}",
            f"The passes disagree most at {peak['angle']}°: mutual information {peak['mutual_information']:.2f} nats",
            f"At {worst['angle']}° weight averaging is right on {worst['average_right']:.0%} and {worst['average_confidence']:.0%} sure,\n"
            f"MC right on {worst['right']:.0%} and {worst['confidence']:.0%} sure")


def draw(result, logits, digits):
    axes, (called, disagree, overconfident) = plots.figure(3, 2, (13, 13)), titles(result)
    one, many = result["one"], result["many"]
    shown = sorted({r["label"] for r in one} | {DIGIT})[:5]
    plots.digit_sheet(digits, [f"{r['angle']}°\n{r['label']} ({r['confidence']:.2f})" for r in one], columns=6, ax=axes[0, 0], title=called)
    plots.softmax_clouds(ANGLES, logits, shown, axes[0, 1], title="Inputs of the soft-max, pass by pass", ylabel="logit of a pass")
    probabilities = np.exp(log_softmax(logits.astype(float)))
    plots.softmax_clouds(ANGLES, probabilities, shown, axes[1, 0], title="Outputs of the soft-max, pass by pass")
    for ax, rows, title in ((axes[1, 1], one, disagree), (axes[2, 0], many, f"The mean over {result['settings']['many']} such digits")):
        for i, name in enumerate(("entropy", "expected_entropy", "mutual_information")):
            plots.curve(ax, ANGLES, [r[name] for r in rows], name.replace("_", " "), i)
        plots.finish(ax, title, "rotation, degrees", "nats")
    for i, (name, label) in enumerate((("average_confidence", "confidence, weight averaging"), ("confidence", "confidence, MC"),
                                       ("average_right", "share right, weight averaging"), ("right", "share right, MC"))):
        plots.curve(axes[2, 1], ANGLES, [r[name] for r in many], label, i)
    plots.finish(axes[2, 1], overconfident, "rotation, degrees", "share, or probability")
    return axes[0, 0]


def main(args):
    """Run the study, write rotate.json and rotate.png, print the table (or the JSON)."""
    seed = require.integer("--seed", args.seed, 0, 2**64 - 1)
    samples = require.integer("--samples", (50 if args.quick else 100) if args.samples is None else args.samples, 2, 100_000)
    threads = parallel.thread_count(None if args.threads is None else require.integer("--threads", args.threads, 1))
    common.training_steps(args.epochs, 1, 1)
    folder = common.output_folder(args.out)
    x, y, x_test, y_test = data.mnist()
    per_epoch = -(-len(x) // BATCH)
    steps = common.training_steps(args.epochs, per_epoch, per_epoch if args.quick else STEPS)
    ones = np.flatnonzero(y_test == DIGIT)[:MANY]
    model = train(x, y, steps, seed, threads, progress=True)
    one, logits = one_digit(model, x_test[ones[0]], samples, seed, threads)
    result = {"settings": {"quick": args.quick, "seed": seed, "steps": steps, "samples": samples, "image": int(ones[0]), "many": len(ones),
                           "variant": "ip", "threads": threads},
              "versions": common.versions(), "one": one, "many": many_digits(model, x_test[ones], samples, seed, threads)}
    digits = np.concatenate([rotated(x_test[ones[:1]], angle) for angle in ANGLES])[..., 0]
    plots.save(draw(result, logits, digits), folder / "rotate.png")
    common.write_json(folder / "rotate.json", result)
    print(common.to_json(result) if args.json else summary_table(result))
    print(f"wrote {folder / 'rotate.png'} and {folder / 'rotate.json'}", file=sys.stderr)
