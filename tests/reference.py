"""The naive forms: loops over single numbers, written to be read. What the fast code is tested against."""

import math

import numpy as np


def philox(counter, key):
    """Philox4x32-10 in Python integers, from the description in Salmon et al., SC 2011."""
    c, k, low = [int(v) for v in counter], [int(v) for v in key], 2**32 - 1
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & low, (p0 >> 32) ^ c[3] ^ k[1], p0 & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


def bernoulli_unit(keep, unit, units, example, layer, t, key):
    """One z of a layer of `units`: compare the digits of keep with random bits, first digit first."""
    block, lane = divmod(unit, 128)
    per_call = 4 if units <= 32 else 2 if units <= 64 else 1
    rest = keep
    for i in range(64):
        digit, rest = divmod(2 * rest, 1)
        place = i % per_call * (128 // per_call) + lane
        word = philox((64 * block + i // per_call, example, layer, t), key)[place // 32]
        bit = (word >> (place % 32)) & 1
        if bit != digit:
            return int(digit)
        if rest == 0:
            return 0
    return 0


def gaussian_unit(std, unit, example, layer, t, key):
    """One z: the Box-Muller transform of a pair of words."""
    block, lane = divmod(unit, 4)
    words = philox((block, example, layer, t), key)
    a, b = words[0:2] if lane < 2 else words[2:4]
    radius = std * math.sqrt(-2 * math.log((a + 0.5) / 2**32))
    angle = 2 * math.pi * b / 2**32
    return 1 + radius * (math.cos(angle) if lane % 2 == 0 else math.sin(angle))


def gaussian32(a, b, mean, std):
    """kernels.gaussian32's formula for pairs of words (n,), in NumPy: (n, 2) float32."""
    f, i = np.float32, np.int32
    high, low = (a >> np.uint64(16)).astype(i), (a & np.uint64(65535)).astype(i)
    u = high.astype(f) * f(2**16) + (low.astype(f) + f(0.5))
    near = -((65535 - high).astype(f) * f(2**16) + ((65535 - low).astype(f) + f(0.5))) * f(2.0**-32)
    e = (u.view(i) - np.array([math.sqrt(0.5)], f).view(i)[0]) >> i(23)
    m = (u.view(i) - (e << i(23))).view(f)
    above = np.where(e == 32, near, m - f(1))
    s = above / (f(2) + above)
    q = s * s
    log = f(2) * s * (f(1) + q * (f(1 / 3) + q * (f(1 / 5) + q * (f(1 / 7) + q * f(1 / 9))))) + (e - 32).astype(f) * f(math.log(2))
    r = std * np.sqrt(f(-2) * log)
    up = (b >> np.uint64(29)).astype(i) & 1
    k = (b >> np.uint64(30)).astype(i) + up
    x = ((b & np.uint64(2**30 - 1)).astype(i) - (up << i(30))).astype(f) * f(2 * math.pi / 2**32)
    q = x * x
    cos = f(1) + q * (f(-1 / 2) + q * (f(1 / 24) + q * (f(-1 / 720) + q * f(1 / 40320))))
    sin = x + x * q * (f(-1 / 6) + q * (f(1 / 120) + q * (f(-1 / 5040) + q * f(1 / 362880))))
    r = np.where(k & 2, -r, r)
    return np.stack([mean + r * np.where(k & 1, -sin, cos), mean + r * np.where(k & 1, cos, sin)], axis=1)


def im2col(x, k, stride, padding):
    N, H, W, C = x.shape
    Ho, Wo = (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1
    cols = np.zeros((N, Ho, Wo, k * k * C), x.dtype)
    for n, i, j, di, dj, c in np.ndindex(N, Ho, Wo, k, k, C):
        row, col = i * stride + di - padding, j * stride + dj - padding
        if 0 <= row < H and 0 <= col < W:
            cols[n, i, j, (di * k + dj) * C + c] = x[n, row, col, c]
    return cols


def conv2d(x, M, b, stride, padding):
    """y[n, i, j, o] = b_o + sum_{di, dj, c} M[o, di, dj, c] x[n, i s + di - p, j s + dj - p, c]."""
    N, H, W, C = x.shape
    K, k = M.shape[:2]
    Ho, Wo = (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1
    y = np.zeros((N, Ho, Wo, K))
    for n, i, j, o in np.ndindex(y.shape):
        y[n, i, j, o] = b[o]
        for di, dj, c in np.ndindex(k, k, C):
            row, col = i * stride + di - padding, j * stride + dj - padding
            if 0 <= row < H and 0 <= col < W:
                y[n, i, j, o] += M[o, di, dj, c] * x[n, row, col, c]
    return y


def max_pool(y, size, stride):
    N, H, W, C = y.shape
    Ho, Wo = (H - size) // stride + 1, (W - size) // stride + 1
    out, arg = np.zeros((N, Ho, Wo, C), y.dtype), np.zeros((N, Ho, Wo, C), int)
    for n, i, j, c in np.ndindex(N, Ho, Wo, C):
        window = y[n, i * stride:i * stride + size, j * stride:j * stride + size, c].reshape(-1)
        arg[n, i, j, c] = np.argmax(window)  # the first of equals, and a NaN if there is one
        out[n, i, j, c] = window[arg[n, i, j, c]]
    return out, arg


def expected_max(values, keep):
    """E[max_w z_w v_w] by going through all 2^m masks."""
    total = 0.0
    for mask in np.ndindex(*(2,) * len(values)):
        kept = sum(mask)
        total += keep**kept * (1 - keep) ** (len(values) - kept) * max(z * v for z, v in zip(mask, values, strict=True))
    return total


def log_normal(y, mean, variance):
    return -0.5 * math.log(2 * math.pi * variance) - (y - mean) ** 2 / (2 * variance)
