"""Dropping units = drawing weights, W = M diag(z): dense, and convolutions by kernel and patch (claims 1, 2).

Everything is compared with sums written out. A sum of m products carries a rounding error of at most
(m + 2) eps sum |a_i b_i|; two ways to form it may differ by twice that, and each tolerance is that bound for
the largest sum there is.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from .. import bayes, nn
from ..bayes import posterior
from ..truth import exact
from .claim import Finding, claim
from .common import Tree, random_params, rounding, worst

NOISES = (nn.Bernoulli(0.6), nn.Gaussian(0.5))
ROUNDING = "rounding: twice (m + 2) eps sum |a b| for the longest sum, of m products"


def furthest(*pairs: tuple) -> float:
    """The largest |a - b| over pairs of arrays of one shape."""
    for a, b in pairs:
        assert np.shape(a) == np.shape(b), (np.shape(a), np.shape(b))
    return worst([np.abs(np.subtract(a, b)).max() for a, b in pairs])


@claim("weights-dense", "weights-dense-gradient")
def dense() -> list[Finding]:
    """Claim 1: the forward pass and the backward pass."""
    B, D = 6, 7
    K = 5
    forward, backward = [], []
    allowed, allowed_back = [], []
    for noise in NOISES:
        net, rng = nn.Network(a=nn.Dense(D, K, noise=noise)), np.random.default_rng(1)
        params = random_params(net, rng)
        x, delta = rng.standard_normal((B, D)), rng.standard_normal((B, K))
        M, b = params["a"].values()
        z = net.sample(1, x.shape, dtype=np.float64)
        f, caches = net.forward(params, x, z)
        dx, grads = net.backward(params, caches, delta)
        W = np.array([M @ np.diag(z["a"][n]) for n in range(B)])  # W_n = M diag(z_n)
        by_hand = np.empty((B, K))
        for n, k in np.ndindex(B, K):
            by_hand[n, k] = sum(W[n, k, d] * x[n, d] for d in range(D)) + b[k]
        forward.append(furthest((f, by_hand), (posterior.weights(net, params, z, "a")["W"], W)))
        allowed.append(rounding(D + 1, np.abs(W).sum(axis=2).max() * np.abs(x).max() + np.abs(b).max()))
        # dL/dW_n = delta_n x_n^T, and M enters W_n through diag(z_n)
        dM = sum(np.outer(delta[n], x[n]) @ np.diag(z["a"][n]) for n in range(B))
        db, dx_by_hand = delta.sum(axis=0), np.array([W[n].T @ delta[n] for n in range(B)])
        backward.append(furthest((grads["a"]["M"], dM), (grads["a"]["b"], db), (dx, dx_by_hand)))
        factor = max(np.abs(x).max(), np.abs(M).max(), 1)
        size = np.abs(delta).max() * factor * max(1, z["a"].max()) * max(B, K)
        allowed_back.append(rounding(max(B, K), size))
    return [
        Finding(
            "weights-dense",
            "a dense layer with noise z on its inputs is f_n = W_n x_n + b "
            "with weight matrices W_n = M diag(z_n)",
            "forward against sums over W_n, Bernoulli and Gaussian noise",
            worst(forward), worst(allowed), ROUNDING),
        Finding(
            "weights-dense-gradient",
            "the mask is in the backward pass too: dL/dM = sum_n dL/dW_n diag(z_n), dL/dx_n = W_n^T delta_n",
            "backward against those sums", worst(backward), worst(allowed_back), ROUNDING),
    ]


@claim("weights-units-cut-out")
def cut_out() -> list[Finding]:
    """Claim 1: a network whose dropped hidden units and inputs are not there at all."""
    drop, rng = nn.Bernoulli(0.5), np.random.default_rng(2)
    net = nn.Network(a=nn.Dense(6, 9, noise=drop), r=nn.ReLU(), b=nn.Dense(9, 4, noise=drop))
    params, x = random_params(net, rng), rng.standard_normal((8, 6))
    M, b = params["a"].values()
    M_out, b_out = params["b"].values()
    z = net.sample(2, x.shape)
    f, _ = net.forward(params, x, z)
    apart, allowed = [], []
    for n in range(len(x)):
        inputs, hidden = z["a"][n] == 1, z["b"][n] == 1
        D, H = int(inputs.sum()), int(hidden.sum())
        smaller = nn.Network(a=nn.Dense(D, H), r=nn.ReLU(), b=nn.Dense(H, 4))
        left = {"a": {"M": M[hidden][:, inputs], "b": b[hidden]}, "b": {"M": M_out[:, hidden], "b": b_out}}
        apart.append(furthest((f[n], smaller.forward(left, x[n:n + 1, inputs], {})[0][0])))
        h = np.abs(M) @ np.abs(x[n]) + np.abs(b)
        allowed.append(rounding(6 + 9 + 2, np.abs(M_out) @ h + np.abs(b_out)))
    return [Finding(
        "weights-units-cut-out",
        "dropping units is what the name says: the network with those units taken out",
        "6-9-4 ReLU net with masks against smaller nets without", worst(apart), worst(allowed), ROUNDING)]


GEOMETRIES = ((1, 0), (1, 1), (2, 1))  # stride, padding


def patches(shape: tuple[int, ...], k: int, stride: int) -> Iterator[tuple]:
    """(n, i, j, o) of every output of a convolution, and where its patch is."""
    for n, i, j, o in np.ndindex(shape):
        yield (n, i, j, o), (n, slice(i * stride, i * stride + k), slice(j * stride, j * stride + k))


def sums(layer: nn.Conv2d, params: Tree, padded: np.ndarray, z: np.ndarray, delta: np.ndarray) -> tuple:
    """y_nijk = z_nijk (M_k . patch_nij + b_k) and dL/dM, dL/db, dL/d(padded x), patch by patch."""
    M, b = params["c"].values()
    y, dpadded = np.zeros(delta.shape), np.zeros(padded.shape)
    dM, db = np.zeros(M.shape), np.zeros(b.shape)
    for at, patch in patches(delta.shape, M.shape[1], layer.stride):
        o = at[-1]
        y[at] = (z[at] * M[o] * padded[patch]).sum() + z[at] * b[o]  # one z for this kernel and this patch
        dM[o] += delta[at] * z[at] * padded[patch]
        db[o] += delta[at] * z[at]
        dpadded[patch] += delta[at] * z[at] * M[o]
    return y, dM, db, dpadded


@claim("weights-conv", "weights-conv-gradient")
def conv() -> list[Finding]:
    """Claim 2: y_nijk = z_nijk (M_k . patch_nij + b_k), forward and backward, per patch and per kernel."""
    B, k = 2, 3
    H, W = 5, 4
    C, K = 2, 3
    forward, backward = [], []
    allowed, allowed_back = [], []
    for noise, per, (stride, pad) in itertools.product(NOISES, ("patch", "kernel"), GEOMETRIES):
        layer = nn.Conv2d(C, K, k, stride=stride, padding=pad, noise=noise, noise_per=per)
        net, rng = nn.Network((H, W, C), c=layer), np.random.default_rng(3)
        params, x = random_params(net, rng), rng.standard_normal((B, H, W, C))
        M, b = params["c"].values()
        z = net.sample(3, x.shape, dtype=np.float64)
        f, caches = net.forward(params, x, z)
        delta = rng.standard_normal(f.shape)
        dx, grads = net.backward(params, caches, delta)
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        y, dM, db, dpadded = sums(layer, params, padded, np.broadcast_to(z["c"], f.shape), delta)
        own = posterior.weights(net, params, z, "c")  # a W and a b for each image, patch and kernel
        own_W = np.broadcast_to(own["W"], (*f.shape, k * k * C))
        own_b = np.broadcast_to(own["b"], f.shape)
        y_own = np.zeros(f.shape)
        for at, patch in patches(f.shape, k, stride):
            y_own[at] = own_W[at] @ padded[patch].reshape(-1) + own_b[at]
        forward.append(furthest((f, y), (f, y_own)))
        inner = dpadded[:, pad:pad + H, pad:pad + W]
        backward.append(furthest((grads["c"]["M"], dM), (grads["c"]["b"], db), (dx, inner)))
        big, top = np.abs(z["c"]).max(), max(np.abs(x).max(), 1)
        size = big * (np.abs(M).sum(axis=(1, 2, 3)) * top + np.abs(b)).max()
        allowed.append(rounding(k * k * C + 1, size))
        longest = max(B * f.shape[1] * f.shape[2], k * k * K)
        size = longest * big * np.abs(delta).max() * max(top, np.abs(M).max())
        allowed_back.append(rounding(longest, size))
    return [
        Finding(
            "weights-conv",
            "dropout after a convolution is one z per kernel-patch pair, on the row (M_k, b_k): "
            "the bias is inside",
            "Conv2d and posterior.weights through im2col against loops over patches, three geometries",
            worst(forward), worst(allowed), ROUNDING),
        Finding(
            "weights-conv-gradient",
            "convolution's backward pass has the mask: dL/dM_k = sum z delta patch, dL/db_k = sum z delta",
            "Conv2d.backward against loops over patches", worst(backward), worst(allowed_back), ROUNDING),
    ]


@claim("weights-conv-many-omegas")
def one_omega() -> list[Finding]:
    """Claim 2, what the poster leaves unsaid: is dropout after a convolution one omega per image?"""
    keep, level = 0.7, 1.6
    spread = {}
    for per in ("patch", "kernel"):
        layer = nn.Conv2d(1, 1, 1, noise=nn.Bernoulli(keep), noise_per=per)
        net = nn.Network((2, 3, 1), c=layer, f=nn.Flatten())
        params = {"c": {"M": np.full((1, 1, 1, 1), level), "b": np.zeros(1)}}
        image = np.ones((1, 2, 3, 1))  # of one colour: all patches are equal
        p = exact.predict(net, params, bayes.Gaussian(1.0), image)
        spread[per] = p.expect(p.f.var(axis=2, ddof=1)).item()  # between its patches
    return [Finding(
        "weights-conv-many-omegas",
        "dropout after a convolution is not one omega per image but a draw of W for each patch; "
        "one z per kernel is one",
        "mean variance between equal patches over all masks, "
        "against keep(1-keep) y^2 per patch and 0 per kernel",
        max(abs(spread["patch"] - keep * (1 - keep) * level**2), spread["kernel"]),
        rounding(2**6, level**2), "rounding in a sum over 2^6 masks")]
