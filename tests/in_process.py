"""One's own implementation in this process: the worker computes, the client reads its reply, the judge judges it.

What a worker process adds, its start, its socket and its end, is for tests/e2e; here a call costs milliseconds.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from normcheck.answer import Answer
from normcheck.backends import BUILTIN
from normcheck.backends._base import Backend
from normcheck.case import Case, Method
from normcheck.dtype import DType
from normcheck.dtypes import tagged
from normcheck.judge.laws import OWN
from normcheck.options import Options
from normcheck.plan import Selection, plan
from normcheck.report import Comparison
from normcheck.run.client import answer_of, task_of
from normcheck.run.tasks import CaseTask
from normcheck.worker import target
from normcheck.worker.compute import Worker
from normcheck.worker.serve import answer


@cache
def host(name: str) -> Backend:
    """The adapter ``name`` without options; its framework is imported into this process."""
    module, _, attribute = BUILTIN[name].adapter.partition(":")
    adapter: Backend = getattr(importlib.import_module(module), attribute)({}, "cpu")
    return adapter


def loaded(path: Path, attribute: str, name: str) -> Worker:
    """A worker for ``attribute`` of the file ``path``, hosted by ``name``."""
    return Worker(host(name), target.load(f"{path}:{attribute}", name))


def answered(worker: Worker, case: Case, arrays: Mapping[str, Any]) -> Answer:
    """The worker's answer to ``case``."""
    reply = answer(worker, task_of(case), {name: tagged(array) for name, array in arrays.items()})
    outputs = reply.pop("outputs", {})
    return answer_of(reply, outputs, "")


def judged(
    worker: Worker, method: str = "layer", fixture: str = "nc", dtype: str = "float32", **selection: Any
) -> list[Comparison]:
    """The comparisons of ``worker`` with the oracle, on all cases of ``fixture``."""
    chosen = Selection(methods=[Method(method)], fixtures=[fixture], dtypes=[DType(dtype)], **selection)
    results: list[Comparison] = []
    for number, planned in enumerate(plan(chosen).cases):
        task = CaseTask(number, planned, Options())
        run = task.runs[OWN]
        answers = {"mine": {OWN: answered(worker, run.case, run.arrays)}}
        results += task.judge(answers).results["mine"]
    return results
