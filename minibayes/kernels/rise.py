"""r(f) and r'(f), r a non-decreasing function of single numbers: the identity, ReLU or tanh; rows of numbers, in place.

Non-decreasing, so that max_i r(y_i) = r(max_i y_i): behind a pooling it is computed for fewer numbers.
"""

import math

import numpy as np

from .compiling import njit

NO_RISE, RELU, TANH = 0, 1, 2
RUN = 256  # numbers at a time

f32, i32 = np.float32, np.int32
PER_LOG_2, LOG_2_HIGH, LOG_2_LOW = f32(1 / math.log(2)), f32(0.693359375), f32(math.log(2) - 0.693359375)
ONE, TWO, ONE_HALF, FAR = f32(1), f32(2), f32(0.5), f32(20)  # tanh(10) is 1 in float32
E2, E3, E4, E5, E6, E7 = (f32(1 / math.factorial(n)) for n in range(2, 8))


@njit(nogil=True, cache=True, error_model="numpy")  # a division that may raise is not a vector instruction
def tanh32(f):
    """f = tanh f in float32, to some 2e-7 of itself, by vector instructions: h/(2 - h), h = 1 - exp(-2 |f|), with the sign of f.

    -2 |f| = r - k log 2, |r| <= log(2)/2, and h = (1 - 2^-k) - 2^-k (exp(r) - 1): near 0, where k = 0, nothing cancels. Seven terms of
    exp(r) - 1 leave 6e-9. log 2 is taken off in two parts, of which k times the first is exact.   f (n,), written.
    """
    r, power = np.empty(RUN, f32), np.empty(RUN, f32)
    bits = power.view(i32)
    for first in range(0, len(f), RUN):
        v = f[first:first + RUN]
        for i in range(len(v)):
            a = TWO * abs(v[i])
            a = FAR if a > FAR else a  # a NaN stays
            k = i32(a * PER_LOG_2 + ONE_HALF)
            bits[i] = i32(i32(127 - k) << 23)                                                       # 2^-k
            r[i] = f32(k) * LOG_2_HIGH - a + f32(k) * LOG_2_LOW
        for i in range(len(v)):
            x = r[i]
            above = x * (ONE + x * (E2 + x * (E3 + x * (E4 + x * (E5 + x * (E6 + x * E7))))))       # exp(r) - 1
            h = (ONE - power[i]) - power[i] * above
            size = h / (TWO - h)
            v[i] = -size if v[i] < 0 else size


@njit(nogil=True, cache=True)
def tanh(f):
    """f = tanh f.   f (n,) of either precision, written."""
    if f.itemsize == 4:
        tanh32(f)
    else:
        for i in range(len(f)):
            f[i] = math.tanh(f[i])


@njit(nogil=True, cache=True)
def rise_in_place(f, which):
    """f = r(f).   f (n,), written."""
    if which == RELU:
        for i in range(len(f)):
            f[i] = 0 if f[i] <= 0 else f[i]  # a NaN stays
    elif which == TANH:
        tanh(f)


@njit(nogil=True, cache=True)
def times_slope(d, f, which):
    """d *= r', at places where r is f.   d, f (n,);   d is written."""
    one = d.dtype.type(1)
    if which == RELU:
        for i in range(len(d)):
            d[i] *= f[i] > 0  # without a branch, which would be guessed wrong half of the time
    elif which == TANH:
        for i in range(len(d)):
            d[i] *= one - f[i] * f[i]


@njit(nogil=True, cache=True)
def rise_and_slope(f, slope, which):
    """f = r(f);  slope *= r'.   f, slope (n,), both written."""
    rise_in_place(f, which)
    times_slope(slope, f, which)
