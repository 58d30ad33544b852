"""The claims about learned keep, products of noises and a part of the KL: each catches the mistake it is there for."""

import numpy as np
import pytest

from minibayes import bayes, nn
from minibayes.bayes import kl, objective
from minibayes.bayes.rules import concrete, spike_and_slab
from minibayes.bayes.rules.dropout import expected_log_p
from minibayes.claims import (
    kl_concrete,
    kl_spike_and_slab,
    objective_kl_factor,
    posterior_dropout_linear,
    weights_dropconnect,
    weights_learned,
)


def failing(function):
    return {finding.name for finding in function() if not finding.passed}


def instead(monkeypatch, noise, rule):
    """Another rule for that noise under the normal prior."""
    monkeypatch.setitem(kl._rules, (noise, bayes.Normal), rule)


def test_hard_moments_for_soft_z(monkeypatch):
    true = nn.Concrete.moments
    monkeypatch.setattr(nn.Concrete, "moments", lambda self, phi: true(self.hard(), phi))
    assert failing(weights_learned.concrete) == {"weights-concrete-moments", "weights-concrete-gap"}


def test_moments_that_add_up(monkeypatch):
    def moments(self, phi):
        return tuple(p + q for p, q in zip(self.a.moments({}), self.b.moments({}), strict=True))

    monkeypatch.setattr(nn.Times, "moments", moments)
    monkeypatch.setattr(nn.LearnedGaussian, "moments", lambda self, phi: (1.0, 1 + self.variance))
    assert failing(weights_learned.times) == {"weights-times-moments"}


def test_one_entropy_for_a_layer(monkeypatch):
    """Not multiplied by the number of inputs, as is seen in the field."""
    def once(q, prior):
        part, logit = concrete.concrete(q, prior), np.asarray(q.phi["logit_keep"], np.float64)
        rays = q.rays().size // logit.size
        entropy = float(concrete.minus_entropy(logit).sum())
        keep = 1 / (1 + np.exp(-logit))
        grads = {"logit_keep": part.terms[-1].grads["logit_keep"] - (rays - 1) * keep * (1 - keep) * logit}
        return kl.Part(part.decay, (*part.terms[:-1], kl.Term("keep", entropy, grads)))

    instead(monkeypatch, nn.Concrete, once)
    assert failing(kl_concrete.concrete) == {"kl-concrete-every-ray"}
    assert failing(kl_concrete.without_data) == {"kl-concrete-without-data"}


def test_the_weight_decay_s_share_is_forgotten(monkeypatch):
    """keep in the weight decay is no constant: without its share keep ends at 1/2."""
    def entropy_alone(q, prior):
        part, logit = concrete.concrete(q, prior), np.asarray(q.phi["logit_keep"], np.float64)
        keep = 1 / (1 + np.exp(-logit))
        grads = {"logit_keep": keep * (1 - keep) * logit * (q.rays().size // logit.size)}
        return kl.Part(part.decay, (*part.terms[:-1], kl.Term("keep", part.terms[-1].value, grads)))

    instead(monkeypatch, nn.Concrete, entropy_alone)
    assert failing(kl_concrete.concrete) == {"kl-concrete-gradient"}
    assert failing(kl_concrete.without_data) == {"kl-concrete-without-data"}


def test_keep_squared_is_no_second_moment(monkeypatch):
    def squared(q, prior):
        part, keep = concrete.concrete(q, prior), concrete.sigmoid(q.phi["logit_keep"])
        return expected_log_p(q, prior, keep**2, "", part.terms[-1:])

    instead(monkeypatch, nn.Concrete, squared)
    assert {"kl-concrete-closed-form", "kl-concrete-gradient"} <= failing(kl_concrete.concrete)


@pytest.mark.parametrize("wrong", ["the spike has a length", "the slab is always there"])
def test_a_spike_is_no_slab(wrong, monkeypatch):
    """-log ||m|| counts keep times, and so does the weight decay."""
    def rule(q, prior):
        whole = spike_and_slab.fixed(q, prior, 1.0, q.noise.b.variance)
        right = spike_and_slab.fixed(q, prior, q.noise.a.keep, q.noise.b.variance)
        return kl.Part(right.decay, whole.terms) if wrong.startswith("the spike") else kl.Part(whole.decay, right.terms)

    instead(monkeypatch, (nn.Times, nn.Bernoulli, nn.Gaussian), rule)
    assert failing(kl_spike_and_slab.spike_and_slab) == {"kl-spike-and-slab-closed-form"}


def test_a_gradient_without_keep(monkeypatch):
    true = spike_and_slab.along_the_rays
    monkeypatch.setattr(spike_and_slab, "along_the_rays",
                        lambda q, keep: true(q, keep)._replace(grads=true(q, 1.0).grads))
    assert "kl-spike-and-slab-gradient" in failing(kl_spike_and_slab.spike_and_slab)


def test_a_factor_that_is_left_out(monkeypatch):
    """Of the gradient, or of the value alone."""
    assert not failing(objective_kl_factor.kl_factor)
    with monkeypatch.context() as patch:
        patch.setattr(objective, "scaled", lambda tree, factor: tree)
        assert failing(objective_kl_factor.kl_factor) == {"objective-kl-factor"}
    monkeypatch.setattr(objective.Terms, "per_datum", property(lambda self: self.nll + self.kl / self.num_data))
    assert failing(objective_kl_factor.kl_factor) == {"objective-kl-factor"}


@pytest.mark.slow
def test_another_weight_decay_has_another_optimum(monkeypatch):
    """keep^2 for keep, and a training without the entropy of keep."""
    instead(monkeypatch, nn.Bernoulli, lambda q, prior: expected_log_p(q, prior, q.noise.keep**2, ""))
    instead(monkeypatch, nn.Concrete, lambda q, prior: expected_log_p(q, prior, concrete.sigmoid(q.phi["logit_keep"]), ""))
    assert {"posterior-dropout-linear", "posterior-dropout-linear-concrete"} <= failing(posterior_dropout_linear.linear)


def test_dropconnect_with_a_mask_that_is_forgotten_on_the_way_back(monkeypatch):
    """dM = sum_n delta_n x_n^T, as in the museum; and one coin for all weights of an input, which is dropout."""
    true = nn.Weights.backward

    def unmasked(self, layer, params, cache, df):
        dx, grads = true(self, layer, params, cache, df)
        return dx, grads | {"M": df.T @ cache[0]}

    assert failing(weights_dropconnect.dropconnect) == set()
    monkeypatch.setattr(nn.Weights, "backward", unmasked)
    assert failing(weights_dropconnect.dropconnect) == {"weights-dropconnect-gradient"}
    monkeypatch.setattr(nn.Weights, "backward", true)
    forward = nn.Weights.forward
    monkeypatch.setattr(nn.Weights, "forward", lambda self, layer, params, x, z: forward(
        self, layer, params, x, np.broadcast_to(z[:, :1], z.shape)))
    assert {"weights-dropconnect-objective", "weights-dropconnect-predictive"} <= failing(weights_dropconnect.dropconnect)
