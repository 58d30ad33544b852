"""Classification: is a confidence deserved, what does the network not know, and which inputs are those."""

from collections.abc import Sequence

import numpy as np

from .. import metrics, require
from .look import PALETTE, SHAPES, STYLES, Axes, axis, curve, finish, row


def reliability(calibration: metrics.Calibration, ax: Axes | None = None, label: str = "", i: int = 0,
                title: str = "") -> Axes:
    """A reliability diagram: the share that is right against the mean confidence, bin by bin.

    The area of a dot grows with the share of the inputs in its bin; below the diagonal the network is
    over-confident. Several can share an axis: i is the number of the line.
    """
    ax = ax or axis(5.0, 4.6)
    there = calibration.count > 0
    if not any(line.get_label() == "perfectly calibrated" for line in ax.lines):
        ax.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="perfectly calibrated")
    text = f"{label + ', ' if label else ''}ECE {calibration.ece:.3f}"
    x, y = calibration.confidence[there], calibration.accuracy[there]
    ax.plot(x, y, color=PALETTE[i % len(PALETTE)], linewidth=1.2, label=text)
    share = calibration.count[there] / calibration.count.sum()
    ax.scatter(x, y, s=12 + 200 * share, color=PALETTE[i % len(PALETTE)], marker=SHAPES[i % len(SHAPES)],
               alpha=0.8, linewidths=0)
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    return finish(ax, title, "confidence: the largest class probability", "share that is right")


def softmax_clouds(angles: np.ndarray, probabilities: np.ndarray, classes: Sequence[int],
                   ax: Axes | None = None, title: str = "", xlabel: str = "rotation, degrees",
                   ylabel: str = "class probability of a pass") -> Axes:
    """The class probabilities of every pass: a cloud for each class in `classes`, side by side at each angle.

    angles (A,); probabilities (A, T, C). Clouds that overlap are classes that the passes do not agree on.
    """
    ax = ax or axis()
    angles, probabilities = row("angles", angles), row("probabilities", probabilities, 3)
    if len(probabilities) != len(angles):
        raise require.InputError(f"probabilities must have shape ({len(angles)}, T, C), "
                                 f"got {probabilities.shape}")
    classes = [require.integer("classes", c, 0, probabilities.shape[2] - 1) for c in classes]
    width = 0.8 * (np.diff(np.sort(angles)).min() if len(angles) > 1 else 1.0)
    T = probabilities.shape[1]
    for i, c in enumerate(classes):
        within = (i + (np.arange(T) + 0.5) / T) / len(classes) - 0.5  # passes spread over the class's share
        x = np.concatenate([angle + width * within for angle in angles])
        ax.scatter(x, probabilities[:, :, c].ravel(), s=6, color=PALETTE[i % len(PALETTE)],
                   marker=SHAPES[i % len(SHAPES)], alpha=0.5, linewidths=0, label=f"class {c}")
    ax.set_ylim(min(-0.02, ax.get_ylim()[0]), max(1.02, ax.get_ylim()[1]))
    return finish(ax, title, xlabel, ylabel, below=len(classes))


def digit_sheet(images: np.ndarray, captions: Sequence[str], columns: int = 8, ax: Axes | None = None,
                title: str = "") -> Axes:
    """Grey images (n, H, W) with a caption under each, in rows of `columns`, black on white."""
    images = row("images", images, 3)
    columns = min(require.integer("columns", columns, 1), len(images))
    if len(captions) != len(images):
        raise require.InputError(f"captions must be {len(images)} texts, one for each image, "
                                 f"got {len(captions)}")
    n, H, W = images.shape
    lines = 1 + max(caption.count("\n") for caption in captions)
    rows, space = -(-n // columns), round(H * (0.1 + 0.22 * lines))
    ax = ax or axis(0.95 * columns, 0.95 * rows * (H + space) / W + 0.5)
    sheet = np.zeros((rows * (H + space), columns * (W + 4)))
    low, high = images.min(), images.max()
    for i, image in enumerate(images):
        top, left = i // columns * (H + space), i % columns * (W + 4) + 2
        sheet[top:top + H, left:left + W] = (image - low) / (high - low or 1)
        ax.text(left + W / 2, top + H + 1, captions[i], ha="center", va="top", fontsize=7, linespacing=1.0)
    ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def picture_sheet(images: np.ndarray, ax: Axes | None = None, columns: Sequence[str] = (), title: str = ""
                  ) -> Axes:
    """Grey images (rows, columns, H, W) side by side, 1 is black; `columns` names each column."""
    images = row("images", images, 4)
    rows, count, H, W = images.shape
    if len(columns) not in (0, count):
        raise require.InputError(f"columns must be {count} texts, one for each column, got {len(columns)}")
    ax = ax or axis(0.9 * count, 0.9 * rows + 0.6)
    sheet = np.zeros((rows * (H + 2), count * (W + 2)))
    for i, j in np.ndindex(rows, count):
        sheet[i * (H + 2) + 1:(i + 1) * (H + 2) - 1, j * (W + 2) + 1:(j + 1) * (W + 2) - 1] = images[i, j]
    ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set(yticks=[], title=title)
    ax.set_xticks([(j + 0.5) * (W + 2) for j in range(len(columns))], columns)
    ax.tick_params(length=0)
    return ax


def score_histograms(scores: dict[str, np.ndarray], ax: Axes | None = None, bins: int = 40, title: str = "",
                     xlabel: str = "score") -> Axes:
    """An outlined histogram for each {label: scores}, on shared bins, as shares: any sizes compare."""
    ax = ax or axis()
    scores = {label: row(f"scores[{label!r}]", values) for label, values in scores.items()}
    low, high = min(v.min() for v in scores.values()), max(v.max() for v in scores.values())
    edges = np.linspace(low, high if high > low else low + 1, require.integer("bins", bins, 1) + 1)
    for i, (label, values) in enumerate(scores.items()):
        share = np.histogram(values, edges)[0] / len(values)
        color = PALETTE[i % len(PALETTE)]
        ax.stairs(share, edges, color=color, linestyle=STYLES[i % 4], linewidth=1.6, label=label)
        ax.stairs(share, edges, color=color, fill=True, alpha=0.12)
    return finish(ax, title, xlabel, "share of the inputs")


def risk_coverage(curves: dict[str, metrics.RiskCoverage], ax: Axes | None = None, title: str = "") -> Axes:
    """The error among the inputs that are answered, most certain first, against their share."""
    ax = ax or axis()
    for i, (label, c) in enumerate(curves.items()):
        curve(ax, c.coverage, 100 * c.risk, f"{label} (area {100 * c.area:.3g} %)", i, points=10)
    ax.set(xlim=(0, 1), ylim=(0, None))
    return finish(ax, title, "coverage: share of the inputs that is answered", "error among them, %")


def precision_recall(curves: dict[str, metrics.PrecisionRecall], base_rate: float, ax: Axes | None = None,
                     title: str = "") -> Axes:
    """Precision against recall; base_rate, the share of positives, is what naming at random would reach."""
    ax = ax or axis()
    for i, (label, c) in enumerate(curves.items()):
        curve(ax, c.recall, c.precision, f"{label} (AP {c.average_precision:.2f})", i, points=10)
    base_rate = require.real("base_rate", base_rate, 0, 1)
    ax.axhline(base_rate, color="#999999", linewidth=1, label=f"at random ({base_rate:.1%})")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    return finish(ax, title, "recall: share of the positives that is found",
                  "precision: share of the named that is positive")
