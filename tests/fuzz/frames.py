"""Throw mutated frames at the parent's side of a worker: whatever comes is an answer, or the protocol's own error.

    python tests/fuzz/frames.py [--count 10000] [--seed 0]

Frames of every kind that a worker sends are changed: in their bytes, in their length, in any value of their header,
cut short, doubled, and run into each other. Each is read by a WorkerClient as the start, the target or the result of
its worker, and what it makes of it is judged and written as JSON. A run of one seed is always the same.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from normcheck.answer import Answer
from normcheck.case import Case, Method, Output
from normcheck.data import to_data
from normcheck.dtype import DType
from normcheck.errors import NormcheckError
from normcheck.judge.case import CaseJudge
from normcheck.options import Options
from normcheck.parameters import Params
from normcheck.plan import Selection, plan
from normcheck.run.backends import BackendSpec
from normcheck.run.client import WorkerClient
from normcheck.run.sources import Question, UnavailableError
from normcheck.worker import frames

COUNT = 10_000
X = np.array([[1, 2, 4]], np.float32)
OUTPUTS = (Output.Y, Output.GRAD_X)
CASE = Case(
    method=Method.LAYER,
    params=Params(normalized_ndim=1),
    fixture="f",
    shape=(1, 3),
    dtype=DType.FLOAT32,
    outputs=OUTPUTS,
)
INPUTS = {"x": X, "grad_y": X}
READY = {
    "kind": "ready",
    "environment": {"version": "1", "threads": 1},
    "offers": {"layer": {"dtypes": ["float32"], "gradients": True}},
    "differentiates": True,
}
OK = {
    "kind": "result",
    "number": 1,
    "status": "ok",
    "seconds": 0.5,
    "problems": {"grad_x": "has dtype object"},
    "errors": {},
    "unsupported": {},
    "absent": ["grad_weight"],
    "changed": ["x"],
    "nondeterministic": ["y"],
    "overwritten": [],
}
LAYER = {
    "eps": {"float32": 1e-5},
    "momentum": None,
    "num_groups": None,
    "normalized_axes": None,
    "normalized_shape": [3],
    "channels": None,
    "ndims": [],
    "holds": ["weight", "bias"],
}
ERROR = {"kind": "result", "number": 1, "status": "error", "message": "ValueError", "traceback": "no"}
BAD = {"kind": "bad target", "message": "no such file", "traceback": ""}
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", "y", "ok", "\x00", "\x1b[2J", "\u202e", "\ud800", "x" * 10_000),
    *([], {}, [[]], {"y": {}}, ["y"] * 100, [2**70], [-1], [0, 2**40], [1] * 65, "float64", "object", "<f4"),
    {"name": "y", "dtype": "float32", "shape": [3], "file": "/etc/passwd"},
)


def framed(header: Any, *arrays: tuple[str, str, Any]) -> bytes:
    """A frame, whatever its header is."""
    packed = frames.pack({name: (dtype, array) for name, dtype, array in arrays})
    whole = {**header, "arrays": packed.entries} if isinstance(header, dict) else header
    text = json.dumps(whole).encode()
    return b"".join([frames.MAGIC, struct.pack(">I", len(text)), text, *packed.buffers])


WHOLE = (
    framed(READY),
    framed({"kind": "loaded"}),
    framed(OK, ("y", "float32", X), ("grad_x", "float32", X)),
    framed({**OK, "problems": {}}, ("y", "bfloat16", X.view(np.uint16)), ("grad_x", "float64", X)),
    framed(ERROR),
    framed(BAD),
    framed({"kind": "unavailable", "message": "no device"}),
    framed({"kind": "loaded", "layer": LAYER}, ("weight", "float32", X[0]), ("bias", "float32", X[0])),
)


class Mutator:
    """Changes frames at random, in the same way for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 (no secret: it is repeated)
        self.ways = [self.bits, self.cut, self.insert, self.splice, self.length, self.header, self.header]

    def frame(self) -> bytes:
        """The next frame."""
        data = self.random.choice(WHOLE)
        for _ in range(self.random.choice((1, 1, 2, 4))):
            data = self.random.choice(self.ways)(data)
        return data

    def bits(self, data: bytes) -> bytes:
        """Some bytes are others."""
        changed = bytearray(data)
        for _ in range(self.random.randint(1, 8) if changed else 0):
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        return bytes(changed)

    def cut(self, data: bytes) -> bytes:
        """The end is missing."""
        return data[: self.random.randint(0, len(data))]

    def insert(self, data: bytes) -> bytes:
        """Something is put in between."""
        place = self.random.randint(0, len(data))
        return data[:place] + self.random.randbytes(self.random.randint(1, 40)) + data[place:]

    def splice(self, data: bytes) -> bytes:
        """Another frame goes on where this one ends early."""
        return self.cut(data) + self.random.choice(WHOLE)

    def length(self, data: bytes) -> bytes:
        """The header's length is another one."""
        length = self.random.choice((0, 1, len(data), 2**22, 2**22 + 1, 2**31, 2**32 - 1))
        return data[:4] + struct.pack(">I", length) + data[8:]

    def header(self, data: bytes) -> bytes:
        """A value or a key of the header is another one; the header is as long as it says."""
        try:
            (length,) = struct.unpack(">I", data[4:8])
            header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
        except (ValueError, struct.error):
            return self.bits(data)
        text = json.dumps(self.changed(header)).encode()
        return data[:4] + struct.pack(">I", len(text)) + text + rest

    def changed(self, value: Any) -> Any:
        """``value``, or something in it, is another one."""
        inner = (
            list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        )
        if not inner or self.random.random() < 0.1:
            return self.random.choice(ODD)
        place = self.random.choice(inner)
        copy = value.copy()
        if self.random.random() < 0.1:
            del copy[place]
        elif isinstance(copy, dict) and self.random.random() < 0.1:
            copy[str(self.random.choice(ODD))] = copy.pop(place)
        else:
            copy[place] = self.changed(copy[place])
        return copy


class Spoken:
    """A worker's process that has said ``data``, and hung up."""

    def __init__(self, data: bytes) -> None:
        self.socket, self.started, self._data = self, time.monotonic(), io.BytesIO(data)

    def settimeout(self, _: float) -> None: ...

    def sendall(self, _: Any) -> None: ...

    def kill(self) -> None: ...

    def read_into(self, view: memoryview, _: float) -> int:
        return self._data.readinto(view)

    def printed(self) -> str:
        return ""

    def exit_description(self) -> str:
        return "exited"


def heard(data: bytes, question: Question, target: str | None) -> str:
    """What a client makes of ``data``, in a word; whatever else it raises is a fault."""
    process: Any = Spoken(data)
    spec = BackendSpec(name="mine", host="numpy", argument="mine", target=target)
    try:
        client = WorkerClient(spec, process, timeout=60)
        layer = client.layer()
        plan(Selection(methods=[CASE.method], fixtures=["nc"]), [] if layer is None else [layer])
        answer = client.answer(question)
    except (NormcheckError, UnavailableError) as error:
        str(error).encode()
        return type(error).__name__
    results = CaseJudge(CASE, INPUTS, Options()).judge({"mine": answer}).results["mine"]
    json.dumps(to_data(results), allow_nan=False).encode()
    if len(results) != len(OUTPUTS):
        raise AssertionError(f"{len(results)} results of {len(OUTPUTS)} outputs")
    return word(answer)


def word(answer: Answer) -> str:
    """The verdict, or that there are outputs."""
    return "outputs" if answer.verdict is None else answer.verdict.value


def outcomes(count: int, seed: int) -> Iterator[str]:
    """What becomes of each frame, in a word."""
    mutator, question = Mutator(seed), Question.of(CASE, INPUTS)
    loaded = (framed(READY), framed({"kind": "loaded"}))
    for number in range(count):
        before = mutator.random.choice(((), loaded[:1], loaded[:1], loaded))
        data = b"".join(before) + mutator.frame()
        try:
            yield heard(data, question, "f.py:norm" if len(before) == 2 else None)
        except Exception:
            print(f"frame {number} of seed {seed}: {data[:2000]!r}", file=sys.stderr)
            raise


def main() -> None:
    """Throw them, and say what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    found = Counter(outcomes(chosen.count, chosen.seed))
    print(
        f"{chosen.count:,} frames: " + ", ".join(f"{count:,} {word}" for word, count in found.most_common())
    )


if __name__ == "__main__":
    main()
