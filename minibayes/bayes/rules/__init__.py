"""The rows of the KL's table: one derivation for each q under each p. `bayes/kl.py` says what a ray is."""

from . import concrete, dropout, loguniform, mean_field, mgn, spike_and_slab, variational, weight_decay

__all__ = ["concrete", "dropout", "loguniform", "mean_field", "mgn", "spike_and_slab", "variational",
           "weight_decay"]
