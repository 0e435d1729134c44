"""Run cases on backends and judge what comes back: plan, workers, comparisons, Report."""

from __future__ import annotations

import math
import platform
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normcheck.backends import BUILTIN, missing
from normcheck.errors import UsageError
from normcheck.model import EXPECTED, Comparison, Environment, Pair, Report, Verdict
from normcheck.plan import PlannedCase, Selection, plan
from normcheck.worker.process import WorkerProcess
from normcheck.worker.spec import BackendSpec

if TYPE_CHECKING:
    from normcheck.judging import CaseJudge
    from normcheck.worker.client import Answer, WorkerClient

DEFAULT_TIMEOUT = 60.0

OnProgress = Callable[[Mapping[str, int], int], None]  # cases done by backend, cases in all


def _ignore(done: Mapping[str, int], total: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run and to judge; ``timeout`` in seconds for one case, ``max_backward_error`` in roundoffs."""

    timeout: float = DEFAULT_TIMEOUT
    max_backward_error: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for limits that no result could meet, or that are no numbers."""
        limit = self.max_backward_error
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise UsageError(
                f"the largest backward error allowed is {limit:g}; it must be a number from 0 on"
            )
        if not self.timeout > 0:
            raise UsageError(f"the timeout is {self.timeout:g} s; it must be more than 0")


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
    reasons = {name: missing(name) for name in BUILTIN}
    usable = tuple(BackendSpec.parse(name) for name, reason in reasons.items() if reason is None)
    notes = tuple(f"{name} was left out: {reason}" for name, reason in reasons.items() if reason is not None)
    return usable, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """What a built-in backend says of itself when its framework is imported, or why it cannot be used."""

    name: str
    environment: Mapping[str, Any]
    reason: str | None


def probe_backends() -> tuple[BackendStatus, ...]:
    """Start every built-in backend, all at once, and ask what it is."""
    reasons = {name: missing(name) for name in BUILTIN}
    environments: dict[str, Mapping[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="normcheck-") as directory:
        specs = [BackendSpec.parse(name) for name, reason in reasons.items() if reason is None]
        processes = [(spec, WorkerProcess(spec, directory)) for spec in specs]
        from normcheck.worker.client import UnavailableError, WorkerClient

        clients = [
            WorkerClient(spec, process, directory, timeout=DEFAULT_TIMEOUT) for spec, process in processes
        ]
        for client in clients:
            try:
                environments[client.spec.name] = client.ready()
            except UnavailableError as error:
                reasons[client.spec.name] = str(error)
            finally:
                client.close()
    return tuple(
        BackendStatus(name=name, environment=environments.get(name, {}), reason=reason)
        for name, reason in reasons.items()
    )


def run(
    selection: Selection,
    backends: Sequence[str] = (),
    options: Options | None = None,
    on_progress: OnProgress = _ignore,
) -> Report:
    """Compare ``backends`` (as ``--backend`` takes them; none: every usable built-in) on ``selection``.

    Raises a :class:`normcheck.errors.NormcheckError` where nothing can be run; what goes wrong with one
    backend is in the report.
    """
    options = options or Options()
    specs, notes = backend_specs(backends)
    planned = plan(selection)
    with tempfile.TemporaryDirectory(prefix="normcheck-") as directory:
        return _Run(specs, planned.cases, options, directory, on_progress).report((*notes, *planned.notes))


@dataclass(frozen=True, slots=True)
class _Done:
    """What a worker's thread has to say: an answer to a case, or the error that ends the run."""

    backend: str
    number: int
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
        self.results: dict[tuple[int, str], list[Comparison]] = {}
        self.pairs: dict[int, list[Pair]] = {}

    def report(self, notes: tuple[str, ...]) -> Report:
        from normcheck import __version__

        processes: dict[str, WorkerProcess] = {}
        clients: list[WorkerClient] = []
        try:
            for spec in self.specs:
                if spec.target is not None or missing(spec.host) is None:
                    processes[spec.name] = WorkerProcess(spec, self.directory)
            from normcheck.worker.client import WorkerClient  # NumPy, while the workers start

            for spec in self.specs:
                if spec.name in processes:
                    process = processes.pop(spec.name)
                    clients.append(WorkerClient(spec, process, self.directory, timeout=self.options.timeout))
            self._judge_all(clients)
        finally:
            for process in processes.values():
                process.kill()
            for client in clients:
                client.close()
            for thread in self.threads:
                thread.join(timeout=5)
        names = [EXPECTED, *(spec.name for spec in self.specs)]
        order = range(len(self.planned))
        return Report(
            normcheck_version=__version__,
            environment=Environment(
                python=platform.python_version(),
                platform=platform.platform(),
                cpu=_cpu(),
                backends={name: self.environments[name] for name in names if name in self.environments},
            ),
            cases=tuple(planned.case for planned in self.planned),
            results=tuple(
                r for number in order for name in names for r in self.results.get((number, name), ())
            ),
            pairs=tuple(pair for number in order for pair in self.pairs[number]),
            notes=notes,
            arguments={spec.name: spec.argument for spec in self.specs},
            max_backward_error=self.options.max_backward_error,
        )

    def _judge_all(self, clients: Sequence[WorkerClient]) -> None:
        from normcheck.judging import CaseJudge

        inputs = [planned.fixture.arrays().inputs(planned.case) for planned in self.planned]
        packed = [CaseJudge.pack(arrays, self.directory) for arrays in inputs]
        for client in clients:
            thread = threading.Thread(target=self._drive, args=(client, packed), daemon=True)
            thread.start()
            self.threads.append(thread)
        judges = [
            CaseJudge(planned, arrays, self.options)
            for planned, arrays in zip(self.planned, inputs, strict=True)
        ]
        running = {client.spec.name for client in clients}
        for spec in self.specs:
            if spec.name not in running:
                self._leave_out(spec, judges)
        self._collect(judges, clients)
        for number, judge in enumerate(judges):
            self.results[number, EXPECTED] = judge.expected()
            self.pairs[number] = judge.pairs([EXPECTED, *(spec.name for spec in self.specs)])

    def _leave_out(self, spec: BackendSpec, judges: Sequence[CaseJudge]) -> None:
        for number, judge in enumerate(judges):
            self.results[number, spec.name] = judge.without_output(
                spec.name, Verdict.UNAVAILABLE, missing(spec.host) or "cannot be used here"
            )

    def _drive(self, client: WorkerClient, packed: Sequence[Any]) -> None:
        """Put every case to one worker; runs in a thread of its own and only waits."""
        from normcheck.worker.client import Answer, UnavailableError

        unavailable: Answer | None = None
        for number, (planned, inputs) in enumerate(zip(self.planned, packed, strict=True)):
            try:
                answer = unavailable or client.compute(planned.case, inputs)
            except UnavailableError as error:
                answer = unavailable = Answer(verdict=Verdict.UNAVAILABLE, reason=str(error))
            except BaseException as error:  # handed to the main thread, which raises it
                self.inbox.put(_Done(client.spec.name, number, None, error))
                return
            self.inbox.put(_Done(client.spec.name, number, answer))

    def _collect(self, judges: Sequence[CaseJudge], clients: Sequence[WorkerClient]) -> None:
        done = {client.spec.name: 0 for client in clients}
        total = len(self.planned)
        self.on_progress(done, total)
        while any(count < total for count in done.values()):
            message = self.inbox.get()
            if message.error is not None:
                raise message.error
            assert message.answer is not None  # noqa: S101 (one of the two is there)
            judged = judges[message.number].judge(message.backend, message.answer)
            self.results[message.number, message.backend] = judged
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
