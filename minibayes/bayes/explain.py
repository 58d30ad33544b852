"""L-hat(theta) = -(N/B) sum_n log p(y_n | f(x_n, omega-hat)) + KL, taken apart: every term with its name, value, unit and constants."""

import html
import math
from dataclasses import dataclass

from .. import require
from ..nn import Key, noise
from . import kl
from .likelihood import Gaussian, Heteroscedastic
from .objective import Objective


@dataclass(frozen=True)
class Term:
    """One line. value: a float, or None for what is left out; kind: "term" (they add up), "sum", "constant" or "setting"."""

    name: str
    formula: str
    value: float | None
    unit: str
    kind: str = "term"
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """The terms of L-hat: explanation["L-hat"] is a value, str() a table for a terminal; in a notebook it shows itself as a table."""

    terms: tuple

    def __getitem__(self, name):
        for term in self.terms:
            if term.name == name:
                return term.value
        raise require.InputError(f"name must be one of {', '.join(repr(term.name) for term in self.terms)}, got {name!r}")

    def rows(self):
        """(name, formula, value, unit, note), all as text."""
        return [(t.name, t.formula, "left out" if t.value is None else f"{t.value:.6g}", t.unit, t.note) for t in self.terms]

    def __str__(self):
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join("  ".join((c.rjust if i == 2 else c.ljust)(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
                         for row in rows)

    def _repr_html_(self):
        cell = "<t{0}>{1}</t{0}>".format
        head = "".join(cell("h", name) for name in ("term", "formula", "value", "unit", "note"))
        body = "".join("<tr>" + "".join(cell("d", html.escape(c)) for c in row) + "</tr>" for row in self.rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def explain(model, x, y, *, num_data=None, seed=0):
    """The terms of L-hat for the examples (x, y) and one draw of omega-hat; prints nothing.

    num_data: N, if (x, y) is a minibatch of B examples out of more; B by default.  seed: of the draw; a network without noise has none.
    """
    if model.params is None:
        raise require.InputError("model has no parameters yet: call fit, or mb.load a file")
    net, params, likelihood = model.net, model.params, model.likelihood
    x = require.inputs("x", x, model.dtype, net.input_shape)
    B, K = len(x), net.output_shape(x.shape[1:])[0]
    y = likelihood.targets("y", y, B, K)
    N = B if num_data is None else require.integer("num_data", num_data, B)
    z = net.sample(Key(seed).derive("explain"), x.shape, dtype=x.dtype)
    found = Objective(net, model.prior, likelihood, N).terms(params, x, y, z)
    out = data_terms(likelihood, N, B, K, N * found.nll)
    parts, decay = kl.terms(net, params, model.prior), kl.weight_decay(net, params, model.prior, N)
    for layer, group in parts.items():
        for p, value in group.items():
            out.append(kl_term(net.layers[layer], layer, p, value))
    out += [
        Term("KL", "the sum of the kl lines", found.kl, "nats", "sum", "KL(q || p) up to C"),
        Term("C", "a constant in theta, infinite", None, "nats", "constant", f"only differences of KL mean anything; {kl.CONSTANT}"),
        Term("L-hat", "data + KL", found.total, "nats", "sum", "one draw of omega-hat; its mean over draws is L(theta)"),
        Term("L-hat/N", "what training minimises", found.per_datum, "nats per datum", "sum"),
        Term("N", "examples in the data set", float(N), "", "setting"), Term("B", "examples given here", float(B), "", "setting"),
    ]
    if isinstance(likelihood, Gaussian):
        out.append(Term("tau", "precision of y given f", float(likelihood.tau), "1/(units of y)^2", "setting"))
    for layer, group in decay.items():
        of = net.layers[layer].noise
        out.append(Term(f"l[{layer}]", "prior N(0, l^-2)", model.prior.of(layer), "1/(units of weight)", "setting"))
        if layer in net.noisy:
            name = "variance" if isinstance(of, noise.Gaussian) else "keep"
            out.append(Term(f"{name}[{layer}]", "Var[z]" if name == "variance" else "P(z = 1)", float(getattr(of, name)), "", "setting"))
        rays = "; not all of the KL's: see the rays" if "rays" in parts[layer] else ""
        for p, value in group.items():
            formula = " ".join(["l^2", *symbol(net.layers[layer], p)]) + "/N"
            out.append(Term(f"wd[{layer}/{p}]", formula, float(value), "per datum", "setting", f"gradient of L-hat/N: + wd {p}{rays}"))
    return Explanation(tuple(out))


def data_terms(likelihood, N, B, K, total):
    """-(N/B) sum_n log p(y_n | f_n), for regression in its two parts."""
    scale = "" if N == B else "N/B "
    if isinstance(likelihood, Heteroscedastic):
        return [Term("data", f"{scale}sum_nk 1/2 [e^-s (y - m)^2 + s + log 2 pi]", total, "nats", note="(m_n, s_n) = f(x_n, omega-hat)")]
    if not isinstance(likelihood, Gaussian):
        return [Term("data", f"-{scale}sum_n log softmax(f_n)[y_n]", total, "nats", note="f_n = f(x_n, omega-hat)")]
    constant = N * K / 2 * math.log(2 * math.pi / likelihood.tau)
    return [Term("data: misfit", f"{scale}tau/2 sum_n ||y_n - f_n||^2", total - constant, "nats", note="f_n = f(x_n, omega-hat)"),
            Term("data: normaliser", "N K/2 log(2 pi/tau)", constant, "nats", note=f"K = {K} outputs; not in theta")]


def symbol(layer, p):
    """E[z^2] of a parameter, in words: none if it is 1."""
    if p not in layer.noisy_params or isinstance(layer.noise, noise.Delta):
        return []
    return ["(1 + variance)" if isinstance(layer.noise, noise.Gaussian) else "keep"]


def kl_term(layer, name, p, value):
    """One line of the KL."""
    if p == "rays":
        shared = "the weights" + (" and bias" if "b" in layer.noisy_params else "") + " that share one z"
        return Term(f"kl[{name}/rays]", "-sum log ||ray||", value, "nats", note=f"a ray: {shared}; what weight decay leaves out")
    outside = p not in layer.noisy_params and not isinstance(layer.noise, noise.Delta)
    formula = " ".join([*symbol(layer, p), f"l^2/2 ||{p}||^2"])
    return Term(f"kl[{name}/{p}]", formula, value, "nats", note="outside the noise" if outside else "")
