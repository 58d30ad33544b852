"""dM and dx of a convolution whose output derivative is non-zero only at the argmax of each pooling window: row-sparse products.

After pooling and noise about 80 % of dL/dy is exactly zero. The non-zeros are listed, eight at a time are multiplied with contiguous runs
of numbers, and nothing is built by im2col or taken apart by col2im. Places in memory are unsigned: such an index is never counted from
the end, so that no loop has to look whether it is.
"""

from typing import NamedTuple

import numpy as np

from .compiling import njit

CONTRACT = {"contract"}  # a multiplication and an addition may be rounded once (fma): no NaN, zero or order is changed by that


class Lines(NamedTuple):
    """How patches lie in numbers: patch (i, j) of image n begins at line n*count + i*row, number j*place.

    Images as they are:  row = stride, place = stride*C.   Strips, a patch in one run:  row = 1, place = stride*k*C.
    """

    count: int  # lines of an image
    length: int  # numbers of a line
    row: int
    place: int


@njit(nogil=True, cache=True)
def strips(x, k, stride, out):
    """out[n, i, j, di, c] = x[n, i*stride + di, j, c]: k rows of an image woven into one, in which each patch, (dj, di, c), is one run.

    x (N, H, W, C), padded;   out: numbers, of which the first N Ho W k C are written.
    """
    N, H, W, C = x.shape
    at = 0
    for n in range(N):
        for i in range((H - k) // stride + 1):
            for di in range(k):
                row = x[n, i * stride + di]
                for c in range(C):
                    for j in range(W):
                        out[at + (j * k + di) * C + c] = row[j, c]
            at += W * k * C


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def pooled_conv_dM(delta, arg, size, pool_stride, x, lines, value, offset, dM):
    """dM[c, di, :] = sum over (n, p, q) of delta[n, p, q, c] x[n, i*row + di, j*place : j*place + run], (i, j) the argmax.

    delta, arg (N, P, Q, K) as from noisy_max_pool_backward;  x: numbers, in which patches lie as `lines` says;  dM (K, k, run), written;
    value, offset: scratch of N*P*Q + 8 numbers (the list of one channel's non-zeros).
    Images as they are: run = k*C. Strips: dM (K, 1, run), run >= k*k*C.
    """
    N, P, Q, K = delta.shape
    H, L, row, place = lines
    k, run, line = np.uint64(dM.shape[1]), np.uint64(dM.shape[2]), np.uint64(L)
    within = np.empty(size * size, np.uint64)  # where the places of a window lie, from its first: a table, as divisions are slow
    for w in range(size * size):
        within[w] = w // size * row * L + w % size * place
    for c in range(K):  # np.uint64 of a loop's number: compiled it is one already; without Numba, NumPy 1 made floats of mixed integers
        count = 0
        for n in range(N):
            for p in range(P):
                for q in range(Q):
                    value[count] = delta[n, p, q, c]
                    offset[count] = np.uint64((n * H + p * pool_stride * row) * L + q * pool_stride * place) + within[arg[n, p, q, c]]
                    count += delta[n, p, q, c] != 0
        while count % 8:  # fill up with zeros times something that exists
            value[count], offset[count] = 0, 0
            count += 1
        out = dM[c].reshape(-1)
        out[:] = 0
        for s in range(0, count, 8):
            v0, v1, v2, v3 = value[s], value[s + 1], value[s + 2], value[s + 3]
            v4, v5, v6, v7 = value[s + 4], value[s + 5], value[s + 6], value[s + 7]
            o0, o1, o2, o3 = offset[s], offset[s + 1], offset[s + 2], offset[s + 3]
            o4, o5, o6, o7 = offset[s + 4], offset[s + 5], offset[s + 6], offset[s + 7]
            for di in range(k):
                o, d = np.uint64(di) * run, np.uint64(di) * line
                for i in range(run):
                    r = np.uint64(i)
                    out[o + r] += ((v0 * x[o0 + d + r] + v1 * x[o1 + d + r] + v2 * x[o2 + d + r] + v3 * x[o3 + d + r])
                                   + (v4 * x[o4 + d + r] + v5 * x[o5 + d + r] + v6 * x[o6 + d + r] + v7 * x[o7 + d + r]))


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def pooled_conv_dx(delta, arg, size, pool_stride, M, stride, value, offset, dx):
    """dx[n, i*stride + di, j*stride : j*stride + k, :] += delta[n, p, q, c] M[c, di, :], (i, j) the argmax of window (n, p, q, c).

    M (K, k, k*C);  dx (N, H, W, C) padded, written;  value, offset: scratch of K + 8 (one place's non-zeros).
    """
    N, P, Q, K = delta.shape
    H, W, C = dx.shape[1:]
    k, run, line, m = np.uint64(M.shape[1]), np.uint64(M.shape[2]), np.uint64(W * C), M.reshape(-1)
    for n in range(N):
        dx[n] = 0
        out = dx[n].reshape(-1)
        for p in range(P):
            for q in range(Q):
                for w in range(size * size):
                    count = 0
                    for c in range(K):
                        value[count], offset[count] = delta[n, p, q, c], np.uint64(c) * k * run
                        count += (delta[n, p, q, c] != 0) & (arg[n, p, q, c] == w)
                    if count == 0:
                        continue
                    while count % 8:
                        value[count], offset[count] = 0, 0
                        count += 1
                    at = np.uint64((((p * pool_stride + w // size) * stride) * W + (q * pool_stride + w % size) * stride) * C)
                    for s in range(0, count, 8):
                        v0, v1, v2, v3 = value[s], value[s + 1], value[s + 2], value[s + 3]
                        v4, v5, v6, v7 = value[s + 4], value[s + 5], value[s + 6], value[s + 7]
                        o0, o1, o2, o3 = offset[s], offset[s + 1], offset[s + 2], offset[s + 3]
                        o4, o5, o6, o7 = offset[s + 4], offset[s + 5], offset[s + 6], offset[s + 7]
                        for di in range(k):
                            o, d = at + np.uint64(di) * line, np.uint64(di) * run
                            for i in range(run):
                                r = np.uint64(i)
                                out[o + r] += ((v0 * m[o0 + d + r] + v1 * m[o1 + d + r] + v2 * m[o2 + d + r] + v3 * m[o3 + d + r])
                                               + (v4 * m[o4 + d + r] + v5 * m[o5 + d + r] + v6 * m[o6 + d + r] + v7 * m[o7 + d + r]))


@njit(nogil=True, cache=True)
def compact(M, rows, columns, out):
    """out[i, j] = M[rows[i], columns[j]]: what is left of a matrix when the dropped rows and columns leave it."""
    fours = len(rows) // 4 * 4  # four lines are fetched from memory at the same time
    for i in range(0, fours, 4):
        a, b, c, d = M[rows[i]], M[rows[i + 1]], M[rows[i + 2]], M[rows[i + 3]]
        for j in range(len(columns)):
            k = columns[j]
            out[i, j], out[i + 1, j], out[i + 2, j], out[i + 3, j] = a[k], b[k], c[k], d[k]
    for i in range(fours, len(rows)):
        line = M[rows[i]]
        for j in range(len(columns)):
            out[i, j] = line[columns[j]]
