"""c <- alpha op(a) op(b) + beta c without a BLAS: compiled here, in tiles of four rows that stay in registers and the first cache.

As fast as its inner loop: four rows of c, four of b and sixteen numbers of a make sixteen products from eight loads. The columns of b
come in panels W wide, a constant, so that a panel's rows lie at distances that the compiler knows.
"""

import numpy as np
from numba import carray

from .compiling import cfunc, njit

DEPTH = 256  # rows of a panel: W * DEPTH numbers stay in the second-level cache
TRANSPOSED = 112  # the CBLAS enumeration


def panels(W):
    """The loop nest below for columns j0 <= j < j0 + width of c, width <= W."""
    @njit(nogil=True, cache=True, fastmath={"contract"})
    def columns(ta, tb, m, k, alpha, a, b, beta, c, j0, width, panel, four, tile):
        """c[i, j] = beta c[i, j] + alpha sum_l a[i, l] b[l, j], with a[l, i] where ta, b[j, l] where tb; beta = 0 overwrites c."""
        for l0 in range(0, max(k, 1), DEPTH):
            depth, padded = min(DEPTH, k - l0), -(-min(DEPTH, k - l0) // 4) * 4
            panel[:padded * W] = 0
            if tb:
                for j in range(width):
                    for l in range(depth):
                        panel[l * W + j] = b[j0 + j, l0 + l]
            else:
                for l in range(depth):
                    for j in range(width):
                        panel[l * W + j] = b[l0 + l, j0 + j]
            for i0 in range(0, m, 4):
                rows = min(4, m - i0)
                if rows < 4 or depth < padded:
                    four[:4 * padded] = 0
                for r in range(rows):
                    for l in range(depth):
                        four[4 * l + r] = alpha * (a[l0 + l, i0 + r] if ta else a[i0 + r, l0 + l])
                tile[:4 * W] = 0
                for l in range(0, padded, 4):
                    s, p = four[4 * l:4 * l + 16], panel[l * W:l * W + 4 * W]
                    a00, a10, a20, a30 = s[0], s[1], s[2], s[3]
                    a01, a11, a21, a31 = s[4], s[5], s[6], s[7]
                    a02, a12, a22, a32 = s[8], s[9], s[10], s[11]
                    a03, a13, a23, a33 = s[12], s[13], s[14], s[15]
                    for j in range(W):
                        b0, b1, b2, b3 = p[j], p[W + j], p[2 * W + j], p[3 * W + j]
                        tile[j] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                        tile[W + j] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                        tile[2 * W + j] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                        tile[3 * W + j] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
                for r in range(rows):
                    out, add = c[i0 + r, j0:j0 + width], tile[r * W:r * W + width]
                    if l0 > 0 or beta == 1:
                        for j in range(width):
                            out[j] += add[j]
                    elif beta == 0:
                        for j in range(width):
                            out[j] = add[j]
                    else:
                        for j in range(width):
                            out[j] = beta * out[j] + add[j]
    return columns


wide, medium, narrow = panels(128), panels(64), panels(16)


def product(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """cblas_?gemm for matrices in rows: see `panels`."""
    A = carray(a, (k if ta == TRANSPOSED else m, lda))
    B = carray(b, (n if tb == TRANSPOSED else k, ldb))
    C = carray(c, (m, ldc))
    panel, four, tile = np.empty(DEPTH * 128, A.dtype), np.empty(4 * DEPTH, A.dtype), np.empty(4 * 128, A.dtype)
    j0 = 0
    while j0 < n:
        rest = n - j0
        if rest > 64:
            wide(ta == TRANSPOSED, tb == TRANSPOSED, m, k, alpha, A, B, beta, C, j0, min(rest, 128), panel, four, tile)
            j0 += 128
        elif rest > 32:
            medium(ta == TRANSPOSED, tb == TRANSPOSED, m, k, alpha, A, B, beta, C, j0, rest, panel, four, tile)
            j0 += 64
        else:
            narrow(ta == TRANSPOSED, tb == TRANSPOSED, m, k, alpha, A, B, beta, C, j0, min(rest, 16), panel, four, tile)
            j0 += 16


def address(signature: object) -> int:
    """Of `product`, compiled for a CBLAS signature."""
    return cfunc(signature)(product).address
