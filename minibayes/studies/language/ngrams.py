"""p(y | the k letters before), counted: the ruler of the study, with two kinds of smoothing.

    additive       p_k(y | c) = (n(c y) + a) / (n(c) + a V)
    interpolated   p_k(y | c) = (n(c y) + d(c) p_k-1(y | c')) / (n(c) + d(c)),   p_-1 = 1/V

n: how often it stands in the text; V: kinds of letter; d(c): how many kinds of letter follow c there; c': c
without its first letter. The second (Witten and Bell 1991) asks a shorter context where a longer one has been
seen little; of a context never seen d(c) = 0, and p_k = p_k-1.
"""

import numpy as np

from ... import require

ALPHA = 0.01  # a
KINDS = ("additive", "interpolated")


class NGrams:
    """Counts of all contexts of up to `order` letters in `text`, letters 0 ... V - 1, (N,)."""

    def __init__(self, text: np.ndarray, vocabulary: int, order: int):
        self.vocabulary = require.integer("vocabulary", vocabulary, 1)
        self.order = require.integer("order", order, 0)
        if (self.order + 1) * np.log2(self.vocabulary) >= 63:
            raise require.InputError(f"order must be less: {vocabulary}^{order + 1} contexts have no number "
                                     "in 64 bits")
        text = letters("text", text, vocabulary)
        if len(text) <= order:
            raise require.InputError(f"text must have more than {order} letters, got {len(text)}")
        self._pairs, self._contexts, self._kinds = [], [], []
        for k in range(order + 1):
            pairs, counts = np.unique(codes(text, k + 1, vocabulary), return_counts=True)
            contexts, starts = np.unique(pairs // vocabulary, return_index=True)
            self._pairs.append((pairs, counts))
            self._contexts.append((contexts, np.add.reduceat(counts, starts)))
            self._kinds.append((contexts, np.diff(np.append(starts, len(pairs)))))

    def probability(self, text: np.ndarray, kind: str, order: int, alpha: float = ALPHA) -> np.ndarray:
        """p(the last letter | the letters before it) of each row of `text` (N, order + 1) or longer."""
        kind, order = require.choice("kind", kind, KINDS), require.integer("order", order, 0, self.order)
        rows = letters("text", text, self.vocabulary)
        if rows.ndim != 2 or rows.shape[1] <= order:
            raise require.InputError(f"text must have rows of at least {order + 1} letters, got shape "
                                     f"{rows.shape}")
        p = np.full(len(rows), 1 / self.vocabulary)
        for k in range(order + 1) if kind == "interpolated" else [order]:
            both = number(rows[:, -k - 1:], self.vocabulary)            # c y
            c = both // self.vocabulary
            seen, times = look_up(self._pairs[k], both), look_up(self._contexts[k], c)
            if kind == "additive":
                alpha = require.real("alpha", alpha, 0, open_low=True)
                return (seen + alpha) / (times + alpha * self.vocabulary)
            kinds = look_up(self._kinds[k], c)
            p = np.where(times > 0, (seen + kinds * p) / np.maximum(times + kinds, 1), p)
        return p

    def nats(self, text: np.ndarray, before: np.ndarray, kind: str, order: int) -> float:
        """-log p, nats a letter, mean over `text`, which follows the letters `before`."""
        before = np.asarray(before)
        whole = np.concatenate([before[len(before) - order:], text])
        rows = np.lib.stride_tricks.sliding_window_view(whole, order + 1)
        return -float(np.log(self.probability(rows, kind, order)).mean())


def letters(name: str, text: np.ndarray, vocabulary: int) -> np.ndarray:
    text = require.array(name, text)
    if text.dtype.kind not in "iu" or not text.size or text.min() < 0 or text.max() >= vocabulary:
        raise require.InputError(f"{name} must be the numbers 0..{vocabulary - 1} of letters")
    return text.astype(np.int64)


def number(rows: np.ndarray, vocabulary: int) -> np.ndarray:
    """Each row of letters as one number, to the base V.     (N, k) -> (N,)"""
    out = np.zeros(len(rows), np.int64)
    for column in rows.T:
        out = out * vocabulary + column
    return out


def codes(text: np.ndarray, length: int, vocabulary: int) -> np.ndarray:
    return number(np.lib.stride_tricks.sliding_window_view(text, length), vocabulary)


def look_up(counted: tuple[np.ndarray, np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """The count of each wanted number; 0 where it was never seen."""
    keys, counts = counted
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, counts[at], 0)
