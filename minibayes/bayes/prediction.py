"""What a prediction holds: the predictive mean with its Monte Carlo error, uncertainties in nats, and log p(y* | x*)."""

import numpy as np

from .likelihood import Categorical


class Prediction:
    """What both kinds share. `rule` and `num_samples` say how it was made; `samples` is (T, N, K) if it was kept."""

    def __init__(self, rule, num_samples, kept):
        self.rule, self.num_samples, self._kept = rule, num_samples, kept

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

    def __init__(self, rule, summary, kept):
        super().__init__(rule, summary.probabilities.count, kept)
        self.mean = summary.probabilities.mean
        self.std_error = summary.probabilities.std_error if rule == "mc" else np.zeros(self.mean.shape)
        self._log_mean = summary.log_mean.value
        self.entropy = -(self.mean * self._log_mean).sum(axis=-1)
        self.expected_entropy = summary.entropies.mean
        # Mathematically >= 0; the two entropies are rounded separately, so a 0 may come out as -1e-16.
        self.mutual_information = np.maximum(self.entropy - self.expected_entropy, 0)
        self.variation_ratio = 1 - summary.votes.max(axis=-1) / self.num_samples
        self.label = self.mean.argmax(axis=-1)

    def log_likelihood(self, y):
        """log p(y_n | x_n) = log (1/T) sum_t p_t(y_n), nats, (N,): the log of the mean, not the mean of the logs."""
        y = Categorical().targets("y", y, *self.mean.shape)
        return self._log_mean[np.arange(len(y)), y]

    def error(self, y):
        """The fraction of inputs whose most probable class is not y."""
        return float((self.label != Categorical().targets("y", y, *self.mean.shape)).mean())


class RegressionPrediction(Prediction):
    """Mean and variance of y: epistemic (over omega) + aleatoric (1/tau), in the units of y, squared for variances. (N, K)

    mean        (1/T) sum_t f_t
    std_error   the Monte Carlo standard error of mean (NaN if T = 1 pass of noise, 0 for a deterministic rule)
    epistemic   (1/T) sum_t f_t^2 - mean^2
    aleatoric   1/tau
    variance    epistemic + aleatoric
    """

    def __init__(self, rule, summary, likelihood, log_density, kept):
        super().__init__(rule, summary.outputs.count, kept)
        self.mean = summary.outputs.mean
        self.std_error = summary.outputs.std_error if rule == "mc" else np.zeros(self.mean.shape)
        self.epistemic = summary.outputs.variance
        self.aleatoric = np.full(self.mean.shape, 1 / likelihood.tau)
        self.variance = self.epistemic + self.aleatoric
        self._likelihood, self._log_density = likelihood, log_density

    def log_likelihood(self, y):
        """log p(y_n | x_n) = log (1/T) sum_t N(y_n; f_t, tau^-1 I), nats, (N,), from the same T passes, which are drawn again."""
        return self._log_density(self._likelihood.targets("y", y, *self.mean.shape))

    def rmse(self, y):
        """sqrt(mean_n ||y_n - mean_n||^2 / K), in the units of y."""
        y = self._likelihood.targets("y", y, *self.mean.shape)
        return float(np.sqrt(((y - self.mean) ** 2).mean()))

