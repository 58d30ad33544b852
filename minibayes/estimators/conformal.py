"""Intervals and sets that hold the truth as often as they say, whatever the model: conformal, on new rows."""

import numpy as np
from numpy.typing import ArrayLike

from .. import conformal, require
from .estimator import Estimator


class Conformal:
    """A fitted Regressor or Classifier, calibrated on rows that it was not trained on.

        model = mb.Regressor().fit(X, y)
        sure = mb.Conformal(model, X_more, y_more)
        lower, upper = sure.interval(X_new, 0.9)          # holds 90 % of the truths, on average over X_more

    What is promised, and under which condition, says `minibayes.conformal`. The rows must be new and of the
    same kind as those to come; rows that training has seen make intervals too narrow.

    model: a fitted mb.Regressor or mb.Classifier, which stays as it is.
    X, y: the calibration rows, n of them.
    scaled: of numbers, whether intervals are as wide as the model is unsure (by default), or all alike.

    scores  (n,): |y - mean|/std, |y - mean|, or 1 - p(y) of classes
    """

    def __init__(self, model: Estimator, X: object, y: ArrayLike, scaled: bool = True):
        if not hasattr(model, "kind") or not hasattr(model, "predicted"):
            raise require.InputError(f"model must be a fitted mb.Regressor or mb.Classifier, got {model!r}")
        self.model, self.scaled = model, require.boolean("scaled", scaled)
        self.scores = model.conformal_scores(X, y, self.scaled)

    def __repr__(self) -> str:
        return f"Conformal({self.model!r}, on {len(self.scores)} rows)"

    def law(self, level: float = 0.9) -> conformal.Law:
        """Of the coverage, these calibration rows given: Beta(a, b)."""
        return conformal.law(len(self.scores), level)

    def interval(self, X: object, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (N,): mean -+ threshold, times std if scaled; infinite if n is too small."""
        if self.model.kind != "regressor":
            raise require.InputError("interval needs a Regressor, as classes have no order: `sets` gives "
                                     "those classes that are held possible")
        reach = conformal.threshold(self.scores, level)
        mean, std = self.model.predict(X, return_std=True)
        reach = reach * (std if self.scaled else np.ones_like(std))
        return mean - reach, mean + reach

    def sets(self, X: object, level: float = 0.9) -> np.ndarray:
        """(N, C) true or false, in the order of classes_: the classes that are held possible.

        Those with p >= 1 - threshold. A row may have none, where the model knows no class that is likely
        enough; sets hold the truth as often as is said all the same.
        """
        if self.model.kind != "classifier":
            raise require.InputError("sets needs a Classifier; of a Regressor ask `interval`")
        return 1 - self.model.predict_proba(X) <= conformal.threshold(self.scores, level)
