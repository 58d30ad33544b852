"""Routes: the ways from inputs to T passes f(x, omega-hat_1) ... f(x, omega-hat_T), each sharing other work.

A route computes what all passes have in common once, h = prefix(params, x, work), and then the passes at
these inputs, f = passes(params, h, z, T, work), (N*T, K): row n*T + t is pass t at input n. z has N*T such
rows, or T rows if each pass has one z for all inputs. h has copy(), and the route's joined([h, ...]) is that
of all the inputs. It takes inputs_at_once(shape) inputs, and from there on rows_at_once(shape) rows (passes x
inputs).

StageRoute runs the stages; the results of the others are the same up to rounding (tested).
"""

from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..nn.activations import ReLU
from ..nn.network import Network
from ..nn.noise import Bernoulli
from .conv_stage import Conv
from .stages import Plain, Tree, Workspace

SWEEP_ROWS = 4096  # the most rows in a sweep of several passes,
SWEEP_NUMBERS = 2**20  # and the most numbers of one layer,
SEQUENCES, SEQUENCE_NUMBERS = 512, 2**23  # so many sequences: they pass through the cache step by step
NOISE_NUMBERS = 2**24  # the most numbers of one layer's noise in one pass


class StageRoute:
    """Stage by stage; what comes before the first noise is computed once."""

    inputs = 64

    def __init__(self, net: Network, stages: list[Plain]):
        self._net = net
        self._plain_noise = [stage.name for stage in stages
                             if stage.layer.noisy and not (stage.compiled and stage.by_row)]
        first = next((i for i, stage in enumerate(stages) if stage.layer.noisy), len(stages))
        self.before, self.noisy, self.after = stages[:first], stages[first:first + 1], stages[first + 1:]

    def inputs_at_once(self, input_shape: tuple) -> int:
        """Fewer where a row has much noise, such as one z per weight."""
        return max(1, min(self.inputs, NOISE_NUMBERS // self._noise_numbers(input_shape)))

    def rows_at_once(self, input_shape: tuple) -> int:
        """What keeps the largest activations in cache; of sequences, those of a step."""
        width = max(int(np.prod(out)) for _, out in self._net.shapes(input_shape).values())
        width = max(width, self._noise_numbers(input_shape))
        rows = SWEEP_NUMBERS // width
        if any(layer.carries for layer in self._net.layers.values()):
            rows = max(rows, min(SEQUENCES, SEQUENCE_NUMBERS // width))
        return max(1, min(SWEEP_ROWS, rows))

    def _noise_numbers(self, input_shape):
        """The most numbers in one z of a layer that runs as it is."""
        shapes, layers = self._net.shapes(input_shape), self._net.layers
        noise_shapes = [layers[name].noise_shape(shapes[name][0]) for name in self._plain_noise]
        return max([1, *(int(np.prod(shape)) for shape in noise_shapes)])

    def prefix(self, params: Tree, x: np.ndarray, work: Workspace) -> np.ndarray:
        """What reaches the first noise: of a convolution, its response."""
        for stage in self.before:
            x = stage.value(params, x, {}, work)
        for stage in self.noisy:
            x = stage.before_noise(params, x, work)
        return x

    def passes(self, params: Tree, h: np.ndarray, z: dict, T: int, work: Workspace) -> np.ndarray:
        if not self.noisy:
            return np.repeat(h, T, axis=0)
        z = per_row(z, len(h), T)
        for stage in self.noisy:
            h = stage.after_noise(params, h, z, T, work)
        for stage in self.after:
            h = stage.value(params, h, z, work)
        return h

    def joined(self, pieces: list[np.ndarray]) -> np.ndarray:
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class SingleRoute(StageRoute):
    """One z for all inputs which, somewhere, is not by rows of the batch (one a weight): pass by pass."""

    @classmethod
    def of(cls, net: Network, stages: list[Plain]) -> "SingleRoute | None":
        return None if all(stage.by_row for stage in stages) else cls(net, stages)

    def inputs_at_once(self, input_shape: tuple) -> int:
        return self.inputs

    def prefix(self, params: Tree, x: np.ndarray, work: Workspace) -> np.ndarray:
        """What reaches the first noise."""
        for stage in self.before:
            x = stage.value(params, x, {}, work)
        return x

    def passes(self, params: Tree, h: np.ndarray, z: dict, T: int, work: Workspace) -> np.ndarray:
        f = []
        for t in range(T):
            own, y = {name: a[t:t + 1] for name, a in z.items()}, h
            for stage in (*self.noisy, *self.after):
                y = stage.value(params, y, own, work)
            f.append(y.copy())
        return np.stack(f, axis=1).reshape(len(h) * T, *f[0].shape[1:])


@dataclass(frozen=True)
class Parts:
    """A KernelRoute's h: U (C, N, Ho*Wo*K), channel c's share of each response; `shape` is (Ho, Wo, K)."""

    U: np.ndarray
    shape: tuple

    def copy(self) -> "Parts":
        return Parts(self.U.copy(), self.shape)


class KernelRoute:
    """One z in {0, 1} per kernel and image, and a convolution: linear in z, parts are computed once.

        pool(z_c y_c) = z_c pool(y_c) = z_c h_c        z_c >= 0 is one for a whole window (and through a ReLU)
        conv(z h)_k = sum_c z_c U_ck,  U_ck = M_k,c * h_c     channel c's share of response k: no noise in it

    so that T passes cost one product (T, C) @ (C, places) per image instead of T convolutions.
    """

    inputs = 16

    def __init__(self, before: list[Plain], noisy: Conv, between: list[Plain], conv: Conv,
                 after: list[Plain]):
        self.prefix_stages = [*before, noisy, *between]
        self.noisy, self.conv, self.after = noisy, conv, after

    @classmethod
    def of(cls, stages: list[Plain]) -> "KernelRoute | None":
        """The route of a network's stages, or None if they are not of that form."""
        first = next((i for i, stage in enumerate(stages) if stage.layer.noisy), None)
        if first is None or not isinstance(stages[first], Conv):
            return None
        layer, rise, i = stages[first].layer, stages[first].rise, first + 1
        while i < len(stages) and type(stages[i].layer) is ReLU:
            i += 1
        if type(layer.noise) is not Bernoulli or layer.noise_per != "kernel":
            return None
        if not (rise is None or type(rise) is ReLU) or not all(stage.by_row for stage in stages):
            return None
        if i == len(stages) or not isinstance(stages[i], Conv):
            return None
        return cls(stages[:first], stages[first], stages[first + 1:i], stages[i], stages[i + 1:])

    def inputs_at_once(self, input_shape: tuple) -> int:
        return self.inputs  # their parts are some megabytes

    def rows_at_once(self, input_shape: tuple) -> int:
        return 1024  # that the layers after the convolution take together

    def prefix(self, params: Tree, x: np.ndarray, work: Workspace) -> Parts:
        for stage in self.prefix_stages:
            x = stage.value(params, x, {}, work)
        stage, M = self.conv, params[self.conv.name]["M"]
        x = stage.padded(x, work)
        (K, k, _, C), shape = M.shape, stage.response_shape(x)
        Ho, Wo, _ = shape
        U = work("parts", (C, len(x), Ho * Wo * K), x.dtype)
        cols = work("cols", (k * k, Ho, C, Wo), x.dtype)
        per_channel = M.transpose(3, 1, 2, 0).reshape(C, k * k, K)
        for n in range(len(x)):  # as C images of one channel: runs of Wo numbers to copy
            channels = np.ascontiguousarray(x[n].transpose(2, 0, 1))[..., None]
            kernels.planes(channels, k, stage.layer.stride, cols)
            patches = np.ascontiguousarray(cols.transpose(2, 0, 1, 3)).reshape(C, k * k, Ho * Wo)
            np.matmul(patches.transpose(0, 2, 1), per_channel, out=U[:, n].reshape(C, Ho * Wo, K))
        return Parts(U, shape)

    def passes(self, params: Tree, h: Parts, z: dict, T: int, work: Workspace) -> np.ndarray:
        U, stage = h.U, self.conv
        C, N, _ = U.shape
        b, shared = params[stage.name]["b"], len(z[self.noisy.name]) == T and N > 1
        Z = z[self.noisy.name].reshape(-1, C).astype(U.dtype)
        own = stage.noise(z, U.dtype) if stage.name in z else None
        out = work((stage.name, "out"), (N * T, *stage.pool.output_shape(h.shape)), U.dtype)
        y = work("sum", (T, *h.shape), U.dtype)
        for n in range(N):
            rows = slice(n * T, n * T + T)
            of_z = slice(0, T) if shared else rows
            np.matmul(Z[of_z], U[:, n], out=y.reshape(T, -1))
            stage.pool_value(y, b, stage.no_noise if own is None else own[of_z], out[rows])
        if shared:
            z = per_row(z, N, T)
        for stage in self.after:
            out = stage.value(params, out, z, work)
        return out

    def joined(self, pieces: list[Parts]) -> Parts:
        return Parts(np.concatenate([h.U for h in pieces], axis=1), pieces[0].shape)


def per_row(z: dict, N: int, T: int) -> dict:
    """z with a row for each of N T rows, from one that may have only T, one for each pass."""
    if N == 1:
        return z
    return {name: np.tile(a, (N, *[1] * (a.ndim - 1))) if len(a) == T != 1 else a for name, a in z.items()}
