"""Dropping units = drawing weight matrices, W = M diag(z): dense layers, and convolutions by kernel-patch pair (claims 1 and 2).

Everything is compared with sums written out. A sum of m products carries a rounding error of at most (m + 2) eps sum |a_i b_i|; two ways
to form it may differ by twice that, and each tolerance is that bound for the largest sum there is.
"""

import numpy as np

from .. import nn
from ..bayes import Gaussian, posterior
from ..truth import exact
from .claim import Finding

EPS = np.finfo(float).eps
NOISES = (nn.Bernoulli(0.6), nn.Gaussian(0.5))
ROUNDING = "rounding: twice (m + 2) eps sum |a b| for the longest sum, of m products"


def furthest(*pairs):
    """The largest |a - b| over pairs of arrays of one shape."""
    for a, b in pairs:
        assert np.shape(a) == np.shape(b), (np.shape(a), np.shape(b))
    return max(np.abs(np.subtract(a, b)).max() for a, b in pairs)


def rounding(terms, size):
    """The bound above for `terms` products that add up to at most `size` in absolute value."""
    return 2 * (terms + 2) * EPS * float(np.max(size))


def random_params(net, rng):
    """Standard normal M and b: no zeros that could hide a missing term."""
    return {name: {p: rng.standard_normal(a.shape) for p, a in group.items()} for name, group in net.init(0, np.float64).items()}


def dense():
    """Claim 1: the forward pass, the backward pass, and the network with its dropped units cut out."""
    B, D, K, forward, backward, allowed, allowed_back = 6, 7, 5, 0.0, 0.0, 0.0, 0.0
    for noise in NOISES:
        net, rng = nn.Network(a=nn.Dense(D, K, noise=noise)), np.random.default_rng(1)
        params, x, delta = random_params(net, rng), rng.standard_normal((B, D)), rng.standard_normal((B, K))
        z, (M, b) = net.sample(1, x.shape, dtype=np.float64), params["a"].values()
        f, caches = net.forward(params, x, z)
        dx, grads = net.backward(params, caches, delta)
        W = np.array([M @ np.diag(z["a"][n]) for n in range(B)])                         # W_n = M diag(z_n)
        by_hand = np.array([[sum(W[n, k, d] * x[n, d] for d in range(D)) + b[k] for k in range(K)] for n in range(B)])
        forward = max(forward, furthest((f, by_hand), (posterior.weights(net, params, z, "a")["W"], W)))
        allowed = max(allowed, rounding(D + 1, np.abs(W).sum(axis=2).max() * np.abs(x).max() + np.abs(b).max()))
        # dL/dW_n = delta_n x_n^T, and M enters W_n through diag(z_n)
        dM = sum(np.outer(delta[n], x[n]) @ np.diag(z["a"][n]) for n in range(B))
        dx_by_hand = np.array([W[n].T @ delta[n] for n in range(B)])
        backward = max(backward, furthest((grads["a"]["M"], dM), (grads["a"]["b"], delta.sum(axis=0)), (dx, dx_by_hand)))
        size = np.abs(delta).max() * max(np.abs(x).max(), np.abs(M).max(), 1) * max(1, z["a"].max()) * max(B, K)
        allowed_back = max(allowed_back, rounding(max(B, K), size))
    return [
        Finding("weights-dense", "a dense layer with noise z on its inputs is f_n = W_n x_n + b with weight matrices W_n = M diag(z_n)",
                "forward against sums over W_n, Bernoulli and Gaussian noise", forward, allowed, ROUNDING),
        Finding("weights-dense-gradient",
                "the mask is in the backward pass too: dL/dM = sum_n dL/dW_n diag(z_n), dL/dx_n = W_n^T delta_n",
                "backward against those sums", backward, allowed_back, ROUNDING),
        cut_out(),
    ]


def cut_out():
    """Claim 1: a network whose dropped hidden units and inputs are not there at all."""
    drop, worst, allowed = nn.Bernoulli(0.5), 0.0, 0.0
    net, rng = nn.Network(a=nn.Dense(6, 9, noise=drop), r=nn.ReLU(), b=nn.Dense(9, 4, noise=drop)), np.random.default_rng(2)
    params, x = random_params(net, rng), rng.standard_normal((8, 6))
    z = net.sample(2, x.shape)
    f, _ = net.forward(params, x, z)
    for n in range(len(x)):
        inputs, hidden = z["a"][n] == 1, z["b"][n] == 1
        smaller = nn.Network(a=nn.Dense(int(inputs.sum()), int(hidden.sum())), r=nn.ReLU(), b=nn.Dense(int(hidden.sum()), 4))
        left = {"a": {"M": params["a"]["M"][hidden][:, inputs], "b": params["a"]["b"][hidden]},
                "b": {"M": params["b"]["M"][:, hidden], "b": params["b"]["b"]}}
        worst = max(worst, furthest((f[n], smaller.forward(left, x[n:n + 1, inputs], {})[0][0])))
        h = np.abs(params["a"]["M"]) @ np.abs(x[n]) + np.abs(params["a"]["b"])
        allowed = max(allowed, rounding(6 + 9 + 2, np.abs(params["b"]["M"]) @ h + np.abs(params["b"]["b"])))
    return Finding("weights-units-cut-out", "dropping units is what the name says: the network with those units taken out",
                   "6-9-4 ReLU net with masks against smaller nets without", worst, allowed, ROUNDING)


GEOMETRIES = ((1, 0), (1, 1), (2, 1))  # stride, padding


def conv():
    """Claim 2: y_nijk = z_nijk (M_k . patch_nij + b_k), forward and backward, per patch and per kernel."""
    B, H, W, C, K, k = 2, 5, 4, 2, 3, 3
    forward = backward = allowed = allowed_back = 0.0
    for noise in NOISES:
        for per in ("patch", "kernel"):
            for stride, pad in GEOMETRIES:
                net = nn.Network((H, W, C), c=nn.Conv2d(C, K, k, stride=stride, padding=pad, noise=noise, noise_per=per))
                rng = np.random.default_rng(3)
                params, x = random_params(net, rng), rng.standard_normal((B, H, W, C))
                z, (M, b) = net.sample(3, x.shape, dtype=np.float64), params["c"].values()
                f, caches = net.forward(params, x, z)
                delta = rng.standard_normal(f.shape)
                dx, grads = net.backward(params, caches, delta)
                own = posterior.weights(net, params, z, "c")
                padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
                y, dM, db, dpadded = np.zeros(f.shape), np.zeros(M.shape), np.zeros(b.shape), np.zeros(padded.shape)
                y_own = np.zeros(f.shape)
                for n, i, j, o in np.ndindex(f.shape):
                    at = (n, slice(i * stride, i * stride + k), slice(j * stride, j * stride + k))
                    zn = z["c"][(n, i, j, o) if per == "patch" else (n, 0, 0, o)]
                    W_here, b_here = (own[p][(n, i, j, o) if per == "patch" else (n, 0, 0, o)] for p in ("W", "b"))
                    y[n, i, j, o] = (zn * M[o] * padded[at]).sum() + zn * b[o]           # one z for this kernel and this patch
                    y_own[n, i, j, o] = W_here @ padded[at].reshape(-1) + b_here
                    dM[o] += delta[n, i, j, o] * zn * padded[at]
                    db[o] += delta[n, i, j, o] * zn
                    dpadded[at] += delta[n, i, j, o] * zn * M[o]
                inner = dpadded[:, pad:pad + H, pad:pad + W]
                forward = max(forward, furthest((f, y), (f, y_own)))
                backward = max(backward, furthest((grads["c"]["M"], dM), (grads["c"]["b"], db), (dx, inner)))
                big, top = np.abs(z["c"]).max(), max(np.abs(x).max(), 1)
                allowed = max(allowed, rounding(k * k * C + 1, big * (np.abs(M).sum(axis=(1, 2, 3)) * top + np.abs(b)).max()))
                sums = max(B * f.shape[1] * f.shape[2], k * k * K)
                allowed_back = max(allowed_back, rounding(sums, sums * big * np.abs(delta).max() * max(top, np.abs(M).max())))
    return [
        Finding("weights-conv", "dropout after a convolution is one z per kernel-patch pair, on the row (M_k, b_k): the bias is inside",
                "Conv2d and posterior.weights through im2col against loops over patches, three geometries", forward, allowed, ROUNDING),
        Finding("weights-conv-gradient", "convolution's backward pass has the mask: dL/dM_k = sum z delta patch, dL/db_k = sum z delta",
                "Conv2d.backward against loops over patches", backward, allowed_back, ROUNDING),
    ]


def one_omega():
    """Claim 2, what the poster leaves unsaid: is dropout after a convolution one omega per image?"""
    keep, level = 0.7, 1.6
    spread = {}
    for per in ("patch", "kernel"):
        net = nn.Network((2, 3, 1), c=nn.Conv2d(1, 1, 1, noise=nn.Bernoulli(keep), noise_per=per), f=nn.Flatten())
        params = {"c": {"M": np.full((1, 1, 1, 1), level), "b": np.zeros(1)}}
        p = exact.predict(net, params, Gaussian(1.0), np.ones((1, 2, 3, 1)))             # an image of one colour: all patches are equal
        spread[per] = p.expect(p.f.var(axis=2, ddof=1)).item()                           # between its patches
    return [Finding("weights-conv-many-omegas",
                    "dropout after a convolution is not one omega per image but a draw of W for each patch; one z per kernel is one",
                    "mean variance between equal patches over all masks, against keep(1-keep) y^2 per patch and 0 per kernel",
                    max(abs(spread["patch"] - keep * (1 - keep) * level**2), spread["kernel"]), rounding(2**6, level**2),
                    "rounding in a sum over 2^6 masks")]


CLAIMS = (dense, conv, one_omega)
