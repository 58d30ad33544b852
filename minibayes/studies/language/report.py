"""The table and the figure of `language`: each variant at its best epoch and at its last, beside n-grams."""

import textwrap

from ... import plots
from .. import common

SAID = {"none": "no noise", "step": "a z a step", "tied": "tied: one omega",
        "untied": "untied: a mask a gate"}
RULES = ("weight-averaging", "mc")
MARKS = {"additive": "+ 0.01", "interpolated": "mixed"}


def best(history: list, rule: str) -> dict:
    return min(history, key=lambda row: row[rule])


def lines(runs: dict) -> list:
    """(variant, rule, history) of all that was measured."""
    return [(variant, rule, history) for variant, history in runs.items()
            for rule in RULES if rule in history[0]]


def least(runs: dict) -> float:
    """The best of all, nats a letter."""
    return min(best(history, rule)[rule] for _, rule, history in lines(runs))


def runs_table(runs: dict) -> str:
    """Best epoch and last epoch apart: what reading on has cost."""
    rows = []
    for variant, rule, history in lines(runs):
        top, last = best(history, rule), history[-1]
        averaged = "-" if variant == "none" else plots.NAMES[rule]
        rows.append((SAID[variant], averaged, f"{top[rule]:.3f}", top["epoch"], f"{last[rule]:.3f}",
                     f"{last[rule] - top[rule]:+.3f}", f"{last['train']:.3f}"))
    return common.table(("noise", "prediction", "best", "at epoch", "last", "last - best", "training, last"),
                        rows)


def summary_table(result: dict) -> str:
    settings, texts = result["settings"], result["texts"]
    rulers = {"": result["rulers"], ", short text": result["short_rulers"]}
    counted = [(MARKS[kind] + which, *(f"{nats:.3f}" for nats in found))
               for which, ruler in rulers.items() for kind, found in ruler.items()]
    parts = [
        f"GRU of {settings['units']} units, {settings['letters']:,} letters of Moby Dick, "
        f"{settings['vocabulary']} kinds, {settings['epochs']} epochs of {settings['streams']} streams; "
        f"keep = {settings['keep']}, T = {settings['samples']}, seed {settings['seed']}",
        f"nats a letter on {settings['test']:,} letters held out, from the last tenth of the book", "",
        runs_table(result["runs"]), "",
        f"The first {settings['short']:,} letters alone, {settings['rereads']} epochs, asked about "
        f"{settings['short_test']:,} letters held out:", "",
        runs_table(result["short_runs"]), "",
        common.table(("n-grams of order", *map(str, range(len(result["rulers"]["additive"])))), counted), "",
        "best, at epoch: chosen by the letters held out. training: with the noise of training, on its own",
        "text. Noise acts on the GRU's inputs and state. MC averages the probabilities of T omegas letter by",
        "letter. n-grams: smoothed by + 0.01, or mixed with the shorter contexts (Witten-Bell)."]
    parts += ["", f"Tied masks, going on from {texts['start']!r}:"]
    for who in ("one omega", "the average"):
        parts += ["", f"{who}:", *textwrap.wrap(" ".join(texts[who].split()), 100, initial_indent="  ",
                                                subsequent_indent="  ")]
    return "\n".join(parts)


def by_epoch(ax: plots.Axes, runs: dict, ruler: dict, title: str) -> None:
    """Nats against epochs; the best n-grams as lines, named in the margin, where no curve is."""
    for variant, rule, history in lines(runs):
        averaged = "" if variant == "none" else f", {plots.NAMES[rule]}"
        ax.plot([row["epoch"] for row in history], [row[rule] for row in history],
                color=plots.PALETTE[list(SAID).index(variant)], markersize=4, marker=plots.MARKERS[rule],
                linestyle=plots.LINES["mc" if variant == "none" else rule], label=SAID[variant] + averaged)
    shown = sorted((min(found), kind) for kind, found in ruler.items())
    for (nats, kind), side in zip(shown, ("top", "bottom"), strict=True):  # the upper one's name above it
        order = ruler[kind].index(nats)
        ax.axhline(nats, color=plots.COLORS["none"], linewidth=0.9, linestyle=":")
        ax.annotate(f"order {order},\n{MARKS[kind]}", (1, nats), (4, 0), ("axes fraction", "data"),
                    "offset points", va=side, fontsize=8, annotation_clip=False)
    ax.margins(y=0.06)
    ax.xaxis.get_major_locator().set_params(integer=True)
    plots.finish(ax, title, "epoch", "nats a letter, text held out")


def figure(result: dict) -> plots.Axes:
    """The whole text by epoch; the short one by epoch; n-grams by order, with the best net's line."""
    axes, settings, ruler = plots.figure(1, 3, (19, 5.2))[0], result["settings"], result["rulers"]
    by_epoch(axes[0], result["runs"], ruler,
             f"{settings['letters']:,} letters, read {settings['epochs']} times")
    by_epoch(axes[1], result["short_runs"], result["short_rulers"],
             f"{settings['short']:,} letters, read {settings['rereads']} times")
    for i, (kind, found) in enumerate(ruler.items()):
        label = {"additive": "n-grams, + 0.01", "interpolated": "n-grams, mixed with shorter ones"}[kind]
        plots.curve(axes[2], range(len(found)), found, label, i)
    top = least(result["runs"])
    axes[2].axhline(top, color=plots.PALETTE[3], linestyle="--", label=f"the best GRU, {top:.3f}")
    plots.finish(axes[2], f"The ruler: n-grams of {settings['letters']:,} letters",
                 "letters before that are looked at", "nats a letter")
    return axes[0]
