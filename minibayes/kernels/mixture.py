"""Quantiles of mixtures of normal distributions."""

import math

from .compiling import njit


@njit(nogil=True, cache=True)
def mixture_quantile(mean, std, weights, q, low, high, out):
    """out[r] = the x with sum_t w_t Phi((x - mean[r, t])/std[r, t]) = q sum_t w_t, by halving [low[r], high[r]].

    It ends where no number lies between.

    A part with std 0 is a step at its mean; where low or high is not finite, neither is out (NaN).
    mean, std (R, T);  weights (T,);  low, high, out (R,), out written. Phi(a) = erfc(-a / sqrt 2) / 2 is the normal distribution function.
    """
    R, T = mean.shape
    total_weight = 0.0
    for t in range(T):
        total_weight += weights[t]
    for r in range(R):
        a, b = low[r], high[r]
        if not (math.isfinite(a) and math.isfinite(b)):
            out[r] = math.nan
            continue
        while True:
            x = a + (b - a) / 2
            if x <= a or x >= b:
                break
            total = 0.0
            for t in range(T):
                if std[r, t] > 0:
                    total += weights[t] * (math.erfc((mean[r, t] - x) / (std[r, t] * math.sqrt(2.0))) / 2)
                elif x >= mean[r, t]:
                    total += weights[t]
            if total < q * total_weight:
                a = x
            else:
                b = x
        out[r] = b
