# %% [markdown]
# # 13. One omega per sequence
#
# **The poster's claim, in our words.** If dropout is inference, then it must say how recurrent
# networks are to be dropped out, and it may say what they do not know about a text. The poster
# leaves both as questions. Gal and Ghahramani answered the first a year later
# (arXiv 1512.05287): one draw of the weights, $\hat\omega$, for a whole sequence.
#
# What you will see here: why a mask without a time axis is one weight matrix, and a fresh mask
# at each step is none; masks tied over the gates and not; what the draws say while they read a
# name; a net that learns letters from a short text, with and without; and text that it writes.

# %%
import os
import textwrap

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, nn, plots
from minibayes.bayes import posterior
from minibayes.fast import parallel
from minibayes.studies import names
from minibayes.studies.language import command
from minibayes.truth import exact

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# %% [markdown]
# ## 13.1 The same mask at every step is one matrix
#
# A recurrent net reads $x_1, \ldots, x_T$ and keeps a state. A step of the gated unit (GRU)
# takes the row $[x_t ; h_{t-1}]$ and multiplies it with the rows of one matrix for its three
# gates:
#
# $$r, u = \sigma(W_{r,u} [x_t ; h_{t-1}] + b), \quad
#   n = \tanh(W_{nx} x_t + b_n + r \circ (W_{nh} h_{t-1} + c)), \quad
#   h_t = (1 - u) \circ n + u \circ h_{t-1}$$
#
# Dropping inputs and state by $z$ is $W = M \mathrm{diag}(z)$, as in notebook 1, *if $z$ has no
# time in it*: the same $W$ at all $T$ steps. Then the draw belongs to the weights, and what is
# averaged over is what a Bayesian averages over. Here is the layer, beside the equations above
# with the masked matrix, run $T$ times.

# %%
D, H, T = 2, 4, 6
layer = nn.GRU(D, H, noise=nn.Bernoulli(0.6), states="all")
net = nn.Network(r=layer)
rng = np.random.default_rng(0)
x = rng.standard_normal((1, T, D))
M = rng.standard_normal((3 * H, D + H))
b, c = rng.standard_normal(3 * H), rng.standard_normal(H)
params = {"r": {"M": M, "b": b, "c": c}}
z = net.sample(nn.Key(2), x.shape)
W = M * z["r"]                                       # M diag(z), once


def run(W, x):
    h, states = np.zeros(H), []
    for x_t in x:
        row = np.concatenate([x_t, h])
        r, u = np.split(sigmoid(W[:2 * H] @ row + b[:2 * H]), 2)
        n = np.tanh(W[2 * H:, :D] @ x_t + b[2 * H:] + r * (W[2 * H:, D:] @ h + c))
        h = (1 - u) * n + u * h
        states.append(h)
    return np.array(states)


f, _ = net.forward(params, x, z)
print("z of [x_t ; h]:", z["r"][0], " shape:", z["r"].shape, "(no time)")
print(f"layer against one masked matrix, {T} steps: {np.abs(f[0] - run(W, x[0])).max():.1e}")
assert z["r"].shape == (1, D + H)
assert np.allclose(f[0], run(W, x[0]), rtol=0, atol=1e-12)

# %% [markdown]
# $z$ is a function of (seed, pass, layer, *number of the sequence*, unit). So it is the same if
# the sequence is cut into chunks, as long texts must be, and only the state is handed on:

# %%
numbers, states, pieces = np.array([17]), None, []
whole, _ = net.forward(params, x, net.sample(nn.Key(5), x.shape, numbers))
for chunk in (x[:, :2], x[:, 2:5], x[:, 5:]):
    z_chunk = net.sample(nn.Key(5), chunk.shape, numbers)
    f, _, states = nn.carry.forward(net, params, chunk, z_chunk, states)
    pieces.append(f)
assert np.array_equal(np.concatenate(pieces, axis=1), whole)
print("three chunks give the numbers of the whole")

# %% [markdown]
# ## 13.2 A fresh mask at each step is no omega
#
# The usual mistake is a new $z_t$ at each step. Take the smallest case: one unit, one input,
# two steps. Masks without time are $2^2 = 4$; each gives a pair of outputs $(h_1, h_2)$, and
# that is all that any masked weight matrix can say. Masks with time are $2^4 = 16$. Every one
# of both, enumerated:

# %%
small, pairs = np.random.default_rng(3), {}
params2 = {"r": {"M": small.standard_normal((3, 2)) * 1.5, "b": small.standard_normal(3),
                 "c": small.standard_normal(1)}}
for over in ("sequence", "step"):
    cell = nn.GRU(1, 1, noise=nn.Bernoulli(0.5), over=over, states="all")
    two = nn.Network((2, 1), r=cell)
    masks = np.concatenate([eps["r"] for _, eps in exact.points(two, (2, 1))])
    out, _ = two.forward(params2, np.ones((len(masks), 2, 1)), {"r": masks})
    pairs[over] = out[:, :, 0]
apart = np.abs(pairs["step"][:, None] - pairs["sequence"][None]).max(axis=2).min(axis=1)
print(f"{len(pairs['sequence'])} omegas; {len(pairs['step'])} masks with time, of which "
      f"{(apart > 0.01).sum()} give a pair that no omega gives (farthest: {apart.max():.2f})")
assert len(pairs["sequence"]) == 4 and len(pairs["step"]) == 16
assert (apart > 0.01).any() and (apart < 1e-12).sum() >= 4

# %%
fig, ax = plt.subplots(figsize=(6, 3.6))
ax.scatter(*pairs["step"].T, s=36, color=ORANGE, label="a mask a step: 16")
ax.scatter(*pairs["sequence"].T, s=150, facecolors="none", edgecolors=BLUE, linewidths=2,
           label="one omega: 4")
ax.set(xlabel="output after step 1", ylabel="output after step 2")
ax.set_title(f"{(apart > 0.01).sum()} of 16 masks with time give outputs that no omega gives",
             fontsize=11)
ax.legend()
plt.show()

# %% [markdown]
# Per-step noise may still regularise. What it does not have is a reading as a posterior over
# weights: there is no $\omega$ whose average its passes estimate.
#
# ## 13.3 Tied and untied
#
# Must the three gates share $z$? Both are distributions over weights: *tied*,
# $W = M \mathrm{diag}(z)$; *untied*, each gate's rows have a mask of their own,
# $W_g = M_g \mathrm{diag}(z_g)$. Tied drops a unit for the whole cell; untied has three times
# as many rays, each a third as long.

# %%
drawn = {}
for tied in (True, False):
    one = nn.Network(r=nn.GRU(D, H, noise=nn.Bernoulli(0.6), tied=tied, states="all"))
    z_one = one.sample(nn.Key(4), x.shape)
    W = posterior.weights(one, params, z_one, "r")["W"][0]
    kept = (W / M != 0).reshape(3, H, D + H)                 # of each gate, each row
    assert (kept == kept[:, :1]).all()                       # rows of a gate share their mask
    drawn[tied] = kept[:, 0]
    print("tied:  " if tied else "untied:", *(row.astype(int) for row in drawn[tied]))
assert (drawn[True] == drawn[True][0]).all() and (drawn[False] != drawn[False][0]).any()

# %% [markdown]
# ## 13.4 What the draws say while they read a name
#
# 419 English first names are in both the female and the male list. A small GRU learns which
# list a name stands in; below, each thin line is *one* omega that reads a name from its first
# letter to its last. `minibayes names` measures it on all names.

# %%
female, male = names.lists()
known, y = names.labelled(sorted(n for n in female | male if names.trains(n)), female, male)
model = mb.BayesianNetwork(names.network(32 if QUICK else 64), bayes.Prior(0.3))
model.fit(names.encoded(known), y, epochs=3 if QUICK else 8, optimizer=nn.Adam(0.003), seed=0,
          threads=2)
WORDS = ("maria", "leslie", "frederick")
said = {word: names.as_read(model, word, 40, seed=1, threads=2) for word in WORDS}
for word, passes in said.items():
    print(f"{word:>10}: p(female list) at the end {passes[:, -1].mean():.2f}, the draws' sd "
          f"{passes[:, -1].std():.2f}")
assert said["maria"][:, -1].mean() > said["leslie"][:, -1].mean()
assert said["leslie"][:, -1].mean() > said["frederick"][:, -1].mean()

# %%
fig, axes = plt.subplots(1, 3, figsize=(12, 3.4))
for ax, (word, passes) in zip(axes, said.items(), strict=True):
    lists = " and ".join(n for n, own in (("female", female), ("male", male)) if word in own)
    plots.as_it_reads(word, passes, ax, f"{word.title()}, in the list: {lists}",
                      "p(female list)")
plt.show()

# %% [markdown]
# A draw is consistent: if an omega leans to one list early, it is the same omega that reads on.
# A fresh mask a letter would be jitter about the mean.

# %% [markdown]
# ## 13.5 Letters of a short text, read often
#
# The last experiment is a language: which letter comes next in *Moby Dick*? A GRU reads the
# first 20,000 letters again and again, and is asked about letters from the last tenth of the
# book, which it never sees. So little text, read so often, is learned by heart: the question is
# what happens then. Three nets: without noise, with a mask a step, and with one omega for each
# of 64 streams of text; `keep` is 0.8 on inputs and state. Truncated back-propagation: chunks
# of 64 letters, the state is carried on, and the masks stay.
#
# The ruler is n-grams, predictions from counts of the letters before.

# %%
text, held_out, alphabet = command.book()
text, held_out = text[:20_000], held_out[:12_000]
settings = {"units": 96, "keep": 0.8, "epochs": 40 if QUICK else 120, "seed": 0, "samples": 8}
ruler = command.rulers(text, held_out, len(alphabet))
VARIANTS = {"none": "no noise", "step": "a mask a step", "tied": "one omega a stream"}
readers, curves = {}, {}
with parallel.pool(2) as pool:
    for variant in VARIANTS:
        readers[variant], curves[variant] = command.learn(
            variant, text, held_out, len(alphabet), settings, pool, lambda steps: None)

print("nats a letter               best, at epoch        last    on its own text")
for variant, history in curves.items():
    for rule in ("weight-averaging", "mc"):
        if rule in history[0]:
            top, last = min(history, key=lambda row: row[rule]), history[-1]
            print(f"{VARIANTS[variant]:18} {'' if variant == 'none' else plots.NAMES[rule]:16} "
                  f"{top[rule]:.3f} {top['epoch']:5d} {last[rule]:14.3f} {last['train']:12.3f}")
for kind, found in ruler.items():
    print(f"n-grams, {kind:12} {min(found):.3f} (order {int(np.argmin(found))})")

LAST = "weight-averaging"                            # the prediction that all three have
worse = {v: h[-1][LAST] - min(row[LAST] for row in h) for v, h in curves.items()}
gap = {v: h[-1][LAST] - h[-1]["train"] for v, h in curves.items()}
print("lost after the best epoch:", {v: round(float(w), 3) for v, w in worse.items()})
assert gap["tied"] < gap["none"]                     # less is learned by heart
assert worse["tied"] <= worse["none"] + 0.01         # and no more is lost by reading on

# %% tags=["picture"]
fig, ax = plt.subplots(figsize=(8.5, 4.2))
for (variant, history), color in zip(curves.items(), (GREY, ORANGE, BLUE), strict=True):
    epochs = [row["epoch"] for row in history]
    for rule, style in (("weight-averaging", "s--"), ("mc", "o-")):
        if rule in history[0]:
            label = VARIANTS[variant] + ("" if variant == "none" else f", {plots.NAMES[rule]}")
            ax.plot(epochs, [row[rule] for row in history], style, color=color, markersize=4,
                    label=label)
for kind, found in ruler.items():
    ax.axhline(min(found), color=GREEN, linewidth=1, linestyle=":")
    ax.annotate(f"n-grams,\n{kind}", (1, min(found)), (4, 0), ("axes fraction", "data"),
                "offset points", va="center", fontsize=8, annotation_clip=False)
ax.set(xlabel="epoch", ylabel="nats a letter, text held out")
ax.set_title(f"Read on after its best epoch, the net without noise loses {worse['none']:.2f} "
             f"nats,\nthe one with one omega a stream {worse['tied']:.2f}", fontsize=11)
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# What may be said is what the curves show: noise slows learning down, and stops the late
# over-fitting. The paper claims just that; a mask a step, which is no omega, stops it as well.
# It does not follow that tied masks are the best regulariser at the best epoch: `minibayes
# language`, which reads the whole book, and a short text again and again, reports best and last
# epoch apart.
#
# ## 13.6 It writes
#
# `bayes.text.sample` draws letter after letter and feeds each one back. *One omega*: $z$ is
# drawn once, and that net writes the text. *The average*: several nets read what has been
# written so far, each with a state of its own, and the next letter is drawn from the mean of
# their probabilities.

# %%
start, tied = text[-60:], readers["tied"]
wrote = {}
for who, samples in (("one omega", 1), ("the average of 8", 8)):
    found = bayes.text.sample(tied.net, tied.params, start, 240, samples=samples, key=1,
                              power=1.3)
    wrote[who] = "".join(alphabet[i] for i in found)
    print(f"{who}:", textwrap.fill(" ".join(wrote[who].split()), 84), sep="\n")
    print()
again = bayes.text.sample(tied.net, tied.params, start, 20, samples=1, key=1, power=1.3)
assert "".join(alphabet[i] for i in again) == wrote["one omega"][:20]
assert wrote["one omega"] != wrote["the average of 8"]

# %% [markdown]
# Twenty thousand letters do not teach English; `minibayes language` prints what the whole book
# teaches.
#
# In short: one omega per sequence is dropout in a recurrent net that is still inference. Its
# draws are readers, each of one mind, and their average predicts. It keeps a net from
# learning a text by heart; it does not make it the best predictor by itself.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# How many different omegas has a GRU of $D$ inputs and $H$ units with tied masks, and with
# untied ones? How many different masks has it over $T$ steps with a mask a step?

# %% [markdown] tags=["solution"]
# $2^{D + H}$, $2^{3(D + H)}$ and $2^{T(D + H)}$. For the net of 13.2 those of the first and
# last are 4 and 16, and untied it is 64.

# %% tags=["solution"]
count = {}
for tied_gates in (True, False):
    cell = nn.GRU(1, 1, noise=nn.Bernoulli(0.5), tied=tied_gates)
    count[tied_gates] = sum(len(w) for w, _ in exact.points(nn.Network((2, 1), r=cell), (2, 1)))
print("tied", count[True], "untied", count[False])
assert count == {True: 2**2, False: 2**6}

# %% [markdown]
# ### Exercise 2
#
# A sentence is padded with ten steps that are not there. Does its mask change? Its output?

# %% [markdown] tags=["solution"]
# Neither. $z$ has no time in it, and a step that is not there leaves the state as it was. With
# a mask a step the masks of the real steps do not change either, but there are more of them.

# %% tags=["solution"]
last = nn.Network(r=nn.GRU(D, H, noise=nn.Bernoulli(0.6)))
padded = np.concatenate([x, np.full((1, 10, D), np.nan)], axis=1)
f_short, _ = last.forward(params, x, last.sample(nn.Key(2), x.shape))
f_long, _ = last.forward(params, padded, last.sample(nn.Key(2), padded.shape))
print("the largest difference:", np.abs(f_short - f_long).max())
assert np.array_equal(f_short, f_long)

# %% [markdown]
# ### Exercise 3
#
# A program averages the *log* probabilities of its passes. Is what it reports better or worse
# than the truth, in nats a letter, and by how much for the last net here?

# %% [markdown] tags=["solution"]
# Worse: by Jensen's inequality $\log \frac1T \sum_t p_t \ge \frac1T \sum_t \log p_t$. The
# second is the mean score of single draws, not the score of their average.

# %% tags=["solution"]
xs, ys = held_out[None, :200].astype(np.float32), held_out[1:201]
p = []
for t in range(8):
    logits, _ = tied.net.forward(tied.params, xs, tied.net.sample(nn.Key(3).at(t), xs.shape))
    own = np.exp(bayes.summary.log_softmax(logits[0].astype(np.float64)))
    p.append(own[np.arange(200), ys])
right, wrong = -np.log(np.mean(p, axis=0)).mean(), -np.log(p).mean()
print(f"average of p: {right:.3f} nats a letter; of log p: {wrong:.3f}")
assert right < wrong
