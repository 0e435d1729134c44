"""Run cases on sources and judge their answers: plan, sources, comparisons, Report."""

from __future__ import annotations

import platform
import queue
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from normcheck import ledger
from normcheck._version import __version__
from normcheck.answer import Answer
from normcheck.backends import registered
from normcheck.options import Options
from normcheck.plan import PlannedCase, Selection, all_cases, plan
from normcheck.report import Environment, Report
from normcheck.run.backends import BackendSpec, backend_specs
from normcheck.run.process import WorkerProcess
from normcheck.run.record import OnProgress, ignore
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from normcheck.run.client import WorkerClient
    from normcheck.run.recording import Replay
    from normcheck.run.tasks import Docket


def run(
    selection: Selection,
    backends: Sequence[str] = (),
    options: Options | None = None,
    on_progress: OnProgress = ignore,
    known: Sequence[ledger.Entry] = (),
) -> Report:
    """Compare ``backends`` (as ``--backend`` takes them; none: the usable default ones) on ``selection``.

    ``known`` is the ledger of known deviations.

    Raises a :class:`normcheck.errors.NormcheckError` where nothing can be run; what goes wrong with one
    backend is in the report.
    """
    options = options or Options()
    specs, notes = backend_specs(backends)
    specs = tuple(replace(spec, device=options.device) for spec in specs)
    planned = plan(selection)
    with tempfile.TemporaryDirectory(prefix="normcheck-") as directory:
        report = _Run(specs, planned.cases, options, directory, on_progress).report((*notes, *planned.notes))
    if not known:
        return report
    results, stale = ledger.apply(known, report.results, backends=registered, cases=_case_ids)
    return replace(report, results=results, stale=stale)


def _case_ids(pattern: str) -> Iterator[str]:
    """The ids of all cases of the fixtures that come with normcheck; by laws too where the pattern speaks of one."""
    cases = all_cases()
    yield from (case.id for case in cases)
    if "law" in pattern:
        from normcheck.judge.laws import LAWS

        named = [law.name for law in LAWS if law.name in pattern] or [law.name for law in LAWS]
        yield from (case.id_with(f"law={name}") for name in named for case in cases)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a worker's thread has to say: the answer to an item, or the error that ends the run."""

    backend: str
    index: int
    answer: Answer | None
    error: BaseException | None = None


class _Run:
    """One run: all workers start at once; while they import their frameworks the oracle is computed here."""

    def __init__(
        self,
        specs: Sequence[BackendSpec],
        planned: Sequence[PlannedCase],
        options: Options,
        directory: str,
        on_progress: OnProgress,
    ) -> None:
        self.specs, self.planned, self.options = specs, planned, options
        self.directory, self.on_progress = directory, on_progress
        self.inbox: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.environments: dict[str, Mapping[str, Any]] = {}

    def report(self, notes: tuple[str, ...]) -> Report:
        processes: dict[str, WorkerProcess] = {}
        clients: list[WorkerClient | Replay] = []
        try:
            for spec in self.specs:
                if spec.recording is None and (spec.target is not None or spec.missing is None):
                    processes[spec.name] = WorkerProcess(spec, self.directory)
            from normcheck.run.client import WorkerClient
            from normcheck.run.tasks import Docket  # NumPy, while the workers start

            for spec in self.specs:
                if spec.name in processes:
                    process = processes.pop(spec.name)
                    clients.append(WorkerClient(spec, process, self.directory, timeout=self.options.timeout))
                elif spec.recording is not None:
                    from normcheck.run import recording

                    clients.append(recording.Replay(spec, recording.read(spec.recording)))
            docket = Docket(self.planned, self.specs, self.options)
            self._judge_all(docket, clients)
        finally:
            for process in processes.values():
                process.kill()
            for client in clients:
                client.close()
            for thread in self.threads:
                thread.join(timeout=5)
        names = [spec.name for spec in self.specs]
        return Report(
            normcheck_version=__version__,
            environment=Environment(
                python=platform.python_version(),
                platform=platform.platform(),
                cpu=_cpu(),
                backends={name: self.environments[name] for name in names if name in self.environments},
            ),
            cases=tuple(planned.case for planned in self.planned),
            results=docket.results(),
            pairs=docket.pairs(),
            notes=(*notes, *docket.notes()),
            arguments={spec.name: spec.argument for spec in self.specs},
            fixtures={each.fixture.name: each.fixture.argument for each in self.planned},
            max_backward_error=self.options.max_backward_error,
        )

    def _judge_all(self, docket: Docket, clients: Sequence[WorkerClient | Replay]) -> None:
        from normcheck.run.client import pack

        self._check_recordings(docket, clients)
        packed = [pack(item.run.arrays, self.directory) for item in docket.items]
        for client in clients:
            thread = threading.Thread(target=self._drive, args=(client, docket, packed), daemon=True)
            thread.start()
            self.threads.append(thread)
        docket.compute_oracle()
        running = {client.spec.name for client in clients}
        for spec in self.specs:
            if spec.name not in running:
                docket.leave_out(spec, Verdict.UNAVAILABLE, spec.missing or "cannot be used here")
        self._collect(docket, clients)

    @staticmethod
    def _check_recordings(docket: Docket, clients: Sequence[WorkerClient | Replay]) -> None:
        """Refuse recordings of something else before anything is judged."""
        replays = [client for client in clients if client.spec.recording is not None]
        if not replays:
            return
        from normcheck.run.recording import Replay, question

        own = [item.run for item in docket.items if item.trial is None]
        questions = {run.case.id: question(run.case, run.arrays) for run in own}
        for replay in replays:
            assert isinstance(replay, Replay)  # noqa: S101 (its spec says so)
            replay.check(questions)

    def _drive(self, client: WorkerClient | Replay, docket: Docket, packed: Sequence[Any]) -> None:
        """Put every item to one worker; runs in a thread of its own and only waits.

        A case that gives no output is not tried again by laws: their answer is the same.
        """
        from normcheck.answer import Answer
        from normcheck.run.client import UnavailableError

        unavailable: Answer | None = None
        without_output: dict[int, Answer] = {}
        for index in docket.asked_of(client.spec):
            item = docket.items[index]
            known = unavailable or without_output.get(item.number)
            try:
                answer = known or client.compute(item.run.case, packed[index])
            except UnavailableError as error:
                answer = unavailable = Answer(verdict=Verdict.UNAVAILABLE, reason=str(error))
            except BaseException as error:  # handed to the main thread, which raises it
                self.inbox.put(_Done(client.spec.name, index, None, error))
                return
            if item.trial is None and answer.verdict is not None:
                without_output[item.number] = answer
            self.inbox.put(_Done(client.spec.name, index, answer))

    def _collect(self, docket: Docket, clients: Sequence[WorkerClient | Replay]) -> None:
        total = len(docket.items)
        done = {client.spec.name: total - len(docket.asked_of(client.spec)) for client in clients}
        self.on_progress(done, total)
        while any(count < total for count in done.values()):
            message = self.inbox.get()
            if message.error is not None:
                raise message.error
            assert message.answer is not None  # noqa: S101 (one of the two is there)
            docket.take(message.backend, message.index, message.answer)
            done[message.backend] += 1
            self.on_progress(done, total)
        self.environments.update({client.spec.name: client.environment for client in clients})


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
