"""{(layer, param): weights} in, the same with fewer or shared values out: Step, the class to subclass."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .. import require
from ..nn import Key, Network


class Weights(NamedTuple):
    """One matrix of a network, as its noise leaves it: E[w] and, where each weight has noise, its sd."""

    mean: np.ndarray  # float64, in the shape of the parameter
    sd: np.ndarray | None

    @property
    def kept(self) -> np.ndarray:
        """Which weights are not 0: a step that shares leaves the others as they are."""
        return self.mean != 0


class Step:
    """One way to make weights cost less. Subclass it as a frozen dataclass with `apply`:

        @dataclass(frozen=True)
        class Rounded(compress.Step):
            digits: int = 2
            def apply(self, weights, key):
                return {at: np.round(w.mean, self.digits) for at, w in weights.items()}
    """

    def apply(self, weights: Mapping, key: Key) -> dict:
        """{(layer, param): E[w] from now on} of {(layer, param): Weights}; key: for random numbers."""
        raise NotImplementedError(f"{type(self).__name__} must have apply(weights, key)")


def of_network(net: Network, params: Mapping) -> dict:
    """{(layer, param): Weights} of all parameters with two axes or more: biases are left as they are."""
    out = {}
    for name, group in params.items():
        layer = net.layers[name]
        wide = {p: np.asarray(a, np.float64) for p, a in group.items()}
        each = layer.noisy and layer.place.units(layer) == layer.param_shapes()[layer.noisy_params[0]]
        for p, (first, second) in layer.weight_moments(wide).items():
            if np.ndim(first) > 1:
                inside = each and p == layer.noisy_params[0]
                sd = np.sqrt(np.maximum(second - first**2, 0)) if inside else None
                out[name, p] = Weights(first, sd)
    return out


def check_steps(how: object) -> tuple:
    """One step, or several, as a tuple."""
    steps = (how,) if isinstance(how, Step) else how
    if not isinstance(steps, (tuple, list)) or not all(isinstance(step, Step) for step in steps):
        raise require.InputError("how must be a step such as compress.LogAlpha(), or a tuple of steps, got "
                                 f"{how!r}")
    return tuple(steps)


def check_changed(step: Step, weights: Mapping, changed: object) -> dict:
    """What a step gave, if it is numbers in the shapes of weights that there are."""
    found = {at: np.asarray(a, np.float64) for at, a in dict(changed).items()}
    for at, a in found.items():
        if at not in weights or a.shape != weights[at].mean.shape or not np.isfinite(a).all():
            raise require.InputError(f"apply of {step!r} must give finite numbers in the shapes of its "
                                     f"weights, got {a.shape} for {at!r}")
    return found


def with_noise(weights: Mapping) -> dict:
    """Those with a sd; an error if there are none."""
    found = {at: w for at, w in weights.items() if w.sd is not None}
    if not found:
        raise require.InputError("net must have a layer with noise on each weight, such as "
                                 "nn.Dense(n_in, n_out, noise=nn.MeanField(std))")
    return found
