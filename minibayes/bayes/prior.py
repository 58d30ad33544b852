"""p(omega): the poster's N(0, l^-2 I), of length-scale l = 1 there, and Prior, the class to subclass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..nn.network import Network
from ..own import fixed, settle
from ..registry import Registered, check


class Prior(Registered, kind="prior"):
    """p(omega), every weight and bias independently. Prior(lengthscale) is Normal(lengthscale), the poster's.

    For one of your own subclass it as a frozen dataclass with `log_p` and `draw`, and write the KL of a noise
    under it: `bayes.kl.rule`.
    """

    def __new__(cls, *args, **kwargs):
        return super().__new__(Normal if cls is Prior else cls)

    def check(self, layer: str) -> None:
        """An error if the prior says nothing of that layer."""

    def log_p(self, layer: str, w: np.ndarray) -> tuple[float, np.ndarray]:
        """(log p(w) summed over the weights of one layer, its gradient)."""
        raise NotImplementedError(f"{type(self).__name__} must have log_p(layer, w)")

    def draw(self, rng: np.random.Generator, layer: str, shape: tuple) -> np.ndarray:
        """w ~ p(w)."""
        raise NotImplementedError(f"{type(self).__name__} must have draw(rng, layer, shape)")

    def settings(self, layer: str) -> tuple:
        """((name, formula, value, unit), ...): what stands in a table for one layer."""
        return ()

    def sample(self, net: Network, rng: np.random.Generator | int, dtype: DTypeLike = np.float32) -> dict:
        """omega ~ p(omega), {layer: {param: array}}: with all noise at 1, a function drawn from the prior."""
        rng = np.random.default_rng(rng)
        return {name: {p: self.draw(rng, name, shape).astype(dtype)
                       for p, shape in layer.param_shapes().items()}
                for name, layer in net.layers.items() if layer.param_shapes()}


@dataclass(frozen=True)
class Normal(Prior, formerly="Prior"):
    """Every weight and bias ~ N(0, l^-2), independently.

    lengthscale: l > 0, 1 by default; or {layer name: l}, for all layers with weights.
    """

    lengthscale: float | Mapping = 1.0

    def __post_init__(self):
        l = self.lengthscale
        if isinstance(l, Mapping):
            l = {name: require.real(f"lengthscale[{name!r}]", value, 0, open_low=True)
                 for name, value in l.items()}
        else:
            l = require.real("lengthscale", l, 0, open_low=True)
        settle(self, lengthscale=fixed(l))

    def of(self, layer: str) -> float:
        """l of one layer."""
        if not isinstance(self.lengthscale, Mapping):
            return float(self.lengthscale)
        if layer not in self.lengthscale:
            raise require.InputError(f"lengthscale has no value for layer {layer!r}, only for "
                                     f"{list(self.lengthscale)}")
        return float(self.lengthscale[layer])

    def check(self, layer: str) -> None:
        self.of(layer)

    def log_p(self, layer: str, w: np.ndarray) -> tuple[float, np.ndarray]:
        """-l^2/2 ||w||^2 + K/2 log(l^2/2 pi), and -l^2 w."""
        l2 = self.of(layer) ** 2
        return w.size / 2 * math.log(l2 / (2 * math.pi)) - l2 / 2 * float((w * w).sum()), -l2 * w

    def draw(self, rng: np.random.Generator, layer: str, shape: tuple) -> np.ndarray:
        return rng.standard_normal(shape) / self.of(layer)

    def settings(self, layer: str) -> tuple:
        return ((f"l[{layer}]", "prior N(0, l^-2)", self.of(layer), "1/(units of weight)"),)


@dataclass(frozen=True)
class WeightDecay(Normal):
    """N(0, l^-2), of whose KL only the weight decay l^2/2 E[z^2] ||M||^2 is counted: *not the KL*, no bound.

    "Gaussian dropout" as the field uses it: `bayes/rules/weight_decay.py` says what is left out, and why that
    may predict better. Under dropout, where nothing is left out, it is the same as Normal.

    lengthscale: as of Normal.
    """

    def settings(self, layer: str) -> tuple:
        return ((f"l[{layer}]", "prior N(0, l^-2), its weight decay alone: not the KL", self.of(layer),
                 "1/(units of weight)"),)


@dataclass(frozen=True)
class LogUniform(Prior):
    """p(log ||ray||) = const on what shares one z: improper, so there is nothing to draw.

    The prior of variational dropout (Kingma, Salimans and Welling, arXiv 1506.02557), there for single
    weights. Here it is the length of a ray that is log-uniform, with its direction left alone, so that the KL
    does not depend on M for rays of more numbers either. Weights without noise have no penalty: no KL.

    kl: "exact" (by default), or "molchanov": the fit of Molchanov, Ashukha and Vetrov (arXiv 1701.05369) in
        its place, up to 0.0094 nats a weight from it.
    """

    kl: str = "exact"
    newer_fields = ("kl",)

    def __post_init__(self):
        settle(self, kl=require.choice("kl", self.kl, ("exact", "molchanov")))

    def draw(self, rng: np.random.Generator, layer: str, shape: tuple) -> np.ndarray:
        raise require.InputError("prior LogUniform is improper: nothing can be drawn from it")


def check_prior(prior: object) -> Prior:
    return check("prior", prior, Prior, "a bayes.Prior")
