"""Which x to label next: scores of the (T, N, C) probabilities of T passes, and how a batch is chosen.

    entropy           H[pbar]                              all of the uncertainty
    bald              H[pbar] - (1/T) sum_t H[p_t]         I(y; omega): what a label teaches
    variation_ratio   1 - (most votes)/T
    mean_std          (1/C) sum_c sd_t p_tc
    batch_bald        I(y_1 .. y_b; omega), for the whole batch, greedily

Information is in nats. Houlsby et al., arXiv 1112.5745 (BALD); Gal, Islam and Ghahramani, arXiv 1703.02910;
Kirsch, van Amersfoort and Gal, arXiv 1906.08158 (BatchBALD); Kirsch et al., arXiv 2106.12059 (power).

BALD of T passes is too small on average, as H is concave: by about the variance of pbar over 2 pbar, which is
up to MI/T and more. `bald` takes that off by the jack-knife, T I - (T - 1) mean_t I(without pass t), and
`bald_error` is the standard error that comes with it.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from .. import require

MOST_JOINT = 1000  # outcomes (y_1 .. y_j) that a joint entropy is summed over; of more,
DRAWN = 1000  # so many are drawn
BLOCK = 2_000_000  # numbers held at once


def checked(probabilities: ArrayLike) -> np.ndarray:
    """(T, N, C) float64 of finite numbers >= 0 whose rows add up to 1."""
    p = require.finite("probabilities", require.array("probabilities", probabilities)).astype(np.float64)
    if p.ndim != 3 or not p.size:
        raise require.InputError(f"probabilities must have shape (T, N, C), of each pass, got {p.shape}")
    if (p < 0).any() or (np.abs(p.sum(axis=-1) - 1) > 1e-3).any():
        raise require.InputError("probabilities must be >= 0 and add up to 1 over the classes")
    return p


def H(p: np.ndarray) -> np.ndarray:
    """-sum_c p_c log p_c, nats; 0 log 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


def entropy(probabilities: ArrayLike) -> np.ndarray:
    """H[pbar], nats, (N,)."""
    return H(checked(probabilities).mean(axis=0))


def _pseudo_values(p):
    """T I - (T - 1) I(without pass t), (T, N): their mean is the jack-knife's, their scatter its error."""
    T, total = len(p), p.sum(axis=0)
    each = H(p)
    whole = H(total / T) - each.mean(axis=0)
    without = H((total - p).clip(0) / (T - 1)) - (each.sum(axis=0) - each) / (T - 1)
    return T * whole - (T - 1) * without


def bald(probabilities: ArrayLike, correct: bool = True) -> np.ndarray:
    """I(y; omega), nats, (N,); jack-knifed by default (it may then be a little below 0), else as it comes."""
    p = checked(probabilities)
    if require.boolean("correct", correct) and len(p) > 1:
        return _pseudo_values(p).mean(axis=0)
    return np.maximum(H(p.mean(axis=0)) - H(p).mean(axis=0), 0)


def bald_error(probabilities: ArrayLike) -> np.ndarray:
    """The standard error of `bald` by T passes, nats, (N,); NaN of one pass."""
    p = checked(probabilities)
    if len(p) == 1:
        return np.full(p.shape[1], np.nan)
    return _pseudo_values(p).std(axis=0, ddof=1) / np.sqrt(len(p))


def variation_ratio(probabilities: ArrayLike) -> np.ndarray:
    """1 - (most votes)/T, (N,): a vote is the most probable class of one pass."""
    p = checked(probabilities)
    votes = (p.argmax(axis=-1)[..., None] == np.arange(p.shape[-1])).sum(axis=0)
    return 1 - votes.max(axis=-1) / len(p)


def mean_std(probabilities: ArrayLike) -> np.ndarray:
    """(1/C) sum_c sd_t p_tc, (N,)."""
    return checked(probabilities).std(axis=0).mean(axis=-1)


def batch_bald(probabilities: ArrayLike, b: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(ids (b,), I(y_1 .. y_j; omega) for j = 1 .. b, nats): each id the one that adds most to those before.

    The joint p(y_1 .. y_j) = (1/T) sum_t prod_i p_t(y_i) is summed over all C^j outcomes while they are few
    (1,000), and then over as many that are drawn from it. seed: of those draws.
    """
    p = checked(probabilities)
    T, N, C = p.shape
    b, rng = require.integer("b", b, 1, N), np.random.default_rng([require.integer("seed", seed, 0), 6])
    given, joint = H(p).mean(axis=0), np.ones((T, 1))                   # (1/T) sum_t H[p_t];  prod_i p_t(y_i)
    ids, values, summed, gain = [], [], True, np.full(N, np.inf)
    for _ in range(b):
        known = joint_entropy(joint, np.ones((T, 1, 1)), summed)[0]     # H[y_1 .. y_j]
        for rows in promising(gain, ids):                               # I(y_n; omega | y_1 .. y_j)
            gain[rows] = joint_entropy(joint, p[:, rows], summed) - known - given[rows]
        gain[ids] = -np.inf                                             # each id once
        ids.append(int(gain.argmax()))
        values.append(float(known - given[ids[:-1]].sum() + gain[ids[-1]]))
        summed = summed and joint.shape[1] * C <= MOST_JOINT
        joint = ((joint[:, :, None] * p[:, ids[-1], None, :]).reshape(T, -1) if summed
                 else drawn(p[:, ids], rng))
    return np.array(ids), np.array(values)


def promising(gain: np.ndarray, ids: list, size: int = 256) -> Iterator[np.ndarray]:
    """Rows whose gain is to be computed anew, until none that is left can be the largest.

    What y_n adds to what is known never grows with what is known (I is submodular): a gain of an earlier step
    bounds that of this one. So those of the largest bounds come first, and the rest is often left out. Where
    outcomes are drawn, bounds and gains are so up to the noise of the draws, which ranks them anyway.
    """
    left = np.setdiff1d(np.argsort(-gain, kind="stable"), ids, assume_unique=True)  # keeps that order
    for start in range(0, len(left), size):
        rows = left[start:start + size]
        if start and gain[rows[0]] < gain[left[:start]].max():
            return
        yield rows


def joint_entropy(joint: np.ndarray, p: np.ndarray, summed: bool) -> np.ndarray:
    """H[y_1 .. y_j, y_n] for each input n, nats, (N,), from prod_i p_t(y_i) (T, S).

    summed: whether the S outcomes are all there are; else they were drawn, and it is
    E of -sum_c p(y_n = c | y_1 .. y_j) log p(y_1 .. y_j, y_n = c).
    """
    (T, N, C), S = p.shape, joint.shape[1]
    out, size = np.empty(N), max(1, BLOCK // (S * C))
    weight = np.ones(S) if summed else 1 / joint.mean(axis=0) / S
    for start in range(0, N, size):
        rows = slice(start, start + size)
        both = np.tensordot(joint / T, p[:, rows], (0, 0))              # p(y_1 .. y_j, y_n)   (S, N', C)
        out[rows] = weight @ H(both)
    return out


def drawn(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """prod_i p_t(y_i) for each pass and outcomes y ~ (1/T) sum_t prod_i p_t(y_i): (T, DRAWN)."""
    T, n, _ = p.shape
    which = rng.integers(0, T, DRAWN)                                   # a pass, and y from it
    y = (rng.random((DRAWN, n, 1)) > p[which].cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    return np.prod([p[:, i, y[:, i]] for i in range(n)], axis=0)


SCORES = {"entropy": entropy, "bald": bald, "variation_ratio": variation_ratio, "mean_std": mean_std}
HOW = ("top", "power", "batch", "random")


def select(score: str | Callable, probabilities: ArrayLike, b: int, how: str = "top", seed: int = 0,
           beta: float = 1.0) -> np.ndarray:
    """The ids (b,) to label next, of N inputs with the probabilities (T, N, C) of T passes.

    score: a name of SCORES, or a function of the probabilities that gives (N,).
    how: "top" (by default), the b largest; "power", at random with odds score^beta (Gumbel: beta log score
         plus noise), which keeps copies of one input from filling a batch; "batch", `batch_bald`, whatever
         the score; "random".
    seed: of what is random.
    """
    p, how = checked(probabilities), require.choice("how", how, HOW)
    b, seed = require.integer("b", b, 1, p.shape[1]), require.integer("seed", seed, 0, 2**64 - 1)
    if how == "batch":
        return batch_bald(p, b, seed)[0]
    rng = np.random.default_rng([seed, 5])
    if how == "random":
        return rng.permutation(p.shape[1])[:b]
    function = score if callable(score) else SCORES[require.choice("score", score, SCORES)]
    values = require.finite("score", require.array("score", function(p))).astype(np.float64)
    if values.shape != p.shape[1:2]:
        raise require.InputError(f"score must give ({p.shape[1]},), one number an input, got {values.shape}")
    if how == "power":
        beta = require.real("beta", beta, 0)
        values = beta * np.log(np.maximum(values, 1e-300)) + rng.gumbel(size=len(values))
    return np.argsort(-values, kind="stable")[:b]
