# %% [markdown]
# # 11. New noise, new posterior
#
# **The poster's claim, in our words.** If training with dropout is approximate inference, then
# dropout is one choice of $q_\theta(\omega)$ among many, and the reading works in both
# directions: *every new approximating distribution is a new stochastic regularisation
# technique*, and every new way of adding noise is a new approximating distribution.
#
# What you will see here: what it takes to write down a $q$; the weights of a layer drawn from
# six of them; for each one derivation and one exact check; what noise that learns can learn
# and what it cannot; seven of them on the same data beside the exact posterior; and a $q$
# of your own in ten lines, which a grader examines.

# %%
import itertools
import math
import os
import tempfile
import textwrap
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, checks, nn
from minibayes.bayes.rules.dropout import expected_log_p
from minibayes.bayes.rules.mgn import entropy_along_the_ray
from minibayes.truth import exact, hmc

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"

# %% [markdown]
# ## 11.1 A q is three things
#
# To draw weights $\hat\omega$ from a $q$ we need something random, a rule that turns it into
# noise, and a place where the noise acts:
#
# 1. $\epsilon$, drawn before any parameter is looked at;
# 2. $z = T(\varphi, \epsilon)$, a function of it and of parameters $\varphi$ of its own, if
#    the noise learns;
# 3. the place. Numbers of $M$ that share one $z$ are called a *ray* $m$: a column of $M$
#    where $z$ multiplies the layer's inputs, a single weight where every weight has a $z$.
#
# | technique | $\epsilon$ | $z$ | place | in the package |
# |---|---|---|---|---|
# | dropout | a coin | $\epsilon$ | inputs | `Bernoulli(keep)` |
# | multiplicative Gaussian noise (MGN) | $N(1, v)$ | $\epsilon$ | inputs | `Gaussian(v)` |
# | concrete dropout | $u$, uniform | a steep sigmoid: 11.4 | inputs | `Concrete(keep)` |
# | variational dropout | $N(0, 1)$ | $1 + \sqrt{\alpha} \epsilon$ | any | `LearnedGaussian()` |
# | DropConnect | coins | $\epsilon$ | weights | `Bernoulli(keep)` at `Weights()` |
# | mean field | $N(0, 1)$ | $s \, \epsilon$, added: $w = m + z$ | weights | `MeanField(s)` |
# | spike and slab | a coin and $N(1, v)$ | their product | any | `Times(Bernoulli, Gaussian)` |
#
# The sources: DropConnect is due to Wan et al. (ICML 2013), concrete dropout to Gal, Hron and
# Kendall (arXiv 1705.07832), variational dropout to Kingma, Salimans and Welling (arXiv
# 1506.02557), mean field in networks to Blundell et al. (Bayes by Backprop, arXiv 1505.05424),
# and this spike and slab to McClure and Kriegeskorte (arXiv 1611.01639).
#
# The smallest layer that shows the difference has one input and two outputs, so it has two
# weights, and the picture is their plane. With noise on the input they are one ray; with noise
# on the weights, two. Training moves the cross, $M$, and $\varphi$ where there is one.

# %% tags=["picture"]
M = np.array([[1.0], [0.6]])                            # two weights of one input: (2, 1)
QS = {"dropout": (nn.Bernoulli(0.5), nn.Inputs()),
      "MGN": (nn.Gaussian(0.3), nn.Inputs()),
      "concrete dropout": (nn.Concrete(0.5), nn.Inputs()),
      "DropConnect": (nn.Bernoulli(0.5), nn.Weights()),
      "mean field": (nn.MeanField(0.3), nn.Weights()),
      "spike and slab": (nn.Times(nn.Bernoulli(0.5), nn.Gaussian(0.3)), nn.Weights())}
drawn = {}
for name, (noise, place) in QS.items():
    net = nn.Network(fc=nn.Dense(1, 2, noise=noise, place=place))
    params = {"fc": net.init(0, np.float64)["fc"] | {"M": M}}   # with phi, where there is any
    eps = net.draw(nn.Key(0), (4000, 1), dtype=np.float64)      # 1. eps
    z = net.z(params, eps)                                      # 2. z = T(phi, eps)
    W = bayes.posterior.weights(net, params, z, "fc")["W"][:, :, 0]     # 3. the place
    mean = bayes.posterior.mean(net, params)["fc"]["M"][:, 0]
    square = bayes.posterior.second_moment(net, params)["fc"]["M"][:, 0]
    for values, truth in ((W, mean), (W**2, square)):           # the moments that q claims
        error = values.std(axis=0) / math.sqrt(len(W))
        assert (abs(values.mean(axis=0) - truth) < 4 * error).all()
    drawn[name] = W

fig, axes = plt.subplots(2, 3, figsize=(10, 6.2), sharex=True, sharey=True)
for ax, (name, W) in zip(axes.flat, drawn.items(), strict=True):
    points, counts = np.unique(W[:400].round(2), axis=0, return_counts=True)
    ax.scatter(*points.T, s=6 + 2 * counts, color=BLUE, alpha=0.35, linewidth=0, zorder=2)
    for point, count in zip(points, counts, strict=True):
        if count > 40:
            ax.annotate(f"{count / 400:.0%}", point, xytext=(9, -13), fontsize=9,
                        textcoords="offset points")
    ax.plot(*M, "x", color=RED, markersize=9, markeredgewidth=2, zorder=3)
    ax.set(xlim=(-1.1, 2.7), ylim=(-0.8, 2.0))
    ax.set_title(f"{name}, z at {type(QS[name][1]).__name__}()", fontsize=10)
for ax in axes[1]:
    ax.set_xlabel("weight $W_1$")
for ax in axes[:, 0]:
    ax.set_ylabel("weight $W_2$")
fig.suptitle("Six q of the same two weights, 400 draws each (cross: M; %: draws in one place)",
             fontsize=12)
plt.show()

# %% [markdown]
# Upper row: both weights share one $z$, so all draws lie on the line through 0 and $M$. Lower
# row: a $z$ for each weight, so the draws fill the plane, or a grid in it. A posterior may have
# weights that are correlated in any direction. None of the six can learn that: weights are
# tied along $M$, or independent. Section 11.3 says what it costs.
#
# What a $q$ *costs* is its KL to the prior $N(0, l^{-2})$. Notebook 3 derived it for dropout
# and MGN; the derivation for any of them has the same three parts,
#
# $$\mathrm{KL} = \sum_{\mathrm{rays}} \left( \frac{l^2}{2} E[z^2] \, \lVert m \rVert^2 -
# H(z) - [z \ \mathrm{continuous}] \, \log \lVert m \rVert \right) + C$$
#
# where $H(z)$ is the entropy of $z$ as far as it depends on parameters. The first part is
# $-E_q \log p$. The two others are the entropy of $q$: that of $z$, and, where $z$ is
# continuous, the length of the ray along which it is spread. (Mean field adds, so in the place
# of $E[z^2] \, \lVert m \rVert^2$ stands $m^2 + s^2$, and its entropy is $\log s$. Spike and
# slab is continuous with the probability `keep` only: exercise 1.) One row of this table is one
# function in `bayes/rules/`.
#
# ## 11.2 DropConnect, by enumeration
#
# With a coin for every weight, $W = M \circ z$ (multiplied element by element). The derivation
# is dropout's with rays of one weight: $E[z^2] = \mathrm{keep}$, $z$ is not continuous, and
# $H(\mathrm{keep})$ is a constant as long as `keep` is not learned:
#
# $$\mathrm{KL} = \frac{l^2}{2} \left( \mathrm{keep} \, \lVert M \rVert^2 + \lVert b \rVert^2
# \right) + C$$
#
# It is the *same weight decay* as dropout's. What differs is the expected log-likelihood. A
# network 3-2-1 has 6 + 2 weights, hence $2^8 = 256$ different sets of weights (dropout has
# 3 + 2 coins, so 32). We compute the objective's expectation over all of them in NumPy, then
# by the package, and then as training meets it, one draw at a time.

# %%
KEEP, L, TAU, N = 0.7, 1.3, 4.0, 5
rng = np.random.default_rng(0)
x, y = rng.standard_normal((N, 3)), rng.standard_normal((N, 1))


def connect(place):
    return nn.Network(fc1=nn.Dense(3, 2, noise=nn.Bernoulli(KEEP), place=place), tanh=nn.Tanh(),
                      fc2=nn.Dense(2, 1, noise=nn.Bernoulli(KEEP), place=place))


net = connect(nn.Weights())
params = {name: {p: rng.standard_normal(a.shape) for p, a in group.items()}
          for name, group in net.init(0, np.float64).items()}
M1, b1, M2, b2 = (params[layer][p] for layer in ("fc1", "fc2") for p in ("M", "b"))

by_hand = L**2 / 2 * (KEEP * ((M1**2).sum() + (M2**2).sum()) + (b1**2).sum() + (b2**2).sum())
for mask in itertools.product((0, 1), repeat=8):                # all 256 sets of weights
    z1, z2 = np.reshape(mask[:6], (2, 3)), np.reshape(mask[6:], (1, 2))
    f = np.tanh(x @ (M1 * z1).T + b1) @ (M2 * z2).T + b2
    minus_log_p = TAU / 2 * (y - f) ** 2 + math.log(2 * math.pi / TAU) / 2
    by_hand += KEEP ** sum(mask) * (1 - KEEP) ** (8 - sum(mask)) * minus_log_p.sum()

objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU), num_data=N)
enumerated = exact.terms(objective, params, x, y).total
T = 500 if QUICK else 3000
draws = np.array([objective.terms(params, x, y, net.draw(nn.Key(0, t), x.shape)).total
                  for t in range(T)])
error = draws.std() / math.sqrt(T)
dropout = bayes.Objective(connect(nn.Inputs()), bayes.Prior(L), bayes.Gaussian(TAU), N)
print(f"256 masks in NumPy       {by_hand:.10f} nats")
print(f"256 masks, the package   {enumerated:.10f}")
print(f"{f'{T} draws':24s} {draws.mean():.3f} ± {error:.3f}")
print(f"dropout, its 32 masks    {exact.terms(dropout, params, x, y).total:.3f}")
assert np.isclose(by_hand, enumerated, rtol=1e-12)
assert abs(draws.mean() - enumerated) < 4 * error
assert np.isclose(bayes.kl.value(net, params, bayes.Prior(L)),
                  bayes.kl.value(dropout.net, params, bayes.Prior(L)))

# %% [markdown]
# ## 11.3 Mean field, and the variance it leaves out
#
# Give every weight a normal distribution of its own, $w_i = m_i + s_i \epsilon_i$, with $m$
# and $s$ learned. A ray is one weight and $z$ is continuous, so nothing is infinite, and the KL
# is known with its constant:
#
# $$\mathrm{KL} = \sum_i \frac12 \left( l^2 (m_i^2 + s_i^2) - 1 - \log (l^2 s_i^2) \right)$$
#
# Linear regression, $y \sim N(Xw, \tau^{-1})$, shows what training makes of it. There the
# posterior is normal, with precision matrix $\Lambda = l^2 I + \tau X^\top X$ and mean
# $\mu = \Lambda^{-1} \tau X^\top y$. Up to a constant the objective is
#
# $$L(m, s) = \frac12 (m - \mu)^\top \Lambda (m - \mu) + \frac12 \sum_i \left( \Lambda_{ii}
# s_i^2 - \log s_i^2 \right)$$
#
# and its minimum can be read off: $m = \mu$, and $s_i^2 = 1/\Lambda_{ii}$. The mean is exact.
# But $1/\Lambda_{ii}$ is the variance of $w_i$ *if the other weights were known*; the
# posterior's own is $(\Lambda^{-1})_{ii}$, which is larger wherever inputs are correlated. What
# is lost is
#
# $$\mathrm{KL}(q \Vert \mathrm{posterior}) = \frac12 \left( \sum_i \log \Lambda_{ii} - \log
# \lvert \Lambda \rvert \right)$$
#
# Because nothing is infinite, $L$ with its constant is an upper bound of $-\log p(y \mid X)$,
# and exceeds it by just this number. Two inputs with correlation 0.995 (all columns have mean
# 0, so the best bias is 0, and we leave it out):

# %%
L, TAU, N, RHO = 1.0, 20.0, 40, 0.995
rng = np.random.default_rng(2)
base = np.linalg.qr(np.column_stack([np.ones(N), rng.standard_normal((N, 3))]))[0][:, 1:]
X = math.sqrt(158 / TAU) * np.column_stack(
    [base[:, 0], RHO * base[:, 0] + math.sqrt(1 - RHO**2) * base[:, 1]])   # columns of mean 0
y = X @ [0.8, -0.3] + 0.5 * base[:, 2]
Lambda = L**2 * np.eye(2) + TAU * X.T @ X
mu, s = np.linalg.solve(Lambda, TAU * X.T @ y), 1 / np.sqrt(np.diag(Lambda))
lost = (np.log(np.diag(Lambda)).sum() - np.linalg.slogdet(Lambda)[1]) / 2
true_sd = np.sqrt(np.diag(np.linalg.inv(Lambda)))

net, prior = nn.Network(fc=nn.Dense(2, 1, noise=nn.MeanField(0.3))), bayes.Prior(L)
objective = bayes.Objective(net, prior, bayes.Gaussian(TAU), num_data=N)
best = {"fc": {"M": mu[None], "b": np.zeros(1), "log_std": np.log(s)[None]}}
terms, grads = exact.value_and_grad(objective, best, X, y, order=2)
bound = terms.total + bayes.kl.constant(net, best, prior)["fc"]
covariance = np.eye(N) / TAU + X @ X.T / L**2                   # of y, with w integrated out
evidence = -(y @ np.linalg.solve(covariance, y)
             + np.linalg.slogdet(2 * math.pi * covariance)[1]) / 2
print(f"correlation of the inputs {np.corrcoef(X.T)[0, 1]:.3f}")
print(f"sd of each weight: exact {true_sd[0]:.3f}, mean field {s[0]:.3f}")
print(f"bound {bound:.4f} nats, -log p(y | X) {-evidence:.4f}: {bound + evidence:.4f} too much")
print(f"KL(q || posterior) by the formula: {lost:.4f} nats")
assert all(abs(g).max() < 1e-12 for g in grads["fc"].values())  # it is the optimum
assert np.isclose(bound + evidence, lost) and abs(lost - 1.9) < 0.01

# %%
fig, ax = plt.subplots(figsize=(7, 5.4))
angle = np.linspace(0, 2 * np.pi, 200)
circle = np.stack([np.cos(angle), np.sin(angle)])
for scale, color, name in ((np.linalg.cholesky(np.linalg.inv(Lambda)), BLUE, "exact posterior"),
                           (np.diag(s), ORANGE, "mean field")):
    for width in (1, 2):
        ax.plot(*(mu[:, None] + width * scale @ circle), color=color, linewidth=3 - width,
                label=f"{name}, 1 and 2 sd" if width == 1 else None)
ax.set(xlabel="weight $w_1$", ylabel="weight $w_2$", aspect="equal")
ax.set_title(f"Mean field has {s[0] / true_sd[0]:.0%} of each sd and misses the ridge",
             fontsize=11)
ax.legend()
plt.show()

# %% [markdown]
# The data say what $w_1 + w_2$ is, and little about $w_1 - w_2$: the posterior is a ridge. A
# $q$ with independent weights must fit *inside* it, as KL punishes mass where the posterior has
# hardly any. Mean field has two parameters for each weight, as many as any $q$ here, and still
# has this fault.
#
# ## 11.4 Noise that learns
#
# A number such as `keep` may be learned if the objective has a derivative in it. A coin has
# none: $z$ jumps. *Concrete dropout* replaces the jump by a steep slope,
#
# $$z = \mathrm{sigmoid} \left( \frac{\mathrm{logit} \, \mathrm{keep} + \mathrm{logit} \, u}{t}
# \right), \qquad \mathrm{logit} \, u = \log \frac{u}{1 - u}, \qquad u \ \mathrm{uniform}$$
#
# With the temperature $t \to 0$ it is 1 where $u \gt 1 - \mathrm{keep}$ and 0 elsewhere: the
# coin. In training $t = 0.1$. The KL is that of the coin which is meant. But now
# $H(\mathrm{keep})$ counts, once for each ray, because `keep` changes. For $K$ rays,
#
# $$\mathrm{KL} = \frac{l^2}{2} \mathrm{keep} \, \lVert M \rVert^2 - K H(\mathrm{keep}) + C$$
#
# **Without data.** Use $H'(\mathrm{keep}) = -\mathrm{logit} \, \mathrm{keep}$ and set the
# derivative to zero: $\mathrm{logit} \, \mathrm{keep} = - l^2 \lVert M \rVert^2 / (2 K)$. This
# is never above 0: the prior alone wants to drop half of the units or more. For the Gaussian
# noise that learns, one ray has the KL
#
# $$\frac{l^2}{2} (1 + \alpha) \lVert m \rVert^2 - \log \lVert m \rVert - \frac12 \log \alpha$$
#
# whose derivative is zero at $\alpha = 1/(l^2 \lVert m \rVert^2)$. Along the ray that is an sd
# of $1/l$, the prior's. We go down the KL alone, from a start far away:

# %%
l = 0.8
M = np.array([[1.2, 0.3, -0.7, 2.0], [0.5, -1.0, 1.5, 0.8]])    # four rays of two weights
squares = (M**2).sum(axis=0)
for noise, name, wanted in (
        (nn.Concrete(0.95), "logit_keep", -(l**2) * squares.sum() / (2 * 4)),
        (nn.LearnedGaussian(0.01, per="unit"), "log_alpha", -np.log(l**2 * squares))):
    net = nn.Network(fc=nn.Dense(4, 2, noise=noise))
    params = {"fc": net.init(0, np.float64)["fc"] | {"M": M}}
    for _ in range(300):
        slope = bayes.kl.grad(net, params, bayes.Prior(l))["fc"][name]
        params["fc"][name] = params["fc"][name] - slope
    found = params["fc"][name]
    print(f"{name:10s} after descent {found.round(4)}, by the formula {np.round(wanted, 4)}")
    assert np.allclose(found, wanted, atol=1e-9)

# %% [markdown]
# **With data.** In linear regression all is closed form again. For any noise with the moments
# $E[z] = a$, $E[z^2] = c$,
#
# $$E \lVert y - X \mathrm{diag}(z) M \rVert^2 = \lVert y - a X M \rVert^2 + (c - a^2) \sum_i
# \lVert x_i \rVert^2 M_i^2$$
#
# ($x_i$: column $i$ of $X$), so for given `keep` the best $M$ solves a linear system, and the
# best `keep` is a minimum in one dimension. For the coin $a = c = \mathrm{keep}$. The soft $z$
# that training sees has slightly other moments, so its optimum is elsewhere: that is the price
# of the temperature, and it can be printed.

# %%
L, TAU = 1.0, 0.4


def regression(N):
    """Three inputs, the first two alike; centred."""
    rng = np.random.default_rng(13)
    x = rng.standard_normal((N, 3)) @ np.array([[1.0, 0.6, 0], [0, 0.8, 0], [0, 0, 1]])
    y = x @ [0.8, 0.5, -0.6] + rng.standard_normal(N) / math.sqrt(TAU)
    return x - x.mean(axis=0), y - y.mean()


def optimum(keep, a, c, x, y):
    """(M, L(M, keep) in nats but for a constant): M is best for this keep and these moments."""
    A = a**2 * x.T @ x + (c - a**2) * np.diag((x**2).sum(axis=0))
    M = np.linalg.solve(TAU * A + L**2 * keep * np.eye(3), TAU * a * x.T @ y)
    entropy = -keep * math.log(keep) - (1 - keep) * math.log1p(-keep)
    squares = y @ y - 2 * a * y @ x @ M + M @ A @ M
    return M, TAU / 2 * squares + L**2 / 2 * keep * M @ M - 3 * entropy


x, y = regression(24)
logits = np.linspace(0, 1.5, 301)                               # 0.005 apart
keeps = 1 / (1 + np.exp(-logits))
closed = {}
for t in (0.0, 0.1):                                            # the coin, and the soft z
    a, c = nn.Concrete(0.5, temperature=t).moments({"logit_keep": logits})
    found = [optimum(*numbers, x, y) for numbers in zip(keeps, a, c, strict=True)]
    least = int(np.argmin([value for _, value in found]))
    closed[t] = logits[least], found[least][0]                  # logit keep*, M*

# training: 40 draws of each example a step; the mean over its second half
net, ends = nn.Network(fc=nn.Dense(3, 1, noise=nn.Concrete(0.6))), []
objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU), num_data=24)
params, sgd = net.init(0, np.float64), nn.SGD(5.0, multipliers={"fc": {"M": 0.2, "b": 0.2}})
state, many_x, many_y = sgd.init(params), np.tile(x, (40, 1)), np.tile(y, 40)[:, None]
for step in range(250 if QUICK else 1000):
    eps = net.draw(nn.Key(0).at(step), many_x.shape, dtype=np.float64)
    _, grads = objective.value_and_grad(params, many_x, many_y, eps)
    params, state = sgd.update(params, grads, state)
    ends.append([*params["fc"]["M"][0], params["fc"]["logit_keep"].item()])
trained = np.mean(ends[len(ends) // 2:], axis=0)


def keep_of(logit):
    return 1 / (1 + math.exp(-logit))


for name, logit, weights in (("coin, closed form", *closed[0.0]),
                             ("soft, closed form", *closed[0.1]),
                             ("soft, trained", trained[3], trained[:3])):
    print(f"{name:18s}  keep {keep_of(logit):.4f}   M {np.round(weights, 3)}")
gap = keep_of(closed[0.1][0]) - keep_of(closed[0.0][0])
print(f"the temperature's gap in keep: {gap:+.4f}")
assert abs(trained[3] - closed[0.1][0]) < 0.08              # logits, as steps scatter
assert np.abs(trained[:3] - closed[0.1][1]).max() < 0.04
assert abs(gap) < 0.01

soft, hard = (mb.BayesianNetwork(q, bayes.Prior(L), bayes.Gaussian(TAU), params=params)
              .predict(x, samples=2000, seed=0) for q in (net, net.hard()))
gap = np.sqrt(soft.epistemic / hard.epistemic)
print(f"sd of f, predicted softly, divided by the sd predicted hard: {gap.min():.3f} to "
      f"{gap.max():.3f}")
assert (gap < 1.0).all() and (gap > 0.85).all()

# %% [markdown]
# `net.hard()` is the same network at temperature 0, a true coin. The soft $z$ varies a little
# less, so its sd is too small by some per cent. Train softly, predict hard, and look at both.
#
# **What it learns, and what it cannot.** Return to the one weight of section 9.1, with
# posterior $N(m, v)$. There the best `keep` has a closed form too,
# $\mathrm{logit} \, \mathrm{keep} = m^2/(2v)$ (exercise 1 of notebook 9), while the best
# $\alpha$ makes $q$ exactly the posterior.

# %%
TAU_W = 4.0
rng = np.random.default_rng(0)
x_all = rng.uniform(-1, 1, 5000)
y_all = 1.5 * x_all + rng.standard_normal(5000) / math.sqrt(TAU_W)
Ns = np.unique(np.geomspace(1, 5000, 60).astype(int))
precision = TAU_W * np.cumsum(x_all**2)[Ns - 1] + L**2
m = TAU_W * np.cumsum(x_all * y_all)[Ns - 1] / precision
logit_keep = m**2 * precision / 2
coin_sd = np.exp(-np.logaddexp(0, logit_keep) / 2 - np.logaddexp(0, -logit_keep) / 2) * abs(m)

alpha, at = 1 / (precision * m**2), 30                          # the package agrees, for one N
net = nn.Network(fc=nn.Dense(1, 1, noise=nn.LearnedGaussian(0.5)))
q = {"fc": {"M": m[at].reshape(1, 1), "b": np.zeros(1),
            "log_alpha": np.log(alpha[at:at + 1])}}
objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU_W), num_data=int(Ns[at]))
_, grads = exact.value_and_grad(objective, q, x_all[:Ns[at], None], y_all[:Ns[at]], order=4)
assert all(abs(grads["fc"][p]).max() < 1e-12 for p in ("M", "log_alpha"))

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9))
wide = np.linspace(-2, 8, 101)
for N, color in ((0, GREY), (8, BLUE), (24, GREEN), (60, ORANGE)):
    x, y = (a[:N] for a in regression(max(N, 1)))
    curve = np.array([optimum(k, k, k, x, y)[1] for k in 1 / (1 + np.exp(-wide))])
    left.plot(wide, curve - curve.min(), color=color, label=f"N = {N}")
    left.plot(wide[curve.argmin()], 0, "o", color=color)
left.set(xlabel="logit keep", ylabel="L, nats above its least", ylim=(-0.3, 6))
left.set_title("Linear regression: more data, higher keep", fontsize=11)
left.legend()
right.loglog(Ns, precision**-0.5, color=BLUE, linewidth=5, alpha=0.4, label="exact posterior")
right.loglog(Ns, np.sqrt(alpha) * abs(m), "--", color="black", label="learned alpha")
right.loglog(Ns, 0.4 * abs(m), color=ORANGE, label="keep fixed at 0.8")
right.loglog(Ns, coin_sd, color=RED, label="learned keep")
right.set(xlabel="number of data N (log scale)", ylabel="sd of w (log scale)", ylim=(1e-3, 2))
right.set_title("One weight: a coin that learns is sure too soon", fontsize=11)
right.legend(fontsize=8, loc="lower right")
plt.show()
assert np.allclose(np.sqrt(alpha) * abs(m), precision**-0.5)
assert coin_sd[at] < 0.01 * precision[at] ** -0.5

# %% [markdown]
# - `keep` learns *whether its units are needed*: without data it falls to 1/2 or below, with
#   data it rises, and no grid of trial values is needed. But it cannot learn the *size* of the
#   uncertainty. Two points, 0 and $m$, do not make a narrow distribution around $m$.
# - $\alpha$ learns the size. For one weight $q$ is then the posterior.
# - Neither learns a *direction*. Noise lies along its ray, or along one weight's axis, and the
#   ridge of 11.3 stays out of reach. Nor does noise that learns create uncertainty between
#   groups of data, as we see next.
#
# ## 11.5 The same data under seven q
#
# These are the data, the network 1-10-1 and the prior of section 9.3: two groups of eight
# points, and a gap. The noise is on the ten weights of the second layer. Whatever it is, they
# are independent, so
#
# $$\mathrm{Var}_q[f(x)] = \sum_j \mathrm{Var}_q[W_j] \, r_j(x)^2, \qquad r_j(x) =
# \mathrm{relu}(a_j x + c_j)$$
#
# Each $r_j^2$ is convex and $\mathrm{Var}_q[W_j]$ is not negative, so the theorem of section
# 9.2 holds for *every* $q$ of this kind: learned or not, its variance between two points is
# at most the mean of the variances there. The last row goes further and puts mean field on
# the first layer too, where this formula does not hold; its sd comes from stochastic passes.
# (For mean field on all weights of a network with one hidden layer Foong, Burt, Li and Turner,
# arXiv 1909.00719, prove a bound of the same kind.) The exact sd comes from HMC, in a run about
# half as long as notebook 9's.

# %%
H, TAU, PASSES = 10, 25.0, 1000 if QUICK else 2000
rng = np.random.default_rng(1)
x = np.concatenate([np.linspace(-2, -1, 8), np.linspace(1, 2, 8)])[:, None]
y = np.sin(1.5 * x[:, 0]) + rng.standard_normal(16) / math.sqrt(TAU)
prior, likelihood = bayes.Prior({"fc1": 1.0, "fc2": math.sqrt(H) / 2}), bayes.Gaussian(TAU)
line = np.linspace(-4, 4, 81)[:, None]
REGIONS = {"on the data": (abs(line[:, 0]) >= 1) & (abs(line[:, 0]) <= 2),
           "in the gap": abs(line[:, 0]) <= 0.5,
           "outside": abs(line[:, 0]) >= 3}

target = hmc.LogPosterior(nn.Network(fc1=nn.Dense(1, H), relu=nn.ReLU(), fc2=nn.Dense(H, 1)),
                          prior, likelihood, x, y)
rng = np.random.default_rng(3)
kept, warmup, leaps = (100, 80, 25) if QUICK else (400, 200, 32)
starts = [target.prior_draw(rng) for _ in range(4)]
chains = hmc.sample(target, starts, rng, draws=kept, warmup=warmup, leaps=leaps)
f_hmc = target.predictive(chains.draws, line)[..., 0]           # (chains, draws, 81)
sd_hmc = f_hmc.std(axis=(0, 1))
rhat = hmc.split_rhat(f_hmc).max()
print(f"R-hat of f, the worst of {len(line)} inputs: {rhat:.3f}")
assert rhat < (1.4 if QUICK else 1.05)


def train(second, first=None):
    """The network 1-10-1 with these noises, trained on the two groups."""
    net = nn.Network(fc1=nn.Dense(1, H, noise=first or nn.Delta()), relu=nn.ReLU(),
                     fc2=nn.Dense(H, 1, noise=second))
    model = mb.BayesianNetwork(net, prior, likelihood)
    model.fit(x, y, steps=400 if QUICK else 1500, batch_size=16, seed=0, dtype=np.float64,
              optimizer=nn.Adam(0.02, policy="inv", gamma=0.01), threads=1)
    return model


def sd_by_formula(model):
    """sqrt(sum_j Var[W_j] r_j(x)^2) on the line, from q's moments alone."""
    first = model.params["fc1"]
    r = np.maximum(line @ first["M"].T + first["b"], 0)
    variance = (bayes.posterior.second_moment(model.net, model.params)["fc2"]["M"]
                - bayes.posterior.mean(model.net, model.params)["fc2"]["M"] ** 2)
    return np.sqrt(r**2 @ variance[0])


def by_region(sd):
    return np.array([math.sqrt((sd[rows] ** 2).mean()) for rows in REGIONS.values()])


def row(name, sd):
    on_data, gap, outside = by_region(sd)
    print(f"{name:26s}{on_data:12.3f}{gap:13.3f}{outside:10.3f}{gap / on_data:11.2f}")


FIXED = {"dropout, keep 0.9": nn.Bernoulli(0.9), "MGN, variance 1/9": nn.Gaussian(1 / 9),
         "spike and slab": nn.Times(nn.Bernoulli(0.95), nn.Gaussian(0.06))}
LEARNED = {"concrete dropout": nn.Concrete(0.9),
           "learned alpha": nn.LearnedGaussian(0.1, per="unit"),
           "mean field": nn.MeanField(0.05)}
models = {name: train(noise) for name, noise in (FIXED | LEARNED).items()}
sds = {name: sd_by_formula(model) for name, model in models.items()}
both = train(nn.MeanField(0.05), first=nn.MeanField(0.05))
passes = both.predict(line, samples=PASSES, seed=0)
sds["mean field, both layers"] = np.sqrt(passes.epistemic[:, 0])

print(f"{'sd of f':26s} {'   '.join(REGIONS)}   gap/data")
row("exact (HMC)", sd_hmc)
for name, sd in sds.items():
    row(name, sd)
    assert by_region(sd)[1] < 0.5 * by_region(sd_hmc)[1]        # all are too sure in the gap
for name in models:
    assert np.diff(sds[name] ** 2, 2).min() > -1e-10            # the theorem: convex in x
drawn = models["mean field"].predict(line, samples=PASSES, seed=0).epistemic[:, 0]
assert np.allclose(drawn, sds["mean field"] ** 2, rtol=0.25)    # the formula, by passes
on_data = {name: by_region(sd)[0] for name, sd in sds.items()}
assert max(on_data[name] for name in LEARNED) < min(on_data[name] for name in FIXED)

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
groups = {"Noise that is fixed": list(FIXED), "Noise that learns": list(LEARNED),
          "Noise on both layers": ["mean field, both layers"]}
for ax, (title, names) in zip(axes, groups.items(), strict=True):
    ax.plot(line, sd_hmc, color=BLUE, linewidth=2.5, label="exact (HMC)")
    for name, color in zip(names, (ORANGE, GREEN, RED), strict=False):
        ax.plot(line, sds[name], color=color, label=name)
    ax.plot(x, np.full(len(x), 0.02), "k|", markersize=8, label="data")
    ax.axvspan(-0.5, 0.5, color=GREY, alpha=0.12, linewidth=0)
    ax.set(xlabel="x", ylim=(0, 1.3))
    ax.set_title(f"{title}: at most {max(sds[name][40] for name in names):.2f} at x = 0",
                 fontsize=10)
    ax.legend(fontsize=8, loc="upper center")
axes[0].set_ylabel("sd of f")
fig.suptitle(f"None of these q has the exact sd in the gap: {sd_hmc[40]:.2f} at x = 0",
             fontsize=12)
plt.show()

# %% [markdown]
# Section 9.3 found dropout too unsure *on* the data. Noise that learns repairs that: there its
# sd comes down towards the exact one. The gap is another matter. The bowl is only scaled, so
# what is gained on the data is lost in the gap. New noise is a new posterior. It is not always
# a better one, and only the comparison with an exact answer tells.
#
# ## 11.6 A q of your own in ten lines
#
# Now invent one. Let $z$ be uniform between $1 - c$ and $1 + c$: noise that never switches a
# unit off and, with $c \lt 1$, never turns its sign. Its moments are $E[z] = 1$ and
# $E[z^2] = 1 + c^2/3$. The KL follows from the general formula of 11.1: $z$ is continuous, and
# its entropy $\log (2c)$ is a constant, so
#
# $$\mathrm{KL} = \sum_{\mathrm{rays}} \left( \frac{l^2}{2} \left( 1 + \frac{c^2}{3} \right)
# \lVert m \rVert^2 - \log \lVert m \rVert \right) + C$$
#
# The first part is a weight decay, $-E_q \log p$, for which the package has a function, and the
# second the entropy along the ray, as for MGN. Seven lines say what is drawn, three what it
# costs:

# %%
@dataclass(frozen=True)
class Uniform(nn.Noise):
    c: float = 0.5

    def draw(self, key, shape, rows):
        return 1 + self.c * (2 * key.uniform(shape, rows) - 1)

    def moments(self, phi):
        return 1.0, 1 + self.c**2 / 3                               # E[z], E[z^2]


@bayes.kl.rule(Uniform, bayes.Normal)
def uniform(q, prior):
    return expected_log_p(q, prior, q.moments[1], "E[z^2]", (entropy_along_the_ray(q),))


of_noise, of_rule = checks.noise(Uniform()), checks.rule(Uniform(), bayes.Prior(1.3))
print(of_noise)
print(f"{of_rule.subject}: {len(of_rule.findings)} findings, {len(of_rule.wrong)} wrong")
assert of_noise.passed and of_rule.passed

# %% [markdown]
# That was all. `checks.noise` has compared draws with moments and looked whether a row of noise
# depends on its seed, layer, example and pass alone; `checks.rule` has compared the rule with
# a KL integrated numerically, for a dense layer with the noise on inputs, outputs and weights
# and for a convolution. Now the new $q$ trains, predicts, is saved and loaded like any other,
# and `truth.exact` integrates over it: it calls `draw` with the nodes of a quadrature in the
# place of random numbers, and takes them if they give the moments that the noise claims.

# %%
own = train(Uniform(0.58))                                      # variance 1/9, as MGN's above
sd_own = sd_by_formula(own)
row("exact (HMC)", sd_hmc)
row("uniform, your own", sd_own)
with tempfile.TemporaryDirectory() as folder:
    own.save(f"{folder}/own.npz")
    again = mb.load(f"{folder}/own.npz")
assert again.net.layers["fc2"].noise == Uniform(0.58)
assert np.array_equal(again.predict(line, seed=1).mean, own.predict(line, seed=1).mean)
assert by_region(sd_own)[1] < 0.5 * by_region(sd_hmc)[1]
assert np.diff(sd_own**2, 2).min() > -1e-10                     # the theorem holds for it too


net, m = nn.Network(fc=nn.Dense(2, 1, noise=Uniform())), np.array([[0.7, -1.1]])
rng = np.random.default_rng(5)
X, t = rng.standard_normal((6, 2)), rng.standard_normal(6)
objective = bayes.Objective(net, bayes.Prior(1.0), bayes.Gaussian(TAU), num_data=6)
integrated = 6 * exact.terms(objective, {"fc": {"M": m, "b": np.zeros(1)}}, X, t, order=4).nll
by_hand = (TAU / 2 * (((t - X @ m[0]) ** 2).sum() + 0.5**2 / 3 * (X**2 @ m[0] ** 2).sum())
           + 3 * math.log(2 * math.pi / TAU))
print(f"-E log p: {integrated:.10f} nats by integration, {by_hand:.10f} by the moments")
assert np.isclose(integrated, by_hand, rtol=1e-12)

# %% [markdown]
# What if there is a mistake? Here are three that are easily made: a forgotten factor 1/3 in the
# variance; draws that do not come from the key, so that no run can be repeated; and a KL
# that forgets the entropy, as if this were dropout. Nothing in a training run would show any of
# them. The grader says what is wrong:

# %%
@dataclass(frozen=True)
class NoThird(Uniform):
    def moments(self, phi):
        return 1.0, 1 + self.c**2


@dataclass(frozen=True)
class Unkeyed(Uniform):
    def draw(self, key, shape, rows):
        rng = np.random.default_rng()
        return rng.uniform(1 - self.c, 1 + self.c, shape).astype(rows.dtype)


@dataclass(frozen=True)
class DecayAlone(Uniform):
    pass


@bayes.kl.rule(DecayAlone, bayes.Normal)
def decay_alone(q, prior):
    return expected_log_p(q, prior, q.moments[1], "E[z^2]")


verdicts = [checks.noise(NoThird()), checks.noise(Unkeyed()),
            checks.rule(DecayAlone(), bayes.Prior(1.3))]
for verdict in verdicts:
    name = verdict.subject.split("(")[0]
    print(textwrap.fill(f"{name}: {verdict.cause}", 96, subsequent_indent="    "))
    assert not verdict.passed
assert "E[z^2] is wrong" in verdicts[0].cause and "reproducible" in verdicts[1].cause
assert "entropy along the ray" in verdicts[2].cause

# %% [markdown]
# In short: a $q$ is $\epsilon$, $T$ and a place; its KL is one row of a table; and between
# "a new regularisation technique" and "a new approximating distribution" there is no
# difference but the words. Which one is *good* is another question, and the exact answers of
# small problems are the way to ask it.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# `Times(Bernoulli(keep), Gaussian(v))` is the product of a coin and a normal number, so $w$ is
# 0 with probability $1 - \mathrm{keep}$ (the spike) and from $N(m, v m^2)$ otherwise (the
# slab): a mixture of two distributions. What are $E[z]$ and $E[z^2]$? Find the part of its KL
# that depends on $m$, from the entropy of the mixture. Without data, which $\lVert m \rVert$
# is best, and does the coin matter for that?

# %% [markdown] tags=["solution"]
# The factors are independent: $E[z] = \mathrm{keep}$, $E[z^2] = \mathrm{keep} (1 + v)$. Once
# the blur is narrow, spike and slab do not overlap, so the entropy is that of the coin plus the
# mean of their two entropies. Only the slab's contains $m$, by $\log \lVert m \rVert$, and it
# counts with probability `keep`. Together
#
# $$\mathrm{KL} = \mathrm{keep} \left( \frac{l^2}{2} (1 + v) \lVert m \rVert^2 - \log \lVert m
# \rVert \right) + C$$
#
# which is `keep` times the KL of MGN. The factor does not move the minimum,
# $\lVert m \rVert = 1/(l \sqrt{1 + v})$.

# %% tags=["solution"]
keep, v, l = 0.5, 0.3, 1.3
both = nn.Times(nn.Bernoulli(keep), nn.Gaussian(v))
assert np.isclose(both.mean, keep) and np.isclose(both.second_moment, keep * (1 + v))
product, mgn = (nn.Network(fc=nn.Dense(2, 3, noise=noise)) for noise in (both, nn.Gaussian(v)))
M = np.random.default_rng(0).standard_normal((3, 2))
M *= 1 / (l * math.sqrt(1 + v)) / np.sqrt((M**2).sum(axis=0))       # columns of the best length
params = {"fc": {"M": M, "b": np.zeros(3)}}
values = [bayes.kl.value(net, params, bayes.Prior(l)) for net in (product, mgn)]
print(f"KL of the product {values[0]:.4f} nats, of MGN {values[1]:.4f}, up to their constants")
assert np.isclose(values[0], keep * values[1])
assert np.abs(bayes.kl.grad(product, params, bayes.Prior(l))["fc"]["M"]).max() < 1e-12

# %% [markdown]
# ### Exercise 2
#
# `LearnedGaussian(per="weight")` has $w = m (1 + \sqrt{\alpha} \epsilon)$, `MeanField` has
# $w = m + s \epsilon$. Show that both are one family of $q$ with one KL, and find the map
# between their parameters. What is the best $\alpha$ in linear regression then? And without
# data? Where do the two differ after all?

# %% [markdown] tags=["solution"]
# Both are $N(m, s^2)$ with $s^2 = \alpha m^2$. In the KL of 11.4,
# $- \log \lvert m \rvert - \frac12 \log \alpha = - \log s$ and $(1 + \alpha) m^2 = m^2 + s^2$:
# mean field's. So in linear regression $\alpha_i = 1/(\Lambda_{ii} \mu_i^2)$, and without
# data, where $\Lambda = l^2 I$, $\alpha = 1/(l^2 m^2)$. They differ in their coordinates, and
# a gradient step depends on those: a step in $m$ at fixed $\alpha$ changes the width of $q$
# too. At $m = 0$ one has no noise at all, and the other has.

# %% tags=["solution"]
M, s, l = np.array([[0.9, -0.4, 2.0]]), np.array([[0.2, 0.7, 1.1]]), 1.3
pair = ((nn.MeanField(), {"log_std": np.log(s)}),
        (nn.LearnedGaussian(per="weight"), {"log_alpha": np.log(s**2 / M**2)}))
found = []
for noise, phi in pair:
    net = nn.Network(fc=nn.Dense(3, 1, noise=noise))
    params = {"fc": {"M": M, "b": np.zeros(1)} | phi}
    whole = (bayes.kl.value(net, params, bayes.Prior(l))
             + bayes.kl.constant(net, params, bayes.Prior(l))["fc"])
    found.append((whole, bayes.kl.grad(net, params, bayes.Prior(l))["fc"]["M"]))
    print(f"{type(noise).__name__:16s} KL {whole:.6f} nats, dKL/dM {found[-1][1][0].round(3)}")
by_hand = ((l**2 * (M**2 + s**2) - 1 - np.log(l**2 * s**2)) / 2).sum()
assert np.isclose(found[0][0], by_hand) and np.isclose(found[1][0], by_hand)
assert not np.allclose(found[0][1], found[1][1])

# %% [markdown]
# ### Exercise 3
#
# `fit(kl_factor=c)` minimises the data term plus $c \, \mathrm{KL}$. A program adds the whole
# KL to the sum of $-\log p$ over *every minibatch* of $B$ out of $N$ data, and so has $c = N/B$
# without knowing (notebook 3 met it with dropout). What is mean field's optimum in linear
# regression for any $c$? How many data does that program believe to have? And what does
# $c \lt 1$ do, which some use to get better figures?

# %% [markdown] tags=["solution"]
# Divide by $c$: $\frac{1}{c} \, \mathrm{data} + \mathrm{KL}$ is the right objective for the
# precision $\tau / c$, or for $1/c$ copies of each datum:
#
# $$\Lambda_c = l^2 I + \frac{\tau}{c} X^\top X, \qquad m = \Lambda_c^{-1} \frac{\tau}{c}
# X^\top y, \qquad s_i^2 = \frac{1}{(\Lambda_c)_{ii}}$$
#
# With $c = N/B$ that is a posterior from as much information as $B$ data hold: too wide. With
# $c \lt 1$ it is one from more data than there are: too narrow. Its loss is no bound, and the
# history of such a fit says `bound: False`.

# %% tags=["solution"]
rng, N, B, l, tau = np.random.default_rng(0), 40, 8, 1.0, 4.0
X = rng.standard_normal((N, 2))
X -= X.mean(axis=0)
t = X @ [1.0, -0.5] + rng.standard_normal(N) / math.sqrt(tau)
t -= t.mean()
net, prior = nn.Network(fc=nn.Dense(2, 1, noise=nn.MeanField(0.1))), bayes.Prior(l)
objective = bayes.Objective(net, prior, bayes.Gaussian(tau), num_data=N)
for c in (N / B, 1.0, 0.1):
    precision = l**2 * np.eye(2) + tau / c * X.T @ X
    s = 1 / np.sqrt(np.diag(precision))
    m = np.linalg.solve(precision, tau / c * X.T @ t)
    params = {"fc": {"M": m[None], "b": np.zeros(1), "log_std": np.log(s)[None]}}
    _, grads = exact.value_and_grad(objective, params, X, t, order=2)
    of_kl = bayes.kl.grad(net, params, prior, N)["fc"]
    rest = max(np.abs(grads["fc"][p] + (c - 1) * of_kl[p]).max() for p in ("M", "log_std"))
    print(f"c = {c:3.1f}: m {m.round(3)}, s {s.round(3)}")
    assert rest < 1e-12
model = mb.BayesianNetwork(net, prior, bayes.Gaussian(tau))
history = model.fit(X, t, steps=10, batch_size=B, kl_factor=0.1, threads=1)
assert not history[-1]["bound"]
