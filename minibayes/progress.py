"""Progress: a bar at a terminal or in a notebook, a line now and then in a pipe or a file; never an error."""

import os
import shutil
import sys
import threading
import time
from typing import TextIO

from tqdm import tqdm

EVERY = 60  # seconds between two lines where nobody watches, and before the first: a quick run has none
COLUMNS = 79  # of a bar in a notebook, whose cells are narrower than most terminals


class Quiet:
    """A stream that loses what it cannot write: None, closed, full, gone, an object with `write` alone."""

    def __init__(self, stream: TextIO | None):
        self.stream, self.encoding = stream, getattr(stream, "encoding", None)

    def write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except (AttributeError, OSError, ValueError):
            pass

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


class Bar(tqdm):
    """tqdm without its monitor thread and its lock between processes, which would outlive the bar."""

    monitor_interval = 0
    _lock = threading.RLock()

    @classmethod
    def forget_others(cls) -> None:
        """In a forked child: whoever drew at that moment is not there to let the lock go."""
        cls._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Bar.forget_others)


class NotebookBar(Bar):
    """One output of a cell, written anew in its place; in the end it is empty, and shows nothing."""

    handle = None

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        from IPython.display import display  # there is a kernel, so this is there

        text = str(self) if msg is None else msg
        data = {"text/plain": text} if text else {}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)
        return True


class Lines(Bar):
    """A whole line each minute; bars that follow each other, or lie in each other, share the minute."""

    since = float("-inf")  # when the last line was printed, or the minute began
    ended = float("-inf")  # when the last bar ended
    running = 0

    def __init__(self, **options):
        if not options["disable"]:
            with self._lock:
                if not Lines.running and time.monotonic() - Lines.ended > EVERY:
                    Lines.since = time.monotonic()
                Lines.running += 1
        super().__init__(**options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        if msg is None and time.monotonic() - Lines.since >= EVERY:
            Lines.since = time.monotonic()
            form = "{desc}: {n_fmt}{unit} after {elapsed}{postfix}"
            if self.total:
                form = ("{desc}: {percentage:.0f} %, {n_fmt} of {total_fmt}{unit} after {elapsed}, "
                        "{remaining} to go{postfix}")
            self.fp.write(self.format_meter(**self.format_dict | {"bar_format": form, "ncols": None}) + "\n")
            self.fp.flush()
        return True

    def close(self) -> None:
        with self._lock:
            if not self.disable:
                Lines.running, Lines.ended = Lines.running - 1, time.monotonic()
                self.disable = True  # so that tqdm's own blanks nothing out
                self._decr_instances(self)


def bar(enabled: bool, total: int | None, description: str, unit: str) -> Bar:
    """It counts to `total` of `unit` by `update`, and shows it on stderr or in the notebook, if enabled."""
    stream = sys.stderr  # None if it is closed
    columns, lines = shutil.get_terminal_size((100, 24))  # for terminals that say they have no size
    options = {"total": total, "desc": description, "unit": unit, "unit_scale": True, "leave": False,
               "file": Quiet(stream), "nrows": lines, "disable": not enabled}
    if in_notebook():
        return NotebookBar(**options | {"file": Quiet(None)}, ncols=COLUMNS, mininterval=0.5)
    if is_terminal(stream):
        return Bar(**options, ncols=columns - 1, mininterval=0.2)
    return Lines(**options | {"disable": not enabled or stream is None}, ncols=columns, mininterval=1)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: it shows stderr as errors, and a display can be written anew."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # none, or no such question to it; closed
        return False
