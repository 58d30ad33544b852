"""theta <- theta - rate * direction(g): one optimizer step over one flat array, each line read and written once."""

import math

from numba import njit


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
