"""What a run asks its sources, case by case, and who judges the answers: the oracle, and laws if wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from normcheck.answer import Answer
from normcheck.fixtures.arrays import Arrays
from normcheck.judge.case import NO_EVIDENCE, CaseJudge, Judged, Stated
from normcheck.judge.laws import LAWS, OWN, Law, Run, Trial
from normcheck.judge.laws.judge import LawJudge
from normcheck.options import Options
from normcheck.oracle import truths_of
from normcheck.plan import PlannedCase
from normcheck.report import EXPECTED, Comparison, Pair
from normcheck.run import repeats
from normcheck.run.backends import BackendSpec
from normcheck.verdict import Verdict

ByRun = Mapping[str, Answer]
EVIDENCE = 8  # results of a backend that FAIL of which there is evidence


class Task(Protocol):
    """Runs of one case that sources are asked for, and what follows from their answers."""

    @property
    def number(self) -> int:
        """The number of the case."""

    @property
    def runs(self) -> Mapping[str, Run]:
        """The runs by name."""

    @property
    def once(self) -> bool:
        """True if a run is one call; else it is two, of which the second says whether the first was an accident."""

    def asked(self, spec: BackendSpec) -> Sequence[str]:
        """The names of the runs that a source is asked for."""

    def prepare(self) -> None:
        """Compute what needs no answers."""

    def judge(self, answers: Mapping[str, ByRun]) -> Judged:
        """What follows from the answers of every source, by run."""


class Tasks(Protocol):
    """What a run does: tasks, one after another, and what becomes of their results."""

    @property
    def total(self) -> int:
        """How many tasks there are."""

    def __iter__(self) -> Iterator[Task]:
        """Each task when its turn has come."""

    def record(self, task: Task, judged: Judged) -> None:
        """Keep what came of a task."""


class CaseTask:
    """A case, judged by the oracle."""

    def __init__(
        self,
        number: int,
        planned: PlannedCase,
        options: Options,
        most_evidence: Mapping[str, int] = NO_EVIDENCE,
    ) -> None:
        arrays = planned.fixture.arrays()
        self.number, self._most_evidence = number, most_evidence
        self.once = options.repeat > 1
        run = Run(case=planned.case, arrays=arrays.inputs(planned.case))
        self.runs = dict.fromkeys(repeats.names(options.repeat), run)
        self._judge = CaseJudge(run.case, run.arrays, options, stated(arrays, planned))

    def asked(self, spec: BackendSpec) -> Sequence[str]:
        """The case itself, as often as it is repeated; a recording says the same each time."""
        return (OWN,) if spec.recording is not None else tuple(self.runs)

    def prepare(self) -> None:
        """Compute what needs no answers."""
        self._judge.prepare()

    def judge(self, answers: Mapping[str, ByRun]) -> Judged:
        """The comparisons with the oracle, and between each two sources."""
        if self.once:
            return repeats.judged(self._judge, answers, self._most_evidence)
        own = {backend: by_run[OWN] for backend, by_run in answers.items()}
        return self._judge.judge(own, self._most_evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LawTrial:
    """A law that applies to a case; ``prefix`` tells its runs from those of others."""

    law: Law
    trial: Trial

    @property
    def prefix(self) -> str:
        return f"{self.law.name}: "

    def asks(self, spec: BackendSpec) -> bool:
        """False for a recording, which has no other answers, and for an implementation of one method where the law
        is between two.
        """
        of_one_method = spec.target is not None or spec.function is not None
        return spec.recording is None and not (of_one_method and self.law.between_methods)


class LawsTask:
    """A case, judged by every law that applies to it."""

    once = False

    def __init__(
        self, number: int, planned: PlannedCase, options: Options, specs: Sequence[BackendSpec]
    ) -> None:
        case = planned.case
        own = Run(case=case, arrays=planned.fixture.arrays().inputs(case))
        self.number = number
        self._options, self._specs = options, {spec.name: spec for spec in specs}
        self._trials = [
            _LawTrial(law=law, trial=trial)
            for law in LAWS
            if (trial := law.trial(case, own.arrays)) is not None and trial.relations
        ]
        self.runs = {OWN: own}
        for each in self._trials:
            self.runs |= {each.prefix + name: run for name, run in each.trial.runs.items()}

    def asked(self, spec: BackendSpec) -> Sequence[str]:
        """The runs of the laws, and of the case itself, to which they relate."""
        found = [each.prefix + name for each in self._trials if each.asks(spec) for name in each.trial.runs]
        return [OWN, *found] if any(each.asks(spec) for each in self._trials) else []

    def prepare(self) -> None:
        """Nothing: what a law needs of the oracle depends on what is returned."""

    def judge(self, answers: Mapping[str, ByRun]) -> Judged:
        """The comparisons by each law."""
        results: dict[str, tuple[Comparison, ...]] = defaultdict(tuple)
        own = self.runs[OWN]
        truths = truths_of(own.case, own.arrays) if self._trials else {}
        for each in self._trials:
            judge = LawJudge(each.law, each.trial, own, truths, self._options)
            for backend, by_run in answers.items():
                if not each.asks(self._specs[backend]):
                    continue
                of_law = {name: by_run[each.prefix + name] for name in each.trial.runs}
                if (failed := by_run[OWN]).verdict is Verdict.UNAVAILABLE:
                    results[backend] += tuple(judge.without_output(backend, failed.verdict, failed.reason))
                else:
                    results[backend] += tuple(judge.judge(backend, {OWN: by_run[OWN], **of_law}))
        return Judged(results=results, pairs=())


class TaskList:
    """The tasks of a run, made one by one: all cases, then the laws of each.

    A law's run that kills its worker can so cost no case its comparison with the oracle.
    """

    def __init__(
        self, planned: Sequence[PlannedCase], specs: Sequence[BackendSpec], options: Options
    ) -> None:
        self.planned, self.specs, self.options = planned, specs, options
        self.total = len(planned) * (2 if options.laws else 1)
        self._results: dict[int, list[tuple[Comparison, ...]]] = defaultdict(list)
        self._pairs: dict[int, tuple[Pair, ...]] = {}
        self._varying: dict[str, list[str]] = defaultdict(list)  # ids of cases, by backend
        self._offsets: dict[int, float] = {}
        self._most_evidence = dict.fromkeys([EXPECTED, *(spec.name for spec in specs)], EVIDENCE)

    def __iter__(self) -> Iterator[Task]:
        """Each task when its turn has come: its inputs are made then."""
        for number, planned in enumerate(self.planned):
            yield CaseTask(number, planned, self.options, self._most_evidence)
        if self.options.laws:
            for number, planned in enumerate(self.planned):
                yield LawsTask(number, planned, self.options, self.specs)

    def record(self, task: Task, judged: Judged) -> None:
        """Keep the comparisons of a task, in the order of the backends."""
        names = [EXPECTED, *(spec.name for spec in self.specs)]
        found = [judged.results[name] for name in names if name in judged.results]
        if isinstance(task, LawsTask):
            found = [_by_law(found)]
        self._results[task.number] += found
        self._pairs[task.number] = self._pairs.get(task.number, ()) + judged.pairs
        for result in (result for some in found for result in some):
            self._most_evidence[result.backend] -= result.judgement.evidence is not None
        if judged.offset is not None:
            self._offsets[task.number] = judged.offset
        for backend in judged.varying:
            self._varying[backend].append(self.planned[task.number].case.id)

    def results(self) -> tuple[Comparison, ...]:
        """All comparisons: case by case the oracle's, the fixture's own values first, then the laws'."""
        numbers = range(len(self.planned))
        return tuple(result for n in numbers for some in self._results[n] for result in some)

    def pairs(self) -> tuple[Pair, ...]:
        """How far each two backends are apart in each case."""
        return tuple(pair for n in range(len(self.planned)) for pair in self._pairs.get(n, ()))

    def offsets(self) -> dict[str, float]:
        """The offset of x in each case where a mean is taken away."""
        return {self.planned[number].case.id: self._offsets[number] for number in sorted(self._offsets)}

    def notes(self) -> tuple[str, ...]:
        """What varies from call to call, and the laws that applied to no case: they have not passed."""
        return (*self._of_calls(), *self._of_laws())

    def _of_calls(self) -> Iterator[str]:
        for backend, cases in self._varying.items():
            where = cases[0] if len(cases) == 1 else f"{cases[0]} and {len(cases) - 1} more"
            yield f"{backend}: results differ in their bits from call to call, all within the bound: {where}"

    def _of_laws(self) -> tuple[str, ...]:
        if not self.options.laws:
            return ()
        applied = {result.law for result in self.results()}
        missing = [law.name for law in LAWS if law.name not in applied]
        return (f"laws that applied to no case in this run: {', '.join(missing)}",) if missing else ()


def stated(arrays: Arrays, planned: PlannedCase) -> list[Stated]:
    return [
        Stated(output=each.output, values=each.values, decimals=each.decimals)
        for each in arrays.expected
        if each.applies_to(planned.case, planned.unsaid)
    ]


def _by_law(found: Sequence[Sequence[Comparison]]) -> tuple[Comparison, ...]:
    """Law by law, and in each the backends in their order."""
    order = {law.name: number for number, law in enumerate(LAWS)}
    return tuple(sorted((r for some in found for r in some), key=lambda result: order[result.law]))
