"""Is a KL rule right: its gradient, its decay, its value beside the KL on a grid, wherever the noise acts?"""

from collections.abc import Callable

import numpy as np

from ..bayes import Prior, kl
from ..floats import usual
from ..nn import Conv2d, Delta, Dense, Inputs, Local, Network, Noise, Outputs, Weights
from .rays import Ray
from .slopes import compare
from .verdict import Examination, Failed, Verdict, call

NEAR = 0.01  # relative and in nats: of a KL on the grid


@usual
def rule(noise: Noise, prior: Prior, *, log_p: Callable | None = None, layer: str = "layer",
         seed: int = 0) -> Verdict:
    """Grade the rule of `bayes.kl.rule(type(noise), type(prior))`; prints nothing, raises nothing.

    log_p: log p(ray) up to a constant, of the numbers that share one z, for a prior that has none itself
    (an improper one).
    layer: the name that the prior is asked for.
    Only differences of KL mean anything, between two M or two phi: C cancels.
    """
    exam = Examination(noise, f" under {prior!r}")
    with exam.part("rule", "there is one for this pair, and one for what is outside the noise"):
        kl.find(noise, prior)
        kl.find(Delta(), prior)
    if not exam.findings[-1].passed:
        return exam.verdict()
    if log_p is None:
        log_p = own_log_p(exam, prior, layer, seed)
    ray = None
    with exam.part("draws", "of the noise, to integrate over"):
        ray = Ray(noise)
    for place, net in places(noise, layer):
        q = None
        with exam.part(f"rule, {place}", "gives a KL and its gradient"):
            q = Q(net, layer, prior, seed)
            q.value(q.params)
            gradients(exam, q, place)
        if not exam.findings[-1].passed:
            continue
        with exam.part(f"pure_decay, {place}", "is kept where it was promised") as wrong:
            wrong(promise(q, prior))
        if log_p is not None and ray is not None:
            values(exam, ray, q, log_p, place)
    return exam.verdict()


def own_log_p(exam: Examination, prior, layer: str, seed: int):
    """log p(w) of one weight, once its own gradient is right; None if there is none."""
    try:
        prior.log_p(layer, np.ones(2))
    except NotImplementedError:
        exam.add("log_p", None, "not written: give log_p to compare values", judged=False)
        return None
    except Exception:
        pass
    w = np.random.default_rng([seed, 7]).standard_normal(5)
    with exam.part("log_p", "a number, and its gradient agrees with differences") as wrong:
        value, grad = call(prior, "log_p", layer, w)
        if np.ndim(value):
            wrong(f"log_p must give one number, the sum over the weights, got the shape {np.shape(value)}")
        else:
            of = "the gradient of log p"
            wrong(compare(of, lambda v: float(call(prior, "log_p", layer, v)[0]), w, grad))
    with exam.part("draw", "w ~ p(w) has the variance of exp(log_p), and that adds up to 1") as wrong:
        wrong(drawn(prior, layer, seed))
    if not exam.findings[-2].passed:
        return None
    return lambda w: float(prior.log_p(layer, w)[0])


def drawn(prior, layer: str, seed: int) -> str:
    """Draws from the prior beside exp(log_p) integrated."""
    t, step = np.linspace(-8, 8, 1601, retstep=True)
    w, jacobian = np.sinh(t), np.cosh(t) * step
    p = np.exp([float(call(prior, "log_p", layer, np.array([v]))[0]) for v in w]) * jacobian
    if abs(p.sum() - 1) > NEAR:
        return f"exp(log_p) integrates to {p.sum():.5g} over w, not 1: {np.log(p.sum()):.4g} nats are missing"
    values = np.abs(call(prior, "draw", np.random.default_rng([seed, 8]), layer, (20_000,)))
    if values.shape != (20_000,):
        return f"draw gives the shape {values.shape} where (20000,) is asked for"
    true = float(p @ np.arctan(np.abs(w)))  # of arctan |w|: tails of any weight
    found, error = np.arctan(values).mean(), np.arctan(values).std() / np.sqrt(len(values))
    if abs(found - true) > 4 * error + 1e-4:
        return f"draw is not from exp(log_p): E[arctan |w|] is {found:.4g} among 20000 draws, not {true:.4g}"
    return ""


def places(noise, layer: str) -> list:
    """(what to say, network): every place where the noise can act; rays of 1, 2 and 3 numbers."""
    if not noise.random:
        return [("a dense layer", Network(**{layer: Dense(2, 2, noise=noise)}))]
    out = []
    for place in (Inputs(), Outputs(), Weights(), Local()):
        try:
            out.append((repr(place), Network(**{layer: Dense(3, 2, noise=noise, place=place)})))
        except Exception:
            continue  # where this noise cannot act
    return [*out, ("a convolution", Network((2, 2, 1), **{layer: Conv2d(1, 2, 2, noise=noise)}))]


class Q:
    """Parameters of a small net for which the KL is asked."""

    def __init__(self, net, name: str, prior, seed: int):
        rng = np.random.default_rng([seed, 9])
        self.net, self.name, self.prior, self.layer = net, name, prior, net.layers[name]
        start = net.init(rng, np.float64)[name]
        phi = self.layer.phi(start)
        self.params = {p: rng.uniform(0.8, 1.8, a.shape) * rng.choice([-1, 1], a.shape)
                       for p, a in start.items() if p not in phi}
        self.params |= {p: a + 0.2 * rng.standard_normal(a.shape) for p, a in phi.items()}

    def value(self, params: dict) -> float:
        try:
            return float(kl.value(self.net, {self.name: params}, self.prior))
        except Exception as error:
            raise Failed(f"the rule raised {type(error).__name__}: {' '.join(str(error).split())}") from error

    def rays(self, params: dict) -> list:
        """(phi of one ray, its numbers) for every ray inside the noise; without noise, for each weight."""
        layer, place = self.layer, self.layer.place
        if not layer.noisy:
            return [({}, np.array([w])) for p in layer.param_shapes() for w in np.ravel(params[p])]
        units = place.units(layer)
        number = np.arange(int(np.prod(units))).reshape(units)
        which = {p: np.broadcast_to(place.along(number, params[p]), params[p].shape)
                 for p in layer.noisy_params}
        phi = {p: np.broadcast_to(a, units).reshape(-1) for p, a in layer.phi(params).items()}
        return [({p: a[r:r + 1] for p, a in phi.items()},
                 np.concatenate([params[p][which[p] == r] for p in which])) for r in range(number.size)]


def gradients(exam: Examination, q: Q, place: str):
    grads = kl.grad(q.net, {q.name: q.params}, q.prior)[q.name]
    decay = kl.weight_decay(q.net, {q.name: q.params}, q.prior)[q.name]
    for p, a in q.params.items():
        with exam.part(f"dKL/d{p}, {place}", "agrees with differences of the value") as wrong:
            factors = {f"the factor {p}": a, f"the factor exp({p})": np.exp(a)}

            def value(v, p=p):
                return q.value(q.params | {p: v})
            said = compare(f"dKL/d{p}", value, a, grads[p], factors)
            if said and decay[p] and not compare("", value, a, grads[p] - decay[p] * a):
                said = f"{said}; without the weight decay {p} would be right: it is counted twice"
            wrong(said)


def promise(q: Q, prior) -> str:
    """pure_decay: the same weight decay for all parameters, and no terms."""
    if not kl.pure_decay(q.net, prior):
        return ""
    other = {p: a * 1.7 + 0.1 for p, a in q.params.items()}
    (decay, rest, _), (decay_2, _, _) = (kl.split(q.net, {q.name: a}, prior) for a in (q.params, other))
    if rest or any(part.terms for part in kl.parts(q.net, {q.name: q.params}, prior)[q.name]):
        return "pure_decay was promised, but the rule has terms beside its weight decay"
    return "" if decay == decay_2 else "pure_decay was promised, but the weight decay changes with parameters"


def values(exam: Examination, ray: Ray, q: Q, log_p, place: str):
    """Differences of the rule's value beside differences of the KL on a grid, in M and b, and in phi."""
    inside = q.layer.noisy_params if q.layer.noisy else tuple(q.layer.param_shapes())
    phi, base = q.layer.phi(q.params), None
    steps = {"M": [{p: q.params[p] * (first if q.params[p].ndim > 1 else second) for p in inside}
                   for first, second in ((1.6, 0.7), (0.6, 1.4))]}
    if phi:
        steps["phi"] = [{p: a + by for p, a in phi.items()} for by in (0.4, -0.6)]
    for what, some in steps.items():
        with exam.part(f"value in {what}, {place}", "differences are those of the KL on a grid") as wrong:
            base = base or Parts(ray, q.rays(q.params), log_p)
            found = [q.value(q.params | step) - q.value(q.params) for step in some]
            parts = [Parts(ray, q.rays(q.params | step), log_p).minus(base) for step in some]
            wrong(judge(what, np.array(found), parts))


MOMENTS = {"E[z^2]": lambda w, z: w @ z**2, "E[z]": lambda w, z: w @ z, "E|z|": lambda w, z: w @ np.abs(z),
           "E[z]^2": lambda w, z: (w @ z) ** 2, "Var[z]": lambda w, z: w @ z**2 - (w @ z) ** 2,
           "": lambda w, z: 1.0}


class Parts:
    """The KL of all rays in its parts, by numbers; and what may be written in their place."""

    def __init__(self, ray: Ray, rays: list, log_p):
        pairs = [(ray.factor(phi, m), m) for phi, m in rays]
        random, self.count = ray.noise.random, len(pairs)
        self.log_p = sum(ray.expected_log_p(z, m, log_p) for z, m in pairs)
        self.entropy = sum(ray.minus_entropy(z, np.linalg.norm(m)) for z, m in pairs) if random else 0.0
        self.length = -sum(np.log(np.linalg.norm(m)) for _, m in pairs)     # -log ||m||
        self.each = -sum(np.log(np.abs(m)).sum() for _, m in pairs)         # the same of each number
        for name, moment in MOMENTS.items():                                # -log p(m) times a moment
            setattr(self, name, sum(moment(ray.weights, z) * (log_p(1e-12 * m) - log_p(m)) for z, m in pairs))

    def minus(self, other: "Parts") -> dict:
        changes = {name: value - getattr(other, name) for name, value in vars(self).items()}
        return changes | {"rays": self.count}


def judge(what: str, found: np.ndarray, parts: list) -> str:
    """What is wrong with differences of the rule's values, by trying what may have been forgotten."""
    d = {name: np.array([p[name] for p in parts]) for name in parts[0]}
    log_p, entropy, length, each, rays = (d[name] for name in ("log_p", "entropy", "length", "each", "rays"))
    true = log_p + entropy

    def agrees(value):
        return bool(np.all(np.abs(found - value) <= NEAR * (1 + np.abs(value))))
    if agrees(true):
        return ""
    said = f"the KL changes by {true[0]:.5g} nats, and the rule by {found[0]:.5g}"
    along = "the entropy along the ray, -log ||m||," if what == "M" else "the entropy of z, -H(phi),"
    guesses = [(true / 2, "the KL is half of what it should be"),
               (true * 2, "the KL is twice what it should be"),
               (-true, "the KL has the wrong sign")]
    if np.abs(entropy).max() > 4 * NEAR:
        guesses += [(log_p, f"{along} is left out: the noise varies continuously"),
                    (log_p - entropy, f"{along} has the wrong sign"),
                    (log_p + each, "-log |m| is counted for each weight, and must be for each ray"),
                    (log_p + entropy / rays, f"{along} is counted once, and must be for each ray"),
                    (log_p + entropy / 2, f"{along} is half of what it should be"),
                    (log_p + 2 * entropy, f"{along} is twice what it should be"),
                    (entropy, "-E_q log p is left out")]
    else:
        guesses += [(log_p + length, "-log ||m|| is there, though the noise takes a few values only"),
                    (log_p + each, "-log |m| is there, though the noise takes a few values only")]
    right = " = ".join(name or "1" for name in MOMENTS if np.allclose(d[name], log_p, rtol=1e-2))
    for name in MOMENTS if right else ():
        instead = f"{name} is used where {right} belongs" if name else f"the factor {right} is left out"
        guesses += [(d[name] + entropy, f"{instead}, in -E_q log p"),
                    (d[name], f"{instead}, in -E_q log p, and the entropy is left out")]
    guesses += [(log_p / 2 + entropy, "-E_q log p is half of what it should be"),
                (log_p * 2 + entropy, "-E_q log p is twice what it should be")]
    cause = next((words for value, words in guesses if agrees(value)), "")
    return f"{cause}: {said}" if cause else said
