"""The table of all files, the bars, and error against bytes on disk beside published figures."""

import math

import numpy as np

from ... import plots
from ..common import mean_and_error
from ..common import table as columns
from .networks import NAMES, WEIGHTS

# (error in %, x fewer bits as each counts them): a reproduction of soft weight sharing (2025),
# Ullrich et al. (arXiv 1702.04008), Louizos et al. (arXiv 1705.08665).
PUBLISHED = {
    "mlp": {"soft weight sharing, reproduced": (1.70, 43.3)},
    "lenet": {"soft weight sharing": (0.97, 162.0), "Bayesian compression": (1.0, 419.0)},
}
UNTRAINED = "shared at random, not trained"
SHAPES = ("X", "s", "^", "D", "v", "o", "P")
TICKS = (0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)
BOTH, LEARNED = "Dirichlet process, s = 0.1 rms", "k-means, 1/64"  # of the bars
FEW = 200  # values of a matrix, of which the table says the number
FAMILIES = ("dense", "shared", "hashed", "signal to noise", "pruned", "pruned and shared")


def merged(points: list) -> list:
    """A row for each file: what all seeds have of it, as means, with "seeds", "difference" and its ±.

    difference: of the error, to the same seed's dense network. Its standard error is that of the mean over
    seeds; of one seed that of a paired difference, sqrt(a + b - (a - b)^2/N)/N, a and b the images on which
    one of the two alone is wrong.
    """
    groups = {}
    for point in points:
        groups.setdefault((point["net"], point["family"], point["name"]), []).append(point)
    return [over_seeds(group) for group in groups.values()]


def over_seeds(group: list) -> dict:
    first = group[0]
    row = {name: first[name] for name in ("net", "family", "name")} | {"seeds": len(group)}
    for name in ("bytes", "error", "fewer_weights", "fewer_bits"):
        if name in first:
            found = [point[name] for point in group]
            row[name], row[f"{name}_se"] = (None, None) if None in found else mean_and_error(found)
    paired = [(p["only_here_wrong"], p["only_dense_wrong"], p["images"]) for p in group]
    row["difference"], row["difference_se"] = mean_and_error([(a - b) / n for a, b, n in paired])
    if len(group) == 1:
        (a, b, n), = paired
        row["difference_se"] = math.sqrt(a + b - (a - b) ** 2 / n) / n
    return row | {"p_values": [p["p_value"] for p in group], "values": first.get("values", ())}


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def kinds(rows: list) -> dict:
    """{net: its name} of the networks that there are."""
    return {kind: name for kind, name in NAMES.items() if any(row["net"] == kind for row in rows)}


def whole(rows: list, kind: str) -> dict:
    """The dense network's plain file."""
    return next(row for row in rows if row["net"] == kind and row["family"] == "dense")


def named(rows: list, kind: str, family: str, name: str) -> dict:
    return next(row for row in rows if (row["net"], row["family"], row["name"]) == (kind, family, name))


def bars(points: list, control: list) -> list:
    """What was promised, each at a point fixed beforehand, means over seeds: [{"bar", "found", "passed"}]."""
    rows, found = merged(points), []
    for text, name in (("sparse VD: >= 30 x fewer weights at 98.3 %", "log alpha > 2"),
                       ("the same, trained on", "log alpha > 2, trained on")):
        row = named(rows, "mlp", "pruned", name)
        found.append({"bar": text, "found": f"{row['fewer_weights'] or math.inf:.1f} x at {right(row)}",
                      "passed": (row["fewer_weights"] or math.inf) >= 30 and row["error"] <= 0.017})
    for kind in kinds(rows):
        dense = whole(rows, kind)
        row = named(rows, kind, "pruned and shared", f"{BOTH}, trained on")
        fewer = times(rows, row)
        found.append({"bar": f"{NAMES[kind]}, pruned and shared: >= 100 x smaller within 0.5 %",
                      "found": f"{fewer:.0f} x, {100 * (row['error'] - dense['error']):+.2f} %",
                      "passed": fewer >= 100 and row["error"] <= dense["error"] + 0.005})
    learned, hashed = (named(rows, "mlp", family, name) for family, name in (
        ("shared", LEARNED), ("hashed", "1/64 of the values, at random")))
    found.append({"bar": "learned sharing above random at 1/64 of the values",
                  "found": f"{right(learned)} ({learned['bytes']:,.0f} bytes) and {right(hashed)} "
                  f"({hashed['bytes']:,.0f} bytes)", "passed": learned["error"] < hashed["error"]})
    gone = float(np.mean([1 - 1 / (each["compression"] or math.inf) for each in control]))
    layers = ", ".join(f"{100 * np.mean([each['sparsity'][name] for each in control]):.1f}"
                       for name in control[0]["sparsity"])
    found.append({"bar": "random labels: near-total sparsity (>= 99 % of all weights)",
                  "found": f"{100 * gone:.2f} % (by layer {layers})", "passed": gone >= 0.99})
    return found


def pm(value: float, error: float | None, digits: int = 2) -> str:
    return f"{value:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def right(row: dict) -> str:
    return f"{pm(100 * (1 - row['error']), row['error_se'] and 100 * row['error_se'])} %"


def times(rows: list, row: dict) -> float:
    """The dense network's 4 bytes a number over the bytes of a file."""
    return 4 * WEIGHTS[row["net"]] / row["bytes"]


def said(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def few(values: list) -> str:
    """How many values each matrix has, where that is few."""
    return " ".join(map(str, values)) if max(values, default=0) < FEW else ""


def beside_dense(row: dict) -> tuple[str, str]:
    """(difference of the errors in % ± its standard error, McNemar's p: of several seeds least and most)."""
    if row["family"] == "dense":
        return "", ""
    ends = sorted({f"{p:.1g}" for p in (min(row["p_values"]), max(row["p_values"]))}, key=float)
    return f"{100 * row['difference']:+.2f} ± {100 * row['difference_se']:.2f}", " to ".join(ends)


def table(result: dict) -> str:
    settings, rows = result["settings"], merged(result["points"])
    lines = [f"MNIST, {settings['images']:,} images, seeds {', '.join(map(str, settings['seeds']))}: files, "
             "written, measured, read again and tested", ""]
    for kind, name in kinds(rows).items():
        mine = [(row["family"], row["name"], f"{row['bytes']:,.0f}", f"{times(rows, row):.1f}",
                 pm(100 * row["error"], row["error_se"] and 100 * row["error_se"]), *beside_dense(row),
                 said(row.get("fewer_weights")), said(row.get("fewer_bits")), few(row["values"]))
                for row in rows if row["net"] == kind]
        lines += [f"{name}, {WEIGHTS[kind]:,} numbers, {4 * WEIGHTS[kind]:,} bytes", columns(
            ("", "", "bytes on disk", "x smaller", "error %", "- dense", "p", "x fewer weights",
             "x fewer bits", "values"), mine),
            "published, % wrong and x fewer bits: " + "; ".join(
                f"{who} {error:g} at {fewer:g} x" for who, (error, fewer) in PUBLISHED[kind].items()), ""]
    lines += [columns(("", "found", ""), [(bar["bar"], bar["found"], "met" if bar["passed"] else "missed")
                                          for bar in result["bars"]]), "",
              "x smaller: 4 bytes for each number of the dense network over the whole file, biases and all.",
              "x fewer bits: 32 n/(n H(index) + 32 K), n weights of K values; without biases.",
              "trained on: zeros and shared values stay. - dense: error less that of the same seed's dense "
              "network, in % ± a standard error;", "p: McNemar's exact test of the two on the same images."]
    return "\n".join(lines)


def grouped(rows: list, kind: str) -> dict:
    """{label: [(bytes, error in %)]} of one network; what was shared at random without training apart."""
    out = {family: [] for family in (*FAMILIES, UNTRAINED)}
    for row in rows:
        if row["net"] == kind:
            label = UNTRAINED if row["name"].startswith("at random") else row["family"]
            out[label].append((row["bytes"], 100 * row["error"]))
    return {label: sorted(found) for label, found in out.items() if found}


def figure(result: dict) -> plots.Axes:
    """A panel for each network."""
    rows = merged(result["points"])
    found = kinds(rows)
    axes = plots.figure(1, len(found), (7 * len(found), 6.4))[0]
    for ax, (kind, name) in zip(axes, found.items(), strict=True):
        for label, each in grouped(rows, kind).items():
            i = (*FAMILIES, UNTRAINED).index(label)
            ax.plot(*zip(*each, strict=True), SHAPES[i], label=label, alpha=0.8, color=plots.PALETTE[i])
        for marker, (who, (error, fewer)) in zip("x+", PUBLISHED[kind].items(), strict=False):
            ax.plot(4 * WEIGHTS[kind] / fewer, error, marker, color=plots.COLORS["none"], markersize=9,
                    linestyle="none", label=f"{who}, published bits")
        dense = whole(rows, kind)
        within = 100 * dense["error"] + 0.5
        ax.axhline(within, color=plots.COLORS["none"], linewidth=0.8, linestyle=":",
                   label="dense error + 0.5 %")
        ax.set(xscale="log", yscale="log")
        low, high = ax.get_ylim()
        ticks = [tick for tick in TICKS if low <= tick <= high]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.tick_params(axis="y", which="minor", left=False, labelleft=False)
        best = min((row for row in rows if row["net"] == kind and 100 * row["error"] <= within),
                   key=lambda row: row["bytes"])
        plots.finish(ax, f"{name}: {dense['bytes']:,.0f} bytes, {100 * dense['error']:.2f} % wrong;\n"
                     f"within 0.5 % of that {best['bytes']:,.0f} bytes ({times(rows, best):.0f} x), "
                     f"{100 * best['error']:.2f} %",
                     "bytes of the file (log scale)", "test error, % (log scale)", below=3)
    return axes[0]
