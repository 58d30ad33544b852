"""What is so, for nets small enough: every mask enumerated, and Hamiltonian Monte Carlo."""

from . import exact, hmc

__all__ = ["exact", "hmc"]
