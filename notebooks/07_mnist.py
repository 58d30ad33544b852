# %% [markdown]
# # 7. MNIST
#
# **The poster's claim, in our words.** Put dropout after *every* layer of a convolutional
# network, the convolutions too, and predict by averaging stochastic forward passes (Monte
# Carlo, MC): that works well. Predict with the same network by "standard dropout", which
# averages the *weights* and does one ordinary pass, and it works badly. So it was not the
# dropout that failed with convolutions, but the way to predict with it.
#
# What you will see here: the three networks of the poster; one of them, trained in this
# notebook on a quarter of the real MNIST; the poster's figure from a full training run; and
# then, for most of the notebook, the question that such a figure leaves open: which of its
# differences are more than luck.

# %%
import json
import math
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import metrics, models, nn, plots
from minibayes.studies import mnist as study

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"
COLOR = {"none": GREY, "ip": ORANGE, "all": BLUE}
SHORT = {"weight-averaging": "weight averaging",
         "probabilistic-pooling": "probabilistic pooling", "mc": "MC averaging"}

# %% [markdown]
# ## 7.1 One network, three places for the noise
#
# The network is a LeNet: two convolutions with $5 \times 5$ kernels, each followed by a
# $2 \times 2$ max-pool, then two dense layers (Caffe, in which the paper was done, calls
# them *inner products*, hence "ip"). There is no non-linearity after the convolutions except
# the pooling itself, and one relu between the dense layers.
#
# The noise is $z \in \lbrace 0, 1 \rbrace$ with $P(z = 1) = \mathrm{keep} = 1/2$, not rescaled.
# The three variants differ only in where it acts:
#
# - `none`: nowhere;
# - `ip`: on the 500 inputs of the last dense layer, where everybody used dropout at the time;
# - `all`: there, and on each output of each convolution, *before* the max-pool.

# %%
nets = {variant: models.lenet(variant, init_scheme="lecun") for variant in models.VARIANTS}
noise = {variant: {name: z.size for name, z in net.sample(nn.Key(0), (1, 28, 28, 1)).items()}
         for variant, net in nets.items()}
params = nets["all"].init(0)

print("                                           factors z per image and pass")
print("layer   output          weights, biases         none       ip      all")
for name, (_, shape) in nets["all"].shapes((28, 28, 1)).items():
    count = sum(a.size for a in params.get(name, {}).values())
    factors = "".join(f"{noise[variant].get(name, 0):9,d}" for variant in models.VARIANTS)
    print(f"{name:7s} {' x '.join(map(str, shape)):15s} {count:15,d}    {factors}")
total = sum(a.size for group in params.values() for a in group.values())
print(f"{'sum':23s} {total:15,d}    "
      + "".join(f"{sum(noise[variant].values()):9,d}" for variant in models.VARIANTS))

assert total == 20 * 26 + 50 * (20 * 25 + 1) + 500 * 801 + 10 * 501
assert noise["none"] == {} and noise["ip"] == {"fc2": 500}
assert noise["all"] == {"conv1": 24 * 24 * 20, "conv2": 8 * 8 * 50, "fc2": 500}

# %% [markdown]
# So one stochastic pass of `lenet-all` tosses some 15,000 coins for each image. (The noise of
# `fc2` is listed in its own row, though it acts on that layer's *inputs*. In a dense layer a
# dropped input is a zero column of weights; in a convolution a dropped output is a kernel
# switched off for one patch: notebook 6.)
#
# ## 7.2 A small version, here and now
#
# `lenet-all` on a quarter of the training images, for three epochs. `official_solver`
# translates the paper's training settings (SGD with momentum 0.9, a falling rate, weight decay
# $5 \cdot 10^{-4}$) to this project's convention: it returns the optimizer, and the prior that
# this weight decay *is* (notebook 5).

# %%
IMAGES, STEPS, TEST, T = (15_000, 80, 1000, 10) if QUICK else (15_000, 700, 10_000, 20)
x, y, x_test, y_test = mb.data.mnist()
x, y, x_test, y_test = x[:IMAGES], y[:IMAGES], x_test[:TEST], y_test[:TEST]

net = nets["all"]
optimizer, prior = study.official_solver(net, len(x))
model = mb.BayesianNetwork(net, prior=prior)
history = model.fit(x, y, steps=STEPS, batch_size=64, optimizer=optimizer, seed=1,
                    validation=(x_test[:1000], y_test[:1000]), progress=True)
for row in history:
    errors = {rule: 100 * score["error"] for rule, score in row["validation"].items()}
    print(f"step {row['step']:4d}: training loss {row['loss']:.2f} nats; "
          "errors on 1,000 test images: "
          f"weight averaging {errors['weight-averaging']:.1f} %, MC {errors['mc']:.1f} %")

# %% [markdown]
# Three ways to predict with *the same weights*. With $f(x, z)$ the network's outputs:
#
# - **weight averaging**: one pass with every $z$ replaced by its mean,
#   $\mathrm{softmax}(f(x, E[z]))$;
# - **MC averaging**: the poster's predictive mean,
#   $\frac{1}{T} \sum_{t=1}^T \mathrm{softmax}(f(x, z_t))$ with $T$ independent draws $z_t$;
# - **probabilistic pooling** (Wu and Gu, arXiv 1512.01400): one pass like weight averaging, but
#   each max-pool hands on the exact mean of the maximum over its dropped inputs. It is not on
#   the poster. Notebook 6 derives it, to see how much of weight averaging's failure is the
#   max-pool's.
#
# First, that the package does what these formulas say, on 50 images:

# %%
def softmax(f):
    e = np.exp(f - f.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


few, key = x_test[:50], nn.Key(2).derive("predict")
one_pass = softmax(net.forward(model.params, few, net.mean_noise())[0])
many = np.mean([softmax(net.forward(model.params, few, net.sample(key.at(t), few.shape))[0])
                for t in range(T)], axis=0)
assert np.allclose(one_pass, model.predict(few, rule="weight-averaging").mean, atol=1e-4)
assert np.allclose(many, model.predict(few, samples=T, seed=2).mean, atol=1e-4)

# %%
live = {rule: model.predict(x_test, rule=rule, samples=T, seed=2, progress=True)
        for rule in study.RULES["all"]}
print(f"lenet-all, {STEPS} steps; {TEST:,} test images          error, %      nll, nats")
for rule, prediction in live.items():
    error = prediction.error(y_test)
    print(f"  {SHORT[rule] + (f', T = {T}' if rule == 'mc' else ''):32s} {100 * error:17.2f} ± "
          f"{100 * metrics.binomial_std_error(error, TEST):.2f} "
          f"{-prediction.log_likelihood(y_test).mean():12.4f}")

# %% [markdown]
# The nll is the mean of $-\log p(y_n)$, with $p(y_n)$ the predicted probability of the right
# class. For it, a paired comparison is simple: the difference on each image, their mean, and
# that mean's standard error.

# %%
def nll_difference(a, b):
    """How many nats a loses against b on the mean image, and the standard error."""
    d = b.log_likelihood(y_test) - a.log_likelihood(y_test)
    return d.mean(), d.std(ddof=1) / math.sqrt(len(d))


for rule in ("weight-averaging", "probabilistic-pooling"):
    difference, error = nll_difference(live[rule], live["mc"])
    print(f"nll of {SHORT[rule]} minus nll of MC: {difference:+.4f} ± {error:.4f} nats")
difference, error = nll_difference(live["weight-averaging"], live["mc"])
assert difference > 4 * error                            # the poster's claim, on this small run
for rule, prediction in live.items():
    print(f"{SHORT[rule]:22s} is right on {(prediction.label == y_test).mean():.1%}; "
          f"mean confidence (largest probability) {prediction.mean.max(axis=1).mean():.1%}")

# %% [markdown]
# MC beats weight averaging, as the poster says, and by far more than chance could do. But see
# the second line: the probabilities of probabilistic pooling are *better* than those of MC.
# After this short training, averaging over masks makes the network less sure than it should be.
# Keep this in mind when we come to the errors.
#
# An error rate is decided by few images. These are some of those on which exactly one of the
# two rules errs:

# %%
wrong = {rule: prediction.label != y_test for rule, prediction in live.items()}
decisive = np.flatnonzero(wrong["mc"] != wrong["weight-averaging"])[:16]
captions = [f"is a {y_test[i]}\nMC: {live['mc'].label[i]}\nWA: "
            f"{live['weight-averaging'].label[i]}" for i in decisive]
mc_only = (wrong["mc"] & ~wrong["weight-averaging"]).sum()
wa_only = (wrong["weight-averaging"] & ~wrong["mc"]).sum()
fig, ax = plt.subplots(figsize=(8.5, 3.6))
plots.digit_sheet(x_test[decisive, :, :, 0], captions, columns=8, ax=ax,
                  title=f"Of {TEST:,} images only MC errs on {mc_only}, only weight averaging "
                  f"(WA) on {wa_only}")
plt.show()

# %% [markdown]
# ## 7.3 The poster's figure
#
# The full run takes some minutes, so its result is stored beside this notebook. This command
# made it, and makes it again (default settings: all 60,000 training images, 10,000 steps of 64,
# seed 0):
#
# ```sh
# minibayes mnist --out notebooks/results
# ```
#
# Before we draw anything from a file, we check that it is the run we say it is.

# %%
stored = json.loads(Path("results/mnist.json").read_text())
settings = stored["settings"]
wanted = {"quick": False, "train_images": 60_000, "test_images": 10_000, "steps": study.STEPS,
          "batch_size": study.BATCH,
          "rate": study.RATE, "momentum": study.MOMENTUM, "policy": "inv",
          "weight_decay": study.DECAY, "keep": 0.5,
          "samples": 50, "curve_samples": 10, "seeds": [0]}
assert {name: settings[name] for name in wanted} == wanted
n = settings["test_images"]
final = {(r["variant"], r["rule"]): r for r in stored["results"]}
assert list(final) == [(variant, rule) for variant in models.VARIANTS
                       for rule in study.RULES[variant]]
assert all(round(r["error"] * n, 6) % 1 == 0
           and r["error_se"] == metrics.binomial_std_error(r["error"], n)
           for r in final.values())
print(f"{settings['steps']:,} steps of {settings['batch_size']}, {settings['train_images']:,} "
      f"training and {n:,} test images, "
      f"seed {settings['seeds'][0]}")

# %% [markdown]
# Test error against training iterations; on the left every network predicts by weight
# averaging, on the right by MC. (`lenet-none` has no noise: it has one prediction, and is the
# same in both.)

# %% tags=["picture"]
def history_of(variant, rule):
    rows = [row for row in stored["history"] if row["variant"] == variant]
    return np.array([(row["step"], row["error"][rule]) for row in rows]).T


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True)
for ax, main_rule in ((left, "weight-averaging"), (right, "mc")):
    for variant, marker, line in (("none", "s", "--"), ("ip", "^", "-."), ("all", "o", "-")):
        steps, errors = history_of(variant,
                                   "weight-averaging" if variant == "none" else main_rule)
        se = np.sqrt(errors * (1 - errors) / n)
        passes = main_rule == "mc" and variant != "none"
        ax.plot(steps, 100 * errors, line, marker=marker, markersize=5, color=COLOR[variant],
                label=f"lenet-{variant}" + passes * f", T = {settings['curve_samples']}")
        ax.fill_between(steps, 100 * (errors - se), 100 * (errors + se), color=COLOR[variant],
                        alpha=0.15, linewidth=0)
    ax.set(xlabel="training iterations (minibatches of 64)", yscale="log")
steps, errors = history_of("all", "probabilistic-pooling")
left.plot(steps, 100 * errors, ":", color=GREEN, linewidth=2,
          label="lenet-all, probabilistic pooling")
left.set_ylabel("test error, % (log scale); bands: ± 1 binomial s.e.")
left.set_yticks([0.7, 1, 1.5, 2, 3, 5], ["0.7", "1", "1.5", "2", "3", "5"])
left.minorticks_off()
for variant in ("ip", "all"):
    right.plot(steps[-1], 100 * final[variant, "mc"]["error"], "*", markersize=13,
               markeredgecolor="black", color=COLOR[variant],
               label=f"lenet-{variant}, T = {settings['samples']}")
_, errors_mc = history_of("all", "mc")
averaged, sampled = (100 * final["all", rule]["error"] for rule in ("weight-averaging", "mc"))
left.set_title(f"Weight averaging: lenet-all ends at {averaged:.2f} %", fontsize=11)
right.set_title(f"MC: lenet-all ends at {100 * errors_mc[-1]:.2f} %, with T = "
                f"{settings['samples']} passes at {sampled:.2f} %", fontsize=11)
left.legend(fontsize=9)
right.legend(fontsize=9)
plt.show()

by_step = {}
for row in stored["history"]:
    by_step.setdefault(row["step"],
                       {}).update({(row["variant"], rule): error
                                   for rule, error in row["error"].items()})
for errors in by_step.values():
    assert max(errors, key=errors.get) == ("all", "weight-averaging")
below = sum(errors["all", "probabilistic-pooling"] < errors["all", "mc"]
            for errors in by_step.values())
print("probabilistic pooling errs on fewer images than MC with T = "
      f"{settings['curve_samples']} at {below} of {len(by_step)} reports")

# %% [markdown]
# The claim is in the blue lines: at *every* report, weight averaging of `lenet-all` is the
# worst of all, and MC averaging of the same weights is down with the others. Weight averaging
# also jumps about: nobody should quote its last point as if another epoch, or another seed,
# would have given the same. And the dotted green line is weight averaging with the max-pool's
# bias removed. It needs no sampling, and it is down there too, mostly a little below MC with so
# few passes. (That is not as many findings as there are reports: they are one run's, on the
# same images. With $T = 50$, the stars, the two are closer. Section 7.5 tests it.)
#
# These are errors on *test* images. That is harmless as long as nobody uses the curves to pick
# the epoch.
#
# ## 7.4 An error rate is a count, and a count has an error
#
# Let $e$ be the probability that a fixed network errs on an image drawn like the test images.
# On $n$ independent images the number of errors is Binomial$(n, e)$, so the measured rate
# $\hat{e}$ has the standard error $\sqrt{e (1 - e) / n}$. For $e = 0.8$ % and $n = 10{,}000$
# that is 0.09 %: nine images.

# %%
print("network      predicted by                errors      %  ± binomial   nll, nats")
for (variant, rule), r in final.items():
    name = SHORT[rule] + (rule == "mc") * f", T = {settings['samples']}"
    name = "one pass" if variant == "none" else name
    print(f"lenet-{variant:5s}  {name:26s} {round(r['error'] * n):6d}  "
          f"{100 * r['error']:6.2f}   ± {100 * r['error_se']:.2f}   "
          f"{r['nll']:10.4f}")

# %% [markdown]
# What could two such rates tell us if they came from two *independent* test sets? The variances
# add, so the difference has the standard error $\sqrt{e_1 (1 - e_1) / n + e_2 (1 - e_2) / n}$,
# and a difference is worth talking about when it is twice that or more: at rates of 0.8 %, from
# 0.25 % on.

# %%
def unpaired(a, b):
    """(e_a - e_b, its standard error) as if from independent test sets."""
    e_a, e_b = final[a]["error"], final[b]["error"]
    return e_a - e_b, math.sqrt(e_a * (1 - e_a) / n + e_b * (1 - e_b) / n)


WA, PP, MC = study.RULES["all"]
print("as if from independent test sets, difference in %:")
for a, b in ((("all", WA), ("all", MC)), (("all", MC), ("all", PP)), (("ip", WA), ("ip", MC)),
             (("none", WA), ("ip", WA)),
             (("none", WA), ("all", MC)), (("ip", MC), ("all", MC))):
    d, se = unpaired(a, b)
    print(f"  lenet-{a[0]:4s} {SHORT[a[1]]:16s} minus lenet-{b[0]:4s} {SHORT[b[1]]:21s}: "
          f"{100 * d:+.2f} ± {100 * se:.2f}   "
          f"({d / se:+.1f} s.e.)")
    assert (abs(d) > 4 * se) == ((a, b) == (("all", WA), ("all", MC)))

# %% [markdown]
# One difference stands out, at more than four standard errors. No other does.
#
# ## 7.5 The same images: McNemar's test
#
# But the test sets were *not* independent: the two rules saw the same images with the same
# weights. Most images that one rule gets wrong, the other gets wrong too. They say nothing
# about the difference. What counts are the images on which exactly one rule errs: $a$ of them
# where only the first does, $b$ where only the second does.
#
# Suppose the rules are equally good. Then each of these $m = a + b$ images is a fair coin: it
# could as well have been the other rule's error. So $a \sim$ Binomial$(m, 1/2)$, and the
# probability of a split at least as uneven as ours, in either direction, is
#
# $$p = \min \left( 1, \; 2 \sum_{k=0}^{\min(a, b)} \binom{m}{k} 2^{-m} \right)$$
#
# This is McNemar's test (1947) in its exact form: no normal approximation, and no assumption
# about how hard the images are. In Python it is one line. It must agree with the package, and
# with what the study stored.

# %%
def p_by_hand(a, b):
    return min(1.0, 2 * sum(math.comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b))


pairs = {}
print("MC (a) against another rule (b), same weights and images")
for c in stored["comparisons"]:
    a, b = c["only_a_wrong"], c["only_b_wrong"]
    wrong_a, wrong_b = np.zeros(n, bool), np.zeros(n, bool)       # any arrays with these counts
    wrong_a[:a], wrong_b[a:a + b] = True, True
    assert metrics.mcnemar(wrong_a, wrong_b) == (a, b, c["p_value"])
    assert math.isclose(p_by_hand(a, b), c["p_value"])
    assert round(n * (final[c["variant"], c["a"]]["error"]
                      - final[c["variant"], c["b"]]["error"])) == a - b
    pairs[c["variant"], c["b"]] = a, b, c["p_value"]
    print(f"  lenet-{c['variant']:4s} only MC wrong {a:3d}, only {SHORT[c['b']]:22s} {b:3d}:  "
          f"p = {c['p_value']:.2g}")

assert pairs["all", WA][2] < 1e-6 and pairs["all", PP][2] > 0.05 and pairs["ip", WA][2] > 0.05
shared = round(n * final["all", MC]["error"]) - pairs["all", WA][0]
print(f"({shared} images fool both rules on lenet-all: they say nothing about the difference)")

# %% [markdown]
# And for the network trained above, from its own predictions:

# %%
for rule in (WA, PP):
    a, b, p_value = metrics.mcnemar(wrong["mc"], wrong[rule])
    assert (a, b) == ((wrong["mc"] & ~wrong[rule]).sum(), (wrong[rule] & ~wrong["mc"]).sum())
    assert math.isclose(p_value, p_by_hand(a, b))
    print(f"only MC wrong {a:3d}, only {SHORT[rule]:22s} {b:3d}:  p = {p_value:.2g}")
    assert QUICK or rule == PP or p_value < 1e-4        # a quick run has too few images to tell

# %% [markdown]
# Note what small counts can do at best. If $m$ images decide and *all* of them go one way, then
# $p = 2 \cdot 2^{-m}$: five images never reach $p \lt 0.05$, six do, just. On `lenet-ip` the
# two rules disagree on so few images that hardly any split of them could have been significant,
# and "not significant" then says little about whether the rules differ. An interval says more:
# the difference $\hat{d} = (b - a)/n$ is a mean over images of $+1$, $-1$ and mostly $0$, so
# its standard error is $\sqrt{a + b - (b - a)^2 / n} \, / \, n$ (a normal approximation, rough
# when $a$ and $b$ are small).

# %%
assert p_by_hand(0, 5) == 2 / 2**5 > 0.05 > p_by_hand(0, 6)
m = sum(pairs["ip", WA][:2])
print(f"lenet-ip: the rules disagree on {m} images; the smallest p that {m} images can give is "
      f"{p_by_hand(0, m):.2g}")


def paired(variant, rule):
    """(e_rule - e_MC, its standard error) on the same images."""
    a, b, _ = pairs[variant, rule]
    return (b - a) / n, math.sqrt(a + b - (b - a) ** 2 / n) / n


rows = [(f"lenet-{variant}:\n{SHORT[rule]} minus MC", *paired(variant, rule), True)
        for variant, rule in pairs]
rows += [(f"{label_a}\nminus {label_b}", *unpaired(a, b), False) for label_a, label_b, a, b in (
    ("lenet-none", "lenet-ip, weight averaging", ("none", WA), ("ip", WA)),
    ("lenet-none", "lenet-all, MC", ("none", WA), ("all", MC)),
    ("lenet-ip, MC", "lenet-all, MC", ("ip", MC), ("all", MC)))]
clear = [label for label, d, se, _ in rows if abs(d) > 1.96 * se]
fig, ax = plt.subplots(figsize=(9, 4.4))
for i, (_, d, se, same_weights) in enumerate(rows):
    ax.errorbar(100 * d, i, xerr=196 * se, fmt="o" if same_weights else "s",
                color=BLUE if same_weights else ORANGE, capsize=4)
ax.plot([], [], "o-", color=BLUE, label="same weights, same images: paired")
ax.plot([], [], "s-", color=ORANGE, label="two networks, one seed: as if unpaired")
ax.axvline(0, color=GREY, linewidth=1)
ax.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=9)
ax.invert_yaxis()
ax.set(xlabel="difference of the test errors, % (95 % interval)",
       title=f"{len(clear)} of {len(rows)} differences {'is' if len(clear) == 1 else 'are'} "
       "clear of zero")
ax.legend(fontsize=9, loc="center right")
plt.show()
assert clear == [f"lenet-all:\n{SHORT[WA]} minus MC"]

# %% [markdown]
# ## 7.6 How many images would it take?
#
# Suppose the measured rates of MC and probabilistic pooling *were* the truth. How many test
# images would show it? A difference $d$ is estimated with standard error $\sigma / \sqrt{n}$.
# We call it significant when it exceeds 1.96 of these, and want that to happen with probability
# 0.8. The estimate exceeds $d - 0.84 \, \sigma / \sqrt{n}$ with that probability (the normal
# distribution's 80 % point), so $d = (1.96 + 0.84) \, \sigma / \sqrt{n}$:
#
# $$n = \left( \frac{2.80 \, \sigma}{d} \right)^2, \qquad
# \sigma^2_\mathrm{unpaired} = e_1 (1 - e_1) + e_2 (1 - e_2), \qquad
# \sigma^2_\mathrm{paired} = s - d^2$$
#
# where $s = (a + b) / n$ is the share of images on which exactly one rule errs. Pairing helps
# by just as much as the two rules' errors coincide.

# %%
def images_needed(sigma2, d):
    return math.ceil(2.80**2 * sigma2 / d**2)


a, b, _ = pairs["all", PP]
e_mc, e_pp, s = final["all", MC]["error"], final["all", PP]["error"], (a + b) / n
d = e_mc - e_pp
alone, together = images_needed(e_mc * (1 - e_mc) + e_pp * (1 - e_pp),
                                d), images_needed(s - d**2, d)
print(f"to tell {100 * e_mc:.2f} % from {100 * e_pp:.2f} %: {alone:,} test images for each of "
      "two independent test sets,")
print(f"or {together:,} if both rules predict the same images. MNIST has {n:,}.")
assert n < together < alone

# is the formula right? draw test sets of that size and test on each
draws, rng = 20_000, np.random.default_rng(3)
counts = rng.multinomial(together, [a / n, b / n, 1 - s], size=draws)
found = abs(counts[:, 0] - counts[:, 1]) > 1.96 * np.sqrt(counts[:, 0] + counts[:, 1])
print(f"with {together:,} images the difference is found in {found.mean():.1%} of {draws:,} "
      "simulated test sets")
assert abs(found.mean() - 0.8) < 0.05

# %% [markdown]
# (Not quite 80 %: the formula is a normal approximation, and so few images decide that it is a
# rough one.) So MNIST's test set is too small for this question about these weights. The gap
# between weight averaging and MC needs far fewer images:

# %%
a, b, _ = pairs["all", WA]
gap = images_needed((a + b) / n - ((b - a) / n) ** 2, (b - a) / n)
print(f"weight averaging against MC on lenet-all: {gap:,} images would do")
assert gap < n

# %% [markdown]
# ## 7.7 One seed and several
#
# All of the above is about *these* trained weights and *other images*. A claim about a *method*
# ("dropout after convolutions is better") has a second source of luck: another seed gives other
# initial weights, other minibatches, other masks, and so another network. The binomial error
# knows nothing of that.
#
# To see it, train the same network with several seeds, shortly, and note for each run $r$ and
# test image $i$ whether it errs, $w_{ri} \in \lbrace 0, 1 \rbrace$.

# %%
SEEDS, SEED_STEPS, SEED_TEST = (3, 40, 500) if QUICK else (6, 250, 10_000)
w = np.empty((SEEDS, SEED_TEST))
for seed in range(SEEDS):
    optimizer, prior = study.official_solver(nets["ip"], len(x))
    run = mb.BayesianNetwork(nets["ip"], prior=prior)
    run.fit(x, y, steps=SEED_STEPS, batch_size=64, optimizer=optimizer, seed=seed,
            progress=True)
    w[seed] = run.predict(x_test[:SEED_TEST],
                          rule="weight-averaging").label != y_test[:SEED_TEST]
# per run: its error rate. Per image: the share of runs that err
e, share = w.mean(axis=1), w.mean(axis=0)
print(f"lenet-ip, {SEED_STEPS} steps, seeds 0 to {SEEDS - 1}: error % "
      + "  ".join(f"{100 * v:.2f}" for v in e))

# %% [markdown]
# With $\bar{w}_i$ the share of runs that err on image $i$ and $\bar{e}$ the mean error rate,
# the variance behind the binomial error is a sum of two parts (the law of total variance; here
# an identity, whatever the numbers):
#
# $$\bar{e} (1 - \bar{e}) = \frac{1}{n} \sum_i (\bar{w}_i - \bar{e})^2 + \frac{1}{n} \sum_i
# \bar{w}_i (1 - \bar{w}_i)$$
#
# The first part is there because some images are hard for every run. It matters for what the
# error would be on *other images*, and it cancels when runs are compared on the *same* images.
# The second is there because the runs disagree. If that disagreement were an independent coin
# for each image, the runs' error rates on one test set would have the standard deviation
# $\sqrt{v / n}$, with $v$ the second part (times $R/(R - 1)$, as it is estimated from $R$
# runs). If they scatter more, some runs are better networks than others *everywhere*, and that
# is run-to-run variance proper.

# %%
binomial = e.mean() * (1 - e.mean())
hard, disagree = ((share - e.mean()) ** 2).mean(), (share * (1 - share)).mean()
assert math.isclose(binomial, hard + disagree)
coins, scatter = math.sqrt(disagree * SEEDS / (SEEDS - 1) / SEED_TEST), e.std(ddof=1)
of_one_run = math.sqrt(binomial / SEED_TEST)
print(f"binomial s.e. of one run                  {100 * of_one_run:.2f} %")
print(f"share of its variance from hard images    {hard / binomial:.0%}")
print(f"scatter of runs, if each image was a coin {100 * coins:.2f} %")
print(f"scatter of runs, measured                 {100 * scatter:.2f} %")
p_values = [metrics.mcnemar(w[i].astype(bool), w[j].astype(bool))[2] for i in range(SEEDS)
            for j in range(i)]
print("McNemar's test between two seeds of one method: p < 0.05 for "
      f"{sum(p < 0.05 for p in p_values)} of {len(p_values)} pairs, "
      f"smallest p = {min(p_values):.2g}")

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
bars = 100 * np.sqrt(e * (1 - e) / SEED_TEST)
left.errorbar(range(SEEDS), 100 * e, bars, fmt="o", color=BLUE, capsize=4,
              label="one run ± binomial s.e.")
left.axhspan(100 * (e.mean() - scatter), 100 * (e.mean() + scatter), color=ORANGE, alpha=0.2,
             label="mean ± s.d. over runs")
left.set(xlabel="seed", ylabel="test error, %", xticks=range(SEEDS),
         title=f"The same method, {SEEDS} times: {100 * e.min():.1f} to {100 * e.max():.1f} %")
left.legend(fontsize=8)
k = np.arange(SEEDS + 1)
seen = np.bincount(w.sum(axis=0).astype(int), minlength=SEEDS + 1)
chance = [SEED_TEST * math.comb(SEEDS, i) * e.mean() ** i * (1 - e.mean()) ** (SEEDS - i)
          for i in k]
right.bar(k[1:] - 0.2, seen[1:], 0.4, color=BLUE, label="measured")
right.bar(k[1:] + 0.2, chance[1:], 0.4, color=ORANGE, label="if all images were equally hard",
          hatch="//", edgecolor="white")
right.set(xlabel=f"wrong in how many of {SEEDS} runs", ylabel="images (log scale)",
          yscale="log", ylim=(0.5, None), xticks=k[1:],
          title=f"{seen[-1]} images are wrong in all {SEEDS} runs")
right.legend(fontsize=8)
plt.show()
assert seen[-1] > 10 * chance[-1] and hard > disagree / 2

# %% [markdown]
# Most errors are the same hard images again and again, which is why pairing is so powerful. And
# mind the last printed line: McNemar's test can find two runs of the *same method*
# "significantly" different. It is not wrong. They *are* different networks, and more so after a
# short training than after a long one. It only shows which question the test answers: is this
# network, with this rule, better than that one? Not: is this method better than that one? For
# methods, the unit is the run: train each with several seeds and compare means over runs, with
# the standard errors of means over runs.
#
# That splits our comparisons in two. MC against weight averaging is a comparison of two
# rules *on the same weights*, so one set of weights suffices to show that it is real there.
# That it holds for other weights too we have seen only for those trained in section 7.2, with
# another seed and fewer images. `none` against `ip` against `all` compares *methods*, and one
# seed cannot rank them, whatever the test set: run `minibayes mnist --seeds 5`. Even the same
# seed is another run on another processor, since it rounds differently, and training amplifies
# that.
#
# ## 7.8 What is significant and what is not

# %%
def interval(d, se):
    return f"{100 * d:+.2f} % [{100 * (d - 1.96 * se):+.2f}, {100 * (d + 1.96 * se):+.2f}]"


for variant, rule in pairs:
    p_value = pairs[variant, rule][2]
    print(f"lenet-{variant}, {SHORT[rule]} minus MC: {interval(*paired(variant, rule))}, "
          f"p = {p_value:.2g}: {'' if p_value < 0.05 else 'not '}significant")
for a, b in ((("none", WA), ("ip", WA)), (("none", WA), ("all", MC)),
             (("ip", MC), ("all", MC))):
    print(f"lenet-{a[0]} minus lenet-{b[0]}, both by {SHORT[b[1]]}: "
          f"{interval(*unpaired(a, b))}, one seed: no claim")

# %% [markdown]
# **Significant.** On `lenet-all`, MC averaging makes far fewer errors than weight averaging of
# the same weights. This is the poster's claim about the rule, and it holds.
#
# **Not significant.**
#
# - MC against probabilistic pooling. A deterministic rule that repairs the max-pool's bias does
#   as well, within what 10,000 images can show. So the gap above is not by itself evidence for
#   Bayesian averaging. (The stored nll of probabilistic pooling is lower, too. The file has no
#   nll per image to test that with, but in section 7.2 the same difference was far outside its
#   standard error.) What the poster's view buys is that averaging passes needs no special rule
#   for each kind of layer, and that it comes with an uncertainty.
# - MC against weight averaging on `lenet-ip`. They hardly ever disagree.
# - `lenet-none`, `lenet-ip` and `lenet-all` with MC against each other: one seed, and
#   differences of about one standard error.
#
# Beside what is published:
#
# | | published | here, 10,000 steps, one seed |
# |---|---|---|
# | `lenet-all`, weight averaging | worse than the others (the paper's figure) | significant |
# | `lenet-ip` better than `lenet-none` | yes (the same) | cannot tell |
# | `lenet-all` with MC the best | yes (the same) | lowest of the poster's five; cannot tell |
#
# The paper (arXiv 1506.02158) gives no table for MNIST, and it trains for $10^6$ to $10^7$
# iterations, a hundred times longer or more; so that its ranking of the three networks does not
# show here does not contradict it. Numbers to set beside ours come from a replication
# (`alexrakowski/mc-dropout-mnist` on GitHub; Adam, 20 epochs), and, for another data set,
# CIFAR-10, from the paper (weight averaging, then MC with $T = 100$). Its test set has 10,000
# images, too.

# %%
poster = {key: r["error"] for key, r in final.items() if key[1] != PP}
assert min(poster, key=poster.get) == ("all", MC) and max(poster, key=poster.get) == ("all", WA)
for name, published, key in (("lenet-none", 1.0, ("none", WA)),
                             ("lenet-all, MC, T = 50", 0.6, ("all", MC))):
    here, se = 100 * final[key]["error"], 100 * final[key]["error_se"]
    print(f"MNIST, {name:21s}  replication about {published} %, here {here:.2f} ± {se:.2f} %")
assert final["all", PP]["nll"] < final["all", MC]["nll"]
print("CIFAR-10, published:")
for name, before, after, spread in (("network in network", 10.43, 10.27, 0.05),
                                    ("deeply supervised", 9.37, 9.32, 0.02),
                                    ("deeply supervised, augmented data", 7.95, 7.71, 0.09)):
    se = 100 * math.hypot(*(metrics.binomial_std_error(v / 100, 10_000)
                            for v in (before, after)))
    print(f"  {name:33s} {before:5.2f} -> {after:5.2f} ± {spread:.2f} %: difference "
          f"{before - after:.2f}, unpaired s.e. {se:.2f}")
    # the published ± cannot contain the luck of the test images
    assert spread < se / 3 and before - after < se

# %% [markdown]
# The replication's 0.6 % is about two standard errors below ours, after nearly twice the epochs
# and with another optimizer. The differences on CIFAR-10 are smaller than one unpaired standard
# error. They may be real, since the images were the same, but it takes the counts $a$ and $b$
# to say so: two numbers, and worth publishing.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# The study stores how often *rules* disagree, but for two *networks* only the error counts.
# From the counts of `lenet-none` and of `lenet-all` with MC alone, what is the smallest and the
# largest p-value that McNemar's test could have given? What should a study keep?

# %% [markdown] tags=["solution"]
# If the two networks err on $E_1 \gt E_2$ images and share $c$ of them, $a = E_1 - c$ and
# $b = E_2 - c$ with $0 \le c \le E_2$. The difference is fixed; the test is the sharper the
# more errors are shared. All shared: $b = 0$ and $p = 2 \cdot 2^{-(E_1 - E_2)}$. None shared:
# the largest p. The counts leave everything open, so keep, for every network and image, whether
# it erred: 10,000 bits.

# %% tags=["solution"]
E1, E2 = (round(n * final[key]["error"]) for key in (("none", WA), ("all", MC)))
p_all = [p_by_hand(E1 - c, E2 - c) for c in range(min(E1, E2) + 1)]
print(f"{E1} and {E2} errors: p between {min(p_all):.2g} (all of the smaller set shared) and "
      f"{max(p_all):.2g} (none shared)")
assert p_all[-1] == min(p_all) == min(1, 2 / 2 ** abs(E1 - E2)) and p_all[0] == max(p_all)

# %% [markdown]
# ### Exercise 2
#
# A test at the 5 % level should cry wolf in at most 5 % of the cases in which nothing is there.
# Compute, without sampling, how often McNemar's exact test does when two equally good rules
# disagree on $m$ images, for $m$ from 1 to 200. Do the same for the unpaired test
# ($\lvert d \rvert \gt 1.96$ standard errors) when the two rules, besides, share 70 errors.
# What is wrong with using the unpaired one on paired data?

# %% [markdown] tags=["solution"]
# Under the hypothesis $a \sim$ Binomial$(m, 1/2)$: add up the probabilities of all $a$ that the
# test calls significant. The exact test stays below 5 %, often far below (a count cannot be
# split finely). The unpaired test takes the shared errors for noise, its standard error is too
# large, and it practically never cries wolf for small $m$. That sounds safe, but a test that
# never speaks cannot find anything either.

# %% tags=["solution"]
def false_alarms(m, significant):
    return sum(math.comb(m, a) for a in range(m + 1) if significant(a, m - a)) / 2**m


def unpaired_test(a, b):
    e1, e2 = (70 + a) / n, (70 + b) / n
    return abs(e1 - e2) > 1.96 * math.sqrt((e1 * (1 - e1) + e2 * (1 - e2)) / n)


exact_rates = {m: false_alarms(m, lambda a, b: p_by_hand(a, b) < 0.05) for m in range(1, 201)}
unpaired_rates = {m: false_alarms(m, unpaired_test) for m in range(1, 201)}
for m in (5, 6, 13, 50, 130, 200):
    print(f"m = {m:3d}: false alarms of McNemar's test {exact_rates[m]:.3%}, of the unpaired "
          f"test {unpaired_rates[m]:.3%}")
assert max(exact_rates.values()) <= 0.05 and exact_rates[5] == 0 < exact_rates[6]
assert all(unpaired_rates[m] <= exact_rates[m] for m in range(6, 201))
assert unpaired_rates[50] < 1e-3

# %% [markdown]
# ### Exercise 3
#
# The poster names another noise: multiply by $N(1, 1)$ instead of dropping (MGN). Now
# $E[z] = 1$, so weight averaging is a pass without any noise. Train `lenet-all` with it for a
# short while. Is weight averaging worse than MC here, too? Why does the package refuse
# probabilistic pooling for it?

# %% [markdown] tags=["solution"]
# The argument against weight averaging only needs that the maximum is convex:
# $E[\max_i z_i y_i] \ge \max_i E[z_i] y_i$ for any noise. So expect the same, and it is so.
# Probabilistic pooling needs the distribution of the maximum. With dropout that is a walk down
# the sorted window: the largest if it is kept, else the second, and so on. With Gaussian
# factors any order can come out, and the mean has no such short form.

# %% tags=["solution"]
steps, images = (30, 400) if QUICK else (150, 1000)
gaussian = models.lenet("all", noise=nn.Gaussian(variance=1.0), init_scheme="lecun")
optimizer, prior = study.official_solver(gaussian, len(x))
mgn = mb.BayesianNetwork(gaussian, prior=prior)
mgn.fit(x, y, steps=steps, batch_size=64, optimizer=optimizer, seed=0, progress=True)
some, labels = x_test[:images], y_test[:images]
mc, average = mgn.predict(some, samples=10, seed=1), mgn.predict(some, rule="weight-averaging")
d = mc.log_likelihood(labels) - average.log_likelihood(labels)
print(f"nll of weight averaging minus nll of MC: {d.mean():.3f} ± "
      f"{d.std(ddof=1) / math.sqrt(images):.3f} nats")
print(f"errors: weight averaging {average.error(labels):.1%}, MC {mc.error(labels):.1%} of "
      f"{images} images")
assert d.mean() > 3 * d.std(ddof=1) / math.sqrt(images)
try:
    mgn.predict(some, rule="probabilistic-pooling")
except mb.require.InputError as error:
    print("the package says:", error, sep="\n")
