"""Frames: a JSON header, then raw little-endian arrays; never pickle. Both sides of the socket use this.

A frame is ``b"NCF1"``, the header's length as four bytes (big-endian), the header, then the data of the
arrays that it lists, in order. Arrays of 1 MiB and more travel as files in a directory that the parent made
for the run: the header names the file, and the reader maps it.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import socket
import struct
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

MAGIC = b"NCF1"
MAX_HEADER = 16 * 2**20
MAX_ARRAY = 2**36  # bytes
IN_FILE = 2**20  # bytes from which an array travels as a file
DTYPES = frozenset(
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    ]
)

Tagged = Tuple[str, "np.ndarray[Any, Any]"]


class ProtocolError(Exception):
    """What came through the socket is not a frame."""


class Packed(NamedTuple):
    """Arrays ready to be sent, once or several times: the header's entries, and the data of small ones."""

    entries: List[Dict[str, Any]]
    buffers: List[memoryview]


def storage(name: str) -> np.dtype[Any]:
    """The NumPy dtype that holds the bits of dtype ``name``, little-endian."""
    return np.dtype("uint16" if name == "bfloat16" else name).newbyteorder("<")


def pack(arrays: Dict[str, Optional[Tagged]], directory: str) -> Packed:
    """Prepare ``arrays`` (None: left out), large ones as new files in ``directory``."""
    entries: List[Dict[str, Any]] = []
    buffers: List[memoryview] = []
    for name, tagged in arrays.items():
        if tagged is None:
            continue
        dtype, array = tagged
        data = np.ascontiguousarray(array, dtype=storage(dtype))
        entry: Dict[str, Any] = {"name": name, "dtype": dtype, "shape": list(array.shape)}
        if data.nbytes >= IN_FILE:
            entry["file"] = secrets.token_hex(8)
            data.tofile(os.path.join(directory, entry["file"]))
        else:
            buffers.append(data.reshape(-1).data.cast("B"))
        entries.append(entry)
    return Packed(entries, buffers)


def discard(packed: Packed, directory: str) -> None:
    """Remove the files of arrays that need not be sent again."""
    for entry in packed.entries:
        if "file" in entry:
            os.unlink(os.path.join(directory, entry["file"]))


def send(sock: socket.socket, header: Dict[str, Any], packed: Packed = Packed([], [])) -> None:  # noqa: B008
    """Send one frame; the socket's timeout holds for each part."""
    # A user's message may hold what is no Unicode; nothing of that goes further than this.
    text = json.dumps({**header, "arrays": packed.entries}, ensure_ascii=False).encode(errors="replace")
    sock.sendall(MAGIC + struct.pack(">I", len(text)) + text)
    for buffer in packed.buffers:
        sock.sendall(buffer)


def receive(
    sock: socket.socket, directory: str, deadline: Optional[float] = None, *, keep_files: bool = False
) -> Tuple[Dict[str, Any], Dict[str, Tagged]]:
    """Receive one frame: its header and its arrays, which are writable and share memory with nothing else.

    ``deadline`` is in seconds of :func:`time.monotonic`. Raises EOFError where the other side is gone,
    TimeoutError at the deadline, ProtocolError where what came is no frame.
    """
    start = bytes(_read(sock, 8, deadline))
    if start[:4] != MAGIC:
        raise ProtocolError(f"not a frame: it starts with {start[:4]!r}")
    length = struct.unpack(">I", start[4:])[0]
    if length > MAX_HEADER:
        raise ProtocolError(f"a header of {length:,} bytes")
    try:
        header = json.loads(bytes(_read(sock, length, deadline)).decode())
        entries = [_entry(entry) for entry in header.pop("arrays")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"a header that cannot be read: {error!r}") from None
    arrays: Dict[str, Tagged] = {}
    for name, dtype, shape, file in entries:
        count = int(np.prod(shape, dtype=object))
        nbytes = count * storage(dtype).itemsize
        if nbytes > MAX_ARRAY:
            raise ProtocolError(f"an array of {nbytes:,} bytes")
        data = _read(sock, nbytes, deadline) if file is None else _map(directory, file, nbytes, keep_files)
        flat = (
            np.frombuffer(data, dtype=storage(dtype), count=count) if count else np.empty(0, storage(dtype))
        )
        arrays[name] = (dtype, flat.reshape(shape))
    return header, arrays


def _entry(entry: Dict[str, Any]) -> Tuple[str, str, Tuple[int, ...], Optional[str]]:
    dtype, shape, file = str(entry["dtype"]), tuple(entry["shape"]), entry.get("file")
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"shape {shape!r}")
    if file is not None and not (isinstance(file, str) and file.isalnum()):
        raise ValueError(f"file {file!r}")
    return str(entry["name"]), dtype, shape, file


def _map(directory: str, file: str, nbytes: int, keep: bool) -> Any:
    path = os.path.join(directory, file)
    try:
        with open(path, "rb") as stream:
            data = mmap.mmap(stream.fileno(), nbytes, access=mmap.ACCESS_COPY)
        if not keep:
            os.unlink(path)
    except (OSError, ValueError) as error:
        raise ProtocolError(f"an array in a file that cannot be mapped: {error}") from None
    return data


def _read(sock: socket.socket, count: int, deadline: Optional[float]) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        if deadline is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            sock.settimeout(remaining)
        try:
            received = sock.recv_into(view)
        except socket.timeout:
            raise TimeoutError from None
        except ConnectionError:
            raise EOFError from None
        if not received:
            raise EOFError
        view = view[received:]
    return data
