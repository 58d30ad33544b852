"""f(x, omega) = W_L s(... W_2 s(W_1 x + b_1) ...): a named sequence of layers."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from .. import kernels, require
from .layers import Conv2d, Dense, Layer, MaxPool2d
from .noise import Delta, as_key, layer_id, rows_and_passes

LARGEST_IMAGE = 512  # the sizes tried when no input shape is given
INPUTS = 64  # in one task of a prediction
SWEEP_ROWS, SWEEP_NUMBERS = 4096, 2**20  # the most rows, and activations of one layer, in one sweep of several passes


class Network:
    """Network(conv1=Conv2d(1, 20, 5), pool1=MaxPool2d(2), ...): layers applied in the order in which they are named.

    Shapes are inferred and checked at construction, with square images if the first layer is a convolution; for others give
    the shape of one input first: Network((28, 40, 1), conv1=...). `params`, `z`, `caches`, `grads` are dicts by layer name.
    """

    def __init__(self, input_shape=None, /, **layers):
        if not layers:
            raise require.InputError("Network needs at least one layer, got none")
        for name, layer in layers.items():
            if not name.isidentifier():
                raise require.InputError(f"a layer's name must be a Python identifier, got {name!r}")
            if not isinstance(layer, Layer):
                raise require.InputError(f"layer {name!r} must be a layer such as nn.Dense(...), got {layer!r}")
        self.layers = MappingProxyType(dict(layers))
        self.noisy = tuple(name for name, layer in layers.items() if not isinstance(layer.noise, Delta))
        if len({layer_id(name) for name in self.noisy}) < len(self.noisy):
            raise require.InputError(f"two of the names {self.noisy} have the same 32-bit hash: rename one")
        self._shapes = {}
        self.input_shape = self._infer_input_shape() if input_shape is None else tuple(
            require.integer("input_shape", size, 1) for size in input_shape)
        if self.input_shape is not None:
            self.shapes(self.input_shape)

    def __repr__(self):
        shape = "" if self.input_shape is None else f"{self.input_shape}, "
        return f"Network({shape}{', '.join(f'{name}={layer!r}' for name, layer in self.layers.items())})"

    def shapes(self, input_shape):
        """{name: (input shape, output shape)} of every layer for one example of `input_shape`; an error if one does not fit."""
        input_shape = tuple(input_shape)
        if input_shape not in self._shapes:
            shape, shapes = input_shape, {}
            for name, layer in self.layers.items():
                try:
                    shapes[name] = shape, layer.output_shape(shape)
                except require.InputError as error:
                    raise require.InputError(f"layer {name!r} ({type(layer).__name__}) {error}") from None
                shape = shapes[name][1]
            self._shapes[input_shape] = shapes
        return self._shapes[input_shape]

    def output_shape(self, input_shape):
        return list(self.shapes(input_shape).values())[-1][1]

    def flops(self, input_shape):
        """Multiplications and additions of one example's forward pass, in the products with M."""
        return sum(self.layers[name].flops(shape) for name, (shape, _) in self.shapes(input_shape).items())

    def _infer_input_shape(self):
        """The shape that a Dense layer fixes; None, once checked, where square images of some size fit."""
        first = next((layer for layer in self.layers.values() if isinstance(layer, (Dense, Conv2d, MaxPool2d))), None)
        if isinstance(first, Dense):
            return (first.n_in,)
        if isinstance(first, MaxPool2d):
            raise require.InputError("Network needs the input shape before a pooling layer: Network((H, W, C), ...)")
        if first is not None:
            errors = []
            for size in range(1, LARGEST_IMAGE + 1):
                try:
                    self.shapes((size, size, first.c_in))
                    self._shapes.clear()
                    return None
                except require.InputError as error:
                    errors.append(str(error))
            # The smallest images fail for being small; the error at the deepest layer is the one to mend.
            depth = {name: i for i, name in enumerate(self.layers)}
            deepest = max(errors, key=lambda e: depth[e.split("'")[1]])
            raise require.InputError(f"{deepest.split(', got')[0]}, which no square image of up to {LARGEST_IMAGE} pixels gives; "
                                     "for other images give the input shape first: Network((H, W, C), ...)")
        return None

    def init(self, rng, dtype=np.float32):
        """Parameters {name: {"M", "b"}}: rng is a numpy Generator, or an integer seed for one."""
        rng = np.random.default_rng(rng)
        return {name: p for name, layer in self.layers.items() if (p := layer.init(rng, dtype))}

    def sample(self, key, shape, examples=None, passes=None, shared=False, dtype=np.float32):
        """omega-hat ~ q: {name: z} for the noisy layers, for an input of `shape` (B, ...).

        key: a Key or a seed. Row n is drawn for example number examples[n] (default n) and pass passes[n] (default key.t).
        shared=True draws one z for all rows, of shape (1, ...): then f is one function, evaluated at B inputs.
        """
        key, rows = as_key(key), 1 if shared else shape[0]
        return self.draw(key, rows, shape[1:], *rows_and_passes(key, rows, examples, passes), dtype)

    def draw(self, key, rows, input_shape, examples, passes, dtype):
        """`sample` from counters that were checked before: (rows,) uint64."""
        shapes = self.shapes(input_shape)
        return {name: self.layers[name].noise.draw((rows, *self.layers[name].noise_shape(shapes[name][0])), examples, passes,
                                                   np.uint64(layer_id(name)), key.words, dtype) for name in self.noisy}

    def mean_noise(self, dtype=np.float32):
        """E[z] by layer, in a shape that broadcasts: what weight averaging puts in the place of z."""
        return {name: np.full((1, layer.n_in) if isinstance(layer, Dense) else (1, 1, 1, layer.c_out), layer.noise.mean, dtype)
                for name in self.noisy for layer in [self.layers[name]]}

    def forward(self, params, x, z):
        """f(x, omega-hat) and the caches that backward needs: {name: cache}."""
        self._check(x, z)
        caches = {}
        for name, layer in self.layers.items():
            x, caches[name] = layer.forward(params.get(name), x, z.get(name, 1))
        return x, caches

    def backward(self, params, caches, df, want_dx=True):
        """(dL/dx, {name: {param: dL/dparam}}) from df = dL/df: the chain rule, last layer first.

        want_dx=False leaves out dL/dx and all that only it needs.
        """
        grads, dx = {}, df
        first = next((name for name in self.layers if name in params), None)
        for name in reversed(self.layers):
            last = name == first and not want_dx
            dx, g = self.layers[name].backward(params.get(name), caches[name], dx, want_dx=not last)
            if g:
                grads[name] = g
            if last:
                break
        return dx, grads

    def prefix(self, params, x):
        """h: what is computed before the first noise acts, the same for every pass."""
        self.shapes(x.shape[1:])
        for name, layer in self.layers.items():
            if name in self.noisy:
                return layer.respond(params[name], x)[0] if isinstance(layer, Conv2d) else x
            x, _ = layer.forward(params.get(name), x)
        return x

    def suffix(self, params, h, z):
        """f(x, omega-hat) from h = prefix(params, x): equal to forward(params, x, z)[0]."""
        names = list(self.layers)
        if not self.noisy:
            return h
        for name in names[names.index(self.noisy[0]):]:
            layer = self.layers[name]
            if name == self.noisy[0] and isinstance(layer, Conv2d):
                h = np.multiply(h, z[name], dtype=h.dtype, casting="same_kind")
            else:
                h, _ = layer.forward(params.get(name), h, z.get(name, 1))
        return h

    def expected_pooling(self, params, x, z, pooled):
        """f with z = E[z], except that the max-pools in `pooled`, {conv: pool}, give E[max over the window of z y] exactly."""
        for name, layer in self.layers.items():
            if name in pooled:
                pool = self.layers[pooled[name]]
                y, _ = layer.respond(params[name], x)
                x = np.empty((len(y), *pool.output_shape(y.shape[1:])), y.dtype)
                window = np.empty((pool.size**2, y.shape[3]), y.dtype)
                kernels.expected_max_pool(y, layer.noise.keep, pool.size, pool.stride, window, x)
            elif name not in pooled.values():
                x, _ = layer.forward(params.get(name), x, z.get(name, 1))
        return x

    def passes(self, params, h, z, T):
        """f of T passes at each of N inputs, (N*T, K), from h = prefix(params, x).

        Row n*T + t is pass t at input n. z has such rows, N*T of them, or T rows if each pass has one z for all inputs.
        """
        return self.suffix(params, h if T == 1 else np.repeat(h, T, axis=0), per_row(z, len(h), T))

    def inputs_at_once(self, shared):
        """How many inputs to give to `passes` together."""
        return INPUTS

    def rows_at_once(self, input_shape):
        """How many rows (passes x inputs) to run through `passes` together: what keeps the largest activations in cache."""
        width = max(int(np.prod(out)) for _, out in self.shapes(input_shape).values())
        return max(1, min(SWEEP_ROWS, SWEEP_NUMBERS // width))

    def _check(self, x, z):
        shapes = self.shapes(x.shape[1:])
        if not isinstance(z, Mapping) or set(z) != set(self.noisy):
            raise require.InputError(f"z must have the noisy layers {list(self.noisy)}, got "
                                     f"{list(z) if isinstance(z, Mapping) else z!r}")
        for name in self.noisy:
            wanted = self.layers[name].noise_shape(shapes[name][0])
            given = np.shape(z[name])
            if len(given) != 1 + len(wanted) or given[0] not in (1, len(x)) or any(
                    g not in (1, w) for g, w in zip(given[1:], wanted, strict=True)):
                raise require.InputError(f"z[{name!r}] must have shape (B or 1, {', '.join(map(str, wanted))}), got {given}")


def per_row(z, N, T):
    """z with a row for each of N T rows, from one that may have only T, one for each pass."""
    return {name: np.tile(a, (N, *[1] * (a.ndim - 1))) if len(a) == T != 1 else a for name, a in z.items()}
