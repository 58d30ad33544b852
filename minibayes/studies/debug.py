"""Weight uncertainty for model debugging: which training labels are wrong, and what does the net not know?

Two per cent of the training labels are replaced by another class. A network is trained on all of them and
then ranks its own training data: by how uncertain it is (entropy, mutual information, variation ratio) and by
how badly the given label fits (-log p of it, by MC and by weight averaging). Dropout after every layer keeps
it from learning the wrong labels by heart in the few epochs it gets; a network that does can no longer point
them out. Then the test digits that it is least sure of, to be looked at.
"""

import numpy as np

from .. import data, metrics, plots
from ..model import BayesianNetwork
from . import common
from .frame import Count
from .mnist import LeNetStudy, trained, training_steps

WRONG, CLASSES = 0.02, 10
SHEET = 24  # digits on a sheet of the figure
SCORES = {"mc_loss": "-log p(label), MC", "average_loss": "-log p(label), weight averaging",
          "entropy": "entropy, MC", "mutual_information": "mutual information, MC",
          "variation_ratio": "variation ratio, MC"}


def corrupted(y: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(labels with `share` of them moved to another class, where): which, and to which class, is uniform."""
    rng = np.random.default_rng([seed, 2])
    where = np.zeros(len(y), bool)
    where[rng.choice(len(y), round(share * len(y)), replace=False)] = True
    moved = y.copy()
    moved[where] = (y[where] + rng.integers(1, CLASSES, where.sum())) % CLASSES
    return moved, where


def scored(model: BayesianNetwork, x: np.ndarray, y: np.ndarray, samples: int, seed: int,
           threads: int | None, progress: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """{score: (N,)}, each larger for examples that look wrong, and the labels the network would give."""
    mc = model.predict(x, samples=samples, seed=seed, threads=threads, progress=progress)
    average = model.predict(x, rule="weight-averaging", threads=threads)
    return {"mc_loss": -mc.log_likelihood(y), "average_loss": -average.log_likelihood(y),
            "entropy": mc.entropy, "mutual_information": mc.mutual_information,
            "variation_ratio": mc.variation_ratio}, mc.label


def ranking(scores: dict[str, np.ndarray], curves: dict, wrong: np.ndarray) -> list[dict]:
    """How well each score finds the wrong labels, the best first."""
    rows, count = [], wrong.sum()
    for name, score in scores.items():
        by_score = wrong[np.argsort(-score, kind="stable")]
        rows.append({"score": name, "average_precision": curves[name].average_precision,
                     "precision_at_wrong": float(by_score[:count].mean()),
                     "found_in_twice": float(by_score[:2 * count].sum() / count)})
    return sorted(rows, key=lambda r: -r["average_precision"])


def summary_table(result: dict) -> str:
    settings, memory = result["settings"], result["given_label"]
    share, sure = settings["wrong_share"], result["ranking"][0]["score"].endswith("loss")
    rows = [(SCORES[r["score"]], f"{r['average_precision']:.3f}", f"{100 * r['precision_at_wrong']:.1f}",
             f"{100 * r['found_in_twice']:.1f}") for r in result["ranking"]]
    return "\n".join([
        f"lenet-all on {settings['images']} MNIST digits, "
        f"{settings['wrong']} of their labels wrong ({share:.0%}); "
        f"{settings['steps']} steps, T = {settings['samples']}, seed {settings['seed']}", "",
        common.table(("training examples ranked by", "average precision", "% wrong among the first",
                      "% found in twice as many"), rows), "",
        f"the first: as many as there are wrong labels. At random all three figures would be {share:.3f}, "
        f"{share:.1%} and {2 * share:.1%}.",
        f"Has it learnt the wrong labels by heart? It repeats {memory['wrong_repeated']:.1%} of them "
        f"and gives the true class for {memory['wrong_seen_through']:.1%}; "
        f"error on the test digits {100 * result['test_error']:.2f} %.",
        *["The uncertainty of a prediction says what the network cannot tell, not that a label is wrong: "
          "there it is sure, and disagrees."] * sure,
        f"Of the {SHEET} test digits with the largest entropy it calls {result['uncertain_right']} right."])


def figure(result: dict, curves: dict, suspects: tuple, uncertain: tuple) -> plots.Axes:
    """Curves above, the two sheets below: (images, captions) each."""
    axes = plots.figure(2, 2, (14, 12))
    rows, settings = result["ranking"], result["settings"]
    best, names = rows[0], [SCORES[r["score"]] for r in rows]
    plots.precision_recall({SCORES[name]: c for name, c in curves.items()}, settings["wrong_share"],
                           axes[0, 0], title=f"Best at finding wrong labels: {SCORES[best['score']]}")
    axes[0, 1].barh(range(len(names)), [100 * r["precision_at_wrong"] for r in rows], color=plots.PALETTE[0])
    axes[0, 1].set_yticks(range(len(names)), names)
    axes[0, 1].invert_yaxis()
    plots.finish(axes[0, 1], f"Of the {settings['wrong']} examples ranked first by it,\n"
                 f"{best['precision_at_wrong']:.0%} have a wrong label", "% of them that are wrong", "")
    found = sum("not corrupted" not in caption for caption in suspects[1])
    plots.digit_sheet(*suspects, columns=6, ax=axes[1, 0], title="Training digits ranked first by MC loss: "
                      f"{found} of {len(suspects[1])} labels were corrupted")
    plots.digit_sheet(*uncertain, columns=6, ax=axes[1, 1], title="Test digits with the largest entropy: "
                      f"{result['uncertain_right']} of {len(uncertain[1])} called right")
    return axes[0, 0]


class Debug(LeNetStudy, name="debug", about="which training labels are wrong, and which test digits does the "
            "network not know? debug.png, debug.json"):
    counts = {"samples": Count("T", "stochastic passes", 2, 100_000),
              "images": Count("N", "training images", 100, 60_000)}
    full = {"epochs": 3, "samples": 20, "images": 60_000}
    quick = {"epochs": 3, "samples": 10, "images": 12_000}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> tuple[dict, tuple]:
        x, y, x_test, y_test = data.mnist()
        x, y = x[:settings["images"]], y[:settings["images"]]
        seed, samples = settings["seed"], settings["samples"]
        labels, wrong = corrupted(y, WRONG, seed)
        steps = training_steps(settings["epochs"], len(x))
        model, _ = trained("all", x, labels, steps=steps, seed=seed, threads=threads, progress=progress)
        scores, said = scored(model, x, labels, samples, seed, threads, progress)
        curves = {name: metrics.precision_recall(score, wrong) for name, score in scores.items()}
        test = model.predict(x_test, samples=samples, seed=seed, threads=threads, progress=progress)
        unsure = np.argsort(-test.entropy, kind="stable")[:SHEET]
        suspected = np.argsort(-scores["mc_loss"], kind="stable")[:SHEET]
        full = {"quick": settings["quick"], "seed": seed, "steps": steps, "samples": samples,
                "images": len(x), "threads": threads, "wrong": int(wrong.sum()),
                "wrong_share": float(wrong.mean()), "variant": "all"}
        result = {"settings": full, "ranking": ranking(scores, curves, wrong),
                  "given_label": {"wrong_repeated": float((said == labels)[wrong].mean()),
                                  "wrong_seen_through": float((said == y)[wrong].mean())},
                  "test_error": test.error(y_test),
                  "uncertain": unsure.tolist(), "suspected": suspected.tolist(),
                  "uncertain_right": int((test.label == y_test)[unsure].sum())}
        suspects = [f"label {labels[i]}\nsays {said[i]}" + ("" if wrong[i] else "\n(not corrupted)")
                    for i in suspected]
        uncertain = [f"true {y_test[i]}\nsays {test.label[i]}\n{test.entropy[i]:.2f} nats" for i in unsure]
        return result, (curves, (x[suspected, :, :, 0], suspects), (x_test[unsure, :, :, 0], uncertain))

    def table(self, result: dict) -> str:
        return summary_table(result)

    def figure(self, result: dict, figure_data: tuple) -> plots.Axes:
        return figure(result, *figure_data)
