"""Run cases on backends and judge what comes back: plan, workers, comparisons, Report."""

from __future__ import annotations

import math
import os
import platform
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from normcheck import ledger
from normcheck.backends import DEFAULT, missing, registered
from normcheck.errors import UnknownNameError, UnusableBackendError, UsageError
from normcheck.model import Environment, Report, Verdict
from normcheck.plan import PlannedCase, Selection, all_cases, plan
from normcheck.worker.process import WorkerProcess
from normcheck.worker.spec import BackendSpec

if TYPE_CHECKING:
    from normcheck.docket import Docket
    from normcheck.recording import Recording, Replay
    from normcheck.worker.client import Answer, WorkerClient

DEFAULT_TIMEOUT = 60.0

OnProgress = Callable[[Mapping[str, int], int], None]  # tasks done by backend, tasks in all


def _ignore(done: Mapping[str, int], total: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run and to judge; ``timeout`` in seconds for one case, ``max_backward_error`` in roundoffs.

    With ``laws`` every case is put to the laws that apply to it too. ``device`` is where backends compute, in
    their framework's words.
    """

    timeout: float = DEFAULT_TIMEOUT
    max_backward_error: float | None = None
    strict: bool = False
    laws: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise UsageError for limits that no result could meet, or that are no numbers."""
        limit = self.max_backward_error
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise UsageError(f"--max-backward-error is {limit:g}; it must be a number from 0 on")
        if not self.timeout > 0:
            raise UsageError(f"--timeout is {self.timeout:g}; it must be more than 0 seconds")


def backend_specs(names: Iterable[str]) -> tuple[tuple[BackendSpec, ...], tuple[str, ...]]:
    """The backends that ``names`` stand for (none: every usable built-in), and notes on those left out."""
    specs: dict[str, BackendSpec] = {}
    for name in names:
        spec = BackendSpec.parse(name)
        if specs.setdefault(spec.name, spec) != spec:
            raise UsageError(
                f"two backends are called {spec.name!r}: give one an alias, ALIAS={spec.argument}"
            )
    if specs:
        return tuple(specs.values()), ()
    reasons = {name: missing(name) for name in DEFAULT}
    usable = tuple(BackendSpec.parse(name) for name, reason in reasons.items() if reason is None)
    notes = tuple(f"{name} was left out: {reason}" for name, reason in reasons.items() if reason is not None)
    return usable, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """What a backend says of itself when its framework is imported, or why it cannot be used.

    ``offers`` has for each method the dtypes, whether it has gradients and running statistics, and in words what it
    ``lacks``.
    """

    name: str
    environment: Mapping[str, Any]
    offers: Mapping[str, Mapping[str, Any]]
    reason: str | None


def probe_backends(names: Iterable[str] = ()) -> tuple[BackendStatus, ...]:
    """Start every backend that is registered, or those of ``names``, a few at a time; ask what it is and has."""
    known = registered()
    for name in (names := tuple(names)):
        if name not in known:
            raise UnknownNameError("backend", name, known)
    with (
        tempfile.TemporaryDirectory(prefix="normcheck-") as directory,
        ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool,
    ):
        return tuple(pool.map(lambda name: _probed(name, directory), names or known))


def _probed(name: str, directory: str) -> BackendStatus:
    reason = missing(name)
    if reason is not None:
        return BackendStatus(name=name, environment={}, offers={}, reason=reason)
    from normcheck.worker.client import UnavailableError, WorkerClient

    spec = BackendSpec.parse(name)
    client = WorkerClient(spec, WorkerProcess(spec, directory), directory, timeout=DEFAULT_TIMEOUT)
    try:
        return BackendStatus(name=name, environment=client.ready(), offers=client.offers, reason=None)
    except UnavailableError as error:
        return BackendStatus(name=name, environment={}, offers={}, reason=str(error))
    finally:
        client.close()


def run(
    selection: Selection,
    backends: Sequence[str] = (),
    options: Options | None = None,
    on_progress: OnProgress = _ignore,
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
        from normcheck.laws import LAWS

        named = [law.name for law in LAWS if law.name in pattern] or [law.name for law in LAWS]
        yield from (replace(case, law=name).id for name in named for case in cases)


def record(
    selection: Selection, backend: str, options: Options | None = None, on_progress: OnProgress = _ignore
) -> Recording:
    """What ``backend`` answers to the cases of ``selection``, to be compared elsewhere.

    Raises a :class:`normcheck.errors.NormcheckError` where nothing can be run, or the backend cannot be used; a
    case that crashes, hangs or raises is recorded as such.
    """
    options = options or Options()
    spec = replace(BackendSpec.parse(backend), device=options.device)
    if spec.recording is not None:
        raise UsageError(f"backend {backend!r} is a recording already")
    if (reason := spec.missing) is not None:
        raise UnusableBackendError(f"backend {backend!r} cannot be used here: {reason}")
    planned = plan(selection).cases
    with tempfile.TemporaryDirectory(prefix="normcheck-") as directory:
        process = WorkerProcess(spec, directory)
        from normcheck.judging import pack
        from normcheck.recording import Recorded, Recording, question, recordable
        from normcheck.worker.client import UnavailableError, WorkerClient

        client = WorkerClient(spec, process, directory, timeout=options.timeout)
        cases = {}
        try:
            for number, each in enumerate(planned):
                on_progress({spec.name: number}, len(planned))
                arrays = each.fixture.arrays().inputs(each.case)
                answer = client.compute(each.case, pack(arrays, directory))
                asked = question(each.case, arrays)
                cases[each.case.id] = Recorded(question=asked, answer=recordable(answer))
        except UnavailableError as error:
            raise UnusableBackendError(f"backend {backend!r} cannot be used here: {error}") from None
        finally:
            client.close()
    return Recording(backend=spec.name, environment=client.environment, cases=cases)


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
        from normcheck import __version__

        processes: dict[str, WorkerProcess] = {}
        clients: list[WorkerClient | Replay] = []
        try:
            for spec in self.specs:
                if spec.recording is None and (spec.target is not None or spec.missing is None):
                    processes[spec.name] = WorkerProcess(spec, self.directory)
            from normcheck.docket import Docket  # NumPy, while the workers start
            from normcheck.worker.client import WorkerClient

            for spec in self.specs:
                if spec.name in processes:
                    process = processes.pop(spec.name)
                    clients.append(WorkerClient(spec, process, self.directory, timeout=self.options.timeout))
                elif spec.recording is not None:
                    from normcheck import recording

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
            max_backward_error=self.options.max_backward_error,
        )

    def _judge_all(self, docket: Docket, clients: Sequence[WorkerClient | Replay]) -> None:
        from normcheck.judging import pack

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
        from normcheck.recording import Replay, question

        own = [item.run for item in docket.items if item.trial is None]
        questions = {run.case.id: question(run.case, run.arrays) for run in own}
        for replay in replays:
            assert isinstance(replay, Replay)  # noqa: S101 (its spec says so)
            replay.check(questions)

    def _drive(self, client: WorkerClient | Replay, docket: Docket, packed: Sequence[Any]) -> None:
        """Put every item to one worker; runs in a thread of its own and only waits.

        A case that gives no output is not tried again by laws: their answer is the same.
        """
        from normcheck.worker.client import Answer, UnavailableError

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
