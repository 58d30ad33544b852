"""KL(q || p) of one ray by numbers alone: q the law of z m + s n on a grid, s small; only differences between two m, or phi, count.

A ray m in R^K times z, blurred by N(0, s^2 I), is along m the law of z ||m|| + s n, one-dimensional, and across it N(0, s^2): so

    KL = -E_q sum_k log p(z m_k)  -  H[z ||m|| + s n]  +  (what depends on K and s alone)

The draws of z are quantiles, not random: a key that gives evenly spaced uniforms goes through the noise's own `draw`.
"""

from statistics import NormalDist

import numpy as np

from ..nn import Rows
from .verdict import call

POINTS = 2**14  # quantiles of z
LOOK = 2**10  # of them, those at which log p is asked for
GRID = 2**14
BLUR = 0.01  # s


class Quantiles:
    """In the place of a Key: uniforms (i + 1/2)/R for row i, one column; another order under each name, so that two are independent."""

    def __init__(self, path: str = ""):
        self.path, self.seed, self.t = path, 0, 0

    def of(self, name: str) -> "Quantiles":
        return Quantiles(f"{self.path}/{name}")

    def uniform(self, shape: tuple, rows: Rows) -> np.ndarray:
        u = (np.arange(shape[0]) + 0.5) / shape[0]
        if self.path:
            u = np.random.default_rng([*self.path.encode()]).permutation(u)
        return np.broadcast_to(u.reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(rows.dtype)

    def normal(self, shape: tuple, rows: Rows, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        u = self.uniform((shape[0],), rows)
        n = np.array([NormalDist().inv_cdf(v) for v in u])
        return np.broadcast_to((mean + std * n).reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(rows.dtype)

    def bernoulli(self, shape: tuple, rows: Rows, keep: float) -> np.ndarray:
        return (self.uniform(shape, rows) < keep).astype(np.uint8)


class Ray:
    """q of one ray for a noise: its draws of eps, once; z, -E log p and -H for any phi and m."""

    def __init__(self, noise):
        rows = Rows(np.arange(POINTS, dtype=np.uint64), np.zeros(POINTS, np.uint64), np.dtype(np.float64))
        self.noise = noise
        self.eps = call(noise, "draw", Quantiles(), (POINTS, 1), rows)

    def z(self, phi: dict) -> np.ndarray:
        """The draws of z, sorted; phi {name: (1,) array}."""
        return np.sort(np.asarray(call(self.noise, "z", phi, self.eps), np.float64)[:, 0])

    def expected_log_p(self, z: np.ndarray, m: np.ndarray, log_p) -> float:
        """-E_q log p(ray) = -(1/n) sum_i log p(z_i m)."""
        z = z.reshape(LOOK, -1).mean(axis=1) if len(np.unique(z)) > LOOK else z
        values, counts = np.unique(z, return_counts=True)
        return -sum(count * log_p(v * m) for v, count in zip(values, counts, strict=True)) / len(z)

    def entropy(self, z: np.ndarray, size: float, blur: float = BLUR) -> float:
        """-H[z size + s n]: the draws on a grid, blurred by a Fourier transform, and sum q log q."""
        values = z * size
        low, high = values.min() - 10 * blur, values.max() + 10 * blur
        step = (high - low) / GRID
        where = (values - low) / step
        left = np.minimum(where.astype(int), GRID - 2)
        mass = (np.bincount(left, 1 - (where - left), GRID)                 # each draw shared by its two neighbours
                + np.bincount(left + 1, where - left, GRID))
        wave = np.fft.rfftfreq(GRID, step)
        q = np.fft.irfft(np.fft.rfft(mass / len(z)) * np.exp(-2 * (np.pi * wave * blur) ** 2), GRID) / step
        q = np.maximum(q, 0)
        return float((q * np.log(np.where(q > 0, q, 1))).sum() * step)

    def minus_entropy(self, z: np.ndarray, size: float) -> float:
        """The same in the limit s -> 0, but for what depends on s alone: from two s, as edges of q cost a multiple of s.

        Where q is a few narrow bumps their own entropy, log s, is added to both and cancels in a difference.
        """
        coarse, fine = (self.entropy(z, size, blur) for blur in (BLUR, BLUR / 2))
        if len(np.unique(z)) <= 64:
            return fine
        return 2 * fine - coarse
