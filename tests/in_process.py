"""One's own implementation in this process: the worker computes, the client reads its reply, the judge judges it.

What a worker process adds, its start, its socket and its end, is for tests/e2e; here a call costs milliseconds.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from normcheck.answer import Answer
from normcheck.backends import BUILTIN
from normcheck.backends._base import Backend, UnavailableError
from normcheck.case import Case, Method
from normcheck.dtype import DType
from normcheck.dtypes import tagged
from normcheck.errors import TargetError
from normcheck.judge.laws import OWN
from normcheck.options import Options
from normcheck.plan import Selection, plan
from normcheck.report import Comparison
from normcheck.run.backends import BackendSpec
from normcheck.run.client import answer_of, task_of
from normcheck.run.sources import Question
from normcheck.run.sources import UnavailableError as UnusableError
from normcheck.run.tasks import CaseTask
from normcheck.worker import target
from normcheck.worker.compute import Worker
from normcheck.worker.serve import answer


def adapter(name: str, options: Mapping[str, str], device: str = "cpu") -> Backend:
    """A new adapter; its framework is imported into this process."""
    module, _, attribute = BUILTIN[name].adapter.partition(":")
    found: Backend = getattr(importlib.import_module(module), attribute)(options, device)
    return found


@cache
def host(name: str) -> Backend:
    """The adapter ``name`` without options."""
    return adapter(name, {})


def loaded(path: Path, attribute: str, name: str) -> Worker:
    """A worker for ``attribute`` of the file ``path``, hosted by ``name``."""
    return Worker(host(name), target.load(f"{path}:{attribute}", name))


def answered(worker: Worker, case: Case, arrays: Mapping[str, Any]) -> Answer:
    """The worker's answer to ``case``."""
    reply = answer(worker, task_of(case), {name: tagged(array) for name, array in arrays.items()})
    outputs = reply.pop("outputs", {})
    return answer_of(reply, outputs, "")


def judged(
    worker: Worker,
    method: str = "layer",
    fixture: str = "nc",
    dtype: str = "float32",
    options: Options | None = None,
    **selection: Any,
) -> list[Comparison]:
    """The comparisons of ``worker`` with the oracle, on all cases of ``fixture``."""
    chosen = Selection(methods=[Method(method)], fixtures=[fixture], dtypes=[DType(dtype)], **selection)
    results: list[Comparison] = []
    for number, planned in enumerate(plan(chosen).cases):
        task = CaseTask(number, planned, options or Options())
        run = task.runs[OWN]
        answers = {"mine": {OWN: answered(worker, run.case, run.arrays)}}
        results += task.judge(answers).results["mine"]
    return results


class NoProcess:
    """What stands for a worker's process where there is none."""

    def __init__(self, spec: BackendSpec, directory: str) -> None: ...

    def kill(self) -> None: ...


class Source:
    """A worker in this process, in the place of a WorkerClient."""

    def __init__(self, spec: BackendSpec, process: NoProcess, directory: str, *, timeout: float) -> None:
        self.spec = spec
        self.environment: Mapping[str, Any] = {}
        self._worker: Worker | None = None

    def answer(self, question: Question) -> Answer:
        """Load what is to be called, and call it."""
        if self._worker is None:
            try:
                self._worker = self._loaded()
            except UnavailableError as error:
                raise UnusableError(str(error)) from None
            except target.BadTargetError as error:
                raise TargetError(str(error), details=error.details) from None
        return answered(self._worker, question.case, question.arrays)

    def close(self) -> None:
        """Nothing is held."""

    def _loaded(self) -> Worker:
        backend = adapter(self.spec.host, dict(self.spec.options), self.spec.device)
        self.environment = backend.environment()
        return Worker(backend, self.spec.target and target.load(self.spec.target, self.spec.host))


def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every run of this test compute in this process."""
    monkeypatch.setattr("normcheck.run.client.WorkerClient", Source)
    for module in ("session", "record"):
        monkeypatch.setattr(f"normcheck.run.{module}.WorkerProcess", NoProcess)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a target's folder is added to it
