"""Frames carry arrays exactly; anything else that comes through the socket is a ProtocolError, never a result."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normcheck.worker import frames
from normcheck.worker.frames import DTYPES, IN_FILE, MAGIC, MAX_HEADER, ProtocolError


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def transfer(
    pair: Any, folder: Path, arrays: dict[str, Any], *, keep_files: bool = False, **header: Any
) -> Any:
    """Send a frame through the pair, from another thread, and receive it."""
    sender = threading.Thread(target=frames.send, args=(pair[0], header, frames.pack(arrays, str(folder))))
    sender.start()
    received = frames.receive(pair[1], str(folder), time.monotonic() + 60, keep_files=keep_files)
    sender.join()
    return received


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (2, 3), (2, 1, 3, 1)], ids=str)
def test_arrays_come_back_bit_by_bit(pair: Any, tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    storage = frames.storage(dtype)
    count = int(np.prod(shape)) * storage.itemsize
    content = b"\x01" * count if dtype == "bool" else bytes(i % 251 for i in range(count))
    sent = np.frombuffer(content, storage).reshape(shape)
    header, arrays = transfer(pair, tmp_path, {"a": (dtype, sent)}, number=7)
    name, received = arrays["a"]
    assert (dtype, {"number": 7}) == (name, header)
    assert (shape, storage, content) == (received.shape, received.dtype, received.tobytes())


def test_several_arrays_come_in_order_and_none_is_left_out(pair: Any, tmp_path: Path) -> None:
    sent = {"x": ("float32", np.ones(2, np.float32)), "weight": None, "bias": ("float64", np.zeros(3))}
    _, arrays = transfer(pair, tmp_path, sent)
    assert ["x", "bias"] == list(arrays)


def test_received_arrays_are_writable_and_share_nothing(pair: Any, tmp_path: Path) -> None:
    sent = np.zeros(4)
    _, arrays = transfer(pair, tmp_path, {"a": ("float64", sent)})
    arrays["a"][1][:] = 1
    assert [0, 0, 0, 0] == sent.tolist()


@pytest.mark.parametrize("layout", ["transposed", "reversed", "big-endian"])
def test_any_memory_layout_is_sent_by_value(pair: Any, tmp_path: Path, layout: str) -> None:
    plain = np.arange(6.0).reshape(2, 3)
    sent = {"transposed": plain.T, "reversed": plain[::-1], "big-endian": plain.astype(">f8")}[layout]
    _, arrays = transfer(pair, tmp_path, {"a": ("float64", sent)})
    np.testing.assert_array_equal(sent, arrays["a"][1])


@pytest.mark.parametrize("keep", [False, True], ids=["and are removed", "and are kept for others"])
def test_big_arrays_go_through_files(pair: Any, tmp_path: Path, keep: bool) -> None:
    sent = np.arange(IN_FILE // 8 + 5, dtype=np.float64)
    _, arrays = transfer(pair, tmp_path, {"a": ("float64", sent)}, keep_files=keep)
    np.testing.assert_array_equal(sent, arrays["a"][1])
    assert keep == bool(list(tmp_path.iterdir()))


def test_a_change_to_a_big_array_does_not_reach_its_file(pair: Any, tmp_path: Path) -> None:
    sent = np.zeros(IN_FILE // 8)
    _, arrays = transfer(pair, tmp_path, {"a": ("float64", sent)}, keep_files=True)
    arrays["a"][1][:] = 1
    (file,) = tmp_path.iterdir()
    assert not np.fromfile(file).any()


def test_one_packing_serves_many(pair: Any, tmp_path: Path) -> None:
    packed = frames.pack({"a": ("float64", np.arange(3.0))}, str(tmp_path))
    for number in (1, 2):
        frames.send(pair[0], {"number": number}, packed)
    for number in (1, 2):
        header, arrays = frames.receive(pair[1], str(tmp_path))
        assert ({"number": number}, [0.0, 1.0, 2.0]) == (header, arrays["a"][1].tolist())


# --- what is no frame --------------------------------------------------------------------------------------


def framed(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + struct.pack(">I", len(text)) + text + body


def listing(**changes: Any) -> bytes:
    """A frame with one array of two float64, its entry changed."""
    entry = {"name": "a", "dtype": "float64", "shape": [2], **changes}
    return framed({"arrays": [entry]}, bytes(16))


NONSENSE = {
    "text": b"hello, world\n" * 10,
    "zeros": bytes(64),
    "another magic": b"NCF2" + bytes(60),
    "an oversized header": MAGIC + struct.pack(">I", MAX_HEADER + 1),
    "a header that is no JSON": framed(b"{" * 20),
    "a header that is not UTF-8": framed(b"\xff" * 20),
    "a header that is nested too deep": framed(b"[" * 100_000),
    "a header that is a list": framed([]),
    "a header that is null": framed(None),
    "no list of arrays": framed({}),
    "arrays that are a number": framed({"arrays": 5}),
    "an entry that is a word": framed({"arrays": ["a"]}),
    "an entry without a shape": framed({"arrays": [{"name": "a", "dtype": "float64"}]}),
    "an unknown dtype": listing(dtype="float99"),
    "an object dtype": listing(dtype="object"),
    "a record dtype": listing(dtype="f4,f4"),
    "a dtype with a byte order": listing(dtype=">f8"),
    "a negative shape": listing(shape=[-2]),
    "two negative lengths": listing(shape=[-1, -2]),
    "a fractional shape": listing(shape=[2.0]),
    "a shape of booleans": listing(shape=[True, 2]),
    "a shape of words": listing(shape=["2"]),
    "a shape that is a number": listing(shape=2),
    "an array of 8 EiB": listing(shape=[2**60]),
    "an array whose size overflows 64 bits": listing(shape=[2**40, 2**40]),
    "a file that is absent": listing(file="absent"),
    "a file by an absolute path": listing(file="/etc/passwd"),
    "a file outside": listing(file="../secret"),
    "a file that is hidden": listing(file=".hidden"),
    "a file without a name": listing(file=""),
    "a file that is a number": listing(file=7),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_protocol_error(pair: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_bytes(bytes(16))
    (tmp_path / "run" / ".hidden").write_bytes(bytes(16))
    pair[0].sendall(NONSENSE[name])
    with pytest.raises(ProtocolError):
        frames.receive(pair[1], str(tmp_path / "run"), time.monotonic() + 60)
    assert (tmp_path / "secret").exists()


def test_the_frame_that_all_these_change_is_a_good_one(pair: Any, tmp_path: Path) -> None:
    pair[0].sendall(listing())
    _, arrays = frames.receive(pair[1], str(tmp_path))
    assert [0.0, 0.0] == arrays["a"][1].tolist()


def test_a_file_that_is_too_short_is_a_protocol_error(pair: Any, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(bytes(8))
    pair[0].sendall(listing(file="short"))
    with pytest.raises(ProtocolError):
        frames.receive(pair[1], str(tmp_path))


@pytest.mark.parametrize("length", [0, 3, 8, 30, -1], ids=lambda n: f"after {n} bytes")
def test_the_other_side_gone_is_an_end_of_file(pair: Any, tmp_path: Path, length: int) -> None:
    pair[0].sendall(listing()[:length])
    pair[0].close()
    with pytest.raises(EOFError):
        frames.receive(pair[1], str(tmp_path))


@pytest.mark.parametrize("length", [0, 3, 8, 30, -1], ids=lambda n: f"after {n} bytes")
def test_silence_is_a_timeout(pair: Any, tmp_path: Path, length: int) -> None:
    pair[0].sendall(listing()[:length])
    with pytest.raises(TimeoutError):
        frames.receive(pair[1], str(tmp_path), time.monotonic() + 0.05)


def test_a_deadline_that_has_passed_is_a_timeout_though_the_frame_is_there(pair: Any, tmp_path: Path) -> None:
    pair[0].sendall(listing())
    with pytest.raises(TimeoutError):
        frames.receive(pair[1], str(tmp_path), time.monotonic() - 1)
