"""The stages of a FusedNetwork: a layer as it is, a dense layer that reuses its memory, and convolution + noise + pooling in one.

A stage has forward(params, x, z, work) -> (y, cache) and backward(params, cache, df, want_dx, work, out) -> (dx, grads), with z = None for
no noise, arrays from the workspace `work`, and `out` for the gradients, if given; and before_noise / after_noise, the two halves of forward
that a stage with noise is cut into when everything before the noise is computed once for all passes.
"""

import math

import numpy as np

from . import kernels
from .layers import Conv2d, MaxPool2d

BLOCK = 8  # images whose patches and responses are in memory at a time: they stay in the second-level cache
NARROW = 32  # a patch's rows of k*C numbers are short below this: planes, and dense products
SPARSE = 0.35  # the share of non-zeros up to which row-sparse products win


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


def fits(layer):
    """A pooling whose argmax fits in a byte."""
    return isinstance(layer, MaxPool2d) and layer.size**2 <= 256


class Plain:
    """A layer as it is."""

    def __init__(self, name, layer):
        self.name, self.layer = name, layer

    def forward(self, params, x, z, work):
        return self.layer.forward(params, x, 1 if z is None else z)

    def backward(self, params, cache, df, want_dx, work, out):
        dx, grads = self.layer.backward(params, cache, df, want_dx)
        if out:
            for name in grads:
                out[name][...] = grads[name]
        return dx, out or grads

    def value(self, params, x, z, work):
        """forward without the cache."""
        return self.forward(params, x, z, work)[0]

    def before_noise(self, params, x, work):
        return self.layer.respond(params, x)[0] if isinstance(self.layer, Conv2d) else x

    def after_noise(self, params, h, z, repeat, work):
        """The rest of `value`, for `repeat` rows of z in a row on each row of h."""
        h = h if repeat == 1 else np.repeat(h, repeat, axis=0)
        if isinstance(self.layer, Conv2d):
            return np.multiply(h, z, dtype=h.dtype, casting="same_kind")
        return self.value(params, h, z, work)


NO_NOISE = np.ones((1, 1), np.uint8)


class DenseStage(Plain):
    """A dense layer that writes its products into arrays it already has."""

    def forward(self, params, x, z, work):
        x = np.ascontiguousarray(x)
        xz = x if z is None else work((self.name, "xz"), x.shape, x.dtype)
        f = work((self.name, "f"), (len(x), self.layer.n_out), x.dtype)
        kernels.dense(x, NO_NOISE if z is None else z, z is not None, params["M"], params["b"], xz, f)
        return f, (xz, z)

    def backward(self, params, cache, df, want_dx, work, out):
        xz, z = cache
        out = out or {p: np.empty_like(a) for p, a in params.items()}
        dx = work((self.name, "dx"), xz.shape, df.dtype) if want_dx else xz
        kernels.dense_backward(np.ascontiguousarray(df), xz, NO_NOISE if z is None else z, z is not None, params["M"], out["M"], out["b"],
                               want_dx, dx)
        return dx if want_dx else None, out


class ConvPool(Plain):
    """Conv2d, its noise, and the MaxPool2d after it."""

    def __init__(self, name, conv, pool):
        super().__init__(name, conv)
        self.pool, self.narrow = pool, conv.kernel * conv.c_in < NARROW
        self.no_noise, self._shapes = np.ones((1, 1, 1, conv.c_out), np.uint8), {}

    def forward(self, params, x, z, work):
        x, out = self._padded_and_out(x, work)
        arg, slope = work((self.name, "arg"), out.shape, np.uint8), work((self.name, "slope"), out.shape, x.dtype)
        kernels.conv_pool(x, self._rows(params), params["b"], self._noise(z), *self._sizes(), BLOCK, *self._scratch(x, work),
                          out, arg, slope)
        return out, (x, arg, slope)

    def value(self, params, x, z, work):
        x, out = self._padded_and_out(x, work)
        kernels.conv_pool_value(x, self._rows(params), params["b"], self._noise(z), *self._sizes(), BLOCK, *self._scratch(x, work), out)
        return out

    def expected(self, params, x, work):
        """E[max over the window of z (y + b)] for Bernoulli noise on each place."""
        y = self.before_noise(params, x, work)
        y += params["b"]
        out = work((self.name, "out"), (len(x), *self.pool.output_shape(y.shape[1:])), y.dtype)
        window = work("window", (self.pool.size**2, self.layer.c_out), y.dtype)
        kernels.expected_max_pool(y, self.layer.noise.keep, self.pool.size, self.pool.stride, window, out)
        return out

    def before_noise(self, params, x, work):
        """y = M . patch, (N, Ho, Wo, K), without the bias."""
        x = self._padded(x, work)
        y = work((self.name, "prefix"), (len(x), *self._response_shape(x)), x.dtype)
        cols, _ = self._scratch(x, work)
        for image, response in zip(x, y, strict=True):
            kernels.respond(image[None], self._rows(params), self.layer.kernel, self.layer.stride, self.narrow, cols, response[:, None])
        return y

    def after_noise(self, params, h, z, repeat, work):
        h = np.ascontiguousarray(h)
        out = work((self.name, "out"), (len(h) * repeat, *self.pool.output_shape(h.shape[1:])), h.dtype)
        self.pool_value(h, params["b"], self._noise(z), out, repeat)
        return out

    def pool_value(self, y, b, z, out, repeat=1):
        """out = the pooled z (y + b), for `repeat` rows of z in a row on each image y (N, H, W, C)."""
        _, H, W, C = y.shape
        kernels.noisy_max_pool_value(y.reshape(-1), H * W * C, W * C, W, b, z, self.pool.size, self.pool.stride, repeat, out)

    def backward(self, params, cache, df, want_dx, work, out):
        (x, arg, slope), layer, pool = cache, self.layer, self.pool
        B, (Ho, Wo, K), k = len(x), self._response_shape(x), layer.kernel
        out = out or {p: np.empty_like(a) for p, a in params.items()}
        delta = work((self.name, "delta"), df.shape, df.dtype)
        count = kernels.noisy_max_pool_backward(np.ascontiguousarray(df), slope, delta, out["b"])
        dx = work((self.name, "dx"), x.shape, df.dtype) if want_dx else x
        if self.narrow or count > SPARSE * B * Ho * Wo * K:
            dM = self._rows(out) if not self.narrow or layer.c_in == 1 else work("dM", self._rows(params).shape, x.dtype)
            kernels.conv_backward(x, params["M"].reshape(K, -1), delta, arg, *self._sizes(), BLOCK, *self._scratch(x, work), dM,
                                  want_dx, dx)
            if self.narrow and layer.c_in > 1:
                out["M"][...] = dM.reshape(K, layer.c_in, k, k).transpose(0, 2, 3, 1)
        else:
            value, index = work("value", (delta[..., 0].size + K + 8,), df.dtype), work("index", (delta[..., 0].size + K + 8,), np.int64)
            kernels.pooled_conv_dM(delta, arg, pool.size, pool.stride, x, k, layer.stride, value, index, out["M"].reshape(K, k, -1))
            if want_dx:
                kernels.pooled_conv_dx(delta, arg, pool.size, pool.stride, params["M"].reshape(K, k, -1), k, layer.stride, value, index, dx)
        if want_dx and layer.padding:
            dx = dx[:, layer.padding:-layer.padding, layer.padding:-layer.padding]
        return dx if want_dx else None, out

    def _sizes(self):
        """As the kernels take them: k, stride, narrow, size, pool_stride."""
        return self.layer.kernel, self.layer.stride, self.narrow, self.pool.size, self.pool.stride

    def _rows(self, params):
        """M as a matrix, a kernel a row, its columns in the order that `kernels.respond` wants."""
        M = params["M"].transpose(0, 3, 1, 2) if self.narrow else params["M"]
        return np.ascontiguousarray(M).reshape(len(M), -1)

    def _noise(self, z):
        return self.no_noise if z is None else np.ascontiguousarray(z)

    def _scratch(self, x, work):
        """(cols, y) for blocks of the padded images x."""
        (Ho, Wo, K), k, block = self._response_shape(x), self.layer.kernel, min(BLOCK, len(x))
        places = Wo * block
        size = max(x.shape[1], k * Ho if self.narrow else 0) * places * k * self.layer.c_in
        return work("cols", (size,), x.dtype), work("y", (Ho * places * K,), x.dtype)

    def _padded_and_out(self, x, work):
        x = self._padded(x, work)
        return x, work((self.name, "out"), (len(x), *self.pool.output_shape(self._response_shape(x))), x.dtype)

    def _padded(self, x, work):
        """x inside a frame of zeros."""
        p, (B, H, W, C) = self.layer.padding, x.shape
        if not p:
            return np.ascontiguousarray(x)
        framed = work((self.name, "framed"), (B, H + 2 * p, W + 2 * p, C), x.dtype)
        framed[...] = 0
        framed[:, p:-p, p:-p] = x
        return framed

    def _response_shape(self, x):
        """(Ho, Wo, K) for padded images x; asked for often, so remembered."""
        image = x.shape[1:]
        if image not in self._shapes:
            p = self.layer.padding
            self._shapes[image] = self.layer.output_shape((image[0] - 2 * p, image[1] - 2 * p, image[2]))
        return self._shapes[image]
