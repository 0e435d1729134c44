"""Run cases on sources and judge their answers: plan, sources, comparisons, Report."""

from __future__ import annotations

import platform
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from normcheck._version import __version__
from normcheck.answer import Answer
from normcheck.ledger.apply import applied
from normcheck.ledger.read import NO_LEDGER, Ledger
from normcheck.options import Options
from normcheck.plan import Plan, PlannedCase, Selection, plan
from normcheck.report import Environment, Report
from normcheck.run import drawn
from normcheck.run.backends import BackendSpec, backend_specs
from normcheck.run.process import WorkerProcess
from normcheck.run.record import OnProgress, ignore
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from normcheck.run.sources import Question, Source
    from normcheck.run.tasks import Task, Tasks

AT_MOST = 64 * 2**20  # bytes of inputs up to which tasks are made ahead of the answers
AT_LEAST = 1  # tasks that are open while another one is made


def run(
    selection: Selection,
    backends: Sequence[str | BackendSpec] = (),
    options: Options | None = None,
    on_progress: OnProgress = ignore,
    known: Ledger = NO_LEDGER,
) -> Report:
    """Compare ``backends`` (specs, or as ``--backend`` takes them; none: the usable default ones) on ``selection``.

    ``known`` is the ledger of known deviations.

    Raises a :class:`normcheck.errors.NormcheckError` where nothing can be run; what goes wrong with one
    backend is in the report.
    """
    options = options or Options()
    specs, notes = backend_specs(backends)
    specs = tuple(replace(spec, device=options.device) for spec in specs)
    with _workers(specs) as processes:
        session = _Session(specs, options, on_progress)
        report = session.report(processes, selection, notes)
        report = _with_loose_decided(report, session.planned, specs, options)
    return applied(known, report)


def _with_loose_decided(
    report: Report, planned: Sequence[PlannedCase], specs: Sequence[BackendSpec], options: Options
) -> Report:
    """The report once what is LOOSE has been asked for sums of other lengths; workers start again for that."""
    if not any(result.verdict is Verdict.LOOSE for result in report.results):
        return report
    from normcheck.run.variations import VariationList

    tasks = VariationList(report, planned, specs, options)
    if tasks.total:
        with _workers(tasks.specs) as processes:
            _Session(tasks.specs, options, ignore).ask(processes, tasks)
    return replace(report, results=tasks.results())


@contextmanager
def _workers(specs: Iterable[BackendSpec]) -> Iterator[dict[str, WorkerProcess]]:
    """Start all workers; those that are still in the dictionary at the end are killed."""
    processes: dict[str, WorkerProcess] = {}
    try:
        for spec in specs:
            if spec.starts_worker:
                processes[spec.name] = WorkerProcess(spec)
        yield processes
    finally:
        for process in processes.values():
            process.kill()


@dataclass(frozen=True, slots=True)
class _Answered:
    """What the thread of a source says: its answer to a run of a task, or the error that ends the session."""

    backend: str
    number: int  # of the open task
    run: str
    answer: Answer | None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """A run of an open task, of the case with the number ``case``, to be answered by one source."""

    number: int
    case: int
    run: str
    question: Question


@dataclass(slots=True, kw_only=True)
class _Open:
    """A task that has been asked, with its questions by run, and what has been answered so far."""

    task: Task
    questions: Mapping[str, Question]
    awaited: dict[str, int]  # answers, by backend
    answers: dict[str, dict[str, Answer]]

    @property
    def nbytes(self) -> int:
        """The size of the inputs."""
        distinct = {id(question): question for question in self.questions.values()}  # a repeated case is one
        return sum(array.nbytes for question in distinct.values() for array in question.arrays.values())


class _Session:
    """One run. The workers import their frameworks while the first tasks are made.

    A thread for each source takes its questions one by one, and only waits. Tasks are made while what is open is
    small, and two at least, so that sources are busy while a case is judged; a task is dropped with all its arrays as
    soon as it has been judged.
    """

    def __init__(
        self,
        specs: Sequence[BackendSpec],
        options: Options,
        on_progress: OnProgress,
    ) -> None:
        self.specs, self.options = specs, options
        self.planned: Sequence[PlannedCase] = ()
        self.seed: int | None = None  # of what is drawn anew
        self.on_progress = on_progress
        self.inbox: queue.SimpleQueue[_Answered] = queue.SimpleQueue()
        self.sources: dict[str, Source] = {}
        self.queues: dict[str, queue.SimpleQueue[_Request | None]] = {}
        self.threads: list[threading.Thread] = []
        self.open: dict[int, _Open] = {}
        self.done: dict[str, int] = {}

    def report(
        self, processes: dict[str, WorkerProcess], selection: Selection, notes: tuple[str, ...]
    ) -> Report:
        """Plan and run all tasks; ``processes`` are taken out as sources take them over.

        What to run is known when users' layers have said what they are.
        """
        try:
            from normcheck.run.located import places
            from normcheck.run.tasks import TaskList  # imports all that is needed, while the workers start

            self._connect(processes)
            layers = [layer for source in self.sources.values() if (layer := source.layer()) is not None]
            planned = plan(selection, layers)
            self.seed = drawn.seed_for(planned, self.specs, self.options.seed)
            planned = drawn.drawn(planned, self.seed)
            self.planned = planned.cases
            self._check_recordings(planned)
            tasks = TaskList(planned.cases, self.specs, self.options)
            self._start_threads()
            self._run(tasks)
        finally:
            self._end()
        return Report(
            normcheck_version=__version__,
            environment=Environment(
                python=platform.python_version(),
                platform=platform.platform(),
                cpu=_cpu(),
                backends={name: source.environment for name, source in self.sources.items()},
                seed=self.seed,
            ),
            cases=tuple(each.case for each in planned.cases),
            results=drawn.told_apart(tasks.results(), self.seed),
            pairs=tasks.pairs(),
            notes=(*notes, *planned.notes, *tasks.notes()),
            arguments={spec.name: spec.argument for spec in self.specs if spec.function is None},
            fixtures={
                each.fixture.name: each.fixture.argument
                for each in planned.cases
                if not each.fixture.in_memory
            },
            as_stored=planned.as_stored,
            sources=places(self.specs),
            offsets=tasks.offsets(),
            max_backward_error=self.options.max_backward_error,
            repeat=self.options.repeat,
        )

    def ask(self, processes: dict[str, WorkerProcess], tasks: Tasks) -> None:
        """Run ``tasks`` alone."""
        try:
            self._connect(processes)
            self._start_threads()
            self._run(tasks)
        finally:
            self._end()

    def _end(self) -> None:
        for source in self.sources.values():
            source.close()
        self._ask_no_more()
        for thread in self.threads:
            thread.join(timeout=5)

    def _connect(self, processes: dict[str, WorkerProcess]) -> None:
        """Make the sources that there are, in the order of the specs."""
        from normcheck.run.client import WorkerClient

        for spec in self.specs:
            if spec.function is not None:
                from normcheck.run.inprocess import InProcess

                self.sources[spec.name] = InProcess(spec)
            elif spec.name in processes:
                process = processes.pop(spec.name)
                self.sources[spec.name] = WorkerClient(spec, process, timeout=self.options.timeout)
            elif spec.recording is not None:
                from normcheck.run import recording

                self.sources[spec.name] = recording.Replay(spec, recording.read(spec.recording))

    def _check_recordings(self, planned: Plan) -> None:
        """Raise RecordingError for a recording that has none of the cases."""
        from normcheck.run.recording import Replay

        for source in self.sources.values():
            if isinstance(source, Replay):
                source.check([each.case.id for each in planned.cases])

    def _start_threads(self) -> None:
        """Start a thread for each source."""
        for name, source in self.sources.items():
            self.queues[name] = queue.SimpleQueue()
            self.done[name] = 0
            thread = threading.Thread(target=self._drive, args=(name, source), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _run(self, tasks: Tasks) -> None:
        self.on_progress(self.done, tasks.total)
        for number, task in enumerate(tasks):
            self._ask(number, task)
            task.prepare()
            del task  # all that holds its arrays is what is open
            while len(self.open) > AT_LEAST and sum(each.nbytes for each in self.open.values()) > AT_MOST:
                self._take(tasks)
            self._take_what_is_there(tasks)
        self._ask_no_more()
        while self.open:
            self._take(tasks)

    def _ask_no_more(self) -> None:
        """Have each thread end, and its worker, as soon as its queue is empty: while the last answers are judged."""
        for requests in self.queues.values():
            requests.put(None)

    def _ask(self, number: int, task: Task) -> None:
        """Send the questions of a task to every source; what cannot be used has answered already."""
        from normcheck.run.sources import Question

        packed = {
            id(run): Question.of(run.case, run.arrays, once=task.once)
            for run in {id(run): run for run in task.runs.values()}.values()
        }
        questions = {name: packed[id(run)] for name, run in task.runs.items()}
        opened = _Open(task=task, questions=questions, awaited={}, answers={})
        self.open[number] = opened
        for spec in self.specs:
            runs = task.asked(spec)
            if spec.name not in self.sources:
                missing = Answer(verdict=Verdict.UNAVAILABLE, reason=spec.missing or "cannot be used here")
                opened.answers[spec.name] = dict.fromkeys(runs, missing)
                continue
            opened.answers[spec.name] = {}
            opened.awaited[spec.name] = len(runs)
            for run in runs:
                self.queues[spec.name].put(_Request(number, task.number, run, questions[run]))
        for name, count in opened.awaited.items():
            self.done[name] += count == 0

    def _take_what_is_there(self, tasks: Tasks) -> None:
        """Judge what is complete without waiting; a task that nothing is awaited of is complete at once."""
        while not self.inbox.empty():
            self._take(tasks)
        for number in [n for n, each in self.open.items() if not any(each.awaited.values())]:
            self._judge(tasks, number)

    def _take(self, tasks: Tasks) -> None:
        """Wait for an answer, and judge its task if it is the last one."""
        from normcheck.run.repeats import shared

        message = self.inbox.get()
        if message.error is not None:
            raise message.error
        assert message.answer is not None  # noqa: S101 (one of the two is there)
        opened = self.open[message.number]
        answers, answer = opened.answers[message.backend], message.answer
        answers[message.run] = shared(answer, answers.values()) if opened.task.once else answer
        opened.awaited[message.backend] -= 1
        if opened.awaited[message.backend] == 0:
            self.done[message.backend] += 1
            self.on_progress(self.done, tasks.total)
        if not any(opened.awaited.values()):
            self._judge(tasks, message.number)

    def _judge(self, tasks: Tasks, number: int) -> None:
        opened = self.open.pop(number)
        tasks.record(opened.task, opened.task.judge(opened.answers))

    def _drive(self, name: str, source: Source) -> None:
        """Answer what is in the queue of a source; runs in a thread, which only waits.

        A case that gives no output is not asked again for a law: the answer is the same.
        """
        from normcheck.judge.laws import OWN
        from normcheck.run.sources import UnavailableError

        unavailable: Answer | None = None
        without_output: dict[int, Answer] = {}
        while (request := self.queues[name].get()) is not None:
            number, case, run = request.number, request.case, request.run
            try:
                answer = unavailable or without_output.get(case) or source.answer(request.question)
            except UnavailableError as error:
                answer = unavailable = Answer(verdict=Verdict.UNAVAILABLE, reason=str(error))
            except BaseException as error:  # handed to the main thread, which raises it
                self.inbox.put(_Answered(name, number, run, None, error))
                return
            if run == OWN and answer.verdict is not None:
                without_output[case] = answer
            self.inbox.put(_Answered(name, number, run, answer))
            del request, answer  # and with them the arrays
        source.close()


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
