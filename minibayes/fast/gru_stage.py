"""A GRU with tied noise over the sequence, or without noise, as one compiled call over all steps."""

import numpy as np

from .. import kernels
from ..nn.gru import GRU
from ..nn.layers import Layer
from .stages import Plain, grads_like, in_rows


def fits(layer: Layer) -> bool:
    """Whether the stage computes this layer."""
    if type(layer) is not GRU:
        return False
    return not layer.noisy or layer.tied and layer.over == "sequence" and not layer.noise.learned


class GRUStage(Plain):
    """The same as its layer, up to rounding: float32's tanh is a quotient of polynomials."""

    @property
    def compiled(self) -> tuple:
        return (self.name,)

    def forward(self, params, x, z, work, state=None):
        layer, own = self.layer, params[self.name]
        M, b, c = own["M"], own["b"], own["c"]
        (B, T, D), H = x.shape, layer.n_out
        gone = np.isnan(x[..., 0])
        there = np.ascontiguousarray(~gone.T)
        steps = work((self.name, "x"), (T, B, D), x.dtype)
        steps[...] = x.swapaxes(0, 1)
        steps[~there] = 0
        noisy = self.name in z
        drawn = z[self.name] if noisy else np.ones((1, 1))
        drawn = in_rows(np.broadcast_to(drawn, (len(drawn), D + H)), x.dtype)   # compiled for one kind of z
        shapes = {"xz": (T, B, D), "hz": (T, B, H), "p": (B, 3 * H), "q": (B, 3 * H), "gates": (T, B, 4 * H),
                  "states": (T + 1, B, H)}
        held = {name: work((self.name, name), shape, x.dtype) for name, shape in shapes.items()}
        held["states"][0] = 0 if state is None else state
        half = x.dtype.type(0.5)
        kernels.gru(steps, there, drawn, noisy, M, b, c, half, *held.values())
        states = held["states"]
        y = states[-1].copy()
        if layer.states == "all":
            y = np.ascontiguousarray(states[1:].swapaxes(0, 1))
            y[gone] = np.nan
        return y, (steps, there, drawn, noisy, M, half, held)

    def backward(self, params, cache, df, want_dx, work, out):
        steps, there, drawn, noisy, M, half, held = cache
        T, B, D = steps.shape
        H = self.layer.n_out
        dh, dy = work((self.name, "dh"), (B, H), steps.dtype), work((self.name, "dy"), (0, B, H), steps.dtype)
        if self.layer.states == "all":
            dh[...], dy = 0, np.ascontiguousarray(df.swapaxes(0, 1), steps.dtype)
        else:
            dh[...] = df
        grads = grads_like(params[self.name]) if out is None else out[self.name]
        dx = work((self.name, "dx"), (T, B, D), steps.dtype)
        dp, dq = (work((self.name, name), (T, B, 3 * H), steps.dtype) for name in ("dp", "dq"))
        back = work((self.name, "back"), (B, H), steps.dtype)
        kernels.gru_backward(dy, dh, steps, there, drawn, noisy, M, half, held["xz"], held["hz"],
                             held["gates"], held["states"], dp, dq, back, grads["M"], grads["b"], grads["c"],
                             want_dx, dx)
        return np.ascontiguousarray(dx.swapaxes(0, 1)) if want_dx else None, {self.name: grads}

    def last_state(self, cache):
        """The state after the last step, for the next chunk: of a `forward` that no other has followed."""
        return cache[-1]["states"][-1].copy()
