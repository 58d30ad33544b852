"""W ~ N(A, C^2), drawn at the outputs: two products forward, and on the way back the gradients of A and of C^2.

    f_n = r(A x_n + b + S_n o e_n),   S_n^2 = C^2 x_n^2        the local reparameterisation, with the ReLU or Tanh behind it
    d = dL/df, behind the function's slope;   g = dL/dS^2 = d o e/(2 S)
"""

import math

from .blas import gemm
from .compiling import njit
from .rise import rise_in_place


@njit(nogil=True, cache=True)
def local_columns(x, x2, A, C2, b, rise, e, start, stop, f, half):
    """f[n, k] = r(A_k x_n + b_k + S e[n, k]), S^2 = C2_k x2_n,  half[n, k] = e[n, k]/(2 S), 0 where S is;   for start <= k < stop.

    x, x2 = x^2 (B, D), A, C2 (K, D), b (K,), e (B or 1, K);   f, half (B, K): these columns are written.
    """
    part, variance = f[:, start:stop], half[:, start:stop]
    for n in range(len(part)):
        row = part[n]
        for k in range(len(row)):
            row[k] = b[start + k]
    gemm(False, True, x, A[start:stop], 1, part)
    gemm(False, True, x2, C2[start:stop], 0, variance)
    zero, one_half = x.dtype.type(0), x.dtype.type(0.5)
    for n in range(len(part)):
        row, own, drawn = part[n], variance[n], e[n if len(e) > 1 else 0, start:stop]
        for k in range(len(row)):
            S = math.sqrt(own[k])
            row[k] += S * drawn[k]
            own[k] = one_half * drawn[k] / S if S > zero else zero
        rise_in_place(row, rise)


@njit(nogil=True, cache=True)
def local_delta_columns(d, g, x, A, C2, start, stop, room, out):
    """out[n, j] = sum_k d[n, k] A[k, j] + 2 x[n, j] sum_k g[n, k] C2[k, j],  dL/dx, for start <= j < stop.

    d, g (B, K), A, C2 (K, D), x (B, D);   room, out (B, D): these columns are written.
    """
    part, more = out[:, start:stop], room[:, start:stop]
    gemm(False, False, d, A[:, start:stop], 0, part)
    gemm(False, False, g, C2[:, start:stop], 0, more)
    two = x.dtype.type(2)
    for n in range(len(part)):
        row, own, inputs = part[n], more[n], x[n, start:stop]
        for j in range(len(row)):
            row[j] += two * inputs[j] * own[j]


@njit(nogil=True, cache=True)
def local_gradient(d, g, x, x2, start, stop, M, V, w, additive, gM, gphi, gb):
    """For the rows start to stop of A, C^2 and b:   gA = sum_n d_n x_n^T,  G = dL/dC^2 = sum_n g_n x2_n^T,  gb = sum_n d_n, and

    additive,       A = M, C^2 = V:       gM = gA,            gphi = w G
    or not,         A = M, C^2 = V M^2:   gM = gA + 2 V M G,  gphi = w M^2 G

    with V = Var[z] and w = dV/dphi.   d, g (B, K), x, x2 (B, D), M (K, D), V, w (K, D) or (1, 1), w (0, 0) where nothing is learned;
    gM, gphi (R, D) and gb (R,) are written, gphi as room where nothing is learned.
    """
    two = M.dtype.type(2)
    gb[:] = 0
    for n in range(len(d)):
        row = d[n, start:stop]
        for k in range(len(row)):
            gb[k] += row[k]
    gemm(True, False, d[:, start:stop], x, 0, gM)
    gemm(True, False, g[:, start:stop], x2, 0, gphi)
    one_V, one_w = len(V) == 1, len(w) == 1
    for k in range(stop - start):
        G, own, m = gphi[k], gM[k], M[start + k]
        variance = V[0 if one_V else start + k]
        step = int(len(variance) > 1)
        if not additive:
            for j in range(len(G)):
                own[j] += two * variance[j * step] * m[j] * G[j]
                G[j] *= m[j] * m[j]
        if len(w):
            slope = w[0 if one_w else start + k]
            step = int(len(slope) > 1)
            for j in range(len(G)):
                G[j] *= slope[j * step]
