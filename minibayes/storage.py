"""Model files and checkpoints: arrays in an .npz with a JSON header, written atomically, read with care.

Nothing in a file is ever executed: no pickle, layers and the like are looked up among the classes defined in
this process (`records`), and every array must have exactly the shape and type that the header's network
implies before a byte of it is read.

A compact file has one member, "compact": the length of the header, the header by zlib, and the parameters as
`packing` writes them, in the order of the network.
"""

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from os import PathLike

import numpy as np

from . import files, packing, records, require
from .nn import Network
from .nn.key import DRAWS
from .nn.optimizers import leaves

FORMAT, VERSION = "minibayes", 1
HEADER_LIMIT = 16 * 2**20  # bytes; a header is a few kB, plus a training history
DTYPES = ("float32", "float64")
MODELS, ENSEMBLE = ("model", "checkpoint"), "ensemble"  # kinds of files


class FileError(require.InputError):
    """A model file or checkpoint that cannot be used; the message names the file and says what is wrong."""


def write(path: str | PathLike, header: dict, arrays: dict, compact: bool = False) -> None:
    """Write header and {name: array} to `path`, whole or not at all; compact: in few bytes, see above."""
    path = require.path("path", path)
    if not path.parent.is_dir():
        raise require.InputError(f"path must be in an existing folder, got {str(path)!r}")
    text = records.to_json({"format": FORMAT, "version": VERSION, "draws": DRAWS} | header).encode()
    if compact:
        small = zlib.compress(text, 9)
        parts = packing.number(len(small)), small, packing.pack(list(arrays.values()))
        members = {"compact": np.frombuffer(b"".join(parts), np.uint8)}
    else:
        members = {"header": np.frombuffer(text, np.uint8), **arrays}
    try:
        with files.whole(path) as file:
            np.savez(file, **members)
    except (OSError, ValueError) as error:  # ValueError: a null byte
        said = getattr(error, "strerror", None) or error
        raise FileError(f"cannot write {str(path)!r}: {said}") from None


@contextlib.contextmanager
def opened(path: str | PathLike) -> Iterator:
    """The archive at `path`; whatever is wrong inside comes out as one FileError."""
    path = require.path("path", path)
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
        said = " ".join(said.split())  # NumPy's have several lines
        raise FileError(f"{str(path)!r} is no valid minibayes file: {said}") from None


def _member(archive, name):
    """What the archive says of one member, if it is stored plain and no larger than the file."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"{name} is compressed or encrypted")
    if info.file_size > os.path.getsize(archive.filename):
        raise ValueError(f"{name} is said to have {info.file_size} bytes, more than the file")
    return info


def _array(archive, name, dtype, shape):
    """One member of the archive, read only if it is plain and declares exactly this dtype, shape and size."""
    info = _member(archive, name)
    size = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} has npy version {version}")
        given, fortran, given_dtype = np.lib.format.read_array_header_1_0(file)
        if given_dtype.hasobject or given_dtype != np.dtype(dtype) or fortran or given != tuple(shape):
            raise ValueError(f"{name} must be {dtype} of shape {tuple(shape)}, got {given_dtype} of shape "
                             f"{given}")
        if info.file_size - file.tell() != size:
            raise ValueError(f"{name} has {info.file_size - file.tell()} bytes of data, not {size}")
        return np.frombuffer(file.read(size), dtype).reshape(shape).copy()


def _bytes(archive, name):
    """A member that is a row of bytes."""
    with archive.open(_member(archive, name)) as file:
        np.lib.format.read_magic(file)
        (count,), _, _ = np.lib.format.read_array_header_1_0(file)
    return _array(archive, name, "uint8", (count,)).tobytes()


def is_compact(archive: zipfile.ZipFile) -> bool:
    return "compact.npy" in archive.namelist()


def compact_parts(archive: zipfile.ZipFile) -> tuple[bytes, bytes]:
    """(header, packed parameters) of a compact file."""
    data = _bytes(archive, "compact")
    length, at = packing.read_number(data, 0)
    reader = zlib.decompressobj()
    text = reader.decompress(data[at:at + length], HEADER_LIMIT)
    if not reader.eof or reader.unused_data:
        raise ValueError("its header has no end, or is too long")
    return text, data[at + length:]


def read_header(archive: zipfile.ZipFile, kinds: tuple = MODELS) -> dict:
    """What a file says of itself: its kind, dtype, network, prior, likelihood; a checkpoint also its run.

    An ensemble's: of each of its members. `kinds` are those that are wanted.
    """
    if is_compact(archive):
        text = compact_parts(archive)[0]
    elif (size := _member(archive, "header").file_size) > HEADER_LIMIT:
        raise ValueError(f"its header has {size} bytes")
    else:
        text = _bytes(archive, "header")
    header = json.loads(text)
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}")
    if header["version"] != VERSION:
        raise ValueError(f"its version is {header['version']!r}, this program reads version {VERSION}")
    if header["kind"] not in kinds:
        raise ValueError(f"its kind is {header['kind']!r}")
    return header


def read_tree(archive: zipfile.ZipFile, prefix: str, net: Network, dtype: str) -> dict:
    """{layer: {param: array}} under `prefix`, in the shapes of net's parameters, all finite."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {DTYPES}")
    tree, wanted = {}, net.param_shapes()
    if is_compact(archive):
        shapes = [shape for group in wanted.values() for shape in group.values()]
        found = iter(packing.unpack(compact_parts(archive)[1], shapes, dtype))
    for name, shapes in wanted.items():
        for param, shape in shapes.items():
            array = (next(found) if is_compact(archive) else
                     _array(archive, f"{prefix}/{name}/{param}", dtype, shape))
            if not np.isfinite(array).all():
                raise ValueError(f"{prefix}/{name}/{param} has NaN or infinite entries")
            tree.setdefault(name, {})[param] = array
    return tree


def flatten(prefix: str, tree: dict) -> dict:
    """{layer: {param: array}} as {"prefix/layer/param": array}."""
    return {f"{prefix}/{name}/{param}": np.ascontiguousarray(array) for name, param, array in leaves(tree)}


def model_header(model: object, params: dict) -> dict:
    """The header of a BayesianNetwork's file; an error if it could not be read again."""
    for name, layer in model.net.layers.items():
        records.check_readable(f"layer {name!r}", layer)
    records.check_readable("prior", model.prior)
    records.check_readable("likelihood", model.likelihood)
    return {"kind": "model",
            "dtype": next(iter(next(iter(params.values())).values())).dtype.name,
            "network": records.network_spec(model.net),
            "prior": records.spec(model.prior),
            "likelihood": records.spec(model.likelihood)}


def read_settings(header: dict) -> tuple:
    """(net, prior, likelihood) of a header."""
    net = records.build_network(header["network"])
    prior = records.build("prior", header["prior"])
    return net, prior, records.build("likelihood", header["likelihood"])


def read_model(path: str | PathLike) -> tuple:
    """(net, prior, likelihood, params) of a model file or a checkpoint."""
    with opened(path) as archive:
        return model_of(archive, read_header(archive), "params")


def model_of(archive: zipfile.ZipFile, header: dict, prefix: str) -> tuple:
    """(net, prior, likelihood, params) of a model's header and its parameters under `prefix`."""
    net, prior, likelihood = read_settings(header)
    params = read_tree(archive, prefix, net, header["dtype"])
    if not params:
        raise ValueError("its network has no parameters")
    for name in params:
        prior.check(name)  # an error if it says nothing of that layer
    return net, prior, likelihood, params
