"""The same network through Bayesian eyes: prior, likelihood, q(omega), KL, objective, prediction.

It looks at nn; nn never looks back. To add one of your own, subclass `Likelihood` or `Prior`, and write the
KL of a noise under a prior with `kl.rule`.
"""

from . import codes, kl, posterior, rules, sparsity, text
from .bernoulli import Bernoulli
from .likelihood import Categorical, Likelihood
from .objective import Objective
from .predictive import ZeroVarianceWarning
from .prior import LogUniform, Normal, Prior, WeightDecay
from .regression import Gaussian, Heteroscedastic

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Heteroscedastic", "Likelihood", "LogUniform", "Normal",
           "Objective", "Prior", "WeightDecay", "ZeroVarianceWarning", "codes", "kl", "posterior", "rules",
           "sparsity", "text"]
