"""The regression study: bands and scores by hand, the paper's CO2 window and solver, what is shown."""

import json
import math
import re

import matplotlib.colors
import numpy as np
import pytest

import minibayes as mb
from minibayes import __main__, bayes, data, models, nn, plots
from minibayes.studies.frame import COMMANDS
from minibayes.studies.regression import band, co2, command, report, toy

TINY = {"width": 8, "steps": 30, "samples": 12, "toy_steps": 60}


def run(*argv):
    """The exit status of the command line, in this process."""
    try:
        return __main__.main(list(argv))
    except SystemExit as error:
        return error.code


# ----------------------------------------------------------------------------------------- bands and scores

def test_precision_by_hand():
    """Passes (1, 2) and (3, 2) at the targets (1, 4): squares 0, 4 and 4, 4, mean 3.

    The mean pass (2, 2) alone would give 2.5.
    """
    assert band.precision(np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([1.0, 4.0])) == pytest.approx(1 / 3)


def test_precision_is_the_best():
    """The expected log-likelihood is lower on either side of it."""
    f, y = np.random.default_rng(0).normal(size=(30, 7)), np.arange(7.0)
    tau = band.precision(f, y)
    best, less, more = ((np.log(t) / 2 - t / 2 * (y - f) ** 2).mean() for t in (tau, 0.9 * tau, 1.1 * tau))
    assert best > less and best > more


def test_band_by_hand():
    """f_t = 0 and 2 with tau = 1/4: mean 1, epistemic 1, std sqrt(1 + 4).

    At y = 2, p = (N(2; 0, 4) + N(2; 2, 4))/2.
    """
    made = band.gaussian_band(np.array([[0.0], [2.0]]), 0.25, np.array([2.0]))
    assert (made.mean, made.epistemic, made.std) == (1, 1, pytest.approx(math.sqrt(5)))
    assert made.log_likelihood == pytest.approx(math.log((math.exp(-0.5) + 1) / 2 / math.sqrt(8 * math.pi)))
    one = band.gaussian_band(np.array([[0.0]]), 0.25, np.array([2.0]))
    assert (one.std, one.epistemic) == (2, 0)
    assert one.log_likelihood == pytest.approx(-0.5 - math.log(8 * math.pi) / 2)


def test_band_is_what_predict_says():
    """The same passes through the public prediction with that tau: equal moments and log-likelihood."""
    net = models.mlp([1, 16, 1], noise=nn.Bernoulli(0.8))
    model = mb.BayesianNetwork(net, likelihood=bayes.Gaussian(3.0), params=net.init(0, np.float64))
    x, y = np.linspace(-2, 2, 9), np.linspace(0, 1, 9)
    made = band.gaussian_band(toy.passes(model, x, 40, seed=5, threads=1), 3.0, y)
    said = model.predict(x[:, None], samples=40, seed=5, shared=True)
    np.testing.assert_allclose(made.mean, said.mean[:, 0])
    np.testing.assert_allclose(made.std**2, said.variance[:, 0])
    np.testing.assert_allclose(made.epistemic**2, said.epistemic[:, 0])
    np.testing.assert_allclose(made.log_likelihood, said.log_likelihood(y))


def test_score_by_hand():
    """Errors 0.5, 1.5, 3 of stds 1, 1, 2 are 0.5, 1.5, 1.5 std: one of three within 1, all within 2.

    The fourth is not asked for.
    """
    made = band.Band(np.zeros(4), np.array([1.0, 1, 2, 1]), np.array([0.5, 0.5, 1, 9]),
                     np.array([-1.0, -2, -6, 100]))
    found = band.score(made, np.array([0.5, -1.5, 3, 70]), np.array([True, True, True, False]))
    assert found == {"count": 3, "rmse": pytest.approx(math.sqrt((0.25 + 2.25 + 9) / 3)),
                     "log_likelihood": pytest.approx(-3.0),
                     "coverage_1": pytest.approx(1 / 3), "coverage_2": 1.0,
                     "std": pytest.approx(math.sqrt(2)),
                     "epistemic": pytest.approx(math.sqrt(0.5))}


# ------------------------------------------------------------------------------------------------------ CO2

@pytest.fixture(scope="module")
def record():
    return co2.series()


def test_the_window_is_the_papers(record):
    """272 months to 1981-03 with std 2.1354 ppm about their line.

    Nothing after them has a part in the normalisation.
    """
    assert str(data.co2().dates[co2.MONTHS - 1]) == "1981-03" and round(record.scale, 4) == 2.1354
    seen, i = slice(0, co2.MONTHS), np.arange(741)
    assert record.y[seen].mean() == pytest.approx(0, abs=1e-9) and record.y[seen].std() == pytest.approx(1)
    assert record.y[seen] @ i[seen] == pytest.approx(0, abs=1e-6), "what is left has no slope in the index"
    np.testing.assert_allclose(record.x, (i - 135.5) / math.sqrt((272**2 - 1) / 12))
    np.testing.assert_allclose(record.line + record.scale * record.y, record.ppm)
    np.testing.assert_allclose(np.diff(record.line), record.line[1] - record.line[0])


def test_horizons_divide_the_later_months(record):
    rows = {row["horizon"]: row for row in co2.scores(record, co2.straight_line(record))}
    parts = [row for name, row in rows.items() if name not in ("window", "all later")]
    assert [row["count"] for row in parts] == [12, 48, 60, 120, 229]
    assert rows["all later"]["count"] == 741 - 272
    assert rows["window"]["count"] == 272 and rows["window"]["rmse"] == pytest.approx(2.1354, abs=1e-4)
    assert sum(row["count"] * row["rmse"] ** 2
               for row in parts) == pytest.approx(469 * rows["all later"]["rmse"] ** 2)
    assert sum(row["count"] * row["log_likelihood"]
               for row in parts) == pytest.approx(469 * rows["all later"]["log_likelihood"])


def test_the_straight_line_by_hand(record):
    """Its log-likelihood is that of N(line, 2.1354^2).

    At the window, -1/2 - log(2.1354 sqrt(2 pi)) on average.
    """
    window = co2.scores(record, co2.straight_line(record))[0]
    assert window["log_likelihood"] == pytest.approx(-0.5 - math.log(record.scale * math.sqrt(2 * math.pi)))
    assert window["std"] == pytest.approx(record.scale) and window["epistemic"] == 0


@pytest.mark.parametrize("width", [1024, 256])
def test_the_solver_is_caffes(width):
    """Two steps on M are two steps of Caffe on Theta = keep M.

    It has masks z/keep, 1/2 (y - f)^2, decay 1e-6, momentum .9, rate .01 "inv".
    """
    keep, net = 0.9, models.mlp([1, 6, 1], noise=nn.Bernoulli(0.9), init_scheme="lecun")
    optimizer, prior = co2.solver(net, 0.01, width)
    params = net.init(3, np.float64)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 1)), rng.normal(size=(5, 1))
    objective = bayes.Objective(net, prior, bayes.Gaussian(1.0), co2.MONTHS)

    A, b, C, c = params["fc1"]["M"], params["fc1"]["b"], keep * params["fc2"]["M"], params["fc2"]["b"]
    velocity, state = [0, 0, 0, 0], optimizer.init(params)
    for step in range(2):
        z = (rng.random((5, 6)) < 0.5).astype(float)
        _, grads = objective.value_and_grad(params, x, y, {"fc2": z})
        params, state = optimizer.update(params, grads, state)

        a = x @ A.T + b
        h = np.maximum(a, 0) * z / keep
        r = (h @ C.T + c - y) / 5
        d = (r @ C) * z / keep * (a > 0)
        decay = [1e-6, 1e-6, 1e-6, keep * 1e-6]  # the one difference: the last bias
        rate = 0.01 * (1 + 1e-4 * step) ** -0.25 * 1024 / width
        velocity = [0.9 * v + rate * (g + wd * t) for v, g, wd, t in zip(
            velocity, (d.T @ x, d.sum(0), r.T @ h, r.sum(0)), decay, (A, b, C, c), strict=True)]
        A, b, C, c = (t - v for t, v in zip((A, b, C, c), velocity, strict=True))
    for mine, caffes in ((params["fc1"]["M"], A), (params["fc1"]["b"], b), (keep * params["fc2"]["M"], C),
                         (params["fc2"]["b"], c)):
        np.testing.assert_allclose(mine, caffes, rtol=1e-12)


def test_the_networks_are_the_papers(record, monkeypatch):
    """Four hidden layers with dropout before every layer but the first.

    ReLU at .1 with rate .01, tanh at .1 and .2 with half of it.
    """
    seen = []
    monkeypatch.setattr(co2.BayesianNetwork,
                        "fit", lambda model, *args, **kwargs: seen.append((model.net, kwargs["optimizer"]))
                        or 1 / 0)
    for name, activation, keep, rate in zip(co2.NETS, (nn.ReLU, nn.Tanh, nn.Tanh), (0.9, 0.9, 0.8),
                                            (0.01, 0.005, 0.005), strict=True):
        with pytest.raises(ZeroDivisionError):
            co2.functions(record, name, width=1024, steps=1, samples=2, seed=0)
        net, optimizer = seen.pop()
        dense = [layer for layer in net.layers.values() if isinstance(layer, nn.Dense)]
        assert [layer.n_out for layer in dense] == [1024] * 4 + [1] and optimizer.rate == rate
        assert [layer.noise for layer in dense] == [nn.Delta()] + [nn.Bernoulli(keep)] * 4
        assert sum(isinstance(layer, activation) for layer in net.layers.values()) == 4


@pytest.fixture(scope="module")
def drawn(record):
    return {name: co2.functions(record, name, width=16, steps=200, samples=60, seed=1) for name in co2.NETS}


def test_functions_are_functions(record, drawn):
    """Each pass is one function: months that lie close have close values in a pass, though passes differ."""
    for f in drawn.values():
        assert f["mc"].shape == (60, 741) and f["weight-averaging"].shape == (1, 741)
        residual = f["mc"] - record.line
        steps = np.abs(np.diff(residual, axis=1)).mean()
        assert steps < residual.std(axis=0).mean() / 5, "one draw for all months, not one for each"


def test_functions_are_in_ppm(record):
    """The network sees only x and y: a scale twice as large doubles what it adds to the line."""
    small = {"name": "tanh, drop 0.1", "width": 4, "steps": 3, "samples": 5, "seed": 1}
    once, twice = (co2.functions(r, **small) for r in (record, record._replace(scale=2 * record.scale)))
    for rule in once:
        np.testing.assert_allclose(twice[rule] - record.line, 2 * (once[rule] - record.line), atol=1e-9)
        assert np.abs(once[rule] - record.line).max() > 0.1


def test_far_from_the_data(drawn):
    """What a pass adds to the line goes on growing in a ReLU net, and levels off in a tanh net.

    So does the std over passes.
    """
    growth = {name: f["mc"][:, 740].std() / f["mc"][:, 500].std() for name, f in drawn.items()}
    relu, *tanh = growth.values()
    assert relu > 1.3 > max(tanh), "x grows by 1.66 from month 500 to month 740"


def test_both_rules_have_the_same_noise(record, drawn):
    """All of weight averaging's std is the noise's; the passes add to it.

    In ppm, and at least what the season leaves over.
    """
    bands, noise = co2.bands(record, drawn["tanh, drop 0.2"])
    np.testing.assert_allclose(bands["weight-averaging"].std, noise)
    np.testing.assert_allclose(bands["mc"].std ** 2, noise**2 + drawn["tanh, drop 0.2"]["mc"].var(axis=0))
    seen = slice(0, co2.MONTHS)
    squares = (record.ppm - bands["mc"].mean)[seen] ** 2 + bands["mc"].epistemic[seen] ** 2
    assert noise**2 == pytest.approx(squares.mean())


# ----------------------------------------------------------------------------------------------------- toys

def test_toy_truths():
    np.testing.assert_allclose(toy.truth(np.array([0, np.pi / 2, np.pi, -np.pi / 2])),
                               [0, np.pi / 2, 0, np.pi / 2], atol=1e-12)
    assert [toy.noise_std(x) for x in (-5, 0, 5)] == pytest.approx([0.2, 1.2, 2.2])


@pytest.fixture(scope="module")
def noisy():
    return toy.growing_noise(100, 1500, seed=0)


def test_sine():
    """20 points from -5 to 5, no noise in them; the grid goes on to 10, half of it inside.

    Two rules, the same noise level.
    """
    shown, result = toy.sine(50, 1500, seed=0)
    assert len(shown.x) == 20 and (shown.x[0], shown.x[-1]) == (-5, 5)
    assert (shown.grid[0], shown.grid[-1]) == (-10, 10)
    np.testing.assert_array_equal(shown.y, shown.x * np.sin(shown.x))
    assert shown.draws.shape == (toy.DRAWS, 401)
    rows = {(row["rule"], row["region"]): row for row in result["scores"]}
    counts = {region: row["count"] for (_, region), row in rows.items()}
    assert counts == {"between the points": 201, "beyond them": 200}
    for region in ("between the points", "beyond them"):
        mc, average = rows["mc", region], rows["weight-averaging", region]
        assert average["std"] == pytest.approx(result["noise_std"])
        assert average["epistemic"] == 0 < mc["epistemic"]
        assert mc["std"] ** 2 == pytest.approx(mc["epistemic"] ** 2 + result["noise_std"] ** 2)
        assert mc["rmse"] == pytest.approx(np.sqrt(((shown.bands["mc"].mean - shown.truth)[
            (np.abs(shown.grid) <= 5) == (region == "between the points")] ** 2).mean()))
    assert rows["mc", "between the points"]["rmse"] < 0.5, "learned"
    assert rows["mc", "beyond them"]["rmse"] > 5, "and not known beyond"


def test_growing_noise_is_found(noisy):
    """sigma(x) found rises along x and is nearer to the truth than one sigma for all is.

    Worth more than 4 standard errors of nats.
    """
    shown, result = noisy
    found, true = result["sigma"]["found"], np.array(result["sigma"]["true"])
    assert found[0] < found[1] < found[2]
    made = shown.bands["heteroscedastic"]
    np.testing.assert_allclose(np.square(found), (made.std**2 - made.epistemic**2)[[0, 100, 200]],
                               err_msg="the noise's part of the band")
    at = toy.noise_std(shown.grid)
    sigma = result["sigma"]
    assert sigma["relative_rmse"] < np.sqrt(((sigma["constant"] / at - 1) ** 2).mean()) / 2
    assert sigma["constant"] > np.sqrt((true**2).mean()) / 1.5, "the one level stands for the large noise too"
    assert result["gain"] > 4 * result["gain_se"] > 0


def test_growing_noise_scores(noisy):
    """One std for all covers too much where there is little noise and too little where there is much.

    The other is nearer at both.
    """
    _, result = noisy
    rows = {(row["noise"], row["region"]): row for row in result["scores"]}
    little, much = (rows["constant", region]["coverage_1"] for region in ("little noise", "much noise"))
    assert little > 0.683 + 4 * math.sqrt(0.683 * 0.317 / 1000)
    assert much < 0.683 - 4 * math.sqrt(0.683 * 0.317 / 1000)
    for region in ("little noise", "much noise"):
        off = {name: abs(rows[name, region]["coverage_1"] - 0.683)
               for name in ("heteroscedastic", "constant")}
        assert off["heteroscedastic"] < off["constant"]
    parts = [rows["heteroscedastic", region] for region in ("little noise", "much noise")]
    whole = rows["heteroscedastic", "all"]
    assert sum(r["count"] for r in parts) == whole["count"] == toy.FRESH
    gain = whole["log_likelihood"] - rows["constant", "all"]["log_likelihood"]
    assert gain == pytest.approx(result["gain"])


# --------------------------------------------------------------------------------- the table and the figure

@pytest.fixture(scope="module")
def tiny():
    """(result as the JSON has it, what the figure shows) of a few steps."""
    settings = {"quick": True, "seed": 3, **TINY}
    result, shown = command.study(settings, threads=1)
    return {"settings": settings, "versions": {}} | result, shown


def test_the_table(tiny):
    result, _ = tiny
    out = report.summary(result)
    assert all(line == line.rstrip() and len(line) <= 140 for line in out.splitlines())
    line = next(line for line in out.splitlines() if line.startswith("tanh, drop 0.2") and "MC" in line
                and "years 6-10" in line)
    row = report.of(result["co2"]["scores"], model="tanh, drop 0.2", rule="mc", horizon="years 6-10")
    assert line.split("years 6-10")[1].split() == ["60", f"{row['rmse']:.2f}", f"{row['log_likelihood']:.2f}",
        f"{100 * row['coverage_1']:.0f}", f"{100 * row['coverage_2']:.0f}", f"{row['std']:.2f}",
        f"{row['epistemic']:.2f}"]
    assert sum(line.startswith(("straight line ", "ReLU, ", "tanh, "))
               for line in out.splitlines()) == 7 * len(co2.HORIZONS)
    for text in ("4 x 8 units", "30 full-batch steps", "T = 12", "60 steps",
                 f"{result['growing_noise']['gain']:+.3f}"):
        assert text in out
    for std in result["co2"]["noise_std"].values():
        assert f"{std:.2f}" in out


def limits(ax):
    return (*ax.get_xlim(), *ax.get_ylim())


def test_the_figure_shows_band_and_truth(tiny):
    """Six titled panels; each holds all of its data, its truth and both stds of its band.

    CO2's two have one scale.
    """
    result, shown = tiny
    axes = report.figure(result, shown).figure.axes
    assert len(axes) == 6
    assert all(ax.get_title() and ax.get_xlabel() and ax.get_ylabel() and ax.get_legend() for ax in axes)
    panels = [(axes[0], shown["sine"], "mc"), (axes[2], shown["growing_noise"], "heteroscedastic")]
    panels = [(ax, s.grid, s.bands[name], [s.truth, s.y]) for ax, s, name in panels]
    record = shown["record"]
    panels += [(ax, record.time, bands["mc"], [record.ppm])
               for ax, bands in zip(axes[3:5], list(shown["co2"].values())[:2], strict=True)]
    for ax, x, held, truths in panels:
        left, right, low, high = limits(ax)
        assert left <= x.min() and x.max() <= right
        for y in (*truths, held.mean - 2 * held.std, held.mean + 2 * held.std):
            assert low <= y.min() and y.max() <= high
    low, high = axes[1].get_ylim()
    assert low <= shown["sine"].draws.min() and shown["sine"].draws.max() <= high
    assert axes[3].get_ylim() == axes[4].get_ylim()


def test_what_came_is_drawn_apart(tiny):
    """The months that were learned, and those that came, in two colours that do not overlap in time."""
    result, shown = tiny
    ax = report.figure(result, shown).figure.axes[3]
    lines = {line.get_label(): line for line in ax.lines}
    assert len(lines["learned"].get_xdata()) == 272 and len(lines["what came"].get_xdata()) == 469
    assert lines["learned"].get_xdata().max() < lines["what came"].get_xdata().min()
    colors = [matplotlib.colors.to_hex(lines[label].get_color()) for label in ("learned", "what came")]
    assert colors[0] != colors[1]
    np.testing.assert_array_equal(lines["learned"].get_ydata(), shown["record"].ppm[:272])
    np.testing.assert_array_equal(lines["what came"].get_ydata(), shown["record"].ppm[272:])
    np.testing.assert_array_equal(lines["weight averaging"].get_ydata(),
                                  shown["co2"]["ReLU, drop 0.1"]["weight-averaging"].mean)


def test_titles_are_computed(tiny):
    """Other scores, other titles."""
    result, shown = tiny
    changed = json.loads(json.dumps(result))
    share = {("mc", "year 1"): 0.375, ("mc", "years 21-39"): 0.125, ("mc", "years 11-20"): 0.25,
             ("weight-averaging", "years 11-20"): 0.5,
             ("", "years 11-20"): 0.75, ("mc", "between the points"): 0.625, ("mc", "beyond them"): 0.0625}
    for row in [*changed["sine"]["scores"], *changed["co2"]["scores"]]:
        row["coverage_2"] = share.get((row["rule"], row.get("horizon", row.get("region"))), 0.99)
        named = row["rule"] == "mc" and "year 1" not in row.values()
        row |= {"rmse": 77.7, "std": 5.5} if named else {"rmse": 1.0, "std": 1.0}
    changed["growing_noise"] |= {"gain": -9.25, "gain_se": 1.5}
    titles = [ax.get_title() for ax in report.figure(changed, shown).figure.axes]
    assert "62% of the truth between" in titles[0] and "6% beyond" in titles[0]
    assert "errs by 77.7" in titles[1] and "-9.25 ± 1.50" in titles[2]
    for title, name in zip(titles[3:5], co2.NETS, strict=False):
        assert name in title and "38% of year 1, 12% of years 21-39" in title
        assert "77.7 ppm and the std is 5.5 ppm" in title
    assert "averaging hold 25%,\nof weight averaging 50%; the straight line's 75%" in titles[5]


def test_coverage_by_horizon(tiny):
    """A line for each network and rule and one for the straight line, each through its five scores."""
    result, shown = tiny
    ax = report.figure(result, shown).figure.axes[5]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert len(lines) == 8
    for model, rule, label in (("tanh, drop 0.2", "weight-averaging", "tanh, drop 0.2, weight averaging"),
                               (co2.LINE, "", co2.LINE)):
        wanted = [100 * row["coverage_2"]
                  for row in result["co2"]["scores"] if (row["model"], row["rule"]) == (model, rule)]
        np.testing.assert_array_equal(lines[label], wanted[1:-1])


# ---------------------------------------------------------------------------------------------- the command

WRONG = {
    "width 0": (["--width", "0"], r"--width must be in \[1, 8192\], got 0"),
    "width huge": (["--width", "100000"], "--width must be .*got 100000"),
    "width text": (["--width", "wide"], "--width.*'wide'"),
    "steps 0": (["--steps", "0"], r"--steps must be in \[1, 10000000\], got 0"),
    "steps 1.5": (["--steps", "1.5"], "--steps.*'1.5'"),
    "one sample": (["--samples", "1"], r"--samples must be in \[2, 100000\], got 1"),
    "samples text": (["--samples", "x"], "--samples.*'x'"),
    "seed -1": (["--seed", "-1"], "--seed must be .*got -1"),
    "seed too large": (["--seed", str(2**64)], f"--seed must be .*got {2**64}"),
    "threads 0": (["--threads", "0"], "--threads must be >= 1, got 0"),
    "out a file": (["--out", "{file}"], "--out must be a folder"),
    "an abbreviated option": (["--step", "3"], "--step"),
    "an argument too many": (["more"], "more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_and_status_2(name, tmp_path, monkeypatch, capsys):
    argv, says = WRONG[name]
    monkeypatch.setattr(command, "study", lambda *args, **kwargs: pytest.fail("work began"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run("regression", *[a.replace("{file}", str(tmp_path / "file")) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert re.match(f"minibayes( regression)?: error: .*{says}", err), err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_settings(monkeypatch):
    """Quick is smaller than full in everything, and what is given counts in both."""
    study, parser = COMMANDS["regression"], __main__.build_parser()
    full, quick = (study.settings(parser.parse_args(["regression", *extra, "--samples", "7"]))
                   for extra in ([], ["--quick"]))
    assert full == {"quick": False, "seed": 0, **study.full, "samples": 7} and quick["samples"] == 7
    assert all(study.quick[name] < study.full[name] for name in study.full)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """{threads: folder} of the whole command on a few steps."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.Regression, "quick", TINY)
        for threads in (1, 2):
            folders[threads] = tmp_path_factory.mktemp("regression")
            assert run("regression", "--quick", "--seed", "3", "--threads", str(threads), "--out",
                       str(folders[threads])) == 0
    return folders


def test_the_same_bytes_for_any_number_of_threads(ran):
    for folder in ran.values():
        files = sorted(p.name for p in folder.iterdir())
        assert files == ["regression.json", "regression.png"], "no temporary file is left"
    for name in ("regression.json", "regression.png"):
        assert (ran[1] / name).read_bytes() == (ran[2] / name).read_bytes()


def test_what_the_json_holds(ran, tiny):
    written = json.loads((ran[1] / "regression.json").read_text())
    assert list(written) == ["settings", "versions", "sine", "growing_noise", "co2"]
    assert {"minibayes", "python", "machine", "numpy", "numba"} <= set(written["versions"])
    assert written["settings"] == tiny[0]["settings"]
    for key in ("sine", "growing_noise", "co2"):
        assert written[key] == tiny[0][key]
    assert (ran[1] / "regression.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_streams(tiny, tmp_path, monkeypatch, capsys, nothing_left_running):
    """The table on stdout, or with --json what the file holds.

    Where it was written and how long it took on stderr.
    """
    result, shown = tiny
    found = {key: result[key] for key in ("sine", "growing_noise", "co2")}
    monkeypatch.setattr(command, "study", lambda *args, **kwargs: (found, shown))
    monkeypatch.setattr(plots, "save", lambda ax, path: None)
    for extra in ([], ["--json"]):
        assert run("regression", "--quick", "--out", str(tmp_path), *extra) == 0
        out, err = capsys.readouterr()
        text = (tmp_path / "regression.json").read_text()
        assert out == (text if extra else report.summary(json.loads(text)) + "\n")
        assert re.fullmatch(r"wrote .*regression.json and .*regression.png after \d+ s\n", err)
