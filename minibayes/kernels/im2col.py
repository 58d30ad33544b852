"""cols[(n, i, j), :] = the kernel patch of image n at (i, j): convolution becomes one matrix product; and its adjoint.

Images are channels-last (N, H, W, C), so a patch row of kw*C numbers lies contiguous in memory and is copied as a run.
"""

from .compiling import njit


@njit(nogil=True, cache=True)
def im2col(x, kh, kw, stride, padding, cols):
    """cols[n, i, j, di, dj, c] = x[n, i*stride + di - padding, j*stride + dj - padding, c], and 0 outside the image.

    x (N, H, W, C);   cols (N, Ho, Wo, kh*kw*C), written.
    """
    N, H, W, C = x.shape
    _, Ho, Wo, _ = cols.shape
    run = kw * C
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                left = j * stride - padding
                for di in range(kh):
                    row, at = i * stride + di - padding, di * run
                    if 0 <= row < H and 0 <= left and left + kw <= W:
                        for dj in range(kw):
                            for c in range(C):
                                cols[n, i, j, at + dj * C + c] = x[n, row, left + dj, c]
                    else:
                        for dj in range(kw):
                            inside = 0 <= row < H and 0 <= left + dj < W
                            for c in range(C):
                                cols[n, i, j, at + dj * C + c] = x[n, row, left + dj, c] if inside else 0


@njit(nogil=True, cache=True)
def col2im(cols, kh, kw, stride, padding, x):
    """x[n, i*stride + di - padding, j*stride + dj - padding, c] += cols[n, i, j, di, dj, c]: the adjoint of im2col.

    cols (N, Ho, Wo, kh*kw*C);   x (N, H, W, C), written (zeroed first). <im2col x, c> = <x, col2im c> for all x, c.
    """
    N, H, W, C = x.shape
    _, Ho, Wo, _ = cols.shape
    run = kw * C
    for n in range(N):
        x[n] = 0
        for i in range(Ho):
            for j in range(Wo):
                left = j * stride - padding
                for di in range(kh):
                    row, at = i * stride + di - padding, di * run
                    if 0 <= row < H:
                        for dj in range(kw):
                            if 0 <= left + dj < W:
                                for c in range(C):
                                    x[n, row, left + dj, c] += cols[n, i, j, at + dj * C + c]
