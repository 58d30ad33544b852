"""Dense layers of many weights: the deltas of a shard alone, then gradient and optimizer step together, some rows of M at a time.

All arguments that end in s are tuples with one entry a layer.
"""

from .blas import gemm
from .compiling import njit
from .dense import SPARSE, multiply_in_place, non_zeros, sparse_product
from .rise import RELU, times_slope
from .update import adam, sgd, square_sum


@njit(nogil=True, cache=True)
def dense_stack_deltas(df, Ms, zs, noisy, rises, fs, ds, want_dx, dx):
    """for each layer l, the last first:  d_l = df r_l'(f_l);  df = z_l o (M_l^T d_l), the derivative in the layer's input.

    As dense_stack_backward, without dM and db:   d_l (B, K_l) is written, and dx, the derivative in the first layer's input, if wanted.
    """
    last = len(Ms) - 1
    flat, own = df.reshape(-1), ds[last].reshape(-1)
    for i in range(len(own)):
        own[i] = flat[i]
    for back in range(len(Ms)):
        l, sparse = last - back, False
        d = ds[l]
        if rises[l]:
            times_slope(d.reshape(-1), fs[l].reshape(-1), rises[l])
            sparse = rises[l] == RELU and non_zeros(d.reshape(-1)) < SPARSE * d.size
        if l == 0 and not want_dx:
            break
        din = dx
        if l > 0:
            din = ds[l - 1]
        if sparse:
            sparse_product(d, Ms[l], din)
        else:
            gemm(False, False, d, Ms[l], 0, din)
        if noisy[l]:
            multiply_in_place(din, zs[l])


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
