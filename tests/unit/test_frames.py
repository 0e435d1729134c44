"""Frames carry arrays exactly; anything else that comes through the socket is a ProtocolError, never a result."""

from __future__ import annotations

import functools
import io
import json
import math
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from normcheck.worker import frames
from normcheck.worker.frames import DTYPES, MAGIC, MAX_HEADER, ProtocolError


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def transfer(pair: Any, arrays: dict[str, Any], **header: Any) -> Any:
    """Send a frame through the pair, from another thread, and receive it."""
    sender = threading.Thread(target=frames.send, args=(pair[0], header, frames.pack(arrays)))
    sender.start()
    received = frames.receive(pair[1].recv_into)
    sender.join()
    return received


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (2, 3), (2, 1, 3, 1)], ids=str)
def test_arrays_come_back_bit_by_bit(pair: Any, dtype: str, shape: tuple[int, ...]) -> None:
    storage = frames.storage(dtype)
    count = int(np.prod(shape)) * storage.itemsize
    content = b"\x01" * count if dtype == "bool" else bytes(i % 251 for i in range(count))
    sent = np.frombuffer(content, storage).reshape(shape)
    header, arrays = transfer(pair, {"a": (dtype, sent)}, number=7)
    name, received = arrays["a"]
    assert (dtype, {"number": 7}) == (name, header)
    assert (shape, storage, content) == (received.shape, received.dtype, received.tobytes())


def test_several_arrays_come_in_order_and_none_is_left_out(pair: Any) -> None:
    sent = {"x": ("float32", np.ones(2, np.float32)), "weight": None, "bias": ("float64", np.zeros(3))}
    _, arrays = transfer(pair, sent)
    assert ["x", "bias"] == list(arrays)


def test_received_arrays_are_writable_and_share_nothing(pair: Any) -> None:
    sent = np.zeros(4)
    _, arrays = transfer(pair, {"a": ("float64", sent)})
    arrays["a"][1][:] = 1
    assert [0, 0, 0, 0] == sent.tolist()


@pytest.mark.parametrize("layout", ["transposed", "reversed", "big-endian"])
def test_any_memory_layout_is_sent_by_value(pair: Any, layout: str) -> None:
    plain = np.arange(6.0).reshape(2, 3)
    sent = {"transposed": plain.T, "reversed": plain[::-1], "big-endian": plain.astype(">f8")}[layout]
    _, arrays = transfer(pair, {"a": ("float64", sent)})
    np.testing.assert_array_equal(sent, arrays["a"][1])


def test_an_array_of_more_than_what_can_be_on_its_way_comes_in_pieces(pair: Any) -> None:
    sent = np.arange(2**20 + 5, dtype=np.float64)
    _, arrays = transfer(pair, {"a": ("float64", sent)})
    np.testing.assert_array_equal(sent, arrays["a"][1])


def test_one_packing_serves_many(pair: Any) -> None:
    packed = frames.pack({"a": ("float64", np.arange(3.0))})
    for number in (1, 2):
        frames.send(pair[0], {"number": number}, packed)
    for number in (1, 2):
        header, arrays = frames.receive(pair[1].recv_into)
        assert ({"number": number}, [0.0, 1.0, 2.0]) == (header, arrays["a"][1].tolist())


@pytest.mark.parametrize("sent", [True, False], ids=["by the sender", "by the reader"])
def test_the_middle_of_a_long_text_is_left_out(pair: Any, sent: bool) -> None:
    header = {"message": "a" * frames.TEXT_KEPT + "z", "errors": {"y": "short"}}
    if sent:
        received, _ = transfer(pair, {}, **header)
    else:
        received, _ = frames.receive(io.BytesIO(framed({**header, "arrays": []})).readinto)
    assert (frames.TEXT_KEPT + 3, "a", "z", "short") == (
        len(received["message"]),
        received["message"][0],
        received["message"][-1],
        received["errors"]["y"],
    )


# --- what is no frame --------------------------------------------------------------------------------------


def framed(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + struct.pack(">I", len(text)) + text + body


ENTRY: dict[str, Any] = {"name": "a", "dtype": "float64", "shape": [2]}


def listing(**changes: Any) -> bytes:
    """A frame with one array of two float64, its entry changed."""
    return framed({"arrays": [{**ENTRY, **changes}]}, bytes(16))


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
    "a length of 2**70 beside none": listing(shape=[0, 2**70]),
    "an empty array that no address could end": listing(shape=[0, 2**36, 2**36]),
    "65 axes": listing(shape=[1] * 65),
    "a file": listing(file="/etc/passwd"),
    "a name that is a number": listing(name=7),
    "two arrays of one name": framed({"arrays": [ENTRY, ENTRY]}, bytes(32)),
    "too many arrays": framed({"arrays": [{**ENTRY, "name": str(n)} for n in range(65)]}, bytes(65 * 16)),
    "a key that occurs twice": framed(b'{"arrays": [], "arrays": []}'),
    "a number that is none": framed({"arrays": [], "seconds": math.nan}),
    "a number that is infinite": framed(b'{"arrays": [], "seconds": 1e999}'),
    "an integer of 4,000 digits": framed({"arrays": [], "number": 10**4000}),
    "an integer of 5,000 digits": framed(b'{"arrays": [], "number": ' + b"1" * 5000 + b"}"),
    "half a surrogate pair": framed(b'{"arrays": [], "message": "\\ud800"}'),
    "half a surrogate pair in a key": framed(b'{"arrays": [], "\\ud800": 1}'),
    "17 levels": framed(
        {"arrays": [], "environment": functools.reduce(lambda inner, _: [inner], range(17), 1)}
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_protocol_error(name: str) -> None:
    with pytest.raises(ProtocolError):
        frames.receive(io.BytesIO(NONSENSE[name]).readinto)


def test_the_frame_that_all_these_change_is_a_good_one(pair: Any) -> None:
    pair[0].sendall(listing())
    _, arrays = frames.receive(pair[1].recv_into)
    assert [0.0, 0.0] == arrays["a"][1].tolist()


def test_memory_is_set_aside_for_what_the_reader_can_use_alone() -> None:
    frames.receive(io.BytesIO(listing()).readinto, 16)
    with pytest.raises(ProtocolError, match="arrays of 16 bytes; the case can need 15"):
        frames.receive(io.BytesIO(listing()).readinto, 15)


@pytest.mark.parametrize("length", [0, 3, 8, 30, -1], ids=lambda n: f"after {n} bytes")
def test_the_other_side_gone_is_an_end_of_file(pair: Any, length: int) -> None:
    pair[0].sendall(listing()[:length])
    pair[0].close()
    with pytest.raises(EOFError):
        frames.receive(pair[1].recv_into)
