"""KL(q_theta(omega) || p(omega)) = sum_i l^2/2 (E[z^2] ||M_i||^2 + ||b_i||^2) - [Gaussian noise] sum_rays log ||ray|| + C.

Derivation. q is made proper by blurring every weight with N(0, s^2), s -> 0. For one ray m in R^K (the numbers that share
one z: a column of a dense M, a row (M_k, b_k) of a convolution), under p = N(0, l^-2 I):

    -E_q[log p] = l^2/2 (E[z^2] ||m||^2 + K s^2) + K/2 log(2 pi/l^2)                    any noise with those moments
    Bernoulli:  -H[q] -> -H(keep) - K/2 log(2 pi e s^2)                                 two narrow bumps: no m in it
    Gaussian:   -H[q] = -K/2 log(2 pi e s^2) - 1/2 log(1 + variance ||m||^2/s^2)        exactly: q = N(m, s^2 I + variance m m^T)
                     -> -log ||m|| + (constant in m)

So for dropout the KL is a weight decay plus a constant C that depends on s alone and is infinite in the limit: only differences of
KL, and its gradient, mean anything, and no absolute ELBO is reported. For multiplicative Gaussian noise the weight-decay reading
(keep ||M||^2 with E[z^2] for keep) leaves out the entropy along the ray, -log ||m||, which is finite and pushes m away from 0.
A layer without noise is the case z = 1. Sources: arXiv 1506.02142 appendix 4.2 (Bernoulli); the Gaussian case follows from the
entropy of a Gaussian.
"""

import numpy as np

from ..nn.noise import Gaussian
from . import posterior

CONSTANT = ("C, which no M changes: sum over rays of -K'/2 log(2 pi e s^2) - H(noise) + K/2 log(2 pi/l^2), K' = K for dropout, K - 1 for "
            "Gaussian noise with H(noise) = 1/2 log(2 pi e variance); infinite as s -> 0 unless K' = 0. It depends on keep, variance "
            "and l: losses at different ones do not compare")
SMALLEST = np.finfo(np.float32).tiny


def rays(layer, params):
    """||ray||^2 for every set of numbers that shares one z: the columns of a dense M, the rows (M_k, b_k) of a convolution."""
    M = params["M"]
    if "b" not in layer.noisy_params:
        return (M * M).sum(axis=0)                                                     # (D,)
    return (M.reshape(len(M), -1) ** 2).sum(axis=1) + params["b"] ** 2                # (C_out,)


def terms(net, params, prior):
    """{layer: {"M": value, "b": value, "rays": value}}: the KL in nats, up to C, term by term."""
    moments, out = posterior.moment(net, params, "second_moment"), {}
    for name, group in params.items():
        half = prior.of(name) ** 2 / 2
        out[name] = {p: half * moments[name][p] * float(np.vdot(a, a)) for p, a in group.items()}
        if isinstance(net.layers[name].noise, Gaussian):
            squares = np.maximum(rays(net.layers[name], group), SMALLEST)
            out[name]["rays"] = float(-np.log(squares, dtype=np.float64).sum() / 2)
    return out


def value(net, params, prior):
    """KL(q || p) in nats, up to the constant C (`kl.CONSTANT`)."""
    return sum(v for group in terms(net, params, prior).values() for v in group.values())


def grad(net, params, prior, num_data=1):
    """d (KL/N) / d theta in the shapes of params: wd M, and for Gaussian noise - m/(N ||m||^2) per ray. No constant in it."""
    decay, out = weight_decay(net, params, prior, num_data), {}
    for name, group in params.items():
        layer = net.layers[name]
        out[name] = {p: a.dtype.type(decay[name][p]) * a for p, a in group.items()}
        if isinstance(layer.noise, Gaussian):
            pull = 1 / (num_data * np.maximum(rays(layer, group), SMALLEST))
            for p in layer.noisy_params:
                a = group[p]
                out[name][p] -= a * (pull if p == "b" or a.ndim == 2 else pull[:, None, None, None])
    return out


def weight_decay(net, params, prior, num_data=1, tau=1.0):
    """{layer: {param: wd}}: the factor of SGD's "gradient + wd * param" that this KL is.

    wd = l^2 E[z^2] / N beside the mean negative log-likelihood, and / (N tau) beside the mean of 1/2 ||y - f||^2; E[z^2] = keep for
    dropout, and 1 for parameters outside the noise, such as a dense bias (a convolution's bias is inside).
    """
    moments = posterior.moment(net, params, "second_moment")
    return {name: {p: prior.of(name) ** 2 * m / (num_data * tau) for p, m in group.items()}
            for name, group in moments.items()}
