"""The products of recurrent gates with their noise, M_g (z_g o row), forward and back: what a GRU and an LSTM share.

Arrays have the time first: x (T, B, D). z (B or 1, T or 1, g, D + H): for inputs and state, of a sequence or of each of its steps, one for
all gates (g = 1) or one for each. M (G H, D + H), gate under gate; its first D columns act on inputs. Forward takes Mt, its transpose, row
after row: BLAS multiplies few rows by it in two thirds of the time. nn/recurrent.py says what is computed, and why.
"""

from .blas import gemm
from .compiling import njit


@njit(nogil=True, cache=True)
def masked(rows, z, t, first, out, at):
    """out[g, at, n, d] = rows[n, d] z[n, t, g, first + d].   rows (B, K), z (B or 1, T or 1, g, D + H);   out (g, T', B, K), written."""
    zn, zt, K = int(z.shape[0] > 1), int(z.shape[1] > 1), rows.shape[1]
    for g in range(len(out)):
        for n in range(len(rows)):
            row, drawn, o = rows[n], z[n * zn, t * zt, g, first:first + K], out[g, at, n]
            for d in range(K):
                o[d] = row[d] * drawn[d]


@njit(nogil=True, cache=True)
def of_inputs(x, z, noisy, Mt, b, t, xz, p):
    """p[s] = M_x (z_x o x_t+s) + b for the steps t ... t + P - 1, as far as there are any.

    x (T, B, D), Mt (D + H, G H), b (G H,);   xz (g, T, B, D), if noisy, and p (P, B, G H) are written.
    """
    (T, B, D), K = x.shape, len(b)
    end, own = min(t + len(p), T), K // len(xz)
    some = p[:end - t].reshape((end - t) * B, K)
    for n in range(len(some)):
        some[n, :] = b
    if not noisy:
        gemm(False, False, x[t:end].reshape((end - t) * B, D), Mt[:D], 1, some)
        return
    for s in range(t, end):
        masked(x[s], z, s, 0, xz, s)
    for g in range(len(xz)):
        k = g * own
        gemm(False, False, xz[g, t:end].reshape((end - t) * B, D), Mt[:D, k:k + own], 1, some[:, k:k + own])


@njit(nogil=True, cache=True)
def of_state(h, z, noisy, Mt, t, hz, at, q):
    """q = M_h (z_h o h).   h (B, H), Mt (D + H, G H);   hz[:, at] of hz (g, T', B, H), if noisy, and q (B, G H) are written."""
    D, own = len(Mt) - h.shape[1], Mt.shape[1] // len(hz)
    if not noisy:
        gemm(False, False, h, Mt[D:], 0, q)
        return
    masked(h, z, t, D, hz, at)
    for g in range(len(hz)):
        k = g * own
        gemm(False, False, hz[g, at], Mt[D:, k:k + own], 0, q[:, k:k + own])


@njit(nogil=True, cache=True)
def into_state(dq, z, noisy, M, t, there, back, dh):
    """dh[n] += sum_g z_h,g o (M_h,g^T dq_g[n]) where there[n].   dq (B, G H), there (B,);   back (B, H): scratch;   dh (B, H), written."""
    H, zn, zt = dh.shape[1], int(z.shape[0] > 1), int(z.shape[1] > 1)
    D, own = M.shape[1] - H, len(M) // z.shape[2]
    for g in range(z.shape[2]):
        k = g * own
        gemm(False, False, dq[:, k:k + own], M[k:k + own, D:], 0, back)
        for n in range(len(dh)):
            d, more = dh[n], back[n]
            if there[n] and noisy:
                drawn = z[n * zn, t * zt, g, D:]
                for i in range(H):
                    d[i] += more[i] * drawn[i]
            elif there[n]:
                for i in range(H):
                    d[i] += more[i]


@njit(nogil=True, cache=True)
def into_inputs(dp, z, noisy, M, back, dx):
    """dx_t = sum_g z_x,g o (M_x,g^T dp_t,g).   dp (T, B, G H), M (G H, D + H);   back (T, B, D): scratch;   dx (T, B, D), written."""
    T, B, D = dx.shape
    zn, zt, own = int(z.shape[0] > 1), int(z.shape[1] > 1), len(M) // z.shape[2]
    flat = dp.reshape(T * B, len(M))
    if not noisy:
        gemm(False, False, flat, M[:, :D], 0, dx.reshape(T * B, D))
        return
    dx[:] = 0
    for g in range(z.shape[2]):
        k = g * own
        gemm(False, False, flat[:, k:k + own], M[k:k + own, :D], 0, back.reshape(T * B, D))
        for t in range(T):
            for n in range(B):
                d, more, drawn = dx[t, n], back[t, n], z[n * zn, t * zt, g, :D]
                for i in range(D):
                    d[i] += more[i] * drawn[i]


@njit(nogil=True, cache=True)
def into_M(da, rows, dM):
    """dM_g = sum_tn da_g[t, n] rows[g, t, n]^T.   da (T, B, G H), rows (g, T, B, K);   dM (G H, K), written."""
    (g_all, T, B, K), own = rows.shape, len(dM) // len(rows)
    flat = da.reshape(T * B, len(dM))
    for g in range(g_all):
        k = g * own
        gemm(True, False, flat[:, k:k + own], rows[g].reshape(T * B, K), 0, dM[k:k + own])


@njit(nogil=True, cache=True)
def into_weights(dp, dq, x, states, noisy, xz, hz, dM):
    """dM = (dM_x, dM_h), from the derivatives dp in the inputs' part of the gates' sums and dq in the state's.

    dp, dq (T, B, G H), x (T, B, D), states (T + 1, B, H), xz (g, T, B, D) and hz (g, T, B, H) if noisy;   dM (G H, D + H), written.
    """
    T, B, D = x.shape
    if noisy:
        into_M(dp, xz, dM[:, :D])
        into_M(dq, hz, dM[:, D:])
    else:
        into_M(dp, x.reshape(1, T, B, D), dM[:, :D])
        into_M(dq, states[:T].reshape(1, T, B, states.shape[2]), dM[:, D:])
