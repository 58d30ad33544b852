"""Regressor and Classifier: units, weights, columns, labels, files, and one clear error for what cannot be used."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import minibayes as mb
from minibayes import nn, storage
from minibayes.estimators import rows
from minibayes.estimators.columns import Columns

RNG = np.random.default_rng(0)
N = 120
TABLE = {"area": RNG.uniform(30, 200, N), "rooms": RNG.integers(1, 6, N), "garden": RNG.random(N) < 0.4,
         "town": np.array(["Aa", "Be", "Ce"])[RNG.integers(0, 3, N)]}
EFFECT = np.array([0.0, 60_000.0, -40_000.0])[np.unique(TABLE["town"], return_inverse=True)[1]]
PRICE = 2_000 * TABLE["area"] + 30_000 * TABLE["garden"] + EFFECT + 15_000 * RNG.standard_normal(N)
KIND = np.where(PRICE > np.median(PRICE), "dear", "cheap")
QUICK = {"epochs": 60, "samples": 50, "keep": 0.95}


def of(rows):
    return {name: column[rows] for name, column in TABLE.items()}


@pytest.fixture(scope="module")
def houses():
    return mb.Regressor(**QUICK).fit(of(slice(90)), PRICE[:90])


@pytest.fixture(scope="module")
def kinds():
    return mb.Classifier(**QUICK).fit(of(slice(90)), KIND[:90])


def test_a_number_in_the_units_of_the_table(houses):
    new, y = of(slice(90, N)), PRICE[90:]
    mean, std = houses.predict(new, return_std=True)
    assert houses.score(new, y) > 0.8 and mean.shape == std.shape == (30,)
    lower, upper = houses.interval(new, 0.9)
    assert (lower < mean).all() and (mean < upper).all() and ((lower <= y) & (y <= upper)).mean() > 0.6
    found = houses.predictive(new)
    np.testing.assert_allclose(found.std**2, found.epistemic**2 + found.aleatoric**2)
    assert (found.epistemic > 0).all() and np.ptp(found.aleatoric) < 1e-9 * found.aleatoric[0]  # noise="constant"
    # A density integrates to 1 in the units of y.
    grid = np.linspace(mean[0] - 12 * std[0], mean[0] + 12 * std[0], 400)
    density = np.exp(houses.log_likelihood({k: np.repeat(v[:1], 400) for k, v in new.items()}, grid))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)


def test_evidence_is_that_of_the_last_layer_in_the_units_of_y(houses):
    """log N(y; 0, Phi Phi'/l^2 + sigma^2 I) a row, densely; its best noise is the best; units change both as they should."""
    table, y = of(slice(90)), PRICE[:90]
    found = houses.evidence(table, y)
    assert found.noise == pytest.approx(houses.predictive(table).aleatoric[0]) and found.best_nats > found.nats
    x, params = houses.columns_.encoded(table, "R"), houses.network_.params
    features = nn.Network(**{name: houses.network_.net.layers[name] for name in ("fc1", "a1")})
    f, _ = features.forward(params, x, features.mean_noise())
    phi, scaled = np.column_stack([f, np.ones(90)]), (y - houses.y_mean_) / houses.y_std_

    def dense(l2, noise):
        C = phi @ phi.T / l2 + np.eye(90) * (noise / houses.y_std_) ** 2
        return -(scaled @ np.linalg.solve(C, scaled) + np.linalg.slogdet(2 * np.pi * C)[1]) / 180 - np.log(houses.y_std_)

    for nats, noise in (found[:2], found[2:]):
        assert nats == pytest.approx(max(dense(l2, noise) for l2 in np.exp(np.linspace(-8, 8, 321))), abs=1e-4)
    assert houses.evidence(table, np.sort(y)).best_nats < found.best_nats - 1, "of other targets there is less"
    assert 10_000 < found.best_noise < 20_000 < found.noise, "it is 15,000, and 60 epochs have not learned it"
    with pytest.raises(mb.InputError, match="X and y must have one length, got 90 and 3"):
        houses.evidence(table, y[:3])
    for settings in ({"noise": "varying"}, {"hidden": ()}):
        with pytest.raises(mb.InputError, match="evidence needs noise='constant' and hidden units"):
            mb.Regressor(**QUICK | {"epochs": 1} | settings).fit(table, y).evidence(table, y)
    with pytest.raises(mb.InputError, match="Regressor is not fitted yet"):
        mb.Regressor().evidence(table, y)


@pytest.mark.parametrize("scale, shift", [(1e-3, 0.0), (2.0**20, -5e6)])
def test_other_units_are_the_same_fit(houses, scale, shift):
    other = mb.Regressor(**QUICK).fit(of(slice(90)), scale * PRICE[:90] + shift)
    mean, std = other.predict(of(slice(90, N)), return_std=True)
    wanted, error = houses.predict(of(slice(90, N)), return_std=True)
    # The held-out rows are others (a row's digest has its target in it), so the fit is only alike.
    assert np.abs((mean - shift) / scale - wanted).max() < 3 * error.max()
    assert 0.5 < np.median(std / scale / error) < 2


def test_a_fit_is_a_function_of_the_set_of_rows(houses):
    order = np.random.default_rng(1).permutation(90)
    again = mb.Regressor(**QUICK, threads=1).fit(of(order), PRICE[order])
    np.testing.assert_array_equal(again.predict(TABLE), houses.predict(TABLE))
    assert mb.Regressor(**QUICK, seed=1).fit(of(order), PRICE[order]).predict(TABLE)[0] != houses.predict(TABLE)[0]


@pytest.mark.parametrize("make, y", [(mb.Regressor, PRICE[:90]), (mb.Classifier, KIND[:90])], ids=["number", "class"])
def test_weight_2_is_the_row_twice_bit_for_bit(make, y):
    weights = np.arange(90) % 4
    which = np.repeat(np.arange(90), weights)
    once = make(**QUICK).fit(of(slice(90)), y, sample_weight=weights)
    twice = make(**QUICK).fit(of(which), y[which])
    plain = make(**QUICK).fit(of(slice(90)), y)

    def bits(model):
        return [a.tobytes() for group in model.network_.params.values() for a in group.values()]

    assert bits(once) == bits(twice) != bits(plain)


def test_class_weights_multiply(kinds):
    weights = np.where(KIND[:90] == "dear", 3.0, 1.0)
    by_class = mb.Classifier(**QUICK, class_weight={"dear": 3}).fit(of(slice(90)), KIND[:90])
    by_row = mb.Classifier(**QUICK).fit(of(slice(90)), KIND[:90], sample_weight=weights)
    np.testing.assert_array_equal(by_class.predict_proba(TABLE), by_row.predict_proba(TABLE))
    assert by_class.predict_proba(TABLE)[:, 1].mean() > kinds.predict_proba(TABLE)[:, 1].mean()
    y = np.array([0] * 30 + [1] * 10)
    balanced = mb.Classifier(class_weight="balanced")
    balanced.classes_ = np.arange(2)
    found = balanced.class_weights(y, np.ones(40))
    assert found[y == 0].sum() == pytest.approx(20) and found[y == 1].sum() == pytest.approx(20)


def test_a_prediction_is_a_function_of_its_row(houses, kinds):
    whole = houses.predict(TABLE)
    for rows_ in (np.arange(N)[::-1], np.array([7, 7, 50])):
        np.testing.assert_allclose(houses.predict(of(rows_)), whole[rows_], rtol=1e-11)
    np.testing.assert_allclose(kinds.predict_proba(of(slice(7, 8))), kinds.predict_proba(TABLE)[7:8], rtol=1e-9)


def test_labels_of_any_type(kinds):
    assert kinds.classes_.tolist() == ["cheap", "dear"] and set(kinds.predict(TABLE)) == {"cheap", "dear"}
    assert kinds.score(of(slice(90, N)), KIND[90:]) > 0.8
    p = kinds.predict_proba(TABLE)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (kinds.classes_[p.argmax(axis=1)] == kinds.predict(TABLE)).all()
    assert (kinds.predictive(TABLE).mutual_information >= 0).all()
    for y in (KIND == "dear", np.where(KIND == "dear", 7, -3), np.where(KIND == "dear", 2.0, 1.0), KIND.astype(object)):
        model = mb.Classifier(epochs=1, samples=5).fit(TABLE, y)
        assert model.predict(TABLE).dtype.kind == y.dtype.kind and set(model.classes_) == set(y)


def test_columns_are_found_by_name(houses):
    mixed = {"street": np.arange(N), **{name: TABLE[name] for name in reversed(TABLE)}}
    np.testing.assert_array_equal(houses.predict(mixed), houses.predict(TABLE))
    assert houses.feature_names_in_.tolist() == ["area", "rooms", "garden", "town"] and houses.n_features_in_ == 4


def test_standard_units():
    columns, raw = Columns.learned(TABLE | {"same": np.full(N, 3.0)})
    x = columns.standardised(raw, np.ones(N)).scaled(raw)
    np.testing.assert_allclose(x[:, :2].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x[:, :2].std(axis=0), 1)
    assert set(np.unique(x[:, 2:6])) == {0, 1} and (x[:, 3:6].sum(axis=1) == 1).all() and (x[:, 6] == 0).all()
    weighted = columns.standardised(raw, np.arange(N)).columns[0]
    assert weighted.mean == pytest.approx(np.repeat(TABLE["area"], np.arange(N)).mean())


def test_copies_of_a_row_are_never_on_both_sides():
    x = RNG.integers(0, 3, (200, 3)).astype(float)
    which, weights = rows.distinct(x, x[:, 0], np.ones(200))
    assert len(np.unique(x, axis=0)) == len(which) == len(np.unique(x[which], axis=0)) and weights.sum() == 200
    fitted, held = rows.divided(np.arange(100) % 5, 0.2, 0, classes=True)
    assert sorted([*fitted, *held]) == list(range(100)) and np.bincount(held % 5).tolist() == [4] * 5
    assert len(rows.divided(np.zeros(19), 0.5, 0, classes=False)[1]) == 0


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(TABLE)
    model = mb.Regressor(**QUICK).fit(frame[:90], pd.Series(PRICE[:90]))
    np.testing.assert_array_equal(model.predict(frame), mb.Regressor(**QUICK).fit(of(slice(90)), PRICE[:90]).predict(TABLE))
    other = frame.astype({"town": "category", "rooms": "Int64", "garden": "boolean"})
    np.testing.assert_array_equal(model.predict(other), model.predict(frame))
    other.loc[5, "rooms"] = pd.NA
    with pytest.raises(mb.InputError, match=r"X\['rooms'\] has missing values \(NaN\) in row 5: leave those rows out, X.dropna\(\)"):
        model.predict(other)


# ------------------------------------------------------------------------------------------------------------------- how keep is had

@pytest.mark.parametrize("keep, kept", [("learned", None), ("grid", (0.9, 0.95, 0.99, 0.995)), (0.7, (0.7,)), (1.0, (1.0,))])
def test_keep(keep, kept):
    model = mb.Regressor(epochs=5, samples=5, keep=keep).fit(TABLE, PRICE)
    found = set(model.keep_.values())
    assert set(model.keep_) == {"fc1", "fc2"}
    assert found <= set(kept) and len(found) == 1 if kept else found.isdisjoint((0.9, 1.0))
    layers = model.network_.net.layers
    assert keep != "learned" or all(layers[name].noise == nn.Concrete(0.9, temperature=0) for name in model.keep_)


@pytest.mark.slow
def test_noise_that_varies():
    x = np.linspace(-1, 1, 400)[:, None]
    y = np.where(x[:, 0] > 0, 1.0, 0.05) * np.random.default_rng(3).standard_normal(400)
    varying, constant = (mb.Regressor(noise=noise, keep=0.99, epochs=100).fit(x, y) for noise in ("varying", "constant"))
    quiet, loud = varying.predictive([[-0.7], [0.7]]).aleatoric
    assert quiet < 0.3 < 0.5 < loud < 1.5
    assert np.ptp(constant.predictive([[-0.7], [0.7]]).aleatoric) < 1e-9
    assert varying.log_likelihood(x, y).mean() > constant.log_likelihood(x, y).mean()


# ------------------------------------------------------------------------------------------------------------------------------ files

def test_another_process_predicts_in_the_same_units(houses, kinds, tmp_path):
    houses.save(tmp_path / "houses.npz")
    kinds.save(tmp_path / "kinds.npz")
    np.savez(tmp_path / "new.npz", **TABLE)
    code = """
import sys, numpy as np, minibayes as mb
new = dict(np.load("new.npz"))
mean, std = mb.load("houses.npz").predict(new, return_std=True)
np.savez("found.npz", mean=mean, std=std, p=mb.load("kinds.npz").predict_proba(new), label=mb.load("kinds.npz").predict(new))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    mean, std = houses.predict(TABLE, return_std=True)
    assert (found["mean"] == mean).all() and (found["std"] == std).all()
    assert (found["p"] == kinds.predict_proba(TABLE)).all() and (found["label"] == kinds.predict(TABLE)).all()


def test_a_file_says_what_it_is(houses, tmp_path):
    houses.save(tmp_path / "m.npz")
    again = mb.load(tmp_path / "m.npz")
    assert repr(again) == repr(houses) == "Regressor(keep=0.95, epochs=60, samples=50)"
    assert again.keep_ == houses.keep_ and again.n_iter_ == houses.n_iter_
    assert isinstance(pickle.loads(pickle.dumps(again)), mb.Regressor)
    houses.network_.save(tmp_path / "net.npz")
    assert isinstance(mb.load(tmp_path / "net.npz"), mb.BayesianNetwork)


@pytest.mark.parametrize("change, says", [
    ({"class": "Exec"}, "missing 'Exec'"), ({"y": [0.0, 0.0]}, "y std"), ({"columns": []}, r"takes inputs of shape \(6,\), got \(0,\)"),
    ({"class": "Classifier"}, "unexpected keyword argument 'noise'"), ({"settings": {}}, "missing 'hidden'"),
    ({"columns": [{"name": "a", "kind": "number", "categories": [], "mean": 0.0, "std": -1.0}] * 6}, "std must be"),
])
def test_a_damaged_file_is_one_error(houses, tmp_path, change, says, monkeypatch):
    write = storage.write
    monkeypatch.setattr(storage, "write", lambda path, header, arrays: write(
        path, header | {"estimator": header["estimator"] | change}, arrays))
    houses.save(tmp_path / "m.npz")
    with pytest.raises(storage.FileError, match=says):
        mb.load(tmp_path / "m.npz")


def test_what_a_file_cannot_hold(tmp_path):
    model = mb.Classifier(epochs=1).fit(TABLE, np.array([np.datetime64("2020-01-01"), np.datetime64("2021-01-01")])[np.arange(N) % 2])
    with pytest.raises(mb.InputError, match="a label must be text or a number to be saved"):
        model.save(tmp_path / "m.npz")
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------------------------------- what is wrong

R, C = mb.Regressor, mb.Classifier
WRONG = {
    "an unfitted one": (lambda: R().predict(TABLE), "Regressor is not fitted yet: call fit, or load a file"),
    "unfitted, to save": (lambda: C().save("a.npz"), "Classifier is not fitted yet"),
    "a missing number": (lambda: R().fit(TABLE | {"area": np.full(N, np.nan)}, PRICE), r"X\['area'\] has missing values .* in 120 rows"),
    "a missing text": (lambda: R().fit(TABLE | {"town": [None, *TABLE["town"][1:]]}, PRICE), r"X\['town'\] has missing .* in row 0: leave"),
    "an infinite number": (lambda: R().fit(np.full((N, 2), np.inf), PRICE), "X must be finite"),
    "a date": (lambda: R().fit({"day": np.arange(N).astype("M8[D]")}, PRICE), r"X\['day'\] holds dates or times: give numbers"),
    "an id": (lambda: R().fit({"id": [f"n{i}" for i in range(N)]}, PRICE), r"X\['id'\] has 120 different texts"),
    "text without names": (lambda: R().fit(np.array([["a", 1.0]] * N, object), PRICE), r"X\[:, 0\] holds text such as 'a': for categories"),
    "one column": (lambda: R().fit(PRICE, PRICE), r"X must have shape \(N, D\), got \(120,\)"),
    "no columns": (lambda: R().fit({}, PRICE), "X has 0 feature"),
    "columns of several lengths": (lambda: R().fit({"a": PRICE, "b": PRICE[1:]}, PRICE), "columns of one length"),
    "too few targets": (lambda: R().fit(TABLE, PRICE[1:]), "y must have a value for each of the 120 rows of X, got 119"),
    "a text target": (lambda: R().fit(TABLE, KIND), "y must be an array of real numbers"),
    "a missing target": (lambda: R().fit(TABLE, PRICE * np.nan), "y must be finite"),
    "no target": (lambda: R().fit(TABLE, None), "y must be given"),
    "two targets": (lambda: R().fit(TABLE, np.ones((N, 2))), r"y must have shape \(N,\), one number a row"),
    "one row": (lambda: R().fit([[1.0]] * 3, [1, 1, 1]), "at least 2 different rows"),
    "one class": (lambda: C().fit(TABLE, ["a"] * N), "at least 2 classes, got 1 class, 'a', alone"),
    "labels that are none": (lambda: C().fit(TABLE, PRICE), "to predict a number use Regressor"),
    "a missing label": (lambda: C().fit(TABLE, [None, *KIND[1:]]), r"1 missing labels \(NaN\), the first in row 0"),
    "mixed labels": (lambda: C().fit(TABLE, np.array([1, *KIND[1:]], object)), "labels of one type, got int, str"),
    "a class without weight": (lambda: C().fit(TABLE, KIND, sample_weight=KIND == "dear"), "'cheap' only in rows of weight 0"),
    "an unknown class weight": (lambda: C(class_weight={"x": 1}).fit(TABLE, KIND), "class_weight has the label 'x'"),
    "a class weight of text": (lambda: C(class_weight="even").fit(TABLE, KIND), "class_weight must be None"),
    "too few weights": (lambda: R().fit(TABLE, PRICE, sample_weight=[1, 2]), r"sample_weight must have shape \(120,\)"),
    "an unknown setting": (lambda: R().set_params(depth=3), "Regressor has no parameter 'depth', it has hidden, keep"),
    "keep": (lambda: R(keep="all").fit(TABLE, PRICE), "keep must be one of 'learned', 'grid', got 'all'"),
    "keep 0": (lambda: R(keep=0).fit(TABLE, PRICE), r"keep must be a finite number in \(0, 1\]"),
    "hidden": (lambda: R(hidden=50).fit(TABLE, PRICE), r"hidden must be a tuple of sizes such as \(50,\), got 50"),
    "noise": (lambda: R(noise="loud").fit(TABLE, PRICE), "noise must be one of 'constant', 'varying'"),
    "held out": (lambda: R(held_out=1.0).fit(TABLE, PRICE), "held_out must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_clear_error(name, monkeypatch):
    monkeypatch.setattr(mb.BayesianNetwork, "fit", lambda *args, **kwargs: pytest.fail("work began"))
    work, says = WRONG[name]
    with pytest.raises(mb.InputError, match=says) as found:
        work()
    assert "\n" not in str(found.value)


def test_what_a_score_must_have(houses, kinds):
    for model, y in ((houses, PRICE), (kinds, KIND)):
        assert model.score(TABLE, y, np.ones(N)) == pytest.approx(model.score(TABLE, y), rel=1e-12)
        with pytest.raises(mb.InputError, match="X and y must have one length, got 120 and 1"):
            model.score(TABLE, y[:1])
        with pytest.raises(mb.InputError, match=r"sample_weight must have shape \(120,\)"):
            model.score(TABLE, y, [1.0])
        with pytest.raises(mb.InputError, match="sample_weight must be numbers >= 0"):
            model.score(TABLE, y, -np.ones(N))


def test_what_new_rows_must_have(houses, kinds):
    for table, says in [
            (TABLE | {"town": np.full(N, "Zz")}, r"X\['town'\] has 'Zz' in row 0, which it never had .*: known are 'Aa', 'Be', 'Ce'"),
            ({"area": TABLE["area"]}, "lacks 'rooms', 'garden', 'town'; it has 'area'"),
            (TABLE | {"area": ["wide"] * N}, r"X\['area'\] must hold numbers, as in training, got 'wide' in row 0"),
            (np.ones((3, 2)), "X has 2 features, but (Regressor|Classifier) is expecting 4 features as input")]:
        for model in (houses, kinds):
            with pytest.raises(mb.InputError, match=says):
                model.predict(table)
    with pytest.raises(mb.InputError, match="level must be"):
        houses.interval(TABLE, 1.0)
