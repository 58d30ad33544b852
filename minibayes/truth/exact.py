"""E_q[g(omega)] = sum_i w_i g(omega_i) over every omega: L(theta), its gradient and the predictive, exactly, for tiny networks.

Bernoulli noise: the omega_i are all 2^K settings of the K noise variables of one example, w_i = keep^ones (1 - keep)^zeros: no error
but rounding. Gaussian noise, one or two variables: the nodes of a Gauss-Hermite rule, z = 1 + sqrt(variance) n_i; exact where g is a
polynomial in each z of degree below 2 * order; for a smooth g the error falls faster than any power of 1/order, for one with kinks
(ReLU, max-pooling) about like 1/order. The noise of *one* example is enough: L is a sum over examples, and a prediction is for one
input. The same `points` serve everything here; all of it is plain float64 by `Network.forward` and `backward`.
"""

import math

import numpy as np

from .. import require
from ..bayes import kl
from ..bayes.likelihood import Categorical, log_softmax
from ..bayes.objective import Terms
from ..nn.noise import Bernoulli, Gaussian

BERNOULLI_UNITS, GAUSSIAN_UNITS = 16, 2  # of one example: the most that is done
LARGEST = 2**BERNOULLI_UNITS  # points, when both kinds of noise meet
ORDER = 64  # nodes per Gaussian unit; NumPy's rule is tested up to 100
CHUNK = 4096  # points that go through the network together


def nodes(noise, order=ORDER):
    """(values, weights) of one z: sum_i weights_i g(values_i) = E[g(z)]. A value that has no weight (keep = 1) is left out."""
    if isinstance(noise, Bernoulli):
        values, weights = np.array([0, 1], np.uint8), np.array([1 - noise.keep, noise.keep])
        return values[weights > 0], weights[weights > 0]
    n, weights = np.polynomial.hermite_e.hermegauss(order)                  # weight exp(-n^2/2), which integrates to sqrt(2 pi)
    return 1 + math.sqrt(noise.variance) * n, weights / math.sqrt(2 * math.pi)


def points(net, shape, order=ORDER):
    """Yield (w, z): every omega of q for one example of `shape`, in blocks of at most 4096 points, as one row of z for each.

    w (P,) adds up to 1 over all blocks; z {layer: (P, ...)} is what `net.forward` takes for P rows.  order: nodes per Gaussian unit.
    """
    order, shape = require.integer("order", order, 1, 100), tuple(shape)
    layers = [(name, net.layers[name].noise_shape(net.shapes(shape)[name][0])) for name in net.noisy]
    rules = [nodes(net.layers[name].noise, order) for name, _ in layers]
    count = _count(net, layers, rules)
    for start in range(0, count, CHUNK):
        rest = np.arange(start, min(start + CHUNK, count))                  # a point's number, unit by unit its digits
        w, z = np.ones(len(rest)), {}
        for (name, units), (values, weights) in zip(layers, rules, strict=True):
            z[name] = np.empty((len(rest), math.prod(units)), values.dtype)
            for unit in range(z[name].shape[1]):
                rest, digit = np.divmod(rest, len(values))
                z[name][:, unit] = values[digit]
                w *= weights[digit]
            z[name] = z[name].reshape(-1, *units)
        yield w, z


def _count(net, layers, rules):
    """The number of points, or an error that says how many noise variables there are and how many are allowed."""
    count = 1
    for kind, most, what in ((Bernoulli, BERNOULLI_UNITS, "enumerated"), (Gaussian, GAUSSIAN_UNITS, "integrated over")):
        units = {name: math.prod(shape) for name, shape in layers if isinstance(net.layers[name].noise, kind)}
        if sum(units.values()) > most:
            raise require.InputError(
                f"net must have at most {most} units of {kind.__name__} noise per example to be {what} exactly, got "
                f"{sum(units.values())}: " + ", ".join(f"{n} in {name!r}" for name, n in units.items()))
    for (_, shape), (values, _) in zip(layers, rules, strict=True):
        count *= len(values) ** math.prod(shape)
    if count > LARGEST:
        raise require.InputError(f"net must have at most {LARGEST} combinations of Bernoulli masks and Gaussian nodes per example, got "
                                 f"{count}: lower the order, or take fewer noisy units")
    return count


def terms(objective, params, x, y, order=ORDER):
    """E_z of `objective.terms(params, x, y, z)`: for the N examples of a data set the terms of L(theta) = -sum_n E_q log p + KL, nats."""
    return value_and_grad(objective, params, x, y, order)[0]


def value_and_grad(objective, params, x, y, order=ORDER):
    """(terms, d(L/N)/d theta) with L = -(N/B) sum_n E_q log p(y_n | f(x_n, omega)) + KL: L(theta) itself for all N = B examples."""
    net, likelihood, params = objective.net, objective.likelihood, _float64(params)
    x = require.inputs("x", x, np.float64, net.input_shape)
    B, nll = len(x), 0.0
    y = likelihood.targets("y", y, B, net.output_shape(x.shape[1:])[0])
    grads = kl.grad(net, params, objective.prior, objective.num_data)       # d(KL/N)/d theta
    blocks = list(points(net, x.shape[1:], order))
    for n in range(B):
        for w, z in blocks:
            f, caches = net.forward(params, np.repeat(x[n:n + 1], len(w), axis=0), z)
            loss, df = likelihood.nll(f, np.repeat(y[n:n + 1], len(w), axis=0))
            nll += w @ loss / B                                             # (1/B) sum_n sum_i w_i (-log p(y_n | f(x_n, omega_i)))
            _, g = net.backward(params, caches, df * (w / B)[:, None], want_dx=False)
            grads = {name: {p: a + g[name][p] for p, a in group.items()} for name, group in grads.items()}
    return Terms(float(nll), kl.value(net, params, objective.prior), objective.num_data), grads


def outputs(net, params, x, order=ORDER):
    """(w (P,), f (N, P, K)): the outputs f(x_n, omega_i) at every point, and the points' probabilities."""
    params, x = _float64(params), require.inputs("x", x, np.float64, net.input_shape)
    w, f = [], []
    for weights, z in points(net, x.shape[1:], order):
        w.append(weights)
        f.append([net.forward(params, np.repeat(x[n:n + 1], len(weights), axis=0), z)[0] for n in range(len(x))])
    return np.concatenate(w), np.concatenate(f, axis=1)


def predict(net, params, likelihood, x, order=ORDER):
    """p(y* | x*) = sum_i w_i p(y* | f(x*, omega_i)) at x (N, ...): an exact ClassPredictive or RegressionPredictive."""
    kind = ClassPredictive if isinstance(likelihood, Categorical) else RegressionPredictive
    return kind(likelihood, *outputs(net, params, x, order))


class Predictive:
    """What both kinds share: w (P,), the outputs f (N, P, K) they weigh, and `expect`, E_q of any values that go with them."""

    def __init__(self, likelihood, w, f):
        self.likelihood, self.w, self.f = likelihood, w, f

    def expect(self, values):
        """sum_i w_i values[n, i, ...].     (N, P, ...) -> (N, ...)"""
        return np.einsum("p,np...->n...", self.w, values)

    def log_expect(self, logs):
        """log sum_i w_i exp(logs[n, i, ...]), shifted by the largest so that nothing under- or overflows."""
        top = logs.max(axis=1, keepdims=True)
        return np.log(self.expect(np.exp(logs - top))) + top[:, 0]

    def moments(self, values):
        """(mean, variance) over omega of values[n, i, ...]."""
        mean = self.expect(values)
        return mean, self.expect((values - mean[:, None]) ** 2)


class ClassPredictive(Predictive):
    """Class probabilities under q, exactly; the names of `prediction.ClassPrediction`, and `std`.

    mean (N, C)                pbar = E_q[p], p = softmax(f(x, omega))
    std (N, C)                 of p over omega: the standard error of an average of T passes is std/sqrt(T)
    entropy (N,)               H[pbar], nats
    expected_entropy (N,)      E_q H[p], nats
    mutual_information (N,)    E_q KL(p || pbar), nats: between y and omega. It equals entropy - expected_entropy.
    """

    def __init__(self, likelihood, w, f):
        super().__init__(likelihood, w, f)
        log_p = log_softmax(f)                                              # (N, P, C)
        p = np.exp(log_p)
        self.mean, variance = self.moments(p)
        self.std, self._log_mean = np.sqrt(variance), self.log_expect(log_p)
        self.entropy = -(self.mean * self._log_mean).sum(axis=-1)
        self.expected_entropy = -self.expect((p * log_p).sum(axis=-1))
        self.mutual_information = self.expect((p * (log_p - self._log_mean[:, None])).sum(axis=-1))

    def log_likelihood(self, y):
        """log p(y_n | x_n) = log E_q p(y_n | f(x_n, omega)), nats, (N,)."""
        y = self.likelihood.targets("y", y, *self.mean.shape)
        return self._log_mean[np.arange(len(y)), y]


class RegressionPredictive(Predictive):
    """The mixture sum_i w_i N(m_i, sigma_i^2), exactly; the names of `prediction.RegressionPrediction`, and `std`.  All (N, K).

    mean = E_q m, epistemic = Var_q m, std = its root, aleatoric = E_q sigma^2 (1/tau if it is fixed), variance = epistemic + aleatoric.
    """

    def __init__(self, likelihood, w, f):
        super().__init__(likelihood, w, f)
        mean, variance = likelihood.mean_and_variance(f)
        self.mean, self.epistemic = self.moments(mean)
        self.std, self.aleatoric = np.sqrt(self.epistemic), self.expect(np.broadcast_to(variance, mean.shape))
        self.variance = self.epistemic + self.aleatoric

    def log_likelihood(self, y):
        """log p(y_n | x_n) = log E_q N(y_n; m(x_n, omega), sigma^2), nats, (N,)."""
        N, P, K = self.f.shape
        y = self.likelihood.targets("y", y, N, K)
        logs = -self.likelihood.nll(self.f.reshape(N * P, K), np.repeat(y, P, axis=0))[0]
        return self.log_expect(logs.reshape(N, P))


def _float64(params):
    return {name: {p: np.asarray(a, np.float64) for p, a in group.items()} for name, group in params.items()}
