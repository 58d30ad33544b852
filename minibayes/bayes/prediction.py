"""What a prediction holds: mean and its Monte Carlo error, uncertainties in nats, and log p(y* | x*)."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .. import kernels, own, require, tables
from ..floats import quiet, usual
from . import targets, tokens
from .summary import CategoricalSummary, RegressionSummary, Summary


class Prediction:
    """What both kinds share.

    rule            by which it was made
    num_samples     T, the number of passes
    constant        (N,)       at which inputs all passes gave the same outputs
    converged                  whether samples="auto" reached its tolerance, else None
    finite          (N,)       at which inputs all that is predicted is finite; a warning names the others
    samples         (T, N, K)  the outputs of every pass, if they were kept

    Its arrays cannot be written into, and nothing of it depends on the arrays and the model it was made from.
    """

    converged = None

    def __init__(self, rule: str, summary: Summary, kept: np.ndarray | None):
        self.rule = rule
        self.num_samples = summary.averaged.count
        self.constant = summary.sameness.constant
        self.finite = summary.finite
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
    label               (N,)    the most probable class; -1, none, where the outputs were not finite

    Of sequences all is by step, (N, S, C) and (N, S): the next token's probability given those before it, for
    each pass by its one omega, averaged over passes. NaN, and label -1, at a step that is not there.
    """

    def __init__(self, rule: str, summary: CategoricalSummary, kept: np.ndarray | None = None):
        super().__init__(rule, summary, kept)
        self.mean = summary.probabilities.mean
        self.std_error = summary.probabilities.std_error if rule == "mc" else np.zeros(self.mean.shape)
        self._log_mean = summary.log_mean.value
        self.entropy = -(self.mean * self._log_mean).sum(axis=-1)
        self.expected_entropy = summary.entropies.mean
        # Mathematically >= 0; the two entropies are rounded separately, so a 0 may come out as -1e-16.
        self.mutual_information = np.maximum(self.entropy - self.expected_entropy, 0)
        self.variation_ratio = 1 - summary.votes.max(axis=-1) / summary.probabilities.weight
        self.label = self.mean.argmax(axis=-1)
        gone = np.isnan(self.mean[..., 0])
        if gone.any() or not self.finite.all():  # what is not finite is no class, and was not voted for
            bad = gone | ~self.finite.reshape(-1, *(1,) * (gone.ndim - 1))
            of_rows = (self.mean, self.std_error, self._log_mean, self.entropy, self.expected_entropy,
                       self.mutual_information, self.variation_ratio)
            for array in of_rows:
                array[bad] = np.nan
            self.label[bad] = -1
        own.sealed(self)

    @property
    def std(self) -> np.ndarray:
        """The standard deviation of p_t over the passes, (N, C): how far they disagree. 0 if T = 1."""
        return np.nan_to_num(self.std_error * math.sqrt(self.num_samples - 1))

    def interval(self, level: float = 0.9) -> None:
        """An error: classes have no order."""
        raise require.InputError("interval needs real targets, as classes have no order: `std` says how far "
                                 "the passes disagree, `entropy` how uncertain the class is")

    @usual
    def log_likelihood(self, y: ArrayLike) -> np.ndarray:
        """log p(y_n | x_n) = log (1/T) sum_t p_t(y_n), nats, (N,): the log of the mean, no mean of logs.

        Of sequences (N, S), NaN where y is -1, no token.
        """
        if self.mean.ndim == 3:
            return tokens.picked(self._log_mean, tokens.check("y", y, self.mean.shape))
        y = targets.labels("y", y, *self.mean.shape)
        return self._log_mean[np.arange(len(y)), y]

    @usual
    def score(self, y: ArrayLike, weights: np.ndarray | None = None) -> dict:
        """What a row of a training history says of it: the error, and the mean of -log p in nats."""
        each, wrong = self.log_likelihood(y), self._wrong(y)
        if each.ndim > 1:                                               # the tokens that are there
            there = ~np.isnan(each)
            weights = None if weights is None else np.broadcast_to(weights[:, None], each.shape)[there]
            each, wrong = each[there], wrong[there]
        return {"error": float(np.average(wrong, weights=weights)),
                "nll": -float(np.average(each, weights=weights))}

    @usual
    def error(self, y: ArrayLike) -> float:
        """The fraction of inputs, or of tokens, whose most probable class is not y."""
        wrong = self._wrong(y)
        return float(wrong[np.asarray(y) >= 0].mean() if wrong.ndim > 1 else wrong.mean())

    def _wrong(self, y):
        """Where the most probable class is not y; of sequences, at steps without a target too."""
        if self.mean.ndim == 3:
            return self.label != tokens.check("y", y, self.mean.shape)
        return self.label != targets.labels("y", y, *self.mean.shape)


class RegressionPrediction(Prediction):
    """Mean and variance of y: epistemic (over omega) + aleatoric (given omega).

    m_t, sigma_t^2 are the mean and variance of y given pass t: f_t and 1/tau, or the two heads of a
    Heteroscedastic likelihood. All (N, K), in the units of y, squared for variances.

    mean        (1/T) sum_t m_t
    std_error   Monte Carlo standard error of mean; NaN if T = 1 pass of noise, 0 by a deterministic rule
    epistemic   (1/T) sum_t m_t^2 - mean^2
    aleatoric   (1/T) sum_t sigma_t^2
    variance    epistemic + aleatoric
    std         its root: the standard deviation of y, not of the mean
    """

    weights = None  # (T,) of the passes, if they are not all 1/T

    def __init__(self, rule: str, summary: RegressionSummary, likelihood: object, log_density: Callable,
                 kept: np.ndarray | None):
        super().__init__(rule, summary, kept)
        self.mean = summary.outputs.mean
        self.std_error = summary.outputs.std_error if rule == "mc" else np.zeros(self.mean.shape)
        self.epistemic = summary.outputs.variance
        noise = summary.noise
        self.aleatoric = np.full(self.mean.shape, noise) if np.isscalar(noise) else noise.mean
        self.variance = self.epistemic + self.aleatoric
        self._likelihood, self._log_density = likelihood, log_density
        self._outputs = summary.width
        own.sealed(self)

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.variance)

    def _targets(self, y):
        return self._likelihood.targets("y", y, len(self.mean), self._outputs)

    @usual
    def log_likelihood(self, y: ArrayLike) -> np.ndarray:
        """log p(y_n | x_n) = log (1/T) sum_t N(y_n; m_t, sigma_t^2), nats, (N,); passes are drawn anew."""
        return self._log_density(self._targets(y))

    @usual
    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The value below which y is with probability q under (1/T) sum_t N(m_t, sigma_t^2), (N, K): exact.

        q: a number in (0, 1); or a row of them, for (Q, N, K).

        It needs every pass: if they were not kept they are drawn again, T N times the network's outputs.
        """
        if not self._likelihood.normal:
            raise require.InputError("quantile needs a likelihood that is normal given f, got "
                                     f"{self._likelihood!r}")
        from statistics import NormalDist  # asked for seldom

        several = isinstance(q, (list, tuple, np.ndarray)) and np.ndim(q) > 0
        wanted = [require.real("q", each, 0, 1, open_low=True, open_high=True)
                  for each in (require.array("q", q).reshape(-1) if several else [q])]
        outputs = self._log_density.outputs() if self._kept is None else self._kept
        mean, std = self._likelihood.mean_and_std(outputs.astype(np.float64))
        T = len(mean)
        std = np.broadcast_to(std, outputs.shape[:2] + self.mean.shape[1:])
        mean = np.ascontiguousarray(mean.reshape(T, -1).T)                              # (N*K, T)
        std = np.ascontiguousarray(std.reshape(T, -1).T)                                # (N*K, T)
        weights = np.ones(T) if self.weights is None else self.weights
        found = np.empty((len(wanted), len(mean)))
        for each, out in zip(wanted, found, strict=True):
            with quiet():
                parts = mean + std * NormalDist().inv_cdf(each)  # the mixture's lies between them
            kernels.mixture_quantile(mean, std, weights, each, parts.min(axis=1), parts.max(axis=1), out)
        found = found.reshape(-1, *self.mean.shape)
        return found if several else found[0]

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (N, K): y is below with probability (1 - level)/2, and above with the same.

        level: the probability within, in (0, 1), 0.9 by default. See `quantile`.
        """
        level = require.real("level", level, 0, 1, open_low=True, open_high=True)
        lower, upper = self.quantile([(1 - level) / 2, (1 + level) / 2])
        return lower, upper

    @usual
    def score(self, y: ArrayLike, weights: np.ndarray | None = None) -> dict:
        """What a row of a training history says of it: the RMSE, and the mean of -log p in nats."""
        squares = ((self._targets(y) - self.mean) ** 2).mean(axis=1) if weights is not None else 0
        return {"rmse": (self.rmse(y) if weights is None
                         else float(np.sqrt(np.average(squares, weights=weights)))),
                "nll": -float(np.average(self.log_likelihood(y), weights=weights))}

    @usual
    def rmse(self, y: ArrayLike) -> float:
        """sqrt(mean_n ||y_n - mean_n||^2 / K), in the units of y."""
        y = self._targets(y)
        return float(np.sqrt(((y - self.mean) ** 2).mean()))
