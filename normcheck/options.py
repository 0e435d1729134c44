"""How a run is made and judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normcheck.errors import UsageError

DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run and to judge; ``timeout`` in seconds for one case, ``max_backward_error`` in roundoffs.

    With ``laws`` every case is judged by the laws that apply to it too. ``device`` is where backends compute, in
    their framework's words. ``seed`` is of the inputs that are drawn anew; None: of any.
    """

    timeout: float = DEFAULT_TIMEOUT
    max_backward_error: float | None = None
    strict: bool = False
    laws: bool = False
    device: str = "cpu"
    seed: int | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for limits that no result could meet, or that are no numbers."""
        limit = self.max_backward_error
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise UsageError(f"--max-backward-error is {limit:g}; it must be a number from 0 on")
        if not self.timeout > 0:
            raise UsageError(f"--timeout is {self.timeout:g}; it must be more than 0 seconds")
