"""A regression table from a CSV file as it is found: a header of names, then rows of finite numbers.

How cells, decimals and text are written is seen from the file (dialect.py). All else is an error in one line,
which names the row, the column and what to do. The file is read line by line, so one that is too large, or no
table at all, is refused before it fills the memory.
"""

import array
import csv
import io
import os
import unicodedata
import warnings
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from ... import data, require
from . import dialect
from .protocol import is_constant

FEWEST_ROWS = 10  # 7 to train, 2 to validate, 1 to test
MOST_NUMBERS = 20_000_000  # 160 MB
LONGEST_LINE = 1_000_000  # characters
LARGEST = 1e100  # so that squares stay finite
MOST_CLASSES = 10  # a target of so few whole numbers may be a class
REGRESSION = "this study predicts a number, for classes fit a BayesianNetwork with Categorical()"


def read(path: str | os.PathLike, target: str) -> data.Table:
    """The file's `data.Table`: `target` (a name in the header) is y, all other columns are x.

    Cells are separated by commas, semicolons or tabs; decimals have points or commas; UTF-8 or UTF-16; one
    header line; blank lines are skipped. A first column without a name that counts the rows is left out.
    InputError if it is anything else; a warning if the target looks like a class.
    """
    target = clean(target)
    try:
        with open(path, "rb") as raw:
            encoding = dialect.encoding(path, raw)
            errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
            with io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline="") as file:
                names, numbers = parse(path, lines(path, file), target)
    except UnicodeError as error:
        raise require.InputError(f"{path}: must be text in UTF-8 or UTF-16: {error}") from None
    except csv.Error as error:
        raise require.InputError(f"{path}: must be comma-separated values: {error}") from None
    except OSError as error:
        raise require.InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except require.InputError:
        raise
    except ValueError as error:
        raise require.InputError(f"{path!r}: cannot be read: {error}") from None  # a null byte in the path
    table = np.frombuffer(numbers).reshape(-1, len(names))
    if len(table) < FEWEST_ROWS:
        raise require.InputError(f"{path}: needs at least {FEWEST_ROWS} rows below the header, "
                                 f"for training, validation and test; got {len(table)}")
    if names[0] == "":
        count = table[:, 0] - table[0, 0]
        if table[0, 0] not in (0, 1) or (count != np.arange(len(table))).any():
            raise require.InputError(f"{path}: every column must have a name in the header, column 1 has "
                                     "none and does not count the rows")
        names, table = names[1:], table[:, 1:]
    at = names.index(target)
    y = table[:, at].copy()
    if is_constant(y):
        raise require.InputError(f"{path}: the target {target!r} must vary, got {y[0]:g} in every row")
    values = np.unique(y)
    if len(values) <= min(MOST_CLASSES, len(y) // 3) and (values == np.round(values)).all():
        warnings.warn(f"{path}: the target {target!r} has only the values "
                      f"{', '.join(f'{value:g}' for value in values)}: are they classes? {REGRESSION}",
                      stacklevel=2)
    return data.Table(np.delete(table, at, axis=1), y, tuple(names[:at] + names[at + 1:]), target)


def clean(name: str) -> str:
    """A name without spaces around it, its accents written in the one way."""
    return unicodedata.normalize("NFC", name).strip()


def lines(path: str | os.PathLike, file: TextIO) -> Iterator[str]:
    """The lines of `file`, each of bounded length, and text."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise require.InputError(f"{path}: must have lines of at most {LONGEST_LINE:,} characters")
        yield dialect.readable(path, line, number)


def parse(path: str | os.PathLike, text: Iterator[str], target: str) -> tuple[list[str], array.array]:
    """(names, numbers row by row): the header checked, then each cell."""
    first = next(text, "")
    delimiter = dialect.announced(first)
    skipped = int(delimiter is not None)
    if skipped:
        first = next(text, "")
    delimiter = delimiter or dialect.separator(unicodedata.normalize("NFC", first), target)
    rows = dialect.rows(first, text, delimiter)
    names = [clean(name) for name in next(rows, [])]
    check_header(path, names, target)
    numbers, count, cells = array.array("d"), 0, dialect.Numbers(delimiter)
    for row in rows:
        if not row:
            continue
        count += 1
        where = f"{path}: row {count} (line {rows.line_num + skipped})"
        if len(row) != len(names):
            many = delimiter == "," and len(row) > len(names)
            raise require.InputError(f"{where} must have {len(names)} values, one for each name in the "
                                     f"header, got {len(row)}"
                                     + ("; decimal commas need cells separated by ; or tabs" if many else ""))
        if len(numbers) + len(row) > MOST_NUMBERS:
            raise require.InputError(f"{path}: must have at most {MOST_NUMBERS:,} numbers, and has more: "
                                     "this study trains on small tables")
        for name, cell in zip(names, row, strict=True):
            hint = f": a class? {REGRESSION}" if name == target else ""
            numbers.append(cells.read(f"{where}, column {name!r}", cell, LARGEST, hint))
    return names, numbers


def check_names(path: str | os.PathLike, names: list[str]) -> None:
    """An error unless these can be the names of columns; the first may be empty, that of a counter."""
    if not names:
        raise require.InputError(f"{path}: must begin with a header of column names, "
                                 "and its first line is empty")
    if all(name.replace(".", "").replace("-", "").isdigit() for name in names):
        raise require.InputError(f"{path}: its first line must be a header of column names, got "
                                 f"{', '.join(names[:20])}")
    if "" in names[1:]:
        raise require.InputError(f"{path}: every column must have a name in the header, "
                                 f"column {names.index('', 1) + 1} has none")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise require.InputError(f"{path}: column names must differ, "
                                 f"{twice!r} stands in the header {names.count(twice)} times")


def check_header(path: str | os.PathLike, names: list[str], target: str) -> None:
    """An error unless the names are those of a table with `target` and something to predict it from."""
    check_names(path, names)
    if target not in names or not target:
        columns = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
        spaced = len(names) == 1 and " " in names[0]
        hint = "; cells must be separated by commas, semicolons or tabs" if spaced else ""
        raise require.InputError(f"{path}: the target must be one of the columns {columns}, "
                                 f"got {target!r}{hint}")
    if len([name for name in names if name]) == 1:
        raise require.InputError(f"{path}: must have a column beside the target {target!r}")
