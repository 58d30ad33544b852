"""Active learning: which inputs to label next, and a loop that labels them round by round."""

from .loop import Round, rounds
from .scores import SCORES, bald, bald_error, batch_bald, entropy, mean_std, select, variation_ratio

__all__ = ["SCORES", "Round", "bald", "bald_error", "batch_bald", "entropy", "mean_std", "rounds", "select",
           "variation_ratio"]
