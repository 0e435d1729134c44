"""``normcheck fixtures [NAME]``: list the input data and its purpose."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from normcheck.cli.output import console, standard_output

if TYPE_CHECKING:
    from normcheck.fixtures import Fixture


@click.command(name="fixtures")
@click.argument("names", metavar="[NAME|TAG|PATH]...", nargs=-1)
def command(names: tuple[str, ...]) -> None:
    """List the fixtures by tag, or show one in full: its shape, its parameters, and the range of its data."""
    from normcheck.fixtures import ALL, catalogue, select

    chosen = select(names) if names else tuple(catalogue().values())
    if len(chosen) > 1 or ALL in names:
        with standard_output():
            click.echo(_listed(chosen), nl=False)
        return
    from normcheck.reports.listing import show_fixture

    with standard_output():
        show_fixture(chosen[0], console())


def _listed(fixtures: Iterable[Fixture]) -> str:
    """One line a fixture below its tag: name, shape and purpose. By click's means: rich takes twice as long."""
    from normcheck.printable import printable

    by_tag: dict[str, list[tuple[str, str]]] = {}
    for fixture in fixtures:
        text = f"{'×'.join(map(str, fixture.shape))}  {fixture.description}"
        by_tag.setdefault(", ".join(fixture.tags) or "your own", []).append(
            (printable(fixture.name), printable(text))
        )
    formatter = click.HelpFormatter(width=None if sys.stdout.isatty() else 10_000)
    for tag, rows in by_tag.items():
        with formatter.section(tag):
            formatter.write_dl(rows)
    return formatter.getvalue()
