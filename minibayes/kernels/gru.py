"""A gated recurrent unit over all steps of a batch, forward and back through time, each way in one call; nn/gru.py is its plain twin.

Arrays are those of gates.py. Loops over k write one array each: then they are vector instructions.
"""

from .compiling import njit
from .gates import into_inputs, into_state, into_weights, of_inputs, of_state
from .rise import tanh


@njit(nogil=True, cache=True)
def gru(x, there, z, noisy, Mt, b, c, xz, hz, p, q, gates, states):
    """for each step t:  p = M_x (z_x o x_t) + b,  q = M_h (z_h o h_t-1),  r, u = sigmoid(p + q),  n = tanh(p_n + r o (q_n + c)),
    h_t = n + u o (h_t-1 - n) where there[t], else h_t-1.

    x (T, B, D), there (T, B), Mt (D + H, 3 H), b (3 H,), c (H,).   xz (g, T, B, D), hz (g, T, B, H), if noisy, gates (T, 4, B, H) = r, u,
    n, q_n + c, and states (T + 1, B, H) are written, whose first is given;   p (P, B, 3 H), of P steps at a time, q (B, 3 H): scratch.
    hz and gates may have room for one step instead of T, where no `gru_backward` follows.
    """
    (T, B, _), H, P = x.shape, len(c), len(p)
    half, one = Mt.dtype.type(0.5), Mt.dtype.type(1)
    for t in range(T):
        if t % P == 0:
            of_inputs(x, z, noisy, Mt, b, t, xz, p)
        at = t if len(gates) == T else 0
        of_state(states[t], z, noisy, Mt, t, hz, at, q)
        for n in range(B):
            sums, hidden = p[t % P, n], q[n]
            for i in range(2):
                own, s, h = gates[at, i, n], sums[i * H:i * H + H], hidden[i * H:i * H + H]
                for k in range(H):
                    own[k] = (s[k] + h[k]) * half
        both = gates[at, :2].reshape(-1)
        tanh(both)
        for i in range(len(both)):
            both[i] = (one + both[i]) * half                                # sigmoid(a) = (1 + tanh(a/2))/2
        for n in range(B):
            r, new, q_n, s, h = gates[at, 0, n], gates[at, 2, n], gates[at, 3, n], p[t % P, n, 2 * H:], q[n, 2 * H:]
            for k in range(H):
                q_n[k] = h[k] + c[k]
            for k in range(H):
                new[k] = s[k] + r[k] * q_n[k]
        tanh(gates[at, 2].reshape(-1))
        for n in range(B):
            u, new, before, after = gates[at, 1, n], gates[at, 2, n], states[t, n], states[t + 1, n]
            if there[t, n]:
                for k in range(H):
                    after[k] = new[k] + u[k] * (before[k] - new[k])
            else:
                after[:] = before


@njit(nogil=True, cache=True)
def gru_backward(dy, dh, x, there, z, noisy, M, xz, hz, gates, states, dp, dq, back, dM, db, dc, want_dx, dx):
    """for each step t, the last first:  dh += dy_t,  da_u = dh (h_t-1 - n) u (1 - u),  da_n = dh (1 - u) (1 - n^2),
    da_r = da_n (q_n + c) r (1 - r),  dp = (da_r, da_u, da_n),  dq = (da_r, da_u, da_n r),  dh = dh u + z_h o (M_h^T dq).

    dy (B, T, H), or (B, 0, H) where only the last state is an output; dh (B, H): its derivative, overwritten.   dp, dq (T, B, 3 H) and
    back (B, H): scratch;   dM (3 H, D + H), db, dc are written, and dx (T, B, D) = z_x o (M_x^T dp), if wanted; xz is overwritten then.
    """
    T, H, one = len(x), dh.shape[1], M.dtype.type(1)
    db[:] = 0
    dc[:] = 0
    for t in range(T - 1, -1, -1):
        for n in range(len(dh)):
            to_p, to_q, d, before = dp[t, n], dq[t, n], dh[n], states[t, n]
            if not there[t, n]:
                to_p[:] = 0
                to_q[:] = 0
                continue
            if dy.shape[1]:
                asked = dy[n, t]
                for k in range(H):
                    d[k] += asked[k]
            r, u, new, q_n = gates[t, 0, n], gates[t, 1, n], gates[t, 2, n], gates[t, 3, n]
            da_r, da_u, da_n, dq_n = to_p[:H], to_p[H:2 * H], to_p[2 * H:], to_q[2 * H:]
            for k in range(H):
                da_n[k] = d[k] * (one - u[k]) * (one - new[k] * new[k])
            for k in range(H):
                da_u[k] = d[k] * (before[k] - new[k]) * u[k] * (one - u[k])
            for k in range(H):
                dq_n[k] = da_n[k] * r[k]
            for k in range(H):
                da_r[k] = dq_n[k] * q_n[k] * (one - r[k])
            for k in range(H):
                d[k] *= u[k]
            to_q[:2 * H] = to_p[:2 * H]
            for k in range(3 * H):
                db[k] += to_p[k]
            for k in range(H):
                dc[k] += dq_n[k]
        if t > 0:  # the first state is given
            into_state(dq[t], z, noisy, M, t, there[t], back, dh)
    into_weights(dp, dq, x, states, noisy, xz, hz, dM)
    if want_dx:
        into_inputs(dp, z, noisy, M, xz[0], dx)
