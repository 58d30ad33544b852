"""w | y ~ N(m, S), S = (l^2 I + tau Phi' Phi)^-1, m = tau S Phi' y: the exact posterior of the last layer.

The features phi(x), what the layers before the last one make of x with z = E[z], and a 1 for the bias, are
frozen; given them the network is linear, and under w ~ N(0, l^-2 I), y ~ N(Phi w, 1/tau) all is known:

    predictive     N(phi' m,  phi' S phi + 1/tau)
    evidence       log N(y; 0, Phi Phi'/l^2 + I/tau), nats: l and tau are chosen by it, without a held-out row

Its stationary points (MacKay, Neural Computation 4, 1992), with g = sum_i tau s_i/(l^2 + tau s_i), s_i the
eigenvalues of Phi' Phi, the number of weights that the data determine:

    l^2 = g/||m||^2,        1/tau = ||y - Phi m||^2/(N - g)

Between clusters of data it is unsure, where dropout with one hidden layer cannot be (Foong et al., arXiv
1906.11537). What it leaves out: all uncertainty about the features.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from . import bayes, require
from .bayes.prediction import RegressionPrediction
from .floats import usual
from .model import BayesianNetwork
from .nn import Network

STEPS, SETTLED = 1000, 1e-9
LARGEST = 1e12  # of l^2 and of tau


class Evidence:
    """The evidence of (l^2, tau) for features Phi (N, D) and targets y (N,), by one eigendecomposition."""

    def __init__(self, phi: np.ndarray, y: np.ndarray):
        self.count = len(y)
        values, self.vectors = np.linalg.eigh(phi.T @ phi)
        self.values = np.maximum(values, 0)                             # s_i
        self.projected = self.vectors.T @ (phi.T @ y)
        self.square = float(y @ y)

    def weights(self, l2: float, tau: float) -> np.ndarray:
        """m, in the eigenbasis."""
        return tau * self.projected / (l2 + tau * self.values)

    def misfit(self, m: np.ndarray) -> float:
        """||y - Phi m||^2."""
        return max(self.square - 2 * float(m @ self.projected) + float(self.values @ m**2), 0.0)

    def value(self, l2: float, tau: float) -> float:
        """log N(y; 0, Phi Phi'/l^2 + I/tau), nats."""
        m, D = self.weights(l2, tau), len(self.values)
        return 0.5 * (D * math.log(l2) + self.count * math.log(tau / (2 * math.pi))
                      - float(np.log(l2 + tau * self.values).sum())
                      - tau * self.misfit(m) - l2 * float(m @ m))

    def best(self, l2: float | None = None, tau: float | None = None) -> tuple[float, float]:
        """(l^2, tau) of the greatest evidence: MacKay's equations, again and again; what is given stays."""
        given = l2, tau
        l2 = 1.0 if l2 is None else l2
        tau = self.count / max(self.square, 1e-12) if tau is None else tau
        for _ in range(STEPS):
            m = self.weights(l2, tau)
            g = float((tau * self.values / (l2 + tau * self.values)).sum())
            new = (min(max(g, 1e-12) / max(float(m @ m), 1e-300), LARGEST),
                   min(max(self.count - g, 1e-6) / max(self.misfit(m), 1e-300), LARGEST))
            new = tuple(b if a is None else a for a, b in zip(given, new, strict=True))
            moved = abs(math.log(new[0] / l2)) + abs(math.log(new[1] / tau))
            l2, tau = new
            if moved < SETTLED:
                break
        return l2, tau


class LastLayer:
    """A trained BayesianNetwork whose last layer is replaced by its exact posterior.

        exact = mb.LastLayer(model, x, y)
        exact.predict(x_test).interval(0.9)

    model: for one real target (bayes.Gaussian), ending in an nn.Dense; it stays as it is.
    x, y: what it was trained on.
    lengthscale, tau: chosen by the evidence by default, together, or one with the other as it is given.

    evidence  log N(y; 0, Phi Phi'/l^2 + I/tau), nats
    """

    @usual
    def __init__(self, model: BayesianNetwork, x: ArrayLike, y: ArrayLike,
                 lengthscale: float | None = None, tau: float | None = None):
        layers = dict(model.net.layers)
        last, layer = layers.popitem()
        if model.params is None or not layers or model.net.output_shape(model.net.input_shape) != (1,):
            raise require.InputError("model must be trained, have layers before its last, and give one "
                                     "number")
        if set(layer.param_shapes()) != {"M", "b"} or layer.spatial or not model.likelihood.normal:
            raise require.InputError("model must end in an nn.Dense and have bayes.Gaussian(tau), got "
                                     f"{layer!r} and {model.likelihood!r}")
        self.net = Network(model.net.input_shape, **layers)
        self.params = {name: {p: np.array(a, np.float64) for p, a in group.items()}
                       for name, group in model.params.items() if name != last}
        phi = self.features(x)
        y = bayes.Gaussian().targets("y", y, len(phi), 1)[:, 0]
        l2 = None if lengthscale is None else require.real("lengthscale", lengthscale, 0, open_low=True)**2
        tau = None if tau is None else require.real("tau", tau, 0, open_low=True)
        evidence = Evidence(phi, y)
        if l2 is None or tau is None:
            l2, tau = evidence.best(l2, tau)
        self.lengthscale, self.tau = math.sqrt(l2), tau
        self.evidence = evidence.value(l2, self.tau)
        self.m = evidence.vectors @ evidence.weights(l2, self.tau)
        self._root = evidence.vectors / np.sqrt(l2 + self.tau * evidence.values)        # S = root root'

    def features(self, x: ArrayLike) -> np.ndarray:
        """phi(x) and a 1, (N, D + 1), float64."""
        x = require.inputs("x", x, np.float64, self.net.input_shape)
        f, _ = self.net.forward(self.params, x, self.net.mean_noise(self.params, np.float64))
        return np.column_stack([f, np.ones(len(f))])

    @usual
    def predict(self, x: ArrayLike) -> RegressionPrediction:
        """The predictive distribution at x, normal and exact; as MC's it has mean, epistemic, interval."""
        phi = self.features(x)
        mean, std = phi @ self.m, np.sqrt(((phi @ self._root) ** 2).sum(axis=1))
        # Two passes one standard deviation to each side have the mean and the variance, exactly.
        f = np.stack([mean - std, mean + std])[..., None]
        likelihood = bayes.Gaussian(self.tau)
        density = Density(mean, std**2 + 1 / self.tau)
        return Exact("exact last layer", likelihood.summary(f), likelihood, density, None)


class Density:
    """y -> log N(y; mean, variance), (N,)."""

    def __init__(self, mean: np.ndarray, variance: np.ndarray):
        self.mean, self.variance = mean, variance

    def __call__(self, y: np.ndarray) -> np.ndarray:
        return -((y[:, 0] - self.mean) ** 2 / self.variance + np.log(2 * np.pi * self.variance)) / 2


class Exact(RegressionPrediction):
    """A prediction that is normal: no pass was drawn for it."""

    def __init__(self, *args):
        super().__init__(*args)
        self.num_samples = 1
        self.std_error = np.zeros(self.mean.shape)

    @usual
    def quantile(self, q: ArrayLike) -> np.ndarray:
        """mean + std Phi^-1(q), as of any prediction."""
        several = isinstance(q, (list, tuple, np.ndarray)) and np.ndim(q) > 0
        wanted = [require.real("q", each, 0, 1, open_low=True, open_high=True)
                  for each in (require.array("q", q).reshape(-1) if several else [q])]
        found = np.stack([self.mean + self.std * NormalDist().inv_cdf(each) for each in wanted])
        return found if several else found[0]
