"""h_t = cell(M [x_t o z_x ; h_t-1 o z_h]), one z for all t: rows of numbers, step after step, times a place.

The row at step t is the input beside the state before, (D + H) numbers, so that a recurrent layer's M
(G H, D + H) has a column for each, and W = M diag(z) is the poster's: *one omega for the whole sequence* (Gal
and Ghahramani, arXiv 1512.05287). GRU and LSTM, in files of their own, say what a cell does with the gates'
sums. Here is what they share: time, noise, padding.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from .. import require
from ..own import settle
from .initial import INITS, initial
from .layers import Layer, ShapeError
from .learned import sum_to
from .noise import Delta, Noise, check_noise
from .place import Inputs, none, outer, times, total


@dataclass(frozen=True)
class Gates(Inputs):
    """W_g = M_g diag(z_g), on rows [x_t ; h_t-1]: z (B, D + H), the same for all gates g and all steps t.

    Untied z (B, G, D + H): one for each gate. Over steps z (B, T, D + H) or (B, T, G, D + H): another at each
    step, which no omega gives.

    own: how many z a column of M has: 1, or one for each gate.
    """

    own: int = 1

    def check(self, noise: Noise, images: bool) -> None:
        if noise.of_weights:
            raise require.InputError("noise of a recurrent layer acts on inputs and state, one z for a unit: "
                                     f"nn.Bernoulli(keep), nn.Gaussian(variance); got {noise!r}")

    def noise_shape(self, layer: Layer, shape: tuple) -> tuple:
        return ((shape[0],) if layer.over == "step" else ()) + self.units(layer)[layer.over == "step":]

    def units(self, layer: Layer) -> tuple:
        gates = () if layer.tied else (self.own,)
        return (1,) * (layer.over == "step") + gates + (layer.n_in + layer.n_out,)

    def along(self, a: np.ndarray | float, array: np.ndarray) -> np.ndarray | float:
        if np.size(a) == 1:
            return a
        a = np.reshape(a, (self.own, -1))                               # (1 or G, D + H)
        return np.repeat(a, len(array) // self.own, axis=0)             # each gate's, for its rows of M

    def squares(self, arrays: list) -> np.ndarray:
        M, = arrays                                                     # a column, or its part in each gate
        return (M * M).reshape(self.own, -1, M.shape[1]).sum(axis=1).reshape(-1)


@dataclass(frozen=True)
class Recurrent(Layer):
    """What GRU and LSTM share. A subclass has `gates` and `cell`, and below it its derivative, `cell_back`.

        cell(params, p, q, state) -> (state, saved)     p = W_x x_t + b, q = W_h h_t-1      (B, G H) each
        cell_back(params, saved, dstate) -> (dp, dq, dstate before, but for what comes through q)
        grads_of(dq) -> gradients of what it has beside M and b

    The state (B, S) begins with h (B, H).
    """

    n_in: int
    n_out: int
    noise: Noise = field(default_factory=Delta)
    over: str = "sequence"
    tied: bool = True
    states: str = "last"
    init_scheme: str = "xavier"
    noisy_params = ("M",)
    gates = 0
    state_numbers = 1  # of the state, for each unit
    carries = True

    def __post_init__(self):
        for name in ("n_in", "n_out"):
            settle(self, **{name: require.integer(name, getattr(self, name), 1)})
        settle(self, over=require.choice("over", self.over, ("sequence", "step")),
               tied=require.boolean("tied", self.tied),
               states=require.choice("states", self.states, ("last", "all")),
               init_scheme=require.choice("init_scheme", self.init_scheme, INITS))
        check_noise(self.noise)
        self.place.check(self.noise, images=False)

    def param_shapes(self) -> dict:
        K = self.gates * self.n_out
        return {"M": (K, self.n_in + self.n_out), "b": (K,)}

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> dict:
        """M by `init_scheme`, gate by gate; 0 the others."""
        out = {name: np.zeros(shape, dtype) for name, shape in self.param_shapes().items()}
        mean = float(np.mean(self.noise.moments(self.start_noise(np.float64))[0]))
        fans = self.n_in + self.n_out, self.n_out
        return out | {"M": initial(rng, out["M"].shape, *fans, self.init_scheme, mean, dtype)}

    def flops(self, shape: tuple) -> int:
        return 2 * shape[0] * self.gates * self.n_out * (self.n_in + self.n_out)

    def input_shape(self) -> tuple:
        return (None, self.n_in)

    def output_shape(self, shape: tuple) -> tuple:
        if len(shape) != 2 or shape[1] != self.n_in:
            raise ShapeError(f"takes sequences of shape (T, {self.n_in})", shape)
        return (self.n_out,) if self.states == "last" else (shape[0], self.n_out)

    def check_inputs(self, name: str, x: np.ndarray) -> None:
        """Steps that are not there are rows of NaN; one NaN among numbers is an error."""
        gone = np.isnan(x)
        require.finite(name, np.where(gone.all(axis=-1, keepdims=True), 0, x))
        if (empty := gone.all(axis=(1, 2))).any():
            raise require.InputError(f"{name} must have a step in every sequence, got none in "
                                     f"{name}[{np.flatnonzero(empty)[0]}]")

    @property
    def place(self) -> Gates:
        return Gates(1 if self.tied else self.gates)

    def weights(self, params: dict, z: np.ndarray | None = None) -> dict:
        """omega-hat itself, {"W", "b", ...}: W (B, G H, D + H); over steps (B, T, G H, D + H)."""
        M, others = params["M"], {p: params[p].copy() for p in self.param_shapes() if p != "M"}
        if not self.noisy:
            return {"W": M.copy()} | others
        z = np.asarray(z)
        z = z[..., None, :] if self.tied else np.repeat(z, self.n_out, axis=-2)
        return {"W": M * z} | others                    # M diag(z_n)

    def forward(self, params: dict, x: np.ndarray, z: np.ndarray | int = 1,
                state: np.ndarray | None = None) -> tuple:
        """(y, cache); state: where the sequences were left, (B, S), as `last_state(cache)` gave it; or 0."""
        M, b = params["M"], params["b"]
        there = ~np.isnan(x[..., 0])                                    # (B, T)
        x = np.where(there[..., None], x, 0)
        z_x, z_h = self.split(z)
        (B, T, D), H = x.shape, self.n_out
        state = np.zeros((B, self.state_numbers * H), x.dtype) if state is None else state
        states, saved = np.empty((T + 1, *state.shape), x.dtype), []
        states[0] = state
        for t in range(T):
            p = gated(x[:, t], at(z_x, t), M[:, :D]) + b                # M_x (z_x o x_t) + b       (B, G H)
            q = gated(state[:, :H], at(z_h, t), M[:, D:])               # M_h (z_h o h_t-1)         (B, G H)
            new, kept = self.cell(params, p, q, state)
            states[t + 1] = state = np.where(there[:, t, None], new, state)
            saved.append(kept)
        y = state[:, :H] if self.states == "last" else np.where(
            there[..., None], states[1:, :, :H].swapaxes(0, 1), np.nan)
        return y, (x, there, z, states, saved)

    def backward(self, params: dict, cache: tuple, df: np.ndarray) -> tuple:
        """Back-propagation through time, to the first step of x: into the state carried there it ends."""
        x, there, z, states, saved = cache
        M, (z_x, z_h) = params["M"], self.split(z)
        (B, T, D), H = x.shape, self.n_out
        dstate = np.zeros(states.shape[1:], df.dtype)
        if self.states == "last":
            dstate[:, :H] = df
        dp, dq = (np.zeros((B, T, len(M)), df.dtype) for _ in range(2))
        for t in reversed(range(T)):
            here = there[:, t, None]
            if self.states == "all":
                dstate[:, :H] += np.where(here, df[:, t], 0)            # h_t is an output
            dp_t, dq_t, before = self.cell_back(params, saved[t], dstate)
            before[:, :H] += gated_rows(dq_t, at(z_h, t), M[:, D:])     # and in h_t-1 through q
            dp[:, t], dq[:, t] = np.where(here, dp_t, 0), np.where(here, dq_t, 0)
            dstate = np.where(here, before, dstate)                     # no step: the state was h_t-1 itself
        h = states[:-1, :, :H].swapaxes(0, 1)                           # h_t-1                     (B, T, H)
        dM = [gated_M(dp, x, z_x), gated_M(dq, h, z_h)]                 # sum_nt dp (z_x o x)^T; of q and h
        grads = {"M": np.concatenate(dM, axis=1), "b": total(dp)} | self.grads_of(dq)
        if self.noise.learned:
            dz = [gated_z(dp, x, z_x, M[:, :D]), gated_z(dq, h, z_h, M[:, D:])]
            dz = np.concatenate(dz, axis=-1)                            # (B, T, 1 or G, D + H)
            grads["z"] = sum_to(dz, self.wide(z).shape).reshape(z.shape)
        return gated_rows(dp, z_x, M[:, :D]), grads                     # sum_g z_x o (M_x^T dp)

    def last_state(self, cache: tuple) -> np.ndarray:
        """The state after the last step, (B, S), for the next chunk."""
        return cache[3][-1].copy()

    def grads_of(self, dq: np.ndarray) -> dict:
        return {}

    def wide(self, z: np.ndarray) -> np.ndarray:
        """z with all axes it may have: (B or 1, T or 1, 1 or G, D + H or 1)."""
        steps = z.shape[1] if self.over == "step" else 1
        return z.reshape(len(z), steps, 1 if self.tied else z.shape[-2], z.shape[-1])

    def split(self, z: np.ndarray | int) -> tuple:
        """(z_x, z_h), (B, T or 1, 1 or G, D and H); 1, 1 where there is no noise."""
        if none(z):
            return 1, 1
        z = self.wide(z)
        z = np.broadcast_to(z, (*z.shape[:2], self.place.own, self.n_in + self.n_out))
        return z[..., :self.n_in], z[..., self.n_in:]


def at(z: np.ndarray | int, t: int) -> np.ndarray | int:
    """z of step t: (B, T or 1, g, D) -> (B, g, D)."""
    return z if none(z) else z[:, t if z.shape[1] > 1 else 0]


def blocks(z: np.ndarray | int, a: np.ndarray, axis: int) -> list:
    """(z_g, the rows of `a` that it acts on), for each z_g: of all gates, or of one."""
    if none(z):
        return [(1, a)]
    count = z.shape[-2]
    parts = [a] if count == 1 else np.split(a, count, axis)
    return [(z[..., g, :], part) for g, part in enumerate(parts)]


def gated(rows: np.ndarray, z: np.ndarray | int, M: np.ndarray) -> np.ndarray:
    """M_g (z_g o row) for every gate.     (..., D), (..., g, D), (G H, D) -> (..., G H)"""
    out = [times(rows, z_g) @ M_g.T for z_g, M_g in blocks(z, M, 0)]
    return out[0] if len(out) == 1 else np.concatenate(out, axis=-1)


def gated_rows(da: np.ndarray, z: np.ndarray | int, M: np.ndarray) -> np.ndarray:
    """sum_g z_g o (M_g^T da_g): the derivative in the row.     (..., G H) -> (..., D)"""
    parts = zip(blocks(z, da, -1), blocks(z, M, 0), strict=True)
    return sum(times(da_g @ M_g, z_g) for (z_g, da_g), (_, M_g) in parts)


def gated_M(da: np.ndarray, rows: np.ndarray, z: np.ndarray | int) -> np.ndarray:
    """sum_nt da_g (z_g o row)^T, gate under gate: the derivative in M.     -> (G H, D)"""
    return np.concatenate([outer(da_g, times(rows, z_g)) for z_g, da_g in blocks(z, da, -1)])


def gated_z(da: np.ndarray, rows: np.ndarray, z: np.ndarray, M: np.ndarray) -> np.ndarray:
    """row o (M_g^T da_g): the derivative in z_g, for each.     (B, T, G H) -> (B, T, g, D)"""
    parts = zip(blocks(z, da, -1), blocks(z, M, 0), strict=True)
    return np.stack([rows * (da_g @ M_g) for (_, da_g), (_, M_g) in parts], axis=-2)
