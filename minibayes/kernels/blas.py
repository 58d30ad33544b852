"""c <- op(a) op(b) + beta c for compiled code: the matrix product of the BLAS that NumPy brought along, called without the interpreter.

Found through threadpoolctl and bound by address under names of our own, so that machine code from Numba's on-disk cache finds them again in
the next process. Where NumPy's BLAS has no known entry point, plain loops take those names: the same results, slower. This is the one file
that kernel files import; Numba's cache does not notice a change in it, so empty the cache after one.
"""

import llvmlite.binding
from numba import carray, types
from numba.extending import overload

from .compiling import cfunc
from .library import numpy_blas

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # the CBLAS enumerations
NUMPY = numpy_blas()


def signature(real):
    """void cblas_?gemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)."""
    pointer = types.CPointer(real)
    return types.void(*[types.int32] * 3, *[types.int64] * 3, real, pointer, types.int64, pointer, types.int64, real, pointer, types.int64)


def loops(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """for i, j:  c[i, j] = beta c[i, j] + alpha sum_l a[i, l] b[l, j], with a[l, i] where ta, b[j, l] where tb; beta = 0 overwrites c."""
    A = carray(a, (k if ta == TRANSPOSED else m, lda))
    B = carray(b, (n if tb == TRANSPOSED else k, ldb))
    C = carray(c, (m, ldc))
    for i in range(m):
        for j in range(n):
            C[i, j] = beta * C[i, j] if beta != 0 else 0
        for l in range(k):
            factor = alpha * (A[l, i] if ta == TRANSPOSED else A[i, l])
            for j in range(n):
                C[i, j] += factor * (B[j, l] if tb == TRANSPOSED else B[l, j])


def bind(letter, real):
    """The external function minibayes_?gemm: BLAS's, or else `loops` compiled."""
    found = NUMPY and NUMPY.product(letter)
    address = found[0] if found else cfunc(signature(real))(loops).address
    llvmlite.binding.add_symbol(f"minibayes_{letter}gemm", address)
    return types.ExternalFunction(f"minibayes_{letter}gemm", signature(real))


sgemm, dgemm = bind("s", types.float32), bind("d", types.float64)


def gemm(ta, tb, a, b, beta, c):
    """c <- op(a) op(b) + beta c for matrices whose rows are contiguous, of one dtype; op(a) = a.T where ta. beta = 0 overwrites c."""
    c[...] = (a.T if ta else a) @ (b.T if tb else b) + (beta * c if beta else 0)


@overload(gemm)
def _gemm(ta, tb, a, b, beta, c):
    routine, size = (sgemm, 4) if a.dtype == types.float32 else (dgemm, 8)

    def product(ta, tb, a, b, beta, c):
        m, k = (a.shape[1], a.shape[0]) if ta else a.shape
        routine(ROW_MAJOR, TRANSPOSED if ta else AS_IT_IS, TRANSPOSED if tb else AS_IT_IS, m, c.shape[1], k, 1.0,
                a.ctypes, a.strides[0] // size, b.ctypes, b.strides[0] // size, beta, c.ctypes, c.strides[0] // size)
    return product
