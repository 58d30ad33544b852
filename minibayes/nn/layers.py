"""f = W x + b with W = M diag(z), and the layers around it: each a forward and, right under it, its derivative.

A layer is a frozen record of settings; arrays live in `params`, `z`, `cache` and `grads`. `forward(params, x, z)` is
deterministic: the noise was drawn before, z = 1 where there is none. `backward(params, cache, df)` takes df = dL/df and
returns (dL/dx, {name: dL/dparam}); it accumulates nothing and writes into nothing it was given.
B is the batch, D and K a dense layer's inputs and outputs; images are channels-last (B, H, W, C).
"""

from dataclasses import dataclass, field

import numpy as np

from .. import kernels, require
from .noise import Bernoulli, Delta, Gaussian

INITS = ("xavier", "he", "lecun")


class Layer:
    """A deterministic layer without parameters; subclasses override what differs."""

    noise = Delta()
    noisy_params = ()  # the parameters that z multiplies

    def param_shapes(self):
        return {}

    def init(self, rng, dtype=np.float32):
        return {}

    def flops(self, shape):
        """Multiplications and additions of one example's forward pass that grow with the weights."""
        return 0

    def output_shape(self, shape):
        return shape


def uniform(rng, shape, fan_in, fan_out, init, noise, dtype):
    """M with E[W] = E[z] M ~ U[-a, a], so that the mean weights start with the variance the scheme asks for.

    a^2 = 6/(fan_in + fan_out) (xavier: Glorot and Bengio 2010), 6/fan_in (he: He et al. 2015), 3/fan_in (lecun: also
    the "xavier" filler of Caffe, which the paper's solvers use).
    """
    a2 = {"xavier": 6 / (fan_in + fan_out), "he": 6 / fan_in, "lecun": 3 / fan_in}[init]
    return (rng.uniform(-1, 1, shape) * np.sqrt(a2) / noise.mean).astype(dtype)


def times(x, z):
    """x * z in the dtype of x; z = 1 is no noise and costs nothing."""
    return x if z is None or (np.isscalar(z) and z == 1) else np.multiply(x, z, dtype=x.dtype, casting="same_kind")


@dataclass(frozen=True)
class Dense(Layer):
    """f_n = W_n x_n + b,  W_n = M diag(z_n).     M (K, D), b (K,);  z (B, D), or (1, D) shared by all inputs."""

    n_in: int
    n_out: int
    noise: object = field(default_factory=Delta)
    init_scheme: str = "xavier"
    noisy_params = ("M",)

    def __post_init__(self):
        require.integer("n_in", self.n_in, 1)
        require.integer("n_out", self.n_out, 1)
        require.choice("init_scheme", self.init_scheme, INITS)
        check_noise(self.noise)

    def param_shapes(self):
        return {"M": (self.n_out, self.n_in), "b": (self.n_out,)}

    def init(self, rng, dtype=np.float32):
        M = uniform(rng, (self.n_out, self.n_in), self.n_in, self.n_out, self.init_scheme, self.noise, dtype)
        return {"M": M, "b": np.zeros(self.n_out, dtype)}

    def flops(self, shape):
        return 2 * self.n_in * self.n_out

    def output_shape(self, shape):
        if shape != (self.n_in,):
            raise require.InputError(f"takes inputs of shape ({self.n_in},), got {shape}")
        return (self.n_out,)

    def noise_shape(self, shape):
        return shape

    def forward(self, params, x, z=1):
        xz = times(x, z)                                # diag(z_n) x_n                       (B, D)
        return xz @ params["M"].T + params["b"], (xz, z)

    def backward(self, params, cache, df, want_dx=True):
        xz, z = cache
        grads = {"M": df.T @ xz,                        # sum_n delta_n (z_n o x_n)^T         (K, D)
                 "b": df.sum(axis=0)}                   # sum_n delta_n                       (K,)
        dx = times(df @ params["M"], z) if want_dx else None  # diag(z_n) M^T delta_n         (B, D)
        return dx, grads


@dataclass(frozen=True)
class Conv2d(Layer):
    """y_nijk = z_nijk (M_k . patch_nij + b_k): one Bernoulli variable per kernel-patch pair, bias included.

    The row (M_k, b_k) times z_nijk is the poster's W = M diag(z) for the inner product of kernel k with patch (i, j): dropout
    *after* the convolution and before pooling (arXiv 1506.02158, section 3). M (C_out, kh, kw, C_in), b (C_out,).
    noise_per="patch": z (B, Ho, Wo, C_out); noise_per="kernel": one z per kernel and image, z (B, 1, 1, C_out).
    """

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    noise: object = field(default_factory=Delta)
    noise_per: str = "patch"
    init_scheme: str = "xavier"
    noisy_params = ("M", "b")

    def __post_init__(self):
        for name in ("c_in", "c_out", "kernel", "stride"):
            require.integer(name, getattr(self, name), 1)
        require.integer("padding", self.padding, 0)
        require.choice("noise_per", self.noise_per, ("patch", "kernel"))
        require.choice("init_scheme", self.init_scheme, INITS)
        check_noise(self.noise)

    def param_shapes(self):
        return {"M": (self.c_out, self.kernel, self.kernel, self.c_in), "b": (self.c_out,)}

    def init(self, rng, dtype=np.float32):
        k2, shape = self.kernel**2, self.param_shapes()["M"]
        M = uniform(rng, shape, k2 * self.c_in, k2 * self.c_out, self.init_scheme, self.noise, dtype)
        return {"M": M, "b": np.zeros(self.c_out, dtype)}

    def flops(self, shape):
        return 2 * self.kernel**2 * self.c_in * int(np.prod(self.output_shape(shape)))

    def output_shape(self, shape):
        if len(shape) != 3 or shape[2] != self.c_in:
            raise require.InputError(f"takes images of shape (H, W, {self.c_in}), got {shape}")
        return tuple(window_count(size, self.kernel, self.stride, self.padding) for size in shape[:2]) + (self.c_out,)

    def noise_shape(self, shape):
        return self.output_shape(shape) if self.noise_per == "patch" else (1, 1, self.c_out)

    def patches(self, x):
        """cols[(n, i, j), :] = patch (i, j) of image n.                     (B*Ho*Wo, kh*kw*C_in)"""
        B, (Ho, Wo, _), k = len(x), self.output_shape(x.shape[1:]), self.kernel
        cols = np.empty((B, Ho, Wo, k * k * self.c_in), x.dtype)
        kernels.im2col(np.ascontiguousarray(x), k, k, self.stride, self.padding, cols)
        return cols.reshape(B * Ho * Wo, -1)

    def respond(self, params, x):
        """The response before the noise, M_k . patch + b_k, and the patches it was made from."""
        cols = self.patches(x)                          #                                     (B*Ho*Wo, D)
        y = cols @ params["M"].reshape(self.c_out, -1).T + params["b"]  #                     (B*Ho*Wo, C_out)
        return y.reshape(len(x), *self.output_shape(x.shape[1:])), cols

    def forward(self, params, x, z=1):
        y, cols = self.respond(params, x)
        return times(y, z), (cols, z, x.shape)          # z_nijk (M_k . patch_nij + b_k)      (B, Ho, Wo, C_out)

    def backward(self, params, cache, df, want_dx=True):
        cols, z, shape = cache
        dy = times(df, z).reshape(-1, self.c_out)       # delta_nijk = z_nijk dL/df_nijk      (B*Ho*Wo, C_out)
        grads = {"M": (dy.T @ cols).reshape(params["M"].shape),  # sum_nij delta_nijk patch_nij
                 "b": dy.sum(axis=0)}                   # sum_nij delta_nijk
        if not want_dx:
            return None, grads
        dcols = dy @ params["M"].reshape(self.c_out, -1)  # M^T delta, per patch              (B*Ho*Wo, D)
        dx = np.empty(shape, df.dtype)                  # each pixel gathers from the patches it was in
        dcols = dcols.reshape(*df.shape[:3], -1)
        kernels.col2im(dcols, self.kernel, self.kernel, self.stride, self.padding, dx)
        return dx, grads


@dataclass(frozen=True)
class MaxPool2d(Layer):
    """y_nijc = max over a size x size window of x; a window that does not fit is left out."""

    size: int
    stride: int = None  # the window size by default: windows side by side

    def __post_init__(self):
        require.integer("size", self.size, 1, 255)
        object.__setattr__(self, "stride", require.integer("stride", self.size if self.stride is None else self.stride, 1))

    def output_shape(self, shape):
        if len(shape) != 3:
            raise require.InputError(f"takes images of shape (H, W, C), got {shape}")
        return tuple(window_count(size, self.size, self.stride, 0) for size in shape[:2]) + shape[2:]

    def forward(self, params, x, z=1):
        shape = (len(x), *self.output_shape(x.shape[1:]))
        y, arg = np.empty(shape, x.dtype), np.empty(shape, np.uint16)
        kernels.max_pool(np.ascontiguousarray(x), self.size, self.stride, y, arg)
        return y, (arg, x.shape)

    def backward(self, params, cache, df, want_dx=True):
        arg, shape = cache
        dx = np.empty(shape, df.dtype)                  # dL/dx: df goes to the (first) argmax of its window
        kernels.max_pool_backward(np.ascontiguousarray(df), arg, self.size, self.stride, dx)
        return dx, {}


@dataclass(frozen=True)
class ReLU(Layer):
    """y = max(x, 0)."""

    def forward(self, params, x, z=1):
        return np.maximum(x, 0), x > 0

    def backward(self, params, cache, df, want_dx=True):
        return df * cache, {}                           # dy/dx = [x > 0]


@dataclass(frozen=True)
class Tanh(Layer):
    """y = tanh x."""

    def forward(self, params, x, z=1):
        y = np.tanh(x)
        return y, y

    def backward(self, params, cache, df, want_dx=True):
        return df * (1 - cache * cache), {}             # dy/dx = 1 - y^2


@dataclass(frozen=True)
class Flatten(Layer):
    """y_n = x_n as one row: (B, H, W, C) -> (B, H*W*C)."""

    def output_shape(self, shape):
        return (int(np.prod(shape)),)

    def forward(self, params, x, z=1):
        return x.reshape(len(x), -1), x.shape

    def backward(self, params, cache, df, want_dx=True):
        return df.reshape(cache), {}


def window_count(size, kernel, stride, padding):
    """How many windows of `kernel` fit into `size` pixels with `padding` on both sides: floor((size + 2p - k)/s) + 1."""
    count = (size + 2 * padding - kernel) // stride + 1
    if count < 1:
        raise require.InputError(f"a window of {kernel} does not fit into {size} pixels with padding {padding}")
    return count


def check_noise(noise):
    if not isinstance(noise, (Delta, Bernoulli, Gaussian)):
        raise require.InputError(f"noise must be nn.Delta(), nn.Bernoulli(keep) or nn.Gaussian(variance), got {noise!r}")
