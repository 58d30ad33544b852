"""(1/T) sum_t p(y* | x*, omega-hat_t) against the exact predictive (claim 7); the truth is `truth.exact`.

Replicates come for free: the rows of one prediction have noise of their own, so R copies of an input are R
independent averages over T passes.
"""

import math

import numpy as np

from .. import bayes, nn
from ..model import BayesianNetwork
from ..truth import exact
from .claim import Finding, claim
from .common import random_params, worst

COPIES = 2000


def tiny() -> tuple[BayesianNetwork, np.ndarray]:
    """A 2-4-3 classifier with six Bernoulli units, and an input."""
    net = nn.Network(a=nn.Dense(2, 4, noise=nn.Bernoulli(0.8)), r=nn.ReLU(),
                     b=nn.Dense(4, 3, noise=nn.Bernoulli(0.5)))
    model = BayesianNetwork(net, likelihood=bayes.Categorical(), params=random_params(net, 8))
    return model, np.array([[0.7, -1.1]])


def convolutional(per: str) -> tuple[BayesianNetwork, np.ndarray]:
    """Convolution, pooling, dense layer, dropout on both: 13 units, or 5 if a kernel's patches share one."""
    conv = nn.Conv2d(1, 1, 2, noise=nn.Bernoulli(0.5), noise_per=per)
    dense = nn.Dense(4, 3, noise=nn.Bernoulli(0.7))
    net = nn.Network((4, 4, 1), c=conv, p=nn.MaxPool2d(2, 1), t=nn.Tanh(), f=nn.Flatten(), d=dense)
    x = np.random.default_rng(8).standard_normal((1, 4, 4, 1))
    return BayesianNetwork(net, params=random_params(net, 8)), x


def moments(model: BayesianNetwork, x: np.ndarray) -> tuple:
    """The exact prediction, and (variance, skewness, kurtosis) of the probabilities of a pass, each (C,)."""
    truth = exact.predict(model.net, model.params, model.likelihood, x)
    p = np.exp(truth.f - np.log(np.exp(truth.f).sum(axis=2, keepdims=True)))
    standard = (p - truth.mean[:, None]) / truth.std[:, None]
    return truth, (truth.std[0] ** 2, truth.expect(standard**3)[0], truth.expect(standard**4)[0])


@claim("prediction-mc-converges", "prediction-mc-rate")
def monte_carlo() -> list[Finding]:
    """Claim 7: the error's size, and its rate."""
    model, x = tiny()
    truth, (variance, _, kurtosis) = moments(model, x)
    copies = np.repeat(x, COPIES, axis=0)
    far, logs = [], {}
    for T in (4, 64, 1024):
        errors = model.predict(copies, samples=T, seed=T).mean - truth.mean  # (R, C)
        far.append((np.abs(errors.mean(axis=0)) / (truth.std[0] / math.sqrt(T * COPIES))).max())
        # mean square error / (variance/T): 1, with standard error sqrt((E u^4 - 1)/R), u the mean's
        # deviation, E u^4 = 3 + excess/T
        size = (errors**2).mean(axis=0) / (variance / T)
        error = np.sqrt((2 + (kurtosis - 3) / T) / COPIES)
        far.append((np.abs(size - 1) / error).max())
        logs[T] = np.log(size * variance / T) / 2, error / 2
    for per in ("patch", "kernel"):
        model, x = convolutional(per)
        truth = exact.predict(model.net, model.params, model.likelihood, x)
        mean = model.predict(np.repeat(x, COPIES, axis=0), samples=16).mean.mean(axis=0)
        far.append((np.abs(mean - truth.mean[0]) / (truth.std[0] / math.sqrt(16 * COPIES))).max())
    slope = (logs[1024][0] - logs[4][0]) / math.log(1024 / 4)
    error = np.hypot(logs[1024][1], logs[4][1]) / math.log(1024 / 4)
    c = np.argmax(np.abs(slope + 0.5) / error)  # the worst class
    return [
        Finding(
            "prediction-mc-converges",
            "the average of T stochastic passes has the exact predictive mean, and error sd/sqrt(T)",
            f"bias and mean square error of {COPIES} predictions by a dense net at T = 4, 64, 1024, "
            "and bias of two with convolutions, against enumeration, in standard errors",
            worst(far), 4.0, "4 standard errors, from the exact moments"),
        Finding(
            "prediction-mc-rate",
            "the error of the MC mean falls as T^(-1/2)",
            f"slope of log root mean square error in log T, T = 4 to 1024: {slope[c]:.4f} against -1/2",
            abs(slope[c] + 0.5), 4 * error[c], "4 standard errors of the slope, by the delta method"),
    ]


def studentised(skew: np.ndarray, excess: np.ndarray, T: int, x: float) -> np.ndarray:
    """P(|mean - truth| <= x std_error) for T draws, to order 1/T.

    Hall, "The Bootstrap and Edgeworth Expansion" (1992), section 2.6. For a standard error from the unbiased
    variance; a normal population (skew = excess = 0) gives Student's t.
    """
    phi, inside = math.exp(-x * x / 2) / math.sqrt(2 * math.pi), math.erf(x / math.sqrt(2))
    correction = excess * (x**2 - 3) / 12 - skew**2 * (x**4 + 2 * x**2 - 3) / 18 - (x**2 + 1) / 4
    return inside + 2 * phi * x / T * correction


@claim("prediction-std-error", "prediction-coverage")
def std_error() -> list[Finding]:
    """Claim 7: the error that is reported."""
    model, x = tiny()
    truth, (variance, skew, kurtosis) = moments(model, x)
    copies = np.repeat(x, COPIES, axis=0)
    reported, cover = [], []
    for T in (4, 64, 1024):
        found = model.predict(copies, samples=T, seed=T)
        # std_error^2 T is the unbiased variance of T draws: in units of the true one it has mean 1 and
        # variance (kurtosis - (T - 3)/(T - 1))/T
        ratio = (found.std_error**2).mean(axis=0) / (variance / T)
        error = np.sqrt((kurtosis - (T - 3) / (T - 1)) / T / COPIES)
        reported.append((np.abs(ratio - 1) / error).max())
    for width in (1.0, 2.0):  # at the largest T
        inside = (np.abs(found.mean - truth.mean) <= width * found.std_error).mean(axis=0)
        wanted = studentised(skew, kurtosis - 3, T, width)
        cover.append((np.abs(inside - wanted) / np.sqrt(wanted * (1 - wanted) / COPIES)).max())
    return [
        Finding(
            "prediction-std-error",
            "the square of the reported standard error is unbiased, from T = 4 passes on",
            f"mean of std_error^2 over {COPIES} predictions against variance/T by enumeration, "
            "in standard errors",
            worst(reported), 4.0, "4 standard errors, from the exact fourth moment"),
        Finding(
            "prediction-coverage",
            "the exact mean is within 1 (2) reported standard errors in 68% (95%) of predictions",
            f"share of {COPIES} predictions, T = {T}, against Student's share corrected for skewness and "
            "kurtosis, in standard errors",
            worst(cover), 4.0,
            "4 binomial standard errors; the correction is 0.002 at most, what it leaves out of order 1/T^2"),
    ]
