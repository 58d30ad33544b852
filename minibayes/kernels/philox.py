"""z = g(seed, pass, layer, example, unit): noise from the counter-based generator Philox4x32-10.

A counter-based generator is a keyed bijection of its counter: no state, no order, no stream to share. The 128-bit
counter says *which* random numbers are wanted, the 64-bit key is the seed:

    counter = (c0: place within the example, c1: example, c2: layer, c3: pass)        key = (k0, k1)

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. All words are held in uint64
and masked, because a 32 x 32 -> 64 bit product is what the generator is made of.
"""

import numpy as np

from .compiling import njit

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # the published multipliers
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # the published Weyl increments of the key
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
LANES = 16  # counters drawn side by side, with vector instructions


@njit(nogil=True, cache=True, inline="always")
def philox_of(c0, c1, c2, c3, k0, k1):
    """The four words of one counter, of four words, and a key of two: ten rounds."""
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@njit(nogil=True, cache=True)
def philox(counter, key, out):
    """out[i] = Philox4x32-10(counter[i], key): counter (n, 4), key (2,), out (n, 4), all uint64 holding 32-bit words."""
    for i in range(counter.shape[0]):
        w0, w1, w2, w3 = philox_of(counter[i, 0], counter[i, 1], counter[i, 2], counter[i, 3], key[0], key[1])
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = w0, w1, w2, w3


@njit(nogil=True, cache=True, inline="always")
def philox_lanes(c, k0, k1):
    """philox_of for LANES counters side by side, in place: word i of counter l is c[i*LANES + l].

    The masks change nothing: they tell the compiler that both factors have 32 bits, which one vector instruction multiplies.
    """
    for l in range(LANES):
        c0, c1, c2, c3 = c[l] & LOW, c[LANES + l] & LOW, c[2 * LANES + l] & LOW, c[3 * LANES + l] & LOW
        c[l], c[LANES + l], c[2 * LANES + l], c[3 * LANES + l] = philox_of(c0, c1, c2, c3, k0, k1)


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
        philox_lanes(c, key[0], key[1])
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
