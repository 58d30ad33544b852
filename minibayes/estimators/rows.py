"""A data set is a set: its different rows, each with a weight, in an order that no order of the rows changes.

So weight 2 is that row twice, bit for bit, and copies of a row never stand on both sides of a division into
rows to train on and rows to choose by.
"""

from hashlib import blake2b

import numpy as np

FEWEST = 20  # different rows below which none are held out


def distinct(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which rows, their weights): one of each group of equal (x_n, y_n), without those of weight 0.

    They stand in the order of their digests: as good as random, and the same wherever they stood before.
    """
    table = np.column_stack([x, y]).astype("<f8") + 0.0                 # -0 is 0
    digests = b"".join(blake2b(row.tobytes(), digest_size=16).digest() for row in table)
    words = np.frombuffer(digests, "<u8").reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))
    order = order[weights[order] > 0]
    words = words[order]
    begins = np.concatenate([[True], (words[1:] != words[:-1]).any(axis=1)])
    starts = np.flatnonzero(begins)
    return order[starts], np.add.reduceat(weights[order], starts)


def divided(y: np.ndarray, share: float, seed: int, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """(rows to train on, rows held out), at random; of classes, about that share of each."""
    rng, n = np.random.default_rng([seed, 1]), len(y)
    if not share or n < FEWEST:
        return np.arange(n), np.arange(0)
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if classes else [np.arange(n)]
    held = []
    for group in groups:
        count = min(round(share * len(group)), len(group) - 1)          # each class stays in training
        held.append(rng.permutation(group)[:count])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(n), held), held
