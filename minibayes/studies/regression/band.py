"""p(y* | x*) ~ (1/T) sum_t N(y*; f_t, 1/tau) as a band: mean, std, log p of the truth, and scores."""

from typing import NamedTuple

import numpy as np

from ... import bayes, metrics
from ...bayes.summary import LogMean


class Band(NamedTuple):
    """A prediction at N inputs, each (N,), in the units of y: the log-likelihood in nats per datum."""

    mean: np.ndarray
    std: np.ndarray  # of y*: epistemic and aleatoric together
    epistemic: np.ndarray  # the std over passes alone
    log_likelihood: np.ndarray


def precision(passes: np.ndarray, y: np.ndarray) -> float:
    """tau where the training data's expected log-likelihood is largest, 1/(units of y)^2.  passes (T, N)

    d/dtau sum_n E_q[1/2 log tau - tau/2 (y_n - f_n)^2] = 0 at 1/tau = (1/N) sum_n E_q (y_n - f_n)^2: the mean
    square over data *and* passes, not that of the mean prediction. Training with tau = 1 and decay wd is
    training with this tau and l^2 = keep wd N tau.
    """
    return float(1 / ((y - passes) ** 2).mean())


def gaussian_band(passes: np.ndarray, tau: float, y: np.ndarray) -> Band:
    """The Band of T passes f_t under the noise variance 1/tau, and log p of the truth y.      passes (T, N)

    mean = (1/T) sum f_t; std^2 = (1/T) sum f_t^2 - mean^2 + 1/tau; log p = log (1/T) sum_t N(y; f_t, 1/tau).
    One pass (T = 1), as weight averaging has it, leaves std^2 = 1/tau.
    """
    nll, _ = bayes.Gaussian(tau).nll(passes.reshape(-1, 1), np.broadcast_to(y, passes.shape).reshape(-1, 1))
    epistemic = passes.var(axis=0)
    log_likelihood = LogMean(-nll.reshape(passes.shape)).value
    return Band(passes.mean(axis=0), np.sqrt(epistemic + 1 / tau), np.sqrt(epistemic), log_likelihood)


def score(band: Band, y: np.ndarray, where: np.ndarray) -> dict:
    """How `band` does where the mask (N,) is true: one line of the table. Its stds are root mean squares."""
    chosen, y = Band(*(values[where] for values in band)), y[where]

    def coverage(k: int) -> float:
        return metrics.interval_coverage(chosen.mean - k * chosen.std, chosen.mean + k * chosen.std, y)

    return {"count": len(y), "rmse": metrics.rmse(chosen.mean, y),
            "log_likelihood": float(chosen.log_likelihood.mean()),
            "coverage_1": coverage(1), "coverage_2": coverage(2),
            "std": float(np.sqrt((chosen.std**2).mean())),
            "epistemic": float(np.sqrt((chosen.epistemic**2).mean()))}
