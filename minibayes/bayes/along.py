"""A gradient along the weights themselves, a factor for each ray: as long as the rays until it is used."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Along:
    """c o param, one c for each ray: a gradient along the weights, which NumPy writes out where it is used.

    factors: c, in a form that broadcasts to param.
    """

    factors: np.ndarray
    param: np.ndarray

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.multiply(self.factors, self.param, dtype=dtype)

    def __mul__(self, number: float) -> "Along":
        return Along(self.factors * number, self.param)

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> "Along":
        return Along(self.factors / number, self.param)

    @property
    def dtype(self) -> np.dtype:
        return self.param.dtype

    @property
    def shape(self) -> tuple:
        return self.param.shape

    def rows(self, rows: slice) -> "Along":
        """The gradient of these rows of param alone."""
        own = self.factors.ndim == self.param.ndim and len(self.factors) > 1
        return Along(self.factors[rows] if own else self.factors, self.param[rows])
