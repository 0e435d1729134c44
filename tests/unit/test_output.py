"""A file is written wholly or not at all and stays what it is; what is no file is written through."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed, refused

from normcheck.cli import output, signals
from normcheck.cli.output import OutputError, check_file, standard_output, write_file
from normcheck.cli.shortage import shortage

Run = Callable[..., Completed]
QUICK = ["compare", "--method", "layer", "--fixture", "nc", "--no-gradients", "--backend", "numpy"]


def fails(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_keeps_its_mode_and_a_link_to_it_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "folder" / "report", tmp_path / "link"
    file.parent.mkdir()
    link.symlink_to(file)
    write_file(str(link), "new")  # it names what does not exist yet
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~_umask()
    file.chmod(0o640)
    write_file(str(link), "newer")
    assert ("newer", 0o640) == (file.read_text(), stat.S_IMODE(file.stat().st_mode))
    assert link.is_symlink()
    assert [file] == list(file.parent.iterdir())


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@pytest.mark.parametrize("step", ["normcheck.cli.output._write_through", "os.chmod", "os.replace"])
def test_the_old_file_stays_where_the_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (file := tmp_path / "report").write_text("old")
    monkeypatch.setattr(step, fails(errno.ENOSPC))
    with pytest.raises(OutputError, match=r"cannot write .*report: No space left on device"):
        write_file(str(file), "new")
    assert ("old", [file]) == (file.read_text(), list(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("step", "number"), [("tempfile.mkstemp", errno.EACCES), ("os.replace", errno.EBUSY)], ids=str
)
def test_where_nothing_can_stand_beside_it_a_file_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    """A directory without write permission; a file that is mounted by itself. What it held is put back on failure."""
    (file := tmp_path / "report").write_text("old and long")
    monkeypatch.setattr(step, fails(number))
    write_file(str(file), "new")
    assert ("new", [file]) == (file.read_text(), list(tmp_path.iterdir()))
    before, write = [], os.write
    monkeypatch.setattr(
        os, "write", lambda *a: before.append(a) or (fails(28)() if len(before) == 2 else write(*a))
    )
    monkeypatch.setattr(output, "_CHUNK", 2)
    with pytest.raises(OutputError):
        write_file(str(file), "newest")
    assert "new" == file.read_text()


def test_a_descriptor_is_written_to_where_it_stands(tmp_path: Path) -> None:
    """Opened anew, or replaced, it would lose what was written before."""
    with (tmp_path / "log").open("wb") as log:
        log.write(b"before, ")
        log.flush()
        (tmp_path / "link").symlink_to(f"/dev/fd/{log.fileno()}")
        write_file(f"/dev/fd/{log.fileno()}", "one, ")
        write_file(str(tmp_path / "link"), "two")
    assert "before, one, two" == (tmp_path / "log").read_text()


@pytest.mark.parametrize("kind", ["fifo", "terminal"])
def test_what_is_no_file_is_written_through(tmp_path: Path, kind: str) -> None:
    if kind == "fifo":
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    else:
        reader, other = os.openpty()
        path = os.ttyname(other)
    before = os.stat(path)
    write_file(path, "report")
    assert b"report" == os.read(reader, 100)
    assert before.st_ino == os.stat(path).st_ino
    os.close(reader)


@pytest.mark.parametrize("path", ["no/such/folder/report", "folder", "loop", "/dev/fd/987"])
def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    with pytest.raises(OutputError, match=f"cannot write {path}: "):
        write_file(path, "report")
    if path in ("no/such/folder/report", "loop"):
        with pytest.raises(OutputError, match=f"cannot write {path}: "):
            check_file(path)


def test_what_plainly_cannot_be_written_is_said_before_the_run(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normcheck.run.session.run", None)
    assert "there is no directory" in refused(invoke(*QUICK, "--output", "no/such/report"), 3)
    check_file("/dev/stdout")
    (tmp_path / "report").touch(0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for users who are not root
    with pytest.raises(OutputError, match="Permission denied"):
        check_file(str(tmp_path / "report"))


def test_a_report_that_finds_no_file_goes_to_standard_output(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_write_through", fails(errno.ENOSPC))
    done = invoke(*QUICK, "--output", "report")
    assert 3 == done.returncode
    assert done.stderr.startswith("normcheck: cannot write report: No space left on device; the report goes ")
    assert "1 case, 1 comparison: 1 pass" in done.stdout


class Broken:
    """A stream whose reader is gone, or whose disk is full."""

    def __init__(self, number: int) -> None:
        self.write = self.flush = fails(number)


def test_a_reader_that_hangs_up_is_no_error_and_a_full_disk_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, error in ((errno.EPIPE, None), (errno.ENOSPC, "No space left"), (errno.EIO, "error")):
        monkeypatch.setattr(sys, "stdout", Broken(number))
        if error is None:
            with standard_output():
                print("report")
        else:
            with pytest.raises(OutputError, match=f"standard output: .*{error}"), standard_output():
                print("report")
        assert sys.stdout is None
    with pytest.raises(OutputError, match="closed"), standard_output():
        pass


def test_a_message_that_cannot_be_shown_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(errno.ENOSPC))
    output.say("unheard")
    assert sys.stderr is None
    output.say("unheard")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files: allow more open files"),
        (OSError(errno.ENOSPC, "No space left", "/t/x"), "No space left: /t/x: make room, or set TMPDIR"),
        (MemoryError(), "Cannot allocate memory: close other programs"),
        (RuntimeError("can't start new thread"), "cannot start a thread: allow more processes"),
        (ImportError("libx.so: failed to map: Cannot allocate memory"), "Cannot allocate memory: libx.so"),
        (FileNotFoundError(2, "No usable temporary directory found in []"), "No usable temporary directory"),
        (FileNotFoundError(2, "No such file"), None),
        (ImportError("no module"), None),
        (RuntimeError("a bug"), None),
        (OSError("no number"), None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_machine_that_is_out_of_something_is_no_bug(error: Exception, sentence: str | None) -> None:
    found = shortage(error)
    assert found is None if sentence is None else str(found).startswith(sentence)


def test_a_shortage_in_a_run_is_one_line(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normcheck.run.session.plan", fails(errno.EMFILE))
    assert "ulimit -n" in refused(invoke(*QUICK), 4)


def test_a_bug_whose_log_finds_no_room_is_shown(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normcheck.run.session.plan", lambda _: {}["a bug"])
    monkeypatch.setattr("normcheck.cli.bug.write_log", fails(errno.ENOSPC))
    done = invoke(*QUICK)
    assert 70 == done.returncode
    assert "Traceback" in done.stderr
    assert "KeyError: 'a bug'. This is a bug in normcheck" in done.stderr


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_ends_the_run_with_its_code(
    invoke: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A second one does not disturb the cleaning up; afterwards all is as before."""
    cleaned = []

    def killed(_: object) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
            cleaned.append(True)

    monkeypatch.setattr("normcheck.run.session.plan", killed)
    done = invoke(*QUICK)
    assert (128 + number, f"normcheck: ended by {number.name}\n") == (done.returncode, done.stderr)
    assert [True] == cleaned
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_handles_no_signals() -> None:
    def enter() -> None:
        with signals.ended_by_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    found: list[Any] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert [signal.SIG_DFL] == found
