"""``normcheck fixtures [NAME]``: the input data there is, and what each is for."""

from __future__ import annotations

import click


@click.command(name="fixtures")
@click.argument("names", metavar="[NAME|TAG|PATH]...", nargs=-1)
def command(names: tuple[str, ...]) -> None:
    """List the fixtures, or show one in full: its shape, parameters, and what its data looks like."""
    from normcheck.cli._types import console
    from normcheck.fixtures import ALL, catalogue, select
    from normcheck.reports.listing import show_fixture, show_fixtures

    if not names:
        show_fixtures(tuple(catalogue().values()), console())
        return
    chosen = select(names)
    if len(chosen) > 1 or ALL in names:
        show_fixtures(chosen, console())
        return
    show_fixture(chosen[0], console())
