"""Frames: a JSON header, then raw little-endian arrays; never pickle. Both sides of the socket use this.

A frame is ``b"NCF1"``, the header's length as four bytes (big-endian), the header, then the data of the
arrays that it lists, in order. All of it goes through the socket: what has been read is the reader's own memory,
and nothing that the other side does afterwards reaches it. What is read is checked before it is used, and before
memory is set aside for it.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

MAGIC = b"NCF1"
MAX_HEADER = 4 * 2**20  # bytes
MAX_DEPTH = 16  # of lists and objects in a header
MAX_INTEGER = 2**63
TEXT_KEPT = 2**15  # characters of a text, such as a message; the middle of a longer one is left out
MAX_ARRAYS = 64  # in a frame
MAX_AXES = 64  # NumPy's own limit
MAX_DATA = 2**36  # bytes of all arrays, where the reader says nothing
DTYPES = frozenset(
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    ]
)

Tagged = Tuple[str, "np.ndarray[Any, Any]"]
ReadInto = Callable[[memoryview], int]  # like socket.recv_into: some bytes, at least one; 0 at the end


class ProtocolError(Exception):
    """What came through the socket is not a frame, or more than its reader can use."""


class Packed(NamedTuple):
    """Arrays ready to be sent, once or several times: the header's entries, and the data."""

    entries: List[Dict[str, Any]]
    buffers: List[memoryview]


class _Announced(NamedTuple):
    """An array as a header lists it, checked."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    nbytes: int


def storage(name: str) -> np.dtype[Any]:
    """The NumPy dtype that holds the bits of dtype ``name``, little-endian."""
    return np.dtype("uint16" if name == "bfloat16" else name).newbyteorder("<")


def pack(arrays: Mapping[str, Optional[Tagged]]) -> Packed:
    """Prepare ``arrays`` (None: left out)."""
    entries: List[Dict[str, Any]] = []
    buffers: List[memoryview] = []
    for name, tagged in arrays.items():
        if tagged is None:
            continue
        dtype, array = tagged
        data = np.ascontiguousarray(array, dtype=storage(dtype))
        entries.append({"name": name, "dtype": dtype, "shape": list(array.shape)})
        buffers.append(data.reshape(-1).view(np.uint8).data)
    return Packed(entries, buffers)


def send(sock: socket.socket, header: Dict[str, Any], packed: Packed = Packed([], [])) -> None:  # noqa: B008
    """Send one frame; the socket's timeout holds for each part, and the middle of long texts is left out."""
    # A user's message may hold what is no Unicode; nothing of that goes further than this.
    whole = {**_bounded(header), "arrays": packed.entries}
    text = json.dumps(whole, ensure_ascii=False).encode(errors="replace")
    sock.sendall(MAGIC + struct.pack(">I", len(text)) + text)
    for buffer in packed.buffers:
        sock.sendall(buffer)


def receive(read_into: ReadInto, most: int = MAX_DATA) -> Tuple[Dict[str, Any], Dict[str, Tagged]]:
    """Receive one frame: its header and its arrays, which are writable and share memory with nothing else.

    ``most`` is how many bytes the arrays may have together. Raises EOFError where the other side is gone,
    ProtocolError where what came is no frame, and whatever ``read_into`` raises.
    """
    start = bytes(_read(read_into, 8))
    if start[:4] != MAGIC:
        raise ProtocolError(f"not a frame: it starts with {start[:4]!r}")
    length = struct.unpack(">I", start[4:])[0]
    if length > MAX_HEADER:
        raise ProtocolError(f"a header of {length:,} bytes; at most {MAX_HEADER:,} are read")
    try:
        header, announced = _header(bytes(_read(read_into, length)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a header that cannot be read: {error!r}"[:300]) from None
    total = sum(each.nbytes for each in announced)
    if total > most:
        raise ProtocolError(f"arrays of {total:,} bytes; the case can need {most:,}")
    arrays: Dict[str, Tagged] = {}
    for each in announced:
        data = np.frombuffer(_read(read_into, each.nbytes), storage(each.dtype))
        try:
            arrays[each.name] = (each.dtype, data.reshape(each.shape))
        except ValueError as error:  # such as a NumPy of fewer axes, or an empty array of enormous ones
            raise ProtocolError(f"an array of shape {each.shape}: {error}"[:300]) from None
    return _bounded(header), arrays


def _header(text: bytes) -> Tuple[Dict[str, Any], List[_Announced]]:
    header = json.loads(text.decode(), object_pairs_hook=_once)
    if type(header) is not dict:
        raise TypeError(f"a {type(header).__name__} instead of an object")
    _check(header)
    entries = header.pop("arrays")
    if type(entries) is not list or len(entries) > MAX_ARRAYS:
        raise ValueError(f"not a list of at most {MAX_ARRAYS} arrays")
    announced = [_announced(entry) for entry in entries]
    if len({each.name for each in announced}) < len(announced):
        raise ValueError("two arrays of one name")
    return header, announced


def _announced(entry: Dict[str, Any]) -> _Announced:
    name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
    if type(name) is not str or set(entry) != {"name", "dtype", "shape"}:
        raise ValueError(f"an array is described by {sorted(entry)}")
    if type(dtype) is not str or dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}")
    if type(shape) is not list or len(shape) > MAX_AXES:
        raise ValueError(f"a shape that is no list of at most {MAX_AXES} lengths")
    if not all(type(length) is int and 0 <= length <= MAX_DATA for length in shape):
        raise ValueError(f"shape {shape!r}")
    return _Announced(name, dtype, tuple(shape), math.prod(shape) * storage(dtype).itemsize)


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _check(value: Any, depth: int = 0) -> None:
    """ValueError unless ``value`` is made of what any reader can print and write again."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    if isinstance(value, str):
        value.encode()  # no half of a surrogate pair
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the number {value}")
    elif isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise ValueError("an integer of more than 64 bits")
    elif isinstance(value, dict):
        for name, each in value.items():
            _check(name, depth + 1)
            _check(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _check(each, depth + 1)


def _bounded(value: Any) -> Any:
    """``value`` with long texts cut in the middle: they are for people."""
    if isinstance(value, str) and len(value) > TEXT_KEPT:
        return f"{value[: TEXT_KEPT // 2]}\n…\n{value[-TEXT_KEPT // 2 :]}"
    if isinstance(value, dict):
        return {name: _bounded(each) for name, each in value.items()}
    return value


def _read(read_into: ReadInto, count: int) -> np.ndarray[Any, Any]:
    """``count`` bytes; memory that is not written to before they come costs nothing."""
    data = np.empty(count, np.uint8)
    view = data.data
    while view:
        try:
            received = read_into(view)
        except ConnectionError:
            raise EOFError from None
        if not received:
            raise EOFError
        view = view[received:]
    return data
