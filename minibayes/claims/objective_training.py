"""Minimising L-hat is dropout training with weight decay, in whichever convention it is written (claim 4).

Steps are written out as a textbook writes them. Tolerances are rounding, twice (m + 2) eps sum |a b| for
m products.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from .. import bayes, nn
from ..bayes import kl
from ..bayes.convert import Convention
from .claim import Finding, claim
from .common import Tree, add, distance, largest, random_params, rounding, worst


@dataclass
class Textbook:
    """Dropout training of a 6-8-3 ReLU net as a textbook writes it: mean cross-entropy, SGD with momentum."""

    theta: Tree
    velocity: Tree
    decay: dict[str, dict[str, float]]
    rate: float
    momentum: float

    def gradient(self, x: np.ndarray, y: np.ndarray, z: dict[str, np.ndarray]) -> Tree:
        """Of the mean cross-entropy; z masks the inputs of fc1 and of fc2."""
        fc1, fc2 = self.theta["fc1"], self.theta["fc2"]
        dropped = x * z["fc1"]
        h = dropped @ fc1["M"].T + fc1["b"]
        a = np.maximum(h, 0) * z["fc2"]
        logits = a @ fc2["M"].T + fc2["b"]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        delta = (p - np.eye(3)[y]) / len(x)
        dh = (delta @ fc2["M"]) * z["fc2"] * (h > 0)
        return {"fc1": {"M": dh.T @ dropped, "b": dh.sum(axis=0)},
                "fc2": {"M": delta.T @ a, "b": delta.sum(axis=0)}}

    def step(self, x: np.ndarray, y: np.ndarray, z: dict[str, np.ndarray]) -> None:
        """v <- momentum v + rate (gradient + decay theta), theta <- theta - v."""
        pull = add(self.gradient(x, y, z), rescaled(self.theta, self.decay), 1)
        self.velocity = {n: {q: self.momentum * self.velocity[n][q] + self.rate * g for q, g in group.items()}
                         for n, group in pull.items()}
        self.theta = add(self.theta, self.velocity, -1)


def rescaled(tree: Tree, factors: dict[str, dict[str, float]]) -> Tree:
    """Every array times its number."""
    return {n: {p: a * factors[n][p] for p, a in group.items()} for n, group in tree.items()}


def step_size(L: float, X: float, rate: float, keep: float) -> float:
    """What a step's rounding is relative to, for parameters up to L, inputs up to X, masks up to 1/keep.

    Hidden units are at most A = (6 X L + L)/keep^2, logits at most S = 8 A L + L; delta is at most 1/B, and
    an error e in the logits is one of 2 e delta; gradients are then sums over B of at most A/B or, through
    the 3 classes, 3 L X/(keep^2 B).
    """
    A = (6 * X * L + L) / keep**2
    S = 8 * A * L + L
    return L + rate * max(A, 3 * L * X / keep**2) * (1 + 2 * S)


@claim("objective-dropout-training", "objective-inverted-training")
def training() -> list[Finding]:
    """Claim 4: steps on L-hat/N against a textbook's, along the textbook's path; masks plain and inverted."""
    plain, inverted = twenty_steps(False), twenty_steps(True)
    why = ("a bound on the rounding of one step: sums over 6, 8 and 32 numbers, "
           "and what the softmax makes of it")
    return [
        Finding(
            "objective-dropout-training",
            "a step on L-hat/N is a step of dropout training with weight decay keep l^2/N "
            "(l^2/N for a dense bias)",
            "20 SGD steps with momentum against a textbook's, each from the same point", *plain, why),
        Finding(
            "objective-inverted-training",
            "with masks divided by keep it is a step on Theta = keep M, with weight decay l^2/(keep N) "
            "and keep^2 times the rate",
            "20 SGD steps on Theta against steps on M", *inverted, why),
    ]


def twenty_steps(inverted: bool) -> tuple[float, float]:
    """(how far apart the two are after a step from the same point, the most of 20; what rounding allows)."""
    N, B = 640, 32
    l, rate = 1.3, 0.05
    keeps = {"fc1": 0.8, "fc2": 0.5}
    net = nn.Network(fc1=nn.Dense(6, 8, noise=nn.Bernoulli(0.8)), relu=nn.ReLU(),
                     fc2=nn.Dense(8, 3, noise=nn.Bernoulli(0.5)))
    objective = bayes.Objective(net, bayes.Prior(l), bayes.Categorical(), N)
    inside = {n: Convention(keep, inverted) for n, keep in keeps.items()}
    scale = {n: {"M": c.theta_factor, "b": 1.0} for n, c in inside.items()}  # Theta = scale M
    decay = {n: {"M": c.weight_decay(l, N), "b": Convention().weight_decay(l, N)} for n, c in inside.items()}
    sgd = nn.SGD(rate, momentum=0.9, multipliers={n: {"M": 1 / s["M"]**2} for n, s in scale.items()})
    rng = np.random.default_rng(6)
    theta = random_params(net, rng)
    book = Textbook(theta, add(theta, theta, -1), decay, rate, 0.9)
    apart, sizes = [], []
    for t in range(20):
        x, y = rng.standard_normal((B, 6)), rng.integers(0, 3, B)
        z = net.sample(nn.Key(6).at(t), (B, 6))
        ours, v = ({n: {p: a / scale[n][p] for p, a in g.items()} for n, g in tree.items()}
                   for tree in (book.theta, book.velocity))
        _, g = objective.value_and_grad(ours, x, y, z)
        ours, _ = sgd.update(ours, g, {"step": t, "v": v})
        book.step(x, y, {n: a / keeps[n] if inverted else a for n, a in z.items()})
        apart.append(distance(rescaled(ours, scale), book.theta))
        sizes.append(step_size(largest(book.theta), np.abs(x).max(), rate, 0.5) + largest(book.velocity))
    return worst(apart), rounding(B + 17, worst(sizes))


@claim("objective-weight-decay-map")
def weight_decay() -> list[Finding]:
    """Claim 4: bayes.convert against gradients, for every combination of the conventions it knows."""
    N, B = 90, 8
    l, tau = 0.6, 2.5
    keeps, centre = {"c": 0.8, "d": 0.5}, 4.0
    net = nn.Network((3, 3, 1), c=nn.Conv2d(1, 2, 2, noise=nn.Bernoulli(0.8)), r=nn.ReLU(), f=nn.Flatten(),
                     d=nn.Dense(8, 2, noise=nn.Bernoulli(0.5)))
    rng = np.random.default_rng(7)
    params, x = random_params(net, rng), rng.standard_normal((B, 3, 3, 1))
    y, z = centre + 3 * rng.standard_normal((B, 2)), net.sample(7, x.shape)
    top = largest(params)
    apart, allowed = [], []
    for inverted, c, std in itertools.product((False, True), (0.5, 1.0, 0.25), (1.0, 3.0)):
        f, caches = net.forward(params, x, z)
        df = std * bayes.Gaussian(tau).nll(centre + std * f, y)[1] / B  # y = centre + std f, in y's units
        ours = add(net.backward(params, caches, df)[1], kl.grad(net, params, bayes.Prior(l), N), 1)
        how = {n: {p: Convention(keeps[n] if p in net.layers[n].noisy_params else 1.0, inverted, c, std)
                   for p in g} for n, g in params.items()}
        theta = {n: {p: a * how[n][p].theta_factor for p, a in g.items()} for n, g in params.items()}
        masks = {n: a / keeps[n] if inverted else a for n, a in z.items()}
        g, caches = net.forward(theta, x, masks)
        error = 2 * c * (g - (y - centre) / std) / B  # d/dg of the mean of c ||y' - g||^2
        _, theirs = net.backward(theta, caches, error)
        for n, p in ((n, p) for n, group in how.items() for p in group):
            convention = how[n][p]
            dJ = theirs[n][p] + convention.weight_decay(l, N, tau) * theta[n][p]
            dM = convention.loss_factor(tau) * convention.theta_factor * dJ
            apart.append(np.abs(dM - ours[n][p]).max())
        # sums over 8 images, 4 places and 2 outputs of errors tau std (centre + std f - y)/B, times weights,
        # inputs or hidden units
        error = tau * std / B * (centre + std * np.abs(f).max() + np.abs(y).max())
        hidden = 4 * np.abs(x).max() * top + top
        allowed.append(rounding(B * 4 + 2 + 4 + 8, B * error * max(4 * 2 * top * np.abs(x).max(), hidden)))
    return [Finding(
        "objective-weight-decay-map",
        "wd = keep l^2/(N tau); inverted masks: l^2/(keep N tau); the error without 1/2: twice that; "
        "y in units s: 1/s^2",
        "gradients of L-hat/N and of the regularised loss, plain or inverted, three errors, two scales, "
        "M and b",
        worst(apart), worst(allowed), "a bound on the rounding of the sums over images, places and outputs")]
