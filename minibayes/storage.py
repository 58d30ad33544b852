"""Model files and checkpoints: an .npz of plain arrays with a JSON header, written atomically and validated before use.

Nothing in a file is ever executed: no pickle, layers and the like are looked up among the classes defined in this process, minibayes' and
the user's own, and every array must have exactly the shape and type that the header's network implies before a byte of it is read.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from . import nn, registry, require
from .nn.optimizers import leaves

FORMAT, VERSION = "minibayes", 1
HEADER_LIMIT = 16 * 2**20  # bytes; a header is a few kB, plus a training history
LAYER_LIMIT = 10_000  # a header with more would only cost time
DEEPEST = 8  # records within records: a noise made of noises, and the like
DTYPES = ("float32", "float64")


class FileError(require.InputError):
    """A model file or checkpoint that cannot be used; the message names the file and what is wrong with it."""


def spec(value):
    """A frozen record of settings as plain JSON: {"class": name, field: value, ...}."""
    if dataclasses.is_dataclass(value):
        return {"class": type(value).__name__} | {f.name: spec(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: spec(v) for k, v in value.items()}
    return [spec(v) for v in value] if isinstance(value, (list, tuple)) else value


def network_spec(net) -> dict:
    layers = [{"name": name} | spec(layer) for name, layer in net.layers.items()]
    return {"input_shape": net.input_shape and list(net.input_shape), "layers": layers}


def build(kind: str, record, depth: int = 0):
    """The object that `spec` wrote: a class of that kind that is defined in this process, with its settings; nothing else is run."""
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


def build_network(record) -> nn.Network:
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


def records(value):
    """`value` and what stands in its fields, if they are registered classes."""
    yield value
    for field in dataclasses.fields(value) if dataclasses.is_dataclass(value) else ():
        if hasattr(part := getattr(value, field.name), "kind"):
            yield from records(part)


def check_readable(net, prior, likelihood):
    """An error, before anything is written, if `read_model` could not read what `model_header` writes of these."""
    for what, kind, value in [*((f"layer {name!r}", "layer", layer) for name, layer in net.layers.items()),
                              ("prior", "prior", prior), ("likelihood", "likelihood", likelihood)]:
        for part in records(value):
            cls = type(part)
            if "__dataclass_params__" not in vars(cls):
                raise require.InputError(f"{what} cannot be saved: its class {cls.__name__} must be a dataclass, "
                                         "@dataclass(frozen=True), so that its settings can be written")
            if registry.is_reserved(part.kind, cls):
                raise require.InputError(f"{what} cannot be saved: {cls.__name__!r} is a name of minibayes itself, "
                                         f"rename your class {cls.__module__}.{cls.__qualname__}")
        try:
            again = build(kind, json.loads(to_json(spec(value))))
        except (ValueError, TypeError) as error:
            raise require.InputError(f"{what} cannot be saved, as it could not be loaded again: {error}") from None
        if to_json(spec(again)) != to_json(spec(value)):
            raise require.InputError(f"{what} cannot be saved: read back, its settings {spec(value)} become {spec(again)}")


def plain(value):
    """NumPy's numbers and arrays, and mappings of any kind, as what JSON knows: settings and history rows may hold them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"got {value!r}")


def to_json(value):
    try:
        return json.dumps(value, default=plain)
    except TypeError as error:
        raise require.InputError("settings, and what on_report returns, must be numbers, strings, lists and dicts to be written to a file: "
                                 f"{error}") from None


def as_plain(value):
    """`value` as it comes back from a file."""
    return json.loads(to_json(value))


def write(path, header, arrays):
    """Write header and {name: array} to `path`: whole or not at all (a temporary file beside it is renamed over it)."""
    path = Path(path)
    if not path.parent.is_dir():
        raise require.InputError(f"path must be in an existing folder, got {str(path)!r}")
    text = to_json({"format": FORMAT, "version": VERSION} | header).encode()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        file = open(temporary, "xb")  # not tempfile's: the file is to have the permissions that any new file has
    except OSError as error:
        raise FileError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    try:
        with file:
            np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise FileError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
        raise


@contextlib.contextmanager
def opened(path):
    """The archive at `path`; whatever is wrong inside comes out as one FileError."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"no such file: {str(path)!r}") from None
    except IsADirectoryError:
        raise FileError(f"{str(path)!r} is a folder, not a minibayes file") from None
    except zipfile.BadZipFile as error:
        raise FileError(f"{str(path)!r} is truncated or no .npz file: {error}") from None
    except OSError as error:
        raise FileError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except Exception as error:  # a damaged file makes zipfile, numpy and json raise nearly anything
        said = f"missing {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise FileError(f"{str(path)!r} is no valid minibayes file: {' '.join(said.split())}") from None  # NumPy's have several lines


def _member(archive, name):
    """What the archive says of one member, if it is stored plain and no larger than the file: reading it takes no more memory."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"{name} is compressed or encrypted")
    if info.file_size > os.path.getsize(archive.filename):
        raise ValueError(f"{name} is said to have {info.file_size} bytes, more than the file")
    return info


def _array(archive, name, dtype, shape):
    """One member of the archive, read only if it is stored plain and declares exactly this dtype, shape and size."""
    info = _member(archive, name)
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} has npy version {version}")
        given, fortran, given_dtype = np.lib.format.read_array_header_1_0(file)
        if given_dtype.hasobject or given_dtype != np.dtype(dtype) or fortran or given != tuple(shape):
            raise ValueError(f"{name} must be {dtype} of shape {tuple(shape)}, got {given_dtype} of shape {given}")
        if info.file_size - file.tell() != size:
            raise ValueError(f"{name} has {info.file_size - file.tell()} bytes of data, not {size}")
        return np.frombuffer(file.read(size), dtype).reshape(shape).copy()


def read_header(archive):
    info = _member(archive, "header")
    if info.file_size > HEADER_LIMIT:
        raise ValueError(f"its header has {info.file_size} bytes")
    with archive.open(info) as file:
        np.lib.format.read_magic(file)
        (count,), _, _ = np.lib.format.read_array_header_1_0(file)
    header = json.loads(_array(archive, "header", "uint8", (count,)).tobytes())
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}")
    if header["version"] != VERSION:
        raise ValueError(f"its version is {header['version']!r}, this program reads version {VERSION}")
    if header["kind"] not in ("model", "checkpoint"):
        raise ValueError(f"its kind is {header['kind']!r}")
    return header


def read_tree(archive, prefix: str, net, dtype: str) -> dict:
    """{layer: {param: array}} under `prefix`, in the shapes of net's parameters, all finite."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {DTYPES}")
    tree = {}
    for name, shapes in net.param_shapes().items():
        for param, shape in shapes.items():
            array = _array(archive, f"{prefix}/{name}/{param}", dtype, shape)
            if not np.isfinite(array).all():
                raise ValueError(f"{prefix}/{name}/{param} has NaN or infinite entries")
            tree.setdefault(name, {})[param] = array
    return tree


def flatten(prefix, tree):
    return {f"{prefix}/{name}/{param}": np.ascontiguousarray(array) for name, param, array in leaves(tree)}


def model_header(model, params: dict) -> dict:
    check_readable(model.net, model.prior, model.likelihood)
    dtype = next(iter(next(iter(params.values())).values())).dtype.name
    return {"kind": "model", "dtype": dtype, "network": network_spec(model.net), "prior": spec(model.prior),
            "likelihood": spec(model.likelihood)}


def read_settings(header: dict) -> tuple:
    """(net, prior, likelihood) of a header."""
    return build_network(header["network"]), build("prior", header["prior"]), build("likelihood", header["likelihood"])


def read_model(path) -> tuple:
    """(net, prior, likelihood, params) of a model file or a checkpoint."""
    with opened(path) as archive:
        header = read_header(archive)
        net, prior, likelihood = read_settings(header)
        params = read_tree(archive, "params", net, header["dtype"])
        if not params:
            raise ValueError("its network has no parameters")
        for name in params:
            prior.check(name)  # an error if it says nothing of that layer
    return net, prior, likelihood, params
