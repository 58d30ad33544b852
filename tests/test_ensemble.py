"""Ensembles: means of means, the law of total variance, one density; members differ, and predictions reproduce."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, models, nn
from minibayes.ensemble import member_seed
from minibayes.model import load as load_model

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
Y = np.sin(2 * X[:, 0])
KIND = (Y > 0).astype(int)
OPTIONS = {"epochs": 5, "dtype": np.float64, "optimizer": nn.Adam(0.02)}
CASES = {"number": (1, bayes.Gaussian(10.0), Y), "two heads": (2, bayes.Heteroscedastic(), Y), "class": (2, bayes.Categorical(), KIND)}


def model(name, noise=nn.Bernoulli(0.8)):  # noqa: B008  (a frozen record)
    return mb.BayesianNetwork(models.mlp([3, 10, CASES[name][0]], noise=noise), likelihood=CASES[name][1])


def bits(params):
    return b"".join(a.tobytes() for group in params.values() for a in group.values())


@pytest.mark.parametrize("name", CASES)
def test_one_member_predicts_as_it_does(name):
    one, y = model(name), CASES[name][2]
    ensemble = mb.Ensemble([one.fit(X, y, **OPTIONS) and one])
    mine, its = ensemble.predict(X, samples=20, seed=4), one.predict(X, samples=20, seed=member_seed(4, 0))
    for field in ("mean", "entropy", "mutual_information") if name == "class" else ("mean", "epistemic", "aleatoric", "variance"):
        np.testing.assert_allclose(getattr(mine, field), getattr(its, field), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(mine.log_likelihood(y), its.log_likelihood(y), rtol=1e-10)
    assert np.isnan(mine.std_error).all()


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.8), nn.Delta()], ids=repr)
@pytest.mark.parametrize("name", CASES)
def test_members_are_averaged(name, noise):
    ensemble, y = mb.Ensemble.of(model(name, noise), 3).fit(X, CASES[name][2], **OPTIONS), CASES[name][2]
    assert len({bits(m.params) for m in ensemble.members}) == 3
    made = ensemble.predict(X, samples=20)
    parts = [m.predict(X, samples=20, seed=member_seed(0, i), rule="mc" if m.net.noisy else "weight-averaging")
             for i, m in enumerate(ensemble.members)]
    means = np.stack([p.mean for p in parts])
    np.testing.assert_allclose(made.mean, means.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(made.std_error, means.std(axis=0, ddof=1) / np.sqrt(3))
    log_p = np.stack([p.log_likelihood(y) for p in parts])
    np.testing.assert_allclose(made.log_likelihood(y), np.logaddexp.reduce(log_p) - np.log(3), rtol=1e-10)
    if name == "class":
        np.testing.assert_allclose(made.expected_entropy, np.mean([p.expected_entropy for p in parts], axis=0))
        assert (made.mutual_information > 0).all()
    else:
        np.testing.assert_allclose(made.epistemic, np.mean([p.epistemic for p in parts], axis=0) + means.var(axis=0))
        lower, upper = made.interval(0.9)
        assert (lower < made.mean).all() and (made.mean < upper).all()


def test_it_reproduces_and_one_can_mix():
    first, again = (mb.Ensemble.of(model("number"), 2).fit(X, Y, seed=7, **OPTIONS) for _ in range(2))
    assert [bits(m.params) for m in first.members] == [bits(m.params) for m in again.members]
    alone = model("number", nn.Delta())
    alone.fit(X, Y, **OPTIONS)
    mixed = mb.Ensemble([first.members[0], alone]).predict(X, samples=8)  # each counts alike, by 8 passes and by one
    wanted = [first.members[0].predict(X, samples=8, seed=member_seed(0, 0)).mean, alone.predict(X, rule="weight-averaging").mean]
    np.testing.assert_allclose(mixed.mean, np.mean(wanted, axis=0), rtol=1e-12)
    assert np.isfinite(mixed.log_likelihood(Y)).all() and (mixed.interval()[0] < mixed.interval()[1]).all()


def test_one_clear_error():
    for work, says in [
            (lambda: mb.Ensemble([]), "members must be BayesianNetworks, at least one"),
            (lambda: mb.Ensemble([3]), r"members must be BayesianNetworks, at least one, got \[3\]"),
            (lambda: mb.Ensemble([model("number"), model("class")]), "members must have one likelihood"),
            (lambda: mb.Ensemble.of(model("number"), 0), "members must be >= 1, got 0"),
            (lambda: mb.Ensemble.of(model("number")).fit(X, Y, checkpoint="a.npz"), "checkpoint is for one model"),
            (lambda: mb.Ensemble.of(model("number")).fit(X, Y, seed=-1), "seed must be"),
            (lambda: mb.Ensemble.of(model("number")).predict(X), "model has no parameters yet")]:
        with pytest.raises(mb.InputError, match=says):
            work()


@pytest.mark.parametrize("name", CASES)
def test_one_file_holds_all_members(name, tmp_path):
    ensemble = mb.Ensemble.of(model(name), 3).fit(X, CASES[name][2], **OPTIONS)
    ensemble.save(tmp_path / "all.npz")
    for load in (mb.load, mb.Ensemble.load):
        again = load(tmp_path / "all.npz")
        assert type(again) is mb.Ensemble and [bits(m.params) for m in again.members] == [bits(m.params) for m in ensemble.members]
        np.testing.assert_array_equal(again.predict(X, samples=5).mean, ensemble.predict(X, samples=5).mean)


def test_members_of_several_kinds_in_one_file(tmp_path):
    members = [model("number"), mb.BayesianNetwork(models.mlp([3, 4, 1]), bayes.Prior(2.0), bayes.Gaussian(10.0))]
    for one, dtype in zip(members, (np.float32, np.float64), strict=True):
        one.fit(X, Y, steps=2, dtype=dtype)
    mb.Ensemble(members).save(tmp_path / "all.npz")
    again = mb.load(tmp_path / "all.npz").members
    assert [m.dtype for m in again] == [np.float32, np.float64] and again[1].prior == members[1].prior


def test_what_is_no_file_of_an_ensemble(tmp_path):
    path = tmp_path / "all.npz"
    with pytest.raises(mb.InputError, match="no parameters yet"):
        mb.Ensemble.of(model("number"), 2).save(path)
    assert not path.exists()
    one = model("number")
    one.fit(X, Y, steps=1)
    one.save(path)
    with pytest.raises(mb.InputError, match="its kind is 'model'"):
        mb.Ensemble.load(path)
    mb.Ensemble([one, one]).save(path)
    with pytest.raises(mb.InputError, match="its kind is 'ensemble'"):
        load_model(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(mb.InputError, match="all.npz"):
            mb.load(path)
    path.write_bytes(whole.replace(b"1/params/", b"2/params/"))
    with pytest.raises(mb.InputError, match="missing"):
        mb.load(path)
