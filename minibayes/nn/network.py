"""f(x, omega) = W_L s(... W_2 s(W_1 x + b_1) ...): a named sequence of layers."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import require, tables
from ..floats import usual
from ..own import Fixed
from . import passes
from .input_shape import infer
from .key import Key, Rows, as_key, layer_id
from .layers import Layer, ShapeError, check_layer


class Network:
    """Network(conv1=Conv2d(1, 20, 5), pool1=MaxPool2d(2), ...): layers, applied in the order of their names.

    input_shape: of one input; found from the layers by default, where they fix it. A first convolution is
                 tried on square images; for others give it first: Network((28, 40, 1), conv1=...).
    layers: by name; the name of a noisy layer is part of what its noise is drawn from.

    `params`, `eps`, `z`, `caches` and `grads` are dicts by layer name.
    """

    def __init__(self, input_shape: tuple | None = None, /, **layers: Layer):
        if not layers:
            raise require.InputError("Network needs at least one layer, got none")
        for name, layer in layers.items():
            if not name.isidentifier():
                raise require.InputError(f"a layer's name must be a Python identifier, got {name!r}")
            check_layer(name, layer)
        self.layers = MappingProxyType(dict(layers))
        self.noisy = tuple(name for name, layer in layers.items() if layer.noisy)
        self.learned = tuple(name for name in self.noisy if layers[name].noise.learned)
        codes = [name for name, layer in layers.items() if layer.codes]
        if len(codes) > 1:
            raise require.InputError("Network takes one Code: the q of a second would depend on the draw of "
                                     f"the first, and the KL of both is not written; got {codes}")
        self.code = codes[0] if codes else None
        if len({layer_id(name) for name in self.noisy}) < len(self.noisy):
            raise require.InputError(f"two of the names {self.noisy} have the same 32-bit hash: rename one")
        self._shapes = {}
        self.input_shape = infer(self) if input_shape is None else tuple(
            require.integer("input_shape", size, 1) for size in input_shape)
        self._shapes.clear()  # of what was tried
        if self.input_shape is not None:
            self.shapes(self.input_shape)

    def __reduce__(self) -> tuple:
        return _build, (type(self), self.input_shape, dict(self.layers))

    def __repr__(self) -> str:
        return str(tables.network(self))

    def _repr_html_(self) -> str:
        return tables.network(self).html()

    def shapes(self, input_shape: tuple) -> dict:
        """{name: (shape in, shape out)} for one example of `input_shape`; an error if one does not fit."""
        input_shape = tuple(input_shape)
        if input_shape not in self._shapes:
            shape, shapes = input_shape, {}
            for name, layer in self.layers.items():
                try:
                    shapes[name] = shape, layer.output_shape(shape)
                except require.InputError as error:
                    wanted = f"layer {name!r} ({type(layer).__name__}) {getattr(error, 'wanted', error)}"
                    raise ShapeError(wanted, getattr(error, "got", ""), name) from None
                shape = shapes[name][1]
            self._shapes[input_shape] = Fixed(shapes)
        return self._shapes[input_shape]

    @property
    def words(self) -> bool:
        """Whether its inputs are the numbers of words."""
        return next(iter(self.layers.values())).words

    def inputs(self, name: str, x: ArrayLike, dtype: DTypeLike) -> np.ndarray:
        """x (N, ...) as this network takes it, or an error that says what is wrong."""
        check = next(iter(self.layers.values())).check_inputs
        x = require.inputs(name, x, dtype, self.input_shape, check)
        self.shapes(x.shape[1:])
        return x

    def output_shape(self, input_shape: tuple) -> tuple:
        return list(self.shapes(input_shape).values())[-1][1]

    def param_shapes(self) -> dict:
        """{layer: {param: shape}}: the weights, and what the noise learns."""
        shapes = {name: layer.param_shapes() | {p: a.shape for p, a in layer.start_noise().items()}
                  for name, layer in self.layers.items()}
        return {name: group for name, group in shapes.items() if group}

    def flops(self, input_shape: tuple) -> int:
        """Multiplications and additions of one example's forward pass, in the products with M."""
        return sum(self.layers[name].flops(shape) for name, (shape, _) in self.shapes(input_shape).items())

    def without_noise(self) -> "Network":
        """The same network with z = 1 everywhere: omega = M."""
        layers = {name: layer.without_noise() for name, layer in self.layers.items()}
        return Network(self.input_shape, **layers)

    def hard(self) -> "Network":
        """The same network, same parameters, with z in {0, 1} where it was relaxed to learn: `Noise.hard`."""
        return Network(self.input_shape, **{name: layer.hard() for name, layer in self.layers.items()})

    def init(self, rng: np.random.Generator | int, dtype: DTypeLike = np.float32) -> dict:
        """{name: {"M", "b", and what the noise learns}}; rng: a numpy Generator, or a seed for one."""
        rng = np.random.default_rng(rng)
        params = {name: layer.init(rng, dtype) | layer.start_noise(dtype)
                  for name, layer in self.layers.items()}
        return {name: group for name, group in params.items() if group}

    @usual
    def draw(self, key: Key | int, shape: tuple, examples: ArrayLike | None = None,
             passes: ArrayLike | None = None, shared: bool = False, dtype: DTypeLike = np.float32) -> dict:
        """eps ~ p(eps): {name: eps} for the noisy layers. No parameter is looked at.

        key: a Key, or a seed.
        shape: of the input, (B, ...).
        examples: (B,), row n is drawn for example number examples[n]; n by default.
        passes: (B,), and for pass passes[n]; key.t by default.
        shared: one eps for all rows, of shape (1, ...): then f is one function, evaluated at B inputs.
        dtype: of the real numbers drawn.
        """
        key = as_key(key)
        rows = Rows.of(key, 1 if shared else shape[0], examples, passes, dtype)
        return self.draw_rows(key, shape[1:], rows, shared)

    def draw_rows(self, key: Key, input_shape: tuple, rows: Rows, shared: bool = False) -> dict:
        """`draw` for rows checked before; shared: each row is one omega, for any number of inputs."""
        shapes, eps = self.shapes(input_shape), {}
        for name in self.noisy:
            layer = self.layers[name]
            shape = (len(rows), *layer.noise_shape(shapes[name][0], shared))
            eps[name] = layer.place.draw(layer.noise, key.of(name), shape, rows)
        return eps

    def z(self, params: dict, eps: dict) -> dict:
        """z = T(phi, eps): eps itself for noise without parameters."""
        if not self.learned:
            return eps
        z = {}
        for name, e in eps.items():
            layer = self.layers[name]
            z[name] = layer.place.z(layer.noise, layer.phi(params[name]), e)
        return z

    def sample(self, key: Key | int, shape: tuple, examples: ArrayLike | None = None,
               passes: ArrayLike | None = None, shared: bool = False, dtype: DTypeLike = np.float32,
               params: dict | None = None) -> dict:
        """omega-hat ~ q: {name: z}, `draw` and then `z`. params: for noise that learns."""
        if self.learned and params is None:
            raise require.InputError(f"params must be given: the noise of {list(self.learned)} learns")
        return self.z(params, self.draw(key, shape, examples, passes, shared, dtype))

    def mean_noise(self, params: dict | None = None, dtype: DTypeLike = np.float32) -> dict:
        """E[z] by layer, in a shape that broadcasts: for weight averaging. params: for noise that learns."""
        if self.learned and params is None:
            raise require.InputError(f"params must be given: the noise of {list(self.learned)} learns")
        return {name: self.layers[name].mean_noise((params or {}).get(name), dtype) for name in self.noisy}

    @usual
    def forward(self, params: dict, x: np.ndarray, z: dict) -> tuple[np.ndarray, dict]:
        """f(x, omega-hat) and the caches that backward needs: {name: cache}."""
        self._check(x, z)
        caches = {}
        for name, layer in self.layers.items():
            x, caches[name] = layer.forward(params.get(name), x, z.get(name, 1))
        return x, caches

    @usual
    def backward(self, params: dict, caches: dict, df: np.ndarray, want_dx: bool = True,
                 dlaw: np.ndarray | None = None) -> tuple:
        """(dL/dx, {name: {param: dL/dparam}}) from df = dL/df: the chain rule, last layer first.

        Where the noise of a layer learns, its gradients hold "z", dL/dz, for `pull`.
        want_dx=False stops at the first layer with parameters.
        dlaw: of a code, what L has of its (m, log s) beside f, (B, 2n): added to what comes through h.
        """
        grads, dx = {}, df
        first = next((name for name in self.layers if name in params), None)
        for name in reversed(self.layers):
            dx, group = self.layers[name].backward(params.get(name), caches[name], dx)
            if name == self.code and dlaw is not None:
                dx = dx + dlaw
            if group:
                grads[name] = group
            if name == first and not want_dx:
                return None, grads
        return dx, grads

    def pull(self, params: dict, eps: dict, grads: dict) -> dict:
        """`grads` with dL/dphi in the place of "z", dL/dz: the chain rule through z = T(phi, eps)."""
        pulled = dict(grads)
        for name in self.learned:
            layer, group = self.layers[name], dict(grads[name])
            dz = group.pop("z")
            pulled[name] = group | layer.place.pull(layer.noise, layer.phi(params[name]), eps[name], dz)
        return pulled

    def law(self, caches: dict) -> tuple[np.ndarray, np.ndarray]:
        """(m, log s) of q(h_n | x_n), (B, n) each, as `forward` found them."""
        return self.layers[self.code].law(caches[self.code][0])

    def passes(self, params: dict, x: np.ndarray, key: Key, count: int, gather: Callable,
               shared: bool = False, first: int | None = None) -> Iterator:
        """f(x, omega-hat_t), t = 1 ... count, gathered pass by pass: see `passes.passes`."""
        return passes.passes(self, params, x, key, count, gather, shared, first)

    def average(self, params: dict, x: np.ndarray, gather: Callable,
                pooled: Mapping = MappingProxyType({}), grouped: bool = False) -> Iterator:
        """f at z = E[z], as one pass: see `passes.average`."""
        return passes.average(self, params, x, gather, pooled, grouped)

    def group(self, input_shape: tuple, shared: bool = False, mean: bool = False) -> int:
        """How many inputs `passes` takes together, or `average` (mean), where they have numbers."""
        return passes.SIZE

    def _check(self, x, z):
        shapes = self.shapes(x.shape[1:])
        if not isinstance(z, Mapping) or set(z) != set(self.noisy):
            raise require.InputError(f"z must have the noisy layers {list(self.noisy)}, got "
                                     f"{list(z) if isinstance(z, Mapping) else z!r}")
        for name in self.noisy:
            given = np.shape(z[name])
            for shared in (False, True):
                wanted = self.layers[name].noise_shape(shapes[name][0], shared)
                if len(given) == 1 + len(wanted) and given[0] in (1, len(x)) and all(
                        g in (1, w) for g, w in zip(given[1:], wanted, strict=True)):
                    break
            else:
                wanted = self.layers[name].noise_shape(shapes[name][0])
                wanted = ", ".join(map(str, wanted))
                raise require.InputError(f"z[{name!r}] must have shape (B or 1, {wanted}), got {given}")


def check_network(net: object) -> Network:
    if not isinstance(net, Network):
        raise require.InputError(f"net must be an nn.Network, got {type(net).__name__}")
    return net


def _build(kind, input_shape, layers):
    return kind(input_shape, **layers)
