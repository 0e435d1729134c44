"""The judge of one case: every answer to it, tile by tile, against one evaluation of the oracle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from normcheck.answer import Answer
from normcheck.case import Case, Output
from normcheck.dtype import DType
from normcheck.dtypes import numpy_dtype
from normcheck.judge.array import Bound, concluded, printed, unfit
from normcheck.judge.canaries import Power
from normcheck.judge.distance import max_abs_difference
from normcheck.judge.evidence import Wanted, evidence
from normcheck.judge.scale import Scale
from normcheck.judge.traversal import Candidate, Traversal
from normcheck.options import Options
from normcheck.oracle import oracle_of
from normcheck.report import EXPECTED, Comparison, Judgement, Pair
from normcheck.verdict import Verdict

Floats = NDArray[np.floating]
NO_EVIDENCE: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Values of one output that the fixture states; ``decimals`` is how many they were printed to, None: in full."""

    output: Output
    values: Floats
    decimals: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The comparisons of every answer to a case, by backend, and how far each two are apart.

    ``varying`` are backends whose answers to one question differ, and are all right. ``offset`` is that of x, if a
    mean is taken away (:class:`normcheck.report.Report`).
    """

    results: Mapping[str, tuple[Comparison, ...]]
    pairs: tuple[Pair, ...]
    varying: tuple[str, ...] = ()
    offset: float | None = None


class CaseJudge:
    """Judges the answers to one case; ``arrays`` are its inputs, ``stated`` the values that its fixture states."""

    def __init__(
        self, case: Case, arrays: Mapping[str, Floats], options: Options, stated: Sequence[Stated] = ()
    ) -> None:
        self.case, self.options = case, options
        self._stated = [each for each in stated if each.output in case.outputs]
        self._oracle = oracle_of(case, arrays)
        self._inputs = self._oracle.inputs
        unit = self._oracle.stats.output_roundoff
        self._scales = {o: Scale(dtype=case.dtype_of(o), unit=unit) for o in case.outputs}
        self._bounds = {
            output: Bound.for_sums_of(
                self._oracle.formulas.terms(output), max_backward_error=options.max_backward_error
            )
            for output in case.outputs
        }
        self._traversal = Traversal(case, self._oracle, self._bounds, self._scales)

    def prepare(self) -> None:
        """Compute what needs no answers: there is time while they are awaited."""
        self._traversal.prepare()

    def judge(self, answers: Mapping[str, Answer], most_evidence: Mapping[str, int] = NO_EVIDENCE) -> Judged:
        """The comparisons of the answers of all backends, one for each output that the case expects of them.

        ``most_evidence`` says of how many results of a backend that FAIL evidence is wanted, by its name.
        """
        unfits = [unfit(each.values, self._shape(each.output), None) for each in self._stated]
        fitting = [each for each, failed in zip(self._stated, unfits, strict=True) if failed is None]
        candidates = [*map(self._stated_candidate, fitting), *self._candidates(answers)]
        figures, powers = self._traversal.run(candidates)
        judgements = [
            self._finished(
                each.output,
                concluded(figure, each.array, each.scale, each.bound, self._x(each.output)),
                powers[each.output],
            )
            for each, figure in zip(candidates, figures, strict=True)
        ]
        judgements = self._with_evidence(candidates, judgements, most_evidence)
        returned = zip(candidates[len(fitting) :], judgements[len(fitting) :], strict=True)
        found = {(each.backend, each.output): judgement for each, judgement in returned}
        results = {name: self._results(name, answer, found) for name, answer in answers.items()}
        if self._stated:  # a fixture may state several values of one output
            of_stated = iter(judgements)
            results[EXPECTED] = tuple(
                self._comparison(EXPECTED, each.output, failed or next(of_stated))
                for each, failed in zip(self._stated, unfits, strict=True)
            )
        return Judged(results=results, pairs=self._pairs(answers), offset=self._oracle.offset)

    def _with_evidence(
        self, candidates: Sequence[Candidate], judgements: Sequence[Judgement], most: Mapping[str, int]
    ) -> list[Judgement]:
        """The judgements, the first of each backend that FAIL with their evidence."""
        left, wanted = dict(most), {}
        for number, (each, judgement) in enumerate(zip(candidates, judgements, strict=True)):
            if judgement.verdict is Verdict.FAIL and judgement.worst and left.get(each.backend, 0) > 0:
                left[each.backend] -= 1
                wanted[number] = Wanted(candidate=each, worst=judgement.worst.index)
        found = (
            dict(zip(wanted, evidence(self._oracle, list(wanted.values())), strict=True)) if wanted else {}
        )
        return [replace(each, evidence=found.get(number)) for number, each in enumerate(judgements)]

    def _stated_candidate(self, stated: Stated) -> Candidate:
        output = stated.output
        scale, bound = self._scales[output], self._bounds[output]
        if stated.decimals is not None:
            scale, bound = printed(stated.decimals)
        else:
            scale = replace(scale, dtype=self._stated_dtype(stated))
        values = self._stated_array(stated)
        return Candidate(backend=EXPECTED, output=output, array=values, scale=scale, bound=bound)

    def _stated_array(self, stated: Stated) -> Floats:
        exact = stated.decimals is None
        return stated.values.astype(numpy_dtype(self._stated_dtype(stated) if exact else DType.FLOAT64))

    def _stated_dtype(self, stated: Stated) -> DType:
        """That of the output, or that in which the values are stored where this is coarser."""
        dtypes = (self.case.dtype_of(stated.output), DType(stated.values.dtype.name))
        return max(dtypes, key=lambda dtype: dtype.output_roundoff)

    def _candidates(self, answers: Mapping[str, Answer]) -> Iterator[Candidate]:
        for backend, answer in answers.items():
            for output in self.case.outputs:
                array = answer.outputs.get(output)
                if self._failed(output, answer) is None:
                    yield Candidate(
                        backend=backend,
                        output=output,
                        array=cast("Floats", array),
                        scale=self._scales[output],
                        bound=self._bounds[output],
                    )

    def _failed(self, output: Output, answer: Answer) -> Judgement | None:
        """Why an output cannot be measured, in the order in which that is looked at."""
        total = int(np.prod(self._shape(output)))
        if answer.verdict is not None:
            return Judgement(verdict=answer.verdict, reason=answer.reason)
        if (reason := answer.unsupported.get(output)) is not None:
            return Judgement(verdict=Verdict.UNSUPPORTED, total=total, reason=reason)
        if (error := answer.errors.get(output)) is not None:
            return Judgement(verdict=Verdict.ERROR, total=total, reason=error)
        if (problem := answer.problems.get(output)) is not None:
            return Judgement(verdict=Verdict.FAIL, total=total, reason=problem)
        return unfit(answer.outputs.get(output), self._shape(output), self.case.dtype_of(output))

    def _results(
        self, backend: str, answer: Answer, found: Mapping[tuple[str, Output], Judgement]
    ) -> tuple[Comparison, ...]:
        if answer.verdict is not None:
            failed = Judgement(verdict=answer.verdict, reason=answer.reason)
            return tuple(  # as many as there should have been
                self._comparison(backend, output, failed, stderr=answer.stderr)
                for output in self.case.outputs
            )
        results = []
        for output in self.case.outputs:
            if output in answer.absent and output is not Output.Y:  # without y there is no layer
                continue
            judgement = found.get((backend, output)) or self._failed(output, answer)
            assert judgement is not None  # noqa: S101 (what does not fail has been measured)
            defect = answer.call_defect(output)
            measured = not any(
                output in said for said in (answer.errors, answer.unsupported, answer.problems)
            )
            if defect is not None and measured:
                judgement = replace(judgement, verdict=Verdict.FAIL, reason=defect, excuse=None)
            extra: dict[str, Any] = {"seconds": answer.seconds, "stderr": answer.stderr}
            results.append(self._comparison(backend, output, judgement, **extra))
        return tuple(results)

    def _finished(self, output: Output, judgement: Judgement, power: Power) -> Judgement:
        return finished(judgement, power, strict=self.options.strict)

    def _pairs(self, answers: Mapping[str, Answer]) -> tuple[Pair, ...]:
        """The largest difference between each two backends that returned an output."""
        found = []
        for output in self.case.outputs:
            present = [(EXPECTED, self._stated_array(each)) for each in self._stated if each.output is output]
            present += [
                (name, answer.outputs[output])
                for name, answer in answers.items()
                if answer.verdict is None and output in answer.outputs
            ]
            for (a, left), (b, right) in itertools.combinations(present, 2):
                if a == b:
                    continue  # two values that the fixture states
                difference = max_abs_difference(left, right)
                found.append(Pair(case=self.case.id, output=output, backends=(a, b), max_abs_diff=difference))
        return tuple(found)

    def _comparison(self, backend: str, output: Output, judgement: Judgement, **extra: Any) -> Comparison:
        return Comparison(case=self.case, backend=backend, output=output, judgement=judgement, **extra)

    def _shape(self, output: Output) -> tuple[int, ...]:
        inputs = self._inputs
        if output.is_elementwise:
            return inputs.x.shape
        if output.is_state and inputs.running_mean is not None:
            return inputs.running_mean.shape
        return self._oracle.formulas.parameter_of(output).shape

    def _x(self, output: Output) -> Floats | None:
        """What illustrates an element of ``output``: the input at its place, where there is one."""
        return self._inputs.x if output.is_elementwise else None


def finished(judgement: Judgement, power: Power, *, strict: bool) -> Judgement:
    """What the bound alone does not say: that the case can decide nothing, that LOOSE is not enough.

    The bound that accepts is the bound that canaries must exceed.
    """
    if judgement.verdict.good:
        tight = judgement.verdict is Verdict.PASS
        decided = power.decided if tight else power.decided_loosely
        missed = power.missed if tight else power.missed_loosely
        if power.finite and not decided:
            reason = f"the bound cannot tell the result from {missed}: this case decides nothing"
            return replace(judgement, verdict=Verdict.INCONCLUSIVE, reason=reason, decided=0, excuse=None)
        if decided < power.finite:
            judgement = replace(judgement, decided=decided)
    if judgement.verdict is Verdict.LOOSE and strict:
        return replace(judgement, verdict=Verdict.FAIL, reason=f"{judgement.reason} (--strict)", excuse=None)
    return judgement
