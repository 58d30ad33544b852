"""DropConnect, a coin for each weight: L, its gradient and the prediction from all 2^8 weights of 3-2-1."""

import itertools

import numpy as np

from .. import bayes, nn
from ..truth import exact
from .claim import Finding, claim
from .common import ROUNDING, Tree, distance, largest, random_params, rounding, worst

KEEP, L, TAU, N = 0.7, 1.3, 4.0, 5
WEIGHTS = 8


def sets_of_weights() -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(probability, z of the first layer (2, 3), of the second (1, 2))."""
    return [(KEEP ** sum(z) * (1 - KEEP) ** (WEIGHTS - sum(z)), np.reshape(z[:6], (2, 3)),
             np.reshape(z[6:], (1, 2))) for z in itertools.product((0, 1), repeat=WEIGHTS)]


def by_hand(params: Tree, x: np.ndarray, y: np.ndarray) -> tuple[float, Tree, np.ndarray, np.ndarray]:
    """L in nats; dL/dtheta; E f and Var f (N,): sums over the sets of weights, in plain NumPy."""
    M1, b1, M2, b2 = (params[layer][p] for layer in ("a", "b") for p in ("M", "b"))
    value = L**2 / 2 * (KEEP * ((M1**2).sum() + (M2**2).sum()) + (b1**2).sum() + (b2**2).sum())
    grads = {name: {"M": L**2 * KEEP * group["M"], "b": L**2 * group["b"]} for name, group in params.items()}
    first, second = np.zeros(len(x)), np.zeros(len(x))
    for w, z1, z2 in sets_of_weights():
        h = np.tanh(x @ (M1 * z1).T + b1)
        f = h @ (M2 * z2).T + b2
        value += w * (TAU / 2 * (y - f) ** 2 + np.log(2 * np.pi / TAU) / 2).sum()
        delta = w * TAU * (f - y)
        da = (delta @ (M2 * z2)) * (1 - h**2)
        for name, p, share in (("b", "M", (delta.T @ h) * z2), ("b", "b", delta.sum(axis=0)),
                               ("a", "M", (da.T @ x) * z1), ("a", "b", da.sum(axis=0))):
            grads[name][p] = grads[name][p] + share
        first, second = first + w * f[:, 0], second + w * f[:, 0] ** 2
    return value, grads, first, second - first**2


@claim("weights-dropconnect-objective", "weights-dropconnect-gradient", "weights-dropconnect-predictive")
def dropconnect() -> list[Finding]:
    """Claim 5: its KL is dropout's weight decay, its likelihood another."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((N, 3)), rng.standard_normal((N, 1))
    noise = {"noise": nn.Bernoulli(KEEP), "place": nn.Weights()}
    net = nn.Network(a=nn.Dense(3, 2, **noise), t=nn.Tanh(), b=nn.Dense(2, 1, **noise))
    params = random_params(net, 1)
    value, grads, mean, variance = by_hand(params, x, y)
    objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU), num_data=N)
    terms, found = exact.value_and_grad(objective, params, x, y)
    found = {name: {p: N * g for p, g in group.items()} for name, group in found.items()}
    predicted = exact.predict(net, params, bayes.Gaussian(TAU), x)
    apart = [np.abs(predicted.mean[:, 0] - mean).max(), np.abs(predicted.epistemic[:, 0] - variance).max()]
    sums = 2**WEIGHTS * 16
    return [
        Finding(
            "weights-dropconnect-objective",
            "with a coin for each weight L is the sum over all sets of weights, and the KL dropout's decay",
            f"L of a 3-2-1 net, {2**WEIGHTS} sets of weights in NumPy, against the package's, nats",
            abs(terms.total - value), rounding(sums, abs(value)), ROUNDING),
        Finding(
            "weights-dropconnect-gradient", "its gradient too: sum_n z_n o (delta_n x_n^T)",
            "dL/dM and dL/db of both layers, in the same way",
            distance(found, grads), rounding(sums, largest(grads)), ROUNDING),
        Finding(
            "weights-dropconnect-predictive", "and the predictive mean and variance",
            f"E f and Var f at {N} inputs, in the same way",
            worst(apart), rounding(sums, worst(np.abs(mean) ** 2 + variance + 1)), ROUNDING),
    ]
