"""A layer with parameters, inputs, noise and dL/df, and what is asked of it beside its derivatives."""

from itertools import combinations

import numpy as np

from ..nn import Key, Rows
from .slopes import compare, constant, near
from .verdict import Failed, call


class Case:
    """A layer with parameters, inputs, noise and dL/df in float64, and what its forward and backward give."""

    def __init__(self, layer, x, seed):
        rng = np.random.default_rng([seed, 1])
        weights = call(layer, "init", rng, np.float64)
        self.layer, self.x, self.shapes = layer, x, call(layer, "param_shapes")
        self.params = {p: np.asarray(a, np.float64) + 0.3 * rng.standard_normal(np.shape(a))
                       for p, a in weights.items()}
        if layer.noisy and not layer.noisy_params and not layer.codes:
            raise Failed("noisy_params is empty: it must name the parameters that z multiplies, or their KL "
                         "is that of no noise")
        if set(layer.noisy_params if layer.noisy else ()) - set(weights):
            raise Failed(f"noisy_params must be among the parameters {list(weights)}, "
                         f"got {layer.noisy_params}")
        self.params |= call(layer, "start_noise", np.float64)
        self.z = self.draw(seed, np.float64)
        y, cache = self.forward()
        self.df = np.random.default_rng([seed, 2]).standard_normal(np.shape(y))
        self.y, (self.dx, self.grads) = y, self.backward(cache)

    def draw(self, seed, dtype):
        """z for every row of x; 1 if there is no noise."""
        layer, key = self.layer, Key(seed).of("layer")
        if not layer.noisy:
            return 1
        rows = Rows.of(key, len(self.x), dtype=dtype)
        shape = call(layer, "noise_shape", self.x.shape[1:])
        eps = layer.place.draw(layer.noise, key, (len(self.x), *shape), rows)
        phi = {p: np.asarray(a, dtype) for p, a in call(layer, "phi", self.params).items()}
        z = layer.place.z(layer.noise, phi, eps)
        return z.astype(np.float64) if dtype == np.float64 else z

    def forward(self, params=None, x=None, z=None):
        """Of copies, as what is given may be written into."""
        params = self.params if params is None else params
        x, z = self.x if x is None else x, self.z if z is None else z
        z = np.copy(z) if np.ndim(z) else z
        return self.run_forward({p: a.copy() for p, a in params.items()}, x.copy(), z)

    def run_forward(self, params, x, z):
        made = call(self.layer, "forward", params, x, z)
        if type(made) is not tuple or len(made) != 2:
            raise Failed(f"forward must return (y, cache), got {type(made).__name__}")
        return made

    def backward(self, cache, df=None, params=None):
        df = self.df if df is None else df
        return self.run_backward(cache, df.copy(), self.params if params is None else params)

    def run_backward(self, cache, df, params):
        made = call(self.layer, "backward", params, cache, df)
        if type(made) is not tuple or len(made) != 2 or not hasattr(made[1], "keys"):
            raise Failed("backward must return (dL/dx, {name: dL/dparam}), {} where there are no parameters")
        return made

    def loss(self, params=None, x=None, z=None) -> float:
        """L = <df, f>: its derivative in f is df."""
        return float((self.df * self.forward(params, x, z)[0]).sum())

    def loss_at(self, p: str, value, z=None) -> float:
        """The same with another value of one parameter."""
        return self.loss(self.params | {p: value}, z=z)

    def rows(self, n):
        return self.z if np.ndim(self.z) == 0 else self.z[n]


def lacks_mask(case, p: str) -> bool:
    """Whether dL/dp is right once the share of each row is multiplied by its z: f knows of p only p o z."""
    layer, z = case.layer, case.z
    if not np.ndim(z) or p not in layer.noisy_params or not is_factor(case):
        return False
    if z.shape[1:] != tuple(layer.place.units(layer)):
        return False
    masked = 0.0
    for n in range(len(case.x)):
        one = slice(n, n + 1)
        grads = case.backward(case.forward(x=case.x[one], z=z[one])[1], case.df[one])[1]
        masked = masked + grads[p] * layer.place.along(z[n], case.params[p])
    return not compare(p, lambda v: case.loss(case.params | {p: v}), case.params[p], masked)


def is_factor(case) -> bool:
    """Whether z is what multiplies the parameters: at the place Local, or added to them, it is not."""
    layer, params = case.layer, case.params
    mean, wanted = layer.mean_noise(params, np.float64), layer.noise.moments(layer.phi(params))[0]
    return not layer.noise.additive and near(*np.broadcast_arrays(mean, wanted))


def multiplies(case) -> str:
    layer, place = case.layer, case.layer.place
    units = place.units(layer)
    z = np.random.default_rng(5).uniform(0.5, 1.5, (1, *units))
    z.reshape(-1)[::3] = 0
    with_z, one = case.forward(z=z)[0], np.ones_like(z)
    if not is_factor(case):
        W = layer.weights(case.params, z)["W"].reshape(case.params["M"].shape)
        return "" if near(with_z, case.forward(case.params | {"M": W}, z=0 * z)[0]) else (
            "the weights that layer.weights gives are not those that forward uses")

    def inside(names):
        try:
            masked = {p: case.params[p] * place.along(z[0], case.params[p]) for p in names}
            return near(with_z, case.forward(case.params | masked, z=one)[0])
        except ValueError:
            return False  # a parameter that has no ray for each z
    if inside(layer.noisy_params):
        return ""
    names = list(layer.param_shapes())
    for count in range(1, len(names) + 1):
        for some in combinations(names, count):
            if inside(some):
                return f"z multiplies {some}: noisy_params must say so, and says {tuple(layer.noisy_params)}"
    if near(with_z, case.forward(z=one)[0]):
        return "forward does not depend on z"
    return (f"f(z) is not f at z = 1 with z times {', '.join(layer.noisy_params)}, as {place!r} says: "
            "the KL and the posterior are then those of another layer")


def dtypes(case) -> str:
    for dtype in (np.float32, np.float64):
        params = {p: a.astype(dtype) for p, a in case.params.items()}
        y, cache = case.forward(params, case.x.astype(dtype), case.draw(0, dtype))
        dx, grads = case.backward(cache, case.df.astype(dtype), params)
        for what, a in [("y", y), ("dL/dx", dx), *((f"dL/d{p}", g) for p, g in grads.items())]:
            if np.asarray(a).dtype != dtype:
                return f"{what} comes as {np.asarray(a).dtype} where everything is {np.dtype(dtype)}"
    return ""


def writes(case) -> str:
    given = {"x": case.x.copy(), "df": case.df.copy()} | {p: a.copy() for p, a in case.params.items()}
    given |= {} if np.ndim(case.z) == 0 else {"z": case.z.copy()}
    y, cache = case.run_forward(given, given["x"], given.get("z", 1))
    before = {"x": case.x, "df": case.df, "z": case.z} | case.params
    for p, a in given.items():
        if not np.array_equal(a, before[p]):
            return f"forward writes into {p}"
    if not np.array_equal(y, case.y):
        return "forward gives something else the second time: the noise is z, and nothing else may be random"
    first = case.run_backward(cache, given["df"], given)
    for p, a in given.items():
        if not np.array_equal(a, before[p]):
            return f"backward writes into {p}"
    again = case.run_backward(cache, given["df"], given)
    same = all(np.array_equal(g, again[1][p]) for p, g in first[1].items())
    if same and np.array_equal(first[0], again[0]):
        return ""
    return "backward gives something else the second time: it writes into the cache, or draws"


def rows(case) -> str:
    B, total = len(case.x), {}
    mean = "divides by the batch: the mean over the batch is taken elsewhere"
    for n in range(B):
        one = slice(n, n + 1)
        y, cache = case.forward(x=case.x[one], z=case.rows(one))
        if not near(y, case.y[one]):
            return f"row {n} alone gives another f than in the batch: forward mixes the rows"
        dx, grads = case.backward(cache, case.df[one])
        if not near(dx, case.dx[one]):
            is_mean = constant(case.dx[one], dx, 1 / B)
            return "dL/dx " + (mean if is_mean else f"of row {n} alone is another than in the batch")
        total = {p: total.get(p, 0) + g for p, g in grads.items() if p != "z"}
    for p, g in total.items():
        if not near(g, case.grads[p]):
            is_mean = constant(case.grads[p], g, 1 / B)
            return f"dL/d{p} is " + ("the mean over the batch, and must be the sum" if is_mean else
                                     "not the sum of what its rows give alone")
    return ""
