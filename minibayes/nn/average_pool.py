"""y_nijc = the mean over a size x size window of x: pooling that is linear, so weight averaging is exact."""

from dataclasses import dataclass

import numpy as np

from .. import require
from ..own import settle
from .conv import pooled_shape
from .layers import Layer


@dataclass(frozen=True)
class AveragePool2d(Layer):
    """y_nijc = 1/size^2 sum over a size x size window of x.

    size: pixels of the window's side.
    stride: pixels; `size` by default, windows side by side. A window that does not fit is left out.
    """

    size: int
    stride: int | None = None

    def __post_init__(self):
        size = require.integer("size", self.size, 1)
        settle(self, size=size, stride=size if self.stride is None else require.integer(
            "stride", self.stride, 1))

    def input_shape(self) -> tuple:
        return (None, None, None)

    def output_shape(self, shape: tuple) -> tuple:
        return pooled_shape(self, shape)

    def origin(self, shape: tuple) -> np.ndarray:
        return np.arange(shape[-1])

    def offsets(self, shape: tuple) -> list:
        """For each place (a, b) in a window, the pixels x[:, a::stride, b::stride] that stand there."""
        ends = [self.stride * (count - 1) + 1 for count in self.output_shape(shape)[:2]]
        return [(slice(None), slice(a, a + ends[0], self.stride), slice(b, b + ends[1], self.stride))
                for a in range(self.size) for b in range(self.size)]

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        y = np.zeros((len(x), *self.output_shape(x.shape[1:])), x.dtype)
        for pixels in self.offsets(x.shape[1:]):
            y += x[pixels]
        return y * x.dtype.type(1 / self.size**2), x.shape

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        dx = np.zeros(cache, df.dtype)                  # a pixel gathers from every window that it was in
        part = df * df.dtype.type(1 / self.size**2)
        for pixels in self.offsets(cache[1:]):
            dx[pixels] += part
        return dx, {}
