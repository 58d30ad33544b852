"""BLAS held to one thread, in whatever thread of the process and beside whatever other holders.

OpenBLAS with threads of its own has one number of threads for the process: the first holder sets it, the last
one restores it, whichever threads they live in. Its own entry points are called: what threadpoolctl does with
a second thread's wish differs from version to version (3.8 ignores it). Libraries whose number belongs to the
calling thread (OpenBLAS on OpenMP) are set in each thread that works.
"""

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

from ..kernels.blas import NUMPY
from ..kernels.library import Library


class Threads:
    """The number of threads of one library: get(), set(count); `own`: each thread has a number of its own."""

    def __init__(self, get: Callable[[], int], set: Callable[[int], None], own: bool = False):
        self.get, self.set, self.own = get, set, own


def openblas_threads(library: Library) -> Threads | None:
    """Those of an OpenBLAS, by its own entry points or, if it runs on OpenMP, by OpenMP's; else None."""
    parallel = library.openblas("get_parallel")
    if parallel is not None and parallel() == 2:
        get, set = library.openmp("get_max_threads"), library.openmp("set_num_threads", None, (ctypes.c_int,))
        if get and set:
            return Threads(get, set, own=True)
    get, set = library.openblas("get_num_threads"), library.openblas("set_num_threads", None, (ctypes.c_int,))
    return Threads(get, set) if get and set else None


class Holders:
    """Who holds which libraries to one thread. `libraries()` gives what is loaded now: {path: Threads}."""

    def __init__(self, libraries: Callable[[], dict[str, Threads]]):
        self.lock, self._libraries = threading.Lock(), libraries
        self.depth = {}  # thread: how many times it holds
        self.before = {}  # path: (Threads, the number to restore), for the process

    @contextmanager
    def hold(self) -> Iterator[None]:
        """One thread until the last of several holders leaves; a limit set meanwhile is kept for then."""
        me = threading.get_ident()
        with self.lock:
            seen = {path: (blas, blas.get()) for path, blas in self._libraries().items()}
            for path, (blas, number) in seen.items():
                if not blas.own and (path not in self.before or number != 1 and me not in self.depth):
                    self.before[path] = blas, number
                if number != 1:
                    blas.set(1)
            self.depth[me] = self.depth.get(me, 0) + 1
        try:
            yield
        finally:
            with self.lock:
                self.depth[me] -= 1
                if not self.depth[me]:
                    del self.depth[me]
                for blas, number in seen.values():
                    # This thread's own number, or a limit that the caller set between two holds of its own.
                    if number != 1 and (blas.own or self.depth.keys() == {me}):
                        blas.set(number)
                if not self.depth:
                    self._restore()

    def still(self) -> None:
        """Set one thread again where somebody else changed the number while it was held."""
        for path, (blas, _) in list(self.before.items()):
            if (number := blas.get()) != 1:
                with self.lock:
                    if path in self.before:
                        self.before[path] = blas, number
                        blas.set(1)

    def in_this_thread(self) -> None:
        """One thread in a worker, which ends with the pool: for libraries with a number a thread."""
        for blas in self._libraries().values():
            if blas.own:
                blas.set(1)

    def forget_others(self) -> None:
        """In a forked child: only the thread that forked lives on."""
        me = threading.get_ident()
        self.lock, self.depth = threading.Lock(), {me: self.depth[me]} if me in self.depth else {}
        if not self.depth:
            self._restore()

    def _restore(self):
        before, self.before = self.before, {}
        for blas, number in before.values():
            if blas.get() == 1 != number:
                blas.set(number)


_found = (0, {})  # as many modules as there were when libraries were looked for, and those found


def libraries() -> dict[str, Threads]:
    """{path: Threads} of every BLAS: looked for again, which takes a millisecond, after an import."""
    global _found
    if _found[0] != len(sys.modules):
        known = _found[1]
        found = {NUMPY.path: known.get(NUMPY.path) or openblas_threads(NUMPY)} if NUMPY else {}
        for other in ThreadpoolController().lib_controllers:
            if other.user_api == "blas" and not found.get(other.filepath):
                library = Library(ctypes.CDLL(other.filepath), other.filepath)
                found[other.filepath] = (known.get(other.filepath) or openblas_threads(library)
                                         or Threads(other.get_num_threads, other.set_num_threads))
        _found = len(sys.modules), {path: blas for path, blas in found.items() if blas and blas.get()}
    return _found[1]


holders = Holders(libraries)
