"""y_nijk = z_nijk (M_k . patch_nij + b_k), y = max over a window: convolution and pooling, channels last."""

from dataclasses import dataclass, field, replace

import numpy as np

from .. import kernels, require
from ..own import settle
from .initial import INITS
from .layers import Layer, Linear, ShapeError
from .noise import Delta, Noise
from .place import Outputs, Place, linear


@dataclass(frozen=True)
class Conv2d(Linear):
    """y_nijk = z_nijk (M_k . patch_nij + b_k): one z per kernel-patch pair, bias included.

    The row (M_k, b_k) times z_nijk is the poster's W = M diag(z) for the inner product of kernel k with patch
    (i, j): dropout *after* the convolution and before pooling (arXiv 1506.02158, section 3).
    M (C_out, kh, kw, C_in), b (C_out,).

    c_in: channels of the images.
    c_out: channels of the responses, one for each kernel.
    kernel: pixels; it is square.
    stride: pixels, 1 by default.
    padding: pixels of zeros around the image, 0 by default.
    noise: of z, as for nn.Dense.
    noise_per: "patch" (by default), one z per kernel and patch, z (B, Ho, Wo, C_out);
               "kernel", one z per kernel and image, z (B, 1, 1, C_out).
    init_scheme: of M, "xavier" (by default), "he" or "lecun"; b starts at 0.
    place: nn.Outputs() by default, as above; nn.Weights(), one kernel per image; nn.Local(), the default for
           normal noise on single weights: see `nn.place`.
    """

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    noise: Noise = field(default_factory=Delta)
    noise_per: str = "patch"
    init_scheme: str = "xavier"
    place: Place | None = None
    spatial = 2

    def __post_init__(self):
        for name, low in (("c_in", 1), ("c_out", 1), ("kernel", 1), ("stride", 1), ("padding", 0)):
            settle(self, **{name: require.integer(name, getattr(self, name), low)})
        settle(self, noise_per=require.choice("noise_per", self.noise_per, ("patch", "kernel")),
               init_scheme=require.choice("init_scheme", self.init_scheme, INITS))
        self.settle_noise(Outputs(), images=True)

    def param_shapes(self) -> dict:
        return {"M": (self.c_out, self.kernel, self.kernel, self.c_in), "b": (self.c_out,)}

    def fans(self) -> tuple[int, int]:
        return self.kernel**2 * self.c_in, self.kernel**2 * self.c_out

    def of_size(self, inputs: int, outputs: int) -> "Conv2d":
        return replace(self, c_in=inputs, c_out=outputs)

    def flops(self, shape: tuple) -> int:
        return 2 * self.kernel**2 * self.c_in * int(np.prod(self.output_shape(shape)))

    def input_shape(self) -> tuple:
        return (None, None, self.c_in)

    def output_shape(self, shape: tuple) -> tuple:
        if len(shape) != 3 or shape[2] != self.c_in:
            raise ShapeError(f"takes images of shape (H, W, {self.c_in})", shape)
        size = (window_count(pixels, self.kernel, self.stride, self.padding) for pixels in shape[:2])
        return (*size, self.c_out)

    def response_noise_shape(self, shape: tuple) -> tuple:
        return self.output_shape(shape) if self.noise_per == "patch" else (1, 1, self.c_out)

    @property
    def one_z_per_response(self) -> bool:
        return self.noisy and self.place == Outputs() and self.noise_per == "patch"

    def patches(self, x: np.ndarray) -> np.ndarray:
        """rows[n, i, j] = patch (i, j) of image n.                             (B, Ho, Wo, kh*kw*C_in)"""
        k = self.kernel
        rows = np.empty((len(x), *self.output_shape(x.shape[1:])[:2], k * k * self.c_in), x.dtype)
        kernels.im2col(np.ascontiguousarray(x), k, k, self.stride, self.padding, rows)
        return rows

    def respond(self, params: dict, x: np.ndarray) -> tuple:
        """The response before the noise, M_k . patch_nij + b_k, and the patches it was made from."""
        rows = self.patches(x)
        return linear(rows, params["M"].reshape(self.c_out, -1)) + params["b"], rows    # (B, Ho, Wo, C_out)

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        y, cache = self.place.forward(self, params, self.patches(x), z)                # (B, Ho, Wo, C_out)
        return y, (cache, x.shape)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        cache, shape = cache
        drows, grads = self.place.backward(self, params, cache, df)
        grads["M"] = grads["M"].reshape(params["M"].shape)
        dx = np.empty(shape, df.dtype)                  # each pixel gathers from the patches it was in
        kernels.col2im(np.ascontiguousarray(drows), self.kernel, self.kernel, self.stride, self.padding, dx)
        return dx, grads


@dataclass(frozen=True)
class MaxPool2d(Layer):
    """y_nijc = max over a size x size window of x. Of equal maxima, the first in reading order.

    size: pixels of the window's side.
    stride: pixels; `size` by default, windows side by side. A window that does not fit is left out.
    """

    size: int
    stride: int | None = None

    def __post_init__(self):
        stride = self.size if self.stride is None else self.stride
        settle(self, size=require.integer("size", self.size, 1, 255),
               stride=require.integer("stride", stride, 1))

    def input_shape(self) -> tuple:
        return (None, None, None)

    def output_shape(self, shape: tuple) -> tuple:
        return pooled_shape(self, shape)

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        shape = (len(x), *self.output_shape(x.shape[1:]))
        y, arg = np.empty(shape, x.dtype), np.empty(shape, np.uint16)
        kernels.max_pool(np.ascontiguousarray(x), self.size, self.stride, y, arg)
        return y, (arg, x.shape)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        arg, shape = cache
        dx = np.empty(shape, df.dtype)                  # dL/dx: df goes to the (first) argmax of its window
        kernels.max_pool_backward(np.ascontiguousarray(df), arg, self.size, self.stride, dx)
        return dx, {}

    def origin(self, shape: tuple) -> np.ndarray:
        return np.arange(shape[-1])

    def expected(self, noise: Noise, y: np.ndarray) -> np.ndarray:
        """E[max over the window of z y], one z per number of y (N, H, W, C)."""
        return noise.expected_max(y, self.size, self.stride)


def pooled_shape(pool: Layer, shape: tuple) -> tuple:
    """An image's shape after a pooling with `size` and `stride`: (P, Q, C)."""
    if len(shape) != 3:
        raise ShapeError("takes images of shape (H, W, C)", shape)
    return tuple(window_count(size, pool.size, pool.stride, 0) for size in shape[:2]) + shape[2:]


def window_count(size: int, kernel: int, stride: int, padding: int) -> int:
    """floor((size + 2 padding - kernel)/stride) + 1: how many windows fit into `size` pixels."""
    count = (size + 2 * padding - kernel) // stride + 1
    if count < 1:
        raise ShapeError(f"a window of {kernel} does not fit into {size} pixels with padding {padding}")
    return count
