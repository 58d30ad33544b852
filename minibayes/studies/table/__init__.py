"""A table of one's own: `minibayes train` makes a model of it, `minibayes predict` uses it on new rows."""

from . import predict, train

__all__ = ["predict", "train"]
