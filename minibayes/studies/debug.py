"""Weight uncertainty for model debugging: which training labels are wrong, and which digits does the network not know?

Two per cent of the training labels are replaced by another class. A network is trained on all of them and then ranks its own training
data: by how uncertain it is (entropy, mutual information, variation ratio) and by how badly the given label fits (-log p of it, by MC and
by weight averaging). Dropout after every layer keeps it from learning the wrong labels by heart in the few epochs it gets; a network that
does can no longer point them out. Then the test digits that it is least sure of, to be looked at.
"""

import sys

import numpy as np

from .. import data, metrics, models, plots, require
from ..fast import parallel
from ..model import BayesianNetwork
from . import common
from .mnist import BATCH, official_solver

WRONG, CLASSES, SHOWN, EPOCHS = 0.02, 10, 24, 3
SCORES = {"mc_loss": "-log p(label), MC", "average_loss": "-log p(label), weight averaging", "entropy": "entropy, MC",
          "mutual_information": "mutual information, MC", "variation_ratio": "variation ratio, MC"}


def add_arguments(parser):
    common.add_options(parser)
    common.add_training_options(parser, f"{EPOCHS}")
    parser.add_argument("--images", type=int, default=None, metavar="N", help="training images (default 60000; quick: 12000)")


def corrupted(y, share, seed):
    """(labels with `share` of them moved to another class, where): which ones and to which class is uniform and depends on the seed."""
    rng = np.random.default_rng([seed, 2])
    where = np.zeros(len(y), bool)
    where[rng.choice(len(y), round(share * len(y)), replace=False)] = True
    moved = y.copy()
    moved[where] = (y[where] + rng.integers(1, CLASSES, where.sum())) % CLASSES
    return moved, where


def rank(model, x, y, samples, seed, threads, progress):
    """{score: (N,)}, each larger for examples that look wrong, and the labels the network would give."""
    mc = model.predict(x, samples=samples, seed=seed, threads=threads, progress=progress)
    average = model.predict(x, rule="weight-averaging", threads=threads)
    return {"mc_loss": -mc.log_likelihood(y), "average_loss": -average.log_likelihood(y), "entropy": mc.entropy,
            "mutual_information": mc.mutual_information, "variation_ratio": mc.variation_ratio}, mc.label


def summary_table(result):
    settings = result["settings"]
    rows = [(SCORES[r["score"]], f"{r['average_precision']:.3f}", f"{100 * r['precision_at_wrong']:.1f}",
             f"{100 * r['found_in_twice']:.1f}") for r in result["ranking"]]
    memory = result["given_label"]
    return "\n".join([
        f"lenet-all on {settings['images']} MNIST digits, {settings['wrong']} of their labels wrong ({settings['wrong_share']:.0%}); "
        f"{settings['steps']} steps, T = {settings['samples']}, seed {settings['seed']}", "",
        common.table(("training examples ranked by", "average precision", "% wrong among the first", "% found in twice as many"), rows), "",
        f"the first: as many as there are wrong labels. At random all three figures would be {settings['wrong_share']:.3f}, "
        f"{settings['wrong_share']:.1%} and {2 * settings['wrong_share']:.1%}.",
        f"Has it learnt the wrong labels by heart? It repeats {memory['wrong_repeated']:.1%} of them and gives the true class for "
        f"{memory['wrong_seen_through']:.1%}; error on the test digits {100 * result['test_error']:.2f} %.",
        *["The uncertainty of a prediction says what the network cannot tell, not that a label is wrong: there it is sure, and disagrees."
          for best in result["ranking"][:1] if best["score"].endswith("loss")],
        f"Of the {SHOWN} test digits with the largest entropy it calls {result['uncertain_right']} right."])


def draw(result, curves, suspects, uncertain):
    """Curves above, the two sheets below: (images, captions) each."""
    top, best = plots.figure(2, 2, (14, 12)), max(result["ranking"], key=lambda r: r["average_precision"])
    plots.precision_recall({SCORES[name]: c for name, c in curves.items()}, result["settings"]["wrong_share"], top[0, 0],
                           title=f"Best at finding wrong labels: {SCORES[best['score']]}")
    names = [r["score"] for r in result["ranking"]]
    top[0, 1].barh(range(len(names)), [100 * r["precision_at_wrong"] for r in result["ranking"]], color=plots.PALETTE[0])
    top[0, 1].set_yticks(range(len(names)), [SCORES[name] for name in names])
    top[0, 1].invert_yaxis()
    plots.finish(top[0, 1], f"Of the {result['settings']['wrong']} examples ranked first by it,\n{best['precision_at_wrong']:.0%} have a "
                 "wrong label", "% of them that are wrong", "")
    found = sum("not corrupted" not in caption for caption in suspects[1])
    plots.digit_sheet(*suspects, columns=6, ax=top[1, 0],
                      title=f"Training digits ranked first by MC loss: {found} of {len(suspects[1])} labels were corrupted")
    plots.digit_sheet(*uncertain, columns=6, ax=top[1, 1],
                      title=f"Test digits with the largest entropy: {result['uncertain_right']} of {len(uncertain[1])} called right")
    return top[0, 0]


def main(args):
    """Run the study, write debug.json and debug.png, print the table (or the JSON)."""
    seed = require.integer("--seed", args.seed, 0, 2**64 - 1)
    samples = require.integer("--samples", (10 if args.quick else 20) if args.samples is None else args.samples, 2, 100_000)
    count = require.integer("--images", (12_000 if args.quick else 60_000) if args.images is None else args.images, 100, 60_000)
    threads = parallel.thread_count(None if args.threads is None else require.integer("--threads", args.threads, 1))
    common.training_steps(args.epochs, 1, 1)
    folder = common.output_folder(args.out)
    x, y, x_test, y_test = data.mnist()
    x, y = x[:count], y[:count]
    labels, wrong = corrupted(y, WRONG, seed)
    per_epoch = -(-len(x) // BATCH)
    steps = common.training_steps(args.epochs, per_epoch, EPOCHS * per_epoch)
    net = models.lenet("all", init_scheme="lecun")
    optimizer, prior = official_solver(net, len(x))
    model = BayesianNetwork(net, prior=prior)
    model.fit(x, labels, steps=steps, batch_size=BATCH, optimizer=optimizer, seed=seed, threads=threads, progress=True)

    scores, said = rank(model, x, labels, samples, seed, threads, progress=True)
    curves = {name: metrics.precision_recall(score, wrong) for name, score in scores.items()}
    ranking = []
    for name, score in scores.items():
        order = np.argsort(-score, kind="stable")
        ranking.append({"score": name, "average_precision": curves[name].average_precision,
                        "precision_at_wrong": float(wrong[order[:wrong.sum()]].mean()),
                        "found_in_twice": float(wrong[order[:2 * wrong.sum()]].sum() / wrong.sum())})
    test = model.predict(x_test, samples=samples, seed=seed, threads=threads)
    unsure, suspected = np.argsort(-test.entropy, kind="stable")[:SHOWN], np.argsort(-scores["mc_loss"], kind="stable")[:SHOWN]
    result = {"settings": {"quick": args.quick, "seed": seed, "steps": steps, "samples": samples, "images": len(x), "threads": threads,
                           "wrong": int(wrong.sum()), "wrong_share": float(wrong.mean()), "variant": "all"}, "versions": common.versions(),
              "ranking": sorted(ranking, key=lambda r: -r["average_precision"]),
              "given_label": {"wrong_repeated": float((said == labels)[wrong].mean()),
                              "wrong_seen_through": float((said == y)[wrong].mean())},
              "test_error": test.error(y_test), "uncertain": unsure.tolist(), "suspected": suspected.tolist(),
              "uncertain_right": int((test.label == y_test)[unsure].sum())}
    suspects = x[suspected, :, :, 0], [f"label {labels[i]}\nsays {said[i]}" + ("" if wrong[i] else "\n(not corrupted)") for i in suspected]
    uncertain = x_test[unsure, :, :, 0], [f"true {y_test[i]}\nsays {test.label[i]}\n{test.entropy[i]:.2f} nats" for i in unsure]
    plots.save(draw(result, curves, suspects, uncertain), folder / "debug.png")
    common.write_json(folder / "debug.json", result)
    print(common.to_json(result) if args.json else summary_table(result))
    print(f"wrote {folder / 'debug.json'} and {folder / 'debug.png'}", file=sys.stderr)
