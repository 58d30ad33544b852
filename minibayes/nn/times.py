"""z = z_a z_b: the product of two independent noises is a noise."""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..own import settle
from .key import Key, Rows
from .noise import Noise, check_noise


@dataclass(frozen=True)
class Times(Noise):
    """z = z_a z_b, z_a and z_b independent.  E[z] = E[z_a] E[z_b], E[z^2] = E[z_a^2] E[z_b^2].

    Times(Bernoulli(0.5), Gaussian(0.3)) is 0 or about 1: with it a weight has a spike at 0 and a slab around
    M, the spike-and-slab q of McClure and Kriegeskorte (arXiv 1611.01639).

    Each draws from a key of its own, key.of("a") and key.of("b"). phi is that of both, their names after
    "a_" and "b_". Where neither learns, eps is z; where one does, eps is a record of both, eps["a"] and
    eps["b"].

    a, b: any two noises, products too.
    """

    a: Noise
    b: Noise

    def __post_init__(self):
        settle(self, a=check_noise(self.a), b=check_noise(self.b))
        for name in ("a", "b"):
            if getattr(self, name).additive:
                raise require.InputError(f"{name} must be noise that multiplies, as w = m z, "
                                         f"got {getattr(self, name)!r}, which is added to m")

    @property
    def random(self) -> bool:
        return self.a.random or self.b.random

    @property
    def of_weights(self) -> bool:
        return self.a.of_weights or self.b.of_weights

    @property
    def form(self) -> tuple:
        return (type(self), self.a.form, self.b.form)

    def start(self, shape: tuple) -> dict:
        return joined(self.a.start(shape), self.b.start(shape))

    def draw(self, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return self._pair(self.a.draw(key.of("a"), shape, rows), self.b.draw(key.of("b"), shape, rows))

    def z(self, phi: dict, eps: np.ndarray) -> np.ndarray:
        if not self.learned:
            return eps
        z_a, z_b = self._factors(phi, eps)
        return z_a * z_b

    def pull(self, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        if not self.learned:
            return {}
        z_a, z_b = self._factors(phi, eps)
        return joined(self.a.pull(of(phi, "a"), eps["a"], dz * z_b),           # dz/dz_a = z_b
                      self.b.pull(of(phi, "b"), eps["b"], dz * z_a))           # dz/dz_b = z_a

    def moments(self, phi: dict) -> tuple:
        both = zip(self.a.moments(of(phi, "a")), self.b.moments(of(phi, "b")), strict=True)
        return tuple(m_a * m_b for m_a, m_b in both)                           # they are independent

    def points(self, order: int) -> tuple:
        """All pairs; where neither learns, those with one product together."""
        (values_a, weights_a), (values_b, weights_b) = self.a.points(order), self.b.points(order)
        pairs = len(values_a), len(values_b)
        values = self._pair(*(np.broadcast_to(v, pairs).reshape(-1) for v in (values_a[:, None], values_b)))
        weights = np.outer(weights_a, weights_b).reshape(-1)
        if self.learned:
            return values, weights
        values, which = np.unique(values, return_inverse=True)
        return values, np.bincount(which.reshape(-1), weights)

    def hard(self) -> "Times":
        a, b = self.a.hard(), self.b.hard()
        return self if a is self.a and b is self.b else Times(a, b)

    def settings(self) -> tuple:
        return tuple((f"{name} of {factor}", formula, value) for factor in ("a", "b")
                     for name, formula, value in getattr(self, factor).settings())

    def _pair(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """eps of both: their product, or a record of them."""
        if not self.learned:
            return a * b
        eps = np.empty(a.shape, [("a", a.dtype), ("b", b.dtype)])
        eps["a"], eps["b"] = a, b
        return eps

    def _factors(self, phi: dict, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(z_a, z_b)."""
        return self.a.z(of(phi, "a"), eps["a"]), self.b.z(of(phi, "b"), eps["b"])


def joined(a: dict, b: dict) -> dict:
    """The phi, or gradients, of both under one roof: "a_" and "b_" before their names."""
    return {f"a_{name}": v for name, v in a.items()} | {f"b_{name}": v for name, v in b.items()}


def of(phi: dict, factor: str) -> dict:
    """Those of one factor, under their own names."""
    return {name.removeprefix(f"{factor}_"): v for name, v in phi.items() if name.startswith(f"{factor}_")}
