"""For several test files: a Ctrl-C that arrives, and a fixture to see that nothing is left running after a test."""

import signal
import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

# A shell starts what it runs in the background with Ctrl-C ignored, and every process started from there inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def nothing_left_running():
    """The same threads and the same BLAS limits after the test as before; 3 BLAS threads, to tell them from minibayes' one."""
    def limits():
        return [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info()]

    with threadpool_limits(3, "blas"):
        threads, before = set(threading.enumerate()), limits()
        assert all(number == 3 for _, number in before)
        yield
        assert set(threading.enumerate()) == threads
        assert limits() == before
