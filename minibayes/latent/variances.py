"""Var[E[y | h, omega]] = E_omega Var_h + Var_omega E_h: what comes of the code, and what of the weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..floats import usual
from ..model import BayesianNetwork
from ..nn import Key, Rows
from .sides import decoder, encode

AT_ONCE = 2**24  # numbers of one block of outputs


@dataclass(frozen=True)
class Variances:
    """Of g = E[y | h, omega], h ~ q(h | x_n), omega ~ q(omega), for each number of y, (N, K).

    code: E_omega Var_h[g], the example's: what q(h | x_n) leaves open.
    weights: Var_omega E_h[g], the model's: 0 without noise in the decoder. Without bias, so that an estimate
             near 0 may be below.
    """

    code: np.ndarray
    weights: np.ndarray


@usual
def variances(model: BayesianNetwork, x: ArrayLike, *, codes: int = 10, omegas: int = 20, seed: int = 0,
              threads: int | None = None) -> Variances:
    """The two variances of what x is decoded to, from S codes of each example under each of T omegas.

    All omegas see the same S codes. So the variance over omega of a mean over codes has, beside that of E_h,
    1/S of the variance in which both have a part, the residual of a two-way table: that is taken off.

    model: with a code, and parameters.
    x: inputs, (N, ...).
    codes: S >= 2, 10 by default.
    omegas: T >= 2, 20 by default; each the same for all inputs and codes.
    seed: of the draws, 0 by default.
    threads: all processors by default; the result does not depend on it.
    """
    S, T = require.integer("codes", codes, 2), require.integer("omegas", omegas, 2)
    key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("variances")
    (m, s), part = encode(model, x), decoder(model)
    T = T if part.net.noisy else 1
    (N, n), K = m.shape, part.net.output_shape(part.net.input_shape)[-1]
    of_code, of_weights = [], []
    for start in range(0, N, max(1, AT_ONCE // (S * T * K))):
        which = slice(start, min(start + max(1, AT_ONCE // (S * T * K)), N))
        count = which.stop - start
        rows = Rows.of(key, count * S, np.arange(start * S, which.stop * S), dtype=m.dtype)
        e = key.of(model.net.code).normal((count * S, n), rows).reshape(count, S, n)
        h = m[which, None] + s[which, None] * e                                     # (N', S, n)
        made = part.predict(h.reshape(-1, n), samples=T, shared=True, keep_samples=True, seed=key.seed,
                            threads=threads)
        g = model.likelihood.mean_and_variance(made.samples)[0].reshape(T, count, S, -1)
        of_code.append(g.var(axis=2, ddof=1).mean(axis=0))                          # (N', K)
        if T > 1:
            both = (g - g.mean(axis=0)).var(axis=2, ddof=1).sum(axis=0) / (T - 1)
            of_weights.append(g.mean(axis=2).var(axis=0, ddof=1) - both / S)
        else:
            of_weights.append(np.zeros_like(of_code[-1]))
    return Variances(np.concatenate(of_code), np.concatenate(of_weights))
