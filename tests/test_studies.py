"""The studies rotate, ood and debug on few images.

Results, figures, reproducibility, and a typo in every argument.
"""

import json

import matplotlib.image
import numpy as np
import pytest
from executors import instead_of_processes
from test_plots import hidden_points

from minibayes import data, plots
from minibayes.__main__ import main
from minibayes.studies import debug, ood, rotate

FAST = {"rotate": ["--epochs", "0.5", "--samples", "5"],
        "ood": ["--epochs", "0.5", "--samples", "4", "--seeds", "2", "--images", "60"],
        "debug": ["--epochs", "0.5", "--samples", "4", "--images", "600"]}


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    full = data.mnist()
    monkeypatch.setattr(data, "mnist", lambda: (full[0][:640], full[1][:640], full[2][:200], full[3][:200]))


def run(name, folder, *more):
    assert main([name, "--quick", *FAST[name], "--seed", "3", "--out", str(folder), "--json", *more]) == 0


@pytest.mark.parametrize("name", FAST)
def test_figure_json_and_the_same_again_on_other_threads(name, tmp_path, capsys, monkeypatch):
    printed, executor = [], instead_of_processes(monkeypatch)
    for threads in ("1", "2"):
        more = ["--processes", "2"] if (name, threads) == ("ood", "2") else []
        run(name, tmp_path, "--threads", threads, *more)
        assert executor.count == len(more), "a job for each of two seeds"
        out, err = capsys.readouterr()
        result = json.loads(out)
        assert result == json.loads((tmp_path / f"{name}.json").read_text()) and f"{name}.png" in err
        assert result["settings"].pop("threads") == int(threads) and result["settings"]["quick"] is True
        printed.append(result)
    assert printed[0] == printed[1]
    picture = matplotlib.image.imread(tmp_path / f"{name}.png")
    assert min(picture.shape[:2]) > 1000 and picture[..., :3].std() > 0.05
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}.json", f"{name}.png"]


@pytest.mark.parametrize("name", FAST)
def test_the_table_fits_a_page(name, tmp_path, capsys):
    assert main([name, "--quick", *FAST[name], "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 170 and len(out.splitlines()) > 10 and "nan" not in out.lower()


def test_rotate_measures_what_it_says(tmp_path, capsys):
    run("rotate", tmp_path)
    result = json.loads(capsys.readouterr().out)
    assert [r["angle"] for r in result["one"]] == [r["angle"] for r in result["many"]] == list(rotate.ANGLES)
    assert [r["published"] for r in result["one"]] == [1, 1, 1, 1, 1, 5, 5, 7, 7, 7, 7, 7]
    for r in result["one"]:
        assert r["entropy"] == pytest.approx(r["expected_entropy"] + r["mutual_information"], abs=1e-9)
        assert 0.1 <= r["confidence"] <= 1
    _, _, _, y_test = data.mnist()
    assert y_test[result["settings"]["image"]] == 1 and result["settings"]["many"] == (y_test == 1).sum()


@pytest.mark.slow
def test_ood_means_are_over_seeds(tmp_path, capsys):
    run("ood", tmp_path)
    result = json.loads(capsys.readouterr().out)
    assert {r["group"] for r in result["detection"]} == {"clothes", "turned 60°", "noise 0.5"}
    mc = [r for r in result["detection"] if r["rule"] == "mc"]
    assert len(mc) == 3 * 4 and len(result["detection"]) == 3 * (4 + 2 + 2)
    assert all(0 <= r["auroc"] <= 1 and 0 <= r["fpr95"] <= 1 and r["auroc_se"] >= 0
               for r in result["detection"])
    assert len(result["calibration"]) == 3 * len(ood.LEVELS)
    assert all(0 <= r["ece"] <= 1 for r in result["calibration"])
    rows = ood.mean_rows([[{"k": 1, "v": 1.0}], [{"k": 1, "v": 3.0}]], ("k",), ("v",))
    assert rows == [{"k": 1, "v": 2.0, "v_se": pytest.approx(1.0)}]


def test_corrupted_labels_are_other_classes_and_as_many_as_said():
    y = np.tile(np.arange(10), 500)
    moved, where = debug.corrupted(y, 0.02, seed=1)
    assert where.sum() == 100 and (moved[where] != y[where]).all() and (moved[~where] == y[~where]).all()
    assert moved.min() >= 0 and moved.max() <= 9 and (debug.corrupted(y, 0.02, 1)[0] == moved).all()
    assert (debug.corrupted(y, 0.02, 2)[1] != where).any()
    shifts = np.bincount((moved - y)[where] % 10, minlength=10)[1:]  # uniform over the nine other classes
    assert (np.abs(shifts - 100 / 9) < 4 * np.sqrt(100 * 1 / 9 * 8 / 9)).all()


def test_debug_ranks_its_training_data(tmp_path, capsys):
    run("debug", tmp_path)
    result = json.loads(capsys.readouterr().out)
    assert result["settings"]["wrong"] == 12 and {r["score"] for r in result["ranking"]} == set(debug.SCORES)
    precision = [r["average_precision"] for r in result["ranking"]]
    assert precision == sorted(precision, reverse=True) and all(0 < p <= 1 for p in precision)
    assert len(result["uncertain"]) == len(set(result["suspected"])) == debug.SHEET


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("argv, message", [
    (["--epochs", "0"], "--epochs must be"),
    (["--epochs", "x"], "argument --epochs: invalid float value: 'x'"),
    (["--samples", "1"], "--samples must be in [2, 100000], got 1"), (["--seed", "-1"], "--seed must be"),
    (["--threads", "0"], "--threads must be >= 1, got 0"),
    (["--seeed", "1"], "unrecognized arguments: --seeed 1"),
    (["--out", "/dev/null/x"], "--out must be a folder that can be written to"),
])
def test_a_typo_is_one_line_and_nothing_is_done(name, argv, message, capsys, monkeypatch):
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("work began"))
    try:
        status = main([name, *argv])
    except SystemExit as stopped:
        status = stopped.code
    out, err = capsys.readouterr()
    assert status == 2 and message in err and err.count("\n") == 1 and not out


@pytest.mark.parametrize("argv, message", [
    (["ood", "--seeds", "0"], "--seeds must be"),
    (["ood", "--images", "5"], "--images must be in [10, 10000], got 5"),
    (["debug", "--images", "70000"], "--images must be in [100, 60000], got 70000")])
def test_counts_out_of_range(argv, message, capsys):
    assert main(argv) == 2 and message in capsys.readouterr().err


@pytest.fixture
def figure_of(tmp_path, monkeypatch, capsys):
    """(a function: the drawn figure and the result of a study)."""
    def figure_of(name):
        drawn = []
        monkeypatch.setattr(plots, "save", lambda ax, path: drawn.append(ax.figure))
        run(name, tmp_path)
        drawn[0].draw_without_rendering()
        return drawn[0], json.loads(capsys.readouterr().out)
    return figure_of


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ood", "rotate"])
def test_no_legend_hides_points_and_each_can_be_read(name, figure_of):
    figure, result = figure_of(name)
    assert [hidden_points(ax) for ax in figure.axes] == [0] * len(figure.axes)
    for ax in figure.axes:
        for handle in ax.get_legend().legend_handles if ax.get_legend() else ():
            assert handle.get_alpha() in (None, 1)
            assert not hasattr(handle, "get_sizes") or min(handle.get_sizes()) >= 20
    if name == "ood":  # what the titles say is what the table says, over both seeds
        best = min(result["risk_coverage"], key=lambda row: row["area"])
        panel = figure.axes[5]
        assert ood.LABELS[best["rule"], best["score"]] + f", area {100 * best['area']:.3g} %" in panel.get_title()
        areas = {(r["rule"], r["score"]): r["area"] for r in result["risk_coverage"]}
        labels = panel.get_legend_handles_labels()[1]
        assert f"{ood.LABELS['mc', 'entropy']} (area {100 * areas['mc', 'entropy']:.3g} %)" in labels
        assert all("drawn: seed 4" in figure.axes[i].get_title() for i in (0, 2))
