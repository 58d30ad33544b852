"""What backward is: of a convolution, of im2col, of max-pooling, and of a whole network (claim 14)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import bayes, checks, kernels, nn
from .claim import Finding, claim
from .common import ROUNDING, random_params, rounding, worst

TINY = 1e-100
GEOMETRIES = (((5, 6), 3, 1, 0), ((5, 4), 3, 1, 1), ((7, 6), 2, 2, 0), ((6, 7), 3, 2, 1), ((4, 4), 1, 3, 0),
              ((5, 5), 2, 1, 2))  # image, kernel, stride, padding


@dataclass(frozen=True)
class Convolution:
    """A convolution of one geometry, and arrays to try it on; all standard normal."""

    layer: nn.Conv2d
    params: dict[str, np.ndarray]  # M (K, k, k, C), b (K,)
    x: np.ndarray  # (B, H, W, C)
    y: np.ndarray  # (B, Ho, Wo, K)
    dx: np.ndarray
    grads: dict[str, np.ndarray]
    dy: np.ndarray
    cols: np.ndarray  # (B, Ho, Wo, k k C)

    @property
    def geometry(self) -> tuple[int, int, int]:
        """(k, stride, padding)."""
        return self.layer.kernel, self.layer.stride, self.layer.padding


def convolutions() -> Iterator[Convolution]:
    """One for each of GEOMETRIES: two images, two channels, three kernels."""
    B, C = 2, 2
    K = 3
    for shape, k, stride, pad in GEOMETRIES:
        rng = np.random.default_rng(17)
        layer = nn.Conv2d(C, K, k, stride=stride, padding=pad)
        params = {"M": rng.standard_normal((K, k, k, C)), "b": rng.standard_normal(K)}
        x = rng.standard_normal((B, *shape, C))
        y, cache = layer.forward(params, x, 1)
        dy = rng.standard_normal(y.shape)
        dx, grads = layer.backward(params, cache, dy)
        yield Convolution(layer, params, x, y, dx, grads, dy, rng.standard_normal((*y.shape[:3], k * k * C)))


def input_sums(one: Convolution) -> np.ndarray:
    """dL/dx: dy, s - 1 zeros between its pixels and k - 1 around, correlated with the flipped kernel."""
    k, s, pad = one.geometry
    B, H, W, C = one.x.shape
    Ho, Wo, K = one.dy.shape[1:]
    spread = np.zeros((B, (Ho - 1) * s + 2 * k - 1, (Wo - 1) * s + 2 * k - 1, K))
    spread[:, k - 1:spread.shape[1] - k + 1:s, k - 1:spread.shape[2] - k + 1:s] = one.dy
    flipped = one.params["M"][:, ::-1, ::-1]
    full = np.zeros((B, H + 2 * pad, W + 2 * pad, C))  # pixels no window reaches stay 0
    for i, j in np.ndindex((Ho - 1) * s + k, (Wo - 1) * s + k):
        full[:, i, j] = np.einsum("nabo,oabc->nc", spread[:, i:i + k, j:j + k], flipped)
    return full[:, pad:pad + H, pad:pad + W]


def weight_sums(one: Convolution) -> np.ndarray:
    """dL/dM: x correlated with dy; entry (di, dj) sums x shifted by (di, dj), every s pixels."""
    k, s, pad = one.geometry
    Ho, Wo = one.dy.shape[1:3]
    padded = np.pad(one.x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    dM = np.zeros(one.params["M"].shape)
    for di, dj in np.ndindex(k, k):
        seen = padded[:, di:di + s * (Ho - 1) + 1:s, dj:dj + s * (Wo - 1) + 1:s]
        dM[:, di, dj] = np.einsum("nijo,nijc->oc", one.dy, seen)
    return dM


@claim("derivatives-conv")
def convolution() -> list[Finding]:
    """Claim 14: what the two gradients of a convolution are."""
    off, allowed = [], []
    for one in convolutions():
        off += [np.abs(one.dx - input_sums(one)).max(), np.abs(one.grads["M"] - weight_sums(one)).max(),
                np.abs(one.grads["b"] - one.dy.sum(axis=(0, 1, 2))).max()]
        B, Ho, Wo, K = one.dy.shape
        longest = max(one.layer.kernel**2 * K, B * Ho * Wo)
        factor = max(np.abs(one.params["M"]).max(), np.abs(one.x).max(), 1)
        allowed.append(rounding(longest, longest * np.abs(one.dy).max() * factor))
    return [Finding(
        "derivatives-conv",
        "dL/dx is dL/dy correlated with the flipped kernel, dL/dM is x correlated with dL/dy",
        f"Conv2d.backward against those sums, {len(GEOMETRIES)} geometries",
        worst(off), worst(allowed), ROUNDING)]


@claim("derivatives-im2col", "derivatives-im2col-matrix")
def transpose() -> list[Finding]:
    """Claim 14: the transpose of im2col."""
    adjoint, allowed = [], []
    matrix = []
    for one in convolutions():
        k, s, pad = one.geometry
        patches, image = one.cols.shape[1:], one.x.shape[1:]

        def im2col(x, k=k, s=s, pad=pad, patches=patches):
            cols = np.empty((len(x), *patches))
            kernels.im2col(np.ascontiguousarray(x), k, k, s, pad, cols)
            return cols

        def col2im(cols, k=k, s=s, pad=pad, image=image):
            x = np.empty((len(cols), *image))
            kernels.col2im(cols, k, k, s, pad, x)
            return x

        adjoint.append(checks.adjoint_check(im2col, col2im, one.x, one.cols))
        allowed.append(rounding(one.cols.size, math.sqrt(k * k)))
        pixels, entries = math.prod(image), math.prod(patches)
        A = im2col(np.eye(pixels).reshape(-1, *image)).reshape(pixels, -1)  # row: what becomes of one pixel
        At = col2im(np.eye(entries).reshape(-1, *patches)).reshape(entries, -1)
        # each entry of a patch is one pixel, or padding
        ones = np.isin(A, (0, 1)).all() and (A.sum(axis=0) <= 1).all() and A.sum() > 0
        matrix += [np.abs(A - At.T).max(), 0.0 if ones else 1.0]
    return [
        Finding(
            "derivatives-im2col",
            "col2im is the transpose of im2col: <im2col x, c> = <x, col2im c>",
            "relative difference of the two inner products",
            worst(adjoint), worst(allowed), "rounding; a pixel is in k^2 patches at most"),
        Finding(
            "derivatives-im2col-matrix",
            "entry by entry: im2col is a matrix of zeros and ones, col2im its transpose",
            "the whole matrices, from unit vectors",
            worst(matrix), 0.0, "copying and adding zeros do not round"),
    ]


def pooling_gradients() -> Iterator[tuple]:
    """(x, one output's gradient, where its window is, that output, five other inputs)."""
    for size, stride in ((2, 2), (3, 2), (2, 1)):
        rng, layer = np.random.default_rng(18), nn.MaxPool2d(size, stride)
        shape = (1, 7, 6, 2)
        for x in (rng.standard_normal(shape), np.round(rng.standard_normal(shape)), np.zeros(shape)):
            y, cache = layer.forward(None, x, 1)
            others = [x + scale * rng.standard_normal(shape) for scale in (0.01, 1.0, 100.0)]
            others += [x - 1.0, np.minimum(x, 0.0)]
            for n, i, j, c in np.ndindex(y.shape):
                one = np.zeros(y.shape)
                one[n, i, j, c] = 1
                g, _ = layer.backward(None, cache, one)
                rows, columns = (slice(a * stride, a * stride + size) for a in (i, j))
                yield x, g, (n, rows, columns, c), y[n, i, j, c], others


@claim("derivatives-max-pool", "derivatives-max-pool-mass")
def pooling() -> list[Finding]:
    """Claim 14: g is a subgradient of max at x if max(x') >= max(x) + g . (x' - x) for every x'.

    Ties are where it is not a gradient.
    """
    excess, mass = [0.0], []
    for x, g, window, top, others in pooling_gradients():
        outside = g.copy()
        outside[window] = 0
        mass += [abs(g.sum() - 1), np.abs(outside).max(), -g.min(), abs((g * x).sum() - x[window].max())]
        excess += [top + (g * (other - x)).sum() - other[window].max() for other in others]
    return [
        Finding(
            "derivatives-max-pool",
            "the gradient of max-pooling is a subgradient, also at ties, where it goes to one of the equals",
            "max x' >= max x + g . (x' - x) for 5 x' around each of 9 x, the worst excess",
            worst(excess), rounding(2, 1e3), ROUNDING),
        Finding(
            "derivatives-max-pool-mass",
            "all of max-pooling's gradient goes to a maximum of the window, nothing elsewhere",
            "sum of g against 1, g outside the window and below 0 against 0, g . x against max x",
            worst(mass), 0.0, "moving numbers does not round"),
    ]


def mixed() -> nn.Network:
    """A bit of everything, for images of 7 x 7 pixels and 2 channels."""
    return nn.Network((7, 7, 2), c=nn.Conv2d(2, 3, 2, noise=nn.Gaussian(0.3)), p=nn.MaxPool2d(2), r=nn.ReLU(),
                      f=nn.Flatten(), d=nn.Dense(27, 6, noise=nn.Bernoulli(0.7)), s=nn.ReLU(),
                      e=nn.Dense(6, 2, noise=nn.Gaussian(0.5)))


def tanh_error(h: np.ndarray) -> float:
    """How far tanh and its derivative are from NumPy's, the derivative by complex steps."""
    layer, slope = nn.Tanh(), np.tanh(h + 1j * TINY).imag / TINY
    out, cache = layer.forward(None, h)
    dh, _ = layer.backward(None, cache, np.ones(h.shape))
    return worst([np.abs(dh - slope).max(), np.abs(out - np.tanh(h)).max()])


@claim("derivatives-network", "derivatives-tanh")
def network() -> list[Finding]:
    """Claim 14: the chain rule; the loss is quadratic along each single parameter array, kinks apart."""
    net, likelihood = mixed(), bayes.Gaussian(1.3)
    rng = np.random.default_rng(19)
    params = random_params(net, rng, 0.5)
    x, y = rng.standard_normal((3, 7, 7, 2)), rng.standard_normal((3, 2))
    z = net.sample(19, x.shape, dtype=np.float64)

    def loss(tree):
        f, _ = net.forward(tree, tree["x"]["x"], z)
        return float(likelihood.nll(f, y)[0].sum())

    f, caches = net.forward(params, x, z)
    dx, grads = net.backward(params, caches, likelihood.nll(f, y)[1])
    params, grads = params | {"x": {"x": x}}, grads | {"x": {"x": dx}}
    step = 1e-5
    found = checks.gradient_check(loss, params, grads, rng=19, step=step)
    # the loss goes through sums of 8, 27 and 6 numbers, then 6 squares; its rounding, over the step, is
    # relative to the gradient's size
    smallest = min(np.linalg.norm(g) / math.sqrt(g.size) for group in grads.values() for g in group.values())
    size = loss(params) / (step * smallest)
    return [
        Finding(
            "derivatives-network",
            "backward through convolution, noise, pooling, ReLU and dense layers "
            "is the derivative of the loss",
            "along random directions of every parameter and of x, against central differences, relative",
            found.relative_error, rounding(8 + 27 + 6 + 6, size),
            "rounding of the loss over the step: it is quadratic along each array, no kink is crossed"),
        Finding(
            "derivatives-tanh",
            "tanh' = 1 - tanh^2",
            "Tanh.backward against complex steps",
            tanh_error(rng.standard_normal((4, 5))), rounding(2, 1), ROUNDING),
    ]
