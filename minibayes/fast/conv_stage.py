"""Conv2d, its noise, and the pooling and the ReLU or Tanh after it, if any, in one stage: block by block."""

import math

import numpy as np

from .. import kernels
from ..kernels import NO_RISE, Geometry, Lines
from ..nn.conv import Conv2d, MaxPool2d
from ..nn.layers import Layer
from ..nn.noise import Bernoulli
from .stages import RISES, Plain, grads_like, in_rows

BLOCK = 8  # images whose patches and responses are in memory at a time: at most,
ROOM = 2**17  # and the most numbers of either: they stay in the second-level cache
NARROW = 32  # a patch's rows of k*C numbers are short below this: planes, and strips
SPARSE = 0.35  # the share of non-zeros up to which row-sparse products win
RUN = 16  # a patch in a strip is read up to a multiple of this many numbers: whole vectors


def fits(layer: Layer) -> bool:
    """A pooling whose argmax fits in a byte."""
    return type(layer) is MaxPool2d and layer.size**2 <= 256


class Conv(Plain):
    """Conv2d, its noise, the MaxPool2d after it, and a non-decreasing function of single numbers.

    Without a pooling each response is the largest of a window of one. dL/d(response) is kept as (value,
    argmax), the slopes of noise and function multiplied in: what they make 0, sparse products leave out.
    """

    def __init__(self, name: str, conv: Conv2d, pool: MaxPool2d | None = None, rise: Layer | None = None):
        super().__init__(name, conv)
        self.pool, self.rise, self.compiled = pool or MaxPool2d(1), rise, (name,)
        narrow, which = int(conv.kernel * conv.c_in < NARROW), RISES.get(type(rise), NO_RISE)
        self.geometry = Geometry(conv.kernel, conv.stride, self.pool.size, self.pool.stride, narrow, BLOCK,
                                 which)
        self.no_noise, self._shapes = np.ones((1, 1, 1, conv.c_out), np.uint8), {}

    def forward(self, params, x, z, work):
        M, b, x = params[self.name]["M"], params[self.name]["b"], self.padded(x, work)
        out = self._out(x, work)
        arg = work((self.name, "arg"), out.shape, np.uint8)
        slope = work((self.name, "slope"), out.shape, x.dtype)
        kernels.conv_pool(x, self._matrix(M), b, self.noise(z, x.dtype), *self._scratch(x, work),
                          out, arg, slope)
        return out, (x, M, arg, slope)

    def value(self, params, x, z, work):
        M, b, x = params[self.name]["M"], params[self.name]["b"], self.padded(x, work)
        out = self._out(x, work)
        kernels.conv_pool_value(x, self._matrix(M), b, self.noise(z, x.dtype), *self._scratch(x, work), out)
        return out

    def expected(self, params, x, pool, work):
        y = self.before_noise(params, x, work)
        y += params[self.name]["b"]
        if type(self.layer.noise) is Bernoulli:
            out = work((self.name, "out"), (len(x), *pool.output_shape(y.shape[1:])), y.dtype)
            window = work("window", (pool.size**2, self.layer.c_out), y.dtype)
            kernels.expected_max_pool(y, self.layer.noise.keep, pool.size, pool.stride, window, out)
        else:
            out = pool.expected(self.layer.noise, y)
        return out if self.rise is None else self.rise.forward({}, out)[0]

    def before_noise(self, params, x, work):
        """y = M . patch, (N, Ho, Wo, K), without the bias."""
        x, matrix = self.padded(x, work), self._matrix(params[self.name]["M"])
        y = work((self.name, "prefix"), (len(x), *self.response_shape(x)), x.dtype)
        _, cols, _ = self._scratch(x, work)
        for image, response in zip(x, y, strict=True):
            kernels.respond(image[None], matrix, self.geometry, cols, response[:, None])
        return y

    def after_noise(self, params, h, z, repeat, work):
        h = np.ascontiguousarray(h)
        out = work((self.name, "out"), (len(h) * repeat, *self.pool.output_shape(h.shape[1:])), h.dtype)
        self.pool_value(h, params[self.name]["b"], self.noise(z, h.dtype), out, repeat)
        return out

    def pool_value(self, y, b, z, out, repeat=1):
        """out = r(the pooled z (y + b)), for `repeat` rows of z in a row on each image y (N, H, W, C)."""
        _, H, W, C = y.shape
        kernels.noisy_max_pool_value(y.reshape(-1), H * W * C, W * C, W, b, z, self.geometry, repeat, out)

    def backward(self, params, cache, df, want_dx, work, out):
        x, M, arg, slope = cache
        df, p = in_rows(df, x.dtype), self.layer.padding
        out = grads_like(params[self.name]) if out is None else out[self.name]
        delta = work((self.name, "delta"), df.shape, df.dtype)
        count = kernels.noisy_max_pool_backward(df, slope, delta, out["b"])
        dense = count > SPARSE * len(x) * math.prod(self.response_shape(x))
        dx = work((self.name, "dx"), x.shape, df.dtype) if want_dx else x
        products = self._dense_products if dense else self._sparse_products
        products(x, delta, arg, M, out["M"], want_dx, dx, work)
        if want_dx and p:
            dx = dx[:, p:-p, p:-p]
        return dx if want_dx else None, {self.name: out}

    def _dense_products(self, x, delta, arg, M, dM, want_dx, dx, work):
        K, k, _, C = M.shape
        matrix = work("dM", (K, k * k * C), x.dtype)
        g, *scratch = self._scratch(x, work)
        kernels.conv_backward(x, M.reshape(K, -1), delta, arg, g, *scratch, matrix, want_dx, dx)
        dM[...] = matrix.reshape(K, C, k, k).transpose(0, 2, 3, 1) if g.narrow else matrix.reshape(M.shape)

    def _sparse_products(self, x, delta, arg, M, dM, want_dx, dx, work):
        (_, H, W, C), (Ho, _, K) = x.shape, self.response_shape(x)
        g, size = self.geometry, delta[..., 0].size + K + 8
        k, pool = g.k, (g.size, g.pool_stride)
        value, offset = work("value", (size,), x.dtype), work("offset", (size,), np.uint64)
        if g.narrow:
            strip, run = W * k * C, -(-k * k * C // RUN) * RUN
            strips = work("strips", (len(x) * Ho * strip + run,), x.dtype)
            lines, matrix = Lines(Ho, strip, 1, g.stride * k * C), work("dM", (K, 1, run), x.dtype)
            kernels.strips(x, k, g.stride, strips)
            kernels.pooled_conv_dM(delta, arg, *pool, strips, lines, value, offset, matrix)
            dM[...] = matrix[:, 0, :k * k * C].reshape(K, k, k, C).transpose(0, 2, 1, 3)
        else:
            lines, matrix = Lines(H, W * C, g.stride, g.stride * C), dM.reshape(K, k, -1)
            kernels.pooled_conv_dM(delta, arg, *pool, x.reshape(-1), lines, value, offset, matrix)
        if want_dx:
            kernels.pooled_conv_dx(delta, arg, *pool, M.reshape(K, k, -1), g.stride, value, offset, dx)

    def noise(self, z, dtype):
        """This layer's z as the kernels take it."""
        z = z.get(self.name, self.no_noise)
        return in_rows(z, None if z.dtype == np.uint8 else dtype)

    def padded(self, x, work):
        """x inside a frame of zeros."""
        p, (B, H, W, C) = self.layer.padding, x.shape
        if not p:
            return in_rows(x)
        framed = work((self.name, "framed"), (B, H + 2 * p, W + 2 * p, C), x.dtype)
        framed[...] = 0
        framed[:, p:-p, p:-p] = x
        return framed

    def response_shape(self, x):
        """(Ho, Wo, K) for padded images x; asked for often, so remembered for each size of image."""
        image = x.shape[1:]
        if image not in self._shapes:
            p = self.layer.padding
            self._shapes[image] = self.layer.output_shape((image[0] - 2 * p, image[1] - 2 * p, image[2]))
        return self._shapes[image]

    def _matrix(self, M):
        """M as a matrix, a kernel a row, its columns in the order that `kernels.respond` wants."""
        M = M.transpose(0, 3, 1, 2) if self.geometry.narrow else M
        return np.ascontiguousarray(M).reshape(len(M), -1)

    def _scratch(self, x, work):
        """(geometry, cols, y) for blocks of the padded images x: as many in one as fit into the cache."""
        (Ho, Wo, K), g = self.response_shape(x), self.geometry
        patches = max(x.shape[1], g.k * Ho if g.narrow else 0) * Wo * g.k * self.layer.c_in
        block = max(1, min(g.block, len(x), ROOM // max(patches, Ho * Wo * K)))
        cols, y = work("cols", (block * patches,), x.dtype), work("y", (block * Ho * Wo * K,), x.dtype)
        return g._replace(block=block), cols, y

    def _out(self, x, work):
        return work((self.name, "out"), (len(x), *self.pool.output_shape(self.response_shape(x))), x.dtype)
