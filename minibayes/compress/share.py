"""w_ij in {theta_1, ..., theta_K}: few values for many weights, by a Dirichlet process, k-means or at random.

Each matrix has values of its own. Weights that are 0 stay 0: 0 is no value that is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import kernels, require
from ..nn import Key, Rows
from ..own import settle
from .step import Step, Weights


class Share(Step):
    """A step that gives the weights that are kept, one matrix at a time, shared values: subclass `values`."""

    def apply(self, weights: Mapping, key: Key) -> dict:
        out = {}
        for (layer, param), w in weights.items():
            out[layer, param] = w.mean.copy()
            if w.kept.any():
                out[layer, param][w.kept] = self.values(f"{layer}/{param}", w, key.of(f"{layer}/{param}"))
        return out

    def values(self, name: str, w: Weights, key: Key) -> np.ndarray:
        """The new values of w.mean[w.kept], in their order."""
        raise NotImplementedError


def check_count(count: float) -> float:
    """A number of values, or below 1 a share of the weights of the matrix, zeros too."""
    if isinstance(count, float) and count < 1:
        return require.real("count", count, 0, 1, open_low=True, open_high=True)
    return require.integer("count", count, 1)


def how_many(count: float, w: Weights) -> int:
    return count if count >= 1 else max(1, round(count * w.mean.size))


@dataclass(frozen=True)
class KMeans(Share):
    """The K values with the least sum of (w - theta)^2, to a local minimum: Lloyd, from evenly spaced ones.

    As in Deep Compression (Han, Mao and Dally, arXiv 1510.00149).

    count: K, 16 by default; below 1 the share of the matrix, 1/64 is a value for 64 weights.
    iterations: at most so many, 100 by default.
    """

    count: float = 16
    iterations: int = 100

    def __post_init__(self):
        settle(self, count=check_count(self.count),
               iterations=require.integer("iterations", self.iterations, 1))

    def values(self, name: str, w: Weights, key: Key) -> np.ndarray:
        x = w.mean[w.kept]
        ordered = np.sort(x)
        sums = np.concatenate([[0], np.cumsum(ordered)])
        theta = np.linspace(ordered[0], ordered[-1], how_many(self.count, w))
        for _ in range(self.iterations):
            ends = np.searchsorted(ordered, (theta[1:] + theta[:-1]) / 2)       # where the nearest changes
            ends = np.concatenate([[0], ends, [len(ordered)]])
            n = np.diff(ends)
            new = np.where(n > 0, np.diff(sums[ends]) / np.maximum(n, 1), theta)
            if np.array_equal(new, theta):
                break
            theta = np.sort(new)
        return theta[np.searchsorted((theta[1:] + theta[:-1]) / 2, x)]


@dataclass(frozen=True)
class AtRandom(Share):
    """Which weights share a value is drawn, not learned; the value is their mean: the baseline to beat.

    Of a trained network nothing is left by it. HashedNets (Chen et al., arXiv 1504.04788) are trained with
    their ties: `nn.Hashed`.

    count: values, 16 by default; below 1 the share of the matrix.
    """

    count: float = 16

    def __post_init__(self):
        settle(self, count=check_count(self.count))

    def values(self, name: str, w: Weights, key: Key) -> np.ndarray:
        x = w.mean[w.kept]
        count = how_many(self.count, w)
        label = (key.uniform((len(x),), Rows.of(key, len(x), dtype=np.float64)) * count).astype(np.int64)
        n = np.maximum(np.bincount(label, minlength=count), 1)
        return (np.bincount(label, x, count) / n)[label]


@dataclass(frozen=True)
class DirichletProcess(Share):
    """w_ij ~ N(theta, s_ij^2), theta ~ G, G ~ DP(alpha, N(0, v)): how many values there are is learned too.

    s_ij is the weight's own standard deviation under q: what the data do not know of a weight need not be
    stored. G is discrete, so weights share values. Which do is drawn by Gibbs sweeps over single weights, the
    values integrated out (Neal 2000, algorithm 3); then each goes where it is most probable, sweep by sweep
    until none moves: a mode, not a draw. A weight prefers a value that many have, by log n: what it takes to
    store (log2 n/n_k bits) is weighed against what it changes. v is the mean square of the weights
    (empirical Bayes). A sweep over n weights and K values takes n K steps; nothing is approximated in it.

    alpha: of the prior a value is new with probability alpha/(alpha + i); 1 by default.
    sweeps: of Gibbs, 10 by default.
    blur: what q's s is multiplied by, 0.3 by default: more gives fewer values. At 1 each weight moves by
          about its s, as under q, but not on its own: those of one value move together, and it adds up.
    std: s of all weights, in units of the root of v, instead of q's, without blur; None by default: q's.
    """

    alpha: float = 1.0
    sweeps: int = 10
    blur: float = 0.3
    std: float | None = None

    def __post_init__(self):
        settle(self, alpha=require.real("alpha", self.alpha, 0, open_low=True),
               sweeps=require.integer("sweeps", self.sweeps, 1),
               blur=require.real("blur", self.blur, 0, open_low=True))
        if self.std is not None:
            settle(self, std=require.real("std", self.std, 0, open_low=True))

    def values(self, name: str, w: Weights, key: Key) -> np.ndarray:
        x, v = w.mean[w.kept], float(np.mean(w.mean[w.kept] ** 2))
        if w.sd is None and self.std is None:
            raise require.InputError(f"std must be given, as {name} has no noise on each weight")
        s = self.blur * w.sd[w.kept] if self.std is None else np.full(len(x), self.std * v**0.5)
        r = 1 / np.maximum(s, 1e-6 * v**0.5) ** 2
        label = partition(x, r, self.alpha, 1 / v, self.sweeps, key)
        p = 1 / v + np.bincount(label, r)
        return (np.bincount(label, r * x) / p)[label]


def partition(w: np.ndarray, r: np.ndarray, alpha: float, prior: float, sweeps: int, key: Key,
              settle_down: int = 20) -> np.ndarray:
    """c (n,): which weights share a value, after `sweeps` sweeps of Gibbs and at most so many greedy ones.

    The first sweep seats one weight after another; see `kernels.restaurant`.
    """
    n, tables = len(w), 0
    label = np.full(n, -1)
    count, precision, weighted = np.zeros(n, np.int64), np.full(n, float(prior)), np.zeros(n)
    for sweep in range(sweeps + settle_down):
        before = label.copy()
        if sweep < sweeps:
            u = key.at(sweep).uniform((n,), Rows.of(key.at(sweep), n, dtype=np.float64))
        else:
            u = np.full(n, -1.0)
        tables = kernels.restaurant(w, r, alpha, float(prior), u, label, count, precision, weighted, tables)
        if sweep >= sweeps and np.array_equal(before, label):
            break
        used = count[:tables] > 0  # sums afresh: what was added and taken away has left its rounding
        precision[:tables] = np.where(used, prior + np.bincount(label, r, tables), prior)
        weighted[:tables] = np.where(used, np.bincount(label, r * w, tables), 0)
    return label
