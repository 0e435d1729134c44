"""What comes with normcheck loads and verifies; what does not say what it is, or is not what it says, is refused."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from normcheck import fixtures
from normcheck.case import Case, Method, Output
from normcheck.conventions.catalogue import PYTORCH, parse
from normcheck.dtype import DType
from normcheck.errors import ExitCode, FixtureError, UnknownNameError
from normcheck.fixtures import Fixture
from normcheck.methods import definition
from normcheck.parameters import Params
from normcheck.plan import Selection, plan

X = np.arange(6.0).reshape(2, 3)
BUILT_IN = sorted(path.stem for path in fixtures.directory().glob("*.json"))


def load(path: Path | str) -> Fixture:
    """The fixture in a file, its arrays included."""
    (fixture,) = fixtures.select([str(path)])
    fixture.arrays()
    return fixture


def write_json(path: Path, **data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


# --- what comes with normcheck ---------------------------------------------------------------------------


def test_every_built_in_is_sealed_verifies_and_says_what_it_is_for() -> None:
    for name in BUILT_IN:
        stated = json.loads((fixtures.directory() / f"{name}.json").read_text())
        fixture = load(name)
        assert 64 == len(stated["sha256"]), name
        assert fixture.shape == fixture.arrays().x.shape, name
        assert all([fixture.description, fixture.tags]), name


def test_every_built_in_is_bound_to_its_fingerprint(tmp_path: Path) -> None:
    for name in BUILT_IN:
        stated = json.loads((fixtures.directory() / f"{name}.json").read_text())
        wrong = write_json(tmp_path / f"{name}.json", **{**stated, "sha256": "0" * 64})
        with pytest.raises(FixtureError, match=f"{name}.json.*not what its SHA-256 says"):
            load(wrong)


def test_the_documents_tensor_is_one_to_twenty_four() -> None:
    x = load("documents").arrays().x
    np.testing.assert_array_equal(np.arange(1.0, 25).reshape(2, 3, 2, 2), x)


def test_the_documents_printed_values_are_those_of_the_document() -> None:
    """Two tensors of NumPy with 8 decimals, two of PyTorch with 4."""
    stated = load("documents").arrays().expected
    found = {(e.method, e.dtype, e.decimals, float(e.values[0, 0, 0, 0])) for e in stated}
    expected = {
        (Method.BATCH, DType.FLOAT64, 8, -1.22884772),
        (Method.LAYER, DType.FLOAT64, 8, -1.59325435),
        (Method.BATCH, DType.FLOAT32, 4, -1.2288),
        (Method.LAYER, DType.FLOAT32, 4, -1.5933),
    }
    assert expected == found
    assert {(2, 3, 2, 2)} == {e.values.shape for e in stated}


def test_core_has_random_parameters_for_every_method() -> None:
    """weight 1 and bias 0 cannot see parameters that are ignored."""
    core = [fixture for fixture in fixtures.select(["core"]) if fixture.name != "documents"]
    assert core
    for fixture in core:
        weight, bias = (fixture.arrays().parameters[name] for name in ("weight", "bias"))
        assert len(np.unique(weight)) > 2 < len(np.unique(bias)), fixture.name
    for method in Method:
        assert not all(fixture.excludes(definition(method), method) for fixture in core), method


def test_documents_come_first_and_names_tags_and_all_select_without_repeating() -> None:
    core = [fixture.name for fixture in fixtures.select(["core"])]
    assert "documents" == core[0] == next(iter(fixtures.catalogue()))
    assert ["nc", *[name for name in core if name != "nc"]] == [
        f.name for f in fixtures.select(["nc", "core", "nc"])
    ]
    assert set(BUILT_IN) == {fixture.name for fixture in fixtures.select(["all"])}


def test_an_unknown_name_is_told_the_nearest_one() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown fixture 'document'. Did you mean 'documents'"
    ) as caught:
        fixtures.select(["document"])
    assert ExitCode.USAGE == caught.value.exit_code


# --- tampering ---------------------------------------------------------------------------------------------


@pytest.fixture
def documents(tmp_path: Path) -> Callable[..., Path]:
    """Write a copy of documents.json after a change to its data."""

    def written(change: Callable[[dict[str, Any]], object]) -> Path:
        data = json.loads((fixtures.directory() / "documents.json").read_text())
        change(data)
        return write_json(tmp_path / "copy.json", **data)

    return written


def test_an_unchanged_copy_is_accepted(documents: Callable[..., Path]) -> None:
    assert (2, 3, 2, 2) == load(documents(lambda data: None)).shape


@pytest.mark.parametrize(
    "value", [1.0000000000000002, 2.0, -1.0, "nan"], ids=["an ulp", "one more", "a sign", "NaN"]
)
def test_a_changed_x_is_refused(documents: Callable[..., Path], value: float | str) -> None:
    def tamper(data: dict[str, Any]) -> None:
        data["x"][0][0][0][0] = value

    with pytest.raises(FixtureError, match="not what its SHA-256 says"):
        load(documents(tamper))


def test_added_parameters_are_refused(documents: Callable[..., Path]) -> None:
    with pytest.raises(FixtureError, match="not what its SHA-256 says"):
        load(documents(lambda data: data.update(weight=[1.0, 1.0, 1.0])))


@pytest.mark.parametrize(
    "change", [{"seed": 13}, {"offset": 1}, {"fraction_bits": 20}, {"recipe": "pixels"}], ids=str
)
def test_a_changed_recipe_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    data = json.loads((fixtures.directory() / "nc.json").read_text())
    data["x"] |= change
    with pytest.raises(FixtureError, match="not what its SHA-256 says"):
        load(write_json(tmp_path / "f.json", **data))


def test_a_changed_shape_is_refused(tmp_path: Path) -> None:
    data = json.loads((fixtures.directory() / "nc.json").read_text())
    with pytest.raises(FixtureError, match="not what its SHA-256 says"):
        load(write_json(tmp_path / "f.json", **{**data, "shape": [12, 16]}))


# --- one's own files ---------------------------------------------------------------------------------------


def save_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def save_safetensors(path: Path, **arrays: Any) -> Path:
    save_file(arrays, path)
    return path


def save_as_json(path: Path, **arrays: Any) -> Path:
    return write_json(path, **{name: array.tolist() for name, array in arrays.items()})


SAVERS = {".npz": save_npz, ".safetensors": save_safetensors, ".json": save_as_json}


@pytest.mark.parametrize("suffix", SAVERS)
def test_arrays_come_back_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    arrays = {
        "x": X,
        "weight": np.array([1.0, 2.0, 3.0]),
        "bias": np.array([4.0, 5.0, 6.0]),
        "grad_y": X[::-1].copy(),
        "expected.y": X + 1,
    }
    found = load(SAVERS[suffix](tmp_path / f"mine{suffix}", **arrays))
    np.testing.assert_array_equal(X, found.arrays().x)
    for name in ("weight", "bias", "grad_y"):
        np.testing.assert_array_equal(arrays[name], found.arrays().parameters[name])
    (stated,) = found.arrays().expected
    assert (Output.Y, None) == (stated.output, stated.decimals)
    np.testing.assert_array_equal(X + 1, stated.values)
    assert (f"mine{suffix}", (2, 3)) == (found.name, found.shape)


def test_a_lone_npy_is_x(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(X, load(tmp_path / "x.npy").arrays().x)


@pytest.mark.parametrize("dtype", [">f8", "<f4", "float16", "int64", "uint8", "bool", "longdouble"])
def test_any_real_dtype_in_any_byte_order_becomes_the_dtype_of_the_case(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "x.npy", (X > 2 if dtype == "bool" else X).astype(dtype))
    arrays = load(tmp_path / "x.npy").arrays()
    case = Case(method=Method.BATCH, params=Params(), fixture="x", shape=(2, 3, 4), dtype=DType.FLOAT32)
    x = arrays.inputs(case)["x"]
    assert np.dtype("=f4") == x.dtype
    np.testing.assert_array_equal(X > 2 if dtype == "bool" else X, x)


def test_bfloat16_safetensors_are_read(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "x.safetensors", x=X.astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(X, load(path).arrays().x.astype(np.float64))


def test_values_that_overflow_the_dtype_of_the_case_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X * 1e300)
    arrays = load(tmp_path / "x.npy").arrays()
    case = Case(method=Method.BATCH, params=Params(), fixture="x", shape=(2, 3, 4), dtype=DType.FLOAT32)
    with pytest.raises(FixtureError, match="x has values that overflow float32"):
        arrays.inputs(case)


def test_a_weight_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    arrays = load(save_npz(tmp_path / "f.npz", x=X, weight=np.ones(2))).arrays()
    case = Case(method=Method.BATCH, params=Params(), fixture="f", shape=(2, 3, 4), dtype=DType.FLOAT32)
    with pytest.raises(FixtureError, match=r"weight has shape \(2,\); batch norm of x \(2, 3\) needs \(3,\)"):
        arrays.inputs(case)


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", X)
        paths.append(str(tmp_path / folder / "x.npy"))
    assert paths == [fixture.name for fixture in fixtures.select(paths)]


# --- hostile files -----------------------------------------------------------------------------------------


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def trapped(folder: Path) -> np.ndarray:
    return np.array([[Trap(folder / "sprung"), 1.0]], dtype=object)


def object_npy(folder: Path) -> Path:
    np.save(folder / "f.npy", trapped(folder), allow_pickle=True)
    return folder / "f.npy"


def object_npz(folder: Path) -> Path:
    np.savez(folder / "f.npz", x=trapped(folder))
    return folder / "f.npz"


def bare_pickle(folder: Path, suffix: str) -> Path:
    (folder / f"f{suffix}").write_bytes(pickle.dumps(Trap(folder / "sprung")))
    return folder / f"f{suffix}"


def pickle_in_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "f.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Trap(folder / "sprung")))
    return folder / "f.npz"


def truncated(folder: Path, suffix: str) -> Path:
    if suffix == ".npy":
        np.save(folder / "whole.npy", X)
    else:
        SAVERS[suffix](folder / f"whole{suffix}", x=X)
    content = (folder / f"whole{suffix}").read_bytes()
    (folder / f"f{suffix}").write_bytes(content[: len(content) * 2 // 3])
    return folder / f"f{suffix}"


def corrupted_npz(folder: Path) -> Path:
    """One bit of the data flipped: the archive's checksum tells."""
    content = bytearray(save_npz(folder / "whole.npz", x=X).read_bytes())
    at = content.index(X.tobytes())
    content[at + 6] ^= 1
    (folder / "f.npz").write_bytes(content)
    return folder / "f.npz"


def zip_bomb(folder: Path) -> Path:
    """A header that claims 4 GiB of zeros, which deflate to next to nothing."""
    path = save_npz(folder / "f.npz", x=X)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    return path


def huge_npy_header(folder: Path) -> Path:
    np.save(folder / "f.npy", X)
    content = (folder / "f.npy").read_bytes()
    (folder / "f.npy").write_bytes(content.replace(b"(2, 3), }          ", b"(2, 300000000000), "))
    return folder / "f.npy"


def npy_of(folder: Path, array: Any) -> Path:
    np.save(folder / "f.npy", array)
    return folder / "f.npy"


def text(folder: Path, content: str, suffix: str = ".json") -> Path:
    (folder / f"f{suffix}").write_text(content)
    return folder / f"f{suffix}"


def json_of(folder: Path, **data: Any) -> Path:
    return write_json(folder / "f.json", **data)


def expecting(folder: Path, *entries: Any) -> Path:
    return json_of(folder, x=X.tolist(), expected=list(entries))


def meant_for(folder: Path, method: str, params: Any) -> Path:
    return json_of(folder, x=X.tolist(), methods={method: [params]})


RECIPE = {"recipe": "bell", "seed": 1}

HOSTILE: dict[str, Callable[[Path], Path]] = {
    "truncated npy": lambda folder: truncated(folder, ".npy"),
    "truncated npz": lambda folder: truncated(folder, ".npz"),
    "truncated safetensors": lambda folder: truncated(folder, ".safetensors"),
    "truncated json": lambda folder: truncated(folder, ".json"),
    "one bit of an npz flipped": corrupted_npz,
    "object dtype in npy": object_npy,
    "object dtype in npz": object_npz,
    "bare pickle as npy": lambda folder: bare_pickle(folder, ".npy"),
    "bare pickle as npz": lambda folder: bare_pickle(folder, ".npz"),
    "bare pickle as safetensors": lambda folder: bare_pickle(folder, ".safetensors"),
    "pickle inside npz": pickle_in_zip,
    "zip bomb": zip_bomb,
    "npy that claims 4.8 TB": huge_npy_header,
    "empty file as npy": lambda folder: text(folder, "", ".npy"),
    "empty file as npz": lambda folder: text(folder, "", ".npz"),
    "empty file as safetensors": lambda folder: text(folder, "", ".safetensors"),
    "empty file as json": lambda folder: text(folder, ""),
    "empty array": lambda folder: npy_of(folder, np.zeros((2, 0, 3))),
    "complex array": lambda folder: npy_of(folder, X.astype(complex)),
    "string array": lambda folder: npy_of(folder, X.astype(str)),
    "bytes array": lambda folder: npy_of(folder, X.astype("S")),
    "date array": lambda folder: npy_of(folder, X.astype("datetime64[s]")),
    "record array": lambda folder: npy_of(folder, np.zeros(3, dtype=[("a", "f4"), ("b", "f8")])),
    "npz named npy": lambda folder: save_npz(folder / "f.npz", x=X).rename(folder / "f.npy"),
    "npz without x": lambda folder: save_npz(folder / "f.npz", weight=np.ones(3)),
    "npz with an unknown array": lambda folder: save_npz(folder / "f.npz", x=X, wieght=np.ones(3)),
    "npz with nothing": lambda folder: save_npz(folder / "f.npz"),
    "safetensors without x": lambda folder: save_safetensors(folder / "f.safetensors", y=X),
    "weight of strings": lambda folder: save_npz(folder / "f.npz", x=X, weight=np.array(["a"])),
    "empty weight": lambda folder: save_npz(folder / "f.npz", x=X, weight=np.zeros(0)),
    "json not UTF-8": lambda folder: truncated(folder, ".npy").rename(folder / "f.json"),
    "json list": lambda folder: text(folder, "[[1, 2], [3, 4]]"),
    "json without x": lambda folder: json_of(folder, weight=[1.0]),
    "json with an unknown key": lambda folder: json_of(folder, x=X.tolist(), wieght=[1.0]),
    "json nested 100,000 deep": lambda folder: text(folder, '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "json nested 500 deep": lambda folder: text(folder, '{"x": ' + "[" * 500 + "1" + "]" * 500 + "}"),
    "ragged json": lambda folder: json_of(folder, x=[[1.0, 2.0], [3.0]]),
    "json of words": lambda folder: json_of(folder, x=[["one", "two"]]),
    "json null": lambda folder: json_of(folder, x=None),
    "json with null in x": lambda folder: json_of(folder, x=[[1.0, None]]),
    "json of objects": lambda folder: json_of(folder, x=[[{}, {}]]),
    "json with an empty x": lambda folder: json_of(folder, x=[[], []]),
    "json with an integer beyond float64": lambda folder: json_of(folder, x=[[10**400, 1]]),
    "recipe without shape": lambda folder: json_of(folder, x=RECIPE),
    "recipe with an unknown name": lambda folder: json_of(folder, x={"recipe": "rm"}, shape=[2, 3]),
    "recipe for an empty shape": lambda folder: json_of(folder, x=RECIPE, shape=[2, 0]),
    "recipe for a shape of nothing": lambda folder: json_of(folder, x=RECIPE, shape=[]),
    "recipe for a negative shape": lambda folder: json_of(folder, x=RECIPE, shape=[-2, -3]),
    "recipe for 10¹² elements": lambda folder: json_of(folder, x=RECIPE, shape=[10**6, 10**6]),
    "recipe with a negative seed": lambda folder: json_of(folder, x={**RECIPE, "seed": -1}, shape=[2, 3]),
    "recipe with too many bits": lambda folder: json_of(
        folder, x={**RECIPE, "fraction_bits": 70}, shape=[2, 3]
    ),
    "recipe for an empty range": lambda folder: json_of(
        folder, x={"recipe": "uniform", "seed": 1, "low": 1, "high": 1}, shape=[2, 3]
    ),
    "weight that is not a recipe": lambda folder: json_of(folder, x=RECIPE, shape=[2, 3], weight=[1, 2, 3]),
    "shape that is a number": lambda folder: json_of(folder, x=RECIPE, shape=6),
    "unknown method": lambda folder: meant_for(folder, "bach", {}),
    "parameters that are a number": lambda folder: meant_for(folder, "group", 5),
    "unknown parameter": lambda folder: meant_for(folder, "group", {"n": 1}),
    "num_groups that is a word": lambda folder: meant_for(folder, "group", {"num_groups": "two"}),
    "eps that is a word": lambda folder: meant_for(folder, "layer", {"eps": "small"}),
    "normalized_ndim that is a word": lambda folder: meant_for(folder, "layer", {"normalized_ndim": "1"}),
    "groups that are flat": lambda folder: meant_for(folder, "group", {"groups": [0, 1, 2]}),
    "groups of words": lambda folder: meant_for(folder, "group", {"groups": [["a"], ["b"]]}),
    "expected with parameters of no method": lambda folder: expecting(
        folder, {"params": {"eps": 1}, "y": X.tolist()}
    ),
    "expected without values": lambda folder: expecting(folder, {"method": "layer"}),
    "expected of an unknown dtype": lambda folder: expecting(
        folder, {"method": "layer", "dtype": "float99", "y": X.tolist()}
    ),
    "expected with a list of parameters": lambda folder: expecting(
        folder, {"method": "layer", "params": [1], "y": X.tolist()}
    ),
    "expected that is a number": lambda folder: json_of(folder, x=X.tolist(), expected=5),
    "sha256 that is a number": lambda folder: json_of(folder, x=X.tolist(), sha256=5),
    "unknown suffix": lambda folder: text(folder, "1 2 3", ".txt"),
    "no such file": lambda folder: folder / "absent.npz",
    "a folder": lambda folder: folder,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_fixture_error_and_runs_nothing(tmp_path: Path, name: str) -> None:
    path = HOSTILE[name](tmp_path)
    with pytest.raises(FixtureError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ExitCode.BAD_INPUT == caught.value.exit_code
    assert not (tmp_path / "sprung").exists()


def test_the_trap_of_the_pickles_works(tmp_path: Path) -> None:
    np.load(object_npy(tmp_path), allow_pickle=True)
    assert (tmp_path / "sprung").exists()


# --- printed numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "decimals"),
    [(["0.1448413", "-1.59325435"], 8), (["-1.2288", "-1.0650"], 4), (["1", "2"], 0), (["1e-3", "0.5"], 3)],
)
def test_values_in_quotes_are_printed_to_as_many_decimals_as_the_longest_has(
    tmp_path: Path, printed: list[str], decimals: int
) -> None:
    """NumPy trims trailing zeros, so that 0.1448413 beside eight decimals has eight."""
    path = json_of(tmp_path, x=[[1.0, 2.0]], **{"expected.y": [printed]})
    (stated,) = load(path).arrays().expected
    assert (decimals, [[float(text) for text in printed]]) == (stated.decimals, stated.values.tolist())


@pytest.mark.parametrize("text", ["variance=unbiased", "eps_placement=outside_sqrt", "bias=ignored"])
def test_printed_values_belong_to_pytorchs_convention_and_a_files_own_to_that_of_the_run(
    tmp_path: Path, text: str
) -> None:
    """What is not compared is said."""
    path = json_of(tmp_path, x=X.tolist(), **{"expected.y": X.tolist()})
    for fixture, applies in (("documents", False), (str(path), True)):
        for convention in (PYTORCH, parse([text])):
            found = plan(Selection(methods=[Method.LAYER], fixtures=[fixture], convention=convention))
            (planned,) = found.cases
            stated = [
                e for e in planned.fixture.arrays().expected if e.applies_to(planned.case, planned.unsaid)
            ]
            compared = applies or convention == PYTORCH
            assert compared == bool(stated)
            assert compared == (not found.notes)
    assert (
        f"not compared under {text}"
        in plan(Selection(methods=[Method.LAYER], fixtures=["documents"], convention=parse([text]))).notes[0]
    )
