"""A code is noise as weights have it: its KL, its gradient, and a linear one, which is probabilistic PCA."""

import itertools
import math

import numpy as np

from .. import bayes, latent, nn
from ..bayes import codes, kl
from ..bayes.likelihood import Likelihood
from ..bayes.objective import Objective
from ..model import BayesianNetwork
from ..nn.noise import normal_points
from ..truth import exact
from ..truth.ppca import PPCA, ppca
from .claim import Finding, claim
from .common import EPS, Tree, random_params, worst

N, D, CODE = 200, 8, 3
SEEDS, STEPS, RATE = 3, 1500, 0.03
COPIES, CHAIN = 4000, 240


def data() -> np.ndarray:
    """Three directions and noise, (N, D)."""
    rng = np.random.default_rng(0)
    h = rng.standard_normal((N, CODE)) * [2.0, 1.2, 0.7]
    return h @ rng.standard_normal((CODE, D)) / 2 + 0.5 * rng.standard_normal((N, D)) + rng.standard_normal(D)


def linear() -> nn.Network:
    return nn.Network(law=nn.Dense(D, 2 * CODE), code=nn.Code(CODE), out=nn.Dense(CODE, D))


def at_best(truth: PPCA) -> Tree:
    """The linear network's parameters where its q is the posterior."""
    A, a, log_std = truth.code()
    return {"law": {"M": np.concatenate([A, 0 * A]), "b": np.concatenate([a, log_std])},
            "out": {"M": truth.V, "b": truth.b}}


# ------------------------------------------------------------------------------------------------------- KL

def integral(m: float, s: float, l: float) -> float:
    """E_q[log q - log p] of N(m, s^2) and N(0, l^-2), by the trapezoid rule."""
    n = np.arange(-12, 12 + 1 / 32, 1 / 16)
    log_ratio = -n * n / 2 - math.log(s * l) + (l * (m + s * n)) ** 2 / 2
    return float(np.exp(-n * n / 2) @ log_ratio) / 16 / math.sqrt(2 * math.pi)


@claim("codes-kl", "codes-kl-is-the-weights")
def divergence() -> list[Finding]:
    """1/2 (m^2 + s^2 - 1) - log s, by quadrature and by the row of mean field."""
    m, s = np.array([[0.9, -0.4, 2.0], [0.0, 3.0, -1.0]]), np.array([[0.2, 0.7, 1.1], [1.0, 0.1, 2.5]])
    l = 1.3
    found, _ = codes.kl(m, np.log(s))
    integrals = [sum(map(integral, *row, (1.0,) * 3)) for row in zip(m, s, strict=True)]
    net, prior = nn.Network(a=nn.Dense(3, 1, noise=nn.MeanField())), bayes.Normal(l)
    params = {"a": {"M": m[:1], "b": np.zeros(1), "log_std": np.log(s[:1])}}
    weights = kl.value(net, params, prior) + kl.constant(net, params, prior)["a"]
    code, _ = codes.kl(l * m[:1], np.log(l * s[:1]))
    return [
        Finding("codes-kl", "KL(q(h|x) || N(0, I)) = sum of 1/2 (m^2 + s^2 - 1) - log s",
                "two codes of three numbers, and E_q[log q - log p] by the trapezoid rule",
                worst(np.abs(found - integrals)), 1e-12, "rounding of 400 terms"),
        Finding("codes-kl-is-the-weights", "a code's KL is that of a weight w = M + s e, its constant too",
                f"three weights under N(0, {l}^-2) by the table, and one code in units of 1/{l}",
                abs(float(code[0]) - weights), 64 * EPS * 10, "rounding"),
    ]


# ------------------------------------------------------------------------------------------------- gradient

@claim("codes-gradient")
def gradient() -> list[Finding]:
    """Encoder, code, decoder with dropout: all of L(theta) by exact expectation, against its differences."""
    net = nn.Network(a=nn.Dense(4, 5), s=nn.Tanh(), law=nn.Dense(5, 4), code=nn.Code(2), c=nn.Dense(2, 3),
                     t=nn.Tanh(), out=nn.Dense(3, 4, noise=nn.Bernoulli(0.7)))
    rng, errors, size = np.random.default_rng(1), [], []
    y = rng.integers(0, 2, (5, 4))
    objective = Objective(net, bayes.Prior(1.0), bayes.Bernoulli(), 5)
    params = random_params(net, rng, 0.7)
    _, grads = exact.value_and_grad(objective, params, y, y, order=5)
    for _ in range(4):
        way = {name: {p: rng.standard_normal(a.shape) for p, a in group.items()}
               for name, group in params.items()}
        claimed = sum(float((grads[n][p] * v).sum()) for n, group in way.items() for p, v in group.items())
        at = [exact.terms(objective, {n: {p: a + h * way[n][p] for p, a in group.items()}
                                      for n, group in params.items()}, y, y, order=5).per_datum
              for h in (1e-3, -1e-3, 2e-3, -2e-3)]
        errors.append(abs((8 * (at[0] - at[1]) - (at[2] - at[3])) / 12e-3 - claimed))
        size.append(abs(claimed))
    return [Finding("codes-gradient", "the gradient of E_q[-log p(x|h)] + KL(q(h|x) || p(h)) + KL(q || p)/N",
                    "encoder, code, decoder with dropout: exact expectations, and differences of fourth "
                    "order along four random directions, relative",
                    worst(errors) / max(size), 1e-8, "terms of h^4, h = 1e-3")]


# ---------------------------------------------------------------------------------------------------- ppca

def trained(x: np.ndarray, likelihood: Likelihood, seed: int) -> float:
    """The bound that training ends at, nats a datum; E_q by the 2^3 nodes that are exact for a square."""
    net = linear()
    objective = Objective(net, bayes.LogUniform(), likelihood, len(x))  # no penalty on weights without noise
    e = np.array(list(itertools.product(normal_points(2)[0], repeat=CODE)))
    rows, eps = np.repeat(x, len(e), axis=0), {"code": np.tile(e, (len(x), 1))}
    params = random_params(net, seed, 0.3)
    for rate in (RATE, RATE / 5, RATE / 25):
        adam = nn.Adam(rate)
        state = adam.init(params)
        for _ in range(STEPS // 3):
            _, grads = objective.value_and_grad(params, rows, rows, eps)
            params, state = adam.update(params, grads, state)
    return objective.terms(params, rows, rows, eps).nll


@claim("codes-ppca", "codes-ppca-posterior", "codes-ppca-completes")
def probabilistic_pca() -> list[Finding]:
    """The linear autoencoder against closed forms."""
    x = data()
    truth = ppca(x, CODE)
    likelihood = bayes.Gaussian(1 / truth.variance)
    gaps = [trained(x, likelihood, seed) + truth.log_likelihood / N for seed in range(SEEDS)]
    model = BayesianNetwork(linear(), bayes.LogUniform(), likelihood, at_best(truth))
    found, log_p = latent.bound(model, x, samples=3, threads=1), truth.log_p(x)
    off = [np.abs(bound - log_p).max() for bound in (found.elbo, found.importance)]
    return [
        Finding("codes-ppca", "a linear autoencoder ends at the maximum likelihood of probabilistic PCA",
                f"the bound after training from {SEEDS} starts, and PCA's log p(x)/N = "
                f"{truth.log_likelihood / N:.4f} nats: the largest gap",
                worst(np.abs(gaps)), 1e-4, "the optimiser's"),
        Finding("codes-ppca-posterior",
                "where q(h|x) is the posterior, log p(x|h) p(h)/q(h|x) is log p(x) for every h",
                f"3 draws for each of {N} data, and log N(x; b, V V' + s^2 I)",
                worst(off), 1e-11, "rounding"),
        completes(model, truth, x),
    ]


def completes(model: BayesianNetwork, truth: PPCA, x: np.ndarray) -> Finding:
    """Chains with a q that is wrong: wider by a half, and its mean shifted."""
    known = np.arange(D) < 5
    law = model.params["law"]
    wrong = {"M": law["M"], "b": law["b"] + np.repeat([0.3, math.log(1.5)], CODE)}
    other = BayesianNetwork(model.net, model.prior, model.likelihood, dict(model.params) | {"law": wrong})
    made = latent.complete(other, np.repeat(x[:1], COPIES, axis=0), known, chains=1, steps=CHAIN, threads=1)
    drawn = made.drawn[0][:, ~known]
    mean, covariance = truth.conditional(x[0], known)
    variance = np.diag(covariance)
    z = [np.abs(drawn.mean(axis=0) - mean) / np.sqrt(variance / COPIES),
         np.abs(drawn.var(axis=0) - variance) / (variance * math.sqrt(2 / COPIES))]
    return Finding("codes-ppca-completes",
                   "a chain on h and what is missing completes x as p(missing | known)",
                   f"{COPIES} chains of {CHAIN} steps with a q that is off ({made.accepted:.0%} of proposals "
                   "taken): means and variances of 3 missing numbers, in standard errors",
                   worst(z), 4.0, "4 standard errors")


# ------------------------------------------------------------------------------------------------ log p(x)

@claim("codes-importance")
def importance() -> list[Finding]:
    """w = p(x | h) p(h)/q(h | x) averages to p(x), whatever q is."""
    net = nn.Network(law=nn.Dense(4, 2), code=nn.Code(1), c=nn.Dense(1, 3), t=nn.Tanh(), out=nn.Dense(3, 4))
    params, T = random_params(net, 3), 4000
    params["law"] = {p: 0.3 * a for p, a in params["law"].items()}
    model = BayesianNetwork(net, bayes.Prior(1.0), bayes.Bernoulli(), params)
    y = np.random.default_rng(4).integers(0, 2, (6, 4))
    h, weights = normal_points(80)
    f = latent.decoder(model).net.forward(params, h[:, None], {})[0]
    p = np.array([weights @ np.exp(-model.likelihood.nll(f, np.repeat(row[None], len(h), axis=0))[0])
                  for row in y])
    # T draws for each datum, as T copies with one draw: their spread is the standard error
    log_w = latent.bound(model, np.repeat(y, T, axis=0), samples=1, threads=1).elbo.reshape(6, T)
    w = np.exp(log_w) / p[:, None]
    z = np.abs(w.mean(axis=1) - 1) / (w.std(axis=1) / math.sqrt(T))
    gap = np.log(p) - log_w.mean(axis=1)
    return [Finding("codes-importance", "E_q[p(x|h) p(h)/q(h|x)] = p(x), and its log's mean is below: by "
                    f"{gap.mean():.2f} nats here", f"{T} draws for each of 6 data, and p(x) by quadrature "
                    "over h, in standard errors; the bound must be below",
                    worst(np.append(z, np.where(gap > 0, 0, np.inf))), 4.0, "4 standard errors")]
