# %% [markdown]
# # 4. Backprop by hand
#
# **The poster's claim, in our words.** Training is "minimise $\hat L(\theta)$ with respect to
# $\theta$, one step": all it needs of the network is the derivative of the loss for each
# weight, with the noise held at the values that were drawn. The poster takes that for granted,
# and so does everybody who calls a framework. Here nothing is taken for granted. Each layer of
# the poster's convnet gets its derivative by hand, next to the code that computes it, and every
# derivative is checked against the definition of a derivative.
#
# What you will see here: softmax, dense layers, relu, convolution as a matrix product,
# max-pooling, each forward and backward in a few lines of NumPy; a whole convnet put together
# from them; and a classic bug, planted, which training does not notice and the check does.

# %%
import inspect
import os
import textwrap
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np

import minibayes as mb
from minibayes import bayes, nn

# quick mode does less; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, GREEN, PURPLE, RED, GREY = "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#555555"
rng = np.random.default_rng(0)

# %% [markdown]
# ## 4.1 The rule of the game
#
# A network is a chain of layers: $x \to h \to \dots \to f \to L$, where the loss $L$ is one
# number. Training wants the derivative of $L$ for every parameter. Backprop goes along the
# chain from the end. Every layer is handed $\delta = \partial L / \partial f$, the derivative
# of the loss for its *output* (one number for each output), and answers two questions:
#
# 1. What is $\partial L / \partial x$, the derivative for its *input*? That is the $\delta$ of
#    the layer before.
# 2. What is the derivative for its own parameters?
#
# Both answers are the chain rule: if $f_k$ depends on $x_d$, then $L$ depends on $x_d$ through
# every $f_k$, and
#
# $$\frac{\partial L}{\partial x_d} = \sum_k \frac{\partial L}{\partial f_k} \frac{\partial
# f_k}{\partial x_d} = \sum_k \delta_k \frac{\partial f_k}{\partial x_d}$$
#
# How do you know that a derivative is right? From what it means: move $x$ a step $h$ along a
# direction $d$, and $L$ changes at the rate $\sum_i d_i \, \partial L / \partial x_i$. The rate
# can be measured with two evaluations, one step forward and one step back, a *central
# difference*:
#
# $$\frac{L(x + h d) - L(x - h d)}{2 h} = \sum_i d_i \frac{\partial L}{\partial x_i} + O(h^2)$$
#
# A random direction tests all elements at once: a wrong element would have to be cancelled by
# luck. For this the layer must be an ordinary function, so the noise is drawn first and then
# held fixed.

# %%
def relative_error(function, x, gradient, h=1e-5, seed=0):
    """|measured - claimed| / |measured|: the derivative along a direction of length 1."""
    d = np.random.default_rng(seed).standard_normal(x.shape)
    d /= np.linalg.norm(d)
    measured = (function(x + h * d) - function(x - h * d)) / (2 * h)
    claimed = (gradient * d).sum()
    return abs(measured - claimed) / abs(measured)


x = rng.standard_normal(5)
right = relative_error(lambda v: (v**3).sum(), x, 3 * x**2)
wrong = relative_error(lambda v: (v**3).sum(), x, 2 * x**2)
print(f"the derivative of sum x^3: right, 3 x^2: {right:.1e}; wrong, 2 x^2: {wrong:.1e}")
assert right < 1e-8 < 0.1 < wrong

# %% [markdown]
# ## 4.2 Softmax: where it begins
#
# The network's outputs $f_1, \dots, f_C$, one for each of $C$ classes, become probabilities by
# the *softmax*, and the loss of one example with the right class $y$ is minus the logarithm of
# the probability of $y$:
#
# $$p_c = \frac{e^{f_c}}{\sum_k e^{f_k}}, \qquad L = - \log p_y = \log \sum_k e^{f_k} - f_y$$
#
# Derive: the first term has
# $\partial / \partial f_c \, \log \sum_k e^{f_k} = e^{f_c} / \sum_k e^{f_k} = p_c$. The second
# has 1 if $c = y$, else 0. So
#
# $$\delta_c = \frac{\partial L}{\partial f_c} = p_c - [c = y]$$
#
# where $[\dots]$ is 1 if the statement inside is true and 0 if not. It is the error: what the
# network said minus what is so. In code the largest $f$ is subtracted first. That changes no
# $p_c$, since numerator and denominator get the same factor, and no exponential overflows.

# %%
def softmax_forward(f, y):
    f = f - f.max(axis=1, keepdims=True)                      # (B, C): one example per row
    # log p_c = f_c - log sum_k exp f_k
    log_p = f - np.log(np.exp(f).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(y)), y].sum(), (np.exp(log_p), y)  # L, summed over the examples


def softmax_backward(cache):
    p, y = cache
    delta = p.copy()
    delta[np.arange(len(y)), y] -= 1                             # p_c - [c = y]
    return delta                                                 # (B, C)


f, y = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
L, cache = softmax_forward(f, y)
delta = softmax_backward(cache)
print(f"relative error {relative_error(lambda v: softmax_forward(v, y)[0], f, delta):.1e}")
assert relative_error(lambda v: softmax_forward(v, y)[0], f, delta) < 1e-7
nll, df = bayes.Categorical().nll(f, y)       # the package
assert np.isclose(nll.sum(), L) and np.allclose(df, delta)
assert np.allclose(delta.sum(axis=1), 0)      # probabilities add up to 1, so errors add up to 0

# %% [markdown]
# ## 4.3 Dense layer, with noise on its inputs
#
# $M$ has a row for each output $k$ and a column for each input $d$; $z_d$ is the noise that was
# drawn for input $d$ (notebook 1):
#
# $$f_k = \sum_d M_{kd} \, z_d \, x_d + b_k$$
#
# Every derivative of this line, and then the chain rule with $\delta_k$:
#
# $$\frac{\partial f_k}{\partial M_{kd}} = z_d x_d \quad\Rightarrow\quad \frac{\partial
# L}{\partial M_{kd}} = \delta_k \, z_d x_d$$
#
# $$\frac{\partial f_k}{\partial b_k} = 1 \quad\Rightarrow\quad \frac{\partial L}{\partial
# b_k} = \delta_k$$
#
# $$\frac{\partial f_k}{\partial x_d} = M_{kd} \, z_d \quad\Rightarrow\quad \frac{\partial
# L}{\partial x_d} = z_d \sum_k M_{kd} \, \delta_k$$
#
# With several examples (the rows of $x$, $z$ and $\delta$) parameters collect a sum over
# examples, and each sum is a matrix product. Note the $z$ in the first and in the last
# line: *the same noise, in the backward pass too*.

# %%
def dense_forward(M, b, x, z):
    xz = x * z                                               # z_d x_d                    (B, D)
    return xz @ M.T + b, (M, xz, z)                          # sum_d M_kd z_d x_d + b_k   (B, K)


def dense_backward(cache, delta):
    M, xz, z = cache
    dM = delta.T @ xz                                        # sum_n delta_nk z_nd x_nd   (K, D)
    db = delta.sum(axis=0)                                   # sum_n delta_nk             (K,)
    dx = (delta @ M) * z                                     # z_nd sum_k delta_nk M_kd   (B, D)
    return dx, dM, db


B, D, K = 6, 5, 4
M, b, x = rng.standard_normal((K, D)), rng.standard_normal(K), rng.standard_normal((B, D))
z = nn.Bernoulli(0.6).sample(nn.Key(0), (B, D))


def dense_loss(M, b, x):
    return softmax_forward(dense_forward(M, b, x, z)[0], y)[0]


f, cache = dense_forward(M, b, x, z)
df = softmax_backward(softmax_forward(f, y)[1])
dx, dM, db = dense_backward(cache, df)
errors = [relative_error(lambda v: dense_loss(v, b, x), M, dM),
          relative_error(lambda v: dense_loss(M, v, x), b, db),
          relative_error(lambda v: dense_loss(M, b, v), x, dx)]
print("relative errors of dM, db, dx:", [f"{e:.1e}" for e in errors])
assert max(errors) < 1e-7

layer = nn.Dense(D, K, noise=nn.Bernoulli(0.6))                                  # the package
f_package, cache = layer.forward({"M": M, "b": b}, x, z)
dx_package, grads = layer.backward({"M": M, "b": b}, cache, df)
for of_package, by_hand in ((f_package, f), (dx_package, dx), (grads["M"], dM),
                            (grads["b"], db)):
    assert np.allclose(of_package, by_hand)

# %% [markdown]
# In the package these two functions are methods of `nn.Inputs`, the *place* where the noise
# acts; `nn.Dense` hands it its parameters and its rows $x$. They stand in `nn/place.py`, the
# backward pass right under the forward pass. This is the code itself:

# %%
def show_code(*functions):
    print("\n".join(textwrap.dedent(inspect.getsource(f)) for f in functions))


show_code(nn.Inputs.forward, nn.Inputs.backward)
source = inspect.getsource(nn.Inputs)
assert source.index("def forward") < source.index("def backward")

# %% [markdown]
# `times`, `linear`, `outer` and `total` are the products and sums above, for rows of any shape:
# `outer(df, xz)` is `df.T @ xz`. One line is new. Noise may have a parameter that is *learned*,
# its size say, and then $\partial L / \partial z$ is wanted too:
# $f_k = \sum_d M_{kd} \, z_d \, x_d + b_k$ gives
# $\partial L / \partial z_d = x_d \sum_k M_{kd} \, \delta_k$. For dropout that line is not run.
#
# ## 4.4 Relu
#
# $y = \max(x, 0)$ passes what is positive and stops the rest, so
# $\partial L / \partial x = \delta$ where $x \gt 0$ and 0 elsewhere. At $x = 0$ there is a kink
# and no derivative; any value between the two sides does, and the code says 0. A central
# difference that straddles a kink measures a mixture of both sides, so checks keep their steps
# small and their numbers away from zero.

# %%
def relu_forward(x):
    return np.maximum(x, 0), x > 0


def relu_backward(positive, delta):
    return delta * positive


# L = sum c y, so delta = c
x_relu, c = rng.standard_normal((3, 8)), rng.standard_normal((3, 8))
assert np.abs(x_relu).min() > 1e-3                                     # no kink within the step
error = relative_error(lambda v: (c * relu_forward(v)[0]).sum(), x_relu,
                       relu_backward(x_relu > 0, c))
print(f"relative error {error:.1e}")
assert error < 1e-8
at_kink = (max(1e-5, 0) - max(-1e-5, 0)) / 2e-5
assert np.isclose(at_kink, 0.5)                                   # the mixture: neither 0 nor 1

# %% [markdown]
# ## 4.5 Convolution is a matrix product
#
# A convolution slides a small window over an image, and at each place takes the inner product
# of the pixels in the window, the *patch*, with a few kernels. $M_k$ is kernel $k$ as one row
# of numbers. So at place $(i, j)$ the response of kernel $k$ is
#
# $$y_{ijk} = \sum_d M_{kd} \, \mathrm{patch}_{ijd} + b_k$$
#
# which is a dense layer, applied to every patch with the *same* $M$. Write all patches as the
# rows of one matrix $P$ (this is called *im2col*: image to columns) and the whole convolution
# is $P M^T + b$.

# %%
def im2col(x, k):
    """Every k x k patch of the images x (B, H, W, C) as a row: (B * Ho * Wo, k * k * C)."""
    B, H, W, C = x.shape
    Ho, Wo = H - k + 1, W - k + 1
    P = np.empty((B, Ho, Wo, k, k, C))
    for u in range(k):                                     # pixel (u, v) of all patches at once
        for v in range(k):
            P[:, :, :, u, v, :] = x[:, u:u + Ho, v:v + Wo, :]
    return P.reshape(B * Ho * Wo, -1)


image = np.arange(16.0).reshape(1, 4, 4, 1)
P = im2col(image, 3)
print("an image of 4 x 4 pixels:", image[0, :, :, 0].astype(int), sep="\n")
print("its four 3 x 3 patches, one per row:", P.astype(int), sep="\n")
assert P.shape == (4, 9) and np.array_equal(P[3], image[0, 1:4, 1:4, 0].reshape(-1))

# %% [markdown]
# The backward pass is then the dense layer's: $\partial L / \partial M = \delta^T P$,
# $\partial L / \partial b = \sum \delta$, and for the patches
# $\partial L / \partial P = \delta M$. One step is left, from patches to pixels. A pixel was
# copied into every patch that covers it, so its derivative is the *sum* over those copies. The
# function that does this, *col2im*, puts each patch's numbers back in place and adds where they
# overlap.
#
# im2col is linear in the image, $P = A x$ with some matrix $A$ of zeros and ones, and col2im is
# its transpose $A^T$. That gives a sharp test which needs no derivative: for *any* $x$ and $c$
# the inner products $\langle A x, c \rangle$ and $\langle x, A^T c \rangle$ must agree.
#
# Noise: the poster drops *after* the convolution, $f_{ijk} = z_{ijk} \, y_{ijk}$, one $z$ for
# each kernel and place. So $z$ meets the response, bias included, and the backward pass begins
# with $\delta_{ijk} \, z_{ijk}$.

# %%
def col2im(dP, shape, k):
    """The transpose of im2col: every pixel adds up what the patches that cover it say."""
    B, H, W, C = shape
    Ho, Wo = H - k + 1, W - k + 1
    dP, dx = dP.reshape(B, Ho, Wo, k, k, C), np.zeros(shape)
    for u in range(k):
        for v in range(k):
            dx[:, u:u + Ho, v:v + Wo, :] += dP[:, :, :, u, v, :]
    return dx


def conv_forward(M, b, x, z):
    P, k = im2col(x, M.shape[1]), M.shape[1]      # M (K, k, k, C)
    y = P @ M.reshape(len(M), -1).T + b           # sum_d M_kd patch_d + b_k      (B*Ho*Wo, K)
    y = y.reshape(len(x), x.shape[1] - k + 1, x.shape[2] - k + 1, len(M))
    return y * z, (M, P, x.shape, z)              # z_ijk y_ijk                   (B, Ho, Wo, K)


def conv_backward(cache, delta):
    M, P, shape, z = cache
    delta = (delta * z).reshape(-1, len(M))     # delta_ijk z_ijk               (B*Ho*Wo, K)
    dM = (delta.T @ P).reshape(M.shape)         # sum over places: delta patch  (K, k, k, C)
    db = delta.sum(axis=0)                      # sum over places: delta        (K,)
    dP = delta @ M.reshape(len(M), -1)          # delta M, for every patch      (B*Ho*Wo, k*k*C)
    return col2im(dP, shape, M.shape[1]), dM, db


x_conv = rng.standard_normal((2, 7, 6, 3))
M_conv, b_conv = rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
z_conv = nn.Bernoulli(0.5).sample(nn.Key(1), (2, 5, 4, 4))
c = rng.standard_normal((2, 5, 4, 4))


def conv_loss(M, b, x):
    return (c * conv_forward(M, b, x, z_conv)[0]).sum()          # L = sum c f, so delta = c


y_conv, cache = conv_forward(M_conv, b_conv, x_conv, z_conv)
dx, dM, db = conv_backward(cache, c)
errors = [relative_error(lambda v: conv_loss(v, b_conv, x_conv), M_conv, dM),
          relative_error(lambda v: conv_loss(M_conv, v, x_conv), b_conv, db),
          relative_error(lambda v: conv_loss(M_conv, b_conv, v), x_conv, dx)]
print("relative errors of dM, db, dx:", [f"{e:.1e}" for e in errors])
assert max(errors) < 1e-7

c_patches = rng.standard_normal(im2col(x_conv, 3).shape)
apart = mb.checks.adjoint_check(lambda v: im2col(v, 3), lambda v: col2im(v, x_conv.shape, 3),
                                x_conv, c_patches)
print(f"<im2col x, c> and <x, col2im c>: {apart:.1e} apart")
assert apart < 1e-14

layer, params = nn.Conv2d(3, 4, 3, noise=nn.Bernoulli(0.5)), {"M": M_conv, "b": b_conv}
y_package, cache = layer.forward(params, x_conv, z_conv)
dx_package, grads = layer.backward(params, cache, c)
for of_package, by_hand in ((y_package, y_conv), (dx_package, dx), (grads["M"], dM),
                            (grads["b"], db)):
    assert np.allclose(of_package, by_hand)

# %% [markdown]
# In the package the noise of a convolution acts at another place, `nn.Outputs`. Its rows are
# the patches. What `nn.Conv2d` adds is im2col before and col2im after.

# %%
show_code(nn.Outputs.forward, nn.Outputs.backward)

# %% [markdown]
# ## 4.6 Max-pooling
#
# $y$ is the largest number in a window of $2 \times 2$. If the largest one moves a little, $y$
# moves with it; if one of the others does, nothing happens. So $\delta$ goes to the place of
# the maximum, all of it, and the rest get 0. The forward pass has to remember *where* the
# maximum was. (If two are exactly equal there is a kink, as in relu; the code takes the first.
# With dropout before the pool equal zeros are common, and their $\delta$ is multiplied by
# $z = 0$ next.)

# %%
def pool_forward(x):
    B, H, W, C = x.shape
    windows = x.reshape(B, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(B, H // 2, W // 2, C, 4)
    arg = windows.argmax(axis=-1)                    # which of the four        (B, H/2, W/2, C)
    return windows.max(axis=-1), (arg, x.shape)


def pool_backward(cache, delta):
    arg, (B, H, W, C) = cache
    windows = np.zeros((*arg.shape, 4))
    # delta to the maximum, 0 to the rest
    np.put_along_axis(windows, arg[..., None], delta[..., None], axis=-1)
    windows = windows.reshape(B, H // 2, W // 2, C, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return windows.reshape(B, H, W, C)


x_pool, c = rng.standard_normal((2, 6, 4, 3)), rng.standard_normal((2, 3, 2, 3))
y_pool, cache = pool_forward(x_pool)
dx = pool_backward(cache, c)
error = relative_error(lambda v: (c * pool_forward(v)[0]).sum(), x_pool, dx)
print(f"relative error {error:.1e}; {np.count_nonzero(dx)} of {dx.size} derivatives are not "
      "zero")
assert error < 1e-8 and np.count_nonzero(dx) == dx.size // 4
y_package, cache = nn.MaxPool2d(2).forward({}, x_pool, 1)
assert np.allclose(y_package, y_pool)
assert np.allclose(nn.MaxPool2d(2).backward({}, cache, c)[0], dx)

# %% [markdown]
# ## 4.7 A convnet, forward and backward
#
# Put together: convolution with noise, pool, dense, relu, dense with noise, softmax: the
# poster's LeNet in small. The backward pass is the forward pass read from the end, each line
# handing its $\delta$ to the next.

# %%
def forward(p, x, z, y):
    c, cache_c = conv_forward(p["conv"]["M"], p["conv"]["b"], x, z["conv"])
    s, cache_s = pool_forward(c)
    a, cache_a = dense_forward(p["fc1"]["M"], p["fc1"]["b"], s.reshape(len(x), -1), 1.0)
    h, cache_h = relu_forward(a)
    f, cache_f = dense_forward(p["fc2"]["M"], p["fc2"]["b"], h, z["fc2"])
    L, cache_L = softmax_forward(f, y)
    return L, (cache_c, cache_s, s.shape, cache_a, cache_h, cache_f, cache_L)


def backward(caches, backward_of_fc2=dense_backward):
    cache_c, cache_s, shape_s, cache_a, cache_h, cache_f, cache_L = caches
    df = softmax_backward(cache_L)
    dh, dM2, db2 = backward_of_fc2(cache_f, df)
    da = relu_backward(cache_h, dh)
    ds, dM1, db1 = dense_backward(cache_a, da)
    dc = pool_backward(cache_s, ds.reshape(shape_s))
    _, dMc, dbc = conv_backward(cache_c, dc)
    return {"conv": {"M": dMc, "b": dbc}, "fc1": {"M": dM1, "b": db1},
            "fc2": {"M": dM2, "b": db2}}


drop = nn.Bernoulli(keep=0.8)
net = nn.Network((12, 12, 1), conv=nn.Conv2d(1, 6, 5, noise=drop), pool=nn.MaxPool2d(2),
                 flat=nn.Flatten(),
                 fc1=nn.Dense(96, 20), relu=nn.ReLU(), fc2=nn.Dense(20, 10, noise=drop))
params = {n: {p: 0.3 * rng.standard_normal(a.shape) for p, a in group.items()}
          for n, group in net.init(0).items()}
x, y = rng.standard_normal((8, 12, 12, 1)), rng.integers(0, 10, 8)
z = net.sample(nn.Key(2), x.shape)

L, caches = forward(params, x, z, y)
grads = backward(caches)
# prints the worst direction
check = mb.checks.gradient_check(lambda p: forward(p, x, z, y)[0], params, grads, rng=0)
print(textwrap.fill(str(check), 96))
assert check.passed

f, package_caches = net.forward(params, x, z)                                  # and the package
nll, df = bayes.Categorical().nll(f, y)
_, package_grads = net.backward(params, package_caches, df)
assert np.isclose(nll.sum(), L)
assert all(np.allclose(package_grads[n][p], grads[n][p]) for n in grads for p in grads[n])

# %% [markdown]
# ## 4.8 Step into it
#
# Does training run these lines? Only if you ask for it. `fit` and `predict` compute the same in
# fused, compiled steps (notebook 10), and a breakpoint in a layer is never reached. With
# `plain=True` they go layer by layer through the code shown above: set a breakpoint in
# `Inputs.backward`, or a `print`. Here a counter does it.

# %%
def counting(place, calls):
    """place.backward, which notes that it was called and otherwise does what it did."""
    original = place.backward

    def backward(*arguments):
        calls.append(place.__name__)
        return original(*arguments)

    return patch.object(place, "backward", backward)


fitted = {}
for plain in (True, False):
    calls, model = [], mb.BayesianNetwork(net)
    with counting(nn.Inputs, calls), counting(nn.Outputs, calls):
        model.fit(x, y, steps=3, batch_size=4, seed=5, dtype=np.float64, plain=plain)
    fitted[plain] = model.params
    print(f"plain={plain}: {' '.join(calls) if calls else 'no call'}")
    assert calls == plain * 3 * ["Inputs", "Inputs", "Outputs"]   # fc2, fc1, conv; 3 steps

apart = max(np.abs(fitted[True][n][p] - fitted[False][n][p]).max() for n in net.layers
            if n in params for p in params[n])
print(f"largest difference of a parameter between the two: {apart:.0e}")
assert apart < 1e-12

# %% [markdown]
# From the last layer to the first, at every step; and the same numbers both ways, but for
# rounding. What a whole step of `fit` is, line by line, is in notebook 5.
#
# ## 4.9 A bug, planted
#
# The classic one: the noise is applied in the forward pass, and forgotten in the backward pass.
# The code below differs from 4.3 by one factor. It runs, the shapes are right, nothing
# complains. Does training notice?

# %%
def dense_backward_with_bug(cache, delta):
    M, xz, z = cache
    return delta @ M, delta.T @ xz, delta.sum(axis=0)            # dx has lost its z


def train(backward_of_fc2, steps, rate=0.05):
    """SGD on 2,000 digits: the loss at every step, and the error on 2,000 other digits."""
    rng, p, losses = np.random.default_rng(4), start, []
    for t in range(steps):
        rows = rng.integers(0, len(x_train), 50)
        L, caches = forward(p, x_train[rows], net.sample(nn.Key(3, t), (50, 12, 12, 1)),
                            y_train[rows])
        g = backward(caches, backward_of_fc2)
        p = {n: {q: a - rate / 50 * g[n][q] for q, a in group.items()}
             for n, group in p.items()}
        losses.append(L / 50)
    trained = mb.BayesianNetwork(net, params=p)
    return np.array(losses), trained.predict(x_test, samples=20).error(y_test)


images, labels = mb.data.mnist()[:2]
pixels = images[:4000, 2:26, 2:26].reshape(4000, 12, 2, 12, 2, 1)           # 24 x 24, halved
pixels = pixels.mean(axis=(2, 4), dtype=float)
x_train, y_train = pixels[:2000], labels[:2000]
x_test, y_test = pixels[2000:], labels[2000:4000]
start = net.init(1, np.float64)
steps = 400 if QUICK else 800
losses, error = train(dense_backward, steps)
losses_bug, error_bug = train(dense_backward_with_bug, steps)
print(f"right: test error {error:.1%}; with the bug: {error_bug:.1%}; guessing: 90 %")
assert error < error_bug < 0.5
assert losses_bug[50:100].mean() < losses[50:100].mean()
assert losses_bug[-100:].mean() > losses[-100:].mean()

# %%
fig, ax = plt.subplots(figsize=(8, 3.4))
for name, values, color in (("right", losses, BLUE), ("with the bug", losses_bug, RED)):
    ax.plot(values, color=color, linewidth=0.4, alpha=0.4)
    smooth = np.convolve(values, np.ones(20) / 20, mode="valid")
    ax.plot(np.arange(9, steps - 10), smooth, color=color, label=f"{name}, mean of 20 steps")
ax.axhline(np.log(10), color=GREY, linestyle=":", label="guessing, log 10")
ax.set(xlabel="step", ylabel="loss, nats per example")
ax.set_title(f"It trains with the bug too: test error {error_bug:.1%} instead of {error:.1%}")
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# It learns. At first it even looks *better*: the false gradient is longer. Then it ends worse,
# and you would begin to tune the learning rate, the initialisation, the number of units.
# Nothing points at the fault. A loss that goes down proves little. Now the check:

# %%
L, caches = forward(params, x, z, y)
grads_bug = backward(caches, dense_backward_with_bug)
found = mb.checks.gradient_check(lambda p: forward(p, x, z, y)[0], params, grads_bug, rng=0)
print(textwrap.fill(str(found), 96))
assert not found.passed and "fc2/M, fc2/b are right" in found.hint
# longer, as said
assert np.linalg.norm(grads_bug["conv"]["M"]) > np.linalg.norm(grads["conv"]["M"])

# %% [markdown]
# Read it like a detective. The parameters of `fc2` have right derivatives. Those of the layers
# below have wrong ones. So what is wrong is what `fc2` hands down, its
# $\partial L / \partial x$. We look at that layer alone, and ask which entries are wrong:

# %%
layer_params = {"x": rng.standard_normal((2, D))}                # only the input counts now
z_layer, c = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]]), rng.standard_normal((2, K))


def layer_loss(p):
    return (c * dense_forward(M, b, p["x"], z_layer)[0]).sum()


cache = dense_forward(M, b, layer_params["x"], z_layer)[1]
found = mb.checks.gradient_check(layer_loss, layer_params,
                                 {"x": dense_backward_with_bug(cache, c)[0]}, rng=0)
print(textwrap.fill(str(found), 96))
assert f"{np.sum(z_layer == 0)} of its {z_layer.size} entries are wrong" in found.hint
assert found.hint.endswith("which should be 0")
assert mb.checks.gradient_check(layer_loss, layer_params, {"x": dense_backward(cache, c)[0]},
                                rng=0).passed

# %% [markdown]
# As many entries are wrong as units were dropped, and the worst of them should be 0:
# derivatives for units that took no part. That is the missing $z$.
#
# ## 4.10 How small a step?
#
# Why $h = 10^{-5}$? The central difference has two errors. Cutting off Taylor's series costs
# about $h^2$. And the computer knows $L$ to 16 digits only, so the difference of two nearly
# equal values is off by about $10^{-16} L / h$. Small steps cure the one and feed the other. In
# between is the best step. The picture is worth remembering: for a right derivative the error
# makes a V, for a wrong one it stays up however small the step.

# %% tags=["picture"]
f_v, y_v = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
softmax_delta = softmax_backward(softmax_forward(f_v, y_v)[1])
right, wrong = grads, grads_bug


def network_loss(layer):
    return lambda v: forward(params | {layer: params[layer] | {"M": v}}, x, z, y)[0]


cases = {"softmax": (lambda v: softmax_forward(v, y_v)[0], f_v, softmax_delta, GREEN, "o"),
         "convnet, last dense layer": (network_loss("fc2"), params["fc2"]["M"],
                                       right["fc2"]["M"], BLUE, "s"),
         "convnet, convolution": (network_loss("conv"), params["conv"]["M"], right["conv"]["M"],
                                  PURPLE, "^"),
         "convnet, convolution, with the bug": (network_loss("conv"), params["conv"]["M"],
                                                wrong["conv"]["M"], RED, "x")}
hs = np.logspace(-12, 0, 25)
fig, ax = plt.subplots(figsize=(8, 4.4))
for name, (function, at, gradient, color, marker) in cases.items():
    errors = np.array([np.median([relative_error(function, at, gradient, h, seed)
                                  for seed in range(5)]) for h in hs])
    ax.loglog(hs, np.maximum(errors, 1e-13), color=color, marker=marker, markersize=4,
              label=name)
    assert (errors.min() > 0.01) if "bug" in name else (errors.min() < 1e-7)
ax.loglog(hs[14:], hs[14:] ** 2 / 10, ":", color=GREY)
ax.text(0.02, 2e-7, "$h^2$: the series\nis cut off", fontsize=9, color=GREY)
ax.loglog(hs[:18], 1e-16 / hs[:18], ":", color=GREY)
ax.text(1.5e-12, 3e-7, "$10^{-16}/h$:\nrounding", fontsize=9, color=GREY)
ax.set(xlabel="step h of the central difference", ylabel="relative error of the derivative",
       ylim=(1e-13, 30))
ax.set_title("A right derivative makes a V, a wrong one stays up")
ax.legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# The convolution's curve rises steeply on the right because a long step pushes a relu or a
# maximum across its kink. That is why checks use small steps.
#
# All layers of the package are tested in this way, in float64 and with the noise frozen, and so
# can yours be: `minibayes.checks` is public.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 1
#
# Derive the backward pass of $y = \tanh(x)$ so that it needs only the output $y$, write it, and
# check it.

# %% [markdown] tags=["solution"]
# $\tanh = \sinh / \cosh$ has the derivative $(\cosh^2 - \sinh^2) / \cosh^2 = 1 - \tanh^2$. So
# $\partial L / \partial x = \delta \, (1 - y^2)$.

# %% tags=["solution"]
x_tanh, c = rng.standard_normal((3, 8)), rng.standard_normal((3, 8))
y_tanh = np.tanh(x_tanh)
dx = c * (1 - y_tanh**2)
error = relative_error(lambda v: (c * np.tanh(v)).sum(), x_tanh, dx)
print(f"relative error {error:.1e}")
assert error < 1e-7
assert np.allclose(dx, nn.Tanh().backward({}, nn.Tanh().forward({}, x_tanh)[1], c)[0])

# %% [markdown]
# ### Exercise 2
#
# Older convnets took the *mean* of each window instead of the maximum. Derive the backward pass
# of mean-pooling over $2 \times 2$ windows and check it, without finite differences:
# mean-pooling is linear.

# %% [markdown] tags=["solution"]
# $y = (x_1 + x_2 + x_3 + x_4) / 4$, so each of the four pixels gets $\delta / 4$. Forward is a
# linear map $A$ and backward must be $A^T$: for any $x$ and $c$,
# $\langle A x, c \rangle = \langle x, A^T c \rangle$.

# %% tags=["solution"]
def mean_pool(x):
    B, H, W, C = x.shape
    return x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))


def mean_pool_backward(delta):
    return delta.repeat(2, axis=1).repeat(2, axis=2) / 4


x_mean, c = rng.standard_normal((2, 6, 4, 3)), rng.standard_normal((2, 3, 2, 3))
apart = mb.checks.adjoint_check(mean_pool, mean_pool_backward, x_mean, c)
print(f"{apart:.1e} apart")
assert apart < 1e-15 and mean_pool_backward(c).shape == x_mean.shape

# %% [markdown]
# ### Exercise 3
#
# Somebody's `col2im` has `=` where ours has `+=`. Which of the convolution's three derivatives
# are wrong, and at which pixels? Predict it, then plant the bug and look.

# %% [markdown] tags=["solution"]
# $\partial L / \partial M$ and $\partial L / \partial b$ do not use `col2im`: they stay right.
# In $\partial L / \partial x$ the last patch to write to a pixel wins instead of being added.
# Only pixels that lie in a single patch survive: with windows side by side that overlap as
# here, the four corners of each image.

# %% tags=["solution"]
def col2im_with_bug(dP, shape, k):
    B, H, W, C = shape
    dP, dx = dP.reshape(B, H - k + 1, W - k + 1, k, k, C), np.zeros(shape)
    for u in range(k):
        for v in range(k):
            dx[:, u:u + H - k + 1, v:v + W - k + 1, :] = dP[:, :, :, u, v, :]
    return dx


dP = rng.standard_normal(im2col(x_conv, 3).shape)
right_pixels = np.isclose(col2im(dP, x_conv.shape, 3),
                          col2im_with_bug(dP, x_conv.shape, 3)).all(axis=(0, 3))
print(right_pixels.astype(int))
# how many patches each pixel is in
covered = col2im(np.ones_like(dP), x_conv.shape, 3)[0, :, :, 0]
assert np.array_equal(right_pixels, covered == 1) and right_pixels.sum() == 4
apart = mb.checks.adjoint_check(lambda v: im2col(v, 3),
                                lambda v: col2im_with_bug(v, x_conv.shape, 3), x_conv, dP)
assert apart > 1e-3
