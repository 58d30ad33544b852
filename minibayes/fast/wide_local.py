"""A dense layer at the place Local in a wide step (wide.py): law, gradients and KL, row by row.

The law of W, the gradients of M and of log Var[z] and those of the KL are as long as M each. Each is made for
the rows that a task takes, and used while they are in cache; the law alone is kept whole, for the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .. import kernels
from ..nn.learned import LearnedGaussian
from .local_stage import LOGS, LocalStage, squares, variance
from .sets import Sets
from .stages import Tree, in_rows
from .wide_stack import Now, Room, update

BLOCK = 2**16  # numbers of M that a task takes to update, about: all that is made of them stays in cache


class WideLocal:
    """A LocalStage, with what it keeps of a batch."""

    def __init__(self, stage: LocalStage, batch: int, sets: Sets):
        self.stage, self.sets, self._room = stage, sets, Room()
        layer, dtype = stage.layer, sets.dtype
        self.phi = LOGS[type(layer.noise)] if layer.noise.learned else None     # (name, power)
        self.x, self.x2 = np.empty((2, batch, layer.n_in), dtype)
        self.f, self.half, self.d = np.empty((3, batch, layer.n_out), dtype)
        self.V = np.empty((layer.n_out, layer.n_in) if self.phi else (1, 1), dtype)
        self.C2 = self.V if layer.noise.additive else np.empty((layer.n_out, layer.n_in), dtype)

    @staticmethod
    def takes(stage: LocalStage, by_rows: tuple) -> bool:
        """Whether all that is learned has rows: no number that many weights share."""
        noise = stage.layer.noise
        return stage.name in by_rows and not (type(noise) is LearnedGaussian and noise.per == "layer")

    @staticmethod
    def numbers(stage: LocalStage) -> int:
        return 2 * stage.layer.n_in + 3 * stage.layer.n_out

    def forward(self, params: Tree, x: np.ndarray, z: dict, divide: Callable) -> tuple:
        layer, own, B = self.stage.layer, params[self.stage.name], len(x)
        M, phi, e = own["M"], layer.phi(own), in_rows(z[self.stage.name], x.dtype)
        self.x[:B] = x
        np.multiply(x, x, out=self.x2[:B])
        if not self.phi:
            self.V[...] = variance(layer.noise, phi, x.dtype)

        def columns(start, stop, f, half):
            rows, V = slice(start, stop), self.V
            if self.phi:
                V = variance(layer.noise, {self.phi[0]: phi[self.phi[0]][rows]}, x.dtype, out=self.V[rows])
            if not layer.noise.additive:
                squares(layer.noise, M[rows], V, out=self.C2[rows])
            kernels.local_columns(self.x[:B], self.x2[:B], M, self.C2, own["b"], self.stage.rise, e, start,
                                  stop, f, half)

        divide(columns, len(M), 2 * M.shape[1] * B, self.f[:B], self.half[:B])
        return self.f[:B], M

    def backward(self, M: np.ndarray, dx: np.ndarray, first: bool, divide: Callable, work: Callable) -> tuple:
        """As WideStack's; d and g = dL/dS^2 are kept."""
        B, D, name = len(dx), M.shape[1], self.stage.name
        d, g = self.d[:B], self.half[:B]
        d[...] = dx
        kernels.times_slope(d.reshape(-1), self.f[:B].reshape(-1), self.stage.rise)
        np.multiply(d, g, out=g)
        room, down = (work((name, what), (0 if first else B, D), dx.dtype) for what in ("room", "dx"))
        if not first:
            delta = partial(kernels.local_delta_columns, d, g, self.x[:B], M, self.C2)
            divide(delta, D, 2 * len(M) * B, room, down)
        return down, None

    def updates(self) -> list[Callable]:
        K, D = self.stage.layer.n_out, self.stage.layer.n_in
        size = max(1, BLOCK // D)
        return [partial(self._update, k, min(k + size, K)) for k in range(0, K, size)]

    def _update(self, start, stop, now: Now):
        name, layer, rows = self.stage.name, self.stage.layer, slice(start, stop)
        R, D = stop - start, layer.n_in
        own = [param for param in ("M", self.phi and self.phi[0], "b") if param]
        at = {param: self.sets.places[name, param] for param in own}
        theta = {param: self.sets.rows(now.turn[0]["theta"], i, rows) for param, i in at.items()}
        room = self._room(2 * R * D + R, dtype=self.sets.dtype)
        gM, gphi, gb = room[:R * D].reshape(R, D), room[R * D:2 * R * D].reshape(R, D), room[2 * R * D:]
        d, g, x, x2 = (a[:now.batch] for a in (self.d, self.half, self.x, self.x2))
        M = self.sets.rows(now.turn[0]["theta"], at["M"], slice(None))
        w = self.V if self.phi else self.V[:0, :0]                          # dVar[z]/dphi, but for the power
        kernels.local_gradient(d, g, x, x2, start, stop, M, self.V, w, layer.noise.additive, gM, gphi, gb)
        decay, penalty, rest = now.kl(name, theta)
        for param, g in {"M": gM, "b": gb, **({self.phi[0]: gphi} if self.phi else {})}.items():
            if param in ("M", "b"):
                factor = decay[name].get(param, 0.0)
                g += g.dtype.type(factor) * theta[param]
                penalty += factor * float(kernels.square_sum(theta[param].reshape(-1))) / 2
            elif self.phi[1] != 1:
                g *= g.dtype.type(self.phi[1])
            if param in rest.get(name, {}):
                g += rest[name][param]
            update(self.sets, now, at[param], rows, g)
        return penalty
