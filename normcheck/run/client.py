"""The parent's side of a worker: send cases to it, and return its answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from normcheck.answer import Answer
from normcheck.errors import TargetError, UnusableBackendError
from normcheck.layer import Layer
from normcheck.run.backends import BackendSpec
from normcheck.run.process import WorkerProcess
from normcheck.run.replies import answer_of, layer_of, room_for, task_of
from normcheck.run.sources import Question, UnavailableError
from normcheck.verdict import Verdict
from normcheck.worker import frames

START_TIMEOUT = 120.0  # seconds for a framework to be imported, however short --timeout is
MAX_DEATHS = 3
REASON_KEPT = 500  # characters of what is wrong with an answer
ROOM_FOR_LAYER = 2**30  # bytes of a layer's weight, bias and running statistics


class _DeadError(Exception):
    """The worker is gone, or must be ended: its present case has no result."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict, self.reason = verdict, reason


class WorkerClient:
    """A worker and its restarts: a process that dies, hangs or breaks the protocol is replaced, MAX_DEATHS times.

    ``process`` has been started by the caller; ``timeout`` is the seconds that one case may take.
    """

    def __init__(self, spec: BackendSpec, process: WorkerProcess, *, timeout: float) -> None:
        self.spec = spec
        self.timeout = timeout
        self.environment: Mapping[str, Any] = {}
        self.offers: Mapping[str, Any] = {}
        self._layer: Layer | None = None
        self._failed: UnavailableError | _DeadError | None = None  # before any case
        self._process: WorkerProcess | None = process
        self._ready = False
        self._differentiates = False  # as the worker said before the user's code was loaded
        self._closed = False
        self._deaths = 0
        self._number = 0

    def answer(self, question: Question) -> Answer:
        """Send one case to the worker and wait for its answer; a worker that dies is restarted.

        Raises TargetError where the user's implementation cannot be loaded, UnavailableError where the
        framework cannot.
        """
        if self._closed:
            return Answer(verdict=Verdict.ERROR, reason="not run: the run was ended")
        if self._deaths >= MAX_DEATHS:
            return Answer(verdict=Verdict.ERROR, reason=f"not run: its worker died {MAX_DEATHS} times before")
        if self._process is None:
            try:
                self._process = WorkerProcess(self.spec)
            except UnusableBackendError as error:
                return Answer(verdict=Verdict.ERROR, reason=f"not run: {error}")
        process = self._process
        try:
            return self._exchange(process, question)
        except _DeadError as death:
            self._deaths += 1
            self._process, self._ready = None, False
            process.kill()
            return Answer(verdict=death.verdict, reason=death.reason, stderr=process.printed())

    def ready(self) -> Mapping[str, Any]:
        """Wait until the framework is imported; return the backend's environment, or raise UnavailableError."""
        assert self._process is not None  # noqa: S101 (asked before any case)
        try:
            self._await_ready(self._process)
        except _DeadError as death:
            raise UnavailableError(death.reason) from None
        return self.environment

    def layer(self) -> Layer | None:
        """Wait until the user's implementation is loaded; what it says of itself if it is a layer.

        None where it cannot be had: the first case will say why. Raises TargetError where it cannot be loaded.
        """
        if self.spec.target is None or self._process is None:
            return None
        try:
            self._await_ready(self._process)
        except (UnavailableError, _DeadError) as error:
            self._failed = error
        return self._layer

    def close(self) -> None:
        """End the worker for good; may be called from another thread than the one that waits for it."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()

    def _await_ready(self, process: WorkerProcess) -> None:
        if self._ready:
            return
        if (failed := self._failed) is not None:
            self._failed = None
            raise failed
        hello, _ = self._receive(process, process.started + max(START_TIMEOUT, self.timeout), "starting")
        if hello.get("kind") == "unavailable":
            raise UnavailableError(str(hello.get("message")))
        if hello.get("kind") != "ready" or not isinstance(hello.get("environment"), dict):
            raise _DeadError(Verdict.ERROR, "answered with nonsense when it was started")
        self.environment = hello["environment"]
        offers = hello.get("offers")
        self.offers = offers if isinstance(offers, dict) else {}
        self._differentiates = hello.get("differentiates") is True
        if self.spec.target:
            loaded, arrays = self._receive(
                process, time.monotonic() + self.timeout, "loading the target", ROOM_FOR_LAYER
            )
            if loaded.get("kind") == "bad target":
                message = f"backend {self.spec.argument!r}: {loaded.get('message')}"
                raise TargetError(message, details=str(loaded.get("traceback", "")))
            if loaded.get("kind") != "loaded":
                raise _DeadError(Verdict.ERROR, "answered with nonsense when it was loading the target")
            try:
                self._layer = layer_of(loaded, arrays, self.spec.name)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                reason = f"said nonsense of its layer: {error}"[:REASON_KEPT]
                raise _DeadError(Verdict.ERROR, reason) from None
        self._ready = True

    def _exchange(self, process: WorkerProcess, question: Question) -> Answer:
        """Send a case and wait for its answer.

        The first one goes out before the worker is ready: its arrays arrive while the framework is imported. What the
        worker has said by then explains best why it did not take them.
        """
        if self._failed is not None:
            self._await_ready(process)  # which says how
        self._number += 1
        since, room, ready = time.monotonic(), room_for(question), self._ready
        untaken = self._send(process, question, room)
        if not ready:
            self._await_ready(process)
            since = time.monotonic()
        if isinstance(untaken, TimeoutError):
            raise _DeadError(Verdict.TIMEOUT, f"took no input for {self.timeout:g} s")
        if untaken is not None:
            raise _DeadError(Verdict.CRASH, f"{process.exit_description()} before its input was there")
        header, outputs = self._receive(process, since + self.timeout, "computing", room)
        if header.get("kind") != "result" or header.get("number") != self._number:
            raise _DeadError(Verdict.ERROR, "answered with nonsense instead of a result")
        try:
            answer = answer_of(question.case, header, outputs, process.printed())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _DeadError(Verdict.ERROR, f"answered with nonsense: {error!r}"[:REASON_KEPT]) from None
        return answer.with_gradients_owed() if self._differentiates else answer

    def _send(self, process: WorkerProcess, question: Question, room: int) -> OSError | None:
        """Send a case; the error where the worker does not take it."""
        asked = {"task": task_of(question.case, once=question.once), "number": self._number, "room": room}
        try:
            process.socket.settimeout(self.timeout if self._ready else max(START_TIMEOUT, self.timeout))
            frames.send(process.socket, asked, question.packed)
        except OSError as error:
            return error
        return None

    def _receive(
        self, process: WorkerProcess, deadline: float, doing: str, room: int = 0
    ) -> tuple[dict[str, Any], dict[str, frames.Tagged]]:
        try:
            return frames.receive(lambda view: process.read_into(view, deadline), room)
        except TimeoutError:
            limit = START_TIMEOUT if doing == "starting" else self.timeout
            raise _DeadError(Verdict.TIMEOUT, f"gave no answer within {limit:g} s, {doing}") from None
        except frames.ProtocolError as error:
            raise _DeadError(Verdict.ERROR, f"answered with nonsense: {error}") from None
        except MemoryError:
            raise _DeadError(Verdict.ERROR, f"its answer of up to {room:,} bytes has no room here") from None
        except (EOFError, OSError):
            if doing == "starting" and self.spec.python is not None and process.lacks_numpy():
                raise UnavailableError(process.printed().strip()) from None
            reason = f"{process.exit_description()}, {doing}, without an answer"
            raise _DeadError(Verdict.CRASH, reason) from None
