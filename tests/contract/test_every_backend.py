"""One suite over every backend of the registry; what is particular to one has a file named after it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from driver import compare, verdicts, wrong
from support import CHECKOUT, in_one_place, require_backend

import normcheck
from normcheck.backend import BackendStatus
from normcheck.backends import BUILTIN, DEFAULT, missing
from normcheck.case import Method, Mode, Output
from normcheck.report import EXPECTED, Report
from normcheck.reports.listing import matrix_row, why_not
from normcheck.run.probe import probe_backends
from normcheck.verdict import Verdict

pytestmark = pytest.mark.usefixtures("kept_workers")
SMALL = (
    "nc",
    "nchw",
    "nhwc",
    "odd",
    "documents",
    "steps",
    "tracked",
)  # no offsets, which a library may not stand
FEW = ("nchw", "documents")  # where a case takes seconds
UNSUPPORTED = Verdict.UNSUPPORTED
GRADIENTS = {Output.GRAD_X, Output.GRAD_WEIGHT, Output.GRAD_BIAS}
STATE = {Output.RUNNING_MEAN, Output.RUNNING_VAR}
NO_DEVICE = "tensor does not have a device"  # PyTorch's fault, going back from group norm
ALONE = {
    ("torch", "bias"),
    ("torch.channels_last", "bias"),
}  # where it shows: one parameter without the other
IMPORTED = {"torch", "jax", "flax", "equinox", "haiku"}  # into the tests' process, by other tests too
BOTH = "the modules of torch.nn have both weight and bias, or neither"


@pytest.fixture(scope="module", params=in_one_place("backend", BUILTIN))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    require_backend(name)
    return name


def scope(backend: str) -> tuple[str, ...]:
    return FEW if BUILTIN[backend].by_hand else SMALL


@pytest.fixture(scope="module")
def report(backend: str) -> Report:
    return compare(backend=backend, fixtures=scope(backend), timeout=200)


@pytest.fixture(scope="module")
def status(backend: str) -> BackendStatus:
    (found,) = probe_backends([backend])
    return found


def test_it_is_what_the_page_says_or_says_why_not(backend: str, status: BackendStatus) -> None:
    """The page is docs/backends.md."""
    assert bool(status.environment) is (status.reason is None)
    if status.reason is not None:
        return
    text = (CHECKOUT / "docs" / "backends.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith(f"| `{backend}` |"))
    written = [cell.strip() for cell in re.findall(r"[^|]+", row)]
    _, version, *cells = matrix_row(status)
    assert [*cells, why_not(status)] == [*written[2:], *([""] * (9 - len(written)))], version


def test_every_case_passes_or_is_not_offered(report: Report) -> None:
    assert [] == wrong(report, UNSUPPORTED)


def test_nothing_is_compared_in_vain(report: Report) -> None:
    for r in report.results:
        if r.verdict is Verdict.PASS:
            assert r.total is not None
            assert r.allowed is not None
            assert r.backward_error is not None
            assert (0, True) == (r.mismatched, r.total > 0), r.case.id
            assert 0 <= r.backward_error <= r.allowed, r.case.id


def test_it_computes_what_it_says_that_it_offers(backend: str, report: Report, status: BackendStatus) -> None:
    """Methods, gradients and running statistics, as `normcheck backends` and docs/backends.md list them."""
    for method, offers in status.offers.items():
        rows = [r for r in report.results if r.case.method == method and r.backend != EXPECTED]
        plain = [r for r in rows if not r.case.params.track_running_stats]
        outputs = {r.output for r in plain if r.verdict.compared}
        assert ("float32" in offers["dtypes"]) is (Output.Y in outputs)
        gradients = {o for r in plain for o in r.case.outputs if o.is_gradient}
        assert ("float32" in offers["dtypes"] and offers["gradients"]) is (gradients <= outputs)
        if method == "batch":
            assert offers["state"] is (outputs >= STATE)
        tracked = {r.verdict for r in rows if r.case.params.track_running_stats}
        if method == "instance" and tracked and backend != "torch.channels_last":  # x has too few axes for it
            assert offers["state"] is (UNSUPPORTED not in tracked)


def test_it_says_what_it_is(report: Report, backend: str) -> None:
    facts = report.environment.backends[backend]
    assert {"version", "device", "threads"} <= set(facts)
    assert facts["version"]


def test_the_documents_printed_numbers_are_met(report: Report, backend: str) -> None:
    """PyTorch's to 4 decimals: within half a unit of the last one."""
    pairs = [
        p for p in report.pairs if p.backends == (EXPECTED, backend) and p.case.endswith("/documents/float32")
    ]
    assert {"batch/documents/float32", "layer/documents/float32"} == {pair.case for pair in pairs}
    for pair in pairs:
        assert pair.max_abs_diff is not None
        assert pair.max_abs_diff <= 0.5e-4 + 1e-6  # and the rounding of values of size 1.6


def test_eval_mode_of_batch_norm_passes(backend: str) -> None:
    report = compare("batch", backend=backend, fixtures=scope(backend), mode="eval", timeout=200)
    assert [] == wrong(report, UNSUPPORTED)
    assert Verdict.PASS in verdicts(report)["batch"]
    assert {Mode.EVAL} == {case.mode for case in report.cases}


@pytest.mark.parametrize("fixture", ["nchw", "nhwc"])
def test_groups_that_no_library_has_are_put_together(backend: str, fixture: str) -> None:
    groups = [[0, 2, 4], [1, 3], [5, 6, 7] if fixture == "nchw" else [5]]
    report = compare("group", backend=backend, fixtures=[fixture], groups=groups, timeout=200)
    assert [] == wrong(report)


@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_a_weight_counts_without_a_bias_and_the_reverse(backend: str, parameter: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "one.npz"
    np.savez(path, **{"x": rng.standard_normal((3, 4, 5, 2)), parameter: rng.standard_normal(4)})
    methods = ["group"] if BUILTIN[backend].by_hand else ["batch", "instance", "group"]
    report = compare(methods, backend=backend, fixtures=[path], num_groups=2, dtype="float32", timeout=200)
    assert [] == wrong(report, UNSUPPORTED)
    if backend == "torch.nn":
        assert {BOTH} == {r.reason for r in report.results}
        return
    assert {Verdict.PASS} == verdicts(report)["group"]
    faults = [r for r in report.results if NO_DEVICE in (r.reason or "")]
    raised = (
        {("group", Output.GRAD_X), ("group", Output.GRAD_BIAS)} if (backend, parameter) in ALONE else set()
    )
    assert raised == {(r.case.method, r.output) for r in faults}


def test_a_device_that_is_not_there_is_unavailable(backend: str, request: pytest.FixtureRequest) -> None:
    """Which an adapter says as it starts; a worker only hands it on."""
    if backend.partition(".")[0] in IMPORTED:
        request.getfixturevalue("in_this_process")
    report = normcheck.compare("layer", backends=[backend], fixtures=["nc"], device="abacus")
    assert {Verdict.UNAVAILABLE} == {r.verdict for r in report.results if r.backend == backend}
    assert any("abacus" in (r.reason or "") or "clang" in (r.reason or "") for r in report.results)


@pytest.mark.parametrize("name", in_one_place("backend", DEFAULT))
def test_two_runs_are_the_same_to_the_last_bit(name: str) -> None:
    runs = [compare("group", fixtures=["odd", "image"], backend=name) for _ in range(2)]
    first, second = (
        [(r.case.id, r.output, r.max_abs_diff, r.backward_error) for r in run.results] for run in runs
    )
    assert first == second


def test_what_is_missing_is_not_usable_and_says_so() -> None:
    names = [name for name in BUILTIN if missing(name) is not None]
    found = {each.name: each for each in probe_backends(names)} if names else {}
    assert names == list(found)
    for name, status in found.items():
        assert ({}, missing(name)) == (status.environment, status.reason)


def test_every_method_has_a_backend_that_computes_it() -> None:
    report = normcheck.compare(backends=["numpy"], fixtures=["nchw"])
    assert {method.value for method in Method} == set(verdicts(report))
