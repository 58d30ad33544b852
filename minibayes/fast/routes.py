"""Passes that share work: f at omega-hat_1 ... omega-hat_T, where the noise leaves something in common or something out.

A route stands in for what comes from the first noise on. Its results are those of the stages, up to rounding (tested).
"""

import numpy as np

from .. import kernels
from ..nn.layers import Dense, ReLU, Tanh
from ..nn.network import per_row
from ..nn.noise import Bernoulli, Delta
from .conv_stage import ConvPool

INPUTS = 16  # whose parts a KernelRoute keeps at a time: some megabytes
ROWS = 1024  # passes x inputs that the layers after a KernelRoute take together
SHARED_INPUTS = 256  # inputs that one set of compacted matrices is made for


class KernelRoute:
    """One z in {0, 1} per kernel and image, then pooling, then a convolution: linear in z, so its parts are computed once.

        pool(z_c y_c) = z_c pool(y_c) = z_c h_c                      as z_c >= 0 is the same for a whole window (and through a ReLU)
        conv(z h)_k   = sum_c z_c U_ck,    U_ck = M_k,c * h_c        channel c's share of response k: no noise in it

    so that T passes cost one product (T, C) @ (C, places) per image instead of T convolutions.
    """

    def __init__(self, before, noisy, between, conv, after):
        self.before, self.noisy, self.between, self.conv, self.after = before, noisy, between, conv, after

    @classmethod
    def of(cls, stages):
        """The route of a network's stages, or None if they are not of that form."""
        first = next((i for i, s in enumerate(stages) if noisy(s.layer)), None)
        if first is None or not isinstance(stages[first], ConvPool):
            return None
        layer, i = stages[first].layer, first + 1
        while i < len(stages) and isinstance(stages[i].layer, ReLU):
            i += 1
        if not isinstance(layer.noise, Bernoulli) or layer.noise_per != "kernel" or i == len(stages) or not isinstance(stages[i], ConvPool):
            return None
        return cls(stages[:first], stages[first], stages[first + 1:i], stages[i], stages[i + 1:])

    def prefix(self, params, x, work):
        """U (C, N, Ho*Wo*K)."""
        for stage in [*self.before, self.noisy, *self.between]:
            x = stage.value(params, x, {}, work)
        stage, M = self.conv, params[self.conv.name]["M"]
        x = stage._padded(x, work)
        K, k, _, C = M.shape
        Ho, Wo, _ = shape = stage._response_shape(x)
        U, per_channel = work("parts", (C, len(x), Ho * Wo * K), x.dtype), M.transpose(3, 1, 2, 0).reshape(C, k * k, K)
        cols = work("cols", (k * k, Ho, C, Wo), x.dtype)
        for n in range(len(x)):
            channels = np.ascontiguousarray(x[n].transpose(2, 0, 1))[..., None]  # C images of one channel: runs of Wo to copy
            kernels.planes(channels, k, stage.layer.stride, cols)
            patches = np.ascontiguousarray(cols.transpose(2, 0, 1, 3)).reshape(C, k * k, Ho * Wo)
            np.matmul(patches.transpose(0, 2, 1), per_channel, out=U[:, n].reshape(C, Ho * Wo, K))
        self._shape = shape
        return U

    def passes(self, params, U, z, T, work):
        (C, N, _), stage = U.shape, self.conv
        b, shared = params[stage.name]["b"], len(z[self.noisy.name]) == T and N > 1
        Z = z[self.noisy.name].reshape(-1, C).astype(U.dtype)
        own = z.get(stage.name)
        shape = (self._shape[0], self._shape[1], len(b))
        out = work((stage.name, "out"), (N * T, *stage.pool.output_shape(shape)), U.dtype)
        y = work("sum", (T, *shape), U.dtype)
        for n in range(N):
            rows = slice(n * T, n * T + T)
            drawn = slice(0, T) if shared else rows
            np.matmul(Z[drawn], U[:, n], out=y.reshape(T, -1))
            stage.pool_value(y, b, stage.no_noise if own is None else own[drawn], out[rows])
        if shared:
            z = per_row(z, N, T)
        for stage in self.after:
            out = stage.value(params, out, z, work)
        return out


class SharedRoute:
    """One z for all inputs, on dense layers with Bernoulli noise: dropped columns leave M, and so do rows that the next noise drops."""

    def __init__(self, net):
        names = list(net.layers)
        layers = [(name, net.layers[name]) for name in names[names.index(net.noisy[0]):]]
        self.layers, self.needed_by = [], {}  # (name, layer, whether it is dense and its ReLU is computed with it)
        for i, (name, layer) in enumerate(layers):
            after = layers[i + 1:]
            if i and type(layer) is ReLU and type(layers[i - 1][1]) is Dense:
                continue
            self.layers.append((name, layer, type(layer) is Dense and bool(after) and type(after[0][1]) is ReLU))
            while after and isinstance(after[0][1], ReLU | Tanh):
                after = after[1:]
            if type(layer) is Dense and after and noisy(after[0][1]):
                self.needed_by[name] = after[0][0]

    @classmethod
    def of(cls, net):
        """The route of a network, or None if some noise is not Bernoulli or not on a dense layer."""
        fits = all(type(net.layers[name]) is Dense and isinstance(net.layers[name].noise, Bernoulli) for name in net.noisy)
        return cls(net) if net.noisy and fits else None

    def one_pass(self, params, h, z, work):
        """f of one pass at all inputs, from z with one row for each layer."""
        narrowed = False  # whether h has only the columns that this layer's noise keeps
        for name, layer, rectified in self.layers:
            if type(layer) is not Dense:
                h, _ = layer.forward(params.get(name), h)
                continue
            M, b = params[name]["M"], params[name]["b"]
            columns = kept(z[name][0]) if noisy(layer) else every(M.shape[1])
            needed = self.needed_by.get(name)
            rows = every(len(M)) if needed is None else kept(z[needed][0])
            if noisy(layer) and not narrowed:
                h = self._compact(h, every(len(h)), columns, (name, "h"), work)
            if len(rows) < len(M) or len(columns) < M.shape[1]:
                M, b = self._compact(M, rows, columns, (name, "M"), work), b[rows]
            f = work((name, "compact f"), (len(h), len(rows)), h.dtype)
            kernels.dense(np.ascontiguousarray(h), np.ascontiguousarray(M), b, rectified, f)
            h, narrowed = f, needed is not None
        return h

    def _compact(self, M, rows, columns, name, work):
        out = work(name, (len(rows), len(columns)), M.dtype)
        kernels.compact(np.ascontiguousarray(M), rows, columns, out)
        return out


def kept(z):
    """The numbers of the units that z keeps, as short and unsigned: twice as fast to look up with as flatnonzero's own."""
    return np.flatnonzero(z).astype(np.uint32)


def every(count):
    """The numbers of all units, in the form of `kept`."""
    return np.arange(count, dtype=np.uint32)


def noisy(layer):
    """As Network.noisy has it: Bernoulli(1.0) is noise too, though it never drops anything."""
    return not isinstance(layer.noise, Delta)
