"""A training run's State, and the Checkpoint that keeps it on disk, tied to the settings and the data of its run."""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import require, storage
from .nn.optimizers import leaves


class DivergenceError(ArithmeticError):
    """The loss or a parameter became NaN or infinite. The last checkpoint, if any, is from before."""


@dataclass(frozen=True)
class State:
    """All that a run needs to go on, replaced as a whole after each step, so that an interrupt finds it consistent."""

    step: int
    params: dict
    optimizer: dict
    sums: tuple = (0.0, 0.0, 0)  # of nll and of L-hat/N over the examples since the last row of history, and their number
    history: list = field(default_factory=list)


def fingerprint(*arrays):
    """A CRC of the arrays' bytes: a checkpoint must not go on with other data."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1), crc)
    return crc


class Checkpoint:
    """A State on disk, tied to the settings of its run."""

    def __init__(self, path, model, run, seed, start):
        self.path, self.net, self.slots = Path(path), model.net, list(slots_of(run.optimizer.init(start)))
        self.header = storage.model_header(model, start) | {"kind": "checkpoint", "run": {
            "optimizer": storage.spec(run.optimizer), "batch_size": run.batch_size, "seed": seed, "plain": run.fast is None,
            "data": fingerprint(run.x, run.y), "start": fingerprint(*(a for g in start.values() for a in g.values()))}}

    def save(self, state):
        check_finite(state)
        arrays = storage.flatten("params", state.params)
        for name, tree in slots_of(state.optimizer).items():
            arrays |= storage.flatten(f"optimizer/{name}", tree)
        progress = {"step": state.step, "slots": self.slots, "sums": state.sums, "history": state.history}
        storage.write(self.path, self.header | {"progress": progress}, arrays)

    def load(self):
        """The State at `path`; an error that names the first setting in which that run differs from this one."""
        with storage.opened(self.path) as archive:
            header = storage.read_header(archive)
            if header["kind"] != "checkpoint":
                raise storage.FileError(f"checkpoint {str(self.path)!r} is a model file, not a checkpoint: give another path")
            self._check_settings(header)
            progress, dtype = header["progress"], header["dtype"]
            step, history = require.integer("step", progress["step"], 0), progress["history"]
            sums = tuple(require.real("sums", s) if i < 2 else require.integer("sums", s, 0) for i, s in enumerate(progress["sums"]))
            if len(sums) != 3 or not isinstance(history, list) or not all(isinstance(row, dict) and "step" in row for row in history):
                raise ValueError("its history or sums are damaged")
            if progress["slots"] != self.slots:
                raise ValueError(f"its optimizer has {progress['slots']}, not {self.slots}")
            slots = {name: storage.read_tree(archive, f"optimizer/{name}", self.net, dtype) for name in self.slots}
            return State(step, storage.read_tree(archive, "params", self.net, dtype), {"step": step} | slots, sums, history)

    def _check_settings(self, header):
        """An error that names the first setting in which the run of that file differs from this one."""
        net, prior, likelihood = storage.read_settings(header)  # as this version writes them: an older file may name fewer settings
        theirs = {"plain": False, "kind": header["kind"], "dtype": header["dtype"], "network": storage.network_spec(net),
                  "prior": storage.spec(prior), "likelihood": storage.spec(likelihood)} | header["run"]
        mine = {name: value for name, value in self.header.items() if name != "run"} | self.header["run"]
        mine, theirs = storage.as_plain(mine), storage.as_plain(theirs)
        for name, value in mine.items():
            if theirs.get(name) != value:
                both = "" if name in ("network", "data", "start") else f": {theirs.get(name)!r} there, {value!r} here"
                what = {"data": "training data", "start": "initial parameters"}.get(name, name)
                raise storage.FileError(f"checkpoint {str(self.path)!r} is of a run with another {what}{both}; give another path, "
                                        "or resume=False to start anew and overwrite it")


def slots_of(optimizer_state):
    return {name: tree for name, tree in optimizer_state.items() if isinstance(tree, dict)}


def check_finite(state):
    """An error if the parameters, or the optimizer's averages of gradients (which overflow first), are not finite."""
    for what, tree in [("parameter", state.params), *((f"the optimizer's {name} of", t) for name, t in slots_of(state.optimizer).items())]:
        for layer, param, array in leaves(tree):
            if not np.isfinite(array).all():
                raise DivergenceError(f"{what} {layer}/{param} is NaN or infinite after step {state.step}: lower the learning rate, "
                                      "or look at the data's scale")
