"""theta <- theta - rate * direction(g): one optimizer step over flat arrays, alone or together with adding up the shards' gradients."""

import math

import numpy as np

from .compiling import njit

CHUNK = 4096  # numbers that stay in the first-level cache from the sum of the shards to the update


@njit(nogil=True, cache=True)
def sgd(theta, g, v, rate, momentum, theta_out, v_out):
    """v' = momentum v + rate g;   theta' = theta - v'.   All flat, one dtype; the outputs may be the inputs."""
    for i in range(theta.shape[0]):
        step = momentum * v[i] + rate * g[i]
        v_out[i] = step
        theta_out[i] = theta[i] - step


@njit(nogil=True, cache=True)
def adam(theta, g, m, s, rate, beta1, beta2, epsilon, correction1, correction2, theta_out, m_out, s_out):
    """m' = beta1 m + (1 - beta1) g;  s' = beta2 s + (1 - beta2) g^2;  theta' = theta - rate (m'/c1) / (sqrt(s'/c2) + epsilon)."""
    one = theta.dtype.type(1)
    for i in range(theta.shape[0]):
        a = beta1 * m[i] + (one - beta1) * g[i]
        b = beta2 * s[i] + (one - beta2) * g[i] * g[i]
        m_out[i] = a
        s_out[i] = b
        theta_out[i] = theta[i] - rate * (a / correction1) / (math.sqrt(b / correction2) + epsilon)


@njit(nogil=True, cache=True)
def add_shards(shards, start, stop, theta, decay, g):
    """g[i] = shards[0, i] + shards[1, i] + ... + decay theta[i], added in that order, for start <= i < stop; g is stop - start long."""
    first, weights = shards[0, start:stop], theta[start:stop]
    for i in range(stop - start):
        g[i] = first[i]
    for s in range(1, shards.shape[0]):
        more = shards[s, start:stop]
        for i in range(stop - start):
            g[i] += more[i]
    for i in range(stop - start):
        g[i] += decay * weights[i]


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def square_sum(v):
    """sum_i v[i]^2, added in whatever order is fastest (the same one each time)."""
    total = v.dtype.type(0)
    for i in range(v.shape[0]):
        total += v[i] * v[i]
    return total


@njit(nogil=True, cache=True)
def sgd_shards(shards, start, stop, bounds, decay, rate, theta, v, momentum, theta_out, v_out, penalty):
    """add_shards, then sgd, for the numbers start to stop of all parameters laid end to end; bounds[l] is where parameter l begins.

    shards (S, n); theta, v and their outputs (n,); bounds (L + 1,); decay, rate (L,), one for each parameter; start a multiple of CHUNK.
    penalty[i] = 1/2 sum of decay theta^2 over the i-th CHUNK numbers, (ceil(n/CHUNK),) float64: sums that no division into tasks changes.
    """
    g = np.empty(CHUNK, theta.dtype)
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        penalty[first // CHUNK] = 0
        for parameter in range(len(decay)):
            a, b = max(first, bounds[parameter]), min(last, bounds[parameter + 1])
            if a < b:
                penalty[first // CHUNK] += decay[parameter] * square_sum(theta[a:b]) / 2
                add_shards(shards, a, b, theta, decay[parameter], g)
                sgd(theta[a:b], g[:b - a], v[a:b], rate[parameter], momentum, theta_out[a:b], v_out[a:b])


@njit(nogil=True, cache=True)
def adam_shards(shards, start, stop, bounds, decay, rate, theta, m, s, beta1, beta2, epsilon, correction1, correction2, theta_out, m_out,
                s_out, penalty):
    """sgd_shards with adam in the place of sgd."""
    g = np.empty(CHUNK, theta.dtype)
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        penalty[first // CHUNK] = 0
        for parameter in range(len(decay)):
            a, b = max(first, bounds[parameter]), min(last, bounds[parameter + 1])
            if a < b:
                penalty[first // CHUNK] += decay[parameter] * square_sum(theta[a:b]) / 2
                add_shards(shards, a, b, theta, decay[parameter], g)
                adam(theta[a:b], g[:b - a], m[a:b], s[a:b], rate[parameter], beta1, beta2, epsilon, correction1, correction2,
                     theta_out[a:b], m_out[a:b], s_out[a:b])
