"""f_n = (M o z_n) x_n + b with a z for each weight and example that is drawn where it is used, and drawn again on the way back.

z_n (K, D) is not kept: of 64 examples of an 800 x 800 layer it would be 160 MB in float32. Its numbers are those that `bernoulli` and
`gaussian32` give, whose unit k D + d of example n is z[n, k, d]: counters know nothing of the order in which they are asked.
"""

import numpy as np

from .bernoulli import bernoulli_lanes, bits_room
from .compiling import njit
from .normal import normal_lanes, normal_room
from .philox import LANES

UNITS = 128 * LANES  # drawn at once,
CHUNK = 8 * UNITS  # and weights that are in cache while they act on all examples


@njit(nogil=True, cache=True)
def _draw(normal, law, digits, first, units, example, t, layer, key, bits, normals, z):
    """z[i] (UNITS,) float32: unit first + i of the `units` of an example, first a multiple of UNITS. Those beyond are anything."""
    if not normal:
        for l in range(LANES):
            bits.block_of[l], bits.example_of[l], bits.pass_of[l] = first // 128 + l, example, t
        bernoulli_lanes(digits, layer, key, units, bits)
        drawn = bits.spread.view(np.uint8)
        for i in range(UNITS):
            z[i] = drawn[i]
        return
    c, one, two = normals.c, normals.first, normals.second
    for at in range(0, min(UNITS, units - first), 4 * LANES):
        for l in range(LANES):
            c[l], c[LANES + l], c[2 * LANES + l], c[3 * LANES + l] = np.uint64((first + at) // 4 + l), example, layer, t
        normal_lanes(law[0], law[1], key, normals)
        for l in range(LANES):
            i = at + 4 * l
            z[i], z[i + 1], z[i + 2], z[i + 3] = one[l], two[l], one[LANES + l], two[LANES + l]


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _dot(m, z, x):
    """sum_d m[d] z[d] x[d]"""
    total = np.float32(0)
    for d in range(len(m)):
        total += m[d] * z[d] * x[d]
    return total


@njit(nogil=True, cache=True, fastmath={"contract"})
def _back(g, m, z, x, dm, dx):
    """dm[d] += g z[d] x[d],  dx[d] += g z[d] m[d]"""
    for d in range(len(m)):
        gz = g * z[d]
        dm[d] += gz * x[d]
        dx[d] += gz * m[d]


@njit(nogil=True, cache=True, fastmath={"contract"})
def _back_first(g, z, x, dm):
    """dm[d] += g z[d] x[d]"""
    for d in range(len(dm)):
        dm[d] += g * z[d] * x[d]


@njit(nogil=True, cache=True)
def each_weight(x, M, b, normal, law, digits, examples, passes, layer, key, f):
    """f[n, k] = b[k] + sum_d z[n, k, d] M[k, d] x[n, d].

    x (B, D), M (K, D), b (K,), all float32;  z ~ N(law[0], law[1]^2) if normal, else Bernoulli by its `digits`, of the examples and
    passes (B,) uint64;  f (B, K) is written.
    """
    (K, D), z, bits, normals = M.shape, np.empty(UNITS, np.float32), bits_room(), normal_room()
    for n in range(len(x)):
        for k in range(K):
            f[n, k] = b[k]
    for chunk in range(0, K * D, CHUNK):
        for n in range(len(x)):
            for first in range(chunk, min(chunk + CHUNK, K * D), UNITS):
                last = min(first + UNITS, K * D)
                _draw(normal, law, digits, first, K * D, examples[n], passes[n], layer, key, bits, normals, z)
                for k in range(first // D, (last - 1) // D + 1):  # rows of M, or the parts of them among these units
                    begin, end = max(first - k * D, 0), min(last - k * D, D)
                    at = k * D + begin - first
                    f[n, k] += _dot(M[k, begin:end], z[at:at + end - begin], x[n, begin:end])


@njit(nogil=True, cache=True)
def each_weight_backward(df, x, M, normal, law, digits, examples, passes, layer, key, want_dx, dM, db, dx):
    """dM[k, d] = sum_n df[n, k] z[n, k, d] x[n, d],  db[k] = sum_n df[n, k],  dx[n, d] = sum_k df[n, k] z[n, k, d] M[k, d].

    As `each_weight`; dM, db and, if wanted, dx are written. Where df is 0, no z is needed.
    """
    (K, D), z, bits, normals = M.shape, np.empty(UNITS, np.float32), bits_room(), normal_room()
    dM[:], db[:] = 0, 0
    if want_dx:
        dx[:] = 0
    for n in range(len(x)):
        for k in range(K):
            db[k] += df[n, k]
    for chunk in range(0, K * D, CHUNK):
        for n in range(len(x)):
            for first in range(chunk, min(chunk + CHUNK, K * D), UNITS):
                last, drawn = min(first + UNITS, K * D), False
                for k in range(first // D, (last - 1) // D + 1):
                    if df[n, k] == 0:
                        continue
                    if not drawn:
                        _draw(normal, law, digits, first, K * D, examples[n], passes[n], layer, key, bits, normals, z)
                        drawn = True
                    begin, end = max(first - k * D, 0), min(last - k * D, D)
                    at = k * D + begin - first
                    if want_dx:
                        _back(df[n, k], M[k, begin:end], z[at:at + end - begin], x[n, begin:end], dM[k, begin:end], dx[n, begin:end])
                    else:
                        _back_first(df[n, k], z[at:at + end - begin], x[n, begin:end], dM[k, begin:end])
