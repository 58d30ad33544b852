# %% [markdown]
# # 8. What the model does not know
#
# **The poster's claim, in our words.** If training with dropout is approximate inference, then
# the spread of the stochastic passes means something: it is what the model does not know about
# its own weights. Deep networks then come with an uncertainty that can be used in practice, for
# the price of a few more forward passes. The poster lists "practical deep learning
# uncertainty?" among its open questions, with a question mark. We take the question mark
# seriously.
#
# What you will see here: how a predictive variance, and a predictive entropy, split into what
# the model does not know and what nobody could know; bands around $y = x \sin x$ and around the
# carbon dioxide of Mauna Loa, scored on the months that really came; a digit that is turned
# until it is none; clothes shown to a network that knows only digits; and whether "80 % sure"
# is right in 80 % of the cases. Some of it works, some does not; the numbers say which.

# %%
import math
import os

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, metrics, models, nn, plots
from minibayes.bayes.prediction import ClassPrediction
from minibayes.bayes.summary import CategoricalSummary
from minibayes.studies.mnist import official_solver
from minibayes.studies.regression import co2
from minibayes.studies.shift import rotated

QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3, "axes.titlesize": 10})
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#555555"

# %% [markdown]
# ## 8.1 Two kinds of not knowing
#
# A prediction of $y$ at an input $x$ is made in two steps: draw weights $\hat\omega$ from $q$,
# the distribution that training has found; then draw $y$ from the likelihood
# $p(y \mid x, \hat\omega)$, here $N(f(x, \hat\omega), \sigma^2)$ with the network's output $f$
# and noise of variance $\sigma^2 = 1/\tau$. How far does $y$ scatter? Write
# $m(\omega) = E[y \mid \omega]$ and let $\bar m = E_q[m(\omega)]$ be its mean over $q$. Then
# $y - \bar m = (y - m(\omega)) + (m(\omega) - \bar m)$. Square it and take means. The mixed
# term is zero, because for every fixed $\omega$ the first bracket has mean zero. What is left
# is the *law of total variance*:
#
# $$\mathrm{Var}[y] = E_q[\mathrm{Var}(y \mid \omega)] + \mathrm{Var}_q[E(y \mid \omega)]$$
#
# - The first part is **aleatoric**: the noise that is left when the weights are known. More
#   data do not help.
# - The second is **epistemic**: the weights themselves are not known. More data help, if the
#   model is any good.
#
# From $T$ passes with outputs $f_t$ the two are $\sigma^2$ and
# $\frac{1}{T} \sum_t f_t^2 - (\frac{1}{T} \sum_t f_t)^2$. The data: 60 points of $y = x \sin x$
# with noise of standard deviation 0.5, between -5 and 5. The network: two hidden layers of 20
# relu units, dropout with `keep` 0.95.

# %%
SIGMA, EDGE, T = 0.5, 10.0, 500
rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-5, 5, 60))
y = x * np.sin(x) + SIGMA * rng.standard_normal(60)
grid = np.linspace(-EDGE, EDGE, 401)
inside, truth = abs(grid) <= 5, grid * np.sin(grid)


def fitted(x, y, likelihood, activation="relu", outputs=1):
    """A small regression network, trained in full batches."""
    net = models.mlp([1, 20, 20, outputs], noise=nn.Bernoulli(0.95), activation=activation)
    model = mb.BayesianNetwork(net, bayes.Prior(0.1), likelihood)
    model.fit(x[:, None], y, steps=2000, batch_size=len(x), optimizer=nn.Adam(0.01), seed=0)
    return model


relu = fitted(x, y, bayes.Gaussian(tau=1 / SIGMA**2))
found = relu.predict(grid[:, None], samples=T, seed=1, shared=True, keep_samples=True)
f = found.samples[:, :, 0].astype(float)                   # (T, points): every pass, at every x

epistemic = (f**2).mean(axis=0) - f.mean(axis=0) ** 2                 # by hand
aleatoric = np.full(len(grid), SIGMA**2)
assert np.allclose(found.mean[:, 0], f.mean(axis=0), atol=1e-6)
assert np.allclose(found.epistemic[:, 0], epistemic, atol=1e-5)
assert np.allclose(found.aleatoric[:, 0], aleatoric)
assert np.allclose(found.variance[:, 0], epistemic + aleatoric, atol=1e-5)

# %% [markdown]
# That was arithmetic. Is it also the variance of $y$? Do the two steps literally, many times:
# pick a pass, add noise, and look how the results scatter. (A sample variance has the standard
# error $\sqrt{(\mu_4 - \mathrm{Var}^2)/n}$, where $\mu_4$ is the mean fourth power of the
# deviation.)

# %%
n = 20_000
for at in (-3.0, 0.0, 8.0):
    i = abs(grid - at).argmin()
    drawn = f[rng.integers(0, T, n), i] + SIGMA * rng.standard_normal(n)
    deviation = drawn - drawn.mean()
    error = math.sqrt((np.mean(deviation**4) - drawn.var() ** 2) / n)
    print(f"x = {at:4.1f}: epistemic {epistemic[i]:.3f} + aleatoric {aleatoric[i]:.3f} = "
          f"{found.variance[i, 0]:.3f}; "
          f"simulated {drawn.var():.3f} ± {error:.3f}")
    assert abs(drawn.var() - found.variance[i, 0]) < 4 * error

# %% [markdown]
# Now the band, and the question that a band must answer to: how many *new* data points does it
# hold? A band from the 2.5 % to the 97.5 % quantile should hold 95 %. Between the data and
# beyond them are different questions, so count separately.

# %%
fresh = truth + SIGMA * np.random.default_rng(1).standard_normal(len(grid))
low, high = (found.quantile(q)[:, 0] for q in (0.025, 0.975))
held = {name: metrics.interval_coverage(low[w], high[w], fresh[w])
        for name, w in (("between", inside), ("beyond", ~inside))}
off = {name: metrics.rmse(found.mean[w, 0], truth[w])
       for name, w in (("between", inside), ("beyond", ~inside))}

fig, ax = plt.subplots(figsize=(8.5, 3.6))
ax.fill_between(grid, low, high, color=BLUE, alpha=0.2, linewidth=0, label="95 % band of y")
std = np.sqrt(epistemic)
ax.fill_between(grid, found.mean[:, 0] - 2 * std, found.mean[:, 0] + 2 * std, color=BLUE,
                alpha=0.35, linewidth=0,
                label="± 2 epistemic std, of f")
ax.plot(grid, found.mean[:, 0], color=BLUE, label="mean of the passes")
ax.plot(grid, truth, color=RED, linewidth=1, label="x sin x")
ax.plot(x, y, ".", color="black", markersize=5, label="data")
ax.set(xlabel="x", ylabel="y",
       title=f"The 95 % band holds {held['between']:.0%} of new points between the data, "
       f"{held['beyond']:.0%} beyond them")
ax.legend(fontsize=8, ncols=3, loc="lower center")
plt.show()
print(f"between the data the mean is off by {off['between']:.2f} (root mean square), the "
      f"epistemic std is {std[inside].mean():.2f}")
print(f"beyond them, by {off['beyond']:.1f}; the std grows to {std[[0, -1]].max():.2f}")
assert held["between"] > 0.85 and held["beyond"] < 0.5 and off["beyond"] > 3 * off["between"]

# %% [markdown]
# Between the data the band does its work. Beyond them the epistemic part grows, as it should:
# the model *says* that it knows less. But it grows along the continuations that *this* network
# holds possible, nearly straight lines, and the truth turns round. The band knows nothing of
# functions outside the model. Remember this for Mauna Loa.
#
# ## 8.2 A pass is a function
#
# With `shared=True` one draw $\hat\omega$ serves all inputs, so a pass is a function. Without
# it every input gets a draw of its own. For each $x$ alone that is the same distribution: same
# mean, same band. Together it is not: independent draws are no function at all, and say nothing
# about slopes, differences, sums or maxima.

# %%
alone = relu.predict(grid[:, None], samples=T, seed=2, keep_samples=True)
f_alone = alone.samples[:, :, 0].astype(float)
for at in (-3.0, 0.0, 8.0):
    i = abs(grid - at).argmin()
    error = math.hypot(alone.std_error[i, 0], found.std_error[i, 0])
    assert abs(alone.mean[i, 0] - found.mean[i, 0]) < 4 * error


def neighbours(f):
    """The correlation over passes of f at a point and at the next, averaged over the grid."""
    d = (f - f.mean(axis=0)) / f.std(axis=0)
    return (d[:, 1:] * d[:, :-1]).mean()


together, apart = neighbours(f), neighbours(f_alone)
# independent: 0, with this standard error
assert together > 0.9 and abs(apart) < 4 / math.sqrt(T * (len(grid) - 1))

# %% [markdown]
# What the functions do far away is the *architecture's* choice. A relu network is made of
# straight pieces, so far out each draw is a straight line, and lines with different slopes
# spread. A tanh unit saturates, so far out each draw is constant, and the spread stays what it
# is. The data have no say in this.

# %%
tanh = fitted(x, y, bayes.Gaussian(tau=1 / SIGMA**2), "tanh")
wide = np.linspace(-20, 20, 401)
spread = {name: np.sqrt(model.predict(wide[:, None], samples=T, seed=3,
                                      shared=True).epistemic[:, 0])
          for name, model in (("relu", relu), ("tanh", tanh))}
growth = {name: s[[0, -1]].mean() / s[[100, -101]].mean() for name, s in spread.items()}

fig, axes = plt.subplots(1, 3, figsize=(10, 3.4))
for ax, draws, color, name, r in ((axes[0], f[:12], BLUE, "one draw for all x", together),
                                  (axes[1], f_alone[:3], ORANGE, "a draw for each x", apart)):
    plots.functions(grid, draws, ax, color=color, label=f"{len(draws)} passes")
    ax.plot(x, y, ".", color="black", markersize=3, label="data")
    ax.set(xlabel="x", ylabel=r"$f(x, \hat\omega)$", ylim=(-17, 5))
    ax.set_title(f"{name}:\ncorrelation of neighbours {abs(r):.2f}")
    ax.legend(fontsize=8, loc="lower center")
for (name, s), color, dashes in zip(spread.items(), (BLUE, GREEN), ("-", "--"), strict=True):
    axes[2].plot(wide, s, dashes, color=color, label=name)
axes[2].set(xlabel="x", ylabel="epistemic std of f", ylim=(0, None))
axes[2].set_title(f"from |x| = 10 to 20 the std grows\n{growth['relu']:.1f} times with relu, "
                  f"{growth['tanh']:.1f} with tanh")
axes[2].legend(fontsize=8)
plt.show()
assert growth["relu"] > 1.5 and abs(growth["tanh"] - 1) < 0.2

# %% [markdown]
# ## 8.3 Noise that changes along x
#
# So far the noise level was one number. A network can predict it too: two outputs, the mean
# $m(x)$ and $s(x) = \log \sigma^2(x)$, and the loss is minus the log density (Kendall and Gal
# 2017, arXiv 1703.04977):
#
# $$-\log p(y \mid x, \omega) = \frac{1}{2} e^{-s} (y - m)^2 + \frac{1}{2} s + \frac{1}{2} \log
# 2 \pi$$
#
# A large $s$ makes errors cheap and costs $s/2$: noise is learned without ever being observed.
# Now both terms of the law of total variance are means over passes: epistemic
# $\mathrm{Var}_t[m_t]$, aleatoric $\frac{1}{T} \sum_t e^{s_t}$.

# %%
def noise_std(x):
    return 0.2 + 0.2 * (x + 5)                        # from 0.2 on the left to 2.2 on the right


x2, x_fresh = (np.sort(rng.uniform(-5, 5, count)) for count in (200, 2000))
y2, y_fresh = (at * np.sin(at) + noise_std(at) * rng.standard_normal(len(at))
               for at in (x2, x_fresh))
varying = fitted(x2, y2, bayes.Heteroscedastic(), outputs=2)
two = varying.predict(grid[inside, None], samples=T, seed=4, shared=True, keep_samples=True)
m, s = np.moveaxis(two.samples.astype(float), 2, 0)                    # each (T, points)
assert np.allclose(two.epistemic[:, 0], m.var(axis=0), atol=1e-5)
assert np.allclose(two.aleatoric[:, 0], np.exp(s).mean(axis=0), rtol=1e-5)

constant = fitted(x2, y2, bayes.Gaussian(1.0))
passes = constant.predict(x2[:, None], samples=T, seed=4, keep_samples=True).samples[:, :, 0]
# one noise level for all x, the best for these data
sigma = math.sqrt(((y2 - passes) ** 2).mean())
constant = mb.BayesianNetwork(constant.net, constant.prior, bayes.Gaussian(1 / sigma**2),
                              constant.params)
gain = (varying.predict(x_fresh[:, None], samples=T, seed=5).log_likelihood(y_fresh)
        - constant.predict(x_fresh[:, None], samples=T, seed=5).log_likelihood(y_fresh))
gain_error = gain.std(ddof=1) / math.sqrt(len(gain))

fig, ax = plt.subplots(figsize=(6.5, 3.6))
ax.plot(grid[inside], noise_std(grid[inside]), color=RED, linewidth=1, label="true noise")
ax.plot(grid[inside], np.sqrt(two.aleatoric[:, 0]), color=BLUE, label="aleatoric std found")
ax.plot(grid[inside], np.sqrt(two.epistemic[:, 0]), "--", color=ORANGE, label="epistemic std")
ax.axhline(sigma, color=GREY, linestyle=":", label="one noise level for all x")
ax.set(xlabel="x", ylabel="standard deviation", ylim=(0, None),
       title=f"Aleatoric std at the ends: {math.sqrt(two.aleatoric[0, 0]):.1f} and "
       f"{math.sqrt(two.aleatoric[-1, 0]):.1f}, "
             f"true {noise_std(-5):.1f} and {noise_std(5):.1f}")
ax.legend(fontsize=8)
plt.show()
print(f"against one noise level for all x: {gain.mean():+.2f} ± {gain_error:.2f} nats per new "
      "point")
assert gain.mean() > 4 * gain_error

# %% [markdown]
# It is worth having, and it is crude. The noise level found goes up from left to right as it
# should, but with jumps: where the mean bends too little the misfit counts as noise, and 200
# points do not pin down a standard deviation at each $x$. "Aleatoric" is what *this* model
# calls noise.
#
# ## 8.4 Mauna Loa: the band meets the real future
#
# The paper behind the poster's uncertainty (Gal and Ghahramani 2016, arXiv 1506.02142) trained
# deep networks on the carbon dioxide at Mauna Loa until 1981, and showed what they expect
# afterwards. It could not score them. We can: 469 later months are in the data. `co2.series`
# has the paper's window of 272 months and its normalisation, minus a straight line, divided by
# the standard deviation about it. The networks have four hidden layers as in the paper, but 128
# units wide where the paper has 1024, and much less training.
#
# There is no given noise level here. We take the variance that maximises $E_q[\log p]$ on the
# training months: set the derivative of $\frac{1}{2} \log \tau - \frac{\tau}{2} (y - f)^2$,
# averaged over months and passes, to zero, and get $1/\tau =$ the mean of $(y_n - f_t(x_n))^2$
# over both.

# %%
STEPS, CO2_PASSES, WIDTH = (300, 50, 64) if QUICK else (2000, 200, 128)
MONTHS = co2.MONTHS
record = co2.series()
assert abs(record.y[:MONTHS].mean()) < 1e-9 and abs(record.y[:MONTHS].std() - 1) < 1e-9
co2_bands = {}
for activation, rate in (("relu", 0.01), ("tanh", 0.005)):
    net = models.mlp([1, *[WIDTH] * 4, 1], noise=nn.Bernoulli(0.9), activation=activation,
                     init_scheme="lecun")
    optimizer, prior = co2.solver(net, rate, WIDTH)         # the paper's solver, for this width
    model = mb.BayesianNetwork(net, prior, bayes.Gaussian(1.0))
    model.fit(record.x[:MONTHS, None], record.y[:MONTHS], steps=STEPS, batch_size=MONTHS,
              optimizer=optimizer, seed=0, progress=True)

    def predict(tau, net=net, prior=prior, params=model.params):
        model = mb.BayesianNetwork(net, prior, bayes.Gaussian(tau), params)
        return model.predict(record.x[:, None], samples=CO2_PASSES, seed=0, shared=True,
                             keep_samples=True)

    f = predict(1.0).samples[:, :, 0].astype(float)                   # (passes, 741 months)
    tau = 1 / ((record.y[:MONTHS] - f[:, :MONTHS]) ** 2).mean()
    co2_bands[activation] = predict(tau), f, tau

# %% [markdown]
# Everything by hand once. The predictive density is a mixture,
# $\frac{1}{T} \sum_t N(y; f_t, 1/\tau)$; its logarithm is a log-mean-exp; its quantiles solve
# $\frac{1}{T} \sum_t \Phi(\sqrt{\tau} (y - f_t)) = q$ with the normal distribution function
# $\Phi$. (In ppm the density is divided by the scale.)

# %%
prediction, f, tau = co2_bands["relu"]
log_normal = 0.5 * math.log(tau / (2 * math.pi)) - tau / 2 * (record.y - f) ** 2
log_density = np.log(np.exp(log_normal
                            - log_normal.max(axis=0)).mean(axis=0)) + log_normal.max(axis=0)
assert np.allclose(log_density, prediction.log_likelihood(record.y), rtol=1e-4, atol=1e-4)
Phi = np.vectorize(lambda u: 0.5 * (1 + math.erf(u / math.sqrt(2))))
for q in (0.025, 0.975):
    assert np.allclose(Phi(math.sqrt(tau) * (prediction.quantile(q)[:, 0] - f)).mean(axis=0), q,
                       atol=1e-4)

# %%
def in_ppm(values):
    return record.line + record.scale * values


line = np.zeros(len(record.y))         # for comparison: the straight line, with its own scatter
curves = {"straight line": (line, line - 1.96, line + 1.96,
                            -0.5 * math.log(2 * math.pi) - record.y**2 / 2)}
for name, (prediction, *_) in co2_bands.items():
    curves[name] = (prediction.mean[:, 0],
                    *(prediction.quantile(q)[:, 0] for q in (0.025, 0.975)),
                    prediction.log_likelihood(record.y))

month, table = np.arange(len(record.y)) - MONTHS, {}
print("                              rmse, ppm   95 % band holds   its width, ppm   log "
      "density, nats")
for horizon, (start, end) in co2.HORIZONS.items():
    w = (month >= start) & (month < end)
    for name, (mean, low, high, log_p) in curves.items():
        row = (metrics.rmse(in_ppm(mean)[w], record.ppm[w]),
               metrics.interval_coverage(low[w], high[w], record.y[w]),
               record.scale * (high - low)[w].mean(),
               (log_p[w] - math.log(record.scale)).mean())
        table[name, horizon] = row
        print(f"{horizon:13s} {name:14s} {row[0]:10.2f} {100 * row[1]:15.0f} % {row[2]:16.1f} "
              f"{row[3]:19.2f}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
for ax, name in zip(axes, co2_bands, strict=True):
    mean, low, high, _ = (in_ppm(v) for v in curves[name])
    ax.fill_between(record.time, low, high, color=BLUE, alpha=0.3, linewidth=0,
                    label="95 % band")
    ax.plot(record.time, mean, color=BLUE, label="mean of the passes")
    ax.plot(record.time, record.line, ":", color=GREY, label="straight line")
    ax.plot(record.time[:MONTHS], record.ppm[:MONTHS], color="black", linewidth=0.7,
            label="learned")
    ax.plot(record.time[MONTHS:], record.ppm[MONTHS:], color=RED, linewidth=0.7,
            label="what came")
    ax.set(xlabel="year", ylabel="CO2, ppm" if ax is axes[0] else None)
    ax.set_title(f"{name}: the 95 % band holds {table[name, 'years 2-5'][1]:.0%} of years 2 to "
                 "5,\n"
                 f"{table[name, 'years 11-20'][1]:.0%} of years 11 to 20, "
                 f"{table[name, 'years 21-39'][1]:.0%} of the rest")
axes[0].legend(fontsize=8, loc="upper left")
plt.show()

std = {name: np.sqrt(prediction.epistemic[:, 0]) * record.scale
       for name, (prediction, *_) in co2_bands.items()}
for name, s in std.items():
    print(f"{name}: epistemic std {s[:MONTHS].mean():.2f} ppm in the window, {s[-1]:.2f} ppm "
          "after 39 years, the mean off by "
          f"{record.ppm[-1] - in_ppm(curves[name][0])[-1]:.0f} ppm")
assert std["relu"][-1] > 2 * std["relu"][:MONTHS].mean()
assert std["tanh"][-1] < 2 * std["tanh"][:MONTHS].mean()
assert all(table[name, "years 21-39"][1] < 0.6 for name in co2_bands)
assert all(table["relu", horizon][3] > table["straight line", horizon][3]
           for horizon in co2.HORIZONS if horizon != "window")

# %% [markdown]
# What the claim gets right: with relu the band widens with the distance from the data, at the
# cost of nothing but passes, and after the window its log density is better than that of a
# straight line with constant scatter at every horizon. What it does not do:
#
# - **It is not a 95 % band** after the first years, and at the end the real curve is far above
#   it. The network holds possible what straight continuations of its own last pieces look like.
#   That the growth itself would grow is not among them.
# - **With tanh the band does not even widen.** The choice of an activation function decides how
#   uncertain the far future looks. That is a prior, chosen without meaning to.
# - **The yearly cycle is not learned**, but for a few years in the middle of the window,
#   $x = 0$, where all kinks of a relu network with zero biases begin (the paper trained wider
#   networks for longer). The cycle counts as noise, and makes the band look generous near the
#   window.
#
# The months are not independent, so the percentages are those of one history, without an error
# bar.
#
# ## 8.5 Classes: how entropy splits
#
# For classes there is no variance to split, but there is an entropy. Let
# $p_t = \mathrm{softmax}(f_t)$ be the class probabilities of pass $t$, and
# $\bar p = \frac{1}{T} \sum_t p_t$ the prediction. The entropy $H[p] = -\sum_c p_c \log p_c$
# (in nats) is the uncertainty about the class. If someone told us the weights, $H[p_t]$ would
# remain, $\frac{1}{T} \sum_t H[p_t]$ on average. The difference is what the weights' being
# unknown costs:
#
# $$H[\bar p] = \frac{1}{T} \sum_t H[p_t] + I, \qquad I = \frac{1}{T} \sum_t \sum_c p_{tc} \log
# \frac{p_{tc}}{\bar p_c}$$
#
# To see it, split $\log (p_{tc} / \bar p_c)$ and use $\frac{1}{T} \sum_t p_{tc} = \bar p_c$.
# $I$ is the mean of the KL divergences $\mathrm{KL}(p_t, \bar p) \ge 0$, so it is never
# negative; it is the *mutual information* between class and weights. The expected entropy plays
# the aleatoric part, $I$ the epistemic.
#
# Two classes, two passes, three made-up cases, all with the same prediction
# $\bar p = (\frac{1}{2}, \frac{1}{2})$:

# %%
def entropies(p):
    """(H of the mean, mean H, mutual information) of passes p (T, N, C), each (N,) in nats."""
    def H(p):
        return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)      # 0 log 0 = 0

    mean = p.mean(axis=0)
    ratio = np.where(p > 0, p, 1) / np.where(mean > 0, mean, 1)
    return H(mean), H(p).mean(axis=0), (p * np.log(ratio)).sum(axis=-1).mean(axis=0)


tenth = -0.1 * math.log(0.1) - 0.9 * math.log(0.9)                     # H[(0.9, 0.1)] = 0.325
print("passes                          entropy   expected entropy   mutual information")
# a fair coin, known to be one
# two sure passes that contradict
for passes, by_hand in (([[0.5, 0.5], [0.5, 0.5]], (math.log(2), math.log(2), 0)),
                        ([[1.0, 0.0], [0.0, 1.0]], (math.log(2), 0, math.log(2))),
                        ([[0.9, 0.1], [0.1, 0.9]], (math.log(2), tenth, math.log(2) - tenth))):
    p = np.array(passes)[:, None]                               # (2 passes, 1 input, 2 classes)
    assert np.allclose(np.ravel(entropies(p)), by_hand, atol=1e-12)
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(p), -1000)
    package = ClassPrediction("mc", CategoricalSummary(logits), None)
    assert np.allclose([package.entropy[0], package.expected_entropy[0],
                        package.mutual_information[0]], by_hand, atol=1e-12)
    print(f"{str(passes):28s} {by_hand[0]:10.3f} {by_hand[1]:18.3f} {by_hand[2]:20.3f}")

# %% [markdown]
# One number for the entropy, three different states of mind. In the first case more data would
# change nothing; in the second they would settle the matter.
#
# ## 8.6 The rotated digit
#
# The paper's demonstration: show a network a 1, then turn it step by step. We train the
# poster's LeNet with dropout after every layer, on 10,000 images, for 1,000 steps: short, but
# below 3 % test error. It serves for the rest of the notebook. It has never seen a 1 lying
# down.

# %%
IMAGES, TRAIN_STEPS = (3000, 300) if QUICK else (10_000, 1000)
N, PASSES, MANY = (250, 20, 20) if QUICK else (1000, 50, 100)
images, labels, x_test, y_test = mb.data.mnist()
images, labels = images[:IMAGES], labels[:IMAGES]
ones = x_test[y_test == 1][:MANY]
x_test, y_test = x_test[:N], y_test[:N]

net = models.lenet("all", init_scheme="lecun")
optimizer, prior = official_solver(net, IMAGES)
lenet = mb.BayesianNetwork(net, prior=prior)
lenet.fit(images, labels, steps=TRAIN_STEPS, batch_size=64, optimizer=optimizer, seed=0,
          progress=True)
upright = {rule: lenet.predict(x_test, samples=PASSES, seed=1, rule=rule, progress=True)
           for rule in plots.NAMES}
for rule, prediction in upright.items():
    print(f"{plots.NAMES[rule]:24s} {100 * prediction.error(y_test):5.1f} % errors on {N:,} "
          "test images")

# %%
ANGLES = np.arange(0, 120, 10)
turned = np.concatenate([rotated(ones[:1], angle) for angle in ANGLES])
one = lenet.predict(turned, samples=2 * PASSES, seed=2, keep_samples=True)
logits = one.samples.astype(float)                                    # (passes, angles, 10)
p = np.exp(logits - logits.max(axis=2, keepdims=True))
p /= p.sum(axis=2, keepdims=True)
H, EH, MI = entropies(p)
assert np.allclose(one.entropy, H, atol=1e-6)
assert np.allclose(one.expected_entropy, EH, atol=1e-6)
assert np.allclose(one.mutual_information, MI, atol=1e-6) and np.allclose(H, EH + MI, atol=1e-9)
assert (MI >= 0).all()

# %% tags=["picture"]
shown = sorted({1, *one.label.tolist()})[:5]
fig, axes = plt.subplot_mosaic([["digits", "digits"], ["clouds", "entropy"]], figsize=(10, 6),
                               height_ratios=[1, 2.6])
captions = [f"{angle}°\n{label}: {mean.max():.2f}"
            for angle, label, mean in zip(ANGLES, one.label, one.mean, strict=True)]
plots.digit_sheet(turned[..., 0], captions, columns=12, ax=axes["digits"],
                  title="A 1 is turned; the network calls it "
                  + " ".join(str(label) for label in one.label))
plots.softmax_clouds(ANGLES, p[:PASSES].swapaxes(0, 1), shown, axes["clouds"])
ax = axes["entropy"]
for values, name, color, dashes in ((H, "entropy", BLUE, "-"),
                                    (EH, "expected entropy", ORANGE, "--"),
                                    (MI, "mutual information", GREEN, ":")):
    ax.plot(ANGLES, values, dashes, marker="o", markersize=4, color=color, label=name)
ax.axhline(math.log(10), color=GREY, linewidth=0.8, label="ln 10: ten classes, no idea")
ax.set(xlabel="rotation, degrees", ylabel="nats", ylim=(0, 2.6))
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.88))
sure, unsure = ANGLES[H.argmin()], ANGLES[H.argmax()]
axes["clouds"].set_title(f"The passes agree at {sure}°, and contradict each other most at "
                         f"{ANGLES[MI.argmax()]}°")
ax.set_title(f"Entropy {H.min():.2f} nats at {sure}°, {H.max():.2f} at {unsure}°")
plt.show()

# %% [markdown]
# In the clouds each dot is one pass. While the digit stands, all passes say 1. As it leans the
# clouds grow and overlap. The averaged prediction gets softer: it does not answer a question it
# cannot answer with 99 %. That is the poster's point. The paper's network, whose dropout is
# before the last layer only, said 1 1 1 1 1 5 5 7 7 7 7 7 in its twelve steps (its angles are
# not published). One digit is an anecdote; here are many.

# %%
rows = []
for angle in ANGLES:
    mc = lenet.predict(rotated(ones, angle), samples=PASSES, seed=3)
    average = lenet.predict(rotated(ones, angle), rule="weight-averaging")
    rows.append([(mc.label == 1).mean(), mc.mean.max(axis=1).mean(),
                 average.mean.max(axis=1).mean(), mc.entropy.mean(),
                 mc.mutual_information.mean()])
right, sure_mc, sure_average, mean_H, mean_MI = np.array(rows).T

print(f"means over {MANY} ones")
print("turned by   right   confidence: MC   weight averaging   entropy   mutual information")
for angle, *row in zip(ANGLES, *np.array(rows).T, strict=True):
    print(f"{angle:8d}° {row[0]:7.2f} {row[1]:16.2f} {row[2]:18.2f} {row[3]:9.2f} "
          f"{row[4]:20.2f}")
assert mean_H[9] > 2 * mean_H[0] and mean_MI[9] > 2 * mean_MI[0] and sure_mc[9] < sure_mc[0]
assert sure_mc[9] > right[9] + 0.1                           # less sure, but still far too sure

# %% [markdown]
# From 0° to 60° all is as it should be: the fewer are right, the higher entropy and mutual
# information, the lower the confidence. Then the story turns. Around 90° the network is *surer*
# again, and hardly a single one is right. A lying 1 is far from all the training digits, and
# yet this network takes it for a bad example of another one. MC averaging is less sure of that
# than weight averaging, but much too sure. Uncertainty that grows is a warning light; it is not
# the probability of being wrong.
#
# ## 8.7 Clothes for a network of digits
#
# Can the warning light tell foreign inputs from digits? Fashion-MNIST has photographs of
# clothes in the same format. Give every input a score, larger for "more foreign". The measure
# of a score is the *AUROC*: draw one digit and one foreign input; how often has the foreign one
# the larger score? (Ties count one half. 1 is perfect, 1/2 is a coin.) Count all pairs:

# %%
def auroc_by_pairs(inside, outside):
    return ((outside[:, None] > inside) + 0.5 * (outside[:, None] == inside)).mean()


foreign = {"clothes": mb.data.fashion_mnist()[0][:N], "turned 60°": rotated(x_test, 60)}
strange = {(rule, group): lenet.predict(batch, samples=PASSES, seed=4, rule=rule)
           for rule in plots.NAMES for group, batch in foreign.items()}
SCORES = {"entropy": lambda p: p.entropy, "mutual information": lambda p: p.mutual_information,
          "1 - confidence": lambda p: 1 - p.mean.max(axis=1)}
rng, area = np.random.default_rng(6), {}
print("AUROC ± s.e. over images, and false alarms where 95 % of the foreign inputs are found")
print(" " * 43 + "    ".join(f"{group:20s}" for group in foreign))
for rule, digits in upright.items():
    for name, score in SCORES.items():
        if name == "mutual information" and rule != "mc":
            continue                                                  # one pass has none
        cells = []
        for group in foreign:
            u, v = score(digits), score(strange[rule, group])
            area[rule, name, group] = metrics.auroc(u, v)
            assert np.isclose(area[rule, name, group], auroc_by_pairs(u, v))
            again = [metrics.auroc(rng.choice(u, N), rng.choice(v, N)) for _ in range(50)]
            cells.append(f"{area[rule, name, group]:.3f} ± {np.std(again, ddof=1):.3f}, "
                         f"{100 * metrics.fpr_at_recall(u, v):3.0f} %")
        print(f"{plots.NAMES[rule]:22s} {name:19s} " + "    ".join(cells))
assert min(area.values()) > 0.6                                      # all of them say something
assert area["mc", "entropy", "clothes"] > max(area["mc", "mutual information", "clothes"],
                                              area["weight-averaging", "entropy", "clothes"])

# %%
shown = {"digits": upright["mc"]} | {group: strange["mc", group] for group in foreign}
print(f"means over {N:,} images, nats")
for group, prediction in shown.items():
    print(f"{group:11s} entropy {prediction.entropy.mean():.2f} = expected entropy "
          f"{prediction.expected_entropy.mean():.2f} "
          f"+ mutual information {prediction.mutual_information.mean():.2f}")

fig, axes = plt.subplots(1, 2, figsize=(9, 3.3))
for ax, name in zip(axes, ("entropy", "mutual information"), strict=True):
    plots.score_histograms({group: SCORES[name](prediction)
                            for group, prediction in shown.items()}, ax, xlabel=f"{name}, nats")
    ax.set_title(f"{name}: AUROC {area['mc', name, 'clothes']:.3f} for clothes,\n"
                 f"{area['mc', name, 'turned 60°']:.3f} for turned digits")
plt.show()

# %% [markdown]
# Theory would bet on the mutual information: what is missing with clothes is knowledge, not a
# decision between digits, so $I$ should be the score. It is not so here. The plain entropy does
# better, by many standard errors for clothes, and so does the confidence, which needs no theory
# at all. The means above the picture show how: most of the entropy of clothes is *expected*
# entropy. Each single pass is unsure of them already, so the passes have little left to
# disagree about. The split is that of $q$ and of this network, and $q$ is not the posterior
# (notebook 9).
#
# MC averaging does better than weight averaging, as the poster would have it. But probabilistic
# pooling, one deterministic pass without the bias of weight averaging at the max-pool (notebook
# 6), does about as well as MC. So most of what looks like a gain from averaging over weights is
# a repaired prediction. (One network, and standard errors over images only.
# `python -m minibayes ood` trains several, on all of MNIST.)
#
# ## 8.8 Is it right as often as it says?
#
# A network is *calibrated* if, of the inputs on which it is 80 % sure, 80 % are right. Put the
# inputs into bins by confidence (15 of equal width), and compare in each bin $b$, with $n_b$ of
# the $N$ inputs, the share that is right, $\mathrm{acc}_b$, with the mean confidence,
# $\mathrm{conf}_b$. The *expected calibration error* is
#
# $$\mathrm{ECE} = \sum_b \frac{n_b}{N} \lvert \mathrm{acc}_b - \mathrm{conf}_b \rvert$$

# %%
def ece_by_hand(p, y, bins=15):
    confidence, right, total = p.max(axis=1), p.argmax(axis=1) == y, 0.0
    for b in range(bins):
        in_bin = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if in_bin.any():
            total += in_bin.mean() * abs(right[in_bin].mean() - confidence[in_bin].mean())
    return total


TURNS = (0, 45, 90) if QUICK else (0, 15, 30, 45, 60, 75, 90)
leaning = {(rule, angle): lenet.predict(rotated(x_test, angle), samples=PASSES, seed=5,
                                        rule=rule)
           for rule in plots.NAMES for angle in TURNS}
calibration = {key: metrics.calibration(prediction.mean, y_test)
               for key, prediction in leaning.items()}
gap = {key: prediction.mean.max(axis=1).mean() - (prediction.label == y_test).mean()
       for key, prediction in leaning.items()}
for key, prediction in leaning.items():
    assert np.isclose(calibration[key].ece, ece_by_hand(prediction.mean, y_test), atol=1e-9)
print("gap: mean confidence minus share right")
for angle in (0, 45, 90):
    print(f"turned by {angle}°")
    for rule in plots.NAMES:
        prediction = leaning[rule, angle]
        print(f"   {plots.NAMES[rule]:22s} error {100 * prediction.error(y_test):5.1f} %, "
              f"gap {gap[rule, angle]:+.3f}, ECE {calibration[rule, angle].ece:.3f}, nll "
              f"{-prediction.log_likelihood(y_test).mean():.2f} nats")
assert all(gap[rule, 45] > gap[rule, 0] and gap[rule, 90] > 0.1 for rule in plots.NAMES)
assert all(gap["mc", angle] < gap["weight-averaging", angle] for angle in (45, 90))

# %%
fig, (ax, right) = plt.subplots(1, 2, figsize=(8.5, 3.8))
for i, (rule, angle) in enumerate((("mc", 0), ("mc", 45), ("weight-averaging", 45))):
    plots.reliability(calibration[rule, angle], ax, f"{angle}°, {plots.NAMES[rule]}", i)
ax.legend(fontsize=7, loc="upper left")
ax.set_title("MC averaging: confidence minus share right is\n"
             + " and ".join(f"{gap['mc', a]:+.1%} at {a}°" for a in (0, 45)))
for i, rule in enumerate(plots.NAMES):
    plots.curve(right, TURNS, [calibration[rule, angle].ece for angle in TURNS],
                plots.NAMES[rule], i)
plots.finish(right, f"At 90° the ECE is {calibration['mc', 90].ece:.2f} for MC averaging,\n"
             f"{calibration['weight-averaging', 90].ece:.2f} for weight averaging",
             "rotation, degrees", "expected calibration error")
plt.show()

# %% [markdown]
# On upright digits the network, trained shortly and with much dropout, is a
# little *under*-confident; the best calibrated of the three rules is probabilistic pooling,
# without any averaging over passes. When the digits lean, all three become over-confident, MC
# averaging the least from 30° on: here it earns what the poster claims for it. It is still far
# off at 45° and beyond. Calibration is a property of a model *and of a data set*; being
# calibrated on one promises nothing for another.
#
# Two cautions. The ECE depends on the bins, and is too large when bins hold few inputs. And a
# low ECE is not yet a good prediction (exercise 3).
#
# ## 8.9 What to take home
#
# 1. A prediction's variance, or entropy, splits into two parts, exactly. Passes are all it
#    takes.
# 2. Passes with one draw for all inputs are functions; only they answer questions about several
#    inputs at once.
# 3. The epistemic part grows away from the data where the architecture lets it. How fast is the
#    prior's word, not the data's; real futures leave 95 % bands.
# 4. As a warning light the uncertainty works: foreign and turned inputs get more of it. As a
#    probability under shift it does not: it is too small, with MC averaging somewhat less so.
# 5. Compare with cheap rivals before giving credit. The confidence alone, and one pass of
#    probabilistic pooling, are strong ones.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Is the network of section 8.1 sure that $f$ falls from $x = 2.8$ to $x = 2.9$? Answer with
# shared passes and with independent ones, and explain the difference by the variance of
# $f(2.9) - f(2.8)$.

# %% [markdown] tags=["solution"]
# $\mathrm{Var}[a - b] = \mathrm{Var}[a] + \mathrm{Var}[b] - 2 \mathrm{Cov}[a, b]$. Shared
# passes have nearly the same error at both points, so that the covariance takes away most of
# the variance. Independent passes have none: they forget that both answers come from the same
# network.

# %% tags=["solution"]
pair = np.array([[2.8], [2.9]])
shared, single = (relu.predict(pair, samples=2000, seed=7, shared=one,
                               keep_samples=True).samples[:, :, 0].astype(float)
                  for one in (True, False))
for name, passes in (("shared", shared), ("independent", single)):
    a, b = passes[:, 1], passes[:, 0]
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    assert np.isclose((a - b).var(), a.var() + b.var() - 2 * covariance)
    print(f"{name:12s} P(f falls) = {(a < b).mean():.3f}; "
          f"std of the difference {(a - b).std():.3f}, "
          f"of each {a.std():.3f} and {b.std():.3f}, correlation "
          f"{covariance / (a.std() * b.std()):+.2f}")
assert (shared[:, 1] - shared[:, 0]).std() < 0.7 * (single[:, 1] - single[:, 0]).std()

# %% [markdown]
# ### Exercise 2
#
# The mutual information is estimated from $T$ passes. Show that on average the estimate is
# too *low* for small $T$. What is it for $T = 1$? How large can it get at most? Check with the
# passes of the turned digit.

# %% [markdown] tags=["solution"]
# The expected entropy is a plain mean, so few passes estimate it without bias. The entropy
# $H[\bar p]$ is a *concave* function of the mean $\bar p$: averaged over draws of $\bar p$ it
# is below its value at the average (Jensen). With $T = 1$ mean and member are the same,
# $I = 0$. At most it is $\log T$, as the passes' number is all that can be learned about them,
# and at most $\log 10$. If groups of $2T$ passes are made of two groups of $T$, the rise from
# $T$ to $2T$ is certain, not only likely.

# %% tags=["solution"]
estimates, sizes = [], (1, 2, 4, 8, 16, 32)
for size in sizes:
    groups = p[:32].reshape(-1, size, *p.shape[1:])    # (groups, passes of a group, angles, 10)
    by_group = np.array([entropies(group)[2] for group in groups])
    assert (by_group <= math.log(min(size, 10)) + 1e-9).all()
    estimates.append(by_group.mean(axis=0))
    print(f"T = {size:2d}: mutual information {estimates[-1].mean():.3f} nats, the mean over "
          f"the angles and {len(groups)} group(s)")
assert np.allclose(estimates[0], 0) and (np.diff(estimates, axis=0) >= -1e-12).all()

# %% [markdown]
# ### Exercise 3
#
# Find a prediction with an ECE of exactly zero that does not look at the images. What gives it
# away?

# %% [markdown] tags=["solution"]
# Predict for every image the frequencies of the classes. The confidence is then the frequency
# of the most common class, and that is the share that is right. The nll gives it away: it is
# the entropy of the frequencies, nearly $\ln 10$. Calibration asks for honesty; the nll (as the
# Brier score) asks for honesty and knowledge.

# %% tags=["solution"]
frequency = np.bincount(y_test, minlength=10) / N
ignorant = np.tile(frequency, (N, 1))
for name, mean in (("class frequencies", ignorant), ("MC averaging", upright["mc"].mean)):
    print(f"{name:18s} ECE {metrics.calibration(mean, y_test).ece:.3f}, nll "
          f"{metrics.negative_log_likelihood(mean, y_test):.2f} nats, "
          f"{1 - metrics.accuracy(mean, y_test):.1%} errors")
assert metrics.calibration(ignorant, y_test).ece < 1e-12
assert np.isclose(metrics.negative_log_likelihood(ignorant, y_test),
                  -(frequency * np.log(frequency)).sum())
