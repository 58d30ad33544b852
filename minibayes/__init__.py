"""minibayes: dropout and multiplicative Gaussian noise as approximate Bayesian inference, from scratch."""

import importlib
import sys

from . import bayes, cautions, data, models, nn, truth
from .model import BayesianNetwork
from .require import InputError
from .training import DivergenceError

__version__ = "0.1.0"

# Not everybody needs them, and an import is waited for; some bring matplotlib.
LATER = ("active", "bench", "checks", "compress", "conformal", "latent", "metrics", "plots", "processes",
         "spread", "studies", "temperature")
WHERE = {"Classifier": "estimators", "Conformal": "estimators", "Ensemble": "ensemble",
         "LastLayer": "last_layer", "Regressor": "estimators", "load": "estimators",
         "predict_in_pieces": "pieces"}
__all__ = ["BayesianNetwork", "DivergenceError", "InputError", "bayes", "cautions", "data", "models", "nn",
           "truth", *LATER, *WHERE]

# Names of version 0.1: bayes.exact and bayes.hmc are rooms of their own now.
for _name in ("exact", "hmc"):
    setattr(bayes, _name, getattr(truth, _name))
    sys.modules[f"{bayes.__name__}.{_name}"] = getattr(truth, _name)


def __getattr__(name: str) -> object:
    if name in LATER:
        return importlib.import_module(f"{__name__}.{name}")
    if name in WHERE:
        return getattr(importlib.import_module(f"{__name__}.{WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *LATER, *WHERE])
