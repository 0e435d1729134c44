"""The backends that come with normcheck. The registry holds strings: a framework is imported only in the
worker process that hosts it, so that one that is missing, slow or broken costs nothing to the others.

This package and :mod:`normcheck.worker` also run under other interpreters, down to Python 3.9, with
nothing but the standard library, NumPy and one framework.
"""

from __future__ import annotations

import importlib.util
from typing import Dict, NamedTuple, Optional


class Entry(NamedTuple):
    """Where an adapter is, and the module without which it is not usable."""

    module: str
    requires: str
    install: str


BUILTIN: Dict[str, Entry] = {
    "numpy": Entry("normcheck.backends.numpy", "numpy", "pip install numpy"),
    "torch": Entry("normcheck.backends.torch", "torch", "pip install 'normcheck[torch]'"),
    "jax": Entry("normcheck.backends.jax", "jax", "pip install 'normcheck[jax]'"),
}


def missing(name: str) -> Optional[str]:
    """Why the backend ``name`` cannot be used here, as far as can be told without importing it."""
    entry = BUILTIN[name]
    if importlib.util.find_spec(entry.requires) is None:
        return f"{entry.requires} is not installed: {entry.install}"
    return None
