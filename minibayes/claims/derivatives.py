"""df = softmax - onehot and tau (f - y): the derivatives of -log p (claim 14).

Here and in derivatives_layers.py derivatives are checked where that costs no approximation: by complex steps
(f(x + ih) has df/dx in its imaginary part, to rounding for a tiny h), by central differences of functions
that are quadratic along the way, or by the inequality that defines a subgradient.
"""

import math

import numpy as np

from .. import bayes
from .claim import Finding, claim
from .common import ROUNDING, rounding, worst

TINY = 1e-100


@claim("derivatives-softmax")
def softmax() -> list[Finding]:
    """Claim 14: -log softmax(f)_y and its derivative in f."""
    f, y = 3 * np.random.default_rng(16).standard_normal((4, 5)), np.array([0, 4, 2, 2])
    nll, df = bayes.Categorical().nll(f, y)
    off = []
    for n, c in np.ndindex(f.shape):
        moved = f[n].astype(complex)
        moved[c] += 1j * TINY
        written = np.log(np.exp(moved).sum()) - moved[y[n]]  # -log softmax(f)_y
        off += [abs(nll[n] - written.real), abs(df[n, c] - written.imag / TINY)]
    return [Finding(
        "derivatives-softmax",
        "-log softmax(f)_y has the derivative softmax(f) - onehot(y)",
        "Categorical.nll against log sum exp written out, and its derivative by complex steps",
        worst(off), rounding(5, 2 * np.abs(f).max() + 2), ROUNDING)]


@claim("derivatives-gaussian", "derivatives-gaussian-density")
def gaussian() -> list[Finding]:
    """Claim 14: tau/2 ||y - f||^2 and its derivative in f; and that p is a density."""
    tau, h = 2.5, 0.5
    rng, likelihood = np.random.default_rng(16), bayes.Gaussian(tau)
    f, y = 3 * rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
    _, df = likelihood.nll(f, y)
    difference = np.empty(f.shape)
    for c, e in enumerate(h * np.eye(5)):
        difference[:, c] = (likelihood.nll(f + e, y)[0] - likelihood.nll(f - e, y)[0]) / (2 * h)
    size = np.abs(f).max() + np.abs(y).max() + h
    # int p(y | f) dy = 1 and int (y - f)^2 p dy = 1/tau by trapezoids: 10 sd to each side, steps of 1/8 sd
    t = np.arange(-80, 81) / 8 / math.sqrt(tau)
    p = np.exp(-likelihood.nll(np.full((len(t), 1), 0.3), 0.3 + t[:, None])[0]) / 8 / math.sqrt(tau)
    return [
        Finding(
            "derivatives-gaussian",
            "tau/2 ||y - f||^2 has the derivative tau (f - y)",
            "Gaussian.nll's df against central differences of its value, which a quadratic has exactly",
            np.abs(df - difference).max(), rounding(5, tau / 2 * 5 * size**2) / h,
            "rounding of the values, over the step"),
        Finding(
            "derivatives-gaussian-density",
            "N(y; f, 1/tau) is a density with variance 1/tau: the 1/2 and the constant are there",
            "integrals over y of exp(-nll) against 1, of (y - f)^2 exp(-nll) against 1/tau",
            worst([abs(p.sum() - 1), abs((p * t**2).sum() * tau - 1)]), rounding(len(t), 50),
            "rounding; the exponent is 50 at most, and e^-50 is cut off"),
    ]
