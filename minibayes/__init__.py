"""minibayes: dropout and multiplicative Gaussian noise as approximate Bayesian inference, from scratch in NumPy and Numba."""

from . import bayes, checks, data, metrics, models, nn
from .model import BayesianNetwork, load
from .require import InputError
from .training import DivergenceError

__version__ = "0.1.0"
__all__ = ["BayesianNetwork", "DivergenceError", "InputError", "bayes", "checks", "data", "load", "metrics", "models", "nn"]
