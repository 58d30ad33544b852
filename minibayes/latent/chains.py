"""p(missing | known, omega): a Markov chain on the code and on what is missing."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..fast import parallel
from ..floats import usual
from ..model import BayesianNetwork
from ..nn import Key, Rows
from .sides import sides, targets

KEPT = (0.0, 0.9, 0.99)  # r of the moves, in turn


@dataclass(frozen=True)
class Completion:
    """Inputs of which only some numbers are known, completed by chains that have each an omega of their own.

    mean: E[y | known], known numbers as they are.
    std: of E[y | h, omega] over the chains: what the model does not know of the number behind y.
    drawn: y as each chain has it at the end, (chains, N, K).
    decoded: E[y | h, omega] of each chain at its end, known numbers as they are.
    accepted: the share of the second half's proposals for h that were.
    """

    mean: np.ndarray  # (N, K)
    std: np.ndarray  # (N, K)
    drawn: np.ndarray
    decoded: np.ndarray
    accepted: float


@usual
def complete(model: BayesianNetwork, x: ArrayLike, known: ArrayLike, *, chains: int = 20, steps: int = 200,
             seed: int = 0, threads: int | None = None) -> Completion:
    """The numbers of x that are not known, given those that are: a Markov chain on (h, what is missing).

    A step proposes h' = m + r (h - m) + sqrt(1 - r^2) s e, with q(h | x) = N(m, s^2) of what is missing as
    it stands, and takes it with probability min(1, w(h')/w(h)), w = p(x | h) p(h)/q(h | x); then it draws
    what is missing from p(x | h). The move leaves q(h | x) as it is for every r (Neal 1999; Cotter et al.
    2013), so that the law tends to p(h, missing | known, omega), whatever q is; r = 0 is Metropolis within
    Gibbs as by Mattei and Frellsen (arXiv 1802.04826), large r are small moves that are taken more often. r
    takes turns. In the first half of the steps every proposal with r = 0 is taken, which brings h to where x
    is likely (Rezende et al. 2014); what it does wrong, the second half forgets.

    Every chain has one omega ~ q(omega) and keeps it.

    model: with a code and parameters, trained to give back its inputs: y = x in rows.
    x: inputs, (N, ...); what stands where nothing is known is not looked at, and may be NaN.
    known: True for the numbers that are known, in the shape of x, or of one of its inputs.
    chains: 20 by default.
    steps: of each chain, 200 by default.
    seed: of the chains, 0 by default.
    threads: all processors by default; the result does not depend on it.
    """
    sides(model)
    x = require.array("x", x)
    known = np.asarray(known)
    if known.dtype != bool or known.shape not in (x.shape, x.shape[1:]):
        raise require.InputError(f"known must be True and False in the shape of x, {x.shape}, or of one "
                                 f"input, {x.shape[1:]}, got {known.dtype} {known.shape}")
    known = np.broadcast_to(known, x.shape).reshape(len(x), -1)
    x = model.net.inputs("x", np.where(known.reshape(x.shape), x, 0), model.dtype)
    y = targets(model, x, None)
    if y.shape != known.shape:
        raise require.InputError("model must give back its inputs, a target for each number, got "
                                 f"{y.shape[1]} targets for {known.shape[1]} numbers")
    chains, steps = require.integer("chains", chains, 1), require.integer("steps", steps, 1)
    key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("complete")
    with parallel.pool(threads) as pool:
        ends = pool(lambda c: _chain(model, x, y, known, key, c, steps), range(chains))
    drawn, decoded = (np.stack([np.where(known, y, end[i]) for end in ends]) for i in (0, 1))
    return Completion(decoded.mean(axis=0), decoded.std(axis=0), drawn, decoded,
                      float(sum(end[2] for end in ends) / chains))


def _chain(model, x, y, known, key, c, steps):
    """(what is drawn (N, K), E[y | h, omega] (N, K), share of proposals taken) at the end of chain c."""
    net, params, (before, after) = model.net, model.params, sides(model)
    rows = Rows(np.arange(len(x), dtype=np.uint64), np.full(len(x), key.t + c, np.uint64), x.dtype)
    z = net.z(params, net.draw_rows(key, x.shape[1:], rows))            # omega of this chain, and the first e
    rng = np.random.default_rng([key.seed, c])

    def through(layers, a):
        for name, layer in layers.items():
            a, _ = layer.forward(params.get(name), a, z.get(name, 1))
        return a

    def log_w(f, h, m, log_std):
        e = (h - m) / np.exp(log_std)
        nll, _ = model.likelihood.nll(f, y_now)
        return np.float64(-nll) + (e * e / 2 + log_std - h * h / 2).sum(axis=1, dtype=np.float64)

    h, accepted = z[net.code].astype(x.dtype), 0                        # h ~ p(h)
    f = through(after, h)
    y_now = np.where(known, y, model.likelihood.draw(f, rng))
    begin = steps // 2
    for step in range(steps):
        e = rng.standard_normal(h.shape).astype(x.dtype)
        m, log_std = net.layers[net.code].law(through(before, y_now.reshape(x.shape).astype(x.dtype)))
        r = 0.0 if step < begin else KEPT[step % len(KEPT)]
        h_new = m + x.dtype.type(r) * (h - m) + x.dtype.type(math.sqrt(1 - r * r)) * np.exp(log_std) * e
        new = through(after, h_new)
        take = np.ones(len(x), bool)
        if step >= begin:
            take = taken(log_w(new, h_new, m, log_std) - log_w(f, h, m, log_std), rng)
            accepted += take.mean()
        h, f = np.where(take[:, None], h_new, h), np.where(take[:, None], new, f)
        y_now = np.where(known, y, model.likelihood.draw(f, rng))
    return y_now, model.likelihood.mean_and_variance(f)[0], accepted / (steps - begin)


def taken(log_ratio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Metropolis and Hastings: True with probability min(1, ratio)."""
    return np.log1p(-rng.random(len(log_ratio))) < log_ratio
