"""Kernels as plain Python: integers stay integers under the promotion rules of every NumPy."""

import os
import subprocess
import sys
from pathlib import Path

import minibayes

FIT = """
import numpy as np, minibayes as mb
from minibayes import nn
x, y = np.random.default_rng(0).random((4, 7, 7, 1)).astype(np.float32), np.arange(4) % 2
for noise in (nn.Bernoulli(0.5), nn.Gaussian(0.5)):
    net = nn.Network(c=nn.Conv2d(1, 2, 3, noise=noise), p=nn.MaxPool2d(2), d=nn.Conv2d(2, 2, 2), f=nn.Flatten(),
                     e=nn.Dense(2, 2))
    model = mb.BayesianNetwork(net)
    model.fit(x, y, steps=1, batch_size=4)
    model.predict(x[:1], samples=2)
    print([float(a.sum()) for group in model.params.values() for a in group.values()])
"""


def test_without_compilation():
    """NUMBA_DISABLE_JIT=1: as compiled, up to rounding."""
    results = []
    for switch in ("0", "1"):
        done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, env=os.environ | {
            "NUMBA_DISABLE_JIT": switch, "PYTHONPATH": str(Path(minibayes.__file__).parent.parent)})
        assert done.returncode == 0, done.stderr
        results.append([float(n.strip("[],")) for n in done.stdout.split()])
    assert max(abs(a - b) for a, b in zip(*results, strict=True)) < 1e-4
