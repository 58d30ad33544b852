"""New q = new technique: one perceptron on MNIST under every q, and what each is good for.

techniques.py   every q: its noise, place and prior, the settings it trains with, and what was published of it
measure.py      one network trained and tested; pairs of them by McNemar's test
report.py       the printed table and the figure
command.py      python -m minibayes posteriors
"""

from .command import Posteriors

__all__ = ["Posteriors"]
