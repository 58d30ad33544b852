"""(1/T) sum_t g(omega-hat_t), streamed: moments, entropies and votes, in memory that does not grow with T.

A summary takes blocks f (T', N, K) of network outputs and merges with others; the order is fixed by the
caller, so results do not depend on threads. Moments are merged by the rule of Chan, Golub and LeVeque (1979).

With `weights` (T',), which add up to 1 over all blocks, the passes are every omega and their probabilities:
the same classes then hold exact expectations (`truth.exact`).
"""

import itertools
from collections.abc import Callable, Iterable

import numpy as np

from .. import kernels
from ..floats import usual


@usual
def log_softmax(f: np.ndarray) -> np.ndarray:
    """log softmax(f)_c = f_c - log sum_k exp f_k, shifted by the maximum so that nothing overflows."""
    f = f - f.max(axis=-1, keepdims=True)
    return f - np.log(np.exp(f).sum(axis=-1, keepdims=True))


class Moments:
    """Count, mean and sum of squared deviations over the first axis; weight: the count, if none are given."""

    @usual
    def __init__(self, values: np.ndarray, weights: np.ndarray | None = None):
        self.count = len(values)
        if weights is None:
            self.weight = len(values)
            self.mean = values.mean(axis=0)
            self.squares = ((values - self.mean) ** 2).sum(axis=0)
        else:
            self.weight = float(weights.sum())
            self.mean = np.tensordot(weights / self.weight, values, 1)
            self.squares = np.tensordot(weights, (values - self.mean) ** 2, 1)

    @classmethod
    def of(cls, count: int, mean: np.ndarray, squares: np.ndarray) -> "Moments":
        """Those of `count` values, from what is known of them."""
        made = object.__new__(cls)
        made.count = made.weight = count
        made.mean, made.squares = mean, squares
        return made

    @usual
    def merge(self, other: "Moments") -> None:
        weight, delta = self.weight + other.weight, other.mean - self.mean
        self.squares = self.squares + other.squares + delta**2 * (self.weight * other.weight / weight)
        self.mean = self.mean + delta * (other.weight / weight)
        self.count, self.weight = self.count + other.count, weight

    @property
    def variance(self) -> np.ndarray:
        """(1/T) sum_t (v_t - mean)^2."""
        return self.squares / self.weight

    @property
    def std_error(self) -> np.ndarray:
        """The standard error of the mean of T passes, from the unbiased variance; NaN for one pass."""
        if self.count == 1:
            return np.full(np.shape(self.mean), np.nan)
        return np.sqrt(self.squares / (self.count - 1) / self.count)


class LogMean:
    """log (1/T) sum_t exp(v_t), by a running log-sum-exp: an average of probabilities, its log taken last."""

    @usual
    def __init__(self, values: np.ndarray, weights: np.ndarray | None = None):
        self.weight = len(values) if weights is None else float(weights.sum())
        top = values.max(axis=0)
        top = np.where(np.isfinite(top), top, 0)  # the largest exponential is 1; all -inf stay -inf
        with np.errstate(divide="ignore", over="ignore"):
            shifted = np.exp(values - top)
            total = shifted.sum(axis=0) if weights is None else np.tensordot(weights, shifted, 1)
            self.log_sum = top + np.log(total)

    @classmethod
    def of(cls, count: int, log_sum: np.ndarray) -> "LogMean":
        """That of `count` values, from the log of their exponentials' sum."""
        made = object.__new__(cls)
        made.weight, made.log_sum = count, log_sum
        return made

    @usual
    def merge(self, other: "LogMean") -> None:
        self.log_sum = np.logaddexp(self.log_sum, other.log_sum)
        self.weight += other.weight

    @property
    def value(self) -> np.ndarray:
        return self.log_sum - np.log(self.weight)


class Sameness:
    """constant (N,): at which inputs all passes gave the same outputs, to the last bit."""

    def __init__(self, f: np.ndarray):
        self.first = f[0].copy()
        same = (f == f[:1]) | (np.isnan(f) if f.ndim > 3 else False)  # NaN: a step that is not there
        self.constant = same.all(axis=(0, *range(2, f.ndim)))

    @usual
    def merge(self, other: "Sameness") -> None:
        same = (self.first == other.first) | (np.isnan(self.first) if self.first.ndim > 2 else False)
        self.constant = self.constant & other.constant & same.all(axis=tuple(range(1, same.ndim)))


class Summary:
    """What is known of the passes so far. `averaged`: the Moments of what a prediction's mean is.

    finite (N,): at which inputs what is averaged is finite: one pass that is not shows in every mean.
    """

    @property
    def finite(self) -> np.ndarray:
        mean = self.averaged.mean
        good = np.isfinite(mean)
        if mean.ndim > 2:  # of sequences: a step of NaN is not there
            good |= np.isnan(mean).all(axis=-1, keepdims=True)
        return good.reshape(len(mean), -1).all(axis=1)

    def __init__(self, f: np.ndarray):
        self.sameness = Sameness(f)

    @usual
    def merge(self, other: "Summary") -> None:
        for name, part in vars(self).items():
            if hasattr(part, "merge"):
                part.merge(getattr(other, name))


class CategoricalSummary(Summary):
    """Class probabilities p_t = softmax(f_t): their moments, log-mean, mean entropy and votes.

    f (T', N, C), or (T', N, S, C) of sequences: then all is by step, and by a kernel, as steps are many.
    """

    @usual
    def __init__(self, f: np.ndarray, weights: np.ndarray | None = None):
        super().__init__(f)
        if f.ndim > 3 and weights is None:
            self._by_step(f)
            return
        log_p = log_softmax(f.astype(np.float64))       # (T', N, C)
        p = np.exp(log_p)
        self.probabilities = Moments(p, weights)
        self.log_mean = LogMean(log_p, weights)
        self.entropies = Moments(-(p * log_p).sum(axis=-1), weights)
        C, N = f.shape[-1], int(np.prod(f.shape[1:-1]))
        each = None if weights is None else np.repeat(weights, N)
        votes = f.argmax(axis=-1).reshape(-1, N) + C * np.arange(N)     # class c of input n is number n C + c
        counts = np.bincount(votes.reshape(-1), each, N * C)
        self.votes = counts.astype(np.float64, copy=False).reshape(f.shape[1:])

    def _by_step(self, f):
        T, rows = len(f), np.ascontiguousarray(f).reshape(len(f), -1, f.shape[-1])      # (T', N S, C)
        mean, squares, log_sum, votes = made = [np.empty(rows.shape[1:]) for _ in range(4)]
        entropies, finite = np.empty(rows.shape[:2]), np.isfinite(rows).all(axis=(0, 2))
        known = rows if finite.all() else np.where(finite[:, None], rows, 0)
        kernels.class_summary(known, mean, squares, log_sum, entropies, votes)
        of_steps = Moments(entropies)
        made += [of_steps.mean, of_steps.squares]
        if known is not rows:
            plain = CategoricalSummary(rows[:, ~finite])
            p, H = plain.probabilities, plain.entropies
            found = (p.mean, p.squares, plain.log_mean.log_sum, plain.votes, H.mean, H.squares)
            for into, others in zip(made, found, strict=True):
                into[~finite] = others
        made = [a.reshape(*f.shape[1:-1], *a.shape[1:]) for a in made]
        mean, squares, log_sum, self.votes, *of_steps = made
        self.probabilities, self.log_mean = Moments.of(T, mean, squares), LogMean.of(T, log_sum)
        self.entropies = Moments.of(T, *of_steps)

    @usual
    def merge(self, other: "CategoricalSummary") -> None:
        super().merge(other)
        self.votes = self.votes + other.votes

    @property
    def averaged(self) -> Moments:
        return self.probabilities

    @property
    def finite(self) -> np.ndarray:
        entropies, mean = self.entropies.mean, self.averaged.mean
        good = np.isfinite(entropies) | (np.isnan(mean).all(axis=-1) if mean.ndim > 2 else False)
        return super().finite & good.reshape(len(good), -1).all(axis=1)


class RegressionSummary(Summary):
    """Regression outputs: the moments over passes of y's mean, and of its variance if that varies."""

    @usual
    def __init__(self, f: np.ndarray, likelihood: object, weights: np.ndarray | None = None):
        super().__init__(f)
        mean, variance = likelihood.mean_and_variance(f.astype(np.float64))
        self.outputs = Moments(mean, weights)
        self.width = f.shape[-1]
        self.noise = Moments(variance, weights) if np.ndim(variance) else float(variance)

    @property
    def averaged(self) -> Moments:
        return self.outputs

    @property
    def finite(self) -> np.ndarray:
        found = super().finite & np.isfinite(self.outputs.squares).all(axis=-1)
        return found if np.isscalar(self.noise) else found & np.isfinite(self.noise.mean).all(axis=-1)


def part(summary: object, rows: slice) -> object:
    """The same of some of the inputs."""
    return mapped(summary, lambda array: array[rows])


def mapped(summary: object, change: Callable) -> object:
    """A summary with every array changed."""
    out = object.__new__(type(summary))
    for name, value in vars(summary).items():
        if isinstance(value, np.ndarray):
            value = change(value)
        elif not isinstance(value, (int, float)):
            value = mapped(value, change)
        setattr(out, name, value)
    return out


def put(out: object, summary: object, rows: slice) -> None:
    """The summary of some inputs into that of all."""
    for name, value in vars(summary).items():
        if isinstance(value, np.ndarray):
            getattr(out, name)[rows] = value
        elif not isinstance(value, (int, float)):
            put(getattr(out, name), value, rows)


def joined(blocks: Iterable, count: int) -> object:
    """One summary of all `count` inputs, from (inputs, summary), (inputs, summary), ... in order.

    Several of the same inputs come one after another, and are merged. Each is written into arrays for all as
    soon as it is complete, so that there are never two sets of them.
    """
    out, last, open_one = None, None, None
    for inputs, summary in itertools.chain(blocks, [(None, None)]):
        if inputs is not None and inputs == last:
            open_one.merge(summary)
            continue
        if last is not None:
            if last == slice(0, count):
                return open_one
            if out is None:
                out = mapped(open_one, lambda a: np.empty((count, *a.shape[1:]), a.dtype))
            put(out, open_one, last)
        last, open_one = inputs, summary
    return out
