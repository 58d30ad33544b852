"""All parameters laid end to end: the shards' gradients are added up and an optimizer's step is taken in one pass over memory."""

from functools import partial

import numpy as np

from ..kernels.update import CHUNK
from ..nn.optimizers import leaves
from .parallel import shards

HOP = 2**16  # numbers that a thread updates at least: for fewer, waking it would cost more than it saves


class StepMemory:
    """The arrays that a training step uses again and again.

    grads[i] is a tree, {layer: {param: array}}, for shard i's gradients. Parameters and optimizer state have two sets of arrays that take
    turns: the old state stays whole until the new one is. decay is {layer: {param: wd}}, or None if the gradient is more than a decay:
    then `begin` cannot be used.
    """

    def __init__(self, optimizer, params, count, decay):
        self.optimizer, self.decay = optimizer, decay
        self._leaves = [(layer, param, array.shape) for layer, param, array in leaves(params)]
        sizes = [int(np.prod(shape)) for *_, shape in self._leaves]
        self.bounds = np.concatenate([[0], np.cumsum(sizes)])
        self.dtype = leaves(params)[0][2].dtype
        self._shards = np.empty((count, self.bounds[-1]), self.dtype)
        self.grads = [self._tree(row) for row in self._shards]
        if decay is not None:
            self._decay = np.array([decay[layer][param] for layer, param, _ in self._leaves], self.dtype)
            self._multipliers = np.array([optimizer.multiplier(layer, param) for layer, param, _ in self._leaves])
            self._sets = [{name: np.empty(self.bounds[-1], self.dtype) for name in ("theta", *optimizer.slots)} for _ in range(2)]
            self._trees = [{name: self._tree(vector) for name, vector in arrays.items()} for arrays in self._sets]
            self._rate = self._rates = None
            self._turn, self._penalty = 0, np.zeros(-(-int(self.bounds[-1]) // CHUNK))

    def begin(self, params, state, count, parts):
        """(tasks, params', state'): calling the tasks, in any order or at once, fills params' and state' from the first `count` shards."""
        old, trees = self._sets[self._turn], self._trees[self._turn]
        if params is not trees["theta"]:  # the first step, or a state from a checkpoint
            for name, tree in ({"theta": params} | {slot: state[slot] for slot in self.optimizer.slots}).items():
                for layer, param, array in leaves(tree):
                    trees[name][layer][param][...] = array
        self._turn = 1 - self._turn
        new, new_trees = self._sets[self._turn], self._trees[self._turn]
        rate = self.optimizer.rate_at(state["step"])
        if rate != self._rate:  # most often it is the last step's
            self._rate, self._rates = rate, (rate * self._multipliers).astype(self.dtype)
        size = max(HOP, -(-len(self._penalty) // parts) * CHUNK)
        tasks = [partial(self.optimizer.update_flat, self._shards[:count], rows, self.bounds, self._decay, self._rates, state["step"],
                         old, new, self._penalty) for rows in shards(int(self.bounds[-1]), size)]
        return tasks, new_trees["theta"], {"step": state["step"] + 1} | {slot: new_trees[slot] for slot in self.optimizer.slots}

    def penalty(self):
        """1/2 sum of decay theta^2 over the parameters that `begin` was given, once its tasks are done: KL/N up to its constant."""
        return float(self._penalty.sum())

    def _tree(self, vector):
        """Views of one long vector in the shapes of the parameters."""
        tree = {}
        for (layer, param, shape), start, stop in zip(self._leaves, self.bounds, self.bounds[1:], strict=False):
            tree.setdefault(layer, {})[param] = vector[start:stop].reshape(shape)
        return tree
