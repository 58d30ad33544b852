"""Where the noise acts: each place against W = M o z written out, its derivatives with noise that learns, and Local against Weights."""

import numpy as np
import pytest

from minibayes import BayesianNetwork, InputError, bayes, checks, nn
from minibayes.bayes import kl, posterior
from minibayes.truth import exact

NOISES = [nn.Delta(), nn.Bernoulli(0.7), nn.Gaussian(0.5), nn.LearnedGaussian(0.5), nn.LearnedGaussian(0.5, "unit"),
          nn.LearnedGaussian(0.5, "weight"), nn.MeanField(0.4)]
PLACES = [nn.Inputs(), nn.Outputs(), nn.Weights(), nn.Local()]


def dense(noise, place):
    return nn.Network(a=nn.Dense(4, 3, noise=noise, place=place), t=nn.Tanh(), b=nn.Dense(3, 2, noise=noise, place=place))


def conv(noise, place, per="patch"):
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1, noise=noise, noise_per=per, place=place)
    return nn.Network((5, 6, 2), a=layer, t=nn.Tanh(), f=nn.Flatten(), b=nn.Dense(27, 2, noise=noise))  # at its default place


def fits(noise, place):
    return (place != nn.Local() or noise.local or not noise.random) and (not noise.of_weights or place in PLACES[2:])


def shaken(net, rng):
    """Parameters away from zero biases and from equal phi."""
    return {name: {p: a + 0.3 * rng.standard_normal(a.shape) for p, a in group.items()}
            for name, group in net.init(rng, np.float64).items()}


CASES = [(kind, noise, place) for kind in ("dense", "conv", "conv per kernel") for noise in NOISES for place in PLACES
         if fits(noise, place) and (kind == "dense" or place != nn.Inputs())]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind, noise, place", CASES, ids=str)
def test_gradients(kind, noise, place, shared):
    """d/dx, d/dM, d/db and, through z = T(phi, eps), d/dphi, against differences at frozen eps."""
    net = dense(noise, place) if kind == "dense" else conv(noise, place, "patch" if kind == "conv" else "kernel")
    rng = np.random.default_rng(0)
    params, x = shaken(net, rng), rng.standard_normal((3, *(net.input_shape or (4,))))
    eps = net.draw(1, x.shape, shared=shared, dtype=np.float64)
    f, caches = net.forward(params, x, net.z(params, eps))
    g = rng.standard_normal(f.shape)
    dx, grads = net.backward(params, caches, g)
    assert all(("z" in grads[name]) == noise.learned for name in net.noisy)
    grads = net.pull(params, eps, grads)
    assert {n: {p: a.shape for p, a in group.items()} for n, group in grads.items()} == {
        n: {p: a.shape for p, a in group.items()} for n, group in params.items()}
    for check in (checks.gradient_check(lambda p: float((net.forward(p, x, net.z(p, eps))[0] * g).sum()), params, grads, rng),
                  checks.gradient_check(lambda p: float((net.forward(params, p["x"], net.z(params, eps))[0] * g).sum()),
                                        {"x": x}, {"x": dx}, rng)):
        assert check.passed, check


@pytest.mark.parametrize("place", [nn.Inputs(), nn.Outputs(), nn.Weights()], ids=repr)
def test_noise_is_a_weight_matrix_for_each_example(place):
    layer = nn.Dense(4, 3, noise=nn.Gaussian(0.4), place=place)
    net, rng = nn.Network(a=layer), np.random.default_rng(1)
    params, x = shaken(net, rng), rng.standard_normal((5, 4))
    z = net.sample(2, x.shape, dtype=np.float64)
    W = posterior.weights(net, params, z, "a")
    b = W["b"] if W["b"].ndim == 2 else W["b"][None]
    np.testing.assert_allclose(net.forward(params, x, z)[0], np.einsum("nkd,nd->nk", W["W"], x) + b, rtol=1e-12)


def test_weights_of_a_convolution_are_one_kernel_for_each_image():
    layer = nn.Conv2d(2, 3, 3, padding=1, noise=nn.Bernoulli(0.6), place=nn.Weights())
    net, rng = nn.Network((5, 6, 2), a=layer), np.random.default_rng(1)
    params, x = shaken(net, rng), rng.standard_normal((4, 5, 6, 2))
    z = net.sample(2, x.shape)
    assert z["a"].shape == (4, 3, 3, 3, 2)
    plain = nn.Network((5, 6, 2), a=nn.Conv2d(2, 3, 3, padding=1))
    f = net.forward(params, x, z)[0]
    for n in range(4):
        alone = {"a": {"M": params["a"]["M"] * z["a"][n], "b": params["a"]["b"]}}
        np.testing.assert_allclose(f[n:n + 1], plain.forward(alone, x[n:n + 1], {})[0], rtol=1e-12)


def test_local_and_weights_agree_for_one_example_and_not_for_two():
    """By quadrature: one output's mean and variance; and the covariance of two inputs' outputs, which Local loses unless shared."""
    rng = np.random.default_rng(3)
    M, x = rng.standard_normal((1, 2)), np.array([[1.2, -0.7], [0.4, 2.0]])
    nets = {place: nn.Network(a=nn.Dense(2, 1, noise=nn.Gaussian(0.8), place=place)) for place in (nn.Weights(), nn.Local())}
    params = {"a": {"M": M, "b": np.array([0.3])}}
    found = {place: exact.predict(net, params, bayes.Gaussian(1.0), x, order=8) for place, net in nets.items()}
    np.testing.assert_allclose(found[nn.Local()].mean, found[nn.Weights()].mean, rtol=1e-12)
    np.testing.assert_allclose(found[nn.Local()].epistemic, found[nn.Weights()].epistemic, rtol=1e-12)
    covariance = 0.8 * float((M[0] ** 2 * x[0] * x[1]).sum())                  # of f(x_1) and f(x_2) under one omega
    T = 20_000
    for shared, wanted in ((False, 0.0), (True, covariance)):
        f = np.stack([nets[nn.Local()].forward(params, x, nets[nn.Local()].sample(nn.Key(1, t), x.shape, shared=shared, dtype=float))[0]
                      for t in range(T)])[..., 0]
        products = (f[:, 0] - f[:, 0].mean()) * (f[:, 1] - f[:, 1].mean())
        assert abs(products.mean() - wanted) <= 4 * products.std() / np.sqrt(T)


@pytest.mark.parametrize("place", [nn.Outputs(), nn.Weights()], ids=repr)
def test_enumerated_in_every_place(place):
    """E_q over every mask of a 2-1 net by hand: 2^units settings of z in f = z (M x + b), or (M o z) x + b."""
    net = nn.Network(a=nn.Dense(2, 1, noise=nn.Bernoulli(0.6), place=place))
    params, x = {"a": {"M": np.array([[1.5, -2.0]]), "b": np.array([0.4])}}, np.array([[0.7, 0.2]])
    found = exact.predict(net, params, bayes.Gaussian(2.0), x)
    terms, b = params["a"]["M"][0] * x[0], 0.4
    if place == nn.Outputs():
        values = [(0.6, terms.sum() + b), (0.4, 0.0)]
    else:
        values = [(p1 * p2, z1 * terms[0] + z2 * terms[1] + b) for z1, p1 in ((0, 0.4), (1, 0.6)) for z2, p2 in ((0, 0.4), (1, 0.6))]
    mean = sum(p * v for p, v in values)
    assert found.mean.item() == pytest.approx(mean, rel=1e-12)
    assert found.epistemic.item() == pytest.approx(sum(p * (v - mean) ** 2 for p, v in values), rel=1e-12)


@pytest.mark.parametrize("noise", [nn.LearnedGaussian(0.3), nn.LearnedGaussian(0.3, "unit")], ids=repr)
def test_exact_objective_of_noise_that_learns(noise):
    net = nn.Network(a=nn.Dense(2, 1, noise=noise))
    rng = np.random.default_rng(0)
    params, x, y = shaken(net, rng), rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
    objective = bayes.Objective(net, bayes.Prior(0.5), bayes.Gaussian(2.0), 4)
    _, grads = exact.value_and_grad(objective, params, x, y, order=20)
    check = checks.gradient_check(lambda p: exact.terms(objective, p, x, y, order=20).per_datum, params, grads, rng=0)
    assert check.passed, check
    check = checks.unbiased_check(lambda t: objective.value_and_grad(params, x, y, net.draw(nn.Key(1, t), x.shape, dtype=float))[1],
                                  grads, draws=3000)
    assert check.passed, check


def test_without_data_alpha_tends_to_what_the_prior_wants():
    """No data: the KL alone is least at alpha = 1/(l^2 ||m||^2), ray by ray."""
    net = nn.Network(a=nn.Dense(3, 2, noise=nn.LearnedGaussian(0.5, "unit")))
    params, prior = shaken(net, np.random.default_rng(0)), bayes.Prior(0.7)
    params["a"]["log_alpha"] = -np.log(0.49 * (params["a"]["M"] ** 2).sum(axis=0))
    np.testing.assert_allclose(kl.grad(net, params, prior)["a"]["log_alpha"], 0, atol=1e-14)


@pytest.mark.parametrize("noise", NOISES[2:], ids=repr)
def test_a_layer_s_moments_are_those_of_its_weights(noise):
    """E[W] and E[W^2] against draws of the weights themselves, 4 standard errors."""
    for place in filter(lambda place: fits(noise, place), (nn.Inputs(), nn.Weights(), nn.Local())):
        net = nn.Network(a=nn.Dense(3, 2, noise=noise, place=place))
        params, T = shaken(net, np.random.default_rng(5)), 4000
        W = np.stack([posterior.weights(net, params, net.sample(nn.Key(2, t), (1, 3), shared=True, dtype=float, params=params), "a")["W"][0]
                      for t in range(T)])
        for power, moment in ((1, posterior.mean), (2, posterior.second_moment)):
            values = W**power
            assert (abs(values.mean(axis=0) - moment(net, params)["a"]["M"]) <= 4.5 * values.std(axis=0) / np.sqrt(T)).all()


def test_what_cannot_be():
    with pytest.raises(InputError, match=r"place must be nn.Outputs\(\), .* got Inputs\(\)"):
        nn.Conv2d(1, 2, 3, place=nn.Inputs())
    with pytest.raises(InputError, match=r"place Local needs normal noise.* got Bernoulli\(keep=0.5\)"):
        nn.Dense(3, 2, noise=nn.Bernoulli(0.5), place=nn.Local())
    with pytest.raises(InputError, match=r"place must be nn.Inputs\(\).* got the class Inputs: add its parentheses"):
        nn.Dense(3, 2, place=nn.Inputs)
    for noise in (nn.LearnedGaussian(0.5, "weight"), nn.MeanField()):
        for make in (lambda n: nn.Dense(3, 2, noise=n, place=nn.Inputs()), lambda n: nn.Dense(3, 2, noise=n, place=nn.Outputs()),
                     lambda n: nn.Conv2d(1, 2, 3, noise=n, place=nn.Outputs())):
            with pytest.raises(InputError, match=r"place must be nn.Local\(\) or nn.Weights\(\) for noise on single weights such as"):
                make(noise)
    large = nn.Network(a=nn.Dense(2000, 2000, noise=nn.Bernoulli(0.5), place=nn.Weights()))
    with pytest.raises(InputError, match=r"place Weights needs 256000000 numbers of noise for 64 examples.*smaller batches"):
        large.draw(0, (64, 2000))
    local = nn.Network(a=nn.Dense(3, 2, noise=nn.Gaussian(), place=nn.Local()))
    with pytest.raises(InputError, match="shared=True"):
        posterior.weights(local, local.init(0), local.sample(0, (1, 3)), "a")
    learned = nn.Network(a=nn.Dense(3, 2, noise=nn.LearnedGaussian()))
    for call in (learned.sample, lambda *a: learned.mean_noise()):
        with pytest.raises(InputError, match=r"params must be given: the noise of \['a'\] learns"):
            call(0, (1, 3))


@pytest.mark.parametrize("plain", [False, True])
def test_noise_that_learns_is_trained_saved_and_resumed(plain, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 3)).astype("f4")
    y = np.sin(x[:, :1])
    net = nn.Network(a=nn.Dense(3, 8, noise=nn.LearnedGaussian(0.3, "unit")), r=nn.ReLU(),
                     b=nn.Dense(8, 1, noise=nn.LearnedGaussian(0.3), place=nn.Local()))
    models = [BayesianNetwork(net, bayes.Prior(0.5), bayes.Gaussian(10.0)) for _ in range(2)]
    history = models[0].fit(x, y, steps=30, seed=1, threads=1, plain=plain)
    assert (models[0].params["a"]["log_alpha"] != np.float32(np.log(0.3))).any() and np.isfinite(history[-1]["loss"])
    models[1].fit(x, y, steps=11, seed=1, threads=2, plain=plain, checkpoint=tmp_path / "run.npz")
    models[1].fit(x, y, steps=30, seed=1, threads=2, plain=plain, checkpoint=tmp_path / "run.npz")
    for name, group in models[0].params.items():
        assert all((a == models[1].params[name][p]).all() for p, a in group.items())
    models[0].save(tmp_path / "model.npz")
    from minibayes import load
    again = load(tmp_path / "model.npz")
    assert (again.predict(x[:9], samples=5).mean == models[0].predict(x[:9], samples=5).mean).all()
    assert again.predict(x[:9], rule="weight-averaging").mean.shape == (9, 1)
