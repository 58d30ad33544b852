"""H[pbar] = E H[p] + I: entropy, expected entropy and mutual information of a prediction (claim 13)."""

import math

import numpy as np

from .. import bayes, nn
from ..model import BayesianNetwork
from ..truth import exact
from .claim import Finding, claim
from .common import ROUNDING, random_params, rounding, worst


def entropies(f: np.ndarray, w: np.ndarray) -> tuple[float, float, float]:
    """(H[pbar], E H[p], E KL(p || pbar)) of logits f (P, C) with weights w, written out."""
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    mean = w @ p
    expected = -(w @ (p * np.log(p)).sum(axis=1))
    return -(mean * np.log(mean)).sum(), expected, w @ (p * np.log(p / mean)).sum(axis=1)


@claim("uncertainty-information")
def information() -> list[Finding]:
    """Claim 13: the decomposition, and its sign."""
    net = nn.Network(a=nn.Dense(2, 4, noise=nn.Bernoulli(0.8)), r=nn.ReLU(),
                     b=nn.Dense(4, 3, noise=nn.Bernoulli(0.5)))
    model = BayesianNetwork(net, params=random_params(net, 15))
    x = np.random.default_rng(15).standard_normal((6, 2))
    truth = exact.predict(net, model.params, model.likelihood, x)
    found = model.predict(x, samples=40, seed=15, keep_samples=True)
    off = []
    for p, f, w in ((truth, truth.f, truth.w), (found, found.samples.swapaxes(0, 1), np.full(40, 1 / 40))):
        total, expected, mutual = np.array([entropies(f[n], w) for n in range(len(x))]).T
        off += [np.abs(p.entropy - total).max(), np.abs(p.expected_entropy - expected).max(),
                np.abs(p.mutual_information - mutual).max(), np.abs(total - expected - mutual).max(),
                -p.mutual_information.min()]
    return [Finding(
        "uncertainty-information",
        "entropy = expected entropy + mutual information, and mutual information = E KL(p || pbar) >= 0",
        "exact and 40-pass values at six inputs against the sums written out, and the largest negative one",
        worst(off), rounding(2**6 + 6, 16), "rounding of p log p, with log p above -16")]


def members(keep: float, level: float) -> tuple:
    """One unit that decides between logits (-level, level) and (level, -level): (exact, 500 passes)."""
    net = nn.Network(a=nn.Dense(1, 2, noise=nn.Bernoulli(keep)))
    params = {"a": {"M": np.array([[-2 * level], [2 * level]]), "b": np.array([level, -level])}}
    model, x = BayesianNetwork(net, params=params), np.ones((1, 1))
    passes = model.predict(x, samples=500, seed=15, keep_samples=True)
    return exact.predict(net, params, bayes.Categorical(), x), passes


def coin(q: float) -> float:
    """Its entropy."""
    return -q * math.log(q) - (1 - q) * math.log1p(-q)


@claim("uncertainty-information-coin", "uncertainty-information-alike")
def known_values() -> list[Finding]:
    """Claim 13: members that are sure and opposite, and members that are undecided and all alike."""
    off = []
    for keep in (0.5, 0.3):
        truth, drawn = members(keep, 80.0)
        share = (drawn.samples[:, 0, 1] > 0).mean()
        off += [abs(truth.mutual_information.item() - coin(keep)), truth.expected_entropy.item(),
                abs(drawn.mutual_information.item() - coin(share)),
                abs(drawn.variation_ratio.item() - min(share, 1 - share))]
    alike = worst([abs(p.mutual_information.item()) + abs(p.entropy.item() - math.log(2))
                   for p in members(0.5, 0.0)])
    return [
        Finding(
            "uncertainty-information-coin",
            "sure members that disagree have mutual information H(share), ln 2 at one half, "
            "and no expected entropy",
            "one unit that decides between (1, 0) and (0, 1): by enumeration, and by 500 passes",
            worst(off), rounding(500, 160), ROUNDING),
        Finding(
            "uncertainty-information-alike",
            "members that agree have no mutual information, however undecided they are",
            "a unit without influence", alike, rounding(500, 1), ROUNDING),
    ]
