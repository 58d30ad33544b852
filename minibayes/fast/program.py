"""f(x, omega), fast: a network whose Conv2d-MaxPool2d pairs run as one stage, block by block, with a sparse backward.

FusedNetwork is a drop-in for Network in the training step and in prediction: same signatures, same results up to rounding (tested against
the plain layers). Its caches live in workspaces, one per thread, and are valid until that thread's next forward.

What is different, each measured to be faster than what it replaces:
- a convolution, its bias, noise and pooling are one compiled call, block by block, and the response is not kept; a chain of dense layers is
  one call too. Compiled code calls BLAS itself, so threads seldom meet at the interpreter's lock;
- dL/d(response) is non-zero at one place per pooling window and, of those, not where the unit was dropped: it is kept as (value, argmax)
  and multiplied by row-sparse kernels. So is dL/df of a dense layer behind a ReLU. A dense product takes over where too little is zero;
- patches are unrolled along one axis only, or, with few channels, into one row per number of a patch.

A layer of another class, a subclass too, runs as it is.
"""

import threading

import numpy as np

from ..nn.layers import Conv2d, Dense, ReLU
from ..nn.network import Network, per_row
from .conv_stage import ConvPool, fits
from .routes import INPUTS, ROWS, SHARED_INPUTS, KernelRoute, SharedRoute
from .stages import DenseStack, Plain, Workspace


class FusedNetwork(Network):
    """The network `net`, computed in fused stages."""

    def __init__(self, net):
        super().__init__(net.input_shape, **net.layers)
        names, self._stages = list(self.layers), []
        while names:
            name = names.pop(0)
            layer, last = self.layers[name], self._stages[-1] if self._stages else None
            if type(layer) is Conv2d and names and fits(self.layers[names[0]]):
                self._stages.append(ConvPool(name, layer, self.layers[names.pop(0)]))
            elif type(layer) is Dense and isinstance(last, DenseStack) and name not in self.noisy[:1]:
                last.append(name, layer)
            elif type(layer) is Dense:  # the first noise begins a stage
                self._stages.append(DenseStack(name, layer))
            elif type(layer) is ReLU and isinstance(last, DenseStack):
                last.append_relu()
            else:
                self._stages.append(Plain(name, layer))
        self._threads = threading.local()
        self._kernel, self._shared = KernelRoute.of(self._stages), SharedRoute.of(self)
        self._first = next(s for s in self._stages if s.layer.param_shapes())

    @property
    def _work(self):
        if not hasattr(self._threads, "work"):
            self._threads.work = Workspace()
        return self._threads.work

    def forward(self, params, x, z):
        self.shapes(x.shape[1:])
        x, work, caches = writable(x), self._work, {}
        for stage in self._stages:
            x, caches[stage.name] = stage.forward(params, x, z, work)
        return x, caches

    def backward(self, params, caches, df, want_dx=True, out=None):
        """As Network.backward; `out`, {name: {param: array}}, gives the arrays that the gradients are written into."""
        work, grads, dx = self._work, {}, df
        for stage in reversed(self._stages):
            last = stage is self._first and not want_dx
            dx, g = stage.backward(params, caches[stage.name], dx, not last, work, out)
            grads |= g
            if last:
                break
        return dx, grads

    def prefix(self, params, x):
        """As Network.prefix, but a first noisy convolution's bias is left to `suffix`."""
        self.shapes(x.shape[1:])
        x = writable(x)
        if self._kernel:
            return self._kernel.prefix(params, x, self._work)
        for stage in self._stages:
            if stage.name in self.noisy:
                return stage.before_noise(params, x, self._work)
            x = stage.value(params, x, {}, self._work)
        return x

    def suffix(self, params, h, z, repeat=1):
        """As Network.suffix; with `repeat`, so many rows of z in a row belong to each row of h."""
        if not self.noisy:
            return np.repeat(h, repeat, axis=0)
        if self._kernel:
            return self._kernel.passes(params, h, z, repeat, self._work)
        work, started = self._work, False
        for stage in self._stages:
            if stage.name == self.noisy[0]:
                started, h = True, stage.after_noise(params, h, z, repeat, work)
            elif started:
                h = stage.value(params, h, z, work)
        return h

    def expected_pooling(self, params, x, z, pooled):
        x = writable(x)
        for stage in self._stages:
            if stage.name in pooled:
                x = stage.expected(params, x, self._work)
            else:
                x = stage.value(params, x, z, self._work)
        return x

    def passes(self, params, h, z, T):
        if self._shared and all(len(a) == T for a in z.values()) and len(h) > 1:
            f = [self._shared.one_pass(params, h, {name: a[t:t + 1] for name, a in z.items()}, self._work).copy() for t in range(T)]
            return np.stack(f, axis=1).reshape(len(h) * T, -1)
        if not self._kernel:
            z = per_row(z, len(h), T)
        return self.suffix(params, h, z, T)

    def rows_at_once(self, input_shape):
        return ROWS if self._kernel else super().rows_at_once(input_shape)

    def inputs_at_once(self, shared):
        if self._kernel:
            return INPUTS
        return SHARED_INPUTS if shared and self._shared else super().inputs_at_once(shared)


def writable(x):
    """x, or a copy of it if it is read-only: kernels would be compiled anew for that type."""
    return x if x.flags.writeable else x.copy()
