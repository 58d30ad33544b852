"""q_theta(omega): W_i = M_i diag(z_i). The network's noise, read as a distribution over weight matrices."""

from .. import require
from ..floats import usual
from ..nn.network import Network


@usual
def weights(net: Network, params: dict, z: dict, name: str) -> dict:
    """omega-hat of one layer, {"W", "b"}: the matrices themselves, one for each row of z.

    Dense: W_n = M diag(z_n), columns of M switched by the inputs' noise.       W (B, K, D), b (K,)
    Conv2d: the rows (M_k, b_k) times z_nijk, one per kernel-patch pair; with noise_per="kernel" shared by the
    patches.                            W (B, Ho, Wo, C_out, kh*kw*C_in), b (B, Ho, Wo, C_out)
    A layer without noise gives M and b.
    """
    with_weights = [n for n, layer in net.layers.items() if layer.param_shapes()]
    if name not in with_weights:
        raise require.InputError(f"name must be a layer with weights, one of {with_weights}, got {name!r}")
    return net.layers[name].weights(params[name], z.get(name))


@usual
def mean(net: Network, params: dict) -> dict:
    """E_q[omega] = E[z] M, in the shapes of the weights: what "weight averaging" predicts with.

    M + E[z] for additive noise.
    """
    return {name: {p: first for p, (first, _) in net.layers[name].weight_moments(group).items()}
            for name, group in params.items()}


@usual
def second_moment(net: Network, params: dict) -> dict:
    """E_q[omega^2] = E[z^2] M^2, or E[(M + z)^2], element by element, in the shapes of the weights."""
    return {name: {p: second for p, (_, second) in net.layers[name].weight_moments(group).items()}
            for name, group in params.items()}


@usual
def moments(net: Network, params: dict) -> dict:
    """{layer: {param: (E[z], E[z^2])}}: the noise's moments, for the weights that z multiplies; else 1."""
    return {name: net.layers[name].moments(group) for name, group in params.items()}
