"""LOOSE results are decided: the code that gave them is asked again, for sums of other lengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from normcheck.case import Output
from normcheck.judge.case import CaseJudge, Judged
from normcheck.judge.growth import Asked, Variation, decided, variations, varied
from normcheck.judge.laws import Run
from normcheck.options import Options
from normcheck.plan import PlannedCase
from normcheck.report import EXPECTED, Comparison, Judgement, Report
from normcheck.run.backends import BackendSpec
from normcheck.run.tasks import ByRun, Task
from normcheck.verdict import Excuse

VARIED = "varied"  # the name of a run


@dataclass(frozen=True, slots=True)
class _Loose:
    """The results of one case that are to be decided, by backend."""

    planned: PlannedCase
    outputs: Mapping[str, tuple[Output, ...]]

    def variations(self) -> Iterator[Variation]:
        outputs = dict.fromkeys(output for some in self.outputs.values() for output in some)
        found = (each for output in outputs for each in variations(self.planned.case, output))
        yield from dict.fromkeys(found)


class VariationTask:
    """A case whose sums have other lengths, asked of the backends that were LOOSE in it."""

    once = False

    def __init__(self, number: int, loose: _Loose, variation: Variation, options: Options) -> None:
        self.number, self.loose, self.variation = number, loose, variation
        planned = loose.planned
        case, arrays = varied(planned.case, planned.fixture.arrays().inputs(planned.case), variation)
        self.runs = {VARIED: Run(case=case, arrays=arrays)}
        self._judge = CaseJudge(case, arrays, options)

    def asked(self, spec: BackendSpec) -> Sequence[str]:
        """The one run, if the backend has something to be decided."""
        return (VARIED,) if spec.name in self.loose.outputs else ()

    def prepare(self) -> None:
        """Compute what needs no answers."""
        self._judge.prepare()

    def judge(self, answers: Mapping[str, ByRun]) -> Judged:
        """The comparisons with the oracle."""
        return self._judge.judge({name: by_run[VARIED] for name, by_run in answers.items() if by_run})


class VariationList:
    """The tasks that decide the LOOSE results of ``report``, made one by one, and its results after that."""

    def __init__(
        self,
        report: Report,
        planned: Sequence[PlannedCase],
        specs: Sequence[BackendSpec],
        options: Options,
    ) -> None:
        self._report, self._options = report, options
        open_to = {spec.name for spec in specs if spec.recording is None}
        outputs: dict[str, dict[str, list[Output]]] = defaultdict(lambda: defaultdict(list))
        for result in filter(_is_open, report.results):
            if result.backend in open_to:
                outputs[result.case.id][result.backend].append(result.output)
        self._loose = [
            _Loose(each, {name: tuple(some) for name, some in outputs[each.case.id].items()})
            for each in planned
            if each.case.id in outputs
        ]
        asked = {name for loose in self._loose for name in loose.outputs}
        self.specs = tuple(spec for spec in specs if spec.name in asked)
        self.total = sum(len(list(loose.variations())) for loose in self._loose)
        self._found: dict[tuple[str, str, Output], list[Asked]] = defaultdict(list)

    def __iter__(self) -> Iterator[Task]:
        """Each task when its turn has come: its inputs are made then."""
        number = 0
        for loose in self._loose:
            for variation in loose.variations():
                yield VariationTask(number, loose, variation, self._options)
                number += 1

    def record(self, task: Task, judged: Judged) -> None:
        """Keep what each backend answered, for each of the outputs to be decided."""
        assert isinstance(task, VariationTask)  # noqa: S101 (it has made them all)
        case = task.loose.planned.case
        for backend, results in judged.results.items():
            for result in results:
                wanted = result.output in task.loose.outputs.get(backend, ())
                if wanted and task.variation in variations(case, result.output):
                    asked = _asked(task.variation, result.judgement)
                    self._found[case.id, backend, result.output].append(asked)

    def results(self) -> tuple[Comparison, ...]:
        """The results of the report, with those that were LOOSE decided."""
        return tuple(self._decided(result) if _is_open(result) else result for result in self._report.results)

    def _decided(self, result: Comparison) -> Comparison:
        asked = self._found.get((result.case.id, result.backend, result.output), ())
        judgement = decided(result.judgement, result.case, asked, refusal=self._refusal(result.backend))
        return replace(result, judgement=judgement)

    def _refusal(self, backend: str) -> str | None:
        if backend == EXPECTED:
            return "stated values cannot be asked for sums of other lengths"
        if backend not in {spec.name for spec in self.specs}:
            return "a recording cannot be asked for sums of other lengths"
        return None


def _is_open(result: Comparison) -> bool:
    return result.judgement.excuse is Excuse.SUMMATION and not result.law


def _asked(variation: Variation, judgement: Judgement) -> Asked:
    if judgement.verdict.compared:
        return Asked(variation=variation, judgement=judgement)
    reason = f"asked for sums of other lengths it answers: {judgement.reason}"
    return Asked(variation=variation, judgement=None, reason=reason)
