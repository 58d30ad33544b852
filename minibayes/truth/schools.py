"""theta_j ~ N(mu, tau^2), y_j ~ N(theta_j, sigma_j^2), j = 1 ... 8: the eight schools, exactly.

Eight experiments of the effect of coaching on a test's points (Rubin 1981), the textbook's hierarchical model
(Gelman et al., BDA3, 5.5), with mu ~ N(0, 5^2) and tau ~ HalfCauchy(5). Given tau all is Gaussian, so the
exact posterior is a sum over tau alone; `Centred` and `NonCentred` are the two ways to hand it to
`hmc.sample`, and `mean_field` is the best q without correlations.
"""

from dataclasses import dataclass

import numpy as np

from ..nn.noise import normal_points

Y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
SIGMA = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
MU_STD = TAU_SCALE = 5.0


@dataclass(frozen=True)
class Moments:
    """Means of mu, of tau and of each theta_j, in points of the test."""

    mu: float
    tau: float
    theta: np.ndarray  # (8,)
    log_tau_std: float  # standard deviation of log tau


@dataclass(frozen=True)
class MeanField:
    """q(mu, log tau, theta) = prod_i N(mean_i, std_i^2), in the order of `Centred`."""

    mean: np.ndarray  # (10,)
    std: np.ndarray  # (10,)

    def moments(self) -> Moments:
        """tau is log-normal: E tau = exp(a + s^2/2)."""
        tau = np.exp(self.mean[1] + self.std[1] ** 2 / 2)
        return Moments(float(self.mean[0]), float(tau), self.mean[2:], float(self.std[1]))


def log_tau_density(log_tau: np.ndarray) -> np.ndarray:
    """log p(log tau), but for a constant: HalfCauchy's -log(1 + tau^2/5^2), and log tau of the Jacobian."""
    return log_tau - np.log1p(np.exp(2 * log_tau) / TAU_SCALE**2)


def exact(points: int = 4001) -> Moments:
    """By the trapezoid rule over log tau: y_j | mu, tau ~ N(mu, sigma_j^2 + tau^2), and the rest by hand.

        precision of mu given tau:  P = 1/5^2 + sum_j 1/(sigma_j^2 + tau^2),  its mean  m = sum_j y_j/(...)/P
        log p(y | tau) = 1/2 (m^2 P - log(25 P) - sum_j [log(sigma_j^2 + tau^2) + y_j^2/(...)]) + constant

    The density of log tau goes like tau below and like tau^-8 above: what is cut off is exp(-25) of it.
    """
    log_tau = np.linspace(-25, 9, points)
    tau2 = np.exp(2 * log_tau)
    total = SIGMA[:, None] ** 2 + tau2                                                     # (8, points)
    precision = MU_STD**-2 + (1 / total).sum(axis=0)
    mean = (Y[:, None] / total).sum(axis=0) / precision
    misfit = (np.log(total) + Y[:, None] ** 2 / total).sum(axis=0)
    log_y = (mean**2 * precision - np.log(precision) - misfit) / 2
    log_p = log_y + log_tau_density(log_tau)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    theta = (Y[:, None] * tau2 + mean * SIGMA[:, None] ** 2) / total   # E[theta_j | mu, tau], linear in mu
    average = p @ log_tau
    return Moments(float(p @ mean), float(p @ np.exp(log_tau)), theta @ p,
                   float(np.sqrt(p @ (log_tau - average) ** 2)))


class Centred:
    """(mu, log tau, theta) -> (log p(mu, log tau, theta, y), gradient): a funnel where tau is small."""

    size = 10

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        mu, log_tau, theta = q[0], q[1], q[2:]
        tau2 = np.exp(2 * log_tau)
        off, apart = (Y - theta) / SIGMA, theta - mu
        squares = (apart**2).sum() / tau2
        value = (-(mu / MU_STD) ** 2 / 2 + log_tau_density(log_tau) - squares / 2 - len(Y) * log_tau
                 - (off**2).sum() / 2)
        slope = np.empty(self.size)
        slope[0] = -mu / MU_STD**2 + apart.sum() / tau2
        slope[1] = 1 - 2 * tau2 / (TAU_SCALE**2 + tau2) + squares - len(Y)
        slope[2:] = off / SIGMA - apart / tau2
        return float(value), slope

    def theta(self, draws: np.ndarray) -> np.ndarray:
        """(..., 10) -> (..., 8)."""
        return draws[..., 2:]


class NonCentred:
    """(mu, log tau, e) -> the same with theta = mu + tau e, e ~ N(0, 1): no funnel."""

    size = 10

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        mu, log_tau, e = q[0], q[1], q[2:]
        tau = np.exp(log_tau)
        off = (Y - mu - tau * e) / SIGMA
        value = -(mu / MU_STD) ** 2 / 2 + log_tau_density(log_tau) - (e @ e + off @ off) / 2
        pull = off / SIGMA                                                      # d log p(y | theta)/d theta
        slope = np.empty(self.size)
        slope[0] = -mu / MU_STD**2 + pull.sum()
        slope[1] = 1 - 2 * tau**2 / (TAU_SCALE**2 + tau**2) + tau * (pull @ e)
        slope[2:] = tau * pull - e
        return float(value), slope

    def theta(self, draws: np.ndarray) -> np.ndarray:
        """(..., 10) -> (..., 8)."""
        return draws[..., :1] + np.exp(draws[..., 1:2]) * draws[..., 2:]


def mean_field(rounds: int = 200) -> MeanField:
    """The best q without correlations, by coordinate ascent: each factor's best given the others.

        w = E[1/tau^2] = exp(-2 a + 2 s^2),  log tau ~ N(a, s^2)
        theta_j: precision 1/sigma_j^2 + w,  mean (y_j/sigma_j^2 + w E mu)/precision
        mu: precision 1/5^2 + 8 w,  mean w sum_j E theta_j/precision
        (a, s): the largest of  -7 a - S w/2 - E log(1 + tau^2/5^2) + log s,   S = sum_j E (theta_j - mu)^2
    """
    mu, a, s = Y.mean(), 1.0, 1.0
    for _ in range(rounds):
        w = np.exp(-2 * a + 2 * s**2)
        precision, mu_precision = SIGMA**-2 + w, MU_STD**-2 + len(Y) * w
        theta = (Y / SIGMA**2 + w * mu) / precision
        mu = w * theta.sum() / mu_precision
        a, s = best_log_tau(a, s, ((theta - mu) ** 2 + 1 / precision + 1 / mu_precision).sum())
    return MeanField(np.array([mu, a, *theta]), np.array([mu_precision**-0.5, s, *precision**-0.5]))


def best_log_tau(a: float, s: float, S: float, steps: int = 10) -> tuple[float, float]:
    """The (a, s) of mean_field's last line, by Newton's steps in (a, log s); expectations over 60 nodes.

    u = tau^2/(5^2 + tau^2):  d/d(log tau) log(1 + tau^2/5^2) = 2 u,  du/d(log tau) = 2 u (1 - u).
    """
    nodes, weights = normal_points(60)
    for _ in range(steps):
        e = s * nodes                                         # log tau - a, and its derivative in log s
        u, Sw = 1 / (1 + TAU_SCALE**2 * np.exp(-2 * (a + e))), S * np.exp(-2 * a + 2 * s**2)
        du = 2 * u * (1 - u)
        gradient = [Sw - 7 - weights @ (2 * u),
                    1 - 2 * s**2 * Sw - weights @ (2 * u * e)]
        across = 4 * s**2 * Sw - weights @ (2 * du * e)
        hessian = [[-2 * Sw - weights @ (2 * du), across],
                   [across, -(4 * s**2 + 8 * s**4) * Sw - weights @ (2 * du * e**2 + 2 * u * e)]]
        step = np.linalg.solve(hessian, gradient)
        step *= 0.5 / max(np.abs(step).max(), 0.5)            # half a unit of log at most
        a, s = a - step[0], s * np.exp(-step[1])
    return float(a), float(s)
