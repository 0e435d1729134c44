"""Evidence of results that fail: bounded, of the right elements, the same figures as the judgement's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from normcheck.answer import Answer
from normcheck.case import Method, Output
from normcheck.dtype import DType
from normcheck.evidence import Evidence
from normcheck.judge.case import CaseJudge, Judged
from normcheck.judge.evidence import MOST, block_around
from normcheck.methods import partition_of
from normcheck.methods.partition import labels
from normcheck.options import Options
from normcheck.oracle import truths_of
from normcheck.plan import PlannedCase, Selection, plan
from normcheck.reports.json import read, render

ALL = {"mine": 100}


def planned(method: str = "group", fixture: str = "nchw", dtype: str = "float32", **rest: Any) -> PlannedCase:
    chosen = Selection(methods=[Method(method)], fixtures=[fixture], dtypes=[DType(dtype)], **rest)
    return plan(chosen).cases[0]


def honest(each: PlannedCase) -> dict[str, Any]:
    """The oracle's own outputs, in the dtypes of the case."""
    arrays = each.fixture.arrays().inputs(each.case)
    truths = truths_of(each.case, arrays)
    return {o.value: t.value.astype(each.case.dtype_of(o)) for o, t in truths.items()}


def judged(each: PlannedCase, outputs: Mapping[str, Any], most: Mapping[str, int] = ALL) -> Judged:
    judge = CaseJudge(each.case, each.fixture.arrays().inputs(each.case), Options())
    return judge.judge({"mine": Answer(verdict=None, outputs=outputs)}, most)


def evidence_of(found: Judged, output: Output = Output.Y) -> Evidence | None:
    (result,) = (each for each in found.results["mine"] if each.output is output)
    return result.judgement.evidence


def test_what_passes_has_none() -> None:
    each = planned()
    assert all(result.judgement.evidence is None for result in judged(each, honest(each)).results["mine"])


def test_a_small_output_is_there_as_a_whole_with_the_sets_of_its_elements() -> None:
    each = planned(gradients=False)
    outputs = honest(each)
    outputs["y"][1, 2, 0, 1] += 0.5
    found = judged(each, outputs)
    evidence = evidence_of(found)
    assert evidence is not None
    assert ((0, 0, 0, 0), each.case.shape) == (evidence.start, evidence.shape)
    (result,) = found.results["mine"]
    place = int(np.ravel_multi_index((1, 2, 0, 1), each.case.shape))
    assert np.argmax(evidence.backward_error) == place
    assert evidence.backward_error[place] == pytest.approx(result.backward_error, rel=0.01)
    assert result.worst is not None
    assert evidence.actual[place] == pytest.approx(result.worst.actual, rel=1e-8)
    assert evidence.x[place] == pytest.approx(result.worst.x, rel=1e-8)
    own = labels(partition_of(each.case.method, each.case.shape, each.case.params))
    assert own.reshape(-1).tolist() == list(evidence.sets)
    assert math.prod(each.case.shape) == sum(evidence.ulp)
    assert evidence.ulp[-1] == 1
    assert result.judgement.max_ulp is not None
    assert len(evidence.ulp) == result.judgement.max_ulp.bit_length() + 1


@pytest.mark.parametrize("fixture", ["odd", "nhwc", "channels-last-memory"])
def test_sets_are_numbered_as_labels_are_whatever_the_groups_and_the_layout(fixture: str) -> None:
    each = planned(fixture=fixture, gradients=False)
    outputs = {"y": honest(each)["y"] + 1}
    evidence = evidence_of(judged(each, outputs))
    assert evidence is not None
    own = labels(partition_of(each.case.method, each.case.shape, each.case.params))
    assert own.reshape(-1).tolist() == list(evidence.sets)


def test_a_large_output_is_there_as_a_block_around_the_worst_element() -> None:
    each = planned("batch", "many-rows", gradients=False)
    outputs = honest(each)
    total = outputs["y"].size
    assert total > MOST
    worst = np.unravel_index(total * 2 // 3, outputs["y"].shape)
    outputs["y"][worst] += 100
    evidence = evidence_of(judged(each, outputs))
    assert evidence is not None
    assert len(evidence.actual) == math.prod(evidence.shape) <= MOST
    inside = [index - start for index, start in zip(worst, evidence.start, strict=True)]
    assert np.ravel_multi_index(inside, evidence.shape) == np.argmax(evidence.backward_error)
    assert sum(evidence.ulp) == total


@pytest.mark.parametrize("worst", [0, -1])
def test_a_block_stays_within_the_output(worst: int) -> None:
    shape = (3, 5000, 7)
    start, lengths = block_around(shape, tuple(size - 1 if worst else 0 for size in shape))
    assert math.prod(lengths) <= MOST
    assert all(0 <= s and s + n <= size for s, n, size in zip(start, lengths, shape, strict=True))


def test_a_parameter_has_neither_sets_nor_inputs() -> None:
    each = planned()
    outputs = honest(each)
    outputs["grad_bias"] = outputs["grad_bias"] * 2
    evidence = evidence_of(judged(each, outputs), Output.GRAD_BIAS)
    assert evidence is not None
    assert ((), ()) == (evidence.sets, evidence.x)
    assert len(outputs["grad_bias"]) == len(evidence.actual) == sum(evidence.ulp)


def test_nan_where_a_number_belongs_is_an_infinite_error_and_an_honest_one_is_none() -> None:
    each = planned("batch", "one-nan", gradients=False)
    outputs = honest(each)
    flat = outputs["y"].reshape(-1)
    good, poisoned = (int(np.flatnonzero(np.isnan(flat) == is_nan)[0]) for is_nan in (False, True))
    flat[good] = np.nan
    evidence = evidence_of(judged(each, outputs))
    assert evidence is not None
    assert math.inf == evidence.backward_error[good]
    assert evidence.backward_error[poisoned] == 0


def test_there_is_as_much_as_was_wanted_and_none_by_default() -> None:
    each = planned()
    wrong = {name: array + 1 for name, array in honest(each).items()}
    counts = [
        sum(r.judgement.evidence is not None for r in judged(each, wrong, most).results["mine"])
        for most in ({}, {"mine": 2}, ALL)
    ]
    assert [0, 2, len(wrong)] == counts


WRONG = "def norm(x, num_groups, weight, bias, eps):\n    return x\n"


def test_a_run_has_evidence_of_its_first_failures_and_offsets_in_strict_json(
    invoke: Any, parsed: Any, tmp_path: Any
) -> None:
    (tmp_path / "f.py").write_text(WRONG)
    done = invoke(
        *("compare", "--backend", "mine=numpy:f.py:norm", "--method", "group", "--format", "json"),
    )
    found = parsed(done.stdout)
    failed = [row for row in found["results"] if row["verdict"] == "fail"]
    assert [True] * 8 + [False] * (len(failed) - 8) == ["evidence" in row for row in failed]
    assert found["offsets"]["group[num_groups=4]/offset-1e2/float32"] > 50
    report = read(done.stdout)
    assert render(report) == done.stdout


def test_numbers_are_on_one_line_and_nothing_else_changes(invoke: Any, tmp_path: Any) -> None:
    (tmp_path / "f.py").write_text(WRONG)
    text = invoke(
        *(
            "compare",
            "--backend",
            "mine=numpy:f.py:norm",
            "--method",
            "group",
            "--fixture",
            "nc",
            "--format",
            "json",
        )
    ).stdout
    assert max(line.count(", ") for line in text.splitlines()) > 30
    assert text.count('"evidence"') == 1


def test_rms_norm_has_no_offset(invoke: Any, parsed: Any) -> None:
    found = parsed(
        invoke(
            "compare", "--backend", "numpy", "--method", "rms", "--fixture", "nc", "--format", "json"
        ).stdout
    )
    assert "offsets" not in found
