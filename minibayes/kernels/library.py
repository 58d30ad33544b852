"""NumPy's own BLAS: the library that its compiled core is linked to, its entry points and its number of threads. No Numba here.

A symbol is looked up through the handle of NumPy's extension module: the loader then searches what that module is linked to, under
whatever name, and not what another package happened to load before. Where a handle does not reach its dependencies (Windows), the
libraries that threadpoolctl lists are asked, NumPy's own folder first.
"""

import ctypes
import importlib
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"

# (the name of cblas_?gemm, bits of its integers), 64 bits first: a library may have both.
PRODUCTS = (
    ("scipy_cblas_{}gemm64_", 64), ("cblas_{}gemm64_", 64), ("cblas_{}gemm_64", 64), ("cblas_{}gemm$NEWLAPACK$ILP64", 64),
    ("scipy_cblas_{}gemm", 32), ("cblas_{}gemm$NEWLAPACK", 32), ("cblas_{}gemm", 32),
)
AFFIXES = (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "_64"), ("", ""))  # before and after OpenBLAS's own names


class Library:
    """One loaded BLAS: `handle` is searched for symbols; `path` says where it is, as far as that is known."""

    def __init__(self, handle: ctypes.CDLL, path: str = ""):
        self.handle, self.path = handle, path

    def product(self, letter: str) -> tuple[int, int, str] | None:
        """(address, bits of an integer, name) of cblas_?gemm, or None. letter "s": float32, "d": float64."""
        for name, bits in PRODUCTS:
            address = address_of(self.handle, name.format(letter))
            if address:
                return address, bits, name.format(letter)
        return None

    def openblas(self, name: str, result: type = ctypes.c_int, arguments: tuple = ()) -> object | None:
        """OpenBLAS's function openblas_<name>, or None. A handle of its own: argument types are not another caller's."""
        for prefix, suffix in AFFIXES:
            address = address_of(self.handle, f"{prefix}openblas_{name}{suffix}")
            if address:
                return ctypes.CFUNCTYPE(result, *arguments)(address)
        return None

    def openmp(self, name: str, result: type | None = ctypes.c_int, arguments: tuple = ()) -> object | None:
        """omp_<name> of the OpenMP that the library is linked to, or None."""
        address = address_of(self.handle, f"omp_{name}")
        return ctypes.CFUNCTYPE(result, *arguments)(address) if address else None

    def name(self) -> str:
        """What it is, as far as it says: "OpenBLAS 0.3.31 SkylakeX (libscipy_openblas64_.so)"."""
        config, core = self.openblas("get_config", ctypes.c_char_p), self.openblas("get_corename", ctypes.c_char_p)
        words = config().decode().split()[:2] if config else [self._kind()]
        return " ".join([*words, *([core().decode()] if core else []), f"({Path(self.path).name})"])

    def _kind(self):
        stem = self.path.lower()
        kinds = {"accelerate": "Accelerate", "veclib": "Accelerate", "mkl": "MKL", "blis": "BLIS", "flexiblas": "FlexiBLAS"}
        mkl = address_of(self.handle, "MKL_Get_Max_Threads")
        return next((kind for part, kind in kinds.items() if part in stem), "MKL" if mkl else "BLAS")


def address_of(handle: object, symbol: str) -> int | None:
    try:
        return ctypes.cast(getattr(handle, symbol), ctypes.c_void_p).value
    except AttributeError:
        return None


class _Info(ctypes.Structure):
    _fields_ = (("path", ctypes.c_char_p), ("base", ctypes.c_void_p), ("symbol", ctypes.c_char_p), ("address", ctypes.c_void_p))


def path_of(address: int) -> str:
    """The file that code at `address` was loaded from, "" where the system does not say."""
    info = _Info()
    try:
        found = ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(info))
    except (AttributeError, OSError, TypeError):  # Windows
        return ""
    return str(Path(info.path.decode(errors="replace")).resolve()) if found and info.path else ""


def numpy_core() -> str | None:
    """The file of NumPy's compiled core, which is linked to its BLAS."""
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        if file.endswith(tuple(EXTENSION_SUFFIXES)):
            return file
    return None


def candidates() -> Iterator[tuple[str, str]]:
    """(a file to look symbols up in, its path if that is the library itself), the best first; most often the first will do."""
    core = numpy_core()
    if core:
        yield core, ""
    listed = [library["filepath"] for library in ThreadpoolController().info() if library["user_api"] == "blas"]
    home = Path(np.__file__).parent
    own = (str(home), str(home.with_name("numpy.libs")))
    yield from ((path, path) for path in sorted(listed, key=lambda path: not path.startswith(own)))
    if sys.platform == "darwin":
        yield ACCELERATE, ACCELERATE


def numpy_blas(files: Iterable[tuple[str, str]] | None = None, load: object = ctypes.CDLL) -> Library | None:
    """The Library of the first of `files` in which a product is found: NumPy's own by default."""
    for file, path in candidates() if files is None else files:
        try:
            library = Library(load(file), path)
        except OSError:
            continue
        found = library.product("s")
        if found and library.product("d"):
            library.path = path_of(found[0]) or path or file
            return library
    return None


def scipy_product(letter: str) -> int | None:
    """The address of ?gemm, as Fortran calls it with 32-bit integers, that SciPy lends to compiled code; None without SciPy."""
    try:
        capsules = importlib.import_module("scipy.linalg.cython_blas").__pyx_capi__
        capsule = capsules[f"{letter}gemm"]
    except (ImportError, AttributeError, KeyError):
        return None
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, name(capsule))
