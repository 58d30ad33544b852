"""Progress bars on stderr: shown to a person at a terminal or in a notebook, and to nobody else."""

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
    return Bar(total=total, desc=description, unit=unit, unit_scale=True, disable=not shown, file=sys.stderr,
               dynamic_ncols=True, leave=False, mininterval=0.2)
