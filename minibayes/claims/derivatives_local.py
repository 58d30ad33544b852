"""How much a gradient varies: at the outputs, by a matrix an example, by one matrix for all (claim 14).

One output f_n = w_n x_n, w_n ~ N(M, s^2), and the loss sum_n tau/2 (f_n - y_n)^2. With d_n = M x_n - y_n,
a_n = s x_n number by number, S_n^2 = ||a_n||^2, and e, e_n normal, the gradient in log s has the same mean
tau a_n^2, summed over n, but

    local      d f_n = S_n e_n:      tau (d_n + S_n e_n) e_n a_n^2/S_n    Var = tau^2 a^4 (d^2/S^2 + 2)
    separate   w_n - M = s e_n:      tau (d_n + a_n . e_n) a_n e_n        Var = tau^2 a^2 (d^2 + S^2 + a^2)
    single     w - M = s e for all:  the same, e in the place of e_n      with A = sum_n d_n a_n and
               Q = sum_n a_n a_n^T:  Var_i = tau^2 (A_i^2 + sum_j Q_ij^2 + Q_ii^2)

(products of normals: E e^2 = 1, E e^4 = 3), the first two summed over n. As a^2 <= S^2, local is never above
separate. In M local and separate are the same: the gradient is x_n f_n there.
"""

import numpy as np

from .. import bayes, nn
from .claim import Finding, claim
from .common import worst

TAU, DRAWS = 1.5, 1500
X = np.array([[1.0, 0.4, 0.7], [0.6, 1.1, 0.2], [0.9, 0.8, 1.3], [0.3, 0.5, 0.9]])
M, STD = np.array([0.7, -0.4, 1.1]), np.array([0.4, 0.6, 0.3])
Y = X @ M - np.array([0.5, 0.9, 0.3, 0.7])
ESTIMATORS = {"local": (nn.Local(), False), "separate": (nn.Weights(), False), "single": (nn.Weights(), True)}


def closed_forms() -> tuple[np.ndarray, dict]:
    """(the mean of the gradient in log s, {estimator: its variance}), number by number."""
    d, a = (X @ M - Y)[:, None], STD * X
    S2 = (a * a).sum(axis=1, keepdims=True)
    A, Q = (d * a).sum(axis=0), a.T @ a
    return TAU * (a * a).sum(axis=0), {
        "local": TAU**2 * (a**4 * (d * d / S2 + 2)).sum(axis=0),
        "separate": TAU**2 * (a * a * (d * d + S2 + a * a)).sum(axis=0),
        "single": TAU**2 * (A * A + (Q * Q).sum(axis=1) + np.diag(Q) ** 2)}


def gradients(name: str) -> np.ndarray:
    """Draws of the package's gradient in log s by one of the estimators.     (DRAWS, 3)"""
    place, shared = ESTIMATORS[name]
    net, loss = nn.Network(a=nn.Dense(3, 1, noise=nn.MeanField(), place=place)), bayes.Gaussian(TAU)
    params = {"a": {"M": M[None].copy(), "b": np.zeros(1), "log_std": np.log(STD)[None]}}

    out = []
    for t in range(DRAWS):
        eps = net.draw(nn.Key(11, t), X.shape, shared=shared, dtype=np.float64)
        f, caches = net.forward(params, X, net.z(params, eps))
        _, grads = net.backward(params, caches, loss.nll(f, Y[:, None])[1])
        out.append(net.pull(params, eps, grads)["a"]["log_std"][0])
    return np.array(out)


@claim("derivatives-local-unbiased", "derivatives-local-variance", "derivatives-local-order")
def variance() -> list[Finding]:
    """Claim 14, for the estimators of one gradient."""
    mean, wanted = closed_forms()
    off, away, found = [], [], {}
    for name, truth in wanted.items():
        g = gradients(name)
        squares = (g - mean) ** 2
        off.append(np.abs(g.mean(axis=0) - mean) / (g.std(axis=0) / np.sqrt(DRAWS)))
        away.append(np.abs(squares.mean(axis=0) - truth) / (squares.std(axis=0) / np.sqrt(DRAWS)))
        found[name] = squares.mean(axis=0).sum()
    ratios = found["local"] / found["separate"], found["separate"] / found["single"]
    return [
        Finding(
            "derivatives-local-unbiased",
            "weights drawn at the outputs, for each example, or once for all: "
            "three estimators of one gradient",
            f"mean gradient in log s of {DRAWS} draws of each against tau s^2 x^2, in standard errors",
            worst(off), 4.0, "4 standard errors of the mean"),
        Finding(
            "derivatives-local-variance",
            "the variance of each of them, in a linear layer, is its closed form",
            f"squared distance from the exact gradient in {DRAWS} draws of each, in standard errors",
            worst(away), 4.0, "4 standard errors of the mean"),
        Finding(
            "derivatives-local-order",
            "gradients vary least when drawn at the outputs, and most with one matrix for all: "
            "local < separate < single",
            f"ratio of neighbouring variances, the larger; in all 1 to {1 / ratios[0]:.2f} "
            f"to {1 / ratios[0] / ratios[1]:.2f}",
            worst(ratios), 0.9, "here the closed forms' are .69 and .36"),
    ]
