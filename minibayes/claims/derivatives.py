"""df = softmax - onehot, tau (f - y); conv backward = correlation with the flipped kernel; <im2col x, c> = <x, col2im c> (claim 14).

Derivatives are checked where that costs no approximation: by complex steps (f(x + ih) has df/dx in its imaginary part, to rounding for a
tiny h), by central differences of functions that are quadratic along the way, or by the inequality that defines a subgradient.
"""

import math

import numpy as np

from .. import checks, kernels, nn
from ..bayes import Categorical, Gaussian
from .claim import Finding

EPS, TINY = np.finfo(float).eps, 1e-100
ROUNDING = "rounding"


def rounding(terms, size):
    """Twice (m + 2) eps sum |a b| for m products."""
    return 2 * (terms + 2) * EPS * float(np.max(size))


def likelihoods():
    """Claim 14: -log p and its derivative in f, both likelihoods; and that p is a density."""
    rng = np.random.default_rng(16)
    f, y, C = 3 * rng.standard_normal((4, 5)), np.array([0, 4, 2, 2]), 5
    nll, df = Categorical().nll(f, y)
    value, slope = 0.0, 0.0
    for n, c in np.ndindex(f.shape):
        moved = f[n].astype(complex)
        moved[c] += 1j * TINY
        written = np.log(np.exp(moved).sum()) - moved[y[n]]                               # -log softmax(f)_y
        value, slope = max(value, abs(nll[n] - written.real)), max(slope, abs(df[n, c] - written.imag / TINY))
    tau, target, h = 2.5, rng.standard_normal((4, 5)), 0.5
    gaussian, (_, df) = Gaussian(tau), Gaussian(tau).nll(f, target)
    difference = np.empty(f.shape)
    for c, e in enumerate(h * np.eye(C)):
        difference[:, c] = (gaussian.nll(f + e, target)[0] - gaussian.nll(f - e, target)[0]) / (2 * h)
    # int p(y | f) dy = 1 and int (y - f)^2 p dy = 1/tau by the trapezoid rule: 10 sd to each side, steps of 1/8 sd
    t = np.arange(-80, 81) / 8 / math.sqrt(tau)
    p = np.exp(-gaussian.nll(np.full((len(t), 1), 0.3), 0.3 + t[:, None])[0]) / 8 / math.sqrt(tau)
    density = max(abs(p.sum() - 1), abs((p * t**2).sum() * tau - 1))
    size = np.abs(f).max() + np.abs(target).max() + h
    return [
        Finding("derivatives-softmax", "-log softmax(f)_y has the derivative softmax(f) - onehot(y)",
                "Categorical.nll against log sum exp written out, and its derivative by complex steps", max(value, slope),
                rounding(C, 2 * np.abs(f).max() + 2), ROUNDING),
        Finding("derivatives-gaussian", "tau/2 ||y - f||^2 has the derivative tau (f - y)",
                "Gaussian.nll's df against central differences of its value, which a quadratic has exactly", np.abs(df - difference).max(),
                rounding(C, tau / 2 * C * size**2) / h, "rounding of the values, over the step"),
        Finding("derivatives-gaussian-density", "N(y; f, 1/tau) is a density with variance 1/tau: the 1/2 and the constant are there",
                "integrals over y of exp(-nll) against 1, of (y - f)^2 exp(-nll) against 1/tau", density, rounding(len(t), 50),
                "rounding; the exponent is 50 at most, and e^-50 is cut off"),
    ]


GEOMETRIES = (((5, 6), 3, 1, 0), ((5, 4), 3, 1, 1), ((7, 6), 2, 2, 0), ((6, 7), 3, 2, 1), ((4, 4), 1, 3, 0), ((5, 5), 2, 1, 2))


def convolution():
    """Claim 14: what the two gradients of a convolution are, and the transpose of im2col."""
    worst, allowed, adjoint, matrix, adjoint_allowed = 0.0, 0.0, 0.0, 0.0, 0.0
    C, K, B = 2, 3, 2
    for (H, W), k, s, pad in GEOMETRIES:
        rng = np.random.default_rng(17)
        layer = nn.Conv2d(C, K, k, stride=s, padding=pad)
        params = {"M": rng.standard_normal((K, k, k, C)), "b": rng.standard_normal(K)}
        x = rng.standard_normal((B, H, W, C))
        y, cache = layer.forward(params, x)
        g = rng.standard_normal(y.shape)
        dx, grads = layer.backward(params, cache, g)
        # dy with s - 1 zeros between its pixels and k - 1 around them, correlated with the kernel turned by 180 degrees
        Ho, Wo = y.shape[1:3]
        spread = np.zeros((B, (Ho - 1) * s + 2 * k - 1, (Wo - 1) * s + 2 * k - 1, K))
        spread[:, k - 1:spread.shape[1] - k + 1:s, k - 1:spread.shape[2] - k + 1:s] = g
        flipped = params["M"][:, ::-1, ::-1]
        full = np.zeros((B, H + 2 * pad, W + 2 * pad, C))                                 # pixels no window reaches stay 0
        for i, j in np.ndindex((Ho - 1) * s + k, (Wo - 1) * s + k):
            full[:, i, j] = np.einsum("nabo,oabc->nc", spread[:, i:i + k, j:j + k], flipped)
        # dM is x correlated with dy: entry (di, dj) sums x shifted by (di, dj), every s pixels
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        dM = np.zeros(params["M"].shape)
        for di, dj in np.ndindex(k, k):
            dM[:, di, dj] = np.einsum("nijo,nijc->oc", g, padded[:, di:di + s * (Ho - 1) + 1:s, dj:dj + s * (Wo - 1) + 1:s])
        worst = max(worst, np.abs(dx - full[:, pad:pad + H, pad:pad + W]).max(), np.abs(grads["M"] - dM).max(),
                    np.abs(grads["b"] - g.sum(axis=(0, 1, 2))).max())
        sums = max(k * k * K, B * Ho * Wo)
        allowed = max(allowed, rounding(sums, sums * np.abs(g).max() * max(np.abs(params["M"]).max(), np.abs(x).max(), 1)))

        def im2col(v, shape=(Ho, Wo, k * k * C), how=(k, k, s, pad)):
            cols = np.empty((len(v), *shape))
            kernels.im2col(np.ascontiguousarray(v), *how, cols)
            return cols

        def col2im(c, shape=(H, W, C), how=(k, k, s, pad)):
            v = np.empty((len(c), *shape))
            kernels.col2im(c, *how, v)
            return v

        c = rng.standard_normal((B, Ho, Wo, k * k * C))
        adjoint = max(adjoint, checks.adjoint_check(im2col, col2im, x, c))
        adjoint_allowed = max(adjoint_allowed, rounding(c.size, math.sqrt(k * k)))
        A = im2col(np.eye(H * W * C).reshape(-1, H, W, C)).reshape(H * W * C, -1)         # row: what becomes of one pixel
        At = col2im(np.eye(A.shape[1]).reshape(-1, Ho, Wo, k * k * C)).reshape(A.shape[1], -1)
        ones = np.isin(A, (0, 1)).all() and (A.sum(axis=0) <= 1).all() and A.sum() > 0    # each entry of a patch is one pixel, or padding
        matrix = max(matrix, np.abs(A - At.T).max(), 0.0 if ones else 1.0)
    return [
        Finding("derivatives-conv", "dL/dx is dL/dy correlated with the flipped kernel, dL/dM is x correlated with dL/dy",
                f"Conv2d.backward against those sums, {len(GEOMETRIES)} geometries", worst, allowed, ROUNDING),
        Finding("derivatives-im2col", "col2im is the transpose of im2col: <im2col x, c> = <x, col2im c>",
                "relative difference of the two inner products", adjoint, adjoint_allowed, "rounding; a pixel is in k^2 patches at most"),
        Finding("derivatives-im2col-matrix", "entry by entry: im2col is a matrix of zeros and ones, col2im its transpose",
                "the whole matrices, from unit vectors", matrix, 0.0,
                "copying and adding zeros do not round"),
    ]


def pooling():
    """Claim 14: g is a subgradient of max at x if max(x') >= max(x) + g . (x' - x) for every x'; ties are where it is not a gradient."""
    violated = mass = 0.0
    for size, stride in ((2, 2), (3, 2), (2, 1)):
        rng, layer = np.random.default_rng(18), nn.MaxPool2d(size, stride)
        for x in (rng.standard_normal((1, 7, 6, 2)), np.round(rng.standard_normal((1, 7, 6, 2))), np.zeros((1, 7, 6, 2))):
            y, cache = layer.forward(None, x)
            others = [x + scale * rng.standard_normal(x.shape) for scale in (0.01, 1.0, 100.0)] + [x - 1.0, np.minimum(x, 0.0)]
            for at in np.ndindex(y.shape):
                one = np.zeros(y.shape)
                one[at] = 1
                g, _ = layer.backward(None, cache, one)
                window = (at[0], slice(at[1] * stride, at[1] * stride + size), slice(at[2] * stride, at[2] * stride + size), at[3])
                outside = g.copy()
                outside[window] = 0
                mass = max(mass, abs(g.sum() - 1), np.abs(outside).max(), -g.min(), abs((g * x).sum() - x[window].max()))
                for other in others:
                    violated = max(violated, y[at] + (g * (other - x)).sum() - other[window].max())
    return [
        Finding("derivatives-max-pool", "the gradient of max-pooling is a subgradient, also at ties, where it goes to one of the equals",
                "max x' >= max x + g . (x' - x) for 5 x' around each of 9 x, the worst excess", violated, rounding(2, 1e3), ROUNDING),
        Finding("derivatives-max-pool-mass", "all of max-pooling's gradient goes to a maximum of the window, nothing elsewhere",
                "sum of g against 1, g outside the window and below 0 against 0, g . x against max x", mass, 0.0,
                "moving numbers does not round"),
    ]


def network():
    """Claim 14: the chain rule through all of it, on a net whose loss is quadratic along each single parameter array, kinks apart."""
    net = nn.Network((7, 7, 2), c=nn.Conv2d(2, 3, 2, noise=nn.Gaussian(0.3)), p=nn.MaxPool2d(2), r=nn.ReLU(), f=nn.Flatten(),
                     d=nn.Dense(27, 6, noise=nn.Bernoulli(0.7)), s=nn.ReLU(), e=nn.Dense(6, 2, noise=nn.Gaussian(0.5)))
    rng = np.random.default_rng(19)
    params = {name: {p: rng.standard_normal(a.shape) / 2 for p, a in group.items()} for name, group in net.init(0, np.float64).items()}
    x, y, likelihood = rng.standard_normal((3, 7, 7, 2)), rng.standard_normal((3, 2)), Gaussian(1.3)
    z = net.sample(19, x.shape, dtype=np.float64)

    def loss(p):
        return float(likelihood.nll(net.forward(p, p["x"]["x"] if "x" in p else x, z)[0], y)[0].sum())

    f, caches = net.forward(params, x, z)
    dx, grads = net.backward(params, caches, likelihood.nll(f, y)[1])
    step = 1e-5
    found = checks.gradient_check(loss, params | {"x": {"x": x}}, grads | {"x": {"x": dx}}, rng=19, step=step)
    # the loss goes through sums of 8, 27 and 6 numbers, then 6 squares; its rounding, over the step, is relative to the gradient's size
    size = loss(params) / (step * min(np.linalg.norm(a) / math.sqrt(a.size) for g in (*grads.values(), {"x": dx}) for a in g.values()))
    h = rng.standard_normal((4, 5))
    out, cache = nn.Tanh().forward(None, h)
    slope = np.tanh(h + 1j * TINY).imag / TINY
    tanh = max(np.abs(nn.Tanh().backward(None, cache, np.ones(h.shape))[0] - slope).max(), np.abs(out - np.tanh(h)).max())
    return [
        Finding("derivatives-network", "backward through convolution, noise, pooling, ReLU and dense layers is the derivative of the loss",
                "along random directions of every parameter and of x, against central differences, relative", found.relative_error,
                rounding(8 + 27 + 6 + 6, size), "rounding of the loss over the step: it is quadratic along each array, no kink is crossed"),
        Finding("derivatives-tanh", "tanh' = 1 - tanh^2", "Tanh.backward against complex steps", tanh, rounding(2, 1), ROUNDING),
    ]


CLAIMS = (likelihoods, convolution, pooling, network)
