"""Convolution as a product: patches in one of two forms, whichever copies longer runs, and the product with M. No response is kept longer.

A block's responses lie row by row, y[i, n, j, c].

    lines    cols[i, n, j, :] = x[n, i, j*stride : j*stride + k, :]                       y[i] = sum_di lines[i + di] M_di^T
    planes   cols[(c, di, dj), i, n, j] = x[n, i*stride + di, j*stride + dj, c]         y = planes^T M^T
"""

from typing import NamedTuple

from .blas import gemm
from .compiling import njit


class Geometry(NamedTuple):
    """A convolution, the pooling after it and a function. All int: kernels are compiled once."""

    k: int
    stride: int
    size: int  # of the pooling's window; 1: no pooling
    pool_stride: int
    narrow: int  # 1: patches as planes; 0: as lines
    block: int  # images at a time
    rise: int = 0  # which function r of single numbers comes last: see rise.py


@njit(nogil=True, cache=True)
def lines(x, k, stride, cols):
    """cols[i, n, j, dj*C + c] = x[n, i, j*stride + dj, c]: a patch unrolled along dj only, k times less to copy than im2col.

    x (N, H, W, C), padded;   cols (H, N, Wo, k*C), written.
    """
    C = x.shape[3]
    H, N, Wo, run = cols.shape
    for i in range(H):
        for n in range(N):
            row = x[n, i].reshape(-1)
            for j in range(Wo):
                out, patch = cols[i, n, j], row[j * stride * C:j * stride * C + run]
                for r in range(run):
                    out[r] = patch[r]


@njit(nogil=True, cache=True)
def add_lines(cols, di, stride, dx):
    """dx[n, i*stride + di, j*stride + dj, c] += cols[i, n, j, dj*C + c].   cols (Ho, N, Wo, k*C);   dx (N, H, W, C), added to."""
    C = dx.shape[3]
    Ho, N, Wo, run = cols.shape
    for i in range(Ho):
        for n in range(N):
            row = dx[n, i * stride + di].reshape(-1)
            for j in range(Wo):
                patch, out = cols[i, n, j], row[j * stride * C:j * stride * C + run]
                for r in range(run):
                    out[r] += patch[r]


@njit(nogil=True, cache=True)
def planes(x, k, stride, cols):
    """cols[(c*k + di)*k + dj, i, n, j] = x[n, i*stride + di, j*stride + dj, c]: im2col with one *row* per number of the patch.

    x (N, H, W, C), padded;   cols (C*k*k, Ho, N, Wo), written.
    """
    _, H, W, C = x.shape
    _, Ho, N, Wo = cols.shape
    numbers, runs, step, at = x.reshape(-1), cols.reshape(-1), stride * C, 0
    for p in range(len(cols)):
        c, di, dj = p // (k * k), p // k % k, p % k
        for i in range(Ho):
            for n in range(N):
                out, row = runs[at:at + Wo], numbers[((n * H + i * stride + di) * W + dj) * C + c:]
                at += Wo
                if step == 1:
                    for j in range(Wo):
                        out[j] = row[j]
                else:
                    for j in range(Wo):
                        out[j] = row[j * step]


@njit(nogil=True, cache=True)
def respond(x, M, g, cols, y):
    """y[i, n, j, :] = sum_{di, dj, c} M[:, di, dj, c] x[n, i*stride + di, j*stride + dj, c], without the bias.

    x (N, H, W, C), padded;  M (K, k*k*C), its columns in the order (c, di, dj) if narrow, else (di, dj, c);  g: the Geometry;
    cols: scratch of N Wo k C numbers times H, or k Ho if narrow;  y (Ho, N, Wo, K), written.
    """
    N, H, _, C = x.shape
    Ho, _, Wo, K = y.shape
    k, run, out = g.k, g.k * C, y.reshape(Ho, N * Wo, K)
    if g.narrow:
        patches = cols[:k * run * Ho * N * Wo].reshape(k * run, Ho, N, Wo)
        planes(x, k, g.stride, patches)
        gemm(True, True, patches.reshape(k * run, -1), M, 0, out.reshape(-1, K))
        return
    patches = cols[:H * N * Wo * run].reshape(H, N, Wo, run)
    lines(x, k, g.stride, patches)
    for di in range(k):
        M_di, beta = M[:, di * run:(di + 1) * run], 1 if di else 0
        if g.stride == 1:
            gemm(False, True, patches[di:di + Ho].reshape(-1, run), M_di, beta, out.reshape(-1, K))
        else:
            for i in range(Ho):
                gemm(False, True, patches[i * g.stride + di].reshape(-1, run), M_di, beta, out[i])
