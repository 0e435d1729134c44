"""Whatever answers cases: a worker process, a recording, or a function in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from normcheck.answer import Answer
from normcheck.case import Case
from normcheck.dtypes import tagged
from normcheck.layer import Layer
from normcheck.run.backends import BackendSpec
from normcheck.worker import frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One case with its inputs; ``packed`` is ready to be sent to any number of workers.

    It is answered by two calls, the second to look at the first, or by one where it is asked ``once`` and again.
    """

    case: Case
    arrays: Mapping[str, NDArray[Any]]
    packed: frames.Packed
    once: bool = False

    @classmethod
    def of(cls, case: Case, arrays: Mapping[str, NDArray[Any]], *, once: bool = False) -> Question:
        """With the arrays packed once for all workers."""
        packed = frames.pack({name: tagged(array) for name, array in arrays.items()})
        return cls(case=case, arrays=arrays, packed=packed, once=once)


class Source(Protocol):
    """What answers cases; ``environment`` is what it says of itself, once it has answered."""

    spec: BackendSpec
    environment: Mapping[str, Any]

    def layer(self) -> Layer | None:
        """What it says of itself if it is a user's layer; None if not. Raises TargetError as ``answer`` does."""

    def answer(self, question: Question) -> Answer:
        """The answer to one case.

        Raises TargetError where the user's implementation cannot be loaded, RecordingError where a recording is of
        something else, UnavailableError where the framework cannot be used.
        """

    def close(self) -> None:
        """End it for good; may be called from another thread than the one that waits for an answer."""


class UnavailableError(Exception):
    """The framework of a source cannot be used here."""
