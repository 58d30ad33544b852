"""Dense layers at the place Local, W ~ N(A, C^2) drawn at the outputs, with the ReLU or Tanh behind them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import kernels
from ..nn.layers import Dense, Layer
from ..nn.learned import LearnedGaussian, MeanField
from ..nn.noise import Gaussian, Noise
from ..nn.place import matrix, none
from ..nn.weight_noise import Local
from .stages import RISES, Plain, Tree, grads_like, in_rows

# log Var[z] = power * phi of noise that learns, whose one parameter this is.
LOGS = {MeanField: ("log_std", 2), LearnedGaussian: ("log_alpha", 1)}


def fits(layer: Layer) -> bool:
    """Whether the stage computes this layer."""
    return type(layer) is Dense and type(layer.place) is Local and type(layer.noise) in (Gaussian, *LOGS)


class Law(NamedTuple):
    """W ~ N(M, C^2), C^2 = V for additive noise, else V M^2."""

    C2: np.ndarray  # (K, D)
    V: np.ndarray  # Var[z], (K, D) or (1, 1)


def variance(noise: Noise, phi: dict, dtype: np.dtype, out: np.ndarray | None = None) -> np.ndarray:
    """Var[z], a number for each weight, or (1, 1)."""
    if type(noise) is Gaussian:
        return np.full((1, 1), noise.variance, dtype)
    name, power = LOGS[type(noise)]
    own = matrix(phi[name])
    return np.exp(own * own.dtype.type(power) if power != 1 else own, out=out)


def squares(noise: Noise, M: np.ndarray, V: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """C^2."""
    if noise.additive:
        return V
    out = np.multiply(M, M, out=out)
    return np.multiply(out, V, out=out)


class Settled(dict):
    """params, and with them the laws of Local layers, which all inputs and passes share: {name: Law}."""

    def __init__(self, params: Tree, laws: dict):
        super().__init__(params)
        self.laws = laws


class LocalStage(Plain):
    """The same as its layer and what is behind it; where one e, for weights, serves all, the layer runs."""

    def __init__(self, name, layer):
        super().__init__(name, layer)
        self.rise = kernels.NO_RISE

    @property
    def compiled(self) -> tuple:
        return (self.name,)

    def takes(self, rise: Layer) -> bool:
        """Whether it took a function of single numbers behind it."""
        if type(rise) not in RISES or self.rise != kernels.NO_RISE:
            return False
        self.rise = RISES[type(rise)]
        return True

    def law(self, params: Tree) -> Law:
        """That of `Settled` params, or made from them."""
        own = getattr(params, "laws", {}).get(self.name)
        if own is None:
            M, noise = params[self.name]["M"], self.layer.noise
            V = variance(noise, self.layer.phi(params[self.name]), M.dtype)
            own = Law(squares(noise, M, V), V)
        return own

    def forward(self, params, x, z, work):
        e = z.get(self.name, 1)
        if none(e) or e.ndim > x.ndim or e.shape[1] != self.layer.n_out:
            still = not none(e) and e.size == 1 and not e.any()  # E[e]: W is M
            f, cache = super().forward(params, x, {} if still else z, work)
            f = f.copy()
            kernels.rise_in_place(f.reshape(-1), self.rise)
            return f, (f, cache)
        x, law = in_rows(x), self.law(params)
        M, b, shape = params[self.name]["M"], params[self.name]["b"], (len(x), self.layer.n_out)
        x2 = np.multiply(x, x, out=work((self.name, "x2"), x.shape, x.dtype))
        f, half = (work((self.name, name), shape, x.dtype) for name in ("f", "half"))
        kernels.local_columns(x, x2, M, law.C2, b, self.rise, in_rows(e, x.dtype), 0, len(M), f, half)
        return f, (f, x, x2, half, law)

    def backward(self, params, cache, df, want_dx, work, out):
        f, *cache = cache
        d = work((self.name, "d"), f.shape, f.dtype)
        d[...] = df
        kernels.times_slope(d.reshape(-1), f.reshape(-1), self.rise)
        if len(cache) == 1:
            return super().backward(params, *cache, d, want_dx, work, out)
        x, x2, half, law = cache
        g = np.multiply(d, half, out=half)
        M, noise = params[self.name]["M"], self.layer.noise
        own = grads_like({p: params[self.name][p] for p in ("M", "b")}) if out is None else out[self.name]
        w = 2 * np.sqrt(law.V) if noise.learned else law.V[:0, :0]              # dV/dsd
        dsd = work((self.name, "dsd"), M.shape, M.dtype)
        kernels.local_gradient(d, g, x, x2, 0, len(M), M, law.V, w, noise.additive, own["M"], dsd, own["b"])
        found = {p: own[p] for p in ("M", "b")} | ({"z": dsd[None]} if noise.learned else {})
        if not want_dx:
            return None, {self.name: found}
        room, dx = (work((self.name, name), x.shape, x.dtype) for name in ("room", "dx"))
        kernels.local_delta_columns(d, g, x, M, law.C2, 0, x.shape[1], room, dx)
        return dx, {self.name: found}

    def before_noise(self, params, x, work):
        """(A x + b, S), side by side: what all passes have in common."""
        law, M, b = self.law(params), params[self.name]["M"], params[self.name]["b"]
        return np.concatenate([x @ M.T + b, np.sqrt((x * x) @ law.C2.T)], axis=1)

    def after_noise(self, params, h, z, repeat, work):
        K = self.layer.n_out
        f = work((self.name, "after"), (len(h), repeat, K), h.dtype)
        e = z[self.name].reshape(f.shape)
        np.multiply(h[:, None, K:], e, out=f)
        f += h[:, None, :K]
        kernels.rise_in_place(f.reshape(-1), self.rise)
        return f.reshape(-1, K)
