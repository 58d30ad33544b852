"""A regression table from a CSV file: a header of names, then rows of finite numbers; all else is an error.

The file is read line by line, so a file that is too large, or no table at all, is refused before it fills the
memory.
"""

import array
import csv
import os
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from ... import data, require

FEWEST_ROWS = 10  # 7 to train, 2 to validate, 1 to test
MOST_NUMBERS = 20_000_000  # 160 MB
LONGEST_LINE = 1_000_000  # characters
LARGEST = 1e100  # so that squares stay finite


def read(path: str | os.PathLike, target: str) -> data.Table:
    """The file's `data.Table`: `target` (a name in the header) is y, all other columns are x.

    Comma-separated, UTF-8, one header line; blank lines are skipped. InputError if it is anything else.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            names, numbers = parse(path, csv.reader(lines(path, file), strict=True), target)
    except UnicodeDecodeError:
        raise require.InputError(f"{path}: must be text in UTF-8, and is not") from None
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
    at = names.index(target)
    y = table[:, at].copy()
    if y.std() == 0:
        raise require.InputError(f"{path}: the target {target!r} must vary, got {y[0]:g} in every row")
    return data.Table(np.delete(table, at, axis=1), y, tuple(names[:at] + names[at + 1:]), target)


def lines(path: str | os.PathLike, file: TextIO) -> Iterator[str]:
    """The lines of `file`, each of bounded length."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise require.InputError(f"{path}: must have lines of at most {LONGEST_LINE:,} characters")
        yield line


def parse(path: str | os.PathLike, rows: Iterator[list[str]], target: str) -> tuple[list[str], array.array]:
    """(names, numbers row by row): the header checked, then each cell."""
    names = [name.strip() for name in next(rows, [])]
    check_header(path, names, target)
    numbers, count = array.array("d"), 0
    for row in rows:
        if not row:
            continue
        count += 1
        where = f"{path}: row {count} (line {rows.line_num})"
        if len(row) != len(names):
            raise require.InputError(f"{where} must have {len(names)} values, "
                                     f"one for each name in the header, got {len(row)}")
        if len(numbers) + len(row) > MOST_NUMBERS:
            raise require.InputError(f"{path}: must have at most {MOST_NUMBERS:,} numbers, and has more: "
                                     "this study trains on small tables")
        for name, text in zip(names, row, strict=True):
            numbers.append(number(f"{where}, column {name!r}", text))
    return names, numbers


def check_header(path: str | os.PathLike, names: list[str], target: str) -> None:
    """An error unless the names are those of a table with `target` and something to predict it from."""
    if not names:
        raise require.InputError(f"{path}: must begin with a header of column names, "
                                 "and its first line is empty")
    if "" in names:
        raise require.InputError(f"{path}: every column must have a name in the header, "
                                 f"column {names.index('') + 1} has none")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise require.InputError(f"{path}: column names must differ, "
                                 f"{twice!r} stands in the header {names.count(twice)} times")
    if target not in names:
        columns = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
        raise require.InputError(f"{path}: the target must be one of the columns {columns}, got {target!r}")
    if len(names) == 1:
        raise require.InputError(f"{path}: must have a column beside the target {target!r}")


def number(where: str, text: str) -> float:
    """`text` as a float. Python's own underscores are no part of a number in a file."""
    try:
        value = float(text)
    except ValueError:
        value = None
    if value is None or "_" in text:
        cell = repr(text if len(text) <= 40 else text[:40] + "...") if text.strip() else "an empty cell"
        raise require.InputError(f"{where} must be a number, got {cell}")
    if not abs(value) < LARGEST:
        raise require.InputError(f"{where} must be finite and below {LARGEST:g} in size, "
                                 f"got {text.strip()!r}")
    return value
