"""The GRU of bench: a net with one z for a text, ratios to both forms that it has in PyTorch, and a table with and without them."""

import numpy as np

from minibayes.bench import command, sequences


def test_the_net_has_one_z_for_a_text_and_letters_follow_letters():
    net, (x, y) = sequences.net(), sequences.texts(3)
    assert net.output_shape((sequences.LENGTH,)) == (sequences.LENGTH, sequences.LETTERS)
    assert net.noisy == ("gru",) and net.sample(0, x.shape)["gru"].shape == (3, sequences.WIDTH + sequences.UNITS)
    assert np.array_equal(x[:, 1:], y[:, :-1]) and x.shape == y.shape == (3, sequences.LENGTH)


def test_ratios_are_there_over_here(monkeypatch):
    timed = sequences.functions(1, lambda name: name)
    assert set(timed) == {(what, where) for what in ("train", "mc") for where in ("here", "loop", "fused")}
    assert timed["mc", "loop"] == "loop/mc"
    took = {("train", "here"): 2.0, ("mc", "here"): 4.0, ("train", "loop"): 9.0, ("train", "fused"): 3.0, ("mc", "loop"): 8.0,
            ("mc", "fused"): 2.0}
    monkeypatch.setattr(sequences, "interleaved", lambda timed, rounds: took)
    found = sequences.measure(timed, 1)
    assert found["train_ms"] == 2e3 / sequences.COUNTS["train"] and found["mc_ms"] == 4e3 / sequences.COUNTS["mc"]
    assert [found[f"{what}_{form}_ratio"] for what in ("train", "mc") for form in ("loop", "fused")] == [4.5, 1.5, 2.0, 0.5]
    said = sequences.table(found)
    assert "4.50 x" in said and "0.50 x" in said and "a GRU" not in said
    monkeypatch.setattr(sequences, "interleaved", lambda timed, rounds: {key: 1.0 for key in timed})
    alone = sequences.measure(sequences.functions(1, None), 1)
    assert set(alone) == {"train_ms", "mc_ms"} and " - " in sequences.table(alone)


def test_it_is_among_what_all_adds():
    assert command.MORE["sequences"] is sequences
