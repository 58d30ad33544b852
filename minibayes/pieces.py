"""One prediction in pieces, in any executor: the bits of model.predict(x, first=0), and all that it knows."""

from concurrent.futures import Executor

import numpy as np
from numpy.typing import ArrayLike

from . import require
from .bayes.passes import Passes
from .bayes.prediction import Prediction
from .bayes.predictive import RULES, pooled_pairs, predicted, summarising
from .bayes.summary import Summary, joined
from .fast import parallel
from .fast.program import Program
from .floats import quiet, usual
from .model import BayesianNetwork
from .nn import Key
from .progress import bar
from .spread import alone, spread


@usual
def predict_in_pieces(model: BayesianNetwork, x: ArrayLike, *, executor: Executor | None = None,
                      size: int = 4096, samples: int = 50, rule: str = "mc", seed: int = 0,
                      shared: bool = False, keep_samples: bool = False, threads: int | None = None,
                      progress: bool = False) -> Prediction:
    """What model.predict(x, first=0) gives, to the last bit, each piece of x a job for the executor.

        with ProcessPoolExecutor() as executor:
            made = mb.predict_in_pieces(model, x, executor=executor, samples=100)

    model: with parameters; it is sent with each piece, so a piece should be much more work than the model.
    x: inputs, (N, ...).
    executor: anything with the `submit` of concurrent.futures (see spread.py), left open; None by default:
              this process, one piece after another.
    size: inputs in a piece, 4,096 by default; one that is a multiple of 64 costs least. No bit depends on it.
    samples, rule, seed, shared, keep_samples: as of BayesianNetwork.predict; samples is a number.
    threads: of each piece without an executor; with one each piece has one.
    progress: whether to show a bar.

    What looks at every pass again, log_likelihood and quantile of regressions, is done in this process.
    InputError for a bad argument; what the executor raises, or spread.Lost if it is gone.
    """
    x = model.net.inputs("x", x, model.dtype)
    job = {"rule": require.choice("rule", rule, RULES), "shared": require.boolean("shared", shared),
           "samples": 1 if rule != "mc" else require.integer("samples", samples, 1, 2**32),
           "seed": require.integer("seed", seed, 0, 2**64 - 1),
           "keep": require.boolean("keep_samples", keep_samples), "first": 0}
    size, whole = require.integer("size", size, 1), source(model, x, job, threads)
    starts = range(0, len(x), size)
    jobs = [(model, x[start:start + size], job | {"first": start}) for start in starts]
    with bar(progress, len(jobs), "predict", " pieces") as progress_bar:
        made = spread(alone(piece, executor, threads), jobs, executor,
                      finished=lambda i: progress_bar.update(1))
    summary = joined(zip(parallel.slices(len(x), size), (one for one, _ in made), strict=True), len(x))
    outputs = np.concatenate([kept for _, kept in made], axis=1) if keep_samples else None
    return predicted(model.likelihood, whole, summary, job["samples"], outputs)


def source(model: BayesianNetwork, x: np.ndarray, job: dict, threads: int | None) -> Passes:
    runner = Program(model.net, threads)
    pooled = pooled_pairs(runner) if job["rule"] == "probabilistic-pooling" else {}
    return Passes(runner, model.params, x, job["rule"], Key(job["seed"]).derive("predict"), job["shared"],
                  pooled, job["first"])


@usual
def piece(job: tuple, threads: int | None = None,
          progress: bool = False) -> tuple[Summary, np.ndarray | None]:
    """(the summary of a piece's passes, their outputs if they are kept)."""
    model, x, job = job
    passes = source(model, x, job, threads)
    outputs = passes.room(job["samples"]) if job["keep"] else None
    with quiet():
        summary = passes.average(0, job["samples"], summarising(model.likelihood, outputs))
    return passes.own(summary), None if outputs is None else passes.own(outputs, 1)
