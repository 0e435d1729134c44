"""The judge of one case: its oracle, its bound, and the comparisons of all that backends answered."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from normcheck.case import Case, Output
from normcheck.dtypes import numpy_dtype
from normcheck.judge.array import Bound, judge, judge_printed
from normcheck.judge.canaries import undetected
from normcheck.judge.distance import max_abs_difference
from normcheck.oracle import prepared, truths_of
from normcheck.report import EXPECTED, Comparison, Judgement, Pair
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from normcheck.answer import Answer
    from normcheck.options import Options
    from normcheck.plan import PlannedCase

Floats = NDArray[np.floating]


class CaseJudge:
    """Judges every backend's answer to one case; keeps their outputs for the differences between pairs."""

    def __init__(self, planned: PlannedCase, arrays: Mapping[str, Floats], options: Options) -> None:
        self.case: Case = planned.case
        self.options = options
        self._stated = [e for e in planned.fixture.arrays().expected if e.applies_to(self.case)]
        self._inputs, own = prepared(self.case, arrays)
        self.truths = truths_of(self.case, arrays)
        self.bounds = {
            output: Bound.for_sums_of(truth.n, max_backward_error=options.max_backward_error)
            for output, truth in self.truths.items()
        }
        self.blind_to = undetected(self.truths, self.case, self._inputs, own, self.bounds)
        self._outputs: dict[tuple[Output, str], NDArray[np.generic]] = {}

    def judge(self, backend: str, answer: Answer) -> list[Comparison]:
        """The comparisons of one backend's answer, one for each output that the case expects of it."""
        if answer.verdict is not None:
            return self.without_output(backend, answer.verdict, answer.reason, stderr=answer.stderr)
        return [
            self._compare(backend, output, answer)
            for output in self.case.outputs
            if output is Output.Y or output not in answer.absent  # without y there is no layer
        ]

    def without_output(
        self, backend: str, verdict: Verdict, reason: str | None, *, stderr: str = ""
    ) -> list[Comparison]:
        """The comparisons of a backend that gave no output: as many as there should have been."""
        return [
            Comparison(
                case=self.case,
                backend=backend,
                output=output,
                judgement=Judgement(verdict=verdict, reason=reason),
                stderr=stderr,
            )
            for output in self.case.outputs
        ]

    def expected(self) -> list[Comparison]:
        """The comparisons of the values that the fixture itself states, if it does for this case."""
        found = []
        for stated in self._stated:
            if stated.output not in self.truths:
                continue
            truth, x = self.truths[stated.output], self._x(stated.output)
            dtype = self.case.dtype_of(stated.output)
            if stated.decimals is None:
                values = stated.values.astype(numpy_dtype(dtype))
                bound, unit = self.bounds[stated.output], self.case.dtype.unit_roundoff
                judgement = judge(values, truth, dtype=dtype, bound=bound, unit=unit, x=x)
            else:
                values = stated.values.astype(np.float64)
                judgement = judge_printed(values, stated.decimals, truth, x=x)
            self._outputs[stated.output, EXPECTED] = values
            found.append(self._comparison(EXPECTED, stated.output, self._finish(stated.output, judgement)))
        return found

    def pairs(self, names: Sequence[str]) -> list[Pair]:
        """The largest difference between each two backends of ``names`` that returned the output."""
        found = []
        for output in self.case.outputs:
            present = [name for name in names if (output, name) in self._outputs]
            for a, b in itertools.combinations(present, 2):
                difference = max_abs_difference(self._outputs[output, a], self._outputs[output, b])
                found.append(Pair(case=self.case.id, output=output, backends=(a, b), max_abs_diff=difference))
        return found

    def _compare(self, backend: str, output: Output, answer: Answer) -> Comparison:
        extra: dict[str, Any] = {"seconds": answer.seconds, "stderr": answer.stderr}
        truth = self.truths[output]
        if (error := answer.errors.get(output)) is not None:
            failed = Judgement(verdict=Verdict.ERROR, total=truth.value.size, reason=error)
            return self._comparison(backend, output, failed, **extra)
        if (problem := answer.problems.get(output)) is not None:
            failed = Judgement(verdict=Verdict.FAIL, total=truth.value.size, reason=problem)
            return self._comparison(backend, output, failed, **extra)
        array = answer.outputs.get(output)
        if array is not None:
            self._outputs[output, backend] = array
        dtype, unit = self.case.dtype_of(output), self.case.dtype.unit_roundoff
        bound, x = self.bounds[output], self._x(output)
        judgement = self._finish(output, judge(array, truth, dtype=dtype, bound=bound, unit=unit, x=x))
        if (wrong := answer.call_defect(output)) is not None:
            judgement = replace(judgement, verdict=Verdict.FAIL, reason=wrong)
        return self._comparison(backend, output, judgement, **extra)

    def _finish(self, output: Output, judgement: Judgement) -> Judgement:
        return finished(judgement, self.blind_to.get(output), strict=self.options.strict)

    def _comparison(self, backend: str, output: Output, judgement: Judgement, **extra: Any) -> Comparison:
        return Comparison(case=self.case, backend=backend, output=output, judgement=judgement, **extra)

    def _x(self, output: Output) -> Floats | None:
        """What illustrates an element of ``output``: the input at its place, where there is one."""
        return self._inputs.x if output in {Output.Y, Output.GRAD_X} else None


def finished(judgement: Judgement, blind_to: str | None, *, strict: bool) -> Judgement:
    """What the bound alone does not say: that the case can decide nothing, that LOOSE is not enough."""
    if judgement.verdict.good and blind_to is not None:
        reason = f"the bound cannot tell the result from {blind_to}: this case decides nothing"
        return replace(judgement, verdict=Verdict.INCONCLUSIVE, reason=reason)
    if judgement.verdict is Verdict.LOOSE and strict:
        return replace(judgement, verdict=Verdict.FAIL, reason=f"{judgement.reason} (--strict)")
    return judgement
