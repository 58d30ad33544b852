"""The study `compress` on few data: every point is a file that was read again, and the bars are what the points say."""

import json
import math

import matplotlib.image
import numpy as np
import pytest

import minibayes as mb
from minibayes import compress, data, nn
from minibayes.__main__ import main
from minibayes.studies.compress import command, networks, points, report
from minibayes.studies.frame import COMMANDS
from minibayes.studies.sparsify import training as sparsify

FEW = {"nets": ["mlp"], "images": 500, "dense_epochs": {"mlp": 1, "lenet": 0.4}, "sparse_epochs": {"mlp": 6, "lenet": 2},
       "more_epochs": {"mlp": 0.6, "lenet": 0.4}, "random_images": 100, "random_epochs": 3, "seeds": 1}


SIZES, MATRICES = (784, 30, 20, 10), 24_320  # smaller


@pytest.fixture(scope="module", autouse=True)
def few_data():
    digits = data.mnist()
    few = (digits[0][:500], digits[1][:500], digits[2][:50], digits[3][:50])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "mnist", lambda: few)
        patch.setattr(command.Compress, "quick", FEW)
        patch.setattr(sparsify, "SIZES", SIZES)
        patch.setitem(networks.MATRICES, "mlp", MATRICES)
        patch.setitem(networks.WEIGHTS, "mlp", MATRICES + 60)
        patch.setattr(points, "SHARED", {name: points.SHARED[name] for name in ("k-means, 8", report.BOTH)})
        patch.setattr(points, "DENSE", {report.LEARNED: points.DENSE[report.LEARNED]})
        patch.setattr(points, "THRESHOLDS", {"mlp": (3.0, 2.0), "lenet": (3.0, 2.0)})
        patch.setattr(points, "HASHED", points.HASHED[:1])
        yield


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compress")
    assert main(["compress", "--quick", "--out", str(folder), "--threads", "2"]) == 0
    return folder, json.loads((folder / "compress.json").read_text())


def test_figure_and_table(once):
    folder, result = once
    picture = matplotlib.image.imread(folder / "compress.png")
    assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05
    out = COMMANDS["compress"].table(result)
    assert max(map(len, out.splitlines())) <= 170 and "nan" not in out.lower()


@pytest.mark.slow
def test_lenet_too(tmp_path, monkeypatch):
    monkeypatch.setattr(command.Compress, "quick", FEW | {"nets": ["mlp", "lenet"]})
    assert main(["compress", "--quick", "--out", str(tmp_path), "--threads", "1"]) == 0
    result = json.loads((tmp_path / "compress.json").read_text())
    check_points(result["points"])
    assert len(result["bars"]) == 6


def test_points_are_files(once):
    check_points(once[1]["points"])


def check_points(rows):
    """The plain file holds four bytes for each number; compact ones are smaller, by what was pruned and shared."""
    for kind in report.kinds(rows):
        weights = networks.WEIGHTS[kind]
        net = networks.perceptron(nn.Dense) if kind == "mlp" else mb.models.lenet("none")
        assert weights == sum(math.prod(shape) for group in net.param_shapes().values() for shape in group.values())
        plain = report.whole(rows, kind)
        assert 4 * weights < plain["bytes"] < 4 * weights + 5000
        compact = report.named(rows, kind, "dense", "compact")
        assert compact["error"] == plain["error"] and compact["bytes"] < 0.95 * plain["bytes"]
        assert plain["p_value"] == 1 and plain["only_here_wrong"] == 0
        for row in (row for row in rows if row["net"] == kind):
            worse = row["only_here_wrong"] - row["only_dense_wrong"]
            assert abs(row["error"] - plain["error"] - worse / row["images"]) < 1e-12
        for how in ("log alpha > 3", "log alpha > 2"):
            row, more = (report.named(rows, kind, "pruned", name) for name in (how, f"{how}, trained on"))
            assert abs(row["bytes"] - more["bytes"]) < 0.02 * row["bytes"]  # zeros stay zeros
        for name in points.SHARED:
            row, more = (report.named(rows, kind, "pruned and shared", n) for n in (name, f"{name}, trained on"))
            assert row["values"] == more["values"] and abs(row["bytes"] - more["bytes"]) < 0.02 * row["bytes"]
    shares = [row["fewer_weights"] for row in rows if row["family"] == "signal to noise"]
    assert np.allclose(shares[:3], [2, 4, 10], rtol=0.05)  # of the last, whole units go
    hashed = report.named(rows, "mlp", "hashed", "1/64 of the values, at random")
    assert hashed["bytes"] < 4 * (MATRICES / 64 + 60) + 1000


def test_bars_say_what_the_points_say(once):
    result = once[1]
    assert result["bars"] == report.bars(result["points"], result["random_labels"])
    good = [dict(row) for row in result["points"]]
    found = {row["name"]: row for row in good if row["net"] == "mlp" and row["family"] == "pruned"}
    found["log alpha > 2"] |= {"fewer_weights": 30.0, "error": 0.017}
    assert report.bars(good, result["random_labels"])[0]["passed"]
    found["log alpha > 2"]["error"] = 0.0171
    assert not report.bars(good, result["random_labels"])[0]["passed"]


def test_seeds_become_means_with_their_standard_errors(once):
    """Two seeds: the mean of what each has, the error of the paired difference over seeds, both p-values."""
    first = once[1]["points"]
    second = [row | {"seed": 1, "bytes": row["bytes"] + 10, "error": row["error"] + 0.02 * (row["family"] != "dense"),
                     "only_here_wrong": row["only_here_wrong"] + (row["family"] != "dense"), "p_value": 0.5} for row in first]
    one, two = ({(r["family"], r["name"]): r for r in report.merged(rows)} for rows in (first, first + second))
    assert one.keys() == two.keys()
    for key, row in two.items():
        more = 0.01 * (key[0] != "dense")
        assert row["seeds"] == 2 and row["bytes"] == one[key]["bytes"] + 5 and abs(row["bytes_se"] - 5) < 1e-9
        assert abs(row["error"] - one[key]["error"] - more) < 1e-12 and one[key]["error_se"] is None
        assert abs(row["difference"] - one[key]["difference"] - more) < 1e-12 and abs(row["difference_se"] - more) < 1e-12
        assert row["p_values"] == one[key]["p_values"] + [0.5]
    control = once[1]["random_labels"]
    result = once[1] | {"points": first + second, "bars": report.bars(first + second, control * 2)}
    assert " ± " in COMMANDS["compress"].table(result) and "nan" not in COMMANDS["compress"].table(result)


def test_all_weights_may_go():
    """A point of which nothing is left has no number of weights for each, and is not trained on."""
    class Trainer:
        x_test, y_test, settings = {"mlp": np.zeros((3, 4))}, np.zeros(3, int), {"seed": 0}
    found = points.Points(Trainer(), "mlp", 1)
    net = nn.Network(a=nn.Dense(4, 3, noise=nn.MeanField(1.0)), r=nn.ReLU(), b=nn.Dense(3, 2, noise=nn.MeanField(1.0)))
    found.step(net, net.init(0), compress.LogAlpha(-100), "pruned", "all", 1)
    assert len(found.rows) == 1 and found.rows[0]["fewer_weights"] is None
