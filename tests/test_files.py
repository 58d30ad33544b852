"""Files are written whole or not at all, side by side, under any legal name, through links, and without leftovers."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import minibayes as mb
from minibayes import files, nn, plots, storage
from minibayes.studies import frame

ROOT = Path(mb.__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="links, locks and signals as on POSIX")


def save_model(path):
    model = mb.BayesianNetwork(mb.models.mlp([3, 2]))
    model.params = model.net.init(0)
    model.save(path)


def save_json(path):
    frame.write_json(path, {"a": 1})


def save_picture(path):
    plots.save(plots.axis(2, 2), path)


WRITERS = {"model.npz": save_model, "result.json": save_json, "picture.png": save_picture}


@pytest.fixture(params=WRITERS)
def writer(request):
    """(what writes a file, the end of its name)."""
    return WRITERS[request.param], request.param


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("length", [240, 251, 255])
def test_any_legal_name(writer, length, tmp_path):
    write, name = writer
    path = tmp_path / name.rjust(length, "a")
    for _ in range(2):
        write(path)
    assert names(tmp_path) == [path.name] and path.stat().st_size > 5


@posix
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_one(writer, exists, tmp_path):
    """What it points to, in another folder, is written: also where nothing is yet, and through two links."""
    write, name = writer
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    target, first, second = tmp_path / "there" / name, tmp_path / "here" / f"1{name}", tmp_path / "here" / f"2{name}"
    first.symlink_to(Path("..") / "there" / name)
    second.symlink_to(first.name)
    if exists:
        target.write_bytes(b"old")
    write(second)
    assert first.is_symlink() and second.is_symlink() and not target.is_symlink()
    assert target.stat().st_size > 5 and names(target.parent) == [name]
    assert names(first.parent) == [first.name, second.name]


@posix
def test_what_is_no_file_is_not_replaced(writer, tmp_path):
    """A pipe, a folder, a link to itself: one OSError (or FileError), and they stay what they are."""
    write, name = writer
    os.mkfifo(tmp_path / f"pipe-{name}")
    (tmp_path / f"folder-{name}").mkdir()
    (tmp_path / f"loop-{name}").symlink_to(f"loop-{name}")
    for kind, says in (("pipe", "Not a regular file"), ("folder", "Is a directory"), ("loop", "symbolic links")):
        before = (tmp_path / f"{kind}-{name}").lstat()
        with pytest.raises((OSError, storage.FileError), match=says):
            write(tmp_path / f"{kind}-{name}")
        assert (tmp_path / f"{kind}-{name}").lstat().st_ino == before.st_ino
    assert len(names(tmp_path)) == 3


def test_two_at_once(tmp_path):
    """Each of two writers finishes its own file; what is there in the end is whole and one of theirs."""
    path, both = tmp_path / "a.json", threading.Barrier(2)
    errors = []

    def write(text):
        try:
            for _ in range(20):
                with files.whole(path) as file:
                    file.write(text[:1000])
                    both.wait(10)
                    file.write(text[1000:])
        except BaseException as error:
            errors.append(error)
            both.abort()

    texts = [b"a" * 3000, b"b" * 3000]
    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and path.read_bytes() in texts and names(tmp_path) == ["a.json"]


KILLED = """
import sys, time
from minibayes import files
with files.whole(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


@posix
def test_kill_9_leaves_nothing_that_the_next_write_does_not_remove(tmp_path):
    """And what another process is still writing stays."""
    write, name = save_model, "model.npz"
    children = [subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / name)], stdout=subprocess.PIPE,
                                 text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}) for _ in range(2)]
    try:
        for child in children:
            assert child.stdout.readline() == "writing\n"
        assert len(names(tmp_path)) == 2
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        write(tmp_path / name)
        assert len(names(tmp_path)) == 2 and name in names(tmp_path), "that of the second, and the file"
    finally:
        for child in children:
            child.kill()
            child.communicate()
    write(tmp_path / name)
    assert names(tmp_path) == [name]


def test_files_of_others_stay(tmp_path):
    """Only what has the name of a temporary file of minibayes' own is ever removed."""
    others = [".a.json.part", ".minibayes-x.part", ".minibayes-0123456789abcdef.part.txt", "x.part"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".minibayes-0123456789abcdef.part").touch()
    save_json(tmp_path / "a.json")
    left = [] if files.fcntl else [".minibayes-0123456789abcdef.part"]
    assert names(tmp_path) == sorted([*others, *left, "a.json"])


def test_no_locks(monkeypatch, tmp_path, writer):
    """Where the system or the file system has none, everything but the sweeping works."""
    write, name = writer
    if files.fcntl:
        def refused(*args):
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(files.fcntl, "flock", refused)
        write(tmp_path / name)
    monkeypatch.setattr(files, "fcntl", None)
    write(tmp_path / name)
    assert names(tmp_path) == [name]


def test_without_locks_what_is_an_hour_old_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "fcntl", None)
    old, new = (tmp_path / f".minibayes-{digit * 16}.part" for digit in "01")
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - files.LEFT - 60,) * 2)
    save_json(tmp_path / "a.json")
    assert names(tmp_path) == [new.name, "a.json"]


def test_names_that_cannot_be(tmp_path):
    for name in ("a\0b.npz", "a" * 256):
        with pytest.raises(mb.InputError, match="cannot write|must be the path"):
            save_model(tmp_path / name)
    assert not names(tmp_path)


def test_a_swept_beginning_is_begun_anew(tmp_path, monkeypatch):
    """Another process may sweep between the making of a temporary file and its lock."""
    made, real = [], files.locked

    def locked(file, wait=False):
        if wait and not made:
            made.append(file.name)
            os.unlink(file.name)
        return real(file, wait)

    monkeypatch.setattr(files, "locked", locked)
    save_json(tmp_path / "a.json")
    assert made and names(tmp_path) == ["a.json"]


def test_bytes_are_the_same_as_ever(tmp_path):
    """The JSON ends in a line feed on every system, and a model loads."""
    save_json(tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b'{\n "a": 1\n}\n'
    model = mb.BayesianNetwork(nn.Network(fc=nn.Dense(3, 2)))
    model.params = model.net.init(1)
    model.save(tmp_path / "m.npz")
    assert np.array_equal(mb.load(tmp_path / "m.npz").params["fc"]["M"], model.params["fc"]["M"])
