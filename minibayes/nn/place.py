"""W = M diag(z), diag(z) M, M o z or N(E[z] M, Var[z] M^2): where z acts; the derivative under each.

A linear layer is a way to make rows of numbers (a dense layer's inputs, a convolution's patches) times a
place. A ray is the set of numbers in M (and b) that share one z.

    Inputs     f_n = M diag(z_n) x_n + b       a ray is a column of M                     z like the inputs
    Outputs    f_n = diag(z_n) (M x_n + b)     a ray is a row (M_k, b_k)                  z like the outputs
    Weights    f_n = (M o z_n) x_n + b         a ray is a single weight (DropConnect)     z like M
    Local      f_n, normal, of that mean and variance, drawn at the outputs               e like the outputs
    Flipout    f_n = (M + z_n) x_n + b, z_n = T(phi, e o r_n t_n^T), signs r_n, t_n        z like M

The last three are in weight_noise.py and flipout.py; there additive noise may act too, W = M + z_n.

Rows are (B, ..., D), what comes out (B, ..., K), with as many axes between as the layer has places in an
image (none for a dense layer). M (K, D) is the layer's M with a row per output; a layer without noise is
called with z = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..registry import Registered, check
from .key import Key, Rows
from .learned import sum_to
from .noise import Noise

if TYPE_CHECKING:  # layers.py looks at this file
    from .layers import Layer


def times(x: np.ndarray, z: np.ndarray | int | None) -> np.ndarray:
    """x * z in the dtype of x; z = 1 is no noise and costs nothing."""
    return x if none(z) else np.multiply(x, z, dtype=x.dtype, casting="same_kind")


def none(z: np.ndarray | int | None) -> bool:
    """Whether z is the 1 that stands for no noise."""
    return z is None or (np.isscalar(z) and z == 1)


def at_each_step(z: np.ndarray | int, x: np.ndarray) -> np.ndarray | int:
    """z (B, D) for rows x (B, T, D): the same at every step of a sequence, (B, 1, D)."""
    return z if none(z) or z.ndim >= x.ndim else z.reshape(len(z), *(1,) * (x.ndim - z.ndim), *z.shape[1:])


def linear(rows: np.ndarray, M: np.ndarray) -> np.ndarray:
    """M x for every row x, in one product.     (..., D) -> (..., K)"""
    return (rows.reshape(-1, rows.shape[-1]) @ M.T).reshape(*rows.shape[:-1], len(M))


def outer(df: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """sum_n df_n x_n^T.     (..., K), (..., D) -> (K, D)"""
    return df.reshape(-1, df.shape[-1]).T @ rows.reshape(-1, rows.shape[-1])


def total(df: np.ndarray) -> np.ndarray:
    """sum_n df_n.     (..., K) -> (K,)"""
    return df.reshape(-1, df.shape[-1]).sum(axis=0)


class Place(Registered, kind="place"):
    """Where z acts. `layer` is asked for its noise and its shapes."""

    noisy = ("M",)  # the parameters inside the noise
    by_weight = False  # whether each weight is a ray of its own
    of_sequences = True  # whether one z acts on all steps of a sequence

    def check(self, noise: Noise, images: bool) -> None:
        """An error if this noise cannot act here; images: in a convolution."""
        if noise.of_weights:
            raise require.InputError(f"place must be nn.Local() or nn.Weights() for noise on single weights "
                                     f"such as {noise!r}, got {self!r}")

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        """z's shape for one example of `shape`."""
        raise NotImplementedError

    def shared_shape(self, layer: Layer, shape: tuple) -> tuple:
        """The same where one omega serves all examples."""
        return self.noise_shape(layer, shape)

    def units(self, layer: Layer) -> tuple:
        """The shape of one number per ray, with as many axes as one example's z: that of phi and E[z]."""
        raise NotImplementedError

    def along(self, a: np.ndarray | float, array: np.ndarray) -> np.ndarray | float:
        """`a`, one number or one per ray (see `units`), in a form that multiplies the parameter `array`."""
        return a

    def squares(self, arrays: list) -> np.ndarray:
        """||ray||^2 of every ray; `arrays`: the parameters inside the noise."""
        raise NotImplementedError

    def draw(self, noise: Noise, key: Key, shape: tuple, rows: Rows) -> np.ndarray:
        """eps of `shape`, (R, ...)."""
        return noise.draw(key, shape, rows)

    def z(self, noise: Noise, phi: dict, eps: np.ndarray) -> np.ndarray:
        """T(phi, eps)."""
        return noise.z(phi, eps)

    def pull(self, noise: Noise, phi: dict, eps: np.ndarray, dz: np.ndarray) -> dict:
        """dL/dphi."""
        return noise.pull(phi, eps, dz)

    def dz_shape(self, layer: Layer, z_shape: tuple) -> tuple:
        """The shape of what backward gives as "z"."""
        return z_shape

    def points(self, noise: Noise, order: int) -> tuple:
        """(values, weights) of one eps: see `Noise.points`."""
        return noise.points(order)

    def mean(self, layer: Layer, phi: dict, dtype: DTypeLike) -> np.ndarray:
        """E[z], for one example of any: (1, *units)."""
        return np.full((1, *self.units(layer)), layer.noise.moments(phi)[0], dtype)

    def forward(self, layer: Layer, params: dict, x: np.ndarray, z: np.ndarray | int) -> tuple:
        """(f, cache) for rows x."""
        raise NotImplementedError

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        """(dL/dx, {"M": (K, D), "b": (K,)}) and, where the noise learns, "z": dL/dz in the shape of z."""
        raise NotImplementedError

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        """omega-hat itself, {"W", "b"}, for each row of z."""
        raise NotImplementedError


@dataclass(frozen=True)
class Inputs(Place):
    """f_n = M (z_n o x_n) + b = W_n x_n + b, W_n = M diag(z_n): the poster's.  z (B, D), or (1, D) shared."""

    def check(self, noise: Noise, images: bool) -> None:
        super().check(noise, images)
        if images:
            raise require.InputError("place must be nn.Outputs(), nn.Weights() or nn.Local() in a "
                                     "convolution, got Inputs(): to drop input channels, put the noise on "
                                     "the outputs of the convolution before")

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        return shape

    def units(self, layer: Layer) -> tuple:
        return (first_shape(layer)[-1],)

    def squares(self, arrays: list) -> np.ndarray:
        flat = [a.reshape(-1, a.shape[-1]) for a in arrays]
        return sum(np.einsum("kd,kd->d", a, a) for a in flat)                           # (D,)

    def forward(self, layer: Layer, params: dict, x: np.ndarray, z: np.ndarray | int) -> tuple:
        M, b = matrix(params["M"]), params["b"]
        xz = times(x, at_each_step(z, x))               # diag(z_n) x_n                 (B, D)
        return linear(xz, M) + b, (x, xz, z)            # M diag(z_n) x_n + b           (B, K)

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        M = matrix(params["M"])
        x, xz, z = cache
        grads = {"M": outer(df, xz),                    # sum_n delta_n (z_n o x_n)^T   (K, D)
                 "b": total(df)}                        # sum_n delta_n                 (K,)
        dxz = linear(df, M.T)                           # M^T delta_n                   (B, D)
        if layer.noise.learned:
            dz = sum_to(dxz * x, at_each_step(z, x).shape)              # x_n o M^T delta_n
            grads["z"] = dz.reshape(z.shape)            #                               as z
        return times(dxz, at_each_step(z, x)), grads    # diag(z_n) M^T delta_n         (B, D)

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        W = params["M"] * z[:, None, :]                 # M diag(z_n)                   (B, K, D)
        return {"W": W, "b": params["b"].copy()}


@dataclass(frozen=True)
class Outputs(Place):
    """f_n = z_n o (M x_n + b): one z per inner product, bias included.  z as f, or with 1 where shared."""

    noisy = ("M", "b")

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        return layer.response_noise_shape(shape)

    def units(self, layer: Layer) -> tuple:
        return (*(1,) * layer.spatial, first_shape(layer)[0])

    def along(self, a: np.ndarray | float, array: np.ndarray) -> np.ndarray | float:
        return a if np.size(a) == 1 else np.reshape(a, (-1, *(1,) * (array.ndim - 1)))

    def squares(self, arrays: list) -> np.ndarray:
        return sum(np.einsum("kd,kd->k", a, a) for a in map(matrix, arrays))           # (K,)

    def forward(self, layer: Layer, params: dict, x: np.ndarray, z: np.ndarray | int) -> tuple:
        M, b = matrix(params["M"]), params["b"]
        y = linear(x, M) + b                            # M x_n + b                     (B, ..., K)
        return times(y, at_each_step(z, y)), (x, y if layer.noise.learned else None, z)

    def backward(self, layer: Layer, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        M = matrix(params["M"])
        x, y, z = cache
        dy = times(df, at_each_step(z, df))             # z_n o delta_n                 (B, ..., K)
        grads = {"M": outer(dy, x),                     # sum_n (z_n o delta_n) x_n^T   (K, D)
                 "b": total(dy)}                        # sum_n z_n o delta_n           (K,)
        if layer.noise.learned:
            dz = sum_to(df * y, at_each_step(z, y).shape)               # (M x_n + b) o delta_n
            grads["z"] = dz.reshape(z.shape)            #                               as z
        return linear(dy, M.T), grads                   # M^T (z_n o delta_n)           (B, ..., D)

    def weights(self, layer: Layer, params: dict, z: np.ndarray) -> dict:
        W = matrix(params["M"]) * z[..., None]          # diag(z_n) M                   (B, ..., K, D)
        return {"W": W, "b": params["b"] * z}           # diag(z_n) b                   (B, ..., K)


def matrix(M: np.ndarray) -> np.ndarray:
    """A row per output unit.     (K, ...) -> (K, D)"""
    return M.reshape(len(M), -1)


def first_shape(layer: Layer) -> tuple:
    """The shape of the first parameter inside the noise: M's."""
    if not layer.noisy_params:
        raise require.InputError(f"{type(layer).__name__} has noise, so it must have noisy_params, the "
                                 "names of the parameters that z multiplies")
    return layer.param_shapes()[layer.noisy_params[0]]


def check_place(place: object, noise: Noise, images: bool = False) -> Place:
    """`place` if z can act there."""
    check("place", place, Place, "nn.Inputs(), nn.Outputs(), nn.Weights(), nn.Local() or nn.Flipout()")
    place.check(noise, images)
    return place
