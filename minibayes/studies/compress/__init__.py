"""How few bytes does a network need? Error against the size of files on disk, pruned and shared in many ways.

networks.py   what is trained: dense, sparse variational dropout, mean field, hashed, random labels
points.py     one file: written, measured, read again, tested
report.py     the printed table and the figure
command.py    python -m minibayes compress
"""

from .command import Compress

__all__ = ["Compress"]
