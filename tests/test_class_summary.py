"""The compiled summary of passes over the steps of sequences against its plain twin: sure, tied, missing, infinite, merged, weighted."""

import numpy as np
import pytest

from minibayes import kernels
from minibayes.bayes.summary import CategoricalSummary, joined, part


def parts(summary):
    return {"mean": summary.probabilities.mean, "squares": summary.probabilities.squares, "log": summary.log_mean.value,
            "entropy": summary.entropies.mean, "entropy squares": summary.entropies.squares, "votes": summary.votes,
            "constant": summary.sameness.constant, "finite": summary.finite}


def assert_the_same(f, close):
    """By step, and every step an input of its own."""
    T, N, S, C = f.shape
    with np.errstate(invalid="ignore"):
        found, plain = CategoricalSummary(f), CategoricalSummary(f.reshape(T, N * S, C))
    assert found.probabilities.count == plain.probabilities.count == T
    for name, a in parts(plain).items():
        if name not in ("constant", "finite"):
            np.testing.assert_allclose(parts(found)[name].reshape(a.shape), a, err_msg=name, **close)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 2, 3, 5), (7, 3, 4, 83), (64, 1, 2, 2), (3, 2, 2, 1)])
@pytest.mark.parametrize("scale", [0.1, 5, 300, 5000])
def test_it_is_the_plain_summary(shape, dtype, scale):
    """At scale 300 probabilities underflow in some passes, at 5000 in all: their logarithms do not."""
    f = (scale * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    found = assert_the_same(f, {"rtol": 1e-12, "atol": 1e-15})
    assert np.isfinite(found.log_mean.value).all()


def test_steps_that_are_not_there_or_not_finite():
    f = np.random.default_rng(1).standard_normal((4, 3, 5, 6))
    f[:, 0, 3:] = np.nan
    f[2, 1, 0, 4], f[1, 2, 2, 0] = np.inf, np.nan
    found = assert_the_same(f, {"rtol": 1e-12, "atol": 1e-15})
    assert np.isnan(found.averaged.mean).any(axis=-1).sum() == 4


def test_ties_are_the_first_class():
    f = np.zeros((3, 1, 2, 4))
    assert CategoricalSummary(f).votes.tolist() == [[[3, 0, 0, 0]] * 2]


def test_blocks_merge_and_inputs_join():
    f = np.random.default_rng(2).standard_normal((6, 4, 3, 5)).astype(np.float32)
    whole, merged = CategoricalSummary(f), CategoricalSummary(f[:2])
    merged.merge(CategoricalSummary(f[2:]))
    side = joined([(slice(0, 1), CategoricalSummary(f[:, :1])), (slice(1, 4), CategoricalSummary(f[:, 1:]))], 4)
    for name, a in parts(whole).items():
        np.testing.assert_allclose(parts(merged)[name], a, rtol=1e-12, atol=1e-15)
        assert np.array_equal(parts(side)[name], a) and np.array_equal(parts(part(whole, slice(1, 3)))[name], a[1:3])


def test_with_weights_it_is_exact_as_before():
    f, weights = np.random.default_rng(3).standard_normal((3, 2, 4, 5)), np.array([0.2, 0.5, 0.3])
    p = np.exp(f - f.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(CategoricalSummary(f, weights).probabilities.mean, np.tensordot(weights, p, 1), rtol=1e-13)


def test_the_exponential():
    x = -np.concatenate([np.linspace(0, 50, 100_001), np.geomspace(1e-300, 700, 10_001), [0, 708]])
    out = np.empty_like(x)
    kernels.class_summary.py_func.__globals__["exp"](x, np.empty_like(x), np.empty_like(x), out)
    assert np.abs(out / np.exp(x) - 1).max() < 4e-16 * 2
    far = np.array([-709.0, -1e9, -np.inf])
    kernels.class_summary.py_func.__globals__["exp"](far, np.empty(3), np.empty(3), far)
    assert (far == far[0]).all() and 0 < far[0] < 1e-300
