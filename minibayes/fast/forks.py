"""os.fork beside work in other threads: it waits until none is inside compiled code, BLAS or a plain network.

A fork copies one thread only, with whatever locks the others hold. So threads say when they are at work
(`Gate.enter`, `leave`), a fork waits until none is, and in the child those that are no more are forgotten.
Work that takes too long is not waited for: then the child may not use this package, and says so.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from .. import require
from ..kernels.compiling import COMPILER_LOCK
from ..nn import Key, Network, Rows
from .hold import holders

WAIT = 30.0  # seconds that a fork waits for the work of other threads: longer than a compilation


class Gate:
    """Which threads are at work in compiled code, and forks that wait until none is."""

    def __init__(self):
        self.changed, self.inside, self.forks, self.outside = threading.Condition(), {}, 0, {}
        self.broken = self._late = False  # whether this process was forked while another thread was at work

    def enter(self) -> None:
        me = threading.get_ident()
        self.inside[me] = True  # first this, then the question: a fork asks in the other order
        while self.forks:
            self._leave(me)
            with self.changed:
                self.changed.wait_for(lambda: not self.forks)
            self.inside[me] = True

    def leave(self) -> None:
        self._leave(threading.get_ident())

    def _leave(self, me):
        self.inside.pop(me, None)
        if self.forks:
            with self.changed:
                self.changed.notify_all()

    def mine(self) -> bool:
        """Whether this thread is inside: in a task of a pool, say, within a task of another."""
        return threading.get_ident() in self.inside

    @contextmanager
    def left(self) -> Iterator[None]:
        """For as long as a thread that may be inside waits for others."""
        if not self.mine():
            yield
            return
        self.leave()
        try:
            yield
        finally:
            self.enter()

    def passed(self, function: Callable) -> Callable:
        """`function`, at work in here."""
        def run(*args):
            self.enter()
            try:
                return function(*args)
            finally:
                self.leave()

        return run

    def before_fork(self) -> None:
        me = threading.get_ident()
        with self.changed:
            self.forks += 1
            self.outside[me] = self.inside.pop(me, False)  # a layer may fork: it does not wait for itself
            self.changed.notify_all()
            self._late = not self.changed.wait_for(lambda: not self._others(), WAIT)

    def _others(self):
        """Threads at work, but for those that ended in the middle of it."""
        return self.inside.keys() & sys._current_frames().keys()

    def after_fork(self) -> None:
        """In the parent: the others go on."""
        me = threading.get_ident()
        with self.changed:
            self.forks -= 1
            if self.outside.pop(me):
                self.inside[me] = True
            self.changed.notify_all()

    def child(self) -> None:
        """In the child: this thread alone is left."""
        me, broken, outside = threading.get_ident(), self.broken or self._late, self.outside
        self.__init__()
        self.broken = broken
        if outside.get(me):
            self.inside[me] = True

    def check(self) -> None:
        """An error in a process that was forked in the middle of another thread's work, after a long wait."""
        if self.broken:
            raise require.InputError("this process was forked while another thread was inside minibayes for "
                                     f"more than {WAIT:.0f} seconds: fork before or after that, or start "
                                     "processes with multiprocessing's \"spawn\" or \"forkserver\"")


gate = Gate()


class Waited(Network):
    """A plain network; a fork waits for the layers at work in it."""

    def __init__(self, net: Network):
        super().__init__(net.input_shape, **net.layers)

    def forward(self, params: dict, x: np.ndarray, z: dict) -> tuple:
        return gate.passed(super().forward)(params, x, z)

    def draw_rows(self, key: Key, input_shape: tuple, rows: Rows, shared: bool = False) -> dict:
        return gate.passed(super().draw_rows)(key, input_shape, rows, shared)


def _before_fork():
    gate.before_fork()
    COMPILER_LOCK.acquire()
    holders.lock.acquire()


def _in_the_parent():
    holders.lock.release()
    COMPILER_LOCK.release()
    gate.after_fork()


def _in_the_child():
    holders.forget_others()
    COMPILER_LOCK.release()
    gate.child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_the_parent, after_in_child=_in_the_child)
