"""-log2 of what a Bayesian predicts: an adaptive arithmetic code of a matrix that is mostly zeros, and its decoder.

Each binary choice b that follows n0 zeros and n1 ones is coded with the predictive probability of a Beta(1/2, 1/2) prior,
P(b = 1) = (n1 + 1/2)/(n0 + n1 + 1), so a sequence takes -log2 of its marginal likelihood in bits: no table of frequencies is stored
(Krichevsky and Trofimov, IEEE Trans. Inf. Theory 27, 1981). The range coder that turns probabilities into bytes is Martin's (1979),
with the carries of LZMA: state = (low, range, byte held back, bytes 255 behind it, whether one is held, place in `out`), all uint64.
"""

import numpy as np

from .compiling import njit

u64 = np.uint64
ONE, TWO, EIGHT, TOP_BITS, WIDE = u64(1), u64(2), u64(8), u64(32), u64(40)
TOP, FULL, LOW_BITS, BYTE, LAST = u64(2**32), u64(2**40), u64(2**32 - 1), u64(255), u64(255 * 2**32)
MOST = u64(2**18)  # choices counted in one context: then both counts are halved
FLUSH = 5  # bytes of the state
BUCKETS = 12  # of how rare non-zeros have been, by powers of two


@njit(nogil=True, cache=True, inline="always")
def _put(state, out, byte):
    if state[5] < u64(len(out)):
        out[state[5]] = byte & BYTE
    state[5] += ONE


@njit(nogil=True, cache=True, inline="always")
def _shift(state, out):
    """The top byte of low leaves: held back while a carry may still come, as may the bytes 255 behind it."""
    if state[0] < LAST or state[0] >= FULL:
        carry = state[0] >> WIDE
        if state[4] > u64(0):
            _put(state, out, state[2] + carry)
        while state[3] > u64(0):
            _put(state, out, BYTE + carry)
            state[3] -= ONE
        state[2], state[4] = (state[0] >> TOP_BITS) & BYTE, ONE
    else:
        state[3] += ONE
    state[0] = (state[0] & LOW_BITS) << EIGHT


@njit(nogil=True, cache=True, inline="always")
def _count(counts, bit):
    counts[bit] += ONE
    if counts[0] + counts[1] > MOST:
        counts[0], counts[1] = (counts[0] + ONE) // TWO, (counts[1] + ONE) // TWO


@njit(nogil=True, cache=True, inline="always")
def _encode(state, out, counts, bit):
    bound = state[1] // (TWO * (counts[0] + counts[1]) + TWO) * (TWO * counts[0] + ONE)
    if bit:
        state[0] += bound
        state[1] -= bound
    else:
        state[1] = bound
    _count(counts, bit)
    while state[1] < TOP:
        state[1] <<= EIGHT
        _shift(state, out)


@njit(nogil=True, cache=True, inline="always")
def _decode(state, data, counts):
    """state = (code - low, range, place in data)."""
    bound = state[1] // (TWO * (counts[0] + counts[1]) + TWO) * (TWO * counts[0] + ONE)
    if state[0] < bound:
        bit = 0
        state[1] = bound
    else:
        bit = 1
        state[0] -= bound
        state[1] -= bound
    _count(counts, bit)
    while state[1] < TOP:
        state[1] <<= EIGHT
        state[0] = (state[0] << EIGHT) | (u64(data[state[2]]) if state[2] < u64(len(data)) else u64(0))
        state[2] += ONE
    return bit


@njit(nogil=True, cache=True, inline="always")
def _rarity(seen, found):
    """floor(log2((seen + 1)/(found + 1))), at most BUCKETS - 1: how rare non-zeros have been."""
    ratio, bucket = (seen + 1) // (found + 1), 0
    while ratio > 1 and bucket < BUCKETS - 1:
        ratio //= 2
        bucket += 1
    return bucket


@njit(nogil=True, cache=True)
def encode(code, rest, depth, extra, out):
    """For each row i, for each column j: [code != 0], in the context of how rare non-zeros were in row and column so far; where it is not
    0, the `depth` bits of code - 1, each in the context of those before it; and the `extra` low bits of rest, as they are.

    code, rest (K, D) uint64, code <= 2^depth;  out: bytes, written. Returns how many bytes there are, be it more than `out` has.
    """
    K, D = code.shape
    state = np.zeros(6, np.uint64)
    state[1] = FULL - ONE
    there, tree = np.zeros((BUCKETS, BUCKETS, 2), np.uint64), np.zeros((1 << depth, 2), np.uint64)
    found, even = np.zeros(D, np.int64), np.zeros(2, np.uint64)
    for i in range(K):
        in_row = 0
        for j in range(D):
            some = 1 if code[i, j] != u64(0) else 0
            _encode(state, out, there[_rarity(i, found[j]), _rarity(j, in_row)], some)
            if not some:
                continue
            found[j] += 1
            in_row += 1
            symbol, node = code[i, j] - ONE, 1
            for d in range(depth - 1, -1, -1):
                bit = int((symbol >> u64(d)) & ONE)
                _encode(state, out, tree[node], bit)
                node = 2 * node + bit
            for d in range(extra - 1, -1, -1):
                even[0] = even[1] = u64(0)
                _encode(state, out, even, int((rest[i, j] >> u64(d)) & ONE))
    for k in range(40, -1, -1):  # of all numbers in [low, low + range) the one with the most zeros at its end
        mask = (ONE << u64(k)) - ONE
        if ((state[0] + mask) & ~mask) < state[0] + state[1]:
            state[0] = (state[0] + mask) & ~mask
            break
    for _ in range(FLUSH + 1):
        _shift(state, out)
    return int(state[5])


@njit(nogil=True, cache=True)
def decode(data, depth, extra, code, rest):
    """code and rest (K, D) from the bytes that `encode` wrote, zeros behind them; returns how many bytes were looked at.

    Whatever the bytes are, code <= 2^depth and rest < 2^extra.
    """
    K, D = code.shape
    state = np.zeros(3, np.uint64)
    for b in range(FLUSH):
        state[0] = (state[0] << EIGHT) | (u64(data[b]) if b < len(data) else u64(0))
    state[1], state[2] = FULL - ONE, u64(FLUSH)
    there, tree = np.zeros((BUCKETS, BUCKETS, 2), np.uint64), np.zeros((1 << depth, 2), np.uint64)
    found, even = np.zeros(D, np.int64), np.zeros(2, np.uint64)
    for i in range(K):
        in_row = 0
        for j in range(D):
            code[i, j], rest[i, j] = u64(0), u64(0)
            if not _decode(state, data, there[_rarity(i, found[j]), _rarity(j, in_row)]):
                continue
            found[j] += 1
            in_row += 1
            node = 1
            for _ in range(depth):
                node = 2 * node + _decode(state, data, tree[node])
            code[i, j] = u64(node - (1 << depth)) + ONE
            for _ in range(extra):
                even[0] = even[1] = u64(0)
                rest[i, j] = (rest[i, j] << ONE) | u64(_decode(state, data, even))
    return int(state[2])
