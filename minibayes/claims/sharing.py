"""Shared values: E[K] of a Dirichlet process, the posterior over partitions, and a code's length."""

import math

import numpy as np

from .. import kernels
from .claim import Finding, claim

ALPHA, WEIGHTS, CHAINS = 5.0, 120, 400
W, R, PRIOR, DRAWS = np.array([0.3, 0.4, -1.0, 0.35]), np.array([4.0, 9.0, 1.0, 25.0]), 0.5, 4000
ZEROS, ONES = 4700, 300
ERRORS = "4 standard errors"


def tables(label: np.ndarray, w: np.ndarray, r: np.ndarray, prior: float) -> tuple:
    """count, precision and weighted sum of each table, as `kernels.restaurant` keeps them."""
    n = len(w)
    return np.bincount(label, minlength=n), prior + np.bincount(label, r, n), np.bincount(label, r * w, n)


def expected_values(alpha: float, n: int) -> np.ndarray:
    """alpha/(alpha + i), i = 0 ... n - 1: the probabilities that weight i has a value of its own."""
    return alpha / (alpha + np.arange(n))


@claim("sharing-expected-values")
def number_of_values() -> list[Finding]:
    """A draw from a Dirichlet process is discrete: n weights have E[K] = sum alpha/(alpha + i) values."""
    found, rng = [], np.random.default_rng(0)
    none, zeros = np.zeros(WEIGHTS), np.zeros(WEIGHTS, np.int64)
    for u in rng.random((CHAINS, 2, WEIGHTS)):
        label, state, laid = np.full(WEIGHTS, -1), (zeros.copy(), np.ones(WEIGHTS), none.copy()), 0
        for sweep in u:  # seated, and once more by Gibbs: no data, so the same law
            laid = kernels.restaurant(none, none, ALPHA, 1.0, sweep, label, *state, laid)
        found.append(len(set(label)))
    p = expected_values(ALPHA, WEIGHTS)
    error = math.sqrt(float((p * (1 - p)).sum()) / CHAINS)
    return [Finding(
        "sharing-expected-values",
        "weights drawn from a Dirichlet process with a continuous base share values: "
        "E[K] = sum_i alpha/(alpha + i)",
        f"mean number of values of {WEIGHTS} weights in {CHAINS} chains of the sampler without data, "
        f"alpha = {ALPHA:g}, against {p.sum():.3f}, in standard errors",
        abs(np.mean(found) - p.sum()) / error, 4.0, ERRORS)]


def partitions(n: int) -> np.ndarray:
    """All partitions of n things, labelled in the order of first appearance."""
    out = [()]
    for _ in range(n):
        out = [(*p, k) for p in out for k in range(max(p, default=-1) + 2)]
    return np.array(out)


def posterior(every: np.ndarray) -> np.ndarray:
    """p(partition | w) ~ prod_k alpha (n_k - 1)! N(w_k; 0, diag(1/r) + 11'/prior)."""
    logs = np.zeros(len(every))
    for i, label in enumerate(every):
        for k in range(label.max() + 1):
            w, r = W[label == k], R[label == k]
            cov = np.diag(1 / r) + 1 / PRIOR
            quadratic = w @ np.linalg.solve(cov, w)
            logs[i] += math.log(ALPHA) + math.lgamma(len(w)) - 0.5 * quadratic
            logs[i] -= 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]
    q = np.exp(logs - logs.max())
    return q / q.sum()


@claim("sharing-partitions")
def sweep_keeps_the_posterior() -> list[Finding]:
    """Collapsed Gibbs: begun from the posterior over 15 partitions of four weights, a sweep ends in it."""
    every, rng = partitions(len(W)), np.random.default_rng(1)
    q, found = posterior(every), np.zeros(len(every))
    for start, u in zip(rng.choice(len(every), DRAWS, p=q), rng.random((DRAWS, len(W))), strict=True):
        label = every[start].copy()
        kernels.restaurant(W, R, ALPHA, PRIOR, u, label, *tables(label, W, R, PRIOR), int(label.max()) + 1)
        names = {}
        found[(every == [names.setdefault(k, len(names)) for k in label]).all(axis=1)] += 1
    return [Finding(
        "sharing-partitions",
        "a Gibbs sweep over who shares a value, the values integrated out, leaves the posterior as it is",
        f"how often each of the {len(every)} partitions of four weights comes in {DRAWS} sweeps from the "
        "enumerated posterior, in standard errors, the worst",
        float((np.abs(found / DRAWS - q) / np.sqrt(q * (1 - q) / DRAWS)).max()), 4.0, ERRORS)]


@claim("sharing-code-length")
def code_is_evidence() -> list[Finding]:
    """Coded with predictive probabilities, a sequence takes -log2 of its marginal likelihood."""
    code = np.ones((ZEROS + ONES, 1), np.uint64)
    code[np.random.default_rng(2).permutation(len(code))[:ONES]] = 2
    out = np.zeros(len(code), np.uint8)
    none = np.zeros_like(code)
    bits = 8 * (kernels.encode(code, none, 1, 0, out) - kernels.encode(np.ones_like(code), none, 0, 0, out))
    log_evidence = (math.lgamma(ZEROS + 0.5) + math.lgamma(ONES + 0.5) - math.lgamma(len(code) + 1)
                    - math.log(math.pi))
    return [Finding(
        "sharing-code-length",
        "an adaptive code is as long as the evidence: -log2 of the marginal likelihood under Beta(1/2, 1/2)",
        f"bits of {ZEROS} zeros and {ONES} ones in a compact file against "
        f"{-log_evidence / math.log(2):.1f}", abs(bits + log_evidence / math.log(2)), 24.0,
        "whole bytes of two codes, and a byte of probabilities that are rounded")]
