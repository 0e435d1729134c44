"""The parent's side of a worker: what is no answer costs its case, three deaths the rest, and nothing passes by it."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from normcheck.answer import Answer
from normcheck.case import Case, Method
from normcheck.dtype import DType
from normcheck.errors import TargetError, UnusableBackendError
from normcheck.judge.case import CaseJudge
from normcheck.options import Options
from normcheck.parameters import Params
from normcheck.run import client
from normcheck.run.backends import BackendSpec
from normcheck.run.client import MAX_DEATHS, WorkerClient
from normcheck.run.sources import Question, UnavailableError
from normcheck.verdict import Verdict
from normcheck.worker import frames

X = np.array([[1, 2, 4]], np.float32)
CASE = Case(
    method=Method.LAYER, params=Params(normalized_ndim=1), fixture="f", shape=(1, 3), dtype=DType.FLOAT32
)
READY = {"kind": "ready", "environment": {"version": "1"}}
NOTHING: dict[str, Any] = {"problems": {}, "errors": {}, "unsupported": {}, "absent": [], "changed": []}
OK = {
    "kind": "result",
    "number": 1,
    "status": "ok",
    "seconds": 0.5,
    "nondeterministic": [],
    "overwritten": [],
}
OK |= NOTHING
Y = {"y": ("float32", X)}
Said = dict[str, Any] | bytes
HANGS_UP = b""


def framed(header: dict[str, Any], **outputs: Any) -> bytes:
    """A frame as the bytes that it is; of large arrays the start."""
    packed = frames.pack({name: (array.dtype.name, array) for name, array in outputs.items()})
    text = json.dumps({**header, "arrays": packed.entries}).encode()
    return b"".join([frames.MAGIC, struct.pack(">I", len(text)), text, *(b[:1000] for b in packed.buffers)])


class FakeProcess:
    """A worker's process that has said all it ever will: frames or raw bytes; HANGS_UP closes its end."""

    def __init__(self, *said: Said) -> None:
        self.socket, self._theirs = socket.socketpair()
        self.started = time.monotonic()
        self.killed = False
        for each in said:
            if each == HANGS_UP:
                self._theirs.shutdown(socket.SHUT_RDWR)
            elif isinstance(each, bytes):
                self._theirs.sendall(each)
            else:
                arrays = Y if each.get("status") == "ok" else {}
                frames.send(self._theirs, each, frames.pack(arrays))

    def read_into(self, view: memoryview, deadline: float) -> int:
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        return self.socket.recv_into(view)

    def kill(self) -> None:
        self.killed = True
        self.socket.close()
        self._theirs.close()

    def printed(self) -> str:
        return "last words\n"

    def exit_description(self) -> str:
        return "exited with code 3"

    def lacks_numpy(self) -> bool:
        return False


class Asking:
    """A client whose workers are fakes, one after another."""

    def __init__(self, target: str | None, workers: Iterator[FakeProcess]) -> None:
        self.workers = workers
        self.spec = BackendSpec(name="mine", host="numpy", argument="mine=…", target=target)
        self.client = WorkerClient(self.spec, self.start(), timeout=0.2)
        self.question = Question.of(CASE, {"x": X})

    def start(self, *_: Any) -> Any:
        return next(self.workers)

    def answer(self) -> Answer:
        return self.client.answer(self.question)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Asking]]:
    """``asking(what the first worker says, what the second says, ...)``."""
    with contextlib.ExitStack() as stack:

        def asking(*lives: list[Said], target: str | None = None) -> Asking:
            processes = [FakeProcess(*said) for said in lives]
            for process in processes:
                stack.callback(process.kill)
            made = Asking(target, iter(processes))
            monkeypatch.setattr(client, "WorkerProcess", made.start)
            return made

        yield asking


def test_the_answer_that_all_these_spoil_is_a_good_one(asking: Callable[..., Asking]) -> None:
    answer = asking([READY, OK]).answer()
    assert (None, None, 0.5, "last words\n") == (
        answer.verdict,
        answer.reason,
        answer.seconds,
        answer.stderr,
    )
    assert X.tolist() == answer.outputs["y"].tolist()


# --- what is no answer -------------------------------------------------------------------------------------

WITHOUT_SECONDS = {name: value for name, value in OK.items() if name != "seconds"}

LIVES: dict[str, tuple[list[Said], Verdict, str]] = {
    "nonsense at the start": ([{"kind": "hello"}], Verdict.ERROR, "nonsense when it was started"),
    "no environment": ([{"kind": "ready", "environment": 3}], Verdict.ERROR, "nonsense when it was started"),
    "junk at the start": ([b"junk" * 100], Verdict.ERROR, "answered with nonsense: not a frame"),
    "junk for a result": ([READY, b"junk" * 100], Verdict.ERROR, "answered with nonsense: not a frame"),
    "another kind": ([READY, READY], Verdict.ERROR, "nonsense instead of a result"),
    "another number": ([READY, {**OK, "number": 2}], Verdict.ERROR, "nonsense instead of a result"),
    "another status": ([READY, {**OK, "status": "fine"}], Verdict.ERROR, "status 'fine'"),
    "no seconds": ([READY, WITHOUT_SECONDS], Verdict.ERROR, "KeyError('seconds')"),
    "problems in a list": ([READY, {**OK, "problems": [1]}], Verdict.ERROR, "problems is [1]"),
    "problems that are no text": ([READY, {**OK, "problems": {"y": 1}}], Verdict.ERROR, "problems is {'y': 1}"),
    "errors of no output": ([READY, {**OK, "errors": {"z": "no"}}], Verdict.ERROR, "errors is ['z']"),
    "changes of no input": ([READY, {**OK, "changed": ["z"]}], Verdict.ERROR, "changed is ['z']"),
    "an absence in a word": ([READY, {**OK, "absent": "y"}], Verdict.ERROR, "absent is 'y'"),
    "seconds in words": ([READY, {**OK, "seconds": "some"}], Verdict.ERROR, "seconds 'some'"),
    "seconds below zero": ([READY, {**OK, "seconds": -1}], Verdict.ERROR, "seconds -1"),
    "an output of another case": ([READY, framed(OK, z=X)], Verdict.ERROR, "'z' is no output"),
    "more than the case can need": ([READY, framed(OK, y=np.zeros(2**19))], Verdict.ERROR, "the case can need"),
    "a hang-up at the start": ([HANGS_UP], Verdict.CRASH, "exited with code 3, starting, without an answer"),
    "a hang-up before the question": ([READY, HANGS_UP], Verdict.CRASH, "exited with code 3 before its input"),
    "silence": ([READY], Verdict.TIMEOUT, "gave no answer within 0.2 s, computing"),
    "half a frame": ([READY, b"NCF1\0\0"], Verdict.TIMEOUT, "gave no answer within 0.2 s, computing"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_what_is_no_answer_costs_the_case_and_the_worker(asking: Callable[..., Asking], name: str) -> None:
    said, verdict, reason = LIVES[name]
    made = asking(said, [READY, {**OK, "number": 2}])
    answer = made.answer()
    assert (verdict, {}) == (answer.verdict, answer.outputs)
    assert reason in (answer.reason or "")
    assert "last words\n" == answer.stderr


def test_silence_at_the_start_is_a_timeout(
    asking: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "START_TIMEOUT", 0.1)
    answer = asking([]).answer()
    assert (Verdict.TIMEOUT, "gave no answer within 0.1 s, starting") == (answer.verdict, answer.reason)


@pytest.mark.parametrize(
    ("said", "verdict", "reason"),
    [
        ([READY], Verdict.TIMEOUT, "gave no answer within 0.2 s, loading the target"),
        ([READY, HANGS_UP], Verdict.CRASH, "exited with code 3, loading the target, without an answer"),
        ([READY, READY], Verdict.ERROR, "answered with nonsense when it was loading the target"),
    ],
    ids=["silence", "a hang-up", "nonsense"],
)
def test_a_target_that_is_never_loaded_costs_the_case(
    asking: Callable[..., Asking], said: list[Said], verdict: Verdict, reason: str
) -> None:
    answer = asking(said, target="f.py:norm").answer()
    assert (verdict, reason) == (answer.verdict, answer.reason)


def test_a_bad_target_ends_the_run(asking: Callable[..., Asking]) -> None:
    bad = {"kind": "bad target", "message": "no such file", "traceback": "theirs"}
    with pytest.raises(TargetError, match="backend 'mine=…': no such file") as caught:
        asking([READY, bad], target="f.py:norm").answer()
    assert "theirs" == caught.value.details


def test_a_framework_that_is_unavailable_is_no_death(asking: Callable[..., Asking]) -> None:
    with pytest.raises(UnavailableError, match="no device"):
        asking([{"kind": "unavailable", "message": "no device"}]).answer()


def test_what_a_worker_said_before_it_hung_up_is_heard_though_it_takes_no_input(
    asking: Callable[..., Asking],
) -> None:
    made = asking([{"kind": "unavailable", "message": "no device"}, HANGS_UP])
    made.question = Question.of(CASE, {"x": np.zeros((2**20, 3), np.float32)})
    with pytest.raises(UnavailableError, match="no device"):
        made.answer()


def test_the_first_case_is_sent_before_the_worker_is_ready(asking: Callable[..., Asking]) -> None:
    made = asking([])
    process: Any = made.client._process
    taken: list[frames.Tagged] = []

    def import_the_framework(view: memoryview, deadline: float) -> int:
        if not taken:
            header, arrays = frames.receive(process._theirs.recv_into)
            assert 1 == header["number"]
            taken.append(arrays["x"])
            frames.send(process._theirs, READY)
            frames.send(process._theirs, OK, frames.pack(Y))
        return FakeProcess.read_into(process, view, deadline)

    process.read_into = import_the_framework
    answer = made.answer()
    assert (None, X.tolist()) == (answer.verdict, answer.outputs["y"].tolist())
    assert X.tolist() == taken[0][1].tolist()


# --- what is an answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "verdict", "reason"),
    [
        ({"status": "unsupported", "message": "has no layer norm"}, Verdict.UNSUPPORTED, "has no layer norm"),
        ({"status": "error", "message": "ValueError", "traceback": "theirs"}, Verdict.ERROR, "ValueError"),
    ],
    ids=["unsupported", "error"],
)
def test_a_case_without_outputs_has_a_reason(
    asking: Callable[..., Asking], reply: dict[str, Any], verdict: Verdict, reason: str
) -> None:
    answer = asking([READY, {**OK, **reply}]).answer()
    assert (verdict, reason) == (answer.verdict, answer.reason)
    assert ("last words\ntheirs" if verdict is Verdict.ERROR else "last words\n") == answer.stderr


def test_changed_inputs_are_the_reason_of_a_failure(asking: Callable[..., Asking]) -> None:
    answer = asking([READY, {**OK, "changed": ["x", "bias"]}]).answer()
    assert "the call changed its input x, bias" == answer.call_defect("y")


def test_an_answer_that_claims_to_have_no_output_fails(asking: Callable[..., Asking]) -> None:
    """A forged one: without y there is no layer, whatever is said to be absent."""
    answer = asking([READY, {**OK, "absent": ["y"]}]).answer()
    without = Answer(verdict=None, absent=answer.absent)
    (result,) = CaseJudge(CASE, {"x": X}, Options()).judge({"mine": without}).results["mine"]
    assert (Verdict.FAIL, "was not returned") == (result.verdict, result.reason)


def test_gradients_are_not_absent_where_the_host_differentiates(asking: Callable[..., Asking]) -> None:
    """As the worker said before it had loaded anybody's code."""
    forged = {**OK, "absent": ["grad_x", "running_mean"]}
    assert frozenset(["grad_x", "running_mean"]) == asking([READY, forged]).answer().absent
    answer = asking([{**READY, "differentiates": True}, forged]).answer()
    assert frozenset(["running_mean"]) == answer.absent


def test_a_worker_that_cannot_be_started_again_is_an_error(
    asking: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> Any:
        raise UnusableBackendError("no more processes")

    made = asking([READY, HANGS_UP])
    monkeypatch.setattr(client, "WorkerProcess", fail)
    answers = [made.answer() for _ in range(2)]
    assert [Verdict.CRASH, Verdict.ERROR] == [answer.verdict for answer in answers]
    assert "not run: no more processes" == answers[-1].reason


# --- deaths and restarts -----------------------------------------------------------------------------------


def test_a_death_costs_its_own_case_alone(asking: Callable[..., Asking]) -> None:
    made = asking([READY, OK, b"junk" * 100], [READY, {**OK, "number": 3}])
    assert [None, Verdict.ERROR, None] == [made.answer().verdict for _ in range(3)]


def test_after_three_deaths_the_rest_is_an_error(asking: Callable[..., Asking]) -> None:
    made = asking(*[[READY, HANGS_UP]] * MAX_DEATHS)
    answers = [made.answer() for _ in range(MAX_DEATHS + 2)]
    expected = [Verdict.CRASH] * MAX_DEATHS + [Verdict.ERROR] * 2
    assert expected == [answer.verdict for answer in answers]
    assert "not run: its worker died 3 times before" == answers[-1].reason


def test_a_worker_that_is_dropped_is_killed(asking: Callable[..., Asking]) -> None:
    made = asking([READY, b"junk" * 100])
    process: Any = made.client._process
    made.answer()
    assert process.killed


def test_after_its_end_nothing_is_run(asking: Callable[..., Asking]) -> None:
    made = asking([READY, OK])
    made.client.close()
    answer = made.answer()
    assert (Verdict.ERROR, "not run: the run was ended") == (answer.verdict, answer.reason)
