"""theta_{t+1} = theta_t - rate_t * direction(grad_t): SGD and Adam as (init, update) pairs, the state passed in and out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import kernels, require


@dataclass(frozen=True)
class Optimizer:
    """theta and a state in, theta and a state out: what SGD and Adam share, and the class to subclass."""

    rate: float
    policy: str = field(default="constant", kw_only=True)  # or "inv": rate_t = rate (1 + gamma t)^(-power)
    gamma: float = field(default=1e-4, kw_only=True)
    power: float = field(default=0.75, kw_only=True)
    multipliers: dict = field(default=None, kw_only=True)  # {layer: {param: factor of its rate}}; 1 where not named
    slots = ()  # the names of the arrays, one for each parameter, that the state holds beside "step"

    def __post_init__(self):
        require.real("rate", self.rate, 0, open_low=True)
        require.choice("policy", self.policy, ("constant", "inv"))
        require.real("gamma", self.gamma, 0)
        require.real("power", self.power, 0)
        if not isinstance(self.multipliers, (Mapping, type(None))):
            raise require.InputError(f"multipliers must be {{layer: {{param: factor}}}}, got {self.multipliers!r}")
        for layer, factors in (self.multipliers or {}).items():
            if not isinstance(factors, Mapping):
                raise require.InputError(f"multipliers[{layer!r}] must be {{param: factor}}, got {factors!r}")
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

    def _new(self, params, out):
        """Arrays to write the new parameters and the new state into: fresh ones, or `out`."""
        return out or (like(params), {slot: like(params) for slot in self.slots})


@dataclass(frozen=True)
class SGD(Optimizer):
    """v' = momentum v + rate_t g;  theta' = theta - v'. Caffe's form: a falling rate leaves the velocity as it was."""

    momentum: float = 0.0
    slots = ("v",)

    def __post_init__(self):
        super().__post_init__()
        require.real("momentum", self.momentum, 0, 1, open_high=True)

    def init(self, params):
        self._check_multipliers(params)
        return {"step": 0, "v": zeros_like(params)}

    def update(self, params, grads, state, out=None):
        """(params', state'). out=(params, state) writes into those arrays, which may be the ones given."""
        new, slots = self._new(params, out)
        for layer, param, theta in leaves(params):
            dtype = theta.dtype.type
            rate = dtype(self.rate_at(state["step"]) * self.multiplier(layer, param))
            kernels.sgd(*(flat(tree[layer][param]) for tree in (params, grads, state["v"])), rate, dtype(self.momentum),
                        *(flat(tree[layer][param]) for tree in (new, slots["v"])))
        return new, {"step": state["step"] + 1, "v": slots["v"]}


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma and Ba, arXiv 1412.6980, algorithm 1, with m and s the first and second moment estimates."""

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots = ("m", "s")

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
        new, slots = self._new(params, out)
        for layer, param, theta in leaves(params):
            dtype = theta.dtype.type
            rate = dtype(self.rate_at(state["step"]) * self.multiplier(layer, param))
            kernels.adam(*(flat(tree[layer][param]) for tree in (params, grads, state["m"], state["s"])), rate,
                         *self.constants(dtype, state["step"]), *(flat(tree[layer][param]) for tree in (new, slots["m"], slots["s"])))
        return new, {"step": state["step"] + 1, "m": slots["m"], "s": slots["s"]}

    def constants(self, dtype, step):
        """beta1, beta2, epsilon and the corrections 1 - beta^t of step t = step + 1."""
        t = step + 1
        return tuple(dtype(v) for v in (self.beta1, self.beta2, self.epsilon, 1 - self.beta1**t, 1 - self.beta2**t))


def check_optimizer(optimizer) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise require.InputError(f"optimizer must be nn.SGD(...) or nn.Adam(...), got {optimizer!r}")
    return optimizer


def leaves(tree):
    """(layer, param, array) of {layer: {param: array}}, in order."""
    return [(layer, param, array) for layer, group in tree.items() for param, array in group.items()]


def flat(array):
    """A contiguous array as one row, without a copy."""
    return array.reshape(-1)


def like(params):
    return {layer: {p: np.empty(a.shape, a.dtype) for p, a in group.items()} for layer, group in params.items()}


def zeros_like(params):
    return {layer: {p: np.zeros(a.shape, a.dtype) for p, a in group.items()} for layer, group in params.items()}
