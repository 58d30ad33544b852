"""The one thread pool: a batch is cut into shards, and each thread runs a whole shard, forward and backward.

Two pools that both spin (Numba's and OpenBLAS's) make a training step several times slower, so there is one:
kernels are single-threaded and release the GIL, and BLAS is held to one thread while the pool is open. Shards
do not depend on the number of threads and their results are combined in shard order: 1 and N threads give the
same bits.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from .. import require

_lock = threading.Lock()
_blas = None  # the libraries to hold, found once (it takes milliseconds): NumPy's is there from the import on
_open = 0  # how many pools are open in this process; the first holds BLAS, the last lets it go
_limit = None


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


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread until the last of several (perhaps concurrent) holders leaves."""
    global _blas, _open, _limit
    with _lock:
        if _open == 0:
            _blas = _blas or ThreadpoolController().select(user_api="blas")
            _limit = _blas.limit(limits=1)
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if _open == 0:
                _limit.restore_original_limits()
                _limit = None


class Pool:
    """pool(function, items) -> the results, in order. The calling thread works too: one less to be woken."""

    def __init__(self, threads: int, executor: ThreadPoolExecutor | None = None):
        self.threads, self._executor = threads, executor

    def __call__(self, function: Callable, items: Iterable) -> list:
        items = list(items)
        if self._executor is None or len(items) == 1:
            return [function(item) for item in items]
        results, taken, stopped = [None] * len(items), itertools.count(), threading.Event()

        def take():
            try:
                while not stopped.is_set() and (i := next(taken)) < len(items):
                    results[i] = function(items[i])
            except BaseException:
                stopped.set()
                raise

        helpers = [self._executor.submit(take) for _ in range(min(self.threads, len(items)) - 1)]
        try:
            take()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()
        return results


@contextmanager
def pool(threads: int | None = None) -> Iterator[Pool]:
    """A Pool of `threads` threads, the calling one included; the others are gone when the context closes.

    BLAS has one thread while it is open.
    """
    threads = thread_count(threads)
    with single_threaded_blas():
        if threads == 1:
            yield Pool(1)
            return
        executor = ThreadPoolExecutor(threads - 1, thread_name_prefix="minibayes")
        try:
            yield Pool(threads, executor)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def slices(count: int, size: int) -> list[slice]:
    """`count` rows cut into runs of `size`, the last one shorter."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

