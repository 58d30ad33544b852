"""L-hat(theta) = -(N/B) sum log p(y_n | f(x_n, omega-hat)) + KL: unbiased, and minimising it is dropout training (claims 3 and 4).

Exact sums over masks, and steps written out as a textbook writes them. Tolerances are rounding, twice (m + 2) eps sum |a b| for m
products or masks, except where omega-hat is sampled: there, standard errors.
"""

import itertools
import math

import numpy as np

from .. import checks, nn
from ..bayes import Categorical, Gaussian, Objective, Prior, kl
from ..bayes.convert import Convention
from ..truth import exact
from .claim import Finding

EPS = np.finfo(float).eps
DRAWS = 4000


def rounding(terms, size):
    return 2 * (terms + 2) * EPS * float(np.max(size))


def spread(tree, other):
    """The largest difference between two {layer: {param: array}}."""
    return max(np.abs(tree[name][p] - other[name][p]).max() for name in tree for p in tree[name])


def largest(tree):
    return max(np.abs(a).max() for group in tree.values() for a in group.values())


def add(tree, other, factor):
    return {name: {p: a + factor * other[name][p] for p, a in group.items()} for name, group in tree.items()}


def tiny():
    """A 2-3-2 net with five Bernoulli units, three examples, and its objective."""
    net = nn.Network(a=nn.Dense(2, 3, noise=nn.Bernoulli(0.7)), t=nn.Tanh(), b=nn.Dense(3, 2, noise=nn.Bernoulli(0.4)))
    rng = np.random.default_rng(3)
    params = {name: {p: rng.standard_normal(a.shape) for p, a in group.items()} for name, group in net.init(0, np.float64).items()}
    return Objective(net, Prior(1.7), Categorical(), 3), params, rng.standard_normal((3, 2)), np.array([1, 0, 1])


def every_draw(net, x, shared):
    """(probability, z) of every omega-hat of a minibatch: one mask for each example, or one for all of them."""
    (w, z), = exact.points(net, x.shape[1:])
    for chosen in itertools.product(range(len(w)), repeat=1 if shared else len(x)):
        yield math.prod(w[i] for i in chosen), {name: a[list(chosen)] for name, a in z.items()}


def unbiased():
    """Claim 3, by enumeration: all minibatches times all masks; and by sampling both."""
    objective, params, x, y = tiny()
    N, value, gradient, count = len(x), 0.0, 0.0, 0
    truth, wanted = exact.value_and_grad(objective, params, x, y)
    L = N * truth.nll + truth.kl                                                         # -sum_n E_q log p(y_n | f(x_n, omega)) + KL
    for size, shared in ((1, False), (2, False), (3, True)):
        batches = list(itertools.combinations(range(N), size))
        mean, mean_grad, n = 0.0, add(wanted, wanted, -1), 0
        for rows in map(list, batches):
            for p, z in every_draw(objective.net, x[rows], shared):
                terms, g = objective.value_and_grad(params, x[rows], y[rows], z)         # L-hat, and d(L-hat/N)/d theta
                mean, mean_grad, n = mean + p * terms.total / len(batches), add(mean_grad, g, p / len(batches)), n + 1
        value, gradient = max(value, abs(mean - L)), max(gradient, spread(mean_grad, wanted))
        count = max(count, n)

    rng = np.random.default_rng(4)

    def draw(t):
        rows = rng.permutation(N)[:2]
        z = objective.net.sample(nn.Key(4).at(t), (2, 2), examples=rows)
        terms, g = objective.value_and_grad(params, x[rows], y[rows], z)
        return {"L": terms.total, "grad": g}

    sampled = checks.unbiased_check(draw, {"L": L, "grad": wanted}, DRAWS)
    return [
        Finding("objective-unbiased-value",
                "L-hat is an unbiased estimator of L: data term scaled by N/B, KL counted once, the sum over minibatches and masks is L",
                "weighted sum of L-hat over all of them, B = 1, 2, and 3 with a shared mask, against exact.value_and_grad, nats",
                value, rounding(count, L), f"rounding in a sum over {count} masks and minibatches"),
        Finding("objective-unbiased-gradient", "the gradient of L-hat is an unbiased estimator of that of L",
                "weighted sum of d(L-hat/N)/d theta over all masks and minibatches against d(L/N)/d theta", gradient,
                rounding(count, largest(wanted) + 1), f"rounding in a sum over {count} masks and minibatches"),
        Finding("objective-unbiased-sampled", "draws of masks and minibatches average to L and its gradient",
                f"mean of {DRAWS} draws of L-hat and its gradient against L and its gradient, the worst number in standard errors",
                sampled.distance, sampled.tolerance, "4 standard errors, widened for the largest of 18 numbers"),
    ]


def linear():
    """Claim 3: where E_q can be done by hand. f = sum_d M_d z_d x_d + b: E (y - f)^2 = (y - E[z] M x - b)^2 + Var[z] sum_d M_d^2 x_d^2."""
    N, D, l, tau, rng, worst, allowed = 12, 2, 0.9, 1.7, np.random.default_rng(5), 0.0, 0.0
    x, y = rng.standard_normal((N, D)), rng.standard_normal((N, 1))
    for noise in (nn.Bernoulli(0.3), nn.Gaussian(0.8)):
        net = nn.Network(a=nn.Dense(D, 1, noise=noise))
        objective, M, b = Objective(net, Prior(l), Gaussian(tau), N), np.array([[1.2, -0.7]]), np.array([0.4])
        mean, variance = (0.3, 0.3 * 0.7) if isinstance(noise, nn.Bernoulli) else (1.0, 0.8)
        errors = (y - mean * x @ M.T - b)[:, 0] ** 2 + variance * (x**2 @ M.T**2)[:, 0]
        L = (tau / 2 * errors + math.log(2 * math.pi / tau) / 2).sum()
        found, _ = exact.value_and_grad(objective, {"a": {"M": M, "b": b}}, x, y, order=8)
        worst = max(worst, abs(N * found.nll - L))
        allowed = max(allowed, rounding(64 * N, L))
    # dropout's L is quadratic here: its optimum solves a ridge regression whose penalty depends on the data
    keep, xb = 0.3, np.hstack([0.3 * x, np.ones((N, 1))])
    A = tau * xb.T @ xb + np.diag([*(tau * keep * (1 - keep) * (x**2).sum(axis=0) + l**2 * keep), l**2])
    right = tau * xb.T @ y[:, 0]
    *M, b = np.linalg.solve(A, right)
    objective = Objective(nn.Network(a=nn.Dense(D, 1, noise=nn.Bernoulli(keep))), Prior(l), Gaussian(tau), N)
    _, g = exact.value_and_grad(objective, {"a": {"M": np.array([M]), "b": np.array([b])}}, x, y)
    size = tau * (np.abs(xb).T @ (np.abs(xb) @ np.abs([*M, b]) + np.abs(y[:, 0]))) + np.diag(A) * np.abs([*M, b])
    return [
        Finding("objective-linear",
                "for a net linear in z, E_q of the squared error is the error of the mean plus Var[z] sum_d M_d^2 x_d^2",
                "exact -E_q log p(Y | X, omega), by masks and by quadrature, against that, nats", worst, allowed, "rounding"),
        Finding("objective-optimum",
                "where such steps lead: the optimum of dropout in linear regression is a ridge with penalty keep(1-keep) sum_n x_nd^2",
                "N times the exact gradient of L/N at the solution of that ridge's normal equations",
                N * largest(g), rounding(4 * N, size), "rounding, with sums over N and 4 masks"),
    ]


def textbook_step(theta, velocity, x, y, z, rate, momentum, decay):
    """One step of dropout training with weight decay as a textbook writes it: 6-8-3 ReLU net, mean cross-entropy, SGD with momentum."""
    B = len(x)
    dropped = x * z["fc1"]
    h = dropped @ theta["fc1"]["M"].T + theta["fc1"]["b"]
    a = np.maximum(h, 0) * z["fc2"]
    logits = a @ theta["fc2"]["M"].T + theta["fc2"]["b"]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    delta = (p - np.eye(3)[y]) / B
    dh = (delta @ theta["fc2"]["M"]) * z["fc2"] * (h > 0)
    grad = {"fc1": {"M": dh.T @ dropped, "b": dh.sum(axis=0)}, "fc2": {"M": delta.T @ a, "b": delta.sum(axis=0)}}
    step = {n: {q: grad[n][q] + decay[n][q] * theta[n][q] for q in grad[n]} for n in grad}
    velocity = {n: {q: momentum * velocity[n][q] + rate * step[n][q] for q in grad[n]} for n in grad}
    return add(theta, velocity, -1), velocity


def step_size(L, X, rate, keep):
    """What the rounding of a textbook step is relative to, for parameters up to L, inputs up to X and masks up to 1/keep.

    Hidden units are at most A = (6 X L + L)/keep^2, logits at most S = 8 A L + L; delta is at most 1/B, and an error e in the logits is
    one of 2 e delta; gradients are then sums over B of at most A/B or, through the 3 classes, 3 L X/(keep^2 B).
    """
    A = (6 * X * L + L) / keep**2
    S = 8 * A * L + L
    return L + rate * max(A, 3 * L * X / keep**2) * (1 + 2 * S)


def training():
    """Claim 4: one step on L-hat/N against one textbook step, 20 times along the textbook's path; plain masks and inverted ones."""
    N, B, l, rate, momentum, keeps = 640, 32, 1.3, 0.05, 0.9, {"fc1": 0.8, "fc2": 0.5}
    net = nn.Network(fc1=nn.Dense(6, 8, noise=nn.Bernoulli(0.8)), relu=nn.ReLU(), fc2=nn.Dense(8, 3, noise=nn.Bernoulli(0.5)))
    objective, worst, size = Objective(net, Prior(l), Categorical(), N), {}, {}
    for inverted in (False, True):
        inside = {n: Convention(keep, inverted) for n, keep in keeps.items()}
        decay = {n: {"M": c.weight_decay(l, N), "b": Convention().weight_decay(l, N)} for n, c in inside.items()}
        scale = {n: {"M": c.theta_factor, "b": 1.0} for n, c in inside.items()}          # Theta = scale M
        sgd = nn.SGD(rate, momentum=momentum, multipliers={n: {"M": 1 / s["M"]**2} for n, s in scale.items()})
        rng = np.random.default_rng(6)
        theta = {n: {p: rng.standard_normal(a.shape) for p, a in g.items()} for n, g in net.init(0, np.float64).items()}
        velocity, worst[inverted], size[inverted] = add(theta, theta, -1), 0.0, 0.0
        for t in range(20):
            x, y, z = rng.standard_normal((B, 6)), rng.integers(0, 3, B), net.sample(nn.Key(6).at(t), (B, 6))
            ours, v = ({n: {p: a / scale[n][p] for p, a in g.items()} for n, g in tree.items()} for tree in (theta, velocity))
            _, g = objective.value_and_grad(ours, x, y, z)
            ours, _ = sgd.update(ours, g, {"step": t, "v": v})
            masks = {n: a / keeps[n] if inverted else a for n, a in z.items()}
            theta, velocity = textbook_step(theta, velocity, x, y, masks, rate, momentum, decay)
            ours = {n: {p: a * scale[n][p] for p, a in g.items()} for n, g in ours.items()}
            worst[inverted] = max(worst[inverted], spread(ours, theta))
            size[inverted] = max(size[inverted], step_size(largest(theta), np.abs(x).max(), rate, 0.5) + largest(velocity))
    why = "a bound on the rounding of one step: sums over 6, 8 and 32 numbers, and what the softmax makes of it"
    return [
        Finding("objective-dropout-training",
                "a step on L-hat/N is a step of dropout training with weight decay keep l^2/N (l^2/N for a dense bias)",
                "20 SGD steps with momentum against a textbook's, each from the same point", worst[False],
                rounding(B + 17, size[False]), why),
        Finding("objective-inverted-training",
                "with masks divided by keep it is a step on Theta = keep M, with weight decay l^2/(keep N) and keep^2 times the rate",
                "20 SGD steps on Theta against steps on M", worst[True], rounding(B + 17, size[True]), why),
    ]


def weight_decay():
    """Claim 4: bayes.convert against gradients, for every combination of the conventions it knows."""
    N, B, l, tau, centre, worst, allowed = 90, 8, 0.6, 2.5, 4.0, 0.0, 0.0
    drop = {"c": nn.Bernoulli(0.8), "d": nn.Bernoulli(0.5)}
    net = nn.Network((3, 3, 1), c=nn.Conv2d(1, 2, 2, noise=drop["c"]), r=nn.ReLU(), f=nn.Flatten(), d=nn.Dense(8, 2, noise=drop["d"]))
    rng = np.random.default_rng(7)
    params = {n: {p: rng.standard_normal(a.shape) for p, a in g.items()} for n, g in net.init(0, np.float64).items()}
    x, y, z = rng.standard_normal((B, 3, 3, 1)), centre + 3 * rng.standard_normal((B, 2)), net.sample(7, (B, 3, 3, 1))
    for inverted, c, std in itertools.product((False, True), (0.5, 1.0, 0.25), (1.0, 3.0)):
        f, caches = net.forward(params, x, z)
        df = std * Gaussian(tau).nll(centre + std * f, y)[1] / B                         # y = centre + std f, in the units of y
        ours = add(net.backward(params, caches, df)[1], kl.grad(net, params, Prior(l), N), 1)
        inside = {(n, p): p in net.layers[n].noisy_params for n, g in params.items() for p in g}
        how = {at: Convention(drop[at[0]].keep if noisy else 1.0, inverted, c, std) for at, noisy in inside.items()}
        theta = {n: {p: a * how[n, p].theta_factor for p, a in g.items()} for n, g in params.items()}
        g, caches = net.forward(theta, x, {n: a / drop[n].keep if inverted else a for n, a in z.items()})
        _, theirs = net.backward(theta, caches, 2 * c * (g - (y - centre) / std) / B)    # d/dg of the mean of c ||y' - g||^2
        for (n, p), convention in how.items():
            dJ = theirs[n][p] + convention.weight_decay(l, N, tau) * theta[n][p]
            dM = convention.loss_factor(tau) * convention.theta_factor * dJ
            worst = max(worst, np.abs(dM - ours[n][p]).max())
        # sums over 8 images, 4 places and 2 outputs of errors tau std (centre + std f - y)/B, with weights, inputs or hidden units
        error = tau * std / B * (centre + std * np.abs(f).max() + np.abs(y).max())
        hidden = 4 * np.abs(x).max() * largest(params) + largest(params)
        allowed = max(allowed, rounding(B * 4 + 2 + 4 + 8, B * error * max(4 * 2 * largest(params) * np.abs(x).max(), hidden)))
    return [Finding("objective-weight-decay-map",
                    "wd = keep l^2/(N tau); inverted masks: l^2/(keep N tau); the error without 1/2: twice that; y in units s: 1/s^2",
                    "gradients of L-hat/N and of the regularised loss, plain or inverted, three errors, two scales, M and b",
                    worst, allowed, "a bound on the rounding of the sums over images, places and outputs")]


CLAIMS = (unbiased, linear, training, weight_decay)
