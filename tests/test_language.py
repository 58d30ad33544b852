"""The study language: its n-grams against a count by hand, reading on from chunk to chunk, and a small run on any threads."""

import json

import matplotlib.image
import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, data, nn
from minibayes.__main__ import main
from minibayes.fast import carried, parallel
from minibayes.fast.program import Program
from minibayes.studies import language
from minibayes.studies.language import command, reader
from minibayes.studies.language.ngrams import KINDS, NGrams

TEXT = np.array([0, 1, 0, 2, 0, 1, 1, 0, 1, 0, 2])
NOISE = {"none": {}, "tied": {"noise": nn.Bernoulli(0.6)}, "untied": {"noise": nn.Bernoulli(0.6), "tied": False},
         "step": {"noise": nn.Bernoulli(0.6), "over": "step"}}


def counted(text, context):
    """How often each of 4 letters follows the context in the text."""
    k = len(context)
    return np.array([sum(list(text[i:i + k + 1]) == [*context, y] for i in range(len(text) - k)) for y in range(4)])


def by_hand(text, context, kind):
    n = counted(text, context)
    if kind == "additive":
        return (n + 0.01) / (n.sum() + 0.04)
    shorter = by_hand(text, context[1:], kind) if context else np.full(4, 1 / 4)
    return (n + (n > 0).sum() * shorter) / (n.sum() + (n > 0).sum()) if n.sum() else shorter


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_n_grams_are_the_counts_by_hand_and_add_up_to_one(kind, order):
    """Of every context there is, also of those never seen."""
    ruler = NGrams(TEXT, 4, 3)
    for context in np.ndindex(*[4] * order):
        p = ruler.probability(np.array([[*context, y] for y in range(4)]), kind, order)
        np.testing.assert_allclose(p, by_hand(TEXT, list(context), kind), rtol=1e-12)
        assert p.sum() == pytest.approx(1, abs=1e-12) and (p > 0).all()


def test_nats_look_back_into_the_text_before():
    ruler, test = NGrams(TEXT, 4, 2), np.array([1, 3, 0])
    whole = [*TEXT[-2:], *test]
    for kind in KINDS:
        p = [by_hand(TEXT, whole[i:i + 2], kind)[whole[i + 2]] for i in range(3)]
        assert ruler.nats(test, TEXT, kind, 2) == pytest.approx(-np.log(p).mean(), rel=1e-12)


def test_the_rulers_of_the_book():
    """Published with this data: 3.118, 2.462, 2.012, 1.711, 1.704, 1.945, of which that of order 3 is 1.715 here."""
    train, test, alphabet = command.book()
    assert (len(train), len(test), len(alphabet)) == (1_071_285, 119_032, 83)
    found = NGrams(train, 83, 3)
    assert [found.nats(test, train, "additive", k) for k in range(4)] == pytest.approx([3.118, 2.462, 2.012, 1.715], abs=6e-4)


@pytest.mark.parametrize("call, says", [
    (lambda: NGrams(TEXT, 3, 40), "order must be less"),
    (lambda: NGrams(TEXT, 2, 1), r"text must be the numbers 0\.\.1 of letters"),
    (lambda: NGrams(TEXT[:2], 3, 2), "text must have more than 2 letters, got 2"),
    (lambda: NGrams(TEXT / 2, 3, 2), "text must be the numbers"),
    (lambda: NGrams(TEXT, 3, 1).probability(TEXT[None], "kneser-ney", 1), "kind must be"),
    (lambda: NGrams(TEXT, 3, 1).probability(TEXT[None], "additive", 2), "order must be in"),
    (lambda: NGrams(TEXT, 3, 1).probability(TEXT[None], "additive", 1, alpha=0), "alpha must be"),
    (lambda: NGrams(TEXT, 3, 1).probability(TEXT[:1, None], "additive", 1), "rows of at least 2 letters"),
])
def test_errors(call, says):
    with pytest.raises(mb.InputError, match=says):
        call()


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("variant", NOISE)
def test_carried_in_stages_is_carried_by_the_layers(kind, variant):
    """Two chunks, f, states and the gradient of the second: compiled where there is a stage, or the layer itself."""
    net = nn.Network(e=nn.Embedding(5, 3), r=kind(3, 6, states="all", **NOISE[variant]), d=nn.Dense(6, 5))
    params, x = net.init(0), np.random.default_rng(1).integers(0, 5, (4, 7)).astype(np.float32)
    x[2, 3] = -1
    fast, states, own = Program(net), None, None
    for chunk in (x[:, :4], x[:, 4:]):
        z = net.sample(2, chunk.shape)
        f, caches, states = nn.carry.forward(net, params, chunk, z, states)
        g, others, own = carried.forward(fast, params, chunk, z, own)
        np.testing.assert_allclose(g, f, atol=3e-6)
        np.testing.assert_allclose(own["r"], states["r"], atol=3e-6)
    df = np.ones_like(f)
    (_, grads), (_, more) = net.backward(params, caches, df), fast.backward(params, others, df)
    for name, group in grads.items():
        for p, a in group.items():
            np.testing.assert_allclose(more[name][p], a, atol=2e-5)


def test_a_sequence_keeps_its_masks_from_chunk_to_chunk_and_steps_do_not():
    def drawn(variant, chunk, epoch=0):
        net = reader.network(variant, 5, 8, 0.6)
        return reader.noise_of(net, nn.Key(0), chunk, (3, 6), np.array([4, 9, 2]), np.full(3, epoch))["gru"]
    for variant in ("tied", "untied"):
        assert np.array_equal(drawn(variant, 0), drawn(variant, 1))
        assert not np.array_equal(drawn(variant, 0), drawn(variant, 0, epoch=1))
    assert drawn("tied", 0).shape == (3, 40) and drawn("untied", 0).shape == (3, 3, 40)
    assert drawn("step", 0).shape == (3, 6, 40) and not np.array_equal(drawn("step", 0), drawn("step", 1))


def test_nats_are_those_of_whole_streams_by_the_plain_layers(monkeypatch):
    """Chunks change nothing, and probabilities are averaged, not their logarithms."""
    monkeypatch.setattr(reader, "TEST_STREAMS", 3)
    monkeypatch.setattr(reader, "TEST_SHARD", 2)
    monkeypatch.setattr(reader, "CHUNK", 5)
    net, text = reader.network("tied", 5, 8, 0.6), np.random.default_rng(0).integers(0, 5, 40)
    params, (x, y) = net.init(1), reader.streams(text, 3)
    params["out"]["M"] *= 20
    z = [net.sample(nn.Key(4).derive("held out").at(t), x.shape) for t in range(6)]
    p = [np.exp(bayes.summary.log_softmax(net.forward(params, x.astype("f4"), one)[0])) for one in z]
    wanted = -np.log(np.take_along_axis(np.mean(p, axis=0), y[..., None], -1)).mean()
    mean, _ = net.forward(params, x.astype("f4"), net.mean_noise())
    with parallel.pool(1) as pool:
        assert reader.nats(net, params, text, pool, 6, 4) == pytest.approx(wanted, rel=1e-5)
        assert reader.nats(net, params, text, pool) == pytest.approx(bayes.Categorical().nll(mean, y)[0].sum() / y.size, rel=1e-5)


def test_epochs_that_are_reported():
    assert command.reported(3) == {1, 2, 3} and command.reported(1) == {1}
    assert len(command.reported(100)) == 10 and {1, 100} <= command.reported(100)


def test_table_figure_json_and_the_same_on_other_threads(monkeypatch, tmp_path, capsys):
    book = data.moby_dick()[:16_000]
    monkeypatch.setattr(data, "moby_dick", lambda: book)
    few = ["language", "--quick", "--units", "8", "--epochs", "2", "--samples", "2", "--letters", "12000", "--short", "10000",
           "--rereads", "3", "--out", str(tmp_path)]
    assert main([*few, "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 140 and "nan" not in out.lower() and "the average:" in out
    result = json.loads((tmp_path / "language.json").read_text())
    again, _ = language.Language().run(result["settings"], threads=2)
    assert all(result[name] == again[name] for name in ("rulers", "runs", "short_rulers", "short_runs", "texts"))
    assert list(result["short_runs"]) == list(command.AGAIN) and [len(history) for history in result["short_runs"].values()] == [3] * 3
    assert list(result["runs"]) == list(reader.VARIANTS) and "mc" not in result["runs"]["none"][0]
    for history in result["runs"].values():
        assert history[1]["train"] < history[0]["train"] < np.log(83) + 0.2
    picture = matplotlib.image.imread(tmp_path / "language.png")
    assert min(picture.shape[:2]) > 600 and picture[..., :3].std() > 0.05
    assert main(["language", "--letters", "100"]) == 2 and "--letters must be in" in capsys.readouterr().err
