"""One weight and a bias under q_theta(omega), against their exact posterior, which sits on a grid (claim 15).

f = w x + b, y ~ N(f, 1/TAU), prior N(0, 1), inputs symmetric about 0, so that w and b are independent given
the data: w ~ N(m, v), v = 1/(TAU sum x^2 + 1), m = v TAU sum x y.  q has w = M z, and a point for b.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import bayes, nn
from ..bayes import posterior
from ..model import BayesianNetwork
from ..truth import hmc
from .claim import Finding, claim
from .common import EPS, ROUNDING, worst

TAU, KEEP = 4.0, 0.8
RATE, STEPS = 0.05, 400
SEEDS = 16


def line(N: int) -> tuple[np.ndarray, np.ndarray]:
    """N inputs in [-1, 1], and targets around 1.5 x + 0.3."""
    x = np.linspace(-1, 1, N)[:, None]
    return x, 1.5 * x + 0.3 + np.random.default_rng(N).standard_normal(x.shape) / math.sqrt(TAU)


def exact_line(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """(mean, variance) of w and of b: ridge regression."""
    vw, vb = (1 / (TAU * s + 1) for s in ((x * x).sum(), len(x)))
    return (vw * (TAU * (x * y).sum()), vw), (vb * (TAU * y.sum()), vb)


def grid_line(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """(mean, variance) of f at x = 0 and at x = 1, from exp(log p(w, b | X, Y)) on a grid.

    6 sds to each side in steps of 1/5 sd: a Gaussian's trapezoid sum is off by exp(-2 pi^2 5^2), and by the
    exp(-18) that is cut off.
    """
    target = hmc.LogPosterior(nn.Network(a=nn.Dense(1, 1)), bayes.Prior(), bayes.Gaussian(TAU), x, y)
    w, b = (mean + math.sqrt(v) * np.arange(-30, 31) / 5 for mean, v in exact_line(x, y))
    log_p = np.array([[target(np.array([wi, bi]))[0] for bi in b] for wi in w])
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    out = []
    for x_new in (0.0, 1.0):
        f = w[:, None] * x_new + b
        mean = (p * f).sum()
        out.append((mean, (p * (f - mean) ** 2).sum()))
    return out


def expected_gradient(noise: nn.Bernoulli | nn.Gaussian, nodes: Sequence, weights: Sequence, M: float,
                      b: float, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The largest of E_z d L-hat/d(M, b), over the noise's nodes, and 64 roundings of all its terms."""
    net = nn.Network(a=nn.Dense(1, 1, noise=noise))
    objective = bayes.Objective(net, bayes.Prior(), bayes.Gaussian(TAU), len(x))
    params, total = {"a": {"M": np.array([[M]]), "b": np.array([b])}}, np.zeros(2)
    for z, weight in zip(nodes, weights, strict=True):
        _, grads = objective.value_and_grad(params, x, y, {"a": np.array([[z]])})
        total += weight * len(x) * np.array([grads["a"]["M"].item(), grads["a"]["b"].item()])
    size = abs(M) * np.abs(nodes).max() ** 2 + abs(b) + np.abs(y).max()
    return worst(np.abs(total)), 64 * EPS * TAU * (np.abs(x).sum() + len(x)) * size


@claim("posterior-one-weight-dropout", "posterior-one-weight-mgn", "posterior-one-weight-mgn-exact")
def one_weight() -> list[Finding]:
    """The optimum of L(theta) against the exact posterior, worked out."""
    x, y = line(20)
    (w, v), (b, _) = exact_line(x, y)
    drop = expected_gradient(nn.Bernoulli(KEEP), (0.0, 1.0), (1 - KEEP, KEEP), w, b, x, y)
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)  # exact: the data term is quadratic in z
    weights = weights / weights.sum()
    fixed = (w + math.sqrt(w * w + 4 * 2 * v)) / (2 * 2)  # M of N(1, 1): 2 M/v = w/v + 1/M
    mgn = expected_gradient(nn.Gaussian(1.0), 1 + nodes, weights, fixed, b, x, y)
    tuned = expected_gradient(nn.Gaussian(v / w**2), 1 + nodes * math.sqrt(v) / w, weights, w, b, x, y)
    why = "rounding in the sum over the data"
    return [
        Finding(
            "posterior-one-weight-dropout",
            "with one weight, dropout's best M is the exact posterior mean: "
            "its predictive mean is keep times the exact one",
            "E_z of the objective's gradient at M = E[w | X, Y], every mask", *drop, why),
        Finding(
            "posterior-one-weight-mgn",
            f"with one weight and N(1, 1), the best M is (w + sqrt(w^2 + 8 v))/4, "
            f"{fixed / w:.2f} of the exact mean w",
            "E_z of the objective's gradient there, Gauss-Hermite nodes", *mgn, why),
        Finding(
            "posterior-one-weight-mgn-exact",
            "with one weight, N(1, variance) noise is the exact posterior if variance = Var/mean^2 of it, "
            "so it must fall with N",
            "E_z of the objective's gradient at M = E[w | X, Y] for that variance", *tuned, why),
    ]


@dataclass(frozen=True)
class Trained:
    """The weight after training with dropout on N inputs, and under the exact posterior."""

    w: float  # E[w | X, Y]
    sd: float  # of w given X, Y
    bias_sd: float  # of b given X, Y
    dropout_sd: float  # of w under q, the mean over seeds
    error: float  # its standard error
    distance: float  # of q's mean and sd from keep w and sqrt(keep(1-keep)) w, the larger, in standard errors
    sd_at_0: float  # of predictions where only the bias is left


def trained(N: int) -> Trained:
    """By `fit`, SEEDS times."""
    x, y = line(N)
    (b, b_variance), (f_1, f_1_variance) = grid_line(x, y)
    w, found = f_1 - b, []
    for seed in range(SEEDS):
        net = nn.Network(a=nn.Dense(1, 1, noise=nn.Bernoulli(KEEP)))
        model = BayesianNetwork(net, bayes.Prior(), bayes.Gaussian(TAU))
        model.fit(x, y, steps=STEPS, batch_size=N, optimizer=nn.SGD(RATE), seed=seed, dtype=np.float64,
                  threads=1)
        mean = posterior.mean(net, model.params)["a"]["M"].item()
        second = posterior.second_moment(net, model.params)["a"]["M"].item()
        found.append((mean, math.sqrt(max(second - mean**2, 0))))
    at_0 = math.sqrt(model.predict(np.zeros((1, 1)), samples=20, threads=1).epistemic.item())
    average, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(SEEDS)
    distance = np.abs(average - np.array([KEEP, math.sqrt(KEEP * (1 - KEEP))]) * w) / error
    return Trained(w, math.sqrt(f_1_variance - b_variance), math.sqrt(b_variance), average[1], error[1],
                   worst(distance), at_0)


@claim("posterior-one-weight-trained", "posterior-one-weight-contraction", "posterior-one-weight-bias")
def one_weight_trained() -> list[Finding]:
    """The same by training, on 20 inputs and on 320.

    A step is linear in (M, b) and z is fresh, so their means over runs obey the recursion without noise, and
    that is contracted to (1 - RATE keep TAU mean x^2)^STEPS = 1e-11 of where it began: the average over seeds
    is off by its own error only.
    """
    few, many = trained(20), trained(320)
    relative = math.hypot(few.error / few.dropout_sd, many.error / many.dropout_sd)
    fall, dropout_fall = many.sd / few.sd, many.dropout_sd / few.dropout_sd
    return [
        Finding(
            "posterior-one-weight-trained",
            "one weight trained with dropout ends with mean keep E[w | X, Y] "
            "and sd sqrt(keep(1-keep)) |E[w | X, Y]|",
            f"fit, N = 20 and 320, the average over {SEEDS} seeds, against the exact posterior on a grid, "
            "in standard errors",
            worst([few.distance, many.distance]), 4.0, "4 standard errors over seeds"),
        Finding(
            "posterior-one-weight-contraction",
            f"16 times the data take the exact sd of w to {fall:.2f} of itself; dropout's does not contract",
            f"log of dropout's sd at N = 320 over that at N = 20, {dropout_fall:.2f}, "
            "against that of E[w | X, Y]",
            float(abs(math.log(dropout_fall / (many.w / few.w)))), 4 * relative,
            "4 standard errors over seeds"),
        Finding(
            "posterior-one-weight-bias",
            "a bias outside the noise has no spread at all under q; "
            f"its exact sd at N = 20 is {few.bias_sd:.2f}",
            "sd of 20 passes at x = 0, N = 20 and 320",
            worst([few.sd_at_0, many.sd_at_0]), 64 * EPS, ROUNDING),
    ]
