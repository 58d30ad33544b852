"""Nothing that is handed back depends on what the caller, or a later fit, changes afterwards; np.seterr changes no bit."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, checks, metrics, models, nn
from minibayes.bayes import kl, posterior
from minibayes.truth import exact, hmc

rng = np.random.default_rng(0)
N = 40
X = rng.standard_normal((N, 3)).astype("f4")
LABELS, T = (X.sum(1) > 0).astype(int), np.sin(X[:, :1]).astype(float)
DROP = nn.Bernoulli(0.8)
KINDS = {"classes": (None, 2, LABELS), "reals": (bayes.Gaussian(2.0), 1, T), "two heads": (bayes.Heteroscedastic(), 2, T)}


def fitted(kind, **options):
    likelihood, outputs, y = KINDS[kind]
    m = mb.BayesianNetwork(models.mlp([3, 8, outputs], noise=DROP), likelihood=likelihood)
    m.fit(X, y, steps=5, **options)
    return m, y


def answers(p, y):
    """Everything a prediction says."""
    found = [p.mean, p.std_error, p.std, p.log_likelihood(y), np.array(list(p.score(y).values())), p.constant, p.finite]
    return found + ([p.quantile(0.3), *p.interval(0.5), p.variance, p.epistemic] if p.mean.shape[1] == 1 else [p.label, p.entropy])


@pytest.mark.parametrize("options", [{}, {"plain": True}, {"shared": True}, {"rule": "weight-averaging"}, {"keep_samples": True},
                                     {"first": 3}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_keeps_what_it_needs(kind, options):
    m, y = fitted(kind)
    x, y = X.copy(), y.copy()
    p = m.predict(x, samples=6, **options)
    before = [a.copy() for a in answers(p, y)]
    x *= 0
    m.params["fc1"]["M"][...] = 7
    m.fit(X, y, steps=3, seed=1)
    for a, b in zip(before, answers(p, y), strict=True):
        assert np.array_equal(a, b)
    for name, value in vars(p).items():
        if isinstance(value, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
                pytest.fail(name)


def test_a_history_is_the_callers_own():
    kept, given = [], {"mine": [1]}

    def report(model, row):
        kept.append(row)
        row["loss"] = "spoilt"
        model.params["fc1"]["M"][...] = 7
        return given

    m = mb.BayesianNetwork(models.mlp([3, 8, 2], noise=DROP))
    history = m.fit(X, LABELS, epochs=3, on_report=report, validation=(X, LABELS))
    given["mine"].append(2)
    kept[0]["validation"]["mc"]["error"] = 9
    same, _ = fitted("classes")
    same.fit(X, LABELS, epochs=3, validation=(X, LABELS))
    for row, other in zip(m.history, same.history, strict=True):
        assert row["mine"] == [1] and {k: v for k, v in row.items() if k not in ("mine", "seconds")} == {
            k: v for k, v in other.items() if k != "seconds"}
    history[0]["validation"]["mc"]["nll"] = -1
    history.clear()
    assert len(m.history) == 3 and m.history[0]["validation"]["mc"]["nll"] > 0
    assert all(np.array_equal(m.params[k][p], same.params[k][p]) for k in m.params for p in m.params[k])


def test_parameters_belong_to_one_owner():
    start = models.mlp([3, 8, 2], noise=DROP).init(3)
    m = mb.BayesianNetwork(models.mlp([3, 8, 2], noise=DROP), params=start)
    start["fc1"]["M"][...] = 7
    assert not (m.params["fc1"]["M"] == 7).any()
    m.fit(X, LABELS, steps=4)
    first = m.params
    before = {k: {p: a.copy() for p, a in g.items()} for k, g in first.items()}
    m.fit(X, LABELS, steps=4, params=first)
    assert all(np.array_equal(first[k][p], before[k][p]) for k in first for p in first[k])


def test_an_exact_prediction_is_weighted_and_keeps_what_it_needs():
    net = models.mlp([2, 3, 1], noise=nn.Bernoulli(0.7), activation="tanh")
    params, x = net.init(0, np.float64), np.array([[0.5, -1.0], [2.0, 0.3]])
    params["fc1"]["M"] *= 5
    e = exact.predict(net, params, bayes.Gaussian(4.0), x)
    sampled = mb.BayesianNetwork(net, likelihood=bayes.Gaussian(4.0), params=params).predict(x, samples=40_000)
    np.testing.assert_allclose(e.quantile([0.1, 0.5, 0.9]), sampled.quantile([0.1, 0.5, 0.9]), atol=0.02)
    before = e.log_likelihood(np.zeros((2, 1))).copy()
    params["fc1"]["M"][...] = 0
    x *= 0
    assert np.array_equal(e.log_likelihood(np.zeros((2, 1))), before)
    for array in (e.w, e.f, e.mean):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_an_exact_prediction_estimates_its_own_error(activation):
    net = models.mlp([2, 2, 2], noise=nn.Gaussian(1.0), activation=activation)
    params = {k: {p: 3 * a for p, a in g.items()} for k, g in net.init(1, np.float64).items()}
    x = rng.standard_normal((20, 2))
    truth = exact.predict(net, params, bayes.Categorical(), x, order=100).mean
    for order in (16, 32, 64):
        e = exact.predict(net, params, bayes.Categorical(), x, order=order)
        off, said = np.abs(e.mean - truth).max(), e.quadrature_error.max()
        assert off / 3 < said < 100 * off and e.quadrature_error.shape == e.mean.shape
    dropout = models.mlp([2, 2, 2], noise=DROP)
    assert not exact.predict(dropout, dropout.init(0), bayes.Categorical(), x).quadrature_error.any()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_an_exact_objective_estimates_its_own_error(activation):
    net = models.mlp([2, 2, 2], noise=nn.Gaussian(1.0), activation=activation)
    params = {k: {p: 3 * a for p, a in g.items()} for k, g in net.init(1, np.float64).items()}
    x, y = np.array([[0.5, -1.0], [2.0, 0.3]]), np.array([0, 1])
    objective = bayes.Objective(net, bayes.Prior(), bayes.Categorical(), len(x))
    truth = exact.terms(objective, params, x, y, order=64).per_datum
    for order in (8, 16, 24):
        off = abs(exact.terms(objective, params, x, y, order).per_datum - truth)
        said, slope = exact.value_error(objective, params, x, y, order)
        assert off / 3 < said and 0 < slope < 1
    objective = bayes.Objective(models.mlp([2, 2, 2], noise=DROP), bayes.Prior(), bayes.Categorical(), 2)
    assert exact.value_error(objective, params, x, y) == (0, 0)


def test_standard_deviations_intervals_and_several_quantiles():
    m, _ = fitted("reals")
    p = m.predict(X, samples=20, keep_samples=True)
    np.testing.assert_allclose(p.std**2, p.variance)
    assert (p.std > p.std_error).all()
    several = p.quantile([0.05, 0.5, 0.95])
    assert several.shape == (3, N, 1) and np.array_equal(several[1], p.quantile(0.5))
    lower, upper = p.interval()
    np.testing.assert_allclose([lower, upper], several[[0, 2]], rtol=1e-12)
    assert metrics.interval_coverage(*p.interval(0.99), p.mean) == 1
    for call, message in ((lambda: p.interval(1), r"level must be .*\(0, 1\), got 1"), (lambda: p.interval("a"), "level must be a number"),
                          (lambda: p.quantile([0.5, 2]), "q must be"), (lambda: p.quantile(["a"]), "q must be")):
        with pytest.raises(InputError, match=message):
            call()
    m, _ = fitted("classes")
    p = m.predict(X, samples=20, keep_samples=True)
    e = np.exp(p.samples.astype(float))
    np.testing.assert_allclose(p.std, (e / e.sum(-1, keepdims=True)).std(axis=0), atol=1e-7)
    with pytest.raises(InputError, match="interval needs real targets, as classes have no order"):
        p.interval(0.9)
    assert not m.predict(X, rule="weight-averaging").std.any() and not m.predict(X, samples=1).std.any()


# -------------------------------------------------------------------------------------------------------------- a report that stops

@pytest.mark.parametrize("plain", [False, True])
def test_a_report_ends_a_run_by_returning_false(plain, tmp_path):
    seen, path = [], tmp_path / "run.npz"

    def report(model, row):
        seen.append(row["step"])
        return False if row["step"] == 6 else None

    m = mb.BayesianNetwork(models.mlp([3, 8, 2], noise=DROP))
    history = m.fit(X, LABELS, steps=20, report_every=3, on_report=report, checkpoint=path, plain=plain)
    assert seen == [3, 6] and [row["step"] for row in history] == [3, 6]
    same = mb.BayesianNetwork(models.mlp([3, 8, 2], noise=DROP))
    same.fit(X, LABELS, steps=6, report_every=3, plain=plain)
    stored = mb.load(path)
    for k in m.params:
        for p in m.params[k]:
            assert np.array_equal(m.params[k][p], same.params[k][p]) and np.array_equal(m.params[k][p], stored.params[k][p])
    assert len(m.fit(X, LABELS, steps=20, report_every=3, checkpoint=path, plain=plain)) == 7, "resumed, it goes on"
    for wrong in (True, 0, "stop", [False]):
        with pytest.raises(InputError, match="on_report must return a dict, None, or False to end the run"):
            m.fit(X, LABELS, steps=2, on_report=lambda model, row, wrong=wrong: wrong)


def test_an_error_in_a_report_keeps_what_was_trained():
    def report(model, row):
        if row["step"] == 6:
            raise RuntimeError("mine")

    m, same = (mb.BayesianNetwork(models.mlp([3, 8, 2], noise=DROP)) for _ in range(2))
    with pytest.raises(RuntimeError, match="mine"):
        m.fit(X, LABELS, steps=20, report_every=3, on_report=report)
    same.fit(X, LABELS, steps=6)
    assert all(np.array_equal(m.params[k][p], same.params[k][p]) for k in m.params for p in m.params[k])
    assert [row["step"] for row in m.history] == [3]


# ------------------------------------------------------------------------------------------------------------------------ np.seterr

def everything(kind, plain):
    """Bits of most of what can be called, at sizes where much underflows."""
    m, y = fitted(kind, plain=plain, validation=(X, KINDS[kind][2]), optimizer=nn.Adam(0.01))
    scale = np.float32(1.5 if kind == "two heads" else 30)  # whose variance is an exponential
    m.params = {k: {p: a * scale for p, a in g.items()} for k, g in m.params.items()}
    found = [np.array([m.kl(), m.history[-1]["loss"]]), *answers(m.predict(scale * X, samples=30, plain=plain), y)]
    double = {k: {p: a.astype(float) for p, a in g.items()} for k, g in m.params.items()}
    objective = bayes.Objective(m.net, m.prior, m.likelihood, N)
    terms, grads = objective.value_and_grad(double, scale * X.astype(float), y, m.net.draw(0, X.shape))
    f, _ = m.net.forward(double, scale * X, m.net.draw(0, X.shape))
    found += [np.array([terms.nll, terms.kl]), f, grads["fc1"]["M"], *m.likelihood.nll(scale * f, y), m.likelihood.expected(f)]
    found += [np.array(kl.value(m.net, m.params, m.prior)), posterior.mean(m.net, double)["fc2"]["M"]]
    tiny = models.mlp([3, 2, KINDS[kind][1]], noise=DROP)
    e = exact.predict(tiny, {k: {p: scale * a for p, a in g.items()} for k, g in tiny.init(0).items()}, m.likelihood, X[:5])
    found += [e.mean, e.std, e.log_likelihood(y[:5])]
    log_p = hmc.Posterior(tiny, bayes.Prior(), m.likelihood, X, y) if hasattr(hmc, "Posterior") else None
    found += [np.array(log_p(log_p.prior_draw(0))[0])] if log_p else []
    p = np.array([[1 - 1e-300, 1e-300], [1e-300, 1 - 1e-300]])
    found += [np.array([metrics.brier(p, [0, 1]), metrics.negative_log_likelihood(p, [0, 1]), metrics.calibration(p, [0, 1]).ece,
                        metrics.rmse([1e-200], [0.0]), metrics.auroc([1e-300], [0.0]), metrics.mcnemar([1, 1], [0, 0])[2]])]
    theta = {"a": np.full(3, 1e-160)}
    check = checks.gradient_check(lambda q: float((q["a"] ** 2).sum()), theta, {"a": 2 * theta["a"]}, 0)
    return [*found, np.array(check.relative_error)]


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_floating_point_errors_that_raise_change_no_bit(kind, plain):
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        expected = everything(kind, plain)
    for setting in ("raise", "ignore"):
        with np.errstate(all=setting):
            before = np.geterr()
            found = everything(kind, plain)
            assert np.geterr() == before
        for i, (a, b) in enumerate(zip(expected, found, strict=True)):
            assert a.tobytes() == b.tobytes(), i
