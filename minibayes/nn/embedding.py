"""f_nt = W_n onehot(x_nt), W_n = M diag(z_n): words by their numbers, and noise by the *type* of word.

A sequence is (T, D), step after step; a step that is not there (padding) is a row of NaN. It stays one
through every layer that keeps the steps apart, leaves a recurrent state as it was, and gives no gradient: so
sequences of different lengths lie in one array, and padding changes nothing.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..own import settle
from .initial import initial
from .layers import Layer, ShapeError
from .learned import sum_to
from .noise import Delta, Noise, check_noise
from .place import Inputs

PADDING = -1  # the number of no word
MOST_WORDS = 2**24  # of which float32 holds every number exactly


@dataclass(frozen=True)
class Embedding(Layer):
    """f_nt = z_nw M_w, w = x_nt: a column of M for each word.    M (D, V);  z (B, V): no time in it.

    It is Dense without a bias on onehot(x_nt), computed by looking up: a ray is the vector of one word, and a
    word that is dropped is dropped wherever it stands in the sequence (Gal and Ghahramani, arXiv 1512.05287,
    section 4.2).

    x (B, T) holds the numbers of words, 0 ... V - 1, or -1 where there is none: that row of f is NaN.

    vocabulary: V, words; at most 2^24.
    width: D, numbers for each word.
    noise: of z, as for nn.Dense.
    """

    vocabulary: int
    width: int
    noise: Noise = field(default_factory=Delta)
    place = Inputs()
    noisy_params = ("M",)
    words = True

    def __post_init__(self):
        settle(self, vocabulary=require.integer("vocabulary", self.vocabulary, 1, MOST_WORDS),
               width=require.integer("width", self.width, 1))
        if check_noise(self.noise).of_weights:
            raise require.InputError("noise of an Embedding drops or scales whole words: nn.Bernoulli(keep), "
                                     f"nn.Gaussian(variance); got {self.noise!r}")

    def param_shapes(self) -> dict:
        return {"M": (self.width, self.vocabulary)}

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        """E[W] = E[z] M of variance 1: of the inputs, one is 1 and the others 0."""
        mean = float(np.mean(self.noise.moments(self.start_noise(np.float64))[0]))
        return {"M": initial(rng, self.param_shapes()["M"], 1, 1, "lecun", mean, dtype)}

    def input_shape(self) -> tuple:
        return (None,)

    def output_shape(self, shape: tuple) -> tuple:
        if len(shape) != 1:
            raise ShapeError("takes the numbers of words, (T,)", shape)
        return (*shape, self.width)

    def noise_shape(self, shape: tuple, shared: bool = False) -> tuple:
        return (self.vocabulary,)

    def check_inputs(self, name: str, x: np.ndarray) -> None:
        low, high = x.min(), x.max()
        if not (x == np.floor(x)).all():
            bad = x[x != np.floor(x)]
            raise require.InputError(f"{name} must be the whole numbers of words, got {bad.flat[0]:g}")
        if low < PADDING or high >= self.vocabulary:
            raise require.InputError(f"{name} must be words in 0..{self.vocabulary - 1} (the vocabulary has "
                                     f"{self.vocabulary}), or -1 where there is none, got numbers from "
                                     f"{low:.0f} to {high:.0f}")
        if (empty := (x == PADDING).all(axis=1)).any():
            raise require.InputError(f"{name} must have a word in every sequence, got none in "
                                     f"{name}[{np.flatnonzero(empty)[0]}]")

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        self.check_inputs("x", x)
        there, w = x != PADDING, np.maximum(x, 0).astype(np.int64)
        z_w = of_words(z, w)                            # z_nw, w = x_nt                (B, T, 1)
        f = params["M"].T[w]                            # M onehot(x_nt): a column      (B, T, D)
        f = f * np.asarray(z_w, f.dtype)                # M diag(z_n) onehot(x_nt)
        f[~there] = np.nan
        return f, (there, w, z, z_w)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        there, w, z, z_w = cache
        M, df = params["M"], np.where(there[..., None], df, 0)
        rows = (df * np.asarray(z_w, df.dtype)).reshape(-1, len(M))     # z_nw delta_nt
        order = np.argsort(w, axis=None, kind="stable")  # all places of a word side by side
        own, starts = np.unique(w.reshape(-1)[order], return_index=True)
        dM = np.zeros(M.shape, df.dtype)                # sum_nt z_nw delta_nt onehot(x_nt)^T
        dM[:, own] = np.add.reduceat(rows[order], starts, axis=0).T     #               (D, V)
        grads = {"M": dM}
        if self.noise.learned:
            dz = np.zeros((len(w), self.vocabulary), df.dtype)
            np.add.at(dz, (np.arange(len(w))[:, None], w), (df * M.T[w]).sum(axis=-1))  # M_w . delta_nt
            grads["z"] = sum_to(dz, z.shape)            #                               as z
        return np.zeros(w.shape, df.dtype), grads       # a word has no derivative

    def weights(self, params: dict, z: np.ndarray | None = None) -> dict:
        """omega-hat itself, {"W"}: M diag(z_n) for each row of z; M where there is no noise."""
        M = params["M"]
        return {"W": M * np.asarray(z)[:, None, :] if self.noisy else M.copy()}


def of_words(z: np.ndarray | int, w: np.ndarray) -> np.ndarray | int:
    """z_nw for the words w (B, T), from z (B or 1, V or 1): (B, T, 1)."""
    if np.ndim(z) == 0:
        return z
    rows = np.arange(len(w))[:, None] if len(z) > 1 else np.zeros((1, 1), np.int64)
    return z[rows, w if z.shape[1] > 1 else 0 * w][..., None]
