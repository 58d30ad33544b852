"""Passes over classes in one go: softmax, moments, log-mean, entropies and votes, row by row; bayes/summary.py is the plain twin."""

import math

import numpy as np

from .compiling import njit

PER_LOG_2 = 1 / math.log(2)
LOG_2_HIGH, LOG_2_LOW = 0.693145751953125, 1.42860682030941723212e-6  # log 2 in two parts: k times the first is exact
ROUND = 1.5 * 2.0**52  # x + ROUND has no digits behind the point, and x rounded in its last bits
FACTORS = tuple(1 / math.factorial(n) for n in range(14))
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = FACTORS[2:]
LEAST, TINY = -708.0, 1e-290  # exp(LEAST) is the least that has all its digits; a sum above TINY has lost nothing by it


@njit(nogil=True, cache=True, error_model="numpy")
def exp(x, r, power, out):
    """out[i] = e^max(x[i], -708), x <= 0, to the last bit or two, by vector instructions: 2^k e^r with |r| <= log(2)/2.

    x (n,) float64;   r, power (n,): scratch;   out (n,), written. Thirteen terms leave 4e-18 of e^r.
    """
    bits = power.view(np.int64)
    for i in range(len(x)):
        v = LEAST if x[i] < LEAST else x[i]
        shifted = v * PER_LOG_2 + ROUND
        power[i] = shifted
        k = shifted - ROUND
        r[i] = (v - k * LOG_2_HIGH) - k * LOG_2_LOW
    for i in range(len(x)):
        bits[i] = (bits[i] + 1023) << 52                                                            # 2^k
    for i in range(len(x)):
        v = r[i]
        high = E7 + v * (E8 + v * (E9 + v * (E10 + v * (E11 + v * (E12 + v * E13)))))
        out[i] = power[i] * (1 + v * (1 + v * (E2 + v * (E3 + v * (E4 + v * (E5 + v * (E6 + v * high)))))))


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def total(v):
    """sum_i v[i], added in whatever order is fastest (the same one each time)."""
    out = 0.0
    for i in range(len(v)):
        out += v[i]
    return out


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def dot(v, w):
    """sum_i v[i] w[i]; as `total`."""
    out = 0.0
    for i in range(len(v)):
        out += v[i] * w[i]
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def class_summary(f, mean, squares, log_sum, entropies, votes):
    """for each row n and pass t:  log p_t = log softmax f[t, n],  entropies[t, n] = -sum_c p_t log p_t,  votes[n, argmax f[t, n]] += 1;
    mean[n] = (1/T) sum_t p_t,  squares[n] = sum_t (p_t - mean[n])^2,  log_sum[n] = log sum_t p_t.

    f (T, R, C), finite;   mean, squares, log_sum, votes (R, C) and entropies (T, R), float64, are written.
    """
    T, R, C = f.shape
    log_p, p, scratch = np.empty((T, C)), np.empty((T, C)), np.empty((2, C))
    votes[:] = 0
    for n in range(R):
        m, s, logs = mean[n], squares[n], log_sum[n]
        m[:] = 0
        s[:] = 0
        for t in range(T):
            row, a, e = f[t, n], log_p[t], p[t]
            best = 0
            for c in range(C):
                if row[c] > row[best]:
                    best = c
            votes[n, best] += 1
            top = np.float64(row[best])
            for c in range(C):
                a[c] = row[c] - top
            exp(a, scratch[0], scratch[1], e)
            whole = total(e)
            log_whole = math.log(whole)
            for c in range(C):
                a[c] -= log_whole
            for c in range(C):
                e[c] /= whole
            entropies[t, n] = -dot(e, a)
            for c in range(C):
                m[c] += e[c]
        for c in range(C):
            if m[c] > TINY:
                logs[c] = math.log(m[c])
            else:  # every pass underflows, or nearly
                most = log_p[0, c]
                for t in range(1, T):
                    most = max(most, log_p[t, c])
                sum_of = 0.0
                for t in range(T):
                    sum_of += math.exp(log_p[t, c] - most)
                logs[c] = most + math.log(sum_of)
        for c in range(C):
            m[c] /= T
        for t in range(T):
            e = p[t]
            for c in range(C):
                s[c] += (e[c] - m[c]) * (e[c] - m[c])
