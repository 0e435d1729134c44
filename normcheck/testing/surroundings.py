"""What a test runs in, as pytest's plugin says it: this process or a worker, with which seed, for which report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normcheck.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """``isolated``: candidates run in a worker. ``seed`` is of inputs that are drawn anew, None: any.

    ``module`` is that of the test, in whose names a candidate is looked for. ``record`` takes each report, None: it is
    not wanted.
    """

    isolated: bool = False
    seed: int | None = None
    module: ModuleType | None = None
    record: Callable[[Report], None] | None = None


_NONE = Surroundings()
_current: ContextVar[Surroundings] = ContextVar("surroundings", default=_NONE)
current = _current.get


@contextmanager
def within(surroundings: Surroundings) -> Iterator[None]:
    """Have :func:`current` return ``surroundings`` as long as the context lasts."""
    token = _current.set(surroundings)
    try:
        yield
    finally:
        _current.reset(token)
