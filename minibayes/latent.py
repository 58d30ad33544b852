"""p(x) = int p(x | h) p(h) dh: codes, samples, bounds and completions from a network with a code; no labels.

    net = nn.Network(fc1=nn.Dense(784, 100), relu1=nn.ReLU(), law=nn.Dense(100, 2 * 32),
                     code=nn.Code(32), fc2=nn.Dense(32, 100), relu2=nn.ReLU(), out=nn.Dense(100, 784))
    model = mb.BayesianNetwork(net, likelihood=bayes.Bernoulli())
    model.fit(x, x, ...)

`fit` minimises E_q[-log p(x_n | h)] + KL(q(h_n | x_n) || p(h)) for each example (`bayes.codes`), beside the
KL of the weights; noise in the decoder's weights is q(omega) as anywhere, and is averaged over here too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import require
from .bayes.summary import LogMean
from .fast import parallel
from .fast.program import Program
from .floats import usual
from .model import BayesianNetwork
from .nn import Key, Network, Rows

CHUNK = 256  # examples that one thread takes together


@dataclass(frozen=True)
class Bound:
    """What T draws of (h, omega) say of log p(x_n), nats, for each example.

    elbo: (1/T) sum_t log w_tn, w = p(x | h) p(h)/q(h | x): at most log p(x_n) on average.
    importance: log (1/T) sum_t w_tn, at most log p(x_n) on average too, and never below `elbo`; exact as T
                grows (Burda, Grosse and Salakhutdinov, arXiv 1509.00519).
    """

    elbo: np.ndarray  # (N,)
    importance: np.ndarray  # (N,)


@dataclass(frozen=True)
class Completion:
    """Inputs of which only some numbers are known, completed by chains that have each an omega of their own.

    mean: E[y | known], known numbers as they are.
    std: of E[y | h, omega] over the chains: what the model does not know of the number behind y.
    drawn: y as each chain has it at the end, (chains, N, K).
    accepted: the share of proposals for h that were.
    """

    mean: np.ndarray  # (N, K)
    std: np.ndarray  # (N, K)
    drawn: np.ndarray
    accepted: float


def decoder(model: BayesianNetwork) -> BayesianNetwork:
    """The layers after the code, a model whose inputs are codes: `predict(h)` is p(y | h)."""
    _, after = _sides(model)
    params = {name: model.params[name] for name in after if name in model.params}
    if not params:
        raise require.InputError(f"model must have a layer with weights after its code {model.net.code!r}")
    net = Network((model.net.layers[model.net.code].n,), **after)
    return BayesianNetwork(net, model.prior, model.likelihood, params)


def _sides(model):
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
    before, _ = _sides(model)
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


@usual
def bound(model: BayesianNetwork, x: ArrayLike, y: ArrayLike | None = None, *, samples: int = 50,
          seed: int = 0, threads: int | None = None) -> Bound:
    """Bounds on log p(y_n) under the trained model, by T draws of h ~ q(h | x_n) and omega.

    model: with a code, and parameters.
    x: inputs, (N, ...).
    y: what is explained; x in rows by default.
    samples: T, 50 by default.
    seed: of the draws, 0 by default.
    threads: all processors by default; the result does not depend on it.
    """
    _sides(model)
    x = model.net.inputs("x", x, model.dtype)
    y = _targets(model, x, y)
    samples = require.integer("samples", samples, 1)
    key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("bound")
    program = Program(model.net, 1)

    def piece(which):
        own, log_mean, total = x[which], None, 0.0
        for t in range(samples):
            rows = _rows(which, t, key, x.dtype)
            log_w = _log_weights(program, model, own, y[which], program.draw_rows(key, x.shape[1:], rows))
            total = total + log_w
            new = LogMean(log_w[None])
            log_mean = new if log_mean is None else (log_mean.merge(new), log_mean)[1]
        return total / samples, log_mean.value

    with parallel.pool(threads) as pool:
        elbo, importance = zip(*pool(piece, parallel.slices(len(x), CHUNK)), strict=True)
    return Bound(np.concatenate(elbo), np.concatenate(importance))


def _rows(which, t, key, dtype):
    numbers = np.arange(which.start, which.stop, dtype=np.uint64)
    return Rows(numbers, np.full(len(numbers), key.t + t, np.uint64), dtype)


def _targets(model, x, y):
    """What the decoder explains: y, or x in rows."""
    given = x.reshape(len(x), -1) if y is None else y
    return model.likelihood.targets_for("x" if y is None else "y", given,
                                        (len(x), *model.net.output_shape(x.shape[1:])))


def _log_weights(program, model, x, y, eps):
    """log w = log p(y | h) + log p(h) - log q(h | x), the last two together sum e^2/2 + log s - h^2/2."""
    params = model.params
    f, caches = program.forward(params, x, program.z(params, eps))
    (m, log_std), e = program.law(caches), eps[program.code]
    h = m + np.exp(log_std) * e
    nll, _ = model.likelihood.nll(f, y)
    return np.float64(-nll) + (e * e / 2 + log_std - h * h / 2).sum(axis=1, dtype=np.float64)


@usual
def complete(model: BayesianNetwork, x: ArrayLike, known: ArrayLike, *, chains: int = 20, steps: int = 100,
             seed: int = 0, threads: int | None = None) -> Completion:
    """The numbers of x that are not known, given those that are: a Markov chain on (h, what is missing).

    A step proposes h' ~ q(h | x), with what is missing as it stands, and takes it with probability
    min(1, w(h')/w(h)), w = p(x | h) p(h)/q(h | x); then it draws what is missing from p(x | h). Its law tends
    to p(h, missing | known, omega), whatever q is (Metropolis within Gibbs: Mattei and Frellsen 2018,
    arXiv 1802.04826). Every chain has one omega ~ q(omega) and keeps it.

    model: with a code and parameters, trained to give back its inputs: y = x in rows.
    x: inputs, (N, ...); what stands where nothing is known is not looked at, and may be NaN.
    known: True for the numbers that are known, in the shape of x, or of one of its inputs.
    chains: 20 by default.
    steps: of each chain, 100 by default.
    seed: of the chains, 0 by default.
    threads: all processors by default; the result does not depend on it.
    """
    _, after = _sides(model)
    x = require.array("x", x)
    known = np.asarray(known)
    if known.dtype != bool or known.shape not in (x.shape, x.shape[1:]):
        raise require.InputError(f"known must be True and False in the shape of x, {x.shape}, or of one "
                                 f"input, {x.shape[1:]}, got {known.dtype} {known.shape}")
    known = np.broadcast_to(known, x.shape).reshape(len(x), -1)
    x = model.net.inputs("x", np.where(known.reshape(x.shape), x, 0), model.dtype)
    y = _targets(model, x, None)
    if y.shape != known.shape:
        raise require.InputError("model must give back its inputs, a target for each number, got "
                                 f"{y.shape[1]} targets for {known.shape[1]} numbers")
    chains, steps = require.integer("chains", chains, 1), require.integer("steps", steps, 1)
    key = Key(require.integer("seed", seed, 0, 2**64 - 1)).derive("complete")
    program = Program(model.net, 1)
    with parallel.pool(threads) as pool:
        ends = pool(lambda c: _chain(program, after, model, x, y, known, key, c, steps), range(chains))
    drawn, means = (np.stack([end[i] for end in ends]) for i in (0, 1))
    mean = np.where(known, y, means.mean(axis=0))
    return Completion(mean, np.where(known, 0, means.std(axis=0)), drawn, sum(e[2] for e in ends) / chains)


def _chain(program, after, model, x, y, known, key, c, steps):
    """(what is drawn (N, K), E[y | h, omega] (N, K), share of proposals taken) at the end of chain c."""
    params, name, shape = model.params, program.code, x.shape
    rows = Rows(np.arange(len(x), dtype=np.uint64), np.full(len(x), key.t + c, np.uint64), x.dtype)
    z = program.z(params, program.draw_rows(key, shape[1:], rows))      # omega of this chain, and the first e
    rng = np.random.default_rng([key.seed, c])

    def decoded(h):
        for layer_name, layer in after.items():
            h, _ = layer.forward(params.get(layer_name), h, z.get(layer_name, 1))
        return h

    def log_w(f, h, m, log_std):
        e = (h - m) / np.exp(log_std)
        nll, _ = model.likelihood.nll(f, y_now)
        return np.float64(-nll) + (e * e / 2 + log_std - h * h / 2).sum(axis=1, dtype=np.float64)

    h, accepted = z[name].astype(x.dtype), 0
    f = decoded(h)                                                      # h ~ p(h)
    y_now = np.where(known, y, model.likelihood.draw(f, rng))
    for _ in range(steps):
        e = rng.standard_normal(h.shape).astype(x.dtype)
        new, caches = program.forward(params, y_now.reshape(shape).astype(x.dtype), z | {name: e})
        m, log_std = program.law(caches)
        h_new = m + np.exp(log_std) * e
        ratio = log_w(new, h_new, m, log_std) - log_w(f, h, m, log_std)
        take = taken(ratio, rng)
        h, f = np.where(take[:, None], h_new, h), np.where(take[:, None], new, f)
        y_now = np.where(known, y, model.likelihood.draw(f, rng))
        accepted += take.mean()
    return y_now, model.likelihood.mean_and_variance(f)[0], accepted / steps


def taken(log_ratio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Metropolis and Hastings: True with probability min(1, ratio)."""
    return np.log1p(-rng.random(len(log_ratio))) < log_ratio
