"""Gradients of more shards than there is room for: in waves, with the same bits, in memory that does not grow with the batch."""

import subprocess
import sys

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, models, nn, run
from minibayes.fast import memory

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((90, 6)).astype(np.float32), rng.integers(0, 3, 90)


class Halved(nn.Optimizer):
    """An optimizer of one's own: theta' = theta - g / 2."""

    def init(self, params):
        return {"step": 0}

    def update(self, params, grads, state):
        new = {layer: {p: a - np.asarray(grads[layer][p] / 2, a.dtype) for p, a in group.items()} for layer, group in params.items()}
        return new, {"step": state["step"] + 1}


@pytest.mark.parametrize("noise", [nn.Bernoulli(0.5), nn.Gaussian(0.5), nn.LearnedGaussian()], ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("optimizer", [nn.SGD(0.01, momentum=0.9), nn.Adam(1e-2), Halved(0.1)], ids=lambda o: type(o).__name__)
def test_waves_have_the_same_bits(optimizer, noise, monkeypatch):
    monkeypatch.setattr(run, "SMALL", 0)
    monkeypatch.setattr(run, "SHARD", 4)
    prior = bayes.LogUniform() if isinstance(noise, nn.LearnedGaussian) else bayes.Prior(0.5)

    def fit(threads):
        model = mb.BayesianNetwork(models.mlp([6, 8, 3], noise=noise), prior)
        model.fit(X, Y, steps=5, batch_size=60, optimizer=optimizer, threads=threads)  # 15 shards, and then 8
        return [a.tobytes() for group in model.params.values() for a in group.values()], model.history[-1]["loss"]

    expected = fit(1)
    monkeypatch.setattr(memory, "ROOM", 0)
    for fewest in (2, 4, 8, 14, 15):
        monkeypatch.setattr(memory, "FEWEST", fewest)
        for threads in (1, 3):
            assert fit(threads) == expected, fewest


def test_room_for_large_networks():
    """Ten million parameters in 32 shards: gradients, two sets of parameters and of slots, in ten times the parameters."""
    params = {"fc": {"M": np.zeros((1000, 10_000), np.float32)}}
    for optimizer, most in ((nn.SGD(0.1, momentum=0.9), 8), (nn.Adam(1e-3), 10)):
        held = memory.StepMemory(optimizer, params, 32)
        arrays = [held._grads, *[array for kept in held.sets.turns[0] for array in kept.values()]]
        assert sum(array.nbytes for array in arrays) <= most * params["fc"]["M"].nbytes
    assert len(memory.StepMemory(nn.SGD(0.1), {"fc": {"M": np.zeros((10, 100))}}, 32)._grads) == 32


PEAK = """
import sys
import numpy as np, minibayes as mb
from minibayes import nn
from minibayes.bench.start import peak
net = nn.Network(fc1=nn.Dense(1000, 3000, noise=nn.Bernoulli(0.5)), relu=nn.ReLU(), fc2=nn.Dense(3000, 2000), r=nn.ReLU(),
                 fc3=nn.Dense(2000, 2))
x, y = np.random.default_rng(0).random((1024, 1000)).astype(np.float32), np.arange(1024) % 2
mb.BayesianNetwork(net).fit(x[:32], y[:32], steps=1, batch_size=32, params=None)
mb.BayesianNetwork(net).fit(x, y, steps=3, batch_size=int(sys.argv[1]))
print(peak())
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_batch():
    """9 M parameters, 36 MB: a batch of 1024 in at most ten times that more than a process that trains on nothing much."""
    peaks = [float(subprocess.run([sys.executable, "-c", PEAK, str(batch)], capture_output=True, text=True, check=True).stdout)
             for batch in (64, 1024)]
    parameters, activations = 9_005_002 * 4 / 2**20, 1024 * 2 * (1000 + 3000 + 2000) * 4 * 2 / 2**20
    assert peaks[1] < 150 + 10 * parameters + activations
