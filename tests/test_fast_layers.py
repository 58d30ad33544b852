"""Layers of a user's own in a Program: they run as they are, and one that returns something else is named."""

import numpy as np
import pytest
from test_fast_program import compare, shaken

from minibayes import InputError, nn
from minibayes.fast.program import Program


class Doubled(nn.Dense):
    """A user's own layer."""

    def forward(self, params, x, z=1):
        f, cache = super().forward(params, x, z)
        return 2 * f, cache

    def backward(self, params, cache, df):
        return super().backward(params, cache, 2 * df)


def test_a_subclass_runs_as_it_is():
    rng = np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(4, 6), r=nn.ReLU(), b=nn.Dense(6, 5, noise=nn.Bernoulli(0.5)), c=Doubled(5, 3))
    compare(net, shaken(net, rng), rng.standard_normal((7, 4)), net.sample(0, (7, 4)), rng, 1e-11)


class LeakyConv(nn.Conv2d):
    """A subclass of a layer that has a stage of its own, with noise first: nothing of it may be left out."""

    def forward(self, params, x, z=1):
        y, cache = super().forward(params, x, z)
        return np.where(y > 0, y, 0.1 * y), (y > 0, cache)

    def backward(self, params, cache, df):
        positive, cache = cache
        return super().backward(params, cache, np.where(positive, df, 0.1 * df))


@pytest.mark.parametrize("conv", [LeakyConv, nn.Conv2d])
def test_convolutions_without_a_pooling_of_their_own(conv):
    rng, noise = np.random.default_rng(0), nn.Bernoulli(0.5)
    net = nn.Network((8, 9, 2), c=conv(2, 4, 3, noise=noise), r=nn.ReLU(), d=conv(4, 3, 2, noise=noise), p=nn.MaxPool2d(2),
                     f=nn.Flatten(), e=nn.Dense(18, 3))
    x = rng.standard_normal((4, 8, 9, 2))
    compare(net, shaken(net, rng), x, net.sample(1, x.shape), rng, 1e-11)


class Odd(nn.Tanh):
    """A layer that returns what `faults` says in the place of what it should."""

    faults = {}

    def forward(self, params, x, z=1):
        y, cache = super().forward(params, x, z)
        return {"pair": y, "dtype": (y.astype(np.float64), cache), "shape": (y[:, :-1], cache), "list": (list(y), cache)}.get(
            self.faults.get("forward"), (y, cache))

    def backward(self, params, cache, df):
        dx, _ = super().backward(params, cache, df)
        return {"pair": dx, "dtype": (dx.astype(np.float64), {}), "none": (None, {}), "no grads": (dx, None), "extra": (dx, {"M": dx})}.get(
            self.faults.get("backward"), (dx, {}))


@pytest.mark.parametrize("method, fault, message", [
    ("forward", "pair", r"a pair \(y, cache\), got a ndarray"), ("forward", "dtype", r"y as float32 \(2, 5\), got float64 \(2, 5\)"),
    ("forward", "shape", r"y as float32 \(2, 5\), got float32 \(2, 4\)"), ("forward", "list", "got a list"),
    ("backward", "pair", r"a pair \(dx, grads\)"), ("backward", "dtype", r"dx as float32 \(2, 5\), got float64"),
    ("backward", "none", "got a NoneType"), ("backward", "no grads", r"the gradients \[\], got a NoneType"),
    ("backward", "extra", r"the gradients \[\], got \['M'\]")])
def test_a_layer_that_returns_something_else_is_named(method, fault, message, monkeypatch):
    net = nn.Network(a=nn.Dense(4, 5), odd=Odd(), b=nn.Dense(5, 3))
    fused, params, x = Program(net), net.init(0), np.ones((2, 4), np.float32)
    monkeypatch.setattr(Odd, "faults", {method: fault})
    with pytest.raises(InputError, match=rf"{method} of layer 'odd' \(Odd\) must return .*{message}"):
        f, caches = fused.forward(params, x, {})
        fused.backward(params, caches, f)


class Forgets(nn.Dense):
    def backward(self, params, cache, df):
        dx, grads = super().backward(params, cache, df)
        del grads["b"]
        return dx, grads


def test_a_gradient_that_is_missing_is_an_error_and_not_the_last_steps():
    net = nn.Network(a=nn.Dense(4, 5), b=Forgets(5, 3))
    fused, params, x = Program(net), net.init(0), np.ones((2, 4), np.float32)
    f, caches = fused.forward(params, x, {})
    with pytest.raises(InputError, match=r"backward of layer 'b' \(Forgets\) must return the gradients \['M', 'b'\], got \['M'\]"):
        fused.backward(params, caches, f)
