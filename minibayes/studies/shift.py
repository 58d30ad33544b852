"""Inputs not quite like those trained on: images turned about their centre, and images with noise added."""

import math

import numpy as np

from .. import require


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """images (N, H, W, C), each turned counter-clockwise about its centre, 0 from outside; the dtype stays.

    The value at a place is read at the place it came from, between four pixels (bilinear). Quarter turns of
    square images are exact.
    """
    images, angle = np.asarray(images), math.radians(require.real("degrees", degrees) % 360)
    _, H, W, _ = images.shape
    quarters = angle / (math.pi / 2)
    exact = abs(quarters - round(quarters)) < 1e-12
    c, s = (float(round(f(angle))) if exact else f(angle) for f in (math.cos, math.sin))
    i, j = np.meshgrid(np.arange(H) - (H - 1) / 2, np.arange(W) - (W - 1) / 2, indexing="ij")
    row, column = c * i + s * j + (H - 1) / 2, c * j - s * i + (W - 1) / 2
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))  # a frame of zeros, one pixel wide
    out = np.zeros(images.shape, np.float64)
    for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs((1 - di) - (row - top)) * np.abs((1 - dj) - (column - left))
        at = np.clip(top + di, -1, H) + 1, np.clip(left + dj, -1, W) + 1
        out += weight[None, :, :, None] * framed[:, at[0], at[1]]
    return out.astype(images.dtype)


def noisy(images: np.ndarray, std: float, seed: int) -> np.ndarray:
    """images + N(0, std^2), the same noise for the same seed, cut to [0, 1], the range of data's images."""
    images = np.asarray(images)
    noise = np.random.default_rng(require.integer("seed", seed, 0)).standard_normal(images.shape)
    return np.clip(images + require.real("std", std, 0) * noise, 0, 1).astype(images.dtype)
