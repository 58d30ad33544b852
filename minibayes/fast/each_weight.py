"""Dense layers with a z for each weight and example (place Weights): DropConnect without an array of z.

What a step or a sweep is given in the place of z are the counters it is drawn from. The kernels draw it where
it meets its weight, and once more on the way back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import kernels
from ..nn.key import FLOAT32, Key, Rows, digits
from ..nn.layers import Dense, Layer
from ..nn.noise import Bernoulli, Gaussian, Noise
from ..nn.weight_noise import Weights
from ..own import read_only
from .stages import Plain, grads_like, in_rows

NO_DIGITS, NO_LAW = read_only(np.empty(0, np.uint8)), read_only(np.zeros(2, np.float32))


def fits(layer: Layer) -> bool:
    """Whether the stage computes this layer."""
    return (type(layer) is Dense and layer.noisy and type(layer.place) is Weights
            and type(layer.noise) in (Bernoulli, Gaussian))


@dataclass(frozen=True)
class Undrawn:
    """z (R, K, D), as the counters of its rows: what `noise` draws there."""

    noise: Noise
    key: Key
    shape: tuple
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> Undrawn:
        which = Rows(self.rows.examples[rows], self.rows.passes[rows], self.rows.dtype)
        return replace(self, shape=(len(which), *self.shape[1:]), rows=which)

    def drawn(self) -> np.ndarray:
        """z itself."""
        return self.noise.draw(self.key, self.shape, self.rows)

    def counters(self) -> tuple:
        """What the kernels take of it: (normal, law, digits, examples, passes, layer, key)."""
        normal = type(self.noise) is Gaussian
        law = read_only(np.array([1, self.noise.variance**0.5], np.float32)) if normal else NO_LAW
        of_keep = NO_DIGITS if normal else digits(self.noise.keep)
        return (normal, law, of_keep, self.rows.examples, self.rows.passes, self.key.layer, self.key.words)


class EachWeight(Plain):
    """The same as its layer, up to rounding; where z is an array (float64; one for all), the layer itself."""

    @property
    def compiled(self) -> tuple:
        return (self.name,)

    def draw(self, noise: Noise, key: Key, shape: tuple, rows: Rows) -> np.ndarray | Undrawn:
        """eps of `shape`, as place.draw gives it, or its counters."""
        if rows.dtype != FLOAT32 or noise == Bernoulli(1.0):
            return self.layer.place.draw(noise, key, shape, rows)
        return Undrawn(noise, key, shape, rows)

    def forward(self, params, x, z, work):
        own = z.get(self.name, 1)
        if isinstance(own, Undrawn) and x.ndim > 2:  # one z for all steps of a sequence
            own = own.drawn()
        if not isinstance(own, Undrawn):
            return super().forward(params, x, {self.name: own}, work)
        x, M, b = in_rows(x), params[self.name]["M"], params[self.name]["b"]
        f = work((self.name, "f"), (len(x), len(M)), x.dtype)
        kernels.each_weight(x, M, b, *own.counters(), f)
        return f, (own, x)

    def backward(self, params, cache, df, want_dx, work, out):
        if not isinstance(cache[0], Undrawn):
            return super().backward(params, cache, df, want_dx, work, out)
        z, x = cache
        own = grads_like(params[self.name]) if out is None else out[self.name]
        dx = work((self.name, "dx"), x.shape, x.dtype) if want_dx else x
        kernels.each_weight_backward(in_rows(df, x.dtype), x, params[self.name]["M"], *z.counters(), want_dx,
                                     own["M"], own["b"], dx)
        return dx if want_dx else None, {self.name: own}
