"""The kinds of q of bench: every row builds, trains and predicts; ratios over ours; a table with and without them."""

import numpy as np
import pytest

from minibayes import bayes
from minibayes.bench import command, techniques


@pytest.mark.parametrize("name", techniques.ROWS)
def test_a_row_is_a_net_whose_kl_is_known(name):
    row = techniques.ROWS[name]
    net, (x, y) = techniques.net(row), techniques.data()
    assert net.output_shape((784,)) == (10,) and net.noisy == ("fc0", "fc1", "fc2")
    assert x.shape == (techniques.EXAMPLES, 784) and set(y) <= set(range(10))
    bayes.Objective(net, row.prior, bayes.Categorical(), len(x))


def test_ratios_are_there_over_here(monkeypatch):
    timed = techniques.functions(1, lambda name: name)
    assert set(timed) == {(name, what, where) for name in techniques.ROWS for what in ("train", "mc") for where in ("here", "there")}
    assert timed["concrete", "mc", "there"] == "concrete/mc"
    took = {(name, what, where): 3.0 if where == "there" else 2.0 for name, what, where in timed}
    monkeypatch.setattr(techniques, "interleaved", lambda timed, rounds: took)
    found = techniques.measure(timed, 1)
    assert found["dropout"] == pytest.approx({"train_ms": 200.0, "train_ratio": 1.5, "mc_ms": 200.0, "mc_ratio": 1.5})
    (_, ours), (_, theirs) = techniques.ROWS["DropConnect"].counts
    assert found["DropConnect"]["mc_ratio"] == pytest.approx(1.5 * ours / theirs)  # fewer passes there
    said = techniques.table(found)
    assert "1.50 x" in said and all(name in said for name in techniques.ROWS)
    monkeypatch.setattr(techniques, "interleaved", lambda timed, rounds: {key: 1.0 for key in timed})
    alone = techniques.measure(techniques.functions(1, None), 1)
    assert set(alone["sparse"]) == {"train_ms", "mc_ms"} and " - " in techniques.table(alone)


def test_it_is_among_what_all_adds():
    assert command.MORE["techniques"] is techniques


def test_a_step_and_a_pass_of_each_run(monkeypatch):
    monkeypatch.setattr(techniques, "SIZES", (784, 20, 20, 10))
    for name, row in techniques.ROWS.items():
        for what, work in techniques.here(row._replace(counts=((1, 1), (1, 1))), 1).items():
            work()
            if what == "train":
                assert np.isfinite(work.state.params["fc0"]["M"]).all(), name
