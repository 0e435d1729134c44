"""Nothing that a file states is ignored in silence: it is used, or named, or refused where it contradicts itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support import Completed, refused

from normcheck import fixtures
from normcheck.case import Layout, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.fixtures.description import KEYS
from normcheck.fixtures.generate import RECIPES
from normcheck.fixtures.stated import AFFINE
from normcheck.options import MAX_TIMEOUT
from normcheck.parameters import TABLE

Run = Callable[..., Completed]
X = [[1.0, 2.0, 4.0], [3.0, 5.0, 9.0]]
MADE = {"x": {"recipe": "bell", "seed": 1}, "shape": [2, 3]}
BASE = ["--backend", "numpy", "--no-gradients"]
LAYER = ["--method", "layer", *BASE]
BATCH = ["--method", "batch", *BASE]


def compare(invoke: Run, folder: Path, data: Any, *options: str) -> Completed:
    (folder / "f.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return invoke("compare", "--fixture", "./f.json", *options)


# --- named -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "options", "named"),
    [
        ({"expected.grad_x": X}, LAYER, "is compared with its expected.grad_x"),
        ({"expected.running_var": X[0]}, LAYER, "is compared with its expected.running_var"),
        ({"expected": {"running_mean": X[0]}}, [*BATCH, "--mode", "eval"], "its expected.running_mean"),
        ({"expected": [{"method": "group", "y": X}]}, LAYER, "its expected.y (method group)"),
        ({"expected": [{"method": "layer", "dtype": "float16", "y": X}]}, LAYER, "its expected.y (method layer, dtype"),
        ({"expected": [{"method": "layer", "params": {"eps": 0.5}, "y": X}]}, LAYER, "(method layer, eps 0.5)"),
        ({"expected": [{"mode": "eval", "y": X}]}, [*BATCH, "--mode", "train"], "its expected.y (mode eval)"),
        ({"running_mean": X[0], "running_var": X[1]}, LAYER, "uses its running_mean, running_var"),
        ({"grad_y": X}, LAYER, "uses its grad_y"),
        ({"steps": 2}, LAYER, "uses its steps"),
        (
            {"methods": {"group": [{"num_groups": 3, "eps": 0.5}]}},
            ["--method", "group", "--num-groups", "1", *BASE],
            "methods.group (num_groups 3, eps 0.5)",
        ),
        ({"excludes": ["layer"]}, LAYER, "not meant for layer norm"),
        ({"dtypes": ["float16"]}, LAYER, "float32 is none of its dtypes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_used_is_named_in_the_output_and_in_the_report(
    invoke: Run, tmp_path: Path, parsed: Any, stated: dict[str, Any], options: list[str], named: str
) -> None:
    assert named in compare(invoke, tmp_path, {"x": X, **stated}, *options).stdout
    report = compare(invoke, tmp_path, {"x": X, **stated}, *options, "--format", "json")
    (note,) = parsed(report.stdout)["notes"]
    assert named in note
    assert note.startswith("fixture f.json: ")


def test_what_is_used_is_not_named(invoke: Run, tmp_path: Path, parsed: Any) -> None:
    """As an entry, as an object and as a key of its own; each is compared."""
    y = (np.array(X) - np.mean(X, axis=1, keepdims=True)) / np.std(X, axis=1, keepdims=True)
    printed = [[f"{value:.3f}" for value in row] for row in y]
    forms: list[dict[str, Any]] = [{"expected.y": printed}, {"expected": {"y": printed}}]
    forms += [{"expected": [{"method": "layer", "params": {"eps": 1e-05}, "y": printed}]}]
    for form in forms:
        report = parsed(compare(invoke, tmp_path, {"x": X, **form}, *LAYER, "--format", "json").stdout)
        assert [] == report["notes"]
        assert ["expected", "numpy"] == [row["backend"] for row in report["results"]]
        assert "pass" == report["summary"]["verdict"]


def test_numbers_with_nan_beside_them_are_not_taken_for_printed_ones(invoke: Run, tmp_path: Path) -> None:
    """One decimal would forgive this error of 0.04."""
    x = [[1.0, 2.0, 4.0], ["nan", 1.0, 2.0]]
    wrong = [[-1.1, -0.3, 1.4], ["nan", "nan", "nan"]]
    assert 1 == compare(invoke, tmp_path, {"x": x, "expected.y": wrong}, *LAYER).returncode


# --- refused -----------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, str]] = {
    "parameter that does not exist": ({"x": X, "methods": {"layer": [{"epz": 1}]}}, "Did you mean 'eps'"),
    "the same in expected": (
        {"x": X, "expected": [{"method": "layer", "y": X, "params": {"epz": 1}}]},
        "Did you mean 'eps'",
    ),
    "parameter of another method": ({"x": X, "methods": {"layer": [{"num_groups": 3}]}}, "layer norm: unknown key"),
    "the same twice": (
        {"x": X, "methods": {"group": [{"num_groups": 3, "groups": [[0, 1, 2]]}]}},
        "exclude each other",
    ),
    "method that is excluded": ({"x": X, "methods": {"layer": [{}]}, "excludes": ["layer"]}, "in excludes"),
    "method without an entry": ({"x": X, "methods": {"layer": []}}, "layer has no entry"),
    "expected twice": ({"x": X, "expected": {"y": X}, "expected.y": X}, "expected y is there twice"),
    "expected nothing": ({"x": X, "expected": [{"method": "layer"}]}, "an entry has no values"),
    "expected key": ({"x": X, "expected": {"grad_xx": X}}, "Did you mean 'grad_x'"),
    "expected ragged": ({"x": X, "expected.y": [[1], [1, 2]]}, "different shapes"),
    "shape that is another": ({"x": X, "shape": [3, 2]}, "but x has (2, 3)"),
    "shape of fractions": ({**MADE, "shape": [2.5, 3]}, "shape is 2.5; write an integer"),
    "recipe's key beside a list": ({"x": X, "scale_exponent": 2}, "for an x that a recipe makes"),
    "exponent of fractions": ({**MADE, "scale_exponent": 1.5}, "scale_exponent is 1.5"),
    "exponent without end": ({**MADE, "scale_exponent": 10**12}, "scale_exponent is 1000000000000"),
    "place elsewhere": ({**MADE, "places": [{"index": [0, 3], "value": 1}]}, "the index within (2, 3)"),
    "place of a row": ({**MADE, "places": [{"index": [0], "value": 1}]}, "places has"),
    "recipe too large": ({**MADE, "shape": [10**5, 10**4]}, "write larger data as .npz"),
    "dtype that is none of its own": ({"x": X, "dtype": "float64", "dtypes": ["float32"]}, "none of its dtypes"),
    "dtype that does not exist": ({"x": X, "dtype": "float23"}, "unknown dtype 'float23'"),
    "layout without images": ({"x": X, "layout": "channels_last"}, "3 axes and more"),
    "steps without end": ({"x": X, "steps": 10**9}, "steps is 1000000000; valid: 0 to 1000"),
    "steps of words": ({"x": X, "steps": "2"}, "write an integer"),
    "tags of one word": ({"x": X, "tags": "core"}, "write a list of texts"),
    "true for a number": ({"x": [[True, 1]]}, "True is no number"),
    "texts beside numbers": ({"x": [[1, "2.5"]]}, "a text beside numbers"),
    "number of other digits": ({"x": [["1_0", "2"]]}, "'1_0' is no number"),
    "key twice": ('{"x": [[1, 2]], "x": [[1, 3]]}', "the key 'x' is there twice"),
    "eps of 401 digits": ('{"x": [[1, 2]], "methods": {"layer": [{"eps": 1' + 400 * "0" + "}]}}", "range of float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_contradicts_itself_or_says_what_cannot_be_is_refused(
    invoke: Run, tmp_path: Path, name: str
) -> None:
    data, message = REFUSED[name]
    assert message in refused(compare(invoke, tmp_path, data, *LAYER), 3)


def test_a_file_in_which_a_name_is_there_twice_is_refused(invoke: Run, tmp_path: Path) -> None:
    x = '"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}'
    header = f"{{{x},{x}}}"
    (tmp_path / "f.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(8))
    assert "'x' is there twice" in refused(invoke("compare", "--fixture", "f.safetensors", *LAYER), 3)


def test_a_second_array_in_a_npy_is_refused(invoke: Run, tmp_path: Path) -> None:
    with (tmp_path / "f.npy").open("wb") as stream:
        np.save(stream, np.array(X))
        np.save(stream, np.array(X))
    assert "bytes after its array" in refused(invoke("compare", "--fixture", "f.npy", *LAYER), 3)


@pytest.mark.parametrize("suffix", fixtures.SUFFIXES)
def test_what_is_no_file_is_refused_at_once(invoke: Run, tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    assert "a FIFO, not a file" in refused(invoke("compare", "--fixture", f"pipe{suffix}", *LAYER), 3)
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    assert "a device, not a file" in refused(invoke("compare", "--fixture", f"zero{suffix}", *LAYER), 3)


@pytest.mark.parametrize("name", [300 * "a" + ".npy", "f.npy/x.npy", "\0.npy"], ids=["long", "inside", "NUL"])
def test_a_name_that_no_file_can_have_is_refused(invoke: Run, tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "f.npy", X)
    assert "cannot be read" in refused(invoke("compare", "--fixture", name, *LAYER), 3)


@pytest.mark.parametrize("value", ["inf", "1e10", "nan", "0", "-1"])
def test_a_timeout_that_is_none_is_a_usage_error(invoke: Run, value: str) -> None:
    line = refused(invoke("compare", "--fixture", "nc", *LAYER, "--timeout", value), 2)
    assert f"at most {MAX_TIMEOUT:,.0f}" in line


# --- groups ------------------------------------------------------------------------------------------------


def test_group_norm_of_a_file_wants_to_know_the_groups(invoke: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", x=np.arange(48.0).reshape(2, 2, 12))
    options = ["compare", "--fixture", "f.npz", "--channel-axis", "-1", *BASE]
    line = refused(invoke(*options, "--method", "group"), 3)
    assert "12 channels are split; add --num-groups with one of 1, 2, 3, 4, 6, 12; or" in line
    for groups in (["--num-groups", "3"], ["--groups", "0,1,2|3,4,5,6,7,8,9,10,11"]):
        assert 0 == invoke(*options, "--method", "group", *groups).returncode
    assert "left out: fixture f.npz, group norm: nothing says how" in invoke(*options).stdout
    assert 0 == invoke("compare", "--fixture", "nchw", "--method", "group", *BASE).returncode


def test_a_named_fixture_that_fits_no_method_is_an_error_and_a_tags_is_left_out(
    invoke: Run, tmp_path: Path
) -> None:
    np.save(tmp_path / "f.npy", np.arange(6).reshape(2, 3))
    assert "holds int64" in refused(invoke("compare", "--fixture", "nc", "--fixture", "f.npy", *BASE), 3)
    done = invoke("compare", "--fixture", "core", "--method", "layer", "--normalized-ndim", "3", *BASE)
    assert 0 == done.returncode
    assert "left out: fixture nc, layer norm" in done.stdout


# --- the schema --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def format_schema() -> dict[str, Any]:
    """That of fixtures in JSON."""
    data: dict[str, Any] = json.loads((Path(fixtures.__file__).parent / "schema.json").read_text())
    Draft202012Validator.check_schema(data)
    return data


def test_the_schema_names_what_the_parser_knows(format_schema: dict[str, Any]) -> None:
    own = format_schema["$defs"]
    assert set(KEYS) == set(format_schema["properties"])
    assert {*TABLE, AFFINE} == set(own["params"]["properties"])
    assert {*Output, "method", "dtype", "mode", "params"} == set(own["expected"]["properties"])
    assert set(Mode) == set(own["expected"]["properties"]["mode"]["enum"])
    assert (set(Method), set(DType)) == (set(own["method"]["enum"]), set(own["dtype"]["enum"]))
    assert set(Layout) == set(own["layout"]["enum"])
    assert set(RECIPES) == set(own["recipe"]["properties"]["recipe"]["enum"])


def test_every_built_in_is_valid_by_the_schema(format_schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(format_schema)
    for path in fixtures.directory().glob("*.json"):
        assert [] == [error.message for error in validator.iter_errors(json.loads(path.read_text()))], path


def test_the_example_of_the_page_is_valid_and_is_read(
    format_schema: dict[str, Any], invoke: Run, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs/fixtures.md").read_text()
    example = page.split('```json title="paper.json"\n')[1].split("```")[0]
    assert Draft202012Validator(format_schema).is_valid(json.loads(example))
    done = compare(invoke, tmp_path, example, "--method", "layer", "--backend", "numpy")
    assert (0, False) == (done.returncode, "note:" in done.stdout), done.stdout
