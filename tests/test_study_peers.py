"""The peers study on few rows: scores by hand, table, figure, JSON; without scikit-learn one line says what is lacking."""

import json
import sys

import matplotlib.image
import numpy as np
import pytest
from executors import Inline

from minibayes.__main__ import main
from minibayes.studies import peers

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 2))
Y = X[:, 0] + 0.3 * RNG.standard_normal(60)


@pytest.fixture
def few(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(peers, "tables", lambda: {"numbers": (X, Y, False), "classes": (X, (Y > 0).astype(int), True)})
    monkeypatch.setattr(peers, "Regressor", lambda **options: peers_of("Regressor", options))
    monkeypatch.setattr(peers, "Classifier", lambda **options: peers_of("Classifier", options))


def peers_of(name, options):
    from minibayes import estimators

    return getattr(estimators, name)(epochs=10, samples=20, **options)


@pytest.mark.slow
def test_the_same_in_an_executor(few):
    settings = {"quick": True, "seed": 0, "splits": 1}
    made = [peers.Peers().run(settings, threads=1, executor=executor)[0] for executor in (None, Inline())]
    here, there = ([{k: v for k, v in row.items() if k != "seconds"} for row in one["results"]] for one in made)
    assert here == there and len(here) == 2 * 4


@pytest.mark.slow
def test_table_figure_and_json(few, tmp_path, capsys):
    assert main(["peers", "--splits", "2", "--out", str(tmp_path), "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    result = json.loads((tmp_path / "peers.json").read_text())
    assert len(result["results"]) == 2 * 2 * 4 and "warning" not in err and max(map(len, out.splitlines())) < 120
    for row in result["results"]:
        assert row["seconds"] > 0 and np.isfinite(row["nll"]) and (row["data"] == "classes" or 0 <= row["coverage"] <= 1)
    assert out.count("boosted trees") == 2 and "held by 90 % int." in out
    picture = matplotlib.image.imread(tmp_path / "peers.png")
    assert picture.shape[1] > 1000 and picture[..., :3].std() > 0.05


def test_scores():
    y, mean = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    made = peers.normal(mean, np.array([1.0, 2.0]))
    found = peers.scores(made, y, False)
    assert found["error"] == pytest.approx(np.sqrt(0.5)) and found["coverage"] == 1 and found["width"] == pytest.approx(3 * 1.6448536)
    wanted = np.log(2 * np.pi) / 2 + (0 + np.log(1) + 0.125 + np.log(2)) / 2
    assert found["nll"] == pytest.approx(wanted)
    assert peers.scores(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 0]), True) == pytest.approx(
        {"error": 50.0, "nll": -(np.log(0.8) + np.log(0.4)) / 2})


def test_without_scikit_learn(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["peers", "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == "minibayes peers: error: peers needs scikit-learn, which it measures against: pip install scikit-learn\n"
