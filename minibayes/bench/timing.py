"""Interleaved medians: what is compared is measured in turns, in one run, as a machine's speed drifts."""

import statistics
import time
from collections.abc import Callable

import numpy as np


def seconds(function: Callable, *args: object) -> float:
    began = time.perf_counter()
    function(*args)
    return time.perf_counter() - began


def interleaved(candidates: dict, rounds: int, pause: float = 0.2) -> dict[str, float]:
    """{name: median seconds} of the callables {name: f}, called in every round; the first one warms up."""
    times = {name: [] for name in candidates}
    for counted in range(rounds + 1):
        for name, function in candidates.items():
            # OpenBLAS's threads spin for a tenth of a second after their work, where the next would run.
            time.sleep(pause)
            took = seconds(function)
            if counted:
                times[name].append(took)
    return {name: statistics.median(values) for name, values in times.items()}


class Sgemm:
    """One large square float32 product by NumPy, on all of BLAS's threads: the machine's arithmetic limit."""

    def __init__(self, size: int = 3000):
        rng = np.random.default_rng(0)
        self.a, self.b = (rng.standard_normal((size, size)).astype(np.float32) for _ in range(2))
        self.out, self.flop = np.empty_like(self.a), 2 * size**3

    def __call__(self) -> None:
        np.matmul(self.a, self.b, out=self.out)
