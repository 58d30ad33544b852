"""The studies of noise that is new or learned: posteriors, sparsify, keep, and uci --q, on few data."""

import functools
import json
import math
from concurrent.futures import ThreadPoolExecutor

import matplotlib.image
import numpy as np
import pytest
from executors import instead_of_processes

from minibayes import InputError, bayes, data, nn, spread
from minibayes.__main__ import main
from minibayes.studies import keep, uci
from minibayes.studies.frame import COMMANDS
from minibayes.studies.posteriors import measure, report, techniques
from minibayes.studies.sparsify import measure as measure_sparse
from minibayes.studies.sparsify import training
from minibayes.studies.uci import protocol
from minibayes.studies.uci import report as uci_report

pytestmark = pytest.mark.filterwarnings("ignore:the run ended with outputs that are one constant")  # 8 steps, then pruned
QS = ("none", "dropout", "concrete", "sparse")
FAST = {"posteriors": ["--q", *QS, "--images", "128", "--epochs", "1", "--samples", "2"],
        "sparsify": ["--images", "400", "--epochs", "2", "--samples", "2"],
        "keep": ["--width", "8", "--samples", "5"]}


@pytest.fixture(scope="module", autouse=True)
def few_data():
    digits, clothes = data.mnist(), data.fashion_mnist()
    few = (digits[0][:400], digits[1][:400], digits[2][:100], digits[3][:100])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "mnist", lambda: few)
        patch.setattr(data, "fashion_mnist", lambda: (clothes[0][:100], clothes[1][:100]))
        patch.setitem(keep.Keep.quick, "part", 0.003)
        yield


def run(name, folder, threads, *more):
    assert main([name, "--quick", *FAST[name], "--out", str(folder), "--threads", threads, *more]) == 0
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """(a function: the folder and the result of one run of a study, which is not run again)."""
    @functools.cache
    def once(name):
        folder = tmp_path_factory.mktemp(name)
        return folder, run(name, folder, "2")
    return once


def timeless(value):
    """Without the threads and the measured seconds."""
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items()
                if name != "threads" and not name.startswith("seconds")}
    return [timeless(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", FAST)
def test_figure_and_table(name, once):
    folder, result = once(name)
    picture = matplotlib.image.imread(folder / f"{name}.png")
    assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05
    out = COMMANDS[name].table(result)
    assert max(map(len, out.splitlines())) <= 170 and "nan" not in out.lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_the_same_again_on_other_threads(name, once, tmp_path, monkeypatch):
    instead_of_processes(monkeypatch)
    assert timeless(run(name, tmp_path, "1", "--processes", "2")) == timeless(once(name)[1])


@pytest.mark.parametrize("argv, message", [
    (["posteriors", "--q", "dropot"], "invalid choice: 'dropot'"),
    (["posteriors", "--images", "100"], "--images must be in [128, 60000], got 100"),
    (["posteriors", "--epochs", "0"], "--epochs must be"),
    (["sparsify", "--epochs", "-1"], "--epochs must be"),
    (["keep", "--width", "0"], "--width must be in [1, 8192], got 0"),
    (["uci", "--q", "meanfield"], "invalid choice: 'meanfield'")])
def test_a_typo_is_one_line_and_nothing_is_done(argv, message, capsys, monkeypatch):
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("work began"))
    try:
        status = main(argv)
    except SystemExit as stopped:
        status = stopped.code
    out, err = capsys.readouterr()
    assert status == 2 and message in err and err.count("\n") == 1 and not out


# ---------------------------------------------------------------------------------------------- posteriors

@pytest.mark.parametrize("name", techniques.TECHNIQUES)
def test_every_q_begins_with_the_same_mean_weights(name):
    """E[W] is Xavier's, and Adam's step in E[W] the same; its KL is known, and warm-up ends at the whole."""
    technique, sizes = techniques.TECHNIQUES[name], (6, 5, 4, 3)
    net = technique.network(sizes)
    params, multipliers = net.init(2), measure.rates(net)
    plain = techniques.TECHNIQUES["none"].network(sizes).init(2)
    mean = bayes.posterior.mean(net, params)
    for layer in ("fc1", "fc2", "fc3"):
        assert mean[layer]["M"] == pytest.approx(plain[layer]["M"], abs=1e-6)
        if not net.layers[layer].noise.additive:
            assert multipliers.get(layer, {"M": 1})["M"] * net.layers[layer].noise.mean == pytest.approx(1)
        else:
            assert layer not in multipliers
    bayes.kl.check(net, technique.prior)
    factor = technique.kl_factor(100)
    if technique.warm_up:
        assert [factor(step) for step in (0, 24, 49, 99)] == pytest.approx([0.02, 0.5, 1, 1])
    else:
        assert factor == 1


def test_pairs_by_hand():
    """Of 5 images a alone errs on 2 and b alone on 1: difference 1/5, se sqrt(3 - 1/5)/5, p = 1."""
    wrong = {"a": np.array([1, 1, 0, 1, 0], bool), "b": np.array([0, 0, 1, 1, 0], bool)}
    row, = measure.pairs(wrong, 7)
    assert (row["seed"], row["only_a_wrong"], row["only_b_wrong"], row["p_value"]) == (7, 2, 1, 1.0)
    assert row["difference"] == pytest.approx(0.2)
    assert row["difference_se"] == pytest.approx(math.sqrt(3 - 1 / 5) / 5)


@pytest.mark.parametrize("difference, error, theirs, said", [
    (0.3, 0.2, 0.1, "not told apart here"), (0.5, 0.2, 0.1, "the same order"),
    (-0.5, 0.2, 0.1, "the other order")])
def test_the_published_order_is_judged_beyond_two_standard_errors(difference, error, theirs, said):
    assert report.verdict(difference, error, theirs) == said


def test_the_table_of_posteriors(once):
    result = once("posteriors")[1]
    out = COMMANDS["posteriors"].table(result)
    assert {(r["q"], r["rule"]) for r in result["results"]} == {
        (q, rule) for q in QS for rule in measure.RULES} - {("none", "mc")}
    assert len(result["pairs"]) == 6 and {r["q"] for r in result["learned"]} == {"concrete", "sparse"}
    errors = {q: report.mean(result, q, "mc", "error") for q in QS}
    order = [line.split("  ")[0] for line in out.splitlines()[4:8]]
    assert order == [techniques.TECHNIQUES[q].title for q in sorted(QS, key=errors.get)]
    assert "dropout - none" in out and "Left out: mgn, gaussian-dropout, dropconnect" in out
    a, b = (report.paired(result, *pair)[0] for pair in (("none", "dropout"), ("dropout", "none")))
    assert a == -b == pytest.approx(100 * (errors["none"] - errors["dropout"]))


def test_what_a_run_will_take():
    """No noise: its own steps and one pass; MC: as many passes as there are."""
    alone = techniques.seconds(("none",), 1000, 40)
    assert alone == pytest.approx(1000 * techniques.PLAIN_STEP + techniques.PLAIN_PASS)
    assert techniques.seconds(("none", "dropout"), 1000, 40) == pytest.approx(alone + techniques.seconds(("dropout",), 1000, 40))


# ------------------------------------------------------------------------------------------ sparsify, keep

def test_sparsify_says_where_its_loss_is_no_bound(once):
    """400 images are 4 steps an epoch: 8 steps, of which the first four count the KL in part.

    The stages end after 4, 5, 6, 6 and 8: one has no steps.
    """
    result = once("sparsify")[1]
    settings, row = result["settings"], result["results"][0]
    history = row["history"]
    assert (settings["steps"], settings["warm_up"], settings["weights"]) == (8, 4, 266_200)
    assert [row["step"] for row in history] == [4, 5, 6, 8]
    assert [row["epoch"] for row in history] == [1, 1.25, 1.5, 2]
    assert [row["bound"] for row in history] == [False, True, True, True]
    assert [row["kl_factor"] for row in history] == [0.25, 1, 1, 1]
    counts = [each["compression"] for each in row["thresholds"]]
    assert counts == sorted(counts, reverse=True) and counts[0] > 1
    kept = next(each for each in row["thresholds"] if each["threshold"] == 3)
    assert kept == history[-1]["pruned"] == {p: row["final"]["pruned"][p] for p in kept}
    assert 30 <= row["final"]["cut"]["compression"] < 30.02


def test_sparsify_goes_on_from_the_stage_that_ended_last(tmp_path, monkeypatch):
    """Interrupted in its third stage; then the same bits as an uninterrupted run, and two stages are not done again."""
    monkeypatch.setattr(training, "SIZES", (784, 20, 10, 10))
    settings = {"images": 200, "epochs": 2, "samples": 2, "seeds": [5]}
    whole = measure_sparse.study(settings, threads=1)
    done, stage = [], training.stage

    def stopped(model, x, y, schedule, seed, at, *how):
        done.append(at)
        if len(done) == 3:
            raise KeyboardInterrupt
        return stage(model, x, y, schedule, seed, at, *how)

    monkeypatch.setattr(training, "stage", stopped)
    with pytest.raises(KeyboardInterrupt):
        measure_sparse.study(settings, threads=1, record=spread.Record(tmp_path / "part.json"))
    again = measure_sparse.study(settings, threads=1, record=spread.Record(tmp_path / "part.json"))
    assert done == [0, 1, 2, 2, 4] and again == whole


@pytest.mark.parametrize("fewer", [2.0, 30.0])
def test_the_cut_leaves_one_weight_in_so_many(fewer):
    model = measure_sparse.model_of(training.network().init(0))
    found = bayes.sparsity.compression(model.net, model.params, measure_sparse.threshold_at(model, fewer))
    assert fewer <= found < fewer * (1 + fewer / 266_200 * 2)


def test_keep_has_a_row_for_every_n(once):
    result = once("keep")[1]
    rows = result["results"]
    assert [row["N"] for row in rows] == list(keep.EPOCHS) == result["settings"]["counts"]
    assert all(0 < value < 1 for row in rows for value in row["keep"].values())
    assert all(row[z]["epistemic"] > 0 and row[z]["aleatoric"] > 0 for row in rows for z in ("soft", "hard"))
    x, y = keep.line(4000, 0, 0)
    assert abs((y - 2 * x[:, 0] - 8).mean()) < 4 / math.sqrt(4000)
    assert len(keep.EPOCHS) == len(keep.PUBLISHED["epistemic"]) == len(keep.PUBLISHED["drop"])


@pytest.mark.slow
def test_keep_rises_and_the_network_grows_sure(monkeypatch):
    """From 10 to 1,000 points, by a narrow network: what the study's figure is about."""
    monkeypatch.setattr(keep, "RATE", 1e-2)
    few, many = (keep.measured({"N": count, "seed": 0, "width": 32, "part": 0.5, "samples": 100}, 1)
                 for count in (10, 1000))
    assert many["keep"]["fc3"] > few["keep"]["fc3"] + 0.05
    assert many["hard"]["epistemic"] < 0.8 * few["hard"]["epistemic"]
    assert 0.8 < many["hard"]["aleatoric"] < 1.5


# ------------------------------------------------------------------------------------------------- uci --q

@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    return data.Table(x, 50 + 10 * np.sin(2 * x[:, 0]) + rng.standard_normal(40), ("a", "b", "c"), "y")


@pytest.mark.parametrize("q", protocol.LEARNED)
def test_where_noise_learns_there_is_no_grid_over_keep(q, small):
    splits = uci.splits("boston", small, (0.05, 0.1), 2)
    with ThreadPoolExecutor(1) as executor:
        rows = uci.run(splits, epochs=6, samples=10, seed=3, q=q, executor=executor)
    for row in rows:
        assert row["keep"] is None and [job["tau"] for job in row["grid"]] == [0.05, 0.1]
        assert set(row["learned"]) == {"fc1", "fc2"} and row["mc"]["rmse"] > 0
        means = [found["mean"] for found in row["learned"].values()]
        assert means == {"concrete": pytest.approx([0.9, 0.9], abs=0.05), "mean-field": [0, 0],
                         "variational": [1, 1]}[q]
    keys = {protocol.grid(splits[0], 6, 10, 3, one)[0].key for one in protocol.QS}
    assert len(keys) == len(protocol.QS), "no two q share their noise"
    settings = {"quick": False, "csv": False, "splits": 20, "epochs": 6, "samples": 10, "seed": 3, "q": q}
    result = {"settings": settings, "results": rows,
              "data": {"boston": {"rows": 40, "features": 3, "target": "y", "taus": [0.05, 0.1]}}}
    out = uci_report.summary_table(result | {"summary": uci_report.summarise(result)})
    assert f"q: {q}" in out and uci_report.REPLICATION in out and "learned; tau" in out


def test_an_unknown_q(small):
    with pytest.raises(InputError, match="q must be one of"):
        uci.run(uci.splits("boston", small, (0.1,), 1), q="dropconnect")


def test_concrete_is_predicted_with_as_a_coin(small, monkeypatch):
    """The network that predicts has temperature 0, the one that was trained has not."""
    seen = []
    original = protocol.BayesianNetwork.predict
    monkeypatch.setattr(protocol.BayesianNetwork, "predict", lambda self, *args, **options: (
        seen.append(self.net.layers["fc2"].noise), original(self, *args, **options))[1])
    protocol.score(protocol.grid(uci.splits("boston", small, (0.1,), 1)[0], 2, 5, 0, "concrete")[0])
    assert seen and all(noise.temperature == 0 and type(noise) is nn.Concrete for noise in seen)
