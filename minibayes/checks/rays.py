"""KL(q || p) of one ray by numbers alone, q the law of z m + s n on a grid, s small: for differences.

A ray m in R^K times z, blurred by N(0, s^2 I), has along m the law of z ||m|| + s n, across it N(0, s^2): so

    KL = -E_q sum_k log p(z m_k)  -  H[z ||m|| + s n]  +  (what depends on K and s alone)

The draws of z are no random ones: a key that gives t_i on an even grid as "normal", and Phi(t_i) as
"uniform", goes through the noise's own `draw`, and with weights phi(t_i) dt every average is a trapezoid sum.
"""

from statistics import NormalDist

import numpy as np

from ..nn import Rows
from .verdict import call

POINTS = 2**13  # draws of z
LOOK = 2**6  # of them, those at which log p is asked for first, twice; 2**10 where these two differ
GRID = 2**14
BLUR = 0.01  # s
REACH = 8.0  # standard deviations: Phi(8) is the last but one number below 1

T = np.linspace(-REACH, REACH, POINTS)
WEIGHTS = np.exp(-T**2 / 2) / np.exp(-T**2 / 2).sum()
UNIFORM = np.array([NormalDist().cdf(t) for t in T])


class Quantiles:
    """In the place of a Key: t_i for row i; under each name in another order, so that two are independent."""

    def __init__(self, path: str = ""):
        self.path, self.seed, self.t = path, 0, 0

    def of(self, name: str) -> "Quantiles":
        return Quantiles(f"{self.path}/{name}")

    def column(self, values, shape, rows):
        if self.path:  # independent of the weights, so evenly spread
            order = np.random.default_rng([*self.path.encode()]).permutation(POINTS)
            values = np.interp((order + 0.5) / POINTS, UNIFORM, values)
        return np.broadcast_to(values.reshape(-1, *(1,) * (len(shape) - 1)), shape).astype(rows.dtype)

    def uniform(self, shape: tuple, rows: Rows) -> np.ndarray:
        return self.column(UNIFORM, shape, rows)

    def normal(self, shape: tuple, rows: Rows, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        return self.column(mean + std * T, shape, rows)

    def bernoulli(self, shape: tuple, rows: Rows, keep: float) -> np.ndarray:
        return (self.uniform(shape, rows) < keep).astype(np.uint8)


class Ray:
    """q of one ray for a noise: its draws of eps, once; z, -E log p and -H for any phi and m."""

    def __init__(self, noise):
        rows = Rows(np.arange(POINTS, dtype=np.uint64), np.zeros(POINTS, np.uint64), np.dtype(np.float64))
        self.noise = noise
        self.eps = call(noise, "draw", Quantiles(), (POINTS, 1), rows)

    def z(self, phi: dict) -> np.ndarray:
        """The draws of z, of the weights WEIGHTS; phi {name: (1,) array}."""
        return np.asarray(call(self.noise, "z", phi, self.eps), np.float64)[:, 0]

    def expected_log_p(self, z: np.ndarray, m: np.ndarray, log_p) -> float:
        """-E_q log p(ray) = -sum_i w_i log p(z_i m)."""
        values, which = np.unique(z, return_inverse=True)
        if len(values) <= LOOK:
            weights = np.bincount(which, WEIGHTS)
            return -sum(w * log_p(v * m) for v, w in zip(values, weights, strict=True))

        def over(start, every):
            w = WEIGHTS[start::every]
            return -sum(a * log_p(v * m) for v, a in zip(z[start::every], w / w.sum(), strict=True))
        every = POINTS // LOOK
        one, other = over(0, every), over(every // 2, every)
        return (one + other) / 2 if abs(one - other) < 1e-3 * (1 + abs(one)) else over(0, 8)

    def entropy(self, z: np.ndarray, size: float, blur: float = BLUR) -> float:
        """-H[z size + s n]: the draws on a grid, blurred by a Fourier transform, and sum q log q."""
        values = z * size
        inside = values[WEIGHTS > 1e-9]  # of a heavy tail the rest would only make the grid coarse
        low, high = inside.min() - 10 * blur, inside.max() + 10 * blur
        step = (high - low) / GRID
        where = np.clip((values - low) / step, 0, GRID - 2)
        left = where.astype(int)
        right = where - left
        mass = (np.bincount(left, WEIGHTS * (1 - right), GRID)      # each draw shared by its neighbours
                + np.bincount(left + 1, WEIGHTS * right, GRID))
        wave = np.fft.rfftfreq(GRID, step)
        q = np.fft.irfft(np.fft.rfft(mass) * np.exp(-2 * (np.pi * wave * blur) ** 2), GRID) / step
        q = np.maximum(q, 0)
        return float((q * np.log(np.where(q > 0, q, 1))).sum() * step)

    def minus_entropy(self, z: np.ndarray, size: float) -> float:
        """The same for s -> 0, but for what depends on s alone: by two s, as edges cost a multiple of s.

        Where q is a few narrow bumps their own entropy, log s, is added to both and cancels in a difference.
        """
        coarse, fine = (self.entropy(z, size, blur) for blur in (BLUR, BLUR / 2))
        if len(np.unique(z)) <= 64:
            return fine
        return 2 * fine - coarse
