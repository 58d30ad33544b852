"""Does a layer keep what nn.Layer promises: shapes, dtypes, every derivative, and that z multiplies the parameters it says?"""

from dataclasses import fields, replace
from itertools import combinations

import numpy as np

from .. import storage
from ..bayes import Categorical, Prior
from ..nn import Bernoulli, Key, LearnedGaussian, Network, Rows
from .slopes import compare, constant, near
from .verdict import Examination, Failed, Verdict, call


def layer(layer, input_shape: tuple, *, x: np.ndarray | None = None, batch: int = 4, seed: int = 0) -> Verdict:
    """Grade a layer on a batch of inputs of `input_shape`; prints nothing and raises nothing that the layer does.

    x: inputs (B, *input_shape) to take in the place of normal numbers.   batch: B.   seed: of the parameters, x and z.
    A layer with a field `noise` is graded with its own noise, with dropout, and with noise that learns, whose dL/dz it must give.
    """
    shape = tuple(input_shape)
    exam = Examination(layer, f" on inputs of shape {shape}")
    if x is None:
        x = np.random.default_rng(seed).standard_normal((batch, *shape))
    x = np.asarray(x, np.float64)
    with exam.part("save", "can be saved and loaded"):
        storage.check_readable(Network(shape, layer=layer), Prior(), Categorical())
    for note, variant in variants(layer):
        case = None
        with exam.part(f"parameters{note}", "param_shapes and init agree, in float32 and float64") as wrong:
            wrong(parameters(variant))
        with exam.part(f"forward and backward{note}", "run, and give what the network needs"):
            case = Case(variant, x, seed)
        if case is not None:
            examine(exam, case, note)
    return exam.verdict()


def variants(layer) -> list:
    """(what to say of it, layer): itself and, if its noise is a setting, with dropout and with noise that learns."""
    out = [("", layer)]
    if any(f.name == "noise" for f in fields(layer)):
        for noise in (Bernoulli(0.5), LearnedGaussian(0.5)):
            if (noise.learned and not layer.noise.learned) or (not noise.learned and not layer.noisy):
                try:
                    out.append((f", with {type(noise).__name__}", replace(layer, noise=noise)))
                except Exception:
                    continue  # which cannot act at its place
    return out


class Case:
    """A layer with parameters, inputs, noise and dL/df in float64, and what its forward and backward make of them."""

    def __init__(self, layer, x, seed):
        rng = np.random.default_rng([seed, 1])
        weights = call(layer, "init", rng, np.float64)
        self.layer, self.x = layer, x
        self.params = {p: np.asarray(a, np.float64) + 0.3 * rng.standard_normal(np.shape(a)) for p, a in weights.items()}
        if layer.noisy and not layer.noisy_params:
            raise Failed("noisy_params is empty: it must name the parameters that z multiplies, or their KL is that of no noise")
        if set(layer.noisy_params if layer.noisy else ()) - set(weights):
            raise Failed(f"noisy_params must be among the parameters {list(weights)}, got {layer.noisy_params}")
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
        eps = layer.place.draw(layer.noise, key, (len(self.x), *call(layer, "noise_shape", self.x.shape[1:])), rows)
        phi = {p: np.asarray(a, dtype) for p, a in call(layer, "phi", self.params).items()}
        z = layer.place.z(layer.noise, phi, eps)
        return z.astype(np.float64) if dtype == np.float64 else z

    def forward(self, params=None, x=None, z=None):
        """Of copies, as what is given may be written into."""
        params, x, z = self.params if params is None else params, self.x if x is None else x, self.z if z is None else z
        return self.run_forward({p: a.copy() for p, a in params.items()}, x.copy(), np.copy(z) if np.ndim(z) else z)

    def run_forward(self, params, x, z):
        made = call(self.layer, "forward", params, x, z)
        if type(made) is not tuple or len(made) != 2:
            raise Failed(f"forward must return (y, cache), got {type(made).__name__}")
        return made

    def backward(self, cache, df=None, params=None):
        return self.run_backward(cache, (self.df if df is None else df).copy(), self.params if params is None else params)

    def run_backward(self, cache, df, params):
        made = call(self.layer, "backward", params, cache, df)
        if type(made) is not tuple or len(made) != 2 or not hasattr(made[1], "keys"):
            raise Failed("backward must return (dL/dx, {name: dL/dparam}), with {} where there are no parameters")
        return made

    def loss(self, params=None, x=None, z=None) -> float:
        """L = <df, f>: its derivative in f is df."""
        return float((self.df * self.forward(params, x, z)[0]).sum())

    def rows(self, n):
        return self.z if np.ndim(self.z) == 0 else self.z[n]


def parameters(layer) -> str:
    shapes = call(layer, "param_shapes")
    if "z" in shapes:
        return "no parameter may be called z: grads['z'] is dL/dz"
    for dtype in (np.float32, np.float64):
        made, again = (call(layer, "init", np.random.default_rng(3), dtype) for _ in range(2))
        if {p: np.shape(a) for p, a in made.items()} != {p: tuple(s) for p, s in shapes.items()}:
            return f"init gives {({p: np.shape(a) for p, a in made.items()})}, param_shapes says {shapes}"
        for p, a in made.items():
            if a.dtype != dtype:
                return f"init gives {p} as {a.dtype} where {np.dtype(dtype)} is asked for: end it in .astype(dtype)"
            if not np.array_equal(a, again[p]):
                return f"init gives another {p} for the same rng: draw from the rng it is given, and nothing else"
    return ""


def examine(exam: Examination, case: Case, note: str):
    """All findings of one case."""
    layer, x, z, learned = case.layer, case.x, case.z, case.layer.noisy and case.layer.noise.learned
    wanted = set(layer.param_shapes()) | ({"z"} if learned else set())
    with exam.part(f"output shape{note}", f"{np.shape(case.y)[1:]} from {x.shape[1:]}") as wrong:
        said = tuple(call(layer, "output_shape", x.shape[1:]))
        if (len(x), *said) != np.shape(case.y):
            wrong(f"forward gives {np.shape(case.y)[1:]} for an input of {x.shape[1:]}, output_shape says {said}")
    with exam.part(f"names of gradients{note}", f"{sorted(wanted) or 'none'}, and dL/dx") as wrong:
        missing, extra = wanted - set(case.grads), set(case.grads) - wanted
        if "z" in missing:
            wrong("dL/dz is missing: where self.noise.learned, backward must give grads['z']")
        if "z" in extra:
            wrong("grads['z'] is given though the noise does not learn: give it only if self.noise.learned")
        if missing or extra:
            wrong(f"backward gives gradients of {sorted(case.grads)}, and must of {sorted(wanted)}")
    with exam.part(f"dtype{note}", "float32 stays float32, float64 float64") as wrong:
        wrong(dtypes(case))
    with exam.part(f"writes nothing{note}", "x, z, df, the parameters and the cache stay as they were") as wrong:
        wrong(writes(case))
    with exam.part(f"rows{note}", "a batch is its rows one by one, and its gradients their sum") as wrong:
        wrong(rows(case))
    unmasked = {} if np.ndim(z) == 0 else {"lacks the mask z: it is the derivative at z = 1": np.ones_like(z)}
    factors = {p: a for p, a in case.params.items()} | {"x": x, "df": case.df}
    if unmasked:
        factors = {"the mask z": z} | factors
    with exam.part(f"dL/dx{note}", "agrees with differences, z frozen") as wrong:
        own = {} if case.df.shape != x.shape else {
            "is df itself: the layer's own derivative is missing": lambda v: float((case.df * v).sum())}
        instead = own | {said: lambda v, one=one: case.loss(x=v, z=one) for said, one in unmasked.items()}
        wrong(compare("dL/dx", lambda v: case.loss(x=v), x, case.dx, factors, instead))
    for p in layer.param_shapes():
        with exam.part(f"dL/d{p}{note}", "agrees with differences, z frozen") as wrong:
            if p in case.grads:
                instead = {said: lambda v, one=one, p=p: case.loss(case.params | {p: v}, z=one) for said, one in unmasked.items()}
                said = compare(f"dL/d{p}", lambda v, p=p: case.loss(case.params | {p: v}), case.params[p], case.grads[p], factors,
                               instead)
                wrong(f"dL/d{p} lacks the mask z, row by row" if said and lacks_mask(case, p) else said)
    if np.ndim(z):
        examine_noise(exam, case, note, factors, learned)


def examine_noise(exam: Examination, case: Case, note: str, factors: dict, learned: bool):
    """What holds of z: its derivative, what it multiplies, one row of it for all, and E[z] in its place."""
    layer, x, z = case.layer, case.x, case.z
    if learned and "z" in case.grads:
        with exam.part(f"dL/dz{note}", "agrees with differences") as wrong:
            del factors["the mask z"]
            response = {"the response at z = 1": case.forward(z=np.ones_like(z))[0]}
            place = layer.place.pull(layer.noise, layer.phi(case.params), z, np.asarray(case.grads["z"], np.float64))
            if is_factor(case):
                wrong(compare("dL/dz", lambda v: case.loss(z=v), z, case.grads["z"], factors | response, {}))
            for name, claimed in place.items():  # where dL/dz stands for something else, what it gives for phi counts
                if not is_factor(case):
                    wrong(compare(f"dL/d{name}", lambda v, name=name: case.loss(case.params | {name: v}), case.params[name], claimed))
    with exam.part(f"one z for all rows{note}", "z of one row acts on every row") as wrong:
        one, many = z[:1], np.repeat(z[:1], len(x), axis=0)
        if not near(case.forward(z=one)[0], case.forward(z=many)[0]):
            wrong("forward gives something else with z (1, ...) than with the same z in every row")
        (dx, grads), (dx_many, grads_many) = (case.backward(case.forward(z=v)[1]) for v in (one, many))
        for p in grads:
            if p != "z" and not near(grads[p], grads_many[p]):
                wrong(f"dL/d{p} with z (1, ...) is not that with the same z in every row")
        if not near(dx, dx_many):
            wrong("dL/dx with z (1, ...) is not that with the same z in every row")
        if is_factor(case) and "z" in grads and not near(grads["z"], np.sum(grads_many["z"], axis=0, keepdims=True)):
            wrong("dL/dz of a z (1, ...) that all rows share must be the sum over the rows, in its shape")
    with exam.part(f"z multiplies{note}", f"W = z times {', '.join(layer.noisy_params)}, ray by ray") as wrong:
        wrong(multiplies(case))
    with exam.part(f"weight averaging{note}", "forward takes E[z], and a network the layer") as wrong:
        net = Network(x.shape[1:], layer=layer)
        params = {"layer": case.params}
        f, _ = net.forward(params, x, net.mean_noise(params, np.float64))
        if f.shape != case.y.shape or not np.isfinite(f).all():
            wrong("forward at z = E[z] gives another shape, or numbers that are not finite")
        rays, squares = layer.rays(case.params), sum((case.params[p] ** 2).sum() for p in layer.noisy_params)
        if not near(np.sum(rays), squares):
            wrong(f"the rays' squares add up to {np.sum(rays):.6g}, not to ||{', '.join(layer.noisy_params)}||^2 = {squares:.6g}")


def lacks_mask(case, p: str) -> bool:
    """Whether dL/dp is right once the share of each row is multiplied by its z: as p o z is all that f knows of p."""
    layer, z = case.layer, case.z
    if not np.ndim(z) or p not in layer.noisy_params or z.shape[1:] != tuple(layer.place.units(layer)) or not is_factor(case):
        return False
    masked = 0.0
    for n in range(len(case.x)):
        one = slice(n, n + 1)
        grads = case.backward(case.forward(x=case.x[one], z=z[one])[1], case.df[one])[1]
        masked = masked + grads[p] * layer.place.along(z[n], case.params[p])
    return not compare(p, lambda v: case.loss(case.params | {p: v}), case.params[p], masked)


def is_factor(case) -> bool:
    """Whether z is what multiplies the parameters: where it is not, E[z] is not what stands for it (place Local)."""
    return near(*np.broadcast_arrays(case.layer.mean_noise(case.params, np.float64),
                                     case.layer.noise.moments(case.layer.phi(case.params))[0]))


def multiplies(case) -> str:
    layer, place = case.layer, case.layer.place
    units = place.units(layer)
    z = np.random.default_rng(5).uniform(0.5, 1.5, (1, *units))
    z.reshape(-1)[::3] = 0
    with_z, one = case.forward(z=z)[0], np.ones_like(z)
    if not is_factor(case):
        made = layer.weights(case.params, z)
        return "" if near(with_z, case.forward(case.params | {"M": made["W"].reshape(case.params["M"].shape)}, z=0 * z)[0]) else (
            "the weights that layer.weights gives are not those that forward uses")

    def inside(names):
        try:
            return near(with_z, case.forward(case.params | {p: case.params[p] * place.along(z[0], case.params[p]) for p in names}, z=one)[0])
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
    return (f"f(z) is not f at z = 1 with z times {', '.join(layer.noisy_params)}, as the place {place!r} says: "
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
    same = np.array_equal(first[0], again[0]) and all(np.array_equal(g, again[1][p]) for p, g in first[1].items())
    return "" if same else "backward gives something else the second time: it writes into the cache, or draws"


def rows(case) -> str:
    B, total, mean = len(case.x), {}, "divides by the batch: the mean over the batch is taken elsewhere"
    for n in range(B):
        one = slice(n, n + 1)
        y, cache = case.forward(x=case.x[one], z=case.rows(one))
        if not near(y, case.y[one]):
            return f"row {n} alone gives another f than in the batch: forward mixes the rows"
        dx, grads = case.backward(cache, case.df[one])
        if not near(dx, case.dx[one]):
            ratio = constant(np.ravel(case.dx[one]), np.ravel(dx))
            return "dL/dx " + (mean if ratio is not None and near(ratio, 1 / B) else f"of row {n} alone is another than in the batch")
        total = {p: total.get(p, 0) + g for p, g in grads.items() if p != "z"}
    for p, g in total.items():
        if not near(g, case.grads[p]):
            ratio = constant(np.ravel(case.grads[p]), np.ravel(g))
            return f"dL/d{p} " + ("is the mean over the batch, and must be the sum" if ratio is not None and near(ratio, 1 / B)
                                  else "is not the sum of what its rows give alone")
    return ""
