"""The one thread pool: a batch is cut into shards, and each thread runs a whole shard, forward and backward.

Two pools that both spin (Numba's and OpenBLAS's) make a training step several times slower, so there is one:
kernels are single-threaded and release the GIL, and BLAS is held to one thread while the pool is open
(hold.py). Shards do not depend on the number of threads and their results are combined in shard order: 1 and
N threads give the same bits.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager

from .. import require
from ..kernels.blas import BOUND
from .forks import gate
from .hold import holders

MISSING = object()

def thread_count(threads: int | None = None) -> int:
    """`threads`, or the environment's MINIBAYES_THREADS, or the number of processors this process may use."""
    if threads is not None:
        return require.integer("threads", threads, 1)
    value = os.environ.get("MINIBAYES_THREADS", "")
    if value:
        if not value.isdecimal() or int(value) < 1:
            raise require.InputError(f"MINIBAYES_THREADS must be a positive integer, got {value!r}")
        return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bound_blas() -> str:
    """The library, and its kind of processor, whose matrix products compiled code calls."""
    return BOUND


def single_threaded_blas() -> AbstractContextManager:
    """Hold BLAS to one thread until the last of several (perhaps concurrent) holders leaves."""
    return holders.hold()


class Pool:
    """pool(function, items) -> the results, in order. The calling thread works too: one less to be woken."""

    def __init__(self, threads: int, executor: ThreadPoolExecutor | None = None):
        self.threads, self._executor, self._process = threads, executor, os.getpid()

    def __call__(self, function: Callable, items: Iterable) -> list:
        items = list(items)
        holders.still()
        if self._executor is None or len(items) == 1 or os.getpid() != self._process:
            run = function if gate.mine() else gate.passed(function)
            return [run(item) for item in items]
        with gate.left():  # each task enters for itself: one that forks does not wait for who waits for it
            return self._divide(gate.passed(function), items)

    def _divide(self, run, items):
        results, taken, stopped = [MISSING] * len(items), itertools.count(), threading.Event()

        def take():
            try:
                while not stopped.is_set() and (i := next(taken)) < len(items):
                    results[i] = run(items[i])
            except BaseException:
                stopped.set()
                raise

        helpers = [self._executor.submit(take) for _ in range(min(self.threads, len(items)) - 1)]
        try:
            take()
        finally:
            if os.getpid() == self._process:
                wait(helpers)
        if os.getpid() != self._process:  # a task forked: the helpers, and what they took, are no more
            return [run(items[i]) if result is MISSING else result for i, result in enumerate(results)]
        for helper in helpers:
            helper.result()
        return results


@contextmanager
def pool(threads: int | None = None) -> Iterator[Pool]:
    """A Pool of `threads` threads, the calling one included; the others are gone when the context closes.

    BLAS has one thread while it is open.
    """
    threads = thread_count(threads)
    gate.check()
    with single_threaded_blas():
        if threads == 1:
            yield Pool(1)
            return
        executor = ThreadPoolExecutor(threads - 1, thread_name_prefix="minibayes",
                                      initializer=holders.in_this_thread)
        try:
            yield Pool(threads, executor)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def slices(count: int, size: int) -> list[slice]:
    """`count` rows cut into runs of `size`, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

