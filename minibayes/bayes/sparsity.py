"""log alpha = log Var[w]/E[w]^2, weight by weight: how much of a weight is noise, and which weights can go.

Sparse variational dropout (Molchanov, Ashukha and Vetrov, arXiv 1701.05369): under the log-uniform prior the
weights that the data do not need drift to large alpha, and those with log alpha above 3 (a standard
deviation of 4.5 times the mean) are set to 0. For any noise that acts on single weights, at nn.Local() or
nn.Weights(). The same of inputs: `relevance`.
"""

from collections.abc import Mapping

import numpy as np

from .. import require
from ..floats import usual
from ..nn.network import Network

THRESHOLD = 3.0


@usual
def log_alpha(net: Network, params: Mapping) -> dict:
    """{layer: log alpha, float64 in the shape of M}, where noise is on each weight; inf where E[w] = 0."""
    out = {}
    for name in net.noisy:
        layer = net.layers[name]
        if layer.place.units(layer) != layer.param_shapes()[layer.noisy_params[0]]:
            continue  # a z that several weights share
        phi = {p: a.astype(np.float64) for p, a in layer.phi(params[name]).items()}
        m = np.asarray(params[name][layer.noisy_params[0]], np.float64)
        first, sd = layer.noise.moments(phi)[0], layer.noise.sd(phi)
        with np.errstate(divide="ignore", invalid="ignore"):
            if layer.noise.additive:
                found = 2 * np.log(sd) - 2 * np.log(np.abs(m + first))
            else:
                found = np.where(m == 0, np.inf, 2 * np.log(sd) - 2 * np.log(np.abs(first)))
        out[name] = np.broadcast_to(found, m.shape).copy()
    if not out:
        raise require.InputError("net must have a layer with noise on each weight, such as "
                                 "nn.Dense(n_in, n_out, noise=nn.MeanField(std))")
    return out


def sparsity(net: Network, params: Mapping, threshold: float = THRESHOLD) -> dict:
    """{layer: share of its weights with log alpha above `threshold`}.

    The biases, which are outside the noise, are not counted.
    """
    threshold = require.real("threshold", threshold)
    return {name: float((a > threshold).mean()) for name, a in log_alpha(net, params).items()}


def compression(net: Network, params: Mapping, threshold: float = THRESHOLD) -> float:
    """How many weights there are for each that stays, in the layers with noise on each; inf if none does."""
    threshold = require.real("threshold", threshold)
    found = log_alpha(net, params).values()
    kept = sum(int((a <= threshold).sum()) for a in found)
    return sum(a.size for a in found) / kept if kept else np.inf


@usual
def prune(net: Network, params: Mapping, threshold: float = THRESHOLD) -> dict:
    """`params` with the weights of log alpha above `threshold` at 0, and their noise with them.

    A weight z m is 0 with m; one that is m + s e keeps a log s so low that nothing is left of the noise.
    """
    threshold = require.real("threshold", threshold)
    out = {name: {p: a.copy() for p, a in group.items()} for name, group in params.items()}
    for name, found in log_alpha(net, params).items():
        layer, group, pruned = net.layers[name], out[name], found > threshold
        group[layer.noisy_params[0]][pruned] = 0
        group |= layer.noise.without(layer.phi(group), pruned)
    return out


@usual
def relevance(net: Network, params: Mapping) -> np.ndarray:
    """E[z_d]^2/Var[z_d] of each input d, (D,) float64: how much of what noise leaves of it is signal.

    1/alpha_d for z ~ N(1, alpha_d), the odds keep_d/(1 - keep_d) for a coin; inf where there is no noise.
    What the data need bears little noise, what they do not need is given more by the KL; so it ranks inputs,
    and its size depends on how long was trained. Automatic relevance determination, by the noise of a first
    layer that learns one number for each input:

        nn.Network(fc1=nn.Dense(D, 20, noise=nn.LearnedGaussian(0.1, per="unit")), ...)     # or nn.Concrete

    with bayes.LogUniform() (for Concrete bayes.Prior), and noise before the next layer too: without it that
    layer undoes the noise by larger weights. InputError if the first layer with weights is another.
    """
    name = next(iter(net.param_shapes()))
    layer = net.layers[name]
    phi = {p: a.astype(np.float64) for p, a in layer.phi(params[name]).items()}
    inputs = layer.param_shapes()[layer.noisy_params[0]][-1] if layer.noisy_params else None
    if not phi or layer.place.units(layer) != (inputs,) or any(a.shape != (inputs,) for a in phi.values()):
        raise require.InputError("net must begin with a layer whose noise learns a number for each input, "
                                 "such as nn.Dense(n_in, n_out, noise=nn.LearnedGaussian(0.1, per='unit')), "
                                 f"got {layer!r}")
    first, second = layer.noise.moments(phi)
    with np.errstate(divide="ignore"):
        return np.broadcast_to(first**2 / np.maximum(second - np.square(first), 0), (inputs,)).copy()
