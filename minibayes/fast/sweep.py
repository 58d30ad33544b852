"""f(x, omega-hat_t), t = 0 ... T-1, at all inputs: cut into tasks for the pool, and gathered block by block.

The cuts depend on the network and on the numbers of inputs and passes, never on the threads: the same blocks
are gathered in the same order on 1 or N threads. Where the inputs have numbers (`first`), the passes are
gathered in blocks that depend on the network alone: full groups then have the same bits in every call.
"""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from ..floats import quiet
from ..nn.key import Key, Rows
from . import parallel
from .stages import Tree, in_rows

SHARD = 64  # inputs per task of `average`, and at most of what comes before the first noise
BLOCK_PASSES = 64  # passes gathered at once,
BLOCK_NUMBERS = 2**21  # and the most numbers of theirs
TASKS = 16  # with fewer groups of inputs, the passes are divided among tasks too, if worth two threads
WAVE = 256  # tasks whose results are handed on before the next are begun: the most,
WAVE_NUMBERS = 2**20  # and the most numbers of their means
SMALL = 40e6  # operations for each thread at least: two with half of it only waited for each other's Python
NUMBER = 10  # operations that take as long as one number of an activation or of noise


def passes(program, params: Tree, x: np.ndarray, key: Key, count: int, gather: Callable, shared: bool,
           first: int | None = None) -> Iterator:
    """Yields (rows, summary): pass t = 0 ... count-1 uses key.at(key.t + t), shared: one for all rows.

    gather(so_far, f, passes, rows) returns a task's summary so far, which is None at its first block; f
    (T', N', K) is of the passes (a slice of 0 ... count) at the inputs `rows` (a slice). It may be called in
    any thread, within a task in the order of the passes. Several tasks may have the same rows, one after
    another in the result.

    first: the number of the first input, for its noise; 0 where it is None, and then few inputs have their
           passes divided into more tasks.

    What comes before the first noise is computed once for all passes. A task is a group of inputs with all of
    its passes or, when there are few inputs, a fixed part of them, in sweeps of several when the network is
    small.
    """
    outputs = int(np.prod(program.output_shape(x.shape[1:])))
    params, route = program.settled(program.ready(params, x.dtype)), program.route(shared)
    size = route.inputs_at_once(x.shape[1:])
    groups = parallel.slices(len(x), size)
    rows_at_once, most = route.rows_at_once(x.shape[1:]), at_most(size, outputs)
    if first is None:
        # With many outputs merging costs as much as passes; an even number is shared evenly by two threads.
        wide = 2 * max(1, WAVE_NUMBERS // (2 * size * outputs))
        divided = TASKS // max(1, len(groups)) if worth(program, x, count) >= 2 else 1
        parts = max(1, min(divided, count, wide))
        cuts = [count * i // parts for i in range(parts + 1)]
    else:  # a task is one block of passes, or all of them: merged one after another, it is the same
        block = rows_at_once // size if rows_at_once >= 2 * size else most
        parts = -(-count // block) if len(groups) < TASKS else 1
        cuts = [0, *range(block, count, block), count] if parts > 1 else [0, count]
    tasks = [(rows, range(a, b)) for rows in groups for a, b in itertools.pairwise(cuts)]
    prefixes = {}  # kept where several tasks have the same inputs

    def prefix(rows):
        with quiet():  # of this thread: outputs that are not finite are found in what is gathered
            return route.prefix(params, in_rows(x[rows]), program.work)

    def task(item):
        rows, own = item
        h = prefix(rows) if parts == 1 else prefixes[rows.start]
        step = max(1, rows_at_once // (rows.stop - rows.start))
        so_far, block = None, []
        for start in own[::step]:
            swept = range(start, min(start + step, own.stop))
            with quiet():
                block.append(sweep(program, route, params, x, h, rows, swept, key, shared, first or 0))
            if step > 1 or len(block) == most or swept.stop == own.stop:
                f = np.concatenate(block) if len(block) > 1 else block[0]
                so_far, block = gather(so_far, f, slice(swept.stop - len(f), swept.stop), rows), []
        return rows, so_far

    with parallel.pool(threads_for(program, x, count)) as run:
        if parts > 1:  # the prefixes in pieces: there may be fewer groups of inputs than threads
            shard = SHARD if first is None else size
            pieces = [slice(group.start + p.start, group.start + p.stop) for group in groups
                      for p in parallel.slices(group.stop - group.start, shard)]
            computed = list(zip(pieces, run(lambda rows: prefix(rows).copy(), pieces), strict=True))
            for group in groups:
                own = [h for piece, h in computed if group.start <= piece.start < group.stop]
                prefixes[group.start] = route.joined(own)
        for wave in parallel.slices(len(tasks), tasks_at_once(size * outputs, run.threads)):
            yield from run(task, tasks[wave])


def threads_for(program, x: np.ndarray, passes: int) -> int:
    """As many of the program's threads as have enough to do in so many passes at x."""
    return max(1, min(parallel.thread_count(program.threads), worth(program, x, passes)))


def worth(program, x: np.ndarray, passes: int) -> int:
    """How many threads would have enough to do in so many passes at x."""
    return int(len(x) * passes * operations_of(program, x.shape[1:]) / SMALL)


def operations_of(program, input_shape: tuple) -> int:
    """Of one pass at one input: products, and NUMBER for each number that is made on the way.

    A layer of the user's own need not count its flops: each weight is taken to be used once at least.
    """
    operations = 0
    for name, (shape, out) in program.shapes(input_shape).items():
        layer = program.layers[name]
        weights = sum(math.prod(p) for p in layer.param_shapes().values())
        noise = math.prod(layer.noise_shape(shape)) if layer.noisy else 0
        operations += max(layer.flops(shape), 2 * weights) + NUMBER * (math.prod(out) + noise)
    return operations


def tasks_at_once(numbers: int, threads: int) -> int:
    """How many tasks, each with the summary of so many numbers, are done before the next are begun."""
    return max(2 * threads, min(WAVE, WAVE_NUMBERS // numbers))


def at_most(inputs: int, outputs: int) -> int:
    """How many passes are gathered at once."""
    return max(1, min(BLOCK_PASSES, BLOCK_NUMBERS // (inputs * outputs)))


def sweep(program, route, params: Tree, x: np.ndarray, h, rows: slice, swept: range, key: Key,
          shared: bool, first: int = 0) -> np.ndarray:
    """f (T', N', K): T' passes over N' inputs in one batch of N' T' rows. A pass is just another counter."""
    T, N = len(swept), rows.stop - rows.start
    numbers = np.arange(key.t + swept.start, key.t + swept.stop, dtype=np.uint64)
    if shared:
        examples = np.zeros(T, np.uint64)
    else:
        examples = np.repeat(np.arange(first + rows.start, first + rows.stop, dtype=np.uint64), T)
        numbers = np.tile(numbers, N)
    eps = program.draw_rows(key, x.shape[1:], Rows(examples, numbers, x.dtype), shared)
    f = route.passes(params, h, program.z(params, eps), T, program.work)
    f = f.reshape(N, T, *f.shape[1:])
    return np.ascontiguousarray(f.swapaxes(0, 1)) if T > 1 else f.swapaxes(0, 1).copy()


def average(program, params: Tree, x: np.ndarray, gather: Callable, pooled: dict) -> Iterator:
    """Yields (rows, gather(None, f (1, N', K), slice(0, 1), rows)) with z = E[z].

    pooled, {conv: pool}: pairs that give E[max over the window of z y] exactly instead.
    """
    program.shapes(x.shape[1:])
    params, z = program.ready(params, x.dtype), program.mean_noise(params, x.dtype)

    def task(rows):
        with quiet():
            f, work = in_rows(x[rows]), program.work
            for stage in program.stages:
                if stage.name in pooled:
                    f = stage.expected(params, f, program.layers[pooled[stage.name]], work)
                elif stage.name not in pooled.values():
                    f = stage.value(params, f, z, work)
        return rows, gather(None, f[None].copy(), slice(0, 1), rows)

    groups = parallel.slices(len(x), SHARD)
    with parallel.pool(threads_for(program, x, 1)) as run:
        outputs = int(np.prod(program.output_shape(x.shape[1:])))
        for wave in parallel.slices(len(groups), tasks_at_once(SHARD * outputs, run.threads)):
            yield from run(task, groups[wave])
