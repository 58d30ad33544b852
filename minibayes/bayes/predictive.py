"""p(y* | x*, X, Y) ~ (1/T) sum_t p(y* | f(x*, omega-hat_t)), omega-hat_t ~ q, and the deterministic rules.

"mc"                     average T stochastic passes: the poster's predictive mean
"weight-averaging"       one pass with z replaced by E[z], "standard dropout": the predictive mean only where
                         f is linear in z
"probabilistic-pooling"  one pass with E[z], but max-pooling over dropped units replaced by its expectation

The passes come in blocks from whatever runs the network, `nn.Network` or a faster twin of it; here they are
averaged.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np

from .. import require
from ..floats import usual
from ..nn.key import Key, as_key
from .likelihood import Likelihood
from .prediction import Prediction
from .summary import LogMean, Summary, concatenate

RULES = ("mc", "weight-averaging", "probabilistic-pooling")
FIRST_PASSES = 25  # of samples="auto", and the fewest it adds
CHANCE = 10  # with fewer passes than this, or at one input, dropout may well give the same outputs each time


class ZeroVarianceWarning(UserWarning):
    """All passes gave the same outputs: no noise, or none that reaches them; no uncertainty is predicted."""


class Runner(Protocol):
    """What runs f(x, omega): `nn.Network`, or anything that does the same faster.

    `passes` and `average` yield (inputs, found): a slice of x, and what gather(found so far or None,
    f (T', N', K), passes, inputs), called for one block of passes after another, returned last. Several may
    come for the same inputs; their order is always the same.
    """

    def forward(self, params: dict, x: np.ndarray, z: dict) -> tuple: ...
    def backward(self, params: dict, caches: dict, df: np.ndarray, want_dx: bool = True) -> tuple: ...
    def passes(self, params: dict, x: np.ndarray, key: Key, count: int, gather: Callable,
               shared: bool = False) -> Iterator: ...
    def average(self, params: dict, x: np.ndarray, gather: Callable, pooled: Mapping) -> Iterator: ...


class Passes:
    """The passes of one prediction: drawn again, and the same, as often as something of them is averaged."""

    def __init__(self, runner: Runner, params: dict, x: np.ndarray, rule: str, key: Key, shared: bool):
        self.runner, self.params = runner, params
        self.x, self.rule = x, rule
        self.key, self.shared = key, shared
        self.pooled = pooled_pairs(runner) if rule == "probabilistic-pooling" else {}

    def average(self, first: int, count: int, summarise: Callable) -> Summary | LogMean:
        """(1/T) sum_t g(f(x, omega-hat_t)), t = first ... first + count - 1, for the g that is summarised.

        summarise: f (T', N', K), passes, inputs -> a summary that merges with others.
        """
        def gather(found, f, passes, inputs):
            more = summarise(f, passes, inputs)
            if found is None:
                return more
            found.merge(more)
            return found

        if self.rule == "mc":
            key = self.key.at(self.key.t + first)
            blocks = self.runner.passes(self.params, self.x, key, count, gather, self.shared)
        else:
            blocks = self.runner.average(self.params, self.x, gather, self.pooled)
        by_input = {}
        for inputs, summary in blocks:
            if inputs.start in by_input:
                by_input[inputs.start].merge(summary)
            else:
                by_input[inputs.start] = summary
        return concatenate(list(by_input.values()))


@usual
def predict(net: Runner, params: dict, likelihood: Likelihood, x: np.ndarray, rule: str = "mc",
            samples: int | str = 50, key: Key | int = 0, shared: bool = False, keep_samples: bool = False,
            progress: Callable | None = None, tolerance: float = 0.01,
            max_samples: int = 10_000) -> Prediction:
    """The predictive distribution at x, a ClassPrediction or RegressionPrediction as the likelihood makes it.

    net: an nn.Network, or a Runner that is faster.
    params: theta, {layer: {param: array}}.
    likelihood: p(y | f).
    x: inputs, (N, ...).
    rule: "mc" (by default), "weight-averaging" or "probabilistic-pooling".
    samples: T >= 1 passes, 50 by default; or "auto".
    key: a Key, or a seed, 0 by default; pass t uses key.at(key.t + t), t = 0, 1, ...
    shared: one omega-hat_t for all inputs (a draw of a function) instead of one per input.
    keep_samples: keep all T outputs, (T, N, K).
    progress: called with the passes x inputs just done.
    tolerance: of samples="auto", a probability or in the units of y; 0.01 by default.
    max_samples: of samples="auto", 10,000 by default.

    samples="auto": passes are added until the largest Monte Carlo standard error of `mean` is at most
    `tolerance`, or `max_samples` are done; `num_samples` and `converged` say which. They are the passes of
    samples=num_samples, merged in other blocks: equal up to rounding. A rule that looks at the errors it
    stops on stops a little early when they happen to be small, so the reported error is a few per cent too
    small on average: ask for a smaller one where that matters.
    """
    rule = require.choice("rule", rule, RULES)
    key, auto = as_key(key), isinstance(samples, str)
    if auto and samples != "auto":
        raise require.InputError(f"samples must be an integer >= 1 or 'auto', got {samples!r}")
    tolerance = require.real("tolerance", tolerance, 0, open_low=True)
    max_samples = require.integer("max_samples", max_samples, 1)
    most = max_samples if auto else require.integer("samples", samples, 1)
    if key.t + most > 2**32:
        raise require.InputError(f"samples must leave pass numbers below 2^32, got {most} from pass {key.t}")
    source, kept = Passes(net, params, x, rule, key, shared), []

    def block(first, count):
        """The summary of so many passes; their outputs join `kept`."""
        shape = (count, len(x), *net.output_shape(x.shape[1:]))
        outputs = np.empty(shape, x.dtype) if keep_samples else None
        kept.append(outputs)

        def summarise(f, passes, inputs):
            if keep_samples:
                outputs[passes, inputs] = f
            if progress is not None:
                progress(f.shape[0] * f.shape[1])
            return likelihood.summary(f)

        return source.average(first, count, summarise)

    done = 1 if rule != "mc" else min(FIRST_PASSES, max_samples) if auto else most
    summary, converged = block(0, done), None
    if auto and rule == "mc":
        while not (converged := largest_error(summary) <= tolerance) and done < max_samples:
            growth = min((largest_error(summary) / tolerance) ** 2, 4)  # the error falls like 1/sqrt(T)
            more = min(max(int(growth * done) - done, FIRST_PASSES), max_samples - done)
            summary.merge(block(done, more))
            done += more
    if rule == "mc" and done > 1:
        warn_of_silence(net, summary, done, len(x))

    def log_density(y):
        """log (1/T) sum_t p(y | f_t): the same passes, drawn again, now with y known."""
        def summarise(f, passes, inputs):
            f = f.astype(np.float64)
            y_of_each = np.broadcast_to(y[inputs], (*f.shape[:2], *y.shape[1:])).reshape(-1, *y.shape[1:])
            return LogMean(-likelihood.nll(f.reshape(-1, f.shape[-1]), y_of_each)[0].reshape(f.shape[:2]))

        return source.average(0, done, summarise).value

    made = likelihood.prediction(rule, summary, log_density, np.concatenate(kept) if keep_samples else None)
    made.converged = converged
    return made


def warn_of_silence(net: Runner, summary: Summary, done: int, count: int) -> None:
    """A ZeroVarianceWarning if all passes were the same, and not by chance."""
    silent = all(layer.noise.variance == 0 for layer in net.layers.values() if not layer.noise.learned)
    silent = silent and not net.learned
    if silent or summary.sameness.constant.all() and done >= CHANCE and count > 1:
        why = ("the network has no noise" if silent else
               "the network's noise does not reach them (are all units dead?)")
        warnings.warn(f"all {done} passes gave the same outputs: {why}, so the prediction has no model "
                      "uncertainty; rule='weight-averaging' is one pass", ZeroVarianceWarning, stacklevel=5)


def largest_error(summary: Summary) -> float:
    """The largest standard error of a mean, over inputs and outputs."""
    moments = summary.averaged
    error = float(moments.std_error.max()) if moments.count > 1 else np.inf
    return error if error == error else np.inf


def pooled_pairs(net: Runner) -> dict:
    """{conv name: pool name} where a max-pool takes units dropped one by one; an error if there is none."""
    names, pairs = list(net.layers), {}
    for name, after in zip(names, names[1:], strict=False):
        if net.layers[name].one_z_per_response and hasattr(net.layers[after], "expected"):
            if not net.layers[name].noise.pools:
                raise require.InputError("rule='probabilistic-pooling' needs Bernoulli noise, layer "
                                         f"{name!r} has {net.layers[name].noise!r}")
            pairs[name] = after
    if not pairs:
        raise require.InputError("rule='probabilistic-pooling' needs a Conv2d with Bernoulli noise per patch "
                                 "right before a MaxPool2d; in this network it would be "
                                 "rule='weight-averaging'")
    return pairs
