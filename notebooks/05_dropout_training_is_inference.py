# %% [markdown]
# # 5. Dropout training is inference
#
# **The poster's claim, in our words.** Approximate inference repeats two things: draw weights
# $\hat\omega$ from $q_\theta$, the distribution that approximates the posterior and whose
# parameters are $\theta$; then change $\theta$ a little so that the objective $\hat{L}(\theta)$
# gets smaller. That loop is not *like* dropout training with weight decay. It *is* dropout
# training with weight decay: the same numbers, step for step.
#
# What you will see here: both recipes written out and run side by side; how the settings of one
# translate into those of the other; where the randomness of a step comes from and how large it
# is; and why the noisy steps still find the optimum.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, checks, nn
from minibayes.bayes.convert import Convention
from minibayes.truth import exact

QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"

# %% [markdown]
# ## 5.1 One problem, two recipes
#
# Sixty points in the plane, three classes, and a network with eight hidden relu units whose
# outputs are dropped: each is kept with probability `keep` $= 0.8$.

# %%
# data, minibatch, hidden units, classes, P(z = 1), the prior's length-scale
N, B, H, C, KEEP, L = 60, 10, 8, 3, 0.8, 1.5
RATE, STEPS = 0.3, 150
rng = np.random.default_rng(0)
Y = np.arange(N) % C
X = np.array([[0, 1.3], [1.1, -0.7], [-1.1, -0.7]])[Y] + 0.6 * rng.standard_normal((N, 2))
theta_0 = {"M1": rng.standard_normal((H, 2)), "b1": np.zeros(H),
           "M2": 0.5 * rng.standard_normal((C, H)), "b2": np.zeros(C)}

# %% [markdown]
# **Recipe A: dropout training**, as a textbook has it. Multiply the hidden units by a random
# mask, minimise the mean loss by stochastic gradient descent, and let every weight decay.

# %%
def dropout_step(theta, x, y, mask, decay):
    """Mean cross-entropy of the minibatch, SGD with weight decay. No probability theory."""
    M1, b1, M2, b2 = theta["M1"], theta["b1"], theta["M2"], theta["b2"]
    a = x @ M1.T + b1                                     # (B, H)
    h = np.maximum(a, 0) * mask                           # dropped
    f = h @ M2.T + b2                                     # (B, C)
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    df = (p - np.eye(C)[y]) / len(y)                      # derivative of the mean cross-entropy
    da = (df @ M2) * mask * (a > 0)
    grad = {"M1": da.T @ x, "b1": da.sum(axis=0), "M2": df.T @ h, "b2": df.sum(axis=0)}
    return {name: theta[name] - RATE * (grad[name] + decay[name] * theta[name])
            for name in theta}, loss

# %% [markdown]
# **Recipe B: variational inference.** The hidden layer's mask is read as random *weights*:
# $W_2 = M_2 \mathrm{diag}(z)$, so dropping unit $j$ sets column $j$ of $W_2$ to zero. The
# posterior over weights is approximated by this $q_\theta$, with
# $\theta = (M_1, b_1, M_2, b_2)$, by minimising (notebook 3)
#
# $$\hat{L}(\theta) = -\frac{N}{B} \sum_{n=1}^{B} \log p(y_n \mid x_n, \hat\omega_n) +
# \mathrm{KL}(q_\theta(\omega), p(\omega))$$
#
# $$\mathrm{KL} = \frac{l^2}{2} \left( \lVert M_1 \rVert^2 + \lVert b_1 \rVert^2 +
# \mathrm{keep} \lVert M_2 \rVert^2 + \lVert b_2 \rVert^2 \right) + \mathrm{const}$$
#
# Here $N$ is the number of data and $B$ that of a minibatch; $p(y \mid x, \omega)$ is the
# softmax of the network's outputs at class $y$; the KL divergence measures how far $q_\theta$
# is from the prior $p(\omega)$, in which every weight is $N(0, l^{-2})$; const does not depend
# on $\theta$.
#
# Every example has its own draw $\hat\omega_n$, a matrix of its own. For the gradient we need
# one rule: $W_{kj} = M_{kj} z_j$, so
# $\partial / \partial M = (\partial / \partial W) \mathrm{diag}(z)$.

# %%
# E[z^2] of what multiplies each parameter: 1 where there is no noise
FACTOR = {"M1": 1.0, "b1": 1.0, "M2": KEEP, "b2": 1.0}


def inference_step(theta, x, y, z):
    """A step on L-hat(theta): weights W2 for every example, the log likelihood, the KL."""
    grad = {name: FACTOR[name] * L**2 * value for name, value in theta.items()}  # of the KL
    L_hat = sum(FACTOR[name] * L**2 / 2 * (value**2).sum() for name, value in theta.items())
    for x_n, y_n, z_n in zip(x, y, z, strict=True):
        # omega-hat_n ~ q
        W1, b1, W2, b2 = theta["M1"], theta["b1"], theta["M2"] @ np.diag(z_n), theta["b2"]
        a = W1 @ x_n + b1
        h = np.maximum(a, 0)
        f = W2 @ h + b2
        p = np.exp(f) / np.exp(f).sum()
        L_hat -= N / len(y) * np.log(p[y_n])
        df = N / len(y) * (p - np.eye(C)[y_n])                        # of -(N/B) log p(y_n | f)
        da = (W2.T @ df) * (a > 0)
        grad["M1"] += np.outer(da, x_n)
        grad["b1"] += da
        grad["M2"] += np.outer(df, h) @ np.diag(z_n)                     # dL/dM = dL/dW diag(z)
        grad["b2"] += df
    return {name: theta[name] - RATE / N * grad[name] for name in theta}, L_hat

# %% [markdown]
# **They are the same.** Divide $\hat{L}$ by $N$: the data term is the *mean* loss of the
# minibatch, and the gradient of KL$/N$ is $\frac{\mathrm{keep} \cdot l^2}{N} M_2$ and
# $\frac{l^2}{N}$ times each of the others. That is weight decay, with the factor
#
# $$\mathrm{wd} = \frac{\mathrm{keep} \cdot l^2}{N} \text{ for } M_2, \qquad
# \mathrm{wd} = \frac{l^2}{N} \text{ for parameters outside the noise}$$
#
# And $M \mathrm{diag}(z) h = M (z \circ h)$, where $\circ$ multiplies entry by entry: masking
# units and masking columns of weights are one operation. So with the same minibatches, the same
# masks and these decays every step must agree.
#
# **The third runner is the package**, its step written out. Its noise comes in two moves.
# $\epsilon$ is drawn from counters alone (seed, epoch, layer, example, unit) before any
# parameter is looked at. Then $z = T(\phi, \epsilon)$, and $\phi$ are parameters of the noise
# itself, if it has any: `pull` carries the derivative for $z$ on to them. Dropout has none. Its
# $z$ *is* $\epsilon$, and `pull` has nothing to do.

# %%
net = nn.Network(fc1=nn.Dense(2, H), relu=nn.ReLU(),
                 fc2=nn.Dense(H, C, noise=nn.Bernoulli(KEEP)))
prior, likelihood, sgd = bayes.Prior(L), bayes.Categorical(), nn.SGD(RATE)


def package_step(theta, state, key, rows):
    """Draw omega-hat ~ q, minimise L-hat(theta) one step: (theta, state of SGD, L-hat/N)."""
    x, y = X[rows], Y[rows]
    eps = net.draw(key, x.shape, examples=rows)                # eps ~ p(eps), without theta
    z = net.z(theta, eps)                                      # z = T(phi, eps), so omega-hat_n
    f, caches = net.forward(theta, x, z)                       # f_n = f(x_n, omega-hat_n)
    nll, df = likelihood.nll(f, y)                             # -log p(y_n | f_n), derivative
    _, grads = net.backward(theta, caches, df * (1 / len(y)))  # of the mean over the minibatch
    grads = net.pull(theta, eps, grads)                        # from z to phi: nothing here
    of_kl = bayes.kl.grad(net, theta, prior, N)                # of KL/N: here the weight decay
    grads = {n: {p: g + of_kl[n][p] for p, g in group.items()} for n, group in grads.items()}
    per_datum = nll.mean() + bayes.kl.value(net, theta, prior) / N
    return *sgd.update(theta, grads, state), per_datum


def packed(theta):
    return {"fc1": {"M": theta["M1"], "b": theta["b1"]},
            "fc2": {"M": theta["M2"], "b": theta["b2"]}}


def flat(theta):
    """All parameters in one row, from either form."""
    theta = theta if "M1" not in theta else packed(theta)
    return np.concatenate([theta[layer][p].ravel() for layer in ("fc1", "fc2")
                           for p in ("M", "b")])


SEED = 1


def minibatch(t):
    """The examples of step t and the key of its noise, as `fit` has them: new in each epoch."""
    epoch, position = divmod(t, N // B)
    order = np.random.default_rng([nn.Key(SEED).derive("order").seed, epoch]).permutation(N)
    return order[position * B:(position + 1) * B], nn.Key(SEED).derive("fit").at(epoch)


def masks_of(key, rows):
    return net.sample(key, (len(rows), 2), examples=rows)["fc2"]


decay = {name: factor * L**2 / N for name, factor in FACTOR.items()}
A, B_, apart, losses = theta_0, theta_0, [], []
package, state = packed(theta_0), sgd.init(packed(theta_0))
for t in range(STEPS):
    rows, key = minibatch(t)
    z = masks_of(key, rows)
    penalty = sum(decay[name] / 2 * (value**2).sum() for name, value in A.items())
    A, loss = dropout_step(A, X[rows], Y[rows], z, decay)
    B_, L_hat = inference_step(B_, X[rows], Y[rows], z)
    package, state, per_datum = package_step(package, state, key, rows)
    losses.append((loss + penalty, L_hat / N, per_datum))
    apart.append((abs(flat(A) - flat(B_)).max(), abs(flat(A) - flat(package)).max()))
losses, apart = np.array(losses), np.array(apart)
print(f"after {STEPS} steps dropout training differs from inference by {apart[-1, 0]:.0e}, "
      f"from the package by {apart[-1, 1]:.0e}")
print(f"the largest parameter is {abs(flat(A)).max():.2f}, and moved by "
      f"{abs(flat(A) - flat(theta_0)).max():.2f}")
assert apart.max() < 1e-12 and np.allclose(losses[:, :1], losses, rtol=1e-12)
assert abs(flat(A) - flat(theta_0)).max() > 0.1

# %% tags=["picture"]
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
left.plot(losses[:, 0], color=ORANGE, linewidth=4, alpha=0.6,
          label="A: mean loss + weight decay")
left.plot(losses[:, 1], color=BLUE, linewidth=1.2, label=r"B: $\hat{L}(\theta)/N$")
left.set(xlabel="step", ylabel="nats per datum", title="Two recipes, one loss")
left.legend()
right.semilogy(np.maximum(apart[:, 0], 1e-18), color=BLUE, linewidth=3, label="A and B")
right.semilogy(np.maximum(apart[:, 1], 1e-18), color=GREEN, label="A and the package")
right.set(xlabel="step", ylabel="largest difference of a parameter", ylim=(1e-17, 1e3),
          title="They part by rounding only")
right.axhline(abs(flat(A) - flat(theta_0)).max(), color=GREY, linestyle="--",
              label="how far training moved")
right.legend(loc="center right")
plt.show()

# %% [markdown]
# Is that what `fit` does? With `plain=True` it runs just these lines, and ends in the same
# parameters to the last bit. Without, it takes the fast path (notebook 10): the same step,
# equal but for rounding.

# %%
ways = {}
for plain in (True, False):
    model = mb.BayesianNetwork(net, prior, likelihood)
    model.fit(X, Y, steps=STEPS, batch_size=B, optimizer=sgd, seed=SEED, dtype=np.float64,
              params=packed(theta_0), plain=plain)
    ways[plain] = flat(model.params)
    apart_from_it = abs(ways[plain] - flat(package)).max()
    print(f"fit(plain={plain}) ends {apart_from_it:.0e} from the steps written out")
assert np.array_equal(ways[True], flat(package))
assert np.allclose(ways[False], flat(package), rtol=1e-10)

# %% [markdown]
# Is the gradient right that they all use? With the mask frozen, $\hat{L}$ is an ordinary
# function of $\theta$, and `checks.gradient_check` compares its gradient with finite
# differences. (That the mean of $\hat{L}$'s gradient over all masks and minibatches is the
# gradient of $L$ is checked in section 5.3.)

# %%
objective = bayes.Objective(net, prior, likelihood, num_data=N)      # L-hat and its gradient
eps = net.draw(nn.Key(2), (N, 2))
_, grads = objective.value_and_grad(package, X, Y, eps)
found = checks.gradient_check(lambda theta: objective.terms(theta, X, Y, eps).per_datum,
                              package, grads, rng=0)
assert found.passed, found
print(f"finite differences agree to {found.relative_error:.0e}")

# %% [markdown]
# ## 5.2 The same thing in other conventions
#
# Libraries do not all train $M$. Most use *inverted* dropout: masks $z/\mathrm{keep}$, so that
# the stored weight is $\Theta = \mathrm{keep} \cdot M$. Put $M = \Theta/\mathrm{keep}$ into the
# KL, and a step on $M$ at rate $r$ into a step on $\Theta$:
#
# | | plain masks, $M$ | inverted masks, $\Theta = \mathrm{keep} \cdot M$ |
# |---|---|---|
# | weight decay inside the noise | $\mathrm{keep} \; l^2 / N$ | $l^2 / (\mathrm{keep} \; N)$ |
# | weight decay outside the noise | $l^2 / N$ | $l^2 / N$ |
# | learning rate for the same path | $r$ | $\mathrm{keep}^2 \cdot r$ |
#
# `bayes.convert.Convention` knows this, and three more traps (regression with and without the
# 1/2, losses averaged over outputs, standardised targets). Check it by training with inverted
# masks:

# %%
inverted = Convention(keep=KEEP, inverted=True)
assert np.isclose(inverted.weight_decay(L, N), L**2 / (KEEP * N))
assert np.isclose(Convention(keep=KEEP).weight_decay(L, N), decay["M2"])
theta, plain, rates = dict(theta_0, M2=KEEP * theta_0["M2"]), theta_0, {"M2": KEEP**2}
for t in range(STEPS):
    rows, key = minibatch(t)
    z = masks_of(key, rows)
    plain, _ = dropout_step(plain, X[rows], Y[rows], z, decay)
    step, _ = dropout_step(theta, X[rows], Y[rows], z / KEEP,
                           dict(decay, M2=inverted.weight_decay(L, N)))
    theta = {name: theta[name] + rates.get(name, 1) * (step[name] - theta[name])
             for name in theta}
print("inverted training, seen as M = Theta/keep, differs from plain training by "
      f"{abs(theta['M2'] / KEEP - plain['M2']).max():.0e}")
assert np.allclose(theta["M2"] / KEEP, plain["M2"], rtol=1e-10)
assert np.allclose(theta["M1"], plain["M1"], rtol=1e-10)

# %% [markdown]
# ## 5.3 Two sources of noise in one step
#
# A step is noisy because the minibatch is a sample of the data (SGD noise) and because the
# masks are a sample of $q$ (Monte Carlo, or MC, noise). How large is each? Let $g_n(z)$ be the
# gradient of $-\log p(y_n \mid x_n, \hat\omega)$ for mask $z$, and $\bar{g}_n = E_z[g_n(z)]$.
# Variances of vectors are summed over entries. A minibatch of $B$ different examples, each with
# its own mask, has by the law of total variance
#
# $$\mathrm{Var} = \frac{1}{B} \frac{N - B}{N - 1} \left( \frac{1}{N} \sum_n \lvert \bar{g}_n -
# \bar{g} \rvert^2 \right) + \frac{1}{B} \left( \frac{1}{N} \sum_n \mathrm{Var}_z[g_n(z)]
# \right)$$
#
# where $\bar{g}$ is the mean of the $\bar{g}_n$. The first term is the SGD noise. Its factor
# $(N - B)/(N - 1)$ makes it vanish for the full data set, $B = N$. The second is the MC noise,
# and it does not. If *one* mask is shared by the whole minibatch, the masks no longer average
# out: with $V = \frac{1}{N} \sum_n \mathrm{Var}_z[g_n]$ and
# $U = \mathrm{Var}_z[\frac{1}{N} \sum_n g_n(z)]$,
#
# $$\text{shared MC noise} = \frac{V}{B} + \frac{B - 1}{B} \frac{N U - V}{N - 1}$$
#
# which goes from $V$ at $B = 1$ to $U$ at $B = N$, and never to zero. Our network has $2^8$
# masks and 60 examples, so everything can be added up exactly.

# %%
# the probability of every mask, and the masks: (256,), (256, 8)
w, z_all = next(exact.points(net, (2,)))
masks = z_all["fc2"].astype(float)


def example_gradients(theta, x, y, masks):
    """g_n(z) for all N examples and P masks: (N, P, number of parameters)."""
    a = x @ theta["M1"].T + theta["b1"]
    h = np.maximum(a, 0)[:, None] * masks                            # (N, P, H)
    f = h @ theta["M2"].T + theta["b2"]
    p = np.exp(f) / np.exp(f).sum(axis=2, keepdims=True)
    df = p - np.eye(C)[y][:, None]                                   # (N, P, C)
    da = (df @ theta["M2"]) * masks * (a > 0)[:, None]               # (N, P, H)
    parts = (da[..., None] * x[:, None, None], da, df[..., None] * h[:, :, None], df)
    return np.concatenate([part.reshape(*df.shape[:2], -1) for part in parts], axis=2)


def variance(values, weights, axis):
    """The variance under these weights along an axis, summed over the last axis."""
    mean = np.average(values, axis=axis, weights=weights, keepdims=True)
    return np.average((values - mean) ** 2, axis=axis, weights=weights).sum(axis=-1)


g = example_gradients(A, X, Y, masks)
g_bar = np.einsum("p,npd->nd", w, g)
data_part = variance(g_bar, None, axis=0)
V = variance(g, w, axis=1).mean()
U = variance(g.mean(axis=0), w, axis=0)

of_kl = np.concatenate([(decay[name] * A[name]).ravel() for name in ("M1", "b1", "M2", "b2")])
mean_gradient = g_bar.mean(axis=0) + of_kl
# d(L/N)/d theta by the package's enumeration
_, wanted = exact.value_and_grad(objective, packed(A), X, Y)
assert np.allclose(mean_gradient, flat(wanted), atol=1e-12)
print("the mean over all masks and examples is the gradient of L/N, to "
      f"{abs(mean_gradient - flat(wanted)).max():.0e}")

# %%
def predicted(B):
    """(SGD noise, MC noise with a mask per example, MC noise with one mask for all)."""
    return (N - B) / (N - 1) * data_part / B, V / B, V / B + (B - 1) / B * (N * U - V) / (N - 1)


def measured(B, shared, draws, rng):
    """The mean squared distance of gradients from their mean, and its standard error."""
    squares = np.empty(draws)
    for i in range(draws):
        rows = rng.permutation(N)[:B]
        drawn = rng.choice(len(w), p=w, size=1 if shared else B)
        squares[i] = ((g[rows, drawn].mean(axis=0) - g_bar.mean(axis=0)) ** 2).sum()
    return squares.mean(), squares.std(ddof=1) / math.sqrt(draws)


sizes, rng, points = (1, 4, 15, 60), np.random.default_rng(3), {}
for shared in (False, True):
    for size in sizes:
        sgd_noise, own, one = predicted(size)
        mean, error = points[shared, size] = measured(size, shared, 400 if QUICK else 2000, rng)
        assert abs(mean - sgd_noise - (one if shared else own)) < 4 * error
line = np.arange(1, N + 1)
sgd_noise, own, one = predicted(line)
fig, ax = plt.subplots(figsize=(7, 4.4))
ax.plot(line[:-1], sgd_noise[:-1], color=ORANGE, label="SGD noise: which examples (exact)")
ax.plot(line, own, color=BLUE, label="MC noise: a mask for each example (exact)")
ax.plot(line, one, "--", color=BLUE, label="MC noise: one mask for the minibatch (exact)")
for shared, marker, dashes, label in ((False, "o", "-", "a mask each"),
                                      (True, "s", "--", "one mask")):
    means, errors = np.array([points[shared, size] for size in sizes]).T
    ax.plot(line, sgd_noise + (one if shared else own), dashes, color=GREEN,
            label=f"both, {label} (exact; sampled ± 2 s.e.)")
    ax.errorbar(sizes, means, 2 * errors, fmt=marker, color=GREEN, capsize=3,
                markerfacecolor="none")
ax.set(xscale="log", yscale="log", xlabel="minibatch size B (log scale)",
       ylabel="variance of the gradient (log scale)",
       title=f"With B = N, a mask for each example leaves 1/{one[-1] / own[-1]:.0f} of a "
       "shared mask's noise")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend(fontsize=8)
plt.show()
assert own[-1] < one[-1] and np.isclose(one[-1], U) and np.isclose(sgd_noise[-1], 0)

# %% [markdown]
# Three things to take away. The two noises are of similar size here, and they fall together, as
# $1/B$, so dropout with a fresh mask for every example costs little. One mask for the whole
# minibatch is a valid draw (it is one *function*) but a noisier gradient: the package's `fit`
# draws a mask for each example. And should you spend your budget on more masks per example,
# $T$, or on more examples? $T$ masks divide the second term only, by $T$, and cost as much as
# $T$ times the examples, which divide both:

# %%
BUDGET = 24
print(f"passes per step: {BUDGET}")
totals = []
for T in (1, 2, 4, 8):
    sgd_noise, own, _ = predicted(BUDGET // T)
    totals.append(sgd_noise + own / T)
    print(f"  {BUDGET // T:2d} examples x {T} masks: variance {totals[-1]:.4f}")
assert np.all(np.diff(totals) > 0)

# %% [markdown]
# ## 5.4 Noisy steps, right destination
#
# The poster says that $\hat{L}$ *converges to the same optima* as $L$. Unbiased gradients are
# half of the reason. The other half is the step size: with a constant rate the parameters keep
# jumping about the optimum, in a cloud whose size grows with the rate; with rates $r_t$ that
# shrink, but not too fast ($\sum_t r_t = \infty$, $\sum_t r_t^2 \lt \infty$: Robbins and Monro
# 1951), the cloud contracts to a point.
#
# Linear regression shows it, because its optimum can be solved for. With $f = M (z \circ x)$,
# no bias, inputs $x_{nd}$ and keep $k$, the mean over masks of the squared error is the squared
# error of the mean plus a variance,
# $E(y_n - f_n)^2 = (y_n - k \sum_d M_d x_{nd})^2 + k (1 - k) \sum_d M_d^2 x_{nd}^2$, so that
# $L$ is a quadratic in $M$ and its minimum solves
#
# $$\left( \tau k^2 X^T X + \mathrm{diag} \left( \tau k (1 - k) \sum_n x_{nd}^2 + k l^2 \right)
# \right) M^\ast = \tau k X^T y$$

# %%
D, TAU, LINE_KEEP, LINE_L, BATCH, RUNS = 3, 4.0, 0.7, 1.0, 8, 40
STEPS = 1500 if QUICK else 12000
rng = np.random.default_rng(4)
x_line = rng.standard_normal((40, D))
y_line = x_line @ np.array([1.0, -0.5, 0.8]) + rng.standard_normal(40) / math.sqrt(TAU)
penalty = TAU * LINE_KEEP * (1 - LINE_KEEP) * (x_line**2).sum(axis=0) + LINE_KEEP * LINE_L**2
optimum = np.linalg.solve(TAU * LINE_KEEP**2 * x_line.T @ x_line + np.diag(penalty),
                          TAU * LINE_KEEP * x_line.T @ y_line)

linear = nn.Network(fc=nn.Dense(D, 1, noise=nn.Bernoulli(LINE_KEEP)))
its_objective = bayes.Objective(linear, bayes.Prior(LINE_L), bayes.Gaussian(TAU), num_data=40)
_, at_optimum = exact.value_and_grad(
    its_objective, {"fc": {"M": optimum[None], "b": np.zeros(1)}}, x_line, y_line)
# the gradient of L is zero there, by enumeration
assert abs(at_optimum["fc"]["M"]).max() < 1e-12


def distances(rate, gamma, rng):
    """Root mean square distance from the optimum of RUNS runs; rate_t = rate/(1 + gamma t)."""
    M, out = np.zeros((RUNS, D)), np.empty(STEPS)
    for t in range(STEPS):
        rows = rng.integers(0, 40, (RUNS, BATCH))
        x, y = x_line[rows], y_line[rows]
        zx = x * (rng.random(x.shape) < LINE_KEEP)
        df = TAU * (np.einsum("rbd,rd->rb", zx, M) - y) / BATCH
        M = M - rate / (1 + gamma * t) * (np.einsum("rb,rbd->rd", df, zx)
                                          + LINE_KEEP * LINE_L**2 / 40 * M)
        out[t] = math.sqrt(((M - optimum) ** 2).sum(axis=1).mean())
    return out


rng, curves = np.random.default_rng(5), {}
fig, ax = plt.subplots(figsize=(7, 4))
for rate, gamma, color in ((0.1, 0, ORANGE), (0.01, 0, GREEN), (0.1, 0.05, BLUE)):
    curves[rate, gamma] = distances(rate, gamma, rng)
    name = f"rate {rate:g}, constant" if gamma == 0 else f"rate {rate:g}/(1 + {gamma:g} t)"
    ax.loglog(np.arange(1, STEPS + 1), curves[rate, gamma], color=color, label=name)
ax.set(xlabel="step (log scale)", ylabel=r"r.m.s. distance of $M$ from $M^\ast$ (log scale)",
       title="Constant rates stall in a cloud around the optimum, falling rates do not")
ax.legend()
plt.show()

plateau = {rate: math.sqrt((curves[rate, 0][-STEPS // 4:] ** 2).mean()) for rate in (0.1, 0.01)}
print(f"radius of the cloud at rate 0.1: {plateau[0.1]:.3f}; at rate 0.01: {plateau[0.01]:.3f}")
# the variance is about proportional to the rate: sqrt(10) = 3.2
assert 2 < plateau[0.1] / plateau[0.01] < 5
assert curves[0.1, 0.05][-1] < plateau[0.01]

# %% [markdown]
# The package does the same with a falling rate, the policy "inv":
# $r_t = r (1 + \gamma t)^{-\mathrm{power}}$. Its bias is trained too, so we keep it at 0 by a
# rate of 0.

# %%
model = mb.BayesianNetwork(linear, bayes.Prior(LINE_L), bayes.Gaussian(TAU))
slow = nn.SGD(0.1, policy="inv", gamma=0.05, power=1.0, multipliers={"fc": {"b": 0.0}})
model.fit(x_line, y_line, steps=STEPS, batch_size=BATCH, optimizer=slow, seed=6,
          dtype=np.float64)
found = model.params["fc"]["M"][0]
print("optimum M*    ", optimum.round(3))
print("after training", found.round(3))
assert np.linalg.norm(found - optimum) < 4 * curves[0.1, 0.05][-1]

# %% [markdown]
# ## 5.5 What this does and does not say
#
# It says that a network trained with dropout and weight decay has, as a by-product, a
# distribution over weights, that this distribution was chosen by minimising a distance to a
# posterior, and that the weight decay is a statement about the prior. The LeNet of the paper,
# for example, was trained by its published solver with $\mathrm{wd} = 5 \cdot 10^{-4}$ beside
# inverted dropout with `keep` 0.5 and 60,000 images. So its prior is

# %%
l = Convention(keep=0.5, inverted=True).lengthscale(5e-4, num_data=60_000)
print(f"l^2 = wd keep N = {l**2:.1f}: prior standard deviation 1/l = {1 / l:.2f} of W, "
      "where the poster has 1")
assert np.isclose(l**2, 5e-4 * 0.5 * 60_000)

# %% [markdown]
# It does not say that the distribution is a good one. $q$ can only put its mass on the corners
# of one box in weight space, $2^8$ of them for our network; the KL's constant is infinite
# (notebook 3), so that only its gradient means anything; and for Gaussian noise, weight decay
# is not all of the KL (exercise 2). How good $q$ is, notebook 9 measures.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# A library trains with inverted dropout, `keep` 0.9, mean squared error without the 1/2, one
# output, `weight_decay` $= 10^{-4}$ (gradient $+$ wd $\Theta$), targets divided by their
# standard deviation 3, and $N = 500$. If the noise in $y$ has $\tau = 0.5$, which prior is it?
# Derive it, then use `Convention`.

# %% tags=["solution"]
# wd multiplies Theta beside the mean of ||y' - g||^2, that is of (2/(tau std^2)) (-log p): so
# wd = 2/(tau std^2) * l^2/(keep N).
theirs = Convention(keep=0.9, inverted=True, error_factor=1.0, target_std=3.0)
by_hand = math.sqrt(1e-4 * 0.5 * 3**2 * 0.9 * 500 / 2)
print(f"l = {theirs.lengthscale(1e-4, num_data=500, tau=0.5):.4f}: prior N(0, "
      f"{1 / by_hand:.2f}^2) on the weights W of the network of y'")
assert np.isclose(theirs.lengthscale(1e-4, num_data=500, tau=0.5), by_hand)

# %% [markdown]
# ### Exercise 2
#
# Replace the mask by $z \sim N(1, 1)$ per hidden unit. Is a step on $\hat{L}$ still a step of
# training with weight decay? Find the gradient of the KL with `bayes.kl` and compare it with
# weight decay.

# %% tags=["solution"]
# Each column m of M2 shares one z, so q lies along the ray of m. KL = (1 + variance) l^2/2
# ||m||^2 - log ||m|| + const: beside the weight decay (1 + 1) l^2 m there is a push away from
# 0, -m/||m||^2, the entropy of a longer ray. Weight decay alone would leave it out.
gaussian = nn.Network(fc1=nn.Dense(2, H), relu=nn.ReLU(),
                      fc2=nn.Dense(H, C, noise=nn.Gaussian(variance=1.0)))
M2 = theta_0["M2"]
wanted = 2 * L**2 * M2 - M2 / (M2**2).sum(axis=0)
assert np.allclose(bayes.kl.grad(gaussian, packed(theta_0), prior)["fc2"]["M"], wanted)
wd, _, rest = bayes.kl.split(gaussian, packed(theta_0), prior)             # wd, and the rest
assert np.isclose(wd["fc2"]["M"], 2 * L**2) and set(rest) == {"fc2"}
assert np.allclose(rest["fc2"]["M"], -M2 / (M2**2).sum(axis=0))
print("share of the push in the KL's gradient:",
      (np.linalg.norm(M2 / (M2**2).sum(axis=0)) / np.linalg.norm(2 * L**2 * M2)).round(2))

# %% [markdown]
# ### Exercise 3
#
# Let every weight of a linear map have its own noise,
# $w_d = \theta_d (1 + \sqrt{a} \epsilon_d)$ with $\epsilon_d \sim N(0, 1)$, and take the loss
# $\frac{1}{2} (y_n - w \cdot x_n)^2$, averaged over a minibatch. Compare three estimators of
# the gradient in $\theta$: one $\epsilon$ for the minibatch; one for each example; and *local
# reparameterisation* (Kingma, Salimans and Welling 2015, arXiv 1506.02557), which draws the sum
# $w \cdot x_n \sim N(\theta \cdot x_n, a \sum_d \theta_d^2 x_{nd}^2)$ directly. Show that their
# means agree. Which has the smallest variance?

# %% tags=["solution"]
a, theta = 0.5, np.array([1.0, -0.5, 0.8])
draws, rng = 4000 if QUICK else 20000, np.random.default_rng(7)
x, y = x_line[:BATCH], y_line[:BATCH]
n = len(y)
gradients = {}
for name, count in (("one for the minibatch", 1), ("one for each example", n)):
    z = 1 + math.sqrt(a) * rng.standard_normal((draws, count, D))                # w = theta z
    error = (x * z * theta).sum(axis=2) - y                                      # (draws, B)
    gradients[name] = (error[..., None] * x * z).mean(axis=1)                    # dw/dtheta = z
mean, sd = x @ theta, np.sqrt(a * (x**2 @ theta**2))
zeta = rng.standard_normal((draws, n, 1))
error = mean + sd * zeta[..., 0] - y
slope = x + zeta * a * theta * x**2 / sd[:, None]               # d(mean + sd zeta)/dtheta
gradients["local"] = (error[..., None] * slope).mean(axis=1)
# of E loss = ((y - mean)^2 + sd^2)/2
truth = ((mean - y)[:, None] * x + a * theta * x**2).mean(axis=0)
variances = []
for name, values in gradients.items():
    standard_error = values.std(axis=0, ddof=1) / math.sqrt(draws)
    assert (abs(values.mean(axis=0) - truth) < 4 * standard_error).all()
    variances.append(values.var(axis=0).sum())
    print(f"{name:22s} variance {variances[-1]:.3f}")
assert variances[0] > variances[1] > variances[2]
