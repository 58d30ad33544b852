"""y_n = f(x_n, omega) + s e_g(n) + sigma noise, e_g ~ N(0, 1): a network for all groups, an offset for each.

omega has its prior, s and sigma ~ HalfCauchy(1), so y is to be of unit scale. s is learned from all groups:
one with few data borrows from the others as much as they are alike ("partial pooling"). s = 0 is one function
for all ("complete pooling"), a large fixed s an offset for each group from its own data ("no pooling").
`Grouped` is for `hmc.sample`; `Linear` is exact, for a network whose layers but the last are frozen.
Offsets are s e, not numbers a_g ~ N(0, s^2): the other coordinates are a funnel (schools.py).
"""

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..bayes.prior import Prior
from ..bayes.regression import Gaussian
from ..floats import usual
from ..nn.network import Network
from .hmc import LogPosterior


def half_cauchy(log_s: float) -> tuple[float, float]:
    """(log p(log s), its derivative), s ~ HalfCauchy(1), but for a constant: log s - log(1 + s^2)."""
    s2 = np.exp(2 * log_s)
    return log_s - np.log1p(s2), 1 - 2 * s2 / (1 + s2)


class Grouped(LogPosterior):
    """(omega, log sigma, log s, e) -> (log density, gradient), one row, for `hmc.sample`.

    net: f, of one output; its noise is left out.
    prior: p(omega).
    x, y: (N, ...) and (N,).
    groups: (N,), the number of each row's group, below `count`.
    count: G; a group without rows keeps its prior.
    s: fixed, 0 for complete pooling; learned by default.
    """

    def __init__(self, net: Network, prior: Prior, x: ArrayLike, y: ArrayLike, groups: ArrayLike, count: int,
                 s: float | None = None):
        super().__init__(net, prior, Gaussian(), x, y)
        groups = np.asarray(groups)
        self.count = require.integer("count", count, 1)
        if groups.shape != (len(self.x),) or groups.dtype.kind not in "iu":
            raise require.InputError(f"groups must be whole numbers of shape ({len(self.x)},), got "
                                     f"{groups.dtype} {groups.shape}")
        if groups.min() < 0 or groups.max() >= count:
            raise require.InputError(f"groups must be in 0..{count - 1}, got values from {groups.min()} to "
                                     f"{groups.max()}")
        self.groups, self.s = groups, None if s is None else require.real("s", s, 0)
        self.omega = slice(0, self.size)                 # the places in a row
        self.log_sigma, self.log_s = self.size, self.size + 1
        self.e = slice(self.size + 2, self.size + 2 + count)
        self.size += 2 + count

    def start(self, rng: np.random.Generator | int) -> np.ndarray:
        """A row far from any mode: omega ~ p(omega), e ~ N(0, 1), sigma and s about 1."""
        rng = np.random.default_rng(rng)
        return np.concatenate([self.prior_draw(rng), 0.3 * rng.standard_normal(2),
                               rng.standard_normal(self.count)])

    @usual
    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        params, e, slope = self.params(q), q[self.e], np.zeros(self.size)
        s = np.exp(q[self.log_s]) if self.s is None else self.s
        precision = np.exp(-2 * q[self.log_sigma])                              # 1/sigma^2
        f, caches = self.net.forward(params, self.x, {})
        off = self.y[:, 0] - f[:, 0] - s * e[self.groups]
        squares = precision * (off @ off)
        pull = precision * off                                                  # d log p(y)/d f
        _, grads = self.net.backward(params, caches, pull[:, None], want_dx=False)
        of_group = np.bincount(self.groups, pull, self.count)
        slope[self.omega] = self.row(grads)
        value = -squares / 2 - len(off) * q[self.log_sigma] - e @ e / 2
        slope[self.e] = s * of_group - e
        for layer, span in self.spans.items():
            log_p, gradient = self.prior.log_p(layer, q[span])
            value += log_p
            slope[span] += gradient
        for at, data in ((self.log_sigma, squares - len(off)), (self.log_s, s * (of_group @ e))):
            log_p, gradient = half_cauchy(q[at])
            value += log_p
            slope[at] = gradient + (data if at == self.log_sigma or self.s is None else 0.0)
        return float(value), slope

    def offsets(self, draws: np.ndarray) -> np.ndarray:
        """s e, (..., D) -> (..., G)."""
        s = np.exp(draws[..., self.log_s, None]) if self.s is None else self.s
        return s * draws[..., self.e]

    def sigma(self, draws: np.ndarray) -> np.ndarray:
        """(..., D) -> (...)."""
        return np.exp(draws[..., self.log_sigma])

    @usual
    def means(self, draws: np.ndarray, x: ArrayLike, groups: ArrayLike) -> np.ndarray:
        """f(x_n, omega) + s e_g(n) for every draw: (..., D) -> (..., N)."""
        return self.outputs(draws, x)[..., 0] + self.offsets(draws)[..., np.asarray(groups)]


class Linear:
    """The same, exactly, where f = phi w, w ~ N(0, l^-2): by sums over log sigma and log s, the rest by hand.

    Given both, y = A u + sigma noise with A = (phi/l, s Z), Z the groups' indicators, and u ~ N(0, I) all at
    once: w l and e. With B = I + A'A/sigma^2 the posterior is u ~ N(m, B^-1), m = B^-1 A'y/sigma^2, and

        log N(y; 0, A A' + sigma^2 I) = -1/2 (N log sigma^2 + log |B| + (y'y - y'A m)/sigma^2) + constant.

    The sums are trapezoid rules on a grid that is laid anew around what the last one found.

    phi: features, (N, D).
    y, groups: (N,).
    count: G.
    l: of the prior of w.
    s: fixed; learned by default.
    """

    GRID, ROUNDS, REACH = 15, 5, 5.0  # points along each axis; grids; deviations to each side

    def __init__(self, phi: np.ndarray, y: np.ndarray, groups: np.ndarray, count: int, l: float = 1.0,
                 s: float | None = None):
        self.count, self.l, self.rows = count, l, len(y)
        design = self._design(phi, groups)
        self.gram, self.moment, self.square = design.T @ design, design.T @ y, float(y @ y)
        ranges = [(-4.0, 2.0), (-7.0, 3.0) if s is None else (s, s)]
        for _ in range(self.ROUNDS):
            axes = [np.linspace(low, high, self.GRID if high > low else 1) for low, high in ranges]
            self.points = [(np.exp(a), np.exp(b) if s is None else b) for a in axes[0] for b in axes[1]]
            self.solved = [self._solve(*point) for point in self.points]
            log_p = np.array([part[0] for part in self.solved]).reshape(len(axes[0]), -1)
            if s is None:
                log_p = log_p + [half_cauchy(b)[0] for b in axes[1]]
            p = np.exp(log_p + np.array([half_cauchy(a)[0] for a in axes[0]])[:, None] - log_p.max())
            self.p = p / p.sum()
            for i, (axis, q) in enumerate(zip(axes, (self.p.sum(axis=1), self.p.sum(axis=0)), strict=True)):
                if len(axis) > 1:
                    mean = float(q @ axis)
                    std = float(np.sqrt(q @ (axis - mean) ** 2))
                    far = max(self.REACH * std, 2 * (axis[1] - axis[0]))
                    ranges[i] = mean - far, mean + far
        self.log_sigma, self.log_s = (float(q @ axis) for q, axis in zip(
            (self.p.sum(axis=1), self.p.sum(axis=0)), axes, strict=True))
        self.p = self.p.reshape(-1)

    def _design(self, phi, groups):
        """(phi/l, Z), (N, D + G)."""
        return np.hstack([phi / self.l, groups[:, None] == np.arange(self.count)])

    def _scale(self, s):
        """The factors of the columns of (phi/l, Z) in A."""
        return np.where(np.arange(len(self.moment)) < len(self.moment) - self.count, 1.0, s)

    def _solve(self, sigma, s):
        """(log N(y; 0, A A' + sigma^2 I), m, B^-1)."""
        d = self._scale(s)
        B = np.eye(len(d)) + d[:, None] * self.gram * d / sigma**2
        cov = np.linalg.inv(B)
        m = cov @ (d * self.moment) / sigma**2
        misfit = (self.square - (d * self.moment) @ m) / sigma**2
        return -0.5 * (2 * self.rows * np.log(sigma) + np.linalg.slogdet(B)[1] + misfit), m, cov

    def offsets(self) -> np.ndarray:
        """E[s e], (G,)."""
        return sum(p * s * m[-self.count:]
                   for p, (_, s), (_, m, _) in zip(self.p, self.points, self.solved, strict=True))

    def predict(self, phi: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(p (P,), mean (P, N), variance of y (P, N)): a normal mixture for each row of phi (N, D)."""
        design, means, variances = self._design(phi, groups), [], []
        for (sigma, s), (_, m, cov) in zip(self.points, self.solved, strict=True):
            A = design * self._scale(s)
            means.append(A @ m)
            variances.append(((A @ cov) * A).sum(axis=1) + sigma**2)
        return self.p, np.array(means), np.array(variances)
