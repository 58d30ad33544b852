"""Arrays of other people's programs: masked, of pandas, of other shapes and number types. Right, or one line."""

import copy
import math
import pickle
import time
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

import minibayes as mb
from minibayes import InputError, bayes, metrics, models, nn, require
from minibayes.own import Fixed

rng = np.random.default_rng(0)
N = 40
X = rng.standard_normal((N, 3)).astype("f4")
Y, T = (X.sum(1) > 0).astype(int), X.sum(1)
NET = models.mlp([3, 8, 2], noise=nn.Bernoulli(0.8))
P, U, WRONG = rng.dirichlet(np.ones(3), N), rng.random(N), rng.random(N) < 0.3
CLASSES = rng.integers(0, 3, N)
UPPER = U + 1

# name: (metric, its arrays, which of them are rows)
METRICS = {
    "accuracy": (metrics.accuracy, (P, CLASSES), (1,)),
    "nll": (metrics.negative_log_likelihood, (P, CLASSES), (1,)),
    "brier": (metrics.brier, (P, CLASSES), (1,)),
    "calibration": (lambda p, y: metrics.calibration(p, y).ece, (P, CLASSES), (1,)),
    "auroc": (metrics.auroc, (U, UPPER), (0, 1)),
    "fpr": (metrics.fpr_at_recall, (U, UPPER), (0, 1)),
    "risk": (lambda u, w: metrics.risk_coverage(u, w).area, (U, WRONG), (0, 1)),
    "precision": (lambda s, p: metrics.precision_recall(s, p).average_precision, (U, WRONG), (0, 1)),
    "interval": (metrics.interval_coverage, (U, UPPER, U + 0.5), (0, 1, 2)),
    "rmse": (metrics.rmse, (U, UPPER), (0, 1)),
    "mcnemar": (lambda a, b: metrics.mcnemar(a, b)[2], (WRONG, ~WRONG), (0, 1)),
}
ONE_LENGTH = set(METRICS) - {"auroc", "fpr"}


@pytest.mark.parametrize("name", METRICS)
def test_a_row_may_come_in_any_shape_that_is_one(name):
    metric, arrays, rows = METRICS[name]
    expected = metric(*arrays)
    forms = [lambda a: a[:, None], lambda a: a[None], list, lambda a: a[:, None].tolist(), np.ma.masked_array]
    for i in rows:
        for form in forms:
            assert metric(*(form(a) if j == i else a for j, a in enumerate(arrays))) == expected
    for form in forms[:3]:
        assert metric(*(form(a) if j in rows else a for j, a in enumerate(arrays))) == expected


@pytest.mark.parametrize("name", METRICS)
def test_what_is_no_such_row_is_one_line(name):
    metric, arrays, rows = METRICS[name]
    for i, array in enumerate(arrays):
        bad = [np.full((2, N // 2), array.flat[0]), array[:0], np.ma.masked_array(array, np.arange(array.size).reshape(array.shape) == 1),
               array.astype(str), array.astype(complex) + 1j, None, "a", {1: 2}, np.float64(0.5)]
        bad += [np.where(np.arange(N) == 3, np.nan, array)] if array.ndim == 1 else [array * np.nan, array[0], array + 0.01]
        bad += [array[:-1]] if name in ONE_LENGTH else []
        for wrong in bad:
            if not isinstance(wrong, np.ndarray) or i in rows or wrong.shape != array.shape or wrong.dtype != array.dtype:
                with pytest.raises(InputError) as caught:
                    metric(*(wrong if j == i else a for j, a in enumerate(arrays)))
                assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert True


def test_settings_of_metrics():
    for call in (lambda: metrics.binomial_std_error(1.2, 10), lambda: metrics.binomial_std_error(0.1, 0),
                 lambda: metrics.binomial_std_error(float("nan"), 10), lambda: metrics.calibration(P, CLASSES, bins=2.5),
                 lambda: metrics.fpr_at_recall(U, UPPER, recall=float("nan")), lambda: metrics.interval_coverage(UPPER, U, U)):
        with pytest.raises(InputError):
            call()


def test_mcnemar_of_a_column_and_of_many_pairs():
    a, b = rng.random(400) < 0.2, rng.random(400) < 0.2
    assert metrics.mcnemar(a, b[:, None]) == metrics.mcnemar(a, b)
    began, n = time.perf_counter(), 20_000
    wrong = np.arange(n) < n // 2 - 150
    found = metrics.mcnemar(wrong, ~wrong)[2]
    tail = sum(math.comb(2000, k) for k in range(950)) / 2**2000
    assert metrics.binomial_tail(949, 2000) == tail
    normal = 2 * NormalDist().cdf((n // 2 - 150 + 0.5 - n / 2) / math.sqrt(n / 4))
    assert found == pytest.approx(normal, rel=1e-3)
    assert time.perf_counter() - began < 20, "45 s when each binomial was worked out anew"
    for most, n in ((4900, 10_000), (4990, 9999), (0, 30), (15, 30)):
        exact = metrics.binomial_tail(most, n)
        metrics.WHOLE, whole = 0, metrics.WHOLE
        try:
            assert metrics.binomial_tail(most, n) == pytest.approx(exact, rel=1e-9)
        finally:
            metrics.WHOLE = whole


@pytest.mark.parametrize("classes", [3, 10, 200])
def test_probabilities_that_are_rounded(classes):
    p = np.random.default_rng(1).dirichlet(np.ones(classes), N)
    y = np.arange(N) % classes
    with np.errstate(under="ignore"):
        half = p.astype(np.float16)
    for rounded in (half, p.astype(np.float32), *([np.round(p, 3)] if classes <= 10 else [])):
        found = metrics.calibration(rounded, y)
        assert found.ece == pytest.approx(metrics.calibration(p, y).ece, abs=0.02)
        if rounded.dtype != np.float64:
            again = rounded.astype(np.float64)
            assert metrics.brier(rounded, y) == pytest.approx(metrics.brier(again / again.sum(1, keepdims=True), y))
    with pytest.raises(InputError, match=r"got sums from 0.99 to 1, the worst in row 5"):
        metrics.calibration(np.where(np.arange(N)[:, None] == 5, 0.99 * p, p), y)


# ----------------------------------------------------------------------------------------------------------- masked, and of pandas

def masked(array, at):
    mask = np.zeros(array.shape, bool)
    mask[at] = True
    return np.ma.masked_array(np.where(mask, -9999, array), mask)


def test_what_is_masked_is_never_used():
    model = mb.BayesianNetwork(NET, params=NET.init(0))
    regression = mb.BayesianNetwork(models.mlp([3, 4, 1]), likelihood=bayes.Gaussian())
    x, y, t = masked(X, (2, 1)), masked(Y, 7), masked(T, 7)
    calls = {
        "x": lambda: model.fit(x, Y, steps=1), "y": lambda: model.fit(X, y, steps=1), "x to predict": lambda: model.predict(x),
        "targets": lambda: regression.fit(X, t, steps=1), "rows": lambda: model.fit(list(x), Y, steps=1),
        "score": lambda: model.predict(X, samples=2).error(y), "density": lambda: model.predict(X, samples=2).log_likelihood(y),
        "params": lambda: mb.BayesianNetwork(NET, params={k: {p: masked(a, (0,) * a.ndim) for p, a in g.items()}
                                                          for k, g in NET.init(0).items()}),
    }
    for name, call in calls.items():
        with pytest.raises(InputError, match=r"must have no masked entries, got 1, the first at \[\d(, \d)?\]: fill them"):
            call()
            pytest.fail(name)
    model.fit(np.ma.masked_array(X), np.ma.masked_array(Y), steps=1)  # nothing is masked


class Column:
    """What stands in for a nullable column: objects, of which some may be missing."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, object).astype(dtype or object)


class NA:
    def __repr__(self):
        return "<NA>"


def test_columns_of_objects_that_are_numbers():
    same = mb.BayesianNetwork(NET)
    same.fit(X, Y, steps=3)
    mixed = Column([[float(a), bool(b > 0), float(c)] for a, b, c in X])
    m = mb.BayesianNetwork(NET)
    m.fit(Column(X.astype(float).tolist()), Column(Y.tolist()), steps=3)
    assert all(np.array_equal(m.params[k][p], same.params[k][p]) for k in m.params for p in m.params[k])
    m.fit(mixed, Y, steps=1)
    for x, message in ((Column([[1.0, None, 2.0]] * N), r"x must be .*dtype object with None at \[0, 1\]: fill or leave out"),
                       (Column([[1.0, 2.0, NA()]] * N), r"dtype object with <NA> at \[0, 2\]"),
                       (Column([[1.0, "red", 2.0]] * N), r"with 'red' at \[0, 1\].*encode text as numbers")):
        with pytest.raises(InputError, match=message):
            m.fit(x, Y, steps=1)


def test_tables_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    same, m = mb.BayesianNetwork(NET), mb.BayesianNetwork(NET)
    same.fit(X, Y, steps=3)
    for x, y in ((frame, pandas.Series(Y)), (frame.astype("Float32"), pandas.Series(Y, dtype="Int64")),
                 (frame.assign(a=frame.a.astype("Float64")), Y)):
        m.fit(x, y, steps=3)
        assert all(np.array_equal(m.params[k][p], same.params[k][p]) for k in m.params for p in m.params[k])
    assert np.array_equal(m.predict(frame, samples=3).mean, m.predict(X, samples=3).mean)
    missing = frame.astype("Float64")
    missing.iloc[3, 1] = pandas.NA
    for call, message in (
            (lambda: m.fit(missing, Y, steps=1), r"x must .*(at \[3, 1\]|first at \[3, 1\])"),
            (lambda: m.fit(frame.assign(b="red"), Y, steps=1), r"'red' at \[0, 1\] \(column 'b'\)"),
            (lambda: m.fit(X, pandas.Series(["no", "yes"] * (N // 2), dtype="category"), steps=1), "np.unique"),
            (lambda: m.fit(X, pandas.Series([0, None] * (N // 2), dtype="Int64"), steps=1), "y must "),
            (lambda: metrics.accuracy(P, pandas.Series([0, None] * (N // 2), dtype="Int64")), "y must "),
            (lambda: m.fit(frame.assign(b=pandas.Timestamp(0)), Y, steps=1), "x must be an array of real numbers")):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------- labels, likelihoods

@pytest.mark.parametrize("y, message", [
    (np.array(["no", "yes"])[Y], r"such as '(no|yes)': names, y = np\.unique\(y, return_inverse=True\)"),
    (np.array(["no", "yes"], object)[Y], r"np\.unique\(y, return_inverse=True\)"),
    (Y == 1, r"y must be integer labels, got dtype bool: give y\.astype\(int\)"),
    (Y.astype(float), r"got dtype float64: give y\.astype\(int\)"),
    (T, r"got dtype float32: for real targets give the model likelihood=bayes\.Gaussian\(tau\)"),
    (Y + 1, r"got values from 1 to 2: for classes numbered from 1 give y - 1"),
    (7 * Y, r"from 0 to 7: y = np\.unique\(y, return_inverse=True\)\[1\] numbers .*, or give the network 8 outputs"),
    (2 * Y - 1, r"from -1 to 1: y = np\.unique"),
    (Y[:, None], r"got \(40, 1\): give y\.ravel\(\)"),
    (np.eye(2)[Y], r"got \(40, 2\): give y\.argmax\(axis=1\)"),
    (np.stack([T, T], 1), r"got \(40, 2\): for real targets give the model likelihood=bayes\.Gaussian"),
])
def test_labels_are_refused_with_what_mends_them(y, message):
    with pytest.raises(InputError, match=message) as caught:
        mb.BayesianNetwork(NET).fit(X, y, steps=1)
    assert "\n" not in str(caught.value)


def test_a_likelihood_that_was_forgotten():
    one = models.mlp([3, 8, 1])
    for y in (T, T[:, None], Y):
        with pytest.raises(InputError, match=r"likelihood=bayes\.Gaussian\(tau\)"):
            mb.BayesianNetwork(one).fit(X, y, steps=1)
    with pytest.raises(InputError, match=r"for classes give the model likelihood=bayes\.Categorical\(\)"):
        mb.BayesianNetwork(NET, likelihood=bayes.Gaussian()).fit(X, Y, steps=1)


# --------------------------------------------------------------------------------------------------------------- number types, paths

@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, np.uint64])
def test_sizes_of_any_integer_type_are_the_same_network(kind):
    small = [kind(100), kind(60), kind(3)]
    net, same = models.mlp(small), models.mlp([100, 60, 3])
    assert repr(net) == repr(same) and net.flops((100,)) == same.flops((100,))
    for name, group in same.init(0).items():
        for p, a in group.items():
            assert np.array_equal(net.init(0)[name][p], a)
    conv = nn.Conv2d(kind(1), kind(20), kind(5), stride=kind(1), padding=kind(2))
    assert conv == nn.Conv2d(1, 20, 5, padding=2) and repr(conv) == repr(nn.Conv2d(1, 20, 5, padding=2))
    assert type(nn.MaxPool2d(kind(2)).stride) is int
    assert type(bayes.Objective(NET, bayes.Prior(), bayes.Categorical(), kind(3)).num_data) is int


@pytest.mark.parametrize("value", [np.longdouble(0.5), np.float16(0.5), Fraction(1, 2)])
def test_numbers_of_any_type_are_floats_once_they_are_settings(value):
    kept = [nn.Bernoulli(value).keep, nn.Gaussian(value).variance, bayes.Prior(value).lengthscale, bayes.Gaussian(value).tau,
            nn.SGD(value).rate, nn.SGD(0.1, momentum=value).momentum, nn.Adam(value, beta1=value).beta1,
            nn.SGD(0.1, multipliers={"a": {"M": value}}).multiplier("a", "M"), bayes.Prior({"fc1": value}).of("fc1")]
    assert all(type(v) is float and v == 0.5 for v in kept), kept


@pytest.mark.parametrize("value", [b"a.npz", None, "", "a\0b", 3, ["a"], object()], ids=lambda value: str(value).split(" at ")[0])
def test_paths_are_paths(value, tmp_path):
    model = mb.BayesianNetwork(NET, params=NET.init(0))
    calls = [lambda: model.save(value), lambda: mb.load(value), lambda: require.path("path", value)]
    calls += [lambda: model.fit(X, Y, steps=1, checkpoint=value)] if value is not None else []
    for call in calls:
        with pytest.raises(InputError, match="must be the path of a file, a string or a pathlib.Path, got ") as caught:
            call()
        assert "\n" not in str(caught.value)
    for wrong in (b"1", "1", None, [1]):
        with pytest.raises(InputError):
            nn.Dense(wrong, 3)
        with pytest.raises(InputError):
            nn.Bernoulli(wrong)


def test_settings_that_are_mappings_cannot_be_changed():
    given = {"fc1": 1.0, "fc2": 2.0}
    prior = bayes.Prior(given)
    given["fc1"] = 9
    assert prior.of("fc1") == 1.0 and isinstance(prior.lengthscale, Fixed)
    for change in (lambda d: d.update(fc1=3), lambda d: d.pop("fc1"), lambda d: d.__setitem__("fc1", 3), lambda d: d.clear()):
        with pytest.raises(TypeError, match="cannot be changed"):
            change(prior.lengthscale)
    assert pickle.loads(pickle.dumps(prior)) == copy.deepcopy(prior) == prior
    optimizer = nn.SGD(0.1, multipliers={"fc1": {"b": 2.0}})
    with pytest.raises(TypeError, match="cannot be changed"):
        optimizer.multipliers["fc1"]["b"] = 3.0
    with pytest.raises(TypeError, match="cannot be changed"):
        NET.shapes((3,))["fc1"] = None
