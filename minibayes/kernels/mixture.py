"""Quantiles of mixtures of normal distributions."""

import math

from .compiling import njit


@njit(nogil=True, cache=True)
def mixture_quantile(mean, std, q, low, high, out):
    """out[r] = the x with (1/T) sum_t Phi((x - mean[r, t])/std[r, t]) = q, by halving [low[r], high[r]] until no number lies between.

    mean, std (R, T);  low, high, out (R,), out written. Phi(a) = erfc(-a / sqrt 2) / 2 is the normal distribution function.
    """
    R, T = mean.shape
    for r in range(R):
        a, b = low[r], high[r]
        while True:
            x = a + (b - a) / 2
            if x <= a or x >= b:
                break
            total = 0.0
            for t in range(T):
                total += math.erfc((mean[r, t] - x) / (std[r, t] * math.sqrt(2.0))) / 2
            if total < q * T:
                a = x
            else:
                b = x
        out[r] = b
