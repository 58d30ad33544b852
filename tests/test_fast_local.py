"""The place Local, compiled: the stage and the wide step against the layers, and KLs that may be asked for by rows."""

import numpy as np
import pytest

from minibayes import BayesianNetwork, bayes, nn
from minibayes.bayes import kl
from minibayes.fast import wide, wide_local
from minibayes.fast.local_stage import LocalStage
from minibayes.fast.program import Program
from minibayes.nn.optimizers import leaves

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((150, 20)), np.arange(150) % 4
NOISES = [nn.Gaussian(0.4), nn.LearnedGaussian(0.3), nn.LearnedGaussian(0.3, per="weight"), nn.MeanField(0.2)]
PRIORS = [bayes.Prior(2.0), bayes.LogUniform()]
LOCAL = nn.Local()
OPTIMIZERS = [nn.SGD(0.05, momentum=0.9, policy="inv", multipliers={"a": {"b": 2.0}}), nn.Adam(0.01)]


def net(noise, rise=nn.ReLU):
    a, b, c = (nn.Dense(n_in, n_out, noise=noise, place=nn.Local()) for n_in, n_out in ((20, 33), (33, 17), (17, 4)))
    return nn.Network(a=a, r=rise(), b=b, s=nn.Tanh(), c=c)


def start(plain, dtype):
    """Parameters of which no two are the same."""
    params = plain.init(0, dtype)
    return {n: {p: (a + 0.1 * RNG.standard_normal(a.shape)).astype(dtype) for p, a in g.items()} for n, g in params.items()}


@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shared", [False, True])
def test_the_stage_is_the_layer(noise, dtype, shared):
    plain = net(noise)
    fast, params = Program(plain), start(plain, dtype)
    assert [type(stage) for stage in fast.stages] == [LocalStage] * 3
    x, df = X[:9].astype(dtype), RNG.standard_normal((9, 4)).astype(dtype)
    x[3] = 0  # no spread at all in the first layer
    eps = plain.draw(1, x.shape, shared=shared, dtype=dtype)
    close = {"rtol": 2e-4, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    (f, caches), settled = plain.forward(params, x, plain.z(params, eps)), fast.settled(params)
    dx, grads = plain.backward(params, caches, df)
    grads = plain.pull(params, eps, grads)
    for given in (params, settled):
        g, others = fast.forward(given, x, fast.z(params, eps))
        np.testing.assert_allclose(g, f, **close)
        ex, more = fast.backward(given, others, df)
        more = fast.pull(params, eps, more)
        np.testing.assert_allclose(ex, dx, **close)
        for name, group in grads.items():
            assert set(more[name]) == set(group)
            for p, a in group.items():
                np.testing.assert_allclose(more[name][p], a, **close)


@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("rule", ["mc", "weight-averaging"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_prediction_is_that_of_the_layers(noise, rule, shared):
    """What comes before e is worked out once; the same bits on any threads."""
    plain = net(noise, nn.Tanh)
    model = BayesianNetwork(plain, params=start(plain, np.float64))
    options = {"samples": 5, "shared": shared} if rule == "mc" else {}
    slow, one, two = (model.predict(X[:70], rule=rule, **options, **own)
                      for own in ({"plain": True}, {"threads": 1}, {"threads": 2}))
    np.testing.assert_allclose(one.mean, slow.mean, rtol=1e-10)
    assert np.array_equal(one.mean, two.mean)


def fitted(noise, prior, **options):
    model = BayesianNetwork(net(noise), prior)
    model.fit(X, Y, **({"epochs": 2, "batch_size": 64, "optimizer": OPTIMIZERS[0], "dtype": np.float64} | options))
    return model


@pytest.fixture
def small_is_wide(monkeypatch):
    monkeypatch.setattr(wide, "LEAST", 1)
    monkeypatch.setattr(wide, "COLUMNS", 8)
    monkeypatch.setattr(wide, "OPERATIONS", 1)
    monkeypatch.setattr(wide_local, "BLOCK", 100)  # several blocks of rows a layer, the last one shorter


@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("prior", PRIORS, ids=repr)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("kl_factor", [1.0, lambda step: min(step / 3, 1)], ids=["whole", "warm-up"])
def test_the_wide_step_is_the_plain_step(noise, prior, optimizer, kl_factor, small_is_wide):
    """An epoch's last batch is shorter; the KL by rows is the KL."""
    options = {"optimizer": optimizer, "kl_factor": kl_factor}
    fast, plain = fitted(noise, prior, **options), fitted(noise, prior, plain=True, **options)
    for n, p, a in leaves(plain.params):
        np.testing.assert_allclose(fast.params[n][p], a, rtol=1e-7, atol=1e-9)
    for name in ("loss", "nll"):
        assert fast.history[-1][name] == pytest.approx(plain.history[-1][name], rel=1e-9)


def test_threads_and_a_checkpoint_change_no_bit(small_is_wide, tmp_path):
    options = {"optimizer": OPTIMIZERS[1], "steps": 7}
    one, three = (fitted(NOISES[3], PRIORS[0], threads=threads, **options) for threads in (1, 3))
    fitted(NOISES[3], PRIORS[0], **options | {"steps": 4}, checkpoint=tmp_path / "run.npz")
    resumed = fitted(NOISES[3], PRIORS[0], **options, checkpoint=tmp_path / "run.npz")
    for n, p, a in leaves(one.params):
        assert np.array_equal(a, three.params[n][p]) and np.array_equal(a, resumed.params[n][p])


def test_which_nets_take_wide_steps(small_is_wide):
    def taken(noise, prior=PRIORS[0], place=LOCAL):
        net = nn.Network(a=nn.Dense(20, 6, noise=noise, place=place), r=nn.ReLU(), b=nn.Dense(6, 4, noise=nn.Bernoulli(0.5)))
        by_rows = bayes.Objective(net, prior, bayes.Categorical(), 150).kl_by_rows
        return wide.WideStep.of(Program(net), nn.SGD(0.1), net.init(0), 64, by_rows) is not None

    assert all(taken(noise) for noise in (NOISES[0], NOISES[2], NOISES[3]))
    assert not taken(NOISES[1])  # one alpha for all rows
    assert not taken(NOISES[3], place=nn.Weights())
    assert taken(nn.Concrete(0.5), place=nn.Inputs())  # beside stacks, whose noise may learn


@pytest.mark.parametrize("pair", sorted(kl._by_weight, key=str), ids=lambda pair: f"{pair[0].__name__} {pair[1].__name__}")
def test_the_promise_of_a_sum_over_weights_is_kept(pair):
    """The KL of all rows is the sum of the KLs of some, and so is its gradient: for every rule that says so."""
    noise, prior = pair
    noise = {nn.LearnedGaussian: nn.LearnedGaussian(0.3, per="weight"), nn.MeanField: nn.MeanField(0.3),
             nn.Gaussian: nn.Gaussian(0.7), nn.Delta: nn.Gaussian(0.7)}[noise]
    prior = prior() if prior is bayes.LogUniform else prior(2.0)
    own = nn.Network(a=nn.Dense(5, 7, noise=noise, place=nn.Local()))
    params = start(own, np.float64)
    decay, rest, grads = kl.split(own, params, prior, 10)
    value, parts = 0.0, []
    for rows in (slice(0, 3), slice(3, 4), slice(4, 7)):
        some = {"a": {p: a[rows] for p, a in params["a"].items()}}
        of_some = kl.split(own, some, prior, 10)
        assert of_some[0] == decay
        value += of_some[1]
        parts.append(of_some[2].get("a", {}))
    assert value == pytest.approx(rest, rel=1e-12)
    for p, a in grads.get("a", {}).items():
        np.testing.assert_allclose(np.concatenate([np.asarray(part[p]) for part in parts]), np.asarray(a), rtol=1e-12)
