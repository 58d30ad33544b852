"""An estimator in one .npz file: its network as any model's, and its columns and labels in the header.

So it is data alone, as every file of minibayes (storage.py): nothing in it is executed, and what is wrong
with it is one FileError.
"""

from os import PathLike

import numpy as np

from .. import model, records, require, storage
from ..ensemble import Ensemble
from .columns import KINDS, Column, Columns, plain

CLASSES: dict[str, type] = {}  # "Regressor" and "Classifier"; their files enter them
SCALARS = (str, int, float, bool)


def save(estimator: object, path: str | PathLike) -> None:
    """Write a fitted estimator; an error if it has settings, names or labels that a file cannot hold."""
    network, columns = estimator.network_, estimator.columns_.columns
    for name in [*(estimator.columns_.names or []), *(c for column in columns for c in column.categories)]:
        check_scalar("a column's name or category", name)
    record = {"class": type(estimator).__name__, "settings": estimator.get_params(),
              "columns": [vars(column) for column in columns], "epochs": estimator.n_iter_,
              "target": estimator.target_name_}
    if estimator.kind == "classifier":
        found = [plain(label) for label in estimator.classes_]
        for label in found:
            check_scalar("a label", label)
        record["classes"], record["type"] = found, estimator.classes_.dtype.str
        weights = record["settings"]["class_weight"]
        if hasattr(weights, "items"):  # JSON knows keys of text alone
            record["settings"] = record["settings"] | {
                "class_weight": [[plain(label), weight] for label, weight in weights.items()]}
    else:
        record["y"] = [estimator.y_mean_, estimator.y_std_]
    header = storage.model_header(network, network.params) | {"estimator": record}
    storage.write(path, header, storage.flatten("params", network.params))


def check_scalar(what: str, value: object) -> None:
    if not isinstance(plain(value), SCALARS):
        raise require.InputError(f"{what} must be text or a number to be saved, got {value!r}")


def load(path: str | PathLike) -> object:
    """What was saved at `path`: a Regressor, a Classifier, an Ensemble, or a BayesianNetwork."""
    with storage.opened(path) as archive:
        header = storage.read_header(archive, (*storage.MODELS, storage.ENSEMBLE))
    if header["kind"] == storage.ENSEMBLE:
        return Ensemble.load(path)
    record = header.get("estimator")
    network = model.load(path)
    if record is None:
        return network
    with storage.opened(path):  # whatever is wrong in the record is wrong with the file
        return built(record, network)


def built(record: dict, network: object) -> object:
    """The estimator of a record and its network; any exception if they do not belong together."""
    cls, settings = CLASSES[record["class"]], dict(record["settings"])
    settings["hidden"] = tuple(settings["hidden"])
    if isinstance(settings.get("class_weight"), list):
        settings["class_weight"] = {label: weight for label, weight in settings["class_weight"]}
    estimator = cls(**settings)
    estimator.checked()
    columns = Columns([column_of(each) for each in record["columns"]])
    estimator.n_iter_ = require.real("epochs", record["epochs"], 0)
    estimator.history_, target = [], record["target"]
    estimator.target_name_ = target if isinstance(target, str) else None
    outputs = network.net.output_shape((columns.width,))
    if cls.kind == "classifier":
        found = record["classes"]
        if not all(isinstance(label, SCALARS) for label in found) or len(found) < 2:
            raise ValueError("its classes are no labels")
        dtype = np.dtype(str(record["type"]))
        if dtype.kind not in "biufUSO":
            raise ValueError(f"its labels are of type {dtype}")
        estimator.classes_ = np.array(found, dtype)
        wanted = (len(found),)
    else:
        mean, std = record["y"]
        estimator.y_mean_ = require.real("y mean", mean)
        estimator.y_std_ = require.real("y std", std, 0, open_low=True)
        wanted = (2,)
    if outputs != wanted or records.spec(network.likelihood) != records.spec(estimator.likelihood()):
        raise ValueError(f"its network gives {outputs} by {network.likelihood!r}, not {wanted} by "
                         f"{estimator.likelihood()!r}")
    estimator.settle(columns, network)
    return estimator


def column_of(record: dict) -> Column:
    name, categories = record["name"], tuple(record["categories"])
    if not isinstance(name, (*SCALARS, type(None))) or not all(isinstance(c, SCALARS) for c in categories):
        raise ValueError(f"its column {name!r} has no name or categories")
    kind = require.choice("kind", record["kind"], KINDS)
    if (kind == "category") != bool(categories):
        raise ValueError(f"its column {name!r} is a {kind} with {len(categories)} categories")
    return Column(name, kind, categories, require.real("mean", record["mean"]),
                  require.real("std", record["std"], 0, open_low=True))
