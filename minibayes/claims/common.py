"""What the claims share: the bound on rounding, the worst of what was measured, parameters without a zero."""

import numpy as np
from numpy.typing import ArrayLike

from .. import nn

EPS = np.finfo(float).eps
ROUNDING = "rounding"
Tree = dict[str, dict[str, np.ndarray]]  # {layer: {param: array}}


def rounding(terms: int, size: ArrayLike) -> float:
    """Twice (m + 2) eps sum |a b|, for m = `terms` products whose sum |a b| is at most `size`."""
    return 2 * (terms + 2) * EPS * float(np.max(size))


def worst(values: ArrayLike) -> float:
    """The largest; NaN if there is one, so that the check fails."""
    return float(np.max(values))


def random_params(net: nn.Network, rng: int | np.random.Generator, scale: float = 1.0) -> Tree:
    """Normal M and b, from a seed or a generator: no zeros that could hide a missing term."""
    rng = np.random.default_rng(rng)
    return {name: {p: scale * rng.standard_normal(a.shape) for p, a in group.items()}
            for name, group in net.init(0, np.float64).items()}


def add(tree: Tree, other: Tree, factor: float) -> Tree:
    """tree + factor other."""
    return {name: {p: a + factor * other[name][p] for p, a in group.items()} for name, group in tree.items()}


def distance(tree: Tree, other: Tree) -> float:
    """The largest difference between two trees."""
    return worst([np.abs(a - other[name][p]).max() for name, group in tree.items() for p, a in group.items()])


def largest(tree: Tree) -> float:
    """The largest absolute value in it."""
    return worst([np.abs(a).max() for group in tree.values() for a in group.values()])
