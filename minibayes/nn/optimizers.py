"""theta' = theta - rate_t * direction(grad_t): SGD and Adam as (init, update), state passed in and out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import kernels, require
from ..own import fixed, settle


@dataclass(frozen=True)
class Optimizer:
    """theta and a state in, theta and a state out: what SGD and Adam share, and the class to subclass.

    rate: of step 0, in units of theta per unit of gradient.
    policy: "constant" (by default); "inv": rate_t = rate (1 + gamma t)^(-power); or a schedule of one's own,
            a function of the step, counted from 0, whose number >= 0 the rate is multiplied by.
    gamma: of "inv", 1e-4 by default.
    power: of "inv", 0.75 by default.
    multipliers: {layer: {param: factor of its rate}}; 1 where not named.
    """

    rate: float
    policy: str | Callable = field(default="constant", kw_only=True)
    gamma: float = field(default=1e-4, kw_only=True)
    power: float = field(default=0.75, kw_only=True)
    multipliers: dict = field(default=None, kw_only=True)
    slots = ()  # the names of the arrays, one for each parameter, that the state holds beside "step"

    def __post_init__(self):
        settle(self, rate=require.real("rate", self.rate, 0, open_low=True),
               policy=(self.policy if callable(self.policy)
                       else require.choice("policy", self.policy, ("constant", "inv"))),
               gamma=require.real("gamma", self.gamma, 0), power=require.real("power", self.power, 0))
        if not isinstance(self.multipliers, (Mapping, type(None))):
            raise require.InputError("multipliers must be {layer: {param: factor}}, got "
                                     f"{self.multipliers!r}")
        own = {}
        for layer, factors in (self.multipliers or {}).items():
            if not isinstance(factors, Mapping):
                raise require.InputError(f"multipliers[{layer!r}] must be {{param: factor}}, got {factors!r}")
            own[layer] = {param: require.real(f"multipliers[{layer!r}][{param!r}]", factor, 0)
                          for param, factor in factors.items()}
        settle(self, multipliers=None if self.multipliers is None else fixed(own))

    def rate_at(self, t: int) -> float:
        """rate_t for step t = 0, 1, ...: constant, Caffe's "inv" policy, or a function of one's own."""
        if callable(self.policy):
            return self.rate * require.real(f"policy({t})", self.policy(t), 0)
        return self.rate if self.policy == "constant" else self.rate * (1 + self.gamma * t) ** -self.power

    def multiplier(self, layer: str, param: str) -> float:
        """The factor of this parameter's rate."""
        return (self.multipliers or {}).get(layer, {}).get(param, 1.0)

    def _check_multipliers(self, params):
        for layer, factors in (self.multipliers or {}).items():
            for param in factors:
                if param not in params.get(layer, {}):
                    raise require.InputError(f"multipliers names {layer!r}, {param!r}, "
                                             "which the network does not have")

    def _new(self, params, out):
        """Arrays to write the new parameters and the new state into: fresh ones, or `out`."""
        return out or (like(params), {slot: like(params) for slot in self.slots})


@dataclass(frozen=True)
class SGD(Optimizer):
    """v' = momentum v + rate_t g;  theta' = theta - v'. Caffe's form: a falling rate leaves the velocity.

    momentum: in [0, 1), 0 by default.
    """

    momentum: float = 0.0
    slots = ("v",)

    def __post_init__(self):
        super().__post_init__()
        settle(self, momentum=require.real("momentum", self.momentum, 0, 1, open_high=True))

    def init(self, params: dict) -> dict:
        """The state of step 0."""
        self._check_multipliers(params)
        return {"step": 0, "v": zeros_like(params)}

    def update(self, params: dict, grads: dict, state: dict, out: tuple | None = None) -> tuple:
        """(params', state'). out=(params, state) writes into those arrays, which may be the ones given."""
        new, slots = self._new(params, out)
        for layer, param, theta in leaves(params):
            dtype = theta.dtype.type
            rate = dtype(self.rate_at(state["step"]) * self.multiplier(layer, param))
            old = (flat(tree[layer][param]) for tree in (params, grads, state["v"]))
            into = (flat(tree[layer][param]) for tree in (new, slots["v"]))
            kernels.sgd(*old, rate, dtype(self.momentum), *into)
        return new, {"step": state["step"] + 1, "v": slots["v"]}


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma and Ba, arXiv 1412.6980, algorithm 1, with m and s the first and second moment estimates.

    rate: alpha, 1e-3 by default.
    beta1: of m, in [0, 1), 0.9 by default.
    beta2: of s, in [0, 1), 0.999 by default.
    epsilon: beside the root of s, 1e-8 by default.
    """

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots = ("m", "s")

    def __post_init__(self):
        super().__post_init__()
        settle(self, beta1=require.real("beta1", self.beta1, 0, 1, open_high=True),
               beta2=require.real("beta2", self.beta2, 0, 1, open_high=True),
               epsilon=require.real("epsilon", self.epsilon, 0, open_low=True))

    def init(self, params: dict) -> dict:
        """The state of step 0."""
        self._check_multipliers(params)
        return {"step": 0, "m": zeros_like(params), "s": zeros_like(params)}

    def update(self, params: dict, grads: dict, state: dict, out: tuple | None = None) -> tuple:
        """(params', state'). out=(params, state) writes into those arrays, which may be the ones given."""
        new, slots = self._new(params, out)
        for layer, param, theta in leaves(params):
            dtype = theta.dtype.type
            rate = dtype(self.rate_at(state["step"]) * self.multiplier(layer, param))
            old = (flat(tree[layer][param]) for tree in (params, grads, state["m"], state["s"]))
            into = (flat(tree[layer][param]) for tree in (new, slots["m"], slots["s"]))
            kernels.adam(*old, rate, *self.constants(dtype, state["step"]), *into)
        return new, {"step": state["step"] + 1, "m": slots["m"], "s": slots["s"]}

    def constants(self, dtype: type, step: int) -> tuple:
        """beta1, beta2, epsilon and the corrections 1 - beta^t of step t = step + 1."""
        t = step + 1
        return (dtype(self.beta1), dtype(self.beta2), dtype(self.epsilon),
                dtype(1 - self.beta1**t), dtype(1 - self.beta2**t))


def check_optimizer(optimizer: object) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise require.InputError(f"optimizer must be nn.SGD(...) or nn.Adam(...), got {optimizer!r}")
    return optimizer


def leaves(tree: dict) -> list:
    """(layer, param, array) of {layer: {param: array}}, in order."""
    return [(layer, param, array) for layer, group in tree.items() for param, array in group.items()]


def flat(array: np.ndarray) -> np.ndarray:
    """A contiguous array as one row, without a copy."""
    return array.reshape(-1)


def like(params: dict) -> dict:
    """New arrays of the same shapes and dtypes."""
    return {layer: {p: np.empty(a.shape, a.dtype) for p, a in group.items()}
            for layer, group in params.items()}


def zeros_like(params: dict) -> dict:
    """The same, of zeros."""
    return {layer: {p: np.zeros(a.shape, a.dtype) for p, a in group.items()}
            for layer, group in params.items()}
