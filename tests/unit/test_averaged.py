"""Statistics of each sample that are averaged over samples sum all of a channel: their bound counts all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layers import layer

from normcheck.answer import Answer
from normcheck.case import Case, Method, Output
from normcheck.conventions.catalogue import PYTORCH, parse
from normcheck.dtype import DType
from normcheck.judge.case import CaseJudge
from normcheck.options import Options
from normcheck.parameters import Params
from normcheck.verdict import Verdict

SAMPLES = 102
LAYERS: list[Any] = [
    pytest.param(Method.BATCH, parse(["statistics=instance"]), {}, id="batch norm by instance"),
    pytest.param(Method.INSTANCE, PYTORCH, {"track_running_stats": True}, id="tracked instance norm"),
    pytest.param(Method.BATCH, PYTORCH, {}, id="batch norm"),
]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("method", "convention", "more"), LAYERS)
def test_all_elements_of_a_channel_are_counted(method: Method, convention: Any, more: Any, n: int) -> None:
    x = np.linspace(1, 2, SAMPLES * 2 * n).reshape(SAMPLES, 2, n)
    found = layer(x, method, DType.FLOAT32, convention=convention, **more).oracle()
    assert {SAMPLES * n} == {found[output].n for output in (Output.RUNNING_MEAN, Output.RUNNING_VAR)}


@pytest.mark.parametrize(("method", "convention", "more"), LAYERS)
def test_averages_that_are_added_one_by_one_pass(method: Method, convention: Any, more: Any) -> None:
    """A mean of 102 float32 numbers that is off by 18 roundoffs, as one long sum may be."""
    x = np.float32(np.linspace(1, 2, SAMPLES)).reshape(SAMPLES, 1, 1)
    outputs = (Output.RUNNING_MEAN, Output.RUNNING_VAR)
    case = Case(
        method=method,
        params=Params(momentum=1.0, **more),
        fixture="f",
        shape=x.shape,
        dtype=DType.FLOAT32,
        steps=1,
        convention=convention,
        outputs=outputs,
    )
    arrays = {"x": x, "running_mean": np.float32([0]), "running_var": np.float32([1])}
    mean = np.float32([x.mean(dtype=np.float64) * (1 + 18 * 2.0**-24)])
    answer = Answer(verdict=None, outputs={Output.RUNNING_MEAN: mean, Output.RUNNING_VAR: np.float32([0])})
    found = CaseJudge(case, arrays, Options()).judge({"a": answer}).results["a"][0]
    assert (Output.RUNNING_MEAN, Verdict.PASS) == (found.output, found.verdict)
