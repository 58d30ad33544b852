"""How a table is written in a file: its encoding, what separates cells, decimals, missing values."""

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from ... import require

SEPARATORS = (",", ";", "\t")
MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
OTHERS = {b"\x1f\x8b": "is compressed by gzip: unpack it first",
          b"PK\x03\x04": "is a zip archive or an Excel workbook: save the table as CSV"}
MISSING = {"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "missing", "-", "--", "."}
LEAVE_OUT = "a missing value? Leave out its row or its column, or fill it in"
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")


def encoding(path: object, file: BinaryIO) -> str:
    """That of a file at its beginning: by its byte-order mark, or where zeros stand; else UTF-8."""
    head = file.peek(4096)[:4096]
    for magic, said in OTHERS.items():
        if head.startswith(magic):
            raise require.InputError(f"{path}: must be text in UTF-8, and {said}")
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name
    even, odd = head[::2], head[1::2]
    if head and even.count(0) == 0 and odd.count(0) > len(odd) / 2:
        return "utf-16-le"
    if head and odd.count(0) == 0 and even.count(0) > len(even) / 2:
        return "utf-16-be"
    return "utf-8-sig"


def separator(header: str, target: str) -> str:
    """What separates the names in `header`: whatever makes `target` one of the most names, else of any."""
    def names(delimiter: str) -> list[str]:
        try:
            return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            return []

    return max(SEPARATORS, key=lambda one: (target in names(one) and len(names(one)) > 1, len(names(one))))


def announced(line: str) -> str | None:
    """The separator that a first line of "sep=;" gives, as Excel writes it; else None."""
    found = re.fullmatch(r'"?sep=(.)"?\s*', line)
    return found[1] if found else None


def readable(path: object, line: str, number: int) -> str:
    """`line`, unless it holds bytes that are not UTF-8 (as surrogates)."""
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            raise require.InputError(f"{path}: line {number} must be text in UTF-8, got the byte "
                                     f"0x{byte:02x}: save it in that encoding (Excel: CSV UTF-8)") from None
    return line


class Numbers:
    """Cells to floats. Decimals are points or commas, but not both in one file, nor are there thousands."""

    def __init__(self, delimiter: str):
        self.delimiter = delimiter
        self.seen: dict[str, str] = {}  # {"." or ",": where it first stood}

    def read(self, where: str, cell: str, largest: float, hint: str = "") -> float:
        """The number in `cell`; `where` and `hint` are for the message if it is none."""
        text = cell.strip()
        shown = (repr(text) if len(text) <= 40 else repr(text[:40] + "...")) if text else "an empty cell"
        if "," in text:
            unclear = self.delimiter == "," and "," not in self.seen and THOUSANDS.fullmatch(text)
            if unclear or not DECIMAL_COMMA.fullmatch(text):
                raise require.InputError(f"{where} must be a number, got {shown}: are its commas thousands? "
                                         "Write numbers without them")
            self.note(where, ",", shown)
            text = text.replace(",", ".")
        elif "." in text:
            self.note(where, ".", shown)
        try:
            value = None if "_" in text else float(text)  # Python's underscores are no part of a number
        except ValueError:
            value = None
        if value is None:
            raise require.InputError(f"{where} must be a number, got {shown}"
                                     + (f": {LEAVE_OUT}" if text.lower() in MISSING else hint))
        if not abs(value) < largest:
            raise require.InputError(f"{where} must be finite and below {largest:g} in size, got {shown}"
                                     + (f": {LEAVE_OUT}" if value != value else ""))
        return value

    def note(self, where: str, sign: str, shown: str) -> None:
        """An error if this file has both decimal points and decimal commas."""
        self.seen.setdefault(sign, f"{where.partition(': ')[2]} has {shown}")
        if len(self.seen) > 1:
            other = self.seen["," if sign == "." else "."]
            raise require.InputError(f"{where} must have decimals as elsewhere, got {shown}, but {other}: "
                                     "write all with points, and no thousands")


def rows(first: str, rest: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """The cells of the line `first` and then of the `rest`."""
    def every() -> Iterator[str]:
        yield first
        yield from rest

    return csv.reader(every(), delimiter=delimiter, strict=True, skipinitialspace=True)
