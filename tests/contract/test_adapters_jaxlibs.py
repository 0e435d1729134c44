"""What is particular to the layer libraries of JAX: flax.linen, flax.nnx, equinox and haiku."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import normcheck
from normcheck.case import Method, Mode, Output
from normcheck.report import Report
from normcheck.verdict import Verdict

STABLE = (
    "flax.linen[use_fast_variance=False]",
    "flax.nnx[use_fast_variance=False]",
    "equinox[mode=batch]",
    "haiku",
)
SMALL = ("nc", "nchw", "nhwc", "odd", "documents")  # no offsets: what E[x²]-E[x]² gets right too


@pytest.fixture(scope="module", params=STABLE)
def backend(request: pytest.FixtureRequest, requires: Callable[[str], None]) -> str:
    name: str = request.param
    requires(name.partition("[")[0])
    return name


def wrong(report: Report) -> list[tuple[str, Output, Verdict, str | None]]:
    """What is neither a pass nor refused beforehand."""
    return [
        (r.case.id, r.output, r.verdict, r.reason)
        for r in report.results
        if r.verdict not in (Verdict.PASS, Verdict.UNSUPPORTED)
    ]


@pytest.mark.parametrize("mode", Mode)
def test_their_layers_agree_with_the_oracle(backend: str, mode: Mode) -> None:
    report = normcheck.compare(backends=[backend], fixtures=SMALL, mode=mode, dtype=("float32", "float64"))
    assert [] == wrong(report)
    passed = {r.case.method for r in report.results if r.backend == backend and r.verdict is Verdict.PASS}
    assert set(Method) - passed == ({Method.INSTANCE} if backend.startswith("equinox") else set())


def test_gradients_and_running_statistics_are_theirs(backend: str) -> None:
    report = normcheck.compare("batch", backends=[backend], fixtures=("nchw", "steps"))
    assert [] == wrong(report)
    assert set(Output) == {r.output for r in report.results if r.backend == backend}


@pytest.mark.parametrize("fixture", ["nchw", "nhwc"])
def test_groups_that_no_library_has_are_called_one_by_one(backend: str, fixture: str) -> None:
    groups = [[0, 2, 4], [1, 3], [5, 6, 7] if fixture == "nchw" else [5]]
    assert [] == wrong(normcheck.compare("group", backends=[backend], fixtures=[fixture], groups=groups))


@pytest.mark.parametrize("library", ["flax.linen", "flax.nnx"])
def test_the_fast_variance_of_flax_is_its_default_and_an_option(
    requires: Callable[[str], None], library: str
) -> None:
    requires(library)
    names = [library, f"{library}[use_fast_variance=True]", f"{library}[use_fast_variance=False]"]
    report = normcheck.compare("group", backends=names, fixtures=["offset-1e4"])
    found = {r.backend: r for r in report.results if r.output is Output.Y}
    assert [Verdict.FAIL, Verdict.FAIL, Verdict.PASS] == [found[name].verdict for name in names]
    assert found[names[0]].backward_error == found[names[1]].backward_error
    assert [True, True, False] == [report.environment.backends[name]["use_fast_variance"] for name in names]


def test_mode_ema_of_equinox_normalizes_with_what_it_has_averaged(requires: Callable[[str], None]) -> None:
    """In training; its running statistics are right, and so is evaluation."""
    requires("equinox")
    report = normcheck.compare("batch", backends=["equinox[mode=ema]"], fixtures=["nchw"], gradients=False)
    assert {Output.Y: Verdict.FAIL, Output.RUNNING_MEAN: Verdict.PASS, Output.RUNNING_VAR: Verdict.PASS} == {
        r.output: r.verdict for r in report.results
    }
    assert [] == wrong(
        normcheck.compare("batch", backends=["equinox[mode=ema]"], fixtures=["nchw"], mode="eval")
    )


def test_the_unclipped_variance_of_haiku_is_seen(requires: Callable[[str], None]) -> None:
    requires("haiku")
    report = normcheck.compare(backends=["haiku"], fixtures=["offset-1e4"], gradients=False)
    failed = {(r.case.method, r.output) for r in report.results if r.verdict is Verdict.FAIL}
    assert {(Method.BATCH, Output.Y), (Method.BATCH, Output.RUNNING_VAR)} == failed


def test_they_say_which_jax_they_ran_on(backend: str) -> None:
    report = normcheck.compare("layer", backends=[backend], fixtures=["nc"], gradients=False)
    facts = report.environment.backends[backend]
    assert facts["version"]
    assert facts["jax"]
    assert facts["version"] != facts["jax"]


def test_an_empty_batch_is_no_trouble(backend: str) -> None:
    report = normcheck.compare(backends=[backend], fixtures=["empty-batch"])
    trouble = [each for each in wrong(report) if each[2] is not Verdict.INCONCLUSIVE]
    assert [] == trouble
    assert {r.output for r in report.results if r.verdict is Verdict.PASS} == {
        Output.GRAD_WEIGHT,
        Output.GRAD_BIAS,
    }


@pytest.mark.parametrize("library", ["equinox", "haiku"])
def test_a_momentum_that_the_library_does_not_have_is_unsupported(
    requires: Callable[[str], None], library: str
) -> None:
    requires(library)
    report = normcheck.compare("batch", backends=[library], fixtures=["nc"], momentum=0.0)
    assert {Verdict.UNSUPPORTED} == {r.verdict for r in report.results}
