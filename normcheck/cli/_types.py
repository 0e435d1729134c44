"""Option types whose errors name the nearest valid value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from normcheck.errors import UnknownNameError


def starting(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """What a shell offers for the beginning of a name."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


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

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that start so."""
        return starting(self.members, incomplete)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The names, as the help page shows them."""
        return f"[{'|'.join(self.members)}]"
