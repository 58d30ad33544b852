"""y = x where x > 0, slope x elsewhere: a layer without weights."""

from dataclasses import dataclass

import numpy as np

from minibayes import nn


@dataclass(frozen=True)
class LeakyReLU(nn.Layer):
    slope: float = 0.1

    def forward(self, params, x, z=1):
        return np.where(x > 0, x, self.slope * x), x > 0

    def backward(self, params, cache, df):
        return np.where(cache, df, self.slope * df), {}             # dy/dx = 1, or slope
