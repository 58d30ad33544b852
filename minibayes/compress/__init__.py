"""Fewer weights, fewer values, fewer bytes: what of a network must be stored, and a network without the rest.

    made = compress.compress(net, params, how=(compress.LogAlpha(3), compress.DirichletProcess()))
    print(made.table)
    mb.BayesianNetwork(made.net, prior, likelihood, made.params).save("small.npz", compact=True)

A draw from a Dirichlet process with a continuous base measure is discrete: weights drawn from it share
values, and only the values and who has which need be stored.

`made.net` can be trained on with `tied(made.params, nn.Adam(1e-4))`, which keeps zeros and shared values.
A step of one's own is a class with `apply`: see `Step`.
"""

from .compressed import Compressed, compress
from .prune import LogAlpha, SignalToNoise
from .share import AtRandom, DirichletProcess, KMeans
from .shrink import smaller
from .step import Step, Weights
from .tied import tied

__all__ = ["AtRandom", "Compressed", "DirichletProcess", "KMeans", "LogAlpha", "SignalToNoise", "Step",
           "Weights", "compress", "smaller", "tied"]
