"""KL to the log-uniform prior: the integral against a series, Dawson's function, limits and draws; the approximations against it."""

import math

import numpy as np
import pytest

from minibayes import checks, kernels
from minibayes.bayes import rules
from minibayes.bayes.rules import loguniform

EPS = np.finfo(float).eps


def dawson(u):
    """exp(-u^2) int_0^u exp(t^2) dt = 1/sqrt(pi) sum over odd n of exp(-(u - n h)^2)/n (Rybicki 1989), off by exp(-(pi/2h)^2)."""
    h = 0.2
    n = np.arange(-81, 82, 2) + 2 * round(u / h / 2)  # odd numbers, +-16 around u/h
    return float((np.exp(-(u - n * h) ** 2) / n).sum() / math.sqrt(math.pi))


@pytest.mark.parametrize("log_a", [-10.0, -5.1, -4.9, -2.0, 0.0, 1.0, 8.0])
def test_exact_is_the_series(log_a):
    """-5.1 and -4.9 lie on either side of where the grid stops reaching down to e = 0, log a = -2 log 12 = -4.97."""
    wanted, terms = loguniform.series(log_a)
    assert abs(loguniform.exact(log_a) - wanted) <= terms * EPS * (wanted + 1)
    u = math.exp(-log_a / 2) / math.sqrt(2)
    assert loguniform.exact_grad(log_a) == pytest.approx(-u * dawson(u), abs=64 * EPS)


def test_dawson_at_known_points():
    assert dawson(1.0) == pytest.approx(0.538079506912768, abs=1e-14)
    assert dawson(1e-3) == pytest.approx(1e-3 - 2e-9 / 3, abs=1e-15)


def test_limits():
    """a -> 0: E log|e| = -a/2 - 3 a^2/4 - 5 a^3/2 - ..., so KL = C - 1/2 log a + that. a -> infinity: KL = l - l^2/3 + ..., l = 1/(2a)."""
    for a in (1e-2, 1e-3):
        rest = loguniform.exact(math.log(a)) - loguniform.C + math.log(a) / 2
        assert abs(rest + a / 2 + 3 * a**2 / 4) <= 2 * 2.5 * a**3 + 64 * EPS
    for a in (1e3, 1e6, 1e12):
        rate = 1 / (2 * a)
        assert abs(loguniform.exact(math.log(a)) - rate) <= rate**2 + 64 * EPS * abs(math.log(a))
    assert loguniform.exact(-60.0) == pytest.approx(loguniform.C + 30, rel=1e-14)
    assert loguniform.exact(60.0) == pytest.approx(0, abs=1e-12)


def test_expected_log_of_draws():
    """Also where e is often negative: 100,000 draws, 4 standard errors."""
    rng = np.random.default_rng(0)
    for a in (0.3, 2.0):
        v = np.log(np.abs(1 + math.sqrt(a) * rng.standard_normal(100_000)))
        assert abs(v.mean() - loguniform.expected_log(math.log(a))) <= 4 * v.std() / math.sqrt(len(v))


def test_by_table_and_by_fit_are_the_same_functions():
    """At every kind of u: points of the table, between them, at its end and beyond it, near 0, and 0 itself."""
    u = np.concatenate([np.linspace(0, 12.2, 977)[1:], 12 + np.array([-1e-9, 0, 1e-9]), np.geomspace(1e-9, 1e4, 80)])
    log_a = -np.log(2 * u * u)
    value, slope = loguniform.by_table(u)
    rounding = 64 * EPS * (1 + np.abs(log_a))
    assert (np.abs(value - loguniform.exact(log_a)) <= rounding).all() and (np.abs(slope - loguniform.exact_grad(log_a)) <= rounding).all()
    assert [dawson(v) for v in (0.3, 1.0, 7.5, 40.0)] == pytest.approx(rules.dawson.dawson(np.array([0.3, 1.0, 7.5, 40.0]))[0], rel=1e-14)
    value, slope = loguniform.by_fit(u)
    np.testing.assert_allclose(value, loguniform.molchanov(log_a), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(slope, loguniform.molchanov_grad(log_a), rtol=1e-9, atol=1e-12)
    for form in loguniform.FORMS.values():
        assert [float(v) for v in form(np.array(0.0))] == [0.0, 0.0] and form(np.zeros((2, 3)))[1].shape == (2, 3)


def test_dawson_s_kernel_is_its_python():
    u = np.array([0.0, 0.03125, 0.3, 5.0, 11.99, 12.0, 12.5, 300.0, np.nan])
    out, naive = np.empty((2, 9)), np.empty((2, 9))
    args = u, rules.dawson.table(), rules.dawson.STEP, rules.dawson.OFFSET
    kernels.dawson(*args, *out)
    kernels.dawson.py_func(*args, *naive)
    np.testing.assert_allclose(out, naive, rtol=1e-15)


@pytest.mark.parametrize("name", ["exact", "molchanov"])
def test_gradients(name):
    log_a = np.linspace(-7, 7, 15)
    value, grad = getattr(loguniform, name), getattr(loguniform, f"{name}_grad")
    check = checks.gradient_check(lambda p: float(value(p["log_a"]).sum()), {"log_a": log_a}, {"log_a": grad(log_a)}, rng=0)
    assert check.passed, check
    assert (grad(log_a) < 0).all() and (grad(np.linspace(-8, 8, 81)) > -0.65).all()  # always towards more noise


def test_approximations():
    """Molchanov et al.: within 0.0094 on [-8, 8], and tends to 0 as the exact KL does. Kingma et al.: within 0.0404 for a <= 1 only."""
    log_a = np.linspace(-8, 8, 321)
    assert 0.0093 < np.abs(loguniform.molchanov(log_a) - loguniform.exact(log_a)).max() < 0.0094
    assert loguniform.molchanov(50.0) == pytest.approx(0, abs=1e-15)
    a = np.linspace(0.005, 1, 200)
    below = loguniform.exact(np.log(a)) - loguniform.kingma(np.log(a))
    assert 0 < below.min() and 0.0403 < below.max() < 0.0404
    assert loguniform.exact(math.log(2)) - loguniform.kingma(math.log(2)) > 0.9


def test_scalars_and_arrays():
    log_a = np.array([[-1.0, 0.5], [2.0, -6.0]])
    for name in ("exact", "exact_grad", "molchanov", "molchanov_grad", "kingma"):
        f = getattr(loguniform, name)
        np.testing.assert_allclose(f(log_a), [[f(v) for v in row] for row in log_a], rtol=1e-13)
        assert f(log_a).shape == (2, 2) and np.ndim(f(0.3)) == 0
