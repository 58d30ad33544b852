"""z in {0, 1} from Philox's words, exactly Bernoulli(keep): a row of units, or blocks of 128 wherever they are."""

from typing import NamedTuple

import numpy as np

from .compiling import njit
from .philox import LANES, LOW, philox_lanes

DIGITS = np.uint64(64)  # places that one block of 128 Bernoulli units owns: at most one per binary digit of keep
BYTE, SEVEN, EVERY_BYTE = np.uint64(0xFF), np.uint64(7), np.uint64(0x0101010101010101)
DIAGONAL, CARRY = np.uint64(0x8040201008040201), np.uint64(0x7F7F7F7F7F7F7F7F)


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
            philox_lanes(c, key[0], key[1])
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
