"""The frame of the studies: a new one is one class, and whatever fails then, what was found is not lost."""

import io
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

import minibayes
from minibayes import __main__, plots
from minibayes.studies import commands, frame
from minibayes.studies.frame import Count, Study

ROOT = Path(minibayes.__file__).parent.parent


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What a test defines is gone after it."""
    monkeypatch.setattr(frame, "COMMANDS", commands().copy())
    monkeypatch.setattr(minibayes.studies, "COMMANDS", frame.COMMANDS)


def define():
    class Coin(Study, name="coin", about="how fair is a coin?"):
        counts = {"throws": Count("K", "throws of the coin", 1, 10**6), "seeds": Count("S", "coins", 1, 9)}
        full, quick = {"throws": 10_000, "seeds": 2, "bias": 0.5}, {"throws": 100, "seeds": 1, "bias": 0.5}
        seen = []

        def run(self, settings, threads=None, progress=False):
            self.seen.append((settings, threads, progress))
            return {"heads": [7 for _ in settings["seeds"]]}, "±"

        def table(self, result):
            return f"heads: {result['heads'][0]} ± 1"

        def figure(self, result, figure_data):
            ax = plots.axis(2, 2)
            ax.set_title(figure_data)
            return ax

    return Coin


def run(*argv):
    try:
        return __main__.main(list(argv))
    except SystemExit as stopped:
        return stopped.code


def test_a_study_is_one_class(tmp_path, capsys):
    Coin = define()
    assert run("coin", "--quick", "--seed", "4", "--seeds", "3", "--threads", "2", "--out",
               str(tmp_path)) == 0
    settings = {"quick": True, "throws": 100, "bias": 0.5, "seeds": [4, 5, 6]}
    assert Coin.seen == [(settings, 2, True)]
    out, err = capsys.readouterr()
    assert out == "heads: 7 ± 1\n" and err == f"wrote {tmp_path}/coin.json and {tmp_path}/coin.png\n"
    written = json.loads((tmp_path / "coin.json").read_text())
    assert list(written) == ["settings", "versions", "heads"] and written["settings"] == settings
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coin.json", "coin.png"]
    assert run("coin", "--json", "--out", str(tmp_path)) == 0
    out, _ = capsys.readouterr()
    assert out == (tmp_path / "coin.json").read_text() and json.loads(out)["settings"]["throws"] == 10_000
    assert run("--help") == 0 and "how fair is a coin?" in capsys.readouterr().out
    assert run("coin", "--help") == 0
    assert "throws of the coin (default 10,000; quick: 100)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("argv, says", [
    (["--throws", "0"], "--throws must be in [1, 1000000], got 0"),
    (["--seeds", "10"], "--seeds must be in [1, 9]"),
    (["--seed", "-1"], "--seed must be >= 0, got -1"), (["--threads", "0"], "--threads must be >= 1, got 0"),
    (["--seed", str(2**64 - 1)], "--seed + --seeds must be in")])
def test_a_wrong_option_is_one_line_and_no_work(argv, says, tmp_path, capsys):
    Coin = define()
    assert run("coin", *argv, "--out", str(tmp_path / "new")) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"minibayes coin: error: {says}") and err.count("\n") == 1
    assert not Coin.seen and not (tmp_path / "new").exists()


@pytest.mark.parametrize("error, status",
                         [(OSError(28, "No space left on device"), 2), (MemoryError(), None)])
def test_a_failing_picture_loses_nothing_else(error, status, tmp_path, capsys, monkeypatch):
    """The JSON is there, the table was printed, stderr says what was written, and the status is not 0."""
    def fail(ax, path):
        raise error

    define()
    monkeypatch.setattr(plots, "save", fail)
    if status is None:
        with pytest.raises(MemoryError):
            run("coin", "--out", str(tmp_path))
    else:
        assert run("coin", "--out", str(tmp_path)) == status
    out, err = capsys.readouterr()
    assert out == "heads: 7 ± 1\n" and [p.name for p in tmp_path.iterdir()] == ["coin.json"]
    first, *rest = err.splitlines()
    assert first == f"wrote {tmp_path}/coin.json" and len(rest) == (status is not None)


def test_json_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    """On a full disk the table still comes out."""
    def full(path, result):
        raise OSError(28, "No space left on device")

    define()
    monkeypatch.setattr(frame, "write_json", full)
    assert run("coin", "--out", str(tmp_path)) == 2
    out, err = capsys.readouterr()
    assert out == "heads: 7 ± 1\n" and [p.name for p in tmp_path.iterdir()] == ["coin.png"]
    assert err.splitlines()[0] == f"wrote {tmp_path}/coin.png" and "No space left" in err.splitlines()[1]


def test_a_reader_that_has_had_enough_still_gets_the_picture(tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    define()
    monkeypatch.setattr(sys, "stdout", Closed())
    assert run("coin", "--out", str(tmp_path)) == 141
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coin.json", "coin.png"]


def test_streams_that_cannot_say_it(monkeypatch):
    """ASCII has no ±, cp866 has ° alone; a stream that is closed is None, or says so; one has `write` alone."""
    for encoding, said in (("ascii", b"1 +- 2 deg ?\n"), ("iso8859-2", b"1 +- 2\xb0 ?\n"),
                           ("cp866", b"1 +- 2\xf8 ?\n"), ("latin-1", b"1 \xb1 2\xb0 ?\n")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        frame.say("1 ± 2° λ" if encoding != "cp866" else "1 ± 2° ł", stream)
        assert stream.buffer.getvalue() == said
    closed, only_write = io.StringIO(), Namespace(write=lambda text: seen.append(text))
    closed.close()
    for stream in (None, closed):
        frame.say("nobody hears", stream)
    seen = []
    frame.say("1 ± 2", only_write)
    assert "".join(seen) == "1 ± 2\n"


def full(text):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [None, "closed", Namespace(), Namespace(write=full)], ids=["none", "closed", "no write", "full"])
def test_the_last_line_on_a_stderr_that_cannot_say_it(stream, tmp_path, monkeypatch, capsys):
    """What is found is printed and written, with status 0; only stdout and the files matter."""
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    define()
    monkeypatch.setattr(sys, "stderr", stream)
    assert run("coin", "--out", str(tmp_path)) == 0
    assert capsys.readouterr().out == "heads: 7 ± 1\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coin.json", "coin.png"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
def test_closed_streams():
    """With stderr closed the JSON on stdout is still JSON.

    With both closed the status still says how it went.
    """
    command = f"'{sys.executable}' -m minibayes check --only weights-dense --json"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(f"{command} 2>&-", shell=True, env=env, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["claims"][0]["passed"] is True
    assert subprocess.run(f"{command} >&- 2>&-", shell=True, env=env).returncode == 0


def test_everything_in_the_folder_is_found():
    known = {"mnist", "regression", "uci", "rotate", "ood", "debug", "names", "posteriors", "keep", "sparsify", "compress", "peers",
             "train", "predict", "check", "bench"}
    assert known <= set(commands())
    assert all(command.name == name and command.about for name, command in commands().items())
