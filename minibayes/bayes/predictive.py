"""p(y* | x*, X, Y) ~ (1/T) sum_t p(y* | f(x*, omega-hat_t)), omega-hat_t ~ q, and the deterministic rules.

"mc"                     average T stochastic passes: the poster's predictive mean
"weight-averaging"       one pass with z replaced by E[z], "standard dropout": the predictive mean only where
                         f is linear in z
"probabilistic-pooling"  one pass with E[z], but max-pooling over dropped units replaced by its expectation

The passes come in blocks from whatever runs the network, `nn.Network` or a faster twin of it; here they are
averaged.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np

from .. import cautions, require
from ..cautions import ZeroVarianceWarning
from ..floats import quiet, usual
from ..nn.key import Key, as_key
from .likelihood import Likelihood
from .passes import Again, Passes
from .prediction import Prediction
from .summary import Summary

RULES = ("mc", "weight-averaging", "probabilistic-pooling")
FIRST_PASSES = 25  # of samples="auto", and the fewest it adds
CHANCE = 10  # with fewer passes than this, or at one input, dropout may well give the same outputs each time


class Runner(Protocol):
    """What runs f(x, omega): `nn.Network`, or anything that does the same faster.

    `passes` and `average` yield (inputs, found): a slice of x, and what gather(found so far or None,
    f (T', N', K), passes, inputs), called for one block of passes after another, returned last. Several may
    come for the same inputs; their order is always the same.
    """

    def forward(self, params: dict, x: np.ndarray, z: dict) -> tuple: ...
    def backward(self, params: dict, caches: dict, df: np.ndarray, want_dx: bool = True) -> tuple: ...
    def passes(self, params: dict, x: np.ndarray, key: Key, count: int, gather: Callable,
               shared: bool = False, first: int | None = None) -> Iterator: ...
    def average(self, params: dict, x: np.ndarray, gather: Callable, pooled: Mapping) -> Iterator: ...
    def group(self, input_shape: tuple, shared: bool = False, mean: bool = False) -> int: ...


@usual
def predict(net: Runner, params: dict, likelihood: Likelihood, x: np.ndarray, rule: str = "mc",
            samples: int | str = 50, key: Key | int = 0, shared: bool = False, keep_samples: bool = False,
            progress: Callable | None = None, tolerance: float = 0.01, max_samples: int = 10_000,
            first: int | None = None) -> Prediction:
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
    first: the number of the first input, where x is a part of more: see `passes.Passes`.

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
    if first is not None:
        first = require.integer("first", first, 0, 2**32 - len(x))
        if auto:
            raise require.InputError("samples must be a number of passes where first is given, got 'auto', "
                                     "which looks at all inputs together")
    pooled = pooled_pairs(net) if rule == "probabilistic-pooling" else {}
    source, kept = Passes(net, params, x, rule, key, shared, pooled, first), []

    def block(start, count):
        """The summary of so many passes; their outputs join `kept`."""
        outputs = source.room(count) if keep_samples else None
        kept.append(outputs)
        return source.average(start, count, summarising(likelihood, outputs, progress))

    with quiet():
        done = 1 if rule != "mc" else min(FIRST_PASSES, max_samples) if auto else most
        summary, converged = block(0, done), None
        if auto and rule == "mc":
            while not (converged := largest_error(summary) <= tolerance) and done < max_samples:
                growth = min((largest_error(summary) / tolerance) ** 2, 4)  # the error falls like 1/sqrt(T)
                more = min(max(int(growth * done) - done, FIRST_PASSES), max_samples - done)
                summary.merge(block(done, more))
                done += more
        outputs = source.own(np.concatenate(kept), 1) if keep_samples else None
    made = predicted(likelihood, source, source.own(summary), done, outputs)
    made.converged = converged
    if converged is False:
        cautions.warn(f"after {done} passes the largest standard error of the mean is "
                      f"{largest_error(summary):.3g}, above the tolerance {tolerance:g}: raise max_samples, "
                      "or the tolerance", cautions.ConvergenceWarning)
    return made


def summarising(likelihood: Likelihood, outputs: np.ndarray | None = None,
                progress: Callable | None = None) -> Callable:
    """f, passes, inputs -> the likelihood's summary of f; f joins the outputs, if they are kept."""
    def summarise(f, passes, inputs):
        if outputs is not None:
            outputs[passes, inputs] = f
        if progress is not None:
            progress(f.shape[0] * f.shape[1])
        return likelihood.summary(f)

    return summarise


def predicted(likelihood: Likelihood, source: Passes, summary: Summary, done: int,
              outputs: np.ndarray | None = None) -> Prediction:
    """The prediction of `done` passes of a source, from their summary; with what is to be said of it."""
    with quiet():
        again = Again(likelihood, source, done) if likelihood.redraws else None
        made = likelihood.prediction(source.rule, summary, again, outputs)
    warn_of_what_is_not_finite(made.finite)
    if source.rule == "mc" and done > 1:
        warn_of_silence(source.runner, made.constant, done)
    return made


def warn_of_what_is_not_finite(finite: np.ndarray) -> None:
    """A NotFiniteWarning that says at which inputs."""
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    those = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
    cautions.warn(f"the outputs are NaN or infinite, or their variance is, at {len(bad)} of {len(finite)} "
                  f"inputs, x[[{those}]]: nothing is known there (label -1, NaN), and the other predictions "
                  "are as they are; look at the scale of those inputs", cautions.NotFiniteWarning)


def warn_of_silence(net: Runner, constant: np.ndarray, done: int) -> None:
    """A ZeroVarianceWarning if all passes were the same, and not by chance."""
    silent = all(layer.noise.variance == 0 for layer in net.layers.values() if not layer.noise.learned)
    silent = silent and not net.learned
    if silent or constant.all() and done >= CHANCE and len(constant) > 1:
        why = ("the network has no noise" if silent else
               "the network's noise does not reach them (are all units dead?)")
        cautions.warn(f"all {done} passes gave the same outputs: {why}, so the prediction has no model "
                      "uncertainty; rule='weight-averaging' is one pass", ZeroVarianceWarning)


def largest_error(summary: Summary) -> float:
    """The largest standard error of a mean, over the outputs at inputs where they are finite."""
    moments = summary.averaged
    if moments.count == 1:
        return np.inf
    errors = moments.std_error[summary.finite]
    return float((errors[~np.isnan(errors)] if errors.ndim > 2 else errors).max(initial=0.0))


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
