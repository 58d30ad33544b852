"""p(y* | x*, X, Y) ~ (1/T) sum_t p(y* | f(x*, omega-hat_t)), omega-hat_t ~ q: MC averaging, and the deterministic rules.

"mc"                     average T stochastic passes: the poster's predictive mean
"weight-averaging"       one pass with z replaced by E[z]: "standard dropout"; not the predictive mean unless f is linear in z
"probabilistic-pooling"  one pass with E[z], but max-pooling over dropped units replaced by its exact expectation
"""

import itertools
import warnings

import numpy as np

from .. import require
from ..fast import parallel
from ..nn.layers import Conv2d, MaxPool2d
from ..nn.noise import Bernoulli, as_key
from .likelihood import Categorical
from .prediction import ClassPrediction, RegressionPrediction
from .summary import CategoricalSummary, LogMean, RegressionSummary, concatenate

RULES = ("mc", "weight-averaging", "probabilistic-pooling")
SHARD = 64  # inputs per task of a deterministic rule, and at most of what comes before the first noise
BLOCK_PASSES = 64  # passes summarised at once
FIRST_PASSES = 25  # of samples="auto", and the fewest it adds
CHANCE = 10  # with fewer passes than this, or at one input, dropout may well give the same outputs each time
TASKS = 16  # with fewer groups of inputs than this, the passes are divided among tasks too


class ZeroVarianceWarning(UserWarning):
    """All passes gave the same outputs: the network has no noise, or its noise does not reach them; the prediction has no uncertainty."""


def predict(net, params, likelihood, x, rule="mc", samples=50, key=0, shared=False, keep_samples=False, threads=None,
            progress=None, tolerance=0.01, max_samples=10_000):
    """The predictive distribution at x (N, ...): a ClassPrediction or a RegressionPrediction.

    samples: T >= 1 passes, or "auto"; key: a Key or a seed, pass t uses key.at(t); shared: one omega-hat_t for all inputs (a draw of a
    function) instead of one per input; keep_samples: keep all T outputs, (T, N, K); progress: called with the passes x
    inputs just done. Bit-identical for any number of threads.

    samples="auto": passes are added until the largest Monte Carlo standard error of `mean` is at most `tolerance` (a probability, or in
    the units of y), or `max_samples` are done; `num_samples` and `converged` say which. They are the passes of samples=num_samples, merged
    in other blocks: equal up to rounding. A rule that looks at the errors it stops on stops a little early when they happen to be small,
    so the reported error is a few per cent too small on average: ask for a smaller one where that matters.
    """
    require.choice("rule", rule, RULES)
    key, auto = as_key(key), isinstance(samples, str)
    if auto and samples != "auto":
        raise require.InputError(f"samples must be an integer >= 1 or 'auto', got {samples!r}")
    tolerance, max_samples = require.real("tolerance", tolerance, 0, open_low=True), require.integer("max_samples", max_samples, 1)
    most = max_samples if auto else require.integer("samples", samples, 1)
    if key.t + most > 2**32:
        raise require.InputError(f"samples must leave pass numbers below 2^32, got {most} from pass {key.t}")
    categorical = isinstance(likelihood, Categorical)
    kept = []

    def run(start, count, summarise, report=None):
        if rule == "mc":
            return mc_passes(net, params, x, count, key.at(key.t + start), shared, summarise, threads, report)
        return one_pass(net, params, x, rule, summarise, threads, report)

    def block(start, count):
        outputs = np.empty((count, len(x), *net.output_shape(x.shape[1:])), x.dtype) if keep_samples else None

        def summarise(f, passes, inputs):
            if keep_samples:
                outputs[passes, inputs] = f
            return CategoricalSummary(f) if categorical else RegressionSummary(f, likelihood)

        summary = run(start, count, summarise, progress)
        kept.append(outputs)
        return summary

    done = 1 if rule != "mc" else min(FIRST_PASSES, max_samples) if auto else samples
    summary, converged = block(0, done), None
    if auto and rule == "mc":
        while not (converged := largest_error(summary) <= tolerance) and done < max_samples:
            growth = min((largest_error(summary) / tolerance) ** 2, 4)  # the error falls with the root of the number of passes
            more = min(max(int(growth * done) - done, FIRST_PASSES), max_samples - done)
            summary.merge(block(done, more))
            done += more
    if rule == "mc" and done > 1:
        silent = all(layer.noise.variance == 0 for layer in net.layers.values())
        if silent or summary.sameness.constant.all() and done >= CHANCE and len(x) > 1:
            warnings.warn(f"all {done} passes gave the same outputs: "
                          + ("the network has no noise" if silent else "the network's noise does not reach them (are all units dead?)")
                          + ", so the prediction has no model uncertainty; rule='weight-averaging' is one pass",
                          ZeroVarianceWarning, stacklevel=3)
    samples = np.concatenate(kept) if keep_samples else None

    def log_density(y):
        """log (1/T) sum_t p(y | f_t): the passes are drawn again (the noise is counter-based), now with y known."""
        def summarise(f, passes, inputs):
            f = f.astype(np.float64)
            targets = np.broadcast_to(y[inputs], (*f.shape[:2], y.shape[1])).reshape(-1, y.shape[1])
            return LogMean(-likelihood.nll(f.reshape(-1, f.shape[-1]), targets)[0].reshape(f.shape[:2]))

        return run(0, done, summarise).value

    made = ClassPrediction(rule, summary, samples) if categorical else RegressionPrediction(rule, summary, likelihood, log_density, samples)
    made.converged = converged
    return made


def largest_error(summary):
    """The largest standard error of a mean, over inputs and outputs."""
    moments = summary.probabilities if isinstance(summary, CategoricalSummary) else summary.outputs
    error = float(moments.std_error.max()) if moments.count > 1 else np.inf
    return error if error == error else np.inf


def mc_passes(net, params, x, samples, key, shared, summarise, threads=None, report=None):
    """summarise(f (T', N', K), passes, inputs) merged over all passes and joined over all inputs.

    What comes before the first noise is computed once for all T. A task is a shard of inputs, with all of its passes or, when there
    are few inputs, a fixed part of them; it runs them in sweeps of several passes when the network is small.
    """
    inputs, rows_at_once = parallel.shards(len(x), net.inputs_at_once(shared)), net.rows_at_once(x.shape[1:])
    parts = max(1, min(TASKS // len(inputs), samples))
    cuts = [samples * i // parts for i in range(parts + 1)]
    tasks = [(s, slice(a, b)) for s in inputs for a, b in itertools.pairwise(cuts)]

    prefixes = {}  # kept where several tasks share the inputs

    def prefix(rows):
        return net.prefix(params, x[rows]).copy()

    def task(item):
        rows, passes = item
        h = net.prefix(params, x[rows]) if parts == 1 else prefixes[rows.start]
        step = max(1, rows_at_once // (rows.stop - rows.start))
        summary, block = None, []
        for start in range(passes.start, passes.stop, step):
            stop = min(start + step, passes.stop)
            block.append(sweep(net, params, x, h, rows, range(start, stop), key, shared))
            if step > 1 or len(block) == BLOCK_PASSES or stop == passes.stop:
                f = np.concatenate(block) if len(block) > 1 else block[0]
                more = summarise(f, slice(stop - len(f), stop), rows)
                block = []
                if summary is None:
                    summary = more
                else:
                    summary.merge(more)
            if report is not None:
                report((stop - start) * (rows.stop - rows.start))
        return summary

    with parallel.pool(threads) as run:
        if parts > 1:
            # In pieces: there may be fewer groups of inputs than threads. A KernelRoute's prefix, whose inputs are not its first axis,
            # is always one piece.
            pieces = [slice(s.start + p.start, s.start + p.stop) for s in inputs for p in parallel.shards(s.stop - s.start, SHARD)]
            computed = list(zip(pieces, run(prefix, pieces), strict=True))
            for s in inputs:
                own = [h for piece, h in computed if s.start <= piece.start < s.stop]
                prefixes[s.start] = own[0] if len(own) == 1 else np.concatenate(own)
        done = run(task, tasks)
    by_input = {}
    for (rows, _), summary in zip(tasks, done, strict=True):
        if rows.start in by_input:
            by_input[rows.start].merge(summary)
        else:
            by_input[rows.start] = summary
    return concatenate(list(by_input.values()))


def sweep(net, params, x, h, rows, passes, key, shared):
    """f (T', N', K) for T' passes over N' inputs in one batch of N' T' rows: the pass is just another counter."""
    T, N = len(passes), rows.stop - rows.start
    numbers = np.arange(key.t + passes.start, key.t + passes.stop, dtype=np.uint64)
    if shared:
        examples = np.zeros(T, np.uint64)
    else:
        examples, numbers = np.repeat(np.arange(rows.start, rows.stop, dtype=np.uint64), T), np.tile(numbers, N)
    z = net.sample(key, (len(examples), *x.shape[1:]), examples, numbers, dtype=x.dtype)
    f = net.passes(params, h, z, T)
    return np.ascontiguousarray(f.reshape(N, T, -1).swapaxes(0, 1)) if T > 1 else f.reshape(1, N, -1).copy()


def one_pass(net, params, x, rule, summarise, threads=None, report=None):
    """The deterministic rules: summarise(f (1, N', K), ...) joined over all inputs."""
    z = net.mean_noise(dtype=x.dtype)
    pooled = pooled_pairs(net) if rule == "probabilistic-pooling" else {}

    def task(rows):
        f = net.expected_pooling(params, x[rows], z, pooled) if pooled else net.forward(params, x[rows], z)[0]
        if report is not None:
            report(len(f))
        return summarise(f[None].copy(), slice(0, 1), rows)

    with parallel.pool(threads) as run:
        return concatenate(run(task, parallel.shards(len(x), SHARD)))


def pooled_pairs(net):
    """{conv name: pool name} where a max-pool takes units that were dropped one by one; an error if there is none."""
    names, pairs = list(net.layers), {}
    for name, after in zip(names, names[1:], strict=False):
        layer = net.layers[name]
        if name in net.noisy and isinstance(layer, Conv2d) and isinstance(net.layers[after], MaxPool2d):
            if isinstance(layer.noise, Bernoulli) and layer.noise_per == "patch":
                pairs[name] = after
            elif not isinstance(layer.noise, Bernoulli):
                raise require.InputError(f"rule='probabilistic-pooling' needs Bernoulli noise, layer {name!r} has {layer.noise!r}")
    if not pairs:
        raise require.InputError("rule='probabilistic-pooling' needs a Conv2d with Bernoulli noise per patch right before a MaxPool2d; "
                         "in this network it would be rule='weight-averaging'")
    return pairs
