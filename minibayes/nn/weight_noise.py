"""M o z or M + z, or the normal law of either: noise on every weight, drawn as it is or at the outputs.

Places like those of place.py: the rows, shapes and helpers are explained there. Additive noise, W = M + z, is
the other reading of z: its derivative is dW for both, where that of W = M o z is z o dW and M o dW.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from .key import Key, Rows
from .learned import sum_to
from .noise import Noise, normal_points
from .place import Place, first_shape, linear, matrix, none, outer, times, total

if TYPE_CHECKING:
    from .layers import Layer

LARGEST = 2**26  # numbers in one array of plain noise per weight: 256 MB in float32


@dataclass(frozen=True)
class Weights(Place):
    """f_n = (M o z_n) x_n + b: DropConnect (Wan et al. 2013).  z (B, *M's shape), or (1, ...) shared by all.

    With additive noise f_n = (M + z_n) x_n + b: weights drawn directly, one matrix for each example.
    The plain form keeps all of z, B K D numbers, and refuses more than 2^26.
    """

    by_weight = True

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        return first_shape(layer)

    def check(self, noise: Noise, images: bool) -> None:
        """Any noise can."""

    def units(self, layer: Layer) -> tuple:
        return first_shape(layer)

    def squares(self, arrays: list) -> np.ndarray:
        return np.concatenate([(a * a).reshape(-1) for a in arrays])

    def draw(self, noise: Noise, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        if (size := int(np.prod(shape))) > LARGEST:
            raise require.InputError(f"place Weights needs {size} numbers of noise for {shape[0]} examples "
                                     f"at once, at most {LARGEST} are drawn: take smaller batches, or "
                                     "place=Local()")
        return noise.draw(key, shape, rows)

    def forward(self, layer: Layer, params: dict, x: np.ndarray, z: np.ndarray | int) -> tuple:
        M, b = matrix(params["M"]), params["b"]
        if none(z):
            return linear(x, M) + b, (x, z, None)
        W = weights(layer, M, z)                                        # M o z_n       (B, K, D)
        y = x.reshape(len(W), -1, x.shape[-1]) @ W.transpose(0, 2, 1)   # W_n x_n       (B, P, K)
        return y.reshape(*x.shape[:-1], len(M)) + b, (x, z, W)

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        M = matrix(params["M"])
        x, z, W = cache
        if none(z):
            return linear(df, M.T), {"M": outer(df, x), "b": total(df)}
        deltas, rows = df.reshape(len(W), -1, len(M)), x.reshape(len(W), -1, x.shape[-1])
        dW = deltas.transpose(0, 2, 1) @ rows                           # delta_n x_n^T     (B, K, D)
        dM, dz = dW, dW                                                 # W_n = M + z_n
        if not layer.noise.additive:
            dM = times(dW, z.reshape(len(z), *M.shape))                 # z_n o dW_n
            dz = dW * M if layer.noise.learned else None                # M o dW_n
        grads = {"M": dM.sum(axis=0), "b": total(df)}                   # sum_n             (K, D)
        if layer.noise.learned:
            grads["z"] = sum_to(dz.reshape(len(dW), *z.shape[1:]), z.shape)                 # as z
        return (deltas @ W).reshape(x.shape), grads                     # W_n^T delta_n     (B, ..., D)

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        W = weights(layer, matrix(params["M"]), z)                      # M o z_n           (B, K, D)
        return {"W": W, "b": params["b"].copy()}


def weights(layer: Layer, M: np.ndarray, z: np.ndarray) -> np.ndarray:
    """M o z_n, or M + z_n, for each row of z.     (B, K, D)"""
    z = z.reshape(len(z), *M.shape)
    return M + z if layer.noise.additive else times(M, z)


@dataclass(frozen=True)
class Local(Place):
    """f_n = A x_n + b + sqrt(C^2 x_n^2) o e_n, e ~ N(0, 1): W ~ N(A, C^2), summed up.

    A = E[z] M, C = sqrt(Var[z]) M; for additive noise A = M, C = sqrt(Var[z]).

    The local reparameterisation of Kingma, Salimans and Welling (arXiv 1506.02557): for one example the same
    distribution as Weights with the same normal noise, at the cost of a second product instead of K D
    numbers. Each output of each place and example draws anew, so two inputs do not see one omega; where they
    must (shared=True), e has the shape of M and W = A + C o e itself is drawn. b is outside the noise: it is
    in the mean alone.

    The noise must be normal, with a mean that is not learned (`noise.local`). Here z is e: 0 is E[W], and phi
    acts through Var[z].
    """

    by_weight = True
    of_sequences = False  # each step would draw anew

    def check(self, noise: Noise, images: bool) -> None:
        if noise.random and not noise.local:
            raise require.InputError("place Local needs normal noise, such as nn.Gaussian(variance), "
                                     f"got {noise!r}")

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        return layer.output_shape(shape)

    def shared_shape(self, layer: Layer, shape: tuple) -> tuple:
        return first_shape(layer)

    def units(self, layer: Layer) -> tuple:
        return first_shape(layer)

    def squares(self, arrays: list) -> np.ndarray:
        return np.concatenate([(a * a).reshape(-1) for a in arrays])

    def draw(self, noise: Noise, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        return key.normal(shape, rows)

    def z(self, noise: Noise, phi: dict, eps: np.ndarray) -> np.ndarray:
        return eps

    def pull(self, noise: Noise, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        return noise.pull(phi, np.ones_like(dz), dz)    # dz is dL/dstd: std = T(phi, 1) - T(phi, 0)

    def dz_shape(self, layer: Layer, z_shape: tuple) -> tuple:
        return (1, *first_shape(layer))

    def points(self, noise: Noise, order: int) -> tuple:
        return normal_points(order)

    def mean(self, layer: Layer, phi: dict, dtype: DTypeLike) -> np.ndarray:
        return np.zeros((1,) * (2 + layer.spatial), dtype)

    def forward(self, layer: Layer, params: dict, x: np.ndarray, z: np.ndarray | int) -> tuple:
        M, b = matrix(params["M"]), params["b"]
        if none(z):
            return linear(x, M) + b, (x, z, None, None)
        law = self._law(layer, params)
        A, C = law[2:]
        if z.ndim > x.ndim:                             # one omega for all: e is shaped like M
            W = A + C * z.reshape(M.shape)              # A + C o e                     (K, D)
            return linear(x, W) + b, (x, z, W, law)
        S = np.sqrt(linear(x * x, C * C))               # of W x_n, standard deviation  (B, ..., K)
        return linear(x, A) + b + S * z, (x, z, S, law)

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        M = matrix(params["M"])
        x, z, saved, law = cache                        # W where one omega serves all, else S
        if none(z):
            return linear(df, M.T), {"M": outer(df, x), "b": total(df)}
        mean, sd, A, C = law
        if z.ndim > x.ndim:
            dA = outer(df, x)                           # sum_n delta_n x_n^T           (K, D)
            dC = dA * z.reshape(M.shape)                # dW o e
            dx = linear(df, saved.T)                    # W^T delta_n                   (B, ..., D)
        else:
            half = np.divide(0.5, saved, out=np.zeros_like(saved), where=saved > 0)
            g = df * z * half                           # dL/dS^2 = delta_n e_n/(2 S)   (B, ..., K)
            dA, dC = outer(df, x), 2 * C * outer(g, x * x)
            dx = linear(df, A.T) + 2 * x * linear(g, (C * C).T)
        noise, grads = layer.noise, {"M": dA, "b": total(df)}
        if not noise.additive:                          # A = E[z] M, C = sd M
            grads["M"] = mean * dA + sd * dC
            dC = M * dC
        if noise.learned:
            grads["z"] = dC.reshape(1, *first_shape(layer))     # dL/dsd
        return dx, grads

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        """Only where e has the shape of M: drawn at the outputs, the weights themselves never exist."""
        A, C = self._law(layer, params)[2:]
        if z.ndim != 1 + len(first_shape(layer)):
            raise require.InputError("place Local draws at the outputs, so there is no matrix of weights: "
                                     "sample with shared=True")
        return {"W": A + C * z.reshape(len(z), *A.shape), "b": params["b"].copy()}

    def _law(self, layer: Layer, params: dict) -> tuple:
        """E[z] and sd of z, numbers or (K, D); A and C, (K, D), means and deviations of W up to C's sign."""
        noise, M = layer.noise, matrix(params["M"])
        sd = np.asarray(noise.sd(layer.phi(params)))
        sd = (sd.reshape(()) if sd.size == 1 else matrix(sd)).astype(M.dtype)
        mean = M.dtype.type(noise.mean)                 # not learned
        if noise.additive:
            return mean, sd, M + mean if mean else M, np.broadcast_to(sd, M.shape)
        return mean, sd, mean * M, sd * M
