"""How good is q_theta(omega)? Predictions of a 1-8-1 tanh net against Hamiltonian Monte Carlo (claim 15).

Ten points around sin 1.5 x with a gap, prior N(0, 1). The predictive mean and sd against those of the exact
posterior p(omega | X, Y), over regions of inputs. Reported as found. sd is the epistemic one, of f; 1/tau is
left out.
"""

import math

import numpy as np

from .. import bayes, nn
from ..model import BayesianNetwork
from ..truth import hmc
from .claim import Finding, claim
from .common import worst

X = np.array([-2.0, -1.75, -1.5, -1.25, -1.0, 1.0, 1.25, 1.5, 1.75, 2.0])[:, None]
Y = np.array([-0.1, -0.54, -0.58, -0.92, -1.17, 1.11, 1.37, 1.08, 0.27, -0.26])
REGIONS = {"data": X[:, 0], "gap": np.linspace(-0.5, 0.5, 5), "outside": np.array([-4, -3.5, -3, 3, 3.5, 4])}
NET_TAU, HIDDEN = 10.0, 8
CHAINS, LEAPS = 4, 45
DRAWS, WARMUP = 600, 250
FITS, FIT_STEPS = 4, 2000
PASSES = 2000
# before the last layer; equal variances relative to the mean
NOISES = {"dropout": nn.Bernoulli(0.9), "mgn": nn.Gaussian(1 / 9)}
# `ratios` by seeds 1 ... 40: mean and standard deviation of (q's sd / the exact sd), and of q's mean - the
# exact mean in exact sds. Training four times as long moves none of them by more than one of these standard
# deviations.
RUNS = 40
FOUND = {
    "dropout": {
        "data": (1.143, 0.018, 1.202, 0.033),
        "gap": (0.152, 0.0050, 0.536, 0.018),
        "outside": (0.395, 0.0094, 1.230, 0.053),
    },
    "mgn": {
        "data": (1.508, 0.024, 0.946, 0.057),
        "gap": (0.193, 0.0059, 0.425, 0.023),
        "outside": (0.578, 0.0270, 0.704, 0.083),
    },
}


def tiny(noise: nn.Bernoulli | nn.Gaussian | nn.Delta) -> nn.Network:
    return nn.Network(fc1=nn.Dense(1, HIDDEN), tanh=nn.Tanh(), fc2=nn.Dense(HIDDEN, 1, noise=noise))


def all_inputs() -> np.ndarray:
    """Those of all regions, one after the other.     (n, 1)"""
    return np.concatenate(list(REGIONS.values()))[:, None]


def hamiltonian(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(mean, variance) of f under the exact posterior, and the worst split R-hat of f and (f - mean)^2."""
    target = hmc.LogPosterior(tiny(nn.Delta()), bayes.Prior(), bayes.Gaussian(NET_TAU), X, Y)
    rng = np.random.default_rng([15, seed])
    starts = [target.prior_draw(rng) for _ in range(CHAINS)]
    chains = hmc.sample(target, starts, rng, draws=DRAWS, warmup=WARMUP, leaps=LEAPS, accept=0.9)
    f = target.predictive(chains.draws, all_inputs())[..., 0]
    mean = f.mean(axis=(0, 1))
    square = (f - mean) ** 2
    return mean, square.mean(axis=(0, 1)), worst([hmc.split_rhat(f), hmc.split_rhat(square)])


def approximate(noise: nn.Bernoulli | nn.Gaussian, seed: int) -> np.ndarray:
    """(mean, variance) of f under q, the average over FITS trainings from different starts."""
    out = []
    adam = nn.Adam(0.02, policy="inv", gamma=0.01)
    for start in range(FITS * seed, FITS * (seed + 1)):
        model = BayesianNetwork(tiny(noise), bayes.Prior(), bayes.Gaussian(NET_TAU))
        model.fit(X, Y, steps=FIT_STEPS, batch_size=len(X), optimizer=adam, seed=start, dtype=np.float64,
                  threads=1)
        prediction = model.predict(all_inputs(), samples=PASSES, seed=start, threads=1)
        out.append((prediction.mean[:, 0], prediction.epistemic[:, 0]))
    return np.mean(out, axis=0)


def by_region(values: np.ndarray) -> dict[str, float]:
    """The mean of `values` over each region's inputs."""
    cuts = np.cumsum([len(x) for x in REGIONS.values()])[:-1]
    return {name: part.mean() for name, part in zip(REGIONS, np.split(values, cuts), strict=True)}


def ratios(seed: int) -> tuple[float, dict]:
    """(R-hat, {noise: {region: (sd, off)}}): q's sd / the exact sd, and how far q's mean is off.

    The latter is the root mean square of q's mean - the exact mean, in exact sds.
    """
    mean, variance, rhat = hamiltonian(seed)
    out, exact = {}, by_region(variance)
    for name, noise in NOISES.items():
        q_mean, q_variance = approximate(noise, seed)
        sd, off = by_region(q_variance), by_region((q_mean - mean) ** 2 / variance)
        out[name] = {region: (math.sqrt(sd[region] / exact[region]), math.sqrt(off[region]))
                     for region in REGIONS}
    return rhat, out


WORDS = {"data": "on the data", "gap": "in the gap between the data", "outside": "outside the data",
         "dropout": "dropout with keep 0.9", "mgn": "N(1, 1/9) noise"}


@claim("posterior-net-hmc",
       "posterior-net-dropout-data", "posterior-net-dropout-gap", "posterior-net-dropout-outside",
       "posterior-net-mgn-data", "posterior-net-mgn-gap", "posterior-net-mgn-outside")
def tiny_net() -> list[Finding]:
    """The net with the gap: how far q's predictions are from Hamiltonian Monte Carlo's."""
    rhat, found = ratios(0)
    out = [Finding(
        "posterior-net-hmc",
        "the exact posterior of a 1-8-1 tanh net on ten points: four chains from the prior agree",
        f"split R-hat of f and of its squared deviation at {len(all_inputs())} inputs, less 1",
        rhat - 1, 0.01, "the customary bound for mixed chains (Vehtari et al. 2021)")]
    for name, regions in found.items():
        for region, (sd, off) in regions.items():
            x = REGIONS[region]
            sd_mean, sd_spread, off_mean, off_spread = FOUND[name][region]
            out.append(Finding(
                f"posterior-net-{name}-{region}",
                f"{WORDS[region]} {WORDS[name]} has {sd_mean:.2f} of the exact sd, "
                f"and its mean is {off_mean:.1f} exact sds off",
                f"predictions against HMC's, x = {x.min():g} ... {x.max():g}: {sd:.3f} and {off:.2f}; "
                "in standard deviations of such a run",
                worst([abs(sd - sd_mean) / sd_spread, abs(off - off_mean) / off_spread]),
                4 * math.sqrt(1 + 1 / RUNS),
                f"4 standard deviations over {RUNS} other runs, and the error of their mean"))
    return out
