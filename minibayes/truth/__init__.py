"""What is so, for nets small enough: every mask enumerated, Hamiltonian Monte Carlo, the eight schools."""

from . import exact, hmc, schools

__all__ = ["exact", "hmc", "schools"]
