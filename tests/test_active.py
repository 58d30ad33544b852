"""Scores of (T, N, C) probabilities against exact answers, batches, and a loop that resumes bit for bit."""

import itertools
import json

import numpy as np
import pytest

import minibayes as mb
from minibayes import active, bayes, models, nn
from minibayes.active import loop as loop_file
from minibayes.active import scores
from minibayes.truth import exact

RNG = np.random.default_rng(0)


def softmax(f):
    return bayes.Categorical().expected(f)


P = softmax(2 * RNG.standard_normal((8, 12, 3)))


def test_bald_of_every_mask_is_the_mutual_information():
    """keep = 1/2: all 2^5 masks are as likely, so as passes they are all of q; and the net's own summaries agree."""
    net = nn.Network(a=nn.Dense(2, 3, noise=nn.Bernoulli(0.5)), r=nn.ReLU(), b=nn.Dense(3, 3, noise=nn.Bernoulli(0.5)))
    params, x = net.init(3, np.float64), RNG.standard_normal((7, 2))
    truth = exact.predict(net, params, bayes.Categorical(), x)
    p = softmax(np.moveaxis(truth.f, 1, 0) if truth.f.shape[0] == 7 else truth.f)
    assert p.shape == (32, 7, 3)
    made = mb.BayesianNetwork(net, params=params).predict(x, samples=64, keep_samples=True)
    sampled = softmax(made.samples)
    np.testing.assert_allclose(active.bald(sampled, correct=False), made.mutual_information, atol=1e-12)
    np.testing.assert_allclose(active.entropy(sampled), made.entropy)
    np.testing.assert_allclose(active.variation_ratio(sampled), made.variation_ratio)
    np.testing.assert_allclose(active.mean_std(sampled), made.std.mean(axis=1))
    mean = p.mean(axis=0)
    wanted = (p * np.log(p / mean)).sum(axis=-1).mean(axis=0)  # E KL(p || pbar)
    np.testing.assert_allclose(active.bald(p, correct=False), wanted, atol=1e-14)


def test_the_jack_knife_takes_most_of_the_bias():
    """Every draw of T = 4 passes out of 5 that are all of q, 5^4 of them: the mean of each estimate, exactly."""
    q = softmax(1.5 * np.random.default_rng(2).standard_normal((5, 6, 3)))
    truth = active.bald(q, correct=False)
    draws = [q[list(which)] for which in itertools.product(range(5), repeat=4)]
    plain = np.mean([active.bald(p, correct=False) for p in draws], axis=0) - truth
    mended = np.mean([active.bald(p) for p in draws], axis=0) - truth
    assert (plain < 0).all() and (np.abs(mended) < 0.35 * np.abs(plain)).all()
    # To first order the bias is -(1/2T) sum_c Var(p_c)/pbar_c.
    first = -(q.var(axis=0) / q.mean(axis=0)).sum(axis=-1) / 8
    np.testing.assert_allclose(plain, first, rtol=0.5)


def test_the_standard_error_of_bald():
    """Against the scatter of 600 independent predictions, 4 standard errors of that and the jack-knife's own bias."""
    rng = np.random.default_rng(3)
    many = softmax(1.0 + rng.standard_normal((40, 600, 3)))
    scatter, said = active.bald(many).std(ddof=1), np.sqrt((active.bald_error(many) ** 2).mean())
    assert abs(said / scatter - 1) < 4 / np.sqrt(2 * 600) + 0.05
    assert np.isnan(active.bald_error(many[:1])).all() and (active.bald(many[:1]) == 0).all()


def joint_information(p, ids):
    """I(y_ids; omega), every outcome written out."""
    C, total = p.shape[2], 0.0
    for y in itertools.product(range(C), repeat=len(ids)):
        each = np.prod([p[:, i, c] for i, c in zip(ids, y, strict=True)], axis=0)
        total += (each * np.log(each / each.mean())).mean()
    return total


def test_batch_bald_is_greedy_and_exact():
    ids, values = active.batch_bald(P, 4)
    taken = []
    for j in range(4):
        information = {i: joint_information(P, [*taken, i]) for i in range(12) if i not in taken}
        assert ids[j] == max(information, key=information.get)
        taken.append(ids[j])
        assert values[j] == pytest.approx(information[ids[j]], abs=1e-12)
    one = active.bald(P, correct=False)
    assert ids[0] == one.argmax() and values[0] == pytest.approx(one.max())


def test_a_copy_teaches_little_more():
    """Of two copies of the best input BALD takes both; BatchBALD takes the second only when little else is left."""
    best = active.bald(P, correct=False).argmax()
    p = np.concatenate([P, P[:, best:best + 1]], axis=1)
    assert set(active.select("bald", p, 2)) == {best, 12}
    assert not {best, 12} <= set(active.select("bald", p, 2, how="batch"))


def test_drawn_outcomes_give_the_same_information(monkeypatch):
    """20,000 outcomes drawn from the second input on; four standard errors of the entropy, from the 64 x 9 outcomes there are."""
    ids, exactly = active.batch_bald(P, 3)
    monkeypatch.setattr(scores, "MOST_JOINT", 1)
    monkeypatch.setattr(scores, "DRAWN", 20_000)
    monkeypatch.setattr(scores, "BLOCK", 3 * 20_000 * 5)  # five inputs at a time
    again, values = active.batch_bald(P, 3, seed=1)
    assert (again == ids).all() and values[0] == exactly[0]
    outcomes = [np.prod([P[:, i, c] for i, c in zip(ids, y, strict=True)], axis=0).mean() for y in itertools.product(range(3), repeat=3)]
    sd = np.sqrt(np.average((np.log(outcomes) - np.average(np.log(outcomes), weights=outcomes)) ** 2, weights=outcomes))
    assert np.abs(values - exactly).max() < 4 * sd / np.sqrt(20_000)


@pytest.mark.parametrize("most_joint", [1000, 1], ids=["summed", "drawn"])
def test_what_cannot_win_is_left_out(most_joint, monkeypatch):
    """Of 2,000 inputs, most of them sure, the batch that looking at each one each time gives, while less than half is looked at.

    Where outcomes are drawn it may be another that is as good: its information, summed, within four standard errors of the draws.
    """
    monkeypatch.setattr(scores, "MOST_JOINT", most_joint)
    rng = np.random.default_rng(4)
    p = softmax(rng.gamma(0.2, 3.0, (2000, 1)) * rng.standard_normal((10, 2000, 3)))
    seen, joint_entropy = [], scores.joint_entropy
    monkeypatch.setattr(scores, "joint_entropy", lambda joint, p, summed: seen.append(p.shape[1]) or joint_entropy(joint, p, summed))
    ids, values = active.batch_bald(p, 6, seed=3)
    assert sum(seen) < 6 * 2000 / 2
    monkeypatch.setattr(scores, "promising", lambda gain, ids: [np.arange(2000)])
    all_ids, all_values = active.batch_bald(p, 6, seed=3)
    if most_joint > 1:
        assert (ids == all_ids).all() and np.allclose(values, all_values, rtol=1e-12)
    outcomes = np.array([np.prod([p[:, i, c] for i, c in zip(all_ids, y, strict=True)], axis=0).mean()
                         for y in itertools.product(range(3), repeat=6)])
    sd = np.sqrt(np.average((np.log(outcomes) - np.average(np.log(outcomes), weights=outcomes)) ** 2, weights=outcomes))
    assert joint_information(p, ids) > joint_information(p, all_ids) - 4 * sd / np.sqrt(scores.DRAWN)


def test_the_pool_is_scored_with_one_omega_a_pass():
    """So a copy of an input has its probabilities in each pass, in whichever piece it lies."""
    model = mb.BayesianNetwork(models.mlp([3, 8, 2]))
    model.fit(X, Y, epochs=3)
    p = loop_file.passes(model, np.concatenate([X, X]), 20, 1, size=50)
    assert p.shape == (20, 120, 2) and (p[:, :60] == p[:, 60:]).all()


def test_at_random_no_pass_is_taken(monkeypatch):
    monkeypatch.setattr(loop_file, "passes", lambda *args: pytest.fail("the pool was scored"))
    made = list(loop(how="random"))
    assert len({i for r in made for i in r.chosen}) == 36


def test_select():
    for name, function in active.SCORES.items():
        assert (active.select(name, P, 3) == np.argsort(-function(P), kind="stable")[:3]).all()
    assert (active.select(lambda p: np.arange(12.0), P, 2) == [11, 10]).all()
    for how in ("power", "random"):
        first = active.select("bald", P, 5, how=how, seed=1)
        assert len(set(first)) == 5 and (first == active.select("bald", P, 5, how=how, seed=1)).all()
        assert (first != active.select("bald", P, 5, how=how, seed=2)).any()
    # Power sampling takes input i first with probability score_i/sum: 4 standard errors over 4,000 seeds.
    score = np.maximum(active.bald(P), 1e-300)
    first = np.bincount([active.select("bald", P, 1, how="power", seed=s)[0] for s in range(1500)], minlength=12) / 1500
    share = score / score.sum()
    assert (np.abs(first - share) < 4 * np.sqrt(share * (1 - share) / 1500) + 1e-9).all()


X = RNG.standard_normal((60, 3)).astype("f4")
Y = (X[:, 0] > 0).astype(int)
LOOP = {"pool": (X[:40], Y[:40]), "test": (X[40:], Y[40:]), "start": [0, 1, 2, 3], "b": 5, "epochs": 3, "how": "power"}


def loop(**options):
    return active.rounds(mb.BayesianNetwork(models.mlp([3, 8, 2])), **LOOP | options)


def test_the_loop_labels_all_of_the_pool_once():
    made = list(loop())
    assert [len(r.labelled) for r in made] == [4, 9, 14, 19, 24, 29, 34, 39, 40] and made[-1].chosen == []
    for before, after in itertools.pairwise(made):
        assert after.labelled == before.labelled + before.chosen and len(set(after.labelled)) == len(after.labelled)
    assert all(0 <= r.error <= 1 and r.nll > 0 for r in made)


def test_a_round_may_depend_on_how_many_there_are(tmp_path):
    def more_later(labelled):
        return 5 if labelled < 14 else 20

    made = list(loop(b=more_later, record=tmp_path / "rounds.json"))
    assert [len(r.labelled) for r in made] == [4, 9, 14, 34, 40] and made[:2] == list(itertools.islice(loop(), 2))
    assert list(loop(b=more_later, record=tmp_path / "rounds.json")) == made
    with pytest.raises(mb.InputError, match="b must be >= 1, got 0"):
        next(loop(b=lambda labelled: 0))


@pytest.mark.parametrize("stop", [1, 3])
def test_a_loop_resumes_bit_for_bit(stop, tmp_path, monkeypatch):
    whole, record = list(loop()), tmp_path / "rounds.json"
    assert list(itertools.islice(loop(record=record), stop)) == whole[:stop]
    fits, fit = [], mb.BayesianNetwork.fit
    monkeypatch.setattr(mb.BayesianNetwork, "fit", lambda self, *args, **options: fits.append(1) or fit(self, *args, **options))
    assert list(loop(record=record)) == whole and len(fits) == len(whole) - stop
    with pytest.raises(mb.InputError, match="is of rounds with another b: 5 there, 6 here"):
        next(loop(record=record, b=6))
    for what, changed in (("fit", {"epochs": 4}), ("data", {"pool": (X[:40] + 1, Y[:40])})):
        with pytest.raises(mb.InputError, match=f"is of rounds with another {what}: "):
            next(loop(record=record, **changed))
    assert next(loop(record=record, threads=1)) == whole[0]
    record.write_text(json.dumps({"rounds": 3}))
    with pytest.raises(mb.InputError, match="is no record of rounds"):
        next(loop(record=record))


@pytest.mark.parametrize("work, says", [
    (lambda: active.bald(P[0]), r"probabilities must have shape \(T, N, C\)"),
    (lambda: active.bald(2 * P), "add up to 1"),
    (lambda: active.bald(P * np.nan), "probabilities must be finite"),
    (lambda: active.select("best", P, 2), "score must be one of 'entropy', 'bald'"),
    (lambda: active.select("bald", P, 2, how="all"), "how must be one of"),
    (lambda: active.select("bald", P, 13), r"b must be in \[1, 12\], got 13"),
    (lambda: active.select(lambda p: 1.0, P, 2), r"score must give \(12,\)"),
    (lambda: next(loop(start=[1, 1])), "start must be different ids of the pool's 40 inputs"),
    (lambda: next(loop(start=[40])), "start must be different ids"),
    (lambda: next(loop(b=0)), "b must be >= 1"),
])
def test_one_clear_error(work, says):
    with pytest.raises(mb.InputError, match=says):
        work()
