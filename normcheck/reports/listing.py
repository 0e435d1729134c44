"""The list of backends, and a fixture in full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normcheck.reports.terminal import write
from normcheck.reports.text import printable

if TYPE_CHECKING:
    from normcheck.engine import BackendStatus
    from normcheck.fixtures import Fixture


def show_backends(found: Iterable[BackendStatus], console: Console) -> None:
    """One line a backend: what it says of itself, or why it cannot be used."""
    table = _table("backend", "", "version", "")
    for backend in found:
        facts = dict(backend.environment)
        version = str(facts.pop("version", ""))
        usable = Text("✓", style="green") if backend.environment else Text("–", style="bold red")
        details = backend.reason or ", ".join(f"{name}: {_fact(value)}" for name, value in facts.items())
        table.add_row(Text(backend.name), usable, Text(printable(version)), Text(printable(details)))
    write(table, console)


def _fact(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def show_fixture(fixture: Fixture, console: Console) -> None:
    """A fixture in full: its parameters by method, and the range of its data."""
    arrays = fixture.arrays()
    table = _table("", "")
    rows = {
        "fixture": fixture.name,
        "for": fixture.description,
        "tags": ", ".join(fixture.tags) or "none",
        "shape": f"{_shape(fixture)}, channel axis {fixture.channel_axis}",
        "x": _range(arrays.x),
        "parameters": ", ".join(arrays.parameters) or "none (weight 1, bias 0)",
    }
    for method, params in (fixture.methods or {}).items():
        given = [", ".join(f"{name}={value}" for name, value in own.items()) or "defaults" for own in params]
        rows[f"{method} norm"] = "; ".join(given)
    for expected in arrays.expected:
        digits = "in full" if expected.decimals is None else f"to {expected.decimals} decimals"
        rows[f"expected {expected.output}"] = " ".join(
            [
                rows.get(f"expected {expected.output}", ""),
                f"{expected.method or 'any'} {expected.dtype or ''} {digits};",
            ]
        ).strip()
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(printable(value)))
    write(table, console)
    write(Text(f"\nrun it: normcheck compare --fixture {printable(fixture.argument)}"), console)


def _range(array: object) -> str:
    import numpy as np  # the lists do without it

    values = np.asarray(array, dtype=np.float64)
    return f"{values.size} elements from {values.min():.6g} to {values.max():.6g}, mean {values.mean():.6g}"


def _shape(fixture: Fixture) -> str:
    return "×".join(map(str, fixture.shape))


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_header=any(names))
    for name in names:
        table.add_column(Text(name), overflow="fold")
    return table
