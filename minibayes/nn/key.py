"""Which random numbers: pure functions of (seed, pass, layer, example, place), in any order of evaluation.

A Key names a seed, a pass and a layer, Rows name the examples. What is drawn from them (`uniform`, `normal`,
`bernoulli`) depends on nothing else: not on how a batch is cut, not on the number of threads, not on what was
drawn before. So a noise of one's own that draws with these keeps the promise that the shipped ones keep.
"""

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import kernels, require
from ..own import read_only, settle

WORD = 2**32
FLOAT32 = np.dtype(np.float32)
DRAWS = 2  # the version of what is drawn, in files: since 2, normal float32 numbers are computed in float32


@dataclass(frozen=True)
class Rows:
    """Which rows are drawn: row n is for example number examples[n] in pass passes[n].

    examples, passes: (R,) uint64, below 2^32; checked where they come in (`Rows.of`).
    dtype: of the real numbers drawn.
    """

    examples: np.ndarray
    passes: np.ndarray
    dtype: np.dtype = FLOAT32

    def __init__(self, examples: np.ndarray, passes: np.ndarray, dtype: np.dtype = FLOAT32):
        self.__dict__.update(examples=examples, passes=passes, dtype=dtype)  # one for every step: in one go

    @classmethod
    def of(cls, key: "Key", count: int, examples: ArrayLike | None = None, passes: ArrayLike | None = None,
           dtype: DTypeLike = np.float32) -> "Rows":
        """`count` rows: example n and pass key.t for row n where none are given."""
        examples = counters(examples, count, None, "examples")
        passes = counters(passes, count, key.t, "passes")
        return cls(examples, passes, np.dtype(dtype))

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class Key:
    """Which random numbers: a seed, the number t of a pass, and the path of what they are for, say a layer.

    key.at(t)           another pass, omega-hat_t, of the same seed
    key.of("fc1")       the same pass for one layer; `.of` again for one of several draws that a noise needs
    key.derive("name")  an independent seed for another purpose
    """

    seed: int = 0  # in [0, 2^64): the two 32-bit key words of Philox
    t: int = 0  # in [0, 2^32)
    path: str = ""

    def __post_init__(self):
        settle(self, seed=require.integer("seed", self.seed, 0, 2**64 - 1),
               t=require.integer("t", self.t, 0, WORD - 1))

    def at(self, t: int) -> "Key":
        return replace(self, t=t)

    def of(self, name: str) -> "Key":
        return _of(self.seed, self.t, self.path, name)

    def derive(self, purpose: str) -> "Key":
        """Its seed: two words of Philox(counter = (hash of purpose, 0, 0, 2^32 - 1), key = seed), pass 0."""
        counter = np.array([[layer_id(purpose), 0, 0, WORD - 1]], np.uint64)
        out = np.empty((1, 4), np.uint64)
        kernels.philox(counter, self.words, out)
        return Key(int(out[0, 0]) + int(out[0, 1]) * WORD)

    def uniform(self, shape: tuple, rows: Rows) -> np.ndarray:
        """U ~ uniform(0, 1), both ends excluded, of `shape` = (R, ...), as rows.dtype."""
        out = np.empty(shape, rows.dtype)
        kernels.uniform(rows.examples, rows.passes, self.layer, self.words, out.reshape(len(out), -1))
        return out

    def normal(self, shape: tuple, rows: Rows, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        """N(mean, std^2), of `shape` = (R, ...), as rows.dtype."""
        out = np.empty(shape, rows.dtype)
        flat, number = out.reshape(len(out), -1), out.dtype.type
        draw = kernels.gaussian32 if number is np.float32 else kernels.gaussian
        draw(number(mean), number(std), rows.examples, rows.passes, self.layer, self.words, flat)
        return out

    def bernoulli(self, shape: tuple, rows: Rows, keep: float) -> np.ndarray:
        """z in {0, 1}, P(z = 1) = keep to its last binary digit, of `shape` = (R, ...), as uint8."""
        if keep == 1:
            return np.ones(shape, np.uint8)
        out = np.empty(shape, np.uint8)
        flat = out.reshape(len(out), -1)
        kernels.bernoulli(digits(keep), rows.examples, rows.passes, self.layer, self.words, flat)
        return out

    @property
    def words(self) -> np.ndarray:
        """The seed as the two 32-bit words of a Philox key."""
        return key_words(self.seed)

    @property
    def layer(self) -> np.uint64:
        """The counter word of the path."""
        return layer_word(self.path)


@lru_cache(maxsize=1024)
def _of(seed, t, path, name):
    return Key(seed, t, f"{path}/{name}" if path else name)


@lru_cache(maxsize=256)
def key_words(seed: int) -> np.ndarray:
    return read_only(np.array([seed % WORD, seed // WORD], np.uint64))


@lru_cache(maxsize=1024)
def layer_id(name: str) -> int:
    """The 32-bit CRC of a layer's name: its counter word, so that no z changes when layers come or go."""
    return zlib.crc32(name.encode())


@lru_cache(maxsize=1024)
def layer_word(path: str) -> np.uint64:
    return np.uint64(layer_id(path))


@lru_cache(maxsize=256)
def digits(keep: float) -> np.ndarray:
    """keep = sum_i digits[i] 2^-(i+1): its binary digits, at most 64 (a tiny double loses its last few)."""
    out, rest = [], float(keep)
    while rest and len(out) < 64:
        digit, rest = divmod(2 * rest, 1)
        out.append(int(digit))
    return read_only(np.array(out, np.uint8))


def as_key(key: "Key | int") -> Key:
    """A Key; a bare integer seed is Key(seed)."""
    return key if isinstance(key, Key) else Key(require.integer("key", key, 0, 2**64 - 1))


def counters(values: ArrayLike | None, count: int, fill: int | None, name: str) -> np.ndarray:
    """A uint64 counter word for each of `count` rows: `values`; if None, `fill`; if None too, 0, 1, 2, ..."""
    if values is None:
        return np.arange(count, dtype=np.uint64) if fill is None else np.full(count, fill, np.uint64)
    values = np.asarray(values)
    if values.shape != (count,) or values.dtype.kind not in "iu" or (count and values.min() < 0):
        raise require.InputError(
            f"{name} must be {count} non-negative integers, got {values.dtype} of shape {values.shape}")
    if count and values.max() >= WORD:
        raise require.InputError(f"{name} must be below 2^32, got {values.max()}")
    return values.astype(np.uint64)
