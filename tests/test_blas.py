"""Matrix products of compiled code: NumPy's BLAS called by address, whichever was loaded first, and what stands in for it."""

import ctypes
import importlib.util
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import llvmlite.binding
import numpy as np
import pytest
from numba import cfunc, njit, types

import minibayes
from minibayes.kernels import blas, library, tiles


@lru_cache
def loops(real):
    """Compiled once: it takes seconds."""
    return cfunc(blas.signature(real))(tiles.product)


@njit
def compiled(ta, tb, a, b, beta, c):
    blas.gemm(ta, tb, a, b, beta, c)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_matrix_products_of_compiled_code(ta, tb, dtype):
    """NumPy's BLAS, called by address, and the loops that stand in where it is not found, on matrices that are parts of larger ones."""
    routine = loops({np.float32: types.float32, np.float64: types.float64}[dtype]).ctypes

    def by_loops(ta, tb, a, b, beta, c):
        m, k = a.shape[::-1] if ta else a.shape
        pointers = [m_.ctypes.data_as(ctypes.POINTER(ctypes.c_float if dtype == np.float32 else ctypes.c_double)) for m_ in (a, b, c)]
        lds = [m_.strides[0] // m_.itemsize for m_ in (a, b, c)]
        routine(101, 112 if ta else 111, 112 if tb else 111, m, c.shape[1], k, 1.0, pointers[0], lds[0], pointers[1], lds[1], beta,
                pointers[2], lds[2])

    rng = np.random.default_rng(0)
    A, B, C = (rng.standard_normal(shape).astype(dtype) for shape in ((7, 5), (5, 3), (7, 3)))
    a, b = np.zeros((5, 9) if ta else (7, 7), dtype), np.zeros((3, 6) if tb else (5, 4), dtype)
    a, b = a[:, :7 if ta else 5], b[:, :5 if tb else 3]
    a[...], b[...] = A.T if ta else A, B.T if tb else B
    for product in (compiled, by_loops, blas.gemm):
        for beta in (0.0, 1.0, -2.0):
            whole = np.full((7, 5), np.nan, dtype)
            c = whole[:, 1:4]
            if beta:
                c[...] = C
            product(ta, tb, a, b, beta, c)
            np.testing.assert_allclose(c, A @ B + (beta * C if beta else 0), rtol=1e-5 if dtype == np.float32 else 1e-13)
            assert np.isnan(whole[:, [0, 4]]).all()


def run(code, *arguments, **environment):
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(Path(minibayes.__file__).parent.parent)} | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("names, bits", [
    ({"scipy_cblas_sgemm64_"}, 64), ({"cblas_sgemm64_", "cblas_sgemm"}, 64), ({"cblas_sgemm_64", "cblas_sgemm"}, 64),
    ({"cblas_sgemm$NEWLAPACK$ILP64", "cblas_sgemm$NEWLAPACK", "cblas_sgemm"}, 64), ({"cblas_sgemm$NEWLAPACK", "cblas_sgemm"}, 32),
    ({"cblas_sgemm"}, 32), ({"scipy_cblas_sgemm"}, 32)],
    ids=lambda names: "-".join(sorted(names)) if isinstance(names, set) else str(names))
def test_entry_points_by_name(names, bits):
    """OpenBLAS as wheels have it, as distributions have it, MKL, Accelerate; integers of 64 bits wherever there are."""
    stub = type("Handle", (), {name: ctypes.c_void_p(1000 + len(name)) for name in names})()
    address, found, name = library.Library(stub).product("s")
    assert found == bits and name in names and address == 1000 + len(name)
    assert library.Library(type("Handle", (), {})()).product("s") is None


def test_the_first_file_with_a_product():
    """Not one that cannot be loaded, nor one without both products; Accelerate by its path."""
    def load(file):
        if file == "missing":
            raise OSError(file)
        names = {"none": [], "half": ["cblas_sgemm"], library.ACCELERATE: ["cblas_sgemm$NEWLAPACK$ILP64", "cblas_dgemm$NEWLAPACK$ILP64"]}
        return type("Handle", (), {name: ctypes.c_void_p(8) for name in names[file]})()

    files = [(name, name) for name in ("missing", "none", "half", library.ACCELERATE)]
    found = library.numpy_blas(files, load)
    assert "Accelerate" in found.path and found.name() == "Accelerate (Accelerate)"
    assert library.numpy_blas(files[:3], load) is None


@pytest.mark.skipif(not blas.NUMPY or "numpy.libs" not in blas.NUMPY.path, reason="NumPy's BLAS is not beside it")
def test_a_library_that_was_loaded_first(tmp_path):
    """A BLAS that another package brought along before is not taken in place of NumPy's own."""
    own = Path(blas.NUMPY.path)
    other = tmp_path / ("libopenblas" + "0" * (len(own.stem) - 11) + ".so")  # a copy under a name of its own, inside too
    other.write_bytes(own.read_bytes().replace(own.name.encode() + b"\0", other.name.encode() + b"\0"))
    code = """
import ctypes, sys
ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
from threadpoolctl import threadpool_info
from minibayes.kernels import blas
assert any(lib["filepath"] == sys.argv[1] for lib in threadpool_info())
print(blas.NUMPY.path)
"""
    assert run(code, os.path.realpath(other), LD_LIBRARY_PATH=str(own.parent)) == blas.NUMPY.path


def test_integers_of_32_bits():
    """A library whose integers have 32 bits, behind the signature with 64."""
    pointer, integer = types.CPointer(types.float32), types.int32
    narrow = types.void(*[integer] * 6, types.float32, pointer, integer, pointer, integer, types.float32, pointer, integer)

    @cfunc(narrow)
    def narrow(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        for i in range(m):
            for j in range(n):
                total = np.float32(0)
                for l in range(k):
                    total += a[i * lda + l] * b[l * ldb + j]
                c[i * ldc + j] = alpha * total

    llvmlite.binding.add_symbol("minibayes_sgemm_32", narrow.address)
    wide = cfunc(blas.signature(types.float32))(blas.shim("s", types.float32))
    a, b, c = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 2), np.float32), np.zeros((2, 2), np.float32)
    at = [m.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for m in (a, b, c)]
    wide.ctypes(101, 111, 111, 2, 2, 3, 1.0, at[0], 3, at[1], 2, 0.0, at[2], 2)
    assert (c == a @ b).all()


STEP = """
import numpy as np, minibayes as mb
from minibayes.kernels import blas
x, y = np.random.default_rng(0).random((64, 28, 28, 1)).astype(np.float32), np.arange(64) % 10
model = mb.BayesianNetwork(mb.models.lenet("all"))
model.fit(x, y, steps=2)
print(blas.BOUND, "|", float(model.params["fc2"]["M"].sum()), model.predict(x, samples=3).mean[0, 0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("choice, said", [("numpy", ""), ("loops", "loops"), ("scipy", "SciPy")])
def test_the_choice_of_the_environment(choice, said):
    if choice == "scipy" and not importlib.util.find_spec("scipy"):
        pytest.skip("SciPy is not installed")
    bound, numbers = run(STEP, MINIBAYES_BLAS=choice).split("|")
    expected = run(STEP, MINIBAYES_BLAS="").split("|")[1]
    assert said in bound
    np.testing.assert_allclose([float(n) for n in numbers.split()], [float(n) for n in expected.split()], rtol=2e-3)


def test_a_choice_that_is_none():
    done = subprocess.run([sys.executable, "-c", "import minibayes"], capture_output=True, text=True,
                          env=os.environ | {"MINIBAYES_BLAS": "none"})
    assert done.stderr.strip().endswith("ImportError: MINIBAYES_BLAS must be numpy, scipy or loops, got 'none'")
