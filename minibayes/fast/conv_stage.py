"""The stage that convolutions run in: Conv2d, its noise and the MaxPool2d after it, block by block, with a sparse backward."""

import math

import numpy as np

from .. import kernels
from ..nn.layers import MaxPool2d
from .stages import Plain, grads_like

BLOCK = 8  # images whose patches and responses are in memory at a time: they stay in the second-level cache
NARROW = 32  # a patch's rows of k*C numbers are short below this: planes, and strips
SPARSE = 0.35  # the share of non-zeros up to which row-sparse products win
RUN = 16  # a patch in a strip is read up to a multiple of this many numbers: whole vectors


def fits(layer):
    """A pooling whose argmax fits in a byte."""
    return type(layer) is MaxPool2d and layer.size**2 <= 256


class ConvPool(Plain):
    """Conv2d, its noise, and the MaxPool2d after it."""

    def __init__(self, name, conv, pool):
        super().__init__(name, conv)
        self.pool, self.narrow = pool, conv.kernel * conv.c_in < NARROW
        self.no_noise, self._shapes = np.ones((1, 1, 1, conv.c_out), np.uint8), {}

    def forward(self, params, x, z, work):
        params, x, out = params[self.name], *self._padded_and_out(x, work)
        arg, slope = work((self.name, "arg"), out.shape, np.uint8), work((self.name, "slope"), out.shape, x.dtype)
        kernels.conv_pool(x, self._rows(params), params["b"], self._noise(z.get(self.name)), *self._sizes(), BLOCK, *self._scratch(x, work),
                          out, arg, slope)
        return out, (x, arg, slope)

    def value(self, params, x, z, work):
        params, x, out = params[self.name], *self._padded_and_out(x, work)
        kernels.conv_pool_value(x, self._rows(params), params["b"], self._noise(z.get(self.name)), *self._sizes(), BLOCK,
                                *self._scratch(x, work), out)
        return out

    def expected(self, params, x, work):
        """E[max over the window of z (y + b)] for Bernoulli noise on each place."""
        y = self.before_noise(params, x, work)
        y += params[self.name]["b"]
        out = work((self.name, "out"), (len(x), *self.pool.output_shape(y.shape[1:])), y.dtype)
        window = work("window", (self.pool.size**2, self.layer.c_out), y.dtype)
        kernels.expected_max_pool(y, self.layer.noise.keep, self.pool.size, self.pool.stride, window, out)
        return out

    def before_noise(self, params, x, work):
        """y = M . patch, (N, Ho, Wo, K), without the bias."""
        x, rows = self._padded(x, work), self._rows(params[self.name])
        y = work((self.name, "prefix"), (len(x), *self._response_shape(x)), x.dtype)
        cols, _ = self._scratch(x, work)
        for image, response in zip(x, y, strict=True):
            kernels.respond(image[None], rows, self.layer.kernel, self.layer.stride, self.narrow, cols, response[:, None])
        return y

    def after_noise(self, params, h, z, repeat, work):
        h = np.ascontiguousarray(h)
        out = work((self.name, "out"), (len(h) * repeat, *self.pool.output_shape(h.shape[1:])), h.dtype)
        self.pool_value(h, params[self.name]["b"], self._noise(z[self.name]), out, repeat)
        return out

    def pool_value(self, y, b, z, out, repeat=1):
        """out = the pooled z (y + b), for `repeat` rows of z in a row on each image y (N, H, W, C)."""
        _, H, W, C = y.shape
        kernels.noisy_max_pool_value(y.reshape(-1), H * W * C, W * C, W, b, z, self.pool.size, self.pool.stride, repeat, out)

    def backward(self, params, cache, df, want_dx, work, out):
        (x, arg, slope), layer, params = cache, self.layer, params[self.name]
        out = grads_like(params) if out is None else out[self.name]
        delta = work((self.name, "delta"), df.shape, df.dtype)
        count = kernels.noisy_max_pool_backward(np.ascontiguousarray(df), slope, delta, out["b"])
        dense = count > SPARSE * len(x) * math.prod(self._response_shape(x))
        dx = work((self.name, "dx"), x.shape, df.dtype) if want_dx else x
        (self._dense_products if dense else self._sparse_products)(x, delta, arg, params["M"], out["M"], want_dx, dx, work)
        if want_dx and layer.padding:
            dx = dx[:, layer.padding:-layer.padding, layer.padding:-layer.padding]
        return dx if want_dx else None, {self.name: out}

    def _dense_products(self, x, delta, arg, M, dM, want_dx, dx, work):
        (K, k, _, C), rows = M.shape, work("dM", (len(M), M[0].size), x.dtype)
        kernels.conv_backward(x, M.reshape(K, -1), delta, arg, *self._sizes(), BLOCK, *self._scratch(x, work), rows, want_dx, dx)
        dM[...] = rows.reshape(K, C, k, k).transpose(0, 2, 3, 1) if self.narrow else rows.reshape(M.shape)

    def _sparse_products(self, x, delta, arg, M, dM, want_dx, dx, work):
        (_, H, W, C), (Ho, _, K), k, stride = x.shape, self._response_shape(x), self.layer.kernel, self.layer.stride
        size = delta[..., 0].size + K + 8
        value, offset, pool = work("value", (size,), x.dtype), work("offset", (size,), np.uint64), (self.pool.size, self.pool.stride)
        if self.narrow:
            strip, run = W * k * C, -(-k * k * C // RUN) * RUN
            strips, rows = work("strips", (len(x) * Ho * strip + run,), x.dtype), work("dM", (K, 1, run), x.dtype)
            kernels.strips(x, k, stride, strips)
            kernels.pooled_conv_dM(delta, arg, *pool, strips, Ho, strip, 1, stride * k * C, value, offset, rows)
            dM[...] = rows[:, 0, :k * k * C].reshape(K, k, k, C).transpose(0, 2, 1, 3)
        else:
            kernels.pooled_conv_dM(delta, arg, *pool, x.reshape(-1), H, W * C, stride, stride * C, value, offset, dM.reshape(K, k, -1))
        if want_dx:
            kernels.pooled_conv_dx(delta, arg, *pool, M.reshape(K, k, -1), stride, value, offset, dx)

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
