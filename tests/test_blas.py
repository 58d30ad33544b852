"""Matrix products of compiled code: NumPy's BLAS called by address, and the loops that stand in for it."""

import ctypes

import numpy as np
import pytest
from numba import cfunc, njit, types

from minibayes.kernels import blas


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_matrix_products_of_compiled_code(ta, tb, dtype):
    """NumPy's BLAS, called by address, and the loops that stand in where it is not found, on matrices that are parts of larger ones."""
    real = {np.float32: types.float32, np.float64: types.float64}[dtype]
    loops = cfunc(blas.signature(real))(blas.loops)
    routine = loops.ctypes

    @njit
    def compiled(ta, tb, a, b, beta, c):
        blas.gemm(ta, tb, a, b, beta, c)

    def by_loops(ta, tb, a, b, beta, c):
        m, k = a.shape[::-1] if ta else a.shape
        pointers = [m_.ctypes.data_as(ctypes.POINTER(ctypes.c_float if dtype == np.float32 else ctypes.c_double)) for m_ in (a, b, c)]
        lds = [m_.strides[0] // m_.itemsize for m_ in (a, b, c)]
        routine(101, 112 if ta else 111, 112 if tb else 111, m, c.shape[1], k, 1.0, pointers[0], lds[0], pointers[1], lds[1], beta,
                pointers[2], lds[2])

    rng = np.random.default_rng(0)
    A, B, C = (rng.standard_normal(shape).astype(dtype) for shape in ((7, 5), (5, 3), (7, 3)))
    a, b = np.zeros((5, 9) if ta else (7, 7), dtype), np.zeros((3, 6) if tb else (5, 4), dtype)
    a, b = a[:, :7 if ta else 5], b[:, :5 if tb else 3]
    a[...], b[...] = A.T if ta else A, B.T if tb else B
    for product in (compiled, by_loops, blas.gemm):
        for beta in (0.0, 1.0, -2.0):
            whole = np.full((7, 5), np.nan, dtype)
            c = whole[:, 1:4]
            if beta:
                c[...] = C
            product(ta, tb, a, b, beta, c)
            np.testing.assert_allclose(c, A @ B + (beta * C if beta else 0), rtol=1e-5 if dtype == np.float32 else 1e-13)
            assert np.isnan(whole[:, [0, 4]]).all()
