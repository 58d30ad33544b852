"""out[n, i, j, c] = max over a window of z * y: max-pooling, with the argmax kept for backward, and its expectation."""

from .compiling import njit


@njit(nogil=True, cache=True)
def max_pool(y, size, stride, out, arg):
    """out[n, i, j, c] = max_{di, dj} y[n, i*stride + di, j*stride + dj, c];   arg = di*size + dj of the first maximum.

    y (N, H, W, C);   out (N, Ho, Wo, C), arg the same shape, uint8 or wider, both written. A NaN in the window comes out as NaN.
    """
    N, Ho, Wo, C = out.shape
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for c in range(C):
                    out[n, i, j, c] = y[n, i * stride, j * stride, c]
                    arg[n, i, j, c] = 0
                for w in range(1, size * size):
                    row, col = i * stride + w // size, j * stride + w % size
                    for c in range(C):
                        v = y[n, row, col, c]
                        if v > out[n, i, j, c] or v != v:
                            out[n, i, j, c] = v
                            arg[n, i, j, c] = w


@njit(nogil=True, cache=True)
def max_pool_backward(dout, arg, size, stride, dy):
    """dy[n, i*stride + di, j*stride + dj, c] += dout[n, i, j, c] where (di, dj) is the argmax: a subgradient at ties.

    dout, arg (N, Ho, Wo, C);   dy (N, H, W, C), written (zeroed first).
    """
    N, Ho, Wo, C = dout.shape
    for n in range(N):
        dy[n] = 0
        for i in range(Ho):
            for j in range(Wo):
                for c in range(C):
                    w = arg[n, i, j, c]
                    dy[n, i * stride + w // size, j * stride + w % size, c] += dout[n, i, j, c]


@njit(nogil=True, cache=True)
def expected_max_pool(y, keep, size, stride, window, out):
    """out[n, i, j, c] = E[max_w z_w y_w] over the window's independent z_w ~ Bernoulli(keep): exact, by sorting.

    With y_(1) >= y_(2) >= ... the maximum is the first *kept* positive, else 0 as soon as any unit is dropped:

        E = sum_{i: y_(i) > 0} keep (1 - keep)^(i-1) y_(i)   +   [no y > 0] keep^m y_(1),         m = size^2

    Wu and Gu, arXiv 1512.01400, derive the first term ("probabilistic weighted pooling") for non-negative units; the second
    is what negative responses add: the maximum is negative only if nothing at all was dropped.
    y (N, H, W, C);   window (size^2, C) scratch;   out (N, Ho, Wo, C), written. All channels of a window are sorted side by side.
    """
    N, Ho, Wo, C = out.shape
    m = size * size
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for w in range(m):
                    window[w] = y[n, i * stride + w // size, j * stride + w % size]
                for last in range(m - 1, 0, -1):  # bubble sort, descending
                    for w in range(last):
                        upper, lower = window[w], window[w + 1]
                        for c in range(C):
                            a, b = upper[c], lower[c]
                            upper[c], lower[c] = (b, a) if b > a else (a, b)
                total, largest, reach = out[n, i, j], window[0], keep  # reach = P(all larger dropped, this one kept)
                for c in range(C):
                    total[c] = (keep * largest[c]) if largest[c] > 0 else keep**m * largest[c]
                for w in range(1, m):
                    reach *= 1 - keep
                    value = window[w]
                    for c in range(C):
                        total[c] += reach * value[c] if value[c] > 0 else 0


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
