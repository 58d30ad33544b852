"""omega ~ p(omega | X, Y), exactly in the limit: leapfrog on H(q, p) = -log p(q, Y | X) + |p|^2 / 2, accept with min(1, exp(-Delta H)).

Hamiltonian Monte Carlo (Neal 2011, arXiv 1206.1901) for networks small enough to have a "truth" that q_theta can be compared with. Plain
on purpose: unit masses, one chain at a time, float64. The step size is adapted during warm-up only, so the draws kept are those of one
reversible kernel whose invariant distribution is the posterior. Whether the chains have mixed is for `split_rhat` and `effective_size`.
"""

import math
from dataclasses import dataclass

import numpy as np

from .. import require


class LogPosterior:
    """log p(omega) + log p(Y | X, omega) = log p(omega | X, Y) + log p(Y | X), nats, and its gradient, for omega as one row of numbers.

    All noise is at 1: this is the posterior that q_theta(omega) stands for, not q. x (N, ...), y as `likelihood` takes it.
    """

    def __init__(self, net, prior, likelihood, x, y):
        x = require.inputs("x", x, np.float64, net.input_shape)
        self.net = net.without_noise()
        self.prior, self.likelihood = prior, likelihood
        self.x, self.y = x, likelihood.targets("y", y, len(x), net.output_shape(x.shape[1:])[0])
        self.places, self.size = {}, 0                   # {(layer, param): (from, to, shape)} in the row
        for layer, group in self.net.param_shapes().items():
            for param, shape in group.items():
                start, self.size = self.size, self.size + math.prod(shape)
                self.places[layer, param] = start, self.size, shape

    def params(self, omega: np.ndarray) -> dict:
        """A row of numbers as {layer: {param: array}}, the form in which the network takes it."""
        out = {}
        for (layer, param), (start, stop, shape) in self.places.items():
            out.setdefault(layer, {})[param] = omega[start:stop].reshape(shape)
        return out

    def row(self, params: dict) -> np.ndarray:
        """{layer: {param: array}} as one row of numbers."""
        return np.concatenate([np.ravel(params[layer][param]) for layer, param in self.places])

    def prior_draw(self, rng) -> np.ndarray:
        """omega ~ p(omega): a start far from any mode, so that chains which agree have mixed."""
        return self.row(self.prior.sample(self.net, rng, np.float64))

    def __call__(self, omega: np.ndarray) -> tuple[float, np.ndarray]:
        params = self.params(omega)
        f, caches = self.net.forward(params, self.x, {})
        nll, df = self.likelihood.nll(f, self.y)
        _, grads = self.net.backward(params, caches, df, want_dx=False)
        value, slope = -nll.sum(), -self.row(grads)      # sum_n log p(y_n | f_n)
        for (layer, _), (start, stop, _) in self.places.items():
            log_p, gradient = self.prior.log_p(layer, omega[start:stop])
            value += log_p
            slope[start:stop] += gradient
        return float(value), slope

    def outputs(self, draws: np.ndarray, x) -> np.ndarray:
        """f(x, omega) for every draw: (..., D) and (N, ...) -> (..., N, K)."""
        x = require.inputs("x", x, np.float64, self.net.input_shape)
        f = [self.net.forward(self.params(omega), x, {})[0] for omega in draws.reshape(-1, self.size)]
        return np.array(f).reshape(*draws.shape[:-1], *f[0].shape)

    def predictive(self, draws: np.ndarray, x) -> np.ndarray:
        """What is averaged over draws for a prediction: class probabilities, or the mean of y. (..., N, K)"""
        return self.likelihood.expected(self.outputs(draws, x))


@dataclass(frozen=True)
class Chains:
    """draws (C, T, D) after warm-up; for each chain the step size it ended with and the share of proposals accepted."""

    draws: np.ndarray
    step_sizes: np.ndarray
    acceptance: np.ndarray


def leapfrog(target, q, p, gradient, step, leaps):
    """(q, p, log density, gradient) after `leaps` steps of dq/dt = p, dp/dt = grad log p(q).

    Half a step for p, then q and p in turn, half a step for p: volume is kept and time can be run backwards, so the acceptance rule needs
    no other factor; energy is kept to order step^2.
    """
    p = p + step / 2 * gradient
    for i in range(leaps):
        q = q + step * p
        value, gradient = target(q)
        p = p + (step if i < leaps - 1 else step / 2) * gradient
    return q, p, value, gradient


def sample(target, start, rng, *, draws, warmup, leaps=20, step_size=0.1, accept=0.8):
    """Chains from start (C, D): `warmup` steps that are thrown away and adapt the step size, then `draws` that are kept.

    target(q) -> (log density, gradient).  leaps: the most leapfrog steps of a proposal; their number is drawn from its upper half, so that
    no period of the motion is hit for ever.  accept: the acceptance that the step size is adapted to.  rng: a Generator or a seed; every
    chain gets its own stream.
    """
    start = np.atleast_2d(np.asarray(start, np.float64))
    draws, warmup = require.integer("draws", draws, 1), require.integer("warmup", warmup, 0)
    require.integer("leaps", leaps, 1)
    require.real("step_size", step_size, 0, open_low=True)
    require.real("accept", accept, 0, 1, open_low=True, open_high=True)
    done = [chain(target, q, r, draws, warmup, leaps, step_size, accept)
            for q, r in zip(start, np.random.default_rng(rng).spawn(len(start)), strict=True)]
    return Chains(*(np.array(part) for part in zip(*done, strict=True)))


def chain(target, q, rng, draws, warmup, leaps, step_size, accept):
    """One chain: (draws (T, D), step size, acceptance)."""
    value, gradient = target(q)
    if not np.isfinite(value):
        raise require.InputError(f"start must have a finite log density, got {value}")
    kept, accepted, logs = np.empty((draws, len(q))), 0, []
    log_step = math.log(step_size)                       # moves in warm-up only
    for t in range(warmup + draws):
        p = rng.standard_normal(len(q))
        with np.errstate(over="ignore", invalid="ignore"):  # a step far too long explodes: that proposal is rejected
            proposal = leapfrog(target, q, p, gradient, step_size, rng.integers((leaps + 1) // 2, leaps + 1))
            gain = proposal[2] - value - (proposal[1] @ proposal[1] - p @ p) / 2                     # -Delta H
        probability = math.exp(min(0.0, gain)) if not math.isnan(gain) else 0.0
        yes = rng.random() < probability
        if yes:
            q, _, value, gradient = proposal
        if t < warmup:  # Robbins and Monro: longer steps if too much is accepted; the average of the second half is kept
            log_step += (probability - accept) / math.sqrt(1 + t)
            logs.append(log_step)
            step_size = math.exp(log_step if t < warmup - 1 else np.mean(logs[warmup // 2:]))
        else:
            kept[t - warmup], accepted = q, accepted + yes
    return kept, step_size, accepted / draws


def split(draws):
    """Each chain cut in two: (C, T, ...) -> (2C, T/2, ...), so that a drift within a chain shows as a difference between chains."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half:]])


def between_and_within(chains):
    """(W, V): the mean variance within a chain, and the estimate of the whole variance V = (n - 1)/n W + (variance of the means)."""
    n = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    return within, (n - 1) / n * within + chains.mean(axis=1).var(axis=0, ddof=1)


def split_rhat(draws):
    """sqrt(V/W) over the half chains of draws (C, T, ...): 1 when all have the same distribution (Gelman et al., BDA3, section 11.4)."""
    within, whole = between_and_within(split(draws))
    return np.sqrt(whole / within)


def effective_size(draws):
    """m n / (1 + 2 sum_t rho_t) over the m half chains of n draws: the number of independent draws worth as much for the mean. (C, T, ...)

    rho_t = 1 - (W - autocovariance_t)/V; the sum ends where Geyer's pairs rho_2k + rho_2k+1, made to fall, would turn negative.
    """
    chains = split(draws)
    m, n = chains.shape[:2]
    within, whole = between_and_within(chains)
    centred = chains - chains.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=1)                                        # zero-padded: no wrap-around
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n, axis=1)[:, :n] / n
    rho = 1 - (within - covariance.mean(axis=0)) / whole                                  # (n, ...)
    rho[0] = 1
    pairs = rho[:n // 2 * 2].reshape(n // 2, 2, *rho.shape[1:]).sum(axis=1)
    pairs = np.minimum.accumulate(np.maximum(pairs, 0), axis=0)                           # falling, and 0 from the first negative on
    return m * n / np.maximum(2 * pairs.sum(axis=0) - 1, 1 / math.log10(m * n))


def standard_error(draws):
    """The Monte Carlo standard error of draws' mean, sqrt(V / effective size). (C, T, ...)"""
    return np.sqrt(between_and_within(split(draws))[1] / effective_size(draws))
