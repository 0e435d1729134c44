"""``normcheck backends``: list the backends, their versions, and why some cannot be used here."""

from __future__ import annotations

import click

from normcheck.cli.output import console, standard_output
from normcheck.errors import ExitCode


@click.command(name="backends")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def command(names: tuple[str, ...]) -> int:
    """Import every backend, or those named, each in a separate process; list what they support, or why they cannot.

    Exits 0 if at least one is usable, 4 if none is.
    """
    from normcheck.reports.listing import show_backends
    from normcheck.run.probe import probe_backends

    found = probe_backends(names)
    with standard_output():
        show_backends(found, console())
    return ExitCode.OK if any(backend.environment for backend in found) else ExitCode.BACKEND
