"""The helpers for students: each planted mistake of a backward pass or an estimator is found, placed and named; explain adds up."""

import re
from statistics import NormalDist

import numpy as np
import pytest

from minibayes import BayesianNetwork, InputError, bayes, checks, nn


class Student:
    """A dense layer with dropout before it and a squared error, with a backward pass to get wrong."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x, self.y = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))
        self.z = rng.random((6, 4)) < 0.5
        self.params = {"a": {"M": rng.standard_normal((3, 4)), "b": rng.standard_normal(3)}}

    def loss(self, params):
        f = (self.x * self.z) @ params["a"]["M"].T + params["a"]["b"]
        return float(((self.y - f) ** 2).sum() / 2)

    def grads(self, M=lambda g: g, b=lambda g: g, mask=True):
        xz = self.x * self.z
        delta = xz @ self.params["a"]["M"].T + self.params["a"]["b"] - self.y
        return {"a": {"M": M(delta.T @ (xz if mask else self.x)), "b": b(delta.sum(axis=0))}}

    def check(self, **wrong):
        return checks.gradient_check(self.loss, self.params, self.grads(**wrong), rng=1)


def one_entry(g):
    g = g.copy()
    g[1, 2] += 0.5
    return g


def test_a_right_gradient_passes():
    found = Student().check()
    assert found.passed and found.hint == "" and "agrees with" in str(found)


@pytest.mark.parametrize("wrong, param, says", [
    ({"M": lambda g: -g}, "a/M", "in every direction it is right but for its sign; a/b are right"),
    ({"M": lambda g: 2 * g}, "a/M", "in every direction it is 2 times what it should be: a constant factor"),
    ({"b": lambda g: g / 6}, "a/b", r"in every direction it is 0\.166667 times"),
    ({"b": np.zeros_like}, "a/b", "it is zero everywhere; a/M are right"),
    ({"M": lambda g: g * np.where(np.arange(12).reshape(3, 4) == 5, np.nan, 1)}, "a/M", "1 of its 12 entries are NaN or infinite"),
    ({"M": one_entry}, "a/M", r"1 of its 12 entries are wrong, most of all \[1, 2\]: "),
    ({"mask": False}, "a/M", r"12 of its 12 entries are wrong, most of all \["),
], ids=["sign", "factor 2", "mean for sum", "zero", "nan", "one entry", "mask forgotten"])
def test_what_is_wrong_is_named(wrong, param, says):
    found = Student().check(**wrong)
    assert not found.passed and found.param == param
    assert re.search(says, str(found)), str(found)
    assert re.match(rf"along random direction \d of {param}, the gradient gives \S+, which differs from the finite difference \S+: "
                    r"relative error \S+ \(tolerance 1e-07\); ", str(found))


def test_the_named_entry_says_by_how_much():
    student = Student()
    found, true = student.check(M=one_entry), student.grads()["a"]["M"][1, 2]
    claimed, measured = re.search(r"\[1, 2\]: (\S+), which should be ([^;\s]+)", found.hint).groups()
    assert float(claimed) == pytest.approx(true + 0.5, rel=1e-5) and float(measured) == pytest.approx(true, rel=1e-5)


def test_a_parameter_without_influence():
    found = checks.gradient_check(lambda p: float((p["a"] ** 2).sum()), {"a": np.ones(2), "b": np.ones(2)},
                                  {"a": 2 * np.ones(2), "b": np.ones(2)}, rng=0)
    assert found.param == "b" and "f does not depend on it; a are right" in str(found)


def test_large_arrays_are_sampled():
    big = np.random.default_rng(0).standard_normal(3000)
    found = checks.gradient_check(lambda p: float((p["v"] ** 2).sum() / 2), {"v": big}, {"v": big + (np.arange(3000) == 7)}, rng=0)
    assert "1 of its first 1000 entries are wrong, most of all [7]" in str(found)


@pytest.mark.parametrize("call, error, says", [
    (lambda s: checks.gradient_check(s.loss, s.params, {"a": {"M": np.zeros((4, 3)), "b": np.zeros(3)}}, 0), InputError,
     r"the gradient of a/M must have its shape \(3, 4\), got \(4, 3\)"),
    (lambda s: checks.gradient_check(s.loss, s.params, {"a": {"M": np.zeros((3, 4))}}, 0), InputError,
     r"grads of 'a' must be a dict with \['M', 'b'\], got \['M'\]"),
    (lambda s: checks.gradient_check(s.loss, s.params, {}, 0), InputError, r"grads must be a dict with \['a'\], got \[\]"),
    (lambda s: checks.gradient_check(s.loss, s.params, None, 0), InputError, "got NoneType"),
    (lambda s: checks.gradient_check(lambda p: 0.0, {"v": np.zeros(2, np.float32)}, {"v": np.zeros(2)}, 0), TypeError,
     "params must be float64 for a gradient check, v is float32"),
    (lambda s: checks.gradient_check(lambda p: 0.0, {}, {}, 0), InputError, "params must hold at least one array"),
])
def test_what_cannot_be_checked(call, error, says):
    with pytest.raises(error, match=says):
        call(Student())


def test_noise_that_is_not_frozen():
    rng, student = np.random.default_rng(0), Student()
    with pytest.raises(InputError, match="f must give the same value each time.*draw the noise once, outside f"):
        checks.gradient_check(lambda p: student.loss(p) + rng.random(), student.params, student.grads(), rng=0)


def test_adjoint():
    A = np.random.default_rng(0).standard_normal((4, 3))
    x, c = np.arange(3.0), np.arange(4.0) + 1
    assert checks.adjoint_check(lambda v: A @ v, lambda v: A.T @ v, x, c) < 1e-15
    assert checks.adjoint_check(lambda v: A @ v, lambda v: 1.01 * A.T @ v, x, c) > 1e-4


# ---------------------------------------------------------------------------------------------------------------- unbiased_check

def draw(t, n=3):
    return np.random.default_rng([5, t]).standard_normal(n)


def test_unbiased_estimates_pass_and_biased_ones_do_not():
    truth = {"mean": np.zeros(3), "square": {"of": 3.0}}

    def estimate(t, bias=0.0, factor=1.0):
        v = draw(t)
        return {"mean": v + bias, "square": {"of": factor * (v**2).sum()}}

    found = checks.unbiased_check(estimate, truth, 2000)
    assert found.passed and found.draws == 2000 and "agrees with" in str(found)
    biased = checks.unbiased_check(lambda t: estimate(t, bias=np.array([0, 0.2, 0])), truth, 2000)
    assert not biased.passed and biased.entry == "mean[1]" and biased.mean == pytest.approx(0.2, abs=0.1)
    assert re.match(r"the mean of 2000 draws of mean\[1\] is 0\.\d+ \+- 0\.022, which differs from the truth 0: ", str(biased))
    scaled = checks.unbiased_check(lambda t: estimate(t, factor=0.5), truth, 2000)
    assert scaled.entry == "square/of" and re.search(r"it is 0\.\d+ times the truth$", str(scaled)) and not scaled.passed
    assert scaled.mean / scaled.truth == pytest.approx(0.5, abs=0.05)


def test_distance_and_error_are_those_of_the_sample():
    values = np.array([draw(t, 1)[0] for t in range(150)])
    found = checks.unbiased_check(lambda t: values[t], 0.3, 150)
    assert found.entry == "the estimate" and found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.std_error == pytest.approx(values.std(ddof=1) / np.sqrt(150), rel=1e-12)
    assert found.distance == pytest.approx(abs(values.mean() - 0.3) / found.std_error, rel=1e-9) and found.tolerance == pytest.approx(4.0)


def test_false_alarms_are_as_rare_for_many_numbers_as_for_one():
    """500 independent numbers at a tolerance of 2: some are beyond 2 standard errors, hardly ever one beyond the widened tolerance."""
    found = checks.unbiased_check(lambda t: draw(t, 500), np.zeros(500), 400, tolerance=2.0)
    assert found.distance > 2.5 and found.passed
    # 1 - (1 - tail)^500 is near the tail of one number at 2, 0.0455
    tail = 2 * (1 - NormalDist().cdf(found.tolerance))
    assert 500 * tail == pytest.approx(0.0455, rel=1e-3)


def test_draws_that_are_all_the_same():
    """No spread: right up to rounding passes, wrong does not."""
    assert checks.unbiased_check(lambda t: 0.1, 0.1, 1000).passed
    assert not checks.unbiased_check(lambda t: 0.1, 0.1001, 1000).passed
    assert checks.unbiased_check(lambda t: 0.0, 0.0, 100).passed
    assert not checks.unbiased_check(lambda t: np.nan, 0.0, 100).passed


@pytest.mark.parametrize("call, says", [
    (lambda: checks.unbiased_check(lambda t: 0.0, 0.0, 50), "draws must be >= 100, got 50"),
    (lambda: checks.unbiased_check(lambda t: np.zeros(2), np.zeros(3)), r"form of truth, .*\(3,\).*got .*\(2,\)"),
    (lambda: checks.unbiased_check(lambda t: {"b": 0.0}, {"a": 0.0}), "form of truth"),
    (lambda: checks.unbiased_check(lambda t: 0.0, {}), "truth must hold at least one number"),
    (lambda: checks.unbiased_check(lambda t: 0.0, 0.0, tolerance=0), "tolerance must be"),
])
def test_unbiased_check_errors(call, says):
    with pytest.raises(InputError, match=says):
        call()


# ------------------------------------------------------------------------------------------------------------------------ explain

def example(noise, likelihood, dtype=np.float64):
    net = nn.Network((4, 4, 1), c=nn.Conv2d(1, 2, 2, noise=noise), r=nn.ReLU(), f=nn.Flatten(), d=nn.Dense(18, 2, noise=nn.Bernoulli(0.5)))
    params = net.init(0, dtype)
    params["c"]["b"] += 0.3
    params["d"]["b"] -= 0.2
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3) if isinstance(likelihood, bayes.Categorical) else rng.standard_normal((3, 2))
    return BayesianNetwork(net, bayes.Prior({"c": 0.7, "d": 1.2}), likelihood, params), rng.standard_normal((3, 4, 4, 1)), y


@pytest.mark.parametrize("num_data", [None, 30])
@pytest.mark.parametrize("likelihood", [bayes.Categorical(), bayes.Gaussian(3.0)], ids=["classes", "regression"])
@pytest.mark.parametrize("noise", [nn.Delta(), nn.Bernoulli(0.8), nn.Gaussian(0.5)], ids=["none", "dropout", "mgn"])
def test_explain_adds_up(noise, likelihood, num_data, capsys):
    model, x, y = example(noise, likelihood)
    e = checks.explain(model, x, y, num_data=num_data, seed=4)
    N = num_data or 3
    z = model.net.sample(nn.Key(4).derive("explain"), x.shape, dtype=np.float64)
    terms = bayes.Objective(model.net, model.prior, likelihood, N).terms(model.params, x, y, z)
    assert e["L-hat"] == pytest.approx(terms.total, rel=1e-14) and e["L-hat/N"] == pytest.approx(terms.per_datum, rel=1e-14)
    assert sum(t.value for t in e.terms if t.kind == "term") == pytest.approx(terms.total, rel=1e-13)
    assert sum(t.value for t in e.terms if t.name.startswith("kl[")) == pytest.approx(e["KL"], rel=1e-13)
    assert e["KL"] == pytest.approx(model.kl(), rel=1e-13) and e["N"] == N and e["B"] == 3
    assert e["kl[d/M]"] == pytest.approx(0.5 * 1.2**2 / 2 * (model.params["d"]["M"] ** 2).sum())
    assert e["wd[d/M]"] == pytest.approx(0.5 * 1.2**2 / N) and e["wd[d/b]"] == pytest.approx(1.2**2 / N)
    assert e["l[c]"] == 0.7 and e["keep[d]"] == 0.5
    assert all(t.unit for t in e.terms if t.kind in ("term", "sum", "constant"))
    c = next(t for t in e.terms if t.name == "C")
    assert c.value is None and bayes.kl.CONSTANT in c.note
    if isinstance(likelihood, bayes.Gaussian):
        f, _ = model.net.forward(model.params, x, z)
        assert e["data: misfit"] == pytest.approx(N / 3 * 1.5 * ((y - f) ** 2).sum()) and e["tau"] == 3.0
    formulas = {t.name: t.formula for t in e.terms}
    factor = {nn.Delta: "", nn.Bernoulli: "keep ", nn.Gaussian: "(1 + variance) "}[type(noise)]
    assert formulas["kl[c/b]"] == f"{factor}l^2/2 ||b||^2" and formulas["kl[d/b]"] == "l^2/2 ||b||^2"
    assert ("kl[c/rays]" in formulas) == ("variance[c]" in formulas) == isinstance(noise, nn.Gaussian)
    assert capsys.readouterr() == ("", "")


def test_explain_shows_itself():
    model, x, y = example(nn.Gaussian(0.5), bayes.Gaussian(3.0), np.float32)
    e = checks.explain(model, x, y)
    text, page = str(e), e._repr_html_()
    assert len(text.splitlines()) == len(e.terms) and re.search(r"^kl\[d/M\] +keep l\^2/2 \|\|M\|\|\^2 +\S+ +nats", text, re.MULTILINE)
    assert "left out" in text and "infinite" in text
    assert page.count("<tr>") == len(e.terms) + 1 and page.startswith("<table>") and "-&gt; 0" in page
    assert str(checks.explain(model, x, y)) == text != str(checks.explain(model, x, y, seed=1))


@pytest.mark.parametrize("change, says", [
    (lambda m, x, y: checks.explain(BayesianNetwork(m.net), x, y), "model has no parameters yet"),
    (lambda m, x, y: checks.explain(m, x[:, :3], y), r"x must have shape \(N, 4, 4, 1\)"),
    (lambda m, x, y: checks.explain(m, x, y[:2]), "y must have shape"),
    (lambda m, x, y: checks.explain(m, x, y, num_data=2), "num_data must be >= 3, got 2"),
    (lambda m, x, y: checks.explain(m, x, y)["kl"], "name must be one of 'data'.*got 'kl'"),
])
def test_explain_errors(change, says):
    with pytest.raises(InputError, match=says):
        change(*example(nn.Bernoulli(0.5), bayes.Categorical()))
