"""New processes to work in: they never see a Ctrl-C, and end with their pool, or with who started them."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import current_process, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess

GUARD = 'if __name__ == "__main__":'
NAME, UNGUARDED = "minibayes-worker", 97  # of a new process; its exit status if it would start others


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
    """The library's pool starts its processes in `submit`, where a Ctrl-C would leave them half there.

    Its futures must not be cancelled: its processes end in the middle of their work, its thread then says so
    to every future, and would break at one that was cancelled and leave the program hanging
    (InvalidStateError, Python 3.11).
    """

    ends_its_work = True

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
            said = ("a new process imports the script that started it: what starts processes must "
                    f"stand below {GUARD}")
        raise ChildProcessError(said) from None
    except BaseException:
        end(started)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
