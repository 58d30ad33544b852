"""fit(patience=, weights=, augment=) and a schedule of the rate of one's own: what they do, and that runs resume bit for bit."""

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, models, nn, reports, storage
from minibayes.bayes.weighted import Weighted, joined

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3)).astype("f4")
Y = np.sin(2 * X[:, 0]) + 0.3 * RNG.standard_normal(40)
XV = RNG.standard_normal((30, 3)).astype("f4")
YV = np.sin(2 * XV[:, 0]) + 0.3 * RNG.standard_normal(30)


def model():
    return mb.BayesianNetwork(models.mlp([3, 20, 1], noise=nn.Bernoulli(0.8)), bayes.Prior(0.1), bayes.Gaussian(10.0))


def bits(params):
    return b"".join(a.tobytes() for group in params.values() for a in group.values())


STOPPING = {"validation": (XV, YV), "validation_samples": 20, "optimizer": nn.Adam(0.03), "batch_size": 16}


# ---------------------------------------------------------------------------------------------------------------------- patience

def test_patience_keeps_the_parameters_of_the_best_row():
    seen = {}
    made = model()
    history = made.fit(X, Y, epochs=300, patience=8, on_report=lambda m, row: seen.update({row["step"]: bits(m.params)}), **STOPPING)
    scores = [row["validation"]["mc"]["nll"] for row in history]
    best = int(np.argmin(scores))
    assert len(history) == best + 1 + 8 < 300
    assert bits(made.params) == seen[history[best]["step"]] != seen[history[-1]["step"]]
    assert scores[best] == -made.predict(XV, samples=20).log_likelihood(YV).mean()


def test_a_run_with_patience_resumes_bit_for_bit(tmp_path):
    whole, path = model(), tmp_path / "run.npz"
    rows = whole.fit(X, Y, epochs=300, patience=8, **STOPPING)
    best = int(np.argmin([row["validation"]["mc"]["nll"] for row in rows]))
    for stop in (1, best, best + 2, len(rows) - 1, 300):  # before, at and after the best, and then to the end
        made = model()
        made.fit(X, Y, epochs=stop, patience=8, checkpoint=path, **STOPPING)
    assert bits(made.params) == bits(whole.params) and len(made.history) == len(rows)
    again = model()
    again.fit(X, Y, epochs=300, patience=8, checkpoint=path, **STOPPING)  # it has stopped, and stays so
    assert bits(again.params) == bits(whole.params) and len(again.history) == len(rows)
    with pytest.raises(storage.FileError, match="another patience: 8 there, 3 here"):
        model().fit(X, Y, epochs=300, patience=3, checkpoint=path, **STOPPING)


def test_scores_that_are_not_finite_are_never_the_best():
    def rows(*scores):
        return [{"validation": {"mc": {"nll": score}}} for score in scores]

    assert reports.stops(rows(2.0, 1.0), 2) == (True, False)
    assert reports.stops(rows(1.0, np.nan), 1) == (False, True)
    assert reports.stops(rows(np.nan, 1.0, -np.inf, np.inf), 3) == (False, False)
    assert reports.stops(rows(1.0, 1.0, 1.0), 2) == (False, True)  # the first of equals
    assert reports.stops([], 2) == reports.stops(rows(2.0, 1.0), None) == (False, False)


# ----------------------------------------------------------------------------------------------------------------------- weights

@pytest.mark.parametrize("likelihood, y", [(bayes.Gaussian(4.0), Y[:6, None]), (bayes.Heteroscedastic(), Y[:6, None]),
                                           (bayes.Categorical(), np.arange(6) % 2)], ids=["gaussian", "two heads", "classes"])
def test_weight_2_is_the_row_twice(likelihood, y):
    """L-hat and its gradient, of all data, are those of the rows repeated with the same noise; 0 leaves a row out."""
    weights = np.array([2, 1, 0, 3, 1, 1])
    net = models.mlp([3, 5, 2 if y.ndim == 1 or isinstance(likelihood, bayes.Heteroscedastic) else 1], noise=nn.Bernoulli(0.7))
    x, params, which = X[:6].astype(float), net.init(1, np.float64), np.repeat(np.arange(6), weights)
    eps = net.draw(3, x.shape, dtype=np.float64)
    twice = {name: e[which] for name, e in eps.items()}
    once, grads = bayes.Objective(net, bayes.Prior(), Weighted(likelihood), 6).value_and_grad(params, x, joined(y, weights), eps)
    repeated, wanted = bayes.Objective(net, bayes.Prior(), likelihood, 8).value_and_grad(params, x[which], y[which], twice)
    assert once.total == pytest.approx(repeated.total, rel=1e-13)
    for name, group in wanted.items():
        for p, g in group.items():
            np.testing.assert_allclose(6 * grads[name][p], 8 * g, rtol=1e-11, atol=1e-12)  # of L-hat, not of L-hat/N


@pytest.mark.parametrize("plain", [False, True])
def test_weights_of_1_change_nothing_and_others_do(plain):
    runs = []
    for weights in (None, np.ones(40), np.linspace(0, 2, 40)):
        runs.append(model())
        runs[-1].fit(X, Y, epochs=3, weights=weights, plain=plain)
    assert bits(runs[0].params) == bits(runs[1].params) != bits(runs[2].params)


def test_weighted_validation():
    made, weights = model(), np.arange(30) % 3
    rows = made.fit(X, Y, epochs=1, validation=(XV, YV, weights), validation_samples=4)
    which = np.repeat(np.arange(30), weights)
    mc = made.predict(XV, samples=4)
    assert rows[-1]["validation"]["mc"]["nll"] == pytest.approx(-mc.log_likelihood(YV)[which].mean(), rel=1e-12)
    assert rows[-1]["validation"]["mc"]["rmse"] == pytest.approx(np.sqrt(((mc.mean[:, 0] - YV)[which] ** 2).mean()), rel=1e-12)


# ---------------------------------------------------------------------------------------------------------- augmentation and rates

def jitter(x, key, rows):
    return x + np.float32(0.1) * key.of("jitter").normal(x.shape, rows)


def test_augmentation_has_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(mb.run, "SMALL", 0)
    monkeypatch.setattr(mb.run, "SHARD", 5)
    made = [model() for _ in range(3)]
    for one, threads in zip(made, (1, 3, 1), strict=True):
        one.fit(X, Y, epochs=3, threads=threads, augment=jitter if one is not made[2] else None)
    assert bits(made[0].params) == bits(made[1].params) != bits(made[2].params)


def test_each_epoch_and_example_has_its_own_augmentation():
    seen = []
    model().fit(X[:1], Y[:1], epochs=3, batch_size=1, augment=lambda x, key, rows: seen.append(jitter(x, key, rows)) or seen[-1])
    assert len({a.tobytes() for a in seen[-3:]}) == 3


def test_a_run_resumes_with_its_own_augmentation_and_schedule(tmp_path):
    def halved(step):
        return 0.5 ** (step // 4)

    whole, path = model(), tmp_path / "run.npz"
    settings = {"augment": jitter, "optimizer": nn.Adam(0.03, policy=halved)}
    whole.fit(X, Y, steps=12, **settings)
    for steps in (5, 12):
        resumed = model()
        resumed.fit(X, Y, steps=steps, checkpoint=path, **settings)
    assert bits(resumed.params) == bits(whole.params)
    with pytest.raises(storage.FileError, match="another schedule of the rate"):
        model().fit(X, Y, steps=14, checkpoint=path, augment=jitter, optimizer=nn.Adam(0.03, policy=lambda step: 1 / (1 + step)))
    with pytest.raises(storage.FileError, match="another augment"):
        model().fit(X, Y, steps=14, checkpoint=path, optimizer=nn.Adam(0.03, policy=halved))


@pytest.mark.parametrize("plain", [False, True])
def test_a_schedule_of_one_s_own(plain):
    """Caffe's policy written by hand gives the bits of policy="inv"; at rate 0 nothing moves."""
    runs = []
    for options in ({"policy": "inv", "gamma": 0.1}, {"policy": lambda t: (1 + 0.1 * t) ** -0.75}, {"policy": lambda t: 0.0}):
        runs.append(model())
        runs[-1].fit(X, Y, steps=9, optimizer=nn.SGD(0.01, momentum=0.5, **options), plain=plain)
    assert bits(runs[0].params) == bits(runs[1].params)
    assert bits(runs[2].params) == bits(model().net.init(0))


@pytest.mark.parametrize("settings, says", [
    ({"patience": 3}, "patience needs validation"),
    ({"patience": 0, "validation": (XV, YV)}, "patience must be >= 1, got 0"),
    ({"weights": np.ones(3)}, r"weights must have shape \(40,\), one weight per input, got \(3,\)"),
    ({"weights": -np.ones(40)}, "weights must be numbers >= 0, and not all 0, got 40 negative ones"),
    ({"weights": np.zeros(40)}, "nothing but zeros"),
    ({"weights": np.full(40, np.nan)}, "weights must be finite"),
    ({"validation": (XV,)}, r"validation must be a pair \(x, y\)"),
    ({"validation": (XV, YV, np.ones(3))}, r"validation weights must have shape \(30,\)"),
    ({"augment": 3}, "augment must be a function"),
    ({"augment": lambda x, key, rows: x[:1]}, r"augment must return an array of shape \(40, 3\)"),
    ({"optimizer": nn.SGD(0.1, policy=lambda t: -1.0)}, r"policy\(0\) must be a finite number"),
])
def test_one_clear_error(settings, says):
    with pytest.raises(mb.InputError, match=says):
        model().fit(X, Y, **settings)


def test_weights_of_sequences_count_at_every_step():
    """As many steps as sequences: a weight that were taken for a step's would fit, and be wrong."""
    rng = np.random.default_rng(0)
    f, y, w = rng.standard_normal((3, 3, 4)), rng.integers(0, 4, (3, 3)), np.array([2.0, 0.0, 0.5])
    plain, counted = bayes.Categorical(), Weighted(bayes.Categorical())
    nll, df = counted.nll(f, joined(y, w))
    each, slopes = plain.nll(f, y)
    np.testing.assert_array_equal(nll, w * each)
    np.testing.assert_array_equal(df, w[:, None, None] * slopes)
