"""Figures: each function takes arrays and an optional axis, and returns it. No other room has matplotlib."""

from .classification import (
    digit_sheet,
    picture_sheet,
    precision_recall,
    reliability,
    risk_coverage,
    score_histograms,
    softmax_clouds,
)
from .intervals import predicted_against_true, ranked_intervals
from .look import COLORS, LINES, MARKERS, NAMES, PALETTE, Axes, axis, curve, figure, finish, save
from .regression import band, functions
from .scores import error_against_passes, error_curves, score_lines
from .sequences import as_it_reads

__all__ = [
    "COLORS", "LINES", "MARKERS", "NAMES", "PALETTE", "Axes", "as_it_reads", "axis", "band", "curve",
    "digit_sheet", "error_against_passes", "error_curves", "figure", "finish", "functions",
    "picture_sheet", "precision_recall", "predicted_against_true", "ranked_intervals", "reliability",
    "risk_coverage", "save", "score_histograms", "score_lines", "softmax_clouds",
]
