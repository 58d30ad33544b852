"""M ~ U[-a, a]: the schemes that weights start from."""

import numpy as np
from numpy.typing import DTypeLike

INITS = ("xavier", "he", "lecun")


def initial(rng: np.random.Generator, shape: tuple, fan_in: int, fan_out: int, init: str, mean: float,
            dtype: DTypeLike) -> np.ndarray:
    """M with E[W] = E[z] M ~ U[-a, a], so that the mean weights start with the variance the scheme asks for.

    a^2 = 6/(fan_in + fan_out) (xavier: Glorot and Bengio 2010), 6/fan_in (he: He et al. 2015), 3/fan_in
    (lecun: also the "xavier" filler of Caffe, which the paper's solvers use).
    """
    a2 = {"xavier": 6 / (fan_in + fan_out), "he": 6 / fan_in, "lecun": 3 / fan_in}[init]
    return (rng.uniform(-1, 1, shape) * np.sqrt(a2) / mean).astype(dtype)
