"""A gradient along the weights themselves, a factor for each ray: as long as the rays until it is used."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


@dataclass(frozen=True, eq=False)
class Along(NDArrayOperatorsMixin):
    """c o param, one c for each ray: an array for NumPy, which writes it out where it is used.

    factors: c, in a form that broadcasts to param.
    """

    factors: np.ndarray
    param: np.ndarray

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.multiply(self.factors, self.param, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs, **options) -> object:
        """Times a number it stays what it is; anything else is done to the array."""
        first, *rest = inputs
        if ufunc in (np.multiply, np.divide) and method == "__call__" and not options:
            if first is self and np.ndim(rest[0]) == 0:
                return Along(ufunc(self.factors, rest[0]), self.param)
            if ufunc is np.multiply and np.ndim(first) == 0:
                return Along(ufunc(first, self.factors), self.param)
        whole = [np.asarray(a) if isinstance(a, Along) else a for a in inputs]
        return getattr(ufunc, method)(*whole, **options)

    def __getitem__(self, rows: object) -> object:
        """Some rows of param, a slice, and it stays what it is."""
        if not isinstance(rows, slice):
            return np.asarray(self)[rows]
        own = self.factors.ndim == self.param.ndim and len(self.factors) > 1
        return Along(self.factors[rows] if own else self.factors, self.param[rows])

    @property
    def dtype(self) -> np.dtype:
        return self.param.dtype

    @property
    def shape(self) -> tuple:
        return self.param.shape

    @property
    def ndim(self) -> int:
        return self.param.ndim
