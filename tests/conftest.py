"""A fixture for several test files: nothing is left running after a test."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits


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
