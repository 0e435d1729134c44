"""A case as the task of a worker, and the worker's reply as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from normcheck.answer import Answer
from normcheck.backends._base import Task
from normcheck.case import Case
from normcheck.data import from_data, to_data
from normcheck.dtypes import untagged
from normcheck.layer import Layer
from normcheck.methods import keywords
from normcheck.verdict import Verdict
from normcheck.worker import frames


def task_of(case: Case) -> dict[str, Any]:
    """The fields of a :class:`normcheck.backends._base.Task`."""
    spelled = {"case": case.id, **to_data(case)}
    found = {name: spelled[name] for name in Task._fields if name in spelled}
    return found | {"params": keywords(case.method, case.params)}


def layer_of(header: Mapping[str, Any], arrays: Mapping[str, frames.Tagged], backend: str) -> Layer | None:
    """What the layer of ``backend`` says of itself, or None where it is none; ValueError where it is malformed."""
    if (said := header.get("layer")) is None:
        return None
    found = {name: untagged(*array) for name, array in arrays.items()}
    return replace(from_data(Layer, said), backend=backend, arrays=found)


def answer_of(header: Mapping[str, Any], outputs: Mapping[str, frames.Tagged], printed: str) -> Answer:
    """The answer in a reply; KeyError, TypeError or ValueError where it is malformed."""
    status = header["status"]
    if status == "unsupported":
        return Answer(verdict=Verdict.UNSUPPORTED, reason=str(header["message"]), stderr=printed)
    if status == "error":
        text = printed + str(header["traceback"])
        return Answer(verdict=Verdict.ERROR, reason=str(header["message"]), stderr=text)
    if status != "ok":
        raise ValueError(f"status {status!r}")
    changed = ", ".join(map(str, header["changed"]))
    return Answer(
        verdict=None,
        reason=f"the call changed its input {changed}" if changed else None,
        outputs={name: untagged(*array) for name, array in outputs.items()},
        problems={str(name): str(problem) for name, problem in header["problems"].items()},
        errors={str(name): str(error) for name, error in header["errors"].items()},
        unsupported={str(name): str(reason) for name, reason in header["unsupported"].items()},
        absent=frozenset(map(str, header["absent"])),
        nondeterministic=frozenset(map(str, header["nondeterministic"])),
        overwritten=frozenset(map(str, header["overwritten"])),
        seconds=float(header["seconds"]),
        stderr=printed,
    )
