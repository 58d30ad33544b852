"""For all test files: a Ctrl-C that arrives, pictures whose titles are not cut off, nothing left running after a test."""

import os
import signal
import threading

import numpy as np
import pytest
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info, threadpool_limits

from minibayes import progress

# A shell starts what it runs in the background with Ctrl-C ignored, and every process started from there inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# MINIBAYES_TEST_SETERR=raise: the same tests in a program that has called np.seterr(all="raise"), say.
if os.environ.get("MINIBAYES_TEST_SETERR"):
    np.seterr(all=os.environ["MINIBAYES_TEST_SETERR"])


def pytest_runtest_setup(item):
    """A test's first bar begins a minute of its own, after which it may print a line: not that of the tests before it."""
    progress.Lines.ended = float("-inf")


def cut_off(figure):
    """The titles and labels of a figure that was drawn which are not wholly inside of it."""
    said = [figure._suptitle] if figure._suptitle else []
    for ax in figure.axes:
        said += [ax.title, ax.xaxis.label, ax.yaxis.label]
    inside, found = figure.bbox, []
    for text in said:
        if text.get_visible() and text.get_text():
            box = text.get_window_extent()
            if box.x0 < -1 or box.y0 < -1 or box.x1 > inside.width + 1 or box.y1 > inside.height + 1:
                found.append(text.get_text())
    return found


@pytest.fixture(autouse=True)
def no_title_is_cut_off(monkeypatch):
    """In any picture that a test writes."""
    def savefig(figure, *args, real=Figure.savefig, **kwargs):
        made = real(figure, *args, **kwargs)
        figure.canvas.draw()
        assert not (found := cut_off(figure)), f"cut off in a picture: {found}"
        return made

    monkeypatch.setattr(Figure, "savefig", savefig)


@pytest.fixture
def nothing_left_running():
    """The same threads and the same BLAS limits after the test as before; 3 BLAS threads, to tell them from minibayes' one."""
    def limits():
        return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}  # no OpenMP

    with threadpool_limits(3, "blas"):
        threads, before = set(threading.enumerate()), limits()
        assert set(before.values()) == {3}
        yield
        assert set(threading.enumerate()) == threads
        now = limits()  # others may have been loaded meanwhile
        assert {path: now[path] for path in before} == before
