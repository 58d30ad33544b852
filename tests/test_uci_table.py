"""A table from a file as it is found: any usual way to write one is read right, the rest is one clear line."""

import contextlib
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from minibayes import InputError, __main__
from minibayes.studies import uci
from minibayes.studies.uci import command, table


def run(*argv):
    """The exit status of the command line, in this process."""
    try:
        return __main__.main(list(argv))
    except SystemExit as error:
        return error.code


ROWS = "".join(f"{i},{i % 3},{i * i}\n" for i in range(12))


def test_a_table(tmp_path):
    """The target may stand anywhere; byte-order mark, quotes, spaces, blank lines, line ends do no harm."""
    path = tmp_path / "t.csv"
    rows = b"".join(b"%d, %d.5e0 ,-%d\r\n" % (i, i, 2 * i) for i in range(10))
    path.write_bytes(b'\xef\xbb\xbf a ,"the, target",b\r\n\r\n' + rows + b"\r\n")
    read = uci.read(path, "the, target")
    assert read.names == ("a", "b") and read.target == "the, target"
    assert read.x.dtype == read.y.dtype == np.float64
    assert read.x.tolist() == [[i, -2 * i] for i in range(10)]
    assert read.y.tolist() == [i + 0.5 for i in range(10)]


BAD = {
    "no file": (None, r"missing\.csv: cannot be read: No such file"),
    "empty": ("", "header.*first line is empty"),
    "an empty first line": ("\na,y\n" + ROWS, "header.*first line is empty"),
    "only a header": ("a,b,y\n", "at least 10 rows.*got 0"),
    "one row": ("a,b,y\n1,2,3\n", "at least 10 rows.*got 1"),
    "nine rows": ("a,b,y\n" + ROWS[:ROWS.index("9,0,81")], "at least 10 rows.*got 9"),
    "no such column": ("a,b,c\n" + ROWS, "target must be one of the columns 'a', 'b', 'c', got 'y'"),
    "the target in other letters": ("a,b,Y\n" + ROWS, "got 'y'"),
    "semicolons": ("a;b;y\n1;2;3\n", "at least 10 rows.*got 1"),
    "spaces": ("a b y\n1 2 3\n", "columns 'a b y', got 'y'; cells must be separated by commas, semicol"),
    "no header": (ROWS, "its first line must be a header of column names, got 0, 0, 0$"),
    "the target alone": ("y\n1\n2\n", "a column beside the target 'y'"),
    "a name twice": ("a,a,y\n" + ROWS, "'a' stands in the header 2 times"),
    "no name": ("a,,y\n" + ROWS, "column 2 has none"),
    "text": ("a,b,y\n" + ROWS + "7,many,5\n", r"row 13 \(line 14\), column 'b' must be a number, got 'many'"),
    "text below a blank line": ("a,b,y\n\n1,2,3\n\n4,x,5\n",
                                r"row 2 \(line 5\), column 'b' must be a number, got 'x'"),
    "long text": ("a,b,y\n1," + 500 * "x" + ",3\n", "column 'b' must be a number, got 'x{40}...'$"),
    "an empty cell": ("a,b,y\n1,,3\n", "row 1.*column 'b' must be a number, got an empty cell"),
    "a spaced cell": ("a,b,y\n1,  ,3\n", "row 1.*column 'b' must be a number, got an empty cell"),
    "an underscore": ("a,b,y\n1,1_000,3\n", "column 'b' must be a number, got '1_000'"),
    "hexadecimal": ("a,b,y\n1,0x10,3\n", "column 'b' must be a number, got '0x10'"),
    "nan": ("a,b,y\n1,2,nan\n", "row 1.*column 'y' must be finite.*got 'nan'"),
    "inf": ("a,b,y\n1,-inf,3\n", "column 'b' must be finite.*got '-inf'"),
    "overflow": ("a,b,y\n1,2,1e999\n", "column 'y' must be finite.*got '1e999'"),
    "squares overflow": ("a,b,y\n1,2,-1e200\n", "column 'y' must be finite.*got '-1e200'"),
    "a value too many": ("a,b,y\n1,2,3\n1,2,3,4\n", r"row 2 \(line 3\) must have 3 values.*got 4"),
    "a value too few": ("a,b,y\n1,2\n", r"row 1 \(line 2\) must have 3 values.*got 2"),
    "a constant target": ("a,b,y\n" + re.sub(r"\d+\n", "7\n", ROWS),
                          "target 'y' must vary, got 7 in every row"),
    "an open quote": ('a,b,y\n1,"2,3\n4,5,6\n', "comma-separated values"),
    "not UTF-8": (b"a,b,y\n1,2,\xff\n", "UTF-8"),
    "Latin-1": ("größe,y\n1,2\n".encode("latin-1"), "line 1 must be text in UTF-8, got the byte 0xf6: save"),
    "Latin-1 later": ("a,y\n1,2\n3,\xb5\n".encode("latin-1"), "line 3 must be text in UTF-8.*0xb5"),
    "UTF-16": ("a,b,y\n1,2,x\n".encode("utf-16"), r"row 1 \(line 2\), column 'y' must be a number, got 'x'"),
    "UTF-16 cut short": ("a,b,y\n1,2,3\n".encode("utf-16")[:-1], "UTF-16.*truncated"),
    "compressed": (b"\x1f\x8b\x08\x00" + bytes(range(256)), "UTF-8, and is compressed by gzip: unpack"),
    "Excel": (b"PK\x03\x04" + bytes(range(256)), "an Excel workbook: save the table as CSV"),
    "?": ("a,b,y\n1,?,3\n", r"row 1 \(line 2\), column 'b' must be a number, got '\?': a missing value\? Leave"),
    "NA": ("a;b;y\n1;2;3\n1;2;NA\n", r"row 2 \(line 3\), column 'y' must be a number, got 'NA': a missing"),
    "a missing one": ("a,b,y\n1,,3\n", "got an empty cell: a missing value"),
    "nan is missing": ("a,b,y\n1,nan,3\n", "finite.*got 'nan': a missing value"),
    "a class": ("a,b,y\n1,2,setosa\n", "column 'y' must be a number, got 'setosa': a class. this study predicts a"),
    "points and commas": ("a;b;y\n1,5;2;3\n1.5;2;3\n", r"row 2 \(line 3\), column 'a' must have decimals as else"
                          r"where, got '1.5', but row 1 \(line 2\), column 'a' has '1,5': write all with points"),
    "thousands": ("a;b;y\n1.234,5;2;3\n", r"column 'a' must be a number, got '1\.234,5': are its commas thousands\?"),
    "millions": ("a;b;y\n1,234,567;2;3\n", "column 'a' must be a number, got '1,234,567': are its commas thous"),
    "quoted thousands": ('a,b,y\n"1,234",2,3\n', "column 'a' must be a number, got '1,234': are its commas thous"),
    "decimal commas between commas": ("a,b,y\n1,5,2,3\n", "row 1.*got 4; decimal commas need cells separated by ; or"),
    "an index that is none": (",a,y\n" + ROWS.replace("11,", "12,"), "column 1 has none"),
    "sep= and text": ("sep=;\na;y\n1;x\n", r"row 1 \(line 3\), column 'y' must be a number, got 'x'"),
    "zeros": (bytes(5000), "columns|comma-separated"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table(name, tmp_path, capsys, monkeypatch):
    """One line on stderr and status 2, before any work."""
    monkeypatch.setattr(command, "study", lambda *args, **kwargs: pytest.fail("work began"))
    content, says = BAD[name]
    path = tmp_path / ("missing.csv" if content is None else "t.csv")
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert run("uci", "--csv", str(path), "--target", "y", "--out", str(tmp_path)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"minibayes uci: error: {path}")
    assert re.search(says, err.rstrip()), err


NUMBERS = [[i, i % 3 + 0.5, -i * i / 8] for i in range(12)]


def written(separator=",", decimal=".", header=("a", "b", "the target"), end="\n", first=""):
    rows = [separator.join(f"{value:g}".replace(".", decimal) for value in row) + end for row in NUMBERS]
    return first + separator.join(header) + end + "".join(rows)



def indexed(start):
    """As pandas writes it."""
    rows = enumerate(written().splitlines()[1:], start)
    return ",a,b,the target\n" + "".join(f"{i},{row}\n" for i, row in rows)


GOOD = {
    "commas": written(), "semicolons": written(";"), "tabs": written("\t"), "decimal commas": written(";", ","),
    "tabs and decimal commas": written("\t", ","), "old line ends": written(end="\r"), "Windows": written(end="\r\n"),
    "an index": indexed(0), "spaces": written(", ", header=(" a", "b ", " the target ")),
    "quotes": written(header=('"a"', '"b"', '"the target"')), "tabs and quotes": written("\t", header=("a", "b", '"the target"')),
    "an index from 1": indexed(1),
    "spaces and quotes": written(", ", header=('"a"', '"b"', '"the target"')), "sep=": written(";", first="sep=;\r\n"),
    "quoted decimal commas": "a,b,the target\n" + "".join(
        ",".join(f'"{value:g}"'.replace(".", ",") for value in row) + "\n" for row in NUMBERS),
    "UTF-16": written().encode("utf-16"), "UTF-16, no mark": written().encode("utf-16-le"),
    "UTF-16, big": b"\xfe\xff" + written("\t", ",").encode("utf-16-be"), "UTF-16, big, no mark": written().encode("utf-16-be"),
    "a mark": b"\xef\xbb\xbf" + written().encode(), "UTF-32": written().encode("utf-32"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_table_as_it_is_found(name, tmp_path):
    path, content = tmp_path / "t.csv", GOOD[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    read = uci.read(path, "the target")
    assert read.names == ("a", "b") and read.target == "the target"
    assert np.column_stack([read.x, read.y]).tolist() == NUMBERS


def test_names_of_any_language(tmp_path):
    """é as one letter or as two; spaces around what was asked for."""
    path = tmp_path / "t.csv"
    path.write_text(written(header=("größe", "年", "e\u0301te\u0301")), encoding="utf-8")
    read = uci.read(path, " \u00e9t\u00e9 ")
    assert read.names == ("größe", "年") and read.target == "\u00e9t\u00e9"


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_a_table_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(written(";", ",").encode("utf-16"),))
    writer.start()
    assert uci.read(tmp_path / "pipe", "the target").x.shape == (12, 2)
    writer.join()


@pytest.mark.parametrize("target, classes", [([0, 1], True), ([1, 2, 3], True), ([-1, 1], True), ([0.5, 1], False),
                                             (range(12), False), ([0, 1, 2, 3, 4], False)])
def test_classes_are_not_regressed_on_in_silence(target, classes, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{i},{target[i % len(target)]}\n" for i in range(12)))
    with pytest.warns(UserWarning, match="'y' has only the values.*classes.*Categorical") if classes \
            else contextlib.nullcontext():
        uci.read(path, "y")


@pytest.mark.parametrize("path, says", [("{tmp}", "cannot be read: Is a directory"),
                                        ("a\0b", "cannot be read"), ("", "No such file")])
def test_a_bad_path(path, says, tmp_path):
    with pytest.raises(InputError, match=says):
        table.read(path.replace("{tmp}", str(tmp_path)), "y")


def test_huge_tables_are_refused_early(tmp_path, monkeypatch):
    """Too many numbers, and a line that does not end: an error while reading, not when the memory is full."""
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1,2\n" * 20)
    monkeypatch.setattr(table, "MOST_NUMBERS", 30)
    with pytest.raises(InputError, match="at most 30 numbers"):
        table.read(path, "y")
    monkeypatch.setattr(table, "LONGEST_LINE", 1000)
    path.write_text("a,y\n" + 2000 * "1")
    with pytest.raises(InputError, match="lines of at most 1,000 characters"):
        table.read(path, "y")
    if Path("/dev/zero").exists():
        with pytest.raises(InputError, match="lines of at most 1,000 characters"):
            table.read("/dev/zero", "y")


@pytest.mark.filterwarnings("default")
def test_the_command_line_asks_whether_these_are_classes(tmp_path, capsys, monkeypatch):
    """One line on stderr, and the work goes on: some numbers are few and whole."""
    def study(*args, **kwargs):
        raise InputError("the work began")

    monkeypatch.setattr(command, "study", study)
    path = tmp_path / "iris.csv"
    path.write_text("width;species\n" + "".join(f"{i},5;{i % 3}\n" for i in range(30)))
    assert run("uci", "--csv", str(path), "--target", "species", "--out", str(tmp_path)) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"minibayes uci: warning: {path}: the target 'species' has only the values 0, 1, 2: ")
    assert "Categorical()" in warning and error == "minibayes uci: error: the work began"
