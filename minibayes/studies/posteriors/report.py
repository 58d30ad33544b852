"""What every q is good for: the printed table, the published order beside ours, and the figure."""

import textwrap
from itertools import combinations

import numpy as np

from ... import bayes, metrics, plots
from .. import common
from .techniques import LENGTHSCALE, NARROW, TECHNIQUES

MC, AVERAGE = "mc", "weight-averaging"
NOTES = (
    "WA: weight averaging, one pass with z replaced by E[z]. ECE: expected calibration error. "
    "clothes: AUROC of the entropy, Fashion-MNIST\nagainst digits. published: McClure and Kriegeskorte, "
    "WA / MC, 100 passes, settings of their own. seconds: of a step of 128 images and of a\n"
    "pass over the test images, in this run.")
DECAY_NOTE = (
    "(weight decay): as most train Gaussian noise, without the entropy of q; no bound. "
    f"Prior: N(0, l^-2), l = {LENGTHSCALE:g}, {NARROW:g} for mean field;\nlog-uniform for both variational. "
    "KL warmed up over the first half for mean field and sparse variational dropout.")


def described(name: str) -> dict:
    """One technique, for the record."""
    technique = TECHNIQUES[name]
    return {"title": technique.title, "hidden": repr(technique.hidden), "inputs": repr(technique.inputs),
            "place": repr(technique.place), "prior": repr(technique.prior), "warm_up": technique.warm_up,
            "published": list(technique.published)}


def values(result: dict, name: str, rule: str, score: str) -> list[float]:
    """Over the seeds; of the network without noise any rule is its one pass."""
    rule = rule if TECHNIQUES[name].random else AVERAGE
    return [r[score] for r in result["results"] if r["q"] == name and r["rule"] == rule]


def mean(result: dict, name: str, rule: str, score: str) -> float:
    return float(np.mean(values(result, name, rule, score)))


def cell(result: dict, name: str, rule: str, score: str, scale: float = 1, digits: int = 3) -> str:
    """mean, with ± its standard error where there are several seeds."""
    average, error = common.mean_and_error(values(result, name, rule, score))
    text = f"{scale * average:.{digits}f}"
    return text if error is None else f"{text} ± {scale * error:.{digits}f}"


def published(name: str) -> str:
    found = TECHNIQUES[name].published
    if not found:
        return "-"
    average, mc, spread = found
    return f"{average:.2f}" if mc is None else f"{average:.2f} / {mc:.2f} ± {spread:.2f}"


def ranked(result: dict) -> list[str]:
    """The techniques by their error with MC, the best first."""
    return sorted(result["settings"]["q"], key=lambda name: mean(result, name, MC, "error"))


def summary_table(result: dict) -> str:
    """The printed table: a row for every q, the best first; pairs; what was learned, what was left out."""
    settings = result["settings"]
    rows = []
    for name in ranked(result):
        both = [cell(result, name, rule, "error", 100, 2) for rule in (AVERAGE, MC)]
        rows.append((TECHNIQUES[name].title, both[0], both[1] if TECHNIQUES[name].random else "-",
                     *(cell(result, name, MC, score) for score in ("nll", "ece")),
                     *(cell(result, name, rule, "auroc") for rule in (AVERAGE, MC)), published(name),
                     f"{mean(result, name, MC, 'seconds_a_step'):.3f}",
                     f"{mean(result, name, MC, 'seconds_a_pass'):.2f}"))
    header = ("q", "error %, WA", "MC", "nll, MC", "ECE, MC", "clothes, WA", "MC", "published %",
              "s a step", "a pass")
    smallest = 100 * metrics.binomial_std_error(mean(result, ranked(result)[0], MC, "error"),
                                                settings["test_images"])
    return "\n".join([
        f"784-800-800-10 on MNIST, {settings['images']:,} images, {settings['steps']:,} steps of "
        f"{settings['batch_size']} ({settings['epochs']:g} epochs), T = {settings['samples']}; "
        f"{settings['test_images']:,} test images; seeds {', '.join(map(str, settings['seeds']))}", "",
        common.table(header, rows), "",
        f"± one standard error over seeds; one binomial standard error of the best error: {smallest:.2f} %",
        "",
        *order_lines(result), *best_lines(result), *learned_lines(result), *left_out(result), "", NOTES,
        DECAY_NOTE])


# --------------------------------------------------------------------------- pairs, ours and the published

def paired(result: dict, a: str, b: str) -> tuple[float, float, list[float]]:
    """(error of a minus that of b in %, its standard error, McNemar's p for each seed).

    Over several seeds the standard error is that of the mean of the differences, else that of one pair.
    """
    rows = [r for r in result["pairs"] if {r["a"], r["b"]} == {a, b}]
    differences = [100 * (r["difference"] if r["a"] == a else -r["difference"]) for r in rows]
    average, error = common.mean_and_error(differences)
    return average, 100 * rows[0]["difference_se"] if error is None else error, [r["p_value"] for r in rows]


def compared(result: dict, a: str, b: str) -> str:
    """'+0.12 ± 0.10, p = 0.2'."""
    difference, error, p = paired(result, a, b)
    return f"{difference:+.2f} ± {error:.2f} (McNemar p = {', '.join(f'{one:.2g}' for one in p)})"


def verdict(difference: float, error: float, theirs: float) -> str:
    """Whether ours has the published sign, beyond two standard errors or not."""
    if abs(difference) <= 2 * error:
        return "not told apart here"
    return "the same order" if difference * theirs > 0 else "the other order"


def order_lines(result: dict) -> list[str]:
    """McClure and Kriegeskorte's rows two by two: theirs and ours, by MC (no noise: its one pass)."""
    known = [name for name in result["settings"]["q"] if TECHNIQUES[name].published]
    if len(known) < 2:
        return []
    theirs = {name: TECHNIQUES[name].published[1] or TECHNIQUES[name].published[0] for name in known}
    rows = []
    for a, b in combinations(sorted(known, key=theirs.get), 2):
        difference, error, _ = paired(result, a, b)
        rows.append((f"{a} - {b}", f"{theirs[a] - theirs[b]:+.2f}", compared(result, a, b),
                     verdict(difference, error, theirs[a] - theirs[b])))
    return ["The published order, two by two, errors in % by MC (no noise: its one pass)", "",
            common.table(("", "published", "here", ""), rows), ""]


def best_lines(result: dict) -> list[str]:
    """The q of least error against every other."""
    best, *others = ranked(result)
    lines = [f"  {name}: {compared(result, best, name)}" for name in others]
    return [f"{best}, the least error by MC, minus:", *lines, ""] if others else []


def learned_lines(result: dict) -> list[str]:
    """What noise that learns became, layer by layer: of the first seed."""
    lines = []
    for row in result["learned"]:
        if row["seed"] == result["settings"]["seeds"][0]:
            means, sds = ([f"{found[part]:.3g}" for found in row["layers"].values()]
                          for part in ("mean", "sd"))
            first = f"E[z] {', '.join(means)}; " if row["q"] == "concrete" else ""
            lines.append(f"  {row['q']}: {first}sd of z {', '.join(sds)}")
    for row in result["pruned"][:1]:
        left = "nothing left" if row["compression"] is None else f"{row['compression']:.1f} x fewer weights"
        lines.append(f"  sparse, pruned where log alpha > {bayes.sparsity.THRESHOLD:g}: {left}, "
                     f"error {100 * row['error']:.2f} %")
    return ["Learned, layer by layer (means):", *lines] if lines else []


def left_out(result: dict) -> list[str]:
    out = [name for name in TECHNIQUES if name not in result["settings"]["q"]]
    return textwrap.wrap(f"Left out: {', '.join(out)}. --q {' '.join(out)} runs "
                         f"{'it' if len(out) == 1 else 'them'}.", 130) if out else []


# ------------------------------------------------------------------------------------------------ the figure

def figure(result: dict) -> plots.Axes:
    """Four panels with a line for each q: error, nll, clothes, and what a step costs."""
    names = ranked(result)
    axes = plots.figure(1, 4, (17, 1.9 + 0.42 * max(10, len(names))))[0]
    error_panel(result, names, axes[0])
    rule_panel(result, names, "nll", axes[1], "nats a test image")
    rule_panel(result, names, "auroc", axes[2], "AUROC of the entropy")
    cost_panel(result, names, axes[3])
    better = [name for name in names if TECHNIQUES[name].random
              and mean(result, name, MC, "nll") < mean(result, name, AVERAGE, "nll")]
    random = [name for name in names if TECHNIQUES[name].random]
    best = max(random or names, key=lambda name: mean(result, name, MC, "auroc"))
    axes[1].set_title(f"MC has the smaller nll for {len(better)} of {len(random)}", fontsize=10)
    axes[2].set_title(f"Clothes against digits: best is\n{TECHNIQUES[best].title}, "
                      f"{mean(result, best, MC, 'auroc'):.3f}", fontsize=10)
    for ax in axes:
        ax.set_yticks(range(len(names)), [TECHNIQUES[name].title for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(True, alpha=0.3)
        ax.tick_params(labelleft=ax is axes[0])
    for ax in (axes[0], axes[3]):
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return axes[0]


def points(result: dict, names: list[str], rule: str, score: str, ax: plots.Axes, scale: float = 1) -> None:
    """One rule's mean of every q that has it, ± a standard error over seeds."""
    at = [i for i, name in enumerate(names) if rule == AVERAGE or TECHNIQUES[name].random]
    found = [common.mean_and_error(values(result, names[i], rule, score)) for i in at]
    ax.errorbar([scale * m for m, _ in found], [i + (0.12 if rule == AVERAGE else -0.12) for i in at],
                xerr=[scale * (e or 0) for _, e in found], fmt=plots.MARKERS[rule], capsize=2, markersize=6,
                color=plots.COLORS["ip" if rule == AVERAGE else "all"], label=plots.NAMES[rule])


def rule_panel(result: dict, names: list[str], score: str, ax: plots.Axes, unit: str) -> None:
    for rule in (AVERAGE, MC):
        points(result, names, rule, score, ax)
    ax.set_xlabel(unit)


def error_panel(result: dict, names: list[str], ax: plots.Axes) -> None:
    for rule in (AVERAGE, MC):
        points(result, names, rule, "error", ax, 100)
    known = [i for i, name in enumerate(names) if TECHNIQUES[name].published]
    theirs = [TECHNIQUES[names[i]].published for i in known]
    ax.plot([mc or average for average, mc, _ in theirs], known, "x", color=plots.COLORS["none"],
            label="published, MC")
    best = names[0]
    ax.set_xlabel("test error, %")
    ax.set_title(f"Least error: {TECHNIQUES[best].title},\n{100 * mean(result, best, MC, 'error'):.2f} % "
                 f"of {result['settings']['test_images']:,} digits", fontsize=10)


def cost_panel(result: dict, names: list[str], ax: plots.Axes) -> None:
    """Milliseconds of a step and of a pass."""
    step, whole = ([1000 * mean(result, name, MC, score) for name in names]
                   for score in ("seconds_a_step", "seconds_a_pass"))
    ax.plot(step, range(len(names)), "o", color=plots.PALETTE[2], label="a training step of 128")
    ax.plot(whole, range(len(names)), "D", color=plots.PALETTE[4], label="a pass over the test images")
    ax.set_xscale("log")
    low, high = min(step + whole), max(step + whole)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
             if low / 2 <= tick <= 2 * high]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    slowest = names[int(np.argmax(step))]
    ax.set_title(f"Dearest step, {max(step) / min(step):.1f} x the cheapest:\n{TECHNIQUES[slowest].title}",
                 fontsize=10)
    ax.set_xlabel("milliseconds (log scale)")
