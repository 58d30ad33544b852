"""Layers without weights: y = max(x, 0), y = tanh x, and y_n = x_n as one row."""

from dataclasses import dataclass

import numpy as np

from .layers import Layer


@dataclass(frozen=True)
class ReLU(Layer):
    """y = max(x, 0)."""

    def origin(self, shape: tuple) -> np.ndarray:
        return np.arange(shape[-1])

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        return np.maximum(x, 0), x > 0

    def backward(self, params: dict, cache: np.ndarray, df: np.ndarray) -> tuple:
        return df * cache, {}                           # dy/dx = [x > 0]


@dataclass(frozen=True)
class Tanh(Layer):
    """y = tanh x."""

    def origin(self, shape: tuple) -> np.ndarray:
        return np.arange(shape[-1])

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        y = np.tanh(x)
        return y, y

    def backward(self, params: dict, cache: np.ndarray, df: np.ndarray) -> tuple:
        return df * (1 - cache * cache), {}             # dy/dx = 1 - y^2


@dataclass(frozen=True)
class Flatten(Layer):
    """y_n = x_n as one row: (B, H, W, C) -> (B, H*W*C)."""

    def output_shape(self, shape: tuple) -> tuple:
        return (int(np.prod(shape)),)

    def origin(self, shape: tuple) -> np.ndarray:
        return np.arange(int(np.prod(shape))) % shape[-1]        # (H, W, C): channels last

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        return x.reshape(len(x), -1), x.shape

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        return df.reshape(cache), {}
