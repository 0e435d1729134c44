"""Record the outputs of one backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from normcheck.errors import UnusableBackendError, UsageError
from normcheck.options import Options
from normcheck.plan import Selection, plan
from normcheck.run import drawn
from normcheck.run.backends import BackendSpec
from normcheck.run.process import WorkerProcess

if TYPE_CHECKING:
    from normcheck.run.recording import Recording

OnProgress = Callable[[Mapping[str, int], int], None]  # tasks done by backend, tasks in all


def ignore(done: Mapping[str, int], total: int) -> None:
    """Show no progress."""


def record(
    selection: Selection, backend: str, options: Options | None = None, on_progress: OnProgress = ignore
) -> Recording:
    """Run ``backend`` on the cases of ``selection`` and return its answers, for comparison elsewhere.

    Raises a :class:`normcheck.errors.NormcheckError` where nothing can be run, or the backend cannot be used; a
    case that crashes, hangs or raises is recorded as such.
    """
    options = options or Options()
    spec = replace(BackendSpec.parse(backend), device=options.device)
    if spec.recording is not None:
        raise UsageError(f"backend {backend!r} is a recording already")
    if (reason := spec.missing) is not None:
        raise UnusableBackendError(f"backend {backend!r} cannot be used here: {reason}")
    process = WorkerProcess(spec)
    from normcheck.run.client import WorkerClient
    from normcheck.run.recording import Recording, asked, recorded
    from normcheck.run.sources import Question, UnavailableError

    seed = drawn.OF_RECORDINGS if options.seed is None else options.seed
    client = WorkerClient(spec, process, timeout=options.timeout)
    cases = {}
    try:
        layer = client.layer()
        planned = drawn.drawn(plan(selection, [] if layer is None else [layer]), seed).cases
        for number, each in enumerate(planned):
            on_progress({spec.name: number}, len(planned))
            arrays = each.fixture.arrays().inputs(each.case)
            answer = client.answer(Question.of(each.case, arrays))
            cases[each.case.id] = recorded(asked(each.case, arrays), answer)
    except UnavailableError as error:
        raise UnusableBackendError(f"backend {backend!r} cannot be used here: {error}") from None
    finally:
        client.close()
    return Recording(backend=spec.name, environment=client.environment, cases=cases)
