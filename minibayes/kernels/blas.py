"""c <- op(a) op(b) + beta c for compiled code: the matrix product of the BLAS that NumPy brought along, called without the interpreter.

Bound by address under names of our own, so that machine code from Numba's on-disk cache finds them again in the next process. Where NumPy's
BLAS has no known entry point, SciPy's takes those names, if it is there, or else our own loops (tiles.py): the same results up to rounding,
slower. The environment's MINIBAYES_BLAS (numpy, scipy or loops) chooses instead; BOUND says what was bound. Numba's cache does not notice a
change in this file, so empty the cache after one.
"""

import os
import sys

import llvmlite.binding
import numpy as np
from numba import carray, types
from numba.extending import overload

from .compiling import cfunc
from .library import numpy_blas, scipy_product

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # the CBLAS enumerations
NUMPY = numpy_blas()


def signature(real):
    """void cblas_?gemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)."""
    pointer = types.CPointer(real)
    return types.void(*[types.int32] * 3, *[types.int64] * 3, real, pointer, types.int64, pointer, types.int64, real, pointer, types.int64)


def shim(letter, real):
    """A library's product, whose integers have 32 bits, behind `signature`; where needed: see `bind`."""
    pointer, integer = types.CPointer(real), types.int32
    narrow = types.void(*[integer] * 6, real, pointer, integer, pointer, integer, real, pointer, integer)
    routine = types.ExternalFunction(f"minibayes_{letter}gemm_32", narrow)

    def product(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        routine(order, ta, tb, np.int32(m), np.int32(n), np.int32(k), alpha, a, np.int32(lda), b, np.int32(ldb), beta, c, np.int32(ldc))
    return product


def fortran(letter, real):
    """SciPy's ?gemm, which takes pointers and matrices in columns: c' = op(b)' op(a)'."""
    pointer, integers, letters = types.CPointer(real), types.CPointer(types.int32), types.CPointer(types.uint8)
    columns = types.void(letters, letters, *[integers] * 3, pointer, pointer, integers, pointer, integers, pointer, pointer, integers)
    routine = types.ExternalFunction(f"minibayes_{letter}gemm_columns", columns)

    def product(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        words, sizes = np.array([84 if tb == TRANSPOSED else 78, 84 if ta == TRANSPOSED else 78], np.uint8), np.empty(6, np.int32)
        factors = np.empty(2, carray(c, 1).dtype)
        factors[0], factors[1] = alpha, beta
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] = n, m, k, ldb, lda, ldc
        routine(words[0:].ctypes, words[1:].ctypes, sizes[0:].ctypes, sizes[1:].ctypes, sizes[2:].ctypes, factors[0:].ctypes,
                b, sizes[3:].ctypes, a, sizes[4:].ctypes, factors[1:].ctypes, c, sizes[5:].ctypes)
    return product


def bind(letter, real, choice=""):
    """(the external function minibayes_?gemm, a name of what it is). choice "": the first there is of NumPy's BLAS, SciPy's and our own
    tiles; or one of "numpy", "scipy", "loops".
    """
    found = choice in ("", "numpy") and NUMPY and NUMPY.product(letter)
    lent = None if found or choice not in ("", "scipy") else scipy_product(letter)
    if choice in ("numpy", "scipy") and not found and not lent:
        raise ImportError(f"MINIBAYES_BLAS={choice}: no matrix product was found there")
    if found:
        address, bits, _ = found
        # On Linux calling conventions widen every argument to 64 bits: an entry point with 32-bit integers reads its half of each.
        if bits == 32 and sys.platform != "linux":
            llvmlite.binding.add_symbol(f"minibayes_{letter}gemm_32", address)
            address = cfunc(signature(real))(shim(letter, real)).address
        name = NUMPY.name()
    elif lent:
        llvmlite.binding.add_symbol(f"minibayes_{letter}gemm_columns", lent)
        address, name = cfunc(signature(real))(fortran(letter, real)).address, "SciPy's BLAS"
    else:
        from . import tiles  # where it is needed: few have no BLAS, and all wait for an import

        address, name = tiles.address(signature(real)), "loops, no BLAS"
    llvmlite.binding.add_symbol(f"minibayes_{letter}gemm", address)
    return types.ExternalFunction(f"minibayes_{letter}gemm", signature(real)), name


CHOICE = os.environ.get("MINIBAYES_BLAS", "")
if CHOICE not in ("", "numpy", "scipy", "loops"):
    raise ImportError(f"MINIBAYES_BLAS must be numpy, scipy or loops, got {CHOICE!r}")
sgemm, BOUND = bind("s", types.float32, CHOICE)
dgemm, _ = bind("d", types.float64, CHOICE)


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
