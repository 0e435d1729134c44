"""How a run is made and judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normcheck.errors import UsageError

DEFAULT_TIMEOUT = 60.0
MAX_REPEAT = 1000
MAX_TIMEOUT = 86_400.0  # a day: more is a mistake, and beyond what clocks can count in the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run and to judge; ``timeout`` in seconds for one case, ``max_backward_error`` in roundoffs.

    Each case is asked ``repeat`` times. With ``laws`` every case is judged by the laws that apply to it too. ``device``
    is where backends compute, in their framework's words. ``seed`` is of the inputs that are drawn anew; None: of any.
    """

    timeout: float = DEFAULT_TIMEOUT
    max_backward_error: float | None = None
    strict: bool = False
    laws: bool = False
    device: str = "cpu"
    repeat: int = 1
    seed: int | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for limits that no result could meet, or that are no numbers."""
        limit = self.max_backward_error
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise UsageError(f"--max-backward-error is {limit:g}; it must be a number from 0 on")
        if type(self.repeat) is not int or not 1 <= self.repeat <= MAX_REPEAT:
            raise UsageError(f"--repeat is {self.repeat}; it must be a whole number from 1 to {MAX_REPEAT}")
        if not 0 < self.timeout <= MAX_TIMEOUT:
            raise UsageError(
                f"--timeout is {self.timeout:g}; valid: more than 0 seconds, at most {MAX_TIMEOUT:,.0f}"
            )
