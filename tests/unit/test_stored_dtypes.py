"""A file's arrays keep the dtype and the layout in which they are stored; --dtype says another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file
from support import Completed, refused

from normcheck.case import Case, Layout, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.errors import FixtureError
from normcheck.parameters import Params
from normcheck.plan import Plan, Selection, plan

Run = Callable[..., Completed]
X = np.random.default_rng(1).standard_normal((3, 4, 5))
F64, F32, F16, BF16 = DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16


def stored(folder: Path, **dtypes: Any) -> str:
    """A file of these arrays in these dtypes; x has 4 channels."""
    made = {"x": X, "grad_y": X[::-1], "residual": X + 1, "weight": X[0, :, 0], "bias": X[1, :, 0]}
    made |= {"running_mean": X[2, :, 0], "running_var": 1 + X[2, :, 0] ** 2}
    arrays = {name: np.ascontiguousarray(made[name].astype(numpy_dtype(d))) for name, d in dtypes.items()}
    save_file(arrays, folder / "f.safetensors")
    return str(folder / "f.safetensors")


def planned(path: str, *dtypes: DType, method: Method = Method.BATCH) -> Plan:
    return plan(Selection(methods=[method], fixtures=[path], dtypes=dtypes, modes=[Mode.TRAIN]))


def dtypes_of(path: str, *dtypes: DType) -> dict[str, str]:
    (each,) = planned(path, *dtypes).cases
    return {name: array.dtype.name for name, array in each.fixture.arrays().inputs(each.case).items()}


def test_every_array_keeps_its_dtype(tmp_path: Path) -> None:
    own = {"x": F32, "weight": F64, "bias": F16, "running_mean": BF16, "running_var": F64, "residual": F64}
    assert {**own, "grad_y": F32} == dtypes_of(stored(tmp_path, **own))


def test_what_belongs_to_an_array_has_its_dtype(tmp_path: Path) -> None:
    own = {"x": BF16, "weight": F64, "bias": F32, "running_mean": F32, "residual": F32}
    (each,) = planned(stored(tmp_path, **own)).cases
    expected = {
        **{Output.Y: BF16, Output.GRAD_X: BF16, Output.SUM: F32, Output.GRAD_RESIDUAL: F32},
        **{Output.GRAD_WEIGHT: F64, Output.GRAD_BIAS: F32, Output.RUNNING_MEAN: F32},
        Output.RUNNING_VAR: F64,  # the file has none: as the weight
    }
    assert expected == {output: each.case.dtype_of(output) for output in each.case.outputs}


@pytest.mark.parametrize(
    ("own", "chosen", "expected"),
    [
        ({"x": F32, "weight": F32}, F16, {"x": F16, "weight": F16}),
        ({"x": F32, "weight": F64}, F32, {"x": F32, "weight": F32}),
        ({"x": BF16, "weight": F32}, BF16, {"x": BF16, "weight": F32}),
        ({"x": BF16, "weight": F32}, F16, {"x": F16, "weight": F32}),
        ({"x": BF16, "weight": F32}, F64, {"x": F64, "weight": F64}),
        ({"x": BF16, "weight": F32, "bias": BF16}, BF16, {"x": BF16, "weight": BF16, "bias": BF16}),
        ({"x": "int32", "weight": F32}, F16, {"x": F16, "weight": F16}),
        ({"x": F16, "weight": "uint8"}, F32, {"x": F32, "weight": F32}),
        ({"x": F16, "residual": F32}, F16, {"x": F16, "residual": F16}),
    ],
    ids=str,
)
def test_dtype_says_that_of_all_but_float32_parameters_in_mixed_precision(
    tmp_path: Path, own: dict[str, Any], chosen: DType, expected: dict[str, DType]
) -> None:
    found = dtypes_of(stored(tmp_path, **own), chosen)
    assert expected == {name: found[name] for name in expected}


def test_fixtures_with_names_are_float32(tmp_path: Path) -> None:
    assert {F32} == {each.case.dtype for each in plan(Selection()).cases}


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("", (F32, None)),
        ('"dtype": "bfloat16",', (BF16, None)),
        ('"dtype": "float16", "parameter_dtype": "float32",', (F16, F32)),
        ('"parameter_dtype": "float64",', (F32, F64)),
    ],
)
def test_json_is_float32_unless_it_says_a_dtype(tmp_path: Path, stated: str, expected: object) -> None:
    (tmp_path / "f.json").write_text(f'{{{stated} "x": [[1, 2], [4, 8]], "weight": [1, 2]}}')
    (each,) = planned(str(tmp_path / "f.json")).cases
    assert expected == (each.case.dtype, each.case.parameter_dtype)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
@pytest.mark.parametrize("name", ["x", "weight", "grad_y"])
def test_integers_are_refused_unless_it_is_said_in_what_to_compute(
    tmp_path: Path, name: str, dtype: str
) -> None:
    path = stored(tmp_path, **{"x": F32, name: dtype})
    with pytest.raises(FixtureError, match=rf"{name} holds {dtype}; valid: float64.*--dtype float32"):
        planned(path)
    assert F32 == dtypes_of(path, F32)[name]


def test_expected_values_are_rounded_as_they_are_stored(invoke: Run, tmp_path: Path) -> None:
    """bfloat16 values are no float32 ones: they are right if they are the right ones rounded."""
    y = (X - X.mean((1, 2), keepdims=True)) / np.sqrt(X.var((1, 2), keepdims=True) + 1e-5)
    for values, code in ((y, 0), (y * 1.01, 1)):
        arrays = {"x": X.astype("f"), "expected.y": values.astype(ml_dtypes.bfloat16)}
        save_file(arrays, tmp_path / "f.safetensors")
        options = ["--method", "layer", "--no-gradients", "--backend", "numpy"]
        assert code == invoke("compare", "--fixture", "f.safetensors", *options).returncode


def test_a_mixture_that_no_library_takes_is_unsupported_and_said(
    invoke: Run, tmp_path: Path, requires: Callable[[str], None]
) -> None:
    requires("torch")
    stored(tmp_path, x=F32, weight=F64, grad_y=F64)
    options = ["--fixture", "f.safetensors", "--method", "batch"]
    done = invoke("compare", *options, "--backend", "numpy", "--backend", "torch")
    assert 4 == done.returncode
    for words in (
        "x is float32, weight float64",
        "weight in float64; --dtype float32",
        "grad_y is stored in",
    ):
        assert words in done.stdout
    assert 0 == invoke("compare", *options, "--backend", "torch", "--dtype", "float32").returncode


@pytest.mark.parametrize("framework", ["numpy", "jax"])
def test_other_mixtures_are_computed_as_they_are(
    invoke: Run, tmp_path: Path, requires: Callable[[str], None], framework: str
) -> None:
    requires(framework)
    stored(tmp_path, x=F32, weight=F64, bias=F16, running_mean=F64, running_var=F32)
    options = ["--fixture", "f.safetensors", "--method", "batch", "--backend", framework]
    done = invoke("compare", *options)
    assert 0 == done.returncode, done.stdout


def test_the_line_that_reproduces_says_the_dtype_where_it_was_said(
    invoke: Run, tmp_path: Path, parsed: Any
) -> None:
    np.savez(tmp_path / "f.npz", **{"x": X, "expected.y": X})
    options = ["--fixture", "f.npz", "--method", "layer", "--no-gradients", "--backend", "numpy"]
    assert "f.npz --normalized-ndim 2 --no-gradients" in invoke("compare", *options).stdout
    said = invoke("compare", *options, "--dtype", "float32").stdout
    assert "f.npz --dtype float32 --normalized-ndim 2 --no-gradients" in said
    report = parsed(invoke("compare", *options, "--format", "json").stdout)
    assert ["f.npz"] == report["as_stored"]


# --- layouts -----------------------------------------------------------------------------------------------


def by_columns(folder: Path) -> str:
    weight, x = X[0, :4, :5].astype("f"), X.astype("f")
    np.savez(
        folder / "f.npz", x=np.asfortranarray(x), weight=np.asfortranarray(weight), bias=weight, residual=x
    )
    return str(folder / "f.npz")


def test_the_layout_of_each_array_is_kept(tmp_path: Path) -> None:
    (each,) = planned(by_columns(tmp_path), method=Method.LAYER).cases
    assert (Layout.FORTRAN, {"weight": Layout.FORTRAN}) == (each.case.layout, each.case.layouts)
    np.save(tmp_path / "x.npy", np.asfortranarray(X[:, :, 0]))
    (each,) = planned(str(tmp_path / "x.npy")).cases
    assert Layout.FORTRAN is each.case.layout
    np.save(tmp_path / "x.npy", np.asfortranarray(X[:, :1, 0]))  # the same bytes either way
    (each,) = planned(str(tmp_path / "x.npy")).cases
    assert Layout.CONTIGUOUS is each.case.layout


@pytest.mark.parametrize(("name", "code"), [("strided", 0), ("dense", 1)])
def test_an_array_by_columns_reaches_the_backend_as_one(
    invoke: Run, tmp_path: Path, requires: Callable[[str], None], name: str, code: int
) -> None:
    """What reads the memory of x in order is wrong."""
    requires("torch")
    (tmp_path / "f.py").write_text(
        "import torch\n"
        "def strided(x, weight, bias, eps, residual=None):\n"
        "    return torch.nn.functional.layer_norm(x, x.shape[1:], weight, bias, eps)\n"
        "def dense(x, weight, bias, eps):\n"
        "    x = torch.as_strided(x, x.shape, torch.empty(x.shape).stride())\n"
        "    return strided(x, weight, bias, eps)\n"
    )
    np.savez(tmp_path / "f.npz", x=np.asfortranarray(X.astype("f")))
    backend = ["--no-gradients", "--backend", f"mine=torch:f.py:{name}"]
    assert code == invoke("compare", "--fixture", "f.npz", "--method", "layer", *backend).returncode


def test_the_dtype_of_a_sum_holds_both() -> None:
    case = Case(
        method=Method.LAYER, params=Params(), fixture="f", shape=(2, 3), dtype=F16, dtypes={"residual": BF16}
    )
    assert F32 is case.dtype_of(Output.SUM)


def test_bfloat16_in_a_file_of_numpy_is_told_where_to_go(invoke: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(ml_dtypes.bfloat16))
    line = refused(invoke("compare", "--fixture", "x.npy", "--method", "layer", "--backend", "numpy"), 3)
    assert "write .safetensors" in line
