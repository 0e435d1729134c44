"""What a worker prints is bounded, and what it started ends with it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from normcheck.errors import UnusableBackendError
from normcheck.run import process
from normcheck.run.backends import BackendSpec
from normcheck.run.client import WorkerClient
from normcheck.run.process import PRINTED_KEPT, Printed, WorkerProcess
from normcheck.worker import lifeline


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


# --- what a worker starts ends with it -----------------------------------------------------------------------

LEAVES = {  # while the lock is held, something runs; at the longest for a minute
    "a chain of forks": "chain(lambda: None)",
    "a chain of sessions": "chain(os.setsid)",
    "a daemon without environment": "subprocess.Popen(sleep, env={}, start_new_session=True, pass_fds=[held.fileno()])",
    "a child": "subprocess.Popen(sleep, pass_fds=[held.fileno()])",
}
LEAVING = """
import fcntl, os, subprocess, time

held, sleep, until = open("held", "w"), ["sleep", "60"], time.monotonic() + 60
fcntl.flock(held, fcntl.LOCK_EX)

def chain(step):
    if os.fork():
        return
    while time.monotonic() < until:
        step()
        if os.fork():
            os._exit(0)
    os._exit(0)

"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the worker's process group is ended")
@pytest.mark.parametrize(
    "end", ["norm = abs", "os._exit(7)", "os.abort()"], ids=["killed", "exits", "aborts"]
)
@pytest.mark.parametrize("leaves", LEAVES)
def test_what_a_worker_started_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: str, end: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(f"{LEAVING}{LEAVES[leaves]}\n{end}\n")
    spec = BackendSpec.parse("mine=numpy:own.py:norm")
    worker = WorkerProcess(spec)
    client = WorkerClient(spec, worker, timeout=60)
    client.layer()  # it has been loaded, or is dead
    with open("held", "w") as lock:
        try:
            said = {"os._exit(7)": "exited with code 7", "os.abort()": "was killed by SIGABRT"}
            if end in said:
                assert said[end] == worker.exit_description()
            else:
                with pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                client.close()
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            client.close()
            fcntl.flock(lock, fcntl.LOCK_EX)  # nothing is left for the next test


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no keeper")
def test_children_are_found_where_the_kernel_does_not_list_them(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        listed = lifeline._children()
        assert child.pid in listed
        real = open
        monkeypatch.setattr(
            "builtins.open", lambda path, *a, **k: real("/none" if "/task/" in str(path) else path, *a, **k)
        )
        found = lifeline._children()
        assert child.pid in found
        assert set(listed) <= set(
            found
        )  # the kernel lists those of one thread, which is all that a keeper has
    finally:
        monkeypatch.undo()
        child.kill()
        child.wait()


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
