"""What training steps use again and again: the shards' gradients, until the update is made of them."""

from collections.abc import Callable
from functools import partial

import numpy as np

from .. import require
from ..kernels.update import CHUNK
from ..nn.optimizers import leaves
from .parallel import slices
from .sets import Sets
from .stages import Tree
from .update import FLAT

ROOM = 2**24  # numbers of all the shards' gradients that are kept side by side until they are added,
FEWEST = 4  # or so many shards' where one has more: beside two sets of parameters and slots, not much
HOP = 2**16  # numbers that a thread updates at least: for fewer, waking it would cost more than it saves


class StepMemory:
    """The arrays of a training step for batches of at most `count` shards; parameters lie end to end in each.

    Where there is no room for the gradients of all shards they come in waves: before the next one those there
    are added into the first, in the order of the shards. So the sum has the same bits with any room.

    Parameters and optimizer state have two sets of arrays: the old state stays whole until the new one is.
    """

    def __init__(self, optimizer, params: Tree, count: int):
        self.optimizer, self._flat = optimizer, FLAT.get(type(optimizer))
        self.sets = Sets(optimizer, params)
        self._size, dtype = self.sets.size, self.sets.dtype
        self._grads = np.empty((min(count, max(FEWEST, ROOM // self._size)), self._size), dtype)
        self._grad_trees = [self.sets.tree(row) for row in self._grads]
        self._waves, self._parts = {}, {}  # by the number of shards; parameters cut, by the number of parts
        self._penalty = np.zeros(-(-self._size // CHUNK))
        if self._flat:
            self._steps = [partial(self._flat, optimizer, bounds=self.sets.bounds, old=old, new=new,
                                   penalty=self._penalty) for old, new in self.sets.turns]

    def grads(self, count: int) -> list[Tree]:
        """A tree for each of `count` shards, for its gradients to be written into."""
        if count > len(self._grads):
            raise require.InputError(f"this StepMemory holds the gradients of {len(self._grads)} shards, not "
                                     f"{count}: give it the number of shards of a full batch")
        return self._grad_trees[:count]

    def waves(self, count: int) -> tuple[list[list[tuple[int, Tree]]], int]:
        """([(shard, the tree for its gradients), ...] by wave of `count` shards, trees filled at the end).

        Between two waves, `fold`.
        """
        if count not in self._waves:
            self._waves[count] = self._waves_of(count, len(self._grads))
        return self._waves[count]

    def _waves_of(self, count, rows):
        waves = [list(enumerate(self._grad_trees[:min(count, rows)]))]
        for first in range(rows, count, max(1, rows - 1)):
            shards = range(first, min(first + rows - 1, count))
            waves.append(list(zip(shards, self._grad_trees[1:], strict=False)))
        return waves, len(waves[-1]) + (len(waves) > 1)  # with the sum of what came before

    def fold(self, parts: int, rest: Tree | None = None) -> list[Callable]:
        """Tasks that add all gradients here into the first, (grads[0] + rest) + grads[1] + ..."""
        self._add(rest)
        return [partial(self._fold, rows) for rows in slices(self._size, max(HOP, -(-self._size // parts)))]

    def _fold(self, rows):
        for more in self._grads[1:]:
            self._grads[0, rows] += more[rows]

    def _add(self, rest):
        if rest:
            for layer, param, array in leaves(rest):
                self._grad_trees[0][layer][param] += array

    def begin(self, params: Tree, state: dict, count: int, parts: int, decay: Tree, rest: Tree | None = None
              ) -> tuple[list[Callable], Tree, dict]:
        """(tasks, params', state') from the gradients of the first `count` shards and that of the KL:

            g = (grads[0] + rest) + grads[1] + ... + decay theta

        decay {layer: {param: number}}, rest {layer: {param: array}}. Calling the tasks, in any order or at
        once, fills params' and state'. With an optimizer of the user's own the step is its `update` of g,
        taken here: there are no tasks.
        """
        self.grads(count)
        self._add(rest)
        return (self._flat_step if self._flat else self._own_step)(params, state, decay, count, parts)

    def penalty(self) -> float:
        """1/2 sum of decay theta^2 over the parameters that `begin` was given, once its tasks are done."""
        return float(np.add.reduce(self._penalty))

    def _flat_step(self, params, state, decay, count, parts):
        turn, new, state, now = self.sets.turn(params, state)
        if parts not in self._parts:
            self._parts[parts] = slices(self._size, max(HOP, -(-len(self._penalty) // parts) * CHUNK))
        grads = self._grads[:count]
        tasks = [partial(self._steps[turn], grads, rows, decay=self.sets.decays(decay),
                         rate=self.sets.rates(now), step=now) for rows in self._parts[parts]]
        return tasks, new, state

    def _own_step(self, params, state, decay, count, parts):
        grads, self._penalty[:] = self._grads[0].copy(), 0
        for more in self._grads[1:count]:
            grads += more
        tree = self.sets.tree(grads)
        for (layer, param, _), factor in zip(self.sets.leaves, self.sets.decays(decay), strict=True):
            theta = params[layer][param]
            tree[layer][param] += factor * theta
            self._penalty[0] += factor * np.vdot(theta, theta) / 2
        return [], *self.optimizer.update(params, tree, state)
