"""omega ~ p(omega | X, Y), exactly in the limit: leapfrog on H = -log p + |p|^2/2, accept by exp(-Delta H).

Hamiltonian Monte Carlo (Neal 2011, arXiv 1206.1901) for networks small enough to have a "truth" that q_theta
can be compared with: position q = omega, momentum p ~ N(0, I), H(q, p) = -log p(q, Y | X) + |p|^2/2, and a
proposal is accepted with probability min(1, exp(-Delta H)).

Plain on purpose: unit masses, one chain at a time, float64. The step size is adapted during warm-up only, so
the draws kept are those of one reversible kernel whose invariant distribution is the posterior. Whether the
chains have mixed is for `split_rhat` and `effective_size`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require
from ..bayes.likelihood import Likelihood
from ..bayes.prior import Prior
from ..floats import usual
from ..nn.network import Network


class LogPosterior:
    """log p(omega, Y | X) = log p(omega | X, Y) + log p(Y | X), nats, and its gradient in omega, one row.

    All noise is at 1: this is the posterior that q_theta(omega) stands for, not q.

    net: the network; its noise is left out.
    prior: p(omega).
    likelihood: p(y | f).
    x: inputs, (N, ...).
    y: targets, as `likelihood` takes them.
    """

    def __init__(self, net: Network, prior: Prior, likelihood: Likelihood, x: ArrayLike, y: ArrayLike):
        x = require.inputs("x", x, np.float64, net.input_shape)
        self.net = net.without_noise()
        self.prior, self.likelihood = prior, likelihood
        self.x = x
        self.y = likelihood.targets("y", y, len(x), net.output_shape(x.shape[1:])[0])
        self.places, self.size = {}, 0                   # {(layer, param): (from, to, shape)} in the row
        for layer, group in self.net.param_shapes().items():
            for param, shape in group.items():
                start, self.size = self.size, self.size + math.prod(shape)
                self.places[layer, param] = start, self.size, shape
        self.spans = {}                                  # {layer: slice of the row}
        for (layer, _), (start, stop, _) in self.places.items():
            self.spans[layer] = slice(self.spans.get(layer, slice(start, None)).start, stop)

    def params(self, omega: np.ndarray) -> dict:
        """A row of numbers as {layer: {param: array}}, the form in which the network takes it."""
        out = {}
        for (layer, param), (start, stop, shape) in self.places.items():
            out.setdefault(layer, {})[param] = omega[start:stop].reshape(shape)
        return out

    def row(self, params: dict) -> np.ndarray:
        """{layer: {param: array}} as one row of numbers."""
        return np.concatenate([np.ravel(params[layer][param]) for layer, param in self.places])

    def prior_draw(self, rng: np.random.Generator | int) -> np.ndarray:
        """omega ~ p(omega): a start far from any mode, so that chains which agree have mixed."""
        return self.row(self.prior.sample(self.net, rng, np.float64))

    @usual
    def __call__(self, omega: np.ndarray) -> tuple[float, np.ndarray]:
        params = self.params(omega)
        f, caches = self.net.forward(params, self.x, {})
        nll, df = self.likelihood.nll(f, self.y)
        _, grads = self.net.backward(params, caches, df, want_dx=False)
        value, slope = -nll.sum(), -self.row(grads)      # sum_n log p(y_n | f_n)
        for layer, span in self.spans.items():
            log_p, gradient = self.prior.log_p(layer, omega[span])
            value += log_p
            slope[span] += gradient
        return float(value), slope

    @usual
    def outputs(self, draws: np.ndarray, x: ArrayLike) -> np.ndarray:
        """f(x, omega) for every draw: (..., D) and (N, ...) -> (..., N, K)."""
        x = require.inputs("x", x, np.float64, self.net.input_shape)
        f = [self.net.forward(self.params(omega), x, {})[0] for omega in draws.reshape(-1, self.size)]
        return np.array(f).reshape(*draws.shape[:-1], *f[0].shape)

    @usual
    def predictive(self, draws: np.ndarray, x: ArrayLike) -> np.ndarray:
        """What is averaged over draws for a prediction: class probabilities, or the mean of y. (..., N, K)"""
        return self.likelihood.expected(self.outputs(draws, x))


@dataclass(frozen=True)
class Chains:
    """What `sample` returns: C chains of T draws after warm-up, of D numbers each."""

    draws: np.ndarray  # (C, T, D)
    step_sizes: np.ndarray  # (C,) that the chain ended with
    acceptance: np.ndarray  # (C,) the share of proposals accepted


def leapfrog(target: Callable, q: np.ndarray, p: np.ndarray, gradient: np.ndarray, step: float,
             leaps: int) -> tuple:
    """(q, p, log density, gradient) after `leaps` steps of dq/dt = p, dp/dt = grad log p(q).

    Half a step for p, then q and p in turn, half a step for p: volume is kept and time can be run backwards,
    so the acceptance rule needs no other factor; energy is kept to order step^2.
    """
    p = p + step / 2 * gradient
    for i in range(leaps):
        q = q + step * p
        value, gradient = target(q)
        p = p + (step if i < leaps - 1 else step / 2) * gradient
    return q, p, value, gradient


@usual
def sample(target: Callable, start: ArrayLike, rng: np.random.Generator | int, *, draws: int, warmup: int,
           leaps: int = 20, step_size: float = 0.1, accept: float = 0.8) -> Chains:
    """A chain from each row of start (C, D), or from the one row (D,).

    target: q -> (log density, gradient).
    start: where the chains begin.
    rng: a Generator, or a seed; every chain gets its own stream.
    draws: steps that are kept.
    warmup: steps before them that are thrown away, and adapt the step size.
    leaps: the most leapfrog steps of a proposal; their number is drawn from its upper half, so that no period
           of the motion is hit for ever.
    step_size: of a leapfrog step, to start from.
    accept: the share of proposals accepted that the step size is adapted to.
    """
    start = np.atleast_2d(np.array(require.array("start", start), np.float64))
    draws, warmup = require.integer("draws", draws, 1), require.integer("warmup", warmup, 0)
    leaps = require.integer("leaps", leaps, 1)
    step_size = require.real("step_size", step_size, 0, open_low=True)
    accept = require.real("accept", accept, 0, 1, open_low=True, open_high=True)
    done = [chain(target, q, r, draws, warmup, leaps, step_size, accept)
            for q, r in zip(start, np.random.default_rng(rng).spawn(len(start)), strict=True)]
    return Chains(*(np.array(part) for part in zip(*done, strict=True)))


def chain(target: Callable, q: np.ndarray, rng: np.random.Generator, draws: int, warmup: int, leaps: int,
          step_size: float, accept: float) -> tuple:
    """One chain: (draws (T, D), step size, acceptance)."""
    value, gradient = target(q)
    if not np.isfinite(value):
        raise require.InputError(f"start must have a finite log density, got {value}")
    kept, accepted = np.empty((draws, len(q))), 0
    logs = []                                            # of the step sizes in warm-up
    log_step = math.log(step_size)                       # moves in warm-up only
    for t in range(warmup + draws):
        p = rng.standard_normal(len(q))
        leap = rng.integers((leaps + 1) // 2, leaps + 1)
        with np.errstate(all="ignore"):  # far too long a step explodes: rejected
            proposal = leapfrog(target, q, p, gradient, step_size, leap)
            gain = proposal[2] - value - (proposal[1] @ proposal[1] - p @ p) / 2    # -Delta H
        probability = math.exp(min(0.0, gain)) if not math.isnan(gain) else 0.0
        yes = rng.random() < probability
        if yes:
            q, _, value, gradient = proposal
        if t < warmup:  # Robbins and Monro: longer steps if too much is accepted; then the later half's mean
            log_step += (probability - accept) / math.sqrt(1 + t)
            logs.append(log_step)
            step_size = math.exp(log_step if t < warmup - 1 else np.mean(logs[warmup // 2:]))
        else:
            kept[t - warmup], accepted = q, accepted + yes
    return kept, step_size, accepted / draws


def split(draws: np.ndarray) -> np.ndarray:
    """Each chain cut in two, (C, T, ...) -> (2C, T/2, ...): a drift within one shows as a difference."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half:]])


def between_and_within(chains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(W, V): the mean variance within a chain; V = (n - 1)/n W + the variance of the chains' means."""
    n = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    return within, (n - 1) / n * within + chains.mean(axis=1).var(axis=0, ddof=1)


@usual
def split_rhat(draws: np.ndarray) -> np.ndarray:
    """sqrt(V/W) over half chains, (C, T, ...) -> (...): 1 if all are alike (Gelman et al., BDA3, 11.4)."""
    within, whole = between_and_within(split(draws))
    return np.sqrt(whole / within)


@usual
def effective_size(draws: np.ndarray) -> np.ndarray:
    """m n/(1 + 2 sum_t rho_t), m half chains of n draws: how many independent ones tell the mean as well.

    (C, T, ...) -> (...). rho_t = 1 - (W - autocovariance_t)/V; the sum ends where Geyer's pairs
    rho_2k + rho_2k+1, made to fall, would turn negative.
    """
    chains = split(draws)
    m, n = chains.shape[:2]
    within, whole = between_and_within(chains)
    centred = chains - chains.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)                          # zero-padded: no wrap-around
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n, axis=1)[:, :n] / n
    rho = 1 - (within - covariance.mean(axis=0)) / whole                    # (n, ...)
    rho[0] = 1
    pairs = rho[:n // 2 * 2].reshape(n // 2, 2, *rho.shape[1:]).sum(axis=1)
    pairs = np.minimum.accumulate(np.maximum(pairs, 0), axis=0)             # falling, and then 0
    return m * n / np.maximum(2 * pairs.sum(axis=0) - 1, 1 / math.log10(m * n))


@usual
def standard_error(draws: np.ndarray) -> np.ndarray:
    """The Monte Carlo standard error of draws' mean, sqrt(V / effective size).     (C, T, ...) -> (...)"""
    return np.sqrt(between_and_within(split(draws))[1] / effective_size(draws))
