"""Prior, likelihood, q, KL and objective: against quadrature, enumeration of every mask, and classic dropout training."""

import itertools
import math

import numpy as np
import pytest
from reference import log_normal

from minibayes import bayes, checks, models, nn
from minibayes.bayes import kl, posterior
from minibayes.studies import mnist


def tree_max(a, b):
    return max(np.abs(a[n][p] - b[n][p]).max() for n in a for p in a[n])


def every_mask(net, rows):
    """(probability, z) for every combination of the Bernoulli units of a dense net, for `rows` inputs that share no noise."""
    widths = [(name, rows, net.layers[name].n_in) for name in net.noisy]
    total = sum(r * d for _, r, d in widths)
    for bits in itertools.product((0, 1), repeat=total):
        bits, z, probability = np.array(bits, np.uint8), {}, 1.0
        for name, r, d in widths:
            z[name], bits = bits[:r * d].reshape(r, d), bits[r * d:]
            keep = net.layers[name].noise.keep
            probability *= np.prod(np.where(z[name] == 1, keep, 1 - keep))
        yield probability, z


def tiny(keep=0.7):
    drop = nn.Bernoulli(keep)
    net = nn.Network(a=nn.Dense(2, 3, noise=drop), t=nn.Tanh(), b=nn.Dense(3, 2, noise=nn.Bernoulli(0.4)))
    rng = np.random.default_rng(4)
    params = net.init(rng, np.float64)
    params["a"]["b"] += 0.3
    return net, params, rng.standard_normal((2, 2)), np.array([1, 0])


def test_objective_is_unbiased_by_enumeration():
    """E over all masks and all minibatches of L-hat and of its gradient = L and grad L, exactly: KL once, data scaled by N/B."""
    net, params, x, y = tiny()
    prior, N = bayes.Prior(1.7), 2
    objective = bayes.Objective(net, prior, bayes.Categorical(), N)
    total = sum(p for p, _ in every_mask(net, 2))
    assert total == pytest.approx(1, abs=1e-12)
    # L and grad L by their definition: -sum_n E_q log p(y_n | f(x_n, omega)) + KL
    L, grad = kl.value(net, params, prior), kl.grad(net, params, prior)
    for n in range(N):
        for p, z in every_mask(net, 1):
            f, caches = net.forward(params, x[n:n + 1], z)
            nll, df = bayes.Categorical().nll(f, y[n:n + 1])
            _, g = net.backward(params, caches, df)
            L += p * nll.item()
            grad = {k: {q: grad[k][q] + p * g[k][q] for q in g[k]} for k in g}
    for minibatches in ([[0, 1]], [[0], [1]]):
        mean, mean_grad = 0.0, {k: {q: 0.0 * a for q, a in group.items()} for k, group in params.items()}
        for rows in minibatches:
            for p, z in every_mask(net, len(rows)):
                terms, g = objective.value_and_grad(params, x[rows], y[rows], z)
                weight = p / len(minibatches)
                mean += weight * terms.total
                mean_grad = {k: {q: mean_grad[k][q] + weight * N * g[k][q] for q in g[k]} for k in g}
        assert mean == pytest.approx(L, rel=1e-12)
        assert tree_max(mean_grad, grad) < 1e-12


def test_a_step_is_dropout_training_with_weight_decay_bit_for_bit():
    """The poster's claim: one step on L-hat/N = one step of dropout training with weight decay keep l^2/N (l^2/N where z is 1)."""
    keep, l, N, rate, momentum = 0.5, 1.3, 640, 0.01, 0.9
    net = nn.Network(fc1=nn.Dense(20, 30), relu=nn.ReLU(), fc2=nn.Dense(30, 4, noise=nn.Bernoulli(keep)))
    rng = np.random.default_rng(0)
    params = net.init(rng)
    ours, classic = params, {k: {q: a.copy() for q, a in g.items()} for k, g in params.items()}
    velocity = {k: {q: np.zeros_like(a) for q, a in g.items()} for k, g in params.items()}
    objective = bayes.Objective(net, bayes.Prior(l), bayes.Categorical(), N)
    sgd = nn.SGD(rate, momentum=momentum)
    state = sgd.init(ours)
    f4 = np.float32
    for step in range(20):
        x, y = rng.standard_normal((32, 20)).astype(f4), rng.integers(0, 4, 32)
        z = net.sample(nn.Key(1, step), x.shape)
        _, grads = objective.value_and_grad(ours, x, y, z)
        ours, state = sgd.update(ours, grads, state)
        # Dropout training as a textbook writes it, with nothing from the package but the mask.
        h = x @ classic["fc1"]["M"].T + classic["fc1"]["b"]
        a = np.maximum(h, 0)
        dropped = a * z["fc2"]
        logits = dropped @ classic["fc2"]["M"].T + classic["fc2"]["b"]
        shifted = logits - logits.max(axis=1, keepdims=True)
        delta = np.exp(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
        delta[np.arange(32), y] -= 1
        delta *= f4(1 / 32)
        da = (delta @ classic["fc2"]["M"]) * z["fc2"] * (h > 0)
        grad = {"fc1": {"M": da.T @ x, "b": da.sum(axis=0)}, "fc2": {"M": delta.T @ dropped, "b": delta.sum(axis=0)}}
        for name in grad:
            for q in ("M", "b"):
                decay = f4((keep if (name, q) == ("fc2", "M") else 1) * l**2 / N)
                velocity[name][q] = f4(momentum) * velocity[name][q] + f4(rate) * (grad[name][q] + decay * classic[name][q])
                classic[name][q] = classic[name][q] - velocity[name][q]
    for name in classic:
        for q in ("M", "b"):
            assert (ours[name][q] == classic[name][q]).all(), (name, q)


def test_official_solver_is_caffe_s_training_of_rescaled_weights():
    """Inverted dropout on Theta (mask/keep, rate r, decay wd) = plain dropout on M = Theta/keep with the study's optimizer and prior."""
    N, keep = 300, 0.5
    net = models.mlp([6, 8, 3], noise=nn.Bernoulli(keep))
    sgd, prior = mnist.official_solver(net, N)
    rng = np.random.default_rng(1)
    params = net.init(rng, np.float64)
    scale = {"fc1": 1.0, "fc2": keep}
    theta = {k: {"M": scale[k] * g["M"], "b": g["b"].copy()} for k, g in params.items()}
    velocity = {k: {q: np.zeros_like(a) for q, a in g.items()} for k, g in theta.items()}
    objective, state = bayes.Objective(net, prior, bayes.Categorical(), N), sgd.init(params)
    inverted = nn.Network(fc1=nn.Dense(6, 8), relu1=nn.ReLU(), fc2=nn.Dense(8, 3, noise=nn.Bernoulli(keep)))
    for step in range(30):
        x, y = rng.standard_normal((16, 6)), rng.integers(0, 3, 16)
        z = net.sample(nn.Key(0, step), x.shape)
        _, grads = objective.value_and_grad(params, x, y, z)
        params, state = sgd.update(params, grads, state)
        f, caches = inverted.forward(theta, x, {"fc2": z["fc2"] / keep})  # Caffe's mask is rescaled
        nll, df = bayes.Categorical().nll(f, y)
        _, g = inverted.backward(theta, caches, df / len(x))
        rate = mnist.RATE * (1 + 1e-4 * step) ** -0.75
        for k in theta:
            for q in theta[k]:
                decay = mnist.DECAY * (keep if (k, q) == ("fc2", "b") else 1)  # the one documented difference
                velocity[k][q] = 0.9 * velocity[k][q] + (2 if q == "b" else 1) * rate * (g[k][q] + decay * theta[k][q])
                theta[k][q] = theta[k][q] - velocity[k][q]
    for k in theta:
        np.testing.assert_allclose(scale[k] * params[k]["M"], theta[k]["M"], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(params[k]["b"], theta[k]["b"], rtol=1e-11, atol=1e-13)


def test_kl_of_gaussian_noise_against_the_full_gaussian():
    """Blurred by s, q is N(m, s^2 I + v m m^T) per ray: its KL to N(0, l^-2 I), minus the constant, tends to ours as s -> 0."""
    l, variance, rng = 1.4, 0.6, np.random.default_rng(0)
    net = nn.Network(a=nn.Dense(3, 4, noise=nn.Gaussian(variance)))
    prior, K = bayes.Prior(l), 4

    def full(M, s):
        total = 0.0
        for m in M.T:
            S = s**2 * np.eye(K) + variance * np.outer(m, m)
            total += 0.5 * (l**2 * (np.trace(S) + m @ m) - K - 2 * K * math.log(l) - np.linalg.slogdet(S)[1])
        return total

    A, B = ({"a": {"M": rng.standard_normal((4, 3)), "b": np.zeros(4)}} for _ in range(2))
    wanted = kl.value(net, A, prior) - kl.value(net, B, prior)
    errors = [abs(full(A["a"]["M"], s) - full(B["a"]["M"], s) - wanted) for s in (1e-1, 1e-2, 1e-3)]
    assert errors[0] > 50 * errors[1] > 2500 * errors[2] > 0  # of order s^2
    assert errors[2] < 1e-5


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_kl_of_bernoulli_noise_against_quadrature(keep):
    """keep N(m, s^2) + (1 - keep) N(0, s^2) against N(0, l^-2) on a fine grid: differences in m tend to keep l^2/2 m^2."""
    l, s = 1.3, 0.01
    net, prior = nn.Network(a=nn.Dense(1, 1, noise=nn.Bernoulli(keep))), bayes.Prior(l)

    def quadrature(m):
        total = 0.0
        for centre, width in ((0.0, 12 * s), (m, 12 * s)):
            w = np.linspace(centre - width, centre + width, 20_001)
            with np.errstate(under="ignore"):
                log_q = np.logaddexp(math.log(keep) - (w - m) ** 2 / 2 / s**2, math.log(1 - keep) - w**2 / 2 / s**2)
            log_q -= math.log(s * math.sqrt(2 * math.pi))
            log_p = np.array([log_normal(v, 0, l**-2) for v in w])
            values = np.exp(log_q) * (log_q - log_p)
            total += ((values[1:] + values[:-1]) / 2 * np.diff(w)).sum()
        return total

    def ours(m):
        return kl.value(net, {"a": {"M": np.array([[m]]), "b": np.zeros(1)}}, prior)

    assert quadrature(1.7) - quadrature(0.6) == pytest.approx(ours(1.7) - ours(0.6), abs=1e-6)


@pytest.mark.parametrize("noise", [nn.Delta(), nn.Bernoulli(0.3), nn.Gaussian(0.4)], ids=repr)
def test_kl_gradient_and_terms(noise):
    net = nn.Network((5, 5, 2), c=nn.Conv2d(2, 3, 3, noise=noise), f=nn.Flatten(), d=nn.Dense(27, 4, noise=noise))
    prior, params = bayes.Prior({"c": 1.5, "d": 0.5}), net.init(0, np.float64)
    for g in params.values():
        g["b"] += 0.2
    check = checks.gradient_check(lambda p: kl.value(net, p, prior), params, kl.grad(net, params, prior), rng=0)
    assert check.passed, check
    third = kl.grad(net, params, prior, num_data=3)
    assert tree_max({k: {q: 3 * a for q, a in g.items()} for k, g in third.items()}, kl.grad(net, params, prior)) < 1e-14
    terms = kl.terms(net, params, prior)
    inside = {"c": ("M", "b"), "d": ("M",)}
    for name, l in (("c", 1.5), ("d", 0.5)):
        for q in ("M", "b"):
            factor = noise.second_moment if q in inside[name] else 1
            assert terms[name][q] == pytest.approx(factor * l**2 / 2 * (params[name][q] ** 2).sum())
    rays = {"c": [[*params["c"]["M"][k].ravel(), params["c"]["b"][k]] for k in range(3)], "d": params["d"]["M"].T}
    for name in rays:
        if isinstance(noise, nn.Gaussian):
            assert terms[name]["rays"] == pytest.approx(-sum(math.log(np.linalg.norm(r)) for r in rays[name]))
        else:
            assert "rays" not in terms[name]


def test_weight_decay_of_the_poster():
    """N(0, I), keep 1/2, N = 60,000: wd = 8.3e-6 (beside the mean nll); and 1/tau of it beside the mean of 1/2 ||y - f||^2."""
    net = nn.Network(a=nn.Dense(2, 2, noise=nn.Bernoulli(0.5)))
    decay = kl.weight_decay(net, net.init(0), bayes.Prior(1.0), num_data=60_000)
    assert decay["a"]["M"] == pytest.approx(0.5 / 60_000) and decay["a"]["b"] == pytest.approx(1 / 60_000)
    assert kl.weight_decay(net, net.init(0), bayes.Prior(1.0), 60_000, tau=4)["a"]["M"] == pytest.approx(0.125 / 60_000)


def test_likelihoods():
    rng = np.random.default_rng(0)
    f, y = 3 * rng.standard_normal((4, 5)), rng.integers(0, 5, 4)
    nll, df = bayes.Categorical().nll(f, y)
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(nll, -np.log(p[np.arange(4), y]), rtol=1e-12)
    check = checks.gradient_check(lambda q: float(bayes.Categorical().nll(q["f"], y)[0].sum()), {"f": f}, {"f": df}, 0)
    assert check.passed, check
    extreme, _ = bayes.Categorical().nll(np.array([[1e4, 0.0, -1e4]]), np.array([2]))
    assert extreme == 2e4
    gaussian, t = bayes.Gaussian(2.5), rng.standard_normal((4, 5))
    nll, df = gaussian.nll(f, t)
    np.testing.assert_allclose(nll, [-sum(log_normal(t[n, k], f[n, k], 1 / 2.5) for k in range(5)) for n in range(4)], rtol=1e-12)
    check = checks.gradient_check(lambda q: float(gaussian.nll(q["f"], t)[0].sum()), {"f": f}, {"f": df}, 0)
    assert check.passed, check


def test_posterior_moments_are_those_of_its_samples():
    net = nn.Network(a=nn.Dense(6, 3, noise=nn.Bernoulli(0.3)), b=nn.Dense(3, 2, noise=nn.Gaussian(0.5)))
    params, T = net.init(0, np.float64), 40_000
    z = net.sample(0, (T, 6), dtype=np.float64)
    for name in ("a", "b"):
        W = posterior.weights(net, params, z, name)["W"]
        for power, moment in ((1, posterior.mean), (2, posterior.second_moment)):
            se = (W**power).std(axis=0) / math.sqrt(T)
            assert (np.abs((W**power).mean(axis=0) - moment(net, params)[name]["M"]) <= 4.5 * se + 1e-7).all()
        assert (posterior.mean(net, params)[name]["b"] == params[name]["b"]).all()


def test_prior_samples():
    net = models.mlp([30, 200, 10])
    omega = bayes.Prior({"fc1": 2.0, "fc2": 0.5}).sample(net, 0, np.float64)
    for name, l in (("fc1", 2.0), ("fc2", 0.5)):
        W = omega[name]["M"]
        assert abs(W.var() * l**2 - 1) < 4 * math.sqrt(2 / W.size) and abs(W.mean() * l) < 4 / math.sqrt(W.size)


def test_gradient_check_catches_a_planted_bug():
    net = nn.Network(a=nn.Dense(4, 3, noise=nn.Bernoulli(0.5)))
    rng = np.random.default_rng(0)
    params, x = net.init(rng, np.float64), rng.standard_normal((5, 4))
    z, g = net.sample(0, x.shape), rng.standard_normal((5, 3))
    right = {"a": {"M": g.T @ (x * z["a"]), "b": g.sum(axis=0)}}
    forgot_mask = {"a": {"M": g.T @ x, "b": g.sum(axis=0)}}

    def f(p):
        return float((net.forward(p, x, z)[0] * g).sum())

    assert checks.gradient_check(f, params, right, rng).passed
    found = checks.gradient_check(f, params, forgot_mask, rng)
    assert not found.passed and found.param == "a/M" and "a/M" in str(found)
    assert not checks.gradient_check(f, params, {"a": {"M": right["a"]["M"] * np.nan, "b": right["a"]["b"]}}, rng).passed
