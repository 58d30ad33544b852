"""KL(q || p), claims 5 and 6: closed forms against quadrature, exact Gaussians and Monte Carlo, with every constant written out.

A ray m in R^K is the set of numbers that share one z. Blurred by N(0, s^2 I), and up to terms that vanish with s (each is derived where
it is used), its KL to p = N(0, l^-2 I) is kl.value + C(s), nats, with

    Bernoulli(keep):     C(s) = K/2 log(2 pi/l^2) - K/2 log(2 pi e s^2) - H(keep)
    Gaussian(variance):  C(s) = K/2 log(2 pi/l^2) - (K-1)/2 log(2 pi e s^2) - 1/2 log(2 pi e variance)

A Gaussian ray has one blurred direction less: along m it is wide by itself.
"""

import math

import numpy as np

from .. import nn
from ..bayes import Prior, kl, posterior
from ..bayes.rules import loguniform
from .claim import Finding

EPS = np.finfo(float).eps
KEEP, VARIANCE, L = 0.7, 0.6, 1.3
DROP, MGN = nn.Bernoulli(KEEP), nn.Gaussian(VARIANCE)
RAYS = (np.array([1.7]), np.array([1.1, -0.8]))
STEP, REACH = 1 / 16, 12.0  # the grid of `quadrature`, in units of s; a power of 2, so that its points are exact
DRAWS = 100_000


def network(noise, m):
    """A network whose only parameters with noise are the ray m: one column of a dense M, the bias at 0."""
    net = nn.Network(a=nn.Dense(1, len(m), noise=noise))
    return net, {"a": {"M": m[:, None].copy(), "b": np.zeros(len(m))}}


def value(noise, m):
    """What the package calls the KL: everything but C(s)."""
    return kl.value(*network(noise, m), Prior(L))


def constant(noise, K, s):
    """C(s), as above."""
    blur = math.log(2 * math.pi * math.e * s**2) / 2                                      # the entropy of one blurred direction
    p = K / 2 * math.log(2 * math.pi / L**2)
    if noise is DROP:
        return p - K * blur + KEEP * math.log(KEEP) + (1 - KEEP) * math.log1p(-KEEP)
    return p - (K - 1) * blur - math.log(2 * math.pi * math.e * VARIANCE) / 2


def log_density_ratio(from_0, from_m, s):
    """log q(w) - log p(w) of the mixture keep N(m, s^2 I) + (1 - keep) N(0, s^2 I), from w/s and (w - m)/s.      (..., K) -> (...)"""
    K, (square_0, square_m) = from_0.shape[-1], ((v * v).sum(axis=-1) for v in (from_0, from_m))
    log_q = np.logaddexp(math.log(KEEP) - square_m / 2, math.log1p(-KEEP) - square_0 / 2) - K * math.log(s * math.sqrt(2 * math.pi))
    log_p = -(L**2) / 2 * s**2 * square_0 - K / 2 * math.log(2 * math.pi / L**2)
    return log_q - log_p


def quadrature(m, s):
    """KL of the mixture, E_q = keep E[. at m + s n] + (1 - keep) E[. at s n], n ~ N(0, I), by the trapezoid rule on [-12, 12]^K.

    What is cut off is below e^-72. The integrand's nearest poles, mid-way between the bumps, are pi s/||m|| off the real axis; where they
    are within reach (||m||/2s < 12) that is above 1/8, so that a step of 1/16 loses e^(-2 pi 16/8) = 4e-6 of a weight that is itself
    e^-72 there; nearer bumps have poles farther off. Rounding is all that remains.
    """
    n1 = np.arange(-REACH, REACH + STEP / 2, STEP)
    n = np.stack(np.meshgrid(*[n1] * len(m), indexing="ij"), axis=-1)
    weight = np.exp(-(n * n).sum(axis=-1) / 2) * (STEP / math.sqrt(2 * math.pi)) ** len(m)
    kept, dropped = (weight * log_density_ratio(at_0, at_m, s) for at_0, at_m in ((n + m / s, n), (n, n - m / s)))
    return KEEP * kept.sum() + (1 - KEEP) * dropped.sum()


def worst(values):
    """The largest; NaN if there is one, so that the check fails."""
    return float(np.max(values))


def rounding(size):
    """64 roundings of the largest number that takes part: more than there are operations one after the other."""
    return 64 * EPS * size


def overlap(m, s):
    """The upper bound on H(z | w), by which the two bumps' entropy falls short of H(z) + H(blur), and how near to it H(z | w) must be.

    With v the log-odds of z = 1 given w and h(v) the entropy of such a coin, H(z | w) = E h(v), and along m
    q(w) dw = sqrt(keep (1-keep)/(2 pi)) s/||m|| e^(-||m||^2/(8 s^2)) 2 cosh(v/2) e^(-((v - v0) s/||m||)^2/2) dv, v0 = log(keep/(1-keep)).
    The last factor is at most 1, and int 2 cosh(v/2) h(v) dv = 4 pi: the bound. It is at least 1 - ((v - v0) s/||m||)^2/2, and v^2
    has mean pi^2 + 8 under 2 cosh(v/2) h(v)/(4 pi): the relative distance.
    """
    r = s / np.linalg.norm(m)
    bound = math.sqrt(KEEP * (1 - KEEP) / (2 * math.pi)) * r * math.exp(-1 / (8 * r * r)) * 4 * math.pi
    return bound, r * r / 2 * (math.pi**2 + 8 + math.log(KEEP / (1 - KEEP)) ** 2)


def dropout_value():
    """Claim 5: absolute values, the rate in s, and what the overlap of the bumps adds."""
    absolute, rate, over, allowed = [], [], [], []
    for m in RAYS:
        K = len(m)
        for s in (0.05, 0.01, 1e-3, 1e-4):  # the bumps are apart: overlap below e^-92
            exact, leading = quadrature(m, s), value(DROP, m) + constant(DROP, K, s)
            absolute.append(abs(exact - leading - L**2 / 2 * K * s**2))
            if s >= 0.01:
                rate.append(abs((exact - leading) / (L**2 / 2 * K * s**2) - 1))
                allowed.append(rounding(abs(exact) / (L**2 / 2 * K * s**2)))
        for s in (0.3, 0.25, 0.2):  # the bumps touch
            bound, distance = overlap(m, s)
            more = quadrature(m, s) - value(DROP, m) - constant(DROP, K, s) - L**2 / 2 * K * s**2
            over.append(abs(2 * (1 - more / bound) / distance - 1))  # within [1 - distance, 1] of the bound: -1 ... 1
    return [
        Finding("kl-dropout-closed-form",
                "dropout's KL is keep l^2/2 ||M||^2 + K/2 l^2 s^2 + C(s); C(s) has no M in it and is infinite as s -> 0",
                "closed form with C(s) against quadrature of q log(q/p) in 1-D and 2-D, s = 0.05 ... 1e-4, nats",
                worst(absolute), rounding(abs(constant(DROP, 2, 1e-4))), "rounding: the bumps do not overlap, and the quadrature is exact"),
        Finding("kl-dropout-rate", "dropout's KL approaches kl.value + C(s) as K/2 l^2 s^2",
                "(quadrature - kl.value - C(s)) / (K/2 l^2 s^2) against 1, s = 0.05 and 0.01",
                worst(rate), worst(allowed), "rounding, over K/2 l^2 s^2"),
        Finding("kl-dropout-overlap",
                "dropout's closed form lacks only the overlap of its two bumps, about 2 sqrt(2 pi keep(1-keep)) s/||m|| exp(-||m||^2/8s^2)",
                "quadrature - closed form at s = 0.3, 0.25, 0.2, as its place between the derived bounds, -1 the upper, 1 the lower",
                worst(over), 1.0, "bounds on H(z | w), derived in claims/kl.py"),
    ]


def dropout_gradient():
    """Claim 5: d KL/dM = keep l^2 M for every small s, though the KL itself goes to infinity."""
    h, errors, sizes = 0.05, [], []
    for m in RAYS:
        wanted = kl.grad(*network(DROP, m), Prior(L))["a"]["M"][:, 0]
        for s in (0.05, 0.01, 1e-3, 1e-4):
            for i, e in enumerate(h * np.eye(len(m))):
                high, low = quadrature(m + e, s), quadrature(m - e, s)
                errors.append(abs((high - low) / (2 * h) - wanted[i]))
                sizes.append(abs(high))
    return [Finding("kl-dropout-gradient",
                    "the gradient of dropout's KL is keep l^2 M for every small s: a weight decay, though the KL is infinite",
                    "kl.grad against central differences of the quadrature, 1-D and 2-D, s = 0.05 ... 1e-4",
                    worst(errors), rounding(worst(sizes)) / h, "rounding over the step: a quadratic in M has exact central differences")]


def gaussian(m, s):
    """KL(N(m, s^2 I + variance m m^T) || N(0, l^-2 I)), the textbook formula of two Gaussians."""
    K, S = len(m), s**2 * np.eye(len(m)) + VARIANCE * np.outer(m, m)
    return (L**2 * (np.trace(S) + m @ m) - K - K * math.log(L**2) - np.linalg.slogdet(S)[1]) / 2


def remainder(m, s):
    """KL - kl.value - C(s) of a Gaussian ray: l^2/2 K s^2 - 1/2 log(1 + s^2/(variance ||m||^2)), from log det S."""
    return L**2 / 2 * len(m) * s**2 - math.log1p(s**2 / (VARIANCE * (m @ m))) / 2


def mgn():
    """Claim 6: absolute values, what diverges, and what weight decay leaves out."""
    errors, allowed, slopes, small = [], [], [], []
    for m in (*RAYS, np.array([0.4, -0.9, 0.5])):
        K = len(m)
        for s in (0.1, 0.01, 1e-3):
            errors.append(abs(gaussian(m, s) - value(MGN, m) - constant(MGN, K, s) - remainder(m, s)))
            allowed.append(rounding(1 + VARIANCE * (m @ m) / s**2))
        slopes.append(abs((gaussian(m, 1e-3) - gaussian(m, 1e-2)) / math.log(10) - (K - 1)))
        small += [2 * abs(remainder(m, 1e-2)), L**2 / 2 * K * 1e-4]
    for m in RAYS:
        slopes.append(abs((quadrature(m, 1e-3) - quadrature(m, 1e-2)) / math.log(10) - len(m)))
    # along m/||m||, at the length where kl.grad is zero, the exact KL of a blurred ray has slope s^2/(r (s^2 + variance r^2))
    s, h, r = 1e-3, 1e-3, 1 / (L * math.sqrt(1 + VARIANCE))
    m = r * RAYS[1] / np.linalg.norm(RAYS[1])
    steep = (gaussian(m * (1 + h / r), s) - gaussian(m * (1 - h / r), s)) / (2 * h)
    pull = kl.grad(*network(MGN, m), Prior(L))["a"]["M"][:, 0] @ m / r
    third = 2 / (r - h) ** 3 * h**2 / 6                                                   # of -log r: the central difference's own error
    cancelled = rounding(1 + VARIANCE * r**2 / s**2) / h
    return [
        Finding("kl-mgn-closed-form",
                "the KL of N(1, variance) noise is, per ray, a weight decay and an entropy: l^2/2 (1+variance) ||m||^2 - log||m|| + C(s)",
                "kl.value + C(s) + the s^2 terms against the KL of two Gaussians, K = 1, 2, 3, s = 0.1 ... 1e-3, nats",
                worst(errors), worst(allowed), "rounding times the condition number of q's covariance, 1 + variance ||m||^2/s^2"),
        Finding("kl-mgn-divergence",
                "as s -> 0 MGN's KL grows like (K-1) log(1/s), so it is finite for one weight; dropout's grows like K log(1/s)",
                "slopes in log(1/s), s = 0.01 to 0.001: exact Gaussian KL, and dropout's quadrature",
                worst(slopes), worst(small) / math.log(10), "the s^2 terms at s = 0.01"),
        Finding("kl-mgn-weight-decay",
                "the poster's weight decay is not all: -log||m|| keeps rays from 0, and the KL is least at ||m|| = 1/(l sqrt(1+variance))",
                f"slope there of the exact Gaussian KL (s = 1e-3) and of kl.grad; weight decay alone has {L**2 * (1 + VARIANCE) * r:.2f}",
                worst([abs(steep), abs(pull)]), s**2 / (r * (s**2 + VARIANCE * r**2)) + third + cancelled,
                "the s^2 term's slope, the third-order error of the central difference, rounding times condition number"),
    ]


def monte_carlo():
    """Claims 5 and 6: E_q[log q - log p] over weights drawn by the package, blurred."""
    out, rng, m = [], np.random.default_rng(5), RAYS[1]
    for noise, name in ((DROP, "dropout"), (MGN, "mgn")):
        errors = []
        for key, s in enumerate((0.1, 1e-2, 1e-3)):
            net, params = network(noise, m)
            z = net.sample(key, (DRAWS, 1), dtype=np.float64)
            n = rng.standard_normal((DRAWS, len(m)))
            w = posterior.weights(net, params, z, "a")["W"][:, :, 0] + s * n             # m z + blur
            if noise is DROP:
                values = log_density_ratio(w / s, (w - m) / s, s)
                exact = value(noise, m) + constant(noise, len(m), s) + L**2 / 2 * len(m) * s**2
            else:
                S = s**2 * np.eye(len(m)) + VARIANCE * np.outer(m, m)
                log_q = -((w - m) * np.linalg.solve(S, (w - m).T).T).sum(axis=1) / 2 - np.linalg.slogdet(2 * math.pi * S)[1] / 2
                log_p = -(L**2) / 2 * (w * w).sum(axis=1) - len(m) / 2 * math.log(2 * math.pi / L**2)
                values = log_q - log_p
                exact = value(noise, m) + constant(noise, len(m), s) + remainder(m, s)
            errors.append(abs(values.mean() - exact) / (values.std() / math.sqrt(DRAWS)))
        out.append(Finding(f"kl-{name}-monte-carlo", f"the KL of {name} is the mean of log q - log p over its draws",
                           f"closed form against {DRAWS} draws of m z + blur, s = 0.1, 0.01, 0.001, in standard errors",
                           worst(errors), 4.0, "4 standard errors of the mean"))
    return out


def log_uniform():
    """Claim 6: the exact integral, and the published approximations against it."""
    far, allowed, away, rng = [], [], [], np.random.default_rng(6)
    for log_a in np.linspace(-8, 8, 33):
        wanted, terms = loguniform.series(log_a)
        far.append(abs(loguniform.exact(log_a) - wanted))
        allowed.append(terms * EPS * (wanted + 1))
    for a in (0.05, 1.0, 20.0):
        v = np.log(np.abs(1 + math.sqrt(a) * rng.standard_normal(DRAWS))) - math.log(a) / 2 + loguniform.C
        away.append(abs(v.mean() - loguniform.exact(math.log(a))) / (v.std() / math.sqrt(DRAWS)))
    log_a = np.linspace(-8, 8, 641)
    sigmoid = np.abs(loguniform.molchanov(log_a) - loguniform.exact(log_a)).max()
    log_a = np.log(np.linspace(0, 1, 501)[1:])
    cubic = np.append(loguniform.kingma(log_a) - loguniform.exact(log_a), 0)              # and 0 at a = 0
    half, middle = (cubic.max() - cubic.min()) / 2, (cubic.max() + cubic.min()) / 2
    beyond = loguniform.kingma(math.log(2)) - loguniform.exact(math.log(2)) - middle
    return [
        Finding("kl-loguniform-integral", "under the log-uniform prior -KL = 1/2 log a - E log|e| - C, e ~ N(1, a), whatever m",
                "numerical integral against a Poisson mixture of digamma values, log a = -8 ... 8, nats",
                worst(far), worst(allowed), "rounding in the series: its number of terms times the largest"),
        Finding("kl-loguniform-monte-carlo", "the log-uniform KL's E log|e| is the mean it stands for",
                f"against {DRAWS} draws of log|e| at a = 0.05, 1, 20, in standard errors",
                worst(away), 4.0, "4 standard errors of the mean"),
        Finding("kl-loguniform-sigmoid",
                "the sigmoid of Molchanov et al. (2017) is within 0.0094 nats of the log-uniform KL on log a in [-8, 8]",
                f"largest error of the approximation, {sigmoid:.5f} nats, against 0.0094", abs(sigmoid - 0.0094), 5e-5,
                "half of the last digit claimed"),
        Finding("kl-loguniform-cubic",
                "the cubic of Kingma et al. (2015) is, up to its constant, within 0.0202 nats of it for a <= 1; at a = 2, 0.9268 too low",
                f"largest error {half:.5f}, error at a = 2 {beyond:.5f}, nats",
                worst([abs(half - 0.0202), abs(beyond + 0.9268)]), 5e-5, "half of the last digit claimed"),
    ]


CLAIMS = (dropout_value, dropout_gradient, mgn, monte_carlo, log_uniform)
