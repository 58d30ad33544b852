"""(1/T) sum_t g(omega-hat_t), streamed: moments, entropies and votes over passes in memory that does not grow with T.

A summary takes blocks f (T', N, K) of network outputs and merges with others; `combine` order is fixed by the caller, so results
do not depend on threads. Moments are merged by the rule of Chan, Golub and LeVeque (1979).
"""

import numpy as np

from .likelihood import log_softmax


class Moments:
    """Count, mean and sum of squared deviations over the first axis."""

    def __init__(self, values):
        self.count = len(values)
        self.mean = values.mean(axis=0)
        self.squares = ((values - self.mean) ** 2).sum(axis=0)

    def merge(self, other):
        count, delta = self.count + other.count, other.mean - self.mean
        self.squares = self.squares + other.squares + delta**2 * (self.count * other.count / count)
        self.mean = self.mean + delta * (other.count / count)
        self.count = count

    @property
    def variance(self):
        """(1/T) sum_t (v_t - mean)^2."""
        return self.squares / self.count

    @property
    def std_error(self):
        """The standard error of the mean, from the unbiased variance; NaN for one pass."""
        if self.count == 1:
            return np.full(np.shape(self.mean), np.nan)
        return np.sqrt(self.squares / (self.count - 1) / self.count)


class LogMean:
    """log (1/T) sum_t exp(v_t), by a running log-sum-exp: the average is of probabilities, its logarithm is taken last."""

    def __init__(self, values):
        self.count = len(values)
        top = values.max(axis=0)
        top = np.where(np.isfinite(top), top, 0)  # the largest exponential is 1; all -inf stay -inf
        with np.errstate(divide="ignore", over="ignore"):
            self.log_sum = top + np.log(np.exp(values - top).sum(axis=0))

    def merge(self, other):
        self.log_sum = np.logaddexp(self.log_sum, other.log_sum)
        self.count += other.count

    @property
    def value(self):
        return self.log_sum - np.log(self.count)


class Sameness:
    """constant (N,): at which inputs all passes gave the same outputs, to the last bit."""

    def __init__(self, f):
        self.first, self.constant = f[0].copy(), (f == f[:1]).all(axis=(0, 2))

    def merge(self, other):
        self.constant = self.constant & other.constant & (self.first == other.first).all(axis=1)


class CategoricalSummary:
    """Class probabilities p_t = softmax(f_t): their moments, log-mean, mean entropy and votes."""

    def __init__(self, f):
        self.sameness = Sameness(f)
        log_p = log_softmax(f.astype(np.float64))       # (T', N, C)
        p = np.exp(log_p)
        self.probabilities = Moments(p)
        self.log_mean = LogMean(log_p)
        self.entropies = Moments(-(p * log_p).sum(axis=-1))
        votes = f.argmax(axis=-1)
        self.votes = np.stack([(votes == c).sum(axis=0) for c in range(f.shape[-1])], axis=-1)

    def merge(self, other):
        self.sameness.merge(other.sameness)
        self.probabilities.merge(other.probabilities)
        self.log_mean.merge(other.log_mean)
        self.entropies.merge(other.entropies)
        self.votes = self.votes + other.votes


class RegressionSummary:
    """Regression outputs: the moments over passes of the mean of y, and of its variance if that differs from pass to pass."""

    def __init__(self, f, likelihood):
        self.sameness = Sameness(f)
        mean, variance = likelihood.mean_and_variance(f.astype(np.float64))
        self.outputs = Moments(mean)
        if np.ndim(variance):
            self.noise = Moments(variance)

    def merge(self, other):
        self.sameness.merge(other.sameness)
        self.outputs.merge(other.outputs)
        if hasattr(self, "noise"):
            self.noise.merge(other.noise)


def concatenate(summaries):
    """One summary for all inputs from summaries of consecutive groups of inputs (each over the same passes)."""
    first = summaries[0]
    out = object.__new__(type(first))
    for name, part in vars(first).items():
        parts = [getattr(s, name) for s in summaries]
        if isinstance(part, np.ndarray):
            setattr(out, name, np.concatenate(parts))
        elif isinstance(part, int):
            setattr(out, name, part)
        else:
            setattr(out, name, concatenate(parts))
    return out
