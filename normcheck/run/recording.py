"""The outputs of a backend in a file: saved on one machine, compared on another.

A recording is a safetensors file. The tensor ``CASE/OUTPUT`` is an output, such as
``group[num_groups=4]/nchw/float32/y``. Its metadata has ``normcheck_recording``, the version of the format, and
``run``, JSON: the backend and its environment, and for each case its parameters, the SHA-256 of each input and
output, and the rest of the answer; ``sha256`` is that of ``run``. docs/recordings.md describes it in full.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normcheck.answer import Answer
from normcheck.case import Case
from normcheck.data import from_data, parse, to_data
from normcheck.dtypes import tagged
from normcheck.errors import RecordingError
from normcheck.run.backends import BackendSpec
from normcheck.run.sources import Question
from normcheck.verdict import Verdict
from normcheck.worker.frames import Tagged, storage

VERSION = "3"
MARK = "normcheck_recording"
_UNKNOWN = frozenset({"complex128"})  # dtypes that frames carry and safetensors does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A case, and the SHA-256 of each input with its dtype and shape."""

    case: Case
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The answer to one case, and the question that it answers; ``outputs`` has the SHA-256 of each array."""

    question: Asked
    outputs: Mapping[str, str]
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The answers of one backend by the ids of the cases, and the backend's environment."""

    backend: str
    environment: Mapping[str, Any]
    cases: Mapping[str, Recorded]


def asked(case: Case, arrays: Mapping[str, NDArray[np.floating]]) -> Asked:
    """What ``case`` with the inputs ``arrays`` asks."""
    inputs = {name: fingerprint(tagged(array)) for name, array in sorted(arrays.items())}
    return Asked(case=case, inputs=inputs)


def fingerprint(array: Tagged) -> str:
    """SHA-256 of ``DTYPE:AxBxC:`` and the values, little-endian, in C order."""
    dtype, data = array
    digest = hashlib.sha256(f"{dtype}:{'x'.join(map(str, data.shape))}:".encode())
    digest.update(np.ascontiguousarray(data, dtype=storage(dtype)).data.cast("B") if data.size else b"")
    return digest.hexdigest()


def to_bytes(recording: Recording) -> bytes:
    """The file's content."""
    from safetensors.numpy import save

    tensors = {
        f"{case}/{name}": np.ascontiguousarray(array)
        for case, each in recording.cases.items()
        for name, array in each.answer.outputs.items()
    }
    text = json.dumps(to_data(recording), sort_keys=True, allow_nan=False)
    return save(tensors, metadata={MARK: VERSION, "run": text, "sha256": _seal(text)})


def read(path: str) -> Recording:
    """The recording at ``path``; RecordingError where it is malformed, or not as it was written."""
    where = f"recording {path}"
    metadata, tensors = _opened(path, where)
    if metadata.get(MARK) != VERSION:
        found = metadata.get(MARK, "none")
        raise RecordingError(
            f"{where}: its metadata has {MARK} {found}, this normcheck reads {VERSION}; "
            "write one with: normcheck record"
        )
    text = metadata.get("run", "")
    if metadata.get("sha256") != _seal(text):
        raise RecordingError(f"{where}: 'run' does not have its sha256: it was changed or damaged")
    try:
        run = from_data(Recording, parse(text))
    except ValueError as error:
        raise RecordingError(f"{where}: 'run' is malformed: {error}") from None
    cases = {case: _with_tensors(case, each, tensors, where) for case, each in run.cases.items()}
    if tensors:
        raise RecordingError(f"{where}: no case has the tensor {min(tensors)!r}")
    return replace(run, cases=cases)


def differences(here: Asked, there: Asked) -> list[str]:
    """The differences of two questions, in words."""
    found = []
    case, recorded = to_data(here.case), to_data(there.case)
    for name in case:
        if case[name] != recorded[name]:
            found.append(f"{name} is {case[name]} here and {recorded[name]} there")
    for name in sorted({*here.inputs, *there.inputs}):
        ours, theirs = here.inputs.get(name), there.inputs.get(name)
        if ours != theirs:
            found.append(f"{name} is {_short(ours)} here and {_short(theirs)} there")
    return found


def _short(digest: object) -> str:
    return f"sha256 {str(digest)[:12]}…" if digest else "absent"


def recorded(question: Asked, answer: Answer) -> Recorded:
    """The answer without outputs of a dtype that safetensors does not have; each becomes a problem."""
    strange = {
        name: array.dtype.name for name, array in answer.outputs.items() if array.dtype.name in _UNKNOWN
    }
    outputs = {name: array for name, array in answer.outputs.items() if name not in strange}
    problems = {**answer.problems, **{name: f"has dtype {dtype}" for name, dtype in strange.items()}}
    return Recorded(
        question=question,
        outputs={name: fingerprint(tagged(array)) for name, array in outputs.items()},
        answer=replace(answer, outputs=outputs, problems=problems),
    )


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _with_tensors(case: str, recorded: Recorded, tensors: dict[str, NDArray[Any]], where: str) -> Recorded:
    """``recorded`` with its outputs, which are taken out of ``tensors``."""
    if recorded.question.case.id != case:
        raise RecordingError(f"{where}: 'run' is malformed: {case!r} is not the id of its case")
    if (verdict := recorded.answer.verdict) is not None and verdict.compared:
        raise RecordingError(f"{where}: 'run' is malformed: only a comparison has the verdict {verdict}")
    outputs = {}
    for name, stated in recorded.outputs.items():
        if (tensor := tensors.pop(f"{case}/{name}", None)) is None:
            raise RecordingError(f"{where}: the tensor {f'{case}/{name}'!r} is missing")
        if (found := fingerprint(tagged(tensor))) != stated:
            raise RecordingError(
                f"{where}: the tensor {f'{case}/{name}'!r} is not as it was written: "
                f"stated {_short(stated)}, found {_short(found)}; it was changed or damaged"
            )
        outputs[name] = tensor
    return replace(recorded, answer=replace(recorded.answer, outputs=outputs))


def _opened(path: str, where: str) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    import ml_dtypes  # noqa: F401 (makes NumPy know bfloat16)
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except Exception as error:  # whatever the parser raises on hostile bytes is the file's fault
        first = (str(error).splitlines() or [""])[0]
        raise RecordingError(
            f"{where}: not readable as safetensors: {first or type(error).__name__}"
        ) from None
    return metadata, tensors


class Replay:
    """Answers from a recording instead of a worker."""

    def __init__(self, spec: BackendSpec, recording: Recording) -> None:
        self.spec, self.recording = spec, recording
        recorded = {"recorded": Path(spec.recording or "").name, "backend": recording.backend}
        self.environment: Mapping[str, Any] = {**recording.environment, **recorded}

    def check(self, cases: Sequence[str]) -> None:
        """RecordingError unless the recording has one of ``cases``, by id."""
        if not any(case in self.recording.cases for case in cases):
            here, there = (", ".join(list(found)[:3]) for found in (cases, self.recording.cases))
            raise RecordingError(
                f"recording {self.spec.recording}: it has none of the {len(cases)} cases of this run, "
                f"such as {here}; it has {len(self.recording.cases)}, such as {there or 'none'}"
            )

    def layer(self) -> None:
        """None: its cases are what they are."""

    def answer(self, question: Question) -> Answer:
        """The recorded answer; RecordingError where it was computed from other inputs or parameters."""
        case = question.case.id
        if (known := self.recording.cases.get(case)) is None:
            reason = f"the recording does not have this case; it has {len(self.recording.cases)} others"
            return Answer(verdict=Verdict.UNAVAILABLE, reason=reason)
        if wrong := differences(asked(question.case, question.arrays), known.question):
            raise RecordingError(
                f"recording {self.spec.recording}: {case} was computed from something else: "
                f"{'; '.join(wrong)}; record it again with these options and fixtures"
            )
        return known.answer

    def close(self) -> None:
        """Do nothing: no process runs."""
