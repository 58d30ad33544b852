"""x = V h + b + noise, h ~ N(0, I_d), noise ~ N(0, s^2 I): probabilistic PCA, a linear decoder exactly.

Tipping and Bishop (1999): x ~ N(b, C), C = V V' + s^2 I. With the eigenvalues l_1 >= ... >= l_D and vectors U
of the data's covariance, the likelihood is greatest at s^2 = mean of the D - d smallest, V = U_d (L_d - s^2
I)^(1/2), b the mean; there

    log p(X) = -N/2 (D log 2 pi + sum_{i <= d} log l_i + (D - d) log s^2 + D).

Given x, h ~ N(P^-1 V'(x - b), s^2 P^-1) with P = V'V + s^2 I, which for this V is diagonal: then q(h | x) of
a `nn.Code` after one dense layer is no approximation, and its bound is log p(x) itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require


@dataclass(frozen=True)
class PPCA:
    """The model of greatest likelihood of data (N, D), for codes of d numbers."""

    V: np.ndarray  # (D, d)
    b: np.ndarray  # (D,)
    variance: float  # s^2
    log_likelihood: float  # of all data, nats

    @property
    def covariance(self) -> np.ndarray:
        """C = V V' + s^2 I."""
        return self.V @ self.V.T + self.variance * np.eye(len(self.V))

    def log_p(self, x: np.ndarray) -> np.ndarray:
        """log N(x_n; b, C), (N,)."""
        r, C = x - self.b, self.covariance
        _, log_det = np.linalg.slogdet(C)
        return -0.5 * (len(C) * math.log(2 * math.pi) + log_det + (r * np.linalg.solve(C, r.T).T).sum(axis=1))

    def code(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(A (d, D), a (d,), log s (d,)): q(h | x) = N(A x + a, diag s^2) is the posterior."""
        P = np.diag(self.V.T @ self.V) + self.variance
        A = self.V.T / P[:, None]
        return A, -A @ self.b, 0.5 * np.log(self.variance / P)

    def conditional(self, x: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of what is not known of one x (D,), given what is."""
        C, rest = self.covariance, ~known
        gain = np.linalg.solve(C[np.ix_(known, known)], C[np.ix_(known, rest)]).T
        return (self.b[rest] + gain @ (x[known] - self.b[known]),
                C[np.ix_(rest, rest)] - gain @ C[np.ix_(known, rest)])


def ppca(x: ArrayLike, d: int) -> PPCA:
    """x (N, D); d < D numbers in a code."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2:
        raise require.InputError(f"x must have a row for each datum, (N, D), got shape {x.shape}")
    (N, D), b = x.shape, x.mean(axis=0)
    d = require.integer("d", d, 1, D - 1)
    values, vectors = np.linalg.eigh((x - b).T @ (x - b) / N)
    values, vectors = values[::-1], vectors[:, ::-1]
    variance = float(values[d:].mean())
    V = vectors[:, :d] * np.sqrt(values[:d] - variance)
    log_p = -N / 2 * (D * math.log(2 * math.pi) + np.log(values[:d]).sum()
                      + (D - d) * math.log(variance) + D)
    return PPCA(V, b, variance, float(log_p))
