"""{"class": name, field: value, ...}: a layer, prior or the like as plain JSON, and the object again.

Nothing that stands in a record is executed: a name is looked up among the classes defined in this process,
minibayes' and the user's own, and the class checks its settings as it does for any caller.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping

import numpy as np

from . import nn, registry, require

LAYER_LIMIT = 10_000  # a record with more would only cost time
DEEPEST = 8  # records within records: a noise made of noises, and the like


def spec(value: object) -> object:
    """A frozen record of settings as plain JSON: {"class": name, field: value, ...}."""
    if dataclasses.is_dataclass(value):
        settings = {f.name: spec(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__} | settings
    if isinstance(value, Mapping):
        return {k: spec(v) for k, v in value.items()}
    return [spec(v) for v in value] if isinstance(value, (list, tuple)) else value


def network_spec(net: nn.Network) -> dict:
    """The same of a network: {"input_shape": ..., "layers": [...]}."""
    layers = [{"name": name} | spec(layer) for name, layer in net.layers.items()]
    return {"input_shape": net.input_shape and list(net.input_shape), "layers": layers}


def build(kind: str, record: dict, depth: int = 0) -> object:
    """The object that `spec` wrote: of a class of that kind, defined in this process, with its settings."""
    record = dict(record)
    name = record.pop("class")
    if not isinstance(name, str) or depth > DEEPEST:
        raise ValueError(f"{kind} {name!r} is not the name of a class, or lies too deep")
    cls = registry.find(kind, name)
    if not dataclasses.is_dataclass(cls):
        raise ValueError(f"{kind} {name!r} is not a dataclass, so its settings cannot be read")
    fields = {f.name for f in dataclasses.fields(cls) if f.init}
    if not fields - set(cls.newer_fields) <= record.keys() <= fields:
        raise ValueError(f"{kind} {name!r} must have the fields {sorted(fields)}, got {sorted(record)}")
    for field, value in record.items():
        if isinstance(value, dict) and "class" in value:  # what stands in it says itself which kinds it takes
            record[field] = build(registry.kind_of(value["class"]), value, depth + 1)
        elif isinstance(value, list):
            record[field] = tuple(value)
    return cls(**record)


def build_network(record: dict) -> nn.Network:
    """The network that `network_spec` wrote."""
    if len(record["layers"]) > LAYER_LIMIT:
        raise ValueError(f"it has {len(record['layers'])} layers")
    layers = {}
    for layer in record["layers"]:
        layer = dict(layer)
        name = layer.pop("name")
        if not isinstance(name, str) or name in layers:
            raise ValueError(f"layer name {name!r} is not a string, or stands twice")
        layers[name] = build("layer", layer)
    shape = record["input_shape"]
    return nn.Network(None if shape is None else tuple(shape), **layers)


def parts(value: object) -> Iterator:
    """`value` and what stands in its fields, if they are registered classes."""
    yield value
    for field in dataclasses.fields(value) if dataclasses.is_dataclass(value) else ():
        if hasattr(part := getattr(value, field.name), "kind"):
            yield from parts(part)


def check_readable(what: str, value: object) -> None:
    """An error, before anything is written, if `build` could not make `value` again of its record."""
    for part in parts(value):
        cls = type(part)
        if "__dataclass_params__" not in vars(cls):
            raise require.InputError(f"{what} cannot be saved: its class {cls.__name__} must be a dataclass, "
                                     "@dataclass(frozen=True), so that its settings can be written")
        if registry.is_reserved(part.kind, cls):
            raise require.InputError(f"{what} cannot be saved: {cls.__name__!r} is a name of minibayes "
                                     f"itself, rename your class {cls.__module__}.{cls.__qualname__}")
    try:
        again = build(value.kind, as_plain(spec(value)))
    except (ValueError, TypeError) as error:
        raise require.InputError(f"{what} cannot be saved, as it could not be loaded again: "
                                 f"{error}") from None
    if to_json(spec(again)) != to_json(spec(value)):
        raise require.InputError(f"{what} cannot be saved: read back, its settings {spec(value)} become "
                                 f"{spec(again)}")


def plain(value: object) -> object:
    """NumPy's numbers and arrays, and mappings of any kind, as what JSON knows: settings may hold them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"got {value!r}")


def to_json(value: object) -> str:
    """`value` as text; an error if it holds what a file cannot."""
    try:
        return json.dumps(value, default=plain)
    except TypeError as error:
        raise require.InputError("settings, and what on_report returns, must be numbers, strings, lists and "
                                 f"dicts to be written to a file: {error}") from None


def as_plain(value: object) -> object:
    """`value` as it comes back from a file."""
    return json.loads(to_json(value))
