"""f(x, omega) from where the sequences were left: recurrent layers' states, carried from chunk to chunk."""

from collections.abc import Mapping

import numpy as np

from .network import Network


def forward(net: Network, params: Mapping, x: np.ndarray, z: Mapping, states: Mapping | None = None) -> tuple:
    """(f, caches, states): `net.forward` of the next chunk x (B, T, ...) of B sequences.

    z: drawn by the numbers of the sequences (`net.sample(key, x.shape, examples=numbers)`), so that it is the
       same in every chunk: one omega for the whole text.
    states: {layer: state} as the chunk before gave it; None at the beginning.

    net.backward(params, caches, df) is then truncated back-propagation: to the beginning of this chunk.
    """
    states, caches = dict(states or {}), {}
    for name, layer in net.layers.items():
        if layer.carries:
            x, caches[name] = layer.forward(params[name], x, z.get(name, 1), states.get(name))
            states[name] = layer.last_state(caches[name])
        else:
            x, caches[name] = layer.forward(params.get(name), x, z.get(name, 1))
    return x, caches, states
