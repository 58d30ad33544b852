"""E_q[log w] <= log E_q[w] = log p(x), w = p(x | h) p(h)/q(h | x): what draws of (h, omega) say of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..bayes.summary import LogMean
from ..fast import parallel
from ..fast.program import Program
from ..floats import usual
from ..model import BayesianNetwork
from ..nn import Key, Rows
from .sides import sides, targets

CHUNK = 256  # examples that one thread takes together


@dataclass(frozen=True)
class Bound:
    """What T draws of (h, omega) say of log p(x_n), nats, for each example.

    elbo: (1/T) sum_t log w_tn, w = p(x | h) p(h)/q(h | x): at most log p(x_n) on average.
    importance: log (1/T) sum_t w_tn, at most log p(x_n) on average too, and never below `elbo`; exact as T
                grows (Burda, Grosse and Salakhutdinov, arXiv 1509.00519).
    """

    elbo: np.ndarray  # (N,)
    importance: np.ndarray  # (N,)


@usual
def bound(model: BayesianNetwork, x: ArrayLike, y: ArrayLike | None = None, *, samples: int = 50,
          seed: int = 0, threads: int | None = None) -> Bound:
    """Bounds on log p(y_n) under the trained model, by T draws of h ~ q(h | x_n) and omega.

    model: with a code, and parameters.
    x: inputs, (N, ...).
    y: what is explained; x in rows by default.
    samples: T, 50 by default.
    seed: of the draws, 0 by default.
    threads: all processors by default; the result does not depend on it.
    """
    sides(model)
    x = model.net.inputs("x", x, model.dtype)
    y = targets(model, x, y)
    samples = require.integer("samples", samples, 1)
    key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("bound")
    program = Program(model.net, 1)

    def piece(which):
        own, log_mean, total = x[which], None, 0.0
        for t in range(samples):
            rows = _rows(which, t, key, x.dtype)
            log_w = log_weights(program, model, own, y[which], program.draw_rows(key, x.shape[1:], rows))
            total = total + log_w
            if log_mean is None:
                log_mean = LogMean(log_w[None])
            else:
                log_mean.merge(LogMean(log_w[None]))
        return total / samples, log_mean.value

    with parallel.pool(threads) as pool:
        elbo, importance = zip(*pool(piece, parallel.slices(len(x), CHUNK)), strict=True)
    return Bound(np.concatenate(elbo), np.concatenate(importance))


def _rows(which, t, key, dtype):
    numbers = np.arange(which.start, which.stop, dtype=np.uint64)
    return Rows(numbers, np.full(len(numbers), key.t + t, np.uint64), dtype)


def log_weights(program: Program, model: BayesianNetwork, x: np.ndarray, y: np.ndarray, eps: dict
                ) -> np.ndarray:
    """log w = log p(y | h) + log p(h) - log q(h | x), the last two together sum e^2/2 + log s - h^2/2."""
    params = model.params
    f, caches = program.forward(params, x, program.z(params, eps))
    (m, log_std), e = program.law(caches), eps[program.code]
    h = m + np.exp(log_std) * e
    nll, _ = model.likelihood.nll(f, y)
    return np.float64(-nll) + (e * e / 2 + log_std - h * h / 2).sum(axis=1, dtype=np.float64)
