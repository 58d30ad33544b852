"""The KL's table: exact types only, a missing pair says what to write, pure decays, and C where it is finite."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from minibayes import BayesianNetwork, InputError, bayes, checks, nn
from minibayes.bayes import kl
from minibayes.bayes.along import Along
from minibayes.bayes.rules import loguniform


@dataclass(frozen=True)
class Narrow(nn.Gaussian):
    """A Gaussian of one's own, whose KL is nobody's business but its author's."""


@dataclass(frozen=True)
class Flat(bayes.Prior):
    """p(w) = const: improper."""


def model(noise, prior, place=nn.Inputs()):  # noqa: B008  (a frozen record)
    net = nn.Network(a=nn.Dense(3, 2, noise=noise, place=place))
    return BayesianNetwork(net, prior, bayes.Gaussian(1.0), net.init(0, np.float64))


@pytest.mark.parametrize("noise, prior, says", [
    (Narrow(0.5), bayes.Prior(), r"the KL of Narrow noise under the prior Normal is not known: write it as a function, "
                                 r"@bayes\.kl\.rule\(Narrow, Normal\)"),
    (nn.Bernoulli(0.5), Flat(), r"the KL of Bernoulli noise under the prior Flat is not known"),
    (nn.Bernoulli(0.5), bayes.LogUniform(), r"the KL of Bernoulli noise under the prior LogUniform is not known"),
], ids=["a subclass", "a prior of one's own", "a shipped pair"])
def test_a_missing_pair_is_never_taken_for_another(noise, prior, says):
    """Before any work: in fit, in the KL, in an objective, in an explanation."""
    m = model(noise, prior)
    x, y = np.zeros((4, 3)), np.zeros((4, 1))
    for call in (lambda: m.fit(x, np.zeros((4, 2)), steps=1), m.kl, lambda: bayes.Objective(m.net, prior, m.likelihood, 4),
                 lambda: checks.explain(m, x, np.zeros((4, 2)))):
        with pytest.raises(InputError, match=says):
            call()
    assert y.shape == (4, 1) and m.predict(x, samples=3).mean.shape == (4, 2)   # a prediction needs no KL


def test_a_rule_of_one_s_own_is_used_from_then_on():
    m = model(Narrow(0.5), bayes.Prior())
    try:
        @kl.rule(Narrow, bayes.Normal)
        def narrow(q, prior):
            return kl.Part({p: 2.0 for p in q.params}, (kl.Term("extra", 7.0),))

        M, b = m.params["a"]["M"], m.params["a"]["b"]
        assert m.kl() == pytest.approx((M * M).sum() + (b * b).sum() / 2 + 7)
        np.testing.assert_allclose(kl.grad(m.net, m.params, m.prior)["a"]["M"], 2 * M)
        assert kl.weight_decay(m.net, m.params, m.prior, 10)["a"] == {"M": 0.2, "b": 0.1}
        assert "2" not in kl.terms(m.net, m.params, m.prior)["a"] and checks.explain(m, np.zeros((4, 3)), np.zeros((4, 2)))["KL"] == m.kl()
    finally:
        kl._rules.pop((Narrow, bayes.Normal))


@pytest.mark.parametrize("noise, prior", [(nn.Delta(), bayes.Prior(0.7)), (nn.Bernoulli(0.4), bayes.Prior(0.7))], ids=repr)
def test_pure_decays_are_the_same_for_all_parameters(noise, prior):
    m = model(noise, prior)
    other = {"a": {p: 3 * a + 1 for p, a in m.params["a"].items()}}
    assert kl.pure_decay(m.net, prior) and kl.split(m.net, m.params, prior, 5) == kl.split(m.net, other, prior, 5)
    assert not kl.pure_decay(model(nn.Gaussian(), prior).net, prior)
    assert not kl.pure_decay(model(nn.LearnedGaussian(), prior).net, prior)


@pytest.mark.parametrize("noise", [nn.Gaussian(0.3), nn.LearnedGaussian(0.3, "unit")], ids=repr)
def test_the_whole_kl_where_c_is_finite(noise):
    """One z a weight: KL + C is that of independent normals, KL(N(m, a m^2) || N(0, 1/l^2)), added up."""
    for place in (nn.Weights(), nn.Local()):
        m = model(noise, bayes.Prior(0.7), place)
        M, b = m.params["a"]["M"], m.params["a"]["b"]
        var = 0.3 * M**2
        whole = 0.5 * (0.49 * (M**2 + var) - 1 - np.log(0.49 * var)).sum() + 0.49 / 2 * (b * b).sum()
        constant = kl.constant(m.net, m.params, m.prior)["a"]
        assert m.kl() + constant == pytest.approx(whole, rel=1e-12)
        assert checks.explain(m, np.zeros((4, 3)), np.zeros((4, 2)))["C[a]"] == constant
    for infinite in (model(noise, bayes.Prior(0.7)), model(nn.Bernoulli(0.5), bayes.Prior(), nn.Weights())):
        assert kl.constant(infinite.net, infinite.params, infinite.prior) == {"a": None}


def test_under_the_log_uniform_prior_m_is_not_in_it():
    """One KL(alpha) for each ray: as `loguniform` integrates it; no gradient in M, and its own in log alpha."""
    for noise, rays, place in ((nn.LearnedGaussian(0.3), 3, nn.Inputs()), (nn.LearnedGaussian(0.3, "unit"), 6, nn.Local())):
        m = model(noise, bayes.LogUniform(), place)
        assert m.kl() == pytest.approx(rays * float(loguniform.exact(math.log(0.3))), rel=1e-12)
        grads = kl.grad(m.net, m.params, m.prior)["a"]
        assert not grads["M"].any() and not grads["b"].any()
        check = checks.gradient_check(lambda p, m=m: kl.value(m.net, p, m.prior), m.params, {"a": grads}, 0)
        assert check.passed, check


def test_weight_decay_alone_is_offered_by_name():
    """The KL's weight decay without the entropy: for dropout they are one, for MGN -log ||m|| is missing."""
    for noise, moment in ((nn.Bernoulli(0.4), 0.4), (nn.Gaussian(0.3), 1.3)):
        alone, whole = model(noise, bayes.WeightDecay(0.7)), model(noise, bayes.Prior(0.7))
        decay = kl.weight_decay(alone.net, alone.params, alone.prior, 5)
        assert decay == kl.weight_decay(whole.net, alone.params, whole.prior, 5) and kl.pure_decay(alone.net, alone.prior)
        assert decay["a"] == pytest.approx({"M": moment * 0.49 / 5, "b": 0.49 / 5})
        rays = -np.log((alone.params["a"]["M"] ** 2).sum(axis=0)).sum() / 2 if moment > 1 else 0
        assert whole.kl() - alone.kl() == pytest.approx(rays, rel=1e-12)
    assert "not the KL" in str(checks.explain(alone, np.zeros((4, 3)), np.zeros((4, 2))))
    assert "the entropy along the ray, -log ||m||, is left out" in checks.rule(nn.Gaussian(0.3), bayes.WeightDecay(0.7)).cause
    with pytest.raises(InputError, match="LearnedGaussian noise under the prior WeightDecay is not known"):
        kl.check(model(nn.LearnedGaussian(), bayes.WeightDecay()).net, bayes.WeightDecay())


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 1)], ids=["columns", "one row", "rows"])
def test_a_gradient_along_the_weights_is_an_array_for_numpy(shape):
    rng = np.random.default_rng(0)
    a = Along(rng.standard_normal(shape), rng.standard_normal((3, 4)))
    whole = a.factors * a.param
    for found, wanted in ((2 * a, 2 * whole), (a / 3, whole / 3), (np.float64(2) * a, 2 * whole), (a[1:], whole[1:])):
        assert isinstance(found, Along) and found.factors.size <= a.factors.size
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-15)
    for found, wanted in ((a + 1, whole + 1), (1 / a, 1 / whole), (a.param + a, a.param + whole), (a * a, whole**2), (-a, -whole),
                          (a * a.param, whole * a.param), (a[0, 1], whole[0, 1]), (np.sum(a), whole.sum())):
        np.testing.assert_allclose(found, wanted, rtol=1e-15)
    out = a.param.copy()
    out += a
    np.testing.assert_array_equal(out, a.param + whole)
