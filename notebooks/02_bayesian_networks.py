# %% [markdown]
# # 2. Bayesian neural networks
#
# **The poster's claim, in our words.** Do not look for the best weights of a neural network:
# treat the weights as unknown numbers and give them a probability distribution. *Before* any
# data that is the prior, a plain Gaussian on every weight, and it makes the network's output a
# random function. A likelihood says how the data scatter around that function. Bayes' rule then
# turns prior and data into the posterior, everything that can be known about the weights. The
# catch: for a neural network the posterior is difficult to compute.
#
# What you will see here: what the prior believes, what happens when the network becomes wide, a
# posterior computed exactly because the network has only two weights, and why that is out of
# reach for a real one.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np

from minibayes import bayes, models, nn
from minibayes.truth import exact, hmc

QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"

# %% [markdown]
# ## 2.1 A prior over weights is a prior over functions
#
# A network with one hidden layer of $H$ units maps an input $x$ to
#
# $$f(x, \omega) = W_2 \sigma(W_1 x + b_1) + b_2$$
#
# $W_1, W_2$ are the weight matrices, $b_1, b_2$ the biases, $\sigma$ is the non-linearity, here
# $\mathrm{relu}(a) = \max(a, 0)$, and $\omega$ is the name for all of these numbers together.
# The poster's prior is
#
# $$p(W_i) = N(0, l^{-2} I)$$
#
# each weight is drawn by itself from a Gaussian of mean 0 and standard deviation $1/l$. The
# number $l \gt 0$ is the prior's length-scale; the poster has $l = 1$. Draw $\omega$ once and
# you have one function. In NumPy that is all of it:

# %%
H, rng = 50, np.random.default_rng(0)
x = np.linspace(-3, 3, 121)[:, None]                     # (121, 1): one input per row
W1, b1 = rng.standard_normal((H, 1)), rng.standard_normal(H)
W2, b2 = rng.standard_normal((1, H)), rng.standard_normal(1)
f_numpy = np.maximum(x @ W1.T + b1, 0) @ W2.T + b2       # (121, 1): one function from the prior

# %% [markdown]
# and with the package, where `net.forward(params, x, z)` also takes the noise `z`. This network
# has none.

# %%
net = nn.Network(fc1=nn.Dense(1, H), relu=nn.ReLU(), fc2=nn.Dense(H, 1))
f_package, _ = net.forward({"fc1": {"M": W1, "b": b1}, "fc2": {"M": W2, "b": b2}}, x, z={})
assert np.allclose(f_numpy, f_package, rtol=1e-12)

# the package draws it for you, in the same shapes
omega = bayes.Prior(lengthscale=1.0).sample(net, rng=0, dtype=np.float64)
print({layer: {name: a.shape for name, a in group.items()} for layer, group in omega.items()})

# %% [markdown]
# How large is $f$? Given the hidden units $r_j = \mathrm{relu}(a_j x + b_j)$, the output is a
# sum of independent Gaussians, $f = \sum_j w_j r_j + b_2$. So with $l = 1$ everywhere
#
# $$\mathrm{Var} f(x) = \sum_{j=1}^{H} E[r_j^2] + 1 = \frac{H (x^2 + 1)}{2} + 1$$
#
# because $a_j x + b_j$ is Gaussian with variance $x^2 + 1$, and relu keeps half of its square.
# The variance grows with $H$: with 5,000 hidden units $f(1)$ is typically about 70. If the
# network is to stay reasonable when it gets wide, the output layer needs $l = \sqrt{H}$, which
# makes each output weight small. The poster's $N(0, I)$ is the simple case; the prior may have
# its own $l$ in every layer, and we use that now.

# %%
def prior_draws(width, count, activation="relu", l=1.0, seed=0):
    """`count` functions at the inputs x; the length-scale is l in layer 1, sqrt(width) in 2."""
    net = models.mlp([1, width, 1], noise=nn.Delta(), activation=activation)
    prior, rng = bayes.Prior({"fc1": l, "fc2": math.sqrt(width)}), np.random.default_rng(seed)
    return np.hstack([net.forward(prior.sample(net, rng, np.float64), x, z={})[0]
                      for _ in range(count)])


fig, axes = plt.subplots(2, 3, figsize=(10, 5.4), sharex=True)
for ax, width in zip(axes[0], (2, 20, 2000), strict=True):
    ax.plot(x, prior_draws(width, 8), linewidth=1.2)
    ax.set_title(f"relu, {width} hidden units", fontsize=10)
for ax, l in zip(axes[1], (2, 1 / 2, 1 / 8), strict=True):
    ax.plot(x, prior_draws(200, 8, "tanh", l, seed=1), linewidth=1.2)
    ax.set_title(f"tanh, 200 hidden units, l = {l:g}", fontsize=10)
for ax in axes.flat:
    ax.set_ylabel("f(x)")
    ax.grid(alpha=0.3)
for ax in axes[1]:
    ax.set_xlabel("x")
fig.suptitle("Eight functions from each prior: width removes the kinks, a small l makes tanh "
             "networks wiggle")
plt.show()

# %% [markdown]
# With two relu units you can count the kinks. With 2,000 each is too small to see. In the lower
# row only the first layer's $l$ changes: large weights (small $l$) make tanh units switch
# quickly, so the functions vary over short distances. (For relu, $l$ changes only the height of
# the functions: exercise 1.)
#
# ## 2.2 Wide networks are Gaussian processes
#
# A *Gaussian process* is a random function whose values at any inputs are jointly Gaussian; a
# covariance function $k(x, x')$ says how the values at $x$ and $x'$ vary together. A wide
# network from the prior becomes one: $f(x)$ is a sum of $H$ independent terms $w_j r_j(x)$,
# each small, and the central limit theorem does the rest. Which $k$? With $l = \sqrt{H}$ in the
# output layer, at *every* width,
#
# $$\mathrm{Cov}(f(x), f(x')) = \frac{1}{H} \sum_{j=1}^{H} E[r_j(x) r_j(x')] + \frac{1}{H} =
# k(x, x') + \frac{1}{H}$$
#
# Write $u = (x, 1)$ and $v = (x', 1)$, so that $a_j x + b_j$ is the inner product of
# $(a_j, b_j)$ with $u$. A Gaussian vector $(a_j, b_j)$ has a direction that is uniform on the
# circle, and a squared length whose mean is $2/l^2$. Let $t$ be the angle between $u$ and $v$.
# Averaging over the direction $\phi$,
#
# $$k(x, x') = \frac{2 \lvert u \rvert \lvert v \rvert}{l^2} \frac{1}{2 \pi}
# \int_0^{2 \pi} \mathrm{relu}(\cos \phi) \mathrm{relu}(\cos(\phi - t)) d\phi$$
#
# Both cosines are positive on an arc of length $\pi - t$, and on it
# $\cos \phi \cos(\phi - t) = \frac{1}{2}(\cos t + \cos(2 \phi - t))$. So the integral is
# $\frac{1}{2}((\pi - t) \cos t + \sin t)$ and
#
# $$k(x, x') = \frac{\lvert u \rvert \lvert v \rvert}{2 \pi l^2} (\sin t + (\pi - t) \cos t)$$
#
# This is the arc-cosine kernel of order 1 (Cho and Saul 2009). We check both steps: the
# integral by adding it up, the covariance by drawing networks.

# %%
def k(x, y, l=1.0):
    """The arc-cosine kernel between all inputs x (N,) and y (M,)."""
    u, v = (np.stack([a, np.ones_like(a)], axis=1) for a in (x, y))
    lengths = np.linalg.norm(u, axis=1)[:, None] * np.linalg.norm(v, axis=1)
    cos = np.clip(u @ v.T / lengths, -1, 1)
    t = np.arccos(cos)
    return lengths * (np.sin(t) + (math.pi - t) * cos) / (2 * math.pi * l**2)


phi = np.arange(100_000) / 100_000 * 2 * math.pi
for t in (0.0, 0.7, 2.0, math.pi):
    mean = (np.maximum(np.cos(phi), 0) * np.maximum(np.cos(phi - t), 0)).mean()
    assert abs(mean - (np.sin(t) + (math.pi - t) * np.cos(t)) / (4 * math.pi)) < 1e-8

# %%
points = np.array([-2.0, 0.0, 0.5, 2.0])


def draws_at_points(width, nets, outputs, rng):
    """f at the four points, (nets, 4, outputs): the outputs of a net share its hidden units."""
    a, b = rng.standard_normal((2, nets, 1, width))
    r = np.maximum(points[:, None] * a + b, 0)                                # (nets, 4, width)
    w, c = rng.standard_normal((nets, width, outputs)), rng.standard_normal((nets, 1, outputs))
    return (r @ w + c) / math.sqrt(width)


def mean_and_error(values):
    """The mean over independent networks and its standard error."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(values))


NETS, OUTPUTS = (1500 if QUICK else 10000), 16
widths, sampled, rng = (4, 16, 64), {}, np.random.default_rng(2)
print("largest distance of the sampled covariance from k + 1/H, in standard errors (16 numbers "
      "each):")
for width in widths:
    f = sampled[width] = draws_at_points(width, NETS, OUTPUTS, rng)
    mean, error = mean_and_error(f @ f.transpose(0, 2, 1) / OUTPUTS)
    worst = (abs(mean - k(points, points) - 1 / width) / error).max()
    print(f"  H = {width:3d}: {worst:.1f}")
    assert worst < 4

# %% [markdown]
# So the covariance is right at every width. What changes with the width is the *shape* of the
# distribution. Given the hidden units, $f \sim N(0, V)$ with $V = (1 + \sum_j r_j^2)/H$, so
# $E[f^4] = 3 E[V^2]$, and the excess kurtosis $E[f^4]/E[f^2]^2 - 3$, which is zero for a
# Gaussian, is
#
# $$3 \frac{\mathrm{Var} V}{(E V)^2} = \frac{3 H \cdot \frac{5}{4} s^4}{(1 + H s^2 / 2)^2}
# \approx \frac{15}{H}$$
#
# where $s^2 = (x^2 + 1)/l^2$ is the variance of $a_j x + b_j$: then $E[r^2] = s^2/2$ and
# $E[r^4] = 3 s^4/2$, so that $\mathrm{Var}[r^2] = \frac{5}{4} s^4$. It vanishes as $1/H$: no
# finite network is exactly a Gaussian process.

# %%
def excess(x, width):
    s2 = x**2 + 1
    return 3 * width * 5 / 4 * s2**2 / (1 + width * s2 / 2) ** 2


variance = np.diag(k(points, points))
kurtosis = {width: mean_and_error((f**4).mean(axis=2) / (variance + 1 / width) ** 2 - 3)
            for width, f in sampled.items()}
for width, (mean, error) in kurtosis.items():
    assert (abs(mean - excess(points, width)) < 4 * error).all()

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
grid, edges = np.linspace(-5, 5, 201), np.linspace(-5, 5, 41)
for width, color in ((1, ORANGE), (4, GREEN), (64, BLUE)):
    f = draws_at_points(width, NETS, OUTPUTS, rng)[:, 3] / math.sqrt(variance[3] + 1 / width)
    height, _ = np.histogram(f, edges, density=True)
    left.stairs(np.maximum(height, 1e-9), edges, color=color, linewidth=1.5,
                label=f"H = {width}")
left.plot(grid, np.exp(-grid**2 / 2) / math.sqrt(2 * math.pi), "--", color=GREY,
          label="Gaussian")
left.set(yscale="log", ylim=(1e-4, 3), xlabel="f(2), in standard deviations",
         ylabel="density (log scale)",
         title="Few hidden units: a peak and heavy tails")
left.legend()
line = np.geomspace(2, 128, 50)
right.plot(line, excess(2.0, line), color=GREY, label="formula")
right.errorbar(widths, [kurtosis[w][0][3] for w in widths],
               [2 * kurtosis[w][1][3] for w in widths], fmt="o", color=BLUE, capsize=3,
               label="sampled, ± 2 standard errors")
right.set(xscale="log", yscale="log", xlabel="width H (log scale)",
          ylabel="excess kurtosis of f(2) (log scale)",
          title="The distance from a Gaussian falls as 1/H")
right.set_xticks(widths, widths)
right.minorticks_off()
right.legend()
plt.show()

# %% [markdown]
# ## 2.3 The likelihood: how data scatter around the function
#
# For real targets, $p(y \mid x, \omega) = N(y; f(x, \omega), \tau^{-1} I)$, where $\tau$ is the
# precision: $1/\tau$ is the variance of the noise in $y$. For classes,
# $p(y = c \mid x, \omega) = \mathrm{softmax}(f(x, \omega))_c$. Both have the method `nll`,
# which gives $-\log p(y \mid f)$ in nats and its derivative in $f$. By hand:

# %%
f, y, tau = np.array([[0.3], [-1.2]]), np.array([[0.5], [-2.0]]), 4.0
nll, df = bayes.Gaussian(tau).nll(f, y)
assert np.allclose(nll, (tau / 2 * (y - f) ** 2 + 0.5 * math.log(2 * math.pi / tau))[:, 0],
                   rtol=1e-12)
assert np.allclose(df, tau * (f - y), rtol=1e-12)

f, labels = np.array([[2.0, 0.0, -1.0]]), np.array([1])
nll, df = bayes.Categorical().nll(f, labels)
softmax = np.exp(f) / np.exp(f).sum()
assert np.allclose(nll, -np.log(softmax[0, 1]), rtol=1e-12)
assert np.allclose(df, softmax - np.eye(3)[labels], rtol=1e-12)

# %% [markdown]
# ## 2.4 The posterior, exactly, for two weights
#
# After seeing inputs $X$ and targets $Y$, Bayes' rule says
#
# $$p(\omega \mid X, Y) = \frac{p(Y \mid X, \omega) p(\omega)}{p(Y \mid X)}$$
#
# $$p(Y \mid X) = \int p(Y \mid X, \omega) p(\omega) d\omega$$
#
# The numerator is easy: one forward pass. The denominator, called the evidence, adds up *all*
# weights. With two weights we can do that on a grid. Take $f(x, \omega) = w_2 \tanh(w_1 x)$, no
# biases, prior $N(0, 1)$ on both weights, and $\tau = 10$.

# %%
def data(N, seed=3):
    """N inputs in [-1.5, 1.5], targets from the weights (1.5, 1.2), noise of precision 10."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.5, 1.5, 20)
    y = 1.2 * np.tanh(1.5 * x) + rng.standard_normal(20) / math.sqrt(TAU)
    return x[:N], y[:N]


def log_joint(w1, w2, x, y, l=1.0):
    """log p(Y | X, omega) + log p(omega), nats, at every (w1, w2): arrays of one shape."""
    log_prior = -l**2 / 2 * (w1**2 + w2**2) - math.log(2 * math.pi / l**2)
    residual = y - w2[..., None] * np.tanh(w1[..., None] * x)
    return log_prior + (-TAU / 2 * residual**2 - 0.5 * math.log(2 * math.pi / TAU)).sum(axis=-1)


def on_grid(x, y, step, l=1.0, half=6.0):
    """(w1, w2, probabilities of the grid cells, log evidence)."""
    w = np.arange(-half, half + step / 2, step)
    w1, w2 = np.meshgrid(w, w, indexing="ij")
    log_p = log_joint(w1, w2, x, y, l)
    top = log_p.max()
    p = np.exp(log_p - top)
    return w1, w2, p / p.sum(), top + math.log(p.sum() * step**2)


TAU, STEP = 10.0, 0.05
X, Y = data(20)
w1, w2, p, log_evidence = on_grid(X, Y, STEP)
_, _, _, coarse = on_grid(X, Y, 2 * STEP)
print(f"log p(Y | X) = {log_evidence:.6f} nats on {p.size:,} grid points; twice as coarse: "
      f"{coarse:.6f}")
assert abs(log_evidence - coarse) < 1e-6

# %% [markdown]
# The package has the same function for any network, with its gradient: `hmc.LogPosterior`. Its
# two biases are held at 0, where each adds the prior's
# $\log N(0; 0, 1) = -\frac{1}{2} \log 2\pi$.

# %%
net = nn.Network(fc1=nn.Dense(1, 1), tanh=nn.Tanh(), fc2=nn.Dense(1, 1))
target = hmc.LogPosterior(net, bayes.Prior(1.0), bayes.Gaussian(TAU), X[:, None], Y)
for a, b in ((1.5, 1.2), (-0.3, 2.0)):
    value, gradient = target(target.row({"fc1": {"M": [[a]], "b": [0]},
                                         "fc2": {"M": [[b]], "b": [0]}}))
    assert np.isclose(value + math.log(2 * math.pi), log_joint(np.array(a), np.array(b), X, Y),
                      rtol=1e-12)

fig, axes = plt.subplots(1, 4, figsize=(10, 3.2), sharex=True, sharey=True)
for ax, N in zip(axes, (0, 1, 4, 20), strict=True):
    _, _, density, _ = on_grid(*data(N), STEP)
    ax.contourf(w1, w2, density / density.max(), levels=np.linspace(0, 1, 11), cmap="Blues")
    ax.set(xlabel="weight $w_1$", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    ax.set_title(f"posterior, N = {N}" if N else "prior, N = 0", fontsize=10)
axes[0].set_ylabel("weight $w_2$")
fig.suptitle("The exact posterior of two weights: two equal curved ridges, not a Gaussian")
plt.show()

# %% [markdown]
# Read the picture. Flipping both signs, $(w_1, w_2) \to (-w_1, -w_2)$, leaves the function as
# it was, because $\tanh$ is odd. So there are *two* posterior bumps, mirror images. And each is
# bent: a steeper unit with a smaller output weight fits the same data. One consequence at once:
# the *average* of the weights is useless, the average of the *predictions* is not.

# %%
mean_w = np.array([(p * w1).sum(), (p * w2).sum()])
f_at_1 = w2 * np.tanh(w1 * 1.0)
predictive_mean = (p * f_at_1).sum()
predictive_sd = math.sqrt((p * (f_at_1 - predictive_mean) ** 2).sum())
print(f"posterior mean of the weights: ({abs(mean_w[0]):.0e}, {abs(mean_w[1]):.0e}), so f at "
      "the mean weights is 0 everywhere")
print(f"posterior mean of f(1): {predictive_mean:.3f} ± {predictive_sd:.3f} (one sd); the data "
      f"came from {1.2 * math.tanh(1.5):.3f}")
assert abs(mean_w).max() < 1e-12
assert abs(predictive_mean - 1.2 * math.tanh(1.5)) < 3 * predictive_sd

# %% [markdown]
# ## 2.5 Why this does not scale
#
# A grid with 100 points per weight has $100^D$ points for $D$ weights. And the mirror image is
# only the beginning: in a layer of $H$ tanh units every unit can be flipped, and all of them
# can be renumbered, without changing the function. That makes $2^H H!$ equal copies of every
# bump.

# %%
lenet = models.lenet("all")
D = sum(a.size for group in lenet.init(0).values() for a in group.values())
copies = 2**8 * math.factorial(8)
print(f"two weights: 10^4 grid points.   LeNet: D = {D:,} weights, 10^{2 * D:,} grid points.")
print(f"eight tanh units: {copies:,} copies of every bump")
assert D == (25 * 20 + 20) + (500 * 50 + 50) + (800 * 500 + 500) + (500 * 10 + 10)
assert copies == 10_321_920

small = nn.Network(fc1=nn.Dense(1, 8), tanh=nn.Tanh(), fc2=nn.Dense(8, 1))
target = hmc.LogPosterior(small, bayes.Prior(1.0), bayes.Gaussian(TAU), X[:, None], Y)
omega = target.prior_draw(np.random.default_rng(4))
params = target.params(omega)
order, sign = [3, 0, 7, 1, 2, 6, 5, 4], np.array([1, -1, 1, 1, -1, -1, 1, 1])
twin = {"fc1": {"M": (params["fc1"]["M"] * sign[:, None])[order],
                "b": (params["fc1"]["b"] * sign)[order]},
        "fc2": {"M": (params["fc2"]["M"] * sign)[:, order], "b": params["fc2"]["b"]}}
assert abs(target.row(twin) - omega).max() > 0.1
assert np.isclose(target(omega)[0], target(target.row(twin))[0], rtol=1e-12)

# %% [markdown]
# ## 2.6 The way out: a simple q instead
#
# The poster's way out is *approximate inference*: choose a family of distributions
# $q_\theta(\omega)$ that is easy to sample, and find the parameters $\theta$ for which
# $q_\theta$ is closest to the posterior. Dropout is such a family:
# $W_i = M_i \mathrm{diag}(z_i)$, where each entry of $z_i$ is 1 with probability `keep` and 0
# otherwise, and $\theta = (M_1, M_2)$. For our two weights that is a distribution on just four
# points: $(M_1, M_2)$, $(M_1, 0)$, $(0, M_2)$ and $(0, 0)$. Notebook 3 derives what "closest"
# means: minimise
#
# $$L(\theta) = -E_{q_\theta} \log p(Y \mid X, \omega) + \frac{\mathrm{keep} \cdot l^2}{2}
# (M_1^2 + M_2^2)$$
#
# Here $\theta$ is a point in the plane, so we can just try every one; `exact.terms` from the
# package, which goes through all masks, must agree.

# %% tags=["picture"]
KEEP = 0.9
L = KEEP / 2 * (w1**2 + w2**2)
for z1, z2 in ((0, 0), (0, 1), (1, 0), (1, 1)):
    prob = (KEEP if z1 else 1 - KEEP) * (KEEP if z2 else 1 - KEEP)
    residual = Y - (w2 * z2)[..., None] * np.tanh((w1 * z1)[..., None] * X)
    L += prob * (TAU / 2 * residual**2 + 0.5 * math.log(2 * math.pi / TAU)).sum(axis=-1)
best = np.unravel_index(np.argmin(np.where(w1 > 0, L, np.inf)), L.shape)
M1, M2 = w1[best], w2[best]

drop = nn.Bernoulli(KEEP)
noisy = nn.Network(fc1=nn.Dense(1, 1, noise=drop), tanh=nn.Tanh(),
                   fc2=nn.Dense(1, 1, noise=drop))
objective = bayes.Objective(noisy, bayes.Prior(1.0), bayes.Gaussian(TAU), num_data=len(X))
theta = {"fc1": {"M": np.array([[M1]]), "b": np.zeros(1)},
         "fc2": {"M": np.array([[M2]]), "b": np.zeros(1)}}
assert np.isclose(exact.terms(objective, theta, X[:, None], Y).total, L[best], rtol=1e-12)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
left.contourf(w1, w2, p / p.max(), levels=np.linspace(0, 1, 11), cmap="Blues")
atoms = [(M1, M2, KEEP**2), (M1, 0, KEEP * (1 - KEEP)), (0, M2, KEEP * (1 - KEEP)),
         (0, 0, (1 - KEEP) ** 2)]
for a, b, prob in atoms:
    left.scatter(a, b, s=400 * prob, facecolor="none", edgecolor=ORANGE, linewidth=2, zorder=3)
    left.annotate(f"{prob:.2f}", (a, b), xytext=(11, 7), textcoords="offset points")
left.set(xlabel="weight $w_1$", ylabel="weight $w_2$", xlim=(-4, 4), ylim=(-4, 4),
         aspect="equal",
         title=f"Posterior (blue), dropout's q (circles, keep {KEEP})")
mean = np.array([(p * w2 * np.tanh(w1 * v)).sum() for v in x[:, 0]])
sd = np.sqrt([(p * (w2 * np.tanh(w1 * v) - m) ** 2).sum()
              for v, m in zip(x[:, 0], mean, strict=True)])
found = exact.predict(noisy, theta, bayes.Gaussian(TAU), x)
for m, s, color, label in ((mean, sd, BLUE, "exact posterior"),
                           (found.mean[:, 0], found.std[:, 0], ORANGE, "dropout's q")):
    right.plot(x, m, color=color, label=f"{label}: mean ± 1 sd of f")
    right.fill_between(x[:, 0], m - s, m + s, color=color, alpha=0.25, linewidth=0)
right.plot(X, Y, "k.", label="data")
wider, lower = found.std[-1, 0] / sd[-1], found.mean[-1, 0] / mean[-1]
assert wider > 1.5 and lower < 0.9
right.set(xlabel="x", ylabel="f(x), y",
          title=f"At x = 3, q has {wider:.1f} times the sd and {lower:.2f} of the mean")
right.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# One point of the four carries 81 % of $q$ and sits on one of the two ridges; at the other
# three a weight has been switched off, and the posterior has next to nothing there. As a map of
# the posterior this is crude. Its *predictions* have the right shape; the switched-off weights
# pull their mean towards 0 and, far from 0, spread them too wide. How good the approximation
# is, and where it fails, is measured in notebook 9. What it buys is scale: sampling from $q$
# costs one forward pass, for two weights or for LeNet's 431,080.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Show that changing the first layer's length-scale from 1 to $l$ only divides the function by
# $l$, if the output bias is left out. Check it with `net.forward`.

# %% tags=["solution"]
# relu(a/l) = relu(a)/l for l > 0: dividing W1 and b1 by l divides every hidden unit, and so the
# output, by l.
net, l = nn.Network(fc1=nn.Dense(1, H), relu=nn.ReLU(), fc2=nn.Dense(H, 1)), 3.7
one = bayes.Prior(1.0).sample(net, rng=5, dtype=np.float64)
one["fc2"]["b"][:] = 0
scaled = {"fc1": {name: a / l for name, a in one["fc1"].items()}, "fc2": one["fc2"]}
assert np.allclose(net.forward(scaled, x, z={})[0], net.forward(one, x, z={})[0] / l,
                   rtol=1e-12)

# %% [markdown]
# ### Exercise 2
#
# Leave out all biases, and give layers 2 and 3 of a network with two hidden relu layers the
# length-scale $\sqrt{H}$. Show that the excess kurtosis of $f$ is $3 ((1 + 5/H)^2 - 1)$, about
# twice that of one hidden layer: depth moves a network away from a Gaussian process. Check it
# by sampling with $H = 16$.

# %% tags=["solution"]
# Given layer 1, the inputs of layer 2's units are independent N(0, V1), V1 = mean of r1^2; so
# V2 = mean of r2^2 = V1 * (the mean of H independent relu(n)^2, n ~ N(0, 1)), and the two
# factors are independent. So E V2^2/(E V2)^2 = (1 + 5/H)(1 + 5/H), and E f^4/E[f^2]^2 is 3
# times that.
width, nets, rng = 16, (20_000 if QUICK else 100_000), np.random.default_rng(6)
r1 = np.maximum(rng.standard_normal((nets, 1, width)), 0)  # x = 1, l = 1
r2 = np.maximum(r1 @ rng.standard_normal((nets, width, width)) / math.sqrt(width), 0)
V2 = (r2**2).mean(axis=2)[:, 0]  # f | hidden units ~ N(0, V2); E V2 = 1/4
mean, error = mean_and_error(3 * V2**2 / (1 / 4) ** 2 - 3)
print(f"sampled {mean:.3f} ± {error:.3f}, formula {3 * ((1 + 5 / width) ** 2 - 1):.3f}, one "
      f"hidden layer {15 / width:.3f}")
assert abs(mean - 3 * ((1 + 5 / width) ** 2 - 1)) < 4 * error

# %% [markdown]
# ### Exercise 3
#
# The evidence $p(Y \mid X)$ measures how well a *prior* predicted the data. Compute it on the
# grid for length-scales from 0.25 to 4 in the two-weight network. Why does it fall on both
# sides?

# %% tags=["solution"]
# A large l says that all weights are near 0, so that the data are a surprise; a small l spreads
# its bets over many functions that are not this one.
ls = np.geomspace(0.25, 4, 9)
evidence = np.array([on_grid(X, Y, 0.1, l, half=6 * max(1, 1 / l))[3] for l in ls])
for l, value in zip(ls, evidence, strict=True):
    print(f"l = {l:5.2f}: log p(Y | X) = {value:7.2f} nats")
best = evidence.argmax()
assert 0 < best < len(ls) - 1 and evidence[best] - evidence[[0, -1]].max() > 1
