"""What scikit-learn asks of an estimator beside its methods; it is imported only if scikit-learn asks."""

import sys
from functools import lru_cache

from .. import require


class NotFittedError(require.InputError, AttributeError):
    """A method was called that needs a fit before."""


@lru_cache(maxsize=1)
def as_sklearn(theirs: type) -> type:
    """The same, which is scikit-learn's too."""
    return type("NotFittedError", (NotFittedError, theirs), {"__doc__": NotFittedError.__doc__})


def not_fitted(who: str) -> Exception:
    """The error to raise: where scikit-learn is at work, one that it knows."""
    known = sys.modules.get("sklearn.exceptions")
    kind = NotFittedError if known is None else as_sklearn(known.NotFittedError)
    return kind(f"{who} is not fitted yet: call fit, or load a file")


def tags(kind: str) -> object:
    """sklearn.utils.Tags of a "regressor" or a "classifier"."""
    from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

    classes = kind == "classifier"
    return Tags(estimator_type=kind, target_tags=TargetTags(required=True),
                classifier_tags=ClassifierTags() if classes else None,
                regressor_tags=None if classes else RegressorTags(),
                input_tags=InputTags(string=False, sparse=False, allow_nan=False))
