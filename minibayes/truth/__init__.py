"""What is so, for nets small enough: every mask enumerated, HMC, hierarchical models, probabilistic PCA."""

from . import exact, groups, hmc, ppca, schools

__all__ = ["exact", "groups", "hmc", "ppca", "schools"]
