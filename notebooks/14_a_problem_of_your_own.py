# %% [markdown]
# # 14. A problem of your own
#
# **The poster's claim, in our words.** It asks for *practical deep learning uncertainty*. A
# practitioner has a table, and four questions: what will it be, and how sure is that? Does the
# interval hold what it says? Which columns matter? Which rows should be labelled next?
#
# What you will see here: one fit and its two kinds of uncertainty; a gap in the data that
# dropout does not see, and the last layer's exact posterior does, if it is asked in time; a
# promise that holds whatever the model is; five columns of ten found by their noise; and a
# batch of questions that is not ten times the same question.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import active, bayes, conformal, models, nn
from minibayes.bayes.sparsity import relevance

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"

# %% [markdown]
# ## 14.1 How much, and how sure
#
# `Regressor` takes the table as it is: it puts columns in standard units, learns `keep` with
# concrete dropout, and stops by rows it sets aside. What comes back is a normal mixture with
# mean and standard deviation, in the units of $y$:
#
# $$p(y \mid x) \approx \frac1T \sum_t N(y; f(x, \hat\omega_t), \sigma^2)$$
#
# Its variance has two parts: *aleatoric*, the noise in $y$, which more rows do not lessen, and
# *epistemic*, over $\omega$, which they do. Off the data the second should grow.

# %%
houses = mb.data.boston()
order = np.random.default_rng(0).permutation(len(houses.y))
train, held, new = np.split(order, [200, 300])
model = mb.Regressor(seed=0, threads=1).fit(houses.x[train], houses.y[train])
mean, std = model.predict(houses.x[new], return_std=True)
here = model.predictive(houses.x[new])
far = 4 * houses.x[new] - 3 * houses.x[train].mean(axis=0)          # four times as far out
there = model.predictive(far)
rmse = float(np.sqrt(((mean - houses.y[new]) ** 2).mean()))
ratio = float(np.sqrt(there.epistemic.mean() / here.epistemic.mean()))
print(f"RMSE {rmse:.2f} on new rows; the standard deviation of y is {houses.y[new].std():.2f}")
print(f"epistemic standard deviation four times as far out: {ratio:.1f} x")
assert rmse < 0.6 * houses.y[new].std()
assert ratio > 1.5

# %% [markdown]
# ## 14.2 Between two clusters
#
# A row may be far from all others and yet between them. There dropout is blind: with one hidden
# layer and noise after it, the variance of $f$ is $\mathrm{Var}[z] \sum_j w_j^2 \phi_j(x)^2$,
# and for ReLU units that is *convex* in $x$: never more in a gap than on both of its sides
# (`minibayes check --only uncertainty-one-layer`). The net need not be trained again for a
# remedy. Freeze its hidden units $\phi$ and a 1 for the bias; what is left is linear in its
# weights, and its posterior under $w \sim N(0, l^{-2} I)$ is known exactly:
#
# $$w \mid y \sim N(\tau S \Phi' y, S), \qquad S = (l^2 I + \tau \Phi' \Phi)^{-1}$$
#
# with $l$ and $\tau$ of the greatest evidence $N(y; 0, \Phi \Phi' / l^2 + I / \tau)$.

# %%
rng = np.random.default_rng(1)
gap_x = np.concatenate([rng.uniform(-1, -0.7, 40), rng.uniform(0.5, 0.8, 40)])[:, None]
gap_y = np.cos(4 * gap_x[:, 0] + 0.8) + 0.1 * rng.standard_normal(80)
between = np.linspace(-0.5, 0.3, 41)[:, None]                       # in the gap


def two_posteriors(seed, epochs, samples=400):
    """Of MC dropout and of the exact last layer of the same net: x -> prediction."""
    net = models.mlp([1, 50, 1], noise=nn.Bernoulli(0.9))
    one = mb.BayesianNetwork(net, bayes.Prior(0.1), bayes.Gaussian(100.0))
    one.fit(gap_x, gap_y, epochs=epochs, batch_size=40, report_every=10**6, seed=seed,
            optimizer=nn.Adam(0.01), threads=1)
    return {"MC dropout": lambda at: one.predict(at, samples=samples, threads=1),
            "exact last layer": mb.LastLayer(one, gap_x, gap_y).predict}


def stds(predict):
    """Epistemic standard deviation: mean on the data, and the greatest in the gap."""
    std = np.sqrt(predict(np.concatenate([gap_x, between])).epistemic[:, 0])
    return std[:80].mean(), std[80:].max()


table = {}
for epochs in (200, 1000):
    for seed in range(2 if QUICK else 5):
        for name, predict in two_posteriors(seed, epochs).items():
            table.setdefault((epochs, name), []).append(stds(predict))
for (epochs, name), pairs in table.items():
    on, gap = np.array(pairs).T
    table[epochs, name] = gap / on
    least, most = table[epochs, name].min(), table[epochs, name].max()
    print(f"{epochs:4d} epochs, {name:16s}: {np.median(on):.3f} on the data, "
          f"{np.median(gap):.3f} in the gap; ratios {least:.1f} to {most:.1f}")
assert all((table[epochs, "MC dropout"] < 1).all() for epochs in (200, 1000))
assert (table[200, "exact last layer"] > 1.5).all()
assert np.median(table[1000, "exact last layer"]) < np.median(table[200, "exact last layer"])

# %%
line = np.linspace(-1.3, 1.1, 121)[:, None]
fig, axes = plt.subplots(1, 2, figsize=(11, 3.2), sharey=True)
for ax, (name, predict), color in zip(axes, two_posteriors(0, 200, 2000).items(),
                                      (BLUE, ORANGE), strict=True):
    made, (on, gap) = predict(line), stds(predict)
    f, std = made.mean[:, 0], np.sqrt(made.epistemic[:, 0])
    ax.fill_between(line[:, 0], f - 2 * std, f + 2 * std, color=color, alpha=0.3,
                    label="+- 2 standard deviations of f")
    ax.plot(line[:, 0], f, color=color, label="mean")
    ax.plot(gap_x[:, 0], gap_y, ".", color=GREY, label="data")
    ax.plot(line[:, 0], np.cos(4 * line[:, 0] + 0.8), ":", color=GREY, label="truth")
    ax.set(xlabel="x", ylim=(-2, 2),
           title=f"{name}: {on:.3f} on the data, {gap:.3f} in the gap")
axes[0].set_ylabel("y")
axes[0].legend(loc="upper left", ncols=2, fontsize=8)
plt.show()

# %% [markdown]
# After 200 epochs the last layer is two to five times as unsure in the gap as on the data (five
# seeds), dropout 0.8 to 0.9 times. It sees that there is a gap, but not how little is known of
# it: the truth is many standard deviations away from both. Its posterior is exact *given* the
# features, and those are one point. Trained for 1,000 epochs they leave less open, and the
# ratio falls to between 1.3 and 1.8. Who is sure of the features is sure of the gap.

# %% [markdown]
# ## 14.3 An interval that holds what it says
#
# The interval of a model is as good as the model. *Conformal prediction* asks less of it: keep
# $n$ rows aside, and score each by how badly it was predicted,
# $s_i = \lvert y_i - \mu_i \rvert / \sigma_i$. If a new row is of the same kind, its score is
# as likely to be the $j$-th smallest of the $n + 1$ for each $j$. So it is at most the $k$-th
# smallest of the $n$ with probability exactly
#
# $$\frac{k}{n + 1}, \qquad k = \lceil (n + 1)(1 - a) \rceil$$
#
# The $+ 1$ is often forgotten, and the plain quantile of $n$ scores taken. How much is lost can
# be counted: each of $n + 1$ scores in turn is the new one.

# %%
def covered(rank, n):
    scores = np.arange(n + 1)
    inside = [scores[i] <= np.delete(scores, i)[rank - 1] for i in range(n + 1)]
    return np.mean(inside)


n = 20
ours, plain = conformal.rank(n, 0.9), math.ceil(0.9 * n)
print(f"n = {n}, 90 % promised: rank {ours} covers {covered(ours, n):.3f}, "
      f"rank {plain}, the plain quantile, {covered(plain, n):.3f}")
assert covered(ours, n) == 19 / 21 >= 0.9
assert covered(plain, n) == 18 / 21

sure = mb.Conformal(model, houses.x[held], houses.y[held])
lower, upper = sure.interval(houses.x[new], 0.9)
inside = float(((lower <= houses.y[new]) & (houses.y[new] <= upper)).mean())
law = sure.law(0.9)
error = math.hypot(law.std, math.sqrt(0.09 / len(new)))
print(f"conformal intervals hold {inside:.3f} of {len(new)} new rows; "
      f"expected {law.mean:.3f} +- {error:.3f}")
assert abs(inside - law.mean) < 4 * error

# %% [markdown]
# ## 14.4 Which columns matter
#
# Let the first layer learn one noise for each *input*, $z_d \sim N(1, \alpha_d)$. What the data
# need can bear little noise; what they do not need is given more, because the KL falls with
# $\alpha$. So $1/\alpha_d$, the signal in what is left of an input over its noise, ranks the
# columns. Friedman's function has ten, of which five count:
#
# $$y = 10 \sin(\pi x_1 x_2) + 20 (x_3 - \tfrac12)^2 + 10 x_4 + 5 x_5 + \epsilon$$

# %%
def friedman(N, seed):
    u = np.random.default_rng(seed).uniform(0, 1, (N, 10))
    y = (10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2
         + 10 * u[:, 3] + 5 * u[:, 4])
    y += np.random.default_rng([seed, 1]).standard_normal(N)
    return (u - 0.5) * math.sqrt(12), (y - 14.4) / 5


learns = nn.LearnedGaussian(0.1, per="unit")
found = []
for seed in range(2 if QUICK else 5):
    x, y = friedman(500, seed)
    net = nn.Network(fc1=nn.Dense(10, 20, noise=learns), tanh=nn.Tanh(),
                     fc2=nn.Dense(20, 1, noise=learns))
    one = mb.BayesianNetwork(net, bayes.LogUniform(), bayes.Gaussian(25.0))
    one.fit(x, y, steps=3000, batch_size=100, report_every=3000, seed=seed, threads=1,
            optimizer=nn.Adam(0.01, policy="inv", gamma=5 / 3000))
    found.append(relevance(one.net, one.params))
found = np.array(found)
print("1/alpha, means over seeds:", found.mean(axis=0).round().astype(int))
assert (found[:, :5].min(axis=1) > found[:, 5:].max(axis=1)).all()

# %% [markdown]
# In each seed the five are above the rest. (`tests/test_relevance.py` asks ten.) How large
# $1/\alpha$ becomes depends on how long was trained; the order is what counts.
#
# The same of an image: one $\alpha$ for each of MNIST's 784 pixels. Its frame should be off.

# %%
digits, label, x_test, y_test = mb.data.mnist()
flat = digits[:5000].reshape(5000, -1)
net = nn.Network(fc1=nn.Dense(784, 50, noise=learns), relu=nn.ReLU(),
                 fc2=nn.Dense(50, 10, noise=learns))
one = mb.BayesianNetwork(net, bayes.LogUniform())
one.fit(flat, label[:5000], steps=300 if QUICK else 1000, batch_size=100, report_every=1000,
        seed=0, threads=1, optimizer=nn.Adam(0.005))
signal = relevance(one.net, one.params).reshape(28, 28)
blank = (flat == 0).all(axis=0).reshape(28, 28)                     # in all 5,000 digits
frame = np.ones((28, 28), bool)
frame[1:-1, 1:-1] = False
middle = signal[9:19, 9:19]
print(f"1/alpha in the middle: {middle.min():.2f} to {middle.max():.1f}; of the frame's "
      f"{frame.sum()} pixels: {signal[frame].min():.2f} to {signal[frame].max():.2f}")
print(f"{blank.sum()} pixels are never on, {(frame & blank).sum()} of them in the frame: "
      f"1/alpha = {signal[blank].min():.3f} to {signal[blank].max():.3f}")
std = flat.std(axis=0)
ranks = [np.argsort(np.argsort(a)) for a in (signal.ravel(), std)]
print(f"rank correlation with the pixel's standard deviation: {np.corrcoef(*ranks)[0, 1]:.2f}")
assert signal[frame].max() < middle.min()
assert np.ptp(signal[blank]) < 1e-3 * signal[blank].max()

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4))
for ax, image, title in ((axes[0], std.reshape(28, 28), "standard deviation of a pixel"),
                         (axes[1], np.log10(signal), "log 1/alpha, base 10: the frame is off")):
    ax.grid(False)
    fig.colorbar(ax.imshow(image, cmap="viridis"), ax=ax)
    ax.set(xticks=[], yticks=[], title=title)
plt.show()

# %% [markdown]
# The frame is off: its pixels bear more noise than any of the hundred in the middle. How that
# comes about is not alike for all. A pixel that is never on is multiplied by its noise and
# stays 0, so the likelihood has no derivative in its $\alpha$: what is left is the KL, which
# falls as $\alpha$ grows. No data, so $q$ goes to the prior: under the log-uniform one that is
# $\alpha = \infty$, as far as it comes in so many steps, and for all blank pixels alike. Of the
# others the data do say something; but these columns are not in standard units, and mostly it
# is how much a pixel varies.
#
# ## 14.5 Which rows to label next
#
# Labels cost. BALD asks for the row whose label would teach most about $\omega$:
#
# $$I(y; \omega \mid x) = H\left[\frac1T \sum_t p_t\right] - \frac1T \sum_t H[p_t]$$
#
# Ten at a time is another matter: if the pool has copies, the best ten are copies of one.
# BatchBALD asks for the ten that teach most *together*, $I(y_1, \dots, y_{10}; \omega)$. It
# needs the passes of all rows to share their $\omega_t$.
#
# Four hundred digits, each in the pool five times, and twenty labels to begin with:

# %%
count = 400
x, x_test = (((part - 0.13) / 0.31).reshape(len(part), -1)
             for part in (digits[:count], x_test[:500]))
pool = np.tile(x, (5, 1)), np.tile(label[:count], 5)
start = np.concatenate([np.flatnonzero(label[:count] == c)[:2] for c in range(10)])
net = models.mlp([784, 100, 10], noise=nn.Bernoulli(0.5))
learner = mb.BayesianNetwork(net, bayes.Prior(0.1))
batches = {}
for how, name in (("top", "BALD"), ("batch", "BatchBALD")):
    rounds = active.rounds(learner, pool, (x_test, y_test[:500]), start, 10, how=how,
                           samples=50, steps=150, batch_size=20, optimizer=nn.Adam(0.003),
                           seed=0, threads=1)
    batches[name] = np.array(next(rounds).chosen) % count       # which digit it is a copy of
different = {name: len(set(chosen.tolist())) for name, chosen in batches.items()}
print("different digits in a batch of ten:", different)
assert different["BALD"] <= 4
assert different["BatchBALD"] >= 8

# %% tags=["picture"]
fig, axes = plt.subplot_mosaic("ab;ac", figsize=(11, 4), width_ratios=(1, 1.3))
axes["a"].boxplot(found, tick_labels=[f"x{d}" for d in range(1, 11)])
axes["a"].set(yscale="log", xlabel="input", ylabel="1/alpha (log scale)",
              title="Friedman's five inputs stand out")
for panel, (name, chosen) in zip("bc", batches.items(), strict=True):
    row = np.concatenate([x[i].reshape(28, 28) for i in chosen], axis=1)
    axes[panel].imshow(row, cmap="gray_r")
    axes[panel].set(xticks=[], yticks=[],
                    title=f"{name} asks for ten labels: {different[name]} different digits")
    axes[panel].grid(False)
plt.show()

# %% [markdown]
# `minibayes active` plays this to its end: a convolutional network, a pool of a thousand
# digits, six seeds. To 90 % right it takes 200 labels at random (median), 120 by BALD and 115
# by BatchBALD. With every digit twice BALD takes 250; with every digit five times it is not
# there by 300. BatchBALD takes 100 and 115. Published, with all 60,000 digits: 255, 155 and
# 105; with every digit twice 170, 175 and 100.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# How many calibration rows does a conformal interval of 99 % need before it is finite?

# %% [markdown] tags=["solution"]
# The rank $k = \lceil (n + 1) \, 0.99 \rceil$ must be at most $n$, so $(n + 1) \, 0.01 \geq 1$:
# 99 rows.

# %% tags=["solution"]
least = next(n for n in range(1, 1000) if conformal.rank(n, 0.99) <= n)
assert least == 99
print(least)

# %% [markdown]
# ### Exercise 2
#
# Intervals can also be all alike, `scaled=False`. They hold as much. What is worse about them?

# %% [markdown] tags=["solution"]
# They are as wide where the model is sure as where it is not: too wide for most rows, too
# narrow for a few. The promise is an average over rows, and says nothing of a single one.

# %% tags=["solution"]
alike = mb.Conformal(model, houses.x[held], houses.y[held], scaled=False)
low, high = alike.interval(houses.x[new], 0.9)
print(f"widths: alike {np.ptp(high - low):.1g} apart, scaled {np.ptp(upper - lower):.1f} apart")
assert np.ptp(high - low) < 1e-6 < 1 < np.ptp(upper - lower)

# %% [markdown]
# ### Exercise 3
#
# What does BALD say of a row that is ambiguous, and of which nothing can be learned: every pass
# says 1/2?

# %% [markdown] tags=["solution"]
# That it teaches nothing: the entropy of the mean is log 2, and so is that of each pass. The
# entropy alone would ask for it again and again.

# %% tags=["solution"]
coin = np.full((20, 1, 2), 0.5)
assert active.bald(coin)[0] < 1e-12 and active.entropy(coin)[0] > 0.69
print(active.entropy(coin).round(3), active.bald(coin).round(3))
