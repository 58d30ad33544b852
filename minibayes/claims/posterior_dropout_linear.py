"""Dropout in linear regression: the best M and keep in closed form, and where training lands (thesis 6.3).

f = sum_i M_i z_i x_i + b, y ~ N(f, 1/TAU), prior N(0, l^-2), inputs and targets centred, so that b = 0 is
best. With E[z] = m1, E[z^2] = m2 of any noise,

    E ||y - f||^2 = ||y - m1 X M||^2 + (m2 - m1^2) sum_i ||x_i||^2 M_i^2

    L(M, keep) = TAU/2 E ||y - f||^2 + l^2/2 keep ||M||^2 - D H(keep)

For given keep it is quadratic in M, (TAU (m1^2 X'X + (m2 - m1^2) diag X'X) + l^2 keep) M = TAU m1 X'y; the
best keep is a minimum in one dimension. m1 = m2 = keep for dropout. Those of concrete dropout at temperature
t give the optimum of what it is trained on; how far that is from dropout's is the price of the relaxation.
"""

import math

import numpy as np

from .. import bayes, nn
from ..truth import exact
from .claim import Finding, claim
from .common import rounding, worst

N, TAU, L = 24, 0.4, 1.0
SEEDS, STEPS, COPIES = 5, 400, 40
H = 1e-3  # of differences in keep


def data() -> tuple[np.ndarray, np.ndarray]:
    """Three inputs, the first two alike; centred."""
    rng = np.random.default_rng(13)
    x = rng.standard_normal((N, 3)) @ np.array([[1.0, 0.6, 0], [0, 0.8, 0], [0, 0, 1]])
    y = x @ np.array([0.8, 0.5, -0.6]) + rng.standard_normal(N) / math.sqrt(TAU)
    return x - x.mean(axis=0), (y - y.mean())[:, None]


def moments(keep: float, t: float) -> tuple[float, float]:
    """E[z], E[z^2] of concrete dropout; at t = 0 of dropout."""
    logit = {"logit_keep": np.array([math.log(keep / (1 - keep))])}
    return tuple(m.item() for m in nn.Concrete(0.5, t).moments(logit))


def best(keep: float, t: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """(M (D,), L) where L is least for this keep."""
    m1, m2 = moments(keep, t)
    A = m1**2 * x.T @ x + (m2 - m1**2) * np.diag((x * x).sum(axis=0))
    M = np.linalg.solve(TAU * A + L**2 * keep * np.eye(x.shape[1]), TAU * m1 * (x.T @ y)[:, 0])
    entropy = -keep * math.log(keep) - (1 - keep) * math.log1p(-keep)
    error = float((y**2).sum()) - 2 * m1 * float(y[:, 0] @ x @ M) + float(M @ A @ M)
    return M, TAU / 2 * error + L**2 / 2 * keep * float(M @ M) - x.shape[1] * entropy


def best_keep(t: float, x: np.ndarray, y: np.ndarray) -> float:
    """Golden sections of a grid's best cell, in logit keep: to about 1e-8, where L is flat to rounding."""
    def value(logit):
        return best(1 / (1 + math.exp(-logit)), t, x, y)[1]

    grid = np.linspace(-3, 7, 101)
    at = int(np.argmin([value(v) for v in grid]))
    low, high = grid[at - 1], grid[at + 1]
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-9:
        first, second = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, second) if value(first) < value(second) else (first, high)
    return 1 / (1 + math.exp(-(low + high) / 2))


def trained(seed: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(M, logit keep): the mean over the last half of a training; COPIES draws of an example a step."""
    net = nn.Network(a=nn.Dense(3, 1, noise=nn.Concrete(0.6)))
    objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU), N)
    x, y = np.tile(x, (COPIES, 1)), np.tile(y, (COPIES, 1))
    params, ends = net.init(seed, np.float64), []
    sgd = nn.SGD(5.0, multipliers={"a": {"M": 0.2, "b": 0.2}})  # L is flatter in keep than in M
    state = sgd.init(params)
    for step in range(STEPS):
        eps = net.draw(nn.Key(seed).at(step), x.shape, dtype=np.float64)
        _, grads = objective.value_and_grad(params, x, y, eps)
        params, state = sgd.update(params, grads, state)
        ends.append([*params["a"]["M"][0], params["a"]["logit_keep"].item()])
    return np.mean(ends[STEPS // 2:], axis=0)


@claim("posterior-dropout-linear", "posterior-dropout-linear-keep", "posterior-dropout-linear-concrete")
def linear() -> list[Finding]:
    """By enumeration of all masks, and by training."""
    x, y = data()
    keep, soft = best_keep(0.0, x, y), best_keep(0.1, x, y)
    M, least = best(keep, 0.0, x, y)
    likelihood, params = bayes.Gaussian(TAU), {"a": {"M": M[None], "b": np.zeros(1)}}

    def enumerated(keep):
        objective = bayes.Objective(nn.Network(a=nn.Dense(3, 1, noise=nn.Bernoulli(keep))), bayes.Prior(L),
                                    likelihood, N)
        terms, grads = exact.value_and_grad(objective, params, x, y)
        entropy = -keep * math.log(keep) - (1 - keep) * math.log1p(-keep)
        return terms.total - 3 * entropy, grads["a"]

    whole, grads = enumerated(keep)
    steep = N * worst([np.abs(g).max() for g in grads.values()])
    constant = N / 2 * math.log(2 * math.pi / TAU)
    slope = (enumerated(keep + H)[0] - enumerated(keep - H)[0]) / (2 * H)
    # third derivatives in keep: of -D H(keep), and of the data none, as it is quadratic
    third = 3 * (1 / (keep - H) ** 2 + 1 / (1 - keep - H) ** 2)
    size = TAU * N * float(np.abs(x).max() * np.abs(y).max() + np.abs(x).max() ** 2 * np.abs(M).sum())
    M_soft = best(soft, 0.1, x, y)[0]
    found = np.array([trained(seed, x, y) for seed in range(SEEDS)])
    wanted = np.array([*M_soft, math.log(soft / (1 - soft))])
    end = 1 / (1 + math.exp(-found[:, 3].mean()))
    return [
        Finding(
            "posterior-dropout-linear",
            "in linear regression the best M under dropout solves "
            "(tau (keep X'X + (1-keep) diag X'X) + l^2) M = tau X'y",
            "L and its gradient there, by enumeration of 8 masks, 0 and the closed form",
            worst([steep, abs(whole - constant - least)]), rounding(8 * N, size), "rounding"),
        Finding(
            "posterior-dropout-linear-keep",
            f"there is one best keep, {keep:.4f} here: more errors below it, less entropy above",
            "slope in keep of the enumerated L - D H(keep), M at its best",
            abs(slope), H**2 / 6 * third + 1e-6 * (6 / (keep * (1 - keep))) + rounding(8 * N, size) / H,
            "the third derivative of the entropy, golden sections to 1e-7, and rounding over the step"),
        Finding(
            "posterior-dropout-linear-concrete",
            "concrete dropout's training lands on the optimum of its relaxed objective, next to dropout's",
            f"M and logit keep of {SEEDS} trainings, their mean; keep {end:.4f}, the optimum at t = 0.1 "
            f"{soft:.4f}, dropout's {keep:.4f}: a gap of {soft - keep:+.4f}",
            worst(np.abs(found.mean(axis=0) - wanted)), 0.02,
            "four standard errors of the mean, which are 0.005 as five trainings scatter"),
    ]
