"""c_i given all other c: Gibbs sweeps over which weights share a value, the values themselves integrated out."""

import math

from .compiling import njit

TINY = 1e-250  # below it the sum of all probabilities says nothing: they are taken relative to the largest


@njit(nogil=True, cache=True)
def _log_weight(count, precision, weighted, w, r):
    """log of count N(w; mean, 1/r + 1/precision), without what does not depend on the table."""
    gap = w - weighted / precision
    return math.log(count) + 0.5 * math.log(precision / (precision + r)) - 0.5 * r * precision / (precision + r) * gap * gap


@njit(nogil=True, cache=True)
def restaurant(w, r, alpha, prior, u, label, count, precision, weighted, tables):
    """For each i: c_i leaves its table and is drawn anew, given all others: a table of n_k weights ~ n_k N(w_i; m_k, 1/r_i + 1/p_k),
    a new one ~ alpha N(w_i; 0, 1/r_i + 1/prior).

    A table's value is theta ~ N(0, 1/prior), w_i ~ N(theta, 1/r_i), so given the n_k weights at it theta ~ N(m_k, 1/p_k), with
    p_k = prior + sum r, m_k = sum r w/p_k. With r = 0 the data say nothing: the Chinese restaurant process itself.

    w, r, u (n,): weights, their precisions >= 0, numbers in (0, 1): c_i is where the cumulated probabilities pass u_i; where u_i < 0,
    the most probable table. label (n,): c, -1 for none yet, written. count, precision, weighted (n,): n_k, p_k and sum r w of each
    table, empty ones with count 0, written. Returns how many tables have been laid, of which some may be empty again.
    """
    n, top = len(w), tables
    for i in range(n):
        k = label[i]
        if k >= 0:
            count[k] -= 1
            precision[k] -= r[i]
            weighted[k] -= r[i] * w[i]
            if count[k] == 0:
                precision[k], weighted[k] = prior, 0.0
        while top > 0 and count[top - 1] == 0:
            top -= 1
        free, total, best, highest = top, 0.0, -1, -math.inf
        for k in range(top):
            if count[k] == 0:
                free = min(free, k)
                continue
            gap, share = w[i] - weighted[k] / precision[k], precision[k] / (precision[k] + r[i])
            total += count[k] * math.sqrt(share) * math.exp(-0.5 * r[i] * share * gap * gap)
        share = prior / (prior + r[i])
        total += alpha * math.sqrt(share) * math.exp(-0.5 * r[i] * share * w[i] * w[i])
        greedy, far, shift = u[i] < 0, total < TINY, 0.0
        if greedy or far:
            for k in range(top):
                if count[k] > 0:
                    here = _log_weight(count[k], precision[k], weighted[k], w[i], r[i])
                    if here > highest:
                        best, highest = k, here
            here = _log_weight(alpha, prior, 0.0, w[i], r[i])
            if here > highest:
                best, highest = free, here
        if greedy:
            chosen = best
        else:
            if far:
                shift, total = highest, 0.0
                for k in range(top):
                    if count[k] > 0:
                        total += math.exp(_log_weight(count[k], precision[k], weighted[k], w[i], r[i]) - shift)
                total += math.exp(_log_weight(alpha, prior, 0.0, w[i], r[i]) - shift)
            left, chosen = u[i] * total, free
            for k in range(top):
                if count[k] == 0:
                    continue
                if not far:
                    gap, share = w[i] - weighted[k] / precision[k], precision[k] / (precision[k] + r[i])
                    left -= count[k] * math.sqrt(share) * math.exp(-0.5 * r[i] * share * gap * gap)
                else:
                    left -= math.exp(_log_weight(count[k], precision[k], weighted[k], w[i], r[i]) - shift)
                if left < 0:
                    chosen = k
                    break
        if count[chosen] == 0:
            precision[chosen], weighted[chosen] = prior, 0.0
        count[chosen] += 1
        precision[chosen] += r[i]
        weighted[chosen] += r[i] * w[i]
        label[i] = chosen
        top = max(top, chosen + 1)
    return top
