"""The same network through Bayesian eyes: prior, likelihood, q(omega), KL, objective, prediction. Looks at nn; nn never looks back."""

from .likelihood import Categorical, Gaussian, Heteroscedastic
from .objective import Objective
from .predictive import ZeroVarianceWarning
from .prior import Prior

__all__ = ["Categorical", "Gaussian", "Heteroscedastic", "Objective", "Prior", "ZeroVarianceWarning"]
