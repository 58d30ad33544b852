"""w = 0 where the noise of a weight drowns it: log(sd^2/E[w]^2) above a threshold, or the least |E[w]|/sd.

log alpha = -2 log(signal/noise): both ask for the same order of the weights. They differ in where they cut:
at a log alpha, whatever that leaves (Molchanov, Ashukha and Vetrov, arXiv 1701.05369, under the log-uniform
prior), or at a share of all weights, whatever their noise (Blundell et al., arXiv 1505.05424, under a normal
one). For multiplicative noise of one variance it is no order at all (Nalisnick et al., arXiv 1506.03208).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import require
from ..bayes import sparsity
from ..nn import Key
from ..own import settle
from .step import Step, Weights, with_noise


def log_alpha(w: Weights) -> np.ndarray:
    """log(sd^2/E[w]^2); inf where E[w] = 0, -inf where sd alone is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(w.mean == 0, np.inf, 2 * np.log(w.sd) - 2 * np.log(np.abs(w.mean)))


@dataclass(frozen=True)
class LogAlpha(Step):
    """w = 0 where log alpha > threshold: sparse variational dropout.

    threshold: 3 by default, a sd of 4.5 times the mean.
    """

    threshold: float = sparsity.THRESHOLD

    def __post_init__(self):
        settle(self, threshold=require.real("threshold", self.threshold))

    def apply(self, weights: Mapping, key: Key) -> dict:
        return {at: np.where(log_alpha(w) > self.threshold, 0, w.mean)
                for at, w in with_noise(weights).items()}


@dataclass(frozen=True)
class SignalToNoise(Step):
    """w = 0 for the `share` of the weights, of all layers together, whose |E[w]|/sd is least.

    share: in [0, 1); those that are 0 already count.
    """

    share: float

    def __post_init__(self):
        settle(self, share=require.real("share", self.share, 0, 1, open_high=True))

    def apply(self, weights: Mapping, key: Key) -> dict:
        found = {at: log_alpha(w) for at, w in with_noise(weights).items()}
        everyone = np.sort(np.concatenate([a.ravel() for a in found.values()]))  # the noisiest last
        goes = round(self.share * len(everyone))
        last = everyone[len(everyone) - goes] if goes else np.inf
        return {at: np.where(a >= last, 0, weights[at].mean) for at, a in found.items()}
