"""The poster's results and questions, one file or folder each, run by `python -m minibayes NAME`."""

import importlib
import pkgutil

from .frame import COMMANDS, Command


def commands() -> dict[str, Command]:
    """{name: command}: all that this folder defines, and whatever else was defined before (see frame.py)."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return COMMANDS
