"""L-hat(theta) = -(N/B) sum_n log p(y_n | f(x_n, omega-hat)) + KL, taken apart: a line for each term."""

import html
from dataclasses import dataclass

from numpy.typing import ArrayLike

from .. import require
from ..floats import usual
from ..nn import Key
from . import codes, kl
from .objective import Objective


@dataclass(frozen=True)
class Term:
    """One line of an explanation."""

    name: str
    formula: str
    value: float | None  # None for what is left out
    unit: str
    kind: str = "term"  # "term" (they add up), "sum", "constant" or "setting"
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """The terms of L-hat: explanation["L-hat"] is a value, str() a table; a notebook shows it as a table."""

    terms: tuple

    def __getitem__(self, name: str) -> float | None:
        for term in self.terms:
            if term.name == name:
                return term.value
        names = ", ".join(repr(term.name) for term in self.terms)
        raise require.InputError(f"name must be one of {names}, got {name!r}")

    def rows(self) -> list:
        """(name, formula, value, unit, note), all as text."""
        return [(t.name, t.formula, "left out" if t.value is None else f"{t.value:.6g}", t.unit, t.note)
                for t in self.terms]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = []
        for name, formula, value, unit, note in rows:
            cells = (name.ljust(widths[0]), formula.ljust(widths[1]), value.rjust(widths[2]),
                     unit.ljust(widths[3]), note)
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cell = "<t{0}>{1}</t{0}>".format
        head = "".join(cell("h", name) for name in ("term", "formula", "value", "unit", "note"))
        rows = ("".join(cell("d", html.escape(text)) for text in row) for row in self.rows())
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@usual
def explain(model: object, x: ArrayLike, y: ArrayLike, *, num_data: int | None = None,
            seed: int = 0) -> Explanation:
    """The terms of L-hat for the examples (x, y) and one draw of omega-hat; prints nothing.

    model: a BayesianNetwork with parameters.
    x: inputs, (B, ...).
    y: targets, as the likelihood takes them.
    num_data: N, if (x, y) is a minibatch of B examples out of more; B by default.
    seed: of the draw, 0 by default; a network without noise has none.
    """
    if model.params is None:
        raise require.InputError("model has no parameters yet: call fit, or mb.load a file")
    net, params = model.net, model.params
    x = net.inputs("x", x, model.dtype)
    B, shape = len(x), net.output_shape(x.shape[1:])
    y, K = model.likelihood.targets_for("y", y, (B, *shape)), shape[-1]
    N = B if num_data is None else require.integer("num_data", num_data, B)
    eps = net.draw(Key(seed).derive("explain"), x.shape, dtype=x.dtype)
    found = Objective(net, model.prior, model.likelihood, N).terms(params, x, y, eps)
    scale, code = "" if N == B else "N/B ", []
    if net.code:
        _, caches = net.forward(params, x, net.z(params, eps))
        value = N * float(codes.kl(*net.law(caches))[0].mean(dtype="float64"))
        code = [Term(f"code[{net.code}]", f"{scale}sum_n KL(q(h_n | x_n) || p(h))", value, "nats",
                     note="of each datum: 1/2 (m^2 + s^2 - 1) - log s")]
    data = N * found.nll - sum(term.value for term in code)
    out = [Term(name, formula, value, "nats", note=note)
           for name, formula, value, note in model.likelihood.data_terms(scale, N, K, data)] + code
    of_kl = kl.named(net, params, model.prior)
    for layer, group in of_kl.items():
        out += [Term(f"kl[{layer}/{t.name}]", t.formula, t.value, "nats", note=t.note) for t in group]
    out += [
        Term("KL", "the sum of the kl lines", found.kl, "nats", "sum", "KL(q || p) up to C"),
        *constants(model),
        Term("L-hat", "data + KL" if not code else "data + code + KL", found.total, "nats", "sum",
             "one draw of omega-hat; its mean over draws is L(theta)"),
        Term("L-hat/N", "what training minimises", found.per_datum, "nats per datum", "sum"),
        Term("N", "examples in the data set", float(N), "", "setting"),
        Term("B", "examples given here", float(B), "", "setting"),
    ]
    out += [Term(name, formula, float(value), unit, "setting")
            for name, formula, value, unit in model.likelihood.settings()]
    for layer in of_kl:
        out += settings(model, layer, N)
    return Explanation(tuple(out))


def constants(model: object) -> list[Term]:
    """C, layer by layer, where it is finite: then KL + C is all of that layer's weights under the noise."""
    of_layer = kl.constant(model.net, model.params, model.prior)
    out = [Term(f"C[{layer}]", "the constant, finite: one z a weight", value, "nats", "constant",
                "of the weights inside the noise; those outside are points and not counted")
           for layer, value in of_layer.items() if value is not None]
    if len(out) < max(1, len(of_layer)):
        out.append(Term("C", "a constant in theta, infinite", None, "nats", "constant",
                        f"only differences of KL mean anything; {kl.CONSTANT}"))
    return out


def settings(model: object, name: str, N: int) -> list[Term]:
    """What the prior and the noise say of one layer, and the weight decay that stands for its KL."""
    layer, group = model.net.layers[name], model.params[name]
    out = [Term(*line, "setting") for line in model.prior.settings(name)]
    if layer.noisy:
        out += [Term(f"{key}[{name}]", formula, float(value), "", "setting")
                for key, formula, value in layer.noise.settings()]
    out += [Term(f"{key}[{name}]", "learned by the noise, its mean", float(a.mean()), "", "setting")
            for key, a in layer.phi(group).items()]
    found = kl.parts(model.net, {name: group}, model.prior)[name]
    rest = {p: term.name for part in found for term in part.terms for p in term.grads}
    for p, (factor, formula) in kl.decays(found).items():
        more = f"; not all of the KL's: see the {rest[p]}" if p in rest else ""
        out.append(Term(f"wd[{name}/{p}]", f"{formula or 'factor'}/N", factor / N, "per datum", "setting",
                        f"gradient of L-hat/N: + wd {p}{more}"))
    return out
