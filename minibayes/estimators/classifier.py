"""p(class | x) = (1/T) sum_t softmax(f(x, omega_t)): a Classifier for tables, with labels of any type."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .. import bayes, conformal, require
from ..arrays import same_length
from ..bayes.prediction import ClassPrediction
from ..bayes.weighted import check_weights
from .columns import missing, plain
from .estimator import Estimator, named


class Classifier(Estimator):
    """A class predicted from a table, with probabilities that average over the functions held possible.

        model = mb.Classifier().fit(table, species)
        model.predict(new), model.predict_proba(new)
        model.predictive(new).mutual_information              # nats: how far what is held possible disagrees

    hidden, keep, activation, epochs, patience, batch_size, rate, held_out, samples, seed, threads, progress:
    as of mb.Regressor.
    class_weight: how often a row of each class counts: {label: weight}, or "balanced", all classes equally;
                  None by default, once. It multiplies sample_weight.

    X: an array (N, D), a pandas DataFrame or a mapping {name: column}. y: (N,) labels: text, numbers, bools.
    """

    kind = "classifier"

    def __init__(self, hidden: tuple = (50,), *, keep: str | float = "learned", activation: str = "relu",
                 epochs: float = 600, patience: int = 20, batch_size: int = 32, rate: float = 0.005,
                 held_out: float = 0.1, samples: int = 200, seed: int = 0, threads: int | None = None,
                 progress: bool = False, class_weight: dict | str | None = None):
        self.hidden, self.keep, self.activation = hidden, keep, activation
        self.epochs, self.patience, self.batch_size, self.rate = epochs, patience, batch_size, rate
        self.held_out, self.samples, self.seed = held_out, samples, seed
        self.threads, self.progress, self.class_weight = threads, progress, class_weight

    def likelihood(self) -> bayes.Likelihood:
        return bayes.Categorical()

    def fit(self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "Classifier":
        """Learn from the rows of X and y (N,); sample_weight (N,): how often each counts, 2 is twice.

        classes_: the different labels, in order; columns of predict_proba.
        """
        self.checked()
        self.target_name_ = named(y)
        y = labels(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise require.InputError("y must have labels of at least 2 classes, got 1 class, "
                                     f"{plain(self.classes_[0])!r}, alone")
        columns, x, y, weights = self.prepared(X, sample_weight, y, codes)
        if lost := [plain(c) for i, c in enumerate(self.classes_) if not (y == i).any()]:
            raise require.InputError(f"y has the class {lost[0]!r} only in rows of weight 0: leave them out, "
                                     "or it is one class too many")
        self.train(columns, x, y, weights, len(self.classes_))
        return self

    def class_weights(self, codes: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
        if self.class_weight is None:
            return 1.0
        if isinstance(self.class_weight, Mapping):
            of = {plain(label): require.real(f"class_weight[{plain(label)!r}]", w, 0)
                  for label, w in self.class_weight.items()}
            if unknown := [label for label in of if label not in set(map(plain, self.classes_))]:
                known = ", ".join(repr(plain(c)) for c in self.classes_)
                raise require.InputError(f"class_weight has the label {unknown[0]!r}, which y has not: it "
                                         f"has {known}")
            return np.array([of.get(plain(c), 1.0) for c in self.classes_])[codes]
        if self.class_weight != "balanced":
            raise require.InputError("class_weight must be None, \"balanced\" or {label: weight}, got "
                                     f"{self.class_weight!r}")
        mass = np.bincount(codes, weights, len(self.classes_))
        return (weights.sum() / (np.count_nonzero(mass) * np.where(mass, mass, 1)))[codes]

    def predictive(self, X: object) -> ClassPrediction:
        """All that `bayes.prediction.ClassPrediction` holds: mean, entropy, mutual_information, ..."""
        return self.predicted(X)

    def predict_proba(self, X: object) -> np.ndarray:
        """The probability of each class, (N, C), in the order of classes_."""
        return self.predicted(X).mean

    def predict(self, X: object) -> np.ndarray:
        """The most probable label for each row, (N,)."""
        found = self.predicted(X).label
        return self.classes_[found]

    def conformal_scores(self, X: object, y: ArrayLike, scaled: bool) -> np.ndarray:
        """How badly each prediction fits its truth: what `Conformal` ranks."""
        p, y = self.predict_proba(X), labels(y)
        if not (known := np.isin(y, self.classes_)).all():
            raise require.InputError(f"y must be labels of the training, got {plain(y[~known][0])!r}, which "
                                     "was none")
        return conformal.class_scores(p, np.searchsorted(self.classes_, y))

    def score(self, X: object, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The (weighted) share of rows whose most probable label is y."""
        found, y = self.predict(X), labels(y)
        same_length(X=found, y=y)
        if sample_weight is not None:
            sample_weight = check_weights("sample_weight", sample_weight, len(y))
        return float(np.average(found == y, weights=sample_weight))


def labels(y: ArrayLike) -> np.ndarray:
    """y as labels (N,), none missing; a column (N, 1) is taken for one."""
    if y is None:
        raise require.InputError("y must be given: fit requires y to be passed, but the target y is None")
    given, y = y, np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or not len(y):
        raise require.InputError(f"y must have shape (N,), one label a row, got {y.shape}")
    if y.dtype.kind == "c":
        raise require.InputError("y must be labels: Complex data not supported")
    gaps = missing(given if getattr(given, "ndim", 1) == 1 else None, y)
    if gaps.any():
        raise require.InputError(f"y has {gaps.sum()} missing labels (NaN), the first in row "
                                 f"{gaps.argmax()}: leave those rows out")
    if y.dtype.kind == "O":
        kinds = {type(plain(value)) for value in y}
        if len(kinds) > 1:
            raise require.InputError("y must be labels of one type, got "
                                     f"{', '.join(sorted(kind.__name__ for kind in kinds))}")
        if kinds <= {int, float, bool}:
            y = np.array(y.tolist())
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.round(y)).all()):
        raise require.InputError("y must be labels, got numbers that are not whole (Unknown label type: "
                                 "continuous) or infinite (inf): to predict a number use Regressor")
    return y
