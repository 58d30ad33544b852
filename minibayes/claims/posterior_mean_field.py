"""Mean field where everything is known: linear regression, and no data at all (claim 15).

f = w x, w ~ N(0, l^-2 I), precision tau: the posterior is N(mu, Lambda^-1), Lambda = l^2 I + tau X'X. Among
all N(m, diag s^2) the KL to it, 1/2 (sum Lambda_ii s_i^2 - log s_i^2) + 1/2 (m - mu)' Lambda (m - mu) + ...,
is least at m = mu, s_i^2 = 1/Lambda_ii, and is then 1/2 (sum log Lambda_ii - log |Lambda|). As s_i^2 is the
variance of w_i *given the others*, it is too small wherever inputs are correlated.
"""

import math

import numpy as np

from .. import bayes, nn
from ..bayes import kl
from ..truth import exact
from .claim import Finding, claim
from .common import Tree, rounding, worst

L, TAU, N = 1.0, 20.0, 4
CORRELATION = 0.995  # of the two inputs
SCALE = 158.0  # tau ||column||^2
STEPS = 250


def data() -> tuple[np.ndarray, np.ndarray]:
    """X (N, 2), y (N, 1), of mean 0 in every column: so the bias, a point outside the noise, stays at 0."""
    rng = np.random.default_rng(2)
    a = np.linalg.qr(np.column_stack([np.ones(N), rng.standard_normal((N, 3))]))[0][:, 1:]
    size, r = math.sqrt(SCALE / TAU), CORRELATION
    X = size * np.column_stack([a[:, 0], r * a[:, 0] + math.sqrt(1 - r * r) * a[:, 1]])
    return X, (X @ [0.8, -0.3] + 0.5 * a[:, 2])[:, None]


def posterior(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(mu, Lambda, log p(y | X))."""
    Lambda = L**2 * np.eye(2) + TAU * X.T @ X
    covariance = np.eye(N) / TAU + X @ X.T / L**2
    fits = float(y[:, 0] @ np.linalg.solve(covariance, y[:, 0]))
    evidence = -(fits + np.linalg.slogdet(2 * math.pi * covariance)[1]) / 2
    return np.linalg.solve(Lambda, TAU * X.T @ y[:, 0]), Lambda, float(evidence)


def trained(X: np.ndarray, y: np.ndarray, Lambda: np.ndarray) -> tuple[bayes.Objective, Tree]:
    """The parameters after descent with momentum along the exact gradient of L/N: no draws.

    The curvatures of L are the eigenvalues of Lambda in m, and 2 in log s at the end: rate and momentum
    are those of the heavy ball, (2/(sqrt(largest) + sqrt(least)))^2 and the like.
    """
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.MeanField(0.3)))
    objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU), N)
    most, least = np.linalg.eigvalsh(Lambda)[1], min(2.0, np.linalg.eigvalsh(Lambda)[0])
    rate = (2 / (math.sqrt(most) + math.sqrt(least))) ** 2
    momentum = ((math.sqrt(most) - math.sqrt(least)) / (math.sqrt(most) + math.sqrt(least))) ** 2
    sgd, params = nn.SGD(N * rate, momentum=momentum), net.init(0, np.float64)
    state = sgd.init(params)
    for _ in range(STEPS):
        _, grads = exact.value_and_grad(objective, params, X, y, order=2)   # a square of e: exact
        params, state = sgd.update(params, grads, state)
    return objective, params


@claim("posterior-mean-field-optimum", "posterior-mean-field-bound")
def regression() -> list[Finding]:
    """Claim 15: where training leads, and what it costs."""
    X, y = data()
    mu, Lambda, evidence = posterior(X, y)
    objective, params = trained(X, y, Lambda)
    m, s = params["a"]["M"][0], np.exp(params["a"]["log_std"][0])
    off = [np.abs(m - mu).max(), np.abs(s**2 * np.diag(Lambda) - 1).max(), abs(params["a"]["b"].item())]
    lost = (np.log(np.diag(Lambda)).sum() - np.linalg.slogdet(Lambda)[1]) / 2
    found = exact.terms(objective, params, X, y, order=2)
    C = kl.constant(objective.net, params, objective.prior)["a"]
    gap = found.total + C + evidence
    true = np.sqrt(np.diag(np.linalg.inv(Lambda)))
    condition = np.linalg.cond(Lambda)
    return [
        Finding(
            "posterior-mean-field-optimum",
            "mean field in linear regression: training reaches the posterior mean, and s_i^2 = 1/Lambda_ii; "
            f"with inputs of correlation {CORRELATION} that is {(s / true)[0]:.2f} of the standard deviation",
            f"m - mu, s_i^2 Lambda_ii - 1 and b after {STEPS} steps along the exact gradient",
            worst(off), rounding(64, condition * np.abs(mu).max()),
            "rounding times the condition number of Lambda; what the steps leave is below it"),
        Finding(
            "posterior-mean-field-bound",
            "its bound is absolute: L + C is -log p(Y | X) + 1/2 (sum log Lambda_ii - log |Lambda|), "
            f"here {lost:.2f} nats",
            f"L + C + log p(Y | X) after training, {gap:.4f} nats, against that KL",
            abs(gap - lost), rounding(64, abs(found.total) + abs(C) + abs(evidence)), "rounding"),
    ]


@claim("posterior-no-data-alpha", "posterior-no-data-std")
def no_data() -> list[Finding]:
    """What the KL alone leads to, from plain descent."""
    l = 1.4
    net = nn.Network(a=nn.Dense(4, 3, noise=nn.LearnedGaussian(0.5, "unit")), t=nn.Tanh(),
                     b=nn.Dense(3, 2, noise=nn.LearnedGaussian(0.5, "weight")))
    params = net.init(1, np.float64)
    for _ in range(100):  # 1/2 is the curvature at the optimum: each step halves the distance there
        grads = kl.grad(net, params, bayes.Prior(l))
        params = {name: group | {"log_alpha": group["log_alpha"] - grads[name]["log_alpha"]}
                  for name, group in params.items()}
    pairs = [(np.exp(group["log_alpha"]).reshape(-1), net.layers[name].rays(group).reshape(-1))
             for name, group in params.items()]
    off = [np.abs(alpha * l**2 * squares - 1).max() for alpha, squares in pairs]
    own = nn.Network(a=nn.Dense(4, 3, noise=nn.MeanField(0.1)))
    q = own.init(1, np.float64)
    for _ in range(200):
        grads = kl.grad(own, q, bayes.Prior(l))["a"]
        q = {"a": {p: a - 0.4 * grads[p] for p, a in q["a"].items()}}
    whole = kl.value(own, q, bayes.Prior(l)) + kl.constant(own, q, bayes.Prior(l))["a"]
    last = [np.abs(q["a"]["M"]).max(), np.abs(l * np.exp(q["a"]["log_std"]) - 1).max(), abs(whole)]
    return [
        Finding(
            "posterior-no-data-alpha",
            "without data a learned alpha is 1/(l^2 ||m||^2): for a column of weights, and for each weight",
            "alpha l^2 ||m||^2 against 1, after 100 steps down the KL in log alpha",
            worst(off), rounding(64, 1.0), "rounding; the steps leave 2^-100"),
        Finding(
            "posterior-no-data-std",
            "without data mean field is the prior: M = 0, s = 1/l, and the whole KL is 0",
            "M, l s - 1 and KL + C, nats, after 200 steps down the KL",
            worst(last), rounding(64, 12.0), "rounding; the steps leave less"),
    ]
