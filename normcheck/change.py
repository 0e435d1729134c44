"""What became of backward errors since a baseline was saved."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from normcheck.case import Output


class Trend(enum.StrEnum):
    """Which way a backward error went. WORSE and LOST fail the run."""

    WORSE = "worse"
    LOST = "lost"  # it had one, and is unsupported now
    BETTER = "better"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A backward error that is another one than it was, in unit roundoffs; ``now`` is None where there is none."""

    case: str
    backend: str
    output: Output
    trend: Trend
    was: float
    now: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """A run beside the baseline in ``file``.

    ``compared`` comparisons have an entry; ``new`` counts those of each backend that have none, ``redrawn`` those of
    inputs that another seed drew, ``not_run`` entries of nothing in this run. ``versions`` are those of the backends
    that changed, then and now, None where one states none; ``cpu`` is that of the baseline. ``changes`` are by more
    than ``factor``.
    """

    file: str
    factor: float
    cpu: str
    versions: Mapping[str, tuple[str | None, str | None]]
    compared: int
    new: Mapping[str, int]
    redrawn: int
    not_run: int
    changes: tuple[Change, ...] = ()

    @property
    def failures(self) -> tuple[Change, ...]:
        """The changes that fail the run, the worst first."""
        return tuple(change for change in self.changes if change.trend is not Trend.BETTER)
