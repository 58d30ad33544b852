"""The eight schools, truth/schools.py: two ways to sample, and what q without correlations makes of tau."""

import numpy as np

from ..nn.noise import normal_points
from ..truth import hmc, schools
from .claim import Finding, claim
from .common import worst

CHAINS, DRAWS, WARMUP, LEAPS = 4, 600, 400, 16
SEED = 0


def sampled(target: schools.Centred | schools.NonCentred) -> hmc.Chains:
    """From starts drawn apart."""
    rng = np.random.default_rng(SEED)
    start = rng.standard_normal((CHAINS, target.size))
    return hmc.sample(target, start, rng, draws=DRAWS, warmup=WARMUP, leaps=LEAPS)


def expected_slopes(q: schools.MeanField) -> tuple[np.ndarray, np.ndarray]:
    """E_q[d_i log p] and E_q[(x_i - mean_i) d_i log p], which the best q makes 0 and -1; (10,) each.

    log p is of second degree in (mu, theta): 18 points at +- 3 std_i, one at a time, are exact for them (a
    cubature of degree 3 in 9 dimensions), times 60 Gauss-Hermite nodes for log tau.
    """
    target, rest = schools.Centred(), [0, *range(2, 10)]
    first, second = np.zeros(10), np.zeros(10)
    for node, weight in zip(*normal_points(60), strict=True):
        for i in rest:
            for far in (3.0, -3.0):
                x = q.mean.copy()
                x[1] += node * q.std[1]
                x[i] += far * q.std[i]
                slope = target(x)[1]
                first += weight / 18 * slope
                second += weight / 18 * slope * (x - q.mean)
    return first, second


@claim("posterior-schools-non-centred", "posterior-schools-funnel", "posterior-schools-mean-field",
       "posterior-schools-mean-field-tau")
def eight_schools() -> list[Finding]:
    """By quadrature, by HMC in both coordinates, and by mean field."""
    truth, q = schools.exact(), schools.mean_field()
    target, centred = schools.NonCentred(), sampled(schools.Centred()).draws[..., 1]
    draws = sampled(target).draws
    numbers = np.concatenate([draws[..., :1], np.exp(draws[..., 1:2]), target.theta(draws)], axis=-1)
    off = numbers.mean(axis=(0, 1)) - np.array([truth.mu, truth.tau, *truth.theta])
    sizes = [float(hmc.effective_size(log_tau)) for log_tau in (centred, draws[..., 1])]
    first, second = expected_slopes(q)
    found = q.moments()
    return [
        Finding(
            "posterior-schools-non-centred",
            f"eight schools: E mu = {truth.mu:.3f}, E tau = {truth.tau:.3f}, "
            f"E theta_1 = {truth.theta[0]:.3f}",
            f"HMC with theta = mu + tau e, {CHAINS} chains of {DRAWS}, against quadrature: 10 means, "
            "in standard errors",
            worst(np.abs(off / hmc.standard_error(numbers))), 4.0, "4 standard errors"),
        Finding(
            "posterior-schools-funnel",
            "drawn as (mu, tau, theta) itself, the posterior is a funnel that the same sampler hardly enters",
            f"draws of log tau that count, {sizes[0]:.0f} of {centred.size}, over those of "
            f"theta = mu + tau e, {sizes[1]:.0f}",
            sizes[0] / sizes[1], 0.25, "a quarter: nine seeds gave 0.01 to 0.16"),
        Finding(
            "posterior-schools-mean-field",
            "the q of mean field is the best of its kind",
            "E_q[d_i log p] std_i against 0 and E_q[(x_i - mean_i) d_i log p] against -1, by cubature",
            worst(np.abs([first * q.std, second + 1])), 1e-8, "the convergence of coordinate ascent"),
        Finding(
            "posterior-schools-mean-field-tau",
            f"and it fails on tau: E tau = {found.tau:.2f} for {truth.tau:.2f}, and the sd of log tau "
            f"{found.log_tau_std:.2f} for {truth.log_tau_std:.2f}",
            "mean field's sd of log tau over the exact one",
            found.log_tau_std / truth.log_tau_std, 0.5, "half"),
    ]
