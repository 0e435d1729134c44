"""``normcheck backends``: what is usable here, its version, or why not."""

from __future__ import annotations

import click

from normcheck.cli._types import console
from normcheck.model import ExitCode


@click.command(name="backends")
def command() -> int:
    """Import every built-in backend in a process of its own and say what is usable, or why not.

    Exits 0 if at least one is usable, 4 if none is.
    """
    from normcheck.engine import probe_backends
    from normcheck.reports.listing import show_backends

    found = probe_backends()
    show_backends(found, console())
    return ExitCode.OK if any(backend.environment for backend in found) else ExitCode.BACKEND
