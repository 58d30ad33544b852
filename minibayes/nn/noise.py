"""z ~ Delta(1), Bernoulli(keep) or N(1, variance): the multiplicative noise of stochastic regularisation.

The poster's convention: z is *not* rescaled by 1/keep, so E[z] = keep. Every z is a pure function of
(seed, pass, layer, example, unit): the same whatever the batch split, the thread count or the order of evaluation.
"""

import math
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .. import kernels, require

WORD = 2**32


@dataclass(frozen=True)
class Key:
    """Which random numbers: a seed, and the number t of the pass omega-hat_t.

    `key.at(t)` is another pass of the same seed; `key.derive("name")` is an independent seed for another purpose.
    """

    seed: int = 0  # in [0, 2^64): the two 32-bit key words of Philox
    t: int = 0  # in [0, 2^32)

    def __post_init__(self):
        require.integer("seed", self.seed, 0, 2**64 - 1)
        require.integer("t", self.t, 0, WORD - 1)

    def at(self, t):
        return replace(self, t=t)

    def derive(self, purpose):
        """The first two words of Philox(counter = (hash of purpose, 0, 0, 2^32 - 1), key = seed), at pass 0."""
        counter = np.array([[layer_id(purpose), 0, 0, WORD - 1]], np.uint64)
        out = np.empty((1, 4), np.uint64)
        kernels.philox(counter, self.words, out)
        return Key(int(out[0, 0]) + int(out[0, 1]) * WORD)

    @property
    def words(self):
        return key_words(self.seed)


@lru_cache(maxsize=256)
def key_words(seed):
    """The seed as the two 32-bit words of a Philox key."""
    return shared(np.array([seed % WORD, seed // WORD], np.uint64))


def shared(array):
    """The array, to be read only."""
    array.flags.writeable = False
    return array


def as_key(key):
    """A Key; a bare integer seed is Key(seed)."""
    return key if isinstance(key, Key) else Key(require.integer("key", key, 0, 2**64 - 1))


@lru_cache(maxsize=1024)
def layer_id(name):
    """The 32-bit CRC of a layer's name: its counter word, so that z does not change when other layers come or go."""
    return zlib.crc32(name.encode())


def counters(values, count, fill, name):
    """`values` (one per row) as the uint64 counter words of `count` rows; None means `fill`."""
    if values is None:
        return np.arange(count, dtype=np.uint64) if fill is None else np.full(count, fill, np.uint64)
    values = np.asarray(values)
    if values.shape != (count,) or values.dtype.kind not in "iu" or (count and values.min() < 0):
        raise require.InputError(
            f"{name} must be {count} non-negative integers, got {values.dtype} of shape {values.shape}")
    if count and values.max() >= WORD:
        raise require.InputError(f"{name} must be below 2^32, got {values.max()}")
    return values.astype(np.uint64)


@dataclass(frozen=True)
class Delta:
    """z = 1: no noise. E[z] = E[z^2] = 1."""

    mean = second_moment = 1.0
    variance = 0.0

    def sample(self, key, shape, layer="", examples=None, passes=None, dtype=np.float32):
        return np.ones(shape, np.uint8)


@dataclass(frozen=True)
class Bernoulli:
    """z in {0, 1}, P(z = 1) = keep. E[z] = E[z^2] = keep, Var[z] = keep (1 - keep). Dropout, not rescaled (poster, q_theta)."""

    keep: float

    def __post_init__(self):
        require.real("keep", self.keep, 0, 1, open_low=True)

    @property
    def mean(self):
        return self.keep

    second_moment = mean

    @property
    def variance(self):
        return self.keep * (1 - self.keep)

    def sample(self, key, shape, layer="", examples=None, passes=None, dtype=np.float32):
        """z of `shape` = (rows, ...) as uint8, exactly Bernoulli(keep): row n is a function of (key, layer, examples[n], passes[n]).

        examples: one integer per row, 0..rows-1 by default; passes: one per row, key.t by default.
        """
        return self.draw(shape, *_counter(key, shape, layer, examples, passes), dtype)

    def draw(self, shape, examples, passes, layer, words, dtype):
        """`sample` from counters that were checked before."""
        if self.keep == 1:
            return np.ones(shape, np.uint8)
        out = np.empty(shape, np.uint8)
        kernels.bernoulli(digits(self.keep), examples, passes, layer, words, out.reshape(shape[0], -1))
        return out


@lru_cache(maxsize=256)
def digits(keep):
    """keep = sum_i digits[i] 2^-(i+1): its binary digits, at most 64 (a double below 2^-11 loses its last few)."""
    out, rest = [], float(keep)
    while rest and len(out) < 64:
        digit, rest = divmod(2 * rest, 1)
        out.append(int(digit))
    return shared(np.array(out, np.uint8))


@dataclass(frozen=True)
class Gaussian:
    """z ~ N(1, variance): multiplicative Gaussian noise, MGN. E[z] = 1, E[z^2] = 1 + variance.

    The poster's default is N(1, 1); variance = (1 - keep)/keep matches *rescaled* dropout (Srivastava et al. 2014, section 10).
    """

    variance: float = 1.0

    def __post_init__(self):
        require.real("variance", self.variance, 0, open_low=True)

    mean = 1.0

    @property
    def second_moment(self):
        return 1 + self.variance

    def sample(self, key, shape, layer="", examples=None, passes=None, dtype=np.float32):
        """z of `shape` = (rows, ...) as `dtype`: row n is a function of (key, layer, examples[n], passes[n])."""
        return self.draw(shape, *_counter(key, shape, layer, examples, passes), dtype)

    def draw(self, shape, examples, passes, layer, words, dtype):
        """`sample` from counters that were checked before."""
        out = np.empty(shape, dtype)
        kernels.gaussian(math.sqrt(self.variance), examples, passes, layer, words, out.reshape(shape[0], -1))
        return out


def _counter(key, shape, layer, examples, passes):
    """(examples, passes, layer, key) as the kernels take them."""
    key = as_key(key)
    return *rows_and_passes(key, shape[0], examples, passes), np.uint64(layer_id(layer)), key.words


def rows_and_passes(key, rows, examples, passes):
    """The counter words of `rows` rows, checked: example n and pass key.t for row n where none are given."""
    return counters(examples, rows, None, "examples"), counters(passes, rows, key.t, "passes")
