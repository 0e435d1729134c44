"""However a run ends, by a signal or with nowhere to write: no process, no file is left, and the code says how."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import CHECKOUT

COMPARE = ["-m", "normcheck", "compare", "--method", "layer", "--fixture", "nc", "--no-gradients"]
SLEEPS = """
import os, time
def norm(x, weight, bias, *, eps):
    with open(os.environ["STARTED"], "w") as started:
        started.write(str(os.getpid()))
    time.sleep(600)
"""
Started = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """The command, started in the test's own directory, with temporary files in ``tmp``."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "norm.py").write_text(SLEEPS)
    (tmp_path / "wrong.py").write_text("def norm(x, weight, bias, *, eps): return -x")
    environment = {
        "TMPDIR": str(tmp_path / "tmp"),
        "STARTED": str(tmp_path / "started"),
        "PYTHONPATH": str(CHECKOUT),
    }

    def started(*options: str, **how: Any) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **how}
        command = [sys.executable, *COMPARE, *options]
        return subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, **environment}, text=True, **streams
        )

    return started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_neither_processes_nor_files(
    started: Started, tmp_path: Path, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "started")
    run = started("--backend", "mine=numpy:norm.py:norm", "--output", "report")
    worker = int((tmp_path / "started").read_text())  # waits for it
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert (128 + number, "", f"normcheck: ended by {number.name}\n") == (run.returncode, out, err)
    assert [] == list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "report").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.parametrize(("backend", "code"), [("numpy", 0), ("mine=numpy:wrong.py:norm", 1)])
def test_without_standard_streams_the_report_is_in_its_file(
    started: Started, tmp_path: Path, backend: str, code: int
) -> None:
    options = ("--backend", backend, "--output", "report", "--format", "json")
    run = started(*options, preexec_fn=lambda: [os.close(number) for number in (0, 1, 2)])
    assert code == run.wait(timeout=60)
    assert 1 == json.loads((tmp_path / "report").read_text())["summary"]["comparisons"]


@pytest.mark.parametrize(("backend", "code"), [("numpy", 3), ("mine=numpy:wrong.py:norm", 1)])
def test_a_report_that_nobody_can_read_is_no_pass(started: Started, backend: str, code: int) -> None:
    run = started("--backend", backend, preexec_fn=lambda: os.close(1))
    assert (code, "normcheck: cannot write to standard output: it is closed\n") == (
        run.wait(timeout=60),
        run.stderr.read(),
    )


def test_without_descriptors_a_sentence_says_so(started: Started, tmp_path: Path) -> None:
    few = (7, 7)
    run = started("--backend", "numpy", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few))
    out, err = run.communicate(timeout=60)
    assert (4, "") == (run.returncode, out)
    assert err.startswith("normcheck: Too many open files")
    assert 1 == len(err.splitlines())
