"""What each figure draws: its data, labels and legend, not only that it runs."""

import matplotlib.image
import numpy as np
import pytest

from minibayes import InputError, metrics, plots

RNG = np.random.default_rng(0)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_band_reaches_two_standard_deviations():
    x = np.array([2.0, 0.0, 1.0])  # not in order
    ax = plots.band(x, 10 * x, 1 + x, title="t", xlabel="time, s", ylabel="ppm")
    assert labels(ax) == ["±2 std", "±1 std", "mean"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("t", "time, s", "ppm")
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [0, 1, 2] and line.get_ydata().tolist() == [0, 10, 20]
    for k, filled in zip((2, 1), ax.collections, strict=True):
        corners = {tuple(v) for v in filled.get_paths()[0].vertices}
        assert {(0, -k), (0, k), (1, 10 - 2 * k), (2, 20 + 3 * k)} <= corners


def test_functions_are_one_line_each_and_one_label():
    x, draws = np.arange(5.0), RNG.standard_normal((7, 5))
    ax = plots.functions(x, draws)
    assert len(ax.lines) == 7 and labels(ax) == ["draws of the function"]
    assert (ax.lines[3].get_ydata() == draws[3]).all()


def test_reliability_shows_the_bins_that_are_not_empty():
    p = np.array([[0.7, 0.3], [0.9, 0.1], [0.95, 0.05], [0.65, 0.35]])
    c = metrics.calibration(p, np.array([0, 0, 1, 1]), bins=10)
    ax = plots.reliability(c, label="MC")
    plots.reliability(c, ax, label="again", i=1)
    assert labels(ax) == ["perfectly calibrated", f"MC, ECE {c.ece:.3f}", f"again, ECE {c.ece:.3f}"]
    there = c.count > 0
    assert (ax.lines[1].get_xdata() == c.confidence[there]).all()
    assert (ax.lines[1].get_ydata() == c.accuracy[there]).all()
    assert ax.get_xlim() == (0, 1) and len(ax.collections) == 2
    sizes = ax.collections[0].get_sizes()
    assert (np.diff(sizes[np.argsort(c.count[there])]) >= 0).all()


def test_softmax_clouds_hold_every_pass_beside_its_angle():
    angles, p = np.array([0, 30, 60]), RNG.random((3, 20, 4))
    ax = plots.softmax_clouds(angles, p, classes=[1, 3])
    assert labels(ax) == ["class 1", "class 3"] and len(ax.collections) == 2
    for cloud, c in zip(ax.collections, (1, 3), strict=True):
        points = cloud.get_offsets()
        assert len(points) == 60 and sorted(points[:, 1]) == sorted(p[:, :, c].ravel())
        # 12: 0.4 of the distance between angles
        assert (np.abs(points[:, 0].reshape(3, 20) - angles[:, None]) <= 12).all()
    assert ax.collections[0].get_offsets()[:20, 0].max() < ax.collections[1].get_offsets()[:20, 0].min()


def hidden_points(ax):
    """How many points of clouds and error bars lie behind the legend."""
    legend = ax.get_legend()
    if legend is None:
        return 0
    box = legend.get_window_extent()
    points = [ax.transData.transform(cloud.get_offsets()) for cloud in ax.collections if len(cloud.get_offsets())]
    points += [ax.transData.transform(bars[0].get_xydata()) for bars in ax.containers if hasattr(bars, "has_yerr")]
    return sum(int(box.contains(*point)) for group in points for point in group)


def test_the_legend_of_clouds_stands_below_and_can_be_read():
    """Points are everywhere between 0 and 1, small and faint; in the legend they are neither."""
    ax = plots.softmax_clouds(np.arange(0, 120, 10), np.random.default_rng(0).random((12, 200, 5)), [0, 1, 3, 4])
    ax.figure.draw_without_rendering()
    assert hidden_points(ax) == 0
    assert [(handle.get_alpha(), handle.get_sizes()[0]) for handle in ax.get_legend().legend_handles] == [(1, 40)] * 4
    ax.legend(loc="center")
    ax.figure.draw_without_rendering()
    assert hidden_points(ax) > 10, "the question is a real one"


def test_digit_sheet_lays_images_out_in_rows():
    images = np.stack([np.full((4, 4), v, float) for v in range(5)])
    ax = plots.digit_sheet(images, [f"no. {i}" for i in range(5)], columns=3, title="t")
    sheet = ax.images[0].get_array()
    assert sheet.shape[1] == 3 * 8 and [t.get_text() for t in ax.texts] == [f"no. {i}" for i in range(5)]
    assert (sheet[:4, 2:6] == 0).all() and (sheet[:4, 10:14] == 0.25).all()
    assert (sheet[sheet.shape[0] // 2:][:4, 10:14] == 1).all()
    assert ax.get_title() == "t"


def test_histograms_are_shares_on_shared_bins():
    ax = plots.score_histograms({"in": [0, 0, 1, 2], "out": [2, 3]}, bins=3)
    assert labels(ax) == ["in", "out"]
    outlines = [patch for patch in ax.patches if not patch.get_fill()]
    assert outlines[0].get_data().values.tolist() == [0.5, 0.25, 0.25]
    assert outlines[1].get_data().values.tolist() == [0, 0, 1]
    assert outlines[0].get_data().edges.tolist() == [0, 1, 2, 3]
    same = plots.score_histograms({"constant": [1.0, 1.0]})
    assert same.patches[0].get_data().values.sum() == 1


def test_risk_coverage_and_precision_recall():
    r = metrics.risk_coverage([1, 2, 3, 4], [False, False, True, True])
    ax = plots.risk_coverage({"entropy": r})
    assert ax.lines[0].get_ydata().tolist() == pytest.approx((100 * r.risk).tolist())
    assert "entropy" in labels(ax)[0]
    assert "%" in ax.get_ylabel()
    c = metrics.precision_recall([3, 2, 1], [True, False, True])
    ax = plots.precision_recall({"loss": c, "entropy": c}, base_rate=2 / 3)
    assert labels(ax) == [f"loss (AP {c.average_precision:.2f})", f"entropy (AP {c.average_precision:.2f})",
                          "at random (66.7%)"]
    assert ax.lines[0].get_xdata().tolist() == c.recall.tolist()
    assert ax.lines[2].get_ydata()[0] == pytest.approx(2 / 3)
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_error_against_passes():
    ax = plots.error_against_passes([1, 10, 100], [3.0, 2.0, 1.5], [0.3, 0.2, 0.1], title="t")
    (bars,) = ax.containers
    assert bars[0].get_ydata().tolist() == [3, 2, 1.5] and ax.get_xscale() == "log"
    segments = bars[2][0].get_segments()
    assert [round(s[1, 1] - s[0, 1], 9) for s in segments] == [0.6, 0.4, 0.2]


def test_a_figure_of_panels_is_saved_whole(tmp_path):
    axes = plots.figure(1, 2, (6, 3))
    assert axes.shape == (1, 2)
    plots.band([0, 1], [0, 1], [1, 1], axes[0, 0])
    assert plots.functions([0, 1], [[0, 1]], axes[0, 1]) is axes[0, 1]
    plots.save(axes[0, 0], tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").shape[:2] == (450, 900)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("call, message", [
    (lambda: plots.band([0, 1], [0], [1, 1]), r"one shape is wanted for x \(2,\), mean \(1,\), std \(2,\)"),
    (lambda: plots.band([0], [0], [-1]), "std must not be negative, got -1"),
    (lambda: plots.band([0], [np.nan], [1]), "mean must be finite"),
    (lambda: plots.functions([0, 1], [[0, 1, 2]]), r"draws must have shape \(T, 2\), got \(1, 3\)"),
    (lambda: plots.softmax_clouds([0], np.zeros((2, 3, 4)), [0]),
     r"probabilities must have shape \(1, T, C\), got \(2, 3, 4\)"),
    (lambda: plots.softmax_clouds([0], np.zeros((1, 3, 4)), [4]), r"classes must be in \[0, 3\], got 4"),
    (lambda: plots.digit_sheet(np.zeros((2, 3, 3)), ["one"]), "captions must be 2 texts"),
    (lambda: plots.digit_sheet(np.zeros((3, 3)), ["one"]), "images must have 3 axes"),
    (lambda: plots.score_histograms({"a": []}), r"scores\['a'\] must have 1 axes and not be empty"),
    (lambda: plots.precision_recall({}, 2), "base_rate must be"),
])
def test_what_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
