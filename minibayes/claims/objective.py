"""L-hat = -(N/B) sum log p(y_n | f(x_n, omega-hat)) + KL is unbiased; and where its mean is least (claim 3).

Exact sums over masks. Tolerances are rounding, twice (m + 2) eps sum |a b| for m products or masks, except
where omega-hat is sampled: there, standard errors.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from .. import bayes, checks, nn
from ..truth import exact
from .claim import Finding, claim
from .common import ROUNDING, add, distance, largest, random_params, rounding, worst

DRAWS = 4000


def tiny() -> tuple:
    """The objective of a 2-3-2 net with five Bernoulli units, its parameters, and three examples."""
    drop_in, drop = nn.Bernoulli(0.7), nn.Bernoulli(0.4)
    net = nn.Network(a=nn.Dense(2, 3, noise=drop_in), t=nn.Tanh(), b=nn.Dense(3, 2, noise=drop))
    rng = np.random.default_rng(3)
    params = random_params(net, rng)
    objective = bayes.Objective(net, bayes.Prior(1.7), bayes.Categorical(), 3)
    return objective, params, rng.standard_normal((3, 2)), np.array([1, 0, 1])


def every_draw(net: nn.Network, x: np.ndarray, shared: bool) -> Iterator[tuple[float, dict]]:
    """(probability, z) of every omega-hat of a minibatch: one mask for each example, or one for all."""
    (w, z), = exact.points(net, x.shape[1:])
    for chosen in itertools.product(range(len(w)), repeat=1 if shared else len(x)):
        yield math.prod(w[i] for i in chosen), {name: a[list(chosen)] for name, a in z.items()}


@claim("objective-unbiased-value", "objective-unbiased-gradient")
def unbiased() -> list[Finding]:
    """Claim 3, by enumeration: all minibatches times all masks."""
    objective, params, x, y = tiny()
    N = len(x)
    truth, wanted = exact.value_and_grad(objective, params, x, y)
    L = N * truth.nll + truth.kl  # -sum_n E_q log p(y_n | f(x_n, omega)) + KL
    off, off_grad = [], []
    counts = []
    for size, shared in ((1, False), (2, False), (3, True)):
        batches = list(itertools.combinations(range(N), size))
        mean, mean_grad = 0.0, add(wanted, wanted, -1)
        count = 0
        for rows in map(list, batches):
            for p, z in every_draw(objective.net, x[rows], shared):
                terms, g = objective.value_and_grad(params, x[rows], y[rows], z)  # L-hat, d(L-hat/N)/d theta
                mean += p * terms.total / len(batches)
                mean_grad = add(mean_grad, g, p / len(batches))
                count += 1
        off.append(abs(mean - L))
        off_grad.append(distance(mean_grad, wanted))
        counts.append(count)
    count = max(counts)
    why = f"rounding in a sum over {count} masks and minibatches"
    return [
        Finding(
            "objective-unbiased-value",
            "L-hat is an unbiased estimator of L: data term scaled by N/B, KL counted once, "
            "the sum over minibatches and masks is L",
            "weighted sum of L-hat over all of them, B = 1, 2, and 3 with a shared mask, "
            "against exact.value_and_grad, nats",
            worst(off), rounding(count, L), why),
        Finding(
            "objective-unbiased-gradient",
            "the gradient of L-hat is an unbiased estimator of that of L",
            "weighted sum of d(L-hat/N)/d theta over all masks and minibatches against d(L/N)/d theta",
            worst(off_grad), rounding(count, largest(wanted) + 1), why),
    ]


@claim("objective-unbiased-sampled")
def sampled() -> list[Finding]:
    """Claim 3, by sampling both."""
    objective, params, x, y = tiny()
    truth, wanted = exact.value_and_grad(objective, params, x, y)
    rng = np.random.default_rng(4)

    def draw(t):
        rows = rng.permutation(len(x))[:2]
        z = objective.net.sample(nn.Key(4).at(t), (2, 2), examples=rows)
        terms, g = objective.value_and_grad(params, x[rows], y[rows], z)
        return {"L": terms.total, "grad": g}

    found = checks.unbiased_check(draw, {"L": len(x) * truth.nll + truth.kl, "grad": wanted}, DRAWS)
    return [Finding(
        "objective-unbiased-sampled",
        "draws of masks and minibatches average to L and its gradient",
        f"mean of {DRAWS} draws of L-hat and its gradient against L and its gradient, "
        "the worst number in standard errors",
        found.distance, found.tolerance, "4 standard errors, widened for the largest of 18 numbers")]


def regression() -> tuple[np.ndarray, np.ndarray]:
    """12 inputs of 2 numbers, and targets."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((12, 2)), rng.standard_normal((12, 1))


LENGTHSCALE, TAU = 0.9, 1.7


@claim("objective-linear")
def linear() -> list[Finding]:
    """Claim 3, by hand. f = M (z o x) + b: E (y - f)^2 = (y - E[z] M x - b)^2 + Var[z] sum_d M_d^2 x_d^2."""
    x, y = regression()
    N, D = x.shape
    M, b = np.array([[1.2, -0.7]]), np.array([0.4])
    off, allowed = [], []
    for noise, mean, variance in ((nn.Bernoulli(0.3), 0.3, 0.3 * 0.7), (nn.Gaussian(0.8), 1.0, 0.8)):
        net = nn.Network(a=nn.Dense(D, 1, noise=noise))
        objective = bayes.Objective(net, bayes.Prior(LENGTHSCALE), bayes.Gaussian(TAU), N)
        errors = (y - mean * x @ M.T - b)[:, 0] ** 2 + variance * (x**2 @ M.T**2)[:, 0]
        L = (TAU / 2 * errors + math.log(2 * math.pi / TAU) / 2).sum()
        found, _ = exact.value_and_grad(objective, {"a": {"M": M, "b": b}}, x, y, order=8)
        off.append(abs(N * found.nll - L))
        allowed.append(rounding(64 * N, L))
    return [Finding(
        "objective-linear",
        "for a net linear in z, E_q of the squared error is the error of the mean "
        "plus Var[z] sum_d M_d^2 x_d^2",
        "exact -E_q log p(Y | X, omega), by masks and by quadrature, against that, nats",
        worst(off), worst(allowed), ROUNDING)]


@claim("objective-optimum")
def optimum() -> list[Finding]:
    """Claim 3: dropout's L is quadratic here; its optimum is a ridge whose penalty depends on the data."""
    x, y = regression()
    N, D = x.shape
    keep, l = 0.3, LENGTHSCALE
    xb = np.hstack([keep * x, np.ones((N, 1))])
    penalty = [*(TAU * keep * (1 - keep) * (x**2).sum(axis=0) + l**2 * keep), l**2]
    A = TAU * xb.T @ xb + np.diag(penalty)
    *M, b = np.linalg.solve(A, TAU * xb.T @ y[:, 0])
    net = nn.Network(a=nn.Dense(D, 1, noise=nn.Bernoulli(keep)))
    objective = bayes.Objective(net, bayes.Prior(l), bayes.Gaussian(TAU), N)
    _, g = exact.value_and_grad(objective, {"a": {"M": np.array([M]), "b": np.array([b])}}, x, y)
    best = np.abs([*M, b])
    size = TAU * (np.abs(xb).T @ (np.abs(xb) @ best + np.abs(y[:, 0]))) + np.diag(A) * best
    return [Finding(
        "objective-optimum",
        "where such steps lead: the optimum of dropout in linear regression is a ridge "
        "with penalty keep(1-keep) sum_n x_nd^2",
        "N times the exact gradient of L/N at the solution of that ridge's normal equations",
        N * largest(g), rounding(4 * N, size), "rounding, with sums over N and 4 masks")]
