"""What is particular to PyTorch's variants: modules, the compiler, channels-last memory, decompositions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import normcheck
from normcheck.case import Method, Mode, Output
from normcheck.dtype import DType
from normcheck.report import Report
from normcheck.verdict import Verdict

Requires = Callable[[str], None]
FIXTURES = ["nchw", "ncdhw", "nhwc", "odd", "steps", "tracked"]


@pytest.fixture(autouse=True)
def torch_is_there(requires: Requires) -> None:
    requires("torch")


def wrong(report: Report) -> list[object]:
    return [
        (r.case.id, r.output, r.verdict, r.reason) for r in report.results if r.verdict is not Verdict.PASS
    ]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("backend", ["torch.nn", "torch.channels_last", "torch.decomp"])
def test_all_methods_outputs_and_groupings_pass(backend: str, mode: Mode) -> None:
    dtypes = [DType.FLOAT32, DType.FLOAT64]
    fixtures = FIXTURES[:-2] if backend == "torch.channels_last" else FIXTURES  # the last two have 3 axes
    report = normcheck.compare(backends=[backend], fixtures=fixtures, mode=mode, dtype=dtypes)
    assert [] == wrong(report)
    assert set(Method) == {r.case.method for r in report.results}
    expected = {o for o in Output if mode is Mode.TRAIN or not o.is_state}
    assert expected == {r.output for r in report.results}


def test_the_compiler_compiles_forward_and_backward() -> None:
    report = normcheck.compare(["group", "batch"], backends=["torch.compile"], fixtures=["nchw"], timeout=200)
    assert [] == wrong(report)
    assert {Output.GRAD_X, Output.RUNNING_VAR} < {r.output for r in report.results}
    assert "inductor" == report.environment.backends["torch.compile"]["compiler"]


def test_what_cannot_be_compiled_as_a_whole_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text(
        "import torch\n"
        "def layer(x, weight, bias, *, eps):\n"
        "    print(x.sum().item())\n"
        "    return torch.nn.functional.layer_norm(x, x.shape[1:], weight, bias, eps)\n"
    )
    target = f"mine=torch.compile:{tmp_path}/norm.py:layer"
    report = normcheck.compare("layer", backends=[target], fixtures=["nc"], timeout=200)
    assert {Verdict.ERROR} == {r.verdict for r in report.results}


def test_channels_last_memory_is_what_the_kernel_gets() -> None:
    """Its group norm has one pass there, which shows at an offset; in contiguous memory it has two."""
    report = normcheck.compare(
        "group", backends=["torch", "torch.channels_last"], fixtures=["offset-1e2"], gradients=False
    )
    found = {r.backend: r.verdict for r in report.results}
    assert {"torch": Verdict.PASS, "torch.channels_last": Verdict.FAIL} == found


def test_channels_last_is_for_images_and_volumes() -> None:
    report = normcheck.compare("group", backends=["torch.channels_last"], fixtures=["ncl"])
    assert {(Verdict.UNSUPPORTED, "channels_last is a memory format of 4 or 5 axes, x has 3")} == {
        (r.verdict, r.reason) for r in report.results
    }


def test_what_has_no_decomposition_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "norm.py").write_text("def zeros(x, weight, bias, *, eps): return x * 0\n")
    target = f"mine=torch.decomp:{tmp_path}/norm.py:zeros"
    report = normcheck.compare("layer", backends=[target], fixtures=["nc"], gradients=False)
    assert {(Verdict.ERROR, "RuntimeError: no operator of it has a decomposition")} == {
        (r.verdict, r.reason) for r in report.results
    }


def test_modules_hold_the_users_own_layers_too(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(
        "import torch\nright = torch.nn.GroupNorm(4, 8)\nwrong = torch.nn.GroupNorm(2, 8)\n"
    )
    for name, verdict in (("right", Verdict.PASS), ("wrong", Verdict.FAIL)):
        target = f"mine=torch.nn:{tmp_path}/layers.py:{name}"
        report = normcheck.compare("group", backends=[target], fixtures=["nchw"], gradients=False)
        assert {verdict} == {r.verdict for r in report.results}
