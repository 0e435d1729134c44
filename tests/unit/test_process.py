"""What a worker prints is bounded, and what it started ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from normcheck.errors import UnusableBackendError
from normcheck.run import process
from normcheck.run.backends import BackendSpec
from normcheck.run.process import MARK, PRINTED_KEPT, Printed, WorkerProcess


def test_the_end_of_what_is_printed_is_kept_and_taken_once() -> None:
    printed = Printed()
    for number in range(5000):
        os.write(printed.writer, b"%09d\n" % number)
        if number % 1000 == 0:
            assert printed.read()
    text = printed.take()
    assert (PRINTED_KEPT, "000004999\n") == (len(text), text[-10:])
    assert ("", False) == (printed.take(), printed.read())
    os.close(printed.writer)
    printed.close()


def test_what_was_printed_before_the_end_can_still_be_taken() -> None:
    printed = Printed()
    os.write(printed.writer, b"last words")
    os.close(printed.writer)
    printed.close()
    assert "last words" == printed.take()


def test_a_writer_that_never_stops_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = Printed()
    monkeypatch.setattr(os, "read", lambda *_: b"x" * process.PIPE_READ)
    assert "x" * PRINTED_KEPT == printed.take()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the system does not show environments")
def test_what_has_the_mark_is_ended_in_whatever_session_it_is() -> None:
    command = [sys.executable, "-c", "import os, time; os.environ.clear(); time.sleep(1000)"]
    environment = {**os.environ, MARK: "3f"}
    marked = subprocess.Popen(command, env=environment, start_new_session=True)
    other = subprocess.Popen(command, env={**environment, MARK: "3f3f"}, start_new_session=True)
    try:
        process._end_all_marked("3f")
        assert -9 == marked.wait(60)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_killed_worker_has_hung_up_and_is_killed_once() -> None:
    worker = WorkerProcess(BackendSpec.parse("numpy"))
    worker.kill()
    worker.kill()
    assert 0 == worker.read_into(memoryview(bytearray(8)), time.monotonic() + 60)
    assert isinstance(worker.printed(), str)


def test_a_deadline_that_has_passed_is_a_timeout() -> None:
    worker = WorkerProcess(BackendSpec.parse("numpy"))
    with pytest.raises(TimeoutError):
        worker.read_into(memoryview(bytearray(8)), time.monotonic() - 1)
    worker.kill()


def test_a_system_that_starts_no_process_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(UnusableBackendError, match=r"numpy.*cannot be started: Resource temporarily"):
        WorkerProcess(BackendSpec.parse("numpy"))
    assert before == len(os.listdir("/dev/fd"))
