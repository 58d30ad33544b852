"""A table in, a number or a class with its uncertainty out: Regressor and Classifier, the topmost level.

They follow scikit-learn's conventions without needing it: fit, predict, score, get_params, set_params; what a
fit finds has a trailing underscore. Below them is a BayesianNetwork, `network_`.
"""

from . import files
from .classifier import Classifier
from .conformal import Conformal
from .estimator import Estimator
from .files import load
from .regressor import Regressor

files.CLASSES.update(Regressor=Regressor, Classifier=Classifier)

__all__ = ["Classifier", "Conformal", "Estimator", "Regressor", "load"]
