"""What PyTorch's variants have in common."""

from __future__ import annotations

import pytest
from driver import compare, wrong
from support import in_one_place

from normcheck.case import Method, Mode, Output
from normcheck.dtype import DType

pytestmark = pytest.mark.usefixtures("kept_workers")
FIXTURES = ["nchw", "ncdhw", "nhwc", "odd", "steps", "tracked"]

PLAIN = set(Output) - {Output.SUM, Output.GRAD_RESIDUAL}  # of what gets no residual


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "backend", in_one_place("backend", ["torch.nn", "torch.channels_last", "torch.decomp"])
)
def test_all_methods_outputs_and_groupings_pass(backend: str, mode: Mode) -> None:
    dtypes = [DType.FLOAT32, DType.FLOAT64]
    fixtures = FIXTURES[:-2] if backend == "torch.channels_last" else FIXTURES  # the last two have 3 axes
    lacks = {Method.RMS} if backend == "torch.decomp" else set()
    methods = [method for method in Method if method not in lacks]
    report = compare(methods, backend=backend, fixtures=fixtures, mode=mode, dtype=dtypes)
    assert [] == wrong(report)
    assert set(methods) == {r.case.method for r in report.results}
    expected = {o for o in PLAIN if mode is Mode.TRAIN or not o.is_state}
    assert expected == {r.output for r in report.results}
