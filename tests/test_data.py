"""The embedded data: what the files say, and that a broken one is named and described instead of loaded."""

import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minibayes import data

ROOT = data._path("mnist/train-images-idx3-ubyte.gz").parent.parent
LOADERS = {"boston": data.boston, "concrete": data.concrete, "fashion-mnist": data.fashion_mnist,
           "mnist": data.mnist, "moby-dick": data.moby_dick, "names": data.names, "sunspots": data.sunspots}


def load(name):
    """Whatever the public loader of the file `name` returns."""
    if name.startswith("co2/"):
        return data.co2("weekly" if "weekly" in name else "monthly")
    return LOADERS[name.split("/")[0]]()


def arrays(name):
    result = load(name)
    return [a for a in (result if isinstance(result, tuple) else ()) if isinstance(a, np.ndarray)]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty installed place and an empty checkout place, where the loaders now look."""
    found = tmp_path / "package" / "_data", tmp_path / "data"
    monkeypatch.setattr(data, "_places", lambda: found)
    return found


@pytest.fixture
def copy(places):
    """A function: copy the folder of a file to where the loaders look, and return the file's new path."""
    def copy(name, place=1):
        folder = name.split("/")[0]
        shutil.copytree(ROOT / folder, places[place] / folder)
        return places[place] / name
    return copy


def error_of(name, path):
    """The message of the one error that loading gives; it must begin with the file."""
    with pytest.raises(data.DataError) as caught:
        load(name)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def change(path, edit):
    """Replace the uncompressed content of a file by edit(content)."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(edit(gzip.decompress(path.read_bytes())), 1))
    else:
        path.write_bytes(edit(path.read_bytes()))


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:]


# ------------------------------------------------------------------------------------------ what the data are

def test_mnist():
    x, y, x_test, y_test = data.mnist()
    assert x.shape == (60000, 28, 28, 1) and x_test.shape == (10000, 28, 28, 1)
    assert x.dtype == x_test.dtype == np.float32 and y.dtype == y_test.dtype == np.int64
    assert np.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert y[:5].tolist() == [5, 0, 4, 1, 9] and y_test[:5].tolist() == [7, 2, 1, 0, 4]
    for images, total in ((x, 1567298545), (x_test, 264923200)):
        assert images.min() == 0 and images.max() == 255 / 256
        pixels = (256 * images).astype(np.uint8)
        assert np.array_equal(pixels, 256 * images) and pixels.sum(dtype=np.int64) == total
    x[:], y[:] = -1, -1
    again = data.mnist()
    assert again[0].min() == 0 and again[1].min() == 0


def test_mnist_images_stand_upright():
    _, _, x, y = data.mnist()
    one = x[y == 1].mean(axis=0)[..., 0]                                    # (28, 28): the mean "1"
    rows, columns = one.sum(axis=1), one.sum(axis=0)
    assert np.count_nonzero(rows > 1) > 1.5 * np.count_nonzero(columns > 1)


def test_fashion_mnist():
    x, y = data.fashion_mnist()
    assert x.shape == (10000, 28, 28, 1) and x.dtype == np.float32 and y.dtype == np.int64
    assert x.min() == 0 and x.max() == 255 / 256
    assert (256 * x).sum(dtype=np.float64) == 573469082
    assert np.bincount(y).tolist() == [1000] * 10 and y[:5].tolist() == [9, 2, 1, 1, 6]


def test_monthly_co2():
    series = data.co2()
    assert series.dates.shape == series.time.shape == series.ppm.shape == (741,)
    assert series.dates.dtype == "datetime64[M]" and series.ppm.dtype == series.time.dtype == np.float64
    every = np.arange("1958-03", "2020-05", dtype="datetime64[M]")
    absent = np.setdiff1d(every, series.dates).astype(str).tolist()
    assert absent == ["1958-06", "1958-10", "1964-02", "1964-03", "1964-04"]
    assert np.all(series.dates[1:] > series.dates[:-1])
    assert series.ppm[0] == 315.70 and series.ppm[-1] == 416.18                   # measured, not adjusted
    assert series.ppm.min() == 313.21 and series.ppm.argmax() == 740
    assert series.time[0] == pytest.approx(1958 + 2.5 / 12, abs=1e-9)
    assert series.time[-1] == pytest.approx(2020 + 3.5 / 12, abs=1e-9)


def test_co2_training_set_of_the_paper():
    """The first 272 months, minus their straight line on the row index: residual std 2.1354 ppm."""
    series = data.co2("monthly")
    assert str(series.dates[0]) == "1958-03" and str(series.dates[271]) == "1981-03"
    i, y = np.arange(272), series.ppm[:272]
    slope, intercept = np.polyfit(i, y, 1)
    assert np.std(y - (slope * i + intercept)) == pytest.approx(2.1354, abs=5e-5)
    assert i.mean() == 135.5


def test_weekly_co2():
    series = data.co2("weekly")
    assert series.dates.shape == series.time.shape == series.ppm.shape == (2284 - 59,)
    assert series.dates.dtype == "datetime64[D]"
    every = np.arange("1958-03-29", "2002-01-05", 7, dtype="datetime64[D]")
    assert len(every) == 2284 and len(np.setdiff1d(every, series.dates)) == 59
    assert np.isin(series.dates, every).all()
    assert np.isfinite(series.ppm).all() and series.ppm.min() == 313.0 and series.ppm.max() == 373.9
    assert series.ppm[[0, -1]].tolist() == [316.1, 371.5]
    # 29 March is day 88 of 1958, 29 December day 363 of 2001.
    assert series.time[[0, -1]] == pytest.approx([1958 + 87.5 / 365, 2001 + 362.5 / 365], abs=1e-9)
    leap = np.flatnonzero(series.dates == np.datetime64("1960-12-31"))
    assert series.time[leap] == pytest.approx([1960 + 365.5 / 366], abs=1e-9)


def test_the_two_co2_series_agree():
    """Different averages of the same air: a month's weekly means are within 1 ppm of its monthly mean."""
    monthly, weekly = data.co2("monthly"), data.co2("weekly")
    month = weekly.dates.astype("datetime64[M]")
    both = [m for m in monthly.dates if np.count_nonzero(month == m) >= 4]
    gaps = [weekly.ppm[month == m].mean() - monthly.ppm[monthly.dates == m][0] for m in both]
    assert len(both) > 480 and np.abs(gaps).max() < 1.0


@pytest.mark.parametrize("frequency", ["daily", "Monthly", "", None, 12])
def test_co2_of_an_unknown_frequency(frequency):
    with pytest.raises(ValueError, match="frequency must be one of 'monthly', 'weekly'"):
        data.co2(frequency)


def test_sunspots():
    year, activity = data.sunspots()
    assert year.dtype == np.int64 and activity.dtype == np.float64
    assert year.tolist() == list(range(1700, 2009))
    assert activity[[0, 1, -1]].tolist() == [5.0, 11.0, 2.9]
    assert activity.min() == 0 and activity.max() == 190.2 and year[activity.argmax()] == 1957


def test_boston():
    table = data.boston()
    assert table.x.shape == (506, 13) and table.y.shape == (506,)
    assert table.x.dtype == table.y.dtype == np.float64
    assert table.names == ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio",
                           "b", "lstat")
    assert table.target == "medv"
    assert table.x[0].tolist() == [0.00632, 18, 2.31, 0, 0.538, 6.575, 65.2, 4.09, 1, 296, 15.3, 396.9, 4.98]
    assert table.y[0] == 24.0 and table.y[-1] == 11.9
    assert table.y.mean() == pytest.approx(22.5328, abs=5e-5)
    assert table.y.max() == 50 and np.count_nonzero(table.y == 50) == 16
    assert set(table.x[:, 3]) == {0, 1} and table.x[:, 3].sum() == 35
    assert "race" in data.boston.__doc__


def test_concrete():
    table = data.concrete()
    assert table.x.shape == (1030, 8) and table.y.shape == (1030,)
    assert table.x.dtype == table.y.dtype == np.float64
    assert table.names == ("cement", "blast_furnace_slag", "fly_ash", "water", "superplasticizer",
                           "coarse_aggregate", "fine_aggregate", "age")
    assert table.target == "compressive_strength"
    assert table.x[0].tolist() == [540, 0, 0, 162, 2.5, 1040, 676, 28] and table.y[0] == 79.99
    assert table.y.min() == 2.33 and table.y.max() == 82.6
    assert table.y.mean() == pytest.approx(35.818, abs=5e-4)
    assert 1030 - len(np.unique(np.column_stack([table.x, table.y]), axis=0)) == 25


def test_names():
    female, male = data.names()
    assert isinstance(female, list) and isinstance(male, list)
    assert len(female) == 4951 and len(male) == 3898
    assert len(set(female)) == 4944 and len(set(male)) == 3897
    assert len(set(female) & set(male)) == 419
    assert female[0] == "Aaren" and female[-1] == "Zuzana" and male[0] == "Aaron" and male[-1] == "Zolly"
    assert all(re.fullmatch("[A-Z][A-Za-z-]+", name) for name in female + male)


def test_moby_dick():
    text = data.moby_dick()
    assert len(text) == 1190317 and len(text.encode("utf-8")) == 1204997
    assert text.startswith("CHAPTER 1. Loomings.\n\nCall me Ishmael.")
    assert text.endswith("thousand years ago.\n")
    chapters = re.findall(r"^CHAPTER (\d+)\.", text, flags=re.MULTILINE)
    assert list(map(int, chapters)) == list(range(1, 136))
    assert {c for c in text if ord(c) > 127} == set("—‘’“”") and "\r" not in text


@pytest.mark.parametrize("name", ["boston/", "concrete/", "co2/monthly", "co2/weekly", "sunspots/",
                                  "fashion-mnist/"])
def test_each_call_returns_fresh_arrays(name):
    first, kept = arrays(name), [a.copy() for a in arrays(name)]
    assert len(first) >= 2
    for a in first:
        assert a.flags.writeable
        a[...] = np.datetime64("1900-01") if a.dtype.kind == "M" else -7
    for a, before, changed in zip(arrays(name), kept, first, strict=True):
        assert np.array_equal(a, before) and not np.array_equal(changed, before)


def test_each_call_returns_fresh_lists():
    data.names()[0].clear()
    assert len(data.names()[0]) == 4951


def test_loading_prints_nothing(capfd):
    for name in data.FILES:
        if not name.startswith("mnist/"):
            load(name)
    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------------------------- the files and README

def test_every_file_on_disk_is_in_the_table_and_every_folder_has_its_licence():
    on_disk = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("*/*")}
    folders = {name.split("/")[0] for name in data.FILES}
    assert on_disk == set(data.FILES) | {f"{folder}/LICENSE" for folder in folders}
    assert all(len((ROOT / folder / "LICENSE").read_text(encoding="utf-8")) > 300 for folder in folders)


def test_the_readme_says_what_the_code_checks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \| `([0-9a-f]{32})` \|$", text, flags=re.MULTILINE)
    assert {name: (int(size), md5) for name, size, md5 in rows} == data.FILES and len(rows) == len(data.FILES)
    folders = re.findall(r"^\| `([a-z0-9-]+)` \|(?: [^|]+ \|){4}$", text, flags=re.MULTILINE)
    assert sorted(folders) == sorted({name.split("/")[0] for name in data.FILES})
    assert "encodes race" in text


@pytest.mark.parametrize("name", data.FILES)
def test_the_table_describes_the_files(name):
    """Size and MD5 again, without the code under test."""
    content = (ROOT / name).read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    assert (len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()) == data.FILES[name]


# --------------------------------------------------------------------------------------------- where they lie

def test_the_two_places():
    package = Path(data.__file__).resolve().parent
    assert data._places() == (package / "_data", package.parent / "data")


def test_either_place_will_do(copy, places):
    copy("sunspots/sunspots.csv", place=0)
    copy("names/male.txt", place=1)
    assert len(data.sunspots()[0]) == 309 and len(data.names()[1]) == 3898


def test_the_installed_place_comes_first(copy):
    copy("sunspots/sunspots.csv", place=1)
    installed = copy("sunspots/sunspots.csv", place=0)
    change(installed, flipped)
    assert "MD5" in error_of("sunspots/sunspots.csv", installed)


@pytest.mark.parametrize("name", data.FILES)
def test_no_data_at_all(places, name):
    with pytest.raises(FileNotFoundError) as caught:
        load(name)
    message = str(caught.value)
    assert str(places[0]) in message and str(places[1]) in message and "\n" not in message
    assert repr(name.split("/")[0]) in message and "install minibayes again" in message


# ----------------------------------------------------------------------------------------------- broken files

CHEAP = [name for name in data.FILES if not name.startswith("mnist/")]      # mnist is read the same way
PACKED = [name for name in CHEAP if name.endswith(".gz")]


@pytest.mark.parametrize("name", data.FILES)
def test_a_missing_file(copy, name):
    path = copy(name)
    path.unlink()
    assert error_of(name, path) == "the file is missing"


@pytest.mark.parametrize("name", ["concrete/concrete.csv", "moby-dick/moby_dick.txt.gz"])
def test_a_folder_in_place_of_a_file(copy, name):
    path = copy(name)
    path.unlink()
    path.mkdir()
    assert error_of(name, path).startswith("cannot be read (")


@pytest.mark.parametrize("name", CHEAP)
def test_one_changed_byte(copy, name):
    path = copy(name)
    change(path, flipped)
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    wanted = data.FILES[name][1]
    assert md5 != wanted
    assert error_of(name, path) == f"the MD5 of the uncompressed content is {md5}, expected {wanted}"


@pytest.mark.parametrize("name", CHEAP)
def test_one_byte_short_or_long(copy, name):
    path, size = copy(name), data.FILES[name][0]
    change(path, lambda content: content[:-1])
    assert error_of(name, path) == f"the uncompressed content has {size - 1} bytes, expected {size}"
    change(path, lambda content: content + b"ab")
    assert error_of(name, path) == f"the uncompressed content has more than {size} bytes, expected {size}"


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("keep", [2, 12, 2000, -1000, -8, -1])
def test_a_truncated_gzip_file(copy, name, keep):
    path = copy(name)
    path.write_bytes(path.read_bytes()[:keep])
    assert error_of(name, path) == "truncated, the gzip stream ends too early"


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("edit", [
    pytest.param(gzip.decompress, id="not compressed"),
    pytest.param(flipped, id="changed byte"),
    pytest.param(lambda c: c + b"more", id="something behind"),
    pytest.param(lambda c: c[:-8] + bytes(8), id="wrong checksum"),
    pytest.param(lambda c: c[:1], id="one byte"),
])
def test_a_damaged_gzip_file(copy, name, edit):
    path = copy(name)
    path.write_bytes(edit(path.read_bytes()))
    assert error_of(name, path).startswith("not a gzip file, or a damaged one (")


def test_an_empty_gzip_file(copy):
    path = copy("fashion-mnist/t10k-images-idx3-ubyte.gz")
    path.write_bytes(b"")
    assert error_of("fashion-mnist/", path) == "0 bytes uncompressed, but an idx header has 16"


def test_a_gzip_bomb_is_not_unpacked(copy, monkeypatch):
    """A file far larger than it should be is read to one byte past its size, not to its end."""
    path, size = copy("moby-dick/moby_dick.txt.gz"), data.FILES["moby-dick/moby_dick.txt.gz"][0]
    path.write_bytes(gzip.compress(bytes(30 * size), 1))
    lengths = []
    checked = data._checked
    monkeypatch.setattr(data, "_checked", lambda n, p, c: lengths.append(len(c)) or checked(n, p, c))
    assert "more than" in error_of("moby-dick/", path)
    assert lengths == [size + 1]


def test_a_wrong_idx_magic_number(copy):
    images = copy("fashion-mnist/t10k-images-idx3-ubyte.gz")
    labels = images.with_name("t10k-labels-idx1-ubyte.gz")
    kept = labels.read_bytes()
    labels.write_bytes(images.read_bytes())
    assert error_of("fashion-mnist/", labels) == "idx magic number 0x00000803, expected 0x00000801"
    images.write_bytes(kept)
    assert error_of("fashion-mnist/", images) == "idx magic number 0x00000801, expected 0x00000803"


@pytest.mark.parametrize("name, header, message", [
    ("fashion-mnist/t10k-images-idx3-ubyte.gz", (0x803, 9999, 28, 28),
     "(9999, 28, 28), expected (10000, 28, 28)"),
    ("fashion-mnist/t10k-images-idx3-ubyte.gz", (0x803, 10000, 14, 56),
     "(10000, 14, 56), expected (10000, 28, 28)"),
    ("fashion-mnist/t10k-labels-idx1-ubyte.gz", (0x801, 2**32 - 1), "(4294967295,), expected (10000,)"),
])
def test_a_wrong_idx_shape(copy, name, header, message):
    path = copy(name)
    new = struct.pack(f">{len(header)}I", *header)
    change(path, lambda content: new + content[len(new):])
    assert error_of(name, path) == f"idx shape {message}"


@pytest.mark.parametrize("name, edit, message", [
    ("boston/boston.csv", lambda c: c.replace(b"crim", b"crime"),
     r"columns \['crime', .*\], expected \['crim', .*\]"),
    ("boston/boston.csv", lambda c: c[:-1] + b",1\n", "15 values in line 507, expected 14"),
    ("concrete/concrete.csv", lambda c: c + b"1,1,1,1,1,1,1,1,1\n", "1032 lines, expected 1031"),
    ("sunspots/sunspots.csv", lambda c: c.replace(b"1700,5", b"1700"), "1 values in line 2, expected 2"),
    ("names/male.txt", lambda c: c[:-6], "3897 lines, expected 3898"),
])
def test_a_file_of_another_shape_with_its_own_checksum(copy, monkeypatch, name, edit, message):
    """The shape is checked for itself: new size and MD5 in the table do not make a different table pass."""
    path = copy(name)
    change(path, edit)
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(data.FILES, name, (len(content), md5))
    assert re.fullmatch(message, error_of(name, path))


# ------------------------------------------------------------------------------------------------- line ends

TEXTS = [name for name in data.FILES if not name.endswith(".gz")]


@pytest.mark.parametrize("name", TEXTS)
def test_line_ends_changed_by_git(copy, name):
    """The cause and the way out; any other change beside it is still a wrong MD5 or size."""
    path = copy(name)
    change(path, lambda content: content.replace(b"\n", b"\r\n"))
    said = error_of(name, path)
    assert "CR LF" in said and "core.autocrlf" in said and "git checkout" in said
    change(path, lambda content: content.replace(b"e", b"f", 1) + b"x")
    assert "core.autocrlf" not in error_of(name, path)


def git(*argv, folder):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *argv], cwd=folder, check=True,
                   capture_output=True, env=os.environ | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull})


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT.parent / ".gitattributes").exists(),
                    reason="needs git, and a checkout")
def test_a_clone_on_windows_has_the_published_files(tmp_path, monkeypatch):
    """core.autocrlf=true changes the line ends of what .gitattributes does not protect."""
    here, clone = tmp_path / "here", tmp_path / "clone"
    for name in TEXTS:
        (here / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, here / "data" / name)
    shutil.copyfile(ROOT.parent / ".gitattributes", here / ".gitattributes")
    (here / "a.py").write_bytes(b"a = 1\n")
    (here / "unprotected").write_bytes(b"a\nb\n")
    git("init", folder=here)
    git("add", "-A", folder=here)
    git("commit", "-m", "data", folder=here)
    git("clone", "-c", "core.autocrlf=true", str(here), str(clone), folder=tmp_path)
    assert (clone / "unprotected").read_bytes() == b"a\r\nb\r\n", "git does it here, too"
    assert (clone / "a.py").read_bytes() == b"a = 1\n"
    monkeypatch.setattr(data, "_places", lambda: (tmp_path / "no", clone / "data"))
    for name in TEXTS:
        load(name)
