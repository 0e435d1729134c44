"""What results say of themselves as text. The ground knows that they say something; the room of reports knows what, and
tells it here when it is imported, so that no arrow points up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Say = Callable[[Any], str]
_sayings: dict[str, Say] = {}


def teach(**sayings: Say) -> None:
    """From now on :func:`say` says ``sayings``, by name."""
    _sayings.update(sayings)


def say(name: str, value: Any) -> str:
    """What is said of ``value`` by that name; its repr where nothing has been taught."""
    return _sayings.get(name, repr)(value)
