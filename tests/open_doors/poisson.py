"""y ~ Poisson(e^f): counts. -log p = e^f - y f + log y!, d/df = e^f - y; mean and variance e^f."""

import math
from dataclasses import dataclass

import numpy as np

from minibayes import bayes

log_factorial = np.vectorize(lambda y: math.lgamma(y + 1), otypes=[float])


@dataclass(frozen=True)
class Poisson(bayes.Likelihood):
    support = "count"

    def nll(self, f, y):
        rate = np.exp(f)
        return (rate - y * f + log_factorial(y)).sum(axis=1).astype(f.dtype), (rate - y).astype(f.dtype)

    def mean_and_variance(self, f):
        return np.exp(f), np.exp(f)
