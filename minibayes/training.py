"""Repeat: sample omega-hat ~ q_theta(omega), and minimise L-hat(theta) one step. = Dropout training.

The loop is a pure function of (data, settings, step): batch order and noise are derived from the seed and the epoch, so a run that was
interrupted resumes from its checkpoint bit for bit.
"""

import contextlib
import math
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import require, storage
from .fast import parallel
from .fast.memory import StepMemory
from .fast.program import Program
from .nn import Key
from .nn.optimizers import leaves
from .progress import bar

# A shard, what one thread takes forward and backward, does not depend on the number of threads. It has
SHARD = 32  # examples at least,
SMALL = 20e6  # operations at least (or a thread hop would cost more than it saves),
MOST = 32  # and a batch is cut into so many shards at most, as the gradients of each are kept until they are added.


class DivergenceError(ArithmeticError):
    """The loss or a parameter became NaN or infinite. The last checkpoint, if any, is from before."""


@dataclass(frozen=True)
class State:
    """All that a run needs to go on, replaced as a whole after each step, so that an interrupt finds it consistent."""

    step: int
    params: dict
    optimizer: dict
    sums: tuple = (0.0, 0.0, 0)  # of nll and of L-hat/N over the examples since the last row of history, and their number
    history: list = field(default_factory=list)


class Run:
    """The settings of one call of fit, and its step."""

    def __init__(self, objective, optimizer, x, y, batch_size, seed):
        self.objective, self.optimizer, self.x, self.y = replace(objective, net=Program(objective.net)), optimizer, x, y
        self.batch_size = min(batch_size, len(x))
        self.key, self.order = Key(seed).derive("fit"), Key(seed).derive("order")
        self.steps_per_epoch = -(-len(x) // self.batch_size)
        self.shard = max(SHARD, math.ceil(SMALL / max(1, objective.net.flops(x.shape[1:]))), math.ceil(self.batch_size / MOST))
        self._epoch = self._permutation = self._passes = None
        self._memory = self._decay = None

    def rows(self, step):
        """The examples of a step, in the order of its epoch: a function of (seed, step) only."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.order.seed, epoch]).permutation(len(self.x)).astype(np.int64, copy=False)
            self._passes = np.full(self.batch_size, epoch, np.uint64)
        return self._permutation[index * self.batch_size:(index + 1) * self.batch_size]

    def examples_before(self, step):
        epochs, index = divmod(step, self.steps_per_epoch)
        return epochs * len(self.x) + index * self.batch_size

    def shard_term(self, params, rows, passes, batch, **out):
        """Forward and backward of one shard: z depends on (seed, epoch, layer, example, unit), not on the shard. passes: epochs."""
        x, y = self.x.take(rows, axis=0), self.y.take(rows, axis=0)
        z = self.objective.net.draw(self.key, len(rows), x.shape[1:], rows.view(np.uint64), passes, x.dtype)
        with quiet_overflow():
            return self.objective.data_term(params, x, y, z, batch, **out)

    def step(self, state, pool):
        """The State after one more step; its shards, and then the numbers of theta, are divided among the pool's threads."""
        rows = self.rows(state.step)
        B, passes, cuts = len(rows), self._passes[:len(rows)], parallel.slices(len(rows), self.shard)
        if self._memory is None:
            self._memory = StepMemory(self.optimizer, state.params, len(parallel.slices(self.batch_size, self.shard)))
            self._decay = self.objective.weight_decay(state.params)
        grads = self._memory.grads(len(cuts))
        shards = pool(lambda i: self.shard_term(state.params, rows[cuts[i]], passes[cuts[i]], B, out=grads[i]), range(len(cuts)))
        nlls = [nll for nll, _ in shards]
        # The new state is written into other arrays than the old: what an interrupt finds is never half written.
        if self._decay is not None:
            updates, params, optimizer = self._memory.begin(state.params, state.optimizer, len(cuts), pool.threads, self._decay)
            pool(lambda task: task(), updates)
            terms = self.objective.terms_of(nlls, B, self.objective.num_data * self._memory.penalty())
        else:
            terms, grads = self.objective.combine(state.params, shards, B)
            params, optimizer = self.optimizer.update(state.params, grads, state.optimizer)
        if not math.isfinite(terms.per_datum):
            raise DivergenceError(f"the loss became {terms.per_datum} at step {state.step + 1} (epoch {self._epoch + 1}): "
                                  "lower the learning rate, or look at the data's scale")
        nll, loss, count = state.sums
        sums = nll + B * terms.nll, loss + B * terms.per_datum, count + B
        return State(state.step + 1, params, optimizer, sums, state.history)


def quiet_overflow():
    """A run that diverges overflows before its loss does: that is one DivergenceError, not also NumPy's warnings (set per thread)."""
    return np.errstate(over="ignore", invalid="ignore")


def fingerprint(*arrays):
    """A CRC of the arrays' bytes: a checkpoint must not go on with other data."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1), crc)
    return crc


class Checkpoint:
    """A State on disk, tied to the settings of its run."""

    def __init__(self, path, model, run, seed, start):
        self.path, self.net, self.slots = Path(path), model.net, list(slots_of(run.optimizer.init(start)))
        self.header = storage.model_header(model, start) | {"kind": "checkpoint", "run": {
            "optimizer": storage.spec(run.optimizer), "batch_size": run.batch_size, "seed": seed,
            "data": fingerprint(run.x, run.y), "start": fingerprint(*(a for g in start.values() for a in g.values()))}}

    def save(self, state):
        check_finite(state)
        arrays = storage.flatten("params", state.params)
        for name, tree in slots_of(state.optimizer).items():
            arrays |= storage.flatten(f"optimizer/{name}", tree)
        progress = {"step": state.step, "slots": self.slots, "sums": state.sums, "history": state.history}
        storage.write(self.path, self.header | {"progress": progress}, arrays)

    def load(self):
        """The State at `path`; an error that names the first setting in which that run differs from this one."""
        with storage.opened(self.path) as archive:
            header = storage.read_header(archive)
            if header["kind"] != "checkpoint":
                raise storage.FileError(f"checkpoint {str(self.path)!r} is a model file, not a checkpoint: give another path")
            mine, theirs = dict(self.header), {k: header[k] for k in self.header}
            mine, theirs = mine | mine.pop("run"), theirs | theirs.pop("run")
            for name, value in mine.items():
                if theirs.get(name) != value:
                    shown = "" if name in ("network", "data", "start") else f": {theirs.get(name)!r} there, {value!r} here"
                    what = {"data": "training data", "start": "initial parameters"}.get(name, name)
                    raise storage.FileError(f"checkpoint {str(self.path)!r} is of a run with another {what}{shown}; give another path, "
                                            "or resume=False to start anew and overwrite it")
            progress, dtype = header["progress"], header["dtype"]
            step, history = require.integer("step", progress["step"], 0), progress["history"]
            sums = tuple(require.real("sums", s) if i < 2 else require.integer("sums", s, 0) for i, s in enumerate(progress["sums"]))
            if len(sums) != 3 or not isinstance(history, list) or not all(isinstance(row, dict) and "step" in row for row in history):
                raise ValueError("its history or sums are damaged")
            if progress["slots"] != self.slots:
                raise ValueError(f"its optimizer has {progress['slots']}, not {self.slots}")
            slots = {name: storage.read_tree(archive, f"optimizer/{name}", self.net, dtype) for name in self.slots}
            return State(step, storage.read_tree(archive, "params", self.net, dtype), {"step": step} | slots, sums, history)


def slots_of(optimizer_state):
    return {name: tree for name, tree in optimizer_state.items() if isinstance(tree, dict)}


def check_finite(state):
    """An error if the parameters, or the optimizer's averages of gradients (which overflow first), are not finite."""
    for what, tree in [("parameter", state.params), *((f"the optimizer's {name} of", t) for name, t in slots_of(state.optimizer).items())]:
        for layer, param, array in leaves(tree):
            if not np.isfinite(array).all():
                raise DivergenceError(f"{what} {layer}/{param} is NaN or infinite after step {state.step}: lower the learning rate, "
                                      "or look at the data's scale")


def fit(model, x, y, start, *, last_step, batch_size, optimizer, objective, seed, report_every, evaluate, progress,
        checkpoint, checkpoint_every, resume, threads):
    """Train from `start` to last_step and return the last State; on Ctrl-C the model keeps the last finished step's.

    Every `report_every` steps (None: every epoch) and at the end a row joins the history, with what `evaluate(params, row)` returns.
    """
    threads, run = parallel.thread_count(threads), Run(objective, optimizer, x, y, batch_size, seed)
    # In another memory order sums would round otherwise, and a run from a checkpoint (always in this one) would differ in the last bit.
    start = {name: {p: np.ascontiguousarray(a) for p, a in group.items()} for name, group in start.items()}
    state, keeper = State(0, start, optimizer.init(start)), None
    if checkpoint is not None:
        keeper = Checkpoint(checkpoint, model, run, seed, start)
        if resume and keeper.path.exists():
            state = keeper.load()
            if state.step > last_step:
                raise require.InputError(f"checkpoint {str(keeper.path)!r} is at step {state.step}, beyond the {last_step} asked for")
        else:
            keeper.save(state)  # a path that cannot be written shows before the work, not after
    began, report_every = time.perf_counter(), report_every or run.steps_per_epoch
    try:
        with parallel.pool(threads) as pool, bar(progress, run.examples_before(last_step), "fit", " images") as shown:
            shown.update(run.examples_before(state.step))
            while True:
                ends = state.step % report_every == 0 or state.step == last_step
                due = state.step > 0 and ends and (not state.history or state.history[-1]["step"] != state.step)
                if due:
                    check_finite(state)
                    nll, loss, count = state.sums
                    row = {"epoch": state.step / run.steps_per_epoch, "step": state.step, "loss": loss / count,
                           "nll": nll / count, "seconds": time.perf_counter() - began}
                    added = evaluate(state.params, row)
                    row |= storage.as_plain(added) if keeper else added  # as a resumed run finds it in the file
                    state = replace(state, history=[*state.history, row], sums=(0.0, 0.0, 0))
                    began = time.perf_counter()
                if keeper and (due or (checkpoint_every and state.step and state.step % checkpoint_every == 0)):
                    keeper.save(state)
                if state.step >= last_step:
                    return state
                state = run.step(state, pool)
                shown.update(len(run.rows(state.step - 1)))
                if shown.disable is False and state.step % 20 == 0:
                    shown.set_postfix_str(f"epoch {state.step / run.steps_per_epoch:.1f}, "
                                          f"loss {state.sums[1] / state.sums[2]:.4f}", refresh=False)
    except KeyboardInterrupt:
        model.params, model.history = state.params, state.history
        if keeper:
            with contextlib.suppress(DivergenceError):  # then the last good checkpoint stays
                keeper.save(state)
        raise
