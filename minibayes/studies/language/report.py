"""The table and the figure of `language`: each variant at its best epoch and at its last, beside n-grams."""

import textwrap

from ... import plots
from .. import common

SAID = {"none": "no noise", "step": "a z a step", "tied": "tied: one omega",
        "untied": "untied: a mask a gate"}
RULES = ("weight-averaging", "mc")


def best(history: list, rule: str) -> dict:
    return min(history, key=lambda row: row[rule])


def lines(result: dict) -> list:
    """(variant, rule, history) of all that was measured."""
    return [(variant, rule, history) for variant, history in result["runs"].items()
            for rule in RULES if rule in history[0]]


def least(result: dict) -> float:
    """The best of all, nats a letter."""
    return min(best(history, rule)[rule] for _, rule, history in lines(result))


def summary_table(result: dict) -> str:
    settings, ruler, texts = result["settings"], result["rulers"], result["texts"]
    rows = []
    for variant, rule, history in lines(result):
        top, last = best(history, rule), history[-1]
        averaged = "-" if variant == "none" else plots.NAMES[rule]
        rows.append((SAID[variant], averaged, f"{top[rule]:.3f}", top["epoch"], f"{last[rule]:.3f}",
                     f"{last[rule] - top[rule]:+.3f}", f"{last['train']:.3f}"))
    counted = [(kind, *(f"{nats:.3f}" for nats in found)) for kind, found in ruler.items()]
    parts = [
        f"GRU of {settings['units']} units, {settings['letters']:,} letters of Moby Dick, "
        f"{settings['vocabulary']} kinds, {settings['epochs']} epochs of {settings['streams']} streams; "
        f"keep = {settings['keep']}, T = {settings['samples']}, seed {settings['seed']}",
        f"nats a letter on {settings['test']:,} letters held out, from the last tenth of the book", "",
        common.table(("noise", "prediction", "best", "at epoch", "last", "last - best", "training, last"),
                     rows), "",
        common.table(("n-grams of order", *map(str, range(len(ruler["additive"])))), counted), "",
        "training: with the noise of training, on its own text. Noise acts on the GRU's inputs and state.",
        "MC averages the probabilities of T omegas letter by letter. n-grams: smoothed by + 0.01, or mixed",
        "with the shorter contexts (Witten-Bell)."]
    parts += ["", f"Tied masks, going on from {texts['start']!r}:"]
    for who in ("one omega", "the average"):
        parts += ["", f"{who}:", *textwrap.wrap(" ".join(texts[who].split()), 100, initial_indent="  ",
                                                subsequent_indent="  ")]
    return "\n".join(parts)


def figure(result: dict) -> plots.Axes:
    """Nats against epochs, with the n-grams' lines; n-grams by order, with the net's."""
    axes, ruler, top = plots.figure(1, 2, (14, 5.2))[0], result["rulers"], least(result)
    for variant, rule, history in lines(result):
        color = plots.PALETTE[list(result["runs"]).index(variant)]
        averaged = "" if variant == "none" else f", {plots.NAMES[rule]}"
        axes[0].plot([row["epoch"] for row in history], [row[rule] for row in history], color=color,
                     linestyle=plots.LINES["mc" if variant == "none" else rule], markersize=4,
                     marker=plots.MARKERS[rule], label=SAID[variant] + averaged)
    low, high = axes[0].get_ylim()
    shown = [min(found) for found in ruler.values()]
    last = max(history[-1]["epoch"] for history in result["runs"].values())
    for kind, mark in (("additive", "+ 0.01"), ("interpolated", "mixed")):
        at = min(range(len(ruler[kind])), key=ruler[kind].__getitem__)
        axes[0].axhline(ruler[kind][at], color=plots.COLORS["none"], linewidth=0.9, linestyle=":")
        axes[0].text(last, ruler[kind][at], f"order {at}, {mark}", ha="right", va="bottom", fontsize=8)
    room = 0.03 * (max(high, *shown) - min(low, *shown))
    axes[0].set_ylim(min(low, *shown) - room, max(high, *shown) + room)
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    plots.finish(axes[0], "Text held out, by epoch", "epoch", "nats a letter")
    for i, (kind, found) in enumerate(ruler.items()):
        label = {"additive": "n-grams, + 0.01", "interpolated": "n-grams, mixed with shorter ones"}[kind]
        plots.curve(axes[1], range(len(found)), found, label, i)
    axes[1].axhline(top, color=plots.PALETTE[3], linestyle="--",
                    label=f"the best GRU, {top:.3f}")
    plots.finish(axes[1], "The ruler: n-grams", "letters before that are looked at", "nats a letter")
    return axes[0]
