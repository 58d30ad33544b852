"""Regression with uncertainty: y = x sin x, noise that changes along x, and the CO2 of Mauna Loa.

band.py       the predictive band of T passes: its mean, std and log p(y*), and how well it held
toy.py        y = x sin x from 20 points; constant against heteroscedastic noise, where the truth is known
co2.py        Mauna Loa: the paper's window, networks and solver, scored on the months after the window
report.py     the printed table and the figure
command.py    python -m minibayes regression
"""

from .command import Regression

__all__ = ["Regression"]
