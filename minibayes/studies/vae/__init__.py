"""Learning without labels: a variational autoencoder of digits, and what its two uncertainties know.

measure.py      the networks, trained; bounds, completions of half digits, variances on and off the data
report.py       the printed table and the figure
command.py      python -m minibayes vae
"""

from .command import VAE

__all__ = ["VAE"]
