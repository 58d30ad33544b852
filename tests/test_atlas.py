"""The atlas of bench: sixteen nets that are what their lists say, and a table that finds the worst of them."""

import numpy as np
import pytest

from minibayes import nn
from minibayes.bench import atlas


@pytest.mark.parametrize("row", atlas.ROWS, ids=lambda row: row.name)
def test_a_net_is_what_its_list_says(row):
    net = atlas.ours(row)
    assert net.output_shape(row.shape) == (row.outputs,)
    noisy = [layers for layers in row.layers if layers[0] in ("conv", "dense") and layers[-1] != 1]
    assert len(net.noisy) == len(noisy) > 0
    kinds = {type(net.layers[name].noise) for name in net.noisy}
    assert kinds == {nn.Gaussian if row.mgn else nn.Bernoulli}
    assert 2 <= atlas.steps(row) <= 300
    x, y = atlas.data(row, 3)
    assert x.shape == (3, *row.shape) and x.dtype == np.float32 and len(y) == 3


def test_the_table_says_which_is_worst_and_the_geometric_mean():
    rows = {row.name: {"train_ms": 1.0, "mc_ms": 2.0, "train_ratio": 2.0, "mc_ratio": 4.0} for row in atlas.ROWS}
    rows["LeNet-ip"] |= {"train_ratio": 0.5}
    said = atlas.table(rows)
    mean = (2.0**15 * 0.5) ** (1 / 16)
    assert f"training: geometric mean {mean:.2f} x, worst 0.50 x (LeNet-ip)" in said and "MC: geometric mean 4.00 x" in said
    for row in rows.values():
        del row["train_ratio"], row["mc_ratio"]
    assert "geometric" not in atlas.table(rows) and " - " in atlas.table(rows)


def test_measured_in_turns_against_the_fastest_form(monkeypatch):
    row = atlas.Row("one", (3,), [("dense", 2, 0.5)])
    monkeypatch.setattr(atlas, "ROWS", (row,))
    timed = atlas.functions(1, lambda name: name)
    assert set(timed) == {("one", what, where) for what in ("train", "mc") for where in ("here", "there")}
    assert timed["one", "mc", "there"] == "one/mc"
    monkeypatch.setattr(atlas, "interleaved", lambda timed, rounds: {
        ("one", "train", "here"): 2.0, ("one", "mc", "here"): 1.0, ("one", "train", "there"): 6.0,
        ("one", "train", "there channels-last"): 5.0, ("one", "mc", "there"): 4.0})
    found = atlas.measure(timed, 1)["one"]
    assert found["train_ratio"] == 2.5 and found["mc_ratio"] == 4.0 and found["train_ms"] == 2e3 / atlas.steps(row)
