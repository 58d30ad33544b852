"""dM and dx of a convolution whose output derivative is non-zero only at the argmax of each pooling window: row-sparse products.

After pooling and noise about 80 % of dL/dy is exactly zero. The non-zeros are listed, eight at a time are multiplied with contiguous runs
of k*C numbers, and nothing is built by im2col or taken apart by col2im.
"""

import numpy as np
from numba import njit

CONTRACT = {"contract"}  # a multiplication and an addition may be rounded once (fma): no NaN, zero or order is changed by that


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def pooled_conv_dM(delta, arg, size, pool_stride, x, k, stride, value, offset, dM):
    """dM[c, di, :] = sum over (n, p, q) of delta[n, p, q, c] x[n, i*stride + di, j*stride : j*stride + k, :], (i, j) the argmax.

    delta, arg (N, P, Q, K) as from noisy_max_pool_backward;  x (N, H, W, C) already padded;  dM (K, k, k*C), written;
    value, offset: scratch of N*P*Q + 8 numbers (the list of one channel's non-zeros).
    """
    N, P, Q, K = delta.shape
    H, W, C = x.shape[1:]
    run, flat = k * C, x.reshape(-1)
    within = np.empty(size * size, np.int64)  # where the places of a window lie, from its first: a table, as divisions are slow
    for w in range(size * size):
        within[w] = (w // size * W + w % size) * stride * C
    for c in range(K):
        count = 0
        for n in range(N):
            for p in range(P):
                for q in range(Q):
                    value[count] = delta[n, p, q, c]
                    offset[count] = (n * H * W + (p * W + q) * pool_stride * stride) * C + within[arg[n, p, q, c]]
                    count += delta[n, p, q, c] != 0
        while count % 8:  # fill up with zeros times something that exists
            value[count], offset[count] = 0, 0
            count += 1
        dM[c] = 0
        for s in range(0, count, 8):
            v0, v1, v2, v3 = value[s], value[s + 1], value[s + 2], value[s + 3]
            v4, v5, v6, v7 = value[s + 4], value[s + 5], value[s + 6], value[s + 7]
            for di in range(k):
                out, down = dM[c, di], di * W * C
                x0 = flat[offset[s] + down:][:run]
                x1 = flat[offset[s + 1] + down:][:run]
                x2 = flat[offset[s + 2] + down:][:run]
                x3 = flat[offset[s + 3] + down:][:run]
                x4 = flat[offset[s + 4] + down:][:run]
                x5 = flat[offset[s + 5] + down:][:run]
                x6 = flat[offset[s + 6] + down:][:run]
                x7 = flat[offset[s + 7] + down:][:run]
                for r in range(run):
                    out[r] += (v0 * x0[r] + v1 * x1[r] + v2 * x2[r] + v3 * x3[r]) + (v4 * x4[r] + v5 * x5[r] + v6 * x6[r] + v7 * x7[r])


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def pooled_conv_dx(delta, arg, size, pool_stride, M, k, stride, value, channel, dx):
    """dx[n, i*stride + di, j*stride : j*stride + k, :] += delta[n, p, q, c] M[c, di, :], (i, j) the argmax of window (n, p, q, c).

    M (K, k, k*C);  dx (N, H, W, C) padded, written;  value, channel: scratch of K + 8 (one place's non-zeros).
    """
    N, P, Q, K = delta.shape
    H, W, C = dx.shape[1:]
    run = k * C
    for n in range(N):
        dx[n] = 0
        image = dx[n].reshape(-1)
        for p in range(P):
            for q in range(Q):
                for w in range(size * size):
                    count = 0
                    for c in range(K):
                        value[count], channel[count] = delta[n, p, q, c], c
                        count += (delta[n, p, q, c] != 0) & (arg[n, p, q, c] == w)
                    if count == 0:
                        continue
                    while count % 8:
                        value[count], channel[count] = 0, 0
                        count += 1
                    at = (((p * pool_stride + w // size) * stride) * W + (q * pool_stride + w % size) * stride) * C
                    for s in range(0, count, 8):
                        v0, v1, v2, v3 = value[s], value[s + 1], value[s + 2], value[s + 3]
                        v4, v5, v6, v7 = value[s + 4], value[s + 5], value[s + 6], value[s + 7]
                        m0, m1, m2, m3 = M[channel[s]], M[channel[s + 1]], M[channel[s + 2]], M[channel[s + 3]]
                        m4, m5, m6, m7 = M[channel[s + 4]], M[channel[s + 5]], M[channel[s + 6]], M[channel[s + 7]]
                        for di in range(k):
                            out = image[at + di * W * C:][:run]
                            a0, a1, a2, a3, a4, a5, a6, a7 = m0[di], m1[di], m2[di], m3[di], m4[di], m5[di], m6[di], m7[di]
                            for r in range(run):
                                out[r] += ((v0 * a0[r] + v1 * a1[r] + v2 * a2[r] + v3 * a3[r])
                                           + (v4 * a4[r] + v5 * a5[r] + v6 * a6[r] + v7 * a7[r]))


@njit(nogil=True, cache=True)
def compact(M, rows, columns, out):
    """out[i, j] = M[rows[i], columns[j]]: what is left of a matrix when the dropped rows and columns leave it."""
    for i in range(len(rows)):
        line, kept = M[rows[i]], out[i]
        for j in range(len(columns)):
            kept[j] = line[columns[j]]
