"""The product of two noises is a noise: its draws, phi and moments; spike and slab, and what has no KL."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, checks, nn
from minibayes.bayes import kl
from minibayes.truth import exact

DROP, MGN, LEARNED = nn.Bernoulli(0.6), nn.Gaussian(0.3), nn.LearnedGaussian(0.4)
PRODUCTS = [nn.Times(DROP, MGN), nn.Times(nn.LearnedGaussian(0.4, "unit"), DROP), nn.Times(nn.Concrete(0.7), LEARNED),
            nn.Times(nn.Times(DROP, MGN), nn.Concrete(0.7))]


@pytest.mark.parametrize("noise", PRODUCTS, ids=repr)
def test_graded(noise):
    assert (verdict := checks.noise(noise)).passed, verdict
    for place in (nn.Inputs(), nn.Weights()):
        assert (verdict := checks.layer(nn.Dense(3, 2, noise=noise, place=place), (3,))).passed, verdict


@pytest.mark.parametrize("noise", [PRODUCTS[0], nn.Times(LEARNED, DROP), nn.Times(DROP, nn.Bernoulli(0.5))], ids=repr)
def test_rules_pass(noise):
    assert (verdict := checks.rule(noise, bayes.Prior(1.3))).passed, verdict


def test_the_order_does_not_matter():
    """To the KL, and its gradient: a and b change their names."""
    for one, other in ((nn.Times(DROP, MGN), nn.Times(MGN, DROP)), (nn.Times(DROP, LEARNED), nn.Times(LEARNED, DROP))):
        nets = [nn.Network(a=nn.Dense(3, 2, noise=noise)) for noise in (one, other)]
        params = [net.init(4, np.float64) for net in nets]
        values = [kl.value(net, p, bayes.Prior(0.7)) for net, p in zip(nets, params, strict=True)]
        assert values[0] == values[1]
        grads = [kl.grad(net, p, bayes.Prior(0.7))["a"] for net, p in zip(nets, params, strict=True)]
        for p, g in grads[0].items():
            assert np.array_equal(g, grads[1][p.replace("b_", "a_")])


def test_a_rule_holds_for_these_factors_alone():
    """A product is known by its factors: another one, and a learned keep, are no spike and slab with a known KL."""
    for noise, named in ((nn.Times(nn.Concrete(), MGN), "(Times, Concrete, Gaussian)"),
                         (nn.Times(nn.Times(DROP, MGN), DROP), "(Times, (Times, Bernoulli, Gaussian), Bernoulli)")):
        net = nn.Network(a=nn.Dense(3, 2, noise=noise))
        with pytest.raises(InputError) as error:
            bayes.Objective(net, bayes.Prior(), bayes.Gaussian(), 4)
        assert f"the KL of {named} noise" in str(error.value) and f"@bayes.kl.rule({named}, Normal)" in str(error.value)
    try:
        @kl.rule((nn.Times, nn.Gaussian, nn.Gaussian), bayes.Normal)
        def own(q, prior):
            return kl.Part({p: 3.0 for p in q.params})

        net = nn.Network(a=nn.Dense(3, 2, noise=nn.Times(MGN, MGN)))
        assert kl.weight_decay(net, net.init(0), bayes.Prior())["a"] == {"M": 3.0, "b": 1.0}
    finally:
        kl._rules.pop(((nn.Times, nn.Gaussian, nn.Gaussian), bayes.Normal))
    two = nn.Network(a=nn.Dense(3, 2, noise=nn.Times(DROP, nn.Bernoulli(0.5))))
    assert kl.pure_decay(two, bayes.Prior()) and kl.weight_decay(two, two.init(0), bayes.Prior())["a"]["M"] == 0.3


def test_draws_are_those_of_the_factors():
    rows = nn.Rows(np.arange(50, dtype=np.uint64), np.zeros(50, np.uint64))
    key = nn.Key(3).of("layer")
    a, b = DROP.draw(key.of("a"), (50, 4), rows), MGN.draw(key.of("b"), (50, 4), rows)
    z = PRODUCTS[0].draw(key, (50, 4), rows)
    assert z.dtype == np.float32 and np.array_equal(z, a * b)
    record = nn.Times(DROP, LEARNED).draw(key, (50, 4), rows)
    assert record.dtype.names == ("a", "b") and np.array_equal(record["a"], a)
    same = nn.Times(MGN, MGN)  # of one kind, but drawn apart
    two = same.draw(key, (50, 4), rows)
    assert not np.allclose(two, np.square(MGN.draw(key.of("a"), (50, 4), rows)))
    assert PRODUCTS[3].hard() == nn.Times(PRODUCTS[0], nn.Concrete(0.7, 0.0)) and PRODUCTS[0].hard() is PRODUCTS[0]
    for wrong in (0.5, nn.Bernoulli, None):
        with pytest.raises(InputError, match="noise must be"):
            nn.Times(DROP, wrong)


@pytest.mark.parametrize("noise", [PRODUCTS[0], nn.Times(DROP, nn.LearnedGaussian(0.4, "unit"))], ids=repr)
def test_trained_saved_and_exact(noise, monkeypatch, tmp_path):
    """Fast beside plain in each step, a file, and the prediction beside all of its nodes."""
    monkeypatch.setenv("MINIBAYES_COMPARE", "1")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 2))
    y = x @ [1.0, -2.0] + 0.1 * rng.standard_normal(40)
    m = mb.BayesianNetwork(nn.Network(a=nn.Dense(2, 1, noise=noise)), bayes.Prior(0.3), bayes.Gaussian(4.0))
    m.fit(x, y, steps=15, batch_size=20, optimizer=nn.Adam(0.02), dtype=np.float64, threads=1)
    m.save(tmp_path / "m.npz")
    again = mb.load(tmp_path / "m.npz")
    assert again.net.layers == m.net.layers and all(np.array_equal(again.params["a"][p], a) for p, a in m.params["a"].items())
    true = exact.predict(m.net, m.params, m.likelihood, x[:5], order=12)
    found = m.predict(x[:5], samples=4000, threads=1)
    assert np.all(np.abs(found.mean - true.mean) < 4 * true.std / np.sqrt(4000))
    assert checks.explain(m, x, y)["kl[a/rays]"] == pytest.approx(kl.terms(m.net, m.params, m.prior)["a"]["rays"])


def test_additive_noise_is_no_factor_and_noise_on_weights_stays_there():
    with pytest.raises(InputError, match="b must be noise that multiplies"):
        nn.Times(nn.Bernoulli(0.5), nn.MeanField(0.1))
    slab = nn.Times(nn.Bernoulli(0.5), nn.LearnedGaussian(per="weight"))
    with pytest.raises(InputError, match="weight"):
        nn.Dense(3, 2, noise=slab, place=nn.Inputs())
    assert nn.Network(fc=nn.Dense(3, 2, noise=slab, place=nn.Weights())).init(0)["fc"]["b_log_alpha"].shape == (2, 3)
