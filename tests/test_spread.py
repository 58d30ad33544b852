"""spread: the same results in any executor and order, nothing that was finished is lost, one clear line; predictions in pieces."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from executors import Inline

import minibayes as mb
from minibayes import InputError, bayes, models, nn
from minibayes.pieces import predict_in_pieces
from minibayes.spread import Lost, Record, alone, digest, from_text, spread, to_text

rng = np.random.default_rng(0)


def task(job, threads=None, progress=False):
    """Something of a job, and with how many threads."""
    if job["x"] is None:
        raise mb.DivergenceError("the loss became nan at step 3")
    drawn = np.random.default_rng(job["seed"]).random(job["x"])
    return {"sum": float(drawn.sum()), "threads": threads, "array": drawn[:2].astype("f4")}


JOBS = [{"x": x, "seed": x} for x in (5, 2, 9, 7)]


def plain(results):
    return to_text(results)


def test_the_same_in_any_executor():
    here = spread(partial(task, threads=1), JOBS)
    assert [r["sum"] for r in here] == [float(np.random.default_rng(x).random(x).sum()) for x in (5, 2, 9, 7)]
    seen = []
    assert plain(spread(alone(task, Inline()), JOBS, Inline(), finished=seen.append)) == plain(here)
    assert sorted(seen) == [0, 1, 2, 3]
    with ThreadPoolExecutor(3) as threads:
        assert plain(spread(alone(task, threads, 7), JOBS, threads)) == plain(here), "one thread where there are many jobs"
    assert spread(alone(task, None, 7), JOBS)[0]["threads"] == 7
    assert spread(task, []) == []


def test_a_job_s_own_error_is_raised_as_it_was():
    for executor in (None, Inline()):
        with pytest.raises(mb.DivergenceError, match="at step 3"):
            spread(task, [*JOBS, {"x": None, "seed": 0}], executor)


def test_a_lost_executor_is_one_line_and_what_was_finished_is_kept(tmp_path):
    with pytest.raises(Lost, match=r"^the executor was lost \(BrokenExecutor: a worker is gone\) after 2 of 4 jobs: they are in this "
                                   r"error's `finished`$") as caught:
        spread(task, JOBS, Inline(dies=2))
    assert plain([caught.value.finished[i] for i in (0, 1)]) == plain(spread(task, JOBS[:2]))
    path = tmp_path / "a.part.json"
    with pytest.raises(Lost, match="after 2 of 4 jobs: they are in .*a.part.json, and the same call goes on from there"):
        spread(task, JOBS, Inline(dies=2), record=Record(path))
    again, seen = Inline(), []
    made = spread(task, JOBS, again, record=Record(path), finished=seen.append)
    assert again.count == 2 and sorted(seen) == [0, 1, 2, 3] and plain(made) == plain(spread(task, JOBS))
    assert made[0]["array"].dtype == np.float32 and made[3]["array"].dtype == np.float32


def test_a_record_knows_jobs_by_all_they_depend_on(tmp_path):
    path = tmp_path / "b.part.json"
    record = Record(path, {"numpy": "2"})
    spread(task, JOBS, record=record)
    for about, jobs, count in (({"numpy": "2"}, JOBS, 0), ({"numpy": "3"}, JOBS, 4),
                               ({"numpy": "2"}, [JOBS[1], JOBS[2] | {"seed": 1}], 1)):
        executor = Inline()
        spread(task, jobs, executor, record=Record(path, about))
        assert executor.count == count
    keys = {digest(value) for value in (1, 1.0, True, "1", [1], {"1": 1}, np.array([1]), np.array([1.0]), np.array([[1]]), None,
                                        [], [[]], ["a", "bc"], ["ab", "c"], Point(1), Point(2))}
    assert len(keys) == 16
    with pytest.raises(TypeError, match="a job must be plain data"):
        digest(object())
    with pytest.raises(TypeError, match="a result must be plain data"):
        to_text({"a": object()})


@dataclass(frozen=True)
class Point:
    x: int


def test_what_was_used_is_removed_and_the_rest_stays(tmp_path):
    path = tmp_path / "c.part.json"
    spread(task, JOBS, record=Record(path))
    record = Record(path)
    spread(task, JOBS[:3], record=record)
    record.clear()
    assert len(Record(path).results) == 1
    record = Record(path)
    spread(task, JOBS[3:], record=record)
    record.clear()
    assert not path.exists() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[1]", json.dumps({"finished": 3}),
                                  json.dumps({"finished": {"a": {"array": "AAAA", "dtype": "|O", "shape": [1]}}})])
def test_a_file_that_is_no_record_is_one_line(text, tmp_path):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(InputError, match=r"d\.json: is no record of finished jobs, move it away: [^\n]+$"):
        Record(tmp_path / "d.json")


def test_bits_survive_the_file():
    value = {"f": [0.1, 1e-320, -0.0, 2**70, float("inf")], "s": "±", "n": None, "t": True,
             "a": rng.standard_normal((2, 3, 0)), "b": rng.standard_normal((2, 3)).astype("f4").T, "c": np.array([True, False])}
    again = from_text(to_text(value))
    assert again["f"] == value["f"] and again["s"] == "±" and again["n"] is None and again["t"] is True
    for name in "abc":
        assert again[name].dtype == value[name].dtype and again[name].shape == value[name].shape
        assert again[name].tobytes() == np.ascontiguousarray(value[name]).tobytes()


def test_an_interrupt_calls_off_what_has_not_begun_and_keeps_the_rest(tmp_path):
    gate, begun = threading.Event(), []

    def slow(job):
        begun.append(job)
        if len(begun) > 1:
            gate.wait(10)
        return job

    def interrupted(i):
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(KeyboardInterrupt):
            spread(slow, [1, 2, 3, 4], threads, finished=interrupted, record=Record(tmp_path / "e.json"))
        gate.set()
    assert len(begun) <= 2 and list(Record(tmp_path / "e.json").results.values()) == [1]


KILLED = """
import os, signal, sys
from minibayes.spread import Record, spread

def finished(i):
    if i == 2:
        os.kill(os.getpid(), signal.SIGKILL)

spread(abs, [-3, -4, -5, -6], record=Record(sys.argv[1]), finished=finished)
"""


@pytest.mark.slow
def test_a_kill_9_loses_nothing_that_was_finished(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "f.json")], cwd=Path(mb.__file__).parent.parent)
    assert done.returncode == -9 and sorted(Record(tmp_path / "f.json").results.values()) == [3, 4, 5]


# ------------------------------------------------------------------------------------ predictions in pieces

X = rng.standard_normal((200, 6)).astype(np.float32)
DROP = nn.Bernoulli(0.5)
CASES = {
    "classes": (models.mlp([6, 40, 30, 3]), None, {}),
    "numbers": (models.mlp([6, 40, 1], input_noise=DROP), bayes.Gaussian(2.0), {}),
    "two heads, shared": (models.mlp([6, 40, 2], activation="tanh"), bayes.Heteroscedastic(), {"shared": True}),
    "weight averaging": (models.mlp([6, 40, 3]), None, {"rule": "weight-averaging"}),
}


@pytest.mark.parametrize("size", [64, 130, 1000])
@pytest.mark.parametrize("name", CASES)
def test_pieces_in_an_executor_have_the_bits_of_one_call(name, size):
    net, likelihood, options = CASES[name]
    model = mb.BayesianNetwork(net, likelihood=likelihood, params=net.init(1))
    y = np.zeros(200, int) if likelihood is None else np.zeros((200, 1))
    options = {"samples": 7, "seed": 4, "keep_samples": True} | options
    whole = model.predict(X, first=0, **options)
    for executor in (None, Inline()):
        made = predict_in_pieces(model, X, executor=executor, size=size, **options)
        assert made.samples.tobytes() == whole.samples.tobytes() and made.num_samples == whole.num_samples
        assert made.log_likelihood(y).tobytes() == whole.log_likelihood(y).tobytes()
        for field in ("mean", "std_error", "std", "constant", *(("entropy", "mutual_information", "variation_ratio", "label")
                                                                if likelihood is None else ("epistemic", "aleatoric"))):
            assert getattr(made, field).tobytes() == getattr(whole, field).tobytes(), field
    if likelihood is not None:
        loose = predict_in_pieces(model, X, executor=Inline(), size=size, **options | {"keep_samples": False})
        assert loose.quantile(0.3).tobytes() == whole.quantile(0.3).tobytes()


def test_bad_arguments_of_pieces():
    net = models.mlp([6, 4, 3])
    model = mb.BayesianNetwork(net, params=net.init(1))
    for options, says in (({"size": 0}, "size must be >= 1"), ({"samples": "auto"}, "samples must be an integer"),
                          ({"rule": "best"}, "rule must be one of"), ({"seed": -1}, "seed must be")):
        with pytest.raises(InputError, match=says):
            mb.predict_in_pieces(model, X, executor=Inline(), **options)
    with pytest.raises(InputError, match="x must"):
        mb.predict_in_pieces(model, X[:, :5], executor=Inline())


# ------------------------------------------------------------------------------------ ensembles

def test_members_of_an_ensemble_are_jobs():
    """The same bits as one after the other; new processes too, which have the parent's cache of kernels."""
    y = np.sin(X[:, 0])
    model = mb.BayesianNetwork(models.mlp([6, 10, 1], noise=DROP), likelihood=bayes.Gaussian(10.0))
    here, there = (mb.Ensemble.of(model, 3).fit(X, y, seed=7, epochs=2, executor=executor) for executor in (None, Inline()))
    for one, other in zip(here.members, there.members, strict=True):
        assert to_text(one.params) == to_text(other.params)
        assert [{k: v for k, v in row.items() if k != "seconds"} for row in one.history] == [
            {k: v for k, v in row.items() if k != "seconds"} for row in other.history]
    with pytest.raises(mb.InputError, match="epochs must be"):
        mb.Ensemble.of(model, 2).fit(X, y, epochs=-1, executor=Inline())


def test_a_caller_s_broken_pool_is_said_to_be_lost():
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(Lost, match=r"BrokenProcessPool.* after 0 of 1 jobs"):
        spread(os._exit, [1], pool)
