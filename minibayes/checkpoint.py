"""A training run's State, and the Checkpoint that keeps it on disk, tied to its settings and its data."""

import warnings
import zlib
from dataclasses import dataclass, field
from os import PathLike

import numpy as np

from . import records, require, storage
from .bayes.warm_up import KLFactor, recorded
from .nn.key import DRAWS
from .nn.optimizers import leaves


class DivergenceError(ArithmeticError):
    """The loss or a parameter became NaN or infinite. The last checkpoint, if any, is from before."""


@dataclass(frozen=True)
class State:
    """All that a run needs to go on, replaced whole after each step: an interrupt finds it consistent."""

    step: int
    params: dict
    optimizer: dict
    sums: tuple = (0.0, 0.0, 0)  # of nll and L-hat/N over the examples since the last row, and their number
    history: list = field(default_factory=list)
    best: dict | None = None  # the parameters of the best row of the history, where a run stops by `patience`


def fingerprint(*arrays: np.ndarray) -> int:
    """A CRC of the arrays' bytes: a checkpoint must not go on with other data."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1), crc)
    return crc


class Checkpoint:
    """A State on disk, tied to the settings of its run.

    path: of the file.
    model: the BayesianNetwork that is trained.
    run: the `run.Run`.
    seed: of the run.
    start: the parameters it starts from.
    """

    def __init__(self, path: str | PathLike, model: object, run: object, seed: int, start: dict):
        self.path = require.path("checkpoint", path)
        self.net, self.kl_factor = model.net, run.kl_factor
        self.rate_at = run.optimizer.rate_at if callable(run.optimizer.policy) else None
        self.slots = list(slots_of(run.optimizer.init(start)))
        optimizer = records.spec(run.optimizer) | ({"policy": "own"} if self.rate_at else {})
        settings = {"optimizer": optimizer, "batch_size": run.batch_size, "seed": seed,
                    "plain": run.fast is None, "data": fingerprint(run.x, run.y),
                    "patience": run.patience, "augment": run.augmented(),
                    "start": fingerprint(*(array for _, _, array in leaves(start)))}
        self.header = storage.model_header(model, start) | {"kind": "checkpoint", "run": settings}

    def save(self, state: State) -> None:
        """Write it; an error if it is not finite, and the last one stays."""
        check_finite(state)
        arrays = storage.flatten("params", state.params)
        for name, tree in slots_of(state.optimizer).items():
            arrays |= storage.flatten(f"optimizer/{name}", tree)
        progress = {"step": state.step, "slots": self.slots, "sums": state.sums, "history": state.history}
        if not self.kl_factor.whole:
            progress["kl_factor"] = self.kl_factor.record(state.step)
        if self.rate_at:
            progress["rates"] = recorded(self.rate_at, state.step)
        if state.best is not None:
            progress["best"] = True
            arrays |= storage.flatten("best", state.best)
        storage.write(self.path, self.header | {"progress": progress}, arrays)

    def load(self) -> State:
        """The State at `path`; an error that names the first setting in which that run is another."""
        with storage.opened(self.path) as archive:
            header = storage.read_header(archive)
            if header["kind"] != "checkpoint":
                raise storage.FileError(f"checkpoint {str(self.path)!r} is a model file, not a checkpoint: "
                                        "give another path")
            self._check_settings(header)
            self._check_draws(header)
            progress, dtype = header["progress"], header["dtype"]
            step, history = require.integer("step", progress["step"], 0), progress["history"]
            rows = isinstance(history, list) and all(isinstance(row, dict) for row in history)
            if len(progress["sums"]) != 3 or not rows or not all("step" in row for row in history):
                raise ValueError("its history or sums are damaged")
            if progress.get("kl_factor", KLFactor().record(step)) != self.kl_factor.record(step):
                raise self._another("kl_factor")
            if self.rate_at and progress.get("rates") != recorded(self.rate_at, step):
                raise self._another("schedule of the rate")
            nll, loss, count = progress["sums"]
            sums = require.real("sums", nll), require.real("sums", loss), require.integer("sums", count, 0)
            if progress["slots"] != self.slots:
                raise ValueError(f"its optimizer has {progress['slots']}, not {self.slots}")
            slots = {name: storage.read_tree(archive, f"optimizer/{name}", self.net, dtype)
                     for name in self.slots}
            params = storage.read_tree(archive, "params", self.net, dtype)
            best = storage.read_tree(archive, "best", self.net, dtype) if progress.get("best") else None
            return State(step, params, {"step": step} | slots, sums, history, best)

    def _check_settings(self, header):
        """An error that names the first setting in which the run of that file differs from this one."""
        # Theirs as this version writes them: an older file may name fewer settings.
        net, prior, likelihood = storage.read_settings(header)
        theirs = {"plain": False, "patience": None, "augment": None,
                  "kind": header["kind"], "dtype": header["dtype"],
                  "network": records.network_spec(net), "prior": records.spec(prior),
                  "likelihood": records.spec(likelihood)} | header["run"]
        mine = {name: value for name, value in self.header.items() if name != "run"} | self.header["run"]
        mine, theirs = records.as_plain(mine), records.as_plain(theirs)
        for name, value in mine.items():
            if theirs.get(name) != value:
                long = name in ("network", "data", "start", "augment")
                both = "" if long else f": {theirs.get(name)!r} there, {value!r} here"
                what = {"data": "training data", "start": "initial parameters"}.get(name, name)
                raise self._another(f"{what}{both}")

    def _check_draws(self, header):
        normal = any(self.net.layers[name].noise.local for name in self.net.noisy)
        if header.get("draws", 1) != DRAWS and normal and header["dtype"] == "float32":
            warnings.warn(f"checkpoint {str(self.path)!r} was written by a version that rounded normal noise "
                          "in float32 otherwise: the run goes on, with other last digits than an "
                          "uninterrupted one", stacklevel=5)

    def _another(self, what):
        return storage.FileError(f"checkpoint {str(self.path)!r} is of a run with another {what}; give "
                                 "another path, or resume=False to start anew and overwrite it")


def slots_of(optimizer_state: dict) -> dict:
    """{name: tree of arrays}: an optimizer's state without its numbers."""
    return {name: tree for name, tree in optimizer_state.items() if isinstance(tree, dict)}


def check_finite(state: State) -> None:
    """An error if the parameters, or the optimizer's averages (they overflow first), are not finite."""
    trees = {"parameter": state.params}
    trees |= {f"the optimizer's {name} of": tree for name, tree in slots_of(state.optimizer).items()}
    for what, tree in trees.items():
        for layer, param, array in leaves(tree):
            if not np.isfinite(array).all():
                raise DivergenceError(f"{what} {layer}/{param} is NaN or infinite after step {state.step}: "
                                      "lower the learning rate, or look at the data's scale")
