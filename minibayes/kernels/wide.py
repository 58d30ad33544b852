"""Dense layers of many weights: products for all of a batch by columns, then gradient and optimizer step together by rows of M."""

from .blas import gemm
from .compiling import njit
from .dense import SPARSE, sparse_product
from .rise import rise_in_place, times_slope
from .update import adam, sgd, square_sum


@njit(nogil=True, cache=True)
def dense_columns(x, M, b, rise, z, start, stop, f, xz):
    """f[n, k] = r(M_k x_n + b_k),  and for the layer behind, if xz is not empty, xz[n, k] = z[n, k] f[n, k];   for start <= k < stop.

    x (B, D), M (K, D), b (K,), z (B or 1, K or 1);   f (B, K), xz (B or 0, K): these columns are written.
    """
    part = f[:, start:stop]
    for n in range(len(part)):
        row = part[n]
        for k in range(len(row)):
            row[k] = b[start + k]
    gemm(False, True, x, M[start:stop], 1, part)
    for n in range(len(part)):
        row = part[n]
        rise_in_place(row, rise)
        if len(xz):
            drawn, product = z[n if len(z) > 1 else 0], xz[n, start:stop]
            if len(drawn) > 1:
                own = drawn[start:stop]
                for k in range(len(row)):
                    product[k] = row[k] * own[k]
            else:
                for k in range(len(row)):
                    product[k] = row[k] * drawn[0]


@njit(nogil=True, cache=True)
def delta_columns(d, M, z, noisy, rise, f, start, stop, out):
    """out[n, j] = r'(f[n, j]) z[n, j] sum_k d[n, k] M[k, j]:  the delta of the layer before, for start <= j < stop; z only if noisy.

    d (B, K), M (K, D), z (B or 1, D or 1), f (B, D), of r by `rise`;   out (B, D): these columns are written.
    """
    part = out[:, start:stop]
    gemm(False, False, d, M[:, start:stop], 0, part)
    for n in range(len(part)):
        row = part[n]
        if noisy:
            drawn = z[n if len(z) > 1 else 0]
            if len(drawn) > 1:
                own = drawn[start:stop]
                for j in range(len(row)):
                    row[j] *= own[j]
            else:
                for j in range(len(row)):
                    row[j] *= drawn[0]
        if rise:
            times_slope(row, f[n, start:stop], rise)


@njit(nogil=True, cache=True)
def rows_gradient(d, x, gM, gb):
    """gM[k, :] = sum_n d[n, k] x[n, :],  gb[k] = sum_n d[n, k].   d (B, R), its rows apart;  x (B, D);  gM (R, D), gb (R,), written."""
    count = 0
    gb[:] = 0
    for n in range(len(d)):
        row = d[n]
        for k in range(len(row)):
            gb[k] += row[k]
            count += row[k] != 0
    if count < SPARSE * d.size:
        sparse_product(d.T, x, gM)
    else:
        gemm(True, False, d, x, 0, gM)


@njit(nogil=True, cache=True)
def whole_gradient(d, x, start, stop, at_M, at_b, more, decay, theta, g):
    """The gradient of rows start to stop of M, and of those of b behind it, end to end in g (n,); for the rest see sgd_rows.

    1/2 sum of decay theta^2 over them is returned.
    """
    D, R = x.shape[1], stop - start
    rows_gradient(d[:, start:stop], x, g[:R * D].reshape(R, D), g[R * D:R * D + R])
    for i in range(len(more)):
        g[i] += more[i]
    penalty = 0.0
    for p in range(2):
        part, a = g[:R * D], at_M + start * D
        if p == 1:
            part, a = g[R * D:R * D + R], at_b + start
        own = theta[a:a + len(part)]
        for i in range(len(part)):
            part[i] += decay[p] * own[i]
        penalty += decay[p] * square_sum(own) / 2
    return penalty


@njit(nogil=True, cache=True)
def sgd_rows(d, x, start, stop, at_M, at_b, more, decay, rate, theta, v, momentum, theta_out, v_out, g):
    """Rows start to stop of one layer's M and b: their gradient from all of the batch, and sgd (update.py), while it is in cache.

    d (B, K), x (B, D);  M begins at at_M in the flat arrays theta, v and the outputs, b at at_b;  more (R (D + 1),) is the rest of the
    gradient of these rows of M and, behind them, of b, or empty;  decay, rate (2,) of M and b;  g (R (D + 1),) scratch.
    1/2 sum of decay theta^2 over them is returned.
    """
    penalty, D = whole_gradient(d, x, start, stop, at_M, at_b, more, decay, theta, g), x.shape[1]
    first = 0
    for p, a, size in ((0, at_M + start * D, (stop - start) * D), (1, at_b + start, stop - start)):
        b = a + size
        sgd(theta[a:b], g[first:first + size], v[a:b], rate[p], momentum, theta_out[a:b], v_out[a:b])
        first += size
    return penalty


@njit(nogil=True, cache=True)
def adam_rows(d, x, start, stop, at_M, at_b, more, decay, rate, theta, m, s, beta1, beta2, epsilon, correction1, correction2, theta_out,
              m_out, s_out, g):
    """sgd_rows with adam in the place of sgd."""
    penalty, D = whole_gradient(d, x, start, stop, at_M, at_b, more, decay, theta, g), x.shape[1]
    first = 0
    for p, a, size in ((0, at_M + start * D, (stop - start) * D), (1, at_b + start, stop - start)):
        b = a + size
        adam(theta[a:b], g[first:first + size], m[a:b], s[a:b], rate[p], beta1, beta2, epsilon, correction1, correction2,
             theta_out[a:b], m_out[a:b], s_out[a:b])
        first += size
    return penalty
