"""Every Numba loop of the package: arrays in, arrays out. Each docstring is the naive loop nest that the kernel computes.

A function may be built from those of another file: the cache on disk notices a change in any file of this folder (compiling.py).
All kernels are single-threaded and release the GIL; `fast.parallel` runs them side by side on shards of a batch.
"""

from .bernoulli import bernoulli
from .class_summary import class_summary
from .convpool import conv_backward, conv_pool, conv_pool_value, noisy_max_pool, noisy_max_pool_value, scatter
from .dawson import dawson
from .dense import dense, dense_stack, dense_stack_backward, sparse_product
from .each_weight import each_weight, each_weight_backward
from .gru import gru, gru_backward
from .im2col import col2im, im2col
from .local import local_columns, local_delta_columns, local_gradient
from .lstm import lstm, lstm_backward
from .mixture import mixture_quantile
from .normal import gaussian, gaussian32
from .patches import Geometry, add_lines, lines, planes, respond
from .philox import philox, uniform
from .pool import expected_max_pool, max_pool, max_pool_backward, noisy_max_pool_backward
from .range_coder import decode, encode
from .rise import NO_RISE, RELU, TANH, rise_and_slope, rise_in_place, tanh, times_slope
from .seating import restaurant
from .sparse import Lines, compact, pooled_conv_dM, pooled_conv_dx, strips
from .update import adam, adam_shards, add_shards, sgd, sgd_shards, square_sum
from .wide import adam_rows, delta_columns, dense_columns, sgd_rows

__all__ = [
    "NO_RISE", "RELU", "TANH", "Geometry", "Lines", "adam", "adam_rows", "adam_shards", "add_lines", "add_shards", "bernoulli",
    "class_summary", "col2im", "compact", "conv_backward", "conv_pool", "conv_pool_value", "dawson", "decode", "delta_columns", "dense",
    "dense_columns", "dense_stack", "dense_stack_backward", "each_weight", "each_weight_backward", "encode", "expected_max_pool",
    "gaussian", "gaussian32", "gru", "gru_backward", "im2col", "lines", "local_columns", "local_delta_columns", "local_gradient", "lstm",
    "lstm_backward", "max_pool", "max_pool_backward", "mixture_quantile", "noisy_max_pool", "noisy_max_pool_backward",
    "noisy_max_pool_value", "philox", "planes", "pooled_conv_dM", "pooled_conv_dx", "respond", "restaurant", "rise_and_slope",
    "rise_in_place", "scatter", "sgd", "sgd_rows", "sgd_shards", "sparse_product", "square_sum", "strips", "tanh", "times_slope",
    "uniform",
]
