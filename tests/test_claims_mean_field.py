"""The claims about mean field and the local reparameterisation have teeth: each fails for the mistake that it is there for."""

import math

import numpy as np
import pytest

from minibayes import bayes, nn
from minibayes.bayes import kl
from minibayes.bayes.rules import loguniform, mean_field, mgn
from minibayes.claims import derivatives_local, kl_mean_field, posterior_mean_field, weights_local
from minibayes.nn import place


def failing(function):
    with np.errstate(all="ignore"):
        return {finding.name for finding in function() if not finding.passed}


def with_term(function, change):
    """A rule whose part is changed."""
    def rule(q, prior):
        return change(function(q, prior), q)
    return rule


def scaled(name, factor):
    """The gradient in one parameter times a factor."""
    def change(part, q):
        terms = tuple(t._replace(grads={p: factor * g if p == name else g for p, g in t.grads.items()}) for t in part.terms)
        return kl.Part(part.decay, terms, part.constant)
    return change


def without_constant(part, q):
    return kl.Part(part.decay, part.terms, 0.0)


def half_decay(part, q):
    return kl.Part({p: kl.Decay(d.factor / 2) for p, d in part.decay.items()}, part.terms, part.constant)


def no_entropy(part, q):
    """-log s left out: only the gradient of l^2 s^2/2."""
    terms = tuple(t._replace(grads={p: g + 1 for p, g in t.grads.items()}) for t in part.terms)
    return kl.Part(part.decay, terms, part.constant)


NORMAL = (nn.MeanField, bayes.Normal), mean_field.under_normal
LOGUNIFORM = (nn.MeanField, bayes.LogUniform), mean_field.under_log_uniform
ALPHA = (nn.LearnedGaussian, bayes.Normal), mgn.learned


@pytest.mark.parametrize("pair, change, claim, fail", [
    (NORMAL, no_entropy, posterior_mean_field.regression, {"posterior-mean-field-optimum", "posterior-mean-field-bound"}),
    (NORMAL, half_decay, posterior_mean_field.regression, {"posterior-mean-field-optimum", "posterior-mean-field-bound"}),
    (NORMAL, without_constant, posterior_mean_field.regression, {"posterior-mean-field-bound"}),
    (NORMAL, scaled("log_std", 0.5), kl_mean_field.mean_field_normal, {"kl-mean-field-normal-gradient"}),
    (NORMAL, without_constant, kl_mean_field.mean_field_normal, {"kl-mean-field-normal"}),
    (NORMAL, half_decay, kl_mean_field.mean_field_normal, {"kl-mean-field-normal", "kl-mean-field-normal-gradient"}),
    (LOGUNIFORM, scaled("M", 0), kl_mean_field.mean_field_log_uniform, {"kl-mean-field-loguniform-gradient"}),
    (LOGUNIFORM, scaled("log_std", 0.5), kl_mean_field.mean_field_log_uniform, {"kl-mean-field-loguniform-gradient"}),
    (ALPHA, scaled("log_alpha", 2), kl_mean_field.alpha_normal, {"kl-alpha-normal-gradient"}),
    (ALPHA, without_constant, kl_mean_field.alpha_normal, {"kl-alpha-normal"}),
    (ALPHA, no_entropy, posterior_mean_field.no_data, {"posterior-no-data-alpha"}),
    (NORMAL, half_decay, posterior_mean_field.no_data, set()),            # M still goes to 0, more slowly, and then the KL is 0
    (NORMAL, no_entropy, posterior_mean_field.no_data, {"posterior-no-data-std"}),
], ids=lambda v: getattr(v, "__name__", ""))
def test_a_wrong_rule(pair, change, claim, fail, monkeypatch):
    """The entropy, the constant or a factor forgotten; and log alpha = log s^2 - log m^2 taken for free of m."""
    key, function = pair
    monkeypatch.setitem(kl._rules, key, with_term(function, change))
    assert failing(claim) == fail


def test_a_fit_is_not_the_kl(monkeypatch):
    monkeypatch.setitem(loguniform.FORMS, "exact", loguniform.by_fit)
    for claim, name in ((kl_mean_field.mean_field_log_uniform, "kl-mean-field-loguniform"),
                        (kl_mean_field.alpha_log_uniform, "kl-alpha-loguniform")):
        assert failing(claim) == {name, f"{name}-gradient"}


def test_a_wrong_table_and_a_wrong_fit(monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(loguniform, "by_table", lambda u: (loguniform.exact(-np.log(2 * u * u)), -u / (1 + 2 * u * u)))
        assert failing(kl_mean_field.table) == {"kl-loguniform-table"}
    k1, k2, k3 = loguniform.MOLCHANOV
    monkeypatch.setattr(loguniform, "MOLCHANOV", (k1, k2, k3 + 0.01))
    assert failing(kl_mean_field.table) == {"kl-loguniform-sigmoid-gradient"}


def slipped(slip):
    """{method: nn.Local's, with one mistake}."""
    def forward(self, layer, params, x, z):
        if z.ndim > x.ndim or slip not in ("bias", "variance"):
            return own["forward"](self, layer, params, x, z)
        law = self._law(layer, params)
        A, C = law[2:]
        S2 = place.linear(x * x, C * C)
        S = np.sqrt(S2 + params["b"]) if slip == "bias" else S2     # the bias inside: a root of negative numbers
        return place.linear(x, A) + params["b"] + S * z, (x, z, S, law)

    def draw(self, noise, key, shape, rows):
        return one_row(own["draw"], self, noise, key, shape, rows) if slip == "one e" else own["draw"](self, noise, key, shape, rows)

    def shared_shape(self, layer, shape):
        return self.noise_shape(layer, shape) if slip == "shared" else own["shared_shape"](self, layer, shape)

    made = {"forward": forward, "draw": draw, "shared_shape": shared_shape}
    own = {name: getattr(nn.Local, name) for name in made}
    return made


def one_row(draw, self, noise, key, shape, rows):
    """The draw of one example for the whole batch."""
    one = nn.Rows(rows.examples[:1] * 0, rows.passes[:1], rows.dtype)
    return np.repeat(draw(self, noise, key, (1, *shape[1:]), one), shape[0], axis=0)


@pytest.mark.parametrize("slip, claim, fail", [
    ("bias", weights_local.one_example, {"weights-local-one-example", "weights-local-bias"}),
    ("variance", weights_local.one_example, {"weights-local-one-example", "weights-local-bias"}),
    ("one e", weights_local.two_inputs, {"weights-local-two-inputs"}),
    ("shared", weights_local.two_inputs, {"weights-local-shared"}),
    ("variance", derivatives_local.variance, {"derivatives-local-variance", "derivatives-local-order"}),
    ("", weights_local.two_inputs, set()),
])
def test_a_wrong_local_place(slip, claim, fail, monkeypatch):
    for name, method in slipped(slip).items():
        monkeypatch.setattr(nn.Local, name, method)
    assert failing(claim) == fail


def test_one_matrix_for_all_is_not_one_for_each(monkeypatch):
    """Weights that draws one e for the batch: the variance of `single` under the name of `separate`."""
    true = nn.Weights.draw
    monkeypatch.setattr(nn.Weights, "draw", lambda *args: one_row(true, *args))
    assert failing(derivatives_local.variance) == {"derivatives-local-variance", "derivatives-local-order"}


def test_a_gradient_that_is_off_is_caught(monkeypatch):
    true = nn.MeanField.pull
    monkeypatch.setattr(nn.MeanField, "pull", lambda *args: {p: 1.3 * g for p, g in true(*args).items()})
    assert "derivatives-local-unbiased" in failing(derivatives_local.variance)


def test_a_bound_on_what_is_lost():
    """1.9 nats at correlation .995: -1/2 log(1 - r^2) of the posterior's own correlation, by hand."""
    X, y = posterior_mean_field.data()
    _, Lambda, _ = posterior_mean_field.posterior(X, y)
    r = Lambda[0, 1] / math.sqrt(Lambda[0, 0] * Lambda[1, 1])
    assert -math.log(1 - r * r) / 2 == pytest.approx(1.9, abs=0.01) and np.corrcoef(X.T)[0, 1] == pytest.approx(0.995)
