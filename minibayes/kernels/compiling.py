"""njit and cfunc as every kernel wears them: Numba's, whose cache on disk may be missing, damaged, full or locked.

Without a place for the cache, code is compiled in every process; a file that is damaged is made anew. One warning says so.
"""

import hashlib
import pickle
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numba
from numba.core.compiler_lock import global_compiler_lock as COMPILER_LOCK  # noqa: F401, for forks

_warned = set()


def njit(*, cache: bool, **options: object) -> Callable:
    """numba.njit(cache=True, ...), with Numba's cache behind a `Cache`."""
    def decorate(function):
        compiled = numba.njit(**options)(function)
        if cache and hasattr(compiled, "enable_caching"):  # not with NUMBA_DISABLE_JIT=1
            try:
                compiled.enable_caching()
                compiled._cache = Cache(compiled._cache, sources(Path(function.__code__.co_filename).parent))
            except (RuntimeError, OSError) as error:  # "no locator available": nothing can be written anywhere
                warn(error)
        return compiled
    return decorate


def cfunc(signature: object) -> Callable:
    """numba.cfunc(signature, cache=True), or without the cache where that fails."""
    def decorate(function):
        try:
            return numba.cfunc(signature, cache=True)(function)
        except Exception as error:
            warn(error)
            return numba.cfunc(signature)(function)
    return decorate


class Cache:
    """Numba's cache of one function, with a checksum behind each file, that never stops the work.

    What cannot be read is compiled and written anew; what cannot be written is not kept. What was compiled from other sources is not
    used: `stamp` says from which, where Numba itself looks at the time of the function's own file alone.
    """

    def __init__(self, cache: object, stamp: str):
        self._cache, file = cache, cache._cache_file
        file._source_stamp = stamp
        file._dump, file._load_data = self._dump, self._load_data

    def __getattr__(self, name: str) -> object:
        return getattr(self._cache, name)

    def load_overload(self, *args: object) -> object | None:
        try:
            return self._cache.load_overload(*args)
        except Exception as error:  # whatever the bytes of a damaged pickle lead to
            warn(error, self._cache.cache_path)
            try:
                self._cache.flush()
            except OSError:
                self._cache.disable()
            return None

    def save_overload(self, *args: object) -> None:
        try:
            self._cache.save_overload(*args)
        except Exception as error:
            warn(error, self._cache.cache_path)

    def _dump(self, data):
        data = numba.core.serialize.dumps(data)
        return data + hashlib.sha256(data).digest()  # pickle.loads does not look behind its end

    def _load_data(self, name):
        with open(self._cache._cache_file._data_path(name), "rb") as file:
            data = file.read()
        if hashlib.sha256(data[:-32]).digest() != data[-32:]:
            raise EOFError(f"{name} is damaged")
        return pickle.loads(data[:-32])


@lru_cache
def sources(folder: Path) -> str:
    """A digest of a folder's Python files: a function is built from those it calls, whichever of the files they are in."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def warn(error: Exception, folder: str | None = None) -> None:
    """Once in a process."""
    if not _warned:
        _warned.add(True)
        where = f" in {folder}" if folder else ""
        warnings.warn(f"Numba's cache of compiled code{where} cannot be used ({type(error).__name__}: {error}): what is not "
                      "found there is compiled again, which takes up to half a minute. If this warning comes again, set "
                      "NUMBA_CACHE_DIR to a folder that can be written", RuntimeWarning, stacklevel=3)
