"""Every Numba loop of the package: arrays in, arrays out. Each docstring is the naive loop nest that the kernel computes.

The files never import each other: Numba's on-disk cache notices a change in a kernel's own file only.
All kernels are single-threaded and release the GIL; `nn.parallel` runs them side by side on shards of a batch.
"""

from .im2col import col2im, im2col
from .philox import bernoulli, gaussian, philox
from .pool import expected_max_pool, max_pool, max_pool_backward
from .update import adam, sgd

__all__ = ["adam", "bernoulli", "col2im", "expected_max_pool", "gaussian", "im2col", "max_pool", "max_pool_backward",
           "philox", "sgd"]
