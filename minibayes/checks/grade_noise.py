"""Does a noise keep what nn.Noise promises: draws from counters alone, moments, dL/dphi?"""

import numpy as np

from .. import records
from ..floats import usual
from ..nn import Key, Noise, Rows
from .noise_moments import ERRORS, examine_points, moments, normal
from .slopes import compare, constant, near
from .verdict import Examination, Verdict, call


@usual
def noise(noise: Noise, *, draws: int = 20_000, units: int = 4, seed: int = 0) -> Verdict:
    """Grade a noise by draws of `units` units for so many examples; prints nothing, raises nothing.

    What is statistical passes within 4 standard errors of the sample; one seed, one verdict.
    """
    exam = Examination(noise)
    with exam.part("save", "can be saved and loaded"):
        records.check_readable("noise", noise)
    phi = None
    with exam.part("start", "phi_0 broadcasts to the units, in float64") as wrong:
        wrong(starts(noise))
        phi = call(noise, "start", (units,))
    eps = None
    with exam.part("draw", "shape and dtype, finite") as wrong:
        wrong(drawn(noise, seed))
        eps = draw(noise, Key(seed).of("layer"), np.arange(draws), 0, (units,), np.float64)
    if eps is None or phi is None or not exam.findings[-1].passed:
        return exam.verdict()
    with exam.part("reproducible", "a row depends on seed, layer, example and pass alone") as wrong:
        wrong(reproducible(noise, seed))
    if noise.random:
        with exam.part("independent", "between units, examples, passes, layers and seeds") as wrong:
            wrong(independent(noise, eps, seed))
    cases = [("", phi)] + ([(" at another phi", moved(phi, seed))] if phi else [])
    for note, at in cases:
        with exam.part(f"z{note}", "T(phi, eps) in the shape and dtype of eps") as wrong:
            wrong(transforms(noise, at, eps[:3]))
        with exam.part(f"moments{note}", f"agree with {draws} draws of {units} units") as wrong:
            wrong(moments(noise, at, eps))
        examine_points(exam, noise, note, at)
        if at:
            for name in at:
                with exam.part(f"dL/d{name}{note}", "agrees with differences, eps frozen") as wrong:
                    wrong(pull(noise, at, eps[:6], name, seed))
        if noise.local:
            with exam.part(f"local{note}", "z is normal, and T linear in eps") as wrong:
                wrong(normal(noise, at, eps, seed))
    return exam.verdict()


def draw(noise, key, examples, passes, shape, dtype):
    """eps of `shape` for so many examples of one pass, or of the pass of each."""
    passes = np.broadcast_to(passes, np.shape(examples))
    rows = Rows.of(key, len(examples), np.asarray(examples), np.asarray(passes), dtype)
    return call(noise, "draw", key, (len(examples), *shape), rows)


def parts(eps) -> list:
    """The arrays of numbers in eps: itself; of a record of several draws, each of them."""
    return [eps] if eps.dtype.names is None else [a for name in eps.dtype.names for a in parts(eps[name])]


def as_reals(eps, dtype):
    """eps with its real numbers of that dtype."""
    if eps.dtype.names is None:
        return eps.astype(dtype) if eps.dtype.kind == "f" else eps
    fields = {name: as_reals(eps[name], dtype) for name in eps.dtype.names}
    out = np.empty(eps.shape, [(name, a.dtype) for name, a in fields.items()])
    for name, a in fields.items():
        out[name] = a
    return out


def moved(phi, seed) -> dict:
    """Another phi, near the first."""
    rng = np.random.default_rng([seed, 6])
    return {name: a + 0.3 * rng.standard_normal(a.shape) for name, a in phi.items()}


def starts(noise) -> str:
    for shape in ((1,), (3,), (1, 1, 4), (2, 3)):
        phi = call(noise, "start", shape)
        for name, a in phi.items():
            if name in ("M", "b", "z"):
                return f"start calls a parameter {name!r}, a name that the layer has"
            if not hasattr(a, "dtype") or a.dtype != np.float64:
                got = getattr(a, "dtype", type(a).__name__)
                return f"start gives {name} as {got}, and must give a float64 array"
            if a.ndim != len(shape) or any(i not in (1, n) for i, n in zip(a.shape, shape, strict=True)):
                return (f"start({shape}) gives {name} of shape {a.shape}: it must have as many axes as a "
                        f"unit's shape has, each of that size or 1, such as {(1,) * len(shape)}")
    return ""


def drawn(noise, seed) -> str:
    for dtype in (np.float32, np.float64):
        for shape in ((3,), (2, 1, 3)):
            eps = draw(noise, Key(seed).of("layer"), np.arange(5), 0, shape, dtype)
            if np.shape(eps) != (5, *shape):
                return f"draw gives the shape {np.shape(eps)} where {(5, *shape)} is asked for"
            for part in parts(eps):
                if part.dtype.kind == "f" and part.dtype != dtype:
                    return (f"draw gives {part.dtype} where rows.dtype is {np.dtype(dtype)}: "
                            "end it in .astype(rows.dtype)")
                if part.dtype.kind not in "fub":
                    return f"draw gives {part.dtype}: it must be rows.dtype, or uint8 for a mask"
                if not np.isfinite(part).all():
                    return "draw gives NaN or infinite numbers"
    return ""


def reproducible(noise, seed) -> str:
    key, examples, passes = Key(seed).of("layer"), np.arange(12), np.arange(12) % 3
    whole = draw(noise, key, examples, passes, (5,), np.float32)
    order = np.random.default_rng(0).permutation(12)
    if not np.array_equal(whole, draw(noise, key, examples, passes, (5,), np.float32)):
        return ("the same key and rows give other numbers the second time: draw from key.uniform, "
                "key.normal or key.bernoulli alone")
    for said, some in (("in another order", order), ("in two batches", slice(7, 12)), ("alone", slice(4, 5))):
        if not np.array_equal(whole[some], draw(noise, key, examples[some], passes[some], (5,), np.float32)):
            return (f"an example drawn {said} gets other numbers: they must be a function of its "
                    "rows.examples and rows.passes alone, as those of key.uniform and key.normal are")
    return ""


def independent(noise, eps, seed) -> str:
    key, n, units = Key(seed).of("layer"), len(eps), eps.shape[1]
    others = {"another pass": draw(noise, key, np.arange(n), 1, (units,), np.float64),
              "another layer": draw(noise, Key(seed).of("other"), np.arange(n), 0, (units,), np.float64),
              "another seed": draw(noise, Key(seed + 1).of("layer"), np.arange(n), 0, (units,), np.float64),
              "the next example": np.roll(eps, 1, axis=0)}
    others |= {f"the unit {lag} further on": np.roll(eps, lag, axis=1) for lag in range(1, units)}
    for what, other in others.items():
        for base, there in zip(parts(eps), parts(other), strict=True):
            if said := correlated(base.astype(np.float64), there.astype(np.float64), what):
                return said
    return ""


def correlated(base, other, what) -> str:
    if not base.std():
        return ""  # a mask with keep = 1: if it should vary, the moments say so
    if np.array_equal(base, other):
        return f"{what} has the same draws: use the key and the rows as they are given"
    product = ((base - base.mean()) * (other - other.mean())).mean(axis=1)
    # 1e-9: the correlation of what hardly varies, such as keep = 1 - 1e-6, rests on few products
    if abs(product.mean()) > ERRORS * product.std() / np.sqrt(len(base)) + 1e-9:
        return f"draws are correlated with those of {what}: correlation {product.mean() / base.var():.3g}"
    return ""


def transforms(noise, phi, eps) -> str:
    for dtype in (np.float32, np.float64):
        at = {name: a.astype(dtype) for name, a in phi.items()}
        given = as_reals(eps, dtype)
        frozen, before = given.copy(), {name: a.copy() for name, a in at.items()}
        z = call(noise, "z", at, given)
        if np.shape(z) != given.shape:
            return f"z gives the shape {np.shape(z)} for eps of shape {given.shape}"
        if z.dtype.kind == "f" and z.dtype != dtype:
            return f"z comes as {z.dtype} where phi and eps are {np.dtype(dtype)}"
        if not np.array_equal(frozen, given) or not all(np.array_equal(a, at[p]) for p, a in before.items()):
            return "z writes into what it was given"
        if not np.array_equal(z, call(noise, "z", at, given)):
            return "z gives something else the second time: what is random is eps"
    return ""


def pull(noise, phi, eps, name, seed) -> str:
    """dL/dphi of L = <c, z> beside differences, and that it is the sum over rows."""
    c = np.random.default_rng([seed, 4]).standard_normal(eps.shape)
    before = c.copy()
    made = call(noise, "pull", phi, eps, c)
    if set(made) != set(phi):
        return f"pull gives {sorted(made)}, and must give {sorted(phi)}: the names of phi"
    if not np.array_equal(c, before):
        return "pull writes into dz"
    if np.shape(made[name]) != phi[name].shape:
        return (f"pull gives dL/d{name} of shape {np.shape(made[name])}, and must of {phi[name].shape}: "
                "sum over the rows, and over the units that share a number")
    z = np.asarray(call(noise, "z", phi, eps), np.float64)

    def loss(v, weight=c):
        return float((weight * call(noise, "z", phi | {name: v}, eps)).sum())
    factors = {f"the factor {name}": phi[name]} | {
        f"the factor exp({said})": np.exp(power * phi[name])
        for said, power in ((name, 1), (f"{name}/2", 0.5), (f"2 {name}", 2))}
    instead = {"does not multiply by dz": lambda v: loss(v, np.ones_like(c)),
               "lacks the factor z": lambda v: loss(v, c / np.where(z == 0, 1, z))}
    if eps.dtype.names is None:
        instead |= {"lacks the factor eps": lambda v: loss(v, c / np.where(eps == 0, 1, eps)),
                    "has the factor eps once too often": lambda v: loss(v, c * eps)}
    total = sum(call(noise, "pull", phi, eps[n:n + 1], c[n:n + 1])[name] for n in range(len(eps)))
    if constant(made[name], total, 1 / len(eps)):
        return f"dL/d{name} is the mean over the rows, and must be the sum"
    return compare(f"dL/d{name}", loss, phi[name], made[name], factors, instead) or (
        "" if near(made[name], total) else f"dL/d{name} is not the sum of what its rows give alone")
