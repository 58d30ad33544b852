"""q_theta(omega): W_i = M_i diag(z_i). The network's noise, read as a distribution over weight matrices."""

import numpy as np

from .. import require
from ..nn.layers import Conv2d, Dense


def _layer(net, name):
    if name not in net.layers or not isinstance(net.layers[name], (Dense, Conv2d)):
        with_weights = [n for n, layer in net.layers.items() if isinstance(layer, (Dense, Conv2d))]
        raise require.InputError(f"name must be a layer with weights, one of {with_weights}, got {name!r}")
    return net.layers[name]


def weights(net, params, z, name):
    """omega-hat of one layer, {"W", "b"}: the matrices themselves, one for each row of z.

    Dense: W_n = M diag(z_n), columns of M switched by the inputs' noise.                   W (B, K, D), b (K,)
    Conv2d: the rows (M_k, b_k) times z_nijk, one row per kernel-patch pair; shared by the patches when noise_per="kernel".
                                                              W (B, Ho, Wo, C_out, kh*kw*C_in), b (B, Ho, Wo, C_out)
    A layer without noise gives M and b.
    """
    layer, M, b = _layer(net, name), params[name]["M"], params[name]["b"]
    M = M.reshape(len(M), -1)                            # one row per output unit
    if name not in net.noisy:
        return {"W": M.copy(), "b": b.copy()}
    z = np.asarray(z[name])
    if isinstance(layer, Dense):
        return {"W": M * z[:, None, :], "b": b.copy()}
    return {"W": M * z[..., None], "b": b * z}


def mean(net, params):
    """E_q[omega] = E[z] M by layer, in the shapes of params: the weights that "weight averaging" predicts with."""
    return {name: {p: factor * params[name][p] for p, factor in factors.items()}
            for name, factors in moment(net, params, "mean").items()}


def second_moment(net, params):
    """E_q[omega^2] = E[z^2] M^2, element by element, in the shapes of params."""
    return {name: {p: factor * params[name][p] ** 2 for p, factor in factors.items()}
            for name, factors in moment(net, params, "second_moment").items()}


def moment(net, params, which):
    """{layer: {param: E[z] or E[z^2]}}: the noise's moment for the parameters that z multiplies, 1 for the others."""
    return {name: {p: getattr(net.layers[name].noise, which) if p in net.layers[name].noisy_params else 1.0 for p in group}
            for name, group in params.items()}
