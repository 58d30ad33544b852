"""The two sides of a code: x -> q(h | x), and h -> p(x | h)."""

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..fast.program import Program
from ..floats import usual
from ..model import BayesianNetwork
from ..nn import Key, Network, Rows


def decoder(model: BayesianNetwork) -> BayesianNetwork:
    """The layers after the code, a model whose inputs are codes: `predict(h)` is p(y | h)."""
    _, after = sides(model)
    params = {name: model.params[name] for name in after if name in model.params}
    if not params:
        raise require.InputError(f"model must have a layer with weights after its code {model.net.code!r}")
    net = Network((model.net.layers[model.net.code].n,), **after)
    return BayesianNetwork(net, model.prior, model.likelihood, params)


def sides(model: BayesianNetwork) -> tuple[dict, dict]:
    """The layers before the code, and those after it."""
    if getattr(getattr(model, "net", None), "code", None) is None:
        raise require.InputError("model must be a BayesianNetwork with one nn.Code(n) among its layers, got "
                                 f"{model!r}")
    if model.params is None:
        raise require.InputError("model has no parameters yet: call fit, or mb.load a file")
    items = list(model.net.layers.items())
    at = list(model.net.layers).index(model.net.code)
    return dict(items[:at]), dict(items[at + 1:])


@usual
def encode(model: BayesianNetwork, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(m, s) of q(h_n | x_n) = N(m_n, diag s_n^2), (N, n) each; noise before the code, if any, at its mean.

    model: with a code, and parameters.
    x: inputs, (N, ...).
    """
    before, _ = sides(model)
    x = model.net.inputs("x", x, model.dtype)
    if before:
        program = Program(Network(x.shape[1:], **before), 1)
        x = np.concatenate([f[0] for _, f in program.average(model.params, x, lambda _, f, *where: f)])
    m, log_std = model.net.layers[model.net.code].law(x)
    return m.copy(), np.exp(log_std)


@usual
def sample(model: BayesianNetwork, count: int = 1, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(h (count, n), E[y | h] (count, K)): h ~ p(h) = N(0, I), each decoded under an omega of its own.

    model: with a code, and parameters.
    count: samples.
    seed: of h and omega, 0 by default.
    """
    part = decoder(model)
    key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("sample")
    rows = Rows.of(key, require.integer("count", count, 1), dtype=model.dtype)
    h = key.of(model.net.code).normal((count, *part.net.input_shape), rows)
    return h, part.predict(h, samples=1, seed=key.seed).mean


def targets(model: BayesianNetwork, x: np.ndarray, y: ArrayLike | None) -> np.ndarray:
    """What the decoder explains: y, or x in rows."""
    given = x.reshape(len(x), -1) if y is None else y
    return model.likelihood.targets_for("x" if y is None else "y", given,
                                        (len(x), *model.net.output_shape(x.shape[1:])))
