"""N(mean, std^2) from Philox's words, by Box and Muller's transform: float64 with its functions, float32 with vector instructions."""

import math
from typing import NamedTuple

import numpy as np

from .compiling import njit
from .philox import LANES, philox_lanes, philox_of

f32, i32, PAIRS = np.float32, np.int32, 2 * LANES  # of gaussian32; two pairs of words from each call
ROOT_HALF = np.array([math.sqrt(0.5)], f32).view(i32)[0]  # its bits
ONE_HALF, ONE, TWO, MINUS_TWO, UPPER = f32(0.5), f32(1), f32(2), f32(-2), f32(2**16)
LOG_2, WORD, TURN, REST = f32(math.log(2)), f32(2.0**-32), f32(2 * math.pi / 2**32), 2**30 - 1
A3, A5, A7, A9 = f32(1 / 3), f32(1 / 5), f32(1 / 7), f32(1 / 9)  # of atanh
C2, C4, C6, C8 = f32(-1 / 2), f32(1 / 24), f32(-1 / 720), f32(1 / 40320)  # of cos
S3, S5, S7, S9 = f32(-1 / 6), f32(1 / 120), f32(-1 / 5040), f32(1 / 362880)  # of sin



@njit(nogil=True, cache=True)
def gaussian(mean, std, examples, passes, layer, key, out):
    """out[n, j] ~ N(mean, std^2), by Box and Muller's transform of two uniform words, four units per Philox call.

    for one pair of words (a, b):  u = (a + 1/2) / 2^32 in (0, 1),  v = b / 2^32
        out[n, 2i] = mean + std sqrt(-2 log u) cos(2 pi v);   out[n, 2i+1] = mean + std sqrt(-2 log u) sin(2 pi v)

    Computed in float64; `gaussian32` is the same in float32. With 32-bit words |z - mean| <= 6.8 std: the tail beyond has mass 1e-11.
    """
    units = out.shape[1]
    scale, turn = 1.0 / 4294967296.0, 2.0 * math.pi / 4294967296.0
    for n in range(out.shape[0]):
        for block in range((units + 3) // 4):
            a, b, c, d = philox_of(np.uint64(block), examples[n], layer, passes[n], key[0], key[1])
            radius = std * math.sqrt(-2.0 * math.log((np.float64(a) + 0.5) * scale))
            angle = np.float64(b) * turn
            first = 4 * block
            out[n, first] = mean + radius * math.cos(angle)
            if first + 1 < units:
                out[n, first + 1] = mean + radius * math.sin(angle)
            if first + 2 < units:
                radius = std * math.sqrt(-2.0 * math.log((np.float64(c) + 0.5) * scale))
                angle = np.float64(d) * turn
                out[n, first + 2] = mean + radius * math.cos(angle)
                if first + 3 < units:
                    out[n, first + 3] = mean + radius * math.sin(angle)


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _radii(words, std, r, bits, near, exponent):
    """r = std sqrt(-2 log u), u = (word + 1/2)/2^32. words (PAIRS,) uint32; bits is r seen as int32; near, exponent: room.

    u = 2^e m with m in [sqrt(1/2), sqrt(2)), and log m = 2 atanh(s), s = (m - 1)/(m + 1), |s| < 0.18: five terms of its series leave
    7e-10. Where e = 0, m - 1 = -(2^32 - word - 1/2)/2^32 comes from the word itself: u is rounded, and near 1 that would be all there is.
    """
    for l in range(PAIRS):
        high, low = i32(words[l] >> 16), i32(words[l] & 65535)
        r[l] = f32(high) * UPPER + (f32(low) + ONE_HALF)                                    # 2^32 u
        near[l] = -(f32(i32(65535 - high)) * UPPER + (f32(i32(65535 - low)) + ONE_HALF)) * WORD  # u - 1
    for l in range(PAIRS):
        exponent[l] = i32(i32(bits[l] - ROOT_HALF) >> 23)                                   # e
        bits[l] = i32(bits[l] - i32(exponent[l] << 23))                                               # m
    for l in range(PAIRS):
        above = near[l] if exponent[l] == 32 else r[l] - ONE                                # m - 1
        s = above / (TWO + above)
        q = s * s
        log = TWO * s * (ONE + q * (A3 + q * (A5 + q * (A7 + q * A9)))) + f32(i32(exponent[l] - 32)) * LOG_2
        r[l] = std * np.sqrt(MINUS_TWO * log)


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _turned(words, mean, r, quarter, first, second):
    """first = mean + r cos(2 pi v), second = mean + r sin(2 pi v), v = word/2^32. words (PAIRS,) uint32; quarter: room.

    v is within 1/8 of a quarter turn k: x = 2 pi v - k pi/2, |x| <= pi/4, where the series to x^8 and x^9 leave 2.4e-8 and 2e-9; k
    quarter turns of (cos x, sin x) exchange them or change their signs.
    """
    for l in range(PAIRS):
        up = i32(i32(words[l] >> 29) & 1)  # whether the next quarter turn is nearer
        quarter[l] = i32(i32(words[l] >> 30) + up)                                          # k
        first[l] = f32(i32(i32(words[l] & REST) - i32(up << 30))) * TURN                    # x
    for l in range(PAIRS):
        x = first[l]
        q = x * x
        cos = ONE + q * (C2 + q * (C4 + q * (C6 + q * C8)))
        sin = x + x * q * (S3 + q * (S5 + q * (S7 + q * S9)))
        odd = quarter[l] & 1 != 0
        signed = -r[l] if quarter[l] & 2 != 0 else r[l]
        first[l] = mean + signed * (-sin if odd else cos)
        second[l] = mean + signed * (cos if odd else sin)


class Normals(NamedTuple):
    """What LANES blocks of four normal units are drawn in: lane l's are first[l], second[l], first[LANES + l], second[LANES + l]."""

    c: np.ndarray  # (4 LANES,) uint64: the counters, word by word; drawn over
    radii: np.ndarray  # (PAIRS,) uint32, words,
    angles: np.ndarray
    r: np.ndarray  # float32, and as bits
    bits: np.ndarray
    near: np.ndarray
    whole: np.ndarray  # int32
    first: np.ndarray  # float32
    second: np.ndarray


@njit(nogil=True, cache=True)
def normal_room():
    """Lanes that draw unit 0 of example 0 in pass 0."""
    r = np.empty(PAIRS, f32)
    return Normals(np.zeros(4 * LANES, np.uint64), np.empty(PAIRS, np.uint32), np.empty(PAIRS, np.uint32), r, r.view(i32),
                   np.empty(PAIRS, f32), np.empty(PAIRS, i32), np.empty(PAIRS, f32), np.empty(PAIRS, f32))


@njit(nogil=True, cache=True, error_model="numpy")  # a division that may raise is not a vector instruction
def normal_lanes(mean, std, key, room):
    """room.first, room.second = numbers of N(mean, std^2), float32, at the counters room.c: `gaussian32` says which."""
    c, radii, angles, r, bits, near, whole, first, second = room
    philox_lanes(c, key[0], key[1])
    for l in range(LANES):
        radii[l], angles[l] = c[l], c[LANES + l]
        radii[LANES + l], angles[LANES + l] = c[2 * LANES + l], c[3 * LANES + l]
    _radii(radii, std, r, bits, near, whole)
    _turned(angles, mean, r, whole, first, second)


@njit(nogil=True, cache=True)
def gaussian32(mean, std, examples, passes, layer, key, out):
    """`gaussian` for out (B, units) float32; mean and std float32.

    for block in range(units / 4):
        a, b, c, d = Philox(counter=(block, example, layer, pass))
        out[n, 4 block : 4 block + 4] = *pair(a, b), *pair(c, d)        # pair: of gaussian
    """
    rows, units = out.shape
    blocks, flat, room = (units + 3) // 4, out.reshape(-1), normal_room()
    c, first, second = room.c, room.first, room.second
    at, left, n, block = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64), 0, 0
    for start in range(0, rows * blocks, LANES):
        lanes = min(LANES, rows * blocks - start)  # the others draw for nobody
        for l in range(lanes):
            at[l], left[l] = n * units + 4 * block, units - 4 * block
            c[l], c[LANES + l], c[2 * LANES + l], c[3 * LANES + l] = np.uint64(block), examples[n], layer, passes[n]
            block += 1
            if block == blocks:
                n, block = n + 1, 0
        normal_lanes(mean, std, key, room)
        if units % 4 == 0 and lanes == LANES:  # then they are all in a row
            here = flat[4 * start:4 * (start + LANES)]
            for l in range(LANES):
                here[4 * l], here[4 * l + 1], here[4 * l + 2], here[4 * l + 3] = first[l], second[l], first[LANES + l], second[LANES + l]
            continue
        for l in range(lanes):
            i = at[l]
            if left[l] >= 4:
                flat[i], flat[i + 1], flat[i + 2], flat[i + 3] = first[l], second[l], first[LANES + l], second[LANES + l]
            else:
                flat[i] = first[l]
                if left[l] >= 2:
                    flat[i + 1] = second[l]
                if left[l] >= 3:
                    flat[i + 2] = first[LANES + l]
