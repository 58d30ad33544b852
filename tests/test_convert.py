"""The converter of weight decay: equal gradients of both losses, steps of both solvers, known numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibayes import InputError, bayes, models, nn
from minibayes.bayes import kl
from minibayes.bayes.convert import Convention, sgd_of_inverted
from minibayes.studies import mnist

POSITIVE = st.floats(0.05, 20)
CONVENTIONS = st.builds(Convention, keep=st.floats(0.05, 1), inverted=st.booleans(), error_factor=POSITIVE,
                        target_std=POSITIVE)


@given(convention=CONVENTIONS, l=POSITIVE, tau=POSITIVE, N=st.integers(1, 10**6), K=st.integers(1, 3),
       seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_equal_gradients(convention, l, tau, N, K, seed):
    """d(L-hat/N)/dM = loss_factor * theta_factor * dJ/dTheta, J written out: its own masks and targets."""
    keep, B, mean = convention.keep, 5, 2.0
    net = nn.Network(a=nn.Dense(4, 3, noise=nn.Bernoulli(keep)), t=nn.Tanh(), b=nn.Dense(3, K))
    rng = np.random.default_rng(seed)
    params = {n: {p: rng.standard_normal(a.shape) for p, a in g.items()}
              for n, g in net.init(0, np.float64).items()}
    x, y = rng.standard_normal((B, 4)), mean + convention.target_std * rng.standard_normal((B, K))
    z = net.sample(seed, x.shape)["a"].astype(float)

    # ours: y = mean + std f, -log p = tau/2 ||y - f||^2, in the units of y
    f, caches = net.forward(params, x, {"a": z})
    df = bayes.Gaussian(tau).nll(mean + convention.target_std * f, y)[1] * convention.target_std / B
    ours, prior = net.backward(params, caches, df)[1], kl.grad(net, params, bayes.Prior(l), N)

    # theirs, with nothing from the package: Theta, masks and standardised targets
    theta = params["a"]["M"] * (keep if convention.inverted else 1)
    masks, target = z / (keep if convention.inverted else 1), (y - mean) / convention.target_std
    h = np.tanh((x * masks) @ theta.T + params["a"]["b"])
    dg = 2 * convention.error_factor * (h @ params["b"]["M"].T + params["b"]["b"] - target) / B
    dh = dg @ params["b"]["M"] * (1 - h * h)
    outside = Convention(1.0, convention.inverted, convention.error_factor, convention.target_std)
    dJ = {("a", "M"): (dh.T @ (x * masks), convention, theta),
          ("a", "b"): (dh.sum(axis=0), outside, params["a"]["b"]),
          ("b", "M"): (dg.T @ h, outside, params["b"]["M"]),
          ("b", "b"): (dg.sum(axis=0), outside, params["b"]["b"])}
    for (n, p), (data, own, value) in dJ.items():
        factor = convention.loss_factor(tau) * own.theta_factor
        np.testing.assert_allclose(factor * data, ours[n][p], rtol=1e-9, atol=1e-9 * np.abs(ours[n][p]).max())
        np.testing.assert_allclose(factor * own.weight_decay(l, N, tau) * value, prior[n][p], rtol=1e-12)


@given(convention=CONVENTIONS, l=POSITIVE, tau=POSITIVE, N=st.integers(1, 10**9))
def test_round_trips(convention, l, tau, N):
    decay = convention.weight_decay(l, N, tau)
    assert convention.lengthscale(decay, N, tau) == pytest.approx(l, rel=1e-12)
    assert convention.tau(decay, l, N) == pytest.approx(tau, rel=1e-12)


@given(l=POSITIVE, tau=POSITIVE, N=st.integers(1, 10**6), keep=st.floats(0.05, 1))
def test_this_project_s_own_convention(l, tau, N, keep):
    """Plain dropout with c = 1/2 is kl.weight_decay.

    A dense bias is outside the noise, a convolution's inside.
    """
    net = nn.Network((3, 3, 1), c=nn.Conv2d(1, 2, 2, noise=nn.Bernoulli(keep)), f=nn.Flatten(),
                     d=nn.Dense(8, 1, noise=nn.Bernoulli(keep)))
    wanted = kl.weight_decay(net, net.init(0), bayes.Prior(l), N, tau)
    inside, outside = Convention(keep).weight_decay(l, N, tau), Convention().weight_decay(l, N, tau)
    assert (wanted["c"]["M"], wanted["c"]["b"], wanted["d"]["M"],
            wanted["d"]["b"]) == pytest.approx((inside, inside, inside, outside))


def test_known_numbers():
    """The poster's prior; the paper's lambda = p l^2/(2 N tau); twice without the 1/2; Caffe's on MNIST."""
    assert Convention(0.5).weight_decay(1.0, 60_000) == pytest.approx(8.3333e-6, rel=1e-4)
    p, l, N, tau = 0.95, 0.01, 455, 0.15
    assert Convention(p).weight_decay(l, N, tau) / 2 == pytest.approx(p * l**2 / (2 * N * tau))
    assert Convention(p, error_factor=1.0).weight_decay(l, N, tau) == pytest.approx(2 * p * l**2 / (N * tau))
    assert Convention(p, inverted=True).weight_decay(l, N, tau) == pytest.approx(l**2 / (p * N * tau))
    decay = Convention(p).weight_decay(l, N, tau * 9.2**2)
    assert Convention(p, target_std=9.2).weight_decay(l, N, tau) == pytest.approx(decay)
    _, prior = mnist.official_solver(models.lenet("all"), 60_000)
    assert prior.of("fc2") == pytest.approx(Convention(0.5, inverted=True).lengthscale(mnist.DECAY, 60_000))
    assert prior.of("fc1") == pytest.approx(Convention().lengthscale(mnist.DECAY, 60_000))
    assert 1 / prior.of("fc2") == pytest.approx(1 / math.sqrt(15))


@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_sgd_of_inverted_masks_step_by_step(keep):
    """Five steps of M are those of Theta = keep M with masks z/keep and momentum; the dense bias apart."""
    wd, N = 0.03, 40
    net = nn.Network((4, 4, 1), c=nn.Conv2d(1, 3, 2, noise=nn.Bernoulli(keep)), f=nn.Flatten(),
                     d=nn.Dense(27, 2, noise=nn.Bernoulli(keep)))
    theirs = nn.SGD(0.1, momentum=0.5, policy="inv", gamma=0.3, power=0.5, multipliers={"c": {"b": 2}})
    optimizer, prior = sgd_of_inverted(net, theirs, wd, N)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 4, 4, 1)), rng.standard_normal((8, 2))
    params = net.init(0, np.float64)
    state, likelihood = optimizer.init(params), bayes.Gaussian(1.0)

    scale = {("c", "M"): keep, ("c", "b"): keep, ("d", "M"): keep, ("d", "b"): 1.0}
    theta = {at: s * params[at[0]][at[1]] for at, s in scale.items()}
    velocity = {at: 0 for at in scale}
    plain = nn.Network((4, 4, 1), c=net.layers["c"], f=nn.Flatten(), d=net.layers["d"])
    for t in range(5):
        z = net.sample(nn.Key(0, t), x.shape)
        f, caches = net.forward(params, x, z)
        grads = net.backward(params, caches, likelihood.nll(f, y)[1] / len(x))[1]
        penalty = kl.grad(net, params, prior, N)
        total = {n: {p: grads[n][p] + penalty[n][p] for p in group} for n, group in grads.items()}
        params, state = optimizer.update(params, total, state)

        at_theta = {n: {p: theta[n, p] for p in ("M", "b")} for n in ("c", "d")}
        masks = {n: z[n] / keep for n in z}
        f, caches = plain.forward(at_theta, x, masks)
        grads = plain.backward(at_theta, caches, (f - y) / len(x))[1]
        for (n, p), value in theta.items():
            decay = keep * wd if (n, p) == ("d", "b") else wd  # the one documented difference
            rate = 0.1 * (1 + 0.3 * t) ** -0.5 * (2 if (n, p) == ("c", "b") else 1)
            velocity[n, p] = 0.5 * velocity[n, p] + rate * (grads[n][p] + decay * value)
            theta[n, p] = value - velocity[n, p]
    for (n, p), s in scale.items():
        np.testing.assert_allclose(s * params[n][p], theta[n, p], rtol=1e-10)


def test_sgd_of_inverted_errors():
    net = nn.Network(d=nn.Dense(2, 1))
    with pytest.raises(InputError, match="weight_decay must be"):
        sgd_of_inverted(net, nn.SGD(0.1), 0, 10)
    with pytest.raises(InputError, match="num_data must be >= 1"):
        sgd_of_inverted(net, nn.SGD(0.1), 1e-4, 0)


@pytest.mark.parametrize("make, says", [
    (lambda: Convention(0.0), r"keep must be a finite number in \(0, 1\]"),
    (lambda: Convention(1.5), "keep must be"),
    (lambda: Convention(0.5, inverted=1), "inverted must be True or False, got 1"),
    (lambda: Convention(error_factor=0), "error_factor must be"),
    (lambda: Convention(target_std=-1), "target_std must be"),
    (lambda: Convention().weight_decay(0, 10), "lengthscale must be"),
    (lambda: Convention().weight_decay(1, 0), "num_data must be >= 1"),
    (lambda: Convention().weight_decay(1, 10, math.nan), "tau must be"),
    (lambda: Convention().lengthscale(0, 10), "weight_decay must be"),
    (lambda: Convention().tau(1e-4, 1, 1.5), "num_data must be an integer"),
    (lambda: Convention().loss_factor(-1), "tau must be"),
])
def test_errors(make, says):
    with pytest.raises(InputError, match=says):
        make()
