"""The answer of a source to one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from normcheck.data import NOT_DATA
from normcheck.verdict import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]
else:
    Arrays = Mapping[str, Any]  # read at run time, without NumPy


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outputs of one case, by name, and what is known of the call that returned them.

    ``verdict`` is None where there are outputs to be judged. ``problems`` are outputs that are no arrays of a known
    dtype, ``errors`` those whose computation raised, ``unsupported`` those that it said it does not have, and why,
    ``absent`` those that the implementation does not claim to have. A second call gave ``nondeterministic`` outputs
    differently, and overwrote the memory of ``overwritten``.
    """

    verdict: Verdict | None
    reason: str | None = None
    outputs: Arrays = field(default_factory=dict, metadata=NOT_DATA)
    problems: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    nondeterministic: frozenset[str] = frozenset()
    overwritten: frozenset[str] = frozenset()
    seconds: float | None = None
    stderr: str = ""

    def call_defect(self, output: str) -> str | None:
        """What is wrong with the call itself, whatever it returned; None where nothing is."""
        if self.reason is not None:
            return self.reason
        if output in self.nondeterministic:
            return "differs when the same call is made twice"
        if output in self.overwritten:
            return "shares memory with the previous result and overwrites it"
        return None
