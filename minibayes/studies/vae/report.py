"""What the autoencoders found: the table, and the pictures of samples, completions and uncertainties."""

import numpy as np

from ... import plots
from .. import common
from .measure import KEEP, KNOWN, PIXELS, SIDE

PUBLISHED = -110.59  # of a network of these sizes, 16 epochs, grey pixels (deepbayes-2019)
SHOWN, DRAWS = 8, 4  # rows and draws of the picture of completions


def summary_table(result: dict) -> str:
    settings, models, groups, done = (result[k] for k in ("settings", "models", "groups", "completed"))
    bounds = [(name, pm(row, "elbo"), pm(row, "importance"), f"{row['active']}",
               f"{PUBLISHED}" if name.startswith("grey") else "") for name, row in models.items()]
    kinds = [(name, f"{row['code']:.3f}", f"{row['weights']:.3f}", f"{row['elbo']:.1f}",
              *(f"{row['auroc'][s]:.3f}" if row["auroc"] else "" for s in ("code", "weights", "bound")))
             for name, row in groups.items()]
    halves = [(name, pm(row, "nats"), f"{row['base']:.1f}", f"{row['ece']:.3f}", f"{row['std']:.3f}",
               f"{100 * row['accepted']:.0f}") for name, row in done.items()]
    return "\n".join([
        f"784-100-100-(32)-100-100-784 on {settings['images']:,} digits, {settings['epochs']:g} epochs, "
        f"seed {settings['seed']}; log p(x) of {settings['test']:,} test digits in nats, T = "
        f"{settings['samples']} draws of the code", "",
        common.table(("trained on", "bound", "importance-weighted bound", "of 32 in use", "published"),
                     bounds), "",
        "Grey pixels under the Bernoulli loss are no density: only its published figure compares with it.",
        "", f"Dropout on the decoder (keep {KEEP}): standard deviation of a pixel of the decoded image, by "
        "the code and by the weights;", "and how well each tells foreign images from digits (area under the "
        "ROC curve)", "",
        common.table(("images", "by the code", "by the weights", "bound", "AUROC code", "AUROC weights",
                      "AUROC -bound"), kinds), "", growth(groups), "",
        f"Lower halves of {settings['count']} digits from their upper halves, {settings['chains']} chains of "
        f"{settings['links']} steps", "",
        common.table(("trained on", "nats of a half", "by the mean image", "ECE of a pixel", "std of a pixel",
                      "proposals taken, %"), halves)])


def pm(row: dict, name: str) -> str:
    return f"{row[name]:.1f} ± {row[f'{name}_se']:.1f}"


def growth(groups: dict) -> str:
    """Which uncertainty is larger off the data than on it, whichever way it falls."""
    on, off = groups["digits"], [row for name, row in groups.items() if name != "digits"]
    said = []
    for part in ("code", "weights"):
        times = [row[part] / on[part] if on[part] else float("nan") for row in off]
        said.append(f"that of the {part} is {min(times):.2f} to {max(times):.2f} times as large")
    return f"Off the data {said[0]}; {said[1]}."


def figure(result: dict, shown: dict) -> plots.Axes:
    axes = plots.figure(2, 2, (15, 12.5))
    plots.picture_sheet(shown["samples"].reshape(5, 8, SIDE, SIDE), axes[0, 0],
                        title="Digits that nobody wrote: h ~ N(0, I), decoded")
    completions(result, shown, axes[0, 1])
    uncertainties(result["groups"], axes[1, 0])
    scores = {name: row["bound"] for name, row in shown["scores"].items() if name in ("digits", "clothes")}
    auroc = result["groups"]["clothes"]["auroc"]["bound"]
    plots.score_histograms(scores, axes[1, 1], xlabel="-bound on log p(x), nats",
                           title=f"The bound tells clothes from digits: AUROC {auroc:.3f}")
    return axes[0, 0]


def completions(result: dict, shown: dict, ax: plots.Axes) -> None:
    """A row for each digit: its upper half, the lower one by four chains, mean and std of all, the truth."""
    made, true = shown["completion"], shown["true"]
    which = range(min(SHOWN, len(true)))
    half = np.where(KNOWN, true, 0.5 * (1 - KNOWN))
    columns = [half, *made.decoded[:DRAWS], made.mean, np.sqrt(made.mean * (1 - made.mean)) * 2, true]
    names = ["given", *(f"chain {c + 1}" for c in range(min(DRAWS, len(made.decoded)))), "mean",
             "2 x std", "true"]
    sheet = np.stack([[column[n].reshape(SIDE, SIDE) for column in columns] for n in which])
    plain, row = (result["completed"][name] for name in ("black and white", "with dropout"))
    plots.picture_sheet(sheet, ax, names, title=f"Lower halves, {PIXELS // 2} pixels: {row['nats']:.0f} nats "
                        f"with dropout, {plain['nats']:.0f} without,\n{row['base']:.0f} by the mean image")


def uncertainties(groups: dict, ax: plots.Axes) -> None:
    x = np.arange(len(groups))
    for i, (part, label) in enumerate((("code", "by the code h"), ("weights", "by the weights omega"))):
        ax.bar(x + 0.4 * (i - 0.5), [row[part] for row in groups.values()], 0.36, label=label,
               color=plots.PALETTE[i])
    ax.set_xticks(x, list(groups))
    on, off = groups["digits"], groups["clothes"]
    code, weights = (off[part] / on[part] if on[part] else float("nan") for part in ("code", "weights"))
    plots.finish(ax, f"From digits to clothes: by the code times {code:.2f},\nby the weights times "
                 f"{weights:.2f}", "images", "standard deviation of a decoded pixel")
