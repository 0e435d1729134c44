"""What runs where no backend is named, over the whole core: every case passes, and the documents' numbers are met."""

from __future__ import annotations

from pathlib import Path

import pytest
from driver import compare
from support import in_one_place, require_backend

import normcheck
from normcheck import fixtures
from normcheck.backends import DEFAULT
from normcheck.case import Method, Mode, Output
from normcheck.dtype import DType
from normcheck.report import EXPECTED, Report
from normcheck.verdict import Verdict

pytestmark = pytest.mark.usefixtures("kept_workers")
DTYPES = ("float32", "float64")


@pytest.fixture(scope="module", params=in_one_place("backend", DEFAULT))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require_backend(name)
    return name


@pytest.fixture(scope="module")
def report(backend: str) -> Report:
    """All core fixtures, all methods, both dtypes, in one run."""
    return compare(backend=backend, dtype=DTYPES)


def test_every_case_of_the_core_passes(report: Report) -> None:
    elsewhere = report.decided_elsewhere()
    wrong = [
        (r.case.id, r.output, r.verdict, r.reason)
        for r in report.results
        if r.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED) and r not in elsewhere
    ]
    assert [] == wrong
    # 35 elements a channel at an offset of 10⁴ say too little of the sums over them
    assert {("offset-1e4", Output.GRAD_WEIGHT)} >= {(r.case.fixture, r.output) for r in elsewhere}
    assert (normcheck.ExitCode.OK, ()) == (report.exit_code, report.uncovered())


def test_the_core_is_all_methods_dtypes_and_fixtures(report: Report, backend: str) -> None:
    found = {
        (r.case.method, r.case.dtype)
        for r in report.results
        if r.backend == backend and r.verdict is Verdict.PASS
    }
    assert {(method, DType(dtype)) for method in Method for dtype in DTYPES} == found
    core = {fixture.name for fixture in fixtures.select(["core"])}
    assert core == {
        r.case.fixture for r in report.results if r.backend == backend and r.verdict is Verdict.PASS
    }


def test_unsupported_are_only_statistic_sets_of_one_element_and_a_fault_of_torch(
    report: Report, backend: str
) -> None:
    """See docs/findings/torch-group-norm-bias-alone.py for the fault."""
    lacks = [r for r in report.results if r.verdict is Verdict.UNSUPPORTED]
    faults = [r for r in lacks if "F.group_norm with a bias and no weight" in (r.reason or "")]
    for r in lacks:
        if r not in faults:
            assert r.case.method in {Method.BATCH, Method.INSTANCE}
            assert r.reason
    assert {(r.case.method, r.case.without) for r in faults} <= {(Method.GROUP, ("weight",))}
    gradients = {Output.GRAD_X, Output.GRAD_BIAS} if backend == "torch" else set()
    assert gradients == {r.output for r in faults}


def test_the_documents_values_agree_with_the_oracle(report: Report) -> None:
    stated = [r for r in report.results if r.backend == EXPECTED]
    expected = {(m, DType(d)) for m in (Method.BATCH, Method.LAYER) for d in DTYPES}
    assert expected == {(r.case.method, r.case.dtype) for r in stated}
    assert {Verdict.PASS} == {r.verdict for r in stated}


@pytest.mark.parametrize(("dtype", "decimals"), [("float64", 8), ("float32", 4)])
@pytest.mark.parametrize("method", ["batch", "layer"])
def test_the_documents_printed_numbers_are_met(
    report: Report, backend: str, method: str, dtype: str, decimals: int
) -> None:
    """NumPy's to 8 decimals, PyTorch's to 4: within half a unit of the last one, on every backend."""
    (pair,) = [
        pair
        for pair in report.pairs
        if pair.case == f"{method}/documents/{dtype}"
        and pair.backends == (EXPECTED, backend)
        and pair.output is Output.Y
    ]
    assert pair.max_abs_diff is not None
    rounding = {"float64": 1e-14, "float32": 1e-6}[dtype]  # of the backend's own values, of size 1.6
    assert pair.max_abs_diff <= 0.5 * 10.0**-decimals + rounding


def test_eval_mode_of_batch_norm_passes(backend: str) -> None:
    report = compare("batch", backend=backend, mode="eval", dtype=DTYPES)
    assert {Verdict.PASS} == {r.verdict for r in report.results if r.backend != EXPECTED}
    assert {Mode.EVAL} == {case.mode for case in report.cases}


FORGETS_BIAS = """
from normcheck.backends.numpy import NumPy

def layer(x, weight, bias, **params):
    return NumPy({}).METHODS["layer"](x, weight, None, **params)
"""


def test_the_suite_itself_can_fail(tmp_path: Path) -> None:
    """The same run with a backend that ignores bias is no pass."""
    (tmp_path / "norm.py").write_text(FORGETS_BIAS)
    report = compare("layer", backend=f"bad=numpy:{tmp_path}/norm.py:layer")
    found = [r for r in report.results if r.backend == "bad" and r.output is Output.Y]
    without = {"documents"} | {r.case.fixture for r in found if "bias" in r.case.without}
    assert {Verdict.FAIL} == {r.verdict for r in found if r.case.fixture not in without}
    assert {Verdict.PASS} == {r.verdict for r in found if r.case.fixture in without}  # nothing to forget
