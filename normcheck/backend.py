"""A backend as ``--backend`` names it, as text, and what it says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FILE = "file"  # the host of recordings
ARGUMENT = re.compile(
    r"(?:(?P<alias>[^=:\[\]@]*)=)?(?P<host>[^:\[\]@=]*)(?:\[(?P<options>[^\]]*)\])?(?:(?P<kind>[:@])(?P<rest>.*))?",
    re.DOTALL,
)


def host_in(argument: str) -> str:
    """The host that an argument of ``--backend`` names; empty for a recording, and where that cannot be told."""
    parts = ARGUMENT.fullmatch(argument)
    return parts["host"] if parts is not None and parts["host"] != FILE else ""


def moved(text: str, folder: str) -> str:
    """A ``--backend`` as it is to be written elsewhere: its files are named from ``folder``."""
    parts = ARGUMENT.fullmatch(text)
    if parts is None or not parts["rest"]:
        return text
    is_module = parts["kind"] == ":" and parts["host"] != FILE and not re.search(r"\.py:", parts["rest"])
    return text if is_module else text[: parts.start("rest")] + os.path.join(folder, parts["rest"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """A backend's environment once its framework is imported, or why it cannot be used.

    ``offers`` has for each method the dtypes, whether it has gradients and running statistics, and in words what it
    ``lacks``.
    """

    name: str
    environment: Mapping[str, Any]
    offers: Mapping[str, Mapping[str, Any]]
    reason: str | None
