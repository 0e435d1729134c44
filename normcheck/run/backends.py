"""The grammar of ``--backend``: a built-in or a plugin, perhaps under another interpreter; a user's own implementation
hosted by one; or a recording.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normcheck.backend import ARGUMENT, FILE
from normcheck.backends import BUILTIN, DEFAULT, Entry, entry_of, missing, registered
from normcheck.case import Method
from normcheck.errors import TargetError, UnknownNameError, UsageError
from normcheck.methods import usual_keywords
from normcheck.report import EXPECTED

GRAMMAR = "[ALIAS=]NAME[OPTION=VALUE,…][@PYTHON], [ALIAS=]HOST:TARGET or [ALIAS=]file:RECORDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A backend: ``name`` in the report, ``host`` framework, ``target`` your own code (None: the built-in).

    ``argument`` is what was given on the command line. ``python`` is the interpreter to run it with (None: this
    one), ``recording`` the file of a recording, which needs no framework, ``function`` an object in this process.
    ``paths`` are folders in which the target is looked for too, and what it imports.
    """

    name: str
    host: str
    argument: str
    target: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    python: str | None = None
    recording: str | None = None
    device: str = "cpu"
    function: Any = None
    paths: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> BackendSpec:
        """Read ``torch``, ``flax.linen[use_fast_variance=False]``, ``mine=torch:path/to/file.py:attribute``,
        ``old=torch@path/to/python`` or ``gpu=file:run.safetensors``.
        """
        parts = ARGUMENT.fullmatch(text)
        if parts is None:
            raise UsageError(f"backend {text!r}: write {GRAMMAR}")
        alias, host, rest = parts["alias"], parts["host"], parts["rest"] or ""
        if alias is not None:
            check_alias(alias, text)
        name = alias or text
        if host == FILE and parts["kind"] == ":":
            return cls(name=name, host=FILE, argument=text, recording=_existing(rest, text))
        entry = entry_of(host)
        if entry is None:
            raise UnknownNameError(
                "backend",
                host,
                registered(),
                hint="Or your own implementation: [ALIAS=]HOST:TARGET; or a recording: file:PATH.",
            )
        options = _options(parts["options"], entry, text)
        if parts["kind"] == "@":
            python = os.path.abspath(_existing(rest, text))  # a virtual environment's is a link: it stays one
            if not os.access(python, os.X_OK):
                raise TargetError(f"backend {text!r}: {rest} is not an interpreter that can be run")
            return cls(name=name, host=host, argument=text, options=options, python=python)
        if parts["kind"] is None:
            if alias and not options:
                raise UsageError(f"backend {text!r}: an alias needs a target: ALIAS=HOST:TARGET")
            return cls(name=name, host=host, argument=text, options=options)
        place, _, attribute = rest.rpartition(":")
        if not (place and attribute):
            raise UsageError(
                f"backend {text!r}: the target {rest!r} must be path/to/file.py:attribute "
                "or package.module:attribute"
            )
        if place.endswith(".py"):
            _existing(place, text)
        return cls(name=name, host=host, argument=text, target=rest, options=options)

    @property
    def entry(self) -> Entry | None:
        """The registry's entry of the host; None for a recording."""
        return entry_of(self.host)

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, as far as can be told without starting it."""
        if self.python is not None or self.recording is not None:
            return None  # what is installed here does not matter
        return missing(self.host, dict(self.options))

    @property
    def starts_worker(self) -> bool:
        """True if it runs in a worker process, as far as that can be told to start."""
        if self.recording is not None or self.function is not None:
            return False
        return self.target is not None or self.missing is None

    def for_worker(self) -> dict[str, Any]:
        """What the worker has to know, ready for JSON."""
        entry = self.entry
        assert entry is not None  # noqa: S101 (a recording has no worker)
        return {
            "host": self.host,
            "adapter": entry.adapter,
            "options": dict(self.options),
            "device": self.device,
            "target": self.target,
            "paths": list(self.paths),
            "methods": {method.value: usual_keywords(method) for method in Method},
        }


def backend_specs(names: Iterable[str | BackendSpec]) -> tuple[tuple[BackendSpec, ...], tuple[str, ...]]:
    """The backends called ``names`` (none: every usable default), and notes on those left out."""
    specs: dict[str, BackendSpec] = {}
    for name in names:
        spec = BackendSpec.parse(name) if isinstance(name, str) else name
        if specs.setdefault(spec.name, spec) != spec:
            raise UsageError(
                f"two backends are called {spec.name!r}: give one an alias, ALIAS={spec.argument}"
            )
    if specs:
        return tuple(specs.values()), ()
    reasons = {name: missing(name) for name in DEFAULT}
    usable = tuple(BackendSpec.parse(name) for name, reason in reasons.items() if reason is None)
    notes = tuple(f"{name} was left out: {reason}" for name, reason in reasons.items() if reason is not None)
    return usable, notes


def _existing(path: str, text: str) -> str:
    if not Path(path).is_file():
        raise TargetError(f"backend {text!r}: no such file: {path}")
    return path


def check_alias(alias: str, text: str) -> None:
    """UsageError unless ``alias`` can name a backend."""
    taken: Iterable[str] = (*BUILTIN, FILE, EXPECTED)
    if not re.fullmatch(r"[\w.-]+", alias) or alias in taken:
        raise UsageError(
            f"backend {text!r}: the alias {alias!r} must be of letters, digits, '_', '.' and '-', "
            f"and none of {', '.join(taken)}"
        )


def _options(written: str | None, entry: Entry, text: str) -> tuple[tuple[str, str], ...]:
    """``use_fast_variance=False,jit=True`` as pairs; UsageError unless the adapter takes them."""
    found: dict[str, str] = {}
    for each in written.split(",") if written else ():
        name, equals, value = (part.strip() for part in each.partition("="))
        builtin = entry in BUILTIN.values()
        if not equals or name in found or (builtin and name not in entry.options):
            valid = ", ".join(entry.options) or "none"
            raise UsageError(f"backend {text!r}: the option {each!r} is none of its options; valid: {valid}")
        if builtin and value not in entry.options[name]:
            raise UsageError(
                f"backend {text!r}: {name} is {value!r}; valid: {', '.join(entry.options[name])}"
            )
        found[name] = value
    return tuple(found.items())
