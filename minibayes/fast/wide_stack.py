"""A stack of dense layers in a wide step (wide.py): products by columns, gradient and update by rows."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import kernels
from ..nn.optimizers import SGD, Adam
from .sets import Sets
from .stages import DenseStack, Tree

BLOCK = 2**17  # numbers of M that a task takes to update, about


def sgd_flat(optimizer: SGD, dtype: np.dtype, old: dict, new: dict, step: int) -> tuple:
    """(kernel, arrays before the rate, constants behind it, arrays behind those)."""
    return kernels.sgd, [old["v"]], [dtype.type(optimizer.momentum)], [new["theta"], new["v"]]


def adam_flat(optimizer: Adam, dtype: np.dtype, old: dict, new: dict, step: int) -> tuple:
    """As sgd_flat."""
    return (kernels.adam, [old["m"], old["s"]], list(optimizer.constants(dtype.type, step)),
            [new["theta"], new["m"], new["s"]])


FLAT: dict[type, Callable] = {SGD: sgd_flat, Adam: adam_flat}


def update(sets: Sets, now: Now, i: int, rows: slice, g: np.ndarray) -> None:
    """theta', slots' of some rows of the i-th parameter, from all of their gradient."""
    parts = FLAT[type(sets.optimizer)](sets.optimizer, sets.dtype, *now.turn, now.step)
    kernel, slots, constants, outs = parts
    theta, *flat = (sets.rows(a, i, rows).reshape(-1) for a in (now.turn[0]["theta"], *slots, *outs))
    g = np.ascontiguousarray(g, sets.dtype).reshape(-1)
    kernel(theta, g, *flat[:len(slots)], now.rates[i], *constants, *flat[len(slots):])


def sgd(optimizer: SGD, dtype: np.dtype, old: dict, new: dict, step: int) -> tuple:
    """(kernel, what it takes after the rates)."""
    momentum = dtype.type(optimizer.momentum)
    return kernels.sgd_rows, (old["theta"], old["v"], momentum, new["theta"], new["v"])


def adam(optimizer: Adam, dtype: np.dtype, old: dict, new: dict, step: int) -> tuple:
    constants = optimizer.constants(dtype.type, step)
    return kernels.adam_rows, (old["theta"], old["m"], old["s"], *constants, new["theta"], new["m"], new["s"])


BY_ROWS: dict[type, Callable] = {SGD: sgd, Adam: adam}


class Now(NamedTuple):
    """What the updates of one step share."""

    batch: int  # how many examples it has
    turn: tuple  # (old, new): theta and the optimizer's slots, all parameters end to end
    decays: np.ndarray  # of each parameter
    rates: np.ndarray
    step: int
    rest: Tree  # the gradient of the KL but for its decay
    grads: Tree  # of what the noise of stacks learns, without the KL's
    kl: Callable  # (layer, some rows of its params) -> of these rows (decay, rest, its gradient), as kl.split


class Kept(NamedTuple):
    """For all of a batch and for each layer, a row per example."""

    xzs: tuple  # z o x, empty where there is no noise
    fs: tuple
    ds: tuple  # dL/df, behind the function's slope
    inputs: tuple  # what multiplies M: xz, or the layer's input


class Room(threading.local):
    """A thread's arrays, as long as the longest that was asked for."""

    held = None

    def __call__(self, *shape: int, dtype: np.dtype) -> np.ndarray:
        size = math.prod(shape)
        if self.held is None or self.held.size < size or self.held.dtype != dtype:
            self.held = np.empty(size, dtype)
        return self.held[:size].reshape(shape)


class WideStack:
    """A DenseStack, with what it keeps of a batch."""

    def __init__(self, stage: DenseStack, batch: int, sets: Sets):
        self.stage, self.sets, self._room = stage, sets, Room()
        self._none, self._nothing = np.empty(0, sets.dtype), np.empty((0, 0), sets.dtype)
        dtype, layers = sets.dtype, stage.layers.values()
        xzs = tuple(np.empty((batch if layer.noisy else 0, layer.n_in), dtype) for layer in layers)
        fs, ds = (tuple(np.empty((batch, layer.n_out), dtype) for layer in layers) for _ in range(2))
        before = [np.empty((0 if xzs[0].size else batch, xzs[0].shape[1]), dtype), *fs]
        inputs = tuple(xz if xz.size else x for xz, x in zip(xzs, before, strict=False))
        self.kept = Kept(xzs, fs, ds, inputs)

    @staticmethod
    def takes(stage: DenseStack, by_rows: tuple) -> bool:
        return True

    @staticmethod
    def numbers(stage: DenseStack) -> int:
        """How many are kept of an example, about."""
        return sum(2 * (layer.n_in + layer.n_out) for layer in stage.layers.values())

    def forward(self, params: Tree, x: np.ndarray, z: dict, divide: Callable) -> tuple:
        """(f, cache); divide(kernel, columns, products of each, *outs) makes all columns of the outs."""
        stage, kept = self.stage, self._own(len(x))
        zs, (Ms, bs) = stage.noise_of(z, x.dtype), stage.weights_of(params)
        if stage.noisy[0]:
            np.multiply(x, zs[0], out=kept.inputs[0])
        else:
            kept.inputs[0][...] = x
        for i, M in enumerate(Ms):
            behind = min(i + 1, len(Ms) - 1)  # the layer whose noise the outputs meet
            product = kept.xzs[behind] if behind > i else self._nothing
            divide(partial(kernels.dense_columns, kept.inputs[i], M, bs[i], stage.rises[i], zs[behind]),
                   len(M), M.shape[1] * len(x), kept.fs[i], product)
        return kept.fs[-1], (kept, Ms, zs, x)

    def backward(self, cache: tuple, dx: np.ndarray, first: bool, divide: Callable, work: Callable) -> tuple:
        """(dL/dx, without rows where nothing asks for it, dL/dz if it is learned from); deltas stay."""
        (kept, Ms, zs, x), stage = cache, self.stage
        learned = stage.layer.noise.learned
        first = first and not learned
        kept.ds[-1][...] = dx
        kernels.times_slope(kept.ds[-1].reshape(-1), kept.fs[-1].reshape(-1), stage.rises[-1])
        down = work((stage.name, "dx"), (0 if first else len(dx), Ms[0].shape[1]), dx.dtype)
        for i in reversed(range(first, len(Ms))):
            before = (stage.rises[i - 1], kept.fs[i - 1]) if i else (kernels.NO_RISE, self._nothing)
            noisy = stage.noisy[i] and not (i == 0 and learned)
            delta = partial(kernels.delta_columns, kept.ds[i], Ms[i], zs[i], noisy, *before)
            divide(delta, Ms[i].shape[1], len(Ms[i]) * len(dx), kept.ds[i - 1] if i else down)
        if not learned:
            return down, None
        dz = stage.dz(down, x, zs[0])
        return np.multiply(down, zs[0], out=down), dz

    def updates(self) -> list[Callable]:
        """Tasks: each takes a `Now` and returns its part of 1/2 sum of decay theta^2."""
        tasks, places = [], self.sets.places
        for name, x, d in zip(self.stage.layers, self.kept.inputs, self.kept.ds, strict=True):
            size = max(1, BLOCK // x.shape[1])
            own = x, d, places[name, "M"], places[name, "b"]
            tasks += [partial(self._update, *own, k, min(k + size, d.shape[1]))
                      for k in range(0, d.shape[1], size)]
        return tasks + ([self._update_noise] if self.stage.layer.noise.learned else [])

    def _update_noise(self, now):
        name = self.stage.name
        for param, g in now.grads[name].items():
            rest = now.rest.get(name, {}).get(param, 0)
            update(self.sets, now, self.sets.places[name, param], slice(None), g + rest)
        return 0.0

    def _update(self, x, d, M, b, start, stop, now):
        both, rows, bounds = [M, b], slice(start, stop), self.sets.bounds
        g, more = self._room(2, (stop - start) * (x.shape[1] + 1), dtype=self.sets.dtype)
        own = now.rest.get(self.sets.leaves[M][0], {})
        more = self._rest(now.rest, both, rows, more) if "M" in own or "b" in own else self._none
        optimizer = self.sets.optimizer
        kernel, arrays = BY_ROWS[type(optimizer)](optimizer, self.sets.dtype, *now.turn, now.step)
        return kernel(d[:now.batch], x[:now.batch], start, stop, bounds[M], bounds[b], more, now.decays[both],
                      now.rates[both], *arrays, g)

    def _rest(self, rest, both, rows, out):
        """`out` with the rest of the gradient of these rows of M and, behind them, of b."""
        first = 0
        for layer, param, shape in (self.sets.leaves[i] for i in both):
            own = out[first:first + (rows.stop - rows.start) * math.prod(shape[1:])]
            grad, own = rest.get(layer, {}).get(param), own.reshape(-1, *shape[1:])
            own[...] = 0 if grad is None else grad[rows]
            first += own.size
        return out

    def _own(self, batch):
        """The arrays for so many examples: an epoch's last batch is shorter."""
        return Kept(*(tuple(a[:batch] for a in arrays) for arrays in self.kept))
