"""KL(q(h_n | x_n) || p(h)), q = N(m_n, diag s_n^2), p = N(0, I): what the code of one example costs.

It is the row of mean field under the normal prior (`rules/mean_field.py`, l = 1), number by number, with its
constant: 1/2 (m^2 + s^2 - 1) - log s. Noise in a weight and noise in a code are one thing; only that a code
belongs to one example: its KL is counted with that example's -log p, once for each, where the weights' is
counted once for the data set. So

    -log p(y_n | theta)  <=  E_q[-log p(y_n | h)] + KL(q(h_n | x_n) || p(h)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .rules.mean_field import constant, of_std

if TYPE_CHECKING:  # objective.py looks at this file
    from .objective import Objective


def kl(m: np.ndarray, log_std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(KL of each row's code, nats, (B,); its derivative in (m, log s), (B, 2n)).     m, log s (B, n)"""
    of_m, (value, slope) = m * m / 2, of_std(1.0, log_std)
    rows = (of_m + value).sum(axis=1) + m.dtype.type(m.shape[1] * constant(1.0))
    return rows, np.concatenate([m, slope], axis=1)                     # d/dm = m


def counted(objective: Objective, caches: dict, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`kl` of the codes of one forward pass, as often as each datum counts."""
    return tuple(objective.likelihood.counted(a, y) for a in kl(*objective.net.law(caches)))
