"""What is so, for nets small enough: every mask enumerated, HMC, closed forms of linear models."""

from . import exact, hmc

__all__ = ["exact", "hmc"]
