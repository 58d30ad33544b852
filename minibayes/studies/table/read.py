"""A CSV file with numbers and text, {name: cells}: the header checked, then what each column holds.

How it is written is seen from the file (uci/dialect.py); all else is an error in one line, which names the
row, the column and what to do.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ... import require
from ..uci import dialect
from ..uci.table import LARGEST, check_names, clean, lines

MOST_CELLS = 5_000_000
GAPS = {"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"}  # missing in a column of text too


class Cells(dict):
    """{name: list of str}, a column each. path: of their file; delimiter: between them."""

    def __init__(self, path: str | os.PathLike, delimiter: str, columns: Mapping):
        super().__init__(columns)
        self.path, self.delimiter = path, delimiter

    @property
    def rows(self) -> int:
        return len(next(iter(self.values())))


def read(path: str | os.PathLike, hint: str = "") -> Cells:
    """The cells of the file; hint: a name that stands in its header, which shows what separates names."""
    try:
        with open(path, "rb") as raw:
            encoding = dialect.encoding(path, raw)
            errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
            with io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline="") as file:
                found = parse(path, lines(path, file), hint)
    except UnicodeError as error:
        raise require.InputError(f"{path}: must be text in UTF-8 or UTF-16: {error}") from None
    except csv.Error as error:
        raise require.InputError(f"{path}: must be comma-separated values: {error}") from None
    except OSError as error:
        raise require.InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except require.InputError:
        raise
    except ValueError as error:
        raise require.InputError(f"{str(path)!r}: cannot be read: {error}") from None  # a null byte
    if not found.rows:
        raise require.InputError(f"{path}: must have rows below its header, got none")
    return found


def parse(path: str | os.PathLike, text: Iterator[str], hint: str) -> Cells:
    first = next(text, "")
    delimiter = dialect.announced(first)
    skipped = int(delimiter is not None)
    if skipped:
        first = next(text, "")
    delimiter = delimiter or dialect.separator(clean(first), clean(hint))
    rows = dialect.rows(first, text, delimiter)
    names = [clean(name) for name in next(rows, [])]
    check_names(path, [] if names == [""] else names)
    columns = [[] for _ in names]
    for row in rows:
        if not row:
            continue
        if len(row) != len(names):
            where = f"{path}: row {len(columns[0]) + 1} (line {rows.line_num + skipped})"
            raise require.InputError(f"{where} must have {len(names)} values, one for each name in the "
                                     f"header, got {len(row)}")
        if len(columns[0]) * len(names) > MOST_CELLS:
            raise require.InputError(f"{path}: must have at most {MOST_CELLS:,} cells, and has more")
        for column, cell in zip(columns, row, strict=True):
            column.append(cell.strip())
    counted = names[0] == ""  # a first column without a name, as pandas writes its index
    return Cells(path, delimiter, dict(zip(names[counted:], columns[counted:], strict=True)))


def column(cells: Cells, name: str, kind: str | None = None) -> np.ndarray:
    """One column as numbers or as text. kind: "number" or "category", as in training; else as it looks."""
    numbers, values, bad = dialect.Numbers(cells.delimiter), [], []
    where = f"{cells.path}: row {{}}, column {name!r}"
    if kind != "category":
        for n, cell in enumerate(cells[name], start=1):
            try:
                values.append(numbers.read(where.format(n), cell, LARGEST))
            except require.InputError as error:
                bad.append(error)
        texts = len(bad) - sum(cell.lower() in GAPS for cell in cells[name])
        if not bad:
            return np.array(values)
        if kind is not None or len(values) > texts:  # numbers, but for a few
            raise bad[0]
    gap = next((n for n, cell in enumerate(cells[name], start=1) if cell.lower() in GAPS), None)
    if gap is not None:
        raise require.InputError(f"{where.format(gap)} must be filled, got "
                                 f"{cells[name][gap - 1] or 'an empty cell'!r}: {dialect.LEAVE_OUT}")
    return np.array(cells[name], object)


def features(cells: Cells, names: list, kinds: Mapping | None = None) -> dict:
    """{name: column} of `names`; an error that says which the file lacks."""
    if lacking := [name for name in names if name not in cells]:
        raise require.InputError(f"{cells.path}: must have the columns of the training, and lacks "
                                 f"{', '.join(map(repr, lacking[:5]))}; it has "
                                 f"{', '.join(map(repr, list(cells)[:10]))}")
    return {name: column(cells, name, kinds and kinds[name]) for name in names}


def beside(path: str | os.PathLike, ending: str) -> Path:
    """A file of the same name here, with another ending."""
    return Path(Path(path).stem + ending)
