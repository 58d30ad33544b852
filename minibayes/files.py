"""A file is written whole or not at all: a temporary file beside it takes its name once it is complete."""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LEFT = 3600  # seconds after which a temporary file is taken for left behind where there are no locks
TEMPORARY = re.compile(r"\.minibayes-[0-9a-f]{16}\.part")  # short, so that any legal name can be written


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file to write bytes into; `path` names it when the block has ended without an error. Or an OSError.

    Symbolic links are followed: what they point to is replaced, not they. Any number of processes may write
    to one path at once: the last to end wins. The writer holds a lock, which ends with its process, be it by
    kill -9; so the next one that writes into the folder knows what was left there and removes it.
    """
    target = resolved(path)
    sweep(target.parent)
    temporary, file = begin(target.parent)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl:
                os.replace(temporary, target)  # while it is locked
        if not fcntl:
            os.replace(temporary, target)  # an open file has no new name there
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def resolved(path: str | os.PathLike) -> Path:
    """Where `path` leads, a file or nothing yet: a device or a pipe must not be replaced by a file."""
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return target


def begin(folder: Path) -> tuple[Path, BinaryIO]:
    """A new temporary file in `folder`, locked, with the permissions that any new file has."""
    while True:
        temporary = folder / f".minibayes-{secrets.token_hex(8)}.part"
        file = open(temporary, "xb")
        if not locked(file, wait=True) or os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # swept away by another process between these two lines


def locked(file: BinaryIO, wait: bool = False) -> bool:
    """Whether this process has the lock of `file` now: not if another has it, or the system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def sweep(folder: Path) -> None:
    """Remove temporary files in `folder` that are not locked, or, without locks, are an hour old."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if TEMPORARY.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                if fcntl is None:  # a file that somebody has open cannot be removed there
                    if time.time() - os.stat(folder / name).st_mtime > LEFT:
                        os.unlink(folder / name)
                    continue
                with open(folder / name, "rb") as file:
                    if locked(file):
                        os.unlink(folder / name)
