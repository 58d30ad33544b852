"""E_q[g(omega)] = sum_i w_i g(omega_i) over every omega: L(theta), its gradient, the predictive, exactly.

For networks with little noise: that of *one* example is enough, as L is a sum over examples and a prediction
is for one input.

Bernoulli noise: the omega_i are all 2^K settings of the K noise variables of one example, and
w_i = keep^ones (1 - keep)^zeros: no error but rounding.

Noise that varies continuously, one or two variables of it: the nodes of its own quadrature (`Noise.points`),
for normal noise a Gauss-Hermite rule. It is exact where g is a polynomial in each eps of degree below
2 * order; for a smooth g the error falls faster than any power of 1/order, for one with kinks (ReLU,
max-pooling) about like 1/order.

The same `points` serve everything here; all of it is plain float64 by `Network.forward` and `backward`.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from .. import own, require
from ..bayes import codes, kl
from ..bayes.likelihood import Likelihood
from ..bayes.objective import Objective, Terms
from ..floats import usual
from ..nn.network import Network

UNITS = 16  # noise variables of one example that take two values: the most that is done
CONTINUOUS_UNITS = 2  # and of those that take more
LARGEST = 2**UNITS  # points, when both kinds of noise meet
ORDER = 64  # nodes per continuous unit; NumPy's rule is tested up to 100
CHUNK = 4096  # points that go through the network together


def points(net: Network, shape: tuple, order: int = ORDER) -> Iterator:
    """Yield (w, eps): every omega of q for one example of `shape`, as rows of eps, at most 4096 at a time.

    w (P,) adds up to 1 over all blocks; eps {layer: (P, ...)} is what `net.z` takes for P rows, and z itself
    for fixed noise.

    order: nodes per continuous unit.
    """
    order, shape = require.integer("order", order, 1, 100), tuple(shape)
    layers = [(name, net.layers[name].noise_shape(net.shapes(shape)[name][0])) for name in net.noisy]
    rules = [net.layers[name].place.points(net.layers[name].noise, order) for name, _ in layers]
    count = _count(net, layers, rules)
    for start in range(0, count, CHUNK):
        rest = np.arange(start, min(start + CHUNK, count))  # a point's number: its digits, unit by unit
        w, eps = np.ones(len(rest)), {}
        for (name, units), (values, weights) in zip(layers, rules, strict=True):
            eps[name] = np.empty((len(rest), math.prod(units)), values.dtype)
            for unit in range(eps[name].shape[1]):
                rest, digit = np.divmod(rest, len(values))
                eps[name][:, unit] = values[digit]
                w *= weights[digit]
            eps[name] = eps[name].reshape(-1, *units)
        yield w, eps


def _count(net, layers, rules):
    """The number of points, or an error that says how many noise variables there are and may be."""
    two, more = {}, {}  # {layer: units} of its noise variables that take two values, and more
    for (name, shape), (values, _) in zip(layers, rules, strict=True):
        (two if len(values) <= 2 else more)[name] = math.prod(shape)
    for most, what, units in ((UNITS, "enumerated", two), (CONTINUOUS_UNITS, "integrated over", more)):
        if sum(units.values()) > most:
            kinds = "/".join(dict.fromkeys(type(net.layers[name].noise).__name__ for name in units))
            raise require.InputError(
                f"net must have at most {most} units of {kinds} noise per example to be {what} exactly, got "
                f"{sum(units.values())}: " + ", ".join(f"{n} in {name!r}" for name, n in units.items()))
    count = 1
    for (_, shape), (values, _) in zip(layers, rules, strict=True):
        count *= len(values) ** math.prod(shape)
    if count > LARGEST:
        raise require.InputError(f"net must have at most {LARGEST} combinations of Bernoulli masks and "
                                 f"Gaussian nodes per example, got {count}: lower the order, or take fewer "
                                 "noisy units")
    return count


def terms(objective: Objective, params: dict, x: ArrayLike, y: ArrayLike, order: int = ORDER) -> Terms:
    """E of `objective.terms(params, x, y, eps)`: of a data set, L(theta) = -sum_n E_q log p + KL, nats."""
    return value_and_grad(objective, params, x, y, order)[0]


@usual
def value_and_grad(objective: Objective, params: dict, x: ArrayLike, y: ArrayLike,
                   order: int = ORDER) -> tuple[Terms, dict]:
    """(terms, d(L/N)/d theta), L = -(N/B) sum_n E_q log p(y_n | f(x_n, omega)) + KL: L(theta) if N = B."""
    net, likelihood = objective.net, objective.likelihood
    params = _float64(params)
    x = net.inputs("x", x, np.float64)
    B, nll = len(x), 0.0
    y = likelihood.targets_for("y", y, (B, *net.output_shape(x.shape[1:])))
    grads = kl.grad(net, params, objective.prior, objective.num_data)       # d(KL/N)/d theta
    blocks = list(points(net, x.shape[1:], order))
    for n in range(B):
        for w, eps in blocks:
            f, caches = net.forward(params, np.repeat(x[n:n + 1], len(w), axis=0), net.z(params, eps))
            rows = np.repeat(y[n:n + 1], len(w), axis=0)
            loss, df = likelihood.nll(f, rows)
            dlaw = None
            if net.code:
                of_code, dlaw = codes.counted(objective, caches, rows)
                loss, dlaw = loss + of_code, dlaw * (w / B)[:, None]
            nll += w @ loss / B         # (1/B) sum_n sum_i w_i (-log p(y_n | f(x_n, omega_i)))
            df = df * (w / B).reshape(-1, *(1,) * (df.ndim - 1))
            _, g = net.backward(params, caches, df, want_dx=False, dlaw=dlaw)
            g = net.pull(params, eps, g)
            grads = {name: {p: a + g[name][p] for p, a in group.items()} for name, group in grads.items()}
    return Terms(float(nll), kl.value(net, params, objective.prior), objective.num_data), grads


def value_error(objective: Objective, params: dict, x: ArrayLike, y: ArrayLike, order: int = ORDER
                ) -> tuple[float, float]:
    """How far the nodes' number leaves `value_and_grad` uncertain: (nats per datum, largest of the gradient).

    The change with 3/4 of the nodes, as `Exact.quadrature_error`; (0, 0) where all noise is enumerated.
    """
    if enumerated(objective.net):
        return 0.0, 0.0
    (terms, grads), (fewer, others) = (value_and_grad(objective, params, x, y, nodes)
                                       for nodes in (order, _fewer(order)))
    return abs(terms.per_datum - fewer.per_datum), max(
        float(np.abs(a - others[name][p]).max()) for name, group in grads.items() for p, a in group.items())


@usual
def outputs(net: Network, params: dict, x: ArrayLike, order: int = ORDER) -> tuple[np.ndarray, np.ndarray]:
    """(w (P,), f (N, P, K)): the outputs f(x_n, omega_i) at every point, and the points' probabilities."""
    params, x = _float64(params), net.inputs("x", x, np.float64)
    w, f = [], []
    for weights, eps in points(net, x.shape[1:], order):
        z = net.z(params, eps)
        w.append(weights)
        f.append([net.forward(params, np.repeat(x[n:n + 1], len(weights), axis=0), z)[0]
                  for n in range(len(x))])
    return np.concatenate(w), np.concatenate(f, axis=1)


@usual
def predict(net: Network, params: dict, likelihood: Likelihood, x: ArrayLike, order: int = ORDER) -> "Exact":
    """p(y* | x*) = sum_i w_i p(y* | f(x*, omega_i)) at x (N, ...): an Exact.

    Where noise varies continuously the mean is computed with fewer nodes too: how far both are apart is its
    `quadrature_error`.
    """
    w, f = outputs(net, params, x, order)
    found = Exact(likelihood, w, f)
    if not enumerated(net):
        again = Exact(likelihood, *outputs(net, params, x, _fewer(order)))
        found.quadrature_error = own.read_only(np.abs(found.mean - again.mean))
    return found


def _fewer(order):
    """3/4 of the nodes; of very few, 2 more."""
    return order + 2 if order < 4 else 3 * order // 4


def enumerated(net: Network) -> bool:
    """Whether all noise takes two values, so that nothing here has an error but rounding."""
    rules = [net.layers[name].place.points(net.layers[name].noise, 3) for name in net.noisy]
    return all(len(values) <= 2 for values, _ in rules)


class Exact:
    """The prediction of the likelihood, from every omega and its probability in the place of T passes.

    It has the names of `prediction.ClassPrediction` or `RegressionPrediction`, made by the same classes, and

    w (P,), f (N, P, K)     the points' probabilities and outputs
    std                     of what `mean` averages, over omega: an average of T passes has standard error
                            std/sqrt(T)
    expect                  E_q of any values that go with the points
    quadrature_error        of `mean`: how much it changes with 3/4 of the nodes, which is more than its own
                            error where f is smooth, and of its size where f has kinks; 0 if enumerated
    """

    def __init__(self, likelihood: Likelihood, w: np.ndarray, f: np.ndarray):
        self.likelihood = likelihood
        self.w, self.f = w, f
        passes = np.ascontiguousarray(f.swapaxes(0, 1))
        summary = likelihood.summary(passes, w)
        self.prediction = likelihood.prediction("exact", summary, self._log_density, passes)
        self.prediction.weights = w
        self.quadrature_error = np.zeros(self.prediction.mean.shape)
        self.std = np.sqrt(summary.averaged.variance)
        own.sealed(self)

    def __getattr__(self, name: str):
        if name == "prediction":  # not there yet, while it is being unpickled or copied
            raise AttributeError(name)
        return getattr(self.prediction, name)

    @usual
    def expect(self, values: np.ndarray) -> np.ndarray:
        """sum_i w_i values[n, i, ...].     (N, P, ...) -> (N, ...)"""
        return np.einsum("p,np...->n...", self.w, values)

    @usual
    def log_expect(self, logs: np.ndarray) -> np.ndarray:
        """log sum_i w_i exp(logs[n, i, ...]), shifted by the largest so that nothing under- or overflows."""
        top = logs.max(axis=1, keepdims=True)
        return np.log(self.expect(np.exp(logs - top))) + top[:, 0]

    @usual
    def _log_density(self, y):
        """log p(y_n | x_n) = log E_q p(y_n | f(x_n, omega)), nats, (N,)."""
        N, P, K = self.f.shape
        loss, _ = self.likelihood.nll(self.f.reshape(N * P, K), np.repeat(y, P, axis=0))
        return self.log_expect(-loss.reshape(N, P))


def _float64(params):
    return {name: {p: np.asarray(a, np.float64) for p, a in group.items()} for name, group in params.items()}
