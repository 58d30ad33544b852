"""The poster's results and questions, one file or folder each, run by `python -m minibayes NAME`."""

import importlib
import pkgutil
from types import ModuleType

from .frame import COMMANDS, Command


def commands() -> dict[str, Command]:
    """{name: command}: all that this folder defines, and whatever else was defined before (see frame.py)."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return COMMANDS


def __getattr__(name: str) -> ModuleType:
    """A study is imported when it is asked for."""
    if name in {module.name for module in pkgutil.iter_modules(__path__)}:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
