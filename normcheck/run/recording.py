"""What a backend answered, in a file: written where it runs, compared where the oracle is.

A recording is a safetensors file. The tensor ``CASE/OUTPUT`` is an output, such as
``group[num_groups=4]/nchw/float32/y``. Its metadata has ``normcheck_recording``, the version of the format, and
``run``, JSON: the backend and its environment, and for each case its parameters, the SHA-256 of each input, and what
there is beside outputs; ``sha256`` is that of the rest. docs/recordings.md describes it in full.
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
from normcheck.dtypes import tagged
from normcheck.errors import RecordingError
from normcheck.run.backends import BackendSpec
from normcheck.run.sources import Question
from normcheck.verdict import Verdict
from normcheck.worker.frames import Tagged, storage

VERSION = "2"
MARK = "normcheck_recording"
_UNKNOWN = frozenset({"complex128"})  # of the dtypes that frames carry, what safetensors does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The answer to one case, and what it was computed from."""

    question: Mapping[str, Any]
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The answers of one backend by the ids of the cases; ``environment`` is what it said of itself."""

    backend: str
    environment: Mapping[str, Any]
    cases: Mapping[str, Recorded]


def asked(case: Case, arrays: Mapping[str, NDArray[np.floating]]) -> dict[str, Any]:
    """What a case asks: its parameters, and the SHA-256 of each input with its dtype and shape."""
    return {
        "method": case.method.value,
        "params": case.params.to_dict(),
        "dtype": case.dtype.value,
        "mode": case.mode.value,
        "steps": case.steps,
        "layout": case.layout.value,
        "outputs": [output.value for output in case.outputs],
        "inputs": {name: fingerprint(tagged(array)) for name, array in sorted(arrays.items())},
    }


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
        for case, recorded in recording.cases.items()
        for name, array in recorded.answer.outputs.items()
    }
    run = {
        "backend": recording.backend,
        "environment": dict(recording.environment),
        "cases": {case: _entry(recorded) for case, recorded in recording.cases.items()},
    }
    text = json.dumps(run, sort_keys=True)
    return save(tensors, metadata={MARK: VERSION, "run": text, "sha256": _seal(text)})


def read(path: str) -> Recording:
    """The recording at ``path``; RecordingError where it is none, or not what was written."""
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
        raise RecordingError(f"{where}: 'run' is not what its sha256 says: it was changed or damaged")
    try:
        run = json.loads(text)
        cases = {str(case): _recorded(case, entry, tensors, where) for case, entry in run["cases"].items()}
        if tensors:
            raise RecordingError(f"{where}: no case has the tensor {min(tensors)!r}")
        environment = {str(name): value for name, value in run["environment"].items()}
        return Recording(backend=str(run["backend"]), environment=environment, cases=cases)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordingError(f"{where}: 'run' is malformed: {type(error).__name__}: {error}") from None


def differences(here: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """In what two questions differ, in words."""
    found = []
    for name in ("method", "params", "dtype", "mode", "steps", "layout", "outputs"):
        if here[name] != recorded.get(name):
            found.append(f"{name} is {here[name]} here and {recorded.get(name)} there")
    theirs = recorded.get("inputs", {})
    for name in sorted({*here["inputs"], *theirs}):
        ours, their = here["inputs"].get(name), theirs.get(name)
        if ours != their:
            found.append(f"{name} is {_short(ours)} here and {_short(their)} there")
    return found


def _short(digest: object) -> str:
    return f"sha256 {str(digest)[:12]}…" if digest else "absent"


def recordable(answer: Answer) -> Answer:
    """The answer as it can be written: an output of a dtype that safetensors lacks is a problem that says so."""
    strange = {
        name: array.dtype.name for name, array in answer.outputs.items() if array.dtype.name in _UNKNOWN
    }
    outputs = {name: array for name, array in answer.outputs.items() if name not in strange}
    problems = {**answer.problems, **{name: f"has dtype {dtype}" for name, dtype in strange.items()}}
    return replace(answer, outputs=outputs, problems=problems)


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(recorded: Recorded) -> dict[str, Any]:
    answer = recorded.answer
    return {
        "question": dict(recorded.question),
        "outputs": {name: fingerprint(tagged(array)) for name, array in answer.outputs.items()},
        "verdict": answer.verdict,
        "reason": answer.reason,
        "seconds": answer.seconds,
        "stderr": answer.stderr,
        "problems": dict(answer.problems),
        "errors": dict(answer.errors),
        "absent": sorted(answer.absent),
        "nondeterministic": sorted(answer.nondeterministic),
        "overwritten": sorted(answer.overwritten),
    }


def _recorded(case: str, entry: Mapping[str, Any], tensors: dict[str, NDArray[Any]], where: str) -> Recorded:
    outputs = {}
    for name, stated in entry["outputs"].items():
        if (tensor := tensors.pop(f"{case}/{name}", None)) is None:
            raise RecordingError(f"{where}: the tensor {f'{case}/{name}'!r} is missing")
        if (found := fingerprint(tagged(tensor))) != stated:
            raise RecordingError(
                f"{where}: the tensor {f'{case}/{name}'!r} is not what was written: "
                f"stated {_short(stated)}, found {_short(found)}; it was changed or damaged"
            )
        outputs[name] = tensor
    verdict = entry["verdict"]
    question = entry["question"]
    if not isinstance(question, dict) or not isinstance(question.get("inputs"), dict):
        raise TypeError("a question is not an object with inputs")
    answer = Answer(
        verdict=None if verdict is None else Verdict(verdict),
        reason=None if entry["reason"] is None else str(entry["reason"]),
        outputs=outputs,
        seconds=None if entry["seconds"] is None else float(entry["seconds"]),
        stderr=str(entry["stderr"]),
        problems=_texts(entry["problems"]),
        errors=_texts(entry["errors"]),
        absent=frozenset(map(str, entry["absent"])),
        nondeterministic=frozenset(map(str, entry["nondeterministic"])),
        overwritten=frozenset(map(str, entry["overwritten"])),
    )
    if answer.verdict is not None and answer.verdict.compared:
        raise ValueError(f"verdict {verdict!r} is for whoever compares")
    return Recorded(question=question, answer=answer)


def _texts(entry: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in entry.items()}


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
    """A source whose answers are those of a recording."""

    def __init__(self, spec: BackendSpec, recording: Recording) -> None:
        self.spec, self.recording = spec, recording
        recorded = {"recorded": Path(spec.recording or "").name, "backend": recording.backend}
        self.environment: Mapping[str, Any] = {**recording.environment, **recorded}

    def check(self, cases: Sequence[str]) -> None:
        """RecordingError unless some of ``cases``, by id, is in the recording."""
        if not any(case in self.recording.cases for case in cases):
            here, there = (", ".join(list(found)[:3]) for found in (cases, self.recording.cases))
            raise RecordingError(
                f"recording {self.spec.recording}: it has none of the {len(cases)} cases that are asked for, "
                f"such as {here}; it has {len(self.recording.cases)}, such as {there or 'none'}"
            )

    def answer(self, question: Question) -> Answer:
        """The recorded answer; RecordingError where the recording is of other inputs or parameters."""
        case = question.case.id
        if (known := self.recording.cases.get(case)) is None:
            reason = f"the recording has no such case, but {len(self.recording.cases)} others"
            return Answer(verdict=Verdict.UNAVAILABLE, reason=reason)
        if wrong := differences(asked(question.case, question.arrays), known.question):
            raise RecordingError(
                f"recording {self.spec.recording}: {case} was computed from something else: "
                f"{'; '.join(wrong)}; record it again with these options and fixtures"
            )
        return known.answer

    def close(self) -> None:
        """Nothing to end."""
