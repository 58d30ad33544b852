"""The real data sets that ship with minibayes: found, checked byte for byte, returned as fresh arrays.

Nothing is downloaded, cached or unpickled. A file that is missing or not exactly as published raises
`DataError`, which names it and says how it is broken. Sources: `data/README.md`, licences: `data/*/LICENSE`.
"""

import csv
import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import require

__all__ = ["CO2", "FILES", "DataError", "Table", "boston", "co2", "concrete", "fashion_mnist", "mnist",
           "moby_dick", "names", "sunspots"]

# file: (bytes, MD5), both of the uncompressed file; data/README.md repeats them.
FILES = {
    "boston/boston.csv": (41359, "e0eff1894c01e57673caae2d57b45d23"),
    "co2/co2-concentration.csv": (18547, "b6d912e3168de3b3f24475980e28a7c4"),
    "co2/co2-weekly.csv": (33974, "5abd47e6d4435255e0b3ab2c333502ba"),
    "concrete/concrete.csv": (40432, "b2384d8a0b69bac181b75e7fcd48ba35"),
    "fashion-mnist/t10k-images-idx3-ubyte.gz": (7840016, "8181f5470baa50b63fa0f6fddb340f0a"),
    "fashion-mnist/t10k-labels-idx1-ubyte.gz": (10008, "15d484375f8d13e6eb1aabb0c3f46965"),
    "mnist/t10k-images-idx3-ubyte.gz": (7840016, "2646ac647ad5339dbf082846283269ea"),
    "mnist/t10k-labels-idx1-ubyte.gz": (10008, "27ae3e4e09519cfbb04c329615203637"),
    "mnist/train-images-idx3-ubyte.gz": (47040016, "6bbc9ace898e44ae57da46a324031adb"),
    "mnist/train-labels-idx1-ubyte.gz": (60008, "a25bea736e30d166cdddb491f175f624"),
    "moby-dick/moby_dick.txt.gz": (1204997, "9734ec6c6a9d56b227518cec6554872f"),
    "names/female.txt": (35153, "3f9ba602bb8e62251ea0f7f834ee9820"),
    "names/male.txt": (26609, "e76885abe50255a7932a40fe6c1485b5"),
    "sunspots/sunspots.csv": (2944, "59e2e1f967d47313166dc1b035c0b2bd"),
}


class DataError(require.InputError):
    """A data file is missing or not the published one; the message names it and says how it is broken."""


class Table(NamedTuple):
    """A regression table: x (n, d) float64, y (n,) float64, the d feature names, the target's name."""
    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    target: str


class CO2(NamedTuple):
    """CO2 in the air: dates (n,) datetime64, the same as time (n,) in decimal years, and ppm (n,)."""
    dates: np.ndarray
    time: np.ndarray
    ppm: np.ndarray


# ---------------------------------------------------------------------------------------------- the data sets

def mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, x_test, y_test): handwritten digits, 60,000 to train on and 10,000 to test.

    x (n, 28, 28, 1) float32 = pixel / 256, so in [0, 1): the scale 0.00390625 of the paper's Caffe solver.
    y (n,) int64, 0 to 9. CC BY-SA 3.0, LeCun and Cortes.
    """
    return (_images("mnist/train-images-idx3-ubyte.gz", 60000),
            _labels("mnist/train-labels-idx1-ubyte.gz", 60000),
            _images("mnist/t10k-images-idx3-ubyte.gz", 10000),
            _labels("mnist/t10k-labels-idx1-ubyte.gz", 10000))


def fashion_mnist() -> tuple[np.ndarray, np.ndarray]:
    """(x_test, y_test): 10,000 pictures of clothing in the format of `mnist()`: no digits.

    Only the test set ships, for out-of-distribution tests; the labels are kinds of clothing. MIT, Zalando.
    """
    return (_images("fashion-mnist/t10k-images-idx3-ubyte.gz", 10000),
            _labels("fashion-mnist/t10k-labels-idx1-ubyte.gz", 10000))


def co2(frequency: str = "monthly") -> CO2:
    """CO2 at Mauna Loa as `CO2(dates, time, ppm)`, no gap filled; `time` is the middle of the month or day.

    "monthly": 741 means, 1958-03 to 2020-04, dates datetime64[M]. Five months are not in the file: 1958-06,
        1958-10, 1964-02 to 1964-04. Measured, not seasonally adjusted. CC BY 4.0, Scripps CO2 Program.
    "weekly": 2,225 means, 1958-03-29 to 2001-12-29, dates datetime64[D]: the file has 2,284 weeks, and the 59
        without a value are dropped. Public domain, Keeling and Whorf.
    """
    if require.choice("frequency", frequency, ("monthly", "weekly")) == "monthly":
        date, value, _ = _columns("co2/co2-concentration.csv", ["Date", "CO2", "adjusted CO2"], 741)
        dates = np.array([d[:7] for d in date], "datetime64[M]")
    else:
        date, value = _columns("co2/co2-weekly.csv", ["date", "co2"], 2284)
        dates = np.array([f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in date], "datetime64[D]")
    measured = np.array([v != "" for v in value])
    dates, ppm = dates[measured], np.array([v for v in value if v != ""], np.float64)
    return CO2(dates, _decimal_year(dates), ppm)


def sunspots() -> tuple[np.ndarray, np.ndarray]:
    """(year, activity): yearly mean sunspot number, 1700 to 2008: (309,) int64 and (309,) float64.

    In the scale used before the recalibration of 2015. Public domain, NOAA.
    """
    year, activity = _columns("sunspots/sunspots.csv", ["YEAR", "SUNACTIVITY"], 309)
    return np.array(year, np.int64), np.array(activity, np.float64)


def boston() -> Table:
    """`Table`: 506 census tracts of Boston in 1970, 13 features; y is the median house value in $1,000.

    Feature `b` encodes race: for comparison with published benchmarks only. y is capped at 50 (16 rows).
    PDDL / CC0, Harrison and Rubinfeld 1978.
    """
    return _table("boston/boston.csv", ["crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad",
                                        "tax", "ptratio", "b", "lstat", "medv"], 506)


def concrete() -> Table:
    """`Table`: 1,030 concrete mixes, seven ingredients in kg/m^3 and the age in days; y is strength in MPa.

    25 rows repeat an earlier row exactly. MIT (packaging), CC BY 4.0 (data), Yeh 1998.
    """
    return _table("concrete/concrete.csv", ["cement", "blast_furnace_slag", "fly_ash", "water",
                                            "superplasticizer", "coarse_aggregate", "fine_aggregate", "age",
                                            "compressive_strength"], 1030)


def names() -> tuple[list[str], list[str]]:
    """(female, male): English first names as lists of str, 4,951 and 3,898, as in the files.

    A few names appear twice, and 419 are in both lists. PDDL / CC0, Ward 2002.
    """
    return _lines("names/female.txt", 4951), _lines("names/male.txt", 3898)


def moby_dick() -> str:
    """The 135 chapters of Melville's Moby Dick as one str of 1,190,317 characters. PDDL / CC0."""
    name = "moby-dick/moby_dick.txt.gz"
    path, content = _read(name)
    return _checked(name, path, content).decode("utf-8")


# --------------------------------------------------------------------------------------- finding and checking

def _places():
    """Where the data may lie: inside an installed package, or beside the package in a source checkout."""
    package = Path(__file__).resolve().parent
    return package / "_data", package.parent / "data"


def _path(name):
    """The path of the file `name`, in the first place that has its folder."""
    folder = name.split("/")[0]
    places = _places()
    for place in places:
        if (place / folder).is_dir():
            return place / name
    raise FileNotFoundError(f"the data set {folder!r} is neither in {places[0]} (an installed package) "
                            f"nor in {places[1]} (a source checkout): install minibayes again, "
                            "or restore that folder")


def _read(name):
    """(path, uncompressed content), unchecked, and cut off one byte after the size it should have."""
    path = _path(name)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return path, file.read(FILES[name][0] + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: the file is missing") from None
    except EOFError:
        raise DataError(f"{path}: truncated, the gzip stream ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a gzip file, or a damaged one ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _checked(name, path, content):
    """`content` unchanged, if it has the size and the MD5 of `FILES`."""
    size, md5 = FILES[name]
    if b"\r\n" in content and _differs_in_line_ends(name, path):
        raise DataError(f"{path}: its line ends are CR LF and should be LF: git changes them at checkout if "
                        "core.autocrlf is true; git config core.autocrlf false, delete it, git checkout it")
    if len(content) != size:
        found = f"{len(content)} bytes" if len(content) < size else f"more than {size} bytes"
        raise DataError(f"{path}: the uncompressed content has {found}, expected {size}")
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"{path}: the MD5 of the uncompressed content is {found}, expected {md5}")
    return content


def _differs_in_line_ends(name, path):
    """Whether the file is the published one but for CR LF in place of each LF: at most twice as long."""
    content = path.read_bytes()[:2 * FILES[name][0]].replace(b"\r\n", b"\n")
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == FILES[name][1]


# ----------------------------------------------------------------------------------------------- file formats

def _idx(name, shape):
    """Unsigned bytes of `shape` from an idx file, which begins 0, 0, 8, number of axes, then each axis."""
    path, content = _read(name)
    size = 4 * (1 + len(shape))
    if len(content) < size:
        raise DataError(f"{path}: {len(content)} bytes uncompressed, but an idx header has {size}")
    magic, *found = struct.unpack_from(f">{1 + len(shape)}I", content)
    wanted = 0x0800 | len(shape)
    if magic != wanted:
        raise DataError(f"{path}: idx magic number 0x{magic:08x}, expected 0x{wanted:08x}")
    if tuple(found) != shape:
        raise DataError(f"{path}: idx shape {tuple(found)}, expected {shape}")
    return np.frombuffer(_checked(name, path, content), np.uint8, offset=size).reshape(shape)


def _images(name, n):
    """pixel / 256, channels last: (n, 28, 28, 1) float32."""
    return np.multiply(_idx(name, (n, 28, 28))[..., None], np.float32(1 / 256), dtype=np.float32)


def _labels(name, n):
    return _idx(name, (n,)).astype(np.int64)


def _lines(name, count):
    """The `count` lines of a text file."""
    path, content = _read(name)
    lines = _checked(name, path, content).decode("utf-8").splitlines()
    if len(lines) != count:
        raise DataError(f"{path}: {len(lines)} lines, expected {count}")
    return lines


def _columns(name, header, n):
    """The columns of a csv file of n rows under `header`, as tuples of str."""
    first, *rows = csv.reader(_lines(name, 1 + n))
    if first != header:
        raise DataError(f"{_path(name)}: columns {first}, expected {header}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{_path(name)}: {len(row)} values in line {number}, expected {len(header)}")
    return list(zip(*rows, strict=True))


def _table(name, header, n):
    """Every column but the last as x, the last as y."""
    *features, y = (np.array(column, np.float64) for column in _columns(name, header, n))
    return Table(np.stack(features, axis=1), y, tuple(header[:-1]), header[-1])


def _decimal_year(dates):
    """year + (i + 1/2) / n for unit i = 0, ..., n-1 of the year: the middle of one of its months or days."""
    year = dates.astype("datetime64[Y]")
    first, end = year.astype(dates.dtype), (year + 1).astype(dates.dtype)
    i, n = (dates - first).astype(np.int64), (end - first).astype(np.int64)
    return 1970 + year.astype(np.int64) + (i + 0.5) / n
