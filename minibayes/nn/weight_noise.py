"""M o z, or N(E[z] M, Var[z] M^2): noise on every weight, drawn as it is or at the outputs.

Places like those of place.py: the rows, shapes and helpers are explained there.
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

    The plain form keeps all of z, B K D numbers, and refuses more than 2^26.
    """

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        return first_shape(layer)

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
        W = times(M, z.reshape(len(z), *M.shape))                       # M o z_n       (B, K, D)
        y = x.reshape(len(x), -1, x.shape[-1]) @ W.transpose(0, 2, 1)   # W_n x_n       (B, P, K)
        return y.reshape(*x.shape[:-1], len(M)) + b, (x, z, W)

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        M = matrix(params["M"])
        x, z, W = cache
        if none(z):
            return linear(df, M.T), {"M": outer(df, x), "b": total(df)}
        deltas, rows = df.reshape(len(df), -1, len(M)), x.reshape(len(x), -1, x.shape[-1])
        dW = deltas.transpose(0, 2, 1) @ rows                           # delta_n x_n^T     (B, K, D)
        dM = times(dW, z.reshape(len(z), *M.shape)).sum(axis=0)         # sum_n z_n o dW_n  (K, D)
        grads = {"M": dM, "b": total(df)}
        if layer.noise.learned:
            dz = (dW * M).reshape(len(dW), *z.shape[1:])                # M o dW_n
            grads["z"] = sum_to(dz, z.shape)                            #                   as z
        return (deltas @ W).reshape(x.shape), grads                     # W_n^T delta_n     (B, ..., D)

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        M = matrix(params["M"])
        W = M * z.reshape(len(z), *M.shape)                             # M o z_n           (B, K, D)
        return {"W": W, "b": params["b"].copy()}


@dataclass(frozen=True)
class Local(Place):
    """f_n = E[z] M x_n + b + sqrt(Var[z] M^2 x_n^2) o e_n, e ~ N(0, 1): W ~ N(E[z] M, Var[z] M^2), summed up.

    The local reparameterisation of Kingma, Salimans and Welling (arXiv 1506.02557): for one example the same
    distribution as Weights with the same normal noise, at the cost of a second product instead of K D
    numbers. Each output of each place and example draws anew, so two inputs do not see one omega; where they
    must (shared=True), e has the shape of M and W = M o (E[z] + std e) itself is drawn.

    The noise must be normal, with a mean that is not learned (`noise.local`). Here z is e: 0 is E[W], and phi
    acts through Var[z].
    """

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
            return linear(x, M) + b, (x, z, None)
        mean, std = self._mean_and_std(layer, params)
        if z.ndim > x.ndim:                             # one omega for all: e is shaped like M
            W = M * (mean + std * z.reshape(M.shape))   # E[z] M + std M o e            (K, D)
            return linear(x, W) + b, (x, z, W)
        S = np.sqrt(linear(x * x, (std * M) ** 2))      # of W x_n, standard deviation  (B, ..., K)
        return linear(x, mean * M) + b + S * z, (x, z, S)

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        M = matrix(params["M"])
        x, z, saved = cache                             # W where one omega serves all, else S
        if none(z):
            return linear(df, M.T), {"M": outer(df, x), "b": total(df)}
        mean, std = self._mean_and_std(layer, params)
        if z.ndim > x.ndim:
            e, dW = z.reshape(M.shape), outer(df, x)    # sum_n delta_n x_n^T           (K, D)
            dM, dstd = dW * (mean + std * e), dW * M * e
            dx = linear(df, saved.T)                    # W^T delta_n                   (B, ..., D)
        else:
            half = np.divide(0.5, saved, out=np.zeros_like(saved), where=saved > 0)
            g = df * z * half                           # dL/dS^2 = delta_n e_n/(2 S)   (B, ..., K)
            dS2 = outer(g, x * x)                       # dL/d(std^2 M^2)               (K, D)
            dM, dstd = mean * outer(df, x) + 2 * std**2 * M * dS2, 2 * std * M**2 * dS2
            dx = linear(df, mean * M.T) + 2 * x * linear(g, ((std * M) ** 2).T)
        grads = {"M": dM, "b": total(df)}
        if layer.noise.learned:
            grads["z"] = dstd.reshape(1, *first_shape(layer))
        return dx, grads

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        """Only where e has the shape of M: drawn at the outputs, the weights themselves never exist."""
        M = matrix(params["M"])
        mean, std = self._mean_and_std(layer, params)
        if z.ndim != 1 + len(first_shape(layer)):
            raise require.InputError("place Local draws at the outputs, so there is no matrix of weights: "
                                     "sample with shared=True")
        return {"W": M * (mean + std * z.reshape(len(z), *M.shape)), "b": params["b"].copy()}

    def _mean_and_std(self, layer: Layer, params: dict) -> tuple:
        """E[z] and the standard deviation of z, as numbers or (K, D)."""
        mean, second = layer.noise.moments(layer.phi(params))
        std, dtype = np.sqrt(second - mean * mean), params["M"].dtype
        std = np.reshape(std, ()) if np.size(std) == 1 else matrix(std)
        return dtype.type(mean), std.astype(dtype)
