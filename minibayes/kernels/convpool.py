"""Convolution, bias, noise, max-pooling and a function, block of images by block: no response is kept, nothing leaves the cache between."""

import numpy as np

from .blas import gemm
from .compiling import njit
from .patches import add_lines, lines, planes, respond
from .rise import rise_and_slope, rise_in_place


@njit(nogil=True, cache=True)
def noisy_max_pool(y, image, line, W, b, z, g, out, arg, slope):
    """out[n, p, q, c] = r(max_{di, dj} z[n, i, j, c] (y[n, i, j, c] + b[c])),  i = p*stride + di,  j = q*stride + dj.

    arg = di*size + dj of the first maximum in this order (0 and -0 are equal), slope = z r' there.  y: numbers, of which image n's row i
    is the W*C from n*image + i*line on;  b (C,);  z (N or 1, H or 1, W or 1, C);  out, arg, slope (N, P, Q, C) are written. A NaN in the
    window comes out as NaN. First down the columns, in loops as long as a row of the image (v, s, a), then along the row.
    """
    (N, P, Q, C), size, stride = out.shape, g.size, g.pool_stride
    zn, zi, zj, alone = int(z.shape[0] > 1), int(z.shape[1] > 1), int(z.shape[2] > 1), size * stride == 1
    bias, noise = np.empty(W * C, y.dtype), np.empty(W * C, z.dtype)
    v, s, a = np.empty(W * C, y.dtype), np.empty(W * C, y.dtype), np.empty(W * C, np.uint8)
    for e in range(W * C):
        bias[e] = b[e % C]
    for n in range(N):
        for p in range(P):
            if alone:
                v, s, a = out[n, p].reshape(-1), slope[n, p].reshape(-1), arg[n, p].reshape(-1)
            for di in range(size):
                i = p * stride + di
                row, drawn = y[n * image + i * line:][:W * C], z[n * zn, i * zi].reshape(-1)
                if zj == 0:
                    for j in range(W):
                        for c in range(C):
                            noise[j * C + c] = drawn[c]
                    drawn = noise
                for e in range(W * C):
                    t = (row[e] + bias[e]) * drawn[e]
                    better = di == 0 or t > v[e] or t != t
                    v[e] = t if better else v[e]
                    s[e] = drawn[e] if better else s[e]
                    a[e] = di * size if better else a[e]
            for q in range(0 if alone else Q):
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
            rise_and_slope(out[n, p].reshape(-1), slope[n, p].reshape(-1), g.rise)


@njit(nogil=True, cache=True)
def noisy_max_pool_value(y, image, line, W, b, z, g, repeat, out):
    """noisy_max_pool's out alone, for passes that have no backward; row n of z and out belongs to image n // repeat of y."""
    (N, P, Q, C), size, stride = out.shape, g.size, g.pool_stride
    zn, zi, zj, alone = int(z.shape[0] > 1), int(z.shape[1] > 1), int(z.shape[2] > 1), size * stride == 1
    bias, noise, v = np.empty(W * C, y.dtype), np.empty(W * C, z.dtype), np.empty(W * C, y.dtype)
    for e in range(W * C):
        bias[e] = b[e % C]
    for n in range(N):
        for p in range(P):
            if alone:
                v = out[n, p].reshape(-1)
            for di in range(size):
                i = p * stride + di
                row, drawn = y[n // repeat * image + i * line:][:W * C], z[n * zn, i * zi].reshape(-1)
                if zj == 0:
                    for j in range(W):
                        for c in range(C):
                            noise[j * C + c] = drawn[c]
                    drawn = noise
                for e in range(W * C):
                    t = (row[e] + bias[e]) * drawn[e]
                    v[e] = t if di == 0 or t > v[e] or t != t else v[e]
            for q in range(0 if alone else Q):
                o = out[n, p, q]
                for dj in range(size):
                    at = (q * stride + dj) * C
                    value = v[at:at + C]
                    for c in range(C):
                        o[c] = value[c] if dj == 0 or value[c] > o[c] or value[c] != value[c] else o[c]
            rise_in_place(out[n, p].reshape(-1), g.rise)


@njit(nogil=True, cache=True)
def conv_pool(x, M, b, z, g, cols, y, out, arg, slope):
    """noisy_max_pool of respond: out[n] = max-pool of z_n o (M * x_n + b), with arg and slope for backward.

    y: scratch of block Ho Wo K numbers;  cols as for respond with N = block.
    """
    N, H, W, _ = x.shape
    Ho, Wo, K = (H - g.k) // g.stride + 1, (W - g.k) // g.stride + 1, len(M)
    for first in range(0, N, g.block):
        last, count = first + g.block, min(g.block, N - first)
        respond(x[first:last], M, g, cols, y[:Ho * count * Wo * K].reshape(Ho, count, Wo, K))
        noisy_max_pool(y, Wo * K, count * Wo * K, Wo, b, z[first:last] if len(z) > 1 else z, g,
                       out[first:last], arg[first:last], slope[first:last])


@njit(nogil=True, cache=True)
def conv_pool_value(x, M, b, z, g, cols, y, out):
    """conv_pool's out alone."""
    N, H, W, _ = x.shape
    Ho, Wo, K = (H - g.k) // g.stride + 1, (W - g.k) // g.stride + 1, len(M)
    for first in range(0, N, g.block):
        last, count = first + g.block, min(g.block, N - first)
        respond(x[first:last], M, g, cols, y[:Ho * count * Wo * K].reshape(Ho, count, Wo, K))
        noisy_max_pool_value(y, Wo * K, count * Wo * K, Wo, b, z[first:last] if len(z) > 1 else z, g, 1, out[first:last])


@njit(nogil=True, cache=True)
def scatter(delta, arg, g, dy):
    """dy[i*, n, j*, c] += delta[n, p, q, c]: the compact derivative of a pooling written out.   dy (H, N, W, C), written."""
    (N, P, Q, C), size, stride = delta.shape, g.size, g.pool_stride
    apart = stride == size and P * size == dy.shape[0] and Q * size == dy.shape[2]  # every place lies in exactly one window
    if not apart:
        dy[:] = 0
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                d, a = delta[n, p, q], arg[n, p, q]
                for w in range(size * size):
                    out = dy[p * stride + w // size, n, q * stride + w % size]
                    if apart:
                        for c in range(C):
                            derivative = d[c]  # loaded first: no branch, which would be guessed wrong half of the time
                            out[c] = derivative if a[c] == w else 0
                    else:
                        for c in range(C):
                            derivative = d[c]
                            out[c] += derivative if a[c] == w else 0


@njit(nogil=True, cache=True)
def conv_backward(x, M, delta, arg, g, cols, y, dM, want_dx, dx):
    """dM = sum_n dy_n^T patches_n and, if wanted, dx = the adjoint of unrolling, of dy M, by dense products.

    M (K, k*k*C) in the order (di, dj, c), dM in the order of respond's M;  cols, y: scratch as for conv_pool;  dM, dx are written.
    """
    (N, H, W, C), K, k, stride = x.shape, len(M), g.k, g.stride
    Ho, Wo, run = (H - k) // stride + 1, (W - k) // stride + 1, k * C
    dM[:] = 0
    for first in range(0, N, g.block):
        last, count = first + g.block, min(g.block, N - first)
        places, dy = Ho * count * Wo, y[:Ho * count * Wo * K].reshape(Ho, count, Wo, K)
        scatter(delta[first:last], arg[first:last], g, dy)
        if g.narrow:
            patches = cols[:k * run * places].reshape(k * run, Ho, count, Wo)
            planes(x[first:last], k, stride, patches)
            gemm(True, True, dy.reshape(places, K), patches.reshape(k * run, places), 1, dM)
        else:
            patches = cols[:H * count * Wo * run].reshape(H, count * Wo, run)
            lines(x[first:last], k, stride, patches.reshape(H, count, Wo, run))
            for di in range(k):
                dM_di = dM[:, di * run:(di + 1) * run]
                if stride == 1:
                    gemm(True, False, dy.reshape(-1, K), patches[di:di + Ho].reshape(-1, run), 1, dM_di)
                else:
                    for i in range(Ho):
                        gemm(True, False, dy[i].reshape(-1, K), patches[i * stride + di], 1, dM_di)
        if want_dx:
            dx[first:last] = 0
            part = cols[:places * run]
            for di in range(k):
                gemm(False, False, dy.reshape(places, K), M[:, di * run:(di + 1) * run], 0, part.reshape(places, run))
                add_lines(part.reshape(Ho, count, Wo, run), di, stride, dx[first:last])
