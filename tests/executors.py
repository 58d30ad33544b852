"""An executor that runs a job when it is submitted, on copies that went through pickle, as on another machine."""

import contextlib
import pickle
from concurrent.futures import BrokenExecutor, Executor, Future

from minibayes.studies import repeats


class Inline(Executor):
    """count: jobs so far. dies: after so many the executor is broken."""

    def __init__(self, dies=None):
        self.count, self.dies, self.closed = 0, dies, False

    def submit(self, function, /, *args, **kwargs):
        self.count += 1
        future = Future()
        future.set_running_or_notify_cancel()
        if self.dies is not None and self.count > self.dies:
            future.set_exception(BrokenExecutor("a worker\nis gone"))
            return future
        try:
            function, args, kwargs = pickle.loads(pickle.dumps((function, args, kwargs)))
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.closed = True


def instead_of_processes(monkeypatch, dies=None):
    """--processes N of the command line gives this executor, which is returned."""
    made = Inline(dies)
    monkeypatch.setattr(repeats, "new_processes", lambda count: contextlib.nullcontext(made))
    return made
