"""The flat step against adding up and updating layer by layer, and what a StepMemory takes and refuses."""

from dataclasses import dataclass

import numpy as np
import pytest

from minibayes import BayesianNetwork, InputError, kernels, models, nn
from minibayes.fast import memory as memory_module
from minibayes.fast.memory import StepMemory
from minibayes.nn.optimizers import leaves


@dataclass(frozen=True)
class Signs(nn.Optimizer):
    """A user's own optimizer, which knows nothing of shards: theta' = theta - rate_t sign(m'), m' = (m + g)/2."""

    slots = ("m",)

    def init(self, params):
        return {"step": 0, "m": {n: {p: np.zeros_like(a) for p, a in g.items()} for n, g in params.items()}}

    def update(self, params, grads, state):
        m = {n: {p: (a + grads[n][p]) / 2 for p, a in g.items()} for n, g in state["m"].items()}
        new = {n: {p: a - a.dtype.type(self.rate_at(state["step"])) * np.sign(m[n][p]) for p, a in g.items()} for n, g in params.items()}
        return new, {"step": state["step"] + 1, "m": m}


OPTIMIZERS = [nn.SGD(0.1, momentum=0.9, policy="inv", multipliers={"fc1": {"b": 2.0}}), nn.Adam(0.01), Signs(0.01)]


def normal_like(tree, rng, dtype):
    return {n: {p: rng.standard_normal(a.shape).astype(dtype) for p, a in g.items()} for n, g in tree.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_step_is_the_sum_and_the_update_bit_for_bit(optimizer, dtype, count, parts, monkeypatch):
    """With a decay that changes from step to step, and more of the KL's gradient than a decay every second time."""
    monkeypatch.setattr(memory_module, "HOP", 1)
    rng = np.random.default_rng(0)
    start = models.mlp([60, 90, 7]).init(rng, dtype)  # more numbers than one chunk of the kernel
    memory = StepMemory(optimizer, start, 5)
    fast = slow = start
    state = fast_state = optimizer.init(start)
    for step in range(4):
        decay = {n: {p: 0.1 * (1 + step) + 0.01 * len(p) for p in g} for n, g in start.items()}
        rest = {"fc2": normal_like(start, rng, dtype)["fc2"]} if step % 2 else {}
        shards = [normal_like(start, rng, dtype) for _ in range(count)]
        total = {}
        for n, p, theta in leaves(slow):
            g = shards[0][n][p] + rest[n][p] if n in rest else shards[0][n][p]
            for more in shards[1:]:
                g = g + more[n][p]
            total.setdefault(n, {})[p] = g + dtype(decay[n][p]) * theta
        penalty = sum(decay[n][p] * float((theta.astype(np.float64) ** 2).sum()) / 2 for n, p, theta in leaves(slow))
        slow, state = optimizer.update(slow, total, state)
        for tree, grads in zip(memory.grads(count), shards, strict=True):
            for n, p, a in leaves(grads):
                tree[n][p][...] = a
        old = {n: {p: a.copy() for p, a in g.items()} for n, g in fast.items()}
        tasks, new, new_state = memory.begin(fast, fast_state, count, parts, decay, rest)
        assert len(tasks) == (0 if isinstance(optimizer, Signs) else min(parts, 2))
        for task in reversed(tasks):
            task()
        assert memory.penalty() == pytest.approx(penalty, rel=1e-6 if dtype == np.float32 else 1e-13)
        assert all((old[n][p] == fast[n][p]).all() for n in old for p in old[n])  # the old state stays whole
        fast, fast_state = new, new_state
        for n, p, a in leaves(slow):
            assert fast[n][p].dtype == dtype and (fast[n][p] == a).all()
            assert all((fast_state[slot][n][p] == state[slot][n][p]).all() for slot in optimizer.slots)
    assert fast_state["step"] == state["step"] == 4


class Halved(nn.SGD):
    """A subclass of an optimizer in the table has an update of its own."""

    def update(self, params, grads, state, out=None):
        return super().update(params, {n: {p: a / 2 for p, a in g.items()} for n, g in grads.items()}, state, out)


def test_a_subclass_takes_its_own_step():
    start = models.mlp([4, 5, 3]).init(0)
    memory, optimizer = StepMemory(Halved(0.5), start, 1), Halved(0.5)
    grads = normal_like(start, np.random.default_rng(0), np.float32)
    for n, p, a in leaves(grads):
        memory.grads(1)[0][n][p][...] = a
    _, new, _ = memory.begin(start, optimizer.init(start), 1, 1, {})
    assert all((new[n][p] == a - np.float32(0.25) * grads[n][p]).all() for n, p, a in leaves(start))


def test_a_step_memory_is_for_so_many_shards_and_one_dtype():
    start = models.mlp([4, 5, 3]).init(0)
    memory = StepMemory(nn.SGD(0.1), start, 2)
    assert len(memory.grads(1)) == 1 and len(memory.grads(2)) == 2
    with pytest.raises(InputError, match="holds the gradients of 2 shards, not 3: give it the number of shards of a full batch"):
        memory.grads(3)
    with pytest.raises(InputError, match="one dtype, got .*fc2/b of float64"):
        StepMemory(nn.SGD(0.1), start | {"fc2": start["fc2"] | {"b": np.zeros(3)}}, 2)


def test_the_state_is_the_one_given_even_with_the_last_parameters():
    """theta may be the memory's own array while the velocity beside it comes from elsewhere."""
    start, optimizer = models.mlp([4, 5, 3]).init(0), nn.SGD(0.5, momentum=0.5)
    memory = StepMemory(optimizer, start, 1)
    for _, _, a in leaves(memory.grads(1)[0]):
        a[...] = 1

    def step(params, state):
        tasks, params, state = memory.begin(params, state, 1, 1, {})
        for task in tasks:
            task()
        return params, state

    params, _ = step(start, optimizer.init(start))
    expected = {n: {p: a - np.float32(0.5) for p, a in g.items()} for n, g in params.items()}
    at_rest = optimizer.init(start)["v"]
    new, _ = step(params, {"step": 1, "v": at_rest})
    assert all((new[n][p] == a).all() for n, p, a in leaves(expected))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_that_starts_with_a_short_batch_goes_on(stop, tmp_path):
    """96 examples in batches of 64: the first batch that a resumed run sees may be the short one, of fewer shards than the next."""
    x, y = np.random.default_rng(0).random((96, 28, 28, 1), np.float32), np.arange(96) % 10
    whole, parts = BayesianNetwork(models.lenet("all")), BayesianNetwork(models.lenet("all"))
    whole.fit(x, y, steps=4, batch_size=64, seed=1)
    parts.fit(x, y, steps=stop, batch_size=64, seed=1, checkpoint=tmp_path / "run.npz")
    parts.fit(x, y, steps=4, batch_size=64, seed=1, checkpoint=tmp_path / "run.npz")
    assert all((parts.params[n][p] == a).all() for n, p, a in leaves(whole.params))


def test_an_optimizer_of_ones_own_trains():
    x, y = np.random.default_rng(0).standard_normal((80, 4)).astype(np.float32), np.arange(80) % 3
    fits = [BayesianNetwork(models.mlp([4, 5, 3])) for _ in range(2)]
    for model, threads in zip(fits, (1, 2), strict=True):
        model.fit(x, y, steps=5, batch_size=64, optimizer=Signs(0.01), threads=threads)
    assert all((fits[1].params[n][p] == a).all() for n, p, a in leaves(fits[0].params))


def test_update_kernels_are_their_py_func():
    rng = np.random.default_rng(0)
    n, bounds, decay, rate = 30, np.array([0, 11, 30]), np.array([0.1, 0.2]), np.array([0.5, 1.5])
    shards, theta, v, m = rng.standard_normal((3, n)), *rng.standard_normal((2, n)), np.abs(rng.standard_normal(n))
    for kernel, args in ((kernels.sgd_shards, (theta, v, 0.9)), (kernels.adam_shards, (theta, v, m, 0.9, 0.99, 1e-8, 0.5, 0.4))):
        results = []
        for form in (kernel, kernel.py_func):
            outs, penalty = [np.zeros(n) for _ in range(2 if kernel is kernels.sgd_shards else 3)], np.zeros(1)
            form(shards, 0, 29, bounds, decay, rate, *args, *outs, penalty)
            assert all(o[29] == 0 for o in outs)
            assert penalty[0] == pytest.approx((0.1 * (theta[:11] ** 2).sum() + 0.2 * (theta[11:29] ** 2).sum()) / 2, rel=1e-13)
            results.append(outs)
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
