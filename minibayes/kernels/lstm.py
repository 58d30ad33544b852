"""Long short-term memory over all steps of a batch, forward and back through time, each way in one call; nn/lstm.py is its plain twin.

Arrays are those of gates.py. Loops over k write one array each: then they are vector instructions.
"""

from .compiling import njit
from .gates import into_inputs, into_state, into_weights, of_inputs, of_state
from .rise import tanh


@njit(nogil=True, cache=True)
def lstm(x, there, z, noisy, Mt, b, xz, hz, p, q, gates, states, memories):
    """for each step t:  a = M_x (z_x o x_t) + b + M_h (z_h o h_t-1),  i, f, o = sigmoid(a),  g = tanh(a_g),
    c_t = f o c_t-1 + i o g,  h_t = o o tanh c_t  where there[t], else c_t-1 and h_t-1.

    x (T, B, D), there (T, B), Mt (D + H, 4 H), b (4 H,).   xz (g, T, B, D) and hz (g, T, B, H), if noisy, gates (T, 5, B, H) = i, f, g, o,
    tanh c, states and memories (T + 1, B, H) = h and c are written, whose first are given;   p (P, B, 4 H), of P steps at a time, q (B,
    4 H): scratch. hz and gates may have room for one step instead of T, where no `lstm_backward` follows.
    """
    (T, B, _), H, P = x.shape, states.shape[2], len(p)
    half, one = Mt.dtype.type(0.5), Mt.dtype.type(1)
    for t in range(T):
        if t % P == 0:
            of_inputs(x, z, noisy, Mt, b, t, xz, p)
        at = t if len(gates) == T else 0
        of_state(states[t], z, noisy, Mt, t, hz, at, q)
        for n in range(B):
            for i in range(4):
                own, s, h, factor = gates[at, i, n], p[t % P, n, i * H:i * H + H], q[n, i * H:i * H + H], one if i == 2 else half
                for k in range(H):
                    own[k] = (s[k] + h[k]) * factor
        tanh(gates[at, :4].reshape(-1))
        for i in (0, 1, 3):
            a = gates[at, i].reshape(-1)
            for k in range(len(a)):
                a[k] = (one + a[k]) * half                                  # sigmoid(a) = (1 + tanh(a/2))/2
        for n in range(B):
            i, f, g, out = gates[at, 0, n], gates[at, 1, n], gates[at, 2, n], gates[at, 4, n]
            before, after = memories[t, n], memories[t + 1, n]
            for k in range(H):
                after[k] = f[k] * before[k] + i[k] * g[k]
            out[:] = after
            if not there[t, n]:
                after[:] = before
        tanh(gates[at, 4].reshape(-1))
        for n in range(B):
            o, out, after = gates[at, 3, n], gates[at, 4, n], states[t + 1, n]
            if there[t, n]:
                for k in range(H):
                    after[k] = o[k] * out[k]
            else:
                after[:] = states[t, n]


@njit(nogil=True, cache=True)
def lstm_backward(dy, dh, dc, x, there, z, noisy, M, xz, hz, gates, states, memories, da, back, dM, db, want_dx, dx):
    """for each step t, the last first:  dh += dy_t,  dc += dh o (1 - tanh^2 c_t),  da_i = dc g i (1 - i),  da_f = dc c_t-1 f (1 - f),
    da_g = dc i (1 - g^2),  da_o = dh tanh c_t o (1 - o),  dc = dc f,  dh = z_h o (M_h^T da).

    dy (B, T, H), or (B, 0, H) where only the last state is an output; dh, dc (B, H): their derivatives, overwritten.   da (T, B, 4 H) and
    back (B, H): scratch;   dM (4 H, D + H), db are written, and dx (T, B, D) = z_x o (M_x^T da), if wanted; xz is overwritten then.
    """
    T, H, one = len(x), dh.shape[1], M.dtype.type(1)
    db[:] = 0
    for t in range(T - 1, -1, -1):
        for n in range(len(dh)):
            a, d, m, before = da[t, n], dh[n], dc[n], memories[t, n]
            if not there[t, n]:
                a[:] = 0
                continue
            if dy.shape[1]:
                asked = dy[n, t]
                for k in range(H):
                    d[k] += asked[k]
            i, f, g, o, out = gates[t, 0, n], gates[t, 1, n], gates[t, 2, n], gates[t, 3, n], gates[t, 4, n]
            da_i, da_f, da_g, da_o = a[:H], a[H:2 * H], a[2 * H:3 * H], a[3 * H:]
            for k in range(H):
                m[k] += d[k] * o[k] * (one - out[k] * out[k])
            for k in range(H):
                da_i[k] = m[k] * g[k] * i[k] * (one - i[k])
            for k in range(H):
                da_f[k] = m[k] * before[k] * f[k] * (one - f[k])
            for k in range(H):
                da_g[k] = m[k] * i[k] * (one - g[k] * g[k])
            for k in range(H):
                da_o[k] = d[k] * out[k] * o[k] * (one - o[k])
            for k in range(H):
                m[k] *= f[k]
            d[:] = 0
            for k in range(4 * H):
                db[k] += a[k]
        if t > 0:  # the first state is given
            into_state(da[t], z, noisy, M, t, there[t], back, dh)
    into_weights(da, da, x, states, noisy, xz, hz, dM)
    if want_dx:
        into_inputs(da, z, noisy, M, xz[0], dx)
