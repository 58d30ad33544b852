"""Numba's cache on disk without a place, damaged, truncated, full or locked: the right numbers, and one warning that says what to set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minibayes.kernels import compiling

WORK = """
import errno, importlib.util, sys, warnings
from numba.core import caching
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    spec = importlib.util.spec_from_file_location("compiling", {compiling!r})  # alone: importing the package takes seconds
    sys.modules["compiling"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["compiling"])
    import small
    assert small.twice(4) == 8
said = [str(w.message) for w in caught if "NUMBA_CACHE_DIR" in str(w.message)]
print(len(said), sum(small.twice.stats.cache_hits.values()))
print(*said)
"""

KERNEL = """
from compiling import njit

@njit(nogil=True, cache=True)
def twice(x):
    return 2 * x
"""


def work(folder, before="", **environment):
    """(warnings, kernels taken from the cache) of a fresh process."""
    small = folder / "small.py"
    if not small.exists():
        small.write_text(KERNEL)
    script = WORK.format(before=before, compiling=str(Path(compiling.__file__)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          env=os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(folder)} | environment)
    assert done.returncode == 0, done.stderr
    assert "\n" not in done.stdout.strip().split("\n", 1)[-1]
    return tuple(map(int, done.stdout.split()[:2]))


def cut(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 255
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


def block(path):
    """What cannot be opened, nor replaced, by any user."""
    path.unlink()
    (path / "x").mkdir(parents=True)


@pytest.mark.parametrize("kind, damage, healed", [
    ("nbc", cut, True), pytest.param("nbi", cut, True, marks=pytest.mark.slow), pytest.param("nbc", flip, True, marks=pytest.mark.slow),
    pytest.param("nbi", empty, True, marks=pytest.mark.slow), pytest.param("nbi", block, False, marks=pytest.mark.slow)])
def test_a_damaged_cache(kind, damage, healed, tmp_path):
    """Compiled again with one warning; the next process finds what was written anew, or warns again if that failed."""
    assert work(tmp_path) == (0, 0)
    files = [path for path in Path(tmp_path).rglob(f"small*.{kind}")]
    assert files
    for path in files:
        damage(path)
    assert work(tmp_path) == (1, 0)
    assert work(tmp_path) == ((0, 1) if healed else (1, 0))


@pytest.mark.slow
def test_a_change_in_another_file_of_the_folder(tmp_path):
    """A kernel is built from functions of other files: with one of those changed, what is in the cache is not it."""
    (tmp_path / "part.py").write_text(KERNEL)
    small = KERNEL.replace("return 2 * x", "return part.twice(x)").replace("from comp", "import part\nfrom comp")
    (tmp_path / "small.py").write_text(small)
    assert work(tmp_path) == (0, 0) and work(tmp_path) == (0, 1)
    (tmp_path / "part.py").write_text(KERNEL.replace("2 * x", "x + x"))
    assert work(tmp_path) == (0, 0) and work(tmp_path) == (0, 1)


def test_no_place_for_the_cache(tmp_path):
    """A read-only install and no HOME: as Numba finds it then."""
    assert work(tmp_path, "caching.CacheImpl._locator_classes = []") == (1, 0)


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    full = """
def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")
caching.IndexDataCacheFile._save_data = full
"""
    assert work(tmp_path, full) == (1, 0)
    assert work(tmp_path)[1] == 0 and work(tmp_path) == (0, 1)
