"""p(y | f): Likelihood, the class to subclass, and softmax for classes; each with -log p in nats and its derivative in f.

A likelihood owns all that depends on what y is: its targets, -log p, what is kept of each pass, and the prediction it makes of that.
"""

from dataclasses import dataclass

import numpy as np

from ..registry import Registered, check
from . import targets
from .prediction import ClassPrediction, RegressionPrediction
from .summary import CategoricalSummary, RegressionSummary, log_softmax


class Likelihood(Registered, kind="likelihood"):
    """p(y | f). Subclass it as a frozen dataclass; for real targets `nll` and `mean_and_variance` must be written.

        @dataclass(frozen=True)
        class Poisson(bayes.Likelihood):                                # y ~ Poisson(e^f)
            support = "count"

            def nll(self, f, y):
                rate = np.exp(f)
                return (rate - y * f + log_factorial(y)).sum(axis=1), rate - y

            def mean_and_variance(self, f):
                return np.exp(f), np.exp(f)

    `minibayes.checks.likelihood` grades what was written.
    """

    support = "real"  # what numbers y may be: "real", "positive", "unit" (from 0 to 1) or "count"; "label" for classes
    normal = False  # whether p(y | f) is normal with the mean and variance of `mean_and_variance`: quantiles ask

    def targets(self, name: str, y, count: int, outputs: int) -> np.ndarray:
        """y checked, with one row per input; an error that says what is wrong. By default numbers (count, outputs) in `support`."""
        return targets.numbers(name, y, count, outputs, self.support)

    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(-log p(y_n | f_n), df): nats, (B,), with every constant, and its derivative in f, (B, K), in the dtype of f."""
        raise NotImplementedError(f"{type(self).__name__} must have nll(f, y)")

    def mean_and_variance(self, f: np.ndarray) -> tuple:
        """E[y | f] and Var[y | f] for f (..., K): arrays (..., K'), or one number for a variance that does not change."""
        raise NotImplementedError(f"{type(self).__name__} must have mean_and_variance(f)")

    def expected(self, f: np.ndarray) -> np.ndarray:
        """What a prediction's mean is the mean of, for f (..., K): E[y | f]."""
        return self.mean_and_variance(f)[0]

    def summary(self, f: np.ndarray, weights: np.ndarray | None = None):
        """What is kept of a block of passes f (T', N, K): a `summary.Summary`; weights: the passes' probabilities, 1/T by default."""
        return RegressionSummary(f, self, weights)

    def prediction(self, rule: str, summary, log_density, kept: np.ndarray | None = None):
        """What a caller gets. log_density(y): log (1/T) sum_t p(y_n | f_tn), (N,);  kept: all passes (T, N, K), or None."""
        return RegressionPrediction(rule, summary, self, log_density, kept)

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        """((name, formula, value, note), ...): -(N/B) sum_n log p(y_n | f_n) = total, taken apart; scale: "N/B " or ""."""
        return (("data", f"-{scale}sum_n log p(y_n | f_n)", total, "f_n = f(x_n, omega-hat)"),)

    def settings(self) -> tuple:
        """((name, formula, value, unit), ...): its numbers, for a table."""
        return ()


@dataclass(frozen=True)
class Categorical(Likelihood):
    """p(y = c | f) = softmax(f)_c."""

    support = "label"

    def targets(self, name: str, y, count: int, outputs: int) -> np.ndarray:
        """y as int64 labels (count,) in 0..outputs-1, or an error that says what is wrong."""
        return targets.labels(name, y, count, outputs)

    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(-log p(y_n | f_n), df) with df = d(-log p)/df = softmax(f) - onehot(y).      f (B, C), y (B,) -> (B,), (B, C)"""
        log_p = log_softmax(f)
        rows = np.arange(len(y))
        df = np.exp(log_p)
        df[rows, y] -= 1
        return -log_p[rows, y], df

    def expected(self, f: np.ndarray) -> np.ndarray:
        """Class probabilities, softmax(f)."""
        e = np.exp(f - f.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def summary(self, f: np.ndarray, weights: np.ndarray | None = None) -> CategoricalSummary:
        return CategoricalSummary(f, weights)

    def prediction(self, rule: str, summary, log_density, kept: np.ndarray | None = None) -> ClassPrediction:
        return ClassPrediction(rule, summary, kept)

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        return (("data", f"-{scale}sum_n log softmax(f_n)[y_n]", total, "f_n = f(x_n, omega-hat)"),)


def check_likelihood(likelihood) -> Likelihood:
    return check("likelihood", likelihood, Likelihood,
                 "bayes.Categorical(), bayes.Gaussian(tau), bayes.Heteroscedastic() or another bayes.Likelihood")


