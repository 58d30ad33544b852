"""minibayes train and predict: a table in, a model file, a table with mean, std and interval out; every typo one line."""

import csv
import json
import re

import matplotlib.image
import numpy as np
import pytest

import minibayes as mb
from minibayes import __main__, plots

RNG = np.random.default_rng(0)
N = 80
AREA, TOWN = RNG.uniform(30, 200, N).round(1), np.array(["Aa", "Be", "2"])[RNG.integers(0, 3, N)]
PRICE = (2 * AREA + 60 * (TOWN == "Be") + RNG.standard_normal(N)).round(2)
ROWS = [(str(n), f"{a}", t, f"{p}", "dear" if p > 230 else "cheap") for n, (a, t, p) in enumerate(zip(AREA, TOWN, PRICE, strict=True))]


def write(path, rows, names=("", "area", "town", "price", "kind"), delimiter=","):
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, *rows])


def run(*argv):
    try:
        return __main__.main(list(argv))
    except SystemExit as error:
        return error.code


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("houses.csv", ROWS)
    write("new.csv", [(r[2], r[1], "x") for r in ROWS[:12]], ("town", "area", "agent"), ";")
    fit = mb.BayesianNetwork.fit
    monkeypatch.setattr(mb.BayesianNetwork, "fit", lambda *args, **options: fit(*args, **options | {"epochs": 12}))
    return tmp_path


def test_a_number(here, capsys):
    assert run("train", "--csv", "houses.csv", "--target", "price", "--leave-out", "kind", "--json") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["rows"], result["trained_on"], result["columns"], result["kind"]) == (80, 72, 2, "regressor")
    assert result["scores"]["R^2"] > 0 and "wrote houses.npz and houses.png" in err
    assert run("predict", "--csv", "new.csv", "--model", "houses.npz") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["row", "price", "mean", "std", "lower", "90%", "upper", "90%"] and out.endswith("and 2 more\n")
    with open("new-predicted.csv", newline="") as file:
        found = list(csv.DictReader(file))
    model = mb.load("houses.npz")
    new = {"area": AREA[:12], "town": TOWN[:12]}
    mean, std = model.predict(new, return_std=True)
    lower, upper = model.interval(new, 0.9)
    assert [row["town"] for row in found] == list(TOWN[:12]) and {row["agent"] for row in found} == {"x"}
    for name, values in {"price mean": mean, "std": std, "lower 90%": lower, "upper 90%": upper}.items():
        np.testing.assert_array_equal([float(row[name]) for row in found], values)
    for name in ("houses.png", "new-predicted.png"):
        picture = matplotlib.image.imread(name)
        assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05
    assert sorted(p.name for p in here.iterdir()) == ["houses.csv", "houses.npz", "houses.png", "new-predicted.csv",
                                                      "new-predicted.png", "new.csv"]


def test_a_class(here, capsys):
    assert run("train", "--csv", "houses.csv", "--target", "kind", "--leave-out", "price", "--out", "made/kinds.npz", "--seed", "3") == 0
    out = capsys.readouterr().out
    assert out.startswith("kind, one of 2 classes, from 2 columns: trained on 72 of 80 rows") and "calibration error" in out
    assert run("predict", "--csv", "new.csv", "--model", "made/kinds.npz", "--out", "kinds.csv", "--json") == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert list(columns) == ["kind predicted", "p(cheap)", "p(dear)", "mutual information, nats"]
    np.testing.assert_allclose(np.add(columns["p(cheap)"], columns["p(dear)"]), 1)
    assert set(columns["kind predicted"]) <= {"cheap", "dear"} and (here / "kinds.png").exists()


def test_numbers_as_classes_and_no_test_rows(here, capsys):
    write("marks.csv", [(r[1], str(n % 3)) for n, r in enumerate(ROWS)], ("area", "mark"))
    assert run("train", "--csv", "marks.csv", "--target", "mark", "--classes", "--test", "0") == 0
    assert "one of 3 classes" in capsys.readouterr().out and not (here / "marks.png").exists()
    assert mb.load("marks.npz").classes_.tolist() == ["0", "1", "2"]


def test_a_category_of_digits_stays_one(here, capsys):
    """New rows that hold nothing but "2" in a column of towns: a town, not a number."""
    assert run("train", "--csv", "houses.csv", "--target", "price", "--leave-out", "kind") == 0
    write("two.csv", [("2", "50")] * 2, ("town", "area"))
    assert run("predict", "--csv", "two.csv", "--model", "houses.npz") == 0


def bad(column, value, row=3):
    rows = [list(r) for r in ROWS]
    rows[row][column] = value
    return rows


WRONG = {
    "no such file": (["train", "--csv", "none.csv", "--target", "price"], r"none.csv: cannot be read: No such file"),
    "no target": (["train", "--csv", "houses.csv"], "--target"),
    "an unknown target": (["train", "--csv", "houses.csv", "--target", "prize"], "must have the column 'prize', it has 'area', 'town'"),
    "an unknown column": (["train", "--csv", "houses.csv", "--target", "price", "--leave-out", "x"], "must have the column 'x'"),
    "nothing else": (["train", "--csv", "one.csv", "--target", "price"], "must have a column beside 'price'"),
    "test": (["train", "--csv", "houses.csv", "--target", "price", "--test", "1"], r"--test must be .*got 1"),
    "out": (["train", "--csv", "houses.csv", "--target", "price", "--out", "a.csv"], "--out must be a file that ends in .npz"),
    "out below a file": (["train", "--csv", "houses.csv", "--target", "price", "--out", "houses.csv/a.npz"], "--out must be a folder"),
    "few rows": (["train", "--csv", "few.csv", "--target", "price"], "must have at least 10 rows, got 4"),
    "a gap in numbers": (["train", "--csv", "gap.csv", "--target", "price"], "row 4, column 'area' must be a number, got an empty cell"),
    "a gap in text": (["train", "--csv", "gap2.csv", "--target", "price"], r"row 4, column 'town' must be filled, got '\?'"),
    "text among numbers": (["train", "--csv", "text.csv", "--target", "price"], "row 4, column 'area' must be a number, got 'wide'"),
    "a missing target": (["train", "--csv", "gap3.csv", "--target", "price"], "row 4, column 'price' must be a number"),
    "a row too long": (["train", "--csv", "long.csv", "--target", "price"], r"row 80 \(line 81\) must have 5 values"),
    "a header of numbers": (["train", "--csv", "bare.csv", "--target", "price"], "its first line must be a header"),
    "no model": (["predict", "--csv", "new.csv", "--model", "none.npz"], "no such file: 'none.npz'"),
    "a model that is none": (["predict", "--csv", "new.csv", "--model", "new.csv"], "is truncated or no .npz file"),
    "a bare network": (["predict", "--csv", "new.csv", "--model", "net.npz"], "net.npz: must be a model that was trained on a table"),
    "level": (["predict", "--csv", "new.csv", "--model", "houses.npz", "--level", "90"], "--level must be"),
    "onto itself": (["predict", "--csv", "new.csv", "--model", "houses.npz", "--out", "new.csv"], "--out must be a table of its own"),
    "lacks a column": (["predict", "--csv", "one.csv", "--model", "houses.npz"], "lacks 'area', 'town'; it has 'price'"),
    "an unknown town": (["predict", "--csv", "town.csv", "--model", "houses.npz"], r"X\['town'\] has 'Zz' in row 0, which it never had"),
    "no rows": (["predict", "--csv", "none2.csv", "--model", "houses.npz"], "must have rows below its header"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    for name, rows in {"houses": ROWS, "few": ROWS[:4], "gap": bad(1, ""), "gap2": bad(2, "?"), "gap3": bad(3, ""),
                       "text": bad(1, "wide"), "long": [*ROWS[:-1], (*ROWS[-1], "more")]}.items():
        write(folder / f"{name}.csv", rows)
    write(folder / "bare.csv", ROWS, ("1", "2", "3", "4", "5"))
    write(folder / "one.csv", [(r[3],) for r in ROWS], ("price",))
    write(folder / "new.csv", [(r[2], r[1]) for r in ROWS], ("town", "area"))
    write(folder / "town.csv", [("Zz", "3")], ("town", "area"))
    write(folder / "none2.csv", [], ("town", "area"))
    model = mb.Regressor(epochs=1).fit({"area": AREA, "town": TOWN}, PRICE)
    model.save(folder / "houses.npz")
    model.network_.save(folder / "net.npz")
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_one_line_and_status_2(name, folder, monkeypatch, capsys):
    argv, says = WRONG[name]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(mb.BayesianNetwork, "fit", lambda *args, **options: pytest.fail("work began"))
    before = sorted(p.name for p in folder.iterdir())
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert re.match(rf"minibayes {argv[0]}: error: .*(?:{says})", err), err
    assert sorted(p.name for p in folder.iterdir()) == before


def test_the_pictures_show_every_row():
    y = np.arange(5.0)
    ax = plots.predicted_against_true(y, y, y - 1, y + np.array([1, 1, 1, 1, 1]))
    assert ax.get_legend_handles_labels()[1] == ["predicted = true", "interval that holds the truth"]
    ax = plots.predicted_against_true(y, y + 3, y + 2, y + 4)
    assert "interval that misses it" in ax.get_legend_handles_labels()[1]
    ax = plots.ranked_intervals(y[::-1], y[::-1] - 1, y[::-1] + 1)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), y)
    with pytest.raises(mb.InputError, match="one shape"):
        plots.ranked_intervals(y, y[1:], y)
