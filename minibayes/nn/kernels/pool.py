"""out[n, i, j, c] = max over a window of z * y: max-pooling, with the argmax kept for backward, and its expectation."""

from numba import njit


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
    y (N, H, W, C);   window (size^2,) scratch;   out (N, Ho, Wo, C), written.
    """
    N, Ho, Wo, C = out.shape
    m = size * size
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                for c in range(C):
                    for w in range(m):  # insertion sort, descending
                        v = y[n, i * stride + w // size, j * stride + w % size, c]
                        at = w
                        while at > 0 and window[at - 1] < v:
                            window[at] = window[at - 1]
                            at -= 1
                        window[at] = v
                    if window[0] > 0:
                        total, reach = 0.0, keep  # reach = P(all larger dropped, this one kept)
                        for w in range(m):
                            if window[w] > 0:
                                total += reach * window[w]
                                reach *= 1 - keep
                        out[n, i, j, c] = total
                    else:
                        out[n, i, j, c] = keep**m * window[0]
