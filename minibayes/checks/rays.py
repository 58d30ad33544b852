"""KL(q || p) of one ray by numbers alone, q the law of z m + s n on a grid, s small: for differences.

A ray m in R^K times z, blurred by N(0, s^2 I), has along m the law of z ||m|| + s n, across it N(0, s^2): so

    KL = -E_q sum_k log p(z m_k)  -  H[z ||m|| + s n]  +  (what depends on K and s alone)

The draws of z are no random ones: a key that gives t_i on an even grid as "normal", Phi(t_i) as "uniform",
goes through the noise's own `draw`; with weights phi(t_i) dt every average is a trapezoid sum. A noise that
draws twice has a grid of pairs.
"""

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from ..nn import Rows
from .verdict import call

POINTS = 2**13  # draws of z
LOOK = 2**6  # of them, those at which log p is asked for first, twice; 2**10 where these two differ
PAIRS = 128  # draws of either of two,
BESIDE = 2**11  # or of one beside a coin
SHIFT = 0.382  # of the second grid, so that sums of both do not meet
GRID = 2**14
BLUR = 0.005  # s
ATOM = 0.01  # a value of z with more weight has it for itself
REACH = 8.0  # standard deviations: Phi(8) is the last but one number below 1


@lru_cache(maxsize=8)
def axis(count: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(t, Phi(t), weights phi(t) dt) on an even grid, moved by so much of its step."""
    t = np.linspace(-REACH, REACH, count) + shift * 2 * REACH / (count - 1)
    density = np.exp(-t**2 / 2)
    return t, np.array([NormalDist().cdf(v) for v in t]), density / density.sum()


class Quantiles:
    """In the place of a Key: t_i, Phi(t_i) for row i; of two draws under two names, all pairs.

    names: {path: keep} of those under which will be drawn, as far as they are known: keep of one under which
           only coins are, else None. A coin in a pair has its two values: there is room for the other.
    seen: the same, of what was drawn.
    """

    def __init__(self, names: dict | None = None, path: str = "", seen: dict | None = None):
        self.names, self.path, self.seen = names or {}, path, {} if seen is None else seen
        self.seed = self.t = 0

    def of(self, name: str) -> "Quantiles":
        return Quantiles(self.names, f"{self.path}/{name}", self.seen)

    @property
    def axes(self) -> list:
        """(t, Phi(t), weights) along each of the names, two at most."""
        keeps = list(self.names.values())[:2]
        if len(keeps) < 2:
            return [axis(POINTS)]
        coin = any(keep is not None for keep in keeps)
        return [(np.arange(2), np.arange(2), np.array([1 - keep, keep])) if keep is not None
                else axis(BESIDE) if coin else axis(PAIRS, SHIFT * number)
                for number, keep in enumerate(keeps)]

    @property
    def count(self) -> int:
        return int(np.prod([len(weights) for *_, weights in self.axes]))

    @property
    def weights(self) -> np.ndarray:
        axes = self.axes
        return axes[0][2] if len(axes) < 2 else np.outer(axes[0][2], axes[1][2]).reshape(-1)

    def column(self, which: int, shape: tuple, rows: Rows, keep: float | None = None) -> np.ndarray:
        """Column `which` of `axis`, for this name; keep: where it is for a coin."""
        if self.seen.setdefault(self.path, keep) != keep:
            self.seen[self.path] = None  # something else is drawn under this name too
        number, axes = list(self.seen).index(self.path), self.axes
        if len(axes) < 2:
            values = axes[0][which]
        elif number < 2:
            values = np.meshgrid(axes[0][which], axes[1][which], indexing="ij")[number].reshape(-1)
        else:  # independent of the weights: evenly spread
            order = np.random.default_rng(number).permutation(self.count)
            values = np.interp((order + 0.5) / self.count, axis(POINTS)[1], axis(POINTS)[which])
        return np.broadcast_to(values.reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(rows.dtype)

    def uniform(self, shape: tuple, rows: Rows) -> np.ndarray:
        return self.column(1, shape, rows)

    def normal(self, shape: tuple, rows: Rows, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        return mean + std * self.column(0, shape, rows)

    def bernoulli(self, shape: tuple, rows: Rows, keep: float) -> np.ndarray:
        values = self.column(1, shape, rows, keep)
        own = len(self.axes) > 1 and self.names.get(self.path) is not None
        return (values if own else values < keep).astype(np.uint8)


class Ray:
    """q of one ray for a noise: draws of eps and their weights; z, -E log p and -H for any phi and m."""

    def __init__(self, noise):
        self.noise, first = noise, Quantiles()
        self._draw(first)  # to see under which names it draws
        key = Quantiles(first.seen)
        self.eps, self.weights, self.names = self._draw(key), key.weights, key.names

    def _draw(self, key):
        numbers = np.arange(key.count, dtype=np.uint64)
        rows = Rows(numbers, 0 * numbers, np.dtype(np.float64))
        return call(self.noise, "draw", key, (key.count, 1), rows)

    def z(self, phi: dict) -> np.ndarray:
        """The draws of z; phi {name: (1,) array}."""
        return np.asarray(call(self.noise, "z", phi, self.eps), np.float64)[:, 0]

    def factor(self, phi: dict, m: np.ndarray) -> np.ndarray:
        """The draws of w/m, which is z; additive noise has w = m + z, and one number in a ray."""
        return 1 + self.z(phi) / m if self.noise.additive else self.z(phi)

    def expected_log_p(self, z: np.ndarray, m: np.ndarray, log_p) -> float:
        """-E_q log p(ray) = -sum_i w_i log p(z_i m)."""
        values, which = np.unique(z, return_inverse=True)
        if len(values) <= LOOK:
            return over(values, np.bincount(which, self.weights), m, log_p)
        if len(self.names) > 1:                                             # near ones together
            mass, group = np.bincount(which, self.weights), np.arange(len(values)) * 512 // len(values)
            weights = np.bincount(group, mass)
            return over(np.bincount(group, mass * values) / weights, weights, m, log_p)
        every = POINTS // LOOK
        one, other = (over(z[i::every], self.weights[i::every], m, log_p) for i in (0, every // 2))
        return (one + other) / 2 if abs(one - other) < 1e-3 * (1 + abs(one)) else over(
            z[::8], self.weights[::8], m, log_p)

    def minus_entropy(self, z: np.ndarray, size: float) -> float:
        """-H[z size + s n] for s -> 0, but for what depends on s alone.

        Where some values have a weight of their own, s is the same for every size: then log s, their part of
        H, cancels in a difference. Elsewhere s may grow with the size, and edges of q, which cost a multiple
        of s, are taken off by a second s. Where there are both, a spike and a slab, each is taken alone: for
        s -> 0 they do not overlap.
        """
        values, which = np.unique(z, return_inverse=True)
        mass = np.bincount(which, self.weights)
        spikes = mass > ATOM
        if not spikes.any():
            return self.spread(z, self.weights, size)
        rest = mass[~spikes].sum()
        if rest < ATOM or len(values) <= LOOK:
            return entropy(z * size, self.weights, BLUR)
        slab = ~spikes[which]
        alone = (mass[spikes] * np.log(mass[spikes])).sum() + rest * np.log(rest)
        return float(alone + rest * self.spread(z[slab], self.weights[slab] / rest, size))

    def spread(self, z: np.ndarray, weights: np.ndarray, size: float) -> float:
        """-H where no value has a weight of its own."""
        std = size * np.sqrt(weights @ (z - weights @ z) ** 2)
        blur = std * (0.02 if len(self.names) < 2 else 0.08)
        return 2 * entropy(z * size, weights, blur / 2) - entropy(z * size, weights, blur)


def entropy(values: np.ndarray, weights: np.ndarray, blur: float) -> float:
    """-H[value + s n]: the draws on a grid, blurred by a Fourier transform, and sum q log q."""
    inside = values[weights > 1e-7 * weights.max()]                     # a tail would make it coarse
    low, high = inside.min() - 10 * blur, inside.max() + 10 * blur
    step = (high - low) / GRID
    where = np.clip((values - low) / step, 0, GRID - 2)
    left = where.astype(int)
    right = where - left
    mass = (np.bincount(left, weights * (1 - right), GRID)              # each draw shared by neighbours
            + np.bincount(left + 1, weights * right, GRID))
    wave = np.fft.rfftfreq(GRID, step)
    q = np.fft.irfft(np.fft.rfft(mass) * np.exp(-2 * (np.pi * wave * blur) ** 2), GRID) / step
    q = np.maximum(q, 0)
    return float((q * np.log(np.where(q > 0, q, 1))).sum() * step)


def over(z: np.ndarray, weights: np.ndarray, m: np.ndarray, log_p) -> float:
    """-log p(z m), averaged."""
    return -sum(w * log_p(v * m) for v, w in zip(z, weights, strict=True)) / weights.sum()
