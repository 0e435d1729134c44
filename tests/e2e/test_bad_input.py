"""Bad input with the real command: an exit code for each kind, one line, no traceback, and nothing half done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from support import Completed, refused

Run = Callable[..., Completed]
BASE = ["--backend", "numpy", "--no-gradients"]
POISON = "\x1b]0;owned\x07\x1b[31m"


def test_a_misspelt_option_is_a_usage_error(run: Run) -> None:
    line = refused(run("compare", "--method", "grup"), 2)
    assert "Did you mean 'group'" in line


def test_after_an_error_an_old_output_file_is_as_it_was(run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    refused(run("compare", "--fixture", "absent.npz", "--output", "report.json"), 3)
    assert "old" == (tmp_path / "report.json").read_text()


def test_a_selection_that_leaves_nothing_is_no_pass(run: Run, requires: Callable[[str], None]) -> None:
    """PyTorch refuses instance norm of one element, so that nothing is compared."""
    requires("torch")
    done = run("compare", "--fixture", "nc", "--method", "instance", "--backend", "torch", "--no-gradients")
    assert 5 == done.returncode
    assert "1 unsupported" in done.stdout


def test_expected_values_of_another_shape_fail(run: Run, tmp_path: Path, parsed: Any) -> None:
    (tmp_path / "x.json").write_text('{"x": [[1, 2], [4, 8]], "expected.y": [[-1, 1]]}')
    done = run("compare", "--fixture", "./x.json", "--method", "layer", *BASE, "--format", "json")
    stated = next(row for row in parsed(done.stdout)["results"] if row["backend"] == "expected")
    assert (1, "fail", "has shape (1, 2), expected (2, 2)") == (
        done.returncode,
        stated["verdict"],
        stated["reason"],
    )


def test_text_that_is_no_unicode_is_no_reason_to_lose_a_report(run: Run, tmp_path: Path, parsed: Any) -> None:
    (tmp_path / "f.py").write_text("def norm(x, weight, bias, *, eps):\n    raise ValueError('\\ud800')\n")
    options = ["--fixture", "nc", "--method", "layer", *BASE, "--backend", "bad=numpy:f.py:norm"]
    done = run("compare", *options, "--format", "json", "--output", "report.json")
    assert (4, "") == (done.returncode, done.stderr)
    assert "error" == parsed((tmp_path / "report.json").read_text())["summary"]["verdict"]


def test_escapes_in_a_fixtures_name_and_in_what_a_backend_prints_are_written_out(
    run: Run, tmp_path: Path
) -> None:
    np.save(tmp_path / f"{POISON}.npy", np.arange(6.0).reshape(2, 3))
    (tmp_path / "f.py").write_text(
        f"POISON = {POISON!r}\n\ndef norm(x, weight, bias, *, eps):\n    print(POISON)\n    raise ValueError(POISON)\n"
    )
    options = ["--fixture", f"{POISON}.npy", "--method", "layer", *BASE, "--backend", "bad=numpy:f.py:norm"]
    for output in ([], ["--format", "json"]):
        done = run("compare", *options, *output)
        assert 4 == done.returncode
        for character in ("\x1b", "\x07"):
            assert character not in done.stdout + done.stderr
        assert "owned" in done.stdout


def test_escapes_in_a_traceback_at_import_are_written_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(f"raise ValueError({POISON!r})\n")
    done = run("compare", "--fixture", "nc", "--method", "layer", "--backend", "numpy:f.py:norm")
    assert 3 == done.returncode
    assert "\x1b" not in done.stderr
    assert "\\x1b" in done.stderr


# --- bugs of ours ------------------------------------------------------------------------------------------


def test_a_bug_is_one_line_a_log_and_exit_code_70(tmp_path: Path) -> None:
    """There is none to run into, so one is put in: the engine raises what it never should."""
    import subprocess
    import sys

    program = (
        "import normcheck.run.session, normcheck.cli\n"
        "def broken(*a, **k): raise ZeroDivisionError('\\x1b[31moops')\n"
        "normcheck.run.session.run = broken\n"
        "normcheck.cli.main(['compare', '--method', 'layer'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    line = refused(done, 70)
    assert "internal error: ZeroDivisionError: \\x1b[31moops" in line
    (log,) = tmp_path.glob("normcheck-bug-*.log")
    assert str(log) in line
    content = log.read_text()
    assert "Traceback" in content
    assert "numpy " in content
