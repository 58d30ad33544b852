"""What is so, for nets small enough: every mask enumerated, HMC, the eight schools, probabilistic PCA."""

from . import exact, hmc, ppca, schools

__all__ = ["exact", "hmc", "ppca", "schools"]
