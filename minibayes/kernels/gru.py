"""A gated recurrent unit over all steps of a batch, forward and back through time, each way in one call.

Arrays have the time first: x (T, B, D). nn/gru.py says what is computed, and why.
"""


from .blas import gemm
from .compiling import njit
from .rise import tanh


@njit(nogil=True, cache=True)
def scaled(x, z, out):
    """out[n, d] = x[n, d] z[n, d].   z (B or 1, D)."""
    zn = int(z.shape[0] > 1)
    for n in range(len(x)):
        row, drawn, o = x[n], z[n * zn], out[n]
        for d in range(len(row)):
            o[d] = row[d] * drawn[d]


@njit(nogil=True, cache=True)
def gru(x, there, z, noisy, M, b, c, half, xz, hz, p, q, gates, states):
    """for each step t:  p = M_x (z_x o x_t) + b,  q = M_h (z_h o h_t-1),  r, u = sigmoid(p + q),  n = tanh(p_n + r o (q_n + c)),
    h_t = n + u o (h_t-1 - n) where there[t], else h_t-1.

    x (T, B, D), there (T, B), z (B or 1, D + H), M (3 H, D + H), b (3 H,), c (H,); half: 1/2.   xz (T, B, D) and hz (T, B, H), if noisy,
    gates (T, B, 4 H) = r, u, n, q_n + c, and states (T + 1, B, H) are written, whose first is given;   p, q (B, 3 H): scratch.
    """
    T, B, D = x.shape
    H = len(c)
    Mx, Mh = M[:, :D], M[:, D:]
    one = half + half
    for t in range(T):
        inputs, h = x[t], states[t]
        if noisy:
            scaled(x[t], z[:, :D], xz[t])
            scaled(states[t], z[:, D:], hz[t])
            inputs, h = xz[t], hz[t]
        for n in range(B):
            p[n, :] = b
        gemm(False, True, inputs, Mx, 1, p)
        gemm(False, True, h, Mh, 0, q)
        for n in range(B):
            own, sums, hidden = gates[t, n], p[n], q[n]
            for k in range(2 * H):
                own[k] = (sums[k] + hidden[k]) * half
            tanh(own[:2 * H])
            for k in range(2 * H):
                own[k] = (one + own[k]) * half
            for k in range(H):
                own[3 * H + k] = hidden[2 * H + k] + c[k]
            for k in range(H):
                own[2 * H + k] = sums[2 * H + k] + own[k] * own[3 * H + k]
            tanh(own[2 * H:3 * H])
            before, after = states[t, n], states[t + 1, n]
            if there[t, n]:
                for k in range(H):
                    new = own[2 * H + k]
                    after[k] = new + own[H + k] * (before[k] - new)
            else:
                after[:] = before


@njit(nogil=True, cache=True)
def gru_backward(dy, dh, x, there, z, noisy, M, half, xz, hz, gates, states, dp, dq, back, dM, db, dc, want_dx, dx):
    """for each step t, the last first:  dh += dy_t,  da_u = dh (h_t-1 - n) u (1 - u),  da_n = dh (1 - u) (1 - n^2),
    da_r = da_n (q_n + c) r (1 - r),  dp = (da_r, da_u, da_n),  dq = (da_r, da_u, da_n r),  dh = dh u + z_h o (M_h^T dq).

    dy (T, B, H), or (0, B, H) where only the last state is an output; dh (B, H): its derivative, overwritten.   dp, dq (T, B, 3 H) and
    back (B, H): scratch;   dM (3 H, D + H), db, dc are written, and dx (T, B, D) = z_x o (M_x^T dp), if wanted.
    """
    T, B, D = x.shape
    H = dh.shape[1]
    Mx, Mh = M[:, :D], M[:, D:]
    one = half + half
    db[:] = 0
    dc[:] = 0
    for back_t in range(T):
        t = T - 1 - back_t
        for n in range(B):
            to_p, to_q, own, before, d = dp[t, n], dq[t, n], gates[t, n], states[t, n], dh[n]
            if not there[t, n]:
                to_p[:] = 0
                to_q[:] = 0
                continue
            if len(dy):
                asked = dy[t, n]
                for k in range(H):
                    d[k] += asked[k]
            for k in range(H):
                r, u, new, q_n = own[k], own[H + k], own[2 * H + k], own[3 * H + k]
                da_n = d[k] * (one - u) * (one - new * new)
                da_r = da_n * q_n * r * (one - r)
                da_u = d[k] * (before[k] - new) * u * (one - u)
                to_p[k], to_p[H + k], to_p[2 * H + k] = da_r, da_u, da_n
                to_q[k], to_q[H + k], to_q[2 * H + k] = da_r, da_u, da_n * r
                d[k] *= u
            for k in range(3 * H):
                db[k] += to_p[k]
            for k in range(H):
                dc[k] += to_q[2 * H + k]
        if t == 0:
            break  # the first state is given
        gemm(False, False, dq[t], Mh, 0, back)
        zn = int(z.shape[0] > 1)
        for n in range(B):
            if there[t, n]:
                d, more, drawn = dh[n], back[n], z[n * zn, D:]
                if noisy:
                    for k in range(H):
                        d[k] += more[k] * drawn[k]
                else:
                    for k in range(H):
                        d[k] += more[k]
    inputs, h = x, states[:T]
    if noisy:
        inputs, h = xz, hz
    gemm(True, False, dp.reshape(T * B, 3 * H), inputs.reshape(T * B, D), 0, dM[:, :D])
    gemm(True, False, dq.reshape(T * B, 3 * H), h.reshape(T * B, H), 0, dM[:, D:])
    if want_dx:
        gemm(False, False, dp.reshape(T * B, 3 * H), Mx, 0, dx.reshape(T * B, D))
        if noisy:
            for t in range(T):
                scaled(dx[t], z[:, :D], xz[t])
                dx[t] = xz[t]
