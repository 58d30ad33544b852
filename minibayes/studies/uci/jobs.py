"""All splits at once, through any concurrent.futures.Executor: grid searches, choices, final networks."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import current_process, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess

from ... import require
from ...fast import parallel
from ...progress import bar
from . import protocol

GUARD = 'if __name__ == "__main__":'
NAME, UNGUARDED = "minibayes-uci", 97  # of a new process; its exit status if it would start others


def run(splits: Sequence[protocol.Split], *, epochs: int = 4000, samples: int = 10_000, seed: int = 0,
        q: str = "dropout", executor: Executor | None = None, processes: int | None = None,
        progress: bool = False) -> list[dict]:
    """One result per split of protocol.splits(...), in their order:

    {"data", "split", "keep", "tau", "grid": [{"keep", "tau", "log_likelihood"}, ...], "mc",
    "weight-averaging"}, the last two the scores of the network with the chosen keep and tau on the test rows:
    {"rmse", "log_likelihood"}. q: a name in protocol.QS; of one that learns, keep is None and only tau is
    searched, and "learned" says what the noise became.

    Every network is a job of its own, and its result depends on `seed` and the job alone: not on the
    executor, nor on the order in which jobs end. executor: anything with the `submit` of concurrent.futures;
    it is used and left open. By default a pool of `processes` new processes (all processors, or
    MINIBAYES_THREADS) of one thread each, gone when this returns or is interrupted; a script must then call
    it below `if __name__ == "__main__":`, as everything that starts processes. With dask, or over MPI:

        with dask.distributed.Client(address) as client:
            run(splits, executor=client.get_executor())

        with mpi4py.futures.MPIPoolExecutor() as executor:
            run(splits, executor=executor)
    """
    q = require.choice("q", q, protocol.QS)
    searches = [protocol.grid(split, epochs, samples, seed, q) for split in splits]
    steps = sum(job.steps for search in searches for job in [*search, replace(search[0], final=True)])
    with bar(progress, steps, f"{len(splits)} splits", " steps") as progress_bar, ExitStack() as stack:
        own = executor is None  # and ends with its processes
        if own:
            executor = stack.enter_context(new_processes(parallel.thread_count(processes)))
        every = [job for search in searches for job in search]
        validated = iter(scores(every, executor, progress_bar.update, cancel=not own))
        grids = [[(job, next(validated)["mc"]["log_likelihood"]) for job in search] for search in searches]
        # max takes the first of equals, as published.
        finals = [replace(max(grid, key=lambda one: one[1])[0], final=True) for grid in grids]
        tested = scores(finals, executor, progress_bar.update, cancel=not own)
    results = [{"data": final.split.data, "split": final.split.number, "keep": final.keep, "tau": final.tau,
                "grid": [{"keep": job.keep, "tau": job.tau, "log_likelihood": value} for job, value in grid]}
               | score for final, grid, score in zip(finals, grids, tested, strict=True)]
    return [protocol.in_units_of_the_table(result, split.unit)
            for result, split in zip(results, splits, strict=True)]


def scores(jobs: Sequence[protocol.Job], executor: Executor, report: Callable[[int], None],
           cancel: bool) -> list[dict]:
    """protocol.score of every job, in their order; an error or an interrupt calls off what has not begun.

    cancel: False if the executor's processes are about to be ended: its thread then says so to every future,
    and would break at one that was cancelled and leave the program hanging (InvalidStateError, Python 3.11).
    """
    futures = {}
    try:
        for job in jobs:
            futures[executor.submit(protocol.score, job)] = job
        for future in as_completed(futures):
            future.result()  # raises here what it raised there
            report(futures[future].steps)
    except BaseException:
        if cancel:
            for future in futures:
                future.cancel()
        raise
    return [future.result() for future in futures]


class Worker(SpawnProcess):
    """A new process that never sees a Ctrl-C: it inherits a mask. The process that started it ends it."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.name = NAME  # it has it before anything else, also while it imports the script of its parent

    def start(self) -> None:
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().start()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_put_off() -> Iterator[None]:
    """A Ctrl-C of these moments arrives when they are over. (Only the main thread can put it off.)"""
    before, arrived = signal.getsignal(signal.SIGINT), []
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, lambda *signal_and_frame: arrived.append(signal_and_frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if arrived:
            before(*arrived[0])


class Pool(ProcessPoolExecutor):
    """The library's pool starts its processes in `submit`, where a Ctrl-C would leave them half there."""

    def submit(self, *args, **options) -> Future:
        with interrupts_put_off():
            return super().submit(*args, **options)


def end_with_parent() -> None:
    """Ends this process with the one that started it, be it by kill -9: the pool would wait for ever."""
    def follow() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def exit_code(process: Worker) -> int | None:
    process.join(10)
    return process.exitcode


def end(processes: Sequence[Worker]) -> None:
    for process in processes:
        if process.pid:  # none if the system refused to start it
            process.terminate()


def check_guard() -> None:
    """A new process imports the script that started it, if there is one: it must not start others then."""
    if current_process().name == NAME:
        os._exit(UNGUARDED)  # the parent says why, once; any other way out prints a traceback per process
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and path is not None and not os.path.exists(path):
        raise ChildProcessError(f"new processes import the script that started them, and {path} is no file: "
                                f"write it into one, below {GUARD}, or give an executor of threads")


@contextmanager
def new_processes(count: int) -> Iterator[Pool]:
    """A pool of `count` new processes. On an error or an interrupt they end in the middle of their work."""
    check_guard()
    started, context = [], SpawnContext()  # a context of its own, to know which processes are the pool's

    def worker(*args, **options) -> Worker:
        started.append(Worker(*args, **options))
        return started[-1]

    context.Process = worker
    pool = Pool(count, mp_context=context, initializer=end_with_parent)
    try:
        yield pool
    except BrokenProcessPool:
        end(started)
        said = "a process ended in the middle of its work: was it killed, or out of memory?"
        if any(exit_code(process) == UNGUARDED for process in started):
            said = f"a new process imports the script that started it: call uci.run below {GUARD}"
        raise ChildProcessError(said) from None
    except BaseException:
        end(started)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
