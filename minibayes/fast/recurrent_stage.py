"""A GRU or an LSTM, with any noise that does not learn, as one compiled call over all steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import kernels
from ..nn.gru import GRU
from ..nn.layers import Layer
from ..nn.lstm import LSTM
from .stages import Plain, grads_like, in_rows

ROWS = 256  # steps times sequences of one product with M_x: enough for BLAS, and in cache when read


class Cell(NamedTuple):
    """The kernels of one type of layer, and what they need room for."""

    forward: Callable
    backward: Callable
    kept: int  # numbers that a unit keeps of each step for the way back
    states: tuple  # names of what is carried from step to step, h first
    deltas: tuple  # names of the derivatives in the gates' sums: of the inputs' part and of the state's


CELLS = {GRU: Cell(kernels.gru, kernels.gru_backward, 4, ("h",), ("dp", "dq")),
         LSTM: Cell(kernels.lstm, kernels.lstm_backward, 5, ("h", "c"), ("da",))}


def fits(layer: Layer) -> bool:
    """Whether the stage computes this layer."""
    return type(layer) in CELLS and not layer.noise.learned


class RecurrentStage(Plain):
    """The same as its layer, up to rounding: float32's tanh is a quotient of polynomials."""

    def __init__(self, name, layer):
        super().__init__(name, layer)
        self.by_row = True
        self.cell, self.params = CELLS[type(layer)], tuple(layer.param_shapes())

    @property
    def compiled(self) -> tuple:
        return (self.name,)

    def forward(self, params, x, z, work, state=None):
        return self._run(params, x, z, work, state, x.shape[1])

    def value(self, params, x, z, work):
        return self._run(params, x, z, work, None, 1)[0]

    def _run(self, params, x, z, work, state, kept):
        """(y, cache); kept: of how many steps it keeps what backward needs, all or 1."""
        (B, T, D), H, dtype = x.shape, self.layer.n_out, x.dtype
        G, gone = self.layer.gates, np.isnan(x[..., 0])
        there, noisy = np.ascontiguousarray(~gone.T), self.name in z
        steps = work((self.name, "x"), (T, B, D), dtype)
        steps[...] = x.swapaxes(0, 1)
        steps[~there] = 0
        drawn = self.noise(z, dtype)
        own = drawn.shape[2]
        shapes = {"xz": (own, T, B, D), "hz": (own, kept, B, H), "p": (min(T, -(-ROWS // B)), B, G * H),
                  "q": (B, G * H), "gates": (kept, self.cell.kept, B, H)}
        shapes |= {name: (T + 1, B, H) for name in self.cell.states}
        held = {name: work((self.name, name), shape, dtype) for name, shape in shapes.items()}
        for i, name in enumerate(self.cell.states):
            held[name][0] = 0 if state is None else state[:, i * H:(i + 1) * H]
        Mt = work((self.name, "Mt"), (D + H, G * H), dtype)
        Mt[...] = params[self.name]["M"].T
        self.cell.forward(steps, there, drawn, noisy, Mt, *[params[self.name][p] for p in self.params[1:]],
                          *held.values())
        h = held["h"]
        if self.layer.states == "last":
            return h[-1].copy(), (steps, there, drawn, noisy, held)
        y = np.ascontiguousarray(h[1:].swapaxes(0, 1))
        y[gone] = np.nan
        return y, (steps, there, drawn, noisy, held)

    def backward(self, params, cache, df, want_dx, work, out):
        steps, there, drawn, noisy, held = cache
        (T, B, D), H, dtype = steps.shape, self.layer.n_out, steps.dtype
        every = self.layer.states == "all"
        dy = in_rows(df, dtype) if every else np.empty((B, 0, H), dtype)
        dstates = [work((self.name, "d" + name), (B, H), dtype) for name in self.cell.states]
        for dstate in dstates:
            dstate[...] = 0
        if not every:
            dstates[0][...] = df
        deltas = [work((self.name, name), (T, B, self.layer.gates * H), dtype) for name in self.cell.deltas]
        back = work((self.name, "back"), (B, H), dtype)
        dx = work((self.name, "dx"), (T, B, D), dtype)
        grads = grads_like(params[self.name]) if out is None else out[self.name]
        states = [held[name] for name in self.cell.states]
        self.cell.backward(dy, *dstates, steps, there, drawn, noisy, params[self.name]["M"], held["xz"],
                           held["hz"], held["gates"], *states, *deltas, back,
                           *[grads[p] for p in self.params], want_dx, dx)
        return np.ascontiguousarray(dx.swapaxes(0, 1)) if want_dx else None, {self.name: grads}

    def noise(self, z, dtype):
        """z (B or 1, T or 1, 1 or G, D + H), of one dtype, as compiled code wants it."""
        if self.name not in z:
            return np.ones((1, 1, 1, 1), dtype)
        wide = self.layer.wide(z[self.name])
        whole = (*wide.shape[:2], self.layer.place.own, self.layer.n_in + self.layer.n_out)
        return in_rows(np.broadcast_to(wide, whole), dtype)

    def last_state(self, cache):
        """The state after the last step, for the next chunk: of a `forward` that no other has followed."""
        return np.concatenate([cache[-1][name][-1] for name in self.cell.states], axis=1)
