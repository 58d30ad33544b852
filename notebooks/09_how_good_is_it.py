# %% [markdown]
# # 9. How good is it?
#
# **The poster's claim, in our words.** Averaging stochastic forward passes is *approximate*
# inference: it stands in for averaging over the exact posterior $p(\omega \mid X, Y)$, which is
# too difficult to compute. An approximation can be good or bad. So take problems small enough
# to know the exact answer, and compare.
#
# What you will see here: one weight, where everything can be worked out; a proof that one
# hidden layer with dropout cannot be more unsure between two groups of data than on them; the
# exact posterior of such a network by Hamiltonian Monte Carlo, and how far dropout is from it;
# what is gained all the same; and what the literature says.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, models, nn
from minibayes.claims.posterior import FOUND
from minibayes.truth import exact, hmc

QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"

# %% [markdown]
# ## 9.1 One weight
#
# Take $f(x) = w x$, targets $y \sim N(f(x), 1/\tau)$ with precision $\tau$, and the prior
# $w \sim N(0, l^{-2})$. The posterior given $N$ data is a Gaussian (complete the square):
#
# $$w \mid X, Y \sim N(m, v), \qquad v = \frac{1}{\tau \sum_n x_n^2 + l^2}, \qquad m = v \tau
# \sum_n x_n y_n$$
#
# Dropout approximates it by $w = M z$, with $z = 1$ with probability `keep` and 0 otherwise.
# Training minimises
# $L(M) = -E_z[\log p(Y \mid X, M z)] + \frac{\mathrm{keep} \cdot l^2}{2} M^2$ (notebook 3). The
# mean over $z$ has two terms only, and the one with $z = 0$ does not contain $M$:
#
# $$L(M) = \mathrm{keep} \left( \frac{\tau}{2} \sum_n (y_n - M x_n)^2 + \frac{l^2}{2} M^2
# \right) + \mathrm{const}$$
#
# Up to a constant, what stands in the bracket is minus the log of the exact posterior. So the
# best $M$ is its maximum, $M = m$, whatever `keep` is. Then
#
# $$E_q[w] = \mathrm{keep} \cdot m, \qquad \mathrm{sd}_q[w] = \sqrt{\mathrm{keep} (1 -
# \mathrm{keep})} \lvert m \rvert$$
#
# The mean is pulled towards 0 by the factor `keep`. And the standard deviation (sd) *does not
# know how much data there are*: the exact one shrinks like $1/\sqrt{N}$, dropout's stays where
# it is.

# %%
TAU_W, L, KEEP = 4.0, 1.0, 0.8
rng = np.random.default_rng(0)
x_all = rng.uniform(-1, 1, 5000)
y_all = 1.5 * x_all + rng.standard_normal(5000) / math.sqrt(TAU_W)


def posterior_of_w(N):
    """(mean, variance) of the exact posterior from the first N data."""
    x, y = x_all[:N], y_all[:N]
    v = 1 / (TAU_W * (x**2).sum() + L**2)
    return v * TAU_W * (x * y).sum(), v


net = nn.Network(fc=nn.Dense(1, 1, noise=nn.Bernoulli(KEEP)))
for N in (5, 50):
    x, y = x_all[:N, None], y_all[:N]
    m, v = posterior_of_w(N)
    objective = bayes.Objective(net, bayes.Prior(L), bayes.Gaussian(TAU_W), num_data=N)
    at_m = {"fc": {"M": np.array([[m]]), "b": np.zeros(1)}}
    # both masks: d(L/N)/dM is zero at M = m
    _, grads = exact.value_and_grad(objective, at_m, x, y)
    assert abs(grads["fc"]["M"]).max() < 1e-12
    q = exact.predict(net, at_m, bayes.Gaussian(TAU_W), np.ones((1, 1)))  # f(1) = w
    assert np.isclose(q.mean, KEEP * m) and np.isclose(q.std, math.sqrt(KEEP * (1 - KEEP)) * m)
    print(f"N = {N:2d}: exact w = {m:.3f} ± {math.sqrt(v):.3f},   dropout w = "
          f"{q.mean.item():.3f} ± {q.std.item():.3f}   (one sd)")

Ns = np.unique(np.geomspace(2, 5000, 40).astype(int))
exact_m, exact_v = np.array([posterior_of_w(N) for N in Ns]).T
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
m, v = posterior_of_w(50)
w = np.linspace(-0.3, 2.2, 400)
left.plot(w, np.exp(-(w - m) ** 2 / (2 * v)) / math.sqrt(2 * math.pi * v), color=BLUE,
          label="exact posterior (density)")
for value, prob in ((m, KEEP), (0, 1 - KEEP)):
    left.annotate(f"probability {prob:.1f}", (value, 3 * prob), xytext=(6, 0),
                  textcoords="offset points", color="black", fontsize=8)
    left.vlines(value, 0, 3 * prob, color=ORANGE, linewidth=3,
                label="dropout's q (two points)" if value else None)
left.set(xlabel="weight w", ylabel="density, or probability (scaled)",
         title="Fifty data: the posterior and q")
left.legend(fontsize=8, loc="upper left")
right.loglog(Ns, np.sqrt(exact_v), color=BLUE, label="exact posterior")
right.loglog(Ns, math.sqrt(KEEP * (1 - KEEP)) * abs(exact_m), color=ORANGE,
             label=f"dropout, keep {KEEP}")
fall = math.sqrt(exact_v[-1] / posterior_of_w(50)[1])
right.set(xlabel="number of data N (log scale)", ylabel="sd of w (log scale)",
          title="The exact sd shrinks, dropout's does not")
right.legend()
plt.show()
assert fall < 0.15 and abs(exact_m[-1] / posterior_of_w(50)[0] - 1) < 0.25

# %% [markdown]
# The spread of dropout says how much the network's output *depends on its units*, times a
# factor set by `keep`. It is the modeller, not the data, who decides on `keep`, and so on how
# sure the network is. (If `keep` is learned as well, exercise 1, it goes to 1, and then the sd
# shrinks far too fast.) In a network with many units the picture is milder, because training
# can choose among many ways of spreading the work; but the reason does not go away.
#
# ## 9.2 One hidden layer cannot be unsure in between
#
# Let a network have one hidden relu layer, with dropout on its units
# $r_j(x) = \mathrm{relu}(a_j x + c_j)$, where $a_j, c_j$ are the first layer's weights and
# biases and $M_j$ are the second layer's weights:
#
# $$f(x) = \sum_j M_j z_j r_j(x) + b$$
#
# The $z_j$ are independent, so variances add:
#
# $$\mathrm{Var}_q[f(x)] = \mathrm{keep} (1 - \mathrm{keep}) \sum_j M_j^2 r_j(x)^2$$
#
# Each $r_j$ is convex (it bends upwards) and not negative, so its square is convex, and so is a
# sum of convex functions with positive factors. **The variance is a convex function of x.** A
# convex function lies below its chords: half-way between two points it is at most the mean of
# its values at the two. So whatever the weights, however they were trained, for any `keep`: a
# network that is sure on two groups of data is *just as sure* half-way between them, where
# there are no data at all. The exact posterior is under no such law. (Foong, Burt, Li and
# Turner, arXiv 1909.00719, prove this limitation, for dropout and for independent Gaussian
# weights.)

# %%
line = np.linspace(-4, 4, 81)[:, None]
rng, smallest_bend, largest_error = np.random.default_rng(1), np.inf, 0.0
for keep in (0.3, 0.5, 0.9):
    for _ in range(10):                                      # random weights: any network obeys
        noisy = nn.Network(fc1=nn.Dense(1, 8), relu=nn.ReLU(),
                           fc2=nn.Dense(8, 1, noise=nn.Bernoulli(keep)))
        params = {name: {p: rng.standard_normal(a.shape) for p, a in group.items()}
                  for name, group in noisy.init(0, np.float64).items()}
        r = np.maximum(line @ params["fc1"]["M"].T + params["fc1"]["b"], 0)
        by_hand = keep * (1 - keep) * (r**2 @ params["fc2"]["M"][0] ** 2)
        # all 256 masks
        variance = exact.predict(noisy, params, bayes.Gaussian(1.0), line).epistemic[:, 0]
        largest_error = max(largest_error, abs(variance - by_hand).max())
        smallest_bend = min(smallest_bend, np.diff(variance, 2).min())
print(f"formula against all masks: {largest_error:.0e};   the most negative second difference "
      f"of 30 variances: {smallest_bend:.0e}")
assert largest_error < 1e-10 and smallest_bend > -1e-10

# %% [markdown]
# ## 9.3 The truth, by Hamiltonian Monte Carlo
#
# To see what the exact posterior does in between we need draws from it. Hamiltonian Monte Carlo
# (HMC) lets the weights $\omega$ roll like a ball in a landscape whose height is
# $-\log p(\omega \mid X, Y)$: give the ball a random push $p \sim N(0, I)$, follow its motion
# for some small steps, and accept where it ends with probability $\min(1, e^{-\Delta H})$,
# where $\Delta H$ is the change of its total energy, height plus
# $\frac{1}{2} \lvert p \rvert^2$, by which the small steps are in error. These draws
# have *exactly* the posterior as their long-run distribution (Neal, arXiv 1206.1901). In NumPy,
# for the one weight of section 9.1, where we know the answer:

# %%
def leapfrog(gradient, w, p, step, leaps):
    p = p + step / 2 * gradient(w)      # half a push,
    for i in range(leaps):
        w = w + step * p                # roll, push, roll, push, ... and half a push at the end
        p = p + (step if i < leaps - 1 else step / 2) * gradient(w)
    return w, p


def numpy_hmc(log_density, gradient, w, draws, step, leaps, rng):
    kept = np.empty(draws)
    for t in range(draws):
        p = rng.standard_normal()
        new_w, new_p = leapfrog(gradient, w, p, step, leaps)
        gain = log_density(new_w) - log_density(w) - (new_p**2 - p**2) / 2        # -Delta H
        if math.log(rng.random()) < gain:
            w = new_w
        kept[t] = w
    return kept


m, v = posterior_of_w(50)
# 4 chains; the way in is thrown away
draws = np.stack([numpy_hmc(lambda w: -(w - m) ** 2 / (2 * v), lambda w: (m - w) / v, start,
                            1000, 0.15, 6, np.random.default_rng([2, i]))
                  for i, start in enumerate((-1.0, 0.0, 1.0, 2.0))])[:, 100:]
error = hmc.standard_error(draws)
print(f"exact: mean {m:.4f}, sd {math.sqrt(v):.4f};   NumPy HMC: mean {draws.mean():.4f} ± "
      f"{error:.4f}, sd {draws.std():.4f}")
assert abs(draws.mean() - m) < 4 * error
assert abs(((draws - m) ** 2).mean() - v) < 4 * hmc.standard_error((draws - m) ** 2)

new_w, new_p = leapfrog(lambda w: (m - w) / v, 1.2, 0.7, 0.15, 6)
# turn round, and it comes back: reversible
assert np.allclose(leapfrog(lambda w: (m - w) / v, new_w, -new_p, 0.15, 6), (1.2, -0.7))
theirs = hmc.leapfrog(lambda w: (-(w - m) ** 2 / (2 * v), (m - w) / v), 1.2, 0.7, (m - 1.2) / v,
                      0.15, 6)
assert np.allclose((new_w, new_p), theirs[:2], rtol=1e-12)  # the package's steps are the same

# %% [markdown]
# Now a network: ten hidden relu units, two groups of eight data, and nothing between $-1$ and
# $1$. `hmc.sample` does the same for any small network. How do we know that it has run long
# enough? Four chains start at independent draws from the prior; $\hat{R}$ compares the spread
# between chains with the spread within each. It is 1 when all have found the same distribution.

# %%
H, TAU = 10, 25.0
rng = np.random.default_rng(1)
x = np.concatenate([np.linspace(-2, -1, 8), np.linspace(1, 2, 8)])[:, None]
y = np.sin(1.5 * x[:, 0]) + rng.standard_normal(16) / math.sqrt(TAU)
prior, likelihood = bayes.Prior({"fc1": 1.0, "fc2": math.sqrt(H) / 2}), bayes.Gaussian(TAU)

target = hmc.LogPosterior(nn.Network(fc1=nn.Dense(1, H), relu=nn.ReLU(), fc2=nn.Dense(H, 1)),
                          prior, likelihood, x, y)
rng = np.random.default_rng(3)
kept, warmup, leaps = (250, 150, 30) if QUICK else (700, 250, 40)
starts = [target.prior_draw(rng) for _ in range(4)]
chains = hmc.sample(target, starts, rng, draws=kept, warmup=warmup, leaps=leaps)
f_hmc = target.predictive(chains.draws, line)[..., 0]       # f at the line, (chains, draws, 81)
mean_hmc, sd_hmc = f_hmc.mean(axis=(0, 1)), f_hmc.std(axis=(0, 1))
rhat = max(hmc.split_rhat(f_hmc).max(), hmc.split_rhat((f_hmc - mean_hmc) ** 2).max())
print(f"R-hat of f and of its squared deviation, the worst of {len(line)} inputs: {rhat:.3f}")
print(f"effective number of independent draws: from {hmc.effective_size(f_hmc).min():.0f} to "
      f"{hmc.effective_size(f_hmc).max():.0f}")
assert rhat < (1.2 if QUICK else 1.05)         # a quick run is too short for the customary 1.01

# %% [markdown]
# The same prior, likelihood and data with dropout on the hidden units, for several `keep`. The
# network is trained as always; its mean and variance over all $2^{10}$ masks are exact.

# %%
def train(keep, seed):
    """A dropout network trained on the two groups."""
    net = nn.Network(fc1=nn.Dense(1, H), relu=nn.ReLU(),
                     fc2=nn.Dense(H, 1, noise=nn.Bernoulli(keep)))
    model = mb.BayesianNetwork(net, prior, likelihood)
    model.fit(x, y, steps=800 if QUICK else 3000, batch_size=16,
              optimizer=nn.Adam(0.02, policy="inv", gamma=0.01), seed=seed,
              dtype=np.float64)
    return model


KEEPS = (0.5, 0.8, 0.9, 0.95)
trained = {keep: train(keep, seed=0) for keep in KEEPS}
dropout = {keep: exact.predict(model.net, model.params, likelihood, line)
           for keep, model in trained.items()}
REGIONS = {"on the data": (abs(line[:, 0]) >= 1) & (abs(line[:, 0]) <= 2),
           "in the gap": abs(line[:, 0]) <= 0.5,
           "outside": abs(line[:, 0]) >= 3}


def by_region(sd):
    return [math.sqrt((sd[rows] ** 2).mean()) for rows in REGIONS.values()]


exact_sd = by_region(sd_hmc)
print(f"sd of f               {'   '.join(REGIONS)}   gap/data")
print(f"HMC                {'':4s}" + "".join(f"{sd:12.3f}" for sd in exact_sd)
      + f"{exact_sd[1] / exact_sd[0]:11.1f}")
for keep, found in dropout.items():
    sds = by_region(found.std[:, 0])
    print(f"dropout, keep {keep:.2f}     " + "".join(f"{sd:12.3f}" for sd in sds)
          + f"{sds[1] / sds[0]:11.1f}")
    edges = found.std[(abs(line[:, 0]) > 0.99) & (abs(line[:, 0]) < 1.01), 0]
    # convexity: x = 0 against the edges of the data
    assert found.std[40, 0] <= edges.max() + 1e-12
    assert sds[1] < 0.6 * exact_sd[1] and sds[0] > 1.2 * exact_sd[0]
assert exact_sd[1] > 2.5 * exact_sd[0]

# %% tags=["picture"]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.7))
drop = dropout[0.9]
for ax, mean, sd, color, name in ((axes[0], mean_hmc, sd_hmc, BLUE, "exact posterior (HMC)"),
                                  (axes[1], drop.mean[:, 0], drop.std[:, 0], ORANGE,
                                   "MC dropout, keep 0.9")):
    for width, alpha in ((2, 0.2), (1, 0.3)):
        ax.fill_between(line[:, 0], mean - width * sd, mean + width * sd, color=color,
                        alpha=alpha, linewidth=0, label=f"± {width} sd of f")
    ax.plot(line, mean, color=color, label="mean")
    ax.plot(x, y, "k.", label="data")
    ax.axvspan(-0.5, 0.5, color=GREY, alpha=0.12, linewidth=0)
    ax.set(xlabel="x", ylabel="y", ylim=(-4, 5.5), title=name)
    ax.title.set_fontsize(10)
    ax.legend(fontsize=7, loc="upper center", ncols=2)
axes[2].plot(line, sd_hmc, color=BLUE, linewidth=2, label="exact (HMC)")
for (keep, found), style in zip(dropout.items(), (":", "-.", "-", "--"), strict=True):
    axes[2].plot(line, found.std, color=ORANGE, linestyle=style, label=f"dropout, keep {keep}")
axes[2].axvspan(-0.5, 0.5, color=GREY, alpha=0.12, linewidth=0)
axes[2].set(xlabel="x", ylabel="sd of f", ylim=(0, 1.2))
at_0 = [found.std[40, 0] for found in dropout.values()]
axes[2].set_title(f"sd at x = 0: {sd_hmc[40]:.2f}, dropout {min(at_0):.2f} to {max(at_0):.2f}",
                  fontsize=10)
axes[2].legend(fontsize=7, loc="upper center")
plt.show()

# %% [markdown]
# The picture is the proof at work. The exact posterior knows its data (a small sd), is unsure
# in the gap, where the kink of the function could be anywhere, and is unsure far outside.
# Dropout's sd is a bowl: it may grow outside, but in the gap it is a small part of the exact
# one, and on the data it is too large. Changing `keep` scales the bowl. No `keep` makes a bump.
#
# Is it the relu? The proof needs it: tanh units are not convex. But `minibayes check` makes the
# same comparison for a network of eight tanh units and ten data with a gap
# (`minibayes check --only posterior-net` measures it again), and what it found, as the mean
# over 40 runs, is no better:

# %%
print("sd of f under q, divided by the exact sd, 1-8-1 tanh network")
for name, regions in FOUND.items():
    print(f"{name:8s} "
          + ",  ".join(f"{region} {numbers[0]:.2f}" for region, numbers in regions.items()))
    assert regions["gap"][0] < 0.25 and regions["outside"][0] < 1 < regions["data"][0]

# %% [markdown]
# ("mgn" is multiplicative Gaussian noise $N(1, 1/9)$, which has the same variance relative to
# its mean as dropout with `keep` 0.9.) A tanh unit is zero somewhere, and training may place
# the zeros of all units in the gap; there all masks agree.
#
# ## 9.4 Better than nothing?
#
# Is the answer bad, then? It depends on what it is compared with. Take the exact predictive
# distribution $p(y \mid x)$ (the HMC mixture), and ask how many nats (units of information) are
# lost by using another distribution $\tilde{p}$ in its place:
# $\mathrm{KL} = \int p(y \mid x) \log \frac{p(y \mid x)}{\tilde{p}(y \mid x)} dy$. The
# candidates:
#
# - MC dropout: $\tilde{p} = \sum_i w_i N(y; f_i, 1/\tau)$ over all masks $i$, of probability
#   $w_i$;
# - the *same weights* by weight averaging: one Gaussian $N(y; f_{E[z]}, 1/\tau)$, no
#   uncertainty about the weights;
# - a network trained without dropout, with the same prior as its weight decay: one Gaussian
#   too.

# %%
grid = np.linspace(-9, 9, 721)                                           # y


def density(f, weights):
    """sum_i w_i N(y; f_i, 1/tau) on the grid.   f (inputs, I), weights (I,) -> (inputs, 721)"""
    sums = [np.exp(-TAU / 2 * (grid[:, None] - row) ** 2) @ weights for row in f]
    return np.stack(sums) * math.sqrt(TAU / (2 * math.pi))


every = line[::4]                                                        # 21 inputs
sample = f_hmc[:, ::5][..., ::4].reshape(-1, len(every)).T               # every fifth draw
truth = density(sample, np.full(sample.shape[1], 1 / sample.shape[1]))
assert np.allclose(truth.sum(axis=1) * (grid[1] - grid[0]), 1, atol=1e-3)


def lost(found):
    """KL(exact predictive || found) at every input, nats."""
    ratio = np.log(np.maximum(truth, 1e-300)) - np.log(np.maximum(found, 1e-300))
    return (np.where(truth > 1e-12, truth * ratio, 0)).sum(axis=1) * (grid[1] - grid[0])


model = trained[0.9]
plain = mb.BayesianNetwork(target.net, prior, likelihood)
plain.fit(x, y, steps=800 if QUICK else 3000, batch_size=16,
          optimizer=nn.Adam(0.02, policy="inv", gamma=0.01), seed=0, dtype=np.float64)
w, f_masks = exact.outputs(model.net, model.params, every)
by_mc = lost(density(f_masks[..., 0], w))
by_average = lost(density(model.predict(every, rule="weight-averaging").mean, np.ones(1)))
by_plain = lost(density(plain.predict(every, rule="weight-averaging").mean, np.ones(1)))
print("nats lost           " + "   ".join(REGIONS))
for name, values in (("MC dropout", by_mc), ("weight averaging", by_average),
                     ("no dropout at all", by_plain)):
    print(f"{name:18s}"
          + "".join(f"{values[rows[::4]].mean():12.2f}" for rows in REGIONS.values()))
data, gap, outside = ([values[rows[::4]].mean() for values in (by_mc, by_average, by_plain)]
                      for rows in REGIONS.values())
assert data[2] < data[0] < data[1] and gap[0] < gap[1] and outside[0] < outside[1] / 3
assert outside[0] < outside[2] / 3
assert (by_mc > -1e-3).all()

# %% [markdown]
# Three places, three verdicts. *Outside* the data, MC dropout loses a fraction of what the
# others lose: a network without uncertainty is sure there, and wrong. *In the gap* it loses
# nearly as much as having no uncertainty at all: section 9.2 at work. *On the data* the plain
# network is the best of the three, because dropout's sd is too large there. And of one and the
# same trained network, the average over masks is better than weight averaging everywhere: for
# networks trained with dropout, the poster's advice stands.
#
# ## 9.5 Two hidden layers: possible, but not automatic
#
# The proof needs *one* hidden layer. With two, a bump can be built: the hat
# $h(x) = \mathrm{relu}(1 - \mathrm{relu}(x) - \mathrm{relu}(-x))$ is 1 at 0 and 0 from $\pm 1$
# on; drop it, and the variance is $\mathrm{keep} (1 - \mathrm{keep}) h(x)^2$: unsure at 0 only.

# %%
hat = nn.Network(fc1=nn.Dense(1, 2), relu1=nn.ReLU(), fc2=nn.Dense(2, 1), relu2=nn.ReLU(),
                 fc3=nn.Dense(1, 1, noise=nn.Bernoulli(0.7)))
weights = {"fc1": {"M": np.array([[1.0], [-1.0]]), "b": np.zeros(2)},
           "fc2": {"M": np.array([[-1.0, -1.0]]), "b": np.ones(1)},
           "fc3": {"M": np.ones((1, 1)), "b": np.zeros(1)}}
bump = exact.predict(hat, weights, likelihood, line).epistemic[:, 0]
assert np.allclose(bump, 0.7 * 0.3 * np.maximum(1 - abs(line[:, 0]), 0) ** 2, atol=1e-12)

deep = mb.BayesianNetwork(models.mlp([1, 20, 20, 1], noise=nn.Bernoulli(0.9)),
                          bayes.Prior({"fc1": 1.0, "fc2": math.sqrt(20) / 2,
                          "fc3": math.sqrt(20) / 2}), likelihood)
deep.fit(x, y, steps=800 if QUICK else 3000, batch_size=16,
         optimizer=nn.Adam(0.01, policy="inv", gamma=0.01), seed=0, dtype=np.float64,
         progress=True)
sds = by_region(np.sqrt(deep.predict(line, samples=1000, seed=0).epistemic[:, 0]))
print(f"two hidden layers, trained with dropout, sd on the data {sds[0]:.3f}, in the gap "
      f"{sds[1]:.3f}, outside {sds[2]:.3f}")
assert sds[1] / sds[0] < exact_sd[1] / exact_sd[0]

# %% [markdown]
# Possible, then; but training does not go there by itself: the trained network with two hidden
# layers has no bump either. (This is one network of another prior, so its exact posterior is
# another one, too; only the missing bump is to be compared.)
#
# ## 9.6 What the literature says
#
# In our words. *Paper* or *abstract* says what we read; look the details up there.
#
# - Gal and Ghahramani, arXiv 1506.02142 (paper): as a *predictor* MC dropout does well. On
#   Boston housing it has an RMSE of 2.97 ± 0.19 and a log-likelihood of -2.46 ± 0.06 nats,
#   where probabilistic backpropagation has 3.01 and -2.57; on Concrete 5.23 ± 0.12 and -3.04 ±
#   0.02, against 5.67 and -3.16. Trained ten times longer (results of the published code):
#   Boston 2.80 ± 0.19 and -2.39 ± 0.05, Concrete 4.81 ± 0.14 and -2.94 ± 0.02.
# - Foong, Burt, Li and Turner, arXiv 1909.00719 (abstract): the limitation of section 9.2,
#   proved for dropout and for independent Gaussian weights. With more layers better
#   approximations *exist*, but similar failures are seen in practice. Exact inference does not
#   have them.
# - Hron, Matthews and Ghahramani, arXiv 1807.01969 (abstract): the variational objective is
#   ill-defined, because $q$ is singular with respect to the posterior (our infinite constant);
#   they propose a "quasi-KL" in its place.
# - Gal, Hron and Kendall, arXiv 1705.07832 (abstract): well-calibrated uncertainty needs a
#   search over dropout probabilities; a continuous version of the mask lets them be learned.
# - Le Folgoc and others, *Is MC Dropout Bayesian?*, arXiv 2110.04286 (abstract): MC dropout
#   changes the Bayesian model; on problems with a closed form its predictive posterior gives
#   the true model probability 0, and its many modes come from its design, not from the true
#   posterior.
# - Izmailov, Vikram, Hoffman and Wilson, arXiv 2104.14421 (abstract): HMC on modern networks.
#   The posterior predicts better than standard training, yet surprisingly badly under a shift
#   of the inputs; deep ensembles are closer to it than standard variational inference.
#
# (± is the standard error over 20 splits of the data.) Put together: a useful predictor, a
# cheap measure of uncertainty whose size has to be tuned by `keep` and checked on held-out
# data; and a claim about posteriors that should not be taken literally.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Let `keep` learn. In the one-weight problem of section 9.1, the part of the KL that depends on
# `keep` is $\frac{\mathrm{keep} \cdot l^2}{2} M^2 - H(\mathrm{keep})$, where
# $H(k) = -k \log k - (1 - k) \log(1 - k)$ is the entropy of the mask. Minimise $L$ in `keep`
# and $M$. What becomes of the sd as $N$ grows?

# %% [markdown] tags=["solution"]
# $L = \mathrm{keep} \cdot A + (1 - \mathrm{keep}) \cdot B - H(\mathrm{keep})$, with
# $A = \frac{\tau}{2} \sum_n (y_n - M x_n)^2 + \frac{l^2}{2} M^2$ and
# $B = \frac{\tau}{2} \sum_n y_n^2$. The best $M$ is still $m$. The derivative in `keep` is
# $A - B + \log \frac{\mathrm{keep}}{1 - \mathrm{keep}}$, so
# $\mathrm{keep} = 1/(1 + e^{-(B - A)})$. With $M = m$, $B - A = \frac{m^2}{2 v}$, which grows
# like $N$: the probability of a 0, and with it the sd, falls *exponentially*, where the exact
# sd falls like $1/\sqrt{N}$. Two points on a line cannot imitate a Gaussian: either the sd does
# not shrink, or it shrinks far too fast.

# %% tags=["solution"]
for N in (5, 20, 50):
    m, v = posterior_of_w(N)
    A = TAU_W / 2 * ((y_all[:N] - m * x_all[:N]) ** 2).sum() + L**2 / 2 * m**2
    gap = TAU_W / 2 * (y_all[:N] ** 2).sum() - A
    assert np.isclose(gap, m**2 / (2 * v))
    drop_probability = 1 / (1 + math.exp(gap))
    k = np.linspace(1e-6, 1 - 1e-6, 2_000_001)
    best = k[np.argmin(-k * gap + k * np.log(k) + (1 - k) * np.log(1 - k))]
    assert abs(best - (1 - drop_probability)) < 1e-5                      # a grid search agrees
    sd = math.sqrt(drop_probability * (1 - drop_probability)) * m
    print(f"N = {N:2d}: 1 - keep = {drop_probability:.1e}, sd {sd:.1e}, exact sd "
          f"{math.sqrt(v):.3f}")
assert sd < 0.01 * math.sqrt(v)

# %% [markdown]
# ### Exercise 2
#
# Is Gaussian noise better? For one weight take $w = M z$ with $z \sim N(1, s^2)$. Its KL, up to
# a constant, is $\frac{(1 + s^2) l^2}{2} M^2 - \log \lvert M \rvert - \log s$. For which $M$
# and $s^2$ is $q$ the exact posterior? `nn.LearnedGaussian` is this noise with $\log s^2$ as a
# parameter that training changes: check with `exact.value_and_grad` that the gradient in both
# is zero there.

# %% [markdown] tags=["solution"]
# $w = M z \sim N(M, s^2 M^2)$ is a Gaussian like the posterior: take $M = m$ and $s^2 = v/m^2$.
# So the noise must *shrink* as data come in, $s^2 \sim 1/N$. The poster's fixed $N(1, 1)$
# cannot do that; noise whose size is learned can. With many weights sharing one $z$, $q$ is a
# Gaussian along a single ray again.

# %% tags=["solution"]
m, v = posterior_of_w(50)
gaussian = nn.Network(fc=nn.Dense(1, 1, noise=nn.LearnedGaussian()))
objective = bayes.Objective(gaussian, bayes.Prior(L), bayes.Gaussian(TAU_W), num_data=50)
log_alpha = np.array([math.log(v / m**2)])                               # log s^2 lies beside M
theta = {"fc": {"M": np.array([[m]]), "b": np.zeros(1), "log_alpha": log_alpha}}
# Gauss-Hermite: exact for polynomials in z
_, grads = exact.value_and_grad(objective, theta, x_all[:50, None], y_all[:50], order=8)
found = exact.predict(gaussian, theta, bayes.Gaussian(TAU_W), np.ones((1, 1)), order=8)
slopes = [grads["fc"][name].item() for name in ("M", "log_alpha")]
print("gradient in M {:.0e}, in log s^2 {:.0e}".format(*slopes))
print(f"q: {found.mean.item():.4f} ± {found.std.item():.4f},   exact: {m:.4f} ± "
      f"{math.sqrt(v):.4f}")
assert np.abs(slopes).max() < 1e-12
assert np.isclose(found.mean, m) and np.isclose(found.std, math.sqrt(v))

# %% [markdown]
# ### Exercise 3
#
# Train several dropout networks from different starts and average *their* predictions too: an
# ensemble. The variance of the whole is the mean of the networks' variances plus the variance
# of their means. Does it help in the gap?

# %% [markdown] tags=["solution"]
# It could: the means of an ensemble may differ in the gap, so it is not bound by convexity.
# Here it hardly helps: whatever the start, training ends in nearly the same function. Different
# starts are not draws from a posterior either.

# %% tags=["solution"]
members = [train(0.9, seed) for seed in range(1, 3 if QUICK else 7)]
ensemble = [exact.predict(model.net, model.params, likelihood, line) for model in members]
means = np.array([found.mean[:, 0] for found in ensemble])
within, between = np.mean([found.epistemic[:, 0] for found in ensemble],
                          axis=0), means.var(axis=0)
for name, variance in (("one network", within), ("ensemble", within + between),
                       ("HMC", sd_hmc**2)):
    print(f"{name:12s} sd on the data {by_region(np.sqrt(variance))[0]:.3f}, in the gap "
          f"{by_region(np.sqrt(variance))[1]:.3f}")
gap = by_region(np.sqrt(within))[1], by_region(np.sqrt(within + between))[1]
assert gap[0] < gap[1] < exact_sd[1]
