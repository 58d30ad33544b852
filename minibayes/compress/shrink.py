"""f(x) with the units that do nothing taken out: rows and columns of zeros leave the matrices.

A unit that nothing reads goes, and its row with it. One whose own weights are all 0 says the same number c,
whatever x: it goes too, and M c joins the bias of the layer that reads it, unless a border of zeros sees
another number there. What either leaves behind may free others, so it is done until none goes.

In exact arithmetic the outputs are the same. In floating point, sums with fewer zeros in them may be grouped
otherwise, by BLAS, and a c that joins a bias is added at another place: equal to rounding, and the same bits
where nothing is rounded.
"""

from collections.abc import Mapping

import numpy as np

from .. import require
from ..nn import Network
from ..nn.network import check_network
from ..parameters import checked

PROBES = 4  # random inputs on which the smaller network is compared


def smaller(net: Network, params: Mapping) -> tuple[Network, dict]:
    """(the network without noise and idle units, its parameters M and b as they are, with those units gone).

    All units stay in a network that does not know its input shape.
    """
    params = checked("params", params, check_network(net).param_shapes())
    plain = net.without_noise()
    return shrunk(plain, {name: {p: params[name][p] for p in group}
                          for name, group in plain.param_shapes().items()})


def shrunk(plain: Network, full: dict) -> tuple[Network, dict]:
    """The same of a network without noise, whose parameters these are."""
    own = {name: {p: a.copy() for p, a in group.items()} for name, group in full.items()}
    if plain.input_shape is None:
        return plain, own
    kept = {}  # {layer: which of its units stay}
    found = pairs(plain, own)
    while any([retire(plain, own, kept, *pair) for pair in found]):  # all of them, then once more
        pass
    if not any(not stays.all() for stays in kept.values()):
        return plain, own
    before = {reader: kept[name][origin] for name, reader, _, origin in found if name in kept}
    layers, out = dict(plain.layers), {}
    for name, group in own.items():
        rows = kept.get(name, np.ones(len(next(iter(group.values()))), bool))
        out[name] = {p: a[rows] if name in kept else a for p, a in group.items()}
        if name in before:
            out[name] |= {p: np.ascontiguousarray(a[..., before[name]]) for p, a in out[name].items()
                          if a.ndim > 1}
        if name in kept or name in before:
            layers[name] = layers[name].of_size(out[name]["M"].shape[-1], len(out[name]["M"]))
    made = Network(plain.input_shape, **layers)
    check_same(plain, full, made, out)
    return made, out


def pairs(net: Network, params: Mapping) -> list[tuple]:
    """(layer, the next that reads its units, the layers between, the unit each input of it comes from)."""
    found, last, between, origin = [], None, [], None
    shapes = net.shapes(net.input_shape)
    for name, layer in net.layers.items():
        M = params.get(name, {}).get("M")
        if M is not None and layer.of_size(M.shape[-1], len(M)) is not None:
            if last is not None:
                found.append((last, name, tuple(between), origin))
            last, between, origin = name, [], np.arange(len(M))
            continue
        units = layer.origin(shapes[name][0])
        if units is None:
            last = None
        elif last is not None:
            between.append(name)
            origin = origin[units]
    return found


def retire(net: Network, params: dict, kept: dict, name: str, reader: str, between: tuple,
           origin: np.ndarray) -> bool:
    """Set the weights of idle units of one layer to 0, in `params`; whether there were any."""
    mine, theirs = params[name], params[reader]
    stays = kept.setdefault(name, np.ones(len(mine["M"]), bool))
    columns = (theirs["M"] != 0).any(axis=tuple(range(theirs["M"].ndim - 1)))
    read = np.bincount(origin, columns, len(stays)) > 0
    constant = ~(mine["M"] != 0).any(axis=tuple(range(1, mine["M"].ndim)))
    idle, says = stays & ~read, stays & read & constant
    if says.any():
        y = constants(net, params, name, between)
        differs = np.bincount(origin, (y != 0).any(axis=tuple(range(y.ndim - 1))), len(stays)) > 0
        idle |= says & ~differs  # which says 0
        says &= differs
    if says.any():
        joins = without_bias(net, params, reader, np.where(says[origin], y, 0))
        if (joins == joins[:1]).all():
            theirs["b"][:] = (theirs["b"].astype(np.float64) + joins[0]).astype(theirs["b"].dtype)
            idle |= says
    theirs["M"][..., idle[origin]] = 0
    if idle[stays].all():
        idle[np.flatnonzero(stays)[0]] = False  # a layer has at least one unit
    if not idle.any():
        return False
    mine["M"][idle], mine["b"][idle] = 0, 0
    stays &= ~idle
    return True


def constants(net: Network, params: Mapping, name: str, between: tuple) -> np.ndarray:
    """What reaches the next layer where this one is at its bias, as of one example, float64."""
    shape = net.shapes(net.input_shape)[name][1]
    y = np.broadcast_to(params[name]["b"].astype(np.float64), (1, *shape)).copy()
    for layer in between:
        y = net.layers[layer].forward(params.get(layer, {}), y, 1)[0]
    return y


def without_bias(net: Network, params: Mapping, name: str, x: np.ndarray) -> np.ndarray:
    """What a layer makes of one example without its bias, (places, K), float64."""
    group = {p: a.astype(np.float64) for p, a in params[name].items()}
    group["b"][:] = 0
    made = net.layers[name].forward(group, x, 1)[0]
    return made.reshape(-1, made.shape[-1])


def check_same(net: Network, params: Mapping, small: Network, few: Mapping) -> None:
    """An error if they differ: a layer whose of_size or origin says what its forward does not do."""
    shape = (PROBES, *net.input_shape)
    x = np.zeros(shape, np.int64) if net.words else np.random.default_rng(0).standard_normal(shape)
    a, b = (n.forward({name: {p: v.astype(np.float64) for p, v in g.items()} for name, g in p.items()},
                      x, {})[0] for n, p in ((net, params), (small, few)))
    if not np.allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(a).max()):
        raise require.InputError("net has a layer whose `of_size` or `origin` does not fit its forward: "
                                 f"without idle units it differs by {np.abs(a - b).max():.2g}")
