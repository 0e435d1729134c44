"""What ``--backend`` names: a built-in, or a user's own implementation hosted by one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from normcheck.backends import BUILTIN
from normcheck.errors import TargetError, UnknownNameError, UsageError
from normcheck.model import EXPECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A backend: ``name`` in the report, ``host`` framework, ``target`` of one's own (None: the built-in).

    ``argument`` is what was given on the command line.
    """

    name: str
    host: str
    argument: str
    target: str | None = None

    @classmethod
    def parse(cls, text: str) -> BackendSpec:
        """Read ``torch``, ``torch:path/to/file.py:attribute`` or ``mine=torch:package.module:attribute``."""
        alias, has_alias, rest = text.partition("=")
        if not has_alias or ":" in alias:
            alias, rest = "", text
        else:
            _check_alias(alias, text)
        host, has_target, target = rest.partition(":")
        if host not in BUILTIN:
            raise UnknownNameError("backend", host, BUILTIN, hint="Or one's own: [ALIAS=]HOST:TARGET.")
        if not has_target:
            if alias:
                raise UsageError(f"backend {text!r}: an alias needs a target: ALIAS=HOST:TARGET")
            return cls(name=host, host=host, argument=text)
        place, _, attribute = target.rpartition(":")
        if not (place and attribute):
            raise UsageError(
                f"backend {text!r}: the target {target!r} must be path/to/file.py:attribute "
                "or package.module:attribute"
            )
        if place.endswith(".py") and not Path(place).is_file():
            raise TargetError(f"backend {text!r}: no such file: {place}")
        return cls(name=alias or rest, host=host, argument=text, target=target)


def _check_alias(alias: str, text: str) -> None:
    taken = (*BUILTIN, EXPECTED)
    if not re.fullmatch(r"[\w.-]+", alias) or alias in taken:
        raise UsageError(
            f"backend {text!r}: the alias {alias!r} must be of letters, digits, '_', '.' and '-', "
            f"and none of {', '.join(taken)}"
        )
