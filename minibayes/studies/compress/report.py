"""The table of all files, the bars, and error against bytes on disk beside published figures."""

import math

from ... import plots
from ..common import table as columns
from .networks import NAMES

WEIGHTS = {"mlp": 266_610, "lenet": 431_080}  # parameters, biases too
# (error in %, x fewer bits as each counts them): a reproduction of soft weight sharing (2025),
# Ullrich et al. (arXiv 1702.04008), Louizos et al. (arXiv 1705.08665).
PUBLISHED = {
    "mlp": {"soft weight sharing, reproduced": (1.70, 43.3)},
    "lenet": {"soft weight sharing": (0.97, 162.0), "Bayesian compression": (1.0, 419.0)},
}
FAMILIES = ("dense", "shared", "hashed", "signal to noise", "pruned", "pruned and shared")


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def whole(rows: list, kind: str) -> dict:
    """The dense network's plain file."""
    return next(row for row in rows if row["net"] == kind and row["family"] == "dense")


def named(rows: list, kind: str, family: str, name: str) -> dict:
    return next(row for row in rows if (row["net"], row["family"], row["name"]) == (kind, family, name))


def bars(rows: list, control: dict) -> list:
    """What was promised, each at a point fixed beforehand: [{"bar", "found", "passed"}]."""
    found = []
    for text, name in (("sparse VD: >= 30 x fewer weights at 98.3 %", "log alpha > 2"),
                       ("the same, trained on", "log alpha > 2, trained on")):
        row = named(rows, "mlp", "pruned", name)
        found.append({"bar": text, "found": f"{row['fewer_weights'] or math.inf:.1f} x at {right(row)}",
                      "passed": (row["fewer_weights"] or math.inf) >= 30 and row["error"] <= 0.017})
    for kind in NAMES:
        dense = whole(rows, kind)
        row = named(rows, kind, "pruned and shared", "Dirichlet process, s = 0.1 rms, trained on")
        fewer = times(rows, row)
        found.append({"bar": f"{NAMES[kind]}, pruned and shared: >= 100 x smaller within 0.5 %",
                      "found": f"{fewer:.0f} x, {100 * (row['error'] - dense['error']):+.2f} %",
                      "passed": fewer >= 100 and row["error"] <= dense["error"] + 0.005})
    learned, hashed = (named(rows, "mlp", family, name) for family, name in (
        ("shared", "k-means, 1/64"), ("hashed", "1/64 of the values, at random")))
    found.append({"bar": "learned sharing above random at 1/64 of the values",
                  "found": f"{right(learned)} ({learned['bytes']:,} bytes) and {right(hashed)} "
                  f"({hashed['bytes']:,} bytes)", "passed": learned["error"] < hashed["error"]})
    zero = [*control["sparsity"].values()]
    found.append({"bar": "random labels: near-total sparsity (>= 99 % in each layer)",
                  "found": ", ".join(f"{100 * share:.1f} %" for share in zero), "passed": min(zero) >= 0.99})
    return found


def right(row: dict) -> str:
    return f"{100 * (1 - row['error']):.2f} %"


def times(rows: list, row: dict) -> float:
    """The dense network's 4 bytes a number over the bytes of a file."""
    return 4 * WEIGHTS[row["net"]] / row["bytes"]


def said(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def table(result: dict) -> str:
    settings, rows = result["settings"], result["points"]
    lines = [f"MNIST, {settings['images']:,} images, seed {settings['seed']}: files, written, measured, read "
             "again and tested", ""]
    for kind, name in NAMES.items():
        mine = [(row["family"], row["name"], f"{row['bytes']:,}", f"{times(rows, row):.1f}",
                 f"{100 * row['error']:.2f}", said(row.get("fewer_weights")), said(row.get("fewer_bits")),
                 " ".join(map(str, row.get("values", ())))) for row in rows if row["net"] == kind]
        lines += [f"{name}, {WEIGHTS[kind]:,} numbers, {4 * WEIGHTS[kind]:,} bytes", columns(
            ("", "", "bytes on disk", "x smaller", "error %", "x fewer weights", "x fewer bits", "values"),
            mine),
            "published, % wrong and x fewer bits: " + "; ".join(
                f"{who} {error:g} at {fewer:g} x" for who, (error, fewer) in PUBLISHED[kind].items()), ""]
    lines += [columns(("", "found", ""), [(bar["bar"], bar["found"], "met" if bar["passed"] else "missed")
                                          for bar in result["bars"]]), "",
              "x smaller: 4 bytes for each number of the dense network over the whole file, biases and all.",
              "x fewer bits: 32 n/(n H(index) + 32 K), n weights of K values; without biases.",
              "trained on: zeros and shared values stay."]
    return "\n".join(lines)


def figure(result: dict) -> plots.Axes:
    """A panel for each network."""
    axes, rows = plots.figure(1, 2, (14, 5.6))[0], result["points"]
    for ax, (kind, name) in zip(axes, NAMES.items(), strict=True):
        for i, family in enumerate(FAMILIES):
            mine = sorted((row["bytes"], 100 * row["error"]) for row in rows
                          if (row["net"], row["family"]) == (kind, family))
            if mine:
                style = plots.style(i) | {"linestyle": "none"}
                ax.plot(*zip(*mine, strict=True), label=family, alpha=0.8, **style)
        for marker, (who, (error, fewer)) in zip("x+", PUBLISHED[kind].items(), strict=False):
            ax.plot(4 * WEIGHTS[kind] / fewer, error, marker, color=plots.COLORS["none"], markersize=9,
                    linestyle="none", label=f"{who}, published bits")
        dense = whole(rows, kind)
        ax.axhspan(0, 100 * dense["error"] + 0.5, color=plots.COLORS["none"], alpha=0.08,
                   label="dense error + 0.5 %")
        ax.set_xscale("log")
        ax.set_yscale("log")
        best = min((row for row in rows if row["net"] == kind and row["error"] <= dense["error"] + 0.005),
                   key=lambda row: row["bytes"])
        plots.finish(ax, f"{name}: {dense['bytes']:,} bytes at {100 * dense['error']:.2f} % wrong,\n"
                     f"{best['bytes']:,} ({times(rows, best):.0f} x) at {100 * best['error']:.2f} %",
                     "bytes of the file (log scale)", "test error, % (log scale)")
    return axes[0]
