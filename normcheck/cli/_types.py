"""Option types whose errors name the nearest valid value, and functions that commands share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from normcheck.errors import NormcheckError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console


class OneOf(click.ParamType[Any]):
    """One of a closed set of names; converts to the member where the set is an enumeration."""

    def __init__(self, kind: str, members: Iterable[Any]) -> None:
        self.name = kind
        self.members = {str(member): member for member in members}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The member that ``value`` names, or UnknownNameError."""
        if str(value) not in self.members:
            raise UnknownNameError(self.name, str(value), self.members)
        return self.members[str(value)]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The names, as the help page shows them."""
        return f"[{'|'.join(self.members)}]"


def console() -> Console:
    """Standard output as rich sees it: colour on a terminal unless NO_COLOR, plain in a pipe."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def write_atomically(path: str, content: str | bytes) -> None:
    """Write a file wholly or not at all."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    directory = os.path.dirname(os.path.abspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".normcheck-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise NormcheckError(f"cannot write {path}: {error.strerror}") from None


def say(message: str) -> None:
    """A line on stderr that is not part of the output."""
    print(message, file=sys.stderr)
