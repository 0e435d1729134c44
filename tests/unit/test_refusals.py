"""What cannot be used is refused in one line that says what, where and what would be valid, before a case is made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Completed, refused

Run = Callable[..., Completed]
BASE = ["--backend", "numpy", "--no-gradients"]


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ["--method", "grup"],
            ["unknown method 'grup'", "Did you mean 'group'", "batch, layer, instance, group"],
        ),
        (["--method", "GROUP"], ["unknown method 'GROUP'"]),
        (["--method", ""], ["unknown method ''"]),
        (
            ["--fixture", "document"],
            ["unknown fixture 'document'", "Did you mean 'documents'", "core", ".npz"],
        ),
        (
            ["--backend", "pytorch"],
            ["unknown backend 'pytorch'", "Did you mean 'torch'", "numpy, torch, jax"],
        ),
        (["--backend", "mine=tensorfow:f.py:g"], ["unknown backend 'tensorfow'"]),
        (["--dtype", "float23"], ["unknown dtype 'float23'", "Did you mean 'float32'"]),
        (["--mode", "evil"], ["unknown mode 'evil'", "Did you mean 'eval'"]),
        (["--format", "jsn"], ["unknown format 'jsn'", "Did you mean 'json'"]),
        (["--metod", "group"], ["--metod", "--method"]),
        (["--eps", "small"], ["--eps", "small"]),
        (["--eps"], ["--eps"]),
        (["--num-groups", "1.5"], ["--num-groups", "1.5"]),
        (["--timeout", "0"], ["--timeout"]),
        (["--timeout", "-1"], ["--timeout"]),
        (["--groups", "0,1|x"], ["'0,1|x'", "0,1|2"]),
        (["--groups", ""], ["--groups is ''"]),
        (["--groups", "0,1|2", "--num-groups", "3"], ["exclude each other"]),
        (["group"], ["group"]),
    ],
    ids=lambda value: (
        " ".join(value) if isinstance(value, list) and value and value[0].startswith("-") else ""
    ),
)
def test_what_is_misspelt_is_told_what_is_valid(
    invoke: Run, arguments: list[str], messages: list[str]
) -> None:
    line = refused(invoke("compare", *arguments), 2)
    for message in messages:
        assert message in line


def test_an_unknown_command_is_told_the_nearest_one(invoke: Run) -> None:
    assert "Did you mean 'compare'" in refused(invoke("compre"), 2)


def test_without_a_command_there_is_help_and_no_success(invoke: Run) -> None:
    done = invoke()
    assert 2 == done.returncode
    assert "compare" in done.stderr


# --- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--method", "group", "--num-groups", 2],
            "3 channels cannot be split into 2 equal groups; valid num_groups: 1, 3",
        ),
        (["--method", "group", "--num-groups", 0], "0 equal groups"),
        (["--method", "group", "--num-groups", -3], "-3 equal groups"),
        (["--method", "group", "--groups", "0,1|1,2"], "repeats channel 1"),
        (["--method", "group", "--groups", "0,1"], "omits channel 2"),
        (["--method", "group", "--groups", "0|2"], "omits channel 1"),
        (["--method", "group", "--groups", "0,1|2,3"], "names channel 3"),
        (["--method", "group", "--groups", "0,1|2,-1"], "names channel -1"),
        (["--method", "layer", "--normalized-ndim", 5], "valid for 4 axes: 1 to 4"),
        (["--method", "layer", "--normalized-ndim", 0], "normalized_ndim is 0"),
        (["--method", "layer", "--normalized-ndim", -1], "normalized_ndim is -1"),
        (["--method", "batch", "--channel-axis", 2], "channel_axis is 2; valid: 1, -1"),
        (["--method", "layer", "--eps", "-1"], "eps is -1"),
        (["--method", "layer", "--eps", "nan"], "eps is nan"),
        (["--method", "layer", "--eps", "inf"], "eps is inf"),
        (["--method", "batch", "--momentum", "1.5"], "momentum is 1.5"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_parameters_that_do_not_fit_are_refused(invoke: Run, arguments: list[Any], message: str) -> None:
    assert message in refused(invoke("compare", "--fixture", "documents", *BASE, *arguments), 3)


@pytest.mark.parametrize("value", ["nan", "-1"])
def test_a_bound_that_is_no_bound_is_refused(invoke: Run, value: str) -> None:
    done = invoke("compare", "--method", "layer", "--fixture", "nc", *BASE, "--max-backward-error", value)
    assert "--max-backward-error" in refused(done, 2)


# --- files -------------------------------------------------------------------------------------------------

X = np.arange(6.0).reshape(2, 3)


def saved(folder: Path, array: Any, **how: Any) -> str:
    np.save(folder / "x.npy", array, **how)
    return "x.npy"


def truncated(folder: Path) -> str:
    np.savez(folder / "whole.npz", x=X)
    content = (folder / "whole.npz").read_bytes()
    (folder / "x.npz").write_bytes(content[: len(content) // 2])
    return "x.npz"


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def pickled(folder: Path) -> str:
    np.savez(folder / "x.npz", x=np.array([[Trap()]], dtype=object))
    return "x.npz"


def tampered(folder: Path) -> str:
    from normcheck import fixtures

    data = json.loads((fixtures.directory() / "documents.json").read_text())
    data["x"][0][0][0][0] = 1.5
    (folder / "documents.json").write_text(json.dumps(data))
    return "./documents.json"


def written(folder: Path, text: str, name: str = "x.json") -> str:
    (folder / name).write_text(text)
    return f"./{name}"


BAD_FILES: dict[str, tuple[Callable[[Path], str], str]] = {
    "no such file": (lambda folder: "absent.npz", "no such file"),
    "unknown kind": (lambda folder: written(folder, "1,2", "x.csv"), "valid: .json, .npz, .npy, .safetensors"),
    "empty array": (lambda folder: saved(folder, np.zeros((2, 0))), "is empty"),
    "object dtype": (lambda folder: saved(folder, np.array([[None]]), allow_pickle=True), "not readable as .npy"),
    "complex": (lambda folder: saved(folder, X * 1j), "it must hold real numbers"),
    "rank 1": (lambda folder: saved(folder, X[0]), "normcheck takes 2 to 5"),
    "rank 6": (lambda folder: saved(folder, X[None, None, None, None]), "normcheck takes 2 to 5"),
    "overflow": (lambda folder: written(folder, '{"x": [[1e300, 1]]}'), "overflow float32"),
    "integers": (lambda folder: saved(folder, X.astype("int32")), "x holds int32; valid: float64"),
    "truncated": (truncated, "not readable as .npz"),
    "pickle in npz": (pickled, "allow_pickle=False"),
    "tampered": (tampered, "not what its SHA-256 says"),
    "not JSON": (lambda folder: written(folder, "{"), "not readable as JSON"),
    "ragged": (lambda folder: written(folder, '{"x": [[1, 2], [3]]}'), "not a regular array"),
    "unknown key": (lambda folder: written(folder, '{"x": [[1, 2]], "weigth": [1]}'), "Did you mean 'weight'"),
    "weight of another shape": (lambda folder: written(folder, '{"x": [[1, 2]], "weight": [1]}'), "needs (2,)"),
    "grad_y of another shape": (lambda folder: written(folder, '{"x": [[1, 2]], "grad_y": [1]}'), "grad_y has shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_refused_and_runs_nothing(
    invoke: Run, tmp_path: Path, name: str
) -> None:
    make, message = BAD_FILES[name]
    done = invoke("compare", "--fixture", make(tmp_path), "--method", "layer", "--backend", "numpy")
    assert message in refused(done, 3)
    assert not (tmp_path / "sprung").exists()


def test_a_weight_of_another_shape_is_refused_before_anything_is_called(invoke: Run, tmp_path: Path) -> None:
    called = "def norm(x, weight, bias, *, eps):\n    open('called', 'w')\n    return x\n"
    (tmp_path / "f.py").write_text(called)
    path = written(tmp_path, '{"x": [[1, 2]], "weight": [1]}')
    refused(invoke("compare", "--fixture", path, "--method", "layer", "--backend", "numpy:f.py:norm"), 3)
    assert not (tmp_path / "called").exists()


def test_expected_values_of_no_method_need_one(invoke: Run, tmp_path: Path) -> None:
    path = written(tmp_path, '{"x": [[1, 2], [4, 8]], "expected.y": [[0, 0], [0, 0]]}')
    assert "add --method" in refused(invoke("compare", "--fixture", path, *BASE), 2)


# --- nothing half done -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fixture", "absent.npz"],
        ["--method", "grup"],
        ["--fixture", "documents", "--method", "group", "--num-groups", 2],
        ["--fixture", "nc", "--method", "layer", "--backend", "numpy:absent.py:f"],
        ["--fixture", "nc", "--method", "layer", "--backend", "numpy:raises.py:f"],
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_after_an_error_there_is_no_output_file(invoke: Run, tmp_path: Path, arguments: list[Any]) -> None:
    (tmp_path / "raises.py").write_text("raise ValueError")
    done = invoke("compare", *BASE, *arguments, "--output", "report.json", "--format", "json")
    assert done.returncode in {2, 3}
    assert {"raises.py"} == {*os.listdir(tmp_path)} - {"__pycache__"}


def test_after_an_error_an_old_output_file_is_as_it_was(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    refused(invoke("compare", "--fixture", "absent.npz", "--output", "report.json"), 3)
    assert "old" == (tmp_path / "report.json").read_text()


def test_a_place_that_cannot_be_written_is_one_line(invoke: Run, tmp_path: Path) -> None:
    done = invoke(
        "compare", "--fixture", "nc", "--method", "layer", *BASE, "--output", "no/such/folder/report.json"
    )
    assert "cannot write no/such/folder/report.json" in refused(done, 3)
    assert [] == os.listdir(tmp_path)


def test_a_folder_is_no_output_file(invoke: Run, tmp_path: Path) -> None:
    assert "directory" in refused(invoke("compare", "--output", tmp_path), 2)


# --- escapes -----------------------------------------------------------------------------------------------

POISON = "\x1b]0;owned\x07\x1b[31m"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--backend", f"{POISON}=numpy:f.py:norm"],
        ["--backend", f"numpy:{POISON}.py:norm"],
        ["--backend", f"numpy:f.py:{POISON}"],
        ["--backend", POISON],
        ["--fixture", f"{POISON}.npz"],
        ["--fixture", POISON],
        ["--method", POISON],
        ["--groups", POISON],
        ["--output", f"no/such/{POISON}"],
        [f"--{POISON}"],
        [POISON],
    ],
    ids=lambda value: value[0] if value[0].startswith("--") and "\x1b" not in value[0] else "escape",
)  # fmt: skip
def test_escapes_in_arguments_are_written_out(invoke: Run, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "f.py").write_text("def norm(x, weight, bias, *, eps):\n    return x\n")
    chosen = ["--fixture", "nc", "--method", "layer"] if arguments[0] in ("--backend", "--output") else []
    done = invoke("compare", *chosen, *arguments)
    assert done.returncode in {2, 3}
    for character in ("\x1b", "\x07"):
        assert character not in done.stdout + done.stderr
    assert "\\x1b" in done.stderr


def test_an_escape_as_a_command_is_written_out(invoke: Run) -> None:
    assert "\\x1b" in refused(invoke(POISON), 2)
