# %% [markdown]
# # 10. How it is fast
#
# **The poster's claim, in our words.** The uncertainty of a network comes from many stochastic
# passes instead of one, so it is only practical if passes are cheap. The poster leaves that to
# the machine; this project does not.
#
# What you will see here: eleven ideas that make training and prediction fast on a CPU, each in
# a few lines, each checked to give the same numbers as the slow way, and each timed as a
# *ratio* on the machine that runs this notebook. The ratios depend on the machine; the
# equalities do not.

# %%
import os
import statistics
import time

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import minibayes as mb
from minibayes import kernels, models, nn
from minibayes.fast.program import Program

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"
ROUNDS = 3 if QUICK else 9
rng = np.random.default_rng(0)

# %% [markdown]
# ## 10.1 Measure ratios, not seconds
#
# A laptop's speed drifts: it gets warm, something else runs. Two figures taken minutes apart
# cannot be compared. So what is to be compared runs in turns, in one run, and the *median* of
# each is taken. The first call of everything is not counted: it compiles, and it fills the
# caches.

# %%
def race(**contestants):
    """{name: median seconds} of functions that are called in turns."""
    times = {name: [] for name in contestants}
    for turn in range(ROUNDS + 1):
        for name, function in contestants.items():
            began = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(t) for name, t in times.items()}


ratios = {}                                         # idea: how many times faster


def compare(idea, slow, fast):
    t = race(slow=slow, fast=fast)
    ratios[idea] = t["slow"] / t["fast"]
    print(f"{idea}: {ratios[idea]:.1f} times faster")

# %% [markdown]
# ## 10.2 A convolution is a matrix product
#
# Kernel $k$ answers at place $(i, j)$ with $y_{ijk} = M_k \cdot \mathrm{patch}_{ij}$. Written
# as loops, that is one inner product after another. *im2col* copies every patch into a row of a
# matrix; then all answers are **one** product of matrices, and matrix products are what a
# processor does best: every number that is fetched from memory is used many times.

# %%
# two images, 20 channels: what LeNet's second convolution sees
x = rng.random((2, 12, 12, 20), np.float32)
M = rng.standard_normal((50, 5, 5, 20)).astype(np.float32)


def loops():
    y = np.empty((2, 8, 8, 50), np.float32)
    for n in range(2):
        for i in range(8):
            for j in range(8):
                for k in range(50):
                    y[n, i, j, k] = (M[k] * x[n, i:i + 5, j:j + 5]).sum()
    return y


def patches_as_rows(x):
    cols = np.empty((len(x), 8, 8, 500), x.dtype)
    kernels.im2col(x, 5, 5, 1, 0, cols)
    return cols.reshape(-1, 500)


def as_a_product():
    return (patches_as_rows(x) @ M.reshape(50, -1).T).reshape(2, 8, 8, 50)


np.testing.assert_allclose(loops(), as_a_product(), rtol=1e-3, atol=1e-3)
compare("im2col and a matrix product, against loops", loops, as_a_product)
assert ratios["im2col and a matrix product, against loops"] > 3

# %% [markdown]
# The copies have a price: a patch of $5 \times 5 \times 20$ numbers is written out for each of
# 64 places, 25 times the image. Along one axis only, it is five times the image; the other axis
# is then five products that are added up, of five *shifted views* of the same rows:
#
# $$y_i = \sum_{d=1}^{5} \mathrm{rows}_{i+d} M_d^{T}$$
#
# with $M_d$ the $d$-th line of every kernel. The numbers are the same; less is copied.

# %%
many = rng.random((32, 12, 12, 20), np.float32)
# [row of the image, image, place in the row, 5 x 20 numbers]
lines = np.empty((12, 32, 8, 100), np.float32)


def shifted_rows():
    kernels.lines(many, 5, 1, lines)
    y = lines[0:8].reshape(-1, 100) @ M[:, 0].reshape(50, -1).T
    for d in range(1, 5):
        y += lines[d:d + 8].reshape(-1, 100) @ M[:, d].reshape(50, -1).T
    return y.reshape(8, 32, 8, 50).transpose(1, 0, 2, 3)


def whole_patches():
    return (patches_as_rows(many) @ M.reshape(50, -1).T).reshape(32, 8, 8, 50)


np.testing.assert_allclose(shifted_rows(), whole_patches(), rtol=1e-3, atol=1e-3)
with threadpool_limits(1):
    compare("rows instead of whole patches", whole_patches, shifted_rows)

# %% [markdown]
# ## 10.3 Stay in the cache
#
# A processor computes far faster than main memory delivers. Between them lie caches: small,
# fast memories that keep what was used last. The same 512 images through the same product, in
# blocks: a block that is too small pays for each call, one that is too large has written its
# patches out of the cache before the product reads them. Watch the time per image against the
# block size.

# %%
images = rng.random((128 if QUICK else 512, 12, 12, 20), np.float32)
sizes = [1, 2, 4, 8, 16, 32, 64, 128] + ([] if QUICK else [256, 512])
buffers = {size: (np.empty((size, 8, 8, 500), np.float32),
                  np.empty((size * 64, 50), np.float32)) for size in sizes}


def in_blocks(size):
    cols, y = buffers[size]
    for first in range(0, len(images), size):
        kernels.im2col(images[first:first + size], 5, 5, 1, 0, cols)
        np.matmul(cols.reshape(-1, 500), M.reshape(50, -1).T, out=y)


with threadpool_limits(1):
    blocks = race(**{str(size): lambda size=size: in_blocks(size) for size in sizes})
per_image = np.array([blocks[str(size)] for size in sizes]) / len(images) * 1e6
best = sizes[int(per_image.argmin())]
ratios["blocks that fit in the cache"] = per_image[-1] / per_image.min()
print(f"fastest here: blocks of {best}; all at once takes "
      f"{ratios['blocks that fit in the cache']:.2f} times as long")

fig, ax = plt.subplots(figsize=(8, 3.4))
ax.plot(sizes, per_image, "o-", color=BLUE)
ax.axvline(best, color=ORANGE, linestyle="--", label=f"fastest here: {best} images")
ax.set_xscale("log", base=2)
ax.set(xlabel="images in a block (64 places, 500 numbers each)",
       ylabel="µs per image, one thread", ylim=(0, None),
       title="The same arithmetic takes longer in blocks of the wrong size")
ax.legend()
plt.show()
assert len(per_image) == len(sizes) and (per_image > 0).all()

# %% [markdown]
# ## 10.4 Do not compute what is zero
#
# Max-pooling passes the derivative on to one of its four inputs, and of those the noise has
# switched many off: most of $\partial L/\partial y$ is *exactly* zero. Count it on a LeNet, at
# its second convolution:

# %%
net = models.lenet("all")
params, digits = net.init(0), mb.data.mnist()[0][:32]
z = net.sample(nn.Key(0), digits.shape)
h = net.layers["conv1"].respond(params["conv1"], digits)[0] * z["conv1"]
h, _ = net.layers["pool1"].forward(None, h)                   # what conv2 sees (32, 12, 12, 20)
out, arg, slope = (np.empty((32, 4, 4, 50), dtype)
                   for dtype in (np.float32, np.uint8, np.float32))
scratch, y = np.empty(12 * 8 * 8 * 500, np.float32), np.empty(8 * 8 * 8 * 50, np.float32)
rows = params["conv2"]["M"].reshape(50, -1)
shape = kernels.Geometry(k=5, stride=1, size=2, pool_stride=2, narrow=0, block=8)
kernels.conv_pool(h, rows, params["conv2"]["b"], z["conv2"], shape, scratch, y, out, arg, slope)
delta, db = np.empty_like(out), np.empty(50, np.float32)
alive = kernels.noisy_max_pool_backward(rng.standard_normal(out.shape).astype(np.float32),
                                        slope, delta, db)
share = alive / (32 * 8 * 8 * 50)
print(f"{share:.0%} of dL/dy is not zero")
assert share < 0.25

# %% [markdown]
# So list the non-zeros and multiply only their rows. The dense way writes the derivative out
# and uses a matrix product; both give $\partial L/\partial M$ and $\partial L/\partial x$:

# %%
dM_dense, dM_sparse = np.empty_like(rows), np.empty((50, 5, 100), np.float32)
dx_dense, dx_sparse = np.empty_like(h), np.empty_like(h)
value, offset = np.empty(delta.size, np.float32), np.empty(delta.size, np.uint64)
lines_of_h = kernels.Lines(count=12, length=12 * 20, row=1, place=20)


def dense():
    kernels.conv_backward(h, rows, delta, arg, shape, scratch, y, dM_dense, True, dx_dense)


def sparse():
    kernels.pooled_conv_dM(
        delta, arg, 2, 2, h.reshape(-1), lines_of_h, value, offset, dM_sparse)
    kernels.pooled_conv_dx(
        delta, arg, 2, 2, rows.reshape(50, 5, 100), 1, value, offset, dx_sparse)


with threadpool_limits(1):
    compare("row-sparse backward pass", dense, sparse)
np.testing.assert_allclose(dM_sparse.reshape(50, -1), dM_dense, rtol=1e-2, atol=1e-3)
np.testing.assert_allclose(dx_sparse, dx_dense, rtol=1e-2, atol=1e-3)

# %% [markdown]
# ## 10.5 One random number, many units
#
# Dropout at keep = 1/2 needs one random *bit* a unit, and a library draws a whole 64-bit number
# for each. The generator used here, Philox4x32-10, turns a counter into 128 random bits, enough
# for 128 units. And because the counter names seed, pass, layer, example and unit, any part can
# be drawn alone and comes out the same:

# %%
half, units = nn.Bernoulli(keep=0.5), 24 * 24 * 20
whole = half.sample(nn.Key(1), (64, units), "conv1")
part = half.sample(nn.Key(1), (2, units), "conv1", examples=np.array([40, 7]))
assert (part == whole[[40, 7]]).all()
assert abs(whole.mean() - 0.5) < 4 * 0.5 / np.sqrt(whole.size)

generator = np.random.default_rng(0)
compare("128 units from each random number",
        lambda: (generator.random((64, units)) < 0.5).astype(np.uint8),
        lambda: half.sample(nn.Key(1), (64, units), "conv1"))

# %% [markdown]
# DropConnect draws a z for each *weight and example*: for 64 inputs of a layer of 400 by 784
# weights twenty million of them. Written down they are longer than all else in the step, and
# they are read twice, forward and backward. The counters make that needless: z is drawn where
# it meets its weight, and the same z once more on the way back.

# %%
connect = nn.Network(fc=nn.Dense(784, 400, noise=half, place=nn.Weights()))
theta, pixels, where_used = connect.init(0), digits[:64].reshape(-1, 784), Program(connect)


def written_down():
    return connect.forward(theta, pixels, connect.sample(nn.Key(0), pixels.shape))[0]


def drawn_where_used():
    return where_used.forward(theta, pixels, where_used.draw(nn.Key(0), pixels.shape))[0]


np.testing.assert_allclose(written_down(), drawn_where_used(), rtol=1e-4, atol=1e-4)
compare("a z for each weight drawn where it is used", written_down, drawn_where_used)

# %% [markdown]
# ## 10.6 Passes have much in common
#
# All T passes are the same up to the first noise: compute that once. In a LeNet whose only
# noise is before the last layer, that is nearly everything; with noise after each convolution
# it is only the first one.

# %%
T, ip = 10 if QUICK else 20, models.lenet("ip")
theta, batch = ip.init(0), digits[:16]
draws = [ip.sample(nn.Key(0).at(t), batch.shape) for t in range(T)]


def everything_again():
    return np.stack([ip.forward(theta, batch, z)[0] for z in draws])


names = list(ip.layers)
first = names.index(ip.noisy[0])                                        # the first noisy layer
before = nn.Network(batch.shape[1:], **{name: ip.layers[name] for name in names[:first]})
after = nn.Network(**{name: ip.layers[name] for name in names[first:]})


def before_once():
    h, _ = before.forward(theta, batch, {})
    return np.stack([after.forward(theta, h, z)[0] for z in draws])


np.testing.assert_allclose(everything_again(), before_once(), rtol=1e-4, atol=1e-4)
compare(f"what is before the noise once for {T} passes", everything_again, before_once)
assert ratios[f"what is before the noise once for {T} passes"] > 2

# %% [markdown]
# And when one draw of the weights serves *all* inputs (`shared=True`: the pass is one
# function), a dropped unit is dropped everywhere: its column leaves $M$, and its row leaves the
# matrix before. At keep = 1/2 a hidden layer keeps half of its rows and half of its columns: a
# quarter of the work.

# %%
mlp = mb.BayesianNetwork(models.mlp([784, 1024, 1024, 10]),
                         params=models.mlp([784, 1024, 1024, 10]).init(0))
flat = mb.data.mnist()[2][:64 if QUICK else 256].reshape(-1, 784)
compare("dropped rows and columns leave the matrices", lambda: mlp.predict(flat, samples=20),
        lambda: mlp.predict(flat, samples=20, shared=True))
one = mlp.net.sample(nn.Key(0).derive("predict").at(0), flat.shape, shared=True)
by_hand = mlp.net.forward(mlp.params, flat, one)[0]
kept = mlp.predict(flat, samples=1, shared=True, keep_samples=True).samples[0]
np.testing.assert_allclose(kept, by_hand, rtol=1e-3, atol=1e-3)

# %% [markdown]
# ## 10.7 A wide layer is read once, and its gradient never written
#
# A layer of 1,024 by 1,024 weights is four megabytes; a batch of 64 inputs a quarter of one. So
# the matrix is what a step must carry, and two ways of sharing the work are not the same. If
# two threads take half of the *inputs* each, both carry all of the matrix, for 32 inputs each
# time. If they take half of the *columns* of the result, each carries half of the matrix, for
# all inputs. Here one thread does both halves, one after the other:

# %%
D = 1024
W, inputs = (rng.standard_normal(shape).astype(np.float32) for shape in ((D, D), (64, D)))
result = np.empty((64, D), np.float32)


def by_inputs():
    for half in (slice(0, 32), slice(32, 64)):
        np.matmul(inputs[half], W.T, out=result[half])


def by_columns():
    for half in (slice(0, D // 2), slice(D // 2, D)):
        np.matmul(inputs, W[half].T, out=result[:, half])


by_inputs()
expected = result.copy()
by_columns()
np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)
with threadpool_limits(1, "blas"):
    compare("a product is cut by columns, not by inputs", by_inputs, by_columns)

# %% [markdown]
# The gradient of that layer is as long as the layer, $g = \sum_n \delta_n x_n^\top$. Written
# whole, it goes out to memory, and comes back for the update. But some *rows* of it need only
# their own columns of $\delta$: they are made, used while they are in the cache, and forgotten.
# That, too, is what `fit` does with wide layers (`fast/wide.py`):

# %%
delta, updated = rng.standard_normal((64, D)).astype(np.float32), np.empty_like(W)
rate, decay = np.float32(1e-3), np.float32(1e-4)


def whole_gradient():
    g = delta.T @ inputs
    g += decay * W
    return W - rate * g


def row_by_row(rows=64):
    for first in range(0, D, rows):
        own = slice(first, first + rows)
        g = delta[:, own].T @ inputs
        g += decay * W[own]
        g *= rate
        np.subtract(W[own], g, out=updated[own])
    return updated


np.testing.assert_allclose(row_by_row(), whole_gradient(), rtol=1e-4, atol=1e-6)
with threadpool_limits(1, "blas"):
    compare("a gradient is used before it leaves the cache", whole_gradient, row_by_row)

# %% [markdown]
# ## 10.8 Threads, without changing a bit
#
# A step's batch is cut into *shards* of 32 images. A thread takes a whole shard, forward and
# backward; no layer waits for another thread. The shards do not depend on the number of
# threads, and their gradients are added in the shards' order. So two threads give the same
# parameters as one, to the last bit:

# %%
x_train, y_train, _, _ = mb.data.mnist()
steps = 8 if QUICK else 30


def fit(threads, **settings):
    model = mb.BayesianNetwork(models.lenet("all"))
    settings = {"steps": steps} | settings
    model.fit(x_train[:1024], y_train[:1024], threads=threads, seed=0, **settings)
    return model.params


one, two = fit(1), fit(2)
assert all((one[layer][p] == two[layer][p]).all() for layer in one for p in one[layer])
compare("two threads, against one", lambda: fit(1), lambda: fit(2))

# %% [markdown]
# There is one more trap. A numerical library brings its own threads for matrix products, which
# keep spinning for a while after each one. Two pools on the same cores, theirs and ours, take
# turns in waiting for each other. So while `fit` and `predict` work, the library's pool is held
# to one thread.
#
# ## 10.9 All of it together
#
# With `plain=True` `fit` and `predict` leave all of this out and run the layers themselves, as
# the other notebooks show them. The numbers are the same but for rounding, and a training step
# takes longer:

# %%
whole = race(plain=lambda: fit(2, steps=8, plain=True), fast=lambda: fit(2, steps=8))
print(f"a step of lenet-all: {whole['plain'] / whole['fast']:.1f} times faster than plain")
plain, fast = fit(2, steps=8, plain=True), fit(2, steps=8)
for layer in plain:
    for p in plain[layer]:
        apart = np.linalg.norm(plain[layer][p] - fast[layer][p])
        assert apart < 1e-3 * np.linalg.norm(plain[layer][p])
assert whole["plain"] > whole["fast"]

# %% tags=["picture"]
order = sorted(ratios, key=ratios.get)
fig, ax = plt.subplots(figsize=(9, 4.6))
ax.barh(order, [ratios[idea] for idea in order], color=BLUE)
for i, idea in enumerate(order):
    ax.text(ratios[idea] * 1.05, i,
            f"{ratios[idea]:.1f} ×" if ratios[idea] < 10 else f"{ratios[idea]:.0f} ×",
            va="center")
ax.axvline(1, color=GREY)
ax.set_xscale("log")
ax.set(xlabel="times faster than without it, on the machine that ran this",
       xlim=(0.7, 4 * max(ratios.values())),
       title=f"{sum(r > 1 for r in ratios.values())} of {len(ratios)} ideas made their part "
       "faster here; all give the same numbers")
ax.grid(axis="y", visible=False)
plt.show()
assert all(r > 0 for r in ratios.values())

# %% [markdown]
# `python -m minibayes bench` measures whole training steps and predictions in the same way:
# against this machine's own matrix product, and against PyTorch if it is installed.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Count, by hand, the multiplications and additions of one image's pass through LeNet:
# convolutions of 20 and 50 kernels of 5 x 5, dense layers of 500 and 10 units. Which layer has
# the most? What share is saved in each further pass when everything before the first noise
# (after the first convolution) is remembered?

# %% [markdown] tags=["solution"]
# Each output number of a layer is an inner product: two operations for each of its inputs.

# %% tags=["solution"]
conv1 = 2 * (24 * 24 * 20) * (5 * 5 * 1)
conv2 = 2 * (8 * 8 * 50) * (5 * 5 * 20)
fc1, fc2 = 2 * 800 * 500, 2 * 500 * 10
total = conv1 + conv2 + fc1 + fc2
assert total == models.lenet("all").flops((28, 28, 1))
print(f"{total / 1e6:.2f} million; conv2 {conv2 / total:.0%}; remembering conv1 saves "
      f"{conv1 / total:.0%} of a pass")

# %% [markdown]
# ### Exercise 2
#
# Suppose the four responses in a pooling window are independent and positive or negative with
# probability 1/2 each, and that each is dropped (becomes exactly 0) with probability 1/2. Which
# share of $\partial L/\partial y$ is not zero? Compare with the count in 10.4.

# %% [markdown] tags=["solution"]
# One of the four places has the maximum, and its derivative survives if that unit was kept. A
# kept positive unit wins against zeros. If no kept unit is positive, a dropped one (0) wins
# over kept negatives, unless all four are kept. So
#
# $$\Pr(\mathrm{winner\ kept}) = 1 - (3/4)^4 + (1/4)^4, \qquad \mathrm{share} = \Pr / 4.$$

# %% tags=["solution"]
import itertools

share_exact = (1 - 0.75**4 + 0.25**4) / 4
count = 0
for signs in itertools.product((1, -1), repeat=4):
    for kept in itertools.product((0, 1), repeat=4):
        values = [s * k for s, k in zip(signs, kept, strict=True)]
        count += kept[values.index(max(values))] if max(values) != 0 else 0
assert count / 256 / 4 == share_exact
print(f"{share_exact:.1%} for symmetric responses; {share:.1%} were counted above")

# %% [markdown]
# ### Exercise 3
#
# How much arithmetic is left, on average, of each further pass of the network 784-1024-1024-10
# when dropped rows and columns leave the matrices (keep = 1/2 before the second and the third
# layer)? Compute it, and check it by drawing masks.

# %% [markdown] tags=["solution"]
# Layer 1 lies before the first noise: it is computed once and is no part of a further pass.
# Layer 2 keeps half of its rows and half of its columns, layer 3 half of its columns. Rows and
# columns are dropped independently, so the expectations multiply.

# %% tags=["solution"]
full = 1024 * 1024 + 1024 * 10
left = 512 * 512 + 512 * 10
masks = [mlp.net.sample(nn.Key(t), (1, 784), shared=True) for t in range(200)]
drawn = [a * b + b * 10 for a, b in ((int(m["fc2"].sum()), int(m["fc3"].sum())) for m in masks)]
assert abs(np.mean(drawn) - left) < 4 * np.std(drawn, ddof=1) / np.sqrt(len(drawn))
print(f"{left / full:.0%} of the arithmetic is left")
