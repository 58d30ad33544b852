"""Chains of many dense layers: no code is compiled for each depth, and the numbers are the plain network's."""

import numpy as np

from minibayes import kernels, models, nn
from minibayes.fast.program import DEPTH, Program


def difference(depth):
    """Of outputs and gradients, between the stages and the layers."""
    net = models.mlp([6] * depth + [3], noise=nn.Bernoulli(0.9))
    program, params = Program(net), net.init(0)
    x = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)
    z = net.sample(nn.Key(0), x.shape)
    (f, caches), (plain, plain_caches) = program.forward(params, x, z), net.forward(params, x, z)
    (dx, grads), (plain_dx, plain_grads) = program.backward(params, caches, f), net.backward(params, plain_caches, plain)
    worst = max(np.abs(grads[name][p] - a).max() / max(np.abs(a).max(), 1e-20) for name, g in plain_grads.items() for p, a in g.items())
    return max(worst, np.abs(f - plain).max() / np.abs(plain).max(), np.abs(dx - plain_dx).max() / max(np.abs(plain_dx).max(), 1e-20))


def test_depths_share_their_code():
    assert difference(2 * DEPTH + 2) < 1e-4
    compiled = len(kernels.dense_stack.signatures), len(kernels.dense_stack_backward.signatures)
    for depth in (3 * DEPTH + 2, 7 * DEPTH + 2):
        assert difference(depth) < 1e-3
    assert (len(kernels.dense_stack.signatures), len(kernels.dense_stack_backward.signatures)) == compiled
    assert len({len(stage.layers) for stage in Program(models.mlp([6] * 51)).stages}) <= 3  # full ones, the first and the last
