"""Dense layers with their noise and ReLUs, one after another, forward and backward, each way in one call.

All arguments that end in s are tuples with one entry a layer.
"""

from numba import njit

from .blas import gemm


@njit(nogil=True, cache=True)
def dense_stack(x, Ms, bs, zs, noisy, relu, xzs, fs):
    """for each layer l:  f_l = M_l (z_l o x) + b_l, and max(f_l, 0) if relu[l];  x = f_l.

    x (B, D), z_l (B or 1, D_l or 1), M_l (K_l, D_l), b_l (K_l,);   xz_l = z_l o x (B, D_l), if noisy[l], and f_l (B, K_l) are written.
    """
    for l in range(len(Ms)):
        f, b = fs[l], bs[l]
        for n in range(len(f)):
            for k in range(len(b)):
                f[n, k] = b[k]
        if noisy[l]:
            multiply(x, zs[l], xzs[l])
            gemm(False, True, xzs[l], Ms[l], 1, f)
        else:
            gemm(False, True, x, Ms[l], 1, f)
        if relu[l]:
            flat = f.reshape(-1)
            for i in range(len(flat)):
                flat[i] = 0 if flat[i] <= 0 else flat[i]  # a NaN stays
        x = f


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
def where_positive(df, f, out):
    """out = df [f > 0]: the derivative of a ReLU whose output is f."""
    flat, d, o = f.reshape(-1), df.reshape(-1), out.reshape(-1)
    for i in range(len(flat)):
        o[i] = d[i] * (flat[i] > 0)  # without a branch, which would be guessed wrong half of the time


@njit(nogil=True, cache=True)
def dense_stack_backward(df, x, Ms, zs, noisy, relu, xzs, fs, ds, dMs, dbs, want_dx, dx):
    """for each layer l, the last first:  df = df [f_l > 0] if relu[l];  dM_l = sum_n df[n] xz_l[n]^T,  db_l = sum_n df[n];
    df = z_l o (M_l^T df), the derivative in the layer's input.

    ds: scratch in the shapes of fs;   dM_l, db_l are written, and dx, the derivative in x, if wanted.
    """
    d = df
    for back in range(len(Ms)):
        l = len(Ms) - 1 - back
        if relu[l]:
            where_positive(d, fs[l], ds[l])
            d = ds[l]
        inputs = x
        if noisy[l]:
            inputs = xzs[l]
        elif l > 0:
            inputs = fs[l - 1]
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
        gemm(False, False, d, Ms[l], 0, din)
        if noisy[l]:
            multiply(din, zs[l], din)
        d = din
