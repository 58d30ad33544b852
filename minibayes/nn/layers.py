"""f_n = W_n x_n + b: Dense, and Layer, the class to subclass; a layer of weights is rows times a place for z.

A layer is a frozen record of settings; arrays live in `params`, `z`, `cache` and `grads`.

    forward(params, x, z)       -> y, cache                    deterministic: z was drawn before; 1: no noise
    backward(params, cache, df) -> dL/dx, {name: dL/dparam}    df = dL/dy; accumulates nothing

Neither writes into what it was given. B is the batch, D and K a dense layer's inputs and outputs; images are
channels-last, (B, H, W, C), sequences (B, T, D).
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..own import settle
from ..registry import Registered, check
from .initial import INITS, initial
from .noise import Delta, Noise, check_noise
from .place import Inputs, Place, check_place
from .weight_noise import Local, Weights


class ShapeError(require.InputError):
    """A layer does not take what comes to it. `layer`: its name, once the network knows."""

    def __init__(self, wanted: str, got: object = "", layer: str = ""):
        super().__init__(f"{wanted}, got {got}" if got else wanted)
        self.wanted = wanted
        self.got = got
        self.layer = layer


class Layer(Registered, kind="layer"):
    """y = f(x), with weights and noise or without. Subclass it as a frozen dataclass.

    A deterministic layer without weights needs `forward` and `backward` alone:
        @dataclass(frozen=True)
        class LeakyReLU(nn.Layer):
            def forward(self, params, x, z):
                return np.where(x > 0, x, 0.01 * x), x > 0             # y, and what backward needs
            def backward(self, params, cache, df):
                return np.where(cache, df, 0.01 * df), {}              # dL/dx, {}: no parameters
    One with weights has `param_shapes` and `init` too, and one whose shape changes `output_shape` and, if it
    takes just one shape, `input_shape`. One with noise has a field `noise`, a `place` (where z acts) and
    `noisy_params`, the parameters that z multiplies, in the shapes (K, ..., D) with a row per output; where
    its noise may learn, backward also gives grads["z"], dL/dz in the shape of z.

    `minibayes.checks.layer` grades what was written.
    """

    noise = Delta()
    place = Inputs()
    noisy_params = ()  # the parameters that z multiplies
    spatial = 0  # axes of places between the examples and the units: 2 for images
    one_z_per_response = False  # whether each response has a z of its own: probabilistic pooling asks
    words = False  # whether its inputs are numbers of words: of no scale, and with no derivative
    carries = False  # whether forward takes a `state` to go on from, which last_state(cache) gives
    codes = False  # whether it draws a code of each example, from the q that `law(x)` says: one in a network

    def param_shapes(self) -> dict:
        """{name: shape} of the weights; what the noise learns is not among them."""
        return {}

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        """{name: array}: the weights to start from."""
        return {}

    def flops(self, shape: tuple) -> int:
        """Multiplications and additions of one example's forward pass that grow with the weights."""
        return 0

    def input_shape(self) -> tuple | None:
        """What one example must be: a shape, with None for a size that is free; None if any shape will do."""
        return None

    def output_shape(self, shape: tuple) -> tuple:
        """One example's shape after this layer, from that before it; ShapeError if it does not fit."""
        return shape

    def check_inputs(self, name: str, x: np.ndarray) -> None:
        """An error if x (N, ...) is nothing for this layer as a network's first: asked before any work."""
        require.finite(name, x)

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int) -> tuple:
        """(y, cache) for a batch x (B, ...); z (B or 1, *noise_shape), the number 1 if there is no noise."""
        raise NotImplementedError(f"{type(self).__name__} must have forward(params, x, z)")

    def backward(self, params: dict, cache: object, df: np.ndarray) -> tuple:
        """(dL/dx, {name: dL/dparam}) from df = dL/dy."""
        raise NotImplementedError(f"{type(self).__name__} must have backward(params, cache, df)")

    # What follows is the layer's noise, read off its place.
    @property
    def noisy(self) -> bool:
        """Whether a z is drawn for this layer."""
        return self.noise.random

    def noise_shape(self, shape: tuple, shared: bool = False) -> tuple:
        """z's shape for one example of input `shape`; shared: for a single omega that serves all."""
        return self.place.shared_shape(self, shape) if shared else self.place.noise_shape(self, shape)

    def response_noise_shape(self, shape: tuple) -> tuple:
        """z's shape where it acts on the outputs."""
        return self.output_shape(shape)

    def start_noise(self, dtype: DTypeLike = np.float32) -> dict:
        """phi_0, what the noise learns from."""
        if not self.noisy:
            return {}
        return {name: np.asarray(a, dtype) for name, a in self.noise.start(self.place.units(self)).items()}

    def phi(self, params: dict) -> dict:
        """What the noise learns, out of the layer's parameters."""
        shapes = self.param_shapes()
        return {name: a for name, a in (params or {}).items() if name not in shapes}

    def mean_noise(self, params: dict, dtype: DTypeLike = np.float32) -> np.ndarray:
        """E[z], for any number of examples."""
        return self.place.mean(self, self.phi(params), dtype)

    def moments(self, params: dict) -> dict:
        """{param: (E[z], E[z^2])} for the weights inside the noise; 1 outside."""
        inside = self.noisy_params if self.noisy else ()
        first, second = self.noise.moments(self.phi(params)) if inside else (1.0, 1.0)
        return {p: (self.place.along(first, a), self.place.along(second, a)) if p in inside else (1.0, 1.0)
                for p, a in params.items() if p in self.param_shapes()}

    def weight_moments(self, params: dict) -> dict:
        """{param: (E[w], E[w^2])} in the shapes of the weights: w = z m, or m + z for additive noise."""
        out = {}
        for p, (first, second) in self.moments(params).items():
            m, add = params[p], self.noise.additive and self.noisy and p in self.noisy_params
            out[p] = (m + first, m * m + 2 * m * first + second) if add else (first * m, second * m**2)
        return out

    def rays(self, params: dict) -> np.ndarray:
        """||ray||^2 for every set of numbers that share one z."""
        return self.place.squares([params[p] for p in self.noisy_params])

    def weights(self, params: dict, z: np.ndarray | None = None) -> dict:
        """omega-hat itself, {"W", "b"}: the matrices for each row of z; M and b where there is no noise."""
        if not self.noisy:
            return {"W": params["M"].reshape(len(params["M"]), -1).copy(), "b": params["b"].copy()}
        return self.place.weights(self, params, np.asarray(z))

    def without_noise(self) -> "Layer":
        """The same layer with z = 1."""
        return replace(self, noise=Delta()) if self.noisy else self

    def origin(self, shape: tuple) -> np.ndarray | None:
        """Of each unit that comes out, the one of shape[-1] that alone makes it, at all places; or None."""
        return None

    def of_size(self, inputs: int, outputs: int) -> "Layer | None":
        """The same layer with fewer units, M (outputs, ..., inputs) and b (outputs,); None: it keeps all."""
        return None

    def hard(self) -> "Layer":
        """The same layer, same parameters, with its noise's `hard`."""
        return self if self.noise.hard() is self.noise else replace(self, noise=self.noise.hard())


class Linear(Layer):
    """What Dense and Conv2d share: M with a row per output, b, and noise at a place."""

    newer_fields = ("place",)

    @property
    def noisy_params(self) -> tuple:
        return self.place.noisy

    def settle_noise(self, place: Place, images: bool = False) -> None:
        """A check of the noise and of where it acts: at `place` where nothing is said, or on the weights."""
        check_noise(self.noise)
        if self.place is None and self.noise.of_weights:
            place = Local() if self.noise.local else Weights()
        settle(self, place=check_place(place if self.place is None else self.place, self.noise, images))

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        """M by `init_scheme`, b = 0."""
        shape = self.param_shapes()["M"]
        fan_in, fan_out = self.fans()
        mean = float(np.mean(self.noise.moments(self.start_noise(np.float64))[0]))
        mean = 1.0 if self.noise.additive else mean
        M = initial(rng, shape, fan_in, fan_out, self.init_scheme, mean, dtype)
        return {"M": M, "b": np.zeros(len(M), dtype)}


@dataclass(frozen=True)
class Dense(Linear):
    """f_n = W_n x_n + b,  W_n = M diag(z_n).     M (K, D), b (K,);  z (B, D), or (1, D) shared by all inputs.

    On sequences x (B, T, D) it acts on each step, f_nt = W_n x_nt + b with the same z: one omega for all of
    the sequence. A step that is not there, a row of NaN, stays one.

    n_in: D, numbers in one input.
    n_out: K, numbers in one output.
    noise: of z; nn.Delta() by default, none; nn.Bernoulli(keep), nn.Gaussian(variance) or any nn.Noise.
    init_scheme: of M, "xavier" (by default), "he" or "lecun"; b starts at 0.
    place: where z acts: nn.Inputs() by default, as above; for normal noise on single weights, such as
           nn.MeanField(std), nn.Local(); nn.Outputs(), nn.Weights(), nn.Flipout(): see `nn.place`.
    """

    n_in: int
    n_out: int
    noise: Noise = field(default_factory=Delta)
    init_scheme: str = "xavier"
    place: Place | None = None

    def __post_init__(self):
        for name in ("n_in", "n_out"):
            settle(self, **{name: require.integer(name, getattr(self, name), 1)})
        settle(self, init_scheme=require.choice("init_scheme", self.init_scheme, INITS))
        self.settle_noise(Inputs())

    def param_shapes(self) -> dict:
        return {"M": (self.n_out, self.n_in), "b": (self.n_out,)}

    def fans(self) -> tuple[int, int]:
        return self.n_in, self.n_out

    def of_size(self, inputs: int, outputs: int) -> "Dense":
        return replace(self, n_in=inputs, n_out=outputs)

    def flops(self, shape: tuple) -> int:
        return 2 * self.n_in * self.n_out * int(np.prod(shape[:-1]))

    def input_shape(self) -> tuple:
        return (self.n_in,)

    def output_shape(self, shape: tuple) -> tuple:
        if len(shape) not in (1, 2) or shape[-1] != self.n_in:
            raise ShapeError(f"takes inputs of shape ({self.n_in},)", shape)
        if len(shape) == 2 and self.noisy and not self.place.of_sequences:
            raise ShapeError(f"with place={self.place!r} takes no sequences: it draws at each step anew, so "
                             "there is no one omega; place=nn.Weights() draws the weights themselves")
        return (*shape[:-1], self.n_out)

    def noise_shape(self, shape: tuple, shared: bool = False) -> tuple:
        return super().noise_shape(shape[-1:], shared)  # no time in it

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1) -> tuple:
        if x.ndim == 2:
            return self.place.forward(self, params, x, z)               # M diag(z_n) x_n + b      (B, K)
        there = ~np.isnan(x[..., :1])
        f, cache = self.place.forward(self, params, np.where(there, x, 0), z)           # at each step
        return np.where(there, f, f.dtype.type(np.nan)), (there, cache)                 # (B, T, K)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        if df.ndim == 2:
            return self.place.backward(self, params, cache, df)
        there, cache = cache
        return self.place.backward(self, params, cache, np.where(there, df, 0))


def check_layer(name: str, layer: object) -> Layer:
    return check(f"layer {name!r}", layer, Layer, "a layer such as nn.Dense(...)")
