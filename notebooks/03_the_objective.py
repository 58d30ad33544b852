# %% [markdown]
# # 3. The objective
#
# **The poster's claim, in our words.** Choose a distribution $q_\theta(\omega)$ over weights
# that can be sampled, and tune its parameters $\theta$ until it is as close as possible to the
# posterior. The distance is a Kullback-Leibler divergence; minimising it is the same as
# minimising a cost $L(\theta)$ with two terms, one for the data and one for the prior. The data
# term is an integral over all weights that nobody can do. Replace it by a single random draw of
# the weights: the result, $\hat L(\theta)$, is an unbiased estimate of $L(\theta)$, so that
# following it leads to the same optimum.
#
# What you will see here: where the two terms come from; that one draw is enough, proved by
# adding up *all* draws; that the prior's term is weight decay for dropout; and what that
# statement hides.

# %%
import itertools
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, nn
from minibayes.bayes.convert import Convention
from minibayes.truth import exact

# quick mode does less; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"

# %% [markdown]
# ## 3.1 From the posterior to $L(\theta)$
#
# The names first. $X, Y$ are the $N$ inputs and outputs of the data set, $\omega$ all weights
# of the network. $p(\omega)$ is the prior, what is believed about the weights before the data;
# $p(Y \mid X, \omega)$ is the likelihood; Bayes' rule gives the posterior, what is believed
# after it:
#
# $$p(\omega \mid X, Y) = \frac{p(Y \mid X, \omega) \, p(\omega)}{p(Y \mid X)}$$
#
# The number in the denominator, $p(Y \mid X)$, is called the evidence, and it does not depend
# on $\omega$. $E_q[\dots]$ is a mean over draws $\omega$ from $q_\theta(\omega)$. The
# Kullback-Leibler divergence of $q$ from the posterior is
#
# $$\mathrm{KL}(q_\theta(\omega) \,\Vert\, p(\omega \mid X, Y)) = E_q[\log q_\theta(\omega) -
# \log p(\omega \mid X, Y)]$$
#
# It is measured in nats (the unit of the natural logarithm), is never negative, and is 0 only
# if the two are equal. Put Bayes' rule in:
#
# $$= E_q[\log q_\theta(\omega) - \log p(Y \mid X, \omega) - \log p(\omega)] + \log p(Y \mid
# X)$$
#
# $$= \underbrace{- E_q[\log p(Y \mid X, \omega)] + \mathrm{KL}(q_\theta(\omega) \,\Vert\,
# p(\omega))}_{L(\theta)} + \log p(Y \mid X)$$
#
# The evidence is unknown, but it is a constant. So to minimise the divergence from the
# posterior, which we do not have, minimise $L(\theta)$, in which only things appear that we do
# have. (The poster writes "proportional"; what is meant is "equal but for a constant".)
#
# We check it on the smallest network there is: one weight, $y_n = w x_n$ plus Gaussian noise of
# precision $\tau$ ("tau": 1 over the variance), prior $w \sim N(0, l^{-2})$. Here everything
# can be integrated on a grid of $w$. As $q$ we take, for this section only, a Gaussian
# $N(m, s^2)$.

# %%
rng = np.random.default_rng(0)
N, tau, l = 6, 4.0, 1.0
x = rng.uniform(-1, 1, N)
y = 0.9 * x + rng.standard_normal(N) / np.sqrt(tau)

w, dw = np.linspace(-8, 8, 16001, retstep=True)


def log_normal(v, mean, std):
    return -0.5 * ((v - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)


log_prior = log_normal(w, 0, 1 / l)
# log p(Y | X, w) on the grid
log_likelihood = log_normal(y[:, None], w * x[:, None], 1 / np.sqrt(tau)).sum(axis=0)
log_evidence = np.log(np.sum(np.exp(log_likelihood + log_prior)) * dw)
log_posterior = log_likelihood + log_prior - log_evidence


def terms(m, s):
    """(data term, KL to the prior, KL to the posterior) of q = N(m, s^2), on the grid."""
    log_q = log_normal(w, m, s)
    q = np.exp(log_q)
    return tuple(np.sum(q * values) * dw
                 for values in (-log_likelihood, log_q - log_prior, log_q - log_posterior))


print("   m     s      L = data + KL(q || prior)      KL(q || posterior)    L + log evidence")
for m, s in ((0.0, 1.0), (0.5, 0.5), (1.5, 0.3), (-1.0, 0.2), (2.0, 0.8)):
    data, kl_prior, kl_posterior = terms(m, s)
    L = data + kl_prior
    print(f"{m:5.1f} {s:5.1f}   {L:8.4f} = {data:8.4f} + {kl_prior:.4f} {kl_posterior:17.4f} "
          f"{L + log_evidence:19.4f}")
    assert abs(L + log_evidence - kl_posterior) < 1e-9

# the evidence in closed form: Y is Gaussian
covariance = np.eye(N) / tau + np.outer(x, x) / l**2
closed = -0.5 * (y @ np.linalg.solve(covariance, y)
                 + np.linalg.slogdet(2 * np.pi * covariance)[1])
assert abs(log_evidence - closed) < 1e-9

# %% [markdown]
# The two terms pull at $q$ from two sides. The data term wants all of $q$ where the likelihood
# is large. $\mathrm{KL}(q \Vert p)$ wants $q$ to stay the prior. Here is the tug of war over
# the mean $m$; the sum is least at the posterior's mean.

# %%
precision = l**2 + tau * x @ x                        # of the posterior, which is Gaussian here
posterior_mean, posterior_std = tau * x @ y / precision, 1 / np.sqrt(precision)
means = np.linspace(-1.5, 3, 181)
curves = np.array([terms(m, posterior_std) for m in means])
best = means[np.argmin(curves[:, 0] + curves[:, 1])]
assert abs(best - posterior_mean) <= means[1] - means[0]

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6))
axes[0].plot(w, np.exp(log_prior), color=GREEN, label="prior")
axes[0].plot(w, np.exp(log_posterior), color=GREY, linewidth=2, label="posterior")
axes[0].plot(w, np.exp(log_normal(w, 0, posterior_std)), "--", color=BLUE,
             label="a q: N(m, s$^2$) with m = 0")
axes[0].set(xlim=(-3, 4), xlabel="weight w", ylabel="density",
            title="q is moved until it lies on the posterior")
axes[1].plot(means, curves[:, 0], color=ORANGE, label="data: $-E_q$ log p(Y | X, w)")
axes[1].plot(means, curves[:, 1], color=GREEN, label="KL(q || prior)")
axes[1].plot(means, curves[:, 0] + curves[:, 1], color=BLUE, linewidth=2, label="L, their sum")
axes[1].axvline(posterior_mean, color=GREY, linestyle=":", label="the posterior's mean")
axes[1].set(xlabel="mean m of q", ylabel="nats", ylim=(0, 14),
            title="The two terms of L pull at q from two sides")
axes[0].legend(fontsize=8, loc="center right")
axes[1].legend(fontsize=8, loc="center left")
plt.show()

# %% [markdown]
# ## 3.2 One draw is enough: $\hat L(\theta)$
#
# For a real network $E_q[\log p(Y \mid X, \omega)]$ is an integral over a million
# weights. *Monte Carlo integration* estimates a mean by a sample. The sample here is a single
# draw $\hat\omega \sim q_\theta(\omega)$. And instead of all $N$ examples take a random
# minibatch of $B$, scaled up by $N/B$:
#
# $$\hat L(\theta) = - \frac{N}{B} \sum_{n \in \mathrm{batch}} \log p(y_n \mid f(x_n,
# \hat\omega_n)) + \mathrm{KL}(q_\theta(\omega) \,\Vert\, p(\omega))$$
#
# (Each example may have its own draw $\hat\omega_n$, as in dropout training; the prior's term
# is counted once per data set, whatever $B$ is.) *Unbiased* means that the mean of
# $\hat L(\theta)$ over all draws and all minibatches is $L(\theta)$. The proof is one line: an
# example is in the batch with probability $B/N$, and each term's mean over its draw is $E_q$ of
# it. The better proof is to add them all up. Take dropout, $W_i = M_i \mathrm{diag}(z_i)$,
# where each $z$ is 1 with probability `keep` and 0 otherwise (notebook 1), and a network 2-3-2
# with noise on its two inputs and its three hidden units. There are $2^5 = 32$ draws of
# $\hat\omega$. First in bare NumPy:

# %%
rng = np.random.default_rng(1)
keep1, keep2, l, N = 0.7, 0.4, 1.7, 3
M1, b1, M2, b2 = (rng.standard_normal(shape) for shape in ((3, 2), 3, (2, 3), 2))
X, Y = rng.standard_normal((N, 2)), np.array([1, 0, 1])


def nll(n, z1, z2):
    """-log p(y_n | f(x_n, omega)), omega of the masks z1 (inputs) and z2 (hidden units)."""
    f = M2 @ (z2 * np.tanh(M1 @ (z1 * X[n]) + b1)) + b2
    return np.log(np.exp(f).sum()) - f[Y[n]]


def probability(z, keep):
    return keep ** np.sum(z) * (1 - keep) ** (len(z) - np.sum(z))


draws = [(probability(z1, keep1) * probability(z2, keep2), np.array(z1), np.array(z2))
         for z1 in itertools.product((0, 1), repeat=2)
         for z2 in itertools.product((0, 1), repeat=3)]
# see section 3.4
KL = l**2 / 2 * (keep1 * (M1**2).sum() + keep2 * (M2**2).sum() + (b1**2).sum() + (b2**2).sum())
L = sum(p * nll(n, z1, z2) for n in range(N) for p, z1, z2 in draws) + KL                # exact

# every L-hat there is: 3 minibatches, 32 x 32 draws for their two examples
B, weights, estimates = 2, [], []
for batch in itertools.combinations(range(N), B):
    for (p, z1, z2), (q, z3, z4) in itertools.product(draws, draws):
        weights.append(p * q / 3)
        estimates.append(N / B * (nll(batch[0], z1, z2) + nll(batch[1], z3, z4)) + KL)
weights, estimates = np.array(weights), np.array(estimates)
mean = weights @ estimates
print(f"{len(estimates)} possible values of L-hat, from {estimates.min():.3f} to "
      f"{estimates.max():.3f} nats")
print(f"their mean   {mean:.12f}\nL(theta)     {L:.12f}")
assert abs(mean - L) < 1e-12 * L * len(estimates)

# %% [markdown]
# And with the package. `bayes.Objective` computes $\hat L$ and its gradient for a draw of the
# noise that it is handed; `truth.exact` runs through every draw there is in a tiny network.
# Training needs the *gradient*, and that is unbiased too, because the mean is a finite sum and
# derivatives go through sums.

# %%
net = nn.Network(fc1=nn.Dense(2, 3, noise=nn.Bernoulli(keep1)), tanh=nn.Tanh(),
                 fc2=nn.Dense(3, 2, noise=nn.Bernoulli(keep2)))
theta = {"fc1": {"M": M1, "b": b1}, "fc2": {"M": M2, "b": b2}}
objective = bayes.Objective(net, bayes.Prior(l), bayes.Categorical(), num_data=N)
exact_terms, exact_grad = exact.value_and_grad(objective, theta, X, Y)
assert np.isclose(exact_terms.total, L, rtol=1e-12)

(probabilities, masks), = exact.points(net, (2,))      # the 32 draws, as the package lists them
mean_grad = {name: {p: np.zeros_like(a) for p, a in group.items()}
             for name, group in theta.items()}
for n in range(N):                                     # minibatches of one example: N/B = 3
    for i, p in enumerate(probabilities):
        z = {name: a[i:i + 1] for name, a in masks.items()}
        _, grad = objective.value_and_grad(theta, X[n:n + 1], Y[n:n + 1], z)
        for name, group in grad.items():
            for param, g in group.items():
                mean_grad[name][param] += p / N * g
worst = max(np.abs(mean_grad[name][p] - exact_grad[name][p]).max() for name in theta
            for p in theta[name])
print("largest difference between the mean gradient of L-hat/N and the gradient of L/N: "
      f"{worst:.1e}")
assert worst < 1e-12

# %% [markdown]
# Two ways to get it wrong. Forget the factor $N/B$, and the prior counts $N/B$ times too much.
# Or average the *probabilities* of several passes inside the logarithm: that is a fine
# prediction (notebook 6), but as an objective it is another one, below $L$, because the
# logarithm of a mean is larger than the mean of the logarithms (Jensen's inequality).

# %%
without_scale = weights @ ((estimates - KL) * B / N + KL)
log_of_mean = -sum(np.log(sum(p * np.exp(-nll(n, z1, z2)) for p, z1, z2 in draws))
                   for n in range(N)) + KL
print(f"L {L:.4f}; without N/B {without_scale:.4f}; logarithm outside the mean "
      f"{log_of_mean:.4f}")
assert abs(without_scale - L) > 0.1 and log_of_mean < L

fig, ax = plt.subplots(figsize=(8, 3.2))
ax.hist(estimates, bins=60, weights=weights, color=BLUE, alpha=0.7)
ax.axvline(L, color=RED, linewidth=2, label=f"L = {L:.2f}, and the mean of all L-hat")
ax.axvline(without_scale, color=GREY, linestyle="--",
           label=f"mean without the factor N/B: {without_scale:.2f}")
ax.set(xlabel="L-hat, nats", ylabel="probability")
ax.set_title(f"{len(estimates)} values of L-hat: each is off, their mean is exactly L")
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## 3.3 The same optimum
#
# A single $\hat L$ is far off. Why does it help to go downhill on it? Because the errors have
# mean zero, and small steps average them. To watch it we need a case where the optimum of $L$
# is known. Linear regression with dropout on its two inputs, $f = \sum_d M_d z_d x_d$ and a
# Gaussian likelihood of precision $\tau$, is one. $f$ has mean $\mathrm{keep} \sum_d M_d x_d$
# and variance $\mathrm{keep}(1 - \mathrm{keep}) \sum_d M_d^2 x_d^2$, and the mean of a square
# is the square of the mean plus the variance:
#
# $$L(M) = \frac{\tau}{2} \sum_n \Big[ \Big( y_n - \mathrm{keep} \sum_d M_d x_{nd} \Big)^2 +
# \mathrm{keep} (1 - \mathrm{keep}) \sum_d M_d^2 x_{nd}^2 \Big] + \mathrm{keep} \frac{l^2}{2}
# \lVert M \rVert^2 + \mathrm{constant}$$
#
# This is quadratic in $M$; its gradient is zero at the solution of two linear equations.
# Dropout in linear regression is a *ridge* regression whose penalty on $M_d$ grows with
# $\sum_n x_{nd}^2$. Gradient descent on $L$ goes there. We also go downhill on $\hat L$: each
# step draws one of the 40 examples and one mask. The steps shrink as training goes on. This is
# stochastic gradient descent, SGD.

# %% tags=["picture"]
rng = np.random.default_rng(2)
N, keep, tau, l = 40, 0.5, 1.0, 1.0
X = rng.standard_normal((N, 2)) @ np.array([[1.0, 0.7], [0.0, 0.6]])
y = X @ np.array([1.5, -0.5]) + 0.5 * rng.standard_normal(N)

penalty = tau * keep * (1 - keep) * (X**2).sum(axis=0)
# the gradient of L is A M - c
A = tau * keep**2 * X.T @ X + np.diag(penalty) + keep * l**2 * np.eye(2)
c = tau * keep * X.T @ y
optimum = np.linalg.solve(A, c)

steps, runs, start = 3000, 50 if QUICK else 300, np.array([-0.7, 2.2])
rates = 0.25 / (1 + np.arange(steps) / 50) ** 0.9        # of the steps on L/N and L-hat/N
descent, paths = [start], [np.tile(start, (runs, 1))]    # all runs of SGD at once, one per row
for rate in rates:
    descent.append(descent[-1] - rate * (A @ descent[-1] - c) / N)
    M, rows = paths[-1], rng.integers(N, size=runs)      # each run draws one example, N/B = 40,
    xz = X[rows] * (rng.random((runs, 2)) < keep)        # and one mask for it
    residual = y[rows] - (xz * M).sum(axis=1)
    paths.append(M - rate * (-tau * residual[:, None] * xz + keep * l**2 * M / N))
descent, paths = np.array(descent), np.array(paths)      # (steps + 1, 2), (steps + 1, runs, 2)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2))
g1, g2 = np.meshgrid(np.linspace(-1.2, 2.4, 121), np.linspace(-0.8, 2.6, 121))
surface = 0.5 * (A[0, 0] * g1**2 + 2 * A[0, 1] * g1 * g2
                 + A[1, 1] * g2**2) - c[0] * g1 - c[1] * g2
axes[0].contour(g1, g2, surface - surface.min(), levels=[0.3, 1, 2, 4, 7, 11, 16, 22, 30],
                colors=GREY, linewidths=0.6)
axes[0].plot(*paths[:, 0].T, color=BLUE, linewidth=0.7, label="SGD on L-hat, one run")
axes[0].plot(*descent.T, color=ORANGE, linewidth=2.5, label="gradient descent on L")
axes[0].plot(*optimum, "*", color=RED, markersize=15, label="the optimum of L")
axes[0].set(xlabel="$M_1$", ylabel="$M_2$",
            title="Every step on L-hat is off,\nthe path arrives all the same")
step, rms = np.arange(1, steps + 2), np.sqrt(((paths - optimum) ** 2).sum(axis=2).mean(axis=1))
axes[1].loglog(step, rms, color=BLUE, linewidth=2,
               label=f"SGD on L-hat, root mean square of {runs} runs")
for path, color, width, label in ((descent, ORANGE, 2, "gradient descent on L"),
                                  (paths.mean(axis=1), GREEN, 0.8, "mean of those runs")):
    axes[1].loglog(step, np.linalg.norm(path - optimum, axis=1), color=color, linewidth=width,
                   label=label)
axes[1].set(xlabel="step", ylabel="distance from the optimum of L", ylim=(1e-4, 10))
axes[1].set_title("The noise only adds a spread,\nwhich small steps average away")
for ax in axes:
    ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# In this quadratic case we can say exactly what the noise does to the *mean* path: nothing. The
# gradient of $\hat L$ is linear in $M$, and the draw of a step is independent of all earlier
# ones, so the mean of SGD's path is the path of gradient descent. We check the end points to
# four standard errors, and the optimum against the package, which goes through all masks and
# must find a gradient of zero there.

# %%
ends = paths[-1]
standard_error = ends.std(axis=0, ddof=1) / np.sqrt(len(ends))
for what, value in (("mean end of SGD", ends.mean(axis=0)), ("+-", standard_error),
                    ("gradient descent", descent[-1]), ("optimum", optimum)):
    print(f"{what:17}", value.round(4))
assert np.all(np.abs(ends.mean(axis=0) - descent[-1]) < 4 * standard_error)
assert rms[-1] < 0.1 * rms[0] and rms[-1] < rms[steps // 4] < rms[steps // 16]

linear = nn.Network(fc=nn.Dense(2, 1, noise=nn.Bernoulli(keep)))
objective = bayes.Objective(linear, bayes.Prior(l), bayes.Gaussian(tau), num_data=N)
_, gradient = exact.value_and_grad(objective, {"fc": {"M": optimum[None, :], "b": np.zeros(1)}},
                                   X, y)
assert np.abs(gradient["fc"]["M"]).max() < 1e-12

# %% [markdown]
# ## 3.4 The KL of dropout: two narrow bumps
#
# The second term, $\mathrm{KL}(q_\theta(\omega) \Vert p(\omega))$, needs a density of $q$.
# Dropout's weight is exactly $m$ or exactly 0, which has none. So let both values be blurred a
# little, by a Gaussian of standard deviation $s$. One weight:
#
# $$q(w) = \mathrm{keep} \, N(w; m, s^2) + (1 - \mathrm{keep}) \, N(w; 0, s^2), \qquad p(w) =
# N(w; 0, l^{-2})$$
#
# KL has two parts, $\mathrm{KL} = - E_q[\log p(w)] - H[q]$, where $H[q] = -E_q[\log q(w)]$ is
# the entropy of $q$. The first is exact:
#
# $$- E_q[\log p(w)] = \frac{l^2}{2} E_q[w^2] + \frac12 \log \frac{2 \pi}{l^2} = \frac{l^2}{2}
# (\mathrm{keep} \, m^2 + s^2) + \frac12 \log \frac{2 \pi}{l^2}$$
#
# For the second: as long as the bumps do not overlap, drawing $w$ is drawing the coin, with
# the entropy $H(k) = - k \log k - (1 - k) \log (1 - k)$ at $k = \mathrm{keep}$, and then the
# blur, with entropy $\frac12 \log (2 \pi e s^2)$. There is no $m$ in either. Together
#
# $$\mathrm{KL} = \mathrm{keep} \, \frac{l^2}{2} m^2 + \frac{l^2}{2} s^2 + C(s), \qquad C(s) =
# \frac12 \log \frac{2 \pi}{l^2} - \frac12 \log (2 \pi e s^2) - H(\mathrm{keep})$$
#
# So dropout's KL is a weight decay, $\mathrm{keep} \, \frac{l^2}{2} m^2$, and a constant. Be
# careful with that constant: as the blur goes to zero, $C(s)$ goes to infinity. The *value* of
# the KL means nothing then. Differences between two $m$, and the gradient
# $\mathrm{keep} \, l^2 m$, mean what they say. That is why this project never reports an
# absolute $L$. We check the formula by numerical integration over both bumps, and look also
# where they do overlap:

# %%
keep, l = 0.7, 1.3
n = np.linspace(-12, 12, 4001)                                  # in units of s around each bump
dn = n[1] - n[0]
bump = np.exp(-(n**2) / 2) / np.sqrt(2 * np.pi) * dn            # adds up to 1


def kl_numerical(m, s):
    """E_q[log q - log p], each of the two bumps integrated on a grid of its own."""
    total = 0.0
    for weight, centre in ((keep, m), (1 - keep, 0.0)):
        w = centre + s * n
        log_q = np.logaddexp(np.log(keep) + log_normal(w, m, s),
                             np.log(1 - keep) + log_normal(w, 0, s))
        total += weight * np.sum(bump * (log_q - log_normal(w, 0, 1 / l)))
    return total


entropy_coin = -keep * np.log(keep) - (1 - keep) * np.log(1 - keep)


def C(s):
    return 0.5 * np.log(2 * np.pi / l**2) - 0.5 * np.log(2 * np.pi * np.e * s**2) - entropy_coin


print("    s    numerical KL at m = 1     formula     C(s)")
for s in (0.1, 0.03, 0.01, 0.001, 1e-4):
    formula = keep * l**2 / 2 + l**2 / 2 * s**2 + C(s)
    print(f"{s:7g} {kl_numerical(1.0, s):18.6f} {formula:16.6f} {C(s):10.3f}")
    # the overlap at s = 0.1 is the largest error
    assert abs(kl_numerical(1.0, s) - formula) < 1e-4 * s

net1, prior = nn.Network(fc=nn.Dense(1, 1, noise=nn.Bernoulli(keep))), bayes.Prior(l)
for m in (0.5, 1.0, -2.0):                          # the package leaves C out; and its gradient
    params = {"fc": {"M": np.array([[m]]), "b": np.zeros(1)}}
    assert np.isclose(bayes.kl.value(net1, params, prior), keep * l**2 / 2 * m**2)
    slope = (kl_numerical(m + 0.01, 1e-3) - kl_numerical(m - 0.01, 1e-3)) / 0.02
    assert np.isclose(bayes.kl.grad(net1, params, prior)["fc"]["M"].item(), slope, rtol=1e-6)

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8))
ms = np.linspace(-2, 2, 401)
for s, color in ((0.5, GREEN), (0.2, ORANGE), (0.05, BLUE)):
    w = np.linspace(-1.5, 2.5, 1201)
    q = keep * np.exp(log_normal(w, 1, s)) + (1 - keep) * np.exp(log_normal(w, 0, s))
    axes[0].plot(w, q, color=color, label=f"s = {s}")
    curve = np.array([kl_numerical(m, s) for m in ms]) - C(s) - l**2 / 2 * s**2
    axes[1].plot(ms, curve, color=color, label=f"KL - C(s) - $l^2 s^2$/2, s = {s}")
axes[1].plot(ms, keep * l**2 / 2 * ms**2, "--", color=GREY, linewidth=2,
             label="weight decay, keep $l^2$/2 $m^2$")
axes[1].axhline(entropy_coin, color=GREY, linewidth=0.8, linestyle=":")
axes[1].text(-1.95, entropy_coin + 0.04, "H(keep)", fontsize=8, color=GREY)
axes[0].set(xlabel="weight w", ylabel="density q(w)", ylim=(0, 6),
            title="Dropout's q, blurred: bumps at 0 and at m = 1")
axes[1].set(xlabel="m", ylabel="nats", title="KL becomes weight decay as s shrinks")
for ax in axes:
    ax.legend(fontsize=8)
plt.show()
assert np.isclose(kl_numerical(0.0, 0.05) - C(0.05) - l**2 / 2 * 0.05**2, entropy_coin)

# %% [markdown]
# Near $m = 0$ the bumps merge, the coin is no longer visible in $w$, and KL is higher than the
# formula by $H(\mathrm{keep})$. That spike is as narrow as the blur. In the limit it is a
# single point, which training does not see.
#
# ## 3.5 Weight decay is a prior
#
# Now for all weights: add up. With $\lVert M \rVert^2$ the sum of the squares of all elements
# of $M$,
#
# $$\mathrm{KL}(q_\theta(\omega) \Vert p(\omega)) = \sum_i \frac{l^2}{2} (\mathrm{keep}_i \lVert
# M_i \rVert^2 + \lVert b_i \rVert^2) + \mathrm{constant}$$
#
# The biases have no `keep` because they have no noise. Programs minimise the cost per example,
# $\hat L / N$, by "gradient + wd times weight", where wd is called the weight decay. Taking the
# derivative of $\mathrm{KL}/N$,
#
# $$\mathrm{wd} = \frac{\mathrm{keep} \, l^2}{N} \text{ for } M, \qquad \mathrm{wd} =
# \frac{l^2}{N} \text{ for } b$$
#
# Read backwards: whoever sets a weight decay has chosen a prior. The poster's prior is $l = 1$.
# What does that mean for MNIST, $N = 60{,}000$? And what prior is the common wd = 0.0005? That
# depends on whose weights decay: libraries that divide their masks by `keep` store
# $\mathrm{keep} \, M$.

# %%
drop = nn.Bernoulli(keep=0.5)
net = nn.Network(fc1=nn.Dense(784, 500, noise=drop), relu=nn.ReLU(),
                 fc2=nn.Dense(500, 10, noise=drop))
params = net.init(0, np.float64)
wd = bayes.kl.weight_decay(net, params, bayes.Prior(1.0), num_data=60_000)
print(f"l = 1, keep = 1/2, N = 60,000: wd = {wd['fc1']['M']:.2e} for M, {wd['fc1']['b']:.2e} "
      "for b")
assert np.isclose(wd["fc1"]["M"], 0.5 / 60_000) and np.isclose(wd["fc1"]["b"], 1 / 60_000)

for inverted in (False, True):
    convention = Convention(keep=0.5, inverted=inverted)
    found = convention.lengthscale(weight_decay=5e-4, num_data=60_000)
    by_hand = math.sqrt(5e-4 * 60_000 * (0.5 if inverted else 2.0))
    stored = "keep M (masks divided by keep)" if inverted else "M"
    print(f"wd = 5e-4 on {stored}: l = {found:.2f}, a prior with standard deviation "
          f"{1 / found:.3f}")
    assert np.isclose(found, by_hand)

gradient = bayes.kl.grad(net, params, bayes.Prior(1.0), num_data=60_000)
assert np.allclose(gradient["fc1"]["M"], wd["fc1"]["M"] * params["fc1"]["M"])

# %% [markdown]
# ## 3.6 MGN: what the weight decay leaves out
#
# Multiplicative Gaussian noise, $w = m z$ with $z \sim N(1, v)$, gives one weight the density
# $N(m, v m^2)$ without any blur. (The poster has variance $v = 1$.) The KL between two
# Gaussians is known, and this one is finite:
#
# $$\mathrm{KL} = \frac{l^2}{2} (1 + v) m^2 - \log \lvert m \rvert - \frac12 \log (l^2 v) -
# \frac12$$
#
# The first term is weight decay again, with $E[z^2] = 1 + v$ in the place of `keep`. But there
# is a second one. $-\log \lvert m \rvert$ comes from the entropy: the width of $q$ grows with
# $m$, and a small $m$ makes $q$ narrow, which the prior does not like. It *pushes away from
# zero*. The reading "noise plus weight decay" drops it; this package keeps it. If $K$ weights
# share one $z$ (a column of $M$), $\lvert m \rvert$ becomes the length of the column, and the
# other $K - 1$ directions have no width at all, so a constant is infinite again.

# %%
v, l = 1.0, 1.3
mgn, prior = nn.Network(fc=nn.Dense(1, 1, noise=nn.Gaussian(v))), bayes.Prior(l)
ms = np.linspace(0.05, 2, 400)


def kl_gaussian(m):
    """KL(N(m, v m^2) || N(0, 1/l^2)) on a grid: E_q[log q - log p]."""
    w = m + math.sqrt(v) * m * n
    return np.sum(bump * (log_normal(w, m, math.sqrt(v) * m) - log_normal(w, 0, 1 / l)))


numerical = np.array([kl_gaussian(m) for m in ms])
closed = l**2 / 2 * (1 + v) * ms**2 - np.log(ms) - 0.5 * np.log(l**2 * v) - 0.5
package = np.array([bayes.kl.value(mgn, {"fc": {"M": np.array([[m]]), "b": np.zeros(1)}}, prior)
                    for m in ms])
constant = bayes.kl.constant(mgn, {"fc": {"M": np.ones((1, 1)), "b": np.zeros(1)}}, prior)["fc"]
assert np.allclose(numerical, closed, atol=1e-9)
assert np.allclose(package + constant, closed, atol=1e-12)       # C is finite, so it is known
least = 1 / (l * math.sqrt(1 + v))
assert abs(ms[np.argmin(numerical)] - least) <= ms[1] - ms[0]

fig, ax = plt.subplots(figsize=(8, 3.4))
ax.plot(ms, numerical, color=BLUE, linewidth=2, label="KL of MGN, exactly")
decay = l**2 / 2 * (1 + v) * ms**2
ax.plot(ms, decay + numerical.min(), "--", color=GREY, label="its weight decay alone (shifted)")
ax.axvline(least, color=RED, linestyle=":",
           label=f"least at m = 1/(l sqrt(1 + v)) = {least:.2f}")
ax.set(xlabel="m", ylabel="nats", ylim=(0, 6))
ax.set_title("For MGN the prior keeps weights away from zero; weight decay alone would not")
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## 3.7 All terms of a real one
#
# `checks.explain` takes $\hat L$ apart for a model of yours: each term with its formula, its
# value and its unit, and what is left out.

# %%
x_all, y_all = mb.data.mnist()[:2]
x_small, y_small = x_all[:100].reshape(100, -1), y_all[:100]
model = mb.BayesianNetwork(net, prior=bayes.Prior(1.0), params=net.init(0))
explained = mb.checks.explain(model, x_small, y_small, num_data=60_000)
for term in explained.terms:
    if term.kind != "setting":              # N, B, l, keep and the weight decays are listed too
        value = "left out" if term.value is None else f"{term.value:.1f}"
        print(f"{term.name:10} {term.formula:32} {value:>10} {term.unit}")
assert np.isclose(explained["L-hat"], explained["KL"] + explained["data"])
assert np.isclose(explained["KL"], model.kl())

# %% [markdown]
# A single noisy network, untrained, gives the right digit about one time in ten, so the data
# term is about 60,000 times $\log 10$ or more; the prior's term is small beside it. That is the
# usual proportion with much data: the prior decides where the data are silent.
#
# In short: $L(\theta)$ is the divergence from the posterior but for a constant. One draw of
# dropout noise and one minibatch estimate it without bias. For dropout the prior's term is
# weight decay. So *dropout training with weight decay is a step on $\hat L(\theta)$*; notebook
# 5 puts the two side by side.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Switch the noise off: keep = 1. What are $q_\theta(\omega)$ and $L(\theta)$ then, and what is
# the optimum for linear regression? You have met it under another name. Check it on the data of
# section 3.3.

# %% [markdown] tags=["solution"]
# $q$ is a single point (blurred as in 3.4).
# $L = -\log p(Y \mid X, M) + \frac{l^2}{2} \lVert M \rVert^2$ plus a constant, which is $-\log$
# of the posterior density plus a constant: the optimum is the most probable weight vector,
# the *maximum a posteriori* (MAP). For linear regression it is ridge regression with the
# penalty $l^2 / \tau$.

# %% tags=["solution"]
tau, l = 1.0, 1.0
ridge = np.linalg.solve(X.T @ X + l**2 / tau * np.eye(2), X.T @ y)
certain = nn.Network(fc=nn.Dense(2, 1))                                  # no noise
objective = bayes.Objective(certain, bayes.Prior(l), bayes.Gaussian(tau), num_data=N)
_, gradient = objective.value_and_grad({"fc": {"M": ridge[None, :], "b": np.zeros(1)}}, X,
                                       y[:, None], {})
print("ridge", ridge.round(4), "; with dropout", optimum.round(4), "times keep",
      (0.5 * optimum).round(4))
assert np.abs(gradient["fc"]["M"]).max() < 1e-12

# %% [markdown]
# ### Exercise 2
#
# A program minimises, at every step, the *sum* of $-\log p$ over a minibatch of $B$ plus the
# full KL: it has forgotten $N/B$. Which objective is it an unbiased estimate of, up to a
# factor? With which length-scale $l'$ is that the right objective? Check it on linear
# regression: the optimum of the wrong objective with $l$ must be the optimum of the right one
# with $l'$.

# %% [markdown] tags=["solution"]
# Its mean is $\frac{B}{N} \mathrm{data} + \mathrm{KL}$, which is $\frac{B}{N}$ times
# $\mathrm{data} + \frac{N}{B} \mathrm{KL}$. The factor in front changes no optimum. KL is
# proportional to $l^2$, so it is the right objective for $l' = l \sqrt{N/B}$: with $N = 40$ and
# $B = 4$ a prior more than three times as narrow.

# %% tags=["solution"]
B, keep = 4, 0.5


def gradient_parts(M):
    """The gradients of the exact data term and of KL, at l = 1: section 3.3 by hand."""
    data = tau * ((keep**2 * X.T @ X + np.diag(keep * (1 - keep) * (X**2).sum(axis=0))) @ M
                  - keep * X.T @ y)
    return data, keep * M


l_wrong = math.sqrt(N / B)
right = tau * (keep**2 * X.T @ X
               + np.diag(keep * (1
                                 - keep) * (X**2).sum(axis=0))) + keep * l_wrong**2 * np.eye(2)
M_wrong = np.linalg.solve(right, tau * keep * X.T @ y)
data, kl_gradient = gradient_parts(M_wrong)
print("optimum of the wrong objective", M_wrong.round(4), "; of the right one",
      optimum.round(4))
assert np.abs(B / N * data + kl_gradient).max() < 1e-12

# %% [markdown]
# ### Exercise 3
#
# Repeat 3.3 for MGN. What is $E_q$ of $(y - \sum_d M_d z_d x_d)^2$ for $z_d \sim N(1, v)$?
# Solve for the optimum of the *data term* alone, and confirm with `truth.exact` (which
# integrates over the noise) that its gradient is zero there.

# %% [markdown] tags=["solution"]
# Mean $\sum_d M_d x_d$, variance $v \sum_d M_d^2 x_d^2$: the data term is
# $\frac{\tau}{2} \sum_n [(y_n - \sum_d M_d x_{nd})^2 + v \sum_d M_d^2 x_{nd}^2]$. Again a
# ridge, with the penalty $v \sum_n x_{nd}^2$ on $M_d$. The package's gradient holds KL too, so
# its part is taken off before we compare with zero.

# %% tags=["solution"]
v = 0.5
M_mgn = np.linalg.solve(X.T @ X + np.diag(v * (X**2).sum(axis=0)), X.T @ y)
noisy = nn.Network(fc=nn.Dense(2, 1, noise=nn.Gaussian(v)))
params = {"fc": {"M": M_mgn[None, :], "b": np.zeros(1)}}
objective = bayes.Objective(noisy, bayes.Prior(l), bayes.Gaussian(tau), num_data=N)
_, total = exact.value_and_grad(objective, params, X, y, order=8)
data_part = total["fc"]["M"] - bayes.kl.grad(noisy, params, bayes.Prior(l), N)["fc"]["M"]
print("optimum of the data term with MGN", M_mgn.round(4))
assert np.abs(data_part).max() < 1e-12
