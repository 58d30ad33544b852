"""The UCI regression benchmark: the published protocol on Boston and Concrete, and on any table of numbers.

protocol.py   one network: what is trained, derived from what was published; splits, grid, score
jobs.py       all networks, in parallel through any concurrent.futures.Executor
table.py      a table from a CSV file
report.py     means over splits, the published figures beside them, the printed table, the figure's columns
command.py    python -m minibayes uci
"""

from .command import UCI
from .jobs import run
from .protocol import splits
from .table import read

__all__ = ["UCI", "read", "run", "splits"]
