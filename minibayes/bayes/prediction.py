"""What a prediction holds: mean and its Monte Carlo error, uncertainties in nats, and log p(y* | x*)."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from .. import kernels, require, tables
from ..floats import usual
from . import targets
from .summary import CategoricalSummary, RegressionSummary


class Prediction:
    """What both kinds share.

    rule            by which it was made
    num_samples     T, the number of passes
    constant        (N,)       at which inputs all passes gave the same outputs
    converged                  whether samples="auto" reached its tolerance, else None
    samples         (T, N, K)  the outputs of every pass, if they were kept
    """

    converged = None

    def __init__(self, rule: str, num_samples: int, constant: np.ndarray, kept: np.ndarray | None):
        self.rule = rule
        self.num_samples = num_samples
        self.constant = constant
        self._kept = kept

    @property
    def samples(self) -> np.ndarray:
        """The network outputs f of every pass, (T, N, K): logits, or regression outputs."""
        if self._kept is None:
            raise AttributeError("samples were not kept: predict with keep_samples=True")
        return self._kept

    def __repr__(self) -> str:
        return str(tables.prediction(self))

    def _repr_html_(self) -> str:
        return tables.prediction(self).html()


class ClassPrediction(Prediction):
    """Class probabilities and their uncertainty. By a deterministic rule T = 1, and mutual information is 0.

    mean                (N, C)  pbar = (1/T) sum_t p_t, p_t = softmax(f_t)
    std_error           (N, C)  Monte Carlo standard error of mean; NaN if T = 1, 0 by a deterministic rule
    entropy             (N,)    H[pbar], nats: all of the uncertainty
    expected_entropy    (N,)    (1/T) sum_t H[p_t], nats: what would remain if omega were known
    mutual_information  (N,)    entropy - expected_entropy >= 0, nats: between y and omega (BALD)
    variation_ratio     (N,)    1 - (most votes)/T, a vote being the argmax of one pass
    label               (N,)    the most probable class
    """

    def __init__(self, rule: str, summary: CategoricalSummary, kept: np.ndarray | None = None):
        super().__init__(rule, summary.probabilities.count, summary.sameness.constant, kept)
        self.mean = summary.probabilities.mean
        self.std_error = summary.probabilities.std_error if rule == "mc" else np.zeros(self.mean.shape)
        self._log_mean = summary.log_mean.value
        self.entropy = -(self.mean * self._log_mean).sum(axis=-1)
        self.expected_entropy = summary.entropies.mean
        # Mathematically >= 0; the two entropies are rounded separately, so a 0 may come out as -1e-16.
        self.mutual_information = np.maximum(self.entropy - self.expected_entropy, 0)
        self.variation_ratio = 1 - summary.votes.max(axis=-1) / summary.probabilities.weight
        self.label = self.mean.argmax(axis=-1)

    @usual
    def log_likelihood(self, y: ArrayLike) -> np.ndarray:
        """log p(y_n | x_n) = log (1/T) sum_t p_t(y_n), nats, (N,): the log of the mean, no mean of logs."""
        y = targets.labels("y", y, *self.mean.shape)
        return self._log_mean[np.arange(len(y)), y]

    @usual
    def score(self, y: ArrayLike) -> dict:
        """What a row of a training history says of it: the error, and the mean of -log p in nats."""
        return {"error": self.error(y), "nll": -float(self.log_likelihood(y).mean())}

    @usual
    def error(self, y: ArrayLike) -> float:
        """The fraction of inputs whose most probable class is not y."""
        return float((self.label != targets.labels("y", y, *self.mean.shape)).mean())


class RegressionPrediction(Prediction):
    """Mean and variance of y: epistemic (over omega) + aleatoric (given omega).

    m_t, sigma_t^2 are the mean and variance of y given pass t: f_t and 1/tau, or the two heads of a
    Heteroscedastic likelihood. All (N, K), in the units of y, squared for variances.

    mean        (1/T) sum_t m_t
    std_error   Monte Carlo standard error of mean; NaN if T = 1 pass of noise, 0 by a deterministic rule
    epistemic   (1/T) sum_t m_t^2 - mean^2
    aleatoric   (1/T) sum_t sigma_t^2
    variance    epistemic + aleatoric
    """

    def __init__(self, rule: str, summary: RegressionSummary, likelihood: object, log_density: Callable,
                 kept: np.ndarray | None):
        super().__init__(rule, summary.outputs.count, summary.sameness.constant, kept)
        self.mean = summary.outputs.mean
        self.std_error = summary.outputs.std_error if rule == "mc" else np.zeros(self.mean.shape)
        self.epistemic = summary.outputs.variance
        noise = summary.noise
        self.aleatoric = np.full(self.mean.shape, noise) if np.isscalar(noise) else noise.mean
        self.variance = self.epistemic + self.aleatoric
        self._likelihood, self._log_density = likelihood, log_density
        self._outputs = summary.width

    def _targets(self, y):
        return self._likelihood.targets("y", y, len(self.mean), self._outputs)

    @usual
    def log_likelihood(self, y: ArrayLike) -> np.ndarray:
        """log p(y_n | x_n) = log (1/T) sum_t N(y_n; m_t, sigma_t^2), nats, (N,); passes are drawn anew."""
        return self._log_density(self._targets(y))

    @usual
    def quantile(self, q: float) -> np.ndarray:
        """The value below which y is with probability q under (1/T) sum_t N(m_t, sigma_t^2), (N, K): exact.

        q: a number in (0, 1). It needs every pass, so predict with keep_samples=True: T N times the network's
        outputs in memory.
        """
        q = require.real("q", q, 0, 1, open_low=True, open_high=True)
        if not self._likelihood.normal:
            raise require.InputError("quantile needs a likelihood that is normal given f, got "
                                     f"{self._likelihood!r}")
        mean, variance = self._likelihood.mean_and_variance(self.samples.astype(np.float64))
        T = len(mean)
        std = np.broadcast_to(np.sqrt(variance), self.samples.shape[:2] + self.mean.shape[1:])
        mean = np.ascontiguousarray(mean.reshape(T, -1).T)                              # (N*K, T)
        std = np.ascontiguousarray(std.reshape(T, -1).T)                                # (N*K, T)
        each = mean + std * NormalDist().inv_cdf(q)  # the mixture's quantile lies between those of its parts
        out = np.empty(len(mean))
        kernels.mixture_quantile(mean, std, q, each.min(axis=1), each.max(axis=1), out)
        return out.reshape(self.mean.shape)

    @usual
    def score(self, y: ArrayLike) -> dict:
        """What a row of a training history says of it: the RMSE, and the mean of -log p in nats."""
        return {"rmse": self.rmse(y), "nll": -float(self.log_likelihood(y).mean())}

    @usual
    def rmse(self, y: ArrayLike) -> float:
        """sqrt(mean_n ||y_n - mean_n||^2 / K), in the units of y."""
        y = self._targets(y)
        return float(np.sqrt(((y - self.mean) ** 2).mean()))
