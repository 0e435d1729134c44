"""One's own implementation in this process: the worker computes, the client reads its reply, the judge judges it.

What a worker process adds, its start, its socket and its end, is for tests/e2e; here a call costs milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from normcheck.answer import Answer
from normcheck.backends._base import Backend, Task
from normcheck.case import Case, Method
from normcheck.dtype import DType
from normcheck.dtypes import tagged
from normcheck.errors import TargetError
from normcheck.judge.laws import OWN
from normcheck.layer import Layer
from normcheck.options import Options
from normcheck.plan import Selection, plan
from normcheck.report import Comparison
from normcheck.run.backends import BackendSpec
from normcheck.run.inprocess import InProcess
from normcheck.run.replies import answer_of, task_of
from normcheck.run.sources import Question
from normcheck.run.tasks import CaseTask
from normcheck.worker import target
from normcheck.worker.compute import Worker
from normcheck.worker.serve import adapter_of, reply_to


def host(name: str) -> Backend:
    """A new adapter ``name`` without options; its framework is imported into this process."""
    return adapter_of(BackendSpec.parse(name).for_worker())


def answered(worker: Worker, case: Case, arrays: Mapping[str, Any]) -> Answer:
    """The worker's answer to ``case``."""
    inputs = {name: tagged(array) for name, array in arrays.items()}
    reply = reply_to(worker, Task(**task_of(case)), inputs)
    return answer_of(case, reply, reply.pop("outputs", {}), "")


def judged(
    worker: Worker,
    method: str = "layer",
    fixture: str = "nc",
    dtype: str = "float32",
    **selection: Any,
) -> list[Comparison]:
    """The comparisons of ``worker`` with the oracle, on all cases of ``fixture``; its adapter is of no more use."""
    chosen = Selection(methods=[Method(method)], fixtures=[fixture], dtypes=[DType(dtype)], **selection)
    results: list[Comparison] = []
    try:
        for number, planned in enumerate(plan(chosen).cases):
            task = CaseTask(number, planned, Options())
            run = task.runs[OWN]
            answers = {"mine": {OWN: answered(worker, run.case, run.arrays)}}
            results += task.judge(answers).results["mine"]
    finally:
        worker.backend.release()
    return results


class NoProcess:
    """What stands for a worker's process where there is none."""

    def __init__(self, spec: BackendSpec) -> None: ...

    def kill(self) -> None: ...


class Source(InProcess):
    """A worker in this process, in the place of a WorkerClient."""

    def __init__(self, spec: BackendSpec, process: NoProcess, *, timeout: float) -> None:
        super().__init__(spec)

    def layer(self) -> Layer | None:
        """What is to be called, if it is a layer."""
        self._load()
        return None if self.spec.function is None else super().layer()

    def answer(self, question: Question) -> Answer:
        """Call it."""
        self._load()
        return super().answer(question)

    def _load(self) -> None:
        if self.spec.target is not None and self.spec.function is None:
            try:
                function = target.load(self.spec.target, self.spec.host)
            except target.BadTargetError as error:
                raise TargetError(str(error), details=error.details) from None
            self.spec = replace(self.spec, function=function)


def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every run of this test compute in this process."""
    monkeypatch.setattr("normcheck.run.client.WorkerClient", Source)
    for module in ("session", "record"):
        monkeypatch.setattr(f"normcheck.run.{module}.WorkerProcess", NoProcess)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a target's folder is added to it
