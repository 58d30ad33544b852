"""The studies vae and pooling: they run to the end, say what they found, and give the same numbers on other threads."""

import json

import matplotlib.image
import numpy as np
import pytest

from minibayes import bayes, checks, data
from minibayes.__main__ import main
from minibayes.claims import posterior_groups
from minibayes.studies import commands, pooling
from minibayes.studies.vae import measure
from minibayes.truth import groups

FEW = ["vae", "--quick", "--images", "200", "--epochs", "1", "--samples", "2", "--count", "40", "--chains", "2", "--links", "4"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    assert main([*FEW, "--threads", "1", "--out", str(folder)]) == 0
    return folder, json.loads((folder / "vae.json").read_text())


def timeless(result):
    return {name: {key: value for key, value in row.items() if key != "history"} for name, row in result["models"].items()}


def test_vae_has_a_table_and_a_figure(found, capsys):
    folder, result = found
    out = commands()["vae"].table(result)
    assert max(map(len, out.splitlines())) <= 170 and "nan" not in out.lower() and "-110.59" in out
    assert set(result["models"]) == set(measure.MODELS) and set(result["groups"]) == {"digits", "upside down", "clothes", "noise"}
    assert all(row["importance"] >= row["elbo"] for row in result["models"].values())
    assert result["groups"]["digits"]["auroc"] == {} and 0 <= result["groups"]["noise"]["auroc"]["bound"] <= 1
    picture = matplotlib.image.imread(folder / "vae.png")
    assert min(picture.shape[:2]) > 1000 and picture[..., :3].std() > 0.05


def test_vae_does_not_depend_on_threads(found):
    _, result = found
    settings = {name: value for name, value in result["settings"].items()}
    again, _ = measure.study(settings, threads=2)
    assert timeless(again) == timeless(result) and again["groups"] == result["groups"] and again["completed"] == result["completed"]


def test_grey_is_the_published_loss_and_passes_for_a_density_only_at_0_and_1():
    verdict = str(checks.likelihood(measure.Grey(), 1))
    assert "normalised" in verdict and not checks.likelihood(measure.Grey(), 1).passed
    f, y = np.array([[0.3, -2.0]]), np.array([[1, 0]])
    assert measure.Grey().nll(f, y.astype(np.float32))[0] == bayes.Bernoulli().nll(f, y)[0]


# --------------------------------------------------------------------------------------------------- pooling

def test_pooling_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(pooling.Pooling.full, "epochs", 10)
    assert main(["pooling", "--seeds", "1", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "pooling.json").read_text())
    assert max(map(len, out.splitlines())) <= 170 and "nan" not in out.lower() and result["towns"] == 78
    rows = [sum(b["rows"] for b in run["bins"]) for run in result["runs"]]
    assert rows == [101] * 3 and [run["pooling"] for run in result["runs"]] == list(pooling.POOLING)
    assert min(matplotlib.image.imread(tmp_path / "pooling.png").shape[:2]) > 500
    again, _ = pooling.Pooling().run(result["settings"])
    assert again == {name: result[name] for name in again}


def test_towns_are_in_no_column():
    x, y, town = pooling.table()
    assert x.shape == (506, 8) and len(y) == len(town) == 506 and len(set(town.tolist())) == 78
    boston = data.boston()
    inside = [boston.x[town == 3][:, list(boston.names).index(name)] for name in pooling.OF_TOWN]
    assert all(np.ptp(column) == 0 for column in inside)


@pytest.mark.parametrize("s", [None, 0.0, 2.0])
def test_the_hierarchical_density_has_its_gradient(s):
    from minibayes import nn

    x, y, which = posterior_groups.data()
    net = nn.Network(a=nn.Dense(2, 3), t=nn.Tanh(), b=nn.Dense(3, 1, noise=nn.Bernoulli(0.5)))
    target = groups.Grouped(net, bayes.Prior(1.3), x, y, which, 5, s=s)
    q = target.start(1)
    check = checks.gradient_check(lambda p: target(p["q"])[0], {"q": q}, {"q": target(q)[1]}, rng=0, directions=8)
    assert check.passed, check


def test_sums_over_the_scales_by_the_matrix_itself():
    """The mixture's mean and variance at one row, by N(0, C) without any shortcut, on the same grid."""
    x, y, which = posterior_groups.data()
    phi = np.column_stack([x, np.ones(len(x))])
    model = groups.Linear(phi, y, which, 5, l=1.3)
    p, mean, variance = model.predict(phi[:2] + 0.1, np.array([3, 4]))
    for i in (0, len(p) // 2, len(p) - 1):
        sigma, s = model.points[i]
        at = np.array([3, 4])
        C = phi @ phi.T / 1.3**2 + s**2 * (which[:, None] == which) + sigma**2 * np.eye(len(y))
        k = (phi[:2] + 0.1) @ phi.T / 1.3**2 + s**2 * (at[:, None] == which)
        own = ((phi[:2] + 0.1) ** 2).sum(axis=1) / 1.3**2 + s**2 + sigma**2
        np.testing.assert_allclose(mean[i], k @ np.linalg.solve(C, y), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(variance[i], own - (k * np.linalg.solve(C, k.T).T).sum(axis=1), rtol=1e-8)
    assert p.sum() == pytest.approx(1) and (p[[0, -1]] < 1e-3 * p.max()).all()


def test_the_grid_has_converged():
    x, y, which = posterior_groups.data()
    phi = np.column_stack([x, np.ones(len(x))])
    fine = type("Fine", (groups.Linear,), {"GRID": 41, "ROUNDS": 6, "REACH": 7.0})(phi, y, which, 5)
    usual = groups.Linear(phi, y, which, 5)
    np.testing.assert_allclose(usual.offsets(), fine.offsets(), atol=2e-3)
    assert usual.log_s == pytest.approx(fine.log_s, abs=0.02) and usual.log_sigma == pytest.approx(fine.log_sigma, abs=5e-3)


def test_pooling_is_between_none_and_complete():
    """A town of two rows keeps less of its own mean than one of eleven; none keeps nearly all, complete nothing."""
    x, y, which = posterior_groups.data()
    phi = np.zeros((len(y), 1))
    none, partial, complete = (groups.Linear(phi, y, which, 5, s=s).offsets() for s in (100.0, None, 0.0))
    means = np.array([y[which == g].mean() for g in range(4)])
    kept = partial[:4] / means
    assert np.allclose(none[:4], means, rtol=1e-3) and (complete == 0).all() and partial[4] == pytest.approx(0)
    assert kept[3] < kept[0] < 1


def test_the_claim_fails_for_offsets_that_are_too_large(monkeypatch):
    true = groups.Grouped.offsets
    monkeypatch.setattr(posterior_groups, "DRAWS", 400)
    monkeypatch.setattr(groups.Grouped, "offsets", lambda self, draws: 1.3 * true(self, draws))
    assert [finding.passed for finding in posterior_groups.hierarchical()] == [False]


@pytest.mark.parametrize("argv, said", [
    (["vae", "--chains", "1"], "--chains must be in [2, 10000], got 1"), (["vae", "--epochs", "0"], "--epochs must be"),
    (["vae", "--count", "3"], "--count must be"), (["pooling", "--seeds", "0"], "--seeds must be"), (["pooling", "--sed", "1"], "--sed")])
def test_a_typo_is_one_line(argv, said, capsys, monkeypatch):
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("work began"))
    try:
        status = main(argv)
    except SystemExit as stopped:
        status = stopped.code
    out, err = capsys.readouterr()
    assert status == 2 and said in err and err.count("\n") == 1 and not out


@pytest.mark.parametrize("change, said", [
    ({"groups": np.zeros(3, int)}, "groups must be whole numbers of shape"), ({"groups": np.full(24, 5)}, "groups must be in 0..4"),
    ({"count": 0}, "count must be"), ({"s": -1.0}, "s must be")])
def test_groups_are_checked(change, said):
    from minibayes import InputError, nn

    x, y, which = posterior_groups.data()
    given = {"x": x, "y": y, "groups": which, "count": 5} | change
    with pytest.raises(InputError, match=said):
        groups.Grouped(nn.Network(a=nn.Dense(2, 1)), bayes.Prior(1.0), **given)
