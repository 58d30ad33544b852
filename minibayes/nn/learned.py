"""z = T(phi, eps), phi learned beside M and b: noise whose size the data choose."""

import math
from dataclasses import dataclass

import numpy as np

from .. import require
from ..own import settle
from .key import Key, Rows
from .noise import Noise, normal_points


def sum_to(a: np.ndarray, shape: tuple) -> np.ndarray:
    """`a` summed over the axes along which `shape` was broadcast to it: the adjoint of broadcasting."""
    lead = a.ndim - len(shape)
    axes = (*range(lead), *(lead + i for i, size in enumerate(shape) if size == 1 and a.shape[lead + i] != 1))
    return a.sum(axis=axes).reshape(shape) if axes else a


@dataclass(frozen=True)
class LearnedGaussian(Noise):
    """z = 1 + sqrt(alpha) e, e ~ N(0, 1), log alpha learned.  E[z] = 1, E[z^2] = 1 + alpha.

    dz/dlog alpha = sqrt(alpha) e/2. Variational dropout (Kingma, Salimans and Welling, arXiv 1506.02557); the
    noise is drawn as in their appendix B. With an alpha per weight it is that of Molchanov, Ashukha and
    Vetrov (arXiv 1701.05369), whose own parameters are those of `MeanField` under `bayes.LogUniform`.

    variance: alpha to start from, 0.5 by default.
    per: "layer" (by default), one alpha for the layer; "unit", one for each ray; "weight", one for each
         weight, at the places Local (then the default) and Weights, where a ray is a weight.
    """

    variance: float = 0.5
    per: str = "layer"
    local = True

    def __post_init__(self):
        settle(self, variance=require.real("variance", self.variance, 0, open_low=True),
               per=require.choice("per", self.per, ("layer", "unit", "weight")))

    def start(self, shape: tuple) -> dict:
        shape = (1,) * len(shape) if self.per == "layer" else shape
        return {"log_alpha": np.full(shape, math.log(self.variance))}

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return key.normal(shape, rows)                                      # e

    def z(self, phi: dict, eps: np.ndarray) -> np.ndarray:
        return 1 + np.exp(phi["log_alpha"] / 2) * eps

    def pull(self, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        std = np.exp(phi["log_alpha"] / 2)
        return {"log_alpha": sum_to(dz * eps * (std / 2), std.shape)}       # sum_n dz_n (sqrt(alpha) e_n/2)

    def moments(self, phi: dict) -> tuple:
        return 1.0, 1 + np.exp(phi["log_alpha"])

    def sd(self, phi: dict) -> np.ndarray:
        return np.exp(phi["log_alpha"] / 2)

    def points(self, order: int) -> tuple:
        return normal_points(order)

    def settings(self) -> tuple:
        return (("variance", "alpha to start from", self.variance),)

    @property
    def of_weights(self) -> bool:
        return self.per == "weight"


SILENT = -40.0  # log s of a pruned weight: s^2 is 2e-35, which float32 still holds


@dataclass(frozen=True)
class MeanField(Noise):
    """w = M + z, z = s e, e ~ N(0, 1), log s learned for each weight.  E[z] = 0, E[z^2] = s^2.

    w ~ N(M, s^2): the factorised normal q of Bayes by Backprop (Blundell et al., arXiv 1505.05424), with
    log s for their log(1 + exp(rho)).  dw/dM = 1, dw/dlog s = s e.

    It adds to single weights, so it acts at three places, which are three estimators of one gradient: at
    nn.Local(), the default, each output is drawn from its own normal law (the local reparameterisation);
    nn.Weights() draws w itself for each example; nn.Flipout() turns the signs of one draw for each. The bias
    is outside the noise, a point, as at these places for any noise.

    Under bayes.Normal the KL is exact, its constant too: an absolute bound. Under bayes.LogUniform it is
    sparse variational dropout: alpha = s^2/M^2, and weights of large alpha can go (bayes.sparsity).

    std: s to start from, 0.01 by default: well below the weights' own size, or training begins in noise.
    """

    std: float = 0.01
    local = True
    additive = True

    def __post_init__(self):
        settle(self, std=require.real("std", self.std, 0, open_low=True))

    def start(self, shape: tuple) -> dict:
        return {"log_std": np.full(shape, math.log(self.std))}

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return key.normal(shape, rows)                                      # e

    def z(self, phi: dict, eps: np.ndarray) -> np.ndarray:
        return np.exp(phi["log_std"]) * eps

    def pull(self, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        std = np.exp(phi["log_std"])
        return {"log_std": sum_to(dz * eps * std, std.shape)}               # sum_n dz_n s e_n

    def moments(self, phi: dict) -> tuple:
        return 0.0, np.exp(2 * phi["log_std"])

    def sd(self, phi: dict) -> np.ndarray:
        return np.exp(phi["log_std"])

    def without(self, phi: dict, pruned: np.ndarray) -> dict:
        return {"log_std": np.where(pruned, np.asarray(SILENT, phi["log_std"].dtype), phi["log_std"])}

    def points(self, order: int) -> tuple:
        return normal_points(order)

    def settings(self) -> tuple:
        return (("std", "s to start from", self.std),)
