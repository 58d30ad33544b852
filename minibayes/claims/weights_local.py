"""Weights drawn as they are, and their sum drawn at the outputs: where that is one distribution (claim 2)."""

import numpy as np

from .. import checks, nn
from ..truth import exact
from .claim import Finding, claim
from .common import ROUNDING, Tree, rounding, worst

DRAWS = 1500
X = np.array([[1.2, -0.7], [0.9, 1.6]])
M, STD, BIAS = np.array([[0.8, -1.1]]), np.array([[0.5, 0.3]]), -0.4


def network(place: nn.Place, bias: float = BIAS) -> tuple[nn.Network, Tree]:
    """f = w x + b with two weights of mean field, drawn at `place`."""
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.MeanField(), place=place))
    return net, {"a": {"M": M.copy(), "b": np.array([bias]), "log_std": np.log(STD)}}


def central_moments(net: nn.Network, params: Tree) -> np.ndarray:
    """E f and E (f - E f)^k, k = 2, 3, 4, at each input, by quadrature.     (N, 4)"""
    w, f = exact.outputs(net, params, X, order=8)                       # a polynomial in e: no error
    mean = f[..., 0] @ w
    return np.stack([mean, *((f[..., 0] - mean[:, None]) ** k @ w for k in (2, 3, 4))], axis=1)


@claim("weights-local-one-example", "weights-local-bias")
def one_example() -> list[Finding]:
    """Claim 2, for weights that are normal: their sum is, and can be drawn instead."""
    sums = X @ M[0] + BIAS, X**2 @ STD[0] ** 2
    wanted = np.stack([sums[0], sums[1], 0 * sums[1], 3 * sums[1] ** 2], axis=1)
    off = [np.abs(central_moments(*network(place)) - wanted).max() for place in (nn.Local(), nn.Weights())]
    at_zero, moved = [], []
    for bias in (-1.5, 2.0):
        net, params = network(nn.Local(), bias)
        x = np.zeros((3, 2))
        f, caches = net.forward(params, x, net.draw(0, x.shape, dtype=np.float64))
        dx, grads = net.backward(params, caches, np.ones_like(f))
        at_zero += [np.abs(f - bias).max(), np.abs(grads["a"]["z"]).max(), np.abs(dx - M).max()]
        moved.append(np.abs(central_moments(net, params)[:, 1] - sums[1]).max())
    return [
        Finding(
            "weights-local-one-example",
            "for one example the local reparameterisation is the distribution of the sum of its weights",
            "E f and the central moments 2, 3 and 4 of one output, drawn at Local and at Weights, "
            "by quadrature, against those of N(M x + b, s^2 x^2)",
            worst(off), rounding(64, 8 * np.abs(wanted).max()), ROUNDING),
        Finding(
            "weights-local-bias",
            "the bias is outside the local standard deviation: at x = 0 the output is b, whatever its sign",
            "f - b, dL/ds and dL/dx - M at x = 0, and Var f - s^2 x^2 elsewhere, at b = -1.5 and 2",
            worst([*at_zero, *moved]), rounding(64, 8.0), ROUNDING),
    ]


@claim("weights-local-two-inputs", "weights-local-shared")
def two_inputs() -> list[Finding]:
    """Claim 2, for two inputs of one omega-hat, whose outputs have the covariance sum_d s_d^2 x_d x'_d."""
    covariance = float((STD[0] ** 2 * X[0] * X[1]).sum())
    mean = X @ M[0] + BIAS

    def found(place, shared):
        net, params = network(place)

        def product(t):
            eps = net.draw(nn.Key(7, t), X.shape, shared=shared, dtype=np.float64)
            f = net.forward(params, X, net.z(params, eps))[0][:, 0] - mean
            return float(f[0] * f[1])
        return checks.unbiased_check(product, covariance if shared else 0.0, DRAWS)
    own, one, weights = found(nn.Local(), False), found(nn.Local(), True), found(nn.Weights(), True)
    return [
        Finding(
            "weights-local-two-inputs",
            "drawn at the outputs, two inputs do not see one omega: their outputs do not covary",
            f"covariance of f(x) and f(x') in {DRAWS} draws against 0, in standard errors; "
            f"of one omega it is {covariance:.3f}",
            own.distance, own.tolerance, "4 standard errors of the mean"),
        Finding(
            "weights-local-shared",
            "shared=True draws the weights themselves, so that a function is a function",
            f"covariance of f(x) and f(x') in {DRAWS} draws at Local and at Weights "
            "against sum s^2 x x', in standard errors",
            worst([one.distance, weights.distance]), one.tolerance, "4 standard errors of the mean"),
    ]
