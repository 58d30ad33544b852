"""BLAS held to one thread: in any thread, beside any other, whatever else sets its number, with every threadpoolctl."""

import hashlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import minibayes as mb
from minibayes.fast import hold, parallel

THREADPOOLCTL = os.environ.get("MINIBAYES_TEST_THREADPOOLCTL", "")  # folders of other versions, as in PATH


class Fake(hold.Threads):
    """A library that counts as real ones do: one number for the process, or (own) one for each thread."""

    def __init__(self, number, own=False):
        self.own, self.process, self.local = own, number, threading.local()

    def get(self):
        return getattr(self.local, "number", self.process) if self.own else self.process

    def set(self, number):
        if self.own:
            self.local.number = number
        else:
            self.process = number


@pytest.fixture(params=[False, True], ids=["of the process", "of each thread"])
def blas(request):
    return Fake(4, request.param)


def in_a_thread(function):
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result()


def test_held_in_another_thread(blas):
    holders = hold.Holders(lambda: {"fake": blas})

    def look():
        before = blas.get()
        with holders.hold():
            inside = blas.get()
        return before, inside, blas.get()

    assert in_a_thread(look) == (4, 1, 4)
    with pytest.raises(ZeroDivisionError), holders.hold():
        raise ZeroDivisionError
    assert blas.get() == 4 and not holders.depth


@pytest.mark.parametrize("first_out", ["first in", "last in"])
def test_overlapping_holders_restore(blas, first_out):
    """Two threads, in either order: one thread until the last leaves, in both of them; then what was before."""
    holders, order = hold.Holders(lambda: {"fake": blas}), {}
    entered, may_leave, left = ([threading.Event() for _ in range(2)] for _ in range(3))

    def work(i):
        with holders.hold():
            entered[i].set()
            may_leave[i].wait(30)
            order[i] = blas.get()
        left[i].set()
        return blas.get()

    with ThreadPoolExecutor(2) as executor:
        work_of = []
        for i in range(2):
            work_of.append(executor.submit(work, i))
            entered[i].wait(30)
        for i in (0, 1) if first_out == "first in" else (1, 0):
            may_leave[i].set()
            left[i].wait(30)
        results = [f.result() for f in work_of]
    assert order == {0: 1, 1: 1} and blas.get() == 4
    assert results[0 if first_out == "last in" else 1] == 4


def test_limits_of_others_are_kept():
    """The caller's own limit inside a hold, around another; and one that a second thread lifts in the meantime."""
    blas = Fake(4)
    holders = hold.Holders(lambda: {"fake": blas})
    blas.set(3)
    with holders.hold():
        blas.set(2)
        with holders.hold():
            assert blas.get() == 1
        assert blas.get() == 2, "the caller's, between two holds of its own"
        blas.set(1)
    assert blas.get() == 3
    with holders.hold():
        blas.set(4)  # another thread leaves its limit of 3
        holders.still()
        assert blas.get() == 1
    assert blas.get() == 4


def test_a_number_that_changes_in_the_middle_of_a_run():
    """Work of a pool has one thread although something else sets the number meanwhile."""
    blas = hold.libraries()[hold.NUMPY.path]
    with threadpool_limits(3, "blas"):
        with parallel.pool(2) as run:
            blas.set(3)
            assert run(lambda _: blas.get(), range(4)) == [1] * 4
        assert blas.get() == 3


def bits(model):
    return hashlib.md5(b"".join(a.tobytes() for g in model.params.values() for a in g.values())).hexdigest()


FITS = """
import threading, hashlib, sys
import numpy as np, minibayes as mb, threadpoolctl
from minibayes.fast import hold
blas = hold.libraries()[hold.NUMPY.path]
before = blas.get()
x, y = np.random.default_rng(0).random((96, 28, 28, 1), np.float32), np.arange(96) % 10
seen, bits = [], []
def work(threads):
    model = mb.BayesianNetwork(mb.models.lenet("all"))
    model.fit(x, y, steps=3, threads=threads, report_every=1, on_report=lambda *_: seen.append(blas.get()))
    mean = model.predict(x[:9], samples=3, threads=threads).mean
    bits.append(hashlib.md5(b"".join(a.tobytes() for g in model.params.values() for a in g.values()) + mean.tobytes()).hexdigest())
work(1)
for count in (1, 3):
    workers = [threading.Thread(target=work, args=(1 + i % 2,)) for i in range(count)]
    [w.start() for w in workers]
    [w.join() for w in workers]
assert set(seen) == {1}, seen
assert len(set(bits)) == 1 and len(bits) == 5, bits
assert blas.get() == before, (blas.get(), before)
print(threadpoolctl.__version__)
"""


@pytest.mark.parametrize("folder", ["", *filter(None, THREADPOOLCTL.split(os.pathsep))])
def test_fits_in_any_thread(folder):
    """The same bits in a second thread and in three at once, BLAS at one thread in each, and restored at the end."""
    root = os.path.dirname(os.path.dirname(mb.__file__))
    path = os.pathsep.join(filter(None, [folder, root, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run([sys.executable, "-c", FITS], env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "4"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.all([part.isdecimal() for part in done.stdout.split()[-1].split(".")])
