"""The stages of a Program: a layer as it is, and dense layers one after another in one compiled call.

A stage has

    forward(params, x, z, work) -> (y, cache); of a recurrent layer also from a state, where one is given
    value(params, x, z, work) -> y: forward without a cache
    backward(params, cache, df, want_dx, work, out) -> (dx, {layer: grads})
    before_noise, after_noise: the two halves of `value` that a stage which begins with noise is cut into when
        everything before the noise is computed once for all passes

with the whole network's params and z, arrays from the workspace `work`, and `out` for gradients, if given.
`compiled` names the layers whose parameters go to kernels, which look neither at shapes nor at memory order.
`by_row` says whether z, if any, has rows like those of the batch, of the size of what they multiply.
"""

import math
from collections.abc import Mapping

import numpy as np

from .. import kernels, require
from ..nn.activations import ReLU, Tanh
from ..nn.conv import Conv2d
from ..nn.layers import Layer
from ..nn.learned import sum_to
from ..nn.place import Inputs, Outputs

Tree = dict[str, dict[str, np.ndarray]]  # {layer: {param: array}}
RISES = {ReLU: kernels.RELU, Tanh: kernels.TANH}  # non-decreasing functions that kernels compute


class Workspace:
    """Named arrays that are allocated once and used again."""

    def __init__(self):
        self.arrays = {}

    def __call__(self, name: object, shape: tuple, dtype: object) -> np.ndarray:
        size = math.prod(shape)
        held = self.arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self.arrays[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


class Plain:
    """A layer as it is. What it returns is looked at: a compiled stage would read past an array's end."""

    compiled = ()

    def __init__(self, name: str, layer: Layer):
        self.name, self.layer = name, layer
        self._weights, self._learned = tuple(layer.param_shapes()), layer.noise.learned
        self.by_row = not layer.noisy or type(layer.place) in (Inputs, Outputs)
        self._noise_last = type(layer) is Conv2d and type(layer.place) is Outputs

    def forward(self, params, x, z, work, state=None):
        z = z.get(self.name, 1)
        given = () if state is None else (state,)
        y, cache = self._pair("forward", self.layer.forward(params.get(self.name), x, z, *given))
        shape = (len(x), *self.layer.output_shape(x.shape[1:]))
        self._check("forward", "y", y, shape, x.dtype if x.dtype.kind == "f" else None)
        return y, (cache, x.shape, np.shape(z))

    def backward(self, params, cache, df, want_dx, work, out):
        """out gets the gradients of the weights; where the noise learns, they hold "z", dL/dz, too."""
        cache, x_shape, z_shape = cache
        dx, grads = self._pair("backward", self.layer.backward(params.get(self.name), cache, df))
        if want_dx:
            self._check("backward", "dx", dx, x_shape, df.dtype)
        wanted = {name: params[self.name][name].shape for name in self._weights}
        if self._learned:
            wanted["z"] = self.layer.place.dz_shape(self.layer, z_shape)
        if not isinstance(grads, Mapping) or set(grads) != set(wanted):
            got = list(grads) if isinstance(grads, Mapping) else f"a {type(grads).__name__}"
            raise self._error("backward", f"the gradients {list(wanted)}", got)
        for name, shape in wanted.items():
            self._check("backward", f"the gradient of {name!r}", grads[name], shape, df.dtype)
        if not wanted:
            return dx, {}
        if out is not None:
            for name in self._weights:
                out[self.name][name][...] = grads[name]
            grads = {name: out[self.name].get(name, gradient) for name, gradient in grads.items()}
        return dx, {self.name: grads}

    def last_state(self, cache):
        """Of a recurrent layer: where the sequences were left."""
        return self.layer.last_state(cache[0])

    def value(self, params, x, z, work):
        return self.forward(params, x, z, work)[0]

    def before_noise(self, params, x, work):
        return self.layer.respond(params[self.name], x)[0] if self._noise_last else x

    def after_noise(self, params, h, z, repeat, work):
        """The rest of `value`, for `repeat` rows of z in a row on each row of h."""
        h = h if repeat == 1 else np.repeat(h, repeat, axis=0)
        if self._noise_last:
            return np.multiply(h, z[self.name], dtype=h.dtype, casting="same_kind")
        return self.value(params, h, z, work)

    def expected(self, params, x, pool, work):
        """E[max over a window of `pool` of z (y + b)] for a z on each place."""
        return pool.expected(self.layer.noise, self.layer.respond(params[self.name], x)[0])

    def _pair(self, method, result):
        if not isinstance(result, tuple) or len(result) != 2:
            wanted = "(y, cache)" if method == "forward" else "(dx, grads)"
            raise self._error(method, f"a pair {wanted}", f"a {type(result).__name__}")
        return result

    def _check(self, method, what, array, shape, dtype):
        """dtype None: any."""
        if not isinstance(array, np.ndarray) or array.shape != shape or dtype not in (None, array.dtype):
            kind = "" if dtype is None else f"{dtype} "
            is_array = isinstance(array, np.ndarray)
            got = f"{array.dtype} {array.shape}" if is_array else f"a {type(array).__name__}"
            raise self._error(method, f"{what} as {kind}{shape}", got)

    def _error(self, method, wanted, got):
        layer = f"layer {self.name!r} ({type(self.layer).__name__})"
        return require.InputError(f"{method} of {layer} must return {wanted}, got {got}")


NO_NOISE = np.ones((1, 1), np.uint8)


class DenseStack(Plain):
    """Dense layers, each with or without a ReLU or Tanh after it, one after another.

    Only the first one's noise may learn: then backward gives grads["z"], dL/dz, too.
    """

    def __init__(self, name, layer):
        super().__init__(name, layer)
        self.layers, self.rises, self.noisy = {}, [], ()
        self.append(name, layer)

    @property
    def compiled(self) -> tuple:
        return tuple(self.layers)

    def append(self, name, layer):
        self.layers[name] = layer
        self.rises.append(kernels.NO_RISE)
        self.noisy += (layer.noisy,)

    def takes(self, rise: Layer) -> bool:
        """Whether it took a function of single numbers behind its last layer."""
        if type(rise) not in RISES or self.rises[-1] != kernels.NO_RISE:
            return False
        self.rises[-1] = RISES[type(rise)]
        return True

    def forward(self, params, x, z, work):
        if x.ndim > 2:  # (B, T, D): the steps that are there are rows like others
            there = ~np.isnan(x[..., 0])
            every = bool(there.all())
            own = {name: np.repeat(z[name], there.sum(axis=1), axis=0) if len(z[name]) > 1 else z[name]
                   for name in self.layers if name in z}
            f, cache = self.forward(params, x.reshape(-1, x.shape[-1]) if every else x[there], own, work)
            if every:
                return f.reshape(*there.shape, -1), (there, every, cache)
            y = np.full((*there.shape, f.shape[1]), np.nan, x.dtype)
            y[there] = f
            return y, (there, every, cache)
        x = in_rows(x)
        Ms, bs = self.weights_of(params)
        zs = self.noise_of(z, x.dtype)
        xzs, fs, ds = self._arrays(len(x), x.dtype, work)
        kernels.dense_stack(x, Ms, bs, zs, self.noisy, tuple(self.rises), xzs, fs)
        return fs[-1], (x, Ms, zs, xzs, fs, ds)

    def backward(self, params, cache, df, want_dx, work, out):
        if df.ndim > 2:
            there, every, cache = cache
            rows = df.reshape(-1, df.shape[-1]) if every else df[there]
            d, grads = self.backward(params, cache, rows, want_dx, work, out)
            if not want_dx:
                return None, grads
            if every:
                return d.reshape(*there.shape, -1), grads
            dx = np.zeros((*there.shape, d.shape[1]), d.dtype)
            dx[there] = d
            return dx, grads
        x, Ms, zs, xzs, fs, ds = cache
        grads = {}
        for name in self.layers:  # phi is beside them, in params and in out
            own = grads_like(params[name]) if out is None else out[name]
            grads[name] = {p: own[p] for p in ("M", "b")}
        dMs, dbs = self.weights_of(grads)
        learned = self._learned  # M^T df, not yet times z, is asked for
        dx = work((self.name, "dx"), x.shape, x.dtype) if want_dx or learned else x
        last = (np.ones((1, 1), zs[0].dtype), *zs[1:]) if learned else zs
        kernels.dense_stack_backward(in_rows(df, x.dtype), x, Ms, last, self.noisy, tuple(self.rises), xzs,
                                     fs, ds, dMs, dbs, want_dx or learned, dx)
        if learned:
            grads[self.name] = grads[self.name] | {"z": self.dz(dx, x, zs[0])}
            if want_dx:
                np.multiply(dx, zs[0], out=dx)
        return dx if want_dx else None, dict(reversed(grads.items()))  # as from the layers, the last first

    def dz(self, dxz, x, z):
        """dL/dz of the first layer, in z's shape, from dL/d(z o x)."""
        return sum_to(dxz * x, z.shape)

    def before_noise(self, params, x, work):
        return x

    def after_noise(self, params, h, z, repeat, work):
        return self.value(params, h if repeat == 1 else np.repeat(h, repeat, axis=0), z, work)

    def weights_of(self, params):
        own = [params[name] for name in self.layers]
        return tuple([p["M"] for p in own]), tuple([p["b"] for p in own])

    def noise_of(self, z, dtype):
        """z by layer, all of one dtype, as compiled code wants it."""
        zs = [z[name] if noisy else NO_NOISE for name, noisy in zip(self.layers, self.noisy, strict=True)]
        one = dtype if any([a.dtype != np.uint8 for a in zs]) else None
        return tuple([in_rows(a, one) for a in zs])

    def _arrays(self, count, dtype, work):
        """(z o x, f, df) of every layer, for as many rows as last time or else anew."""
        held = work.arrays.get((self.name, "stack"))
        if held is None or len(held[0][0]) != count or held[0][0].dtype != dtype:
            n_in, n_out = zip(*[(layer.n_in, layer.n_out) for layer in self.layers.values()], strict=True)
            held = [tuple(np.empty((count, n), dtype) for n in widths) for widths in (n_in, n_out, n_out)]
            work.arrays[self.name, "stack"] = held
        return held


def in_rows(array: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
    """The array, or a copy if it is read-only, of another dtype, or not row after row in memory.

    For another kind of array kernels would be compiled anew.
    """
    if array.flags.carray and (dtype is None or array.dtype == dtype):
        return array
    return np.array(array, dtype, order="C")


def grads_like(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {p: np.empty(a.shape, a.dtype) for p, a in params.items()}
