"""The rows of the KL's table: one derivation for each q under each p. `bayes/kl.py` says what a ray is."""

from . import dropout, loguniform, mean_field, mgn, variational

__all__ = ["dropout", "loguniform", "mean_field", "mgn", "variational"]
