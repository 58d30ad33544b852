"""f(x, omega-hat_t), t = 0 ... T-1, at all inputs: cut into tasks for the pool, and gathered block by block.

The cuts depend on the network and on the numbers of inputs and passes, never on the threads: the same blocks
are gathered in the same order on 1 or N threads.
"""

import itertools
from collections.abc import Callable

import numpy as np

from ..nn.key import Key, Rows
from . import parallel
from .stages import Tree, in_rows

SHARD = 64  # inputs per task of `average`, and at most of what comes before the first noise
BLOCK_PASSES = 64  # passes gathered at once
TASKS = 16  # with fewer groups of inputs than this, the passes are divided among tasks too


def passes(program, params: Tree, x: np.ndarray, key: Key, count: int, gather: Callable,
           shared: bool) -> list:
    """[(rows, summary), ...]: pass t = 0 ... count-1 uses key.at(key.t + t), shared: one for all rows.

    gather(so_far, f, passes, rows) returns a task's summary so far, which is None at its first block; f
    (T', N', K) is of the passes (a slice of 0 ... count) at the inputs `rows` (a slice). It may be called in
    any thread, within a task in the order of the passes. Several tasks may have the same rows, one after
    another in the result.

    What comes before the first noise is computed once for all passes. A task is a group of inputs with all of
    its passes or, when there are few inputs, a fixed part of them, in sweeps of several when the network is
    small.
    """
    program.shapes(x.shape[1:])
    params, route = program.ready(params, x.dtype), program.route(shared)
    groups = parallel.slices(len(x), route.inputs_at_once(x.shape[1:]))
    rows_at_once = route.rows_at_once(x.shape[1:])
    parts = max(1, min(TASKS // max(1, len(groups)), count))
    cuts = [count * i // parts for i in range(parts + 1)]
    tasks = [(rows, range(a, b)) for rows in groups for a, b in itertools.pairwise(cuts)]
    prefixes = {}  # kept where several tasks have the same inputs

    def prefix(rows):
        return route.prefix(params, in_rows(x[rows]), program.work)

    def task(item):
        rows, own = item
        h = prefix(rows) if parts == 1 else prefixes[rows.start]
        step = max(1, rows_at_once // (rows.stop - rows.start))
        so_far, block = None, []
        for start in own[::step]:
            swept = range(start, min(start + step, own.stop))
            block.append(sweep(program, route, params, x, h, rows, swept, key, shared))
            if step > 1 or len(block) == BLOCK_PASSES or swept.stop == own.stop:
                f = np.concatenate(block) if len(block) > 1 else block[0]
                so_far, block = gather(so_far, f, slice(swept.stop - len(f), swept.stop), rows), []
        return rows, so_far

    with parallel.pool(program.threads) as run:
        if parts > 1:  # the prefixes in pieces: there may be fewer groups of inputs than threads
            pieces = [slice(group.start + p.start, group.start + p.stop) for group in groups
                      for p in parallel.slices(group.stop - group.start, SHARD)]
            computed = list(zip(pieces, run(lambda rows: prefix(rows).copy(), pieces), strict=True))
            for group in groups:
                own = [h for piece, h in computed if group.start <= piece.start < group.stop]
                prefixes[group.start] = route.joined(own)
        return run(task, tasks)


def sweep(program, route, params: Tree, x: np.ndarray, h, rows: slice, swept: range, key: Key,
          shared: bool) -> np.ndarray:
    """f (T', N', K): T' passes over N' inputs in one batch of N' T' rows. A pass is just another counter."""
    T, N = len(swept), rows.stop - rows.start
    numbers = np.arange(key.t + swept.start, key.t + swept.stop, dtype=np.uint64)
    if shared:
        examples = np.zeros(T, np.uint64)
    else:
        examples = np.repeat(np.arange(rows.start, rows.stop, dtype=np.uint64), T)
        numbers = np.tile(numbers, N)
    eps = program.draw_rows(key, x.shape[1:], Rows(examples, numbers, x.dtype), shared)
    f = route.passes(params, h, program.z(params, eps), T, program.work)
    return np.ascontiguousarray(f.reshape(N, T, -1).swapaxes(0, 1)) if T > 1 else f.reshape(1, N, -1).copy()


def average(program, params: Tree, x: np.ndarray, gather: Callable, pooled: dict) -> list:
    """[(rows, gather(None, f (1, N', K), slice(0, 1), rows)), ...] with z = E[z].

    pooled, {conv: pool}: pairs that give E[max over the window of z y] exactly instead.
    """
    program.shapes(x.shape[1:])
    params, z = program.ready(params, x.dtype), program.mean_noise(params, x.dtype)

    def task(rows):
        f, work = in_rows(x[rows]), program.work
        for stage in program.stages:
            if stage.name in pooled:
                f = stage.expected(params, f, program.layers[pooled[stage.name]], work)
            elif stage.name not in pooled.values():
                f = stage.value(params, f, z, work)
        return rows, gather(None, f[None].copy(), slice(0, 1), rows)

    with parallel.pool(program.threads) as run:
        return run(task, parallel.slices(len(x), SHARD))
