"""Inputs that are drawn anew in each run: repeatable by their seed, and who knows only published ones is told so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from normcheck import backends
from normcheck.api import compare
from normcheck.case import Method
from normcheck.fixtures import catalogue
from normcheck.fixtures.drawn import DRAWN, MAX_SEED, any_seed, is_drawn, redrawn
from normcheck.options import Options
from normcheck.plan import DEFAULT_FIXTURES, Selection, plan
from normcheck.report import Report
from normcheck.reports.command import reproduce
from normcheck.run import drawn
from normcheck.run.backends import BackendSpec
from normcheck.run.record import record
from normcheck.verdict import Verdict


def x_of(seed: int) -> np.ndarray[Any, Any]:
    return redrawn(catalogue()["drawn"], seed).arrays().x


def test_each_method_has_a_case_of_them_by_default() -> None:
    cases = [each.case for each in plan(Selection(fixtures=DEFAULT_FIXTURES)).cases]
    assert set(Method) == {case.method for case in cases if is_drawn(case.fixture)}


def test_the_tag_says_which_they_are() -> None:
    assert [is_drawn(name) for name in catalogue()] == [DRAWN in f.tags for f in catalogue().values()]
    assert not is_drawn("x.npy")


def test_a_seed_draws_the_same_again_and_another_one_draws_others() -> None:
    np.testing.assert_array_equal(x_of(7), x_of(7))
    assert not (x_of(7) == x_of(8)).any()
    np.testing.assert_array_equal(x_of(0), catalogue()["drawn"].arrays().x)
    assert np.isfinite(x_of(MAX_SEED - 1)).all()


def test_other_arrays_are_drawn_too() -> None:
    first, second = (redrawn(catalogue()["drawn"], seed).arrays().parameters for seed in (7, 8))
    assert [] == [name for name in first if (first[name] == second[name]).all()]


def test_no_two_runs_draw_the_same() -> None:
    assert any_seed() != any_seed()


def numpy_alone(*, recording: str | None = None) -> list[BackendSpec]:
    return [BackendSpec(name="b", host="numpy", argument="b", recording=recording)]


def test_the_seed_of_a_run() -> None:
    core = plan(Selection(methods=[Method.LAYER]))
    assert 5 == drawn.seed_for(core, numpy_alone(), 5)
    assert drawn.seed_for(core, numpy_alone(), None) is not None
    assert drawn.OF_RECORDINGS == drawn.seed_for(core, numpy_alone(recording="r"), None)
    assert drawn.seed_for(plan(Selection(fixtures=["nc"])), numpy_alone(), 5) is None


def norm(x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
    rows = x.reshape(*x.shape[: x.ndim - normalized_ndim], -1)
    deviation = rows - rows.mean(-1, keepdims=True)
    x_hat = deviation / np.sqrt(np.square(deviation).mean(-1, keepdims=True) + x.dtype.type(eps))
    return x_hat.reshape(x.shape) * (1 if weight is None else weight) + (0 if bias is None else bias)


class Table:
    """Answers for the published fixtures, and for no others."""

    def __init__(self, otherwise: Any) -> None:
        published = [fixture for fixture in catalogue().values() if not is_drawn(fixture.name)]
        self.known = {np.float32(f.arrays().x.flat[0]) for f in published if "core" in f.tags}
        self.otherwise = otherwise

    def __call__(self, x: Any, weight: Any, bias: Any, *, eps: float, normalized_ndim: int) -> Any:
        if x.flat[0] in self.known:
            return norm(x, weight, bias, eps=eps, normalized_ndim=normalized_ndim)
        return self.otherwise(x)


def missing(x: Any) -> Any:
    raise KeyError("no such input")


def run(function: Any, **options: Any) -> Report:
    return compare(method="layer", backends={"mine": ("numpy", function)}, gradients=False, **options)


@pytest.fixture(scope="module", params=[np.zeros_like, missing], ids=["zeros", "raises"])
def report(request: pytest.FixtureRequest) -> Report:
    return run(Table(request.param), seed=11)


def test_a_table_of_inputs_is_named(report: Report) -> None:
    bad = [result for result in report.results if not result.verdict.good]
    assert [True] == [is_drawn(result.case.fixture) for result in bad]
    assert bad[0].verdict in {Verdict.FAIL, Verdict.ERROR}
    assert "does it answer from a table of inputs? --seed 11 draws the same" in (bad[0].reason or "")


def test_the_seed_is_in_the_report_and_in_the_command_that_repeats_it(report: Report) -> None:
    assert 11 == report.environment.seed
    with_seed = [result for result in report.results if "--seed 11" in reproduce(result, report)]
    assert [True] == [is_drawn(result.case.fixture) for result in with_seed]


def test_an_honest_function_passes_and_is_suspected_of_nothing() -> None:
    report = run(norm)
    assert (Verdict.PASS, True) == (report.verdict, report.environment.seed is not None)


def test_what_is_wrong_everywhere_is_no_table() -> None:
    report = run(lambda x, weight, bias, *, eps: np.zeros_like(x), fixtures=["nchw", "drawn"])
    assert {Verdict.FAIL} == {result.verdict for result in report.results}
    assert [] == [result for result in report.results if "table" in (result.reason or "")]


def test_recordings_have_the_inputs_of_one_seed() -> None:
    assert backends.missing("numpy") is None
    selection = Selection(methods=[Method.LAYER], fixtures=["drawn"], gradients=False)
    first, second, other = (
        record(selection, "numpy", Options(seed=seed))
        .cases["layer[normalized_ndim=1]/drawn/float32"]
        .question
        for seed in (None, 0, 1)
    )
    assert first == second
    assert first != other
