# %% [markdown]
# # 15. Fewer bits
#
# **The poster's claim, in our words.** Once weights have a distribution one may ask how little
# of them must be said, and the poster asks it: *model compression, W ~ discrete distribution
# with continuous base measure?* A posterior says which weights carry no information, and a
# prior whose draws are discrete says that weights may share their values.
#
# What you will see here: what a noisy weight is worth in bits; weights that go because their
# posterior says so; a draw from a Dirichlet process, and how many values it has; the sampler
# of who shares a value with whom, by hand; learned sharing beside sharing at random; a code
# that is as short as the evidence is great; and a network of 20,600 weights in a file of some
# 3,000 bytes.

# %%
import math
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, compress, kernels, nn, packing
from minibayes.bayes.rules import loguniform

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"
PINK = "#CC79A7"

# %% [markdown]
# ## 15.1 What a noisy weight is worth
#
# You send me a network. We agreed on a prior $p(w)$ beforehand, and you have
# $q(w) = N(m, s^2)$. How many bits for one weight? To send a number to a precision $\delta$
# takes $-\log_2 (p(w) \delta)$ bits, and that grows without end as $\delta$ falls. But you do
# not care *which* draw from $q$ I get. So choose the draw by other bits that you want to send
# anyway: I see the draw, know $q$ once I have trained on the same data, and read
# $-\log_2 (q(w) \delta)$ of those bits back (Hinton and van Camp 1993). What it has cost is
#
# $$E_q [\log q(w) - \log p(w)] = \mathrm{KL}(q \Vert p)$$
#
# which is what training minimises beside the fit. The precision $\delta$ has cancelled.
#
# Which $p$? Take the best zero-mean normal for this very weight, $v = m^2 + s^2$. With
# $\alpha = s^2/m^2$ its KL is the capacity of a channel with the signal $m^2$ and the noise
# $s^2$, and the log-uniform prior's KL (notebook 11) has much the same shape:
#
# $$\min_v \mathrm{KL}(N(m, s^2) \Vert N(0, v)) = \frac12 \log \left( 1 + \frac1\alpha \right)$$

# %%
m, s = 0.3, 0.5
v = np.exp(np.linspace(-6, 3, 20001))
kl = 0.5 * (np.log(v / s**2) + (m**2 + s**2) / v - 1)          # nats, N(m, s^2) from N(0, v)
alpha = s**2 / m**2
print(f"least KL {kl.min():.6f} nats, at v = {v[kl.argmin()]:.4f}; "
      f"1/2 log(1 + 1/alpha) = {0.5 * math.log1p(1 / alpha):.6f}, "
      f"m^2 + s^2 = {m**2 + s**2:.4f}")
assert abs(kl.min() - 0.5 * math.log1p(1 / alpha)) < 1e-6

log_alpha = np.array([-8.0, -4.0, 0.0, 2.0, 3.0, 6.0])
bits = {"log-uniform": loguniform.exact(log_alpha) / math.log(2),
        "best normal": 0.5 * np.logaddexp(0, -log_alpha) / math.log(2)}
print("log alpha    " + "".join(f"{a:8.0f}" for a in log_alpha))
for name, found in bits.items():
    print(f"{name:12s} " + "".join(f"{b:8.3f}" for b in found) + "   bits a weight")
assert all((np.diff(found) < 0).all() and found[-1] < 0.01 for found in bits.values())

# %% [markdown]
# A weight with $\log \alpha = 3$, whose standard deviation is 4.5 times its mean, is worth a
# twentieth of a bit or less: its draw carries no information, whatever the receiver gets. So
# it may as well be 0. The rule "prune by $\log \alpha$", or by the ratio of signal to noise
# $\lvert m \rvert / s$, is not a rule of thumb about small weights. It is a statement about
# $q$.
#
# Digits of 14 x 14 pixels, a network 196-100-10, noise on each weight under the log-uniform
# prior (sparse variational dropout, 12.5):

# %%
images, y, test, y_test = mb.data.mnist()


def pixels(a):
    """(N, 196): each 2 x 2 pixels averaged, standardised."""
    small = a.reshape(len(a), 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(a), -1)
    return ((small - 0.13) / 0.28).astype(np.float32)


N = 6000 if QUICK else 20_000
x, y, x_test = pixels(images[:N]), y[:N], pixels(test)


def network(layer):
    return nn.Network(fc1=layer(196, 100), relu=nn.ReLU(), fc2=layer(100, 10))


def train(net, steps, rate=2e-3, params=None, tied=False, **options):
    """Adam, its rate a tenth at the end of the last half; the model."""
    model = mb.BayesianNetwork(net, options.pop("prior", bayes.Prior(1.0)))
    adam = nn.Adam(rate, policy=lambda t: 0.1 ** max(0.0, 2 * t / steps - 1))
    adam = compress.tied(params, adam) if tied else adam
    model.fit(x, y, steps=steps, batch_size=100, report_every=steps, seed=0, optimizer=adam,
              params=params, **options)
    return model


def error(model):
    return model.predict(x_test, rule="weight-averaging").error(y_test)


steps = 2500 if QUICK else 6000
dense = train(network(nn.Dense), steps // 2)
sparse = train(network(lambda a, b: nn.Dense(a, b, noise=nn.MeanField(0.03))), steps, 4e-3,
               prior=bayes.LogUniform(), kl_factor=lambda t: min((t + 1) / (0.4 * steps), 1))
found = bayes.sparsity.log_alpha(sparse.net, sparse.params)
every = np.concatenate([found[name].ravel() for name in ("fc1", "fc2")])
worth = loguniform.exact(every) / math.log(2)
print(f"{every.size:,} weights; error dense {error(dense):.2%}, with noise {error(sparse):.2%}")
print(f"all draws together are worth {worth.sum():,.0f} bits, {worth.sum() / 8:,.0f} bytes; "
      f"those with log alpha > 3, {(every > 3).mean():.0%}, {worth[every > 3].sum():,.0f} bits")
assert worth[every > 3].sum() < 0.15 * worth.sum() and (every > 3).mean() > 0.6

# %% [markdown]
# In a network of 80,000 bytes the data have left a few hundred bytes of knowledge. Not all of
# the rest can be saved: bits back needs a receiver who can train. But most of it can: take the
# weights away that are worth nothing.
#
# `compress.LogAlpha(a)` takes away all with $\log \alpha \gt a$, `compress.SignalToNoise(p)` a
# share $p$ of all weights, the noisiest first. As $\log \alpha = -2 \log (\lvert m \rvert/s)$
# both ask for the same order, and differ in where they cut. The size of $\lvert m \rvert$
# alone is another order, which forgets what the weight is multiplied with.

# %%
thresholds = (6, 5, 4, 3, 2, 1, 0, -1, -2, -3)
curve = {"by log alpha": [], "by the size of m": []}


def pruned_to(masks):
    """(share of weights left, error) with the weights of `masks` kept."""
    params = {name: {"M": group["M"] * masks[name], "b": group["b"]}
              for name, group in plain.params.items()}
    left = sum(mask.sum() for mask in masks.values()) / every.size
    return left, error(mb.BayesianNetwork(plain.net, params=params))


plain = mb.BayesianNetwork(sparse.net.without_noise(), params={
    name: {p: sparse.params[name][p] for p in ("M", "b")} for name in ("fc1", "fc2")})
sizes = {name: abs(plain.params[name]["M"]) for name in ("fc1", "fc2")}
ordered = np.sort(np.concatenate([a.ravel() for a in sizes.values()]))
for at in thresholds:
    masks = {name: a <= at for name, a in found.items()}
    curve["by log alpha"].append(pruned_to(masks))
    cut = ordered[-sum(mask.sum() for mask in masks.values())]
    curve["by the size of m"].append(pruned_to({n: a >= cut for n, a in sizes.items()}))

share = float((every > 3).mean())
by_alpha, by_ratio = (compress.compress(sparse.net, sparse.params, how) for how in
                      (compress.LogAlpha(3), compress.SignalToNoise(share)))
assert all(np.array_equal(by_alpha.params[n]["M"], by_ratio.params[n]["M"])
           for n in ("fc1", "fc2"))
print(by_alpha.table)

# %%
def numbered(axis, ticks):
    """Plain numbers on a logarithmic axis."""
    axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.set_minor_locator(plt.NullLocator())


fig, axes = plt.subplots(1, 2, figsize=(10, 3.8))
grid = np.linspace(-10, 10, 200)
axes[0].hist(every.clip(-10, 12), bins=60, color=GREY, alpha=0.5)
axes[0].set(xlabel=r"$\log \alpha$ of a weight", ylabel="weights", yscale="log")
axes[0].axvline(3, color=RED, linewidth=1)
twin = axes[0].twinx()
twin.plot(grid, loguniform.exact(grid) / math.log(2), color=BLUE, label="log-uniform prior")
twin.plot(grid, 0.5 * np.logaddexp(0, -grid) / math.log(2), color=ORANGE, linestyle="--",
          label="best normal prior")
twin.set(ylabel="what a draw is worth, bits", ylim=(0, None))
twin.grid(False)
twin.legend(fontsize=8, loc="upper right")
axes[0].set_title(f"{share:.0%} of the weights are beyond 3,\nwhere a draw is worth nothing",
                  fontsize=10)
for (name, points), color, mark in zip(curve.items(), (BLUE, ORANGE), "os", strict=True):
    axes[1].plot(*(100 * np.array(points)).T, mark + "-", color=color, label=name)
axes[1].axhline(100 * error(dense), color=GREY, linewidth=0.8, label="dense network")
axes[1].set(xscale="log", yscale="log", xlabel="weights left, % (log scale)",
            ylabel="test error, % (log scale)")
numbered(axes[1].xaxis, (2, 5, 10, 20, 40))
numbered(axes[1].yaxis, (3, 5, 10, 20, 50))
axes[1].set_title("The same number of weights, chosen in two ways", fontsize=10)
axes[1].legend(fontsize=8)
plt.show()
middle = len(thresholds) - 3
print("left {:.1%}: error {:.2%} by log alpha, {:.2%} by size".format(
    *curve["by log alpha"][middle], curve["by the size of m"][middle][1]))
assert curve["by log alpha"][3][1] < error(sparse) + 0.005

# %% [markdown]
# ## 15.2 A draw that repeats itself
#
# The weights that are left still take 32 bits each. The poster's words: a *discrete
# distribution with a continuous base measure*. That is the Dirichlet process,
# $G \sim \mathrm{DP}(\alpha, G_0)$ (another $\alpha$: a strength of belief). Break a stick of
# length 1 at $v_1$, the rest at $v_2$, and so on, each $v_k \sim \mathrm{Beta}(1, \alpha)$;
# give every piece a place drawn from $G_0$:
#
# $$G = \sum_k \beta_k \delta(\theta_k), \qquad \beta_k = v_k \prod_{j \lt k} (1 - v_j),
# \qquad \theta_k \sim G_0$$
#
# $G_0$ is continuous, so no two $\theta_k$ are equal; $G$ is discrete, so two weights drawn
# from it are equal with a positive probability. How many different values have $n$ weights?
# Draw them one after another and integrate $G$ out: weight $i$ (from 0) takes a new value with
# the probability $\alpha/(\alpha + i)$, else that of an earlier weight. So the number of
# values $K$ is a sum of independent coins, and its distribution is known exactly:
#
# $$E[K] = \sum_{i=0}^{n-1} \frac{\alpha}{\alpha + i} \approx \alpha \log \frac{n}{\alpha}$$

# %%
rng = np.random.default_rng(0)


def broken_stick(alpha, pieces=400):
    v = rng.beta(1, alpha, pieces)
    return v * np.concatenate([[1], np.cumprod(1 - v[:-1])]), rng.standard_normal(pieces)


def law_of_K(alpha, n):
    """p(K = k), k = 0 ... n: coins are added one by one."""
    p = np.zeros(n + 1)
    p[0] = 1
    for i in range(n):
        new = alpha / (alpha + i)
        p[1:] = p[1:] * (1 - new) + p[:-1] * new
        p[0] *= 1 - new
    return p


ALPHA, n, DRAWS = 3.0, 200, 500 if QUICK else 3000
counts = []
for _ in range(DRAWS):
    beta, theta = broken_stick(ALPHA)
    counts.append(len(np.unique(theta[rng.choice(len(beta), n, p=beta / beta.sum())])))
law = law_of_K(ALPHA, n)
k = np.arange(n + 1)
exact, sd = (law * k).sum(), math.sqrt((law * k**2).sum() - (law * k).sum() ** 2)
print(f"{n} weights from a Dirichlet process with alpha = {ALPHA:g}: {np.mean(counts):.3f} "
      f"values on average in {DRAWS} draws, exactly {exact:.3f} (sd {sd:.3f})")
assert abs(exact - (ALPHA / (ALPHA + np.arange(n))).sum()) < 1e-10
assert abs(np.mean(counts) - exact) < 4 * sd / math.sqrt(DRAWS)

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
beta, theta = broken_stick(ALPHA)
axes[0].vlines(theta, 0, beta, color=BLUE)
axes[0].plot(theta, beta, "o", color=BLUE, markersize=3)
values = np.linspace(-3.5, 3.5, 200)
axes[0].plot(values, np.exp(-(values**2) / 2) / math.sqrt(2 * math.pi), color=ORANGE,
             label="$G_0$, a density")
axes[0].set(xlabel="value of a weight", ylabel="probability", xlim=(-3.5, 3.5))
axes[0].set_title(f"One draw $G$: {(beta > 0.01).sum()} values have more than 1 % each",
                  fontsize=10)
axes[0].legend(fontsize=8)
shown = slice(0, 35)
axes[1].bar(k[shown], np.bincount(counts, minlength=n + 1)[shown] / DRAWS, color=BLUE,
            alpha=0.5, label=f"{DRAWS} draws")
axes[1].plot(k[shown], law[shown], "o", color=RED, markersize=4, label="exactly")
axes[1].set(xlabel=f"different values among {n} weights", ylabel="probability")
axes[1].set_title(f"$E[K]$ = {exact:.1f} of {n}", fontsize=10)
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## 15.3 Who shares with whom
#
# Now the other way: the weights are there, $w_i = \theta_{c_i} + s_i \epsilon_i$, where $s_i$
# is what $q$ does not know of the weight anyway. Which share a value? With
# $\theta \sim N(0, 1/p_0)$ the values are integrated out exactly: $n_k$ weights with the
# precisions $r_i = 1/s_i^2$ leave
# $\theta_k \sim N(m_k, 1/p_k)$, $p_k = p_0 + \sum r_i$, $m_k = \sum r_i w_i/p_k$. So take a
# weight out, and seat it again by its probability given all others (*collapsed Gibbs*, Neal
# 2000):
#
# $$p(c_i = k) \propto n_k \, N \left( w_i; m_k, \frac1{r_i} + \frac1{p_k} \right), \qquad
# p(c_i \mathrm{\ new}) \propto \alpha \, N \left( w_i; 0, \frac1{r_i} + \frac1{p_0} \right)$$

# %%
def normal(w, mean, var):
    return np.exp(-((w - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)


def sweep(w, r, alpha, p0, u, c):
    """Each weight in turn leaves its value and is seated anew; c (n,) is written."""
    for i in range(len(w)):
        c[i] = -1
        labels = np.unique(c[c >= 0])
        free = next(k for k in range(len(w)) if k not in labels)
        p = [(c == k).sum() * normal(w[i], (r * w)[c == k].sum() / (p0 + r[c == k].sum()),
                                     1 / r[i] + 1 / (p0 + r[c == k].sum())) for k in labels]
        p = np.cumsum([*p, alpha * normal(w[i], 0, 1 / r[i] + 1 / p0)])
        c[i] = [*labels, free][np.searchsorted(p, u[i] * p[-1])]


w = np.concatenate([rng.normal(at, 0.1, 12) for at in (-1.0, 0.2, 0.8)])
r, p0, c = np.full(len(w), 1 / 0.1**2), 1.0, np.full(len(w), -1)
label, count = c.copy(), np.zeros(len(w), np.int64)
precision, weighted, laid = np.full(len(w), p0), np.zeros(len(w)), 0
for _ in range(20):
    u = rng.random(len(w))
    sweep(w, r, 1.0, p0, u, c)
    laid = kernels.restaurant(w, r, 1.0, p0, u, label, count, precision, weighted, laid)
    assert np.array_equal(c, label)
print("who shares with whom, after 20 sweeps:", *c)
print("values", (weighted / precision)[np.unique(label)].round(3), "(drawn at -1, 0.2, 0.8)")
assert len(np.unique(c)) < 8

# %% [markdown]
# That it samples the right posterior is checked by enumerating all partitions
# (`minibayes check --only sharing`). A weight prefers a value that many have, by $\log n_k$,
# and that is the length of its name in a good code. So accuracy is weighed against storage by
# the prior itself.
#
# On one layer, the last of the dense network, $10 \times 100$ weights: $K$ values by k-means,
# by the Dirichlet process (which finds $K$; its $s$ goes from wide to narrow), and at random,
# which is what HashedNets do (Chen et al. 2015), here without training them.

# %%
def one_layer(how):
    """(values, error) if the last layer alone is shared."""
    made = compress.compress(dense.net, dense.params, how)
    params = dense.params | {"fc2": made.params["fc2"]}
    return made.rows[-1].values, error(mb.BayesianNetwork(dense.net, params=params))


ways = {"k-means": [one_layer(compress.KMeans(K)) for K in (2, 3, 4, 6, 8, 16, 32)],
        "Dirichlet process": [one_layer(compress.DirichletProcess(std=s))
                              for s in (0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05)],
        "at random": [one_layer(compress.AtRandom(K)) for K in (2, 4, 8, 16, 32, 128, 512)]}
hashed = {}
for values in (16, 64, 256):
    net = nn.Network(fc1=nn.Dense(196, 100), relu=nn.ReLU(), fc2=nn.Hashed(100, 10, values))
    hashed[values] = error(train(net, steps // 2))
ways["HashedNets, trained"] = list(hashed.items())

fig, ax = plt.subplots(figsize=(7.5, 3.8))
for (name, points), color, mark in zip(ways.items(), (BLUE, ORANGE, GREY, GREEN), "osvD",
                                       strict=True):
    K, wrong = np.array(points).T
    ax.plot(K, 100 * wrong, mark + "-", color=color, label=name)
ax.axhline(100 * error(dense), color=RED, linewidth=0.8, linestyle=":", label="1,000 values")
ax.set(xscale="log", yscale="log", xlabel="values of the last layer (log scale)",
       ylabel="test error, % (log scale)")
numbered(ax.xaxis, (2, 5, 10, 20, 50, 100, 200, 500))
numbered(ax.yaxis, (3, 5, 10, 20, 50))
best = min(points for points in ways["Dirichlet process"] if points[1] < error(dense) + 0.003)
ax.set_title(f"The last layer needs {best[0]} values of 1,000 if it may choose who shares them",
             fontsize=10)
ax.legend(fontsize=8)
plt.show()
print(f"16 values: k-means {dict(ways['k-means'])[16]:.2%}, at random "
      f"{dict(ways['at random'])[16]:.2%}, trained with random ties {hashed[16]:.2%}; "
      f"dense {error(dense):.2%}")
assert dict(ways["k-means"])[16] < dict(ways["at random"])[16] - 0.02
assert dict(ways["k-means"])[16] < error(dense) + 0.003

# %% [markdown]
# Ties at random cost a trained layer everything. Trained *with* its ties the layer recovers,
# because the 100 units before it adapt; and it stores no index at all, since who shares is a
# function of a seed. Exercise 2 does that account.
#
# ## 15.4 A code as short as the evidence is great
#
# A matrix with few values is still 32 bits a weight until somebody writes it differently.
# `save(compact=True)` asks of each weight "is it 0?", then "which value?", and codes each
# answer by an arithmetic coder with the probability that a Bayesian who saw the answers so far
# would give: under a Beta(1/2, 1/2) prior, after $n_0$ times no and $n_1$ times yes,
# $p = (n_1 + 1/2)/(n_0 + n_1 + 1)$. The product of these is the *evidence* of the whole
# sequence, so the code has $-\log_2$ of the evidence in bits, and no table to store. Measured
# against it, and against the entropy of coins whose bias is known:

# %%
def log2_evidence(zeros, ones):
    return (math.lgamma(zeros + 0.5) + math.lgamma(ones + 0.5) - math.lgamma(zeros + ones + 1)
            - math.log(math.pi)) / math.log(2)


def entropy(counts):
    p = np.asarray(counts, float)[np.asarray(counts) > 0] / np.sum(counts)
    return -(p * np.log2(p)).sum()


size = 20_000
print("share of ones   n H bits   -log2 evidence   bits in the file")
for share in (0.5, 0.1, 0.03, 0.005):
    ones = round(share * size)
    code = np.ones((size, 1), np.uint64)                         # 1: no, 2: yes
    code[rng.permutation(size)[:ones]] = 2
    out = np.zeros(size, np.uint8)
    length = 8 * kernels.encode(code, np.zeros_like(code), 1, 0, out)
    evidence = -log2_evidence(size - ones, ones)
    print(f"{share:13.3f}   {size * entropy([size - ones, ones]):8.0f}   {evidence:14.1f}   "
          f"{length:16d}")
    assert abs(length - evidence) < 0.01 * evidence + 100

# %% [markdown]
# So the file pays the evidence and a few bytes. For a matrix it can pay *less* than $n H$,
# because the coder keeps counts for rows and columns: one that has been empty is likely to
# stay so. What is left of a first layer of a digits' network is such a matrix; the same
# numbers in another order are not.

# %%
M = by_alpha.params["fc1"]["M"]
M = compress.compress(by_alpha.net, by_alpha.params, compress.KMeans(8)).params["fc1"]["M"]
full = np.zeros((100, 196), np.float32)        # as before rows and columns left
full[:M.shape[0], :M.shape[1]] = M
values, counts = np.unique(full, return_counts=True)
bound = (full.size * entropy(counts) + 32 * (len(values) - 1)) / 8
stirred = rng.permutation(full.ravel()).reshape(full.shape)
sizes = len(packing.record(full)), len(packing.record(stirred))
print(f"n H + 32 K: {bound:,.0f} bytes; the record {sizes[0]:,}; the same numbers stirred "
      f"{sizes[1]:,}")
assert sizes[0] < sizes[1] and sizes[1] < 1.05 * bound + 40

# %% [markdown]
# ## 15.5 All of it: a file
#
# `compress(net, params, how=)` takes steps in their order and returns a network of this
# library: noise gone, rows and columns of zeros out of the matrices, units that always say the
# same number moved into the next bias. What is left is trained on, with its zeros and ties
# kept (`compress.tied`: each weight gets the gradient of its *value*, summed over all that
# share it); shared; trained on again; and written.

# %%
made = compress.compress(sparse.net, sparse.params, compress.LogAlpha(2))
outputs = made.net.forward(made.params, x_test, {})[0]
masked = bayes.sparsity.prune(sparse.net, sparse.params, 2)
by_masks = sparse.net.forward(masked, x_test, sparse.net.mean_noise(masked))[0]
print(f"{made.params['fc1']['M'].shape[0]} of 100 units are left; the masked network's outputs "
      f"differ by at most {abs(outputs - by_masks).max():.0e}")
assert np.allclose(outputs, by_masks, atol=1e-3)

pruned = train(made.net, steps // 4, 1e-3, made.params, tied=True)
ways = {"16 values, k-means": compress.KMeans(16), "8 values, k-means": compress.KMeans(8),
        "Dirichlet process": compress.DirichletProcess(std=0.15),
        "16 values, at random": compress.AtRandom(16)}
models = {"dense": dense, "pruned": pruned}
for name, how in ways.items():
    shared = compress.compress(pruned.net, pruned.params, how)
    models[name] = (mb.BayesianNetwork(shared.net, params=shared.params) if "random" in name
                    else train(shared.net, steps // 8, 5e-4, shared.params, tied=True))

# %% tags=["picture"]
rows = {}
with tempfile.TemporaryDirectory() as folder:
    for name, model in models.items():
        for compact in (False, True):
            path = Path(folder) / "model.npz"
            model.save(path, compact=compact)
            read = mb.load(path)
            assert np.array_equal(read.predict(x_test, rule="weight-averaging").mean,
                                  model.predict(x_test, rule="weight-averaging").mean)
            rows[name, compact] = path.stat().st_size, error(read)
print("                       as any file    compact    error")
for name in models:
    print(f"{name:22s} {rows[name, False][0]:9,} B {rows[name, True][0]:9,} B   "
          f"{rows[name, True][1]:.2%}")

fig, ax = plt.subplots(figsize=(8, 3.8))
for name, color, mark in zip(models, (GREY, BLUE, ORANGE, PINK, GREEN, RED), "XosD^v",
                             strict=True):
    for compact in (False, True):
        ax.plot(rows[name, compact][0], 100 * rows[name, compact][1], mark, color=color,
                markersize=9, label=name if compact else None,
                fillstyle="full" if compact else "none")
ax.set(xscale="log", yscale="log", xlabel="bytes on disk (log scale); hollow: not compact",
       ylabel="test error, % (log scale)", ylim=(2, 110))
numbered(ax.yaxis, (2, 3, 5, 10, 20, 50, 90))
numbered(ax.xaxis, (2000, 5000, 10_000, 20_000, 50_000, 100_000))
dp = rows["Dirichlet process", True]
ax.set_title(f"{rows['dense', False][0]:,} bytes, {rows['dense', False][1]:.2%} wrong: with "
             f"pruned and shared weights\n{dp[0]:,} bytes, {dp[1]:.2%} wrong", fontsize=10)
ax.legend(fontsize=8)
plt.show()
assert dp[0] < rows["dense", False][0] / 20 and dp[1] < rows["dense", False][1] + 0.01
assert rows["16 values, at random", True][1] > 0.3

# %% [markdown]
# Every error in that table is of a file that was *read again*, and its predictions have the
# same bits as before. Two ways of counting are in use, and published figures differ by which
# one they take: weights left, and bits $n H(\mathrm{index}) + 32 K$, an ideal code for who has
# which value plus the values. Neither counts biases, shapes or names; the file does.

# %%
final = models["Dirichlet process"]
counted = compress.compress(final.net, final.params, ())
weights = 196 * 100 + 100 * 10
left = sum(row.left for row in counted.rows)
by_bits = 32 * weights / sum(row.bits for row in counted.rows)
on_disk = 4 * (weights + 110) / dp[0]
print(counted.table)
print(f"\nagainst the dense network: {weights / left:.1f} x fewer weights, {by_bits:.1f} x "
      f"fewer bits, {on_disk:.1f} x fewer bytes on disk,\nof which {dp[0] - counted.packed} "
      "are the file's frame and header")
assert weights / left < by_bits and on_disk < by_bits

# %% [markdown]
# On so small a network the header is a good part of the file; `minibayes compress` does all of
# this to 784-300-100-10 and to LeNet, whose files end at about a hundredth of the bytes.
#
# In short: $q$ says what a weight is worth, and a weight that is worth nothing can go; a
# Dirichlet process says how many values the others need; a code pays what the evidence says.
# It is one account, in one currency, from the training's loss to the bytes on the disk.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# A network has 266,200 weights. How many values does a Dirichlet process with $\alpha = 1$
# expect among them? For which $\alpha$ does it expect 100? What does $\alpha$ mean, then?

# %% [markdown] tags=["solution"]
# From the sum in 15.2, by bisection. $K$ grows like $\alpha \log (n / \alpha)$: $\alpha$ is
# about the number of new values each time the number of weights grows by the factor $e$. With
# data it hardly matters: a new value pays $\log \alpha$, once, an existing one $\log n_k$.

# %% tags=["solution"]
i = np.arange(266_200)


def expected(alpha):
    return (alpha / (alpha + i)).sum()


low, high = 1.0, 100.0
while high - low > 1e-6:
    middle = (low + high) / 2
    low, high = (middle, high) if expected(middle) < 100 else (low, middle)
print(f"alpha = 1: {expected(1.0):.1f} values; 100 values at alpha = {low:.2f}")
assert abs(expected(1.0) - 13.1) < 0.05 and abs(expected(low) - 100) < 1e-3

# %% [markdown]
# ### Exercise 2
#
# HashedNets with one value for 64 weights store no index. Sixteen learned values store one. Is
# learned sharing really cheaper? Compare bits a weight with all weights kept, and with 3 % of
# them kept.

# %% [markdown] tags=["solution"]
# At random: $32/64 = 1/2$ bit a weight. Sixteen values: up to $\log_2 16 = 4$ bits, eight times
# more. With 3 % of the weights left it is $H(0.03)$ for which are left, and 4 bits for each of
# those: 0.31 bits. Learned sharing wins only together with pruning.

# %% tags=["solution"]
at_random, learned = 32 / 64, math.log2(16)
both = entropy([0.97, 0.03]) + 0.03 * math.log2(16)
print(f"bits a weight: at random {at_random:.2f}, sixteen values {learned:.2f}, pruned and "
      f"sixteen values {both:.2f}")
assert both < at_random < learned

# %% [markdown]
# ### Exercise 3
#
# A unit has lost all its incoming weights but has a bias $b$. What does it say after a ReLU?
# Where can that go, so that the unit may leave? Is the result the same network exactly?

# %% [markdown] tags=["solution"]
# It says $\max(0, b)$ for every input, so column $k$ of the next matrix times that number is a
# constant: it joins the next bias. In exact arithmetic nothing changes; in floating point the
# number is added at another place in the sum.

# %% tags=["solution"]
rng = np.random.default_rng(4)
params = {"fc1": {"M": rng.standard_normal((5, 3)), "b": rng.standard_normal(5)},
          "fc2": {"M": rng.standard_normal((2, 5)), "b": rng.standard_normal(2)}}
params["fc1"]["M"][1], params["fc1"]["b"][1] = 0, 0.7
net = nn.Network(fc1=nn.Dense(3, 5), relu=nn.ReLU(), fc2=nn.Dense(5, 2))
small, few = compress.smaller(net, params)
data = rng.standard_normal((50, 3))
gap = abs(net.forward(params, data, {})[0] - small.forward(few, data, {})[0]).max()
print(f"{few['fc1']['M'].shape[0]} units are left; the next bias has moved by "
      f"{(few['fc2']['b'] - params['fc2']['b']).round(4)}; outputs differ by {gap:.0e}")
assert np.allclose(few["fc2"]["b"], params["fc2"]["b"] + 0.7 * params["fc2"]["M"][:, 1])
assert len(few["fc1"]["M"]) == 4 and gap < 1e-12
