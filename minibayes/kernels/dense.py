"""Dense layers with their noise, ReLUs and Tanhs, one after another, forward and backward, each way in one call.

All arguments that end in s are tuples with one entry a layer.
"""

import numpy as np

from .blas import gemm
from .compiling import njit
from .rise import RELU, rise_in_place, times_slope

SPARSE = 0.35  # the share of non-zeros in dL/df up to which a row-sparse product wins over BLAS
WIDE = 1024  # columns of a row-sparse product at a time: what they need of b stays in the second-level cache


@njit(nogil=True, cache=True)
def dense_stack(x, Ms, bs, zs, noisy, rises, xzs, fs):
    """for each layer l:  f_l = r_l(M_l (z_l o x) + b_l), r_l by rises[l] (rise.py);  x = f_l.

    x (B, D), z_l (B or 1, D_l or 1), M_l (K_l, D_l), b_l (K_l,);   xz_l = z_l o x (B, D_l), if noisy[l], and f_l (B, K_l) are written.
    """
    for l in range(len(Ms)):
        if noisy[l]:
            multiply(x, zs[l], xzs[l])
            dense(xzs[l], Ms[l], bs[l], rises[l], fs[l])
        else:
            dense(x, Ms[l], bs[l], rises[l], fs[l])
        x = fs[l]


@njit(nogil=True, cache=True)
def dense(x, M, b, rise, f):
    """f[n] = r(M x_n + b).   x (B, D), M (K, D), b (K,);   f (B, K) is written."""
    for n in range(len(f)):
        for k in range(len(b)):
            f[n, k] = b[k]
    gemm(False, True, x, M, 1, f)
    rise_in_place(f.reshape(-1), rise)


@njit(nogil=True, cache=True)
def multiply(x, z, out):
    """out[n, d] = x[n, d] z[n, d].   z (B or 1, D or 1)."""
    if z.shape == x.shape:
        flat, noise, product = x.reshape(-1), z.reshape(-1), out.reshape(-1)
        for i in range(len(flat)):
            product[i] = flat[i] * noise[i]
        return
    zn, zd = int(z.shape[0] > 1), z.shape[1] > 1
    for n in range(len(x)):
        row, drawn, o = x[n], z[n * zn], out[n]
        if zd:
            for d in range(len(row)):
                o[d] = row[d] * drawn[d]
        else:
            for d in range(len(row)):
                o[d] = row[d] * drawn[0]


@njit(nogil=True, cache=True)
def multiply_in_place(x, z):
    """x[n, d] *= z[n, d].   z (B or 1, D or 1). A loop of its own: `multiply` cannot use vector instructions where out is x."""
    if z.shape == x.shape:
        flat, noise = x.reshape(-1), z.reshape(-1)
        for i in range(len(flat)):
            flat[i] *= noise[i]
        return
    zn, zd = int(z.shape[0] > 1), int(z.shape[1] > 1)
    for n in range(len(x)):
        row, drawn = x[n], z[n * zn]
        for d in range(len(row)):
            row[d] *= drawn[d * zd]


@njit(nogil=True, cache=True)
def non_zeros(d):
    """How many numbers of d (n,) are not 0."""
    count = 0
    for i in range(len(d)):
        count += d[i] != 0
    return count


@njit(nogil=True, cache=True, fastmath={"contract"})
def sparse_product(a, b, c):
    """c[i, :] = sum over j with a[i, j] != 0 of a[i, j] b[j, :], by eights.   a (I, J), any strides;  b (J, D);  c (I, D), written."""
    (I, J), D = a.shape, b.shape[1]
    value, row, numbers = np.empty(J + 8, a.dtype), np.empty(J + 8, np.uint64), b.reshape(-1)
    for first in range(0, D, WIDE):
        last = min(first + WIDE, D)
        for i in range(I):
            count, out = 0, c[i, first:last]
            for j in range(J):
                value[count], row[count] = a[i, j], np.uint64(j * D + first)
                count += a[i, j] != 0
            while count % 8:  # fill up with zeros times something that exists
                value[count], row[count] = 0, np.uint64(first)
                count += 1
            out[:] = 0
            for s in range(0, count, 8):
                v0, v1, v2, v3 = value[s], value[s + 1], value[s + 2], value[s + 3]
                v4, v5, v6, v7 = value[s + 4], value[s + 5], value[s + 6], value[s + 7]
                r0, r1, r2, r3 = row[s], row[s + 1], row[s + 2], row[s + 3]
                r4, r5, r6, r7 = row[s + 4], row[s + 5], row[s + 6], row[s + 7]
                for i_d in range(len(out)):
                    d = np.uint64(i_d)
                    out[d] += ((v0 * numbers[r0 + d] + v1 * numbers[r1 + d] + v2 * numbers[r2 + d] + v3 * numbers[r3 + d])
                               + (v4 * numbers[r4 + d] + v5 * numbers[r5 + d] + v6 * numbers[r6 + d] + v7 * numbers[r7 + d]))


@njit(nogil=True, cache=True)
def dense_stack_backward(df, x, Ms, zs, noisy, rises, xzs, fs, ds, dMs, dbs, want_dx, dx):
    """for each layer l, the last first:  df = df r_l'(f_l);  dM_l = sum_n df[n] xz_l[n]^T,  db_l = sum_n df[n];
    df = z_l o (M_l^T df), the derivative in the layer's input.

    ds: scratch in the shapes of fs;   dM_l, db_l are written, and dx, the derivative in x, if wanted. Behind a ReLU, and dropped by the
    next layer's noise, most of df is exactly zero: then the products are row-sparse.
    """
    d = df
    for back in range(len(Ms)):
        l, sparse = len(Ms) - 1 - back, False
        if rises[l]:
            if back == 0:  # df is the caller's
                d, flat, own = ds[l], df.reshape(-1), ds[l].reshape(-1)
                for i in range(len(own)):
                    own[i] = flat[i]
            times_slope(d.reshape(-1), fs[l].reshape(-1), rises[l])
            sparse = rises[l] == RELU and non_zeros(d.reshape(-1)) < SPARSE * d.size
        inputs = x
        if noisy[l]:
            inputs = xzs[l]
        elif l > 0:
            inputs = fs[l - 1]
        if sparse:
            sparse_product(d.T, inputs, dMs[l])
        else:
            gemm(True, False, d, inputs, 0, dMs[l])
        db = dbs[l]
        db[:] = 0
        for n in range(len(d)):
            for k in range(len(db)):
                db[k] += d[n, k]
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
        d = din
