"""Letters of Moby Dick by a GRU: no noise, a z a step, one omega a sequence, tied or not; both predictions.

ngrams.py     the ruler: letters predicted from counts of the k before them
reader.py     training on a long text with carried states, and nats a letter on the text held out
report.py     the printed table and the figure
command.py    python -m minibayes language
"""

from .command import Language

__all__ = ["Language"]
