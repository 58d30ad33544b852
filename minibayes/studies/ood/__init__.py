"""Does the network know what it does not know? Trained on MNIST, asked about clothes and odd digits.

Each input gets a score of how foreign it looks: the entropy of the prediction, the mutual information between
prediction and weights, the share of passes that vote otherwise (variation ratio), 1 - the largest
probability. A score is good if it is larger for foreign inputs than for the test digits: the area under the
ROC curve. Then calibration, as the digits are turned and noised; and how much error is avoided by answering
only the least uncertain. MC averaging against weight averaging (and probabilistic pooling), on the same
weights.

measure.py   one network: every score on every group; means over seeds
report.py    the printed table, the figure
command.py   python -m minibayes ood
"""

from .command import OOD
from .measure import LABELS, LEVELS, mean_rows

__all__ = ["LABELS", "LEVELS", "OOD", "mean_rows"]
