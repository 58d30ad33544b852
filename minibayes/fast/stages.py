"""The stages of a FusedNetwork: a layer as it is, and dense layers one after another in one compiled call.

A stage has forward(params, x, z, work) -> (y, cache) and backward(params, cache, df, want_dx, work, out) -> (dx, {layer: grads}), with the
whole network's params and z, arrays from the workspace `work`, and `out` for the gradients, if given; and before_noise / after_noise, the
two halves of `value` (forward without a cache) that a stage which begins with noise is cut into when everything before the noise is
computed once for all passes.
"""

import math

import numpy as np

from .. import kernels
from ..nn.layers import Conv2d


class Workspace:
    """Named arrays that are allocated once and used again."""

    def __init__(self):
        self.arrays = {}

    def __call__(self, name, shape, dtype):
        size = math.prod(shape)
        held = self.arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self.arrays[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


class Plain:
    """A layer as it is."""

    def __init__(self, name, layer):
        self.name, self.layer = name, layer

    def forward(self, params, x, z, work):
        return self.layer.forward(params.get(self.name), x, z.get(self.name, 1))

    def backward(self, params, cache, df, want_dx, work, out):
        dx, grads = self.layer.backward(params.get(self.name), cache, df, want_dx)
        if not grads:
            return dx, {}
        if out is not None:
            for name in grads:
                out[self.name][name][...] = grads[name]
            grads = out[self.name]
        return dx, {self.name: grads}

    def value(self, params, x, z, work):
        return self.forward(params, x, z, work)[0]

    def before_noise(self, params, x, work):
        return self.layer.respond(params[self.name], x)[0] if isinstance(self.layer, Conv2d) else x

    def after_noise(self, params, h, z, repeat, work):
        """The rest of `value`, for `repeat` rows of z in a row on each row of h."""
        h = h if repeat == 1 else np.repeat(h, repeat, axis=0)
        if isinstance(self.layer, Conv2d):
            return np.multiply(h, z[self.name], dtype=h.dtype, casting="same_kind")
        return self.value(params, h, z, work)


NO_NOISE = np.ones((1, 1), np.uint8)


class DenseStack(Plain):
    """Dense layers, each with or without a ReLU after it, one after another."""

    def __init__(self, name, layer):
        super().__init__(name, layer)
        self.names, self.widths, self.relu = [name], [(layer.n_in, layer.n_out)], [False]

    def append(self, name, layer):
        self.names.append(name)
        self.widths.append((layer.n_in, layer.n_out))
        self.relu.append(False)

    def append_relu(self):
        self.relu[-1] = True

    def forward(self, params, x, z, work):
        x = np.ascontiguousarray(x)
        Ms, bs = self._params(params)
        zs, noisy = self._noise(z, x.dtype)
        xzs, fs, ds = self._arrays(len(x), x.dtype, work)
        kernels.dense_stack(x, Ms, bs, zs, noisy, tuple(self.relu), xzs, fs)
        return fs[-1], (x, Ms, zs, noisy, xzs, fs, ds)

    def backward(self, params, cache, df, want_dx, work, out):
        x, Ms, zs, noisy, xzs, fs, ds = cache
        grads = {name: grads_like(params[name]) if out is None else out[name] for name in self.names}
        dMs, dbs = self._params(grads)
        dx = work((self.name, "dx"), x.shape, x.dtype) if want_dx else x
        kernels.dense_stack_backward(np.ascontiguousarray(df), x, Ms, zs, noisy, tuple(self.relu), xzs, fs, ds, dMs, dbs, want_dx, dx)
        return dx if want_dx else None, dict(reversed(grads.items()))  # in the order of the chain rule, as from the layers

    def _params(self, params):
        return tuple([params[name]["M"] for name in self.names]), tuple([params[name]["b"] for name in self.names])

    def _noise(self, z, dtype):
        """(zs, noisy): z by layer, all of one dtype as compiled code wants it, and whether there is any."""
        noisy, zs = tuple([name in z for name in self.names]), [z.get(name, NO_NOISE) for name in self.names]
        if any([a.dtype != np.uint8 for a in zs]):
            zs = [a.astype(dtype, copy=False) for a in zs]
        return tuple([np.ascontiguousarray(a) for a in zs]), noisy

    def _arrays(self, rows, dtype, work):
        """(z o x, f, df) of every layer, for as many rows as last time or else anew."""
        held = work.arrays.get((self.name, "stack"))
        if held is None or len(held[0][0]) != rows or held[0][0].dtype != dtype:
            xzs, fs, ds = (tuple(np.empty((rows, width[side]), dtype) for width in self.widths) for side in (0, 1, 1))
            held = work.arrays[self.name, "stack"] = xzs, fs, ds
        return held


def grads_like(params):
    return {p: np.empty_like(a) for p, a in params.items()}
