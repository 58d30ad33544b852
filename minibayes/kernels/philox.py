"""z = g(seed, pass, layer, example, unit): noise from the counter-based generator Philox4x32-10.

A counter-based generator is a keyed bijection of its counter: no state, no order, no stream to share. The 128-bit
counter says *which* random numbers are wanted, the 64-bit key is the seed:

    counter = (c0: place within the example, c1: example, c2: layer, c3: pass)        key = (k0, k1)

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. All words are held in uint64
and masked, because a 32 x 32 -> 64 bit product is what the generator is made of.
"""

import math
from typing import NamedTuple

import numpy as np

from .compiling import njit

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # the published multipliers
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # the published Weyl increments of the key
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
DIGITS = np.uint64(64)  # places that one block of 128 Bernoulli units owns: at most one per binary digit of keep
LANES = 16  # counters drawn side by side, with vector instructions
BYTE, SEVEN, EVERY_BYTE = np.uint64(0xFF), np.uint64(7), np.uint64(0x0101010101010101)
DIAGONAL, CARRY = np.uint64(0x8040201008040201), np.uint64(0x7F7F7F7F7F7F7F7F)
f32, i32, PAIRS = np.float32, np.int32, 2 * LANES  # of gaussian32; two pairs of words from each call
ROOT_HALF = np.array([math.sqrt(0.5)], f32).view(i32)[0]  # its bits
ONE_HALF, ONE, TWO, MINUS_TWO, UPPER = f32(0.5), f32(1), f32(2), f32(-2), f32(2**16)
LOG_2, WORD, TURN, REST = f32(math.log(2)), f32(2.0**-32), f32(2 * math.pi / 2**32), 2**30 - 1
A3, A5, A7, A9 = f32(1 / 3), f32(1 / 5), f32(1 / 7), f32(1 / 9)  # of atanh
C2, C4, C6, C8 = f32(-1 / 2), f32(1 / 24), f32(-1 / 720), f32(1 / 40320)  # of cos
S3, S5, S7, S9 = f32(-1 / 6), f32(1 / 120), f32(-1 / 5040), f32(1 / 362880)  # of sin


@njit(nogil=True, cache=True, inline="always")
def _philox(c0, c1, c2, c3, k0, k1):
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@njit(nogil=True, cache=True)
def philox(counter, key, out):
    """out[i] = Philox4x32-10(counter[i], key): counter (n, 4), key (2,), out (n, 4), all uint64 holding 32-bit words."""
    for i in range(counter.shape[0]):
        w0, w1, w2, w3 = _philox(counter[i, 0], counter[i, 1], counter[i, 2], counter[i, 3], key[0], key[1])
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = w0, w1, w2, w3


@njit(nogil=True, cache=True, inline="always")
def _philox_lanes(c, k0, k1):
    """_philox for LANES counters side by side, in place: word i of counter l is c[i*LANES + l].

    The masks change nothing: they tell the compiler that both factors have 32 bits, which one vector instruction multiplies.
    """
    for l in range(LANES):
        c0, c1, c2, c3 = c[l] & LOW, c[LANES + l] & LOW, c[2 * LANES + l] & LOW, c[3 * LANES + l] & LOW
        c[l], c[LANES + l], c[2 * LANES + l], c[3 * LANES + l] = _philox(c0, c1, c2, c3, k0, k1)


class Bits(NamedTuple):
    """What LANES blocks of 128 Bernoulli units are drawn for, in, and into."""

    block_of: np.ndarray  # (LANES,) int64: which block of its example,
    example_of: np.ndarray  # uint64: which example,
    pass_of: np.ndarray  # and which pass each lane draws
    c: np.ndarray  # Philox's words
    z: np.ndarray  # a bit a unit,
    undecided: np.ndarray  # and whether it is not known yet
    spread: np.ndarray  # z, a byte a unit, eight to a word: 128 LANES of them


@njit(nogil=True, cache=True)
def bits_room():
    """Lanes that draw block 0 of example 0 in pass 0."""
    return Bits(np.zeros(LANES, np.int64), np.zeros(LANES, np.uint64), np.zeros(LANES, np.uint64), np.empty(4 * LANES, np.uint64),
                np.empty(4 * LANES, np.uint64), np.empty(4 * LANES, np.uint64), np.empty(16 * LANES, np.uint64))


@njit(nogil=True, cache=True)
def bernoulli_lanes(digits, layer, key, units, room):
    """room.spread = z of LANES blocks, as `bernoulli` says; `units`: of an example in all."""
    block_of, example_of, pass_of, c, z, undecided, spread = room
    words = 1 if units <= 32 else 2 if units <= 64 else 4  # of a call, for one digit of all units
    for l in range(LANES):
        for word in range(words):
            there = min(max(units - 128 * block_of[l] - 32 * word, 0), 32)  # units that do not exist need not be decided
            z[word * LANES + l], undecided[word * LANES + l] = 0, LOW >> np.uint64(32 - there)
    for i in range(digits.shape[0]):
        part = i * words % 4 * LANES  # where this digit's words begin in c
        if part == 0:
            for l in range(LANES):
                c[l] = np.uint64(block_of[l]) * DIGITS + np.uint64(i * words // 4)
                c[LANES + l], c[2 * LANES + l], c[3 * LANES + l] = example_of[l], layer, pass_of[l]
            _philox_lanes(c, key[0], key[1])
        left = np.uint64(0)
        for l in range(words * LANES):
            zero = undecided[l] & (c[part + l] ^ LOW)  # undecided units whose bit is 0
            if digits[i]:
                z[l] |= zero  # r < digit
                undecided[l] &= c[part + l]
            else:
                undecided[l] = zero  # those whose bit is 1 have r > digit and stay 0
            left |= undecided[l]
        if left == 0:
            break
    for l in range(LANES):
        for word in range(words):
            for part in range(4):
                # Eight bits to eight bytes: copy them into every byte, keep bit j of byte j, and make what is left of it a 1.
                bits = ((z[word * LANES + l] >> np.uint64(8 * part)) & BYTE) * EVERY_BYTE & DIAGONAL
                spread[16 * l + 4 * word + part] = ((bits + CARRY) >> SEVEN) & EVERY_BYTE


@njit(nogil=True, cache=True)
def bernoulli(digits, examples, passes, layer, key, out):
    """out[n, j] = 1 if U < keep else 0, with U = 0.r1 r2 r3 ... a random binary fraction: exactly Bernoulli(keep).

    digits (d,) uint8: keep = sum_i digits[i] 2^-(i+1), digits[-1] = 1.   examples, passes (B,) uint64.   out (B, units) uint8.

    U < keep is decided by the first digit in which they differ, so each digit of keep takes one random bit per unit until all units
    drawn together are decided. The loop nest, for one unit j = 128 block + lane, with g digits from each Philox call (g = 4, 2 or 1 for up
    to 32, up to 64, or more units: its 128 bits are g groups of 128/g):

        for i in range(d):
            r = bit (i % g) 128/g + lane of Philox(counter=(64 block + i // g, example, layer, pass))
            if r != digits[i]: return digits[i]           # r < digit: U < keep, z = 1;  r > digit: z = 0
        return 0                                          # U = keep so far, and keep has no digits left

    At keep = 1/2 that is a single bit per unit.
    """
    rows, units = out.shape
    blocks = (units + 127) // 128
    room, row_of = bits_room(), np.zeros(LANES, np.int64)
    example_of, pass_of, block_of, bytes_ = room.example_of, room.pass_of, room.block_of, room.spread.view(np.uint8)
    n, block = 0, 0
    for first in range(0, rows * blocks, LANES):
        lanes = min(LANES, rows * blocks - first)  # the others repeat what they drew before
        for l in range(lanes):
            row_of[l], block_of[l], example_of[l], pass_of[l] = n, block, examples[n], passes[n]
            block += 1
            if block == blocks:
                n, block = n + 1, 0
        bernoulli_lanes(digits, layer, key, units, room)
        for l in range(lanes):
            at = 128 * block_of[l]
            count = min(units - at, 128)
            row, drawn = out[row_of[l], at:at + count], bytes_[128 * l:128 * l + count]
            for j in range(count):
                row[j] = drawn[j]


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
            a, b, c, d = _philox(np.uint64(block), examples[n], layer, passes[n], key[0], key[1])
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
    r = np.empty(PAIRS, f32)
    return Normals(np.zeros(4 * LANES, np.uint64), np.empty(PAIRS, np.uint32), np.empty(PAIRS, np.uint32), r, r.view(i32),
                   np.empty(PAIRS, f32), np.empty(PAIRS, i32), np.empty(PAIRS, f32), np.empty(PAIRS, f32))


@njit(nogil=True, cache=True, error_model="numpy")  # a division that may raise is not a vector instruction
def normal_lanes(mean, std, key, room):
    """room.first, room.second = numbers of N(mean, std^2), float32, at the counters room.c: `gaussian32` says which."""
    c, radii, angles, r, bits, near, whole, first, second = room
    _philox_lanes(c, key[0], key[1])
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


@njit(nogil=True, cache=True)
def uniform(examples, passes, layer, key, out):
    """out[n, 4 block + i] = (word i of Philox(counter=(block, example, layer, pass)) >> 9 + 1/2) / 2^23: in (0, 1), ends excluded.

    23 bits, which float32 holds exactly together with the half; for float64 outputs (words 2i and 2i + 1, 52 bits of the two), two a call.
    """
    (rows, units), per_call = out.shape, 4 if out.itemsize == 4 else 2
    blocks, flat = (units + per_call - 1) // per_call, out.reshape(-1)
    c, u = np.zeros(4 * LANES, np.uint64), np.empty(4 * LANES, out.dtype)
    at, left, n, block = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64), 0, 0
    for start in range(0, rows * blocks, LANES):
        lanes = min(LANES, rows * blocks - start)  # the others draw for nobody
        for l in range(lanes):
            at[l], left[l] = n * units + per_call * block, units - per_call * block
            c[l], c[LANES + l], c[2 * LANES + l], c[3 * LANES + l] = np.uint64(block), examples[n], layer, passes[n]
            block += 1
            if block == blocks:
                n, block = n + 1, 0
        _philox_lanes(c, key[0], key[1])
        for l in range(LANES):
            if per_call == 4:
                for i in range(4):
                    u[4 * l + i] = (np.float64(np.int64(c[i * LANES + l] >> np.uint64(9))) + 0.5) / 8388608.0
            else:
                for i in range(2):
                    bits = (c[2 * i * LANES + l] << np.uint64(20)) | (c[(2 * i + 1) * LANES + l] >> np.uint64(12))
                    u[2 * l + i] = (np.float64(np.int64(bits)) + 0.5) / 4503599627370496.0
        if units % per_call == 0:  # then they are all in a row
            here = flat[per_call * start:per_call * (start + lanes)]
            for i in range(len(here)):
                here[i] = u[i]
            continue
        for l in range(lanes):
            for i in range(min(per_call, left[l])):
                flat[at[l] + i] = u[per_call * l + i]
