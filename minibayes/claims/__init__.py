"""Every claim of the poster, measured: FINDINGS says which function finds what, `find` runs one of them.

A claim is a function under `@claim(names)` in any file of this folder: all are read here, nothing lists them.
"""

import importlib
import math
import pkgutil

from .claim import FINDINGS, Finding, Measurement, claim

__all__ = ["CLAIMS", "FINDINGS", "Finding", "claim", "find"]

# The order of reading, the poster's. A file that is not named here comes after these.
ORDER = ("weights", "weights_dropconnect", "weights_local", "objective", "objective_training", "kl",
         "kl_mgn", "kl_monte_carlo", "kl_loguniform", "kl_mean_field", "prediction",
         "prediction_weight_averaging", "uncertainty", "uncertainty_information", "uncertainty_conformal",
         "prior", "derivatives", "derivatives_layers", "derivatives_local", "sequences",
         "posterior_one_weight", "posterior", "posterior_mean_field", "codes")


def gather() -> None:
    """Read every file of this folder; `claim` enters in FINDINGS what it decorates there."""
    files = {module.name for module in pkgutil.iter_modules(__path__)}
    for name in (*ORDER, *sorted(files - {*ORDER})):
        importlib.import_module(f"{__name__}.{name}")


gather()
CLAIMS = tuple(FINDINGS)  # the functions of this folder; FINDINGS takes in the user's own as well


def find(function: Measurement) -> list[Finding]:
    """The findings of one function of FINDINGS; if it cannot be computed, each of them fails and says why."""
    try:
        return function()
    except Exception as error:  # whatever it is: this claim does not hold, and the others are still to come
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [Finding(name, "could not be computed", said, math.nan, 0.0, "there is nothing to compare")
                for name in FINDINGS[function]]
