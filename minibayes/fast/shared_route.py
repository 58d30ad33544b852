"""Passes with one z for all inputs, on dense layers: what is dropped leaves the matrices."""

from dataclasses import dataclass

import numpy as np

from .. import kernels
from ..nn.activations import ReLU, Tanh
from ..nn.layers import Dense
from ..nn.network import Network
from ..nn.noise import Bernoulli
from .routes import StageRoute
from .stages import DenseStack, Plain, Tree, Workspace


@dataclass(frozen=True)
class Step:
    """One layer of a SharedRoute's passes."""

    stage: Plain  # that runs it, if it is not dense
    name: str
    dense: Dense | None = None
    rise: int = kernels.NO_RISE  # the function computed with it
    needed_by: str | None = None  # the next noise, if it alone decides which of the outputs are needed


class SharedRoute(StageRoute):
    """Bernoulli noise on dense layers: dropped columns leave M, and so do rows that the next noise drops."""

    inputs = 256  # that one set of compacted matrices is made for

    def __init__(self, net: Network, stages: list[Plain]):
        super().__init__(net, stages)
        self.steps = []
        for stage in reversed([*self.noisy, *self.after]):  # the last first, as a step looks at the next
            if not isinstance(stage, DenseStack):
                self.steps.insert(0, Step(stage, stage.name))
                continue
            for (name, layer), rise in reversed(list(zip(stage.layers.items(), stage.rises, strict=True))):
                others = [step for step in self.steps if type(step.stage.layer) not in (ReLU, Tanh)]
                narrows = bool(others) and others[0].dense is not None and others[0].dense.noisy
                self.steps.insert(0, Step(stage, name, layer, rise, others[0].name if narrows else None))

    @classmethod
    def of(cls, net: Network, stages: list[Plain]) -> "SharedRoute | None":
        """The route of a network's stages, or None if some noise is not Bernoulli or not in a DenseStack."""
        stacked = {name for stage in stages if isinstance(stage, DenseStack) for name in stage.layers}
        fits = all(name in stacked and type(net.layers[name].noise) is Bernoulli for name in net.noisy)
        return cls(net, stages) if net.noisy and fits else None

    def passes(self, params: Tree, h: np.ndarray, z: dict, T: int, work: Workspace) -> np.ndarray:
        if len(h) == 1 or h.ndim > 2:  # nothing is shared, or sequences
            return super().passes(params, h, z, T, work)
        zs = [{name: a[t:t + 1] for name, a in z.items()} for t in range(T)]
        f = [self.one_pass(params, h, z, work).copy() for z in zs]
        return np.stack(f, axis=1).reshape(len(h) * T, -1)

    def one_pass(self, params: Tree, h: np.ndarray, z: dict, work: Workspace) -> np.ndarray:
        """f of one pass at all inputs, from z with one row for each layer."""
        narrowed = False  # whether h has only the columns that this layer's noise keeps
        for step in self.steps:
            name = step.name
            if step.dense is None:
                h = step.stage.value(params, h, z, work)
                continue
            M, b = params[name]["M"], params[name]["b"]
            columns = kept(z[name][0]) if step.dense.noisy else every(M.shape[1])
            rows = every(len(M)) if step.needed_by is None else kept(z[step.needed_by][0])
            if step.dense.noisy and not narrowed:
                h = self._compact(h, every(len(h)), columns, (name, "h"), work)
            if len(rows) < len(M) or len(columns) < M.shape[1]:
                M, b = self._compact(M, rows, columns, (name, "M"), work), b[rows]
            f = work((name, "compact f"), (len(h), len(rows)), h.dtype)
            kernels.dense(np.ascontiguousarray(h), np.ascontiguousarray(M), b, step.rise, f)
            h, narrowed = f, step.needed_by is not None
        return h

    def _compact(self, M, rows, columns, name, work):
        out = work(name, (len(rows), len(columns)), M.dtype)
        kernels.compact(np.ascontiguousarray(M), rows, columns, out)
        return out


def kept(z: np.ndarray) -> np.ndarray:
    """The units that z keeps, by short unsigned numbers: twice as fast to look up as flatnonzero's own."""
    return np.flatnonzero(z).astype(np.uint32)


def every(count: int) -> np.ndarray:
    """The numbers of all units, in the form of `kept`."""
    return np.arange(count, dtype=np.uint32)
