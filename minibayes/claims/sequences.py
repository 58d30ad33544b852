"""One omega for a sequence: z without time is one matrix W = M diag(z) for all steps; a z a step is none.

The poster asks for dropout in recurrent networks; the answer that is checked here is Gal and Ghahramani's
(arXiv 1512.05287).
"""

import numpy as np

from .. import bayes, checks, nn
from ..bayes import posterior
from ..bayes.predictive import predict
from ..truth import exact
from .claim import Finding, claim
from .common import random_params, rounding, worst

CELLS = (nn.GRU, nn.LSTM)
KEEP = 0.6


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def states(kind: type, params: dict, W: np.ndarray, x: np.ndarray) -> np.ndarray:
    """h_1 ... h_T of one sequence x (T, D) with weights W: the cells' equations as the books have them."""
    D, H = x.shape[1], W.shape[1] - x.shape[1]
    h, c = np.zeros(H), np.zeros(H)
    out, b = [], params["b"]
    for x_t in x:
        if kind is nn.GRU:
            r, u = np.split(sigmoid(W[:2 * H] @ np.concatenate([x_t, h]) + b[:2 * H]), 2)
            n = np.tanh(W[2 * H:, :D] @ x_t + b[2 * H:] + r * (W[2 * H:, D:] @ h + params["c"]))
            h = (1 - u) * n + u * h
        else:
            i, f, g, o = np.split(W @ np.concatenate([x_t, h]) + b, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


@claim("sequences-one-omega", "sequences-tied-and-untied")
def one_omega() -> list[Finding]:
    """z (B, D + H): one masked matrix, run T times; untied, a mask for each gate's rows of it."""
    B, T = 3, 6
    D, H = 2, 4
    apart, masks = {True: [], False: []}, []
    for kind in CELLS:
        for tied in (True, False):
            net = nn.Network(r=kind(D, H, noise=nn.Bernoulli(KEEP), tied=tied, states="all"))
            params, x = random_params(net, 1, 0.7), np.random.default_rng(2).standard_normal((B, T, D))
            z = net.sample(3, x.shape)
            f, _ = net.forward(params, x, z)
            W = posterior.weights(net, params, z, "r")["W"]
            by_hand = np.array([states(kind, params["r"], W[n], x[n]) for n in range(B)])
            apart[tied].append(np.abs(f - by_hand).max())
            own = (W / params["r"]["M"]).reshape(B, kind.gates, H, D + H)      # z of each row of M
            differ = (own != own[:, :1]).any() if tied else (own == own[:, :1]).all()
            masks.append(float(differ) + float((own != own[:, :, :1]).any()))
    # Each step adds the rounding of a sum of D + H products and a bias, and a cell that is no more than twice
    # as steep passes on what came before.
    allowed = 2**T * rounding(D + H + 2, 10.0)
    return [
        Finding(
            "sequences-one-omega",
            "noise without a time axis is one matrix W = M diag(z) that a recurrent net uses at all steps",
            "GRU and LSTM, tied and untied masks, against the cells' equations with W, sequence by sequence",
            worst(apart[True] + apart[False]), allowed, "rounding, six steps of it"),
        Finding(
            "sequences-tied-and-untied",
            "tied gates share the mask of their columns; untied ones have a mask each, the same for its rows",
            "the masks in W, whether they are the same where they must be, and differ where they may",
            worst(masks), 0.0, "masks are zeros and ones"),
    ]


@claim("sequences-a-mask-a-step")
def a_mask_a_step() -> list[Finding]:
    """Two steps of a net with one unit and one input: four omegas, and what a mask a step gives beside."""
    found = {}
    for over in ("sequence", "step"):
        layer = nn.GRU(1, 1, noise=nn.Bernoulli(0.5), over=over, states="all")
        net = nn.Network((2, 1), r=layer)
        params = random_params(net, 3)
        z = np.concatenate([eps["r"] for _, eps in exact.points(net, (2, 1))])
        f, _ = net.forward(params, np.ones((len(z), 2, 1)), {"r": z})
        found[over] = f[:, :, 0]
    gaps = np.abs(found["step"][:, None] - found["sequence"][None]).max(axis=2).min(axis=1)
    return [Finding(
        "sequences-a-mask-a-step",
        "false: 'a fresh mask at each step is dropout in a recurrent net like any other'. It gives pairs of "
        "outputs that no omega gives",
        "all per-step masks of a two-step net: 0.05 minus the distance of one's outputs to any omega's",
        0.05 - float(gaps.max()), 0.0, "far above rounding")]


@claim("sequences-gradient", "sequences-padding")
def through_time() -> list[Finding]:
    """Back-propagation through time, and steps that are not there."""
    errors, changed = [], []
    for kind in CELLS:
        drop = nn.Bernoulli(KEEP)
        net = nn.Network(e=nn.Embedding(4, 2, noise=drop), r=kind(2, 3, noise=drop, states="all"),
                         s=kind(3, 2, noise=drop), d=nn.Dense(2, 2, noise=drop))
        short = np.array([[0, 3, 1], [2, 2, 1.0]])
        x = np.array([[0, 3, -1, 1, -1], [2, -1, 2, 1, -1.0]])
        params, delta = random_params(net, 4, 0.5), np.random.default_rng(5).standard_normal((2, 2))
        z = net.sample(6, x.shape)
        f, caches = net.forward(params, x, z)
        _, grads = net.backward(params, caches, delta)

        def loss(tree, net=net, x=x, z=z, delta=delta):
            return float((net.forward(tree, x, z)[0] * delta).sum())

        errors.append(checks.gradient_check(loss, params, grads, rng=7).relative_error)
        changed.append(np.abs(f - net.forward(params, short, net.sample(6, short.shape))[0]).max())
    return [
        Finding(
            "sequences-gradient",
            "the mask is in back-propagation through time too, at every step",
            "two GRUs, and two LSTMs, behind an embedding, along random directions, against differences",
            worst(errors), 1e-7, "rounding, about 1e-16, over the step of 1e-5 and the smallest gradient"),
        Finding(
            "sequences-padding",
            "padding changes nothing: the masks do not know of it, and neither do the outputs",
            "sequences of three words alone, and with gaps among five places", worst(changed), 0.0,
            "the same operations on the same numbers"),
    ]


@claim("sequences-enumerated")
def enumerated() -> list[Finding]:
    """Every mask of an embedding, a recurrent net of two units and its output, against passes."""
    T, apart = 250, []
    for kind in CELLS:
        drop = nn.Bernoulli(KEEP)
        net = nn.Network(e=nn.Embedding(2, 1, noise=drop), r=kind(1, 2, noise=drop),
                         d=nn.Dense(2, 2, noise=drop))
        params, x = random_params(net, 8), np.array([[0, 1, 1], [1, 0, -1.0]])
        true = exact.predict(net, params, bayes.Categorical(), x)
        mc = predict(net, params, bayes.Categorical(), x, samples=T)
        apart.append(np.abs((mc.mean - true.mean) / (true.std / np.sqrt(T))).max())
    return [Finding(
        "sequences-enumerated",
        "the average of the passes of a recurrent net estimates its predictive over all omegas",
        f"{T} passes against all 2^7 masks, GRU and LSTM, in standard errors",
        worst(apart), 4.0, "4 standard errors")]
