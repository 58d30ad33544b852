"""How good is q_theta(omega)? Its predictive mean and sd against those of the exact posterior p(omega | X, Y), claim 15.

Two models: one weight and a bias, where everything can be worked out and the exact posterior sits on a grid; and a 1-8-1 tanh net on ten
points with a gap, where it comes from long Hamiltonian Monte Carlo. Reported as found. sd is the epistemic one, of f; 1/tau is left out.
"""

import math

import numpy as np

from .. import nn
from ..bayes import Gaussian, Objective, Prior, posterior
from ..model import BayesianNetwork
from ..truth import hmc
from .claim import Finding

EPS = np.finfo(float).eps

# One weight w and a bias b: f = w x + b, y ~ N(f, 1/TAU), prior N(0, 1), inputs symmetric about 0, so that w and b are independent given
# the data: w ~ N(m, v), v = 1/(TAU sum x^2 + 1), m = v TAU sum x y.  q has w = M z, and a point for b.
TAU, KEEP = 4.0, 0.8
RATE, STEPS, SEEDS = 0.05, 400, 16


def line(N):
    """N inputs in [-1, 1], and targets around 1.5 x + 0.3."""
    x = np.linspace(-1, 1, N)[:, None]
    return x, 1.5 * x + 0.3 + np.random.default_rng(N).standard_normal(x.shape) / math.sqrt(TAU)


def exact_line(x, y):
    """(mean, variance) of w and of b: ridge regression."""
    (vw, vb), (sw, sb) = ((1 / (TAU * s + 1) for s in ((x * x).sum(), len(x))), (TAU * (x * y).sum(), TAU * y.sum()))
    return (vw * sw, vw), (vb * sb, vb)


def grid_line(x, y):
    """(mean, variance) of f at x = 0 and at x = 1, from exp(log p(w, b | X, Y)) on a grid: 6 sds to each side in steps of 1/5 sd.

    A Gaussian's trapezoid sum is off by exp(-2 pi^2 5^2), and by the exp(-18) that is cut off.
    """
    target = hmc.LogPosterior(nn.Network(a=nn.Dense(1, 1)), Prior(), Gaussian(TAU), x, y)
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


def expected_gradient(noise, nodes, weights, M, b, x, y):
    """The largest of E_z d L-hat/d(M, b), the mean over the noise's nodes, and a bound on its rounding: 64 roundings of all terms."""
    net = nn.Network(a=nn.Dense(1, 1, noise=noise))
    objective, params = Objective(net, Prior(), Gaussian(TAU), len(x)), {"a": {"M": np.array([[M]]), "b": np.array([b])}}
    total = np.zeros(2)
    for z, weight in zip(nodes, weights, strict=True):
        _, grads = objective.value_and_grad(params, x, y, {"a": np.array([[z]])})
        total += weight * len(x) * np.array([grads["a"]["M"].item(), grads["a"]["b"].item()])
    size = abs(M) * np.abs(nodes).max() ** 2 + abs(b) + np.abs(y).max()
    return float(np.abs(total).max()), 64 * EPS * TAU * (np.abs(x).sum() + len(x)) * size


def one_weight():
    """The optimum of L(theta) against the exact posterior, worked out."""
    x, y = line(20)
    (w, v), (b, _) = exact_line(x, y)
    drop = expected_gradient(nn.Bernoulli(KEEP), (0.0, 1.0), (1 - KEEP, KEEP), w, b, x, y)
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)                                # exact: the data term is quadratic in z
    weights = weights / weights.sum()
    fixed = (w + math.sqrt(w * w + 4 * 2 * v)) / (2 * 2)                                  # M of N(1, 1): 2 M/v = w/v + 1/M
    mgn = expected_gradient(nn.Gaussian(1.0), 1 + nodes, weights, fixed, b, x, y)
    tuned = expected_gradient(nn.Gaussian(v / w**2), 1 + nodes * math.sqrt(v) / w, weights, w, b, x, y)
    rounding = "rounding in the sum over the data"
    return [
        Finding("posterior-one-weight-dropout",
                "with one weight, dropout's best M is the exact posterior mean: its predictive mean is keep times the exact one",
                "E_z of the objective's gradient at M = E[w | X, Y], every mask", *drop, rounding),
        Finding("posterior-one-weight-mgn",
                f"with one weight and N(1, 1), the best M is (w + sqrt(w^2 + 8 v))/4, {fixed / w:.2f} of the exact mean w",
                "E_z of the objective's gradient there, Gauss-Hermite nodes", *mgn, rounding),
        Finding("posterior-one-weight-mgn-exact",
                "with one weight, N(1, variance) noise is the exact posterior if variance = Var/mean^2 of it, so it must fall with N",
                "E_z of the objective's gradient at M = E[w | X, Y] for that variance", *tuned, rounding),
    ]


def one_weight_trained():
    """The same by training, on 20 inputs and on 320.

    A step is linear in (M, b) and z is fresh, so their means over runs obey the recursion without noise, and that is contracted to
    (1 - RATE keep TAU mean x^2)^STEPS = 1e-11 of where it began: the average over seeds is off by its own error only.
    """
    errors, sds, at_0 = [], {}, []
    for N in (20, 320):
        x, y = line(N)
        (b, b_variance), (f_1, f_1_variance) = grid_line(x, y)
        w, spread = f_1 - b, []
        for seed in range(SEEDS):
            model = BayesianNetwork(nn.Network(a=nn.Dense(1, 1, noise=nn.Bernoulli(KEEP))), Prior(), Gaussian(TAU))
            model.fit(x, y, steps=STEPS, batch_size=N, optimizer=nn.SGD(RATE), seed=seed, dtype=np.float64, threads=1)
            mean, second = (moment(model.net, model.params)["a"]["M"].item() for moment in (posterior.mean, posterior.second_moment))
            spread.append((mean, math.sqrt(max(second - mean**2, 0))))
        at_0.append(math.sqrt(model.predict(np.zeros((1, 1)), samples=20, threads=1).epistemic.item()))
        average, error = np.mean(spread, axis=0), np.std(spread, axis=0, ddof=1) / math.sqrt(SEEDS)
        errors.append(np.abs(average - np.array([KEEP, math.sqrt(KEEP * (1 - KEEP))]) * w) / error)
        sds[N] = average[1], error[1], math.sqrt(f_1_variance - b_variance), w, math.sqrt(b_variance)
    (few, few_error, few_exact, few_w, few_b), (many, many_error, many_exact, many_w, _) = sds[20], sds[320]
    fall, relative = many_exact / few_exact, math.hypot(few_error / few, many_error / many)
    return [
        Finding("posterior-one-weight-trained",
                "one weight trained with dropout ends with mean keep E[w | X, Y] and sd sqrt(keep(1-keep)) |E[w | X, Y]|",
                f"fit, N = 20 and 320, the average over {SEEDS} seeds, against the exact posterior on a grid, in standard errors",
                float(np.max(errors)), 4.0, "4 standard errors over seeds"),
        Finding("posterior-one-weight-contraction",
                f"16 times the data take the exact sd of w to {fall:.2f} of itself; dropout's does not contract",
                f"log of dropout's sd at N = 320 over that at N = 20, {many / few:.2f}, against that of E[w | X, Y]",
                float(abs(math.log(many / few / (many_w / few_w)))), 4 * relative, "4 standard errors over seeds"),
        Finding("posterior-one-weight-bias",
                f"a bias outside the noise has no spread at all under q; its exact sd at N = 20 is {few_b:.2f}",
                "sd of 20 passes at x = 0, N = 20 and 320", float(np.max(at_0)), 64 * EPS, "rounding"),
    ]


# A 1-8-1 tanh net, prior N(0, 1), ten points around sin 1.5 x with a gap, and the regions over which predictions are compared.
X = np.array([-2.0, -1.75, -1.5, -1.25, -1.0, 1.0, 1.25, 1.5, 1.75, 2.0])[:, None]
Y = np.array([-0.1, -0.54, -0.58, -0.92, -1.17, 1.11, 1.37, 1.08, 0.27, -0.26])
REGIONS = {"data": X[:, 0], "gap": np.linspace(-0.5, 0.5, 5), "outside": np.array([-4, -3.5, -3, 3, 3.5, 4])}
NET_TAU, HIDDEN = 10.0, 8
CHAINS, DRAWS, WARMUP, LEAPS = 4, 600, 250, 45
FITS, FIT_STEPS, PASSES = 4, 2000, 2000
NOISES = {"dropout": nn.Bernoulli(0.9), "mgn": nn.Gaussian(1 / 9)}  # before the last layer; equal variances relative to the mean
# `ratios` by seeds 1 ... 40: mean and standard deviation of (q's sd / the exact sd), and of q's mean - the exact mean in exact sds.
# Training four times as long moves none of them by more than one of these standard deviations.
RUNS = 40
FOUND = {
    "dropout": {"data": (1.143, 0.018, 1.202, 0.033), "gap": (0.152, 0.0050, 0.536, 0.018), "outside": (0.395, 0.0094, 1.230, 0.053)},
    "mgn": {"data": (1.508, 0.024, 0.946, 0.057), "gap": (0.193, 0.0059, 0.425, 0.023), "outside": (0.578, 0.0270, 0.704, 0.083)},
}


def tiny(noise):
    return nn.Network(fc1=nn.Dense(1, HIDDEN), tanh=nn.Tanh(), fc2=nn.Dense(HIDDEN, 1, noise=noise))


def hamiltonian(seed):
    """(mean, variance) of f under the exact posterior at all regions' inputs, and the worst split R-hat of f and of (f - mean)^2."""
    target = hmc.LogPosterior(tiny(nn.Delta()), Prior(), Gaussian(NET_TAU), X, Y)
    rng = np.random.default_rng([15, seed])
    chains = hmc.sample(target, [target.prior_draw(rng) for _ in range(CHAINS)], rng, draws=DRAWS, warmup=WARMUP, leaps=LEAPS, accept=0.9)
    f = target.predictive(chains.draws, np.concatenate(list(REGIONS.values()))[:, None])[..., 0]
    mean = f.mean(axis=(0, 1))
    square = (f - mean) ** 2
    return mean, square.mean(axis=(0, 1)), float(np.max([hmc.split_rhat(f), hmc.split_rhat(square)]))


def approximate(noise, seed):
    """(mean, variance) of f under q, the average over FITS trainings from different starts."""
    out = []
    for fit in range(FITS * seed, FITS * (seed + 1)):
        model = BayesianNetwork(tiny(noise), Prior(), Gaussian(NET_TAU))
        model.fit(X, Y, steps=FIT_STEPS, batch_size=len(X), optimizer=nn.Adam(0.02, policy="inv", gamma=0.01), seed=fit,
                  dtype=np.float64, threads=1)
        prediction = model.predict(np.concatenate(list(REGIONS.values()))[:, None], samples=PASSES, seed=fit, threads=1)
        out.append((prediction.mean[:, 0], prediction.epistemic[:, 0]))
    return np.mean(out, axis=0)


def by_region(values):
    """The mean of `values` over each region's inputs."""
    cuts = np.cumsum([len(x) for x in REGIONS.values()])[:-1]
    return {name: part.mean() for name, part in zip(REGIONS, np.split(values, cuts), strict=True)}


def ratios(seed):
    """(R-hat, {noise: {region: (q's sd / the exact sd, root mean square of q's mean - the exact mean, in exact sds)}})."""
    mean, variance, rhat = hamiltonian(seed)
    out, exact = {}, by_region(variance)
    for name, noise in NOISES.items():
        q_mean, q_variance = approximate(noise, seed)
        sd, off = by_region(q_variance), by_region((q_mean - mean) ** 2 / variance)
        out[name] = {region: (math.sqrt(sd[region] / exact[region]), math.sqrt(off[region])) for region in REGIONS}
    return rhat, out


def tiny_net():
    """The net with the gap: how far q's predictions are from Hamiltonian Monte Carlo's."""
    rhat, found = ratios(0)
    out = [Finding("posterior-net-hmc", "the exact posterior of a 1-8-1 tanh net on ten points: four chains from the prior agree",
                   f"split R-hat of f and of its squared deviation at {sum(map(len, REGIONS.values()))} inputs, less 1", rhat - 1, 0.01,
                   "the customary bound for mixed chains (Vehtari et al. 2021)")]
    words = {"data": "on the data", "gap": "in the gap between the data", "outside": "outside the data",
             "dropout": "dropout with keep 0.9", "mgn": "N(1, 1/9) noise"}
    for name, regions in found.items():
        for region, (sd, off) in regions.items():
            sd_mean, sd_spread, off_mean, off_spread = FOUND[name][region]
            out.append(Finding(
                f"posterior-net-{name}-{region}",
                f"{words[region]} {words[name]} has {sd_mean:.2f} of the exact sd, and its mean is {off_mean:.1f} exact sds off",
                f"predictions against HMC's, x = {REGIONS[region].min():g} ... {REGIONS[region].max():g}: {sd:.3f} and {off:.2f}; "
                "in standard deviations of such a run",
                float(np.max([abs(sd - sd_mean) / sd_spread, abs(off - off_mean) / off_spread])),
                4 * math.sqrt(1 + 1 / RUNS), f"4 standard deviations over {RUNS} other runs, and the error of their mean"))
    return out


CLAIMS = (one_weight, one_weight_trained, tiny_net)
