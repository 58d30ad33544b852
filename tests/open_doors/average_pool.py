"""y = the mean over windows of size x size pixels, side by side: a layer that changes the shape."""

from dataclasses import dataclass

import numpy as np

from minibayes import nn


@dataclass(frozen=True)
class MeanPool(nn.Layer):
    size: int = 2

    def output_shape(self, shape):
        if len(shape) != 3 or shape[0] % self.size or shape[1] % self.size:
            raise nn.ShapeError(f"takes images whose sides are multiples of {self.size}", shape)
        return shape[0] // self.size, shape[1] // self.size, shape[2]

    def forward(self, params, x, z=1):
        H, W, C = self.output_shape(x.shape[1:])
        return x.reshape(len(x), H, self.size, W, self.size, C).mean(axis=(2, 4)), None

    def backward(self, params, cache, df):
        dx = np.repeat(np.repeat(df, self.size, axis=1), self.size, axis=2)
        return dx / self.size**2, {}                                # each pixel is 1/size^2 of its mean
