"""z = g(seed, pass, layer, example, unit): noise from the counter-based generator Philox4x32-10.

A counter-based generator is a keyed bijection of its counter: no state, no order, no stream to share. The 128-bit
counter says *which* random numbers are wanted, the 64-bit key is the seed:

    counter = (c0: place within the example, c1: example, c2: layer, c3: pass)        key = (k0, k1)

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. All words are held in uint64
and masked, because a 32 x 32 -> 64 bit product is what the generator is made of.
"""

import math

import numpy as np
from numba import njit

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # the published multipliers
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # the published Weyl increments of the key
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
DIGITS = np.uint64(64)  # places that one block of 128 Bernoulli units owns: one per binary digit of keep
ONE = np.uint64(1)


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


@njit(nogil=True, cache=True)
def bernoulli(digits, examples, passes, layer, key, out):
    """out[n, j] = 1 if U < keep else 0, with U = 0.r1 r2 r3 ... a random binary fraction: exactly Bernoulli(keep).

    digits (d,) uint8: keep = sum_i digits[i] 2^-(i+1), digits[-1] = 1.   examples, passes (B,) uint64.   out (B, units) uint8.

    U < keep is decided by the first digit in which they differ, so each digit of keep takes one random bit per unit
    until all 128 units of a block are decided. The loop nest, for one unit j = 128 block + lane:

        for i in range(d):
            r = bit `lane` of Philox(counter=(64 block + i, example, layer, pass))
            if r != digits[i]: return digits[i]           # r < digit: U < keep, z = 1;  r > digit: z = 0
        return 0                                          # U = keep so far, and keep has no digits left

    At keep = 1/2 that is a single bit per unit.
    """
    units = out.shape[1]
    for n in range(out.shape[0]):
        for block in range((units + 127) // 128):
            z0 = z1 = z2 = z3 = np.uint64(0)
            u0 = u1 = u2 = u3 = LOW  # bit set: that unit is still undecided
            for i in range(digits.shape[0]):
                place = np.uint64(block) * DIGITS + np.uint64(i)
                r0, r1, r2, r3 = _philox(place, examples[n], layer, passes[n], key[0], key[1])
                if digits[i]:  # r = 0 decides for z = 1, r = 1 leaves undecided; u & (r ^ LOW) is "u and not r"
                    z0, z1, z2, z3 = z0 | (u0 & (r0 ^ LOW)), z1 | (u1 & (r1 ^ LOW)), z2 | (u2 & (r2 ^ LOW)), z3 | (u3 & (r3 ^ LOW))
                    u0, u1, u2, u3 = u0 & r0, u1 & r1, u2 & r2, u3 & r3
                else:  # r = 1 decides for z = 0
                    u0, u1, u2, u3 = u0 & (r0 ^ LOW), u1 & (r1 ^ LOW), u2 & (r2 ^ LOW), u3 & (r3 ^ LOW)
                if (u0 | u1 | u2 | u3) == 0:
                    break
            start = block * 128
            for word in range(min(4, (units - start + 31) // 32)):
                z = z0 if word == 0 else z1 if word == 1 else z2 if word == 2 else z3
                first = start + 32 * word
                if first + 32 <= units:
                    for j in range(32):  # a fixed length, so that the compiler spreads the bits with vector shifts
                        out[n, first + j] = (z >> np.uint64(j)) & ONE
                else:
                    for j in range(units - first):
                        out[n, first + j] = (z >> np.uint64(j)) & ONE


@njit(nogil=True, cache=True)
def gaussian(std, examples, passes, layer, key, out):
    """out[n, j] ~ N(1, std^2), by Box and Muller's transform of two uniform words, four units per Philox call.

    for one pair of words (a, b):  u = (a + 1/2) / 2^32 in (0, 1),  v = b / 2^32
        out[n, 2i] = 1 + std sqrt(-2 log u) cos(2 pi v);   out[n, 2i+1] = 1 + std sqrt(-2 log u) sin(2 pi v)

    Computed in float64, stored in the dtype of out. With 32-bit words |z - 1| <= 6.8 std: the tail beyond has mass 1e-11.
    """
    units = out.shape[1]
    scale, turn = 1.0 / 4294967296.0, 2.0 * math.pi / 4294967296.0
    for n in range(out.shape[0]):
        for block in range((units + 3) // 4):
            a, b, c, d = _philox(np.uint64(block), examples[n], layer, passes[n], key[0], key[1])
            radius = std * math.sqrt(-2.0 * math.log((np.float64(a) + 0.5) * scale))
            angle = np.float64(b) * turn
            first = 4 * block
            out[n, first] = 1.0 + radius * math.cos(angle)
            if first + 1 < units:
                out[n, first + 1] = 1.0 + radius * math.sin(angle)
            if first + 2 < units:
                radius = std * math.sqrt(-2.0 * math.log((np.float64(c) + 0.5) * scale))
                angle = np.float64(d) * turn
                out[n, first + 2] = 1.0 + radius * math.cos(angle)
                if first + 3 < units:
                    out[n, first + 3] = 1.0 + radius * math.sin(angle)
