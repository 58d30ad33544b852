"""What a fit and a prediction say of themselves: scale, constant outputs, outputs that are not finite."""

import warnings

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, cautions, data, models, nn

rng = np.random.default_rng(0)
N = 200
X = rng.standard_normal((N, 3))
Y = X.sum(axis=1)
LABELS = (Y > 0).astype(int)


class Frame:
    """What stands in for a table of pandas, where that is not installed."""

    def __init__(self, values, columns):
        self.values, self.columns = np.asarray(values), columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def fit(x=X, y=LABELS, likelihood=None, steps=2, net=None, **options):
    outputs = 2 if likelihood is None else 1
    m = mb.BayesianNetwork(net or models.mlp([np.shape(x)[1], 8, outputs], noise=nn.Bernoulli(0.8)), likelihood=likelihood)
    m.fit(x, y, steps=steps, **options)
    return m


def column(values, j=1):
    x = X.copy()
    x[:, j] = values
    return x


MINUTES = 29_000_000 + np.arange(N)
RAW = {
    "a clock": (column(MINUTES),
                r"x has numbers that its type cannot tell apart: column 1: of 200 different numbers \d+ are left in float32"),
    "whole numbers": (np.stack([MINUTES, MINUTES, np.arange(N) % 2], 1),
                      r"cannot tell apart: column 0: of 200 .*; column 1: .*np\.float64"),
    "ids": (np.stack([2**24 + rng.permutation(N), np.arange(N) % 2], 1), r"column 0: of 200 different numbers 1\d\d are left"),
    "far away": (column(X[:, 1] + 1e9), r"column 1: of 200 different numbers [12] are left in float32, near 1e\+09"),
    "constant": (column(7.5), r"x has a constant column, which says nothing \(leave it out\): column 1: 7\.5"),
    "constant but for its last bit": (column(0.7 + 1e-16 * np.arange(N)), r"constant column.*column 1: 0\.7 but for its last digits"),
    "large": (column(400 + 100 * X[:, 1]), r"x is far from unit scale: column 1: mean \d+, standard deviation \d+"),
    "small": (1e-5 * X, r"x is far from unit scale: column 0: none beyond .*; column 1: .*; column 2: "),
    "two troubles": (np.stack([MINUTES, 1e4 * X[:, 0]], 1), r"tell apart: column 0.* x is far from unit scale: column 1"),
    "a table": (Frame(column(MINUTES), ["a", "minute", "c"]), r"column 1 \('minute'\): of 200"),
}


@pytest.mark.filterwarnings("ignore::minibayes.cautions.FitWarning")
@pytest.mark.parametrize("name", RAW)
def test_inputs_that_training_can_do_little_with(name):
    x, message = RAW[name]
    with pytest.warns(cautions.ScaleWarning, match=message) as caught:
        fit(x, optimizer=nn.SGD(1e-12))
    text = str(caught[0].message)
    assert "mean, std = x.mean(axis=0), x.std(axis=0)\n    x = (x - mean) / std" in text and caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore::minibayes.cautions.FitWarning")
def test_targets_that_training_can_do_little_with():
    with pytest.warns(cautions.ScaleWarning, match=r"y is far from unit scale: column 0: mean .*\n    mean, std = y.mean"):
        fit(y=1e4 + 3e3 * Y, likelihood=bayes.Gaussian(), optimizer=nn.SGD(1e-9))
    with pytest.warns(cautions.ScaleWarning, match="y has numbers that its type cannot tell apart"):
        fit(y=1e9 + Y, likelihood=bayes.Gaussian(), optimizer=nn.SGD(1e-20))
    fit(y=2 * Y, likelihood=bayes.Gaussian())


def test_images_and_codes_are_no_reason_for_a_warning():
    images, labels = (part[:300] for part in data.mnist()[:2])
    fit(images.reshape(300, -1), labels, net=models.mlp([784, 8, 10]))
    mean, std = images.mean(), images.std()
    fit((images.reshape(300, -1) - mean) / std, labels, net=models.mlp([784, 8, 10]))  # a background that is not 0
    flat = nn.Network((28, 28, 1), f=nn.Flatten(), d=nn.Dense(784, 10, noise=nn.Bernoulli(0.8)))
    fit(images.astype(np.float64), labels, net=flat, batch_size=8, steps=1)
    fit(np.eye(8)[rng.integers(0, 8, N)])
    fit(column(0)), fit(column(1.0))  # a code that does not occur; a column of ones
    rare = np.zeros(N)
    rare[7] = 1
    fit(column(rare))
    fit(np.stack([np.arange(N) / N, 1990 / 1000 + np.arange(N) / N], 1))


def test_boston_as_it_is_in_the_file():
    """The raw table: a warning before, with the names of the columns that stand out, and one at the end."""
    table = data.boston()
    frame = Frame(table.x, table.names)
    with pytest.warns(UserWarning) as caught:
        fit(frame, table.y, bayes.Gaussian(0.1), steps=300, optimizer=nn.Adam(0.3), batch_size=32)
    kinds = [w.category for w in caught]
    assert kinds[0] is cautions.ScaleWarning and "'tax'" in str(caught[0].message)
    x, y = ((part - part.mean(axis=0)) / part.std(axis=0) for part in (table.x, table.y))
    fit(x, y, bayes.Gaussian(0.1), steps=20)


def test_a_run_whose_outputs_are_all_one_constant_says_so_at_its_end():
    net = models.mlp([3, 8, 1])
    params = net.init(0, np.float64)
    params["fc1"]["b"] -= 1000  # dead
    params["fc2"]["b"] += 0.5
    for plain in (False, True):
        with pytest.warns(cautions.FitWarning, match=r"outputs that are one constant, \[0\.\d+\], whatever the input") as caught:
            fit(y=Y, likelihood=bayes.Gaussian(), net=net, params=params, plain=plain)
        assert caught[0].filename == __file__
    fit(np.ones((N, 3)), Y, bayes.Gaussian())  # the same input each time
    fit(y=np.zeros(N), likelihood=bayes.Gaussian(), net=net, params=params)  # the same target


def test_a_run_whose_loss_exploded_says_so_at_its_end():
    m = mb.BayesianNetwork(models.mlp([3, 8, 1], noise=nn.Bernoulli(0.9)), likelihood=bayes.Gaussian())
    with pytest.warns(cautions.FitWarning, match=r"its loss exploded: .* nats per datum, where outputs of 0 have"):
        m.fit(X, Y, steps=5, optimizer=nn.SGD(2.0), dtype=np.float64)


# -------------------------------------------------------------------------------------------------- outputs that are not finite

def with_bad_rows(likelihood, outputs):
    net = models.mlp([3, 8, outputs], noise=nn.Bernoulli(0.8))
    params = net.init(1)
    params["fc2"]["M"] *= 1e9
    x = X[:20].astype(np.float32)
    x[[4, 17]] = 3e38 / 10
    return mb.BayesianNetwork(net, likelihood=likelihood, params=params), x


OPTIONS = [{}, {"plain": True}, {"shared": True}, {"rule": "weight-averaging"}, {"first": 30}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("likelihood, outputs", [(None, 3), (bayes.Gaussian(), 1), (bayes.Heteroscedastic(), 2)])
def test_outputs_that_are_not_finite_are_named(likelihood, outputs, options):
    m, x = with_bad_rows(likelihood, outputs)
    if outputs == 2:
        m.params["fc2"]["M"][1] *= 1e-12  # the log-variance of the good rows stays within range
    good = np.setdiff1d(np.arange(20), [4, 17])
    with pytest.warns(cautions.NotFiniteWarning, match=r"at 2 of 20 inputs, x\[\[4, 17\]\]") as caught:
        bad = m.predict(x, samples=30, **options)
    assert len(caught) == 1 and caught[0].filename == __file__
    other = x.copy()
    other[[4, 17]] = 1
    fine = m.predict(other, samples=30, **options)
    assert bad.finite.tolist() == [n in good for n in range(20)] and fine.finite.all()
    for name in ("mean", "std_error", "std"):
        assert np.array_equal(getattr(bad, name)[good], getattr(fine, name)[good]), name
        assert np.isfinite(getattr(bad, name)[good]).all(), name
    assert not np.isfinite(bad.mean[[4, 17]]).any()
    y = np.zeros(20, int) if likelihood is None else np.zeros((20, 1))
    assert np.array_equal(bad.log_likelihood(y)[good], fine.log_likelihood(y)[good])
    assert not np.isfinite(bad.log_likelihood(y)[[4, 17]]).any()
    if likelihood is None:
        assert (bad.label[[4, 17]] == -1).all() and np.array_equal(bad.label[good], fine.label[good])
        assert bad.error(np.where(bad.label < 0, 0, bad.label)) == 2 / 20, "what is not finite is never right"
        assert np.isnan(bad.entropy[4]) and np.isnan(bad.variation_ratio[17])
        with pytest.raises(mb.InputError, match="must be finite"):
            mb.metrics.auroc(bad.entropy, fine.entropy)
    else:
        assert not np.isfinite(bad.rmse(y))


def test_pooled_outputs_that_are_not_finite_are_named():
    net = nn.Network((6, 6, 1), c=nn.Conv2d(1, 2, 3, noise=nn.Bernoulli(0.5)), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(8, 2))
    images = rng.random((9, 6, 6, 1)).astype(np.float32)
    images[5] = 3e38
    m = mb.BayesianNetwork(net, params=net.init(0))
    with pytest.warns(cautions.NotFiniteWarning, match=r"at 1 of 9 inputs, x\[\[5\]\]"):
        m.predict(images, rule="probabilistic-pooling")


def test_an_automatic_number_of_passes_looks_at_what_is_finite():
    m, x = with_bad_rows(None, 3)
    m.params["fc2"]["M"] *= 1e-9
    x[[4, 17]] = np.float32(3e38)
    m.params["fc1"]["M"] *= 10
    with pytest.warns(cautions.NotFiniteWarning):
        p = m.predict(x, samples="auto", tolerance=0.05, max_samples=2000)
    assert p.converged and p.num_samples < 2000
    with pytest.warns(cautions.NotFiniteWarning):
        p = m.predict(x[[4, 17]], samples="auto", max_samples=2000)
    assert p.num_samples == 25


@pytest.mark.parametrize("s", [720.0, -1600.0, 0.0])
def test_quantiles_of_extreme_variances(s):
    """e^s is out of range, e^(s/2) is not: the quantile is m + e^(s/2) Phi^-1(q), and m where there is no spread."""
    net = nn.Network(a=nn.Dense(1, 2, noise=nn.Bernoulli(0.5)))
    params = {"a": {"M": np.zeros((2, 1)), "b": np.array([1.5, s])}}
    m = mb.BayesianNetwork(net, likelihood=bayes.Heteroscedastic(), params=params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cautions.NotFiniteWarning if s > 700 else cautions.ZeroVarianceWarning)
        warnings.simplefilter("ignore", cautions.ZeroVarianceWarning)
        p = m.predict(np.ones((3, 1)), samples=4)
    assert p.finite.all() == (s < 700)
    np.testing.assert_allclose(p.quantile(0.8413447460685429)[:, 0], 1.5 + np.exp(s / 2), rtol=1e-9)


def test_every_warning_is_a_user_warning_and_told_in_the_package():
    for name in ("ScaleWarning", "FitWarning", "NotFiniteWarning", "ConvergenceWarning", "ZeroVarianceWarning"):
        assert issubclass(getattr(cautions, name), UserWarning) and name in cautions.__doc__
    assert bayes.ZeroVarianceWarning is cautions.ZeroVarianceWarning
