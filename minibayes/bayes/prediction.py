"""What a prediction holds: the predictive mean with its Monte Carlo error, uncertainties in nats, and log p(y* | x*)."""

from statistics import NormalDist

import numpy as np

from .. import kernels, require
from . import targets


class Prediction:
    """What both kinds share. `rule` and `num_samples` say how it was made; `samples` is (T, N, K) if it was kept.

    constant (N,): at which inputs all passes gave the same outputs. converged: whether samples="auto" reached its tolerance, else None.
    """

    converged = None

    def __init__(self, rule, num_samples, constant, kept):
        self.rule, self.num_samples, self.constant, self._kept = rule, num_samples, constant, kept

    @property
    def samples(self):
        """The network outputs f of every pass, (T, N, K): logits, or regression outputs."""
        if self._kept is None:
            raise AttributeError("samples were not kept: predict with keep_samples=True")
        return self._kept

    def __repr__(self):
        return f"<{type(self).__name__} of {len(self.mean)} inputs by {self.rule}, {self.num_samples} pass(es)>"


class ClassPrediction(Prediction):
    """Class probabilities and their uncertainty. With a deterministic rule T = 1 and the mutual information is 0.

    mean                (N, C)  pbar = (1/T) sum_t p_t, p_t = softmax(f_t)
    std_error           (N, C)  the Monte Carlo standard error of mean (NaN if T = 1 pass of noise, 0 for a deterministic rule)
    entropy             (N,)    H[pbar], nats: all of the uncertainty
    expected_entropy    (N,)    (1/T) sum_t H[p_t], nats: what would remain if omega were known
    mutual_information  (N,)    entropy - expected_entropy >= 0, nats: between y and omega (BALD)
    variation_ratio     (N,)    1 - (most votes)/T, a vote being the argmax of one pass
    label               (N,)    the most probable class
    """

    def __init__(self, rule: str, summary, kept: np.ndarray | None = None):
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

    def log_likelihood(self, y):
        """log p(y_n | x_n) = log (1/T) sum_t p_t(y_n), nats, (N,): the log of the mean, not the mean of the logs."""
        y = targets.labels("y", y, *self.mean.shape)
        return self._log_mean[np.arange(len(y)), y]

    def score(self, y) -> dict:
        """What a row of a training history says of it: the error, and the mean of -log p in nats."""
        return {"error": self.error(y), "nll": -float(self.log_likelihood(y).mean())}

    def error(self, y):
        """The fraction of inputs whose most probable class is not y."""
        return float((self.label != targets.labels("y", y, *self.mean.shape)).mean())


class RegressionPrediction(Prediction):
    """Mean and variance of y: epistemic (over omega) + aleatoric (given omega), in the units of y, squared for variances. (N, K)

    m_t, sigma_t^2 are the mean and variance of y given pass t: f_t and 1/tau, or the two heads of a Heteroscedastic likelihood.

    mean        (1/T) sum_t m_t
    std_error   the Monte Carlo standard error of mean (NaN if T = 1 pass of noise, 0 for a deterministic rule)
    epistemic   (1/T) sum_t m_t^2 - mean^2
    aleatoric   (1/T) sum_t sigma_t^2
    variance    epistemic + aleatoric
    """

    def __init__(self, rule, summary, likelihood, log_density, kept):
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

    def log_likelihood(self, y):
        """log p(y_n | x_n) = log (1/T) sum_t N(y_n; m_t, sigma_t^2), nats, (N,), from the same T passes, which are drawn again."""
        return self._log_density(self._targets(y))

    def quantile(self, q):
        """The value below which y lies with probability q under (1/T) sum_t N(m_t, sigma_t^2), (N, K): exact, by bisection.

        q: a number in (0, 1). It needs every pass, so predict with keep_samples=True: T N times the network's outputs in memory.
        """
        q = require.real("q", q, 0, 1, open_low=True, open_high=True)
        if not self._likelihood.normal:
            raise require.InputError(f"quantile needs a likelihood that is normal given f, got {self._likelihood!r}")
        mean, variance = self._likelihood.mean_and_variance(self.samples.astype(np.float64))
        T = len(mean)
        mean = np.ascontiguousarray(mean.reshape(T, -1).T)                              # (N*K, T)
        std = np.ascontiguousarray(np.broadcast_to(np.sqrt(variance), self.samples.shape[:2] + self.mean.shape[1:]).reshape(T, -1).T)
        each = mean + std * NormalDist().inv_cdf(q)  # the mixture's quantile lies between those of its parts
        out = np.empty(len(mean))
        kernels.mixture_quantile(mean, std, q, each.min(axis=1), each.max(axis=1), out)
        return out.reshape(self.mean.shape)

    def score(self, y) -> dict:
        """What a row of a training history says of it: the RMSE, and the mean of -log p in nats."""
        return {"rmse": self.rmse(y), "nll": -float(self.log_likelihood(y).mean())}

    def rmse(self, y):
        """sqrt(mean_n ||y_n - mean_n||^2 / K), in the units of y."""
        y = self._targets(y)
        return float(np.sqrt(((y - self.mean) ** 2).mean()))

