"""eps -> z = T(phi, eps): the multiplicative noise of stochastic regularisation, and the class to subclass.

A noise is drawn in two steps. eps ~ p(eps) comes from counters alone, before any parameter is looked at;
z = T(phi, eps) may depend on parameters phi that are learned beside M and b. Noise without parameters has
z = eps, and costs nothing more than drawing it.

The poster's convention: z is *not* rescaled by 1/keep, so E[z] = keep.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import kernels, require
from ..own import settle
from ..registry import Registered, check
from .key import Key, Rows, as_key
from .nodes import normal_points, pushed


class Noise(Registered, kind="noise"):
    """z = T(phi, eps). Subclass it as a frozen dataclass; only `draw` and `moments` must be written.

        @dataclass(frozen=True)
        class Uniform(nn.Noise):
            width: float = 0.5

            def draw(self, key, shape, rows):                          # z ~ uniform(1 - width, 1 + width)
                return (1 + self.width * (2 * key.uniform(shape, rows) - 1)).astype(rows.dtype)

            def moments(self, phi):
                return 1.0, 1 + self.width**2 / 3                      # E[z], E[z^2]

    One that learns writes `start`, `z` and `pull` too. phi is {name: array}, and lies in the layer's params
    beside M and b.

    `minibayes.checks.noise` grades what was written.
    """

    random = True  # whether z varies at all: a layer whose noise does not is a layer without noise
    pools = False  # whether `expected_max` is written: what rule="probabilistic-pooling" needs
    local = False  # whether z is normal, z = E[z] + std n with n ~ N(0, 1): what the place Local needs
    additive = False  # whether a weight is w = m + z, not w = z m: then at the places Local and Weights alone

    def start(self, shape: tuple) -> dict:
        """phi_0, {name: float64 array} for units of `shape`, to learn from; {} where nothing is learned."""
        return {}

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        """eps of `shape` = (len(rows), ...), by key.uniform, .normal or .bernoulli; reals as rows.dtype.

        One number per unit, or a record of several (nn/times.py).
        """
        raise NotImplementedError(f"{type(self).__name__} must have draw(key, shape, rows)")

    def z(self, phi: dict, eps: np.ndarray) -> np.ndarray:
        """T(phi, eps), in the shape of eps."""
        return eps

    def pull(self, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        """dL/dphi = sum over rows of (dT/dphi)' dz, in the names and shapes of phi."""
        return {}

    def moments(self, phi: dict) -> tuple:
        """(E[z], E[z^2]): numbers, or arrays in the shape of phi. Weight averaging, posterior and KL ask."""
        raise NotImplementedError(f"{type(self).__name__} must have moments(phi)")

    def sd(self, phi: dict) -> np.ndarray | float:
        """sqrt(Var[z]), as `moments` gives E[z]. Written where Var[z] may be too small to be a difference."""
        first, second = self.moments(phi)
        return np.sqrt(second - first * first)

    def without(self, phi: dict, pruned: np.ndarray) -> dict:
        """phi for weights of which some, where `pruned` is True, are to be 0: their M will be."""
        return phi

    def points(self, order: int) -> tuple:
        """(values (n,), weights (n,)) of one eps: sum_i weights_i g(values_i) = E[g(eps)].

        For `truth.exact`. order: n, where it is free. By default from `draw`, with quadrature nodes in the
        place of random numbers (nn/nodes.py); to be written where that has steps, or takes over three draws.
        """
        found = pushed(self, order)
        if found is not None:
            return found
        raise require.InputError(f"noise {self!r} cannot be enumerated: write points(order), which gives the "
                                 "values of one eps and their probabilities, or the nodes and weights of a "
                                 "quadrature")

    def expected_max(self, y: np.ndarray, size: int, stride: int) -> np.ndarray:
        """E[max over each size x size window of z y] for one z per unit of y (N, H, W, C)."""
        raise NotImplementedError(f"{type(self).__name__} has no expected_max")

    def settings(self) -> tuple:
        """((name, formula, value), ...): the numbers that make the distribution, for a table."""
        return ()

    @property
    def form(self) -> type | tuple:
        """What a KL rule is found by (`bayes.kl.rule`): its class; of a product, the factors' too."""
        return type(self)

    def hard(self) -> "Noise":
        """Itself; where z is the smooth stand-in of a step (`Concrete`), the step, with the same phi."""
        return self

    @property
    def of_weights(self) -> bool:
        """Whether it is noise on single weights, for the places Local and Weights."""
        return self.additive

    @property
    def learned(self) -> bool:
        """Whether it has parameters of its own."""
        return bool(self.start((1,)))

    def sample(self, key: Key | int, shape: tuple, layer: str = "", examples: ArrayLike | None = None,
               passes: ArrayLike | None = None, dtype: DTypeLike = np.float32) -> np.ndarray:
        """z of `shape` = (R, ...): row n is a function of (key, layer, examples[n], passes[n]) only.

        key: a Key, or a seed.
        layer: the name of the layer it is for; none by default.
        examples: (R,), one number per row; 0 ... R - 1 by default.
        passes: (R,), one number per row; key.t by default.
        dtype: of real numbers.

        Noise that learns is at phi_0.
        """
        key = as_key(key)
        rows = Rows.of(key, shape[0], examples, passes, dtype)
        return self.z(self.start(shape[1:]), self.draw(key.of(layer) if layer else key, tuple(shape), rows))

    @property
    def mean(self) -> float:
        """E[z], of noise without parameters."""
        return self.moments(self.start((1,)))[0]

    @property
    def second_moment(self) -> float:
        """E[z^2], of noise without parameters."""
        return self.moments(self.start((1,)))[1]

    @property
    def variance(self) -> float:
        """Var[z] = E[z^2] - E[z]^2, of noise without parameters."""
        return self.second_moment - self.mean**2


@dataclass(frozen=True)
class Delta(Noise):
    """z = 1: no noise. E[z] = E[z^2] = 1."""

    random = False

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return np.ones(shape, np.uint8)

    def moments(self, phi: dict) -> tuple:
        return 1.0, 1.0

    def points(self, order: int) -> tuple:
        return np.ones(1, np.uint8), np.ones(1)


@dataclass(frozen=True)
class Bernoulli(Noise):
    """z in {0, 1}, P(z = 1) = keep: dropout. E[z] = E[z^2] = keep, Var[z] = keep (1 - keep).

    Not rescaled: the poster's q_theta.

    keep: P(z = 1), in (0, 1].
    """

    keep: float
    pools = True

    def __post_init__(self):
        settle(self, keep=require.real("keep", self.keep, 0, 1, open_low=True))

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        """As uint8, exactly Bernoulli(keep)."""
        return key.bernoulli(shape, rows, self.keep)

    def moments(self, phi: dict) -> tuple:
        return self.keep, self.keep

    @property
    def variance(self) -> float:
        return self.keep * (1 - self.keep)

    def points(self, order: int) -> tuple:
        """Both values; one that has no weight (keep = 1) is left out."""
        values, weights = np.array([0, 1], np.uint8), np.array([1 - self.keep, self.keep])
        return values[weights > 0], weights[weights > 0]

    def expected_max(self, y: np.ndarray, size: int, stride: int) -> np.ndarray:
        """Exactly, by sorting each window: see `kernels.expected_max_pool`."""
        N, H, W, C = y.shape
        out = np.empty((N, (H - size) // stride + 1, (W - size) // stride + 1, C), y.dtype)
        kernels.expected_max_pool(y, self.keep, size, stride, np.empty((size**2, C), y.dtype), out)
        return out

    def settings(self) -> tuple:
        return (("keep", "P(z = 1)", self.keep),)


@dataclass(frozen=True)
class Gaussian(Noise):
    """z ~ N(1, variance): multiplicative Gaussian noise, MGN. E[z] = 1, E[z^2] = 1 + variance.

    variance: Var[z] > 0; 1 by default, as on the poster. (1 - keep)/keep matches *rescaled* dropout
              (Srivastava et al. 2014, section 10).
    """

    variance: float = 1.0
    local = True

    def __post_init__(self):
        settle(self, variance=require.real("variance", self.variance, 0, open_low=True))

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return key.normal(shape, rows, 1.0, math.sqrt(self.variance))

    def moments(self, phi: dict) -> tuple:
        return 1.0, 1 + self.variance

    def points(self, order: int) -> tuple:
        values, weights = normal_points(order)
        return 1 + math.sqrt(self.variance) * values, weights

    def settings(self) -> tuple:
        return (("variance", "Var[z]", self.variance),)


def check_noise(noise: object) -> Noise:
    wanted = "nn.Delta(), nn.Bernoulli(keep), nn.Gaussian(variance) or another nn.Noise"
    return check("noise", noise, Noise, wanted)
