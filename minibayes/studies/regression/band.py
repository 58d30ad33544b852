"""p(y* | x*) ~ (1/T) sum_t N(y*; f_t, 1/tau) as a band: mean, std, log p of the truth; then RMSE, log-likelihood and coverage."""

from typing import NamedTuple

import numpy as np

from ... import metrics
from ...bayes import Gaussian
from ...bayes.summary import LogMean


class Band(NamedTuple):
    """A prediction at N inputs, each (N,), in the units of y: the log-likelihood in nats per datum."""

    mean: np.ndarray
    std: np.ndarray  # of y*: epistemic and aleatoric together
    epistemic: np.ndarray  # the std over passes alone
    log_likelihood: np.ndarray


def precision(samples, y):
    """tau where the training data's expected log-likelihood is largest, in 1/(units of y)^2.       samples (T, N), y (N,)

    d/dtau sum_n E_q[1/2 log tau - tau/2 (y_n - f_n)^2] = 0 at 1/tau = (1/N) sum_n E_q (y_n - f_n)^2: the mean square over data *and*
    passes, not that of the mean prediction. Training with tau = 1 and decay wd is training with this tau and l^2 = keep wd N tau.
    """
    return float(1 / ((y - samples) ** 2).mean())


def gaussian_band(samples, tau, y):
    """The Band of T passes f_t under the noise variance 1/tau, and log p of the truth y.           samples (T, N), y (N,)

    mean = (1/T) sum f_t; std^2 = (1/T) sum f_t^2 - mean^2 + 1/tau; log p = log (1/T) sum_t N(y; f_t, 1/tau). One pass (T = 1), as
    weight averaging has it, leaves std^2 = 1/tau.
    """
    nll, _ = Gaussian(tau).nll(samples.reshape(-1, 1), np.broadcast_to(y, samples.shape).reshape(-1, 1))
    epistemic = samples.var(axis=0)
    return Band(samples.mean(axis=0), np.sqrt(epistemic + 1 / tau), np.sqrt(epistemic), LogMean(-nll.reshape(samples.shape)).value)


def score(band, y, where):
    """How `band` does on the inputs that the mask `where` (N,) selects: one line of the table. Its stds are root mean squares."""
    mean, std, y = band.mean[where], band.std[where], y[where]
    coverage = {f"coverage_{k}": metrics.interval_coverage(mean - k * std, mean + k * std, y) for k in (1, 2)}
    return {"count": len(y), "rmse": metrics.rmse(mean, y), "log_likelihood": float(band.log_likelihood[where].mean()),
            **coverage, "std": float(np.sqrt((std**2).mean())), "epistemic": float(np.sqrt((band.epistemic[where]**2).mean()))}
