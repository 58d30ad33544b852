"""Arrays as few bytes, and the same arrays again, bit for bit: what is alike costs little.

A matrix of which few numbers differ is written as its distinct values and, for each entry, which of them it
is; any other as its numbers, of which sign and exponent are coded and the other bits stand as they are. Zeros
are told apart first. `kernels.encode` codes all of it with probabilities that it learns on the way, so there
are no tables beside the values. Lossless: what is to be lost is for `minibayes.compress`.

A record:  depth (1 byte; 255: numbers as they are) | count of values | count of bytes | values | bytes
"""

import numpy as np

from . import kernels

RAW = 255
DEEPEST = 12  # at most 2^12 values are shared
PER_BYTE = 256  # numbers for each byte at most: fewer bytes are padded, lest a small file ask for any memory
WORDS = {"float32": (np.uint32, 9, 23), "float64": (np.uint64, 12, 52)}  # bits of sign and exponent; the rest


def pack(arrays: list[np.ndarray]) -> bytes:
    """The records of arrays of float32 or float64, one after another."""
    out = b"".join(record(array) for array in arrays)
    return out + bytes(max(0, least(sum(array.size for array in arrays)) - len(out)))


def unpack(data: bytes, shapes: list[tuple], dtype: str) -> list[np.ndarray]:
    """The arrays of these shapes that `pack` wrote; ValueError if they cannot have been."""
    size = sum(int(np.prod(shape, dtype=object)) for shape in shapes)
    if least(size) > len(data):
        raise ValueError(f"{len(data)} bytes are too few for {size} numbers")
    arrays, at = [], 0
    for shape in shapes:
        array, at = read(data, at, shape, dtype)
        arrays.append(array)
    if any(data[at:]) or (at < len(data) != least(size)):
        raise ValueError(f"{len(data) - at} bytes are left over")
    return arrays


def least(size: int) -> int:
    return size // PER_BYTE + 1


def matrix(shape: tuple) -> tuple:
    """A row per output unit, as (K, D); one row for fewer axes."""
    return (1, int(np.prod(shape))) if len(shape) < 2 else (shape[0], int(np.prod(shape[1:])))


def record(array: np.ndarray) -> bytes:
    """One array: the shorter of its two records."""
    word, high, low = WORDS[array.dtype.name]
    bits = np.ascontiguousarray(array).view(word).reshape(matrix(array.shape)).astype(np.uint64)
    values, index = np.unique(bits, return_inverse=True)
    shift = int(values[0] != 0)  # 0 codes for the number +0 alone
    code = (index.reshape(bits.shape) + shift).astype(np.uint64)
    values = values[1 - shift:].astype(word)
    exponent = np.where(bits != 0, (bits >> np.uint64(low)) + np.uint64(1), np.uint64(0))
    found = [written(RAW, values[:0], exponent, bits & np.uint64(2**low - 1), high, low)]
    depth = int(max(len(values) - 1, 0)).bit_length()
    if depth <= DEEPEST:
        found.append(written(depth, values, code, np.zeros_like(code), depth, 0))
    return min(found, key=len)


def written(kind: int, values: np.ndarray, code: np.ndarray, rest: np.ndarray, depth: int,
            extra: int) -> bytes:
    out = np.empty(code.size * (depth + extra + 2) // 8 + 64, np.uint8)
    length = kernels.encode(code, rest, depth, extra, out)
    if length > len(out):  # where learning the probabilities costs more than they save
        out = np.empty(length, np.uint8)
        kernels.encode(code, rest, depth, extra, out)
    stream = out[:length].tobytes().rstrip(b"\0")  # zeros behind the end are read there anyway
    values = values.astype(values.dtype.newbyteorder("<"))
    return bytes([kind]) + number(len(values)) + number(len(stream)) + values.tobytes() + stream


def read(data: bytes, at: int, shape: tuple, dtype: str) -> tuple[np.ndarray, int]:
    """(array, where the next record begins)."""
    word, high, low = WORDS[dtype]
    kind = data[at]
    count, at = read_number(data, at + 1)
    length, at = read_number(data, at)
    begin = at + count * np.dtype(word).itemsize
    if begin + length > len(data):
        raise ValueError(f"a record of {count} values and {length} bytes goes beyond the end")
    raw = kind == RAW
    if not raw and (kind > DEEPEST or max(count - 1, 0).bit_length() != kind) or raw and count:
        raise ValueError(f"a record of kind {kind} has {count} values")
    code = np.empty(matrix(shape), np.uint64)
    rest = np.empty_like(code)
    stream = np.frombuffer(data, np.uint8, length, begin)
    looked = kernels.decode(stream, high if raw else kind, low if raw else 0, code, rest)
    if looked < length:
        raise ValueError(f"{length - looked} bytes of a record are left over")
    if raw:
        bits = ((code - np.uint64(1)) << np.uint64(low)) | rest
        bits = np.where(code != 0, bits, np.uint64(0)).astype(word)
    else:
        values = np.frombuffer(data, np.dtype(word).newbyteorder("<"), count, at).astype(word)
        if code.size and code.max() > count:
            raise ValueError(f"a record names value {code.max()} of {count}")
        bits = np.concatenate([np.zeros(1, word), values])[code.astype(np.int64)]
    return bits.view(dtype).reshape(shape), begin + length


def number(value: int) -> bytes:
    """A count, seven bits a byte, the lowest first; the last byte is below 128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """(count, where it ends); ValueError beyond 2^35."""
    value = 0
    for place in range(5):
        value |= (data[at + place] & 127) << 7 * place
        if data[at + place] < 128:
            return value, at + place + 1
    raise ValueError("a count has more than five bytes")
