"""W = M diag(z), diag(z) M, M o z or N(E[z] M, Var[z] M^2): where the noise acts in a layer of weights, and the derivative under it.

A linear layer is a way to make rows of numbers (a dense layer's inputs, a convolution's patches) times a place:

    Inputs     f_n = M diag(z_n) x_n + b           a ray, what shares one z, is a column of M              z like the inputs
    Outputs    f_n = diag(z_n) (M x_n + b)         a ray is a row (M_k, b_k)                               z like the outputs
    Weights    f_n = (M o z_n) x_n + b             a ray is a single weight (DropConnect)                  z like M
    Local      f_n ~ the same sum, drawn at the outputs: normal noise on each weight                       e like the outputs

The last two are in weight_noise.py.

Rows are (B, ..., D), what comes out (B, ..., K), with as many axes between as the layer has places in an image (none for a dense layer).
M (K, D) is the layer's M with a row per output; a layer without noise is called with z = 1.
"""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..registry import Registered, check
from .learned import sum_to


def times(x: np.ndarray, z) -> np.ndarray:
    """x * z in the dtype of x; z = 1 is no noise and costs nothing."""
    return x if none(z) else np.multiply(x, z, dtype=x.dtype, casting="same_kind")


def none(z) -> bool:
    """Whether z is the 1 that stands for no noise."""
    return z is None or (np.isscalar(z) and z == 1)


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

    def check(self, noise, images: bool):
        """An error if this noise cannot act here; images: in a convolution."""

    def noise_shape(self, layer, shape: tuple) -> tuple:
        """z's shape for one example of `shape`."""
        raise NotImplementedError

    def shared_shape(self, layer, shape: tuple) -> tuple:
        """The same where one omega serves all examples."""
        return self.noise_shape(layer, shape)

    def units(self, layer) -> tuple:
        """The shape of one number per ray, with as many axes as z has for one example: what phi and E[z] have."""
        raise NotImplementedError

    def along(self, a, array: np.ndarray):
        """Numbers in the shape of `units`, or a single one, in a form that multiplies `array`, a parameter inside the noise."""
        return a

    def squares(self, arrays: list) -> np.ndarray:
        """||ray||^2 of every ray; `arrays`: the parameters inside the noise."""
        raise NotImplementedError

    def draw(self, noise, key, shape: tuple, rows):
        return noise.draw(key, shape, rows)

    def z(self, noise, phi: dict, eps):
        return noise.z(phi, eps)

    def pull(self, noise, phi: dict, eps, dz) -> dict:
        return noise.pull(phi, eps, dz)

    def dz_shape(self, layer, z_shape: tuple) -> tuple:
        """The shape of what backward gives as "z"."""
        return z_shape

    def points(self, noise, order: int) -> tuple:
        """(values, weights) of one eps: see `Noise.points`."""
        return noise.points(order)

    def mean(self, layer, phi: dict, dtype) -> np.ndarray:
        """E[z], for one example of any: (1, *units)."""
        return np.full((1, *self.units(layer)), layer.noise.moments(phi)[0], dtype)

    def forward(self, layer, params: dict, x: np.ndarray, z) -> tuple:
        """(f, cache) for rows x."""
        raise NotImplementedError

    def backward(self, layer, params: dict, cache, df: np.ndarray) -> tuple:
        """(dL/dx, {"M": (K, D), "b": (K,)}) and, where the noise learns, "z": dL/dz in the shape of z."""
        raise NotImplementedError

    def weights(self, layer, params: dict, z: np.ndarray) -> dict:
        """omega-hat itself, {"W", "b"}, for each row of z."""
        raise NotImplementedError


@dataclass(frozen=True)
class Inputs(Place):
    """f_n = M (z_n o x_n) + b = W_n x_n + b with W_n = M diag(z_n): the poster's. z (B, D), or (1, D) shared by all inputs."""

    def check(self, noise, images):
        if images:
            raise require.InputError("place must be nn.Outputs(), nn.Weights() or nn.Local() in a convolution, got Inputs(): to drop "
                                     "input channels, put the noise on the outputs of the convolution before")

    def noise_shape(self, layer, shape: tuple) -> tuple:
        return shape

    def units(self, layer) -> tuple:
        return (first_shape(layer)[-1],)

    def squares(self, arrays: list) -> np.ndarray:
        return sum((a * a).sum(axis=tuple(range(a.ndim - 1))) for a in arrays)                    # (D,)

    def forward(self, layer, params, x, z):
        M, b = matrix(params["M"]), params["b"]
        xz = times(x, z)                                # diag(z_n) x_n                            (B, D)
        return linear(xz, M) + b, (x, xz, z)            # M diag(z_n) x_n + b                      (B, K)

    def backward(self, layer, params, cache, df):
        M, (x, xz, z) = matrix(params["M"]), cache
        grads = {"M": outer(df, xz),                    # sum_n delta_n (z_n o x_n)^T              (K, D)
                 "b": total(df)}                        # sum_n delta_n                            (K,)
        dxz = linear(df, M.T)                           # M^T delta_n                              (B, D)
        if layer.noise.learned:
            grads["z"] = sum_to(dxz * x, z.shape)       # x_n o M^T delta_n                        (B, D)
        return times(dxz, z), grads                     # diag(z_n) M^T delta_n                    (B, D)

    def weights(self, layer, params, z):
        return {"W": params["M"] * z[:, None, :], "b": params["b"].copy()}                        # (B, K, D), (K,)


@dataclass(frozen=True)
class Outputs(Place):
    """f_n = z_n o (M x_n + b): each output, bias included, is one inner product times its z. z as f, or with 1 where it is shared."""

    noisy = ("M", "b")

    def noise_shape(self, layer, shape: tuple) -> tuple:
        return layer.response_noise_shape(shape)

    def units(self, layer) -> tuple:
        return (*(1,) * layer.spatial, first_shape(layer)[0])

    def along(self, a, array: np.ndarray):
        return a if np.size(a) == 1 else np.reshape(a, (-1, *(1,) * (array.ndim - 1)))

    def squares(self, arrays: list) -> np.ndarray:
        return sum((a.reshape(len(a), -1) ** 2).sum(axis=1) for a in arrays)                      # (K,)

    def forward(self, layer, params, x, z):
        M, b = matrix(params["M"]), params["b"]
        y = linear(x, M) + b                            # M x_n + b                                (B, ..., K)
        return times(y, z), (x, y if layer.noise.learned else None, z)

    def backward(self, layer, params, cache, df):
        M, (x, y, z) = matrix(params["M"]), cache
        dy = times(df, z)                               # z_n o delta_n                            (B, ..., K)
        grads = {"M": outer(dy, x),                     # sum_n (z_n o delta_n) x_n^T              (K, D)
                 "b": total(dy)}                        # sum_n z_n o delta_n                      (K,)
        if layer.noise.learned:
            grads["z"] = sum_to(df * y, z.shape)        # (M x_n + b) o delta_n                    as z
        return linear(dy, M.T), grads                   # M^T (z_n o delta_n)                      (B, ..., D)

    def weights(self, layer, params, z):
        return {"W": matrix(params["M"]) * z[..., None], "b": params["b"] * z}                    # (B, ..., K, D), (B, ..., K)


def matrix(M: np.ndarray) -> np.ndarray:
    """A row per output unit.     (K, ...) -> (K, D)"""
    return M.reshape(len(M), -1)


def first_shape(layer) -> tuple:
    """The shape of the first parameter inside the noise: M's."""
    return layer.param_shapes()[layer.noisy_params[0]]


def check_place(place, noise, images: bool = False) -> Place:
    """`place` if z can act there."""
    check("place", place, Place, "nn.Inputs(), nn.Outputs(), nn.Weights() or nn.Local()")
    place.check(noise, images)
    return place
