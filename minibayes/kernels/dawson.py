"""Dawson's function and its integral, number by number, from a table of Taylor series."""

import math

from .compiling import njit

TERMS = 10  # P: a constant, so that the loops over it are unrolled


@njit(nogil=True, cache=True)
def dawson(u, table, step, offset, D, K):
    """D[i] = exp(-u^2) int_0^u exp(t^2) dt and K[i] = 2 int_0^u D(t) dt, u = u[i] >= 0 (NaN gives NaN).

    table (G, 1 + 2 P), P = TERMS: row g has the Taylor coefficients of K at u = g step, P + 1, and the P of D. Between its points

        K(g step + t) = sum_(p <= P) table[g, p] t^p;    D(g step + t) = sum_(p < P) table[g, P + 1 + p] t^p

    and beyond them the asymptotic series, with r = 1/(2 u^2) and d_k = 1 3 5 ... (2k - 1) r^k,

        D(u) = (1 + sum_k d_k)/(2u);      K(u) = log u + offset - sum_k d_k/(2k)

    of which 8 terms are taken: at u = 12 the next is 2e-15. All float64; u, D and K in one row.
    """
    last, per_step = (table.shape[0] - 1) * step, 1 / step
    for i in range(u.shape[0]):
        v = u[i]
        if v <= last:
            g = int(v * per_step + 0.5)
            t = v - g * step
            value, area = 0.0, table[g, TERMS]
            for p in range(TERMS - 1, -1, -1):
                value = value * t + table[g, TERMS + 1 + p]
                area = area * t + table[g, p]
            D[i], K[i] = value, area
        else:
            r = 0.5 / (v * v)
            term, value, area = 1.0, 1.0, 0.0
            for k in range(1, 9):
                term *= (2 * k - 1) * r
                value += term
                area += term / (2 * k)
            D[i], K[i] = value / (2 * v), math.log(v) + offset - area
