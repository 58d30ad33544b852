"""A training step of dense layers with many weights, without a gradient in memory.

    columns of the outputs:   forward, layer by layer, and backward to the deltas d_l = dL/d(M_l x + b_l)
    rows of the matrices:     g = d_l^T x_l for some rows of M_l, + decay theta;
                              theta', slots' = update(theta, g, slots), while g is in cache

Every task takes all of the batch. One gradient for each shard of it, written and read again, took most of
such a step: it is as long as theta, where the deltas of 64 examples are as long as a few rows of it. And a
product of few rows by a large matrix spends its time on reading the matrix: with 32 rows BLAS makes half of
the operations a second that it makes with 128. Neither the columns nor the rows of a task depend on the
number of threads, and each number is added up in one place: the same bits for any.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import kernels
from ..nn.optimizers import SGD, Adam, Optimizer, leaves
from .parallel import slices
from .program import Program
from .sets import Sets
from .stages import DenseStack, Tree, in_rows

LEAST = 2**18  # parameters: with fewer, a gradient for each shard stays in cache
MOST = 2**24  # numbers that are kept of a batch: of more, the shards' gradients are less (memory.ROOM)
BLOCK = 2**17  # numbers of M that a task takes to update,
COLUMNS = 256  # and columns of a product, about,
OPERATIONS = 4e6  # if they are so many operations at least: for fewer, waking a thread would cost more


def sgd(optimizer: SGD, dtype: np.dtype, old: dict, new: dict, step: int) -> tuple:
    """(kernel, what it takes after the rates)."""
    momentum = dtype.type(optimizer.momentum)
    return kernels.sgd_rows, (old["theta"], old["v"], momentum, new["theta"], new["v"])


def adam(optimizer: Adam, dtype: np.dtype, old: dict, new: dict, step: int) -> tuple:
    constants = optimizer.constants(dtype.type, step)
    return kernels.adam_rows, (old["theta"], old["m"], old["s"], *constants, new["theta"], new["m"], new["s"])


BY_ROWS: dict[type, Callable] = {SGD: sgd, Adam: adam}


class Kept(NamedTuple):
    """Of one stage, for all of a batch and for each layer, a row per example."""

    xzs: tuple  # z o x, empty where there is no noise
    fs: tuple
    ds: tuple  # dL/df, behind the function's slope
    inputs: tuple  # what multiplies M: xz, or the layer's input


class WideStep:
    """The steps of one run; `of` says whether they are for its network and optimizer."""

    def __init__(self, program: Program, optimizer: Optimizer, params: Tree, batch: int):
        self.program, self.optimizer = program, optimizer
        self.sets = Sets(optimizer, params)
        self._none, self._threads = np.empty(0, self.sets.dtype), threading.local()
        self._nothing = np.empty((0, 0), self.sets.dtype)
        self.kept = {stage.name: self._keep(stage, batch) for stage in program.stages
                     if isinstance(stage, DenseStack)}
        places = {leaf[:2]: i for i, leaf in enumerate(self.sets.leaves)}
        self._tasks = []
        for stage in program.stages:
            if stage.name in self.kept:
                for name, x, d in zip(stage.layers, *self.kept[stage.name][3:1:-1], strict=True):
                    size = max(1, BLOCK // x.shape[1])
                    own = x, d, places[name, "M"], places[name, "b"]
                    self._tasks += [(*own, k, min(k + size, d.shape[1])) for k in range(0, d.shape[1], size)]

    @classmethod
    def of(cls, program: Program, optimizer: Optimizer, params: Tree, batch: int) -> WideStep | None:
        """None where the step is not for this network: all its weights must be in stacks of dense layers.

        Nor is it for a batch so large that its inputs and deltas are longer than gradients.
        """
        stacks = [stage for stage in program.stages if isinstance(stage, DenseStack)]
        inside = {name for stage in stacks for name in stage.layers}
        size = sum(array.size for *_, array in leaves(params))
        known = type(optimizer) in BY_ROWS and program.code is None and not program.learned
        rows = all(len(shape) == 1 for name, (shape, _) in program.shapes(program.input_shape).items()
                   if name in inside) if program.input_shape else False
        kept = batch * sum(2 * (layer.n_in + layer.n_out) for stage in stacks
                           for layer in stage.layers.values())
        fits = known and rows and size >= LEAST and inside == set(params) and kept <= MOST
        return cls(program, optimizer, params, batch) if fits else None

    def _keep(self, stage, batch):
        dtype, layers = self.sets.dtype, stage.layers.values()
        xzs = tuple(np.empty((batch if layer.noisy else 0, layer.n_in), dtype) for layer in layers)
        fs, ds = (tuple(np.empty((batch, layer.n_out), dtype) for layer in layers) for _ in range(2))
        before = [np.empty((0 if xzs[0].size else batch, xzs[0].shape[1]), dtype), *fs]
        inputs = tuple(xz if xz.size else x for xz, x in zip(xzs, before, strict=False))
        return Kept(xzs, fs, ds, inputs)

    def through(self, pool: Callable) -> Through:
        """The network, its products divided among the threads of a pool."""
        return Through(self, pool)

    def begin(self, params: Tree, state: dict, batch: int, decay: Tree, rest: Tree | None = None
              ) -> tuple[list[Callable], Tree, dict]:
        """(tasks, params', state') once all shards went through: as StepMemory.begin.

        Each task returns its part of 1/2 sum of decay theta^2.
        """
        turn, new, state, now = self.sets.turn(params, state)
        decays, rates = self.sets.decays(decay), self.sets.rates(now)
        kernel, arrays = BY_ROWS[type(self.optimizer)](self.optimizer, self.sets.dtype,
                                                       *self.sets.turns[turn], now)

        def task(x, d, M, b, start, stop):
            both, size, rows = [M, b], (stop - start) * (x.shape[1] + 1), slice(start, stop)
            g, more = self._scratch(size)
            more = self._rest(rest, both, rows, more) if rest else self._none
            return kernel(d[:batch], x[:batch], start, stop, self.sets.bounds[M], self.sets.bounds[b], more,
                          decays[both], rates[both], *arrays, g)

        return [partial(task, *one) for one in self._tasks], new, state

    def _scratch(self, size):
        """This thread's room for two gradients of some rows of M and b."""
        held = getattr(self._threads, "room", None)
        if held is None or held.shape[1] < size:
            held = self._threads.room = np.empty((2, size), self.sets.dtype)
        return held[:, :size]

    def _rest(self, rest, both, rows, out):
        """`out` with the rest of the gradient of these rows of M and, behind them, of b."""
        first = 0
        for layer, param, shape in (self.sets.leaves[i] for i in both):
            own = out[first:first + (rows.stop - rows.start) * math.prod(shape[1:])]
            grad, own = rest.get(layer, {}).get(param), own.reshape(-1, *shape[1:])
            own[...] = 0 if grad is None else grad[rows]
            first += own.size
        return out


class Through:
    """The Program for a whole batch, for `Objective.data_term`: backward gives deltas alone."""

    code = None

    def __init__(self, wide: WideStep, pool: Callable):
        self.wide, self.pool = wide, pool

    def z(self, params: Tree, eps: dict) -> dict:
        return eps

    def pull(self, params: Tree, eps: dict, grads: dict) -> dict:
        return grads

    def forward(self, params: Tree, x: np.ndarray, z: dict) -> tuple[np.ndarray, dict]:
        program, caches = self.wide.program, {}
        program._check_noise(x, z)
        params, x = program.ready(params, x.dtype), in_rows(x)
        for stage in program.stages:
            if stage.name in self.wide.kept:
                x, caches[stage.name] = self._stack(stage, params, x, z)
            else:
                x, caches[stage.name] = stage.forward(params, x, z, program.work)
        return x.copy(), caches

    def _stack(self, stage, params, x, z):
        kept, zs, (Ms, bs) = self._own(stage, len(x)), stage.noise_of(z, x.dtype), stage.weights_of(params)
        if stage.noisy[0]:
            np.multiply(x, zs[0], out=kept.inputs[0])
        else:
            kept.inputs[0][...] = x
        for i, M in enumerate(Ms):
            behind = min(i + 1, len(Ms) - 1)  # the layer whose noise the outputs meet
            product = kept.xzs[behind] if behind > i else self.wide._nothing
            self._divide(partial(kernels.dense_columns, kept.inputs[i], M, bs[i], stage.rises[i], zs[behind]),
                         len(M), M.shape[1] * len(x), kept.fs[i], product)
        return kept.fs[-1], (kept, Ms, zs)

    def backward(self, params: Tree, caches: dict, df: np.ndarray, want_dx: bool = False) -> tuple:
        """(None, {}): what is learned from df is in the deltas."""
        program, dx, nothing = self.wide.program, in_rows(df), self.wide._nothing
        for stage in reversed(program.stages):
            first = stage is program.first
            if stage.name not in self.wide.kept:
                dx, _ = stage.backward(params, caches[stage.name], dx, not first, program.work, None)
                continue
            kept, Ms, zs = caches[stage.name]
            kept.ds[-1][...] = dx
            kernels.times_slope(kept.ds[-1].reshape(-1), kept.fs[-1].reshape(-1), stage.rises[-1])
            down = program.work((stage.name, "dx"), (0 if first else len(dx), Ms[0].shape[1]), dx.dtype)
            for i in reversed(range(first, len(Ms))):
                before = (stage.rises[i - 1], kept.fs[i - 1]) if i else (kernels.NO_RISE, nothing)
                delta = partial(kernels.delta_columns, kept.ds[i], Ms[i], zs[i], stage.noisy[i], *before)
                self._divide(delta, Ms[i].shape[1], len(Ms[i]) * len(dx), kept.ds[i - 1] if i else down)
            if first:
                break
            dx = down
        return None, {}

    def _divide(self, kernel, columns, each, *outs):
        """kernel(start, stop, *outs) for all columns, in parts; `each` has so many products to add up."""
        parts = max(1, min(-(-columns // COLUMNS), int(2 * each * columns / OPERATIONS)))
        size = -(-columns // parts)
        self.pool(lambda part: kernel(part.start, part.stop, *outs), slices(columns, size))

    def _own(self, stage, batch):
        """The stage's arrays for so many examples: an epoch's last batch is shorter."""
        return Kept(*(tuple(a[:batch] for a in arrays) for arrays in self.wide.kept[stage.name]))
