# %% [markdown]
# # 6. Bayesian convolutional networks
#
# **The poster's claim, in our words.** Practice had it that dropout does not work with
# convolutions. The poster answers: it does, but it was *predicted with* in the wrong way.
# Standard dropout averages the weights (multiply them by `keep` and do one ordinary pass). What
# should be averaged is the predictions: do many stochastic passes and take the mean. Dropout
# after every convolution, predicted with like that, is approximate inference in a Bayesian
# convolutional network.
#
# What you will see here: which weights a dropped convolution randomises; why averaging the
# weights fails after a max-pool, by exact arithmetic; both rules on a LeNet trained in this
# notebook; and how many passes are enough.

# %%
import itertools
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, metrics, models, nn
from minibayes.bayes import posterior
from minibayes.studies.mnist import official_solver
from minibayes.truth import exact

QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"

# %% [markdown]
# ## 6.1 A convolution is many inner products, and each has its own noise
#
# A convolution lays a kernel $M_k$ (here $3 \times 3$ numbers) and a bias $b_k$ on every patch
# of the image: $y_{ijk} = M_k \cdot \mathrm{patch}_{ij} + b_k$, where $(i, j)$ is the patch's
# place. That is a dense layer applied to each patch, so it can have a dense layer's noise: one
# random factor $z_{ijk}$, 0 or 1, for each *kernel-patch pair*,
#
# $$f_{ijk} = z_{ijk} (M_k \cdot \mathrm{patch}_{ij} + b_k), \qquad z_{ijk} \sim
# \mathrm{Bernoulli}(\mathrm{keep})$$
#
# Dropping the *output* $y_{ijk}$ is the same as setting the row $(M_k, b_k)$ of weights to
# zero *for that patch*. So dropout after a convolution is a distribution over weights, as in a
# dense layer. In NumPy, with loops:

# %%
x, y, x_test, y_test = mb.data.mnist()
image = x[7, :, :, 0].astype(float)                                  # a real digit, 28 x 28
# a kernel that answers to vertical edges
M, b = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]), 0.1
z = np.random.default_rng(0).random((26, 26)) < 0.5
by_hand = np.zeros((26, 26))
for i in range(26):
    for j in range(26):
        by_hand[i, j] = z[i, j] * ((M * image[i:i + 3, j:j + 3]).sum() + b)

# %% [markdown]
# The package's layer must agree, and so must the weights that `posterior.weights` reads off the
# noise: one weight row for each patch.

# %%
drop = nn.Bernoulli(keep=0.5)
net = nn.Network((28, 28, 1), conv=nn.Conv2d(1, 1, 3, noise=drop))
params = {"conv": {"M": M.reshape(1, 3, 3, 1), "b": np.array([b])}}
batch, noise = image.reshape(1, 28, 28, 1), {"conv": z.reshape(1, 26, 26, 1).astype(np.uint8)}
f, _ = net.forward(params, batch, noise)
assert np.allclose(f[0, :, :, 0], by_hand, rtol=1e-12, atol=1e-12)

omega = posterior.weights(net, params, noise, "conv")    # W (1, 26, 26, 1, 9), b (1, 26, 26, 1)
patches = net.layers["conv"].patches(batch).reshape(26, 26, 9)
through_weights = (omega["W"][0, :, :, 0] * patches).sum(axis=2) + omega["b"][0, :, :, 0]
assert np.allclose(through_weights, by_hand, rtol=1e-12, atol=1e-12)

# %% [markdown]
# One thing the poster leaves unsaid: every patch has its own $z$, so one pass does not
# use *one* set of weights for the whole image, but a fresh draw of $W$ at every place. If you
# want a single draw $\hat\omega$ of all weights per image, share one $z_k$ among all patches
# (`noise_per="kernel"`): then whole feature maps are dropped. The paper, and we from here on,
# use the first.

# %%
response = net.layers["conv"].respond(params["conv"], batch)[0][0, :, :, 0]
pooled = (response * z).reshape(13, 2, 13, 2).max(axis=(1, 3))
panels = [("image", image, "gray"), ("response $y$", response, "RdBu"),
          ("noise $z$, keep 0.5", z, "gray"),
          ("$z y$: dropped", response * z, "RdBu"), ("then max-pooled 2 x 2", pooled, "RdBu")]
fig, axes = plt.subplots(1, 5, figsize=(10, 2.4))
for ax, (title, picture, colors) in zip(axes, panels, strict=True):
    limits = {"vmin": -4, "vmax": 4} if colors == "RdBu" else {}
    shown = ax.imshow(picture, cmap=colors, **limits)
    ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])
fig.colorbar(shown, ax=axes, shrink=0.7, label="response")
fig.suptitle("Dropout after a convolution, before the pooling: "
             "one z for each kernel-patch pair", fontsize=11)
plt.show()

# %% [markdown]
# ## 6.2 Why weight averaging fails after a max-pool
#
# *Weight averaging* ("standard dropout") replaces every $z$ by its mean,
# $E[z] = \mathrm{keep}$. A prediction should use $E[f]$, the mean over $z$. Where $f$ is linear
# in $z$ the two are equal. A max-pool is not linear. Take four units in one window, all of them
# 1, `keep` $= 1/2$; and rescale by $1/\mathrm{keep} = 2$, so that each unit by itself keeps its
# mean.
#
# - Weight averaging: every unit is $2 \cdot \frac{1}{2} \cdot 1 = 1$, and the maximum is **1**.
# - The truth: the maximum is 2 unless all four are dropped, which has probability $1/16$. So
#   the mean is $2 \cdot \frac{15}{16} =$ **1.875**.
#
# Now four units of $-1$. Weight averaging says $-1$. But a dropped unit is 0, which *beats*
# $-1$: the maximum is $-2$ only if all four are kept. The mean is $-2/16 =$ **-0.125**. Weight
# averaging is almost a factor of 2 off in one case and a factor of 8 in the other.
#
# In general sort the window, $y_{(1)} \ge y_{(2)} \ge \dots \ge y_{(m)}$. The largest wins if
# it is kept; the second if the first is dropped and it is kept; and so on, as long as they are
# positive:
#
# $$E[\max_i z_i y_i] = \sum_{i : y_{(i)} \gt 0} \mathrm{keep} (1 - \mathrm{keep})^{i - 1}
# y_{(i)}$$
#
# and $\mathrm{keep}^m y_{(1)}$ if nothing in the window is positive. (This weighted sum as a
# rule for prediction is *probabilistic pooling*: Wu and Gu, arXiv 1512.01400.) By hand, with
# all 16 masks:

# %%
def mean_of_max(window, keep):
    """E[max_i z_i y_i], every mask with its probability."""
    total = 0.0
    for mask in itertools.product((0, 1), repeat=len(window)):
        probability = keep ** sum(mask) * (1 - keep) ** (len(mask) - sum(mask))
        total += probability * max(m * v for m, v in zip(mask, window, strict=True))
    return total


def formula(window, keep):
    y = np.sort(window)[::-1]
    if y[0] <= 0:
        return keep ** len(y) * y[0]
    return sum(keep * (1 - keep) ** i * v for i, v in enumerate(y) if v > 0)


def package(window, keep):
    """(every mask, weight averaging, probabilistic pooling), of a net that drops and pools."""
    net = nn.Network((2, 2, 1), c=nn.Conv2d(1, 1, 1, noise=nn.Bernoulli(keep)),
                     p=nn.MaxPool2d(2), flat=nn.Flatten())
    params = {"c": {"M": np.ones((1, 1, 1, 1)), "b": np.zeros(1)}}
    model = mb.BayesianNetwork(net, likelihood=bayes.Gaussian(1.0), params=params)
    x = np.reshape(window, (1, 2, 2, 1)).astype(float)
    truth = exact.predict(net, params, model.likelihood, x).mean.item()
    return truth, *(model.predict(x, rule=rule).mean.item()
                    for rule in ("weight-averaging", "probabilistic-pooling"))


print("times 1/keep = 2:          all masks   weight averaging   probabilistic pooling")
for window in ([1, 1, 1, 1], [-1, -1, -1, -1], [4, 3, 2, 1], [2, -1, -3, 1]):
    truth, averaged, probabilistic = (2 * v for v in package(window, 0.5))
    print(f"  {str(window):20s} {truth:13.4f} {averaged:18.4f} {probabilistic:23.4f}")
    assert np.isclose(truth, 2 * mean_of_max(window, 0.5))
    assert np.isclose(truth, 2 * formula(window, 0.5))
    assert np.isclose(truth, probabilistic) and np.isclose(averaged, max(window))
assert 2 * mean_of_max([1] * 4, 0.5) == 1.875 and 2 * mean_of_max([-1] * 4, 0.5) == -0.125

# %% [markdown]
# The error has a sign. The maximum is a *convex* function, and for a convex function the mean
# of the values is never below the value at the mean (Jensen):
# $E[\max_i z_i y_i] \ge \max_i E[z_i] y_i$ for any window. Weight averaging never hands on too
# much, and nearly always too little.

# %%
keeps = np.linspace(0.05, 1, 60)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
for ax, level in ((left, 1.0), (right, -1.0)):
    truth = [mean_of_max([level] * 4, keep) / keep for keep in keeps]
    ax.plot(keeps, truth, color=BLUE, label="true mean, all 16 masks")
    ax.axhline(level, color=ORANGE, linestyle="--", label="weight averaging")
    half = mean_of_max([level] * 4, 0.5) / 0.5
    ax.plot(0.5, half, "o", color=BLUE)
    ax.annotate(f"{half:g}", (0.5, half), xytext=(8, 6), textcoords="offset points")
    ax.set(xlabel="keep", ylabel="mean of the max-pool, divided by keep")
    ax.legend(loc="center left" if level < 0 else "upper right")
    assert (np.array(truth) >= level - 1e-12).all()
left.set_title("Four units of 1: weight averaging is too low", fontsize=10)
right.set_title("Four units of -1: it is too low again", fontsize=10)
plt.show()

rng = np.random.default_rng(1)
for _ in range(200):
    window, keep = rng.standard_normal(4), rng.uniform(0.1, 0.9)
    assert np.isclose(mean_of_max(window, keep), formula(window, keep))
    assert mean_of_max(window, keep) >= keep * window.max() - 1e-12           # Jensen

# %% [markdown]
# ## 6.3 A LeNet with dropout after every layer
#
# Now the real thing, in small: the poster's LeNet, two convolutions with dropout and
# max-pooling, then two dense layers, trained here for a short while. `official_solver` holds
# the paper's training settings. (A full training run is in notebook 7. This one is about the
# rules of prediction, and they differ from the start.) `progress=True` shows a bar while it
# works, which leaves when it is done.

# %%
STEPS, IMAGES, T = (80, 400, 40) if QUICK else (600, 2000, 100)
x_test, y_test = x_test[:IMAGES], y_test[:IMAGES]
net = models.lenet("all", init_scheme="lecun")
optimizer, prior = official_solver(net, len(x))
model = mb.BayesianNetwork(net, prior=prior)
model.fit(x, y, steps=STEPS, batch_size=64, optimizer=optimizer, seed=0, progress=True)

# average T stochastic passes
mc = model.predict(x_test, samples=T, seed=1, keep_samples=True, progress=True)
average = model.predict(x_test, rule="weight-averaging")          # one pass with z = E[z]
# the same, with the exact mean of each max-pool
pooling = model.predict(x_test, rule="probabilistic-pooling")
print(f"{STEPS} steps; {IMAGES:,} test images        error, %       nll, nats")
for name, prediction in ((f"MC, T = {T}", mc), ("weight averaging", average),
                         ("probabilistic pooling", pooling)):
    error = prediction.error(y_test)
    print(f"{name:24s} {100 * error:15.2f} ± "
          f"{100 * metrics.binomial_std_error(error, IMAGES):.2f} "
          f"{-prediction.log_likelihood(y_test).mean():15.3f}")

# %% [markdown]
# First: is the package's average really the average? With $f_t$ the outputs of pass $t$, it
# should be $\frac{1}{T} \sum_{t=1}^T \mathrm{softmax}(f_t)$, an average of *probabilities*, not
# of outputs nor of log-probabilities. In NumPy:

# %%
f = mc.samples.astype(float)                                                   # (T, images, 10)
p = np.exp(f - f.max(axis=2, keepdims=True))
p /= p.sum(axis=2, keepdims=True)
assert np.allclose(mc.mean, p.mean(axis=0), atol=1e-6)
assert np.allclose(mc.std_error, p.std(axis=0, ddof=1) / math.sqrt(T), atol=1e-6)

# %% [markdown]
# Second: is the difference real? All rules use the *same* weights and images, so we compare
# image by image. For the negative log-likelihood (nll) that is the mean difference and its
# standard error. For the errors it is McNemar's test, which looks only at the images where
# exactly one of the two rules is wrong: if the rules were equally good, either would be the
# wrong one with probability 1/2.

# %%
for name, other in (("weight averaging", average), ("probabilistic pooling", pooling)):
    # nats by which the other rule is worse than MC
    worse = mc.log_likelihood(y_test) - other.log_likelihood(y_test)
    only_mc, only_other, p_value = metrics.mcnemar(mc.label != y_test, other.label != y_test)
    print(f"MC minus {name}: nll {-worse.mean():+.3f} ± "
          f"{worse.std(ddof=1) / math.sqrt(IMAGES):.3f} nats;")
    print(f"   only MC wrong on {only_mc} images, only {name} on {only_other}: p = "
          f"{p_value:.2g}")
    if other is average:
        assert worse.mean() > 4 * worse.std(ddof=1) / math.sqrt(IMAGES)
        # a quick run has too few images to tell
        assert QUICK or (only_mc < only_other and p_value < 0.001)

# %% [markdown]
# So the poster is right about the rule: of the *same weights*, MC averaging makes a much better
# predictor than weight averaging. But look at the third row. Probabilistic pooling is as
# deterministic as weight averaging; all it does is to replace the max-pool by its exact mean.
# It makes about as many errors as MC, and after this short training its nll is even lower. So
# nearly all of the failure is the bias of section 6.2, not a lack of Bayesian averaging. What
# MC has over it: it needs no special rule for each kind of layer, and it says how sure it is.
#
# Where does the bias enter? Here are the first pooling layer's outputs for some test digits:
# what weight averaging passes on, against the exact mean.

# %%
digits = x_test[:40]
responses = net.layers["conv1"].respond(model.params["conv1"], digits)[0]     # (40, 24, 24, 20)
# one row per pooling window
windows = responses.reshape(40, 12, 2, 12, 2, 20).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
weight_averaged = 0.5 * windows.max(axis=1)
ranked = -np.sort(-windows, axis=1)
true_mean = np.where(ranked[:, 0] > 0, np.maximum(ranked, 0) @ [0.5, 0.25, 0.125, 0.0625],
                     ranked[:, 0] / 16)
some = np.random.default_rng(2).choice(len(windows), 3000, replace=False)
share = weight_averaged[ranked[:, 0] > 0].sum() / true_mean[ranked[:, 0] > 0].sum()

fig, ax = plt.subplots(figsize=(5.2, 4.4))
ax.scatter(weight_averaged[some], true_mean[some], s=3, alpha=0.4, color=BLUE,
           label="one pooling window of conv1")
low, high = weight_averaged[some].min(), weight_averaged[some].max()
ax.plot([low, high], [low, high], "--", color=ORANGE, label="equal")
ax.set(xlabel="weight averaging: 0.5 max y", ylabel="exact mean of the max-pool",
       title="Where the mean is positive, "
             f"weight averaging passes on {100 * share:.0f} % of it")
ax.title.set_fontsize(10)
ax.legend()
plt.show()
assert (true_mean >= weight_averaged - 1e-6).all() and share < 0.75

# %% [markdown]
# ## 6.4 How many passes are enough?
#
# The average of $T$ passes is an estimate; its standard error falls as $1/\sqrt{T}$, and the
# prediction reports it as `std_error`. To see that the reported error is honest, predict twice
# with different seeds: the two means differ by the errors of both, so over all images and
# classes the mean square of the difference must be the mean of the two squared errors' sum.

# %%
FEW = 10
one, two = (model.predict(x_test, samples=FEW, seed=seed) for seed in (2, 3))
difference = ((one.mean - two.mean) ** 2).sum(axis=1)           # per image, summed over classes
expected = (one.std_error**2 + two.std_error**2).sum(axis=1)
ratio = difference.mean() / expected.mean()
error = (difference - expected).std(ddof=1) / math.sqrt(IMAGES) / expected.mean()
print(f"(difference)^2 / (std_error_1^2 + std_error_2^2) = {ratio:.3f} ± {error:.3f}")
assert abs(ratio - 1) < 4 * error

# %% [markdown]
# How error and nll depend on $T$: cut the kept passes into groups of $T$. The groups are
# independent, so their spread gives a standard error. This standard error is about the *masks*.
# How sure we are of the error rate on *other images* is another matter: the binomial standard
# error $\sqrt{e (1 - e) / n}$ for an error rate $e$ on $n$ images.

# %% tags=["picture"]
# p_t(y_n), the probability of the true class: (T, images)
right_p = p[:, np.arange(IMAGES), y_test]
sizes, rows = [s for s in (1, 2, 5, 10, 20, 50) if 2 * s <= T], []
for size in sizes:
    groups = T // size
    # one predictive mean per group
    means = p[:groups * size].reshape(groups, size, IMAGES, 10).mean(axis=1)
    errors = (means.argmax(axis=2) != y_test).mean(axis=1)
    nlls = -np.log(right_p[:groups * size].reshape(groups, size,
                                                   IMAGES).mean(axis=1)).mean(axis=1)
    rows.append([*(v for values in (errors, nlls)
                   for v in (values.mean(), values.std(ddof=1) / math.sqrt(groups)))])
rows = np.array(rows)

fig, axes = plt.subplots(1, 2, figsize=(10, 4))
for ax, column, scale, label in ((axes[0], 0, 100, f"error on {IMAGES:,} test images, %"),
                                 (axes[1], 2, 1, "nll, nats per image")):
    ax.errorbar(sizes, scale * rows[:, column], 2 * scale * rows[:, column + 1], fmt="o-",
                color=BLUE, capsize=3,
                label="MC averaging, ± 2 s.e. over groups of passes")
    for prediction, color, name in ((average, ORANGE, "weight averaging"),
                                    (pooling, GREEN, "probabilistic pooling")):
        values = prediction.error(y_test), None, -prediction.log_likelihood(y_test).mean()
        ax.axhline(scale * values[column], color=color, linestyle="--", label=name)
    ax.set(xscale="log", xlabel="passes T (log scale)", ylabel=label)
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    ax.legend(fontsize=8)
    ax.set_ylim(bottom=0)
first = next((s for s, row in zip(sizes, rows, strict=True) if row[0] < average.error(y_test)),
             None)
assert first is not None and np.all(np.diff(rows[:, 2]) < 0) and rows[0, 0] > rows[-1, 0]
axes[0].set_title(f"From T = {first} on, MC has fewer errors than weight averaging",
                  fontsize=10)
axes[1].set_title("More passes are better for the nll, ever more slowly", fontsize=10)
plt.show()
for size, (e, e_se, nll, nll_se) in zip(sizes, rows, strict=True):
    print(f"T = {size:2d}: error {100 * e:5.2f} ± {100 * e_se:.2f} %,  nll {nll:.4f} ± "
          f"{nll_se:.4f}")
print(f"for comparison, the binomial standard error on {IMAGES:,} images: "
      f"{100 * metrics.binomial_std_error(rows[-1, 0], IMAGES):.2f} %")

# %% [markdown]
# One pass errs most: dropout at its noisiest. Averaging helps at once, and after 10 to 20
# passes the error rate moves by less than its binomial standard error. So to *compare error
# rates*, 20 passes do, and the paper's $T = 50$ is on the safe side. The nll still gains a
# little, because the logarithm of a noisy mean is too low on average: by about
# $\mathrm{Var}[p_t] / (2 T p^2)$, where $p_t$ is the true class's probability in pass $t$ and
# $p$ its mean.
#
# A single *image* is another question. To know a probability to $\pm 0.01$ you need
# $T = \mathrm{Var}[p_t] / 0.01^2$ passes, and the variance over passes depends on the image. It
# is at most $1/4$, so 2,500 passes always do.

# %%
label = mc.label
top = p[:, np.arange(IMAGES), label]           # every pass's probability of the predicted class
needed = np.maximum(top.var(axis=0, ddof=1) / 0.01**2, 1)
wrong = label != y_test
fig, ax = plt.subplots(figsize=(7, 3.6))
bins = np.geomspace(1, 2600, 30)
for chosen, color, name in ((~wrong, BLUE, "predicted right"),
                            (wrong, ORANGE, "predicted wrong")):
    ax.hist(needed[chosen], bins, weights=np.full(chosen.sum(), 100 / chosen.sum()),
            histtype="step", linewidth=1.8, color=color,
            label=f"{name} ({chosen.sum():,} images)")
ax.axvline(50, color=GREY, linestyle="--", label="the paper's T = 50")
ax.set(xscale="log", xlabel="passes for a standard error of 0.01 (log scale)",
       ylabel="share of images, %",
       title=f"The median image needs {np.median(needed):.0f} passes, the median error "
       f"{np.median(needed[wrong]):.0f}")
ax.legend(fontsize=8, loc="upper center")
plt.show()
assert needed.max() <= 2500 * T / (T - 1)
assert np.median(needed[wrong]) > np.median(needed[~wrong])

# %% [markdown]
# So let the image decide: with `samples="auto"` the package adds passes until all standard
# errors are below `tolerance`.

# %%
for name, i in (("a sure image", needed.argmin()), ("the least sure one", needed.argmax())):
    found = model.predict(x_test[i:i + 1], samples="auto", tolerance=0.01, max_samples=5000,
                          seed=4)
    print(f"{name}: {found.num_samples} passes, largest probability {found.mean.max():.3f} ± "
          f"{found.std_error.max():.3f}")
    assert found.std_error.max() <= 0.01 and found.num_samples < 3000

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Replace the max-pool by the *mean* over the window. Show that weight averaging is then exact,
# and check it with all 16 masks. What does this say about where the trouble comes from?

# %% [markdown] tags=["solution"]
# The mean over the window is linear in $z$:
# $E[\frac{1}{4} \sum_i z_i y_i] = \frac{1}{4} \sum_i \mathrm{keep} \cdot y_i$, which is what
# weight averaging computes. The trouble is the maximum, not the dropping. (A network with
# average pools still has relus and a softmax, so weight averaging is not exact at its end.)

# %% tags=["solution"]
rng = np.random.default_rng(3)
for _ in range(20):
    window, keep, total = rng.standard_normal(4), rng.uniform(0.1, 0.9), 0.0
    for mask in itertools.product((0, 1), repeat=4):
        probability = keep ** sum(mask) * (1 - keep) ** (4 - sum(mask))
        total += probability * (np.array(mask) * window).mean()
    assert np.isclose(total, keep * window.mean())
print("mean pooling: weight averaging is exact")

# %% [markdown]
# ### Exercise 2
#
# With `noise_per="kernel"` all units of a window share one $z$. Show that weight averaging is
# then right after *one* dropped convolution with its max-pool. Is it right after two? Use
# `exact.predict` on small networks.

# %% [markdown] tags=["solution"]
# With one $z \in \lbrace 0, 1 \rbrace$ for the window, $\max_i z y_i = z \max_i y_i$: linear in
# $z$. But after a second convolution the units of a window are sums over kernels,
# $\sum_k z_k (\dots)$, with several different $z_k$: the second maximum is again a convex
# function of several random numbers, and the bias is back.

# %% tags=["solution"]
rng = np.random.default_rng(4)
first = {"c": nn.Conv2d(1, 2, 2, noise=drop, noise_per="kernel"), "p": nn.MaxPool2d(2)}
second = {"c2": nn.Conv2d(2, 1, 2, noise=drop, noise_per="kernel"), "p2": nn.MaxPool2d(2)}
for layers in (first, first | second):
    small = nn.Network((7, 7, 1), **layers, flat=nn.Flatten())
    params = {name: {q: rng.standard_normal(a.shape) for q, a in group.items()}
              for name, group in small.init(0, np.float64).items()}
    picture = rng.standard_normal((1, 7, 7, 1))
    likelihood = bayes.Gaussian(1.0)
    truth = exact.predict(small, params, likelihood, picture).mean
    dropped = mb.BayesianNetwork(small, likelihood=likelihood, params=params)
    guess = dropped.predict(picture, rule="weight-averaging").mean
    print(f"{len(layers) // 2} convolution(s): weight averaging is too low by up to "
          f"{max((truth - guess).max(), 0):.3f}")
    assert np.allclose(guess, truth) if len(layers) == 2 else (truth - guess).min() > 0.01

# %% [markdown]
# ### Exercise 3
#
# Suppose that on 10,000 test images MC alone errs on 18 and weight averaging alone on 109.
# Compute McNemar's p-value by hand. Then compare with what you would conclude from two error
# rates, 0.78 % and 1.69 %, and their binomial standard errors; and from 0.78 % against 0.74 %,
# where the counts are 8 and 4.

# %% [markdown] tags=["solution"]
# If both rules were equally good, each of the $18 + 109 = 127$ images would be a fair coin. The
# p-value is twice the probability of 18 heads or fewer. The unpaired comparison ignores that
# the same images are hard for both rules; here it finds the same, though less clearly. The
# second pair is no difference at all: 12 images decide, and 8 to 4 is an ordinary result of a
# coin.

# %% tags=["solution"]
def p_by_hand(a, b):
    return min(1.0, 2 * sum(math.comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b))


for a, b, e1, e2 in ((18, 109, 0.0078, 0.0169), (8, 4, 0.0078, 0.0074)):
    wrong_a, wrong_b = np.zeros(10_000, bool), np.zeros(10_000, bool)
    wrong_a[:a] = wrong_b[a:a + b] = True
    assert metrics.mcnemar(wrong_a, wrong_b) == (a, b, p_by_hand(a, b))
    unpaired = abs(e1 - e2) / math.hypot(metrics.binomial_std_error(e1, 10_000),
                                         metrics.binomial_std_error(e2, 10_000))
    print(f"{a} against {b}: p = {p_by_hand(a, b):.1g}; unpaired, the error rates are "
          f"{unpaired:.1f} standard errors apart")
