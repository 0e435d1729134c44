"""Implementations that really die, hang or write junk: each costs its own case alone, and harms no other backend.

What a worker and its client make of everything else is in tests/unit/test_worker_*.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Completed, run_normcheck

pytestmark = pytest.mark.xdist_group("misbehaviour")  # a run is shared

Parsed = Callable[[str], dict[str, Any]]

PRELUDE = """
import json, os, signal, socket, stat, struct, subprocess, sys, threading, time
import numpy as np

def send(number, y, after=b"", **more):
    entry = {"name": "y", "dtype": "float32", "shape": list(y), **more}
    header = {"kind": "result", "number": number, "status": "ok", "seconds": 0, "arrays": [entry]}
    header |= dict.fromkeys(["problems", "errors"], {})
    header |= dict.fromkeys(["absent", "changed", "nondeterministic", "overwritten"], [])
    text = json.dumps(header).encode()
    ours = next(fd for fd in range(3, 200) if os.path.exists(f"/dev/fd/{fd}") and stat.S_ISSOCK(os.fstat(fd).st_mode))
    os.write(ours, b"NCF1" + struct.pack(">I", len(text)) + text + after)
    time.sleep(1000)

def prints_without_end():
    while True:
        os.write(1, b"x" * 65536)

def forks_for(seconds):
    until = time.monotonic() + seconds
    if os.fork():
        return
    while time.monotonic() < until:
        os.setsid()
        if os.fork():
            os._exit(0)
    os._exit(0)

def right(x, weight, bias, *, eps):
    d = x - x.mean(-1, keepdims=True)
    y = d / np.sqrt(np.square(d).mean(-1, keepdims=True) + x.dtype.type(eps))
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)
"""
FIXTURES = ("nc", "ncl", "image", "nchw", "ncdhw")  # the second one alone has three axes

ENDS: dict[str, tuple[str, str, str]] = {  # in the second case: the body, the verdict, its reason
    "exits": ("os._exit(0)", "crash", "exited with code 0"),
    "aborts": ("print('last words', file=sys.stderr, flush=True); os.abort()", "crash", "SIGABRT"),
    "faults": ("import ctypes; ctypes.string_at(0)", "crash", "SIGSEGV"),
    "kills_itself": ("os.kill(os.getpid(), 9)", "crash", "SIGKILL"),
    "interrupts": ("raise KeyboardInterrupt", "crash", "without an answer"),
    "closes_all_files": ("os.closerange(0, 1000)", "crash", "without an answer"),
    "hangs": ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)", "timeout", "within 5 s"),
    "raises": ("raise ValueError('no such norm')", "error", "ValueError: no such norm"),
    "stops": ("os.kill(os.getpid(), signal.SIGSTOP)", "timeout", "within 5 s"),
    "names_a_file": ("send(2, x.shape, file='/etc/passwd')", "error", "nonsense"),
    "has_65_axes": ("send(2, [1] * 65, bytes(4))", "error", "nonsense"),
    "announces_terabytes": ("send(2, [2**20, 2**20])", "error", "the case can need"),
    "sends_half": ("send(2, x.shape, bytes(8))", "timeout", "within 5 s"),
    "masks_some": (
        "return np.ma.masked_less(right(x, weight, bias, eps=eps), 0)",
        "fail",
        "is a masked array",
    ),
    "returns_too_much": ("return np.zeros((2048, 2048), 'float32')", "fail", "(2048, 2048)"),
    "writes_junk": (
        "[os.write(fd, b'junk' * 100) for fd in range(3, 200) if os.path.exists(f'/dev/fd/{fd}')]",
        "error",
        "nonsense",
    ),
}
NOISES = {  # in every case, before the right result
    "prints_megabytes": "print('junk\\n' * 2**20); print('trash\\n' * 2**20, 'the end', file=sys.stderr)",
    "writes_below_python": "os.write(1, b'NCF1\\x00\\x00\\x00\\x02{}'); os.write(2, b'\\xff\\xfe\\x00')",
    "closes_the_streams": "sys.stdout.close(); sys.stderr.close()",
    "leaves_no_environment": "os.chdir('/'); os.environ.clear(); sys.argv.clear(); sys.path.clear()",
    "leaves_a_child": "subprocess.Popen(['sleep', '1000'])",
    "leaves_a_daemon": "subprocess.Popen(['sleep', '1000'], start_new_session=True)",
    "leaves_a_chain_of_sessions": "forks_for(60)",
    "prints_without_end": "threading.Thread(target=prints_without_end, daemon=True).start()",
}


def function(name: str, body: str, *, condition: str = "True") -> str:
    """A layer norm that executes ``body`` first, in the cases where ``condition`` holds."""
    lines = "".join(f"        {statement}\n" for statement in body.split("; "))
    head = f"\ndef {name}(x, weight, bias, *, eps):\n    if {condition}:\n"
    return f"{head}{lines}    return right(x, weight, bias, eps=eps)\n"


def source() -> str:
    """The file with a function for each name in ENDS and NOISES, and one that always dies."""
    ends = [function(name, body, condition="x.ndim == 3") for name, (body, *_) in ENDS.items()]
    noises = [function(name, body) for name, body in NOISES.items()]
    return "".join([PRELUDE, *ends, *noises, function("always_dies", "os._exit(0)")])


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory for temporary files of the run."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Completed:
    """One run of NumPy and all of them on five cases."""
    folder = tmp_path_factory.mktemp("misbehaviour")
    (folder / "norm.py").write_text(source())
    own = [f"--backend={name}=numpy:norm.py:{name}" for name in (*ENDS, *NOISES, "always_dies")]
    cases = [f"--fixture={name}" for name in FIXTURES]
    options = ["--method", "layer", "--normalized-ndim", 1, "--no-gradients", "--timeout", 5]
    command = ["compare", "--backend=numpy", *own, *cases, *options, "--format", "json"]
    return run_normcheck(*command, cwd=folder, TMPDIR=str(temporary))


@pytest.fixture(scope="module")
def results(done: Completed, parsed: Parsed) -> dict[str, list[dict[str, Any]]]:
    """The results by backend, in the order of the cases."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in parsed(done.stdout)["results"]:
        found.setdefault(row["backend"], []).append(row)
    return found


Results = dict[str, list[dict[str, Any]]]


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["verdict"] for row in rows]


def test_the_run_ends_with_the_code_of_failures_and_numpy_is_unharmed(
    done: Completed, results: Results
) -> None:
    assert (1, "") == (done.returncode, done.stderr)
    assert ["pass"] * 5 == verdicts(results["numpy"])


@pytest.mark.parametrize("name", ENDS)
def test_no_result_costs_its_own_case_alone(results: Results, name: str) -> None:
    _, verdict, reason = ENDS[name]
    assert ["pass", verdict, "pass", "pass", "pass"] == verdicts(results[name])
    assert reason in results[name][1]["reason"]


@pytest.mark.parametrize("name", NOISES)
def test_noise_does_no_harm(results: Results, name: str) -> None:
    assert ["pass"] * 5 == verdicts(results[name])


def test_nothing_is_left_of_what_they_started(done: Completed, results: Results, temporary: Path) -> None:
    """Neither processes nor files."""
    mark = f"TMPDIR={temporary}".encode()
    left = [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if mark in environment(path)]
    assert ([], []) == (left, list(temporary.iterdir()))


def environment(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile, or is another user's
        return []


def test_after_three_deaths_the_rest_is_error(results: Results) -> None:
    assert ["crash"] * 3 + ["error"] * 2 == verdicts(results["always_dies"])
    assert "not run: its worker died 3 times before" == results["always_dies"][-1]["reason"]


def test_the_end_of_what_it_printed_is_kept_also_when_it_died(results: Results) -> None:
    assert "last words" in results["aborts"][1]["stderr"]
    printed = results["prints_megabytes"][0]["stderr"]
    assert 0 < len(printed) <= 2**14
    assert "the end" in printed


def test_who_imports_the_oracle_is_named_and_costs_its_own_cases_only(
    run: Callable[..., Completed], parsed: Parsed, tmp_path: Path
) -> None:
    (tmp_path / "caught.py").write_text(
        f"try:\n    from normcheck.oracle import evaluate\nexcept ImportError:\n    pass\n{PRELUDE}"
    )
    (tmp_path / "plain.py").write_text(f"import normcheck.judge.case\n{PRELUDE}")
    own = ["--backend=a=numpy:caught.py:right", "--backend=b=numpy:plain.py:right"]
    options = ["--method", "layer", "--fixture", "nc", "--no-gradients", "--format", "json"]
    done = run("compare", *options, "--backend=numpy", *own)
    found = {row["backend"]: (row["verdict"], row["reason"] or "") for row in parsed(done.stdout)["results"]}
    assert (4, "pass", "error", "error") == (done.returncode, *(verdict for verdict, _ in found.values()))
    assert "it imports normcheck.oracle, normcheck's own oracle" in found["a"][1]
    assert "it imports normcheck.judge, normcheck's own oracle" in found["b"][1]


# --- targets that cannot be loaded: exit 3, one line, the user's traceback ------------------------------------


@pytest.mark.parametrize(
    ("source", "attribute", "lines"),
    [
        ("norm = 3\n", "norm", ["normcheck: backend 'numpy:f.py:norm': f.py:norm is a int, not a function"]),
        (
            "raise ValueError('at import')\n",
            "norm",
            [
                "Traceback (most recent call last):",
                '  File "',
                "    raise ValueError('at import')",
                "ValueError: at import",
                "normcheck: backend 'numpy:f.py:norm': f.py cannot be imported: ValueError: at import",
            ],
        ),
    ],
    ids=["no function", "raises at import"],
)
def test_a_target_that_cannot_be_loaded_is_one_line_after_the_users_traceback(
    run: Callable[..., Completed], tmp_path: Path, source: str, attribute: str, lines: list[str]
) -> None:
    (tmp_path / "f.py").write_text(source)
    options = ["--method", "layer", "--fixture", "nc", "--backend", "numpy"]
    done = run("compare", *options, "--backend", f"numpy:f.py:{attribute}")
    assert (3, "") == (done.returncode, done.stdout)
    found = done.stderr.splitlines()
    assert len(lines) == len(found)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_a_module_that_replaces_what_differentiates_owes_its_gradients(
    run: Callable[..., Completed], tmp_path: Path
) -> None:
    (tmp_path / "norm.py").write_text(
        """
import torch
import normcheck.backends._base as base
import normcheck.backends.torch as host

host.Torch.differentiate = base.Backend.differentiate

def norm(x, weight, bias, *, eps):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, eps)
"""
    )
    options = ("--method", "layer", "--fixture", "nc", "--backend", "mine=torch:norm.py:norm")
    done = run("compare", *options, "--format", "json", cwd=tmp_path)
    results = {row["output"]: row for row in json.loads(done.stdout)["results"]}
    assert (1, "pass") == (done.returncode, results["y"]["verdict"])
    assert ("fail", "was not returned") == (results["grad_x"]["verdict"], results["grad_x"]["reason"])
