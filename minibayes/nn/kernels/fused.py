"""Bias, noise and max-pooling in one pass over the responses, forward and backward; and im2col for images of few channels."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def im2col_planes(x, k, stride, cols):
    """cols[(c*k + di)*k + dj, n, i, j] = x[c, n, i*stride + di, j*stride + dj].

    im2col with one *row* per number of the patch: with few channels its runs along j are longer than a patch's runs of k*C.
    x (C, N, H, W), padded;   cols (C*k*k, N, Ho, Wo), written.
    """
    C, N = x.shape[:2]
    _, _, Ho, Wo = cols.shape
    for c in range(C):
        for di in range(k):
            for dj in range(k):
                plane = cols[(c * k + di) * k + dj]
                for n in range(N):
                    for i in range(Ho):
                        out, line = plane[n, i], x[c, n, i * stride + di, dj:]
                        if stride == 1:
                            for j in range(Wo):
                                out[j] = line[j]
                        else:
                            for j in range(Wo):
                                out[j] = line[j * stride]


@njit(nogil=True, cache=True)
def noisy_max_pool(y, b, z, size, stride, out, arg, slope):
    """out[n, p, q, c] = max_{di, dj} z[n, i, j, c] (y[n, i, j, c] + b[c]),  i = p*stride + di,  j = q*stride + dj.

    arg = di*size + dj of the first maximum, slope = z there.  y (N, H, W, C), b (C,), z the shape of y or 1 along any axis but the last;
    out, arg, slope (N, P, Q, C) are written. A NaN in the window comes out as NaN. First down the columns, in loops as long as a row of
    the image (v, s, a), then along the row.
    """
    N, P, Q, C = out.shape
    W = y.shape[2]
    zn, zi, zj = int(z.shape[0] > 1), int(z.shape[1] > 1), int(z.shape[2] > 1)
    bias, noise = np.empty(W * C, y.dtype), np.empty(W * C, z.dtype)
    v, s, a = np.empty(W * C, y.dtype), np.empty(W * C, y.dtype), np.empty(W * C, np.uint8)
    for j in range(W):
        bias[j * C:(j + 1) * C] = b
    for n in range(N):
        for p in range(P):
            for di in range(size):
                i = p * stride + di
                row, drawn = y[n, i].reshape(-1), z[n * zn, i * zi].reshape(-1)
                if zj == 0:
                    for j in range(W):
                        noise[j * C:(j + 1) * C] = drawn
                    drawn = noise
                for e in range(W * C):
                    t = (row[e] + bias[e]) * drawn[e]
                    better = di == 0 or t > v[e] or t != t
                    v[e] = t if better else v[e]
                    s[e] = drawn[e] if better else s[e]
                    a[e] = di * size if better else a[e]
            for q in range(Q):
                o, oa, os = out[n, p, q], arg[n, p, q], slope[n, p, q]
                for dj in range(size):
                    at = (q * stride + dj) * C
                    value, place, sloped = v[at:at + C], a[at:at + C], s[at:at + C]
                    for c in range(C):
                        w = np.uint8(place[c] + dj)
                        better = dj == 0 or value[c] > o[c] or value[c] != value[c] or (value[c] == o[c] and w < oa[c])
                        o[c] = value[c] if better else o[c]
                        os[c] = sloped[c] if better else os[c]
                        oa[c] = w if better else oa[c]


@njit(nogil=True, cache=True)
def noisy_max_pool_value(y, b, z, size, stride, out):
    """noisy_max_pool's out alone, for passes that have no backward."""
    N, P, Q, C = out.shape
    W = y.shape[2]
    zn, zi, zj = int(z.shape[0] > 1), int(z.shape[1] > 1), int(z.shape[2] > 1)
    bias, noise, v = np.empty(W * C, y.dtype), np.empty(W * C, z.dtype), np.empty(W * C, y.dtype)
    for j in range(W):
        bias[j * C:(j + 1) * C] = b
    for n in range(N):
        for p in range(P):
            for di in range(size):
                i = p * stride + di
                row, drawn = y[n, i].reshape(-1), z[n * zn, i * zi].reshape(-1)
                if zj == 0:
                    for j in range(W):
                        noise[j * C:(j + 1) * C] = drawn
                    drawn = noise
                for e in range(W * C):
                    t = (row[e] + bias[e]) * drawn[e]
                    v[e] = t if di == 0 or t > v[e] or t != t else v[e]
            for q in range(Q):
                o = out[n, p, q]
                for dj in range(size):
                    at = (q * stride + dj) * C
                    value = v[at:at + C]
                    for c in range(C):
                        o[c] = value[c] if dj == 0 or value[c] > o[c] or value[c] != value[c] else o[c]


@njit(nogil=True, cache=True)
def noisy_max_pool_backward(dout, slope, delta, db):
    """delta = slope * dout: the derivative in y at each window's argmax (0 elsewhere), kept in this compact form; db its sum per channel.

    dout, slope, delta (N, P, Q, C), db (C,); delta and db are written. Returns the number of non-zeros in delta.
    """
    N, P, Q, C = dout.shape
    count = 0
    db[:] = 0
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                d, s, v = dout[n, p, q], slope[n, p, q], delta[n, p, q]
                for c in range(C):
                    v[c] = d[c] * s[c]
                for c in range(C):
                    db[c] += v[c]
                for c in range(C):
                    count += v[c] != 0
    return count


@njit(nogil=True, cache=True)
def scatter(delta, arg, size, stride, dy):
    """dy[n, i*, j*, c] += delta[n, p, q, c]: the compact derivative of a pooling written out.   dy (N, H, W, C), written."""
    N, P, Q, C = delta.shape
    apart = stride == size and P * size == dy.shape[1] and Q * size == dy.shape[2]  # every place lies in exactly one window
    if not apart:
        dy[:] = 0
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                d, a = delta[n, p, q], arg[n, p, q]
                for w in range(size * size):
                    out = dy[n, p * stride + w // size, q * stride + w % size]
                    if apart:
                        for c in range(C):
                            out[c] = d[c] if a[c] == w else 0
                    else:
                        for c in range(C):
                            out[c] += d[c] if a[c] == w else 0
