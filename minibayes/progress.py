"""Progress bars on stderr: shown to a person at a terminal or in a notebook, and to nobody else."""

import os
import shutil
import sys
import threading

from tqdm import tqdm


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


def bar(enabled: bool, total: int | None, description: str, unit: str) -> Bar:
    """It counts to `total` of `unit`; silent unless enabled and stderr is a terminal or a notebook's."""
    stream = sys.stderr  # None if it is closed
    watched = stream is not None and (stream.isatty() or "ipykernel" in sys.modules)
    columns, lines = shutil.get_terminal_size((100, 24))  # for terminals that say they have no size
    return Bar(total=total, desc=description, unit=unit, unit_scale=True, disable=not (enabled and watched),
               file=stream, ncols=columns - 1, nrows=lines, leave=False, mininterval=0.2)
