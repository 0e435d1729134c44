"""What a worker says through its socket: what it is, why it or a target cannot be used, and its replies."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normcheck.backends import BUILTIN
from normcheck.backends._base import UnavailableError
from normcheck.worker import frames
from normcheck.worker.guard import Guard
from normcheck.worker.serve import serve

TASK = {
    "case": "c",
    "method": "layer",
    "mode": "train",
    "dtype": "float32",
    "layout": "contiguous",
    "steps": 1,
    "params": {"eps": 1e-5, "channel_axis": 1, "normalized_ndim": 1},
    "outputs": ["y"],
}
X = {"x": ("float32", np.array([[1, 2, 4]], np.float32))}
Heard = list[dict[str, Any]]


@pytest.fixture
def heard() -> Iterator[Callable[..., Heard]]:
    """The headers that a worker of NumPy sends, for so many requests of the same case."""
    ours, theirs = socket.socketpair()

    def heard(requests: int = 0, **spec: Any) -> Heard:
        numpy = {
            "host": "numpy",
            "adapter": BUILTIN["numpy"].adapter,
            "options": {},
            "device": "cpu",
            "methods": {"layer": {"normalized_ndim": 1}},
        }
        questions = [
            ({"task": TASK, "number": number, "room": 2**20}, X) for number in range(1, requests + 1)
        ]
        serve(theirs, {**numpy, **spec}, questions, Guard())
        theirs.shutdown(socket.SHUT_WR)
        found: Heard = []
        while True:
            try:
                header, arrays = frames.receive(ours.recv_into)
            except EOFError:
                return found
            found.append(header | ({"arrays": arrays} if arrays else {}))

    with ours, theirs:
        yield heard


class Absent:
    """An adapter whose framework is there, but not the device."""

    def __init__(self, options: Any, device: str) -> None:
        raise UnavailableError(f"no device {device!r}")


class Broken:
    """An adapter whose framework cannot be imported."""

    def __init__(self, options: Any, device: str) -> None:
        raise OSError("libcudart.so: cannot open")


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("Absent", "no device 'cpu'"),
        ("Broken", "numpy cannot be imported: OSError: libcudart.so: cannot open"),
    ],
)
def test_a_framework_that_cannot_be_used_is_unavailable(
    heard: Callable[..., Heard], adapter: str, message: str
) -> None:
    assert [{"kind": "unavailable", "message": message}] == heard(adapter=f"{__name__}:{adapter}")


def test_garbage_is_looked_for_again_but_not_in_what_the_framework_is(heard: Callable[..., Heard]) -> None:
    before = gc.get_freeze_count()
    try:
        heard()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_each_request_gets_a_result_with_its_number(heard: Callable[..., Heard]) -> None:
    ready, *results = heard(requests=2)
    assert ("ready", np.__version__) == (ready["kind"], ready["environment"]["version"])
    assert {"layer"} == set(ready["offers"])
    assert [("result", 1, "ok"), ("result", 2, "ok")] == [
        (r["kind"], r["number"], r["status"]) for r in results
    ]
    for result in results:
        np.testing.assert_allclose(result["arrays"]["y"][1], [[-1.0690, -0.2673, 1.3363]], atol=1e-4)


def test_a_request_that_raises_costs_the_next_one_nothing(
    heard: Callable[..., Heard], tmp_path: Path
) -> None:
    (tmp_path / "twice.py").write_text(
        "calls = []\n"
        "def norm(x, weight, bias, *, eps):\n"
        "    calls.append(x)\n"
        "    if len(calls) == 1:\n"
        "        raise ValueError('once')\n"
        "    return x\n"
    )
    _, loaded, first, second = heard(requests=2, target=f"{tmp_path}/twice.py:norm")
    assert ("loaded", "error", "ValueError: once", "ok") == (
        loaded["kind"],
        first["status"],
        first["message"],
        second["status"],
    )


NORM = "import math\nimport sys\n\ndef norm(x): ...\n"


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (NORM, "absent.py:norm", "no such file: {folder}/absent.py"),
        (NORM, "f.py:nrom", "{folder}/f.py has no attribute 'nrom'; callable in it: norm"),
        (NORM, "f.py:norm.left", "{folder}/f.py has no attribute 'norm.left'; callable in it: norm"),
        (NORM, "f.py:math.pi", "{folder}/f.py:math.pi is a float, not a function or a module to call"),
        ("raise ValueError('at import')", "f.py:norm", "{folder}/f.py cannot be imported: ValueError: at import"),
        ("import no_such_module", "f.py:norm", "No module named 'no_such_module'"),
        ("def norm(:", "f.py:norm", "SyntaxError"),
        ("import sys\nsys.exit(0)", "f.py:norm", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "f.py:norm", "KeyboardInterrupt"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_loaded_is_said_with_the_users_traceback_alone(
    heard: Callable[..., Heard], tmp_path: Path, source: str, target: str, message: str
) -> None:
    (tmp_path / "f.py").write_text(source)
    ready, bad = heard(target=f"{tmp_path}/{target}")
    assert ("ready", "bad target") == (ready["kind"], bad["kind"])
    assert message.format(folder=tmp_path) in bad["message"]
    assert (source is not NORM) == ("f.py" in bad["traceback"])
    assert "normcheck/worker" not in bad["traceback"]
    assert "importlib" not in bad["traceback"]


def test_a_module_that_is_not_there_is_a_bad_target(heard: Callable[..., Heard]) -> None:
    assert "No module named 'no'" in heard(target="no.such.package:norm")[-1]["message"]
