"""p(y | f): Likelihood, the class to subclass, and softmax for classes: -log p in nats, its derivative in f.

A likelihood owns all that depends on what y is: its targets, -log p, what is kept of each pass, and the
prediction it makes of that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..floats import usual
from ..registry import Registered, check
from . import targets, tokens
from .prediction import ClassPrediction, Prediction, RegressionPrediction
from .summary import CategoricalSummary, RegressionSummary, Summary, log_softmax


class Likelihood(Registered, kind="likelihood"):
    """p(y | f). Subclass it as a frozen dataclass; for real targets write `nll` and `mean_and_variance`.

        @dataclass(frozen=True)
        class Poisson(bayes.Likelihood):                            # y ~ Poisson(e^f)
            support = "count"

            def nll(self, f, y):
                rate = np.exp(f)
                return (rate - y * f + log_factorial(y)).sum(axis=1), rate - y

            def mean_and_variance(self, f):
                return np.exp(f), np.exp(f)

    `minibayes.checks.likelihood` grades what was written.
    """

    support = "real"  # what numbers y may be: "real", "positive", "unit" (0 to 1), "count" or "binary" (0
    # or 1); or "label"
    normal = False  # whether p(y | f) is normal, with the moments of `mean_and_variance`: quantiles ask
    redraws = True  # whether `prediction` uses log_density: it keeps copies of x and theta to draw from again

    def targets(self, name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
        """y checked, a row per input, or an error that says what is wrong: (count, outputs) of `support`."""
        return targets.numbers(name, y, count, outputs, self.support)

    def targets_for(self, name: str, y: ArrayLike, shape: tuple) -> np.ndarray:
        """The same for outputs (N, K) or, if the likelihood takes sequences, (N, T, K)."""
        if len(shape) != 2:
            raise require.InputError("net must end in one row of outputs per example (Flatten, then Dense), "
                                     f"it gives {tuple(shape[1:])}")
        return self.targets(name, y, *shape)

    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(-log p(y_n | f_n), df): nats, (B,), with every constant; its derivative in f, (B, K)."""
        raise NotImplementedError(f"{type(self).__name__} must have nll(f, y)")

    def counted(self, nats: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What else each datum costs, (B, ...), as often as the datum counts: once, unless it is weighted."""
        return nats

    def mean_and_variance(self, f: np.ndarray) -> tuple:
        """E[y | f], Var[y | f] for f (..., K): (..., K'), or one number for a variance that is constant."""
        raise NotImplementedError(f"{type(self).__name__} must have mean_and_variance(f)")

    def mean_and_std(self, f: np.ndarray) -> tuple:
        """E[y | f] and the root of Var[y | f], which may be a number within range where its square is not."""
        mean, variance = self.mean_and_variance(f)
        return mean, np.sqrt(variance)

    def draw(self, f: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """y ~ p(y | f), in the shape of E[y | f]; written here for a normal p(y | f)."""
        if not self.normal:
            raise NotImplementedError(f"{type(self).__name__} must have draw(f, rng)")
        mean, std = self.mean_and_std(f)
        return mean + std * rng.standard_normal(mean.shape).astype(mean.dtype)

    def expected(self, f: np.ndarray) -> np.ndarray:
        """What a prediction's mean is the mean of, for f (..., K): E[y | f]."""
        return self.mean_and_variance(f)[0]

    def summary(self, f: np.ndarray, weights: np.ndarray | None = None) -> Summary:
        """What is kept of passes f (T', N, K). weights: the passes' probabilities, 1/T by default."""
        return RegressionSummary(f, self, weights)

    def prediction(self, rule: str, summary: Summary, log_density: Callable,
                   kept: np.ndarray | None = None) -> Prediction:
        """What a caller gets.

        rule: by which the passes were made.
        summary: of all passes.
        log_density: y -> log (1/T) sum_t p(y_n | f_tn), (N,); None unless the likelihood `redraws`.
        kept: all passes, (T, N, K), or None.
        """
        return RegressionPrediction(rule, summary, self, log_density, kept)

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        """((name, formula, value, note), ...): -(N/B) sum_n log p(y_n | f_n), taken apart.

        scale: "N/B ", or "" where N = B.
        N: examples in the data set.
        outputs: K.
        total: the sum of the values.
        """
        return (("data", f"-{scale}sum_n log p(y_n | f_n)", total, "f_n = f(x_n, omega-hat)"),)

    def settings(self) -> tuple:
        """((name, formula, value, unit), ...): its numbers, for a table."""
        return ()


@dataclass(frozen=True)
class Categorical(Likelihood):
    """p(y = c | f) = softmax(f)_c.

    On sequences, f (N, T, C), y (N, T) is a token at each step, -1 where there is none:
    p(y_n | f_n) = prod_t softmax(f_nt)[y_nt]. So N counts sequences, and nll is nats a sequence.
    """

    redraws = False

    support = "label"

    def targets(self, name: str, y: ArrayLike, count: int, outputs: int) -> np.ndarray:
        """y as int64 labels (count,) in 0..outputs-1, or an error that says what is wrong."""
        return targets.labels(name, y, count, outputs)

    def targets_for(self, name: str, y: ArrayLike, shape: tuple) -> np.ndarray:
        if len(shape) == 3:
            return tokens.check(name, y, shape)
        return super().targets_for(name, y, shape)

    @usual
    def nll(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(-log p(y_n | f_n), softmax(f) - onehot(y)).      f (B, C), y (B,) -> (B,), (B, C)"""
        if f.ndim == 3:
            return tokens.nll(f, y)
        log_p = log_softmax(f)
        rows = np.arange(len(y))
        df = np.exp(log_p)
        df[rows, y] -= 1
        return -log_p[rows, y], df

    @usual
    def expected(self, f: np.ndarray) -> np.ndarray:
        """Class probabilities, softmax(f)."""
        e = np.exp(f - f.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def draw(self, f: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Labels, in the shape of f without its last axis."""
        below = np.cumsum(self.expected(f), axis=-1)
        return (rng.random((*f.shape[:-1], 1)) * below[..., -1:] >= below).sum(axis=-1)

    def summary(self, f: np.ndarray, weights: np.ndarray | None = None) -> CategoricalSummary:
        return CategoricalSummary(f, weights)

    def prediction(self, rule: str, summary: CategoricalSummary, log_density: Callable,
                   kept: np.ndarray | None = None) -> ClassPrediction:
        return ClassPrediction(rule, summary, kept)

    def data_terms(self, scale: str, N: int, outputs: int, total: float) -> tuple:
        return (("data", f"-{scale}sum_n log softmax(f_n)[y_n]", total, "f_n = f(x_n, omega-hat)"),)


def check_likelihood(likelihood: object) -> Likelihood:
    wanted = "bayes.Categorical(), bayes.Gaussian(tau), bayes.Heteroscedastic() or another bayes.Likelihood"
    return check("likelihood", likelihood, Likelihood, wanted)
