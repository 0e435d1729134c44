"""The judge of one case: its oracle, its bound, and the comparisons of all that backends answered."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from normcheck.comparison import Bound, Judgement, judge, judge_printed, max_abs_difference
from normcheck.methods import parameter_axes, partition
from normcheck.model import EXPECTED, Case, Comparison, Output, Pair, Verdict
from normcheck.oracle import Truth, forward
from normcheck.oracle.canaries import undetected
from normcheck.worker import frames

if TYPE_CHECKING:
    from normcheck.engine import Options
    from normcheck.plan import PlannedCase
    from normcheck.worker.client import Answer

Inputs = Mapping[str, NDArray[np.floating] | None]


class CaseJudge:
    """Judges every backend's answer to one case; keeps their outputs for the differences between pairs."""

    def __init__(self, planned: PlannedCase, inputs: Inputs, options: Options) -> None:
        self.case: Case = planned.case
        self.options = options
        self._stated = [e for e in planned.fixture.arrays().expected if e.applies_to(self.case)]
        x = inputs["x"]
        assert x is not None  # noqa: S101 (a fixture always has x)
        self._x = x
        own = partition(self.case.method, x.shape, self.case.params)
        weight, bias = (self._broadcastable(inputs[name], x.ndim) for name in ("weight", "bias"))
        eps, dtype = self.case.params.eps, self.case.dtype
        self.truth: Truth = forward(x, weight, bias, eps=eps, partition=own, dtype=dtype)
        self.bound = Bound.for_sums_of(self.truth.n, max_backward_error=options.max_backward_error)
        self.blind_to = undetected(
            self.truth, x, weight, bias, own=own, params=self.case.params, dtype=dtype, bound=self.bound
        )
        self._outputs: dict[tuple[Output, str], NDArray[np.generic]] = {}

    @staticmethod
    def pack(inputs: Inputs, directory: str) -> frames.Packed:
        """The inputs of a case, ready to be sent to any number of workers."""
        tagged = {name: None if a is None else (a.dtype.name, a) for name, a in inputs.items()}
        return frames.pack(tagged, directory)

    def judge(self, backend: str, answer: Answer) -> list[Comparison]:
        """The comparisons of one backend's answer, one for each output that the case expects."""
        if answer.verdict is not None:
            return self.without_output(backend, answer.verdict, answer.reason, stderr=answer.stderr)
        return [self._compare(backend, output, answer) for output in self.case.outputs]

    def without_output(
        self, backend: str, verdict: Verdict, reason: str | None, *, stderr: str = ""
    ) -> list[Comparison]:
        """The comparisons of a backend that gave no output: as many as there should have been."""
        return [
            Comparison(
                case=self.case, backend=backend, output=output, verdict=verdict, reason=reason, stderr=stderr
            )
            for output in self.case.outputs
        ]

    def expected(self) -> list[Comparison]:
        """The comparisons of the values that the fixture itself states, if it does for this case."""
        found = []
        for stated in self._stated:
            if stated.decimals is None:
                values = stated.values.astype(self.case.dtype.value)
                judgement = judge(values, self.truth, dtype=self.case.dtype, bound=self.bound, x=self._x)
            else:
                values = stated.values.astype(np.float64)
                judgement = judge_printed(values, stated.decimals, self.truth, x=self._x)
            self._outputs[stated.output, EXPECTED] = values
            found.append(self._comparison(EXPECTED, stated.output, self._finish(judgement)))
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
        extra = {"seconds": answer.seconds, "stderr": answer.stderr}
        if (problem := answer.problems.get(output)) is not None:
            failed = Judgement(verdict=Verdict.FAIL, total=self.truth.value.size, reason=problem)
            return self._comparison(backend, output, failed, **extra)
        dtype, array = answer.outputs.get(output, (None, None))
        if array is not None:
            self._outputs[output, backend] = _numeric(array, dtype)
        judgement = judge(
            array, self.truth, dtype=self.case.dtype, bound=self.bound, x=self._x, actual_dtype=dtype
        )
        judgement = self._finish(judgement)
        if answer.reason is not None:  # it changed its input: whatever it returned, others are harmed
            judgement = _with(judgement, verdict=Verdict.FAIL, reason=answer.reason)
        return self._comparison(backend, output, judgement, **extra)

    def _finish(self, judgement: Judgement) -> Judgement:
        """What the bound alone does not say: that the case can decide nothing, that LOOSE is not enough."""
        if judgement.verdict.good and self.blind_to is not None:
            reason = f"the bound cannot tell the result from {self.blind_to}: this case decides nothing"
            return _with(judgement, verdict=Verdict.INCONCLUSIVE, reason=reason)
        if judgement.verdict is Verdict.LOOSE and self.options.strict:
            return _with(judgement, verdict=Verdict.FAIL, reason=f"{judgement.reason} (--strict)")
        return judgement

    def _comparison(self, backend: str, output: Output, judgement: Judgement, **extra: Any) -> Comparison:
        figures = {name: getattr(judgement, name) for name in judgement.__slots__}
        return Comparison(case=self.case, backend=backend, output=output, **figures, **extra)

    def _broadcastable(
        self, parameter: NDArray[np.floating] | None, ndim: int
    ) -> NDArray[np.floating] | None:
        if parameter is None:
            return None
        axes = parameter_axes(self.case.method, self._x.shape, self.case.params)
        sizes = dict(zip(axes, parameter.shape, strict=True))
        return parameter.reshape([sizes.get(axis, 1) for axis in range(ndim)])


def _with(judgement: Judgement, **changes: Any) -> Judgement:
    return Judgement(**{**asdict(judgement), "worst": judgement.worst, **changes})


def _numeric(array: NDArray[np.generic], dtype: str | None) -> NDArray[np.generic]:
    if dtype != "bfloat16":
        return array
    import ml_dtypes  # only where a backend returns it

    return array.view(ml_dtypes.bfloat16)
