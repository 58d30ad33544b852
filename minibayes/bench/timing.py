"""Interleaved medians: what is compared is measured in turns, in one run, so that a machine whose speed drifts drifts for all alike."""

import statistics
import time

import numpy as np


def seconds(function, *args):
    began = time.perf_counter()
    function(*args)
    return time.perf_counter() - began


def interleaved(candidates, rounds, pause=0.2):
    """{name: median seconds} of the callables {name: f}, each called once in every round; the first round warms up and is not counted."""
    times = {name: [] for name in candidates}
    for counted in range(rounds + 1):
        for name, function in candidates.items():
            time.sleep(pause)  # OpenBLAS's threads spin for a tenth of a second after their work, on the processor that the next needs
            took = seconds(function)
            if counted:
                times[name].append(took)
    return {name: statistics.median(values) for name, values in times.items()}


class Sgemm:
    """One large square matrix product in float32 by NumPy, on as many threads as BLAS has: the machine's arithmetic limit."""

    def __init__(self, size=3000):
        rng = np.random.default_rng(0)
        self.a, self.b = (rng.standard_normal((size, size)).astype(np.float32) for _ in range(2))
        self.out, self.flop = np.empty_like(self.a), 2 * size**3

    def __call__(self):
        np.matmul(self.a, self.b, out=self.out)
