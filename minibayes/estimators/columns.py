"""x_d = (column_d - mean_d)/std_d: the columns of a table as the numbers of a network, and their names.

A table is an array (N, D), a mapping {name: column}, or what has columns by name as pandas has. Numbers are
standardised; true and false become 1 and 0; a category becomes a column of 0 and 1 for each value that it had
in training. What is missing, a date, or a value that was never seen is one error that names the column.
"""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import require

KINDS = ("number", "truth", "category")
MOST_CATEGORIES = 100  # of one column: text with more is most often a name or an id
SHOWN = 5  # values that an error names


@dataclass(frozen=True)
class Column:
    """How one column of a table becomes numbers.

    name: None in a table without names.
    kind: "number", "truth" or "category".
    categories: the values of a category, in order.
    mean, std: of a number.
    """

    name: object
    kind: str
    categories: tuple = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def width(self) -> int:
        return len(self.categories) if self.kind == "category" else 1

    def encoded(self, said: str, values: np.ndarray) -> np.ndarray:
        """(N, width), not standardised. said: what an error calls it."""
        if self.kind == "category":
            place = {value: i for i, value in enumerate(self.categories)}
            found = [place.get(plain(value), -1) for value in values]
            if -1 in found:
                n = found.index(-1)
                known = ", ".join(map(repr, self.categories[:SHOWN])) + ", ..." * (len(place) > SHOWN)
                raise require.InputError(f"{said} has {plain(values[n])!r} in row {n}, which it never had in "
                                         f"training: known are {known}")
            return np.eye(len(self.categories))[found]
        if kind_of(said, values) == "category":
            n = next(n for n, value in enumerate(values) if not isinstance(value, (numbers.Real, np.bool_)))
            raise require.InputError(f"{said} must hold numbers, as in training, got {plain(values[n])!r} in "
                                     f"row {n}")
        return require.finite(said, np.asarray(values, np.float64))[:, None]


def plain(value: object) -> object:
    """A NumPy scalar as Python's own: what a file can hold, and what compares equal everywhere."""
    return value.item() if isinstance(value, np.generic) else value


def kind_of(said: str, values: np.ndarray) -> str:
    """Which of KINDS a column is."""
    if values.dtype.kind in "mM":
        raise require.InputError(f"{said} holds dates or times: give numbers, such as days since the first")
    if values.dtype.kind == "c":
        raise require.InputError(f"{said} must hold real numbers: Complex data not supported")
    if values.dtype.kind in "biuf":
        return "truth" if values.dtype.kind == "b" else "number"
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return "truth"
    if all(isinstance(value, (numbers.Real, np.bool_)) for value in values):
        return "number"
    odd = [value for value in values if not isinstance(value, (str, bytes, numbers.Real, np.bool_))]
    if odd:
        raise require.InputError(f"{said}: each argument must be a string or a number, got {odd[0]!r}")
    return "category"


def missing(column: object, values: np.ndarray) -> np.ndarray:
    """Which entries are None, NaN, NaT or pandas' NA."""
    if hasattr(column, "isna"):
        return np.asarray(column.isna())
    if values.dtype.kind in "fmM":
        return np.isnan(values) if values.dtype.kind == "f" else np.isnat(values)
    return np.array([value is None or isinstance(value, float) and math.isnan(value) for value in values],
                    bool) if values.dtype.kind == "O" else np.zeros(len(values), bool)


def columns_of(X: object) -> tuple[list | None, list]:
    """(names or None, columns) of a table, nothing missing in it; an error says what is wrong with it."""
    if hasattr(X, "toarray"):
        raise require.InputError(f"X must be a dense table, got a sparse {type(X).__name__}: give "
                                 "X.toarray()")
    named = isinstance(X, Mapping) or hasattr(X, "columns") and hasattr(X, "dtypes")
    if not named:
        return None, list(array_of(X).T)
    names = list(X) if isinstance(X, Mapping) else list(X.columns)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise require.InputError(f"X must have columns of different names, {twice[0]!r} stands there "
                                 f"{names.count(twice[0])} times")
    columns, lengths = [], {}
    for name in names:
        values = np.asarray(X[name])
        if values.ndim != 1:
            raise require.InputError(f"X[{name!r}] must be one column, got shape {values.shape}")
        if values.dtype.kind in "US":
            values = values.astype(object)
        gaps = missing(X[name], values)
        if gaps.any():
            first = gaps.argmax()
            where = f"row {first}" if gaps.sum() == 1 else f"{gaps.sum()} rows, the first {first}"
            raise require.InputError(f"X[{name!r}] has missing values (NaN) in {where}: leave those rows "
                                     "out, X.dropna(), or fill them in, X.fillna(...)")
        columns.append(values)
        lengths.setdefault(len(values), name)
    check_size((len(columns[0]) if columns else 0, len(columns)))
    if len(lengths) > 1:
        raise require.InputError(f"X must have columns of one length, got {sorted(lengths)}")
    return names, columns


def array_of(X: ArrayLike) -> np.ndarray:
    """An array (N, D) of finite numbers."""
    try:
        given = np.asarray(X)
    except (ValueError, TypeError):
        given = np.empty(0)  # rows of different lengths: require.array says so
    if given.dtype.kind == "c":
        raise require.InputError("X must be an array of real numbers: Complex data not supported")
    if given.dtype.kind == "O" and given.ndim == 2:
        for j, column in enumerate(given.T):
            if kind_of(f"X[:, {j}]", column) == "category" and not missing(column, column).any():
                raise require.InputError(f"X[:, {j}] holds text such as {column[0]!r}: for categories give a "
                                         "table with named columns, a pandas.DataFrame or {name: column}")
    x = require.array("X", X)
    if x.ndim != 2:
        raise require.InputError(f"X must have shape (N, D), got {x.shape}: Reshape your data, "
                                 "X.reshape(-1, 1) where it is one column")
    check_size(x.shape)
    return require.finite("X", x.astype(np.float64))


def check_size(shape: tuple) -> None:
    if shape[1] < 1:
        raise require.InputError(f"X has 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
    if shape[0] < 1:
        raise require.InputError(f"X has 0 sample(s) (shape={shape}) while a minimum of 1 is required.")


class Columns:
    """What was learned of a table's columns in training: `encoded` makes numbers of it, and of any other."""

    def __init__(self, columns: list):
        self.columns = list(columns)

    @classmethod
    def learned(cls, X: object) -> tuple["Columns", np.ndarray]:
        """(columns not yet standardised, the numbers (N, width))."""
        names, values = columns_of(X)
        columns = []
        for name, column in zip(names or [None] * len(values), values, strict=True):
            kind, categories = kind_of(f"X[{name!r}]", column), ()
            if kind == "category":
                found = {plain(value) for value in column}
                categories = tuple(sorted(found, key=lambda value: (str(type(value)), value)))
                if len(categories) > MOST_CATEGORIES:
                    raise require.InputError(f"X[{name!r}] has {len(categories)} different texts, a category "
                                             f"at most {MOST_CATEGORIES}: leave it out if it names the rows")
            columns.append(Column(name, kind, categories))
        made = cls(columns)
        return made, made.raw(dict(enumerate(values)), range(len(values)))

    @property
    def names(self) -> list | None:
        return None if self.columns[0].name is None else [column.name for column in self.columns]

    @property
    def width(self) -> int:
        return sum(column.width for column in self.columns)

    def standardised(self, x: np.ndarray, weights: np.ndarray) -> "Columns":
        """The same, with the weighted mean and std of each number in x (N, width); 0 and 1 stay 0 and 1."""
        out, at = [], 0
        for column in self.columns:
            if column.kind == "number":
                values = x[:, at]
                mean = float(np.average(values, weights=weights))
                std = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
                constant = std <= 1e-12 * max(abs(mean), np.finfo(float).tiny)
                column = Column(column.name, column.kind, (), mean, 1.0 if constant else std)
            out.append(column)
            at += column.width
        return Columns(out)

    def raw(self, values: Mapping, keys: object) -> np.ndarray:
        """The columns of `values` at `keys` side by side, as numbers."""
        said = [f"X[:, {j}]" if column.name is None else f"X[{column.name!r}]"
                for j, column in enumerate(self.columns)]
        parts = [column.encoded(name, values[key])
                 for column, name, key in zip(self.columns, said, keys, strict=True)]
        return np.concatenate(parts, axis=1)

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """What `raw` gives, in standard units."""
        mean = np.concatenate([np.full(column.width, column.mean) for column in self.columns])
        std = np.concatenate([np.full(column.width, column.std) for column in self.columns])
        return (x - mean) / std

    def encoded(self, X: object, who: str) -> np.ndarray:
        """(N, width) in standard units, of another table: columns are found by name, others left out.

        who: what an error says is expecting them.
        """
        names, values = columns_of(X)
        if names is None or self.names is None:
            if len(values) != len(self.columns):
                raise require.InputError(f"X has {len(values)} features, but {who} is expecting "
                                         f"{len(self.columns)} features as input")
            return self.scaled(self.raw(dict(enumerate(values)), range(len(values))))
        if lacking := [name for name in self.names if name not in names]:
            raise require.InputError(f"X must have the columns of the training, and lacks "
                                     f"{', '.join(map(repr, lacking[:SHOWN]))}; it has "
                                     f"{', '.join(map(repr, names[:SHOWN]))}")
        return self.scaled(self.raw(dict(zip(names, values, strict=True)), self.names))
