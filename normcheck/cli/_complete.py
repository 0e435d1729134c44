"""What a shell offers while a value is typed. Click does the rest: see docs/usage.md."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem

from normcheck.cli._types import starting


def backends(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names, and hosts of one's own code; a path behind the colon."""
    from normcheck.backends import registered

    head, colon, path = incomplete.rpartition(":")
    if colon:
        return [CompletionItem(f"{head}:{each}") for each in _paths(path, (".py", ".safetensors"))]
    return starting(registered(), incomplete)


def fixtures(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names, tags, and files that can be one."""
    from normcheck.fixtures import SUFFIXES, catalogue, tags

    return starting([*tags(), *catalogue()], incomplete) + [
        CompletionItem(p) for p in _paths(incomplete, SUFFIXES)
    ]


def conventions(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """KEY=VALUE of the catalogue."""
    from normcheck.conventions.catalogue import listed

    return starting((f"{key}={value}" for key, _, value, _ in listed()), incomplete)


def suites(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Those of the configuration that is in force here; none where it cannot be read."""
    from normcheck.config import find
    from normcheck.errors import NormcheckError

    try:
        return starting(find().suites, incomplete)
    except NormcheckError:
        return []  # a shell has no place for a message: the command has


def _paths(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Files with one of the suffixes, and directories, that start so."""
    folder, start = os.path.split(incomplete)
    try:
        found = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")
        for entry in found
        if entry.name.startswith(start) and (entry.is_dir() or entry.name.endswith(suffixes))
    ]
