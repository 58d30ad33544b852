"""Routes: the ways from inputs to T passes f(x, omega-hat_1) ... f(x, omega-hat_T), each sharing other work.

A route computes what all passes have in common once, h = prefix(params, x, work), and then the passes at these inputs,
f = passes(params, h, z, T, work), (N*T, K): row n*T + t is pass t at input n. z has N*T such rows, or T rows if each
pass has one z for all inputs. h has copy(), and the route's joined([h, ...]) is that of all the inputs. Of inputs it
takes inputs_at_once(shape), and of rows (passes x inputs) rows_at_once(shape) from there on.

StageRoute runs the stages; the results of the others are the same up to rounding (tested).
"""

from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..nn.activations import ReLU, Tanh
from ..nn.layers import Dense
from ..nn.network import Network
from ..nn.noise import Bernoulli
from ..nn.place import Inputs, Outputs
from .conv_stage import ConvPool
from .stages import DenseStack, Plain, Tree, Workspace

SWEEP_ROWS, SWEEP_NUMBERS = 4096, 2**20  # the most rows, and numbers of one layer, in a sweep of several passes
NOISE_NUMBERS = 2**24  # the most numbers of one layer's noise in one pass


class StageRoute:
    """Stage by stage; what comes before the first noise is computed once."""

    inputs = 64

    def __init__(self, net: Network, stages: list[Plain]):
        self._net, self._plain_noise = net, [stage.name for stage in stages if stage.layer.noisy and not stage.compiled]
        first = next((i for i, stage in enumerate(stages) if stage.layer.noisy), len(stages))
        self.before, self.noisy, self.after = stages[:first], stages[first:first + 1], stages[first + 1:]

    def inputs_at_once(self, input_shape: tuple) -> int:
        """Fewer where a row has much noise, such as one z per weight."""
        return max(1, min(self.inputs, NOISE_NUMBERS // self._noise_numbers(input_shape)))

    def rows_at_once(self, input_shape: tuple) -> int:
        """What keeps the largest activations in cache."""
        width = max(int(np.prod(out)) for _, out in self._net.shapes(input_shape).values())
        return max(1, min(SWEEP_ROWS, SWEEP_NUMBERS // max(width, self._noise_numbers(input_shape))))

    def _noise_numbers(self, input_shape):
        """The most numbers in one z of a layer that runs as it is."""
        shapes, layers = self._net.shapes(input_shape), self._net.layers
        return max([1, *(int(np.prod(layers[name].noise_shape(shapes[name][0]))) for name in self._plain_noise)])

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
    """One z for all inputs and, in some layer, much of it or none by rows, such as one for each weight: pass after pass."""

    @classmethod
    def of(cls, net: Network, stages: list[Plain]) -> "SingleRoute | None":
        return None if all(by_row(stage) for stage in stages) else cls(net, stages)

    def inputs_at_once(self, input_shape: tuple) -> int:
        return self.inputs

    def passes(self, params: Tree, h: np.ndarray, z: dict, T: int, work: Workspace) -> np.ndarray:
        zs = [{name: a[t:t + 1] for name, a in z.items()} for t in range(T)]
        f = [super(SingleRoute, self).passes(params, h, z, 1, work).copy() for z in zs]
        return np.stack(f, axis=1).reshape(len(h) * T, -1)


@dataclass(frozen=True)
class Parts:
    """A KernelRoute's h: U (C, N, Ho*Wo*K), channel c's share of each response, and their shape (Ho, Wo, K)."""

    U: np.ndarray
    shape: tuple

    def copy(self) -> "Parts":
        return Parts(self.U.copy(), self.shape)


class KernelRoute:
    """One z in {0, 1} per kernel and image, then pooling, then a convolution: linear in z, its parts are computed once.

        pool(z_c y_c) = z_c pool(y_c) = z_c h_c                as z_c >= 0 is one for a whole window (and through a ReLU)
        conv(z h)_k   = sum_c z_c U_ck,  U_ck = M_k,c * h_c    channel c's share of response k: no noise in it

    so that T passes cost one product (T, C) @ (C, places) per image instead of T convolutions.
    """

    inputs = 16

    def __init__(self, before: list[Plain], noisy: ConvPool, between: list[Plain], conv: ConvPool,
                 after: list[Plain]):
        self.prefix_stages = [*before, noisy, *between]
        self.noisy, self.conv, self.after = noisy, conv, after

    @classmethod
    def of(cls, stages: list[Plain]) -> "KernelRoute | None":
        """The route of a network's stages, or None if they are not of that form."""
        first = next((i for i, stage in enumerate(stages) if stage.layer.noisy), None)
        if first is None or not isinstance(stages[first], ConvPool):
            return None
        layer, i = stages[first].layer, first + 1
        while i < len(stages) and type(stages[i].layer) is ReLU:
            i += 1
        if type(layer.noise) is not Bernoulli or layer.noise_per != "kernel":
            return None
        if i == len(stages) or not isinstance(stages[i], ConvPool) or not all(by_row(stage) for stage in stages):
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
        U, cols = (work(*array, x.dtype) for array in (("parts", (C, len(x), Ho * Wo * K)), ("cols", (k * k, Ho, C, Wo))))
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


@dataclass(frozen=True)
class Step:
    """One layer of a SharedRoute's passes."""

    stage: Plain  # that runs it, if it is not dense
    name: str
    dense: Dense | None = None
    relu: bool = False  # whether a ReLU is computed with it
    needed_by: str | None = None  # the next noise, if it alone decides which of the outputs are needed


class SharedRoute(StageRoute):
    """One z for all inputs, on dense layers with Bernoulli noise: dropped columns leave M, as do rows that the next
    noise drops."""

    inputs = 256  # that one set of compacted matrices is made for

    def __init__(self, net: Network, stages: list[Plain]):
        super().__init__(net, stages)
        self.steps = []
        for stage in reversed([*self.noisy, *self.after]):  # the last first, as a step looks at the next
            if not isinstance(stage, DenseStack):
                self.steps.insert(0, Step(stage, stage.name))
                continue
            for (name, layer), relu in reversed(list(zip(stage.layers.items(), stage.relu, strict=True))):
                next_one = next((step for step in self.steps if type(step.stage.layer) not in (ReLU, Tanh)), None)
                narrows = next_one is not None and next_one.dense is not None and next_one.dense.noisy
                self.steps.insert(0, Step(stage, name, layer, relu, next_one.name if narrows else None))

    @classmethod
    def of(cls, net: Network, stages: list[Plain]) -> "SharedRoute | None":
        """The route of a network's stages, or None if some noise is not Bernoulli or not in a stack of dense layers."""
        stacked = {name for stage in stages if isinstance(stage, DenseStack) for name in stage.layers}
        fits = all(name in stacked and type(net.layers[name].noise) is Bernoulli for name in net.noisy)
        return cls(net, stages) if net.noisy and fits else None

    def passes(self, params: Tree, h: np.ndarray, z: dict, T: int, work: Workspace) -> np.ndarray:
        if len(h) == 1:  # nothing is shared
            return super().passes(params, h, z, T, work)
        zs = [{name: a[t:t + 1] for name, a in z.items()} for t in range(T)]
        f = [self.one_pass(params, h, z, work).copy() for z in zs]
        return np.stack(f, axis=1).reshape(len(h) * T, -1)

    def one_pass(self, params: Tree, h: np.ndarray, z: dict, work: Workspace) -> np.ndarray:
        """f of one pass at all inputs, from z with one row for each layer."""
        narrowed = False  # whether h has only the columns that this layer's noise keeps
        for step in self.steps:
            name = step.name
            if step.dense is None:
                h = step.stage.value(params, h, z, work)
                continue
            M, b = params[name]["M"], params[name]["b"]
            columns = kept(z[name][0]) if step.dense.noisy else every(M.shape[1])
            rows = every(len(M)) if step.needed_by is None else kept(z[step.needed_by][0])
            if step.dense.noisy and not narrowed:
                h = self._compact(h, every(len(h)), columns, (name, "h"), work)
            if len(rows) < len(M) or len(columns) < M.shape[1]:
                M, b = self._compact(M, rows, columns, (name, "M"), work), b[rows]
            f = work((name, "compact f"), (len(h), len(rows)), h.dtype)
            kernels.dense(np.ascontiguousarray(h), np.ascontiguousarray(M), b, step.relu, f)
            h, narrowed = f, step.needed_by is not None
        return h

    def _compact(self, M, rows, columns, name, work):
        out = work(name, (len(rows), len(columns)), M.dtype)
        kernels.compact(np.ascontiguousarray(M), rows, columns, out)
        return out


def kept(z: np.ndarray) -> np.ndarray:
    """The numbers of the units that z keeps, short and unsigned: twice as fast to look up with as flatnonzero's own."""
    return np.flatnonzero(z).astype(np.uint32)


def every(count: int) -> np.ndarray:
    """The numbers of all units, in the form of `kept`."""
    return np.arange(count, dtype=np.uint32)


def by_row(stage: Plain) -> bool:
    """Whether a stage's noise, if any, has a z for each row of the batch, no larger than what it multiplies."""
    return bool(stage.compiled) or not stage.layer.noisy or type(stage.layer.place) in (Inputs, Outputs)


def per_row(z: dict, N: int, T: int) -> dict:
    """z with a row for each of N T rows, from one that may have only T, one for each pass."""
    return {name: np.tile(a, (N, *[1] * (a.ndim - 1))) if len(a) == T != 1 else a for name, a in z.items()}
