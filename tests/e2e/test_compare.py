"""The main job with the real command: every framework against the oracle and each other, and what is printed."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed, run_normcheck

from normcheck import fixtures
from normcheck.backends import DEFAULT

QUICK = ["compare", "--method", "layer", "--fixture", "nc", "--backend", "numpy", "--no-gradients"]


@pytest.fixture(scope="module")
def all_backends(requires: Callable[[str], None]) -> None:
    for name in DEFAULT:
        requires(name)


@pytest.fixture(scope="module")
def group_run(all_backends: None, tmp_path_factory: pytest.TempPathFactory) -> Completed:
    """``normcheck compare --method group --format json``, once for all tests."""
    return run_normcheck(
        "compare", "--method", "group", "--format", "json", cwd=tmp_path_factory.mktemp("group")
    )


@pytest.fixture(scope="module")
def group_report(group_run: Completed, parsed: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return parsed(group_run.stdout)


def y_of(report: dict[str, Any], part: str = "results") -> list[dict[str, Any]]:
    return [row for row in report[part] if row["output"] == "y"]


# --- the main job ------------------------------------------------------------------------------------------


def test_group_norm_passes_on_every_framework(group_run: Completed, group_report: dict[str, Any]) -> None:
    assert (0, "") == (group_run.returncode, group_run.stderr)
    assert {"pass"} == {row["verdict"] for row in group_report["results"]}
    summary = group_report["summary"]
    assert ("pass", summary["comparisons"]) == (summary["verdict"], summary["pass"])
    assert list(DEFAULT) == list(group_report["environment"]["backends"])


def test_every_core_case_is_compared_on_every_framework(group_report: dict[str, Any]) -> None:
    cases = {row["case"] for row in group_report["results"]}
    core = [fixture for fixture in fixtures.select(["core"]) if "group" in (fixture.methods or {})]
    assert {fixture.name for fixture in core} == {row["fixture"] for row in group_report["results"]}
    assert "group[groups=0,1|2]/documents/float32" in cases
    expected = {(case, backend) for case in cases for backend in DEFAULT}
    assert expected == {(row["case"], row["backend"]) for row in y_of(group_report)}
    assert len(expected) == len(y_of(group_report))
    assert group_report["summary"]["cases"] == len(cases)


def test_every_two_frameworks_are_within_a_millionth_on_the_documents(group_report: dict[str, Any]) -> None:
    found = [pair for pair in y_of(group_report, "pairs") if "/documents/" in pair["case"]]
    cases = {pair["case"] for pair in found}
    expected = {(case, *pair) for case in cases for pair in itertools.combinations(DEFAULT, 2)}
    assert expected == {(pair["case"], *pair["backends"]) for pair in found}
    assert "group[groups=0,1|2]/documents/float32" in cases
    assert [] == [pair for pair in found if not pair["max_abs_diff"] < 1e-6]


def test_the_counts_of_the_summary_add_up(group_report: dict[str, Any]) -> None:
    summary = dict(group_report["summary"])
    summary.pop("verdict")
    summary.pop("cases")
    assert len(group_report["results"]) == summary.pop("comparisons") == sum(summary.values())


def test_the_table_names_every_backend_with_its_version_and_every_case(
    all_backends: None, run: Callable[..., Completed]
) -> None:
    done = run("compare", "--method", "group", "--fixture", "documents", "--no-gradients")
    assert 0 == done.returncode
    for name in DEFAULT:
        assert name in done.stdout.splitlines()[0]
    assert "documents  groups=0,1|2" in done.stdout
    assert re.search(r"max \|Δ\|.* between backends", done.stdout)
    assert done.stdout.splitlines()[-1].startswith("✓ pass  3 cases, 9 comparisons: 9 pass")


# --- what is printed where ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": ""}, {"TERM": "dumb"}], ids=str
)
def test_a_pipe_gets_no_escapes(run: Callable[..., Completed], environment: dict[str, str]) -> None:
    done = run(*QUICK, **environment)
    assert (0, "") == (done.returncode, done.stderr)
    assert "\x1b" not in done.stdout
    assert [] == [line for line in done.stdout.splitlines() if line != line.rstrip()]


def on_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """What the command writes to a terminal of 100 columns."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "normcheck", *arguments],
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert 0 == process.wait()
    return written.decode()


def test_a_terminal_gets_colour_unless_no_color_is_set(tmp_path: Path) -> None:
    coloured = on_terminal(*QUICK, cwd=tmp_path)
    assert "\x1b[32m" in coloured
    plain = on_terminal(*QUICK, cwd=tmp_path, NO_COLOR="1")
    assert [] == [code for code in ("\x1b[3", "\x1b[9", "\x1b[38") if code in plain]
    assert "✓" in plain


def test_a_locale_without_the_marks_is_no_reason_to_stop(run: Callable[..., Completed]) -> None:
    done = run(*QUICK, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert 0 == done.returncode
    assert "pass" in done.stdout


def test_output_writes_the_file_and_nothing_to_stdout(
    run: Callable[..., Completed], tmp_path: Path, parsed: Any
) -> None:
    done = run(*QUICK, "--format", "json", "--output", "report.json")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert ["pass"] == [row["verdict"] for row in parsed((tmp_path / "report.json").read_text())["results"]]
    assert ["report.json"] == os.listdir(tmp_path)


def test_output_replaces_a_file_wholly(run: Callable[..., Completed], tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("old" * 10_000)
    run(*QUICK, "--output", "report.txt")
    written = (tmp_path / "report.txt").read_text()
    assert "old" not in written
    assert "✓ pass" in written
    assert "\x1b" not in written


def test_output_is_written_for_a_mismatch_too(
    run: Callable[..., Completed], tmp_path: Path, parsed: Any
) -> None:
    (tmp_path / "f.py").write_text("def norm(x, weight, bias, *, eps):\n    return x\n")
    done = run(*QUICK, "--backend", "bad=numpy:f.py:norm", "--format", "json", "--output", "r.json")
    assert 1 == done.returncode
    assert "fail" == parsed((tmp_path / "r.json").read_text())["summary"]["verdict"]


def test_a_reader_that_hangs_up_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m normcheck {' '.join(QUICK)} --format json | head -c 1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S602
    assert ("{", "") == (done.stdout, done.stderr)


# --- the documents' printed numbers ------------------------------------------------------------------------


def changed_digit(value: str, position: int) -> str:
    """``value`` with its last digit (position -1), the one before it (-2) and so on turned by five."""
    digits = [i for i, character in enumerate(value) if character.isdigit()]
    at = digits[position]
    return value[:at] + str((int(value[at]) + 5) % 10) + value[at + 1 :]


def tampered(
    folder: Path, method: str, dtype: str, index: tuple[int, ...], change: Callable[[str], str]
) -> Path:
    """A copy of the documents with one of its printed values changed."""
    data = json.loads((fixtures.directory() / "documents.json").read_text())
    (entry,) = [e for e in data["expected"] if (e["method"], e["dtype"]) == (method, dtype)]
    row = entry["y"]
    for i in index[:-1]:
        row = row[i]
    before = row[index[-1]]
    row[index[-1]] = change(before)
    assert row[index[-1]] != before
    (folder / "documents.json").write_text(json.dumps(data))
    return folder / "documents.json"


PLACES = [(0, 0, 0, 0), (0, 1, 1, 0), (1, 2, 1, 1)]


@pytest.mark.parametrize(
    "position", [-1, -2, -4, 0], ids=["the last digit", "the last but one", "a middle one", "the first"]
)
@pytest.mark.parametrize(
    ("method", "dtype", "index"),
    [
        ("batch", "float64", PLACES[0]),
        ("layer", "float64", PLACES[2]),
        ("batch", "float32", PLACES[1]),
        ("layer", "float32", PLACES[2]),
    ],
)
def test_one_changed_digit_of_the_document_fails(
    run: Callable[..., Completed],
    parsed: Any,
    tmp_path: Path,
    method: str,
    dtype: str,
    index: tuple[int, ...],
    position: int,
) -> None:
    path = tampered(tmp_path, method, dtype, index, lambda value: changed_digit(value, position))
    done = run(
        "compare",
        "--fixture",
        path,
        "--backend",
        "numpy",
        "--dtype",
        dtype,
        "--no-gradients",
        "--format",
        "json",
    )
    assert 1 == done.returncode
    wrong = [row for row in parsed(done.stdout)["results"] if row["verdict"] != "pass"]
    assert [("expected", "fail", method, list(index))] == [
        (row["backend"], row["verdict"], row["method"], row["worst"]["index"]) for row in wrong
    ]


@pytest.mark.parametrize("method", ["batch", "layer"])
@pytest.mark.parametrize("step", [1, -1], ids=["one up", "one down"])
def test_the_last_of_eight_digits_off_by_one_fails(
    run: Callable[..., Completed], tmp_path: Path, method: str, step: int
) -> None:
    def change(value: str) -> str:
        return f"{float(value) + step * 1e-8:.8f}"

    path = tampered(tmp_path, method, "float64", PLACES[0], change)
    done = run("compare", "--fixture", path, "--backend", "numpy", "--dtype", "float64", "--no-gradients")
    assert 1 == done.returncode
    assert "more than half a unit of the last printed decimal" in done.stdout


def test_an_unchanged_copy_of_the_document_passes(
    run: Callable[..., Completed], tmp_path: Path, parsed: Any
) -> None:
    (tmp_path / "documents.json").write_bytes((fixtures.directory() / "documents.json").read_bytes())
    dtypes = ["--dtype", "float32", "--dtype", "float64"]
    done = run("compare", "--fixture", "./documents.json", "--backend", "numpy", *dtypes, "--format", "json")
    assert 0 == done.returncode
    stated = [row for row in parsed(done.stdout)["results"] if row["backend"] == "expected"]
    assert ["pass"] * 4 == [row["verdict"] for row in stated]


# --- honest implementations of one's own -------------------------------------------------------------------

NUMPY = """
import numpy as np

def group(x, weight, bias, *, eps, groups):
    y = np.empty_like(x)
    for g in groups:
        part = x[:, g]
        axes = tuple(range(1, x.ndim))
        d = part - part.mean(axes, keepdims=True)
        y[:, g] = d / np.sqrt((d * d).mean(axes, keepdims=True) + x.dtype.type(eps))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return y * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))

def batch(x, weight, bias, *, eps, momentum, training, running_mean, running_var):
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, n = running_mean, running_var, x.size // x.shape[1]
    if training:
        mean = x.mean(axes)
        var = np.square(x - mean.reshape(shape)).mean(axes)
        m = x.dtype.type(momentum)
        running_mean = (1 - m) * running_mean + m * mean
        running_var = (1 - m) * running_var + m * var * x.dtype.type(n / (n - 1))
    y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + x.dtype.type(eps))
    y = y * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))
    return y.astype(x.dtype), running_mean, running_var
"""

TORCH = """
import torch

def layer(x, weight, bias, *, eps, normalized_ndim):
    return torch.nn.functional.layer_norm(x, x.shape[-normalized_ndim:], weight, bias, eps)

def group(x, weight, bias, *, eps, num_groups):
    return torch.nn.functional.group_norm(x, num_groups, weight, bias, eps)

group_module = torch.nn.GroupNorm(4, 8)
layer_module = torch.nn.LayerNorm([8, 5, 7])
batch_module = torch.nn.BatchNorm2d(8)
instance_module = torch.nn.InstanceNorm2d(8, affine=True)
"""

JAX = """
import jax.numpy as jnp

def layer(x, weight, bias, *, eps):
    rows = x.reshape(len(x), -1)
    d = rows - rows.mean(1, keepdims=True)
    y = (d / jnp.sqrt(jnp.square(d).mean(1, keepdims=True) + eps)).reshape(x.shape)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)
"""


def own_results(
    run: Callable[..., Completed], parsed: Any, tmp_path: Path, source: str, target: str, *options: str
) -> list[dict[str, Any]]:
    """The results of one's own implementation; the run must be a pass."""
    (tmp_path / "norms").mkdir()
    (tmp_path / "norms" / "__init__.py").write_text("")
    (tmp_path / "norms" / "own.py").write_text(source)
    done = run("compare", "--backend", f"mine={target}", "--format", "json", *options)
    results = [row for row in parsed(done.stdout)["results"] if row["backend"] == "mine"]
    assert [] == [(row["case"], row["output"], row["reason"]) for row in results if row["verdict"] != "pass"]
    assert 0 == done.returncode
    assert results
    return results


@pytest.mark.parametrize("place", ["norms/own.py", "norms.own"], ids=["by file", "by module"])
def test_ones_own_numpy_function_passes(run: Any, parsed: Any, tmp_path: Path, place: str) -> None:
    options = ["--method", "group", "--fixture", "nchw", "--fixture", "odd", "--fixture", "documents"]
    assert {"y"} == {
        row["output"] for row in own_results(run, parsed, tmp_path, NUMPY, f"numpy:{place}:group", *options)
    }


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_ones_own_numpy_batch_norm_passes_with_its_running_statistics(
    run: Any, parsed: Any, tmp_path: Path, mode: str
) -> None:
    options = [
        "--method",
        "batch",
        "--fixture",
        "nchw",
        "--mode",
        mode,
        "--dtype",
        "float32",
        "--dtype",
        "float64",
    ]
    results = own_results(run, parsed, tmp_path, NUMPY, "numpy:norms/own.py:batch", *options)
    expected = {"train": {"y", "running_mean", "running_var"}, "eval": {"y"}}[mode]
    assert expected == {row["output"] for row in results}


@pytest.mark.parametrize(
    ("place", "attribute", "method"),
    [
        *(("norms/own.py", method, method) for method in ("layer", "group")),
        *(("norms/own.py", f"{method}_module", method) for method in ("group", "layer", "batch", "instance")),
        ("norms.own", "group_module", "group"),
    ],
)
def test_ones_own_torch_function_or_module_passes_with_its_gradients(
    run: Any,
    parsed: Any,
    requires: Callable[[str], None],
    tmp_path: Path,
    place: str,
    attribute: str,
    method: str,
) -> None:
    requires("torch")
    options = [
        "--method",
        method,
        "--fixture",
        "nchw",
        *(["--normalized-ndim", "3"] if method == "layer" else []),
    ]
    results = own_results(run, parsed, tmp_path, TORCH, f"torch:{place}:{attribute}", *options)
    assert {"y", "grad_x", "grad_weight", "grad_bias"} <= {row["output"] for row in results}


def test_ones_own_jax_function_passes_with_its_gradients(
    run: Any, parsed: Any, requires: Any, tmp_path: Path
) -> None:
    requires("jax")
    results = own_results(
        run, parsed, tmp_path, JAX, "jax:norms/own.py:layer", "--method", "layer", "--fixture", "nc"
    )
    assert {"y", "grad_x", "grad_weight", "grad_bias"} == {row["output"] for row in results}


def test_a_torch_module_with_another_eps_fails(
    run: Callable[..., Completed], requires: Any, tmp_path: Path
) -> None:
    requires("torch")
    (tmp_path / "own.py").write_text("import torch\nnorm = torch.nn.GroupNorm(4, 8, eps=1e-3)\n")
    done = run("compare", "--backend", "mine=torch:own.py:norm", "--method", "group", "--fixture", "nchw")
    assert 1 == done.returncode
    assert "✗ FAIL" in done.stdout


# --- what the numbers decide -------------------------------------------------------------------------------


def test_the_users_own_bound_is_used_and_said(run: Callable[..., Completed], parsed: Any) -> None:
    done = run(*QUICK, "--max-backward-error", "0.001", "--format", "json")
    (row,) = parsed(done.stdout)["results"]
    assert 0.001 == row["allowed"]
    assert row["verdict"] in {"loose", "fail"}
    assert "--max-backward-error 0.001" in row["reason"]


def test_strict_turns_loose_into_fail(run: Callable[..., Completed], parsed: Any) -> None:
    options = [*QUICK, "--max-backward-error", "0.001", "--format", "json"]
    loose, strict = run(*options), run(*options, "--strict")
    assert [(0, "loose"), (1, "fail")] == [
        (done.returncode, parsed(done.stdout)["summary"]["verdict"]) for done in (loose, strict)
    ]


def test_a_bound_that_allows_everything_decides_nothing(run: Callable[..., Completed], parsed: Any) -> None:
    done = run(*QUICK, "--max-backward-error", "1e12", "--format", "json")
    (row,) = parsed(done.stdout)["results"]
    assert (1, "inconclusive") == (done.returncode, row["verdict"])
    assert "all-zero output" in row["reason"]


def test_data_that_float32_cannot_decide_is_inconclusive_never_a_pass(
    run: Any, parsed: Any, tmp_path: Path
) -> None:
    (tmp_path / "far.json").write_text(json.dumps({"x": [[1e6, 1e6 + 0.0625], [1e6 + 0.125, 1e6]]}))
    done = run(
        "compare",
        "--fixture",
        "far.json",
        "--method",
        "layer",
        "--backend",
        "numpy",
        "--no-gradients",
        "--format",
        "json",
    )
    assert (1, ["inconclusive"]) == (
        done.returncode,
        [row["verdict"] for row in parsed(done.stdout)["results"]],
    )


def test_nan_in_the_input_is_nan_in_its_own_sets_and_no_trouble_to_others(
    run: Any, parsed: Any, tmp_path: Path
) -> None:
    rows = [[float("nan"), 1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 8.5], [3.0, 1.0, -2.0, 9.0]]
    (tmp_path / "nan.json").write_text(json.dumps({"x": rows}))
    options = [
        "--fixture",
        "nan.json",
        "--method",
        "layer",
        "--backend",
        "numpy",
        "--no-gradients",
        "--format",
        "json",
    ]
    done = run("compare", *options)
    (row,) = parsed(done.stdout)["results"]
    assert (0, "pass") == (done.returncode, row["verdict"])


def test_nan_everywhere_is_never_a_pass(run: Any, parsed: Any, tmp_path: Path) -> None:
    (tmp_path / "nan.json").write_text(json.dumps({"x": [[float("nan"), 1.0], [float("inf"), 2.0]]}))
    done = run(
        "compare",
        "--fixture",
        "nan.json",
        "--method",
        "layer",
        "--backend",
        "numpy",
        "--no-gradients",
        "--format",
        "json",
    )
    assert (1, ["inconclusive"]) == (
        done.returncode,
        [row["verdict"] for row in parsed(done.stdout)["results"]],
    )


# --- interruption ------------------------------------------------------------------------------------------


SLOW = """
import pathlib, time

def norm(x, weight, bias, *, eps):
    pathlib.Path("computing").touch()
    time.sleep(1000)
"""


def processes_with(marker: str) -> list[str]:
    """The command lines of all living processes whose environment holds ``marker``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                marker.encode() in (folder / "environ").read_bytes()
                and "Z" not in (folder / "stat").read_text().split(") ")[1][:1]
            ):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed outright"])
def test_no_worker_is_left_behind(tmp_path: Path, ending: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    marker = f"NORMCHECK_TEST={tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-m", "normcheck", *QUICK, "--backend", "slow=numpy:slow.py:norm"],
        cwd=tmp_path,
        env={**os.environ, "NORMCHECK_TEST": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until((tmp_path / "computing").exists)
    assert len(processes_with(marker)) >= 2
    os.killpg(process.pid, ending)
    out, err = process.communicate(timeout=60)
    assert "" == out
    if ending is signal.SIGINT:
        assert (130, "normcheck: interrupted") == (process.returncode, err.strip())
        assert [] == list(tmp_path.glob("normcheck-*"))
    wait_until(lambda: processes_with(marker) == [])
