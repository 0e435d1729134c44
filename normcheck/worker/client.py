"""The parent's side of a worker: start it, put cases to it, and say what became of each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.backends import BUILTIN
from normcheck.errors import TargetError, UnknownNameError, UsageError
from normcheck.model import EXPECTED, Case, Verdict
from normcheck.worker import frames

START_TIMEOUT = 120.0  # seconds for a framework to be imported, however short --timeout is
MAX_DEATHS = 3
STDERR_KEPT = 4096  # bytes, the last ones


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A backend as ``--backend`` names it: a built-in, or a target hosted by one (``[ALIAS=]HOST:TARGET``)."""

    name: str
    host: str
    argument: str
    target: str | None = None

    @classmethod
    def parse(cls, text: str) -> BackendSpec:
        """Read ``torch``, ``torch:path/to/file.py:attribute`` or ``mine=torch:package.module:attribute``."""
        alias, has_alias, rest = text.partition("=")
        if not has_alias or ":" in alias:
            alias, rest = "", text
        elif not re.fullmatch(r"[\w.-]+", alias) or alias in (*BUILTIN, EXPECTED):
            raise UsageError(
                f"backend {text!r}: the alias {alias!r} must be of letters, digits, '_', '.' and '-', and none "
                f"of {', '.join(BUILTIN)}, {EXPECTED}"
            )
        host, has_target, target = rest.partition(":")
        if host not in BUILTIN:
            raise UnknownNameError("backend", host, BUILTIN, hint="Or one's own: [ALIAS=]HOST:TARGET.")
        if not has_target:
            if alias:
                raise UsageError(f"backend {text!r}: an alias needs a target: ALIAS=HOST:TARGET")
            return cls(name=host, host=host, argument=text)
        place, colon, attribute = target.rpartition(":")
        if not (colon and place and attribute):
            raise UsageError(
                f"backend {text!r}: the target {target!r} must be path/to/file.py:attribute "
                "or package.module:attribute"
            )
        if place.endswith(".py") and not Path(place).is_file():
            raise TargetError(f"backend {text!r}: no such file: {place}")
        return cls(name=alias or rest, host=host, argument=text, target=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a worker made of one case. ``verdict`` is None where there are outputs to be judged."""

    verdict: Verdict | None
    reason: str | None = None
    outputs: Mapping[str, frames.Tagged] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    stderr: str = ""


class _DeadError(Exception):
    """The worker is gone, or must go: it costs the case that it had."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict, self.reason = verdict, reason


class UnavailableError(Exception):
    """The worker's framework cannot be used here."""


class WorkerClient:
    """A worker process and its restarts. The process starts at once; :meth:`compute` waits for it.

    ``directory`` is the run's own temporary directory, ``timeout`` the seconds that one case may take.
    """

    def __init__(self, spec: BackendSpec, directory: str, *, timeout: float) -> None:
        self.spec = spec
        self.directory = directory
        self.timeout = timeout
        self.environment: Mapping[str, Any] = {}
        self.deaths = 0
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._closed = False
        self._start()

    def compute(self, case: Case, inputs: frames.Packed) -> Answer:
        """Put one case to the worker and wait for its answer; a worker that dies is restarted.

        Raises TargetError where the user's implementation cannot be loaded, UnavailableError where the
        framework cannot.
        """
        if self.deaths >= MAX_DEATHS:
            return Answer(verdict=Verdict.ERROR, reason=f"not run: its worker died {MAX_DEATHS} times before")
        try:
            if self._process is None:
                self._start()
            self._await_ready()
            return self._exchange(case, inputs)
        except _DeadError as death:
            self.deaths += 1
            self.stop()
            return Answer(verdict=death.verdict, reason=death.reason, stderr=self._said())

    def ready(self) -> Mapping[str, Any]:
        """Wait until the framework is imported; what the backend says of itself."""
        try:
            self._await_ready()
        except _DeadError as death:
            self.stop()
            raise UnavailableError(f"{death.reason}: {self._said()}".rstrip(": ")) from None
        return self.environment

    def close(self) -> None:
        """End the worker for good."""
        self._closed = True
        self.stop()

    def stop(self) -> None:
        """End the process, whatever it is doing, and all that it started; the next case starts another."""
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._socket.close()

    def _start(self) -> None:
        if self._closed:
            raise _DeadError(Verdict.ERROR, "was stopped")
        self._socket, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile(dir=self.directory, buffering=0)
        spec = json.dumps({"host": self.spec.host, "target": self.spec.target})
        command = [
            *(sys.executable, "-P", "-X", "faulthandler", "-m", "normcheck.worker"),
            *(str(theirs.fileno()), self.directory, spec),
        ]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_environment(),
            )
        self._ready = False
        self._started = time.monotonic()

    def _await_ready(self) -> None:
        if self._ready:
            return
        hello, _ = self._receive(self._started + max(START_TIMEOUT, self.timeout), "starting")
        if hello.get("kind") == "unavailable":
            raise UnavailableError(str(hello.get("message")))
        if hello.get("kind") != "ready":
            raise _DeadError(Verdict.ERROR, "answered with nonsense when it was started")
        self.environment = dict(hello["environment"])
        if self.spec.target:
            loaded, _ = self._receive(time.monotonic() + self.timeout, "loading the target")
            if loaded.get("kind") == "bad target":
                message = f"backend {self.spec.argument!r}: {loaded.get('message')}"
                raise TargetError(message, details=str(loaded.get("traceback", "")))
            if loaded.get("kind") != "loaded":
                raise _DeadError(Verdict.ERROR, "answered with nonsense when it was loading the target")
        self._ready = True

    def _exchange(self, case: Case, inputs: frames.Packed) -> Answer:
        self._number += 1
        task = {
            "case": case.id,
            "method": case.method.value,
            "mode": case.mode.value,
            "dtype": case.dtype.value,
            "params": case.params.to_dict(),
            "outputs": [output.value for output in case.outputs],
        }
        deadline = time.monotonic() + self.timeout
        self._socket.settimeout(self.timeout)
        try:
            frames.send(self._socket, {"task": task, "number": self._number}, inputs)
        except TimeoutError:
            raise _DeadError(Verdict.TIMEOUT, f"took no input for {self.timeout:g} s") from None
        except OSError:
            raise self._death("taking its input") from None
        header, outputs = self._receive(deadline, "computing")
        if header.get("kind") != "result" or header.get("number") != self._number:
            raise _DeadError(Verdict.ERROR, "answered with nonsense instead of a result")
        try:
            return self._answer(header, outputs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _DeadError(Verdict.ERROR, f"answered with nonsense: {error!r}") from None

    def _receive(self, deadline: float, doing: str) -> tuple[dict[str, Any], dict[str, frames.Tagged]]:
        try:
            return frames.receive(self._socket, self.directory, deadline)
        except TimeoutError:
            raise _DeadError(Verdict.TIMEOUT, f"gave no answer within {self.timeout:g} s, {doing}") from None
        except frames.ProtocolError as error:
            raise _DeadError(Verdict.ERROR, f"answered with nonsense: {error}") from None
        except (EOFError, OSError):
            raise self._death(doing) from None

    def _death(self, doing: str) -> _DeadError:
        if self._process is None:  # stopped by another thread, on an interrupt
            return _DeadError(Verdict.CRASH, "was stopped")
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return _DeadError(Verdict.CRASH, f"hung up {doing}")
        if code < 0:
            return _DeadError(Verdict.CRASH, f"was killed by {_signal_name(-code)} {doing}")
        return _DeadError(Verdict.CRASH, f"exited with code {code} {doing}, without an answer")

    def _answer(self, header: Mapping[str, Any], outputs: Mapping[str, frames.Tagged]) -> Answer:
        said = self._said()
        status = header.get("status")
        if status == "unsupported":
            return Answer(verdict=Verdict.UNSUPPORTED, reason=str(header.get("message")), stderr=said)
        if status == "error":
            text = said + str(header.get("traceback", ""))
            return Answer(verdict=Verdict.ERROR, reason=str(header.get("message")), stderr=text)
        if status != "ok":
            raise _DeadError(Verdict.ERROR, f"answered with nonsense: status {status!r}")
        changed = ", ".join(map(str, header.get("changed", ())))
        return Answer(
            verdict=None,
            reason=f"the call changed its input {changed}" if changed else None,
            outputs=outputs,
            problems=dict(header.get("problems", {})),
            seconds=float(header["seconds"]),
            stderr=said,
        )

    def _said(self) -> str:
        """What the worker printed since this was last asked: the end of it."""
        size = os.fstat(self._stderr.fileno()).st_size
        start = max(0, size - STDERR_KEPT)
        text = os.pread(self._stderr.fileno(), STDERR_KEPT, start).decode(errors="replace")
        os.ftruncate(self._stderr.fileno(), 0)
        self._stderr.seek(0)  # the file position is the child's too
        return text.replace("\x00", "")


def tagged(array: NDArray[np.generic]) -> frames.Tagged:
    """An array as frames carry it: its dtype's name, and its data."""
    return array.dtype.name, array


def _environment() -> dict[str, str]:
    """The environment of a worker: ours, and where to find normcheck if it is not installed."""
    root = str(Path(__file__).parents[2])
    environment = dict(os.environ)
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{inherited}" if inherited else root
    return environment


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
