"""Progress bars on stderr: shown to a person at a terminal or in a notebook, and to nobody else."""

import shutil
import sys
import threading

from tqdm import tqdm


class Bar(tqdm):
    """tqdm without its monitor thread and its lock between processes, which would outlive the bar."""

    monitor_interval = 0
    _lock = threading.RLock()


def bar(enabled, total, description, unit):
    """A tqdm bar counting to `total` of `unit`; silent unless enabled and stderr is a terminal or a notebook's."""
    shown = bool(enabled) and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    columns, lines = shutil.get_terminal_size((100, 24))  # the fallback serves terminals that say they have no size
    return Bar(total=total, desc=description, unit=unit, unit_scale=True, disable=not shown, file=sys.stderr, ncols=columns - 1,
               nrows=lines, leave=False, mininterval=0.2)
