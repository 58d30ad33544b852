"""Parameters and the optimizer's arrays, end to end and twice: the old state stays until the new one is."""

import numpy as np

from .. import require
from ..nn.optimizers import Optimizer, leaves
from .stages import Tree
from .update import FLAT


class Sets:
    """Two sets of arrays in turns, for an optimizer whose step is one over flat arrays (update.py).

    leaves    (layer, param, shape) of each parameter; the l-th has the numbers bounds[l] to bounds[l + 1]
    places    {(layer, param): l}
    turns     (old, new) at even steps and at odd ones: {"theta" or a slot's name: (size,)}
    """

    def __init__(self, optimizer: Optimizer, params: Tree):
        self.optimizer = optimizer
        self.leaves = [(layer, param, array.shape) for layer, param, array in leaves(params)]
        dtypes = {f"{layer}/{param}": array.dtype for layer, param, array in leaves(params)}
        if len(set(dtypes.values())) > 1:
            raise require.InputError("all parameters must have one dtype, got "
                                     + ", ".join(f"{name} of {dtype}" for name, dtype in dtypes.items()))
        self.dtype = next(iter(dtypes.values()))
        self.bounds = np.concatenate([[0], np.cumsum([int(np.prod(shape)) for *_, shape in self.leaves])])
        self.size = int(self.bounds[-1])
        self.places = {leaf[:2]: i for i, leaf in enumerate(self.leaves)}
        self._decay, self._decays = None, None  # as given, and as an array
        self._rate, self._rates = None, None
        if type(optimizer) in FLAT:
            names = ("theta", *optimizer.slots)
            self._multipliers = np.array([optimizer.multiplier(*leaf[:2]) for leaf in self.leaves])
            both = [{name: np.empty(self.size, self.dtype) for name in names} for _ in range(2)]
            self.turns = both, both[::-1]
            self._trees = [{name: self.tree(held[name]) for name in names} for held in both]
            self._turn = 0

    def tree(self, vector: np.ndarray) -> Tree:
        """Views of one long vector in the shapes of the parameters."""
        tree = {}
        for i, (layer, param, shape) in enumerate(self.leaves):
            tree.setdefault(layer, {})[param] = vector[self.bounds[i]:self.bounds[i + 1]].reshape(shape)
        return tree

    def rows(self, vector: np.ndarray, i: int, rows: slice) -> np.ndarray:
        """Some rows of the i-th parameter, in an array that has all end to end."""
        return vector[self.bounds[i]:self.bounds[i + 1]].reshape(self.leaves[i][2])[rows]

    def turn(self, params: Tree, state: dict) -> tuple[int, Tree, dict, int]:
        """(which of `turns` the next step is, params', state', its number t): trees that it is to fill."""
        for name, held in self._trees[self._turn].items():
            given = params if name == "theta" else state[name]
            if given is not held:  # the first step, or a state from a checkpoint
                for layer, param, array in leaves(given):
                    held[layer][param][...] = array
        turn, now = self._turn, state["step"]
        self._turn = 1 - self._turn
        new = {"step": now + 1} | self._trees[self._turn]
        return turn, new.pop("theta"), new, now

    def decays(self, decay: Tree) -> np.ndarray:
        """{layer: {param: number}} as one number a parameter, 0 where there is none."""
        if decay is not self._decay:  # most often it is the last step's
            factors = [decay[layer].get(param, 0.0) if layer in decay else 0.0
                       for layer, param, _ in self.leaves]
            self._decay, self._decays = decay, np.array(factors, self.dtype)
        return self._decays

    def rates(self, step: int) -> np.ndarray:
        """The rate of each parameter at a step."""
        rate = self.optimizer.rate_at(step)
        if rate != self._rate:
            self._rate, self._rates = rate, (rate * self._multipliers).astype(self.dtype)
        return self._rates
