"""The exit code and the verdict of a run follow from its results, and from nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from normcheck.case import Case, Method, Mode, Output
from normcheck.dtype import DType
from normcheck.errors import ExitCode
from normcheck.parameters import Params
from normcheck.report import EXPECTED, Comparison, Environment, Judgement, Report
from normcheck.verdict import SEVERITY, Verdict

CASE = Case(
    method=Method.GROUP, params=Params(num_groups=3), fixture="f", shape=(2, 3, 4), dtype=DType.FLOAT32
)
BATCH = Case(method=Method.BATCH, params=Params(), fixture="f", shape=(2, 3, 4), dtype=DType.FLOAT32)


def result(verdict: Verdict, backend: str = "numpy", case: Case = CASE) -> Comparison:
    return Comparison(case=case, backend=backend, output=Output.Y, judgement=Judgement(verdict=verdict))


def report(*results: Comparison) -> Report:
    environment = Environment(python="3", platform="p", cpu="c", backends={})
    return Report(normcheck_version="0", environment=environment, cases=(CASE,), results=results, pairs=())


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.PASS, ExitCode.OK),
        (Verdict.LOOSE, ExitCode.OK),
        (Verdict.FAIL, ExitCode.MISMATCH),
        (Verdict.INCONCLUSIVE, ExitCode.MISMATCH),
        (Verdict.ERROR, ExitCode.BACKEND),
        (Verdict.CRASH, ExitCode.BACKEND),
        (Verdict.TIMEOUT, ExitCode.BACKEND),
        (Verdict.UNAVAILABLE, ExitCode.BACKEND),
        (Verdict.UNSUPPORTED, ExitCode.NOTHING_COMPARED),
    ],
)
def test_exit_code_of_a_single_result(verdict: Verdict, code: ExitCode) -> None:
    alone = report(result(verdict))
    assert (code, verdict) == (alone.exit_code, alone.verdict)


@pytest.mark.parametrize("verdict", sorted(set(Verdict) - {Verdict.PASS, Verdict.LOOSE, Verdict.UNSUPPORTED}))
def test_no_number_of_passes_makes_up_for_one_that_is_none(verdict: Verdict) -> None:
    mixed = report(*[result(Verdict.PASS)] * 99, result(verdict, "jax"))
    assert ExitCode.OK != mixed.exit_code
    assert verdict is mixed.verdict


def test_nothing_at_all_is_no_pass() -> None:
    assert (ExitCode.NOTHING_COMPARED, Verdict.ERROR) == (report().exit_code, report().verdict)


def test_a_fixtures_own_values_alone_are_no_pass() -> None:
    """That the document agrees with the oracle says nothing of any backend."""
    assert ExitCode.NOTHING_COMPARED == report(result(Verdict.PASS, EXPECTED)).exit_code


def test_an_unsupported_case_is_no_failure_where_the_backend_has_others_of_that_method() -> None:
    assert ExitCode.OK == report(result(Verdict.PASS), result(Verdict.UNSUPPORTED)).exit_code


def test_a_backend_that_supports_no_case_of_a_method_is_not_covered() -> None:
    found = report(
        result(Verdict.PASS), result(Verdict.PASS, case=BATCH), result(Verdict.UNSUPPORTED, "jax", BATCH)
    )
    assert (("jax", Method.BATCH),) == found.uncovered()
    assert ExitCode.BACKEND == found.exit_code


def test_a_mismatch_outweighs_a_crash() -> None:
    assert ExitCode.MISMATCH == report(result(Verdict.CRASH), result(Verdict.FAIL)).exit_code


def test_severity_orders_every_verdict_once_from_fail_to_what_says_nothing() -> None:
    assert sorted(Verdict) == sorted(SEVERITY)
    assert (Verdict.FAIL, Verdict.PASS, Verdict.UNSUPPORTED) == (SEVERITY[0], *SEVERITY[-2:])
    for worse, better in itertools.combinations(SEVERITY, 2):
        other = "torch" if worse is Verdict.INCONCLUSIVE and better.good else "numpy"
        assert worse is report(result(better), result(worse, other)).verdict


def test_what_is_inconclusive_in_one_case_is_red_only_where_no_other_decides_it() -> None:
    undecided = result(Verdict.INCONCLUSIVE)
    assert ExitCode.OK is report(result(Verdict.PASS), undecided).exit_code
    assert Verdict.LOOSE is report(result(Verdict.LOOSE), undecided).verdict
    assert (undecided,) == report(result(Verdict.PASS), undecided).decided_elsewhere()
    elsewhere = [
        result(Verdict.PASS, "torch"),
        result(Verdict.PASS, case=BATCH),
        result(Verdict.PASS, case=replace(CASE, dtype=DType.FLOAT64)),
        replace(result(Verdict.PASS), output=Output.GRAD_X),
        replace(result(Verdict.PASS), law="shift"),
    ]
    for other in elsewhere:
        assert ExitCode.MISMATCH is report(other, undecided).exit_code
        assert () == report(other, undecided).decided_elsewhere()


def test_counts_name_every_verdict() -> None:
    counts = report(result(Verdict.PASS), result(Verdict.PASS), result(Verdict.CRASH)).counts()
    assert set(Verdict) == set(counts)
    assert (2, 1, 3) == (counts[Verdict.PASS], counts[Verdict.CRASH], sum(counts.values()))


def test_results_and_verdicts_have_no_truth_value_to_trip_over() -> None:
    for kind in (Comparison, Report, Case):
        assert not hasattr(kind, "__bool__")
        assert not hasattr(kind, "__len__")


@pytest.mark.parametrize(
    ("method", "params", "rest", "expected"),
    [
        (Method.GROUP, {"groups": ((0, 1), (2,))}, {}, "group[groups=0,1|2]/f/float32"),
        (Method.GROUP, {"num_groups": 3}, {"dtype": DType.FLOAT64}, "group[num_groups=3]/f/float64"),
        (Method.BATCH, {}, {}, "batch/f/float32"),
        (Method.BATCH, {"momentum": 0.1}, {"mode": Mode.EVAL, "steps": 0}, "batch[mode=eval]/f/float32"),
        (Method.BATCH, {"momentum": 0.5, "eps": 1e-3}, {}, "batch[eps=0.001;momentum=0.5]/f/float32"),
        (Method.LAYER, {"normalized_ndim": 3}, {}, "layer/f/float32"),
        (
            Method.LAYER,
            {"normalized_ndim": 1},
            {},
            "layer[normalized_ndim=1]/f/float32",
        ),
        (Method.INSTANCE, {"channel_axis": -1}, {}, "instance[channel_axis=-1]/f/float32"),
        (Method.LAYER, {"channel_axis": -1, "normalized_ndim": 1}, {}, "layer[normalized_ndim=1]/f/float32"),
    ],
)
def test_the_id_of_a_case_names_what_sets_it_apart(
    method: Method, params: dict[str, Any], rest: dict[str, Any], expected: str
) -> None:
    case = Case(
        **{
            "method": method,
            "params": Params(**params),
            "fixture": "f",
            "shape": (2, 3, 4, 4),
            "dtype": DType.FLOAT32,
            **rest,
        }
    )
    assert expected == case.id


def test_parameters_of_other_methods_are_left_out_of_json() -> None:
    found = Params(groups=((0, 1), (2,)), channel_axis=-1).to_dict()
    assert {"eps": 1e-5, "channel_axis": -1, "groups": [[0, 1], [2]]} == found


def test_unit_roundoffs() -> None:
    assert [2.0**-53, 2.0**-24, 2.0**-24, 2.0**-24] == [dtype.unit_roundoff for dtype in DType]
    assert [2.0**-53, 2.0**-24, 2.0**-11, 2.0**-8] == [dtype.output_roundoff for dtype in DType]
