"""Does a layer keep what nn.Layer promises: shapes, dtypes, derivatives, and what z multiplies?"""

from dataclasses import fields, is_dataclass, replace

import numpy as np

from .. import records
from ..floats import usual
from ..nn import Bernoulli, Layer, LearnedGaussian, Network
from .layer_case import Case, dtypes, is_factor, lacks_mask, multiplies, rows, writes
from .slopes import compare, near
from .verdict import Examination, Verdict, call


@usual
def layer(layer: Layer, input_shape: tuple, *, x: np.ndarray | None = None, batch: int = 4,
          seed: int = 0) -> Verdict:
    """Grade a layer on inputs of `input_shape`; prints nothing, and raises nothing that the layer does.

    x: inputs (B, *input_shape) to take in the place of normal numbers, which are no words.   batch: B.
    seed: of the parameters, x and z.
    A layer with a field `noise` is graded with its own noise, with dropout, and with noise that learns, for
    which it must give dL/dz.
    """
    shape = tuple(input_shape)
    exam = Examination(layer, f" on inputs of shape {shape}")
    if x is None:
        x = np.random.default_rng(seed).standard_normal((batch, *shape))
    x = np.asarray(x, np.float64)
    with exam.part("save", "can be saved and loaded"):
        records.check_readable("layer", layer)
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
    """(what to say of it, layer): itself and, if noise is a setting, with dropout and with learned noise."""
    out = [("", layer)]
    if is_dataclass(layer) and any(f.name == "noise" for f in fields(layer)):
        for noise in (Bernoulli(0.5), LearnedGaussian(0.5)):
            if (noise.learned and not layer.noise.learned) or (not noise.learned and not layer.noisy):
                try:
                    out.append((f", with {type(noise).__name__}", replace(layer, noise=noise)))
                except Exception:
                    continue  # which cannot act at its place
    return out


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
                return (f"init gives {p} as {a.dtype} where {np.dtype(dtype)} is asked for: "
                        "end it in .astype(dtype)")
            if not np.array_equal(a, again[p]):
                return f"init gives another {p} for the same rng: draw from the rng it is given alone"
    return ""


def examine(exam: Examination, case: Case, note: str):
    """All findings of one case."""
    layer, x, z, learned = case.layer, case.x, case.z, case.layer.noisy and case.layer.noise.learned
    wanted = set(case.shapes) | ({"z"} if learned else set())
    with exam.part(f"output shape{note}", f"{np.shape(case.y)[1:]} from {x.shape[1:]}") as wrong:
        said = tuple(call(layer, "output_shape", x.shape[1:]))
        if (len(x), *said) != np.shape(case.y):
            wrong(f"forward gives {np.shape(case.y)[1:]} for an input of {x.shape[1:]}, output_shape {said}")
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
    with exam.part(f"writes nothing{note}", "x, z, df, parameters and cache stay as they were") as wrong:
        wrong(writes(case))
    with exam.part(f"rows{note}", "a batch is its rows one by one, and its gradients their sum") as wrong:
        wrong(rows(case))
    unmasked = {} if np.ndim(z) == 0 else {"lacks the mask z: it is the derivative at z = 1": np.ones_like(z)}
    factors = {p: a for p, a in case.params.items()} | {"x": x, "df": case.df}
    if unmasked:
        factors = {"the mask z": z} | factors
    with exam.part(f"dL/dx{note}", "agrees with differences, z frozen") as wrong:
        if layer.words and np.any(case.dx):
            wrong("dL/dx must be 0, as the numbers of words have no derivative")
        own = {} if case.df.shape != x.shape else {
            "is df itself: the layer's own derivative is missing": lambda v: float((case.df * v).sum())}
        instead = own | {said: lambda v, one=one: case.loss(x=v, z=one) for said, one in unmasked.items()}
        if not layer.words:
            wrong(compare("dL/dx", lambda v: case.loss(x=v), x, case.dx, factors, instead))
    for p in case.shapes:
        with exam.part(f"dL/d{p}{note}", "agrees with differences, z frozen") as wrong:
            if p in case.grads:
                instead = {said: lambda v, one=one, p=p: case.loss_at(p, v, z=one)
                           for said, one in unmasked.items()}
                said = compare(f"dL/d{p}", lambda v, p=p: case.loss_at(p, v), case.params[p], case.grads[p],
                               factors, instead)
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
            if layer.place.dz_shape(layer, z.shape) == z.shape:
                wrong(compare("dL/dz", lambda v: case.loss(z=v), z, case.grads["z"], factors | response))
            else:  # dL/dz stands for something else, and what it gives for phi counts
                dz = np.asarray(case.grads["z"], np.float64)
                for p, claimed in layer.place.pull(layer.noise, layer.phi(case.params), z, dz).items():
                    wrong(compare(f"dL/d{p}", lambda v, p=p: case.loss_at(p, v), case.params[p], claimed))
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
        if "z" in grads and is_factor(case) and not near(grads["z"], grads_many["z"].sum(axis=0)[None]):
            wrong("dL/dz of a z (1, ...) that all rows share must be the sum over the rows, in its shape")
    if layer.codes:
        with exam.part(f"law{note}", "law(x) is (m, log s), with h = m + s z") as wrong:
            m, log_std = call(layer, "law", x)
            if not near(case.y, m + np.exp(log_std) * z) or not near(case.forward(z=0 * z)[0], m):
                wrong("h at the drawn z is not m + s z by what law gives, so the KL is that of another q")
        return
    inside = ", ".join(layer.noisy_params)
    with exam.part(f"z multiplies{note}", f"W = z times {inside}, ray by ray") as wrong:
        wrong(multiplies(case))
    with exam.part(f"weight averaging{note}", "forward takes E[z], and a network the layer") as wrong:
        net = Network(x.shape[1:], layer=layer)
        params = {"layer": case.params}
        f, _ = net.forward(params, x, net.mean_noise(params, np.float64))
        if f.shape != case.y.shape or not np.isfinite(f).all():
            wrong("forward at z = E[z] gives another shape, or numbers that are not finite")
        rays, squares = layer.rays(case.params), sum((case.params[p] ** 2).sum() for p in layer.noisy_params)
        if not near(np.sum(rays), squares):
            wrong(f"the rays' squares add up to {np.sum(rays):.6g}, not to ||{inside}||^2 = {squares:.6g}")
