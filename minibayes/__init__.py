"""minibayes: dropout and multiplicative Gaussian noise as approximate Bayesian inference, from scratch."""

import importlib
import sys
from types import ModuleType

from . import active, bayes, cautions, conformal, data, metrics, models, nn, temperature, truth
from .ensemble import Ensemble
from .estimators import Classifier, Conformal, Regressor, load
from .last_layer import LastLayer
from .model import BayesianNetwork
from .require import InputError
from .training import DivergenceError

__version__ = "0.1.0"

LATER = ("bench", "checks", "plots", "studies")  # not everybody needs them, and some bring matplotlib
__all__ = ["BayesianNetwork", "Classifier", "Conformal", "DivergenceError", "Ensemble", "InputError",
           "LastLayer", "Regressor", "active", "bayes", "cautions", "conformal", "data", "load", "metrics",
           "models", "nn", "temperature", "truth", *LATER]

# Names of version 0.1: bayes.exact and bayes.hmc are rooms of their own now.
for _name in ("exact", "hmc"):
    setattr(bayes, _name, getattr(truth, _name))
    sys.modules[f"{bayes.__name__}.{_name}"] = getattr(truth, _name)


def __getattr__(name: str) -> ModuleType:
    if name in LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *LATER])
