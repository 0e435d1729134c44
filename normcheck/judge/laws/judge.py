"""The judge of one law in one case: gathers the outputs of its runs and judges the relation between them.

The verdict is :func:`normcheck.judge.array.judge`'s, of the left side against the right. Each output may be
off by β·u·cond + (β·u)²·cond₂, with the condition numbers that the oracle finds for its own run, and by the
rounding to its dtype where that is a half precision; the relation may be off by the sum of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from normcheck.case import Output
from normcheck.dtype import DType
from normcheck.judge.array import Bound, judge
from normcheck.judge.canaries import Power
from normcheck.judge.case import finished
from normcheck.judge.laws.gradients import detached
from normcheck.judge.laws.relations import OWN, Law, Relation, Run, Sums, Term, Trial, difference
from normcheck.judge.scale import Scale, backward_error
from normcheck.methods import sums_dtype
from normcheck.oracle import Truth, truths_of
from normcheck.oracle.reals import Array, Real, high, low
from normcheck.report import Comparison, Judgement
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from normcheck.answer import Answer
    from normcheck.options import Options

NOTHING = ""  # the name of a canary that is not there
Answers = Mapping[str, "Answer"]  # by the name of the run


class LawJudge:
    """Judges the outputs of backends by one law; ``own`` is the run of the case itself, ``truths`` its oracle's."""

    def __init__(
        self,
        law: Law,
        trial: Trial,
        own: Run,
        truths: Mapping[Output, Truth],
        options: Options,
    ) -> None:
        self.law, self.trial, self.options = law, trial, options
        self.case = own.case
        self._unit = sums_dtype(own.case).output_roundoff
        self._runs = {OWN: own, **trial.runs}
        self._truths: dict[str, Mapping[Output, Truth]] = {OWN: truths}
        self._blindness: dict[Output, str | None] = {}

    def judge(self, backend: str, answers: Answers) -> list[Comparison]:
        """The comparisons of one backend, one for each relation whose outputs it claims to have."""
        absent = answers[OWN].absent - {Output.Y}
        compared = [
            self._compare(backend, output, answers)
            for output, relation in self.trial.relations.items()
            if absent.isdisjoint(term.output for term in relation.terms)
        ]
        return [result for result in compared if not (result.verdict.good and self._vacuous(result.output))]

    def _vacuous(self, output: Output) -> bool:
        """True where the law only says 0 = 0, whatever the outputs are: obeying it shows nothing."""
        return self._blind_to(output) == NOTHING

    def without_output(self, backend: str, verdict: Verdict, reason: str | None) -> list[Comparison]:
        """The comparisons of a backend that was never asked."""
        return [
            Comparison(
                case=self.case,
                backend=backend,
                output=output,
                judgement=Judgement(verdict=verdict, reason=reason),
                law=self.law.name,
            )
            for output in self.trial.relations
        ]

    def _compare(self, backend: str, output: Output, answers: Answers) -> Comparison:
        relation = self.trial.relations[output]
        failures = (self._failure(term, answers[term.run]) for term in relation.terms)
        judgement = next((f for f in failures if f is not None), None)
        if judgement is None:
            judgement = self._judge(output, relation, answers)
        asked = [answers[name] for name in dict.fromkeys(term.run for term in relation.terms)]
        return Comparison(
            case=self.case,
            backend=backend,
            output=output,
            judgement=judgement,
            law=self.law.name,
            seconds=sum(answer.seconds or 0.0 for answer in asked),
            stderr="".join(answer.stderr for answer in asked),
        )

    def _failure(self, term: Term, answer: Answer) -> Judgement | None:
        """Why the output of one run cannot enter a relation: no result is never a pass."""
        where = "the case itself" if term.run == OWN else f"its run {term.run!r}"

        def failed(verdict: Verdict, reason: str | None) -> Judgement:
            return Judgement(verdict=verdict, total=0, reason=f"{where}: {reason}")

        if answer.verdict is not None:
            return failed(answer.verdict, answer.reason)
        if (fault := answer.unsupported.get(term.output)) is not None:
            return failed(Verdict.UNSUPPORTED, f"{term.output}: {fault}")
        if (error := answer.errors.get(term.output)) is not None:
            return failed(Verdict.ERROR, f"{term.output} {error}")
        if (problem := answer.problems.get(term.output)) is not None:
            return failed(Verdict.FAIL, f"{term.output} {problem}")
        if term.output not in answer.outputs:
            return failed(Verdict.FAIL, f"{term.output} was not returned")
        array, shape = answer.outputs[term.output], self._truth(term).value.shape
        if array.shape != shape:
            return failed(Verdict.FAIL, f"{term.output} has shape {array.shape}, expected {shape}")
        if array.dtype.name != (dtype := self._runs[term.run].case.dtype_of(term.output)):
            return failed(Verdict.FAIL, f"{term.output} has dtype {array.dtype.name}, expected {dtype}")
        if (wrong := answer.call_defect(term.output)) is not None:
            return failed(Verdict.FAIL, f"{term.output} {wrong}")
        return None

    def _judge(self, output: Output, relation: Relation, answers: Answers) -> Judgement:
        def returned(term: Term) -> Array:
            array = answers[term.run].outputs[term.output]
            return array.astype(np.float64)

        with np.errstate(all="ignore"):
            left = relation.left.part.value(returned(relation.left))
            right = relation.right_side(returned)
            truth, rounding = self._sides(relation, left, right)
            gap = difference(left, right)
            shown = high(left)
            nearer = high(right) + np.sign(gap) * np.maximum(np.abs(gap) - rounding, 0.0)
            actual = np.where(np.isfinite(gap) & (rounding > 0), nearer, shown)
        judgement = judge(
            actual,
            truth,
            dtype=DType.FLOAT64,
            bound=self._bound(relation),
            unit=self._unit,
        )
        # Of two sides of a relation neither is a dtype's nearest number to the other.
        judgement = replace(judgement, max_rel_diff=None, max_ulp=None)
        if (worst := judgement.worst) is not None and judgement.max_abs_diff is not None:
            finite = np.abs(gap[np.isfinite(gap)])
            judgement = replace(
                judgement,
                worst=replace(worst, actual=float(shown[worst.index])),
                max_abs_diff=max(judgement.max_abs_diff, float(finite.max(initial=0.0))),
            )
        if judgement.verdict is Verdict.FAIL:
            judgement = replace(
                judgement, reason=f"breaks the law that {self.law.statement}: {judgement.reason}"
            )
        elif judgement.verdict is Verdict.LOOSE:
            judgement = replace(
                judgement, reason=f"the law that {self.law.statement} holds loosely: {judgement.reason}"
            )
        blind = (self._blind_to(output) if judgement.verdict.good else None) or None
        decided = int(blind is None)
        power = Power(finite=1, decided=decided, decided_loosely=decided, missed=blind, missed_loosely=blind)
        return finished(judgement, power, strict=self.options.strict)

    def _sides(self, relation: Relation, left: Real, right: Real) -> tuple[Truth, Array]:
        """What the left side is judged against, and ρ: what all outputs may be off for having been rounded."""
        tail = np.zeros_like(high(right))
        for sign, part in ((1.0, low(right)), (-1.0, low(left))):
            tail = tail if part is None else tail + sign * np.where(np.isfinite(part), part, 0.0)
        truth = Truth(
            value=high(right),
            tail=tail,
            cond=relation.slack(lambda term: self._truth(term).cond),
            cond2=relation.slack(lambda term: self._truth(term).cond2),
            n=max(self._truth(term).n for term in relation.terms),
            unit=self._truth(relation.left).unit,
        )
        return truth, relation.slack(self._rounding)

    def _rounding(self, term: Term) -> Array:
        truth = self._truth(term)
        value = truth.value
        dtype = self.case.dtype_of(term.output)
        rounding = Scale(dtype=dtype, unit=self._unit).rounding(value, truth.forgiven)
        return np.broadcast_to(np.float64(rounding), value.shape)

    def _bound(self, relation: Relation) -> Bound:
        n = max(self._truth(term).n for term in relation.terms)
        return Bound.for_sums_of(n, max_backward_error=self.options.max_backward_error)

    def _truth(self, term: Term) -> Truth:
        if term.run not in self._truths:
            run = self._runs[term.run]
            self._truths[term.run] = truths_of(run.case, run.arrays)
        return self._truths[term.run][term.output]

    def _blind_to(self, output: Output) -> str | None:
        if output not in self._blindness:
            with np.errstate(all="ignore"):
                self._blindness[output] = self._undetected(self.trial.relations[output])
        return self._blindness[output]

    def _undetected(self, relation: Relation) -> str | None:
        """What breaks the law and would pass all the same; None where all that was tried is turned down.

        NOTHING where none of it breaks the law at all.

        A canary is an output of one run, the left side's, while all other outputs are right.
        """
        right = relation.right_side(lambda term: self._truth(term).value)
        claimed = relation.slack(self._claimed)
        cond = relation.slack(lambda term: self._truth(term).cond)
        cond2 = relation.slack(lambda term: self._truth(term).cond2)
        rounding = relation.slack(self._rounding)
        found: dict[str, bool] = {}
        for name, output in self._canaries(relation.left):
            gap = np.abs(difference(relation.left.part.value(output), right))
            if (gap > claimed).any():
                error = np.maximum(gap - rounding, 0.0)
                beta = backward_error(error, cond, cond2, self._unit)
                found[name] = bool((beta > self._bound(relation).allowed).any())
        if not found:
            return NOTHING
        # A sum is 0 but for eps, or all but 0 with a large eps: one of its canaries may nearly obey the law.
        enough = any if isinstance(relation.left.part, Sums) else all
        return None if enough(found.values()) else next(name for name, caught in found.items() if not caught)

    def _claimed(self, term: Term) -> Array:
        """How far the oracle's value may be off: float64 is all that is used of it here."""
        truth = self._truth(term)
        return truth.claimed_error() + 2.0**-50 * np.abs(truth.value)

    def _canaries(self, term: Term) -> Iterator[tuple[str, Array]]:
        run = self._runs[term.run]
        if isinstance(term.part, Sums):
            yield "the gradient that takes the statistics for constants", detached(run.case, run.arrays)
            yield "no gradient", np.zeros(run.arrays["x"].shape)
            return
        value = self._truth(term).value
        yield f"all-zero output of its run {term.run!r}", np.zeros_like(value)
        yield f"ones as the output of its run {term.run!r}", np.ones_like(value)
        unchanged = {
            Output.Y: "x",
            Output.GRAD_X: "grad_y",
            Output.RUNNING_MEAN: "running_mean",
            Output.RUNNING_VAR: "running_var",
        }.get(term.output)
        if unchanged is not None:
            yield (
                f"its input unchanged as the output of its run {term.run!r}",
                run.arrays[unchanged].astype(np.float64),
            )
