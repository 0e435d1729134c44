"""The backends that come with normcheck. The registry holds strings: a framework is imported only in the
worker process that hosts it, so that one that is missing, slow or broken costs nothing to the others.

This package and :mod:`normcheck.worker` also run under other interpreters, down to Python 3.9, with
nothing but the standard library, NumPy and one framework.
"""

from __future__ import annotations

import importlib.util
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

GROUP = "normcheck.backends"  # the entry points of other packages' backends
BOOLEAN = ("True", "False")


class Entry(NamedTuple):
    """Where an adapter is, ``module:class``, and the module without which it is not usable.

    ``options`` are those that it takes in brackets, with their values, the default first. ``default`` are
    those that run where nobody names any.
    """

    adapter: str
    requires: str
    install: str
    options: Mapping[str, Tuple[str, ...]] = {}
    default: bool = False


BUILTIN: Dict[str, Entry] = {
    "numpy": Entry("normcheck.backends.numpy:NumPy", "numpy", "pip install numpy", default=True),
    "torch": Entry("normcheck.backends.torch:Torch", "torch", "pip install 'normcheck[torch]'", default=True),
    "jax": Entry(
        "normcheck.backends.jax:Jax",
        "jax",
        "pip install 'normcheck[jax]'",
        {"jit": BOOLEAN},
        default=True,
    ),
}
DEFAULT = tuple(name for name, entry in BUILTIN.items() if entry.default)


def registered() -> Dict[str, Entry]:
    """The built-in backends and those that other packages register under the entry point group."""
    from importlib.metadata import entry_points

    found = dict(BUILTIN)
    for point in entry_points(group=GROUP):
        if point.name not in found:  # nobody takes a built-in's name
            module = point.module.partition(".")[0]
            distribution = point.dist.name if point.dist is not None else module
            found[point.name] = Entry(point.value, module, f"pip install {distribution}")
    return found


def entry_of(name: str) -> Optional[Entry]:
    """The entry of ``name``; None where nobody has registered one."""
    return BUILTIN[name] if name in BUILTIN else registered().get(name)


def missing(name: str, options: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """Why the backend ``name`` cannot be used here, as far as can be told without importing it."""
    entry = entry_of(name)
    if entry is None:
        return f"no backend is called {name}"
    if importlib.util.find_spec(entry.requires) is None:
        return f"{entry.requires} is not installed: {entry.install}"
    under = (options or {}).get("backend", next(iter(entry.options.get("backend", ())), None))
    if under is not None and importlib.util.find_spec(under) is None:
        return f"{under}, its backend, is not installed: pip install {under}"
    return None
