"""pbar(y) = (1/T) sum_t softmax(f_t/t)_y: one number that makes averaged probabilities fit held-out labels.

What is scaled are the logits of each pass, before the softmax and the average; what is fitted is the nll of
the *average*. (A temperature on the average itself, or one fitted to single passes, is another number.) With
b = 1/t, p_t(b) = softmax(b f_t), and r_t ~ p_t(y), the share of each pass in the average, sum_t r_t = 1:

    g_t = log p_t(y) = b f_ty - log sum_c e^(b f_tc),  g_t' = f_ty - E_p[f_t],  g_t'' = -Var_p[f_t]
    d/db   log pbar(y) = sum_t r_t g_t'
    d2/db2 log pbar(y) = sum_t r_t (g_t'' + g_t'^2) - (sum_t r_t g_t')^2

One Newton solve in log b, held in a bracket: with one pass the nll is convex in b, with several it need not
be. Guo et al., arXiv 1706.04599, for one pass.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from . import parameters, require
from .bayes import Categorical, summary
from .bayes.likelihood import Likelihood
from .model import BayesianNetwork

COLDEST, HOTTEST = 0.01, 100.0  # of the temperatures looked at


def slopes(f: np.ndarray, y: np.ndarray, b: float, weights: np.ndarray) -> tuple[float, float, float]:
    """(nll, d nll/d log b, its second derivative) of the averaged probabilities, nats; f (T, N, C)."""
    rows = np.arange(f.shape[1])
    log_p = summary.log_softmax(b * f)                                  # (T, N, C)
    p, g = np.exp(log_p), log_p[:, rows, y]                             # g_t                    (T, N)
    log_mean = summary.LogMean(g).value                                 # log pbar(y)            (N,)
    share = np.exp(g - log_mean) / len(f)                               # r_t                    (T, N)
    mean = (p * f).sum(axis=-1)                                         # E_p[f_t]
    first = f[:, rows, y] - mean                                        # g_t'
    second = mean**2 - (p * f * f).sum(axis=-1)                         # g_t''
    d1 = (share * first).sum(axis=0)
    d2 = (share * (second + first**2)).sum(axis=0) - d1**2
    d1, d2 = -(weights @ d1), -(weights @ d2)
    return -float(weights @ log_mean), b * d1, b * b * d2 + b * d1      # d/dlog b = b d/db


def best(outputs: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The temperature with the least nll of the averaged probabilities.

    outputs: the logits of every pass, (T, N, C): `predict(x, keep_samples=True).samples`; or of one, (N, C).
    y: (N,) labels, of rows that training has not seen.
    weights: (N,) >= 0, how often each row counts; once by default.
    """
    f = require.finite("outputs", require.array("outputs", outputs)).astype(np.float64)
    f = f[None] if f.ndim == 2 else f
    if f.ndim != 3 or not f.size:
        raise require.InputError("outputs must have shape (T, N, C), the logits of every pass, "
                                 f"got {f.shape}")
    y = Categorical().targets("y", y, f.shape[1], f.shape[2])
    w = np.ones(len(y)) if weights is None else require.array("weights", weights).astype(np.float64)
    if w.shape != y.shape or not w.sum() > 0 or (w < 0).any():
        raise require.InputError(f"weights must be {len(y)} numbers >= 0, and not all 0")
    w = w / w.sum()
    low, high, u = -math.log(HOTTEST), -math.log(COLDEST), 0.0          # u = log b
    for _ in range(100):
        _, d1, d2 = slopes(f, y, math.exp(u), w)
        low, high = (u, high) if d1 < 0 else (low, u)                   # the least nll is on that side
        step = u - d1 / d2 if d2 > 0 else math.inf
        new = step if low < step < high else (low + high) / 2
        if abs(new - u) < 1e-12:
            break
        u = new
    ends = {end: slopes(f, y, math.exp(end), w)[0] for end in (u, -math.log(HOTTEST), -math.log(COLDEST))}
    return math.exp(-min(ends, key=ends.get))


def scaled(model: BayesianNetwork, temperature: float) -> BayesianNetwork:
    """A model whose logits are f/t in every pass: the last layer's M and b over t, as f is linear in both."""
    t = require.real("temperature", temperature, 0, open_low=True)
    check_classes(model.likelihood)
    last, layer = list(model.net.layers.items())[-1]
    if set(layer.param_shapes()) != {"M", "b"} or layer.noise.additive or not model.params:
        raise require.InputError("model must be trained and end in a layer of weights M and b with noise "
                                 f"that multiplies, got {type(layer).__name__} with {layer.noise!r}")
    params = parameters.checked("params", model.params, model.net.param_shapes())
    for p in ("M", "b"):
        params[last][p] = params[last][p] / params[last][p].dtype.type(t)
    return BayesianNetwork(model.net, model.prior, model.likelihood, params)


def check_classes(likelihood: Likelihood) -> None:
    if likelihood.support != "label":
        raise require.InputError(f"model must predict classes, got the likelihood {likelihood!r}")
