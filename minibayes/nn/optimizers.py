"""theta_{t+1} = theta_t - rate_t * direction(grad_t): SGD and Adam as (init, update) pairs, the state passed in and out."""

from dataclasses import dataclass, field

import numpy as np

from .. import require
from . import kernels


@dataclass(frozen=True)
class Rate:
    """The settings that SGD and Adam share."""

    rate: float
    policy: str = field(default="constant", kw_only=True)  # or "inv": rate_t = rate (1 + gamma t)^(-power)
    gamma: float = field(default=1e-4, kw_only=True)
    power: float = field(default=0.75, kw_only=True)
    multipliers: dict = field(default=None, kw_only=True)  # {layer: {param: factor of its rate}}; 1 where not named

    def __post_init__(self):
        require.real("rate", self.rate, 0, open_low=True)
        require.choice("policy", self.policy, ("constant", "inv"))
        require.real("gamma", self.gamma, 0)
        require.real("power", self.power, 0)
        for layer, factors in (self.multipliers or {}).items():
            for param, factor in factors.items():
                require.real(f"multipliers[{layer!r}][{param!r}]", factor, 0)

    def rate_at(self, t):
        """rate_t for step t = 0, 1, ...: constant, or Caffe's "inv" policy."""
        return self.rate if self.policy == "constant" else self.rate * (1 + self.gamma * t) ** -self.power

    def multiplier(self, layer, param):
        return (self.multipliers or {}).get(layer, {}).get(param, 1.0)

    def _check_multipliers(self, params):
        for layer, factors in (self.multipliers or {}).items():
            for param in factors:
                if param not in params.get(layer, {}):
                    raise require.InputError(f"multipliers names {layer!r}, {param!r}, which the network does not have")

    def _new(self, params, out, slots):
        """Arrays to write the new parameters and the new state into: fresh ones, or `out`."""
        return out or (like(params), {slot: like(params) for slot in slots})


@dataclass(frozen=True)
class SGD(Rate):
    """v' = momentum v + rate_t g;  theta' = theta - v'. Caffe's form: a falling rate leaves the velocity as it was."""

    momentum: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        require.real("momentum", self.momentum, 0, 1, open_high=True)

    def init(self, params):
        self._check_multipliers(params)
        return {"step": 0, "v": zeros_like(params)}

    def update(self, params, grads, state, out=None):
        """(params', state'). out=(params, state) writes into those arrays, which may be the ones given."""
        new, slots = self._new(params, out, ["v"])
        for layer, param, theta in leaves(params):
            dtype = theta.dtype.type
            rate = dtype(self.rate_at(state["step"]) * self.multiplier(layer, param))
            kernels.sgd(theta.reshape(-1), flat(grads[layer][param], theta), flat(state["v"][layer][param], theta), rate,
                        dtype(self.momentum), new[layer][param].reshape(-1), slots["v"][layer][param].reshape(-1))
        return new, {"step": state["step"] + 1, "v": slots["v"]}


@dataclass(frozen=True)
class Adam(Rate):
    """Kingma and Ba, arXiv 1412.6980, algorithm 1, with m and s the first and second moment estimates."""

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        require.real("beta1", self.beta1, 0, 1, open_high=True)
        require.real("beta2", self.beta2, 0, 1, open_high=True)
        require.real("epsilon", self.epsilon, 0, open_low=True)

    def init(self, params):
        self._check_multipliers(params)
        return {"step": 0, "m": zeros_like(params), "s": zeros_like(params)}

    def update(self, params, grads, state, out=None):
        """(params', state'). out=(params, state) writes into those arrays, which may be the ones given."""
        new, slots = self._new(params, out, ["m", "s"])
        t = state["step"] + 1
        for layer, param, theta in leaves(params):
            dtype = theta.dtype.type
            rate = dtype(self.rate_at(state["step"]) * self.multiplier(layer, param))
            kernels.adam(theta.reshape(-1), flat(grads[layer][param], theta), flat(state["m"][layer][param], theta),
                         flat(state["s"][layer][param], theta), rate, dtype(self.beta1), dtype(self.beta2),
                         dtype(self.epsilon), dtype(1 - self.beta1**t), dtype(1 - self.beta2**t),
                         new[layer][param].reshape(-1), slots["m"][layer][param].reshape(-1),
                         slots["s"][layer][param].reshape(-1))
        return new, {"step": t, "m": slots["m"], "s": slots["s"]}


def leaves(tree):
    """(layer, param, array) of {layer: {param: array}}, in order."""
    return [(layer, param, array) for layer, group in tree.items() for param, array in group.items()]


def flat(array, theta):
    """`array` as one contiguous row in the dtype of theta."""
    return np.ascontiguousarray(array, theta.dtype).reshape(-1)


def like(params):
    return {layer: {p: np.empty(a.shape, a.dtype) for p, a in group.items()} for layer, group in params.items()}


def zeros_like(params):
    return {layer: {p: np.zeros(a.shape, a.dtype) for p, a in group.items()} for layer, group in params.items()}
