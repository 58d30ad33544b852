"""KL(q_theta(omega) || p(omega)), a sum over rays: a table of derivations, one for each q under each p.

A *ray* is the set of K numbers that share one z: a column of a dense M (noise on inputs), a row (M_k, b_k) of
a convolution (noise on outputs), a single weight (noise per weight). q is made proper by blurring every
weight with N(0, s^2), s -> 0. Then

    KL = sum over rays [ -E_q log p(ray)  -  H_phi(z)  -  (z continuous) log ||ray|| ] + C

p gives the first term, from q's moments; q gives the others; C is infinite in the limit unless z is
continuous and K = 1. So only differences of KL, and its gradient, mean anything, and no absolute ELBO is
reported where C is infinite.

`bayes/rules/` holds the rows of the table. Each says what the KL is for one noise under one prior, as a
weight decay and what is left of it; a row of your own is a function with `@kl.rule(MyNoise, MyPrior)`. A pair
without a rule is an error: a noise is never taken for another. Sources: arXiv 1506.02142 appendix 4.2
(dropout); the files of `rules/` for the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .. import require
from ..floats import usual
from ..nn.layers import Layer
from ..nn.network import Network
from ..nn.noise import Delta, Noise
from .along import Along
from .prior import Prior

CONSTANT = ("C, which no M changes: sum over rays of -K'/2 log(2 pi e s^2) - H(noise) + K/2 log(2 pi/l^2), "
            "K' = K for dropout, K - 1 for Gaussian noise with H(noise) = 1/2 log(2 pi e variance); infinite "
            "as s -> 0 unless K' = 0. It depends on keep, variance and l: losses at different ones do not "
            "compare")

_rules: dict[tuple, Callable] = {}  # by (noise.form, class of the prior)
_pure: set[tuple] = set()  # the pairs whose KL is a weight decay that no parameter changes
_by_weight: set[tuple] = set()  # the pairs whose KL is a sum over single weights


class Decay(NamedTuple):
    """KL = factor/2 ||param||^2: the part of a KL that is a weight decay; formula: the factor, "keep l^2"."""

    factor: float
    formula: str = ""


class Term(NamedTuple):
    """Any other part of a KL: its value in nats, and its gradient in the parameters it depends on."""

    name: str
    value: float
    grads: Mapping = {}  # {param: array, or Along}
    formula: str = ""
    note: str = ""


@dataclass(frozen=True)
class Part:
    """What a rule returns: KL = sum over params of factor/2 ||param||^2 + sum of terms, in nats, up to C."""

    decay: Mapping = field(default_factory=dict)  # {param: Decay, or its factor alone}
    terms: tuple = ()
    constant: float | None = None  # C, where it is finite: z continuous and K = 1


@dataclass(frozen=True)
class Q:
    """What a rule is given: q of one layer's parameters inside its noise; or, by Delta, of those outside."""

    name: str  # of the layer
    layer: Layer
    noise: Noise
    params: Mapping  # {param: array}, the weights it speaks of
    phi: Mapping  # {name: array}, what the noise learns

    @property
    def moments(self) -> tuple:
        """E[z] and E[z^2]: numbers, or one for each ray."""
        return self.noise.moments(self.phi)

    def rays(self) -> np.ndarray:
        """||ray||^2, in one row."""
        return self.layer.place.squares(list(self.params.values())).reshape(-1)

    def along(self, a: np.ndarray | float) -> dict:
        """{param: `a` in a form that broadcasts}, each entry its ray's; `a`: one per ray, or one for all."""
        a = np.asarray(a)
        a = a if a.size == 1 else a.reshape(-1, *self.layer.place.units(self.layer)[1:])  # of some rows, too
        return {p: self.layer.place.along(a, array) for p, array in self.params.items()}


def rule(noise: type | tuple, prior: type, pure_decay: bool = False, by_weight: bool = False) -> Callable:
    """`@rule(nn.Bernoulli, bayes.Normal)`: the function below, (q: Q, prior) -> Part, is the KL of that pair.

    It holds for these very classes and for no subclass of theirs: another distribution has another KL.
    Parameters of a noisy layer that are outside its noise, such as a dense bias, are those of `nn.Delta`. The
    last definition counts.

    noise: the class of q's noise; of a product, (nn.Times, class of a, class of b).
    prior: the class of p.
    pure_decay: a promise that it returns the same weight decay for all parameters, and no terms: it is then
                asked once, not every step.
    by_weight: a promise that, where each weight has a z of its own, the KL is a sum over weights, so that it
               may be asked for some rows of params and phi alone: fast steps do so, in their threads.
    """
    def register(function):
        _rules[noise, prior] = function
        (_pure.add if pure_decay else _pure.discard)((noise, prior))
        (_by_weight.add if by_weight else _by_weight.discard)((noise, prior))
        return function
    return register


def find(noise: Noise, prior: Prior) -> Callable:
    """The rule for this noise under this prior; an error that says what to write if there is none."""
    if (noise.form, type(prior)) not in _rules:
        q, p = _named(noise.form), type(prior).__name__
        raise require.InputError(
            f"the KL of {q} noise under the prior {p} is not known: write it as a function, "
            f"@bayes.kl.rule({q}, {p}) above def f(q, prior): return bayes.kl.Part(decay={{param: factor}}, "
            "terms=(bayes.kl.Term(name, value, grads),)); see bayes/rules/dropout.py")
    return _rules[noise.form, type(prior)]


def _named(form):
    """A noise's class, or classes, as the decorator takes them."""
    return f"({', '.join(map(_named, form))})" if isinstance(form, tuple) else form.__name__


def check(net: Network, prior: Prior) -> None:
    """An error if the KL of some layer is not known."""
    for name, layer in net.layers.items():
        for noise, _ in _sides(layer):
            prior.check(name)
            find(noise, prior)


def pure_decay(net: Network, prior: Prior) -> bool:
    """Whether the KL is a weight decay that no parameter changes: see `rule`."""
    return all((noise.form, type(prior)) in _pure
               for layer in net.layers.values() for noise, _ in _sides(layer))


def by_weight(layer: Layer, prior: Prior) -> bool:
    """Whether a layer has a z for each weight, and a KL that is a sum over weights: see `rule`."""
    return layer.noisy and layer.place.by_weight and all(
        (noise.form, type(prior)) in _by_weight for noise, _ in _sides(layer))


def _sides(layer):
    """[(noise, names of the weights inside), (Delta(), names of those outside)], without an empty side."""
    names = list(layer.param_shapes())
    inside = [p for p in names if layer.noisy and p in layer.noisy_params]
    both = (layer.noise, inside), (Delta(), [p for p in names if p not in inside])
    return [(noise, own) for noise, own in both if own]


def parts(net: Network, params: Mapping, prior: Prior) -> dict:
    """{layer: [Part, ...]}: the table's rows for every layer with weights."""
    out = {}
    for name, group in params.items():
        layer, out[name] = net.layers[name], []
        for noise, names in _sides(layer):
            phi = layer.phi(group) if noise is layer.noise else {}
            q = Q(name, layer, noise, {p: group[p] for p in names}, phi)
            out[name].append(find(noise, prior)(q, prior))
    return out


def decays(found: list) -> dict:
    """{param: Decay} of one layer's parts."""
    return {p: d if isinstance(d, Decay) else Decay(float(d))
            for part in found for p, d in part.decay.items()}


def named(net: Network, params: Mapping, prior: Prior) -> dict:
    """{layer: [Term, ...]}: every term of the KL, weight decays too, with its formula; without gradients."""
    out = {}
    for name, found in parts(net, params, prior).items():
        group = params[name]
        outside = dict(_sides(net.layers[name])[::-1]).get(Delta(), ())
        out[name] = []
        for p, d in sorted(decays(found).items(), key=lambda item: list(group).index(item[0])):
            half = d.factor / 2 * float(np.vdot(group[p], group[p]))
            note = "outside the noise" if net.layers[name].noisy and p in outside else ""
            out[name].append(Term(p, half, {}, f"{d.formula or 'factor'}/2 ||{p}||^2", note))
        out[name] += [term for part in found for term in part.terms]
    return out


@usual
def terms(net: Network, params: Mapping, prior: Prior) -> dict:
    """{layer: {"M": value, "b": value, "rays": value, ...}}: the KL in nats, up to C, term by term."""
    return {name: {term.name: term.value for term in found}
            for name, found in named(net, params, prior).items()}


@usual
def value(net: Network, params: Mapping, prior: Prior) -> float:
    """KL(q || p) in nats, up to the constant C (`kl.CONSTANT`)."""
    return sum(v for group in terms(net, params, prior).values() for v in group.values())


@usual
def split(net: Network, params: Mapping, prior: Prior, num_data: float = 1) -> tuple[dict, float, dict]:
    """KL/N as ({layer: {param: wd}}, the rest's value, the rest's gradient {layer: {param: array}}); no C.

    The gradient of KL/N is wd * param + the rest's; its value the sum of wd/2 ||param||^2 + the rest's.
    """
    decay, grads = {}, {}
    rest = 0.0
    for name, found in parts(net, params, prior).items():
        decay[name] = dict.fromkeys(params[name], 0.0)
        decay[name] |= {p: d.factor / num_data for p, d in decays(found).items()}
        for term in (term for part in found for term in part.terms):
            rest += term.value / num_data
            for p, g in term.grads.items():
                dtype, group = params[name][p].dtype, grads.setdefault(name, {})
                if isinstance(g, Along) and g.factors.dtype == dtype:
                    g = g / num_data
                else:
                    g = np.divide(g, num_data, dtype=dtype, casting="same_kind")
                group[p] = np.add(group[p], g) if p in group else g
    return decay, rest, grads


@usual
def grad(net: Network, params: Mapping, prior: Prior, num_data: float = 1) -> dict:
    """d (KL/N) / d theta in the shapes of params: wd * param and the rest of each rule. No constant in it."""
    decay, _, rest = split(net, params, prior, num_data)
    return {name: {p: a.dtype.type(decay[name][p]) * a + rest.get(name, {}).get(p, 0)
                   for p, a in group.items()}
            for name, group in params.items()}


@usual
def constant(net: Network, params: Mapping, prior: Prior) -> dict:
    """{layer: C of its weights inside the noise, nats, or None where it is infinite}, for the noisy layers.

    Weights outside all noise, such as a dense bias, are points: their C is infinite, and they are left out.
    """
    return {name: found[0].constant for name, found in parts(net, params, prior).items()
            if net.layers[name].noisy}


@usual
def weight_decay(net: Network, params: Mapping, prior: Prior, num_data: float = 1, tau: float = 1.0) -> dict:
    """{layer: {param: wd}}: the factor of SGD's "gradient + wd * param" that this KL is, or holds.

    wd = l^2 E[z^2]/N beside the mean negative log-likelihood, l^2 E[z^2]/(N tau) beside the mean of
    1/2 ||y - f||^2. E[z^2] = keep for dropout, and 1 for parameters outside the noise, such as a dense bias
    (a convolution's bias is inside).
    """
    return split(net, params, prior, num_data * tau)[0]
