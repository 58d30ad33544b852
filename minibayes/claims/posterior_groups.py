"""A hierarchical model with a network in it, truth/groups.py: HMC against sums, for a linear network."""

import numpy as np

from .. import bayes, nn
from ..truth import groups, hmc
from .claim import Finding, claim
from .common import worst

N, G, L = 24, 5, 1.0
CHAINS, DRAWS, WARMUP, LEAPS = 4, 800, 400, 10


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N, 2), y, and groups of 11, 7, 4, 2 and 0 rows."""
    rng = np.random.default_rng(5)
    which = np.repeat(np.arange(4), (11, 7, 4, 2))
    x = rng.standard_normal((N, 2))
    offsets = np.array([0.8, -0.5, 0.9, -1.1])
    return x, x @ [0.6, -0.4] + offsets[which] + 0.4 * rng.standard_normal(N), which


@claim("posterior-groups")
def hierarchical() -> list[Finding]:
    """Offsets of groups, and the two scales, by HMC and by sums."""
    x, y, which = data()
    target = groups.Grouped(nn.Network(a=nn.Dense(2, 1)), bayes.Prior(L), x, y, which, G)
    rng = np.random.default_rng(0)
    start = np.array([target.start(rng) for _ in range(CHAINS)])
    draws = hmc.sample(target, start, rng, draws=DRAWS, warmup=WARMUP, leaps=LEAPS).draws
    exact = groups.Linear(np.column_stack([x, np.ones(N)]), y, which, G, L)
    numbers = np.concatenate([target.offsets(draws), draws[..., target.log_sigma:target.log_s + 1]], axis=-1)
    off = numbers.mean(axis=(0, 1)) - np.array([*exact.offsets(), exact.log_sigma, exact.log_s])
    return [Finding(
        "posterior-groups",
        "a function for all and an offset for each group: their posterior, by HMC as it is",
        f"{CHAINS} chains of {DRAWS}, 5 offsets and the two scales, against sums over both scales, in "
        "standard errors", worst(np.abs(off / hmc.standard_error(numbers))), 4.0, "4 standard errors")]
