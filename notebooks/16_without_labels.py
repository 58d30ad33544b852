# %% [markdown]
# # 16. Without labels
#
# **The poster's claim, in our words.** Modern deep learning can be read as Bayesian inference;
# it closes with the question whether that holds without labels too: *unsupervised learning,
# Bayesian data analysis?* They are the same rules again: name what is not known, give it a
# prior, and look at the posterior. What is not known may be a weight, the code of an image, the
# lower half of a
# digit, or what a town is worth.
#
# What you will see here: that noise in a code and noise in a weight are one formula; a linear
# autoencoder that must be, and is, probabilistic PCA; digits nobody wrote; digits completed
# from their upper halves, with what stays uncertain; which of two uncertainties grows off the
# data; and a posterior with the shape of a funnel.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, latent, nn
from minibayes.bayes import codes, kl
from minibayes.truth import hmc, schools
from minibayes.truth.ppca import ppca

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"

# %% [markdown]
# ## 16.1 A code is noise too
#
# Mean field (notebook 11) says of a weight $w = m + s \epsilon$, $\epsilon \sim N(0, 1)$, with
# $m$ and $\log s$ learned. Say the same of a number $h$ that stands for an *example*: an
# encoder reads $x_n$ and answers with $m_n$ and $\log s_n$, and
#
# $$h_n = m_n + s_n \epsilon_n, \qquad q(h_n \mid x_n) = N(m_n, s_n^2), \qquad p(h) = N(0, 1)$$
#
# A decoder makes $x_n$ of $h_n$ again, $p(x_n \mid h_n)$. The bound of notebook 3 needs nothing
# new. Only *whose* the unknown is differs: the weights belong to all data, and their KL is
# counted once; a code belongs to its datum, and its KL is counted with it:
#
# $$L = \sum_n \left[ E_q[-\log p(x_n \mid h_n)] + \mathrm{KL}(q(h_n \mid x_n) \Vert p(h))
# \right] + \mathrm{KL}(q(\omega) \Vert p(\omega))$$
#
# In the package it is a layer, `nn.Code(n)`: what comes in are the $2n$ numbers
# $(m, \log s)$, what comes out is $h$. Its KL is the row of mean field under a normal prior in
# the table of KLs, taken number by number.

# %%
m, s = np.array([[0.9, -0.4, 2.0]]), np.array([[0.2, 0.7, 1.1]])
by_hand = (m**2 + s**2 - 1).sum() / 2 - np.log(s).sum()
of_code, slope = codes.kl(m, np.log(s))

net = nn.Network(fc=nn.Dense(3, 1, noise=nn.MeanField()))
params = {"fc": {"M": m, "b": np.zeros(1), "log_std": np.log(s)}}
prior = bayes.Prior(1.0)
of_weights = kl.value(net, params, prior) + kl.constant(net, params, prior)["fc"]
print(f"by hand {by_hand:.6f}, three numbers of a code {of_code[0]:.6f}, "
      f"three weights {of_weights:.6f}")
assert abs(of_code[0] - by_hand) < 1e-12 and abs(of_weights - by_hand) < 1e-12
assert np.allclose(slope, np.hstack([m, s**2 - 1]))          # d/dm = m, d/dlog s = s^2 - 1

# the layer: forward is deterministic, the noise was drawn before; dh/dm = 1, dh/dlog s = s e
layer, e, dh = nn.Code(3), np.array([[0.5, -1.0, 0.3]]), np.array([[1.0, 2.0, 3.0]])
h, cache = layer.forward(None, np.hstack([m, np.log(s)]), e)
dx, _ = layer.backward(None, cache, dh)
assert np.allclose(h, m + s * e) and np.allclose(dx, np.hstack([dh, dh * s * e]))

# %% [markdown]
# ## 16.2 A linear autoencoder is probabilistic PCA
#
# With a linear decoder, $x = V h + b + \sigma \epsilon$, all is known in closed form:
# $x \sim N(b, VV^\top + \sigma^2 I)$. The likelihood is greatest where $V$ holds the first
# eigenvectors of the data's covariance, with lengths $\sqrt{\lambda_i - \sigma^2}$ (Tipping and
# Bishop 1999). There the true posterior of $h$ is normal, its mean linear in $x$, its variances
# the same for all $x$: a linear encoder can say *exactly* that, so the bound has no gap.
# Trained from anywhere, the autoencoder must end at PCA's likelihood (Lucas et al. 2019).
#
# The noise is averaged exactly: a square is integrated by the two points $\pm 1$ for each of
# the three numbers of the code.

# %%
rng = np.random.default_rng(0)
x = (rng.standard_normal((200, 3)) * [2.0, 1.2, 0.7] @ rng.standard_normal((3, 8)) / 2
     + 0.5 * rng.standard_normal((200, 8)))
truth = ppca(x, 3)
linear = nn.Network(law=nn.Dense(8, 6), code=nn.Code(3), out=nn.Dense(3, 8))
likelihood = bayes.Gaussian(1 / truth.variance)
objective = bayes.Objective(linear, bayes.LogUniform(), likelihood, len(x))
signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
rows, eps = np.repeat(x, 8, axis=0), {"code": np.tile(signs, (len(x), 1))}


def train(seed, steps=1500):
    theta, gaps = linear.init(seed, np.float64), []
    for rate in (0.03, 0.006, 0.0012):
        adam = nn.Adam(rate)
        state = adam.init(theta)
        for _ in range(steps // 3):
            terms, grads = objective.value_and_grad(theta, rows, rows, eps)
            theta, state = adam.update(theta, grads, state)
            gaps.append(terms.nll + truth.log_likelihood / len(x))
    return theta, gaps


runs = [train(seed) for seed in range(2 if QUICK else 4)]
print("nats a datum above PCA's optimum:", ", ".join(f"{gaps[-1]:.1e}" for _, gaps in runs))
assert all(abs(gaps[-1]) < 1e-4 for _, gaps in runs)

# %%
fig, ax = plt.subplots(figsize=(7, 3.4))
for i, (_, gaps) in enumerate(runs):
    color = (BLUE, ORANGE, GREEN, RED)[i]
    ax.plot(np.maximum(gaps, 1e-12), color=color, label=f"start {i + 1}")
ax.axhline(1e-4, color=GREY, linewidth=0.8, linestyle="--", label="1e-4 nats")
ax.set(yscale="log", xlabel="step of training", ylabel="nats a datum (log scale)",
       title="Above the maximum likelihood of probabilistic PCA: no start is caught elsewhere")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The same from the other side: put PCA's solution into the network. Then
# $w = p(x \mid h) \, p(h) / q(h \mid x)$ is $p(x)$ for *every* draw of $h$, not on average
# only. That is what "q is the posterior" means.

# %%
A, a, log_s = truth.code()
best = {"law": {"M": np.vstack([A, 0 * A]), "b": np.concatenate([a, log_s])},
        "out": {"M": truth.V, "b": truth.b}}
model_of_pca = mb.BayesianNetwork(linear, bayes.LogUniform(), likelihood, best)
one_draw = latent.bound(model_of_pca, x, samples=1).elbo
print("log p(x) of three data, by one draw each", one_draw[:3].round(6), "and by PCA",
      truth.log_p(x)[:3].round(6))
assert np.abs(one_draw - truth.log_p(x)).max() < 1e-10

# %% [markdown]
# ## 16.3 Digits that nobody wrote
#
# Pixels are cut at 1/2 to black and white, so that $p(x \mid h)$ is a product of coins,
# `bayes.Bernoulli()`. (Grey pixels under the same loss are common, and no density: summed over
# all images it is not 1. The package refuses them.) Targets are the inputs; nothing else
# changes against notebook 7. Two networks: one as it is, one with dropout on the decoder's
# weights.

# %%
images, _, test, _ = mb.data.mnist()


def pixels(a):
    return (a.reshape(len(a), -1) > 0.5).astype(np.float32)


X, T = pixels(images[:10_000 if QUICK else 30_000]), pixels(test[:400])


def autoencoder(noise):
    return nn.Network(e1=nn.Dense(784, 100), r1=nn.ReLU(), law=nn.Dense(100, 40),
                      code=nn.Code(20), d1=nn.Dense(20, 100), r2=nn.ReLU(),
                      d2=nn.Dense(100, 100, noise=noise), r3=nn.ReLU(),
                      d3=nn.Dense(100, 784, noise=noise))


models = {}
for name, noise in (("plain", nn.Delta()), ("with dropout", nn.Bernoulli(0.9))):
    models[name] = mb.BayesianNetwork(autoencoder(noise), likelihood=bayes.Bernoulli())
    history = models[name].fit(X, X, epochs=6 if QUICK else 8, batch_size=100,
                               optimizer=nn.Adam(2e-3), seed=0)
    found = latent.bound(models[name], T, samples=20)
    print(f"{name:13s} {found.elbo.mean():7.1f} nats, importance-weighted "
          f"{found.importance.mean():7.1f}")
    assert (found.importance >= found.elbo - 1e-9).all() and found.elbo.mean() > -160

# %%
_, drawn = latent.sample(models["plain"], 24, seed=1)
fig, ax = plt.subplots(figsize=(9, 2.7))
ax.imshow(drawn.reshape(2, 12, 28, 28).transpose(0, 2, 1, 3).reshape(56, 336), cmap="gray_r")
ax.set(xticks=[], yticks=[], title="24 draws of h ~ N(0, I), decoded")
ax.grid(False)
plt.show()

# %% [markdown]
# ## 16.4 The other half
#
# Given the upper half of a digit, what is the lower one? That is
# $p(\mathrm{missing} \mid \mathrm{known})$, and no network was trained for it. A Markov chain
# gets there: encode what
# there is, propose a code, accept or refuse it by Metropolis' rule, draw the missing pixels
# from the decoder, and so on (`latent.complete`). Each of several chains has a draw of the
# weights of its own. Where the chains agree, the upper half says what is below.

# %% tags=["picture"]
known = np.arange(784) < 392
chosen = np.array([0, 1, 3, 4, 7, 9])
chains, steps = (8, 60) if QUICK else (12, 160)
made = latent.complete(models["with dropout"], T[chosen], known, chains=chains, steps=steps)
columns = [("given", np.where(known, T[chosen], 0.5)),
           *((f"chain {c + 1}", made.decoded[c]) for c in range(4)),
           ("mean", made.mean), ("spread", 3 * made.std), ("true", T[chosen])]
fig, axes = plt.subplots(len(chosen), len(columns), figsize=(8, 6.2))
for i, row in enumerate(axes):
    for ax, (name, picture) in zip(row, columns, strict=True):
        ax.imshow(picture[i].reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        if i == 0:
            ax.set_title(name, fontsize=9)
fig.suptitle("Lower halves, from upper ones: four of the chains, their mean and their spread")
plt.show()
assert (made.mean[:, known] == T[chosen][:, known]).all() and 0 < made.accepted < 1

# %% [markdown]
# A picture can be pretty and wrong. So: the probability of each missing pixel is compared with
# what the pixel was, in nats for a half, beside the mean image of the training digits; and
# pixels that are said to be black with 30 % should be black three times in ten.

# %%
half = T[:60 if QUICK else 150]
missing = half[:, ~known]
mean_image = np.clip(X.mean(axis=0)[~known], 1e-3, 1 - 1e-3)


def nats(p):
    return -np.where(missing > 0, np.log(p), np.log1p(-p)).sum(axis=1).mean()


scores, ece = {}, {}
for name, model in models.items():
    p = latent.complete(model, half, known, chains=chains, steps=steps).mean[:, ~known]
    p = np.clip(p, 1e-3, 1 - 1e-3)
    both = np.stack([1 - p.ravel(), p.ravel()], axis=1)
    scores[name] = nats(p)
    ece[name] = mb.metrics.calibration(both, missing.ravel().astype(int)).ece
base = nats(np.broadcast_to(mean_image, missing.shape))
for name in models:
    print(f"{name:13s} {scores[name]:6.1f} nats for a half (mean image {base:.1f}), "
          f"calibration error of a pixel {ece[name]:.3f}")
assert scores["with dropout"] < base and ece["with dropout"] < 0.03

# %% [markdown]
# ## 16.5 Two uncertainties
#
# What is decoded varies with the code $h \sim q(h \mid x)$ and, with dropout, with the weights
# $\omega \sim q(\omega)$. Off the data the model should be less sure. Which of the two knows?
# `latent.variances` takes the variance of a decoded pixel apart,
#
# $$\mathrm{Var} = E_\omega \mathrm{Var}_h + \mathrm{Var}_\omega E_h$$

# %%
clothes = pixels(mb.data.fashion_mnist()[0][:150])
kinds = {"digits": T[:150],
         "upside down": T[:150].reshape(-1, 28, 28)[:, ::-1].reshape(150, -1),
         "clothes": clothes,
         "noise": (np.random.default_rng(2).random((150, 784)) < T.mean()).astype(np.float32)}
spread, score = {}, {}
for name, pictures in kinds.items():
    v = latent.variances(models["with dropout"], pictures, codes=5, omegas=10)
    spread[name] = math.sqrt(v.code.mean()), math.sqrt(v.weights.mean())
    score[name] = -latent.bound(models["with dropout"], pictures, samples=5).elbo
    print(f"{name:12s} by the code {spread[name][0]:.3f}, by the weights "
          f"{spread[name][1]:.3f}, -bound {score[name].mean():6.1f} nats")
auroc = mb.metrics.auroc(score["digits"], score["clothes"])
print(f"clothes told from digits by the bound: AUROC {auroc:.3f}")
assert auroc > 0.9
assert max(np.divide(spread[k], spread["digits"]).max() for k in kinds) < 2

# %% [markdown]
# Neither is a good alarm. An encoder is a function: for a shoe it names *some* code, and is as
# sure of it as of a digit's, because nothing in its training asked for more. The weights'
# share grows a little for clothes and falls for noise. What does tell is the bound itself:
# the model finds these images *unlikely*. "I do not know what this is" and "this is nothing
# that I would have made" are two sentences. `minibayes vae` measures all of this on all of
# MNIST.
#
# ## 16.6 The textbook's posterior
#
# Data analysis is where priors, posteriors and pooling were at home before networks. Eight
# schools tried a coaching programme; $y_j$ is its effect in points, $\sigma_j$ its known error:
#
# $$y_j \sim N(\theta_j, \sigma_j^2), \qquad \theta_j \sim N(\mu, \tau^2), \qquad \mu \sim N(0,
# 5^2), \qquad \tau \sim \mathrm{HalfCauchy}(5)$$
#
# Given $\tau$ all is normal, so the exact posterior is a sum over $\tau$ (`schools.exact`). A
# sampler sees a *funnel*: where $\tau$ is small all $\theta_j$ must be alike, and a step that
# is right in the wide part is too long in the neck. Writing $\theta_j = \mu + \tau e_j$ takes
# the funnel away, with the same model. It is the trick of 16.1 again: draw what has no
# parameters, then scale it.

# %%
exact, draws = schools.exact(), {}
for name, target in (("theta itself", schools.Centred()),
                     ("theta = mu + tau e", schools.NonCentred())):
    start = np.random.default_rng(0).standard_normal((4, target.size))
    drawn = hmc.sample(target, start, 1, draws=400, warmup=300, leaps=16).draws
    draws[name] = drawn[..., 1], target.theta(drawn)[..., 0]
    size, tau = hmc.effective_size(drawn[..., 1]), np.exp(drawn[..., 1]).mean()
    print(f"{name:19s} {size:5.0f} of {drawn[..., 1].size} draws of log tau count; "
          f"E tau = {tau:.2f} (exact {exact.tau:.2f})")
q = schools.mean_field()
print(f"mean field: sd of log tau {q.std[1]:.2f}, exactly {exact.log_tau_std:.2f}")

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), sharex=True, sharey=True)
for ax, (name, (log_tau, theta)), color in zip(axes, draws.items(), (RED, BLUE), strict=True):
    ax.plot(theta.ravel(), log_tau.ravel(), ".", markersize=3, color=color, alpha=0.5)
    ax.axhline(np.log(exact.tau), color=GREY, linewidth=0.8)
    ax.set(title=f"sampled as {name}", xlabel="effect of the first school, points",
           ylabel=r"$\log \tau$" if ax is axes[0] else "", ylim=(-6, 4), xlim=(-15, 40))
plt.show()
size = {name: hmc.effective_size(log_tau) for name, (log_tau, _) in draws.items()}
assert size["theta = mu + tau e"] > 2 * size["theta itself"]
assert q.std[1] < 0.5 * exact.log_tau_std

# %% [markdown]
# The left chains hardly enter the neck; an average over them would overrate $\tau$ and say
# nothing. Mean field, which has no correlations, cannot even write the funnel down. Towns with
# few house prices, with a network for all and an offset for each, are `minibayes pooling`.
#
# In short: a bound, a KL and a draw are the same for weights, codes and effects; the checks are
# the same too, a closed form where there is one. What a model finds unlikely and what it is
# unsure of are not the same.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# A tutorial sums the KL over the batch and *averages* the reconstruction over it. Which model
# has it trained, if a batch has $B$ examples?

# %% [markdown] tags=["solution"]
# The KL is counted $B$ times: it minimises $E[-\log p(x \mid h)] + B \, \mathrm{KL}$ for each
# example, which is the bound of a likelihood to the power $1/B$. The code goes silent: with
# $B = 100$ nothing pays for itself. In the linear model the optimum is PCA's with the variance
# $B \sigma^2$, so every direction with $\lambda_i \lt B \sigma^2$ is switched off.

# %% tags=["solution"]
values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
left = [int((values[:3] > B * truth.variance).sum()) for B in (1, 10, 100)]
print("directions in use at B = 1, 10, 100:", left)
assert left[0] == 3 and left == sorted(left, reverse=True) and left[-1] == 0

# %% [markdown]
# ### Exercise 2
#
# `importance` in 16.3 is never below `elbo`. Why? And when are the two equal?

# %% [markdown] tags=["solution"]
# They are $\log \frac1T \sum_t w_t$ and $\frac1T \sum_t \log w_t$, and the logarithm is
# concave: Jensen. They are equal where all $w_t$ are: in 16.2, where $q$ is the posterior.

# %% tags=["solution"]
both = latent.bound(model_of_pca, x[:5], samples=10)
assert np.allclose(both.elbo, both.importance, atol=1e-10)
print("equal:", both.elbo[:2].round(8), both.importance[:2].round(8))

# %% [markdown]
# ### Exercise 3
#
# How many of the 20 numbers of the code does the digits' model use? A number that is not used
# has $q(h \mid x) = p(h)$ for all $x$: what is then its mean over the data, and its $s$?

# %% [markdown] tags=["solution"]
# Its mean is 0 for every $x$ and its $s$ is 1: it costs no nats. So count the numbers whose
# mean varies over the data.

# %% tags=["solution"]
mean, std = latent.encode(models["plain"], T)
used = mean.var(axis=0) > 0.01
print(f"{used.sum()} of 20 in use; s of the others: {std[:, ~used].mean():.2f}"
      if not used.all() else "all 20 in use")
assert used.any() and (used.all() or abs(std[:, ~used].mean() - 1) < 0.2)
