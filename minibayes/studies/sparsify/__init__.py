"""How many weights does a network need? 784-300-100-10 on MNIST by sparse variational dropout, then pruned.

w = m + s e for each weight, log s learned, under the log-uniform prior: a weight that the data do not need
drifts to a large log alpha = log s^2/m^2, and those above 3 are set to 0 (Molchanov, Ashukha and Vetrov,
arXiv 1701.05369).

training.py   the network, the schedule of a published small run, and one stage of it
measure.py    jobs: a stage of one network, and what can go of it at the end, cut at thirty too
report.py     the printed table and the figure
command.py    python -m minibayes sparsify
"""

from .command import Sparsify

__all__ = ["Sparsify"]
