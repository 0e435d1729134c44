"""Candidates never see the oracle: a worker that has imported it, or tried to, says so instead of answering."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional, Sequence

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ("oracle", "judge")
NAMES = tuple(f"normcheck.{room}" for room in ROOMS)
PLACES = tuple(os.path.join(PACKAGE, room, "") for room in ROOMS)


def is_oracle(name: str) -> bool:
    """True for the name of a module of the oracle, or of the judge."""
    return name.startswith(tuple(f"{each}." for each in NAMES)) or name in NAMES


def sentence(name: str) -> str:
    """What is said of a candidate that imports the module ``name``."""
    return f"it imports {name}, normcheck's own oracle: a candidate must compute its answers by itself"


class Guard:
    """A finder of modules that finds none, refuses the oracle, and remembers that it was asked for."""

    def __init__(self) -> None:
        self._asked: Optional[str] = None
        self._before = frozenset(filter(_holds_oracle, list(sys.modules)))  # none, in a process of its own
        self._looked_at = 0

    def install(self) -> None:
        """Be asked first, from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Any = None) -> None:
        """Raise ImportError for a module of the oracle."""
        if is_oracle(name):
            self._asked = self._asked or name
            raise ImportError(sentence(name), name=name)

    def complaint(self) -> Optional[str]:
        """What is to be said of the candidate; None where it has kept away from the oracle."""
        if self._asked is None and len(sys.modules) != self._looked_at:
            self._looked_at = len(sys.modules)
            found = set(filter(_holds_oracle, list(sys.modules))) - self._before
            self._asked = min(found, default=None)
        return None if self._asked is None else sentence(self._asked)


def _holds_oracle(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__dict__", {}).get("__file__")
    return is_oracle(name) or (isinstance(file, str) and file.startswith(PLACES))
