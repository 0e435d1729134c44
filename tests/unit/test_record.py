"""Recordings: what a backend answered, compared without its framework; refused where they are not what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 (makes NumPy know bfloat16)
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from support import Completed

Run = Callable[..., Completed]
GROUP = ["--method", "group", "--fixture", "nchw", "--fixture", "odd"]


@pytest.fixture
def recorded(invoke: Run, tmp_path: Path) -> Path:
    done = invoke(
        "record", "--backend", "numpy", "--output", "run.safetensors", *GROUP, "--dtype", "bfloat16"
    )
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert "6 outputs of 2 cases, numpy" in done.stderr
    return tmp_path / "run.safetensors"


def compare(invoke: Run, *options: object, backend: str = "gpu=file:run.safetensors") -> Completed:
    return invoke(
        "compare", "--backend", backend, "--format", "json", *GROUP, "--dtype", "bfloat16", *options
    )


def opened(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118


def test_what_was_recorded_is_judged_as_what_runs(invoke: Run, parsed: Any, recorded: Path) -> None:
    report = parsed(compare(invoke, "--backend", "numpy").stdout)
    by = {
        name: [
            (r["case"], r["output"], r["verdict"], r["backward_error"])
            for r in report["results"]
            if r["backend"] == name
        ]
        for name in ("gpu", "numpy")
    }
    assert by["gpu"] == by["numpy"] != []
    assert {0.0} == {pair["max_abs_diff"] for pair in report["pairs"]}
    assert "run.safetensors" == report["environment"]["backends"]["gpu"]["recorded"]


def test_laws_are_not_put_to_a_recording(invoke: Run, parsed: Any, recorded: Path) -> None:
    done = compare(invoke, "--laws")
    report = parsed(done.stdout)
    assert (0, {""}) == (done.returncode, {r["params"].get("law", "") for r in report["results"]})


def test_wrong_outputs_are_recorded_as_they_are_and_fail_where_they_are_compared(
    invoke: Run, parsed: Any, tmp_path: Path
) -> None:
    (tmp_path / "norm.py").write_text(
        "import numpy as np\n"
        "def zeros(x, weight, bias, *, eps): return np.zeros_like(x)\n"
        "def complexes(x, weight, bias, *, eps): return np.zeros(x.shape, np.complex128)\n"
        "def raises(x, weight, bias, *, eps): raise ValueError('no')\n"
    )
    expected = {"zeros": (0, "fail"), "complexes": (0, "fail"), "raises": (4, "error")}
    for name, (code, verdict) in expected.items():
        backend = f"bad=numpy:norm.py:{name}"
        done = invoke(
            "record", "--backend", backend, "--output", "run.safetensors", *GROUP, "--dtype", "bfloat16"
        )
        assert code == done.returncode, done.stderr
        report = parsed(compare(invoke).stdout)
        assert {verdict} == {r["verdict"] for r in report["results"] if r["output"] == "y"}, name


def test_a_case_that_is_not_in_it_is_no_pass(invoke: Run, parsed: Any, recorded: Path) -> None:
    done = compare(invoke, "--fixture", "ncl")
    assert 4 == done.returncode
    missing = [r for r in parsed(done.stdout)["results"] if r["verdict"] == "unavailable"]
    assert {"ncl"} == {r["fixture"] for r in missing}
    assert "does not have this case" in missing[0]["reason"]


@pytest.mark.parametrize(
    "options", [["--eps", "1e-3"], ["--dtype", "float32", "--method", "layer", "--eps", "1e-6"]]
)
def test_a_recording_of_something_else_is_refused(invoke: Run, recorded: Path, options: list[str]) -> None:
    done = invoke(
        "compare", "--backend", "gpu=file:run.safetensors", "--method", "group", "--fixture", "nchw", *options
    )
    assert 3 == done.returncode
    assert "none of the" in done.stderr


def test_a_recording_of_other_inputs_says_which(invoke: Run, tmp_path: Path) -> None:
    own = ["--fixture", "x.npz", "--method", "layer"]
    x, grad_y = np.random.default_rng(0).standard_normal((2, 2, 3, 4))
    np.savez(tmp_path / "x.npz", x=x, grad_y=grad_y)
    invoke("record", "--backend", "numpy", "--output", "run.safetensors", *own)
    assert 0 == invoke("compare", "--backend", "gpu=file:run.safetensors", *own).returncode
    np.savez(tmp_path / "x.npz", x=x + 1, grad_y=grad_y)
    done = invoke("compare", "--backend", "gpu=file:run.safetensors", *own)
    assert 3 == done.returncode
    assert "layer/x.npz/float64 was computed from something else: x is sha256" in done.stderr
    assert "grad_y" not in done.stderr


def changed_digit(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    name = min(tensors)
    tensors[name] = tensors[name] + tensors[name].dtype.type(1)


def missing_tensor(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    del tensors[min(tensors)]


def additional_tensor(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    tensors["more"] = np.zeros(3)


def changed_environment(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    metadata["run"] = metadata["run"].replace('"backend": "numpy"', '"backend": "torch"')


def later_format(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    metadata["normcheck_recording"] = "4"


def no_recording(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    metadata.clear()


def sealed_nonsense(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    import hashlib

    metadata["run"] = json.dumps({"cases": [1, 2]})
    metadata["sha256"] = hashlib.sha256(metadata["run"].encode()).hexdigest()


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (changed_digit, "is not as it was written"),
        (missing_tensor, "is missing"),
        (additional_tensor, "no case has the tensor 'more'"),
        (changed_environment, "does not have its sha256"),
        (later_format, "normcheck_recording 4, this normcheck reads 3"),
        (no_recording, "normcheck_recording none"),
        (sealed_nonsense, "malformed"),
    ],
)
def test_a_tampered_recording_is_refused(
    invoke: Run, recorded: Path, tamper: Callable[..., None], message: str
) -> None:
    tensors, metadata = opened(recorded)
    tamper(tensors, metadata)
    save_file(tensors, recorded, metadata=metadata)
    done = compare(invoke)
    assert (3, "") == (done.returncode, done.stdout)
    assert message in done.stderr


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_a_truncated_recording_is_refused(invoke: Run, recorded: Path, keep: float) -> None:
    content = recorded.read_bytes()
    recorded.write_bytes(content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)])
    done = compare(invoke)
    assert (3, "") == (done.returncode, done.stdout)
    assert "not readable as safetensors" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--backend", "nunpy"], 2, "Did you mean 'numpy'"),
        (["--backend", "numpy", "--device", "cuda"], 4, "on the CPU only, not on 'cuda'"),
        (["--backend", "torch", "--device", "nonsense"], 4, "no device 'nonsense'"),
        (["--backend", "numpy:absent.py:f"], 3, "no such file"),
        (["--backend", "file:run.safetensors"], 2, "is a recording already"),
    ],
)
def test_what_cannot_be_recorded_writes_nothing(
    invoke: Run, recorded: Path, requires: Callable[[str], None], options: list[str], code: int, message: str
) -> None:
    requires("torch")
    done = invoke("record", "--output", "other.safetensors", *GROUP, *options)
    assert code == done.returncode
    assert message in done.stderr
    assert not (recorded.parent / "other.safetensors").exists()
