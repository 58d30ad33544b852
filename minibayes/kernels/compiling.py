"""@njit as every kernel wears it."""

from numba.core.compiler_lock import global_compiler_lock as COMPILER_LOCK  # noqa: F401
