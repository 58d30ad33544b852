"""One step of one run: the batch and its noise, functions of (seed, step); and the step, plain or fast."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from . import require
from .bayes import Objective
from .bayes.objective import Terms
from .bayes.warm_up import KLFactor
from .checkpoint import DivergenceError, State, fingerprint
from .fast import compare, parallel
from .fast.memory import StepMemory
from .fast.program import Program
from .fast.wide import WideStep
from .floats import quiet
from .nn import Key, Network, Optimizer, Rows
from .nn.optimizers import leaves

# A shard, what one thread takes forward and backward, does not depend on the number of threads. It has
SHARD = 32  # examples at least, or half of a smaller batch,
SMALL = 20e6  # operations at least (or a thread hop would cost more than it saves),
MOST = 32  # and a batch is cut into so many at most, as the gradients of each stay until they are added.


class Run:
    """The settings of one call of fit, and its step: plain, as the equations read, or fast.

    Both give the same up to rounding.

    objective: L-hat of the plain network.
    optimizer: acts on theta.
    x: inputs, (N, ...).
    y: targets, as the likelihood takes them.
    batch_size: B; N where N is smaller.
    seed: of the order of the examples and of the noise.
    plain: whether the layers themselves run; not by default.
    kl_factor: how much of the KL each step counts; all of it by default.
    patience: of `stops`; None by default, never.
    augment: (x, key, rows) -> x', of each shard; none by default.
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, x: np.ndarray, y: np.ndarray,
                 batch_size: int, seed: int, plain: bool = False, kl_factor: KLFactor | None = None,
                 patience: int | None = None, augment: Callable | None = None):
        self.plain = objective
        self.fast = None if plain else replace(objective, net=Program(objective.net))
        self.compared = not plain and compare.wanted()
        self.optimizer = optimizer
        self.kl_factor = kl_factor or KLFactor()
        self.patience, self.augment = patience, augment
        self.x, self.y = x, y
        self.batch_size = min(batch_size, len(x))
        self.key = Key(seed).derive("fit")
        self.order = Key(seed).derive("order")
        self.steps_per_epoch = -(-len(x) // self.batch_size)
        operations = max(1, objective.net.flops(x.shape[1:]))
        self.shard = max(min(SHARD, math.ceil(self.batch_size / 2)), math.ceil(SMALL / operations),
                         math.ceil(self.batch_size / MOST))
        self._epoch = None
        self._permutation = None
        self._passes = None
        self._cuts = {}  # a batch in shards, by its size
        self._memory = self._wide = None

    def rows(self, step: int) -> np.ndarray:
        """The examples of a step, in the order of its epoch: a function of (seed, step) only."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            order = np.random.default_rng([self.order.seed, epoch])
            self._permutation = order.permutation(len(self.x)).astype(np.int64, copy=False)
            self._passes = np.full(self.batch_size, epoch, np.uint64)
        return self._permutation[index * self.batch_size:(index + 1) * self.batch_size]

    def examples_before(self, step: int) -> int:
        """How many examples the steps before it take."""
        epochs, index = divmod(step, self.steps_per_epoch)
        return epochs * len(self.x) + index * self.batch_size

    def batch(self, rows: np.ndarray, net: Network | Program) -> tuple:
        """(x, y, eps) of the examples `rows`: eps depends on (seed, epoch, layer, example, unit) alone."""
        x, y = self.x.take(rows, axis=0), self.y.take(rows, axis=0)
        which = Rows(rows.view(np.uint64), self._passes[:len(rows)], x.dtype)
        if self.augment is not None:
            x = augmented(self.augment, x, self.key.derive("augment"), which)
        return x, y, net.draw_rows(self.key, x.shape[1:], which)

    def augmented(self) -> int | None:
        """A fingerprint of what `augment` makes of the first batch: a function cannot be written down."""
        if self.augment is None:
            return None
        return fingerprint(self.batch(self.rows(0), self.plain.net)[0])

    def step(self, state: State, pool: Callable) -> State:
        """The State after one more step."""
        rows = self.rows(state.step)
        if self.fast is None:
            new, = pool(lambda rows: self.plain_step(state, rows), [rows])
        else:
            new = self.fast_step(state, rows, pool)
        terms, params, optimizer = new
        if not math.isfinite(terms.per_datum):
            raise DivergenceError(f"the loss became {terms.per_datum} at step {state.step + 1} (epoch "
                                  f"{self._epoch + 1}): lower the learning rate, or look at the data's scale")
        if self.compared:
            self.compare(state, rows, terms, params)
        B = len(rows)
        nll, loss, count = state.sums
        sums = nll + B * terms.nll, loss + B * terms.per_datum, count + B
        return State(state.step + 1, params, optimizer, sums, state.history, state.best)

    def plain_step(self, state: State, rows: np.ndarray) -> tuple:
        """Sample omega-hat ~ q_theta(omega), and minimise L-hat(theta) one step."""
        x, y, eps = self.batch(rows, self.plain.net)
        with quiet():  # one DivergenceError says it, no warnings; by thread
            terms, grads = self.plain.value_and_grad(state.params, x, y, eps, self.kl_factor.at(state.step))
        return terms, *self.optimizer.update(state.params, grads, state.optimizer)

    def fast_step(self, state: State, rows: np.ndarray, pool: Callable) -> tuple:
        """The same: the shards of a batch, and then the numbers of theta, are divided among the threads."""
        objective, B = self.fast, len(rows)
        if self._wide is None:
            self._wide = WideStep.of(objective.net, self.optimizer, state.params, self.batch_size,
                                     objective.kl_by_rows) or False
        cuts = self._cuts.get(B) or self._cuts.setdefault(B, parallel.slices(B, self.shard))
        if self._wide:
            return self.wide_step(state, rows, cuts, pool)
        if self._memory is None:  # for the shards of a whole batch: an epoch's last is shorter
            most = len(parallel.slices(self.batch_size, self.shard))
            self._memory = StepMemory(self.optimizer, state.params, most)
        memory, settled = self._memory, objective.net.settled(state.params)

        def shard(task):
            i, out = task
            x, y, eps = self.batch(rows[cuts[i]], objective.net)
            with quiet():
                nll, grads = objective.data_term(settled, x, y, eps, B, out=out)
            for name in objective.net.learned:
                for p, g in objective.net.layers[name].phi(grads[name]).items():
                    out[name][p][...] = g
            return nll

        kl_factor = self.kl_factor.at(state.step)
        decay, rest, slopes = objective.kl_split(state.params, kl_factor)
        nlls = []
        waves, filled = memory.waves(len(cuts))
        for wave in waves:
            if nlls:  # there was a wave before: its gradients make room
                pool(call, memory.fold(pool.threads, slopes))
                slopes = None
            nlls += pool(shard, wave)
        # The new state goes into other arrays than the old: what an interrupt finds is never half written.
        updates, params, optimizer = memory.begin(
            state.params, state.optimizer, filled, pool.threads, decay, slopes)
        pool(call, updates)
        kl_value = objective.kl_of(state.params, memory.penalty() + rest, kl_factor)
        terms = objective.terms_of(nlls, B, kl_value, kl_factor)
        return terms, params, optimizer

    def wide_step(self, state: State, rows: np.ndarray, cuts: list, pool: Callable) -> tuple:
        """The same where the gradient would be long: columns of the outputs, then rows of the matrices."""
        objective, wide, B = self.fast, self._wide, len(rows)
        x, y, eps = joined(pool(lambda cut: self.batch(rows[cut], objective.net), cuts))
        with quiet():
            nll, grads = objective.data_term(state.params, x, y, eps, B, net=wide.through(pool))
        kl_factor = self.kl_factor.at(state.step)
        others = {name: group for name, group in state.params.items() if name not in wide.own_kl}
        decay, rest, slopes = objective.kl_split(others, kl_factor)
        updates, params, optimizer = wide.begin(
            state.params, state.optimizer, B, grads, decay, slopes,
            lambda name, rows: objective.kl_split({name: rows}, kl_factor))
        kl_value = objective.kl_of(state.params, sum(pool(call, updates)) + rest, kl_factor)
        return objective.terms_of([nll], B, kl_value, kl_factor), params, optimizer

    def compare(self, state: State, rows: np.ndarray, terms: Terms, params: dict) -> None:
        """An error if the plain step from the same state differs by more than rounding."""
        plain, expected, _ = self.plain_step(state, rows)
        compare.same(f"the loss of step {state.step + 1}", terms.per_datum, plain.per_datum, self.x.dtype)
        for layer, param, array in leaves(expected):
            before = state.params[layer][param]
            what = f"the step of {layer}/{param} at step {state.step + 1}"
            compare.same(what, params[layer][param] - before, array - before, self.x.dtype,
                         floor=np.abs(before).max(initial=0))


def call(task: Callable) -> object:
    return task()


def joined(batches: list[tuple]) -> tuple:
    """(x, y, eps) of several parts of a batch."""
    if len(batches) == 1:
        return batches[0]
    x, y, eps = zip(*batches, strict=True)
    eps = {name: np.concatenate([one[name] for one in eps]) for name in eps[0]}
    return np.concatenate(x), np.concatenate(y), eps


def augmented(augment: Callable, x: np.ndarray, key: Key, rows: Rows) -> np.ndarray:
    """What `augment` makes of x, if it is as many inputs of the same shape."""
    made = require.array("what augment returns", augment(x, key, rows))
    if made.shape != x.shape:
        raise require.InputError(f"augment must return an array of shape {x.shape}, as it was given, "
                                 f"got {made.shape}")
    return np.ascontiguousarray(made, x.dtype)
