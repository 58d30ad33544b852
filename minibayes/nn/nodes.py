"""E[g(z)] = sum_i w_i g(z_i): z_i is what a noise makes of quadrature nodes instead of random numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..floats import usual
from .key import Rows

if TYPE_CHECKING:
    from .noise import Noise

ORDER, MOST, CLOSE = 64, 3, 1e-9  # nodes to be tried with; draws for one z; of the moments, relative


def normal_points(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of n ~ N(0, 1): Gauss-Hermite, exact for polynomials of degree below 2 * order."""
    values, weights = np.polynomial.hermite_e.hermegauss(order)         # of exp(-n^2/2), in all sqrt(2 pi)
    return values, weights / math.sqrt(2 * math.pi)


def uniform_points(order: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of U ~ uniform(0, 1): Gauss-Legendre."""
    values, weights = np.polynomial.legendre.leggauss(order)            # on (-1, 1), in all 2
    return (1 + values) / 2, weights / 2


class Nodes:
    """Stands for a `Key` in `Noise.draw`: each draw that is asked of it is an axis of a grid of nodes.

    rules: (values, weights) of each draw, in the order in which they are asked for; first those of the first
           run, which finds out how many there are: they all give their first node.
    """

    def __init__(self, order: int, rules: list | None = None):
        self.order, self.known, self.rules = order, rules, []

    def of(self, name: str) -> Nodes:
        return self

    def uniform(self, shape: tuple, rows: Rows) -> np.ndarray:
        return self._axis(shape, uniform_points(self.order))

    def normal(self, shape: tuple, rows: Rows, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        values, weights = normal_points(self.order)
        return self._axis(shape, (mean + std * values, weights))

    def bernoulli(self, shape: tuple, rows: Rows, keep: float) -> np.ndarray:
        values, weights = np.array([0, 1], np.uint8), np.array([1 - keep, keep])
        return self._axis(shape, (values[weights > 0], weights[weights > 0]))

    def _axis(self, shape: tuple, rule: tuple) -> np.ndarray:
        at = len(self.rules)
        self.rules.append(rule)
        sizes = [len(values) for values, _ in self.known or ()]
        if shape != (math.prod(sizes),):
            raise ValueError("not one number for each z")
        if self.known is None:
            return rule[0][:1]
        return np.broadcast_to(rule[0].reshape(-1, *(1,) * (len(sizes) - at - 1)), sizes).reshape(shape)


def grid(noise: Noise, order: int) -> tuple[np.ndarray, np.ndarray, list]:
    """(values, weights, sizes): every combination of the nodes of its draws, and how many each draw has."""
    first = Nodes(order)
    noise.draw(first, (1,), rows(1))
    if len(first.rules) > MOST:
        raise ValueError("too many draws for one z")
    sizes = [len(values) for values, _ in first.rules]
    weights = np.ones(())
    for _, own in first.rules:
        weights = np.multiply.outer(weights, own)
    weights = weights.reshape(-1)
    return noise.draw(Nodes(order, first.rules), (len(weights),), rows(len(weights))), weights, sizes


def flat(table: np.ndarray, axis: int) -> bool:
    """Whether z stays as it is from one node to the next and yet depends on this draw."""
    still = np.diff(table, axis=axis) == 0
    return bool((still.any(axis=axis) & ~still.all(axis=axis)).any())


def rows(count: int) -> Rows:
    return Rows(np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.dtype(float))


@usual
def pushed(noise: Noise, order: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(values, weights) of one eps, from `draw` alone, or None where they would be wrong.

    They are tried with 64 nodes a draw: they must give the moments that the noise says, and eps must have no
    steps or flat pieces along a draw of real numbers, or a quadrature in it is only as good as its nodes are
    close. So a noise with either writes `points`.
    """
    try:
        values, weights, sizes = grid(noise, ORDER)
        phi = noise.start((1,))
        z = np.asarray(noise.z(phi, values), float)
        for power, moment in enumerate(noise.moments(phi), start=1):
            off = abs(weights @ z**power - float(np.ravel(moment)[0]))
            if not off <= CLOSE * max(1.0, weights @ abs(z) ** power):
                return None
        if any(size == ORDER and flat(z.reshape(sizes), axis) for axis, size in enumerate(sizes)):
            return None
        return grid(noise, order)[:2]
    except Exception:  # a draw that asks for more than numbers
        return None
