"""A case as the task of a worker, and the worker's reply as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from normcheck.answer import Answer
from normcheck.backends._base import Task
from normcheck.case import PARAMETERS, Case, Output
from normcheck.data import from_data, to_data
from normcheck.dtypes import untagged
from normcheck.layer import Layer
from normcheck.methods import keywords
from normcheck.run.sources import Question
from normcheck.verdict import Verdict
from normcheck.worker import frames

WIDEST = 8  # bytes of a number
SMALL = 2**20  # bytes
LONGEST = 1e9  # seconds
ALL_OUTPUTS = frozenset(Output)
INPUTS = frozenset(["x", "residual", "grad_y", *PARAMETERS])


def task_of(case: Case, *, once: bool = False) -> dict[str, Any]:
    """The fields of a :class:`normcheck.backends._base.Task`."""
    spelled = {"case": case.id, **to_data(case)}
    found = {name: spelled[name] for name in Task._fields if name in spelled}
    return found | {"params": keywords(case.method, case.params), "once": once}


def layer_of(header: Mapping[str, Any], arrays: Mapping[str, frames.Tagged], backend: str) -> Layer | None:
    """What the layer of ``backend`` says of itself, or None where it is none; ValueError where it is malformed."""
    if (said := header.get("layer")) is None:
        return None
    if unknown := (arrays.keys() | set(header["layer"].get("holds", ()))).difference(PARAMETERS):
        raise ValueError(f"{min(map(str, unknown))!r} is none of {', '.join(PARAMETERS)}")
    found = {name: untagged(*array) for name, array in arrays.items()}
    return replace(from_data(Layer, said), backend=backend, arrays=found)


def room_for(question: Question) -> int:
    """The bytes that all outputs of a case can need: in float64, and small ones of any shape.

    A worker sends no output that is larger: its shape says enough. What comes all the same is not read.
    """
    given = {name: array.size for name, array in question.arrays.items()}
    sizes = (given.get(output.removeprefix("grad_"), given["x"]) for output in question.case.outputs)
    return WIDEST * sum(sizes) + SMALL


def answer_of(
    case: Case, header: Mapping[str, Any], outputs: Mapping[str, frames.Tagged], printed: str
) -> Answer:
    """The answer in a reply to ``case``; KeyError, TypeError or ValueError where it is malformed."""
    status = header["status"]
    if status == "unsupported":
        return Answer(verdict=Verdict.UNSUPPORTED, reason=str(header["message"]), stderr=printed)
    if status == "error":
        text = printed + str(header["traceback"])
        return Answer(verdict=Verdict.ERROR, reason=str(header["message"]), stderr=text)
    if status != "ok":
        raise ValueError(f"status {status!r}")
    seconds = header["seconds"]
    if type(seconds) not in (int, float) or not 0 <= seconds < LONGEST:
        raise ValueError(f"seconds {seconds!r}")
    changed = ", ".join(_names(header, "changed", INPUTS))
    names = frozenset(case.outputs)
    if unknown := set(outputs) - names:
        raise ValueError(f"{min(unknown)!r} is no output of the case")
    return Answer(
        verdict=None,
        reason=f"the call changed its input {changed}" if changed else None,
        outputs={name: untagged(*array) for name, array in outputs.items()},
        problems=_texts(header, "problems", names),
        errors=_texts(header, "errors", names),
        unsupported=_texts(header, "unsupported", names),
        absent=frozenset(_names(header, "absent", ALL_OUTPUTS)),
        nondeterministic=frozenset(_names(header, "nondeterministic", names)),
        overwritten=frozenset(_names(header, "overwritten", names)),
        seconds=float(seconds),
        stderr=printed,
    )


def _names(header: Mapping[str, Any], key: str, valid: frozenset[str]) -> list[str]:
    found = header[key]
    if type(found) is not list or not all(type(name) is str and name in valid for name in found):
        raise ValueError(f"{key} is {found!r}")
    return found


def _texts(header: Mapping[str, Any], key: str, valid: frozenset[str]) -> dict[str, str]:
    found = header[key]
    if type(found) is not dict or not all(type(text) is str for text in found.values()):
        raise ValueError(f"{key} is {found!r}")
    _names({key: list(found)}, key, valid)
    return found
