"""SGD and Adam: against their equations, pure and in place, and the policies of the rate."""

import numpy as np
import pytest

from minibayes import nn


def trees(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [{"a": {"M": rng.standard_normal((3, 4)).astype(dtype), "b": rng.standard_normal(3).astype(dtype)}} for _ in range(6)]


def test_sgd_with_momentum_inv_policy_and_multipliers():
    params, *grads = trees()
    sgd = nn.SGD(0.1, momentum=0.9, policy="inv", gamma=0.5, power=0.75, multipliers={"a": {"b": 2.0}})
    state, theta, v = sgd.init(params), params["a"]["b"].copy(), np.zeros(3)
    for t, g in enumerate(grads):
        params, state = sgd.update(params, g, state)
        v = 0.9 * v + 2 * 0.1 * (1 + 0.5 * t) ** -0.75 * g["a"]["b"]
        theta = theta - v
    np.testing.assert_allclose(params["a"]["b"], theta, rtol=1e-13)
    assert state["step"] == 5


def test_adam_is_algorithm_1():
    params, *grads = trees()
    adam = nn.Adam(0.01)
    state, theta, m, s = adam.init(params), params["a"]["M"].copy(), 0, 0
    for t, g in enumerate(grads, start=1):
        params, state = adam.update(params, g, state)
        g = g["a"]["M"]
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
        theta = theta - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(params["a"]["M"], theta, rtol=1e-12)


def test_inv_policy_is_that_of_the_official_solver():
    sgd = nn.SGD(0.01, policy="inv")
    assert sgd.rate_at(0) == 0.01
    assert sgd.rate_at(10_000) == pytest.approx(0.01 * 2**-0.75)
    assert nn.SGD(0.01).rate_at(10_000) == 0.01


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1, momentum=0.5), nn.Adam(0.1)], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_update_is_pure_and_in_place_gives_the_same_bits(optimizer, dtype):
    params, *grads = trees(dtype=dtype)
    before = {q: a.copy() for q, a in params["a"].items()}
    pure, state = optimizer.update(params, grads[0], optimizer.init(params))
    pure, state = optimizer.update(pure, grads[1], state)
    assert all((params["a"][q] == before[q]).all() for q in before)
    assert pure["a"]["M"].dtype == dtype
    own, s = {"a": {q: a.copy() for q, a in params["a"].items()}}, optimizer.init(params)
    for g in grads[:2]:
        own, s = optimizer.update(own, g, s, out=(own, s))
    for q in before:
        assert (own["a"][q] == pure["a"][q]).all()
        assert all((s[k]["a"][q] == state[k]["a"][q]).all() for k in s if k != "step")
    assert s["step"] == 2


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1), nn.Adam()], ids=repr)
def test_kernels_are_their_py_func(optimizer, monkeypatch):
    from minibayes import kernels
    params, g, *_ = trees()
    fast, _ = optimizer.update(params, g, optimizer.init(params))
    for name in ("sgd", "adam"):
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    slow, _ = optimizer.update(params, g, optimizer.init(params))
    np.testing.assert_allclose(fast["a"]["M"], slow["a"]["M"], rtol=1e-14)
