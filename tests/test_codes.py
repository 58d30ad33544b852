"""Codes: the layer, the bound, what comes of them without labels; and claims that fail for the mistakes they are there for."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, checks, latent, nn
from minibayes.bayes import codes, weighted
from minibayes.bayes.explain import explain
from minibayes.bayes.objective import Objective
from minibayes.claims import codes as claims
from minibayes.truth.ppca import ppca

RNG = np.random.default_rng(0)
KINDS = np.array([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1]])
Y = KINDS[RNG.integers(0, 2, 40)] ^ (RNG.random((40, 6)) < 0.05)  # two patterns, some bits flipped


NONE, DROP = nn.Delta(), nn.Bernoulli(0.8)


def network(noise=NONE, n=2, code=nn.Code):
    return nn.Network(e=nn.Dense(6, 8), r=nn.ReLU(), law=nn.Dense(8, 2 * n), code=code(n),
                      d=nn.Dense(n, 8), s=nn.ReLU(), out=nn.Dense(8, 6, noise=noise))


def fitted(noise=DROP, **options):
    model = mb.BayesianNetwork(network(noise), likelihood=bayes.Bernoulli())
    settings = {"epochs": 3, "batch_size": 8, "optimizer": nn.Adam(0.01), "dtype": np.float64} | options
    model.fit(Y, Y, **settings)
    return model


def same(a, b):
    return all(np.array_equal(a[name][p], b[name][p]) for name in a for p in a[name])


@pytest.mark.parametrize("layer, shape", [(nn.Code(3), (6,)), (nn.Code(1), (2,)), (nn.Code(2, nn.Delta()), (4,))])
def test_the_layer_passes_its_grader(layer, shape):
    verdict = checks.layer(layer, shape)
    assert verdict.passed, verdict


def test_the_likelihood_passes_its_grader():
    verdict = checks.likelihood(bayes.Bernoulli(), 3)
    assert verdict.passed, verdict


class Half(nn.Code):
    """law() says half the deviation that forward uses: the KL would be of another q."""

    def law(self, x):
        m, log_std = super().law(x)
        return m, log_std - np.log(2)

    def forward(self, params, x, z=1):
        m, log_std = super().law(x)
        return m + np.exp(log_std) * z, (x, np.exp(log_std) * z)


def test_the_grader_finds_a_law_that_is_not_the_layers():
    assert "law" in str(checks.layer(Half(2), (4,))) and not checks.layer(Half(2), (4,)).passed


# ---------------------------------------------------------------------------------------- claims have teeth

def failing(function):
    with np.errstate(all="ignore"):
        return {finding.name for finding in function() if not finding.passed}


def kl_with(change):
    true = codes.kl

    def kl(m, log_std):
        return change(m, log_std, *true(m, log_std))
    return kl


@pytest.mark.parametrize("change, function, fail", [
    (lambda m, s, rows, grad: (rows + 0.5, grad), claims.divergence, {"codes-kl", "codes-kl-is-the-weights"}),
    (lambda m, s, rows, grad: (rows / len(rows), grad / len(rows)), claims.probabilistic_pca, {"codes-ppca"}),  # counted once a batch
    (lambda m, s, rows, grad: (rows, 0.5 * grad), claims.gradient, {"codes-gradient"}),
    (lambda m, s, rows, grad: (rows, 0 * grad), claims.probabilistic_pca, {"codes-ppca"}),
], ids=["constant", "once a batch", "half the gradient", "no gradient"])
def test_claims_fail_for_a_wrong_kl(monkeypatch, change, function, fail):
    monkeypatch.setattr(codes, "kl", kl_with(change))
    monkeypatch.setattr(claims, "SEEDS", 1)
    assert failing(function) == fail


@pytest.mark.slow
def test_claims_fail_for_wrong_weights(monkeypatch):
    """log q left out of log w: neither is E w = p(x), nor is w constant, nor do chains end where they should."""
    def log_weights(program, model, x, y, eps):
        f, caches = program.forward(model.params, x, program.z(model.params, eps))
        m, log_std = program.law(caches)
        h = m + np.exp(log_std) * eps[program.code]
        return -model.likelihood.nll(f, y)[0] - (h * h / 2).sum(axis=1)

    monkeypatch.setattr(latent.bounds, "log_weights", log_weights)
    monkeypatch.setattr(claims, "SEEDS", 1)
    assert failing(claims.importance) == {"codes-importance"}
    assert failing(claims.probabilistic_pca) == {"codes-ppca-posterior"}


@pytest.mark.slow
def test_claims_fail_for_chains_that_take_every_proposal(monkeypatch):
    monkeypatch.setattr(claims, "SEEDS", 1)
    monkeypatch.setattr(latent.chains, "taken", lambda ratio, rng: np.ones(len(ratio), bool))
    assert failing(claims.probabilistic_pca) == {"codes-ppca-completes"}


# ------------------------------------------------------------------------------------------------ training

def test_fast_and_plain_are_one_and_threads_change_nothing():
    fast, plain = fitted(), fitted(plain=True)
    for name, group in fast.params.items():
        for p, a in group.items():
            np.testing.assert_allclose(a, plain.params[name][p], rtol=1e-9, atol=1e-12)
    assert fast.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=1e-12)
    wide = {"batch_size": 40, "steps": 3}
    assert same(fitted(threads=1, **wide).params, fitted(threads=2, **wide).params)


def test_a_run_resumes_bit_for_bit(tmp_path):
    whole, half = fitted(steps=9), {"steps": 5, "checkpoint": tmp_path / "run.npz", "checkpoint_every": 1}
    fitted(**half)
    assert same(whole.params, fitted(**half | {"steps": 9}).params)


def test_the_loss_is_the_bound():
    """history's nll is -log p(y | h) + KL(code), and explain adds up to the objective."""
    model = fitted(nn.Delta(), epochs=1)
    found = Objective(model.net, model.prior, model.likelihood, len(Y)).terms(
        model.params, Y.astype(float), Y.astype(np.uint8), {"code": np.zeros((len(Y), 2))})
    f, caches = model.net.forward(model.params, Y.astype(float), {"code": np.zeros((len(Y), 2))})
    m, log_std = model.net.law(caches)
    by_hand = model.likelihood.nll(f, Y)[0] + (0.5 * (m**2 + np.exp(2 * log_std) - 1) - log_std).sum(axis=1)
    assert found.nll == pytest.approx(by_hand.mean(), rel=1e-12)
    told = explain(model, Y, Y)
    assert told["L-hat"] == pytest.approx(told["data"] + told["code[code]"] + told["KL"], rel=1e-12)
    assert told["code[code]"] > 0


def test_a_weight_of_two_is_the_row_twice():
    net = network()
    params = net.init(1, np.float64)
    eps = {"code": RNG.standard_normal((4, 2))}
    x = Y[:4].astype(float)
    twice = [0, 0, 1, 2, 3]
    all_rows = params, x[twice], Y[twice], {"code": eps["code"][twice]}, 5
    want, g_want = Objective(net, bayes.Prior(), bayes.Bernoulli(), 5).data_term(*all_rows)
    loss = weighted.Weighted(bayes.Bernoulli())
    rows = weighted.joined(Y[:4], np.array([2.0, 1, 1, 1]))
    got, g_got = Objective(net, bayes.Prior(), loss, 5).data_term(params, x, rows, eps, 5)
    assert got == pytest.approx(want, rel=1e-12)
    for name, group in g_want.items():
        for p, a in group.items():
            np.testing.assert_allclose(g_got[name][p], a, rtol=1e-9, atol=1e-13)


def test_saved_and_loaded(tmp_path):
    model = fitted()
    model.save(tmp_path / "m.npz")
    again = mb.load(tmp_path / "m.npz")
    assert repr(again.net) == repr(model.net) and again.likelihood == bayes.Bernoulli()
    assert np.array_equal(latent.bound(again, Y, samples=3).elbo, latent.bound(model, Y, samples=3).elbo)
    assert np.array_equal(again.predict(Y, samples=4).mean, model.predict(Y, samples=4).mean)


# ---------------------------------------------------------------------------------------------- what it says

def test_encode_decode_and_predict_agree():
    model = fitted(nn.Delta())
    m, s = latent.encode(model, Y)
    assert m.shape == s.shape == (40, 2) and (s > 0).all()
    np.testing.assert_allclose(latent.decoder(model).predict(m, samples=1, rule="weight-averaging").mean,
                               model.predict(Y, rule="weight-averaging").mean, rtol=1e-12)


def test_samples_are_of_the_prior():
    model = fitted()
    h, mean = latent.sample(model, 4000, seed=3)
    assert mean.shape == (4000, 6) and ((mean > 0) & (mean < 1)).all()
    assert np.abs(h.mean(axis=0)).max() < 4 / np.sqrt(4000) and np.abs(h.var(axis=0) - 1).max() < 4 * np.sqrt(2 / 4000)
    again, _ = latent.sample(model, 10, seed=3)
    assert np.array_equal(again, h[:10]) and not np.array_equal(latent.sample(model, 10, seed=4)[0], again)


def test_bounds_do_not_depend_on_threads_and_rise_with_importance():
    model = fitted(epochs=60)
    one, two = (latent.bound(model, np.tile(Y, (20, 1)), samples=5, threads=t) for t in (1, 2))
    assert np.array_equal(one.elbo, two.elbo) and np.array_equal(one.importance, two.importance)
    assert (one.importance >= one.elbo - 1e-9).all() and (one.elbo < 0).all()
    noise = latent.bound(model, 1 - Y, Y, samples=5)
    assert noise.elbo.mean() < one.elbo.mean()  # a code of something else explains less


def test_variances_of_a_linear_decoder():
    """g = V diag(z) h + b: E_z Var_h = keep V^2 s^2, Var_z E_h = keep (1 - keep) V^2 m^2; 40 runs give the standard errors."""
    keep = 0.7
    net = nn.Network(law=nn.Dense(3, 4), code=nn.Code(2), out=nn.Dense(2, 3, noise=nn.Bernoulli(keep)))
    params = net.init(0, np.float64)
    params["law"]["b"][:] = [0.5, -1, -0.3, 0.2]
    model = mb.BayesianNetwork(net, likelihood=bayes.Gaussian(1.0), params=params)
    x = RNG.standard_normal((2, 3))
    (m, s), V2 = latent.encode(model, x), params["out"]["M"] ** 2
    runs = [latent.variances(model, x, codes=5, omegas=10, seed=seed) for seed in range(40)]
    for part, want in (("code", keep * s**2 @ V2.T), ("weights", keep * (1 - keep) * m**2 @ V2.T)):
        found = np.array([getattr(run, part) for run in runs])
        z = np.abs(found.mean(axis=0) - want) / (found.std(axis=0, ddof=1) / np.sqrt(40))
        assert z.max() < 4.5, part  # 6 numbers each, t with 39 degrees of freedom
    one, two = (latent.variances(model, x, threads=t) for t in (1, 2))
    assert np.array_equal(one.code, two.code) and np.array_equal(one.weights, two.weights)
    assert (latent.variances(fitted(NONE), Y).weights == 0).all() and (latent.variances(fitted(NONE), Y).code > 0).all()


def test_completions_keep_what_is_known():
    model = fitted()
    known = np.arange(6) < 3
    x = np.where(known, Y[:5], np.nan)
    one, two = (latent.complete(model, x, known, chains=6, steps=5, threads=t) for t in (1, 2))
    assert np.array_equal(one.drawn, two.drawn) and np.array_equal(one.mean, two.mean)
    assert (one.drawn[:, :, known] == Y[:5, known]).all() and (one.mean[:, known] == Y[:5, known]).all()
    assert (one.std[:, known] == 0).all() and one.std[:, ~known].max() > 0 and 0 < one.accepted <= 1
    assert np.isin(one.drawn, (0, 1)).all() and not np.array_equal(one.drawn[0], one.drawn[1])


def test_ppca_is_the_best_of_its_kind():
    x = claims.data()
    truth = ppca(x, 3)
    assert truth.log_p(x).sum() == pytest.approx(truth.log_likelihood, rel=1e-12)
    for way in np.random.default_rng(1).standard_normal((5, *truth.V.shape)):
        other = type(truth)(truth.V + 1e-3 * way, truth.b, truth.variance, 0.0)
        assert other.log_p(x).sum() < truth.log_likelihood
    for variance in (truth.variance * 1.01, truth.variance * 0.99):
        V = truth.V  # refitted or not, another variance is worse
        assert type(truth)(V, truth.b, variance, 0.0).log_p(x).sum() < truth.log_likelihood


def test_draws_of_the_likelihoods():
    """In 4 standard errors: y ~ p(y | f) has the mean that the likelihood says."""
    rng = np.random.default_rng(0)
    for likelihood, f in ((bayes.Bernoulli(), [0.3, -1.0]), (bayes.Gaussian(4.0), [0.3, -1.0]), (bayes.Heteroscedastic(), [0.5, -0.7])):
        y = likelihood.draw(np.tile(f, (20_000, 1)), rng)
        mean, variance = (np.broadcast_to(a, y.shape)[0] for a in likelihood.mean_and_variance(np.tile(f, (20_000, 1))))
        assert (np.abs(y.mean(axis=0) - mean) < 4 * np.sqrt(variance / 20_000)).all()
    f = np.array([0.3, -1.0, 1.0])
    y = bayes.Categorical().draw(np.tile(f, (20_000, 1)), rng)
    p = np.exp(f) / np.exp(f).sum()
    assert (np.abs(np.bincount(y, minlength=3) / 20_000 - p) < 4 * np.sqrt(p * (1 - p) / 20_000)).all()
    with pytest.raises(NotImplementedError, match="must have draw"):
        bayes.Likelihood().draw(f, rng)


# --------------------------------------------------------------------------------------------------- errors

@pytest.mark.parametrize("call, said", [
    (lambda: nn.Code(0), "n must be"),
    (lambda: nn.Code(2, nn.Bernoulli(0.5)), "noise of a Code must be nn.Standard"),
    (lambda: nn.Network(a=nn.Dense(3, 3), code=nn.Code(2)), r"takes \(m, log s\) in one row of shape \(4,\), got \(3,\)"),
    (lambda: nn.Network(a=nn.Code(4), b=nn.Code(2)), "takes one Code"),
    (lambda: bayes.Bernoulli().targets("y", [[0.5, 1]], 1, 2), "y must be 0 or 1, got 0.5, one of 1 that are not: y > 0.5"),
    (lambda: bayes.Bernoulli().targets("y", np.zeros((3, 2, 2)), 3, 4), r"give y.reshape\(len\(y\), -1\)"),
    (lambda: bayes.Bernoulli().targets("y", [["a", "b"]], 1, 2), "y must be"),
    (lambda: latent.encode(mb.BayesianNetwork(nn.Network(a=nn.Dense(2, 2))), [[0, 0]]), "with one nn.Code"),
    (lambda: latent.encode(3, [[0, 0]]), "with one nn.Code"),
    (lambda: latent.sample(mb.BayesianNetwork(network())), "no parameters yet"),
    (lambda: latent.sample(fitted(), 0), "count must be"),
    (lambda: latent.bound(fitted(), Y[:, :5]), "x must"),
    (lambda: latent.bound(fitted(), Y, samples=0), "samples must be"),
    (lambda: latent.variances(fitted(), Y, codes=1), "codes must be"),
    (lambda: latent.variances(fitted(), Y, omegas=1), "omegas must be"),
    (lambda: latent.complete(fitted(), Y, np.ones(5, bool)), "known must be True and False in the shape"),
    (lambda: latent.complete(fitted(), Y, np.ones(6)), "known must be True and False"),
    (lambda: latent.complete(fitted(), Y + 0.5, np.ones(6, bool)), "x must be 0 or 1"),
    (lambda: latent.complete(fitted(), Y, np.ones(6, bool), chains=0), "chains must be"),
    (lambda: ppca(np.zeros((4, 3)), 3), "d must be"),
    (lambda: ppca(np.zeros(4), 1), "x must have a row"),
])
def test_bad_input_is_one_clear_error(call, said):
    with pytest.raises(mb.InputError, match=said):
        call()
