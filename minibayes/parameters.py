"""theta as a caller gives it, {layer: {param: array}}: checked against a network's shapes, and copied."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from . import require


def checked(name: str, params: Mapping, shapes: dict, dtype: DTypeLike | None = None) -> dict:
    """Private copies of `params`, if they have these layers and shapes and are finite.

    name: for the message if not.
    shapes: {layer: {param: shape}}.
    dtype: of the copies; by default float64 if any of them is, else float32.
    """
    nested = isinstance(params, Mapping) and all(isinstance(group, Mapping) for group in params.values())
    if not nested:
        raise require.InputError(f"{name} must be {{layer: {{param: array}}}}, got {params!r}")
    arrays = {(layer, p): require.array(f"{name}[{layer!r}][{p!r}]", a)
              for layer, group in params.items() for p, a in group.items()}
    given = {layer: {p: arrays[layer, p].shape for p in group} for layer, group in params.items()}
    if given != shapes:
        raise require.InputError(f"{name} must have the shapes {shapes}, got {given}")
    if dtype is None:
        dtype = np.float64 if any(a.dtype == np.float64 for a in arrays.values()) else np.float32
    copies = {}
    for (layer, p), a in arrays.items():
        a = np.array(a, dtype, order="C")
        copies.setdefault(layer, {})[p] = require.finite(f"{name}[{layer!r}][{p!r}]", a)
    return copies
