"""The stages of a FusedNetwork: a layer as it is, a dense layer that reuses its memory, and convolution + noise + pooling in one.

A stage has forward(params, x, z, work) -> (y, cache) and backward(params, cache, df, want_dx, work, out) -> (dx, grads), with z = None for
no noise, arrays from the workspace `work`, and `out` for the gradients, if given; and before_noise / after_noise, the two halves of forward
that a stage with noise is cut into when everything before the noise is computed once for all passes.
"""

import math

import numpy as np

from . import kernels
from .layers import Conv2d, MaxPool2d

BLOCK = 32  # images whose patches and responses are in memory at a time
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

    def after_noise(self, params, h, z, work):
        if isinstance(self.layer, Conv2d):
            return np.multiply(h, z, dtype=h.dtype, casting="same_kind")
        return self.value(params, h, z, work)


class DenseStage(Plain):
    """A dense layer that writes its products into arrays it already has."""

    def forward(self, params, x, z, work):
        xz = x
        if z is not None:
            xz = work((self.name, "xz"), x.shape, x.dtype)
            np.multiply(x, z, out=xz, casting="same_kind")
        f = work((self.name, "f"), (len(x), self.layer.n_out), x.dtype)
        np.matmul(xz, params["M"].T, out=f)
        f += params["b"]
        return f, (xz, z)

    def backward(self, params, cache, df, want_dx, work, out):
        xz, z = cache
        out = out or {p: np.empty_like(a) for p, a in params.items()}
        np.matmul(df.T, xz, out=out["M"])
        np.sum(df, axis=0, out=out["b"])
        if not want_dx:
            return None, out
        dx = work((self.name, "dx"), xz.shape, df.dtype)
        np.matmul(df, params["M"], out=dx)
        if z is not None:
            np.multiply(dx, z, out=dx, casting="same_kind")
        return dx, out


class ConvPool(Plain):
    """Conv2d, its noise, and the MaxPool2d after it."""

    def __init__(self, name, conv, pool):
        super().__init__(name, conv)
        self.pool, self.narrow = pool, conv.kernel * conv.c_in < NARROW
        self.no_noise, self._shapes = np.ones((1, 1, 1, conv.c_out), np.uint8), {}

    def forward(self, params, x, z, work):
        x = self._padded(x, work)
        pooled = (len(x), *self.pool.output_shape(self._response_shape(x)))
        out, slope = (work((self.name, name), pooled, x.dtype) for name in ("out", "slope"))
        arg = work((self.name, "arg"), pooled, np.uint8)
        for rows, y, z_rows in self._responses(params, x, z, work):
            kernels.noisy_max_pool(y, params["b"], z_rows, self.pool.size, self.pool.stride, out[rows], arg[rows], slope[rows])
        return out, (x, arg, slope)

    def value(self, params, x, z, work):
        x = self._padded(x, work)
        out = work((self.name, "out"), (len(x), *self.pool.output_shape(self._response_shape(x))), x.dtype)
        for rows, y, z_rows in self._responses(params, x, z, work):
            self.pool_value(y, params["b"], z_rows, out[rows])
        return out

    def expected(self, params, x, work):
        """E[max over the window of z (y + b)] for Bernoulli noise on each place."""
        x = self._padded(x, work)
        K, size = self.layer.c_out, self.pool.size
        out = work((self.name, "out"), (len(x), *self.pool.output_shape(self._response_shape(x))), x.dtype)
        for rows, y, _ in self._responses(params, x, None, work):
            y += params["b"]
            window = work("window", (size**2, K), x.dtype)
            kernels.expected_max_pool(y, self.layer.noise.keep, size, self.pool.stride, window, out[rows])
        return out

    def _responses(self, params, x, z, work):
        """(rows, y, z of the rows) block by block: y = M . patch, without the bias, in memory that the next block takes over."""
        z = self.no_noise if z is None else np.ascontiguousarray(z)
        for rows in blocks(len(x)):
            y = work((self.name, "y"), (rows.stop - rows.start, *self._response_shape(x)), x.dtype)
            self._respond(params, x[rows], y, work)
            yield rows, y, z if len(z) == 1 else z[rows]

    def before_noise(self, params, x, work):
        x = self._padded(x, work)
        y = work((self.name, "prefix"), (len(x), *self._response_shape(x)), x.dtype)
        for rows in blocks(len(x)):
            self._respond(params, x[rows], y[rows], work)
        return y

    def after_noise(self, params, h, z, work):
        out = work((self.name, "out"), (len(h), *self.pool.output_shape(h.shape[1:])), h.dtype)
        self.pool_value(np.ascontiguousarray(h), params["b"], np.ascontiguousarray(z), out)
        return out

    def pool_value(self, y, b, z, out):
        """out = the pooled z (y + b)."""
        kernels.noisy_max_pool_value(y, b, z, self.pool.size, self.pool.stride, out)

    def backward(self, params, cache, df, want_dx, work, out):
        (x, arg, slope), layer, pool = cache, self.layer, self.pool
        B, (Ho, Wo, K), k = len(x), self._response_shape(x), layer.kernel
        out = out or {p: np.empty_like(a) for p, a in params.items()}
        delta = work((self.name, "delta"), df.shape, df.dtype)
        count = kernels.noisy_max_pool_backward(np.ascontiguousarray(df), slope, delta, out["b"])
        dx = work((self.name, "dx"), x.shape, df.dtype) if want_dx else None
        if self.narrow or count > SPARSE * B * Ho * Wo * K:
            self._dense_backward(params, x, delta, arg, out["M"], dx, work)
        else:
            value, index = work("value", (delta[..., 0].size + K + 8,), df.dtype), work("index", (delta[..., 0].size + K + 8,), np.int64)
            kernels.pooled_conv_dM(delta, arg, pool.size, pool.stride, x, k, layer.stride, value, index, out["M"].reshape(K, k, -1))
            if want_dx:
                kernels.pooled_conv_dx(delta, arg, pool.size, pool.stride, params["M"].reshape(K, k, -1), k, layer.stride, value, index, dx)
        if want_dx and layer.padding:
            dx = dx[:, layer.padding:-layer.padding, layer.padding:-layer.padding]
        return dx, out

    def _dense_backward(self, params, x, delta, arg, dM, dx, work):
        """The derivative written out, and matrix products: dM = dy^T cols, dx = col2im(dy M)."""
        layer, pool, M = self.layer, self.pool, params["M"].reshape(self.layer.c_out, -1)
        total = np.zeros((layer.c_out, M.shape[1]), M.dtype)
        for rows in blocks(len(x)):
            dy = work((self.name, "y"), (rows.stop - rows.start, *self._response_shape(x)), x.dtype)
            kernels.scatter(delta[rows], arg[rows], pool.size, pool.stride, dy)
            flat, cols = dy.reshape(-1, layer.c_out), self._patches(x[rows], work)
            total += flat.T @ cols
            if dx is not None:
                dcols = work((self.name, "dcols"), (*dy.shape[:3], M.shape[1]), x.dtype)
                np.matmul(flat, M, out=dcols.reshape(-1, M.shape[1]))
                kernels.col2im(dcols, layer.kernel, layer.kernel, layer.stride, 0, dx[rows])
        if self.narrow:
            total = total.reshape(layer.c_out, layer.c_in, layer.kernel, layer.kernel).transpose(0, 2, 3, 1)
        dM[...] = total.reshape(dM.shape)

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

    def _patches(self, x, work):
        """The patches of the padded images x as a matrix (places, numbers), its columns in the order (c, di, dj) if narrow."""
        layer, (Ho, Wo, _), k = self.layer, self._response_shape(x), self.layer.kernel
        if self.narrow:
            cols = work("cols", (layer.c_in * k * k, len(x), Ho, Wo), x.dtype)
            kernels.im2col_planes(np.ascontiguousarray(x.transpose(3, 0, 1, 2)), k, layer.stride, cols)
            return cols.reshape(len(cols), -1).T
        cols = work("cols", (len(x), Ho, Wo, k * k * layer.c_in), x.dtype)
        kernels.im2col(x, k, k, layer.stride, 0, cols)
        return cols.reshape(-1, cols.shape[-1])

    def _respond(self, params, x, y, work):
        """y = M . patch for the padded images x, without the bias."""
        M = params["M"].transpose(0, 3, 1, 2) if self.narrow else params["M"]
        np.matmul(self._patches(x, work), M.reshape(self.layer.c_out, -1).T, out=y.reshape(-1, self.layer.c_out))


def blocks(count):
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
