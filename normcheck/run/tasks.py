"""What is to be run, and who judges what comes of it: each case by the oracle, and by laws if asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normcheck.judge.case import CaseJudge
from normcheck.judge.laws import LAWS, OWN, Law, Run, Trial
from normcheck.judge.laws.judge import LawJudge
from normcheck.plan import PlannedCase
from normcheck.report import EXPECTED, Comparison, Pair
from normcheck.run.backends import BackendSpec
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from normcheck.answer import Answer
    from normcheck.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One task of a worker: the run of the case ``number`` itself, or one called ``name`` of a law's trial."""

    run: Run
    number: int
    name: str = OWN
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A law put to the case ``number``."""

    law: Law
    trial: Trial
    number: int

    def concerns(self, spec: BackendSpec) -> bool:
        """False for a recording, which can be asked nothing more, and for one's own implementation, which is of
        one method, where the law is between two.
        """
        return spec.recording is None and (spec.target is None or not self.law.between_methods)


class Docket:
    """The items of a run, in order: all cases, then the further runs of laws; and the verdicts on them.

    A law's run that kills its worker can so cost no case its comparison with the oracle.
    """

    def __init__(
        self, planned: Sequence[PlannedCase], specs: Sequence[BackendSpec], options: Options
    ) -> None:
        self.specs, self.options = specs, options
        self._planned = planned
        own = [Run(case=p.case, arrays=p.fixture.arrays().inputs(p.case)) for p in planned]
        laws = LAWS if options.laws else ()
        self._trials = [
            _Trial(law=law, trial=trial, number=number)
            for number, run in enumerate(own)
            for law in laws
            if (trial := law.put_to(run.case, run.arrays)) is not None and trial.relations
        ]
        self.items = [Item(run=run, number=number) for number, run in enumerate(own)] + [
            Item(run=run, number=trial.number, name=name, trial=index)
            for index, trial in enumerate(self._trials)
            for name, run in trial.trial.runs.items()
        ]
        self._names = {spec.name: spec for spec in specs}
        self._judges: list[CaseJudge] = []
        self._law_judges: list[LawJudge] = []
        self._results: dict[tuple[int, str], list[Comparison]] = {}
        self._by_law: dict[tuple[int, str], list[Comparison]] = {}

    def asked_of(self, spec: BackendSpec) -> list[int]:
        """The numbers of the items that a backend is asked for."""
        return [
            index
            for index, item in enumerate(self.items)
            if item.trial is None or self._trials[item.trial].concerns(spec)
        ]

    def compute_oracle(self) -> None:
        """Make the judges of the cases, for which their oracle is computed; a law's when it is needed."""
        self._judges = [
            CaseJudge(planned, item.run.arrays, self.options)
            for planned, item in zip(self._planned, self.items, strict=False)
        ]
        for trial in self._trials:
            asked = sum(trial.concerns(spec) for spec in self.specs)
            own, truths = self.items[trial.number].run, self._judges[trial.number].truths
            judge = LawJudge(trial.law, trial.trial, own, truths, self.options, backends=asked)
            self._law_judges.append(judge)

    def take(self, backend: str, index: int, answer: Answer) -> None:
        """Judge what can be judged now that ``backend`` has answered the item ``index``."""
        item = self.items[index]
        if item.trial is not None:
            self._hear(item.trial, backend, item.name, answer)
            return
        self._results[item.number, backend] = self._judges[item.number].judge(backend, answer)
        for number, trial in enumerate(self._trials):
            if trial.number == item.number and trial.concerns(self._names[backend]):
                self._hear(number, backend, OWN, answer)

    def _hear(self, trial: int, backend: str, name: str, answer: Answer) -> None:
        if (judged := self._law_judges[trial].take(backend, name, answer)) is not None:
            self._by_law[trial, backend] = judged

    def leave_out(self, spec: BackendSpec, verdict: Verdict, reason: str) -> None:
        """Write down that a backend is asked for nothing."""
        for number, judge in enumerate(self._judges):
            self._results[number, spec.name] = judge.without_output(spec.name, verdict, reason)
        for number, (trial, law_judge) in enumerate(zip(self._trials, self._law_judges, strict=True)):
            if trial.concerns(spec):
                self._by_law[number, spec.name] = law_judge.without_output(spec.name, verdict, reason)

    def results(self) -> tuple[Comparison, ...]:
        """All comparisons: case by case the oracle's, the fixture's own values first, then the laws'."""
        found: list[Comparison] = []
        for number, judge in enumerate(self._judges):
            found += judge.expected()
            for spec in self.specs:
                found += self._results.get((number, spec.name), ())
            for index, trial in enumerate(self._trials):
                if trial.number == number:
                    for spec in self.specs:
                        found += self._by_law.get((index, spec.name), ())
        return tuple(found)

    def pairs(self) -> tuple[Pair, ...]:
        """How far backends are apart in each case; asked for after the results."""
        names = [EXPECTED, *self._names]
        return tuple(pair for judge in self._judges for pair in judge.pairs(names))

    def notes(self) -> tuple[str, ...]:
        """The laws that were put to nothing: they have not passed."""
        if not self.options.laws:
            return ()
        put = {result.law for judged in self._by_law.values() for result in judged}
        missing = [law.name for law in LAWS if law.name not in put]
        return (f"laws that were put to nothing here: {', '.join(missing)}",) if missing else ()
