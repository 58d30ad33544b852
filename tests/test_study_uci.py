"""The uci study: the published splits and training, units, executors, interrupts, report."""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from executors import Inline, instead_of_processes

import minibayes
from minibayes import InputError, __main__, bayes, data, nn, plots, processes
from minibayes.studies import uci
from minibayes.studies.frame import COMMANDS
from minibayes.studies.uci import command, jobs, protocol, report

ROOT = Path(minibayes.__file__).parent.parent


def run(*argv):
    """The exit status of the command line, in this process."""
    try:
        return __main__.main(list(argv))
    except SystemExit as error:
        return error.code


@pytest.fixture(scope="module")
def small():
    """40 rows, 3 features, a target with a unit: y = 50 + 10 sin(2 x_1) + 4 x_2 + noise."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    return data.Table(x, 50 + 10 * np.sin(2 * x[:, 0]) + 4 * x[:, 1] + rng.standard_normal(40),
                      ("a", "b", "c"), "y")


# ------------------------------------------------------------------------------- the protocol, as published

def test_the_published_splits():
    """The first rows of index_test_0, index_train_0, index_test_19, index_train_19, published at 6eb4497."""
    known = {"boston": (51, [431, 115, 470, 216], [307, 343, 47, 67], [426, 161, 347, 368],
                        [480, 216, 158, 193]),
             "concrete": (103, [87, 751, 655, 942], [339, 244, 882, 567], [212, 908, 49, 994],
                          [663, 364, 983, 970])}
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for name, (size, *rows) in known.items():
        t = command.TABLES[name]()
        made = uci.splits(name, t, protocol.TAUS[name])
        assert [s.number for s in made] == list(range(1, 21))
        assert {s.taus for s in made} == {protocol.TAUS[name]}
        assert [made[i].__getattribute__(part)[:4].tolist() for i in (0, 19)
                for part in ("test", "train")] == rows
        for s in made:
            assert len(s.test) == size and sorted([*s.train, *s.test]) == list(range(len(t.y)))
    assert (np.random.get_state()[1] == before).all(), "the global state was touched"  # noqa: NPY002


def test_the_jobs_of_a_split(small):
    """36 rows to train on, 4 to test; the first 28 of the 36 train in the grid, the other 8 validate.

    128 rows or less are one step.
    """
    split = uci.splits("boston", small, protocol.TAUS["boston"], 1)[0]
    grid = protocol.grid(split, epochs=7, samples=5, seed=3)
    assert [(job.keep, job.tau) for job in grid] == [(k, t) for k in (0.995, 0.99, 0.95, 0.9)
                                                     for t in (0.1, 0.15, 0.2)]
    assert all([len(rows) for rows in job.rows] == [28, 8] and job.steps == 7 for job in grid)
    assert np.concatenate(grid[0].rows).tolist() == split.train.tolist()
    final = replace(grid[5], final=True)
    assert [rows.tolist() for rows in final.rows] == [split.train.tolist(), split.test.tolist()]
    many = replace(final, split=replace(split, train=np.arange(129)))
    assert many.steps == 14
    keys = [job.key for job in [*grid, final, replace(final, seed=4),
                                replace(final, split=replace(split, number=2))]]
    assert len(set(keys)) == len(keys), "no two networks share their noise"


def test_taus_of_any_table(small):
    """tau var(y) = 1, 3, 10, 30, 100 over the rows to train on."""
    for split in uci.splits("any", small, count=2):
        assert np.array(split.taus) * np.var(split.y[split.train]) == pytest.approx([1, 3, 10, 30, 100])
        assert (split.y * split.unit == small.y).all() and 0.5 <= np.abs(split.y).max() < 1


def test_a_target_that_varies_in_test_rows_only(small):
    first = uci.splits("any", small, count=1)[0]
    y = np.where(np.arange(40) == first.test[0], 1.0, 0.1)
    with pytest.raises(InputError,
                       match=r"any: the target must vary in every split's training rows, got only 0.1 in 1"):
        uci.splits("any", small._replace(y=y))


def test_standardised(small):
    """By the mean and std of the rows to train on.

    A column that is constant there (0.1 has no exact mean) is 0 in both.
    """
    train, other = small.x[:30].copy(), small.x[30:].copy()
    train[:, 1], other[0, 1], other[1:, 1] = 0.1, 5.0, 0.1
    before = train.copy(), other.copy()
    a, b = protocol.standardised(train, other)
    assert a.mean(axis=0) == pytest.approx(np.zeros(3)) and a.std(axis=0) == pytest.approx([1, 0, 1])
    assert not a[:, 1].any() and not b[:, 1].any()
    away = train[:, 2] - train[:, 2].mean()
    assert b[:, 2] == pytest.approx((other[:, 2] - train[:, 2].mean()) / np.sqrt((away**2).mean()))
    assert (train == before[0]).all() and (other == before[1]).all()


# ------------------------------------------------------------------------------------- units, and file names

FEW = {"epochs": 6, "samples": 20, "seed": 3}


def inline(table, name="any", count=2):
    return uci.run(uci.splits(name, table, count=count), **FEW, executor=Inline())


@pytest.fixture(scope="module")
def as_given(small):
    return inline(small)


@pytest.mark.parametrize("columns, target", [(1.0, 2.0**10), ([2.0**-7, 2.0**300, 1.0], 2.0**-300)])
def test_powers_of_two_change_no_network(small, as_given, columns, target):
    """The same bits: RMSE times the factor, log-likelihoods less its log, tau over its square."""
    rows = inline(small._replace(x=small.x * columns, y=small.y * target))
    for row, given in zip(rows, as_given, strict=True):
        assert row["keep"] == given["keep"] and row["tau"] == given["tau"] / target**2
        for rule in report.RULES:
            assert row[rule]["rmse"] == given[rule]["rmse"] * target
            less = given[rule]["log_likelihood"] - math.log(target)
            assert row[rule]["log_likelihood"] == pytest.approx(less, rel=1e-12)
        for mine, theirs in zip(row["grid"], given["grid"], strict=True):
            assert mine["keep"] == theirs["keep"] and mine["tau"] == theirs["tau"] / target**2
            assert mine["log_likelihood"] + math.log(target) == pytest.approx(theirs["log_likelihood"])


def test_the_name_of_the_file_is_no_seed(small, as_given):
    assert [row | {"data": "any"} for row in inline(small, "other.csv")] == as_given
    job, = (protocol.grid(split, **FEW)[0] for split in uci.splits("boston", small, (0.1,), 1))
    assert protocol.grid(uci.splits("concrete", small, (0.1,), 1)[0], **FEW)[0].key != job.key, "as published"


def test_other_numbers_are_other_seeds(small):
    def keys(table):
        return [job.key for split in uci.splits("any", table, count=2) for job in protocol.grid(split, **FEW)]

    assert len(set(keys(small))) == 2 * 4 * 5
    x = small.x.copy()
    x[3, 1] += 0.1
    assert not set(keys(small)) & set(keys(small._replace(x=x)))
    assert keys(small) == keys(small._replace(x=1000 * small.x + 7, y=small.y / 3)), "the same, standardised"


@pytest.mark.parametrize("factor", [1.0, 1000.0, 1e-6])
def test_boston_in_any_currency(factor, monkeypatch):
    """In dollars the net used to predict the mean: the penalty had the unit of the target."""
    monkeypatch.setattr(protocol, "KEEPS", (0.99,))
    monkeypatch.setattr(protocol, "LEVELS", (3.0, 10.0))
    table = data.boston()
    own = uci.splits("houses.csv", table._replace(y=factor * table.y), count=1)
    row, = uci.run(own, epochs=40, samples=50, executor=Inline())
    assert row["mc"]["rmse"] / factor == pytest.approx(2.8, abs=0.3) and table.y.std() > 9


def last_bit(values, at):
    values = np.full(values, 0.1)
    values[at] = np.nextafter(0.1, 1)
    return values


def test_a_column_that_varies_in_its_last_bit_is_constant(small):
    """0.1 + 0.2 is not 0.3: what differs by rounding measures nothing, but other rows may differ by more."""
    assert protocol.is_constant(last_bit(40, 3))
    assert not protocol.is_constant(last_bit(40, 3) + [*[0] * 39, 1e-9])
    first, = uci.splits("any", small, count=1)
    at = first.train[0]
    x = np.column_stack([small.x, last_bit(40, at)])
    x[first.test[0], 3] = 5.0
    rmse, = (row["mc"]["rmse"] for row in inline(small._replace(x=x), count=1))
    assert rmse < 2 * small.y.std()
    with pytest.raises(InputError, match="target must vary in every split's training rows, got only 0.1"):
        uci.splits("any", small._replace(y=last_bit(40, at)))


def published_training(theta, x, y, masks, keep, decay, bias_decay=0, bias_epsilon=1e-7):
    """Theta by the published description: inverted dropout, mean squared error, L2 on Theta, Adam.

    The biases' two arguments are by default as published.
    """
    theta = [t.copy() for t in theta]
    m, v = ([np.zeros_like(t) for t in theta] for _ in range(2))
    for t, (z1, z2) in enumerate(masks, start=1):
        A, a, B, b = theta
        x1 = x * z1 / keep
        h = x1 @ A.T + a
        x2 = np.maximum(h, 0) * z2 / keep
        d = 2 * (x2 @ B.T + b - y) / len(x)
        dh = (d @ B) * (z2 / keep) * (h > 0)
        grads = [dh.T @ x1 + 2 * decay * A, dh.sum(axis=0) + 2 * bias_decay * a,
                 d.T @ x2 + 2 * decay * B, d.sum(axis=0) + 2 * bias_decay * b]
        for i, (g, epsilon) in enumerate(zip(grads, (1e-7, bias_epsilon) * 2, strict=True)):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g**2
            theta[i] = theta[i] - 1e-3 * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + epsilon)
    return theta


@pytest.mark.parametrize("lengthscale", [1e-2, 2.0])
def test_training_is_the_published_training(lengthscale, monkeypatch):
    """200 steps of M here, and of Theta = keep M as published, with the same masks: keep M = Theta.

    To rounding with the two differences that are named, the biases' penalty keep lambda, epsilon keep 1e-7;
    also at l = 2, where penalties count; at the published l nearly so without them.
    """
    monkeypatch.setattr(protocol, "LENGTHSCALE", lengthscale)
    keep, tau, N, rng = 0.6, 0.15, 200, np.random.default_rng(0)
    y = 22 + 9 * rng.standard_normal((N, 1))
    x, std = rng.standard_normal((N, 5)), float(y.std())
    y = (y - y.mean()) / std
    model, optimizer = protocol.as_published(5, keep, tau, std, N)
    net, objective = model.net, bayes.Objective(model.net, model.prior, model.likelihood, N)
    params = net.init(0, np.float64)
    start = as_theta(params, keep)
    limit = math.sqrt(6 / (5 + 50))  # Glorot's: U(-limit, limit)
    assert 0.95 * limit < np.abs(start[0]).max() <= limit and not start[1].any()
    masks, state = [], optimizer.init(params)
    for t in range(200):
        z = net.sample(nn.Key(1, t), x.shape)
        masks.append((z["fc1"].astype(float), z["fc2"].astype(float)))
        _, grads = objective.value_and_grad(params, x, y, z)
        params, state = optimizer.update(params, grads, state)
    decay = keep * lengthscale**2 / (2 * N * tau)
    theta = published_training(start, x, y, masks, keep, decay, keep * decay, keep * 1e-7)
    published = published_training(start, x, y, masks, keep, decay)
    for mine, same, theirs, was in zip(as_theta(params, keep), theta, published, start, strict=True):
        assert np.abs(theirs - was).max() > 1e-3, "it moved"
        assert np.abs(mine - same).max() < 1e-10
        assert lengthscale > 1 or np.abs(mine - theirs).max() < 2e-6


def as_theta(params, keep):
    return [keep * params["fc1"]["M"], params["fc1"]["b"], keep * params["fc2"]["M"], params["fc2"]["b"]]


def test_the_prior_that_was_published_in_effect():
    """l' = l keep std/sqrt(2) and tau' = tau std^2, from the derivation; Boston.

    0.01 x 0.9 x 9.2/1.414 = 0.0585.
    """
    model, optimizer = protocol.as_published(13, 0.9, 0.1, 9.2, 455)
    assert model.prior.of("fc1") == pytest.approx(0.01 * 0.9 * 9.2 / math.sqrt(2))
    assert model.likelihood.tau == pytest.approx(8.464)
    noises = [layer.noise for layer in model.net.layers.values()]
    assert noises == [nn.Bernoulli(0.9), nn.Delta(), nn.Bernoulli(0.9)], "inputs too"
    assert (optimizer.rate, optimizer.multiplier("fc2", "b")) == (1e-3, 1)
    assert optimizer.multiplier("fc1", "M") == pytest.approx(1 / 0.9)


def test_scores_are_in_the_units_of_y(small):
    """From the passes themselves, in y's own units.

    RMSE of their mean, and log (1/T) sum_t N(y; f_t, 1/tau).
    """
    split = uci.splits("boston", small, (0.3,), 1)[0]
    job = protocol.Job(split, 0.9, 0.3, final=True, epochs=60, samples=40, seed=2)
    got = protocol.score(job)
    y, y_test = small.y[split.train], small.y[split.test]
    x, x_test = protocol.standardised(small.x[split.train], small.x[split.test])
    model, optimizer = protocol.as_published(3, 0.9, 0.3, float(y.std()), len(y))
    model.fit(x, (y - y.mean()) / y.std(), steps=60, batch_size=128, optimizer=optimizer, seed=job.key,
              threads=1)
    for rule in ("mc", "weight-averaging"):
        f = model.predict(x_test, rule=rule, samples=40, seed=job.key,
                          keep_samples=True).samples[..., 0] * y.std() + y.mean()
        assert got[rule]["rmse"] == pytest.approx(np.sqrt(np.mean((f.mean(axis=0) - y_test) ** 2)), rel=1e-6)
        density = np.sqrt(0.3 / (2 * np.pi)) * np.exp(-0.15 * (y_test - f) ** 2)
        assert got[rule]["log_likelihood"] == pytest.approx(np.log(density.mean(axis=0)).mean(), rel=1e-5)
    assert len(f) == 1 and got["mc"] != got["weight-averaging"]


# -------------------------------------------------------------------------------------------- the executors

class Shuffled(Executor):
    """Jobs end in a random order, some time after all were submitted."""

    def __init__(self):
        self.waiting, self.threads = [], []

    def submit(self, function, /, *args, **kwargs):
        self.waiting.append((Future(), function, args))
        self.threads.append(threading.Timer(0.2, self.work))
        self.threads[-1].start()
        return self.waiting[-1][0]

    def work(self):
        count = len(self.waiting)
        future, function, args = self.waiting.pop(np.random.default_rng(count).integers(count))
        future.set_result(function(*args))


def two_splits(small):
    return uci.splits("boston", small, (0.1, 1.0), 2)


SETTINGS = {"epochs": 5, "samples": 20, "seed": 1}


@pytest.fixture(scope="module")
def expected(small):
    """The results of one job after the other, in no executor."""
    out = []
    for split in two_splits(small):
        grid = protocol.grid(split, **SETTINGS)
        values = [protocol.score(job)["mc"]["log_likelihood"] for job in grid]
        best = grid[int(np.argmax(values))]
        out.append({"data": "boston", "split": split.number, "keep": best.keep, "tau": best.tau,
                    "grid": [{"keep": j.keep, "tau": j.tau, "log_likelihood": v}
                             for j, v in zip(grid, values, strict=True)]}
                   | protocol.score(replace(best, final=True)))
    return out


def test_any_executor_gives_the_same(small, expected, nothing_left_running):
    inline, shuffled = Inline(), Shuffled()
    assert uci.run(two_splits(small), **SETTINGS, executor=inline) == expected
    assert inline.count == 2 * (8 + 1) and not inline.closed, "the executor is the caller's"
    assert uci.run(two_splits(small), **SETTINGS, executor=shuffled) == expected
    for thread in shuffled.threads:
        thread.join()
    with ThreadPoolExecutor(3) as threads:
        assert uci.run(two_splits(small), **SETTINGS, executor=threads) == expected


def test_the_choice(small, monkeypatch):
    """The highest validation log-likelihood by MC, the first of equals.

    The final network has its keep and tau.
    """
    asked = []

    def score(job):
        asked.append(job)
        value = {(0.99, 0.1): -1.0, (0.99, 1.0): -1.0}.get((job.keep, job.tau), -2.0)
        return {"mc": {"rmse": 1.0, "log_likelihood": value},
                "weight-averaging": {"rmse": 0.0, "log_likelihood": 9 * job.keep}}

    monkeypatch.setattr(protocol, "score", score)
    with ThreadPoolExecutor(1) as executor:
        results = uci.run(two_splits(small), **SETTINGS, executor=executor)
    assert [(r["keep"], r["tau"]) for r in results] == [(0.99, 0.1)] * 2
    assert [job.final for job in asked] == [False] * 16 + [True] * 2


def fail(job):
    raise minibayes.DivergenceError("the loss became nan at step 3")


def test_an_error_ends_the_run(small, monkeypatch):
    """It comes out as it went in, and what had not begun never begins."""
    executor = Inline()
    monkeypatch.setattr(jobs.protocol, "score", fail)
    with pytest.raises(minibayes.DivergenceError, match="at step 3"):
        uci.run(two_splits(small), **SETTINGS, executor=executor)
    gate, begun = threading.Event(), []

    def first_fails(job):
        begun.append(job)
        if len(begun) > 1:
            gate.wait(10)
        fail(job)

    monkeypatch.setattr(jobs.protocol, "score", first_fails)
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(minibayes.DivergenceError):
            uci.run(two_splits(small), **SETTINGS, executor=threads)
        gate.set()
    assert len(begun) <= 2


@pytest.fixture
def started(monkeypatch):
    """The processes that were started during a test."""
    seen, start = [], processes.Worker.start
    monkeypatch.setattr(processes.Worker, "start", lambda self: (seen.append(self), start(self))[1])
    return seen


def test_an_error_ends_the_processes(small, started):
    """Also processes that are in the middle of something long."""
    splits = two_splits(small)
    # An InputError in the first job; the others would take hours.
    bad = replace(splits[0], x=np.full_like(small.x, np.nan))
    with pytest.raises(InputError, match="x must be finite"):
        uci.run([bad, splits[1]], epochs=10**7, samples=1, processes=2)
    assert started and not any(process.is_alive() for process in started)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_ctrl_c_while_a_process_starts(small, started, monkeypatch, when):
    """The start is finished, then the interrupt arrives, and what was started is ended."""
    start = processes.Worker.start

    def interrupted(self):
        if when == "before":
            signal.raise_signal(signal.SIGINT)
        start(self)
        if when == "after":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(processes.Worker, "start", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        uci.run(two_splits(small), epochs=10**7, samples=1, processes=2)
    assert len(started) == 1 and not started[0].is_alive() and signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_cannot_be_started(small, monkeypatch):
    def refused(self):
        raise OSError("out of processes")

    monkeypatch.setattr(processes.Worker, "start", refused)
    with pytest.raises(OSError, match="out of processes"):
        uci.run(two_splits(small), epochs=10**7, samples=1, processes=2)


def test_a_process_that_dies():
    """As when the system ends it for want of memory: one error that the command line shows in one line."""
    with pytest.raises(ChildProcessError,
                       match="ended in the middle of its work"), processes.new_processes(1) as pool:
        pool.submit(os._exit, 1).result()


SCRIPT = """
import sys
from minibayes import __main__, processes


class Told(processes.Worker):
    def start(self):
        super().start()
        print("started", flush=True)


if __name__ == "__main__":
    processes.Worker = Told
    sys.exit(__main__.main(["uci", "--epochs", "100000", "--threads", "2", "--out", sys.argv[1]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize("to_all, number",
                         [(True, signal.SIGINT), (False, signal.SIGINT), (False, signal.SIGTERM)],
                         ids=["ctrl-c", "interrupt of the main process", "end of the main process"])
@pytest.mark.parametrize("after", [0.0, 3.0], ids=["while processes start", "at work"])
def test_nothing_is_left_running(to_all, number, after, tmp_path):
    """Interrupted: status 130, one line, no files. Interrupted or killed.

    Soon no process of the group is left.
    """
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = tmp_path / "out"
    child = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(folder)],
                             env=os.environ | {"PYTHONPATH": str(ROOT)},
                             text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
    pause = threading.Event().wait
    try:
        assert child.stdout.readline() == "started\n"
        pause(after)
        (os.killpg if to_all else os.kill)(child.pid, number)
        _, err = child.communicate(timeout=600)
        if number == signal.SIGINT:
            assert child.returncode == 130 and err == "minibayes uci: interrupted\n"
        assert not list(folder.iterdir())
        assert any(pause(0.1) or not alive(child.pid)
                   for _ in range(300)), "half a minute later something still runs"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def alive(group):
    """Whether any process of a group is left (one that ended counts until its parent has seen it)."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# ----------------------------------------------------------------------------------- what the study reports

def made_up(splits=20, epochs=4000, samples=10_000, rmse=2.9, log_likelihood=-2.41):
    """A result on Boston whose figures are known.

    The two halves of the splits lie 1 to each side of the mean.
    """
    rows = []
    for i in range(splits):
        away = 1 if i % 2 else -1
        rows.append({"data": "boston", "split": i + 1, "keep": (0.99, 0.9)[i % 2], "tau": 0.1, "grid": [],
                     "mc": {"rmse": rmse + away, "log_likelihood": log_likelihood + away},
                     "weight-averaging": {"rmse": rmse + 1.5 * away + 0.25,
                                          "log_likelihood": log_likelihood + away - 0.5}})
    result = {"settings": {"quick": False, "csv": False, "splits": splits, "epochs": epochs,
                           "samples": samples, "seed": 0},
              "data": {"boston": {"rows": 506, "features": 13, "target": "medv", "taus": [0.1]}},
              "results": rows}
    return result | {"summary": report.summarise(result)}


def test_the_summary():
    """20 values at +-1: the standard error is sqrt(20/19)/sqrt(20) = 1/sqrt(19).

    The paired difference is -0.25 -+ 0.5, and 0.5 exactly.
    """
    entry = made_up()["summary"][0]
    assert entry["mc"]["rmse"] == {"mean": pytest.approx(2.9), "se": pytest.approx(1 / math.sqrt(19))}
    assert entry["difference"]["rmse"] == {"mean": pytest.approx(-0.25),
                                           "se": pytest.approx(0.5 / math.sqrt(19))}
    assert entry["difference"]["log_likelihood"] == {"mean": pytest.approx(0.5),
                                                     "se": pytest.approx(0, abs=1e-12)}
    distances = {line["source"]: line["distance"] for line in entry["published"]}
    assert distances[report.PBP] is distances[report.PAPER] is None, "trained otherwise"
    assert distances[report.TEN_TIMES] == {"rmse": pytest.approx(0.1 / 0.19),
                                           "log_likelihood": pytest.approx(-0.02 / 0.05)}
    assert distances[report.GRID] == {"rmse": pytest.approx(0, abs=1e-9),
                                      "log_likelihood": pytest.approx(-0.01 / 0.04)}


@pytest.mark.parametrize("changes, shown", [({}, True), ({"epochs": 400}, True), ({"epochs": 4001}, False),
                                            ({"splits": 10}, False),
                                            ({"samples": 100}, False)])
def test_published_figures_stand_beside_the_published_protocol_only(changes, shown):
    result = made_up(**changes)
    assert ("published" in report.summary_table(result)) == shown == ("published" in report.finding(result))
    assert len(result["summary"][0]["published"]) == (4 if shown else 0)
    own = made_up(**changes)
    own["settings"]["csv"] = True
    assert not report.summarise(own)[0]["published"], "somebody's file of that name is not the published data"


def test_the_table():
    out = report.summary_table(made_up())
    lines = out.splitlines()
    assert lines[0] == "boston: 506 rows, 13 features, target medv; 20 splits, 4000 epochs, T = 10,000"
    row = {line.split("  ")[0]: re.split(r" {2,}", line)[1:] for line in lines[3:9]}
    assert row["MC averaging"] == ["2.90 ± 0.23", "-2.41 ± 0.23"]
    assert row["published: probabilistic back-propagation"] == ["3.01", "-2.57", "-"]
    assert row["published: 4000 epochs, 2016"] == ["2.80 ± 0.19", "-2.39 ± 0.05", "+0.5, -0.4"]
    assert "RMSE -0.250 ± 0.115, log-likelihood +0.500 ± 0.000" in out
    assert "chosen: keep 0.9 (10 x), 0.99 (10 x); tau 0.1 (20 x)" in out
    assert all(line == line.rstrip() and len(line) <= 140 for line in lines)
    alone = report.summary_table(made_up(splits=1))
    assert "MC averaging                    1.90" in alone and "±" not in alone.split("±:")[0]


@pytest.mark.parametrize("rmse, far", [(2.9, False), (3.27, True), (2.41, True)])
def test_the_title_says_what_was_found(rmse, far):
    """The grid search's standard error is 0.18, that of 2016 is 0.19 around 2.80."""
    title = report.finding(made_up(rmse=rmse))
    assert title.startswith("More than two" if far else "Within two")
    assert (f"RMSE on boston: {(rmse - 2.9) / 0.18:+.1f} against {report.GRID}" in title) == far
    assert "log-likelihood on boston:" not in title
    assert "RMSE -0.250 ± 0.115" in title


def test_the_figure():
    """A panel for each score: our two rules with 20 dots each, then four published ones, in their places."""
    axes = report.figure(made_up()).figure.axes
    assert [ax.get_title().split(",")[0] for ax in axes] == ["boston: RMSE", "boston: log-likelihood"]
    assert axes[0].figure.get_suptitle() == report.finding(made_up())
    dots = [line.get_xdata() for line in axes[0].lines if len(line.get_xdata()) == 20]
    assert sorted(dots[0]) == pytest.approx([1.9] * 10 + [3.9] * 10)
    assert sorted(dots[1]) == pytest.approx([1.65] * 10 + [4.65] * 10)
    labels = [t.get_text() for t in axes[0].get_yticklabels()]
    assert labels[:2] == ["MC averaging", "weight averaging"]
    assert labels[2:] == [f"published: {s}" for s in report.PUBLISHED["boston"]]
    means = [(*bar[0].get_xdata(), *bar[0].get_ydata()) for bar in axes[0].containers]
    assert means == [(pytest.approx(2.9), 0), (pytest.approx(3.15), 1), (3.01, 2), (2.97, 3), (2.80, 4),
                     (2.90, 5)]
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1], "from the top"


def test_score_lines():
    """The bars reach two standard errors to each side; without one there is none.

    An axis that is given is drawn on.
    """
    ax = plots.axis()
    lines = [{"label": "a", "mean": 1.0, "se": 0.25, "values": [], "color": "all"},
             {"label": "b", "mean": 2.0, "se": None, "values": [2.0],
                                                                                      "color": "ip"}]
    assert plots.score_lines(lines, "title", ax) is ax and ax.get_title() == "title"
    spans = [sorted(segment[:, 0]) for bars in ax.containers for c in bars[2] for segment in c.get_segments()]
    assert spans == [[0.5, 1.5]]


# ----------------------------------------------------------------------------------------- the command line

WRONG = {
    "an unknown data set": (["--data", "yacht"], "--data.*'yacht'"),
    "csv without target": (["--csv", "{file}"], "--csv needs the column to predict: --target COLUMN"),
    "target without csv": (["--target", "y"], "--target needs a table: --csv FILE"),
    "csv and data": (["--csv", "{file}", "--target", "y", "--data", "boston"],
                     "--csv FILE or --data NAME, not both"),
    "no csv": (["--csv", "{file}.csv", "--target", "y"], r"{file}\.csv: cannot be read: No such file"),
    "splits 0": (["--splits", "0"], r"--splits must be in \[1, 1000\], got 0"),
    "splits 1001": (["--splits", "1001"], "--splits must be .*got 1001"),
    "splits 1.5": (["--splits", "1.5"], "--splits.*'1.5'"),
    "epochs 0": (["--epochs", "0"], r"--epochs must be in \[1, 100000\], got 0"),
    "epochs text": (["--epochs", "ten"], "--epochs.*'ten'"),
    "samples 0": (["--samples", "0"], r"--samples must be in \[1, 100000\], got 0"),
    "seed -1": (["--seed", "-1"], "--seed must be .*got -1"),
    "seed too large": (["--seed", str(2**64)], "--seed must be .*got"),
    "threads 0": (["--threads", "0"], "--threads must be >= 1, got 0"),
    "an abbreviation": (["--split", "2"], "--split"),
    "out a file": (["--out", "{file}"], "--out must be a folder.*{file}"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_and_status_2(name, tmp_path, monkeypatch, capsys):
    argv, says = WRONG[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "study", lambda *args, **kwargs: pytest.fail("work began"))
    (tmp_path / "file").touch()
    file = str(tmp_path / "file")
    assert run("uci", *[a.replace("{file}", file) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and re.match(r"minibayes( uci)?: error: ", err)
    assert re.search(says.replace("{file}", re.escape(file)), err), err
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing was made"


def write_csv(path, small):
    path.write_text("".join([",".join([*small.names, "y"]) + "\n",
                             *(",".join(map(repr, [*map(float, x), float(y)])) + "\n"
                               for x, y in zip(small.x, small.y, strict=True))]))


@pytest.mark.slow
def test_a_table_of_ones_own(small, tmp_path, capsys, monkeypatch, started, nothing_left_running):
    """The same bytes from two processes and from one job after the other here.

    The table on stdout, the time on stderr.
    """
    write_csv(tmp_path / "boston", small)  # a name that is not enough to make it the published data
    argv = ["uci", "--csv", str(tmp_path / "boston"), "--target", "y", "--splits", "2", "--epochs", "4",
            "--samples", "20"]
    first, second = tmp_path / "2", tmp_path / "1"
    assert run(*argv, "--threads", "2", "--out", str(first)) == 0
    out, err = capsys.readouterr()
    assert len(started) == 2 and not any(process.is_alive() for process in started)
    instead_of_processes(monkeypatch)
    assert run(*argv, "--threads", "1", "--out", str(second)) == 0
    for name in ("uci.json", "uci.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert capsys.readouterr().out == out
    result = json.loads((first / "uci.json").read_text())
    assert out == report.summary_table(result) + "\n"
    assert out.startswith("boston: 40 rows, 3 features, target y; 2 splits, 4 epochs, T = 20\n")
    assert re.fullmatch(rf"(?:.* to go\n)*\d+ s; wrote {re.escape(str(first))}/uci.json and .*/uci.png\n",
                        err)
    assert list(result) == ["settings", "versions", "data", "results", "summary"]
    assert result["data"] == {"boston": {"rows": 40, "features": 3, "target": "y", "taus": None}}
    assert result["results"] == uci.run(uci.splits("boston", small, count=2), epochs=4, samples=20,
                                        executor=Inline())
    assert {p.name for p in first.iterdir()} == {"uci.json", "uci.png"}, "no temporary file is left"
    assert (first / "uci.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_json_on_stdout(small, tmp_path, capsys, monkeypatch):
    """The embedded data: both sets by default, with the published taus."""
    seen = []

    def made(splits, **settings):
        seen.append((splits, settings))
        return [{"data": s.data, "split": s.number, "keep": 0.9, "tau": s.taus[0], "grid": []}
                | {rule: {"rmse": 5.0, "log_likelihood": -3.0} for rule in report.RULES} for s in splits]

    monkeypatch.setattr(jobs, "run", made)
    assert run("uci", "--json", "--out", str(tmp_path), "--seed", "9", "--threads", "3") == 0
    out, _ = capsys.readouterr()
    assert out == (tmp_path / "uci.json").read_text()
    (splits, settings), = seen
    assert [s.data for s in splits] == ["boston"] * 20 + ["concrete"] * 20
    assert splits[20].taus == (0.025, 0.05, 0.075)
    executor, record = settings.pop("executor"), settings.pop("record")
    assert isinstance(executor, processes.Pool) and record.path == tmp_path / "uci.part.json"
    assert settings == {"epochs": 4000, "samples": 10_000, "seed": 9, "processes": 3, "progress": True,
                        "q": "dropout"}
    assert json.loads(out)["summary"][1]["published"][3]["distance"]["rmse"] == pytest.approx(0.18 / 0.16)


def test_settings():
    """What is given counts, then --quick, then the full protocol; which tables they are for."""
    names = []

    def settings(*argv):
        made = COMMANDS["uci"].settings(__main__.build_parser().parse_args(["uci", *argv]))
        names.append(list(made.pop("sources")))
        return made

    assert settings() == {"quick": False, "csv": False, "splits": 20, "epochs": 4000, "samples": 10_000,
                          "seed": 0, "q": "dropout"}
    quick = settings("--quick", "--samples", "7", "--seed", "3")
    assert quick == {"quick": True, "csv": False, "splits": 4, "epochs": 100, "samples": 7, "seed": 3, "q": "dropout"}
    assert settings("--csv", "t", "--target", "y", "--splits", "3")["csv"] is True
    assert settings("--data", "concrete")["csv"] is False
    assert names == [["boston", "concrete"], ["boston", "concrete"], ["t"], ["concrete"]]


# ---------------------------------------------------------------------------------- scripts that start processes

CALL = ("from minibayes import data\nfrom minibayes.studies import uci\n"
        "table = data.boston()\n{guard}print(len(uci.run(uci.splits('boston', table, (0.1,), 1), epochs=1, "
        "samples=2, processes={processes})))\n")


@pytest.mark.parametrize("way, status", [("unguarded", 1), ("stdin", 1),
                                         pytest.param("guarded", 0, marks=pytest.mark.slow),
                                         pytest.param("-c", 0, marks=pytest.mark.slow)])
def test_a_script_without_the_guard_is_told_of_it(way, status, tmp_path):
    """In one line, once: no traceback from each new process, and no talk of memory."""
    guard = 'if __name__ == "__main__": ' if way == "guarded" else ""
    code = CALL.format(guard=guard, processes=2 if status == 0 else 1)
    (tmp_path / "script.py").write_text(code)
    argv = {"stdin": ["-"], "-c": ["-c", code]}.get(way, ["script.py"])
    done = subprocess.run([sys.executable, *argv], cwd=tmp_path, text=True, capture_output=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, input=code if way == "stdin" else "")
    assert done.returncode == status and done.stdout == ("1\n" if status == 0 else "")
    if status:
        assert 'if __name__ == "__main__":' in done.stderr.splitlines()[-1] and "memory" not in done.stderr
        assert done.stderr.count("Traceback") == 1 and "bootstrapping" not in done.stderr
    else:
        assert done.stderr == ""
