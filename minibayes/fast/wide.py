"""A training step of dense layers with many weights, without a gradient in memory.

    columns of the outputs:   forward, layer by layer, and backward to the deltas d_l = dL/d(M_l x + b_l)
    rows of the matrices:     g = d_l^T x_l for some rows of M_l, + decay theta;
                              theta', slots' = update(theta, g, slots), while g is in cache

Every task takes all of the batch. One gradient for each shard of it, written and read again, took most of
such a step: it is as long as theta, where the deltas of 64 examples are as long as a few rows of it. And a
product of few rows by a large matrix spends its time on reading the matrix: with 32 rows BLAS makes half of
the operations a second that it makes with 128. Neither the columns nor the rows of a task depend on the
number of threads, and each number is added up in one place: the same bits for any.

What a stage does in such a step is in wide_stack.py and wide_local.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..nn.optimizers import Optimizer, leaves
from .local_stage import LocalStage
from .parallel import slices
from .program import Program
from .sets import Sets
from .stages import DenseStack, Tree, in_rows
from .wide_local import WideLocal
from .wide_stack import BY_ROWS, Now, WideStack

LEAST = 2**18  # parameters: with fewer, a gradient for each shard stays in cache
MOST = 2**24  # numbers that are kept of a batch: of more, the shards' gradients are less (memory.ROOM)
COLUMNS = 256  # of a task's product, about,
OPERATIONS = 4e6  # if they are so many operations at least: for fewer, waking a thread would cost more
KINDS = {DenseStack: WideStack, LocalStage: WideLocal}


class WideStep:
    """The steps of one run; `of` says whether they are for its network and optimizer."""

    def __init__(self, program: Program, optimizer: Optimizer, params: Tree, batch: int):
        self.program, self.sets = program, Sets(optimizer, params)
        self.stages = {stage.name: KINDS[type(stage)](stage, batch, self.sets) for stage in program.stages
                       if type(stage) in KINDS}
        self._updates = [update for stage in self.stages.values() for update in stage.updates()]

    @classmethod
    def of(cls, program: Program, optimizer: Optimizer, params: Tree, batch: int, by_rows: tuple = ()
           ) -> WideStep | None:
        """None where the step is not for this network: all its weights must be in stages of KINDS.

        Nor is it for a batch so large that its inputs and deltas are longer than gradients.

        by_rows: the layers whose KL may be asked for some rows of their weights alone.
        """
        stages = [stage for stage in program.stages if type(stage) in KINDS]
        inside = {name for stage in stages for name in stage.compiled}
        known = type(optimizer) in BY_ROWS and program.code is None and inside == set(params)
        if not known or program.input_shape is None:
            return None
        rows = all(len(shape) == 1 for name, (shape, _) in program.shapes(program.input_shape).items()
                   if name in inside)
        size = sum(array.size for *_, array in leaves(params))
        kept = batch * sum(KINDS[type(stage)].numbers(stage) for stage in stages)
        fits = rows and size >= LEAST and kept <= MOST and all(
            KINDS[type(stage)].takes(stage, by_rows) for stage in stages)
        return cls(program, optimizer, params, batch) if fits else None

    @property
    def own_kl(self) -> tuple:
        """The layers whose KL is asked for with their rows, and not before."""
        return tuple(name for name, stage in self.stages.items() if isinstance(stage, WideLocal))

    def through(self, pool: Callable) -> Through:
        """The network, its products divided among the threads of a pool."""
        return Through(self, pool)

    def begin(self, params: Tree, state: dict, batch: int, grads: Tree, decay: Tree, rest: Tree, kl: Callable
              ) -> tuple[list[Callable], Tree, dict]:
        """(tasks, params', state') once all of the batch went through: as StepMemory.begin.

        Each task returns its part of the KL: 1/2 sum of decay theta^2 and, of layers in `own_kl`, all of it.
        grads: what `Through.pull` gave.
        kl: (layer, {param: some rows}) -> the decay, the rest's value and its gradient, as of all layers.
        """
        turn, new, state, now = self.sets.turn(params, state)
        shared = Now(batch, self.sets.turns[turn], self.sets.decays(decay), self.sets.rates(now), now, rest,
                     grads, kl)
        return [partial(update, shared) for update in self._updates], new, state


class Through:
    """The Program for a whole batch, for `Objective.data_term`: backward gives deltas alone."""

    code = None

    def __init__(self, wide: WideStep, pool: Callable):
        self.wide, self.pool = wide, pool
        self.learned = [name for name in wide.program.learned
                        if isinstance(wide.stages[name], WideStack)]  # at Local z is eps, pulled by rows

    def z(self, params: Tree, eps: dict) -> dict:
        """T(phi, eps)."""
        def one(name):
            layer = self.wide.program.layers[name]
            return layer.place.z(layer.noise, layer.phi(params[name]), eps[name])

        return eps | dict(zip(self.learned, self.pool(one, self.learned), strict=True))

    def pull(self, params: Tree, eps: dict, grads: dict) -> dict:
        """{layer: dL/dphi} from {layer: dL/dz}."""
        def one(name):
            layer = self.wide.program.layers[name]
            return layer.place.pull(layer.noise, layer.phi(params[name]), eps[name], grads[name])

        return dict(zip(self.learned, self.pool(one, self.learned), strict=True))

    def forward(self, params: Tree, x: np.ndarray, z: dict) -> tuple[np.ndarray, dict]:
        program, caches = self.wide.program, {}
        program._check_noise(x, z)
        params, x = program.ready(params, x.dtype), in_rows(x)
        for stage in program.stages:
            if stage.name in self.wide.stages:
                x, caches[stage.name] = self.wide.stages[stage.name].forward(params, x, z, self._divide)
            else:
                x, caches[stage.name] = stage.forward(params, x, z, program.work)
        return x.copy(), caches

    def backward(self, params: Tree, caches: dict, df: np.ndarray, want_dx: bool = False) -> tuple:
        """(None, {layer: dL/dz}): what M and b learn from df is in the deltas."""
        program, dx, dzs = self.wide.program, in_rows(df), {}
        for stage in reversed(program.stages):
            first = stage is program.first
            if stage.name in self.wide.stages:
                own = self.wide.stages[stage.name]
                dx, dzs[stage.name] = own.backward(caches[stage.name], dx, first, self._divide, program.work)
            else:
                dx, _ = stage.backward(params, caches[stage.name], dx, not first, program.work, None)
            if first:
                break
        return None, dzs

    def _divide(self, kernel, columns, each, *outs):
        """kernel(start, stop, *outs) for all columns, in parts; `each` has so many products to add up."""
        parts = max(1, min(-(-columns // COLUMNS), int(2 * each * columns / OPERATIONS)))
        size = -(-columns // parts)
        self.pool(lambda part: kernel(part.start, part.stop, *outs), slices(columns, size))
