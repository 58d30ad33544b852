"""Training: interrupted and resumed, cut into shards or not, on any number of threads, the same bits; and nothing of it left behind."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import minibayes as mb
from minibayes import bayes, models, nn, storage, training
from minibayes import run as run_module
from minibayes.fast import compare, parallel, sweep
from minibayes.fast import program as fast_program

rng = np.random.default_rng(0)
N, BATCH, STEPS = 23, 5, 12  # 5 steps an epoch, the last one of 3 examples; 2 epochs and 2 steps
X, Y = rng.standard_normal((N, 4)).astype(np.float32), rng.integers(0, 3, N)
IMAGES, DIGITS = rng.random((37, 10, 10, 1)).astype(np.float32), rng.integers(0, 4, 37)


def conv_net(noise=nn.Bernoulli(0.5), per="patch"):  # noqa: B008  (a frozen record)
    return nn.Network((10, 10, 1), c=nn.Conv2d(1, 4, 3, noise=noise, noise_per=per), p=nn.MaxPool2d(2),
                      c2=nn.Conv2d(4, 5, 3, noise=noise), f=nn.Flatten(), d=nn.Dense(20, 8, noise=noise), r=nn.ReLU(),
                      e=nn.Dense(8, 4, noise=noise))


def sgd_model():
    return mb.BayesianNetwork(models.mlp([4, 6, 3], noise=nn.Bernoulli(0.6)), prior=bayes.Prior(0.1))


def adam_model():
    return mb.BayesianNetwork(models.mlp([4, 6, 3], noise=nn.Gaussian(0.2)), prior=bayes.Prior({"fc1": 0.1, "fc2": 0.2}))


SETUPS = {
    "SGD, momentum, inv, Bernoulli": (sgd_model, nn.SGD(0.1, momentum=0.9, policy="inv", gamma=0.1, multipliers={"fc1": {"b": 2}})),
    "Adam, Gaussian": (adam_model, nn.Adam(0.01)),
}


def report(snapshot, row):
    """What a user might note: a number of the parameters, and a random pass."""
    return {"norm": float(np.linalg.norm(snapshot.params["fc1"]["M"])), "pass": snapshot.predict(X[:1], samples=2).mean.tolist()}


def fit(setup, **options):
    """A new model of that setup, fitted."""
    make, optimizer = SETUPS[setup]
    model = make()
    settings = {"steps": STEPS, "batch_size": BATCH, "optimizer": optimizer, "seed": 7, "validation": (X[:6], Y[:6]),
                "validation_samples": 3, "on_report": report, "report_every": 5}
    model.fit(X, Y, **(settings | options))
    return model


def bits(model):
    """Every parameter as bytes, by name."""
    return {f"{layer}/{name}": array.tobytes() for layer, group in model.params.items() for name, array in group.items()}


def untimed(history):
    """The rows without their seconds: all that must be the same from run to run."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def assert_same(a, b):
    assert bits(a) == bits(b)
    assert untimed(a.history) == untimed(b.history)


class Killed(BaseException):
    """As sudden as kill -9: no `except Exception` and no `except KeyboardInterrupt` sees it."""


def raising_at(count, function, error, after=False):
    """`function`, until its call number `count` raises `error`, before or after doing its work."""
    calls = [0]

    def wrapped(*args, **kwargs):
        calls[0] += 1
        if calls[0] < count:
            return function(*args, **kwargs)
        if after:
            function(*args, **kwargs)
        raise error
    return wrapped


@pytest.fixture(scope="module")
def whole():
    """Each setup, never interrupted and without a checkpoint."""
    return {name: fit(name) for name in SETUPS}


# ---------------------------------------------------------------------------------------------------- interrupted and resumed

PLACES = {  # what raises, and whether it does its work first
    "before a step": (training.Run, "step", False), "after a step": (training.Run, "step", True),
    "noise": (fast_program.Program, "draw_rows", False),
    "gradient": (bayes.Objective, "data_term", True), "beside the update": (bayes.Objective, "terms_of", True),
}


def kill(monkeypatch, setup, path, place, count, **options):
    """Fit until the call number `count` of `place` kills the run; True if it came to that."""
    owner, name, after = PLACES[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raising_at(count, getattr(owner, name), Killed(), after))
        try:
            fit(setup, checkpoint=path, **options)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("every", [None, 1, 2])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("setup", SETUPS)
def test_killed_at_any_step(setup, place, every, whole, tmp_path, monkeypatch):
    """Killed in each step in turn, in the middle of an epoch or at its end; resumed once, with the same result to the bit."""
    for step in range(1, STEPS + 1):
        path = tmp_path / f"{step}.npz"
        assert kill(monkeypatch, setup, path, place, step, checkpoint_every=every, on_report=None, validation=None)
        if place != "noise":
            assert storage_step(path) == ((step - 1) // every * every if every == 1 else max(
                (step - 1) // 5 * 5, (step - 1) // every * every if every else 0))
        resumed = fit(setup, checkpoint=path, checkpoint_every=every, on_report=None, validation=None)
        assert bits(resumed) == bits(whole[setup])
        keys = ("epoch", "step", "loss", "nll")
        assert [[row[k] for k in keys] for row in resumed.history] == [[row[k] for k in keys] for row in whole[setup].history]


def storage_step(path):
    with storage.opened(path) as archive:
        return storage.read_header(archive)["progress"]["step"]


@pytest.mark.parametrize("setup", SETUPS)
def test_killed_again_and_again(setup, whole, tmp_path, monkeypatch):
    """No run gets further than three steps, with reports and validation, until one reaches the end."""
    kills = 0
    while kill(monkeypatch, setup, tmp_path / "c.npz", "before a step", 4, checkpoint_every=1):
        kills += 1
        assert kills < STEPS
    assert kills == (STEPS - 1) // 3
    assert_same(fit(setup, checkpoint=tmp_path / "c.npz"), whole[setup])


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize("setup", SETUPS)
def test_killed_during_a_report(setup, row, whole, tmp_path):
    with pytest.raises(Killed):
        fit(setup, checkpoint=tmp_path / "c.npz", on_report=raising_at(row, report, Killed()))
    assert_same(fit(setup, checkpoint=tmp_path / "c.npz"), whole[setup])


@pytest.mark.parametrize("place", ["savez", "fsync", "replace"])
@pytest.mark.parametrize("setup", SETUPS)
def test_killed_while_writing(setup, place, whole, tmp_path, monkeypatch):
    """The checkpoint of the step before is whole and is taken up."""
    for count in (1, 2, 5):
        path = tmp_path / f"{count}.npz"
        with monkeypatch.context() as patch:
            owner = np if place == "savez" else os
            patch.setattr(owner, place, raising_at(count, getattr(owner, place), Killed()))
            with pytest.raises(Killed):
                fit(setup, checkpoint=path, checkpoint_every=2)
        assert path.exists() == (count > 1)
        assert_same(fit(setup, checkpoint=path), whole[setup])


def test_checkpoints_cost_no_bits(whole, tmp_path):
    """With a checkpoint in every step or without any: the same run; and a finished one is taken as it is."""
    for setup in SETUPS:
        path = tmp_path / f"{setup}.npz"
        assert_same(fit(setup, checkpoint=path, checkpoint_every=1), whole[setup])
        written = path.read_bytes()
        again = fit(setup, checkpoint=path)
        assert_same(again, whole[setup])
        assert path.read_bytes() == written
        assert bits(mb.load(path)) == bits(again)


def test_the_setups_and_their_settings_matter(whole):
    """What the tests above compare does differ where it should."""
    setup = next(iter(SETUPS))
    assert bits(fit(setup, seed=8)) != bits(whole[setup])
    assert bits(fit(setup, steps=STEPS - 1)) != bits(whole[setup])
    assert bits(fit(setup, batch_size=BATCH + 1)) != bits(whole[setup])
    assert bits(fit(setup)) == bits(whole[setup])


def test_a_longer_run_from_a_finished_one(tmp_path):
    """3 epochs, then up to 5 from the checkpoint: the parameters of 5 epochs at once."""
    for setup in SETUPS:
        path, options = tmp_path / f"{setup}.npz", {"steps": None, "report_every": None}
        fit(setup, epochs=3, checkpoint=path, **options)
        longer = fit(setup, epochs=5, checkpoint=path, **options)
        assert_same(longer, fit(setup, epochs=5, **options))
        assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4, 5]
        fit(setup, steps=28, report_every=10, checkpoint=path)
        assert bits(fit(setup, steps=33, report_every=10, checkpoint=path)) == bits(fit(setup, steps=33))


def test_a_report_may_hold_numpy_numbers(tmp_path):
    """With a checkpoint, rows are what a file gives back, interrupted or not."""
    def numbers(snapshot, row):
        return {"a": np.float32(0.1), "b": np.arange(3), "c": (1, 2), "d": {0: np.float64(0.5)}}

    setup, path = next(iter(SETUPS)), tmp_path / "c.npz"
    done = fit(setup, on_report=numbers, checkpoint=path)
    with pytest.raises(Killed):
        fit(setup, on_report=raising_at(2, numbers, Killed()), checkpoint=path, resume=False)
    assert_same(fit(setup, on_report=numbers, checkpoint=path), done)
    with pytest.raises(mb.InputError, match="on_report .*plain|on_report .*numbers"):
        fit(setup, on_report=lambda snapshot, row: {"model": snapshot}, checkpoint=path, resume=False)
    assert "model" in fit(setup, on_report=lambda snapshot, row: {"model": snapshot}).history[0]


CHILD = """
    import time
    from test_training import *
    make, optimizer = SETUPS[{setup!r}]
    make().fit(X, Y, steps={steps}, batch_size=BATCH, optimizer=optimizer, seed=7, report_every=3, checkpoint={path!r}, checkpoint_every=1,
               on_report=lambda snapshot, row: time.sleep(0.02))
"""


@pytest.mark.slow
@pytest.mark.parametrize("setup", SETUPS)
def test_kill_9(setup, tmp_path):
    """A process killed by the system three times, each time some steps later; the file is readable at every moment."""
    path, steps = tmp_path / "c.npz", 400
    places = os.pathsep.join([str(Path(mb.__file__).parent.parent), str(Path(__file__).parent)])
    code = textwrap.dedent(CHILD.format(setup=setup, steps=steps, path=str(path)))
    for goal in (5, 40, 90):
        child = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": places})
        try:
            until = time.monotonic() + 600
            while not (path.exists() and storage_step(path) >= goal):
                assert child.poll() is None and time.monotonic() < until
            child.kill()
        finally:
            child.kill()
            assert child.wait() == -signal.SIGKILL
        assert goal <= storage_step(path) < steps
    options = {"steps": steps, "report_every": 3, "on_report": None, "validation": None}
    assert_same(fit(setup, checkpoint=path, **options), fit(setup, **options))


# ------------------------------------------------------------------------------------------------------------------- Ctrl-C

@pytest.mark.parametrize("place", ["before a step", "after a step", "gradient", "beside the update"])
@pytest.mark.parametrize("setup", SETUPS)
def test_ctrl_c(setup, place, whole, tmp_path, monkeypatch, nothing_left_running):
    """The model keeps the last finished step, and so does the checkpoint, even between two regular ones."""
    owner, name, after = PLACES[place]
    for step in (1, 2, 5, 6, 8):
        path, model = tmp_path / f"{step}.npz", SETUPS[setup][0]()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, raising_at(step, getattr(owner, name), KeyboardInterrupt(), after))
            patch.setitem(SETUPS, setup, (lambda model=model: model, SETUPS[setup][1]))
            with pytest.raises(KeyboardInterrupt):
                fit(setup, checkpoint=path)
        assert storage_step(path) == step - 1
        assert bits(mb.load(path)) == bits(model)
        assert untimed(model.history) == [row for row in untimed(whole[setup].history) if row["step"] < step]
        if step > 1:
            assert bits(model) == bits(fit(setup, steps=step - 1))
        assert_same(fit(setup, checkpoint=path), whole[setup])


def test_a_real_signal_in_the_middle_of_a_threaded_step(monkeypatch, tmp_path, nothing_left_running):
    """SIGINT arrives while two threads work on shards."""
    monkeypatch.setattr(run_module, "SMALL", 0)
    monkeypatch.setattr(run_module, "SHARD", 4)
    model, whole_run = mb.BayesianNetwork(conv_net()), mb.BayesianNetwork(conv_net())
    options = {"steps": 6, "batch_size": 20, "seed": 1, "threads": 2}
    whole_run.fit(IMAGES, DIGITS, **options)
    original, calls = bayes.Objective.data_term, []

    def interrupted(*args, **kwargs):
        calls.append(threading.current_thread())
        if len(calls) == 12:  # in the third step
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.005)
        return original(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bayes.Objective, "data_term", interrupted)
        model.fit(IMAGES, DIGITS, checkpoint=tmp_path / "c.npz", **options)
        time.sleep(1)
    assert {threading.main_thread()} < set(calls), "the calling thread and another"
    assert storage_step(tmp_path / "c.npz") in (2, 3)
    assert bits(mb.load(tmp_path / "c.npz")) == bits(model)
    model.fit(IMAGES, DIGITS, checkpoint=tmp_path / "c.npz", **options)
    assert_same(model, whole_run)


def test_an_error_before_the_first_step_leaves_the_model_as_it_was(monkeypatch):
    setup = next(iter(SETUPS))
    model = fit(setup)
    params, history, before = model.params, model.history, bits(model)
    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "step", raising_at(1, training.Run.step, ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            model.fit(X, Y, epochs=1)
    assert model.params is params and model.history is history and bits(model) == before


def ruin(snapshot, row):
    for group in snapshot.params.values():
        for array in group.values():
            array[...] = 0
    raise ZeroDivisionError


def full_disk(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("fault", ["an error in on_report", "what it returns", "a full disk", "no memory"])
@pytest.mark.parametrize("setup", SETUPS)
def test_an_error_keeps_what_was_trained(setup, fault, whole, tmp_path, monkeypatch):
    """The parameters of the last finished step stay in the model, and in the checkpoint if it can be written.

    The run goes on from there, bit for bit; what came before in the history is there.
    """
    model, path = SETUPS[setup][0](), tmp_path / "c.npz"
    calls, step = [], 7 if fault == "no memory" else 5  # a row is due after 5
    with monkeypatch.context() as patch:
        patch.setitem(SETUPS, setup, (lambda: model, SETUPS[setup][1]))
        options = {"on_report": report}
        if fault == "an error in on_report":
            options["on_report"] = ruin
        elif fault == "what it returns":
            options["on_report"] = lambda *args: {"model": object()}
        elif fault == "no memory":
            patch.setattr(training.Run, "step", raising_at(8, training.Run.step, MemoryError()))
        else:
            def fsync(*args):
                calls.append(args)
                return full_disk() if len(calls) > 1 else None

            patch.setattr(os, "fsync", fsync)
        with pytest.raises((ZeroDivisionError, mb.InputError, MemoryError)):
            fit(setup, checkpoint=path, **options)
    assert bits(model) == bits(fit(setup, steps=step, on_report=None, validation=None))
    assert [row["step"] for row in model.history] == ([5] if fault in ("a full disk", "no memory") else [])
    assert storage_step(path) == (0 if fault == "a full disk" else step)
    assert_same(fit(setup, checkpoint=path), whole[setup])


def test_an_error_without_a_checkpoint_keeps_it_too():
    model = sgd_model()
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, epochs=3, on_report=ruin)
    assert bits(model) == bits(run_epochs(1))


# --------------------------------------------------------------------------------------- threads, shards, batches, masks: same bits

@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Bernoulli(0.3), nn.Gaussian(0.5)], ids=str)
@pytest.mark.parametrize("batch", [1, 7, 13, 37, 64])
def test_any_number_of_threads(batch, noise, monkeypatch, nothing_left_running):
    """Shards of 5 of a batch, of a last partial one, and of one that is all the data."""
    monkeypatch.setattr(run_module, "SMALL", 0)
    monkeypatch.setattr(run_module, "SHARD", 5)
    models_ = []
    for threads in (1, 2, 3):
        model = mb.BayesianNetwork(conv_net(noise, "kernel" if batch == 7 else "patch"), prior=bayes.Prior(0.1))
        model.fit(IMAGES, DIGITS, steps=7, batch_size=batch, report_every=2, validation=(IMAGES, DIGITS), validation_samples=2, seed=3,
                  optimizer=nn.SGD(0.02, momentum=0.9), threads=threads)
        models_.append(model)
    assert_same(models_[0], models_[1])
    assert_same(models_[0], models_[2])
    assert len(models_[0].history) == 4


def test_lenet_on_any_number_of_threads():
    """With the real shard size: 70 images are two full shards and a part of one, then a batch of 6."""
    x, y = rng.random((76, 28, 28, 1)).astype(np.float32), np.arange(76) % 10
    fitted = []
    for threads in (1, 2, 3):
        model = mb.BayesianNetwork(models.lenet("all"), prior=bayes.Prior(0.01))
        model.fit(x, y, steps=3, batch_size=70, threads=threads)
        fitted.append(model)
    run = training.Run(bayes.Objective(models.lenet("all"), bayes.Prior(), bayes.Categorical(), 76), nn.SGD(0.1), x, y, 70, 0)
    assert run.shard == run_module.SHARD < 70
    assert_same(fitted[0], fitted[1])
    assert_same(fitted[0], fitted[2])
    predicted = [fitted[0].predict(x, samples=3, threads=threads).mean.tobytes() for threads in (1, 2, 3)]
    assert len(set(predicted)) == 1


def test_the_environment_sets_the_threads(monkeypatch):
    seen = []
    original = parallel.ThreadPoolExecutor
    monkeypatch.setattr(parallel, "ThreadPoolExecutor", lambda threads, **kwargs: seen.append(threads) or original(threads, **kwargs))
    monkeypatch.setenv("MINIBAYES_THREADS", "3")
    sgd_model().fit(X, Y, epochs=1)
    sgd_model().fit(X, Y, epochs=1, threads=2)
    monkeypatch.setenv("MINIBAYES_THREADS", "1")
    sgd_model().fit(X, Y, epochs=1)
    assert seen == [2, 1], "the calling thread is the other one"


def masks(monkeypatch, batch, shard, **options):
    """{(pass, example, layer): z as bytes} of every z that a fit drew."""
    drawn, original, lock = {}, fast_program.Program.draw_rows, threading.Lock()

    def recorded(self, key, input_shape, rows, shared=False):
        z = original(self, key, input_shape, rows, shared)
        if shared:  # the look at the outputs after the run: a z of no example
            return z
        with lock:
            for name, array in z.items():
                for row, example, t in zip(array, rows.examples.tolist(), rows.passes.tolist(), strict=True):
                    assert (t, example, name) not in drawn, "each example's z is drawn once an epoch"
                    drawn[t, example, name] = row.tobytes()
        return z

    with monkeypatch.context() as patch:
        patch.setattr(fast_program.Program, "draw_rows", recorded)
        patch.setattr(run_module, "SMALL", 0)
        patch.setattr(run_module, "SHARD", shard)
        model = mb.BayesianNetwork(conv_net(options.pop("noise")))
        model.fit(IMAGES, DIGITS, epochs=2, batch_size=batch, optimizer=nn.SGD(1e-4), **options)
    return drawn


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian()], ids=str)
def test_masks_do_not_depend_on_the_batch(noise, monkeypatch):
    reference = masks(monkeypatch, 37, 37, noise=noise)
    assert len(reference) == 2 * 37 * 4
    for batch, shard, threads in ((1, 1, 1), (8, 3, 2), (20, 20, 1), (100, 7, 3)):
        assert masks(monkeypatch, batch, shard, noise=noise, threads=threads) == reference
    # A fresh omega-hat for every example, layer, epoch and seed.
    assert len(set(reference.values())) > 0.95 * len(reference)
    other = masks(monkeypatch, 37, 37, noise=noise, seed=1)
    assert other.keys() == reference.keys() and np.mean([other[k] == reference[k] for k in reference]) < 0.05


@pytest.mark.parametrize("batch", [5, 8, 50])
@pytest.mark.parametrize("setup", SETUPS)
def test_fit_is_this_loop(setup, batch):
    """Every epoch in its own order, every example with its own z; one step on d(L-hat/N)/d theta after the other. Nothing else."""
    make, optimizer = SETUPS[setup]
    model, x = make(), X.astype(np.float64)
    model.fit(x, Y, steps=13, batch_size=batch, optimizer=optimizer, seed=5, report_every=1, dtype=np.float64)
    plain = make()
    objective = bayes.Objective(plain.net, plain.prior, plain.likelihood, N)
    params, rows, step, epoch = plain.net.init(5, np.float64), [], 0, 0
    state = optimizer.init(params)
    while step < 13:
        order = np.random.default_rng([nn.Key(5).derive("order").seed, epoch]).permutation(N)
        for chosen in np.split(order, range(batch, N, batch)):
            z = plain.net.sample(nn.Key(5).derive("fit").at(epoch), (len(chosen), 4), examples=chosen, dtype=np.float64)
            terms, grads = objective.value_and_grad(params, x[chosen], Y[chosen], z)
            params, state = optimizer.update(params, grads, state)
            step += 1
            rows.append((step, terms.nll, terms.per_datum))
            if step == 13:
                break
        epoch += 1
    for name, group in params.items():
        for param, array in group.items():
            np.testing.assert_allclose(model.params[name][param], array, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose([(row["step"], row["nll"], row["loss"]) for row in model.history], rows, rtol=1e-10)


def test_orders_visit_every_example_once():
    run = training.Run(bayes.Objective(sgd_model().net, bayes.Prior(), bayes.Categorical(), N), nn.SGD(0.1), X, Y, BATCH, 3)
    epochs = [np.concatenate([run.rows(step) for step in range(5 * e, 5 * e + 5)]) for e in range(3)]
    for order in epochs:
        assert sorted(order) == list(range(N))
    assert not (epochs[0] == epochs[1]).all() and not (epochs[1] == epochs[2]).all()
    assert (run.rows(3) == epochs[0][15:20]).all(), "also when asked for out of order"
    assert [run.examples_before(step) for step in (0, 1, 5, 6, 14)] == [0, 5, 23, 28, 66]


# ------------------------------------------------------------------------------------------------------- the wrong checkpoint

def start(seed=1):
    return sgd_model().net.init(seed)


OTHER = {  # what differs from the first run, and what the error says
    "training data": ({"x": X + 1e-6}, "training data"),
    "one label": ({"y": np.where(np.arange(N) == 9, (Y + 1) % 3, Y)}, "training data"),
    "fewer examples": ({"x": X[:-1], "y": Y[:-1]}, "training data"),
    "seed": ({"seed": 8}, "seed: 7 there, 8 here"),
    "batch size": ({"batch_size": 6}, "batch_size: 5 there, 6 here"),
    "rate": ({"optimizer": nn.SGD(0.2, momentum=0.9)}, "optimizer.*0.1.*0.2"),
    "momentum": ({"optimizer": nn.SGD(0.1)}, "optimizer.*0.9"),
    "policy": ({"optimizer": nn.SGD(0.1, momentum=0.9, policy="inv")}, "optimizer.*inv"),
    "multipliers": ({"optimizer": nn.SGD(0.1, momentum=0.9, multipliers={"fc1": {"b": 2}})}, "optimizer.*fc1"),
    "optimizer": ({"optimizer": nn.Adam(0.1)}, "optimizer.*SGD.*Adam"),
    "keep": ({"model": mb.BayesianNetwork(models.mlp([4, 6, 3], noise=nn.Bernoulli(0.5)), prior=bayes.Prior(0.1))}, "network"),
    "width": ({"model": mb.BayesianNetwork(models.mlp([4, 7, 3], noise=nn.Bernoulli(0.6)), prior=bayes.Prior(0.1))}, "network"),
    "activation": ({"model": mb.BayesianNetwork(models.mlp([4, 6, 3], noise=nn.Bernoulli(0.6), activation="tanh"), prior=bayes.Prior(0.1))},
                   "network"),
    "prior": ({"model": mb.BayesianNetwork(models.mlp([4, 6, 3], noise=nn.Bernoulli(0.6)), prior=bayes.Prior(0.2))}, "prior.*0.1.*0.2"),
    "likelihood": ({"model": mb.BayesianNetwork(models.mlp([4, 6, 3], noise=nn.Bernoulli(0.6)), prior=bayes.Prior(0.1),
                                                likelihood=bayes.Gaussian()), "y": rng.standard_normal((N, 3))},
                   "likelihood.*Categorical.*Gaussian"),
    "dtype": ({"dtype": np.float64}, "dtype: 'float32' there, 'float64' here"),
    "initial parameters": ({"params": start(1)}, "initial parameters"),
}


def run(model=None, x=X, y=Y, **options):
    model = sgd_model() if model is None else model
    model.fit(x, y, **({"steps": 7, "batch_size": BATCH, "optimizer": nn.SGD(0.1, momentum=0.9), "seed": 7} | options))
    return model


@pytest.mark.parametrize("what", OTHER)
def test_a_checkpoint_of_another_run(what, tmp_path):
    """One error that names the difference; the file and the model stay as they are, and resume=False overwrites it."""
    path, (options, says) = tmp_path / "run.npz", OTHER[what]
    run(checkpoint=path)
    written = path.read_bytes()
    with pytest.raises(storage.FileError, match=rf"'{path}' is of a run with another {says}.*resume=False"):
        run(checkpoint=path, **options)
    assert path.read_bytes() == written
    assert_same(run(checkpoint=path, resume=False, **options), run(**options))
    assert path.read_bytes() != written


def test_the_same_run_in_other_words(tmp_path):
    """A checkpoint does not care how the same numbers are given."""
    path = tmp_path / "run.npz"
    first = run(checkpoint=path)
    again = run(x=X.astype(np.float64).tolist(), y=list(Y), seed=np.int64(7), batch_size=np.int32(5), checkpoint=str(path), threads=2,
                optimizer=nn.SGD(np.float64(0.1), momentum=0.9), report_every=1, checkpoint_every=3)
    assert_same(first, again)


def test_a_checkpoint_beyond_the_steps_asked_for(tmp_path):
    run(checkpoint=tmp_path / "run.npz")
    with pytest.raises(mb.InputError, match=r"run\.npz' is at step 7, beyond the 6"):
        run(checkpoint=tmp_path / "run.npz", steps=6)


def test_a_model_file_as_checkpoint(tmp_path):
    path = tmp_path / "model.npz"
    run().save(path)
    written = path.read_bytes()
    with pytest.raises(storage.FileError, match="is a model file, not a checkpoint"):
        run(checkpoint=path)
    assert path.read_bytes() == written


def test_a_path_that_cannot_be_written_shows_first(tmp_path, monkeypatch):
    (tmp_path / "file").touch()

    def work(*args):
        raise AssertionError("work began")

    monkeypatch.setattr(bayes.Objective, "data_term", work)
    for path, resume in ((tmp_path / "no" / "c.npz", True), (tmp_path / "file" / "c.npz", True), (tmp_path, True), (tmp_path, False),
                         (tmp_path / "file", True)):
        with pytest.raises(mb.InputError, match=path.name):
            run(checkpoint=path, resume=resume)
    for bad in ({"threads": 0}, {"checkpoint_every": 0}, {"optimizer": nn.SGD(0.1, multipliers={"fc9": {"M": 2}})}):
        with pytest.raises(mb.InputError):
            run(checkpoint=tmp_path / "new.npz", **bad)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"], "no file was made"


# ------------------------------------------------------------------------------------------------------------------ divergence

@pytest.mark.parametrize("optimizer", [nn.SGD(1e6), nn.SGD(1e6, momentum=0.9), nn.Adam(1e18)], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("threads", [1, 2])
def test_divergence(optimizer, threads, tmp_path, monkeypatch, nothing_left_running):
    """One error that names the step; the model is as before and the checkpoint is a finite one. (Warnings are errors here.)"""
    monkeypatch.setattr(run_module, "SMALL", 0)
    monkeypatch.setattr(run_module, "SHARD", 4)
    path, model = tmp_path / "run.npz", mb.BayesianNetwork(conv_net())
    model.fit(IMAGES, DIGITS, epochs=1)
    before, history = bits(model), model.history
    with pytest.raises(mb.DivergenceError, match=r"(the loss became|NaN or infinite after) .*step \d+.*learning rate"):
        model.fit(IMAGES, DIGITS, epochs=50, batch_size=10, optimizer=optimizer, checkpoint=path, checkpoint_every=1, threads=threads)
    assert bits(model) == before and model.history is history
    good = mb.load(path)
    assert all(np.isfinite(array).all() for group in good.params.values() for array in group.values())
    assert 0 <= storage_step(path) < 200
    with pytest.raises(mb.DivergenceError):  # it is taken up, and comes to the same end
        model.fit(IMAGES, DIGITS, epochs=50, batch_size=10, optimizer=optimizer, checkpoint=path, threads=threads)


def test_the_step_named_is_the_step(monkeypatch):
    original = bayes.Objective.data_term
    calls = iter(range(1, 100))

    def data_term(*args, **kwargs):
        nll, grads = original(*args, **kwargs)
        return (float("nan") if next(calls) == 8 else nll), grads

    monkeypatch.setattr(bayes.Objective, "data_term", data_term)
    with pytest.raises(mb.DivergenceError, match=r"nan at step 8 \(epoch 2\)"):
        run(steps=20)


def test_parameters_that_overflow_in_the_last_step(tmp_path, monkeypatch):
    """The loss of the last step was finite: what it leads to is looked at all the same."""
    original = training.Run.step

    def overflowing(*args):
        state = original(*args)
        if state.step == 7:
            state.params["fc2"]["b"][0] = np.inf
        return state

    monkeypatch.setattr(training.Run, "step", overflowing)
    with pytest.raises(mb.DivergenceError, match="fc2/b is NaN or infinite after step 7"):
        run(steps=7, checkpoint=tmp_path / "run.npz")
    assert storage_step(tmp_path / "run.npz") == 5


@pytest.mark.filterwarnings("ignore::minibayes.cautions.ScaleWarning")
def test_an_optimizer_that_overflows(tmp_path):
    """Adam squares gradients: at 1e20 its average is infinite, and its steps would be 0 for good."""
    model = mb.BayesianNetwork(models.mlp([4, 6, 1]), likelihood=bayes.Gaussian())
    path, x, y = tmp_path / "run.npz", X * 3e10, X[:, 0] * 1e9
    for _ in range(2):
        with pytest.raises(mb.DivergenceError, match=r"optimizer.*infinite after step \d+.*scale"):
            model.fit(x, y, epochs=3, optimizer=nn.Adam(1e-3), checkpoint=path)
    assert model.params is None and mb.load(path).predict(X).mean.shape == (N, 1)


def test_ctrl_c_while_diverging_keeps_the_good_checkpoint(tmp_path, monkeypatch):
    original = training.Run.step

    def step(run, state, pool):
        if state.step == 7:
            raise KeyboardInterrupt
        state = original(run, state, pool)
        if state.step == 7:
            state.optimizer["v"]["fc2"]["b"][0] = np.inf
        return state

    monkeypatch.setattr(training.Run, "step", step)
    with pytest.raises(KeyboardInterrupt):
        run(steps=20, checkpoint=tmp_path / "run.npz")
    assert storage_step(tmp_path / "run.npz") == 5


# ------------------------------------------------------------------------------------------------------------ what fit leaves alone

@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian(0.2)], ids=str)
def test_inputs_are_never_modified(noise):
    """Neither x, y, validation nor params; arrays that cannot be written to will do, and any memory order."""
    x, y, params = IMAGES.copy(), DIGITS.copy(), conv_net(noise).init(4)
    kept = {n: {p: a.copy() for p, a in g.items()} for n, g in params.items()}
    model = mb.BayesianNetwork(conv_net(noise), params=params)
    model.fit(x, y, params=params, epochs=2, batch_size=20, validation=(x, y), validation_samples=2)
    for rule in ("mc", "weight-averaging"):
        prediction = model.predict(x, rule=rule, samples=3, keep_samples=True)
        prediction.log_likelihood(y)
        prediction.error(y)
    assert (x == IMAGES).all() and (y == DIGITS).all()
    assert all((params[n][p] == kept[n][p]).all() for n in params for p in params[n])
    for array in (x, y, *(a for g in params.values() for a in g.values())):
        array.flags.writeable = False
    column_major = mb.BayesianNetwork(conv_net(noise))
    column_major.fit(np.asfortranarray(x), y, params={n: {p: np.asfortranarray(a) for p, a in g.items()} for n, g in params.items()},
                     epochs=2, batch_size=20, validation=(x[:, ::-1][:, ::-1], y), validation_samples=2)
    assert_same(model, column_major)
    before = bits(model)
    model.predict(np.asfortranarray(x), samples=3)
    assert bits(model) == before


def test_regression_inputs_are_never_modified():
    x, y = X.astype(np.float64), X[:, 0].astype(np.float64)
    x.flags.writeable = y.flags.writeable = False
    model = mb.BayesianNetwork(models.mlp([4, 6, 1]), likelihood=bayes.Gaussian(2.0))
    model.fit(x, y, epochs=2, dtype=np.float64, validation=(x, y))
    prediction = model.predict(x, samples=5)
    prediction.log_likelihood(y)
    prediction.rmse(y)
    assert (x == X).all() and (y == X[:, 0]).all()


def test_two_fits_of_one_model_are_independent():
    """Each call starts anew; the parameters of an earlier one are not written into."""
    model = sgd_model()
    first_history = model.fit(X, Y, epochs=2)
    first, kept, rows = model.params, bits(model), untimed(first_history)
    model.fit(X, Y, epochs=2)
    assert bits(model) == kept and model.params is not first
    model.fit(X, Y, epochs=1, params=model.params)
    assert bits(model) != kept
    again = sgd_model()
    again.params = first
    assert bits(again) == kept and untimed(first_history) == rows and model.history is not first_history


def test_no_global_random_state():
    """Neither read nor set, NumPy's or Python's."""
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        model = sgd_model()
        model.fit(X, Y, epochs=2, validation=(X, Y))
        results.append((bits(model), model.predict(X, samples=3).mean.tobytes()))
        after = np.random.get_state()  # noqa: NPY002
        assert after[0] == numpy_state[0] and (after[1] == numpy_state[1]).all() and after[2:] == numpy_state[2:]
        assert random.getstate() == python_state
    assert results[0] == results[1]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_blas_is_held_to_one_thread_and_let_go(threads, nothing_left_running, monkeypatch):
    monkeypatch.setattr(run_module, "SMALL", 0)
    monkeypatch.setattr(run_module, "SHARD", 5)
    inside, names = [], []

    def look(snapshot, row):
        inside.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")
        names.append(sum(t.name.startswith("minibayes") for t in threading.enumerate()))

    model = mb.BayesianNetwork(conv_net())
    model.fit(IMAGES, DIGITS, epochs=2, threads=threads, on_report=look, validation=(IMAGES, DIGITS), validation_samples=2)
    # On a busy machine a helper may have done its work before the next is sent for, and then does that one's too.
    assert set(inside) == {1} and len(names) == 2 and all(min(threads - 1, 1) <= n <= threads - 1 for n in names)
    model.predict(IMAGES, samples=20, threads=threads)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, Killed])
@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_left_after_an_error(error, threads, nothing_left_running, monkeypatch):
    """In a worker of fit, in a worker of predict, in a report."""
    monkeypatch.setattr(run_module, "SMALL", 0)
    monkeypatch.setattr(sweep, "SMALL", 1)  # enough for several tasks
    monkeypatch.setattr(run_module, "SHARD", 5)
    model = mb.BayesianNetwork(conv_net())
    model.fit(IMAGES, DIGITS, epochs=1)
    for owner, name, count, work in (
            (bayes.Objective, "data_term", 3, lambda: model.fit(IMAGES, DIGITS, epochs=2, threads=threads)),
            (sweep, "sweep", 2, lambda: model.predict(IMAGES, samples=30, threads=threads)),
            (mb.BayesianNetwork, "predict", 1, lambda: model.fit(IMAGES, DIGITS, validation=(IMAGES, DIGITS), threads=threads))):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, raising_at(count, getattr(owner, name), error()))
            with pytest.raises(error):
                work()


def test_a_shown_progress_bar_leaves_nothing(nothing_left_running, monkeypatch, capsys):
    """At a terminal: no monitor thread (nor one for a bar that is not shown); stdout is never written to."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = sgd_model()
    model.fit(X, Y, epochs=30, progress=True)
    model.predict(X, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "fit" in err and "predict" in err
    monkeypatch.undo()
    assert_same(model, run_epochs(30))
    model.fit(X, Y, epochs=30, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and all(line.startswith("fit: ") for line in err.splitlines())  # a line a minute, if it took one
    assert not [t for t in threading.enumerate() if "monitor" in type(t).__name__.lower()]


def run_epochs(epochs):
    model = sgd_model()
    model.fit(X, Y, epochs=epochs)
    return model


def test_two_fits_at_once_are_as_if_alone(nothing_left_running, monkeypatch):
    monkeypatch.setattr(run_module, "SMALL", 0)
    monkeypatch.setattr(run_module, "SHARD", 5)

    def work(seed, out):
        model = mb.BayesianNetwork(conv_net())
        model.fit(IMAGES, DIGITS, epochs=4, batch_size=13, seed=seed, threads=2, validation=(IMAGES, DIGITS), validation_samples=3)
        out[seed] = model, model.predict(IMAGES, samples=5, threads=2).mean.tobytes()

    alone, together = {}, {}
    for seed in range(3):
        work(seed, alone)
    workers = [threading.Thread(target=work, args=(seed, together)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed in range(3):
        assert_same(alone[seed][0], together[seed][0])
        assert alone[seed][1] == together[seed][1]
    assert bits(alone[0][0]) != bits(alone[1][0])


# ------------------------------------------------------------------------------------------------------------------ the history

@pytest.mark.parametrize("steps, every, rows", [(12, None, [5, 10, 12]), (10, None, [5, 10]), (12, 5, [5, 10, 12]), (4, None, [4]),
                                                (3, 1, [1, 2, 3]), (7, 100, [7]), (1, 7, [1])])
def test_rows_of_the_history(steps, every, rows):
    history = run(steps=steps, report_every=every).history
    assert [row["step"] for row in history] == rows
    assert [row["epoch"] for row in history] == [step / 5 for step in rows]
    assert all(set(row) == {"epoch", "step", "loss", "nll", "seconds"} and row["seconds"] > 0 for row in history)


def test_a_row_is_the_mean_over_examples_since_the_last():
    """Not over steps: the last, smaller batch of an epoch counts by its size."""
    fine, coarse = run(steps=12, report_every=1).history, run(steps=12, report_every=5).history
    sizes = [5, 5, 5, 5, 3] * 2 + [5, 5]
    for key in ("nll", "loss"):
        values = [row[key] for row in fine]
        expected = [np.average(values[a:b], weights=sizes[a:b]) for a, b in ((0, 5), (5, 10), (10, 12))]
        np.testing.assert_allclose([row[key] for row in coarse], expected, rtol=1e-12)


@pytest.mark.parametrize("epochs, steps", [(1, 5), (2, 10), (0.5, 2), (0.01, 1), (1.5, 8), (2.1, 10)])
def test_epochs_in_steps(epochs, steps):
    """epochs * (steps of an epoch), rounded, at least one."""
    assert run(steps=None, epochs=epochs).history[-1]["step"] == steps


def test_what_validation_adds():
    model = run(validation=(X[:9], Y[:9]), validation_samples=4, report_every=3)
    final = model.history[-1]["validation"]
    assert set(final) == {"weight-averaging", "mc"}
    for rule, score in final.items():
        prediction = model.predict(X[:9], rule=rule, samples=4, seed=7)
        assert score == {"error": prediction.error(Y[:9]), "nll": -prediction.log_likelihood(Y[:9]).mean()}
    assert final["mc"]["nll"] != final["weight-averaging"]["nll"]
    first = run(steps=3)
    assert model.history[0]["validation"]["mc"]["nll"] == -first.predict(X[:9], samples=4, seed=7).log_likelihood(Y[:9]).mean()


def test_what_validation_adds_in_regression():
    model = mb.BayesianNetwork(models.mlp([4, 6, 2]), likelihood=bayes.Gaussian(3.0))
    model.fit(X, X[:, :2], epochs=2, validation=(X, X[:, :2]), validation_samples=4, seed=2)
    for rule, score in model.history[-1]["validation"].items():
        prediction = model.predict(X, rule=rule, samples=4, seed=2)
        assert score == {"rmse": prediction.rmse(X[:, :2]), "nll": -prediction.log_likelihood(X[:, :2]).mean()}


def test_what_on_report_gets_and_gives():
    seen = []

    def look(snapshot, row):
        seen.append((snapshot, bits(snapshot), dict(row)))
        return {"mine": len(seen)} if len(seen) < 3 else None

    model = run(steps=12, validation=(X, Y), on_report=look)
    assert [row["step"] for _, _, row in seen] == [5, 10, 12]
    assert [row.get("mine") for row in model.history] == [1, 2, None]
    for (snapshot, at_the_time, given), row in zip(seen, model.history, strict=True):
        assert bits(snapshot) == at_the_time, "the snapshot's parameters are its own"
        assert given == {key: value for key, value in row.items() if key != "mine"}
        assert bits(snapshot) == bits(run(steps=row["step"]))
        assert snapshot.net is model.net and snapshot.prior is model.prior


def test_a_report_cannot_disturb_the_run():
    def vandal(snapshot, row):
        for group in snapshot.params.values():
            for array in group.values():
                array[...] = np.nan

    assert_same(run(on_report=vandal), run())


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_resumes_right_before_a_short_batch(stop, tmp_path):
    """96 images in batches of 64: the first batch of a resumed run may be the epoch's last, of 32 images and one shard fewer."""
    images, labels = mb.data.mnist()[:2]
    images, labels = images[:96], labels[:96]
    whole, resumed = (mb.BayesianNetwork(models.lenet("all")) for _ in range(2))
    whole.fit(images, labels, steps=4, batch_size=64)
    for steps in (stop, 4):
        resumed.fit(images, labels, steps=steps, batch_size=64, checkpoint=tmp_path / "run.npz")
    assert bits(whole) == bits(resumed)


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian(), nn.LearnedGaussian(0.5)], ids=repr)
def test_the_plain_way_and_the_fast_one_agree(noise, monkeypatch):
    """MINIBAYES_COMPARE does both in every step and prediction; fit(plain=True) and predict(plain=True) do the plain one alone."""
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    fast = mb.BayesianNetwork(conv_net(noise))
    fast.fit(IMAGES, DIGITS, steps=4, dtype=np.float64)
    monkeypatch.delenv("MINIBAYES_COMPARE")
    plain = mb.BayesianNetwork(conv_net(noise))
    plain.fit(IMAGES, DIGITS, steps=4, dtype=np.float64, plain=True)
    for name, group in fast.params.items():
        for p, a in group.items():
            np.testing.assert_allclose(a, plain.params[name][p], rtol=1e-9, atol=1e-12)
    for rule in ("mc", "weight-averaging"):
        np.testing.assert_allclose(fast.predict(IMAGES, samples=7, rule=rule).mean,
                                   fast.predict(IMAGES, samples=7, rule=rule, plain=True).mean, rtol=1e-9)


def test_the_comparison_finds_a_fault(monkeypatch):
    """A gradient that is 1 % too large, in the fast way alone."""
    original = fast_program.Program.backward

    def too_large(self, params, caches, df, want_dx=True, out=None):
        return original(self, params, caches, 1.01 * df, want_dx, out)

    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    monkeypatch.setattr(fast_program.Program, "backward", too_large)
    with pytest.raises(compare.Disagreement, match="the step of .* at step 1: the fast way is"):
        mb.BayesianNetwork(conv_net()).fit(IMAGES, DIGITS, steps=2)


def test_the_plain_way_reaches_the_layers(monkeypatch):
    """A breakpoint in Dense.backward is reached with plain=True, and only then."""
    reached, original = [], nn.Dense.backward
    monkeypatch.setattr(nn.Dense, "backward", lambda self, *args: reached.append(self) or original(self, *args))
    for plain in (False, True):
        mb.BayesianNetwork(conv_net()).fit(IMAGES, DIGITS, steps=1, plain=plain)
        assert bool(reached) == plain


def test_a_plain_run_does_not_go_on_as_a_fast_one(tmp_path):
    path = tmp_path / "run.npz"
    mb.BayesianNetwork(conv_net()).fit(IMAGES, DIGITS, steps=2, plain=True, checkpoint=path)
    with pytest.raises(storage.FileError, match="another plain: True there, False here"):
        mb.BayesianNetwork(conv_net()).fit(IMAGES, DIGITS, steps=4, checkpoint=path)
