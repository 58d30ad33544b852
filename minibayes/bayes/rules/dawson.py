"""D(u) = exp(-u^2) int_0^u exp(t^2) dt, Dawson's function, and 2 int_0^u D: from D' = 1 - 2 u D alone.

The log-uniform KL of one weight is a function of u = |m|/(s sqrt 2), w ~ N(m, s^2), and of nothing else:

    KL = 2 int_0^u D(t) dt,    dKL/du = 2 D(u)            (loguniform.py: dKL/dlog a = -u D(u), a = 1/(2 u^2))

so one table gives a KL and its gradient for every weight of a network, at each step of training. D solves
D' = 1 - 2 u D, D(0) = 0, whose Taylor coefficients at any u follow from the value there:

    c_1 = 1 - 2 u c_0,    c_(p+1) = -2 (u c_p + c_(p-1))/(p + 1)

An error in c_0 decays like exp(-u^2), so the table is made by steps from u = 0 on. Within 1e-14 (relative)
of the integral in loguniform.py.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ... import kernels
from ...kernels.dawson import TERMS  # of each Taylor series: (STEP/2)^TERMS times a coefficient is left out
from ...own import read_only

STEP = 1 / 16  # of the table: a power of two, its points are exact
LAST = 12.0  # its last point, beyond which the asymptotic series is as good
STEPPING = 24  # of those that lead from one point to the next
OFFSET = math.log(2) + np.euler_gamma / 2  # of K(u) - log u, u -> infinity


def coefficients(u: float, value: float, terms: int) -> np.ndarray:
    """The Taylor coefficients of D at u, where it has that value."""
    c = np.empty(terms)
    c[:2] = value, 1 - 2 * u * value
    for p in range(1, terms - 1):
        c[p + 1] = -2 * (u * c[p] + c[p - 1]) / (p + 1)
    return c


@lru_cache(maxsize=1)
def table() -> np.ndarray:
    """(G, 2 TERMS + 1): the Taylor coefficients of K = 2 int D, and of D, at u = 0, STEP, ..., LAST."""
    rows, value, area = [], 0.0, 0.0
    powers = STEP ** np.arange(STEPPING)
    for g in range(int(LAST / STEP) + 1):
        c = coefficients(g * STEP, value, STEPPING)
        of_area = 2 * c / np.arange(1, STEPPING + 1)                        # of t, t^2, ...
        rows.append([area, *of_area[:TERMS], *c[:TERMS]])
        value, area = c @ powers, area + STEP * of_area @ powers
    return read_only(np.array(rows))


def dawson(u: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(D(u), 2 int_0^u D) for u >= 0, float64 in the shape of u."""
    u = np.asarray(u, np.float64)
    D, K = np.empty(u.shape), np.empty(u.shape)
    kernels.dawson(u.reshape(-1), table(), STEP, OFFSET, D.reshape(-1), K.reshape(-1))
    return D, K
