# %% [markdown]
# # 1. Noise is weights
#
# **The poster's claim, in our words.** Deep learning uses *stochastic regularisation* nearly
# everywhere. Dropout sets randomly chosen units to zero at every training step. Multiplicative
# Gaussian noise (MGN) multiplies every unit by a random number from $N(1, 1)$. Somehow this
# circumvents over-fitting and improves the results, and nobody quite says why.
#
# The first step to an answer is a change of view. Noise on the *units* of a network is the same
# thing as noise on its *weights*:
#
# $$W = M \, \mathrm{diag}(z)$$
#
# What you will see here: that this is an identity and not an approximation, what the two kinds
# of noise have in common, what a network with random weights looks like as a function, and
# over-fitting with and without it.

# %%
import itertools
import os
import textwrap

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, models, nn

# quick mode does less; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#555555"

# %% [markdown]
# ## 1.1 Dropping a unit is dropping a column
#
# Take one layer of a network. It has $D$ inputs $x_1, \dots, x_D$ (the units of the layer
# before) and $K$ outputs $f_1, \dots, f_K$:
#
# $$f_k = \sum_{d=1}^{D} M_{kd} \, x_d + b_k$$
#
# $M$ is a matrix of numbers with $K$ rows and $D$ columns, $b$ holds $K$ biases. Both are
# learned. Now multiply every input unit by a random number $z_d$, *the noise*. For dropout
# $z_d$ is 1 with probability `keep` (the unit is kept) and 0 otherwise (the unit is dropped):
#
# $$f_k = \sum_d M_{kd} \, (z_d \, x_d) + b_k$$
#
# The brackets can be moved, and that is all there is to it:
#
# $$f_k = \sum_d (M_{kd} \, z_d) \, x_d + b_k = \sum_d W_{kd} \, x_d + b_k \qquad \text{with}
# \qquad W = M \, \mathrm{diag}(z)$$
#
# $\mathrm{diag}(z)$ is the matrix with $z_1, \dots, z_D$ on its diagonal and zeros elsewhere;
# multiplying by it from the right scales the *columns* of $M$. Input $d$ only ever meets column
# $d$. So the layer with a dropped unit is an ordinary layer with another weight matrix, one in
# which a column is zero. In bare NumPy:

# %%
rng = np.random.default_rng(0)
D, K, keep = 8, 4, 0.5
M, b, x = rng.standard_normal((K, D)), rng.standard_normal(K), rng.standard_normal(D)
z = (rng.random(D) < keep).astype(float)

f_units = M @ (z * x) + b                # drop units, keep the matrix
W = M @ np.diag(z)                       # keep the units, draw a matrix
f_weights = W @ x + b
kept = z == 1
f_smaller = M[:, kept] @ x[kept] + b     # what "dropping" says: the units are not there at all

print("z       =", z)
print("f       =", f_weights.round(4))
assert np.allclose(f_units, f_weights, rtol=1e-12)
assert np.allclose(f_smaller, f_weights, rtol=1e-12)
assert np.all(W[:, ~kept] == 0) and np.all(W[:, kept] == M[:, kept])

# %% [markdown]
# The package says the same with `nn.Dense(D, K, noise=...)`. The noise is drawn first and then
# handed in, so that `forward` is an ordinary function without hidden randomness.
# `bayes.posterior.weights` reads the noise as weight matrices.

# %%
net = nn.Network(fc=nn.Dense(D, K, noise=nn.Bernoulli(keep=keep)))
params = {"fc": {"M": M, "b": b}}
z_drawn = net.sample(nn.Key(seed=1), (3, D))          # three examples, each with a z of its own
X = rng.standard_normal((3, D))                       # (3, D): one example per row
f, _ = net.forward(params, X, z_drawn)
omega = bayes.posterior.weights(net, params, z_drawn, "fc")
print("z =", z_drawn["fc"].tolist())
print("shape of the three weight matrices:", omega["W"].shape)
for n in range(3):
    assert np.allclose(omega["W"][n], M @ np.diag(z_drawn["fc"][n]))
    assert np.allclose(f[n], omega["W"][n] @ X[n] + b, rtol=1e-12)

# %% [markdown]
# MGN is the same line with another $z$: $z_d \sim N(1, 1)$ scales a column instead of switching
# it on or off. Here are a network with four inputs, eight hidden units and four outputs, and
# below it the weight matrix of its second layer. Every column of the matrix belongs to the
# hidden unit above it.

# %% tags=["picture"]
def draw_network(ax, z):
    """Inputs, hidden units and outputs as dots; unit j and its lines as strong as |z_j|."""
    hidden, ends = np.arange(8.0), np.array([0.5, 2.5, 4.5, 6.5])
    for j, h in enumerate(hidden):
        for e in ends:
            alpha = min(1, 0.6 * abs(z[j]))
            ax.plot([e, h], [2, 1], color=GREY, linewidth=0.8, alpha=alpha)
            ax.plot([h, e], [1, 0], color=GREY, linewidth=0.8, alpha=alpha)
    ax.scatter(ends, np.full(4, 2), s=70, color=GREY, zorder=3)
    ax.scatter(ends, np.full(4, 0), s=70, color=GREY, zorder=3)
    for j, h in enumerate(hidden):
        if z[j]:
            ax.scatter(h, 1, s=max(20, 110 * abs(z[j])), color=BLUE, zorder=3)
        else:
            ax.scatter(h, 1, s=70, facecolor="white", edgecolor=GREY, linestyle=":", zorder=3)
    ax.set_xlim(-0.5, 7.5)
    ax.axis("off")


rng_picture = np.random.default_rng(5)
M2 = rng_picture.uniform(-1, 1, (4, 8))
draws = {"no noise: z = 1": np.ones(8),
         "dropout, one draw": nn.Bernoulli(0.5).sample(nn.Key(4), (1, 8))[0],
         "dropout, another draw": nn.Bernoulli(0.5).sample(nn.Key(2), (1, 8))[0],
         "MGN, one draw": nn.Gaussian(1.0).sample(nn.Key(3), (1, 8))[0]}
fig, axes = plt.subplots(2, 4, figsize=(11, 4.2), height_ratios=(1.5, 1))
for column, (title, z_hidden) in enumerate(draws.items()):
    draw_network(axes[0, column], z_hidden)
    axes[0, column].set_title(title, fontsize=11)
    matrix = axes[1, column].imshow(M2 @ np.diag(z_hidden), cmap="RdBu", vmin=-1.5, vmax=1.5,
                                    aspect="auto")
    axes[1, column].set(xticks=range(8), yticks=range(4), yticklabels=range(1, 5))
    axes[1, column].set_xticklabels([f"{v:.1f}" if v % 1 else f"{v:.0f}" for v in z_hidden])
    axes[1, column].tick_params(labelsize=8, length=0)
    axes[1, column].set_xlabel("z of the hidden unit above", fontsize=9)
    axes[1, column].grid(False)
axes[0, 0].text(-0.6, 2, "inputs", ha="right", va="center", fontsize=9)
axes[0, 0].text(-0.6, 1, "hidden", ha="right", va="center", fontsize=9)
axes[0, 0].text(-0.6, 0, "outputs", ha="right", va="center", fontsize=9)
axes[1, 0].set_ylabel("output", fontsize=9)
fig.colorbar(matrix, ax=axes[1, :], label="weight", shrink=0.9)
fig.suptitle("Noise on the hidden units is noise on the columns of the weight matrix: W = M "
             "diag(z)")
plt.show()

# %% [markdown]
# ## 1.2 The whole network: $\omega$
#
# A network with two layers is, in the poster's notation,
#
# $$f(x, \omega) = W_2 \, \sigma(W_1 x + b_1) + b_2, \qquad W_i = M_i \, \mathrm{diag}(z_i)$$
#
# where $\sigma$ is the non-linearity, here $\mathrm{relu}(a) = \max(a, 0)$, and $\omega$
# ("omega") is the name for all of the network's weights and biases together. The $M_i$ and
# $b_i$ together are called $\theta$ ("theta"). They are what training changes. $\omega$ is
# random: every draw of the noise is another $\omega$, written $\hat\omega$. The distribution
# that these draws come from is called $q_\theta(\omega)$. So a network with dropout has *two*
# sets of numbers: the $\theta$ that is stored, and the $\hat\omega$ that computes.
#
# Where does the noise of a *hidden* unit sit? On the input of the layer that follows: $z_2$
# multiplies $\sigma(W_1 x + b_1)$. The biases are not multiplied. (After a convolution the
# package does it a little differently: notebook 6.)

# %%
drop = nn.Bernoulli(keep=0.5)
net = nn.Network(fc1=nn.Dense(4, 8, noise=drop), relu=nn.ReLU(), fc2=nn.Dense(8, 4, noise=drop))
theta = {name: {p: rng.standard_normal(a.shape) for p, a in group.items()}
         for name, group in net.init(0).items()}
X = rng.standard_normal((5, 4))
z = net.sample(nn.Key(seed=0), X.shape)
f, _ = net.forward(theta, X, z)
W1, W2 = (bayes.posterior.weights(net, theta, z, name)["W"] for name in ("fc1", "fc2"))
for n in range(5):                     # the same in NumPy, with the weights drawn for example n
    hidden = np.maximum(W1[n] @ X[n] + theta["fc1"]["b"], 0)
    assert np.allclose(f[n], W2[n] @ hidden + theta["fc2"]["b"], rtol=1e-12)
numbers = sum(a.size for group in theta.values() for a in group.values())
bits = sum(a.shape[1] for a in z.values())
print(f"theta holds {numbers} numbers; "
      f"omega-hat of one example is drawn with {bits} random bits")

# %% [markdown]
# That last line matters. The weights of $\hat\omega$ are not independent: all weights of a
# column share one $z$. Twelve coins move 64 weights.
#
# ## 1.3 Training sees the same weights
#
# If $L$ is a loss and the network computed with $W$, the chain rule gives its derivative for
# $M$:
#
# $$W_{kd} = M_{kd} \, z_d \quad\Rightarrow\quad \frac{\partial L}{\partial M_{kd}} =
# \frac{\partial L}{\partial W_{kd}} \, z_d \quad\text{or}\quad \frac{\partial L}{\partial M} =
# \frac{\partial L}{\partial W} \, \mathrm{diag}(z)$$
#
# A dropped unit's column learns nothing from this example. An implementation that uses the
# noise forward and forgets it backward is wrong, and trains all the same, only worse: notebook
# 4 plants that bug. Here the derivative is compared with finite differences: move $M$ a little
# along a random direction, with the noise held fixed, and see by how much the loss changes.

# %%
y = np.array([0, 1, 2, 3, 0])
likelihood = bayes.Categorical()


def loss(parameters):
    """The sum of -log p(y_n | f_n) over the five examples, for the z drawn above."""
    return likelihood.nll(net.forward(parameters, X, z)[0], y)[0].sum()


f, caches = net.forward(theta, X, z)
_, grads = net.backward(theta, caches, likelihood.nll(f, y)[1])
check = mb.checks.gradient_check(loss, theta, grads, rng=0)
print(textwrap.fill(str(check), 96))
assert check.passed

# one example alone: dropped units get no gradient at all
one = {name: a[:1] for name, a in z.items()}
f, caches = net.forward(theta, X[:1], one)
_, grads = net.backward(theta, caches, likelihood.nll(f, y[:1])[1])
for name in ("fc1", "fc2"):
    assert np.all(grads[name]["M"][:, one[name][0] == 0] == 0)

# %% [markdown]
# ## 1.4 Two kinds of noise, side by side
#
# |  | $z$ | mean $E[z]$ | mean square $E[z^2]$ | variance |
# |---|---|---|---|---|
# | dropout | 1 with probability `keep`, else 0 | keep | keep | keep (1 - keep) |
# | MGN | $N(1, \mathrm{variance})$; the poster's is $N(1, 1)$ | 1 | 1 + variance | variance |
#
# The mean weights are $E[W] = E[z] \, M$. Dropout's $z$ is *not* divided by `keep` here, which
# is the poster's convention; many libraries do divide (exercise 2). What makes the two
# comparable is the noise relative to its mean, $\mathrm{Var}[z] / E[z]^2$: for dropout that is
# $(1 - \mathrm{keep}) / \mathrm{keep}$, so the poster's $N(1, 1)$ is as noisy as dropout with
# keep = 1/2.
#
# We draw a lot of both and compare. A mean of $n$ draws is off by about one *standard error*,
# the standard deviation over $\sqrt n$; an error of more than four is practically impossible.

# %%
n = 100_000 if QUICK else 1_000_000
for noise in (nn.Bernoulli(0.5), nn.Bernoulli(0.8), nn.Gaussian(1.0), nn.Gaussian(0.25)):
    draws = noise.sample(nn.Key(7), (n, 1)).astype(float)
    for what, values, truth in (("E[z]", draws, noise.mean),
                                ("E[z^2]", draws**2, noise.second_moment)):
        standard_error = values.std() / np.sqrt(n)
        print(f"{noise!s:24} {what:6} = {values.mean():.4f} +- {standard_error:.4f}, should be "
              f"{truth:g}")
        assert abs(values.mean() - truth) < 4 * standard_error
assert np.isclose(nn.Bernoulli(0.5).variance / nn.Bernoulli(0.5).mean ** 2,
                  nn.Gaussian(1.0).variance)

# %% [markdown]
# The draws are reproducible: $z$ is a function of the seed, the pass, the layer's name and the
# example's number, and of nothing else. Ask again and you get the same noise; ask for example 3
# alone and you get its row.

# %%
again = net.sample(nn.Key(seed=0), X.shape)
alone = net.sample(nn.Key(seed=0), (1, 4), examples=np.array([3]))
assert all(np.array_equal(z[name], again[name]) and np.array_equal(z[name][3:4], alone[name])
           for name in z)

# %% [markdown]
# ## 1.5 A random network is a random function
#
# Give all inputs the same $\hat\omega$ and you see one function; draw again and you see
# another. With the noise on the hidden units $r_j(x)$ only, the output is a sum of independent
# terms, $f(x) = \sum_j M_j z_j r_j(x) + b$, so its mean and its variance over the draws are
# known:
#
# $$E[f(x)] = \mathrm{keep} \sum_j M_j r_j(x) + b, \qquad \mathrm{Var}[f(x)] = \mathrm{keep}(1 -
# \mathrm{keep}) \sum_j M_j^2 \, r_j(x)^2$$
#
# With ten hidden units there are only $2^{10} = 1024$ different functions. We compute all of
# them, and the mean and variance over all of them must be these formulas, to the last digit.
# (At keep = 1/2 all are equally likely.)

# %%
H = 10
net = models.mlp([1, H, 1], noise=nn.Bernoulli(0.5))
rng = np.random.default_rng(1)
slopes, kinks = np.repeat([1.0, -1.0], H // 2), np.tile(np.linspace(-2.4, 2.4, H // 2), 2)
# unit j is 0 on one side of its kink
theta = {"fc1": {"M": slopes[:, None], "b": -slopes * kinks},
         "fc2": {"M": rng.standard_normal((1, H)), "b": np.zeros(1)}}
x = np.linspace(-3, 3, 61)[:, None]

# (61, H) hidden units, bare NumPy
r = np.maximum(x @ theta["fc1"]["M"].T + theta["fc1"]["b"], 0)
masks = np.array(list(itertools.product((0, 1), repeat=H)))     # (1024, H) every z there is
functions = (masks * theta["fc2"]["M"]) @ r.T  # (1024, 61) every function there is
mean = 0.5 * (theta["fc2"]["M"] @ r.T)[0]
variance = 0.25 * (theta["fc2"]["M"] ** 2 @ (r**2).T)[0]
assert np.allclose(functions.mean(axis=0), mean)
assert np.allclose(functions.var(axis=0), variance)

drawn = []
for t in range(25):  # the package: one z for all inputs
    drawn.append(net.forward(theta, x, net.sample(nn.Key(0, t), x.shape, shared=True))[0][:, 0])
    assert np.abs(functions - drawn[-1]).max(axis=1).min() < 1e-12  # one of the 1024

fig, ax = plt.subplots(figsize=(8, 3.8))
ax.plot(x, np.transpose(drawn), color=GREY, linewidth=0.7, alpha=0.6)
ax.plot([], [], color=GREY, linewidth=0.7, label="25 draws of the function")
ax.plot(x, mean, color=BLUE, linewidth=2, label="mean of all 1024")
std = np.sqrt(variance)
ax.fill_between(x[:, 0], mean - std, mean + std, color=BLUE, alpha=0.2,
                label="one standard deviation of all 1024")
ax.set(xlabel="input x", ylabel="output f(x)")
ax.set_title("A network with dropout is a distribution over functions (here before any "
             "training)")
ax.legend()
plt.show()

# %% [markdown]
# That is what the rest of this course builds on. Random weights with a distribution
# $q_\theta(\omega)$ are just what *Bayesian* neural networks have (notebook 2), and training
# with noise turns out to fit that distribution to data (notebooks 3 and 5).
#
# ## 1.6 Over-fitting, with and without noise
#
# The claim says that noise circumvents over-fitting. We look: 1,000 images of handwritten
# digits from MNIST, and a network 784-200-10, which is much too large for so few; no noise, or
# noise on the inputs and on the hidden units. It is tested on 10,000 other images.
#
# All are tested in the usual way, with $z$ replaced by its mean $E[z]$, which is called *weight
# averaging*. (The Bayesian way is to average many noisy passes: notebook 6.) Beside the error
# we look at the mean of $-\log p(y \mid x)$, in nats, where $p(y \mid x)$ is the probability
# that the network gave to the right digit. 0 is perfect, $\log 10 = 2.3$ is guessing, and
# confident mistakes cost most.

# %%
x_all, y_all, x_test, y_test = mb.data.mnist()
N, epochs = 1000, 60
x_train, y_train, x_test = x_all[:N].reshape(N, -1), y_all[:N], x_test.reshape(len(x_test), -1)
noises = {"no noise": nn.Delta(), "dropout, keep = 1/2": nn.Bernoulli(0.5),
          "MGN, N(1, 1)": nn.Gaussian(1.0)}
curves, tested = {}, {}
for name, noise in noises.items():
    net = models.mlp([784, 200, 10], noise=noise, input_noise=noise)
    # a weak prior: it is the noise that helps
    model = mb.BayesianNetwork(net, prior=bayes.Prior(lengthscale=0.1))

    def measure(snapshot, row):
        test, train = (snapshot.predict(a, rule="weight-averaging") for a in (x_test, x_train))
        return {"test_error": test.error(y_test), "train_error": train.error(y_train),
                "test_nll": -test.log_likelihood(y_test).mean()}

    curves[name] = model.fit(x_train, y_train, epochs=epochs, batch_size=50,
                             optimizer=nn.SGD(0.05, momentum=0.9),
                             seed=0, report_every=N // 50 * (epochs // 2 if QUICK else 5),
                             on_report=measure)
    tested[name] = model.predict(x_test, rule="weight-averaging")

for name, rows in curves.items():
    print(f"{name:20} training error {rows[-1]['train_error']:6.2%}, test error "
          f"{rows[-1]['test_error']:6.2%}, "
          f"test -log p(y | x) {rows[-1]['test_nll']:.3f} nats")

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2))
for (name, rows), color in zip(curves.items(), (GREY, BLUE, ORANGE), strict=True):
    epoch = [row["epoch"] for row in rows]
    axes[0].plot(epoch, [100 * row["test_error"] for row in rows], color=color, marker="o",
                 markersize=4, label=f"{name}, test")
    axes[0].plot(epoch, [100 * row["train_error"] for row in rows], color=color, linestyle=":",
                 label=f"{name}, training")
    axes[1].plot(epoch, [row["test_nll"] for row in rows], color=color, marker="o",
                 markersize=4, label=name)
final = [rows[-1]["test_error"] for rows in curves.values()]
axes[0].set(xlabel="epoch (passes over the 1,000 images)", ylabel="error, %", ylim=(-0.5, 24),
            title=f"Test error at the end: {final[0]:.1%} without noise,\n{final[1]:.1%} with "
            f"dropout, {final[2]:.1%} with MGN")
axes[1].set(xlabel="epoch (passes over the 1,000 images)", ylabel="test -log p(y | x), nats",
            title="Without noise the probabilities\nget worse the longer it trains")
axes[0].legend(fontsize=8, ncols=2, loc="upper right")
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# Without noise the training error is soon 0 and the test images pay for it: the network goes on
# to become more confident, also where it is wrong. With noise it never sees the same image
# through the same weights twice. Is the difference real? The same 10,000 images are used for
# all three, so we compare image by image. For $-\log p$ we ask how many standard errors the
# mean difference is from 0. For the errors we take McNemar's test: only the images count on
# which one network is right and the other wrong, and without a difference each kind would come
# up like heads and tails.

# %%
for name in list(noises)[1:]:
    difference = tested[name].log_likelihood(y_test) - tested["no noise"].log_likelihood(y_test)
    distance = difference.mean() / (difference.std() / np.sqrt(len(difference)))
    only_noise, only_none, p = mb.metrics.mcnemar(tested[name].label != y_test,
                                                  tested["no noise"].label != y_test)
    print(f"{name}: -log p less by {difference.mean():.3f}, {distance:.0f} standard errors;\n"
          f"    wrong alone on {only_noise}, without noise on {only_none} images (p = {p:.0e})")
    assert distance > 4 and only_noise < only_none and p < 0.01
first, *_, last = curves["no noise"]
assert last["train_error"] == 0 and last["test_nll"] > first["test_nll"]

# %% [markdown]
# So the claim holds here: for one data set of 1,000 images and one random start, not for every
# network. Why noise should do this is the question of the next notebooks, and their answer is
# that it makes the training an approximate Bayesian inference.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# We put the noise *before* the matrix product, on the units that go in. Suppose you multiply a
# layer's *outputs* by noise instead, before the non-linearity: $\sigma(z_k f_k)$ instead of
# $z_k \, \sigma(f_k)$. When is that the same? Think of relu and tanh, of dropout and MGN. And
# what does noise on the outputs do to $M$ and $b$?

# %% [markdown] tags=["solution"]
# Noise on the outputs scales *rows*: $z_k (\sum_d M_{kd} x_d + b_k)$ has the matrix
# $\mathrm{diag}(z) M$ and the biases $\mathrm{diag}(z) b$. With dropout $z_k$ is 0 or 1, and
# $\sigma(z_k f_k) = z_k \, \sigma(f_k)$ for every $\sigma$ with $\sigma(0) = 0$: relu and tanh
# both. MGN's $z_k$ can be anything. relu can pull out a positive factor, but $z_k$ may be
# negative; tanh can pull out no factor but 0 and $\pm 1$. (In the package a layer says where
# its noise acts: `place=nn.Outputs()` instead of a dense layer's `nn.Inputs()`.)

# %% tags=["solution"]
f = np.random.default_rng(1).standard_normal(1000)
zs = {"dropout": nn.Bernoulli(0.5).sample(0, (1000, 1))[:, 0],
      "MGN": nn.Gaussian(1.0).sample(0, (1000, 1))[:, 0]}
activations = {"relu": lambda a: np.maximum(a, 0), "tanh": np.tanh}
for noise, z in zs.items():
    for name, activation in activations.items():
        gap = np.abs(activation(z * f) - z * activation(f)).max()
        print(f"{noise:8} {name}: largest difference {gap:.2g}")
        assert (gap == 0) == (noise == "dropout")
positive = np.abs(zs["MGN"])
assert np.allclose(np.maximum(positive * f, 0), positive * np.maximum(f, 0))

# %% [markdown]
# ### Exercise 2
#
# Many libraries divide the mask by `keep` ("inverted dropout"), so that $E[z'] = 1$ with
# $z' = z / \mathrm{keep}$, and they store another matrix, $\Theta$. Which $\Theta$ gives
# exactly the same random function as our $M$? What is then the variance of $z'$, and for which
# `keep` is it that of the poster's MGN?

# %% [markdown] tags=["solution"]
# $\Theta \, \mathrm{diag}(z / \mathrm{keep}) = M \, \mathrm{diag}(z)$ for every $z$, so
# $\Theta = \mathrm{keep} \, M$: the stored matrix is the mean matrix $E[W]$. The variance of
# $z'$ is
# $\mathrm{keep}(1 - \mathrm{keep}) / \mathrm{keep}^2 = (1 - \mathrm{keep}) / \mathrm{keep}$,
# which is 1, MGN's, for keep = 1/2.

# %% tags=["solution"]
for keep in (0.5, 0.8):
    Theta = keep * M
    for z in itertools.product((0, 1), repeat=D):                # all 256 masks
        assert np.allclose(Theta @ np.diag(np.array(z) / keep), M @ np.diag(z))
    variance = keep * (1 - keep) / keep**2
    print(f"keep = {keep}: Var[z'] = {variance:g}")
    assert np.isclose(variance, (1 - keep) / keep)
assert (1 - 0.5) / 0.5 == nn.Gaussian(1.0).variance

# %% [markdown]
# ### Exercise 3
#
# Dropout throws one coin per column. Throw a separate coin for every *weight* instead (this is
# known as DropConnect): $W_{kd} = M_{kd} \, z_{kd}$. Does the mean of an output $f_k$ change?
# Its variance? The covariance of two outputs? Work it out, then check it on a layer with three
# inputs and two outputs by going through all masks.

# %% [markdown] tags=["solution"]
# $f_k = \sum_d M_{kd} \, x_d \, z_{kd} + b_k$ is a sum over independent coins either way, so
# mean and variance of each output are the same: $\mathrm{keep} \sum_d M_{kd} x_d + b_k$ and
# $\mathrm{keep} (1 - \mathrm{keep}) \sum_d M_{kd}^2 x_d^2$. But with one coin per column the
# outputs move together: their covariance is
# $\mathrm{keep} (1 - \mathrm{keep}) \sum_d M_{1d} M_{2d} x_d^2$. With a coin for each weight it
# is 0. The package's name for a coin per weight is `place=nn.Weights()`.

# %% tags=["solution"]
rng, keep = np.random.default_rng(0), 0.7
M3, x3 = rng.standard_normal((2, 3)), rng.standard_normal(3)


def moments(masks):
    """Mean and covariance of the two outputs over all masks, each a (2, 3) matrix."""
    p = np.array([keep ** np.sum(coins) * (1 - keep) ** (len(coins) - np.sum(coins))
                  for coins, _ in masks])
    f = np.array([(M3 * mask) @ x3 for _, mask in masks])
    mean = p @ f
    return mean, (f - mean).T @ np.diag(p) @ (f - mean)


columns = [(coins, np.array([coins, coins])) for coins in itertools.product((0, 1), repeat=3)]
weights = [(coins, np.reshape(coins, (2, 3))) for coins in itertools.product((0, 1), repeat=6)]
(mean_c, cov_c), (mean_w, cov_w) = moments(columns), moments(weights)
print("a coin per column:\n", cov_c.round(4), "\na coin per weight:\n", cov_w.round(4))
assert np.allclose(mean_c, mean_w) and np.allclose(np.diag(cov_c), np.diag(cov_w))
assert np.isclose(cov_c[0, 1], keep * (1 - keep) * (M3[0] * M3[1]) @ x3**2)
assert abs(cov_w[0, 1]) < 1e-12

connect = nn.Dense(3, 2, noise=nn.Bernoulli(keep), place=nn.Weights())             # the package
theta = {"fc": {"M": M3, "b": np.zeros(2)}}
p, f = mb.truth.exact.outputs(nn.Network(fc=connect), theta, x3[None])                # 64 masks
assert len(p) == 64 and np.allclose(np.cov(f[0].T, aweights=p, bias=True), cov_w)
