"""The rotated digit: a 1 is turned step by step, and the network says how sure it is (arXiv 1506.02142).

LeNet with dropout before its last layer never saw a digit lie on its side. Does the average of its passes
notice? One digit, as in the paper, and a hundred of them, so that the finding does not rest on one image. The
angles of the paper's twelve steps are not known here; these are multiples of 10 degrees.
"""

import numpy as np

from .. import data, plots
from ..bayes.likelihood import log_softmax
from ..model import BayesianNetwork
from . import common
from .frame import Count
from .mnist import LeNetStudy, trained, training_steps
from .shift import rotated

PUBLISHED = (1, 1, 1, 1, 1, 5, 5, 7, 7, 7, 7, 7)
ANGLES = tuple(range(0, 120, 10))  # degrees, counter-clockwise
DIGIT, MANY = 1, 100


def one_digit(model: BayesianNetwork, image: np.ndarray, samples: int, seed: int,
              threads: int | None) -> tuple[list[dict], np.ndarray]:
    """(rows of the table, logits (A, T, C)): what both rules say of one image at every angle."""
    turned = np.concatenate([rotated(image[None], angle) for angle in ANGLES])
    mc = model.predict(turned, samples=samples, seed=seed, threads=threads, keep_samples=True)
    average = model.predict(turned, rule="weight-averaging", threads=threads)
    rows = [{"angle": angle, "label": int(mc.label[i]), "published": PUBLISHED[i],
             "confidence": float(mc.mean[i].max()), "std_error": float(mc.std_error[i].max()),
             "entropy": float(mc.entropy[i]), "expected_entropy": float(mc.expected_entropy[i]),
             "mutual_information": float(mc.mutual_information[i]),
             "variation_ratio": float(mc.variation_ratio[i]),
             "average_label": int(average.label[i]), "average_confidence": float(average.mean[i].max())}
            for i, angle in enumerate(ANGLES)]
    return rows, mc.samples.swapaxes(0, 1)


def many_digits(model: BayesianNetwork, images: np.ndarray, samples: int, seed: int,
                threads: int | None, progress: bool = False) -> list[dict]:
    """Means over `images` at every angle, each with its standard error over the images."""
    rows = []
    for angle in ANGLES:
        turned = rotated(images, angle)
        mc = model.predict(turned, samples=samples, seed=seed, threads=threads, progress=progress)
        average = model.predict(turned, rule="weight-averaging", threads=threads)
        measured = {"right": mc.label == DIGIT, "confidence": mc.mean.max(axis=1), "entropy": mc.entropy,
                    "expected_entropy": mc.expected_entropy, "mutual_information": mc.mutual_information,
                    "average_right": average.label == DIGIT, "average_confidence": average.mean.max(axis=1)}
        row = {"angle": angle}
        for name, values in measured.items():
            row[name], row[f"{name}_se"] = common.mean_and_error(values)
        rows.append(row)
    return rows


def summary_table(result: dict) -> str:
    settings = result["settings"]
    one = [(str(r["angle"]), str(r["label"]), str(r["published"]),
            f"{r['confidence']:.2f} ± {r['std_error']:.2f}",
            *(f"{r[score]:.2f}" for score in ("entropy", "expected_entropy", "mutual_information")),
            str(r["average_label"]), f"{r['average_confidence']:.2f}") for r in result["one"]]
    scores = ("right", "confidence", "average_right", "average_confidence", "entropy", "mutual_information")
    many = [(f"{r['angle']}", *(f"{r[score]:.2f} ± {r[score + '_se']:.2f}" for score in scores))
            for r in result["many"]]
    return "\n".join([
        f"A {DIGIT} of the test set (image {settings['image']}) turned counter-clockwise; "
        f"lenet-ip, {settings['steps']} steps, T = {settings['samples']}, seed {settings['seed']}", "",
        common.table(("degrees", "MC says", "paper", "with", "entropy", "expected entropy",
                      "mutual information", "WA says", "with"), one), "",
        f"{settings['many']} such digits, means ± standard errors over the digits", "",
        common.table(("degrees", "MC right", "its confidence", "WA right", "its confidence", "entropy",
                      "mutual information"), many), "",
        "entropies in nats; mutual information = entropy - expected entropy: "
        "what knowing the weights would settle.",
        "WA: weight averaging, one pass. paper: what its network said in its twelve steps, "
        "at angles not known here."])


def titles(result: dict) -> tuple[str, str, str]:
    """The findings, from the numbers."""
    one, many = result["one"], result["many"]
    peak = max(one, key=lambda r: r["mutual_information"])
    worst = max(many, key=lambda r: r["average_confidence"] - r["average_right"])
    labels = " ".join(str(r["label"]) for r in one)
    return (f"The digit is called {labels}",
            f"The passes disagree most at {peak['angle']}°: "
            f"mutual information {peak['mutual_information']:.2f} nats",
            f"At {worst['angle']}° weight averaging is right on {worst['average_right']:.0%} "
            f"and {worst['average_confidence']:.0%} sure,\n"
            f"MC right on {worst['right']:.0%} and {worst['confidence']:.0%} sure")


def figure(result: dict, logits: np.ndarray, digits: np.ndarray) -> plots.Axes:
    """The digit and its soft-max, pass by pass, above; below, what both say as it turns."""
    axes = plots.figure(3, 2, (13, 13))
    one, many = result["one"], result["many"]
    called, disagree, overconfident = titles(result)
    classes = sorted({r["label"] for r in one} | {DIGIT})[:5]
    captions = [f"{r['angle']}°\n{r['label']} ({r['confidence']:.2f})" for r in one]
    plots.digit_sheet(digits, captions, columns=6, ax=axes[0, 0], title=called)
    plots.softmax_clouds(ANGLES, logits, classes, axes[0, 1], title="Inputs of the soft-max, pass by pass",
                         ylabel="logit of a pass")
    probabilities = np.exp(log_softmax(logits.astype(float)))
    plots.softmax_clouds(ANGLES, probabilities, classes, axes[1, 0],
                         title="Outputs of the soft-max, pass by pass")
    for ax, rows, title in ((axes[1, 1], one, disagree),
                            (axes[2, 0], many, f"The mean over {result['settings']['many']} such digits")):
        for i, name in enumerate(("entropy", "expected_entropy", "mutual_information")):
            plots.curve(ax, ANGLES, [r[name] for r in rows], name.replace("_", " "), i)
        plots.finish(ax, title, "rotation, degrees", "nats")
    lines = {"average_confidence": "confidence, weight averaging", "confidence": "confidence, MC",
             "average_right": "share right, weight averaging", "right": "share right, MC"}
    for i, (name, label) in enumerate(lines.items()):
        plots.curve(axes[2, 1], ANGLES, [r[name] for r in many], label, i)
    plots.finish(axes[2, 1], overconfident, "rotation, degrees", "share, or probability")
    return axes[0, 0]


class Rotate(LeNetStudy, name="rotate", about="a turned digit: soft-max clouds, entropy and mutual "
             "information against the angle; rotate.png, rotate.json"):
    counts = {"samples": Count("T", "stochastic passes", 2, 100_000)}
    full = {"epochs": None, "samples": 100}
    quick = {"epochs": 1, "samples": 50}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, tuple]:
        x, y, x_test, y_test = data.mnist()
        seed, samples = settings["seed"], settings["samples"]
        steps = training_steps(settings["epochs"], len(x))
        ones = np.flatnonzero(y_test == DIGIT)[:MANY]
        model, _ = trained("ip", x, y, steps=steps, seed=seed, threads=threads, progress=progress)
        one, logits = one_digit(model, x_test[ones[0]], samples, seed, threads)
        full = {"quick": settings["quick"], "seed": seed, "steps": steps, "samples": samples,
                "image": int(ones[0]), "many": len(ones), "variant": "ip", "threads": threads}
        digits = np.concatenate([rotated(x_test[ones[:1]], angle) for angle in ANGLES])[..., 0]
        many = many_digits(model, x_test[ones], samples, seed, threads, progress)
        return {"settings": full, "one": one, "many": many}, (logits, digits)

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: tuple) -> plots.Axes:
        return figure(result, *figure_data)
