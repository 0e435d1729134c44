"""The list of backends, and a fixture in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normcheck.case import Method
from normcheck.parameters import TABLE
from normcheck.printable import printable
from normcheck.reports.terminal import write

if TYPE_CHECKING:
    from normcheck.backend import BackendStatus
    from normcheck.fixtures import Fixture, OwnParams


def show_backends(found: Sequence[BackendStatus], console: Console) -> None:
    """The methods and dtypes that each backend supports, its settings, and the backends that cannot be used."""
    usable = [backend for backend in found if backend.environment]
    table = _table("backend", *METHODS, "dtypes", "gradients")
    for backend in usable:
        name, _, *cells = matrix_row(backend)
        table.add_row(*(Text(printable(cell)) for cell in (name, *cells)))
    if usable:
        write(table, console)
        write(Text(f"\n{LEGEND}", style="dim"), console)
        reasons = _table("why not", "")
        for backend in usable:
            if why := why_not(backend):
                reasons.add_row(Text(backend.name), Text(printable(why), style="dim"))
        if reasons.row_count:
            write(Text(""), console)
            write(reasons, console)
        settings = _table("version", "", "settings")
        for backend in usable:
            facts = {name: value for name, value in backend.environment.items() if name != "version"}
            told = ", ".join(f"{name}: {_fact(value)}" for name, value in facts.items())
            version = Text(printable(str(backend.environment.get("version", ""))))
            settings.add_row(Text(backend.name), version, Text(printable(told), style="dim"))
        write(Text(""), console)
        write(settings, console)
    if absent := [backend for backend in found if not backend.environment]:
        table = _table("not usable", "")
        for backend in absent:
            table.add_row(Text(backend.name), Text(printable(backend.reason or ""), style="yellow"))
        write(Text(""), console)
        write(table, console)


METHODS = tuple(method.value for method in Method)
SHORT = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}
LEGEND = "✓ supported, s with running statistics, – not supported"


def why_not(backend: BackendStatus) -> str:
    """Why the backend does not support some cases, in the words of its adapter."""
    reasons = dict.fromkeys(reason for own in backend.offers.values() for reason in own["lacks"])
    return "; ".join(reasons)


def matrix_row(backend: BackendStatus) -> list[str]:
    """Name, version, a cell for each method, the dtypes, and a mark for gradients."""
    offers = backend.offers
    cells = []
    for method in METHODS:
        own = offers[method]
        cells.append(f"✓{' s' if own['state'] else ''}" if own["dtypes"] else "–")
    sets = {method: own["dtypes"] for method, own in offers.items() if own["dtypes"]}
    common = [dtype for dtype in SHORT if all(dtype in dtypes for dtypes in sets.values())]
    shown = [" ".join(SHORT[dtype] for dtype in common)] if common else []
    for method, dtypes in sets.items():
        if more := [SHORT[dtype] for dtype in dtypes if dtype not in common]:
            shown.append(f"{method} {' '.join(more)}")
    gradients = "✓" if any(own["gradients"] for own in offers.values()) else "–"
    version = str(backend.environment.get("version", ""))
    return [backend.name, version, *cells, "; ".join(shown), gradients]


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
    if fixture.excluded:
        rows["not for"] = ", ".join(sorted(fixture.excluded))
    for method, entries in fixture.own.items():
        given = [_entry(own) for own in entries]
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


def _entry(own: OwnParams) -> str:
    given = [f"{name}={TABLE[name].kind.spell(value)}" for name, value in own.params.items()]
    return ", ".join([*given, *["weight and bias"] * own.affine]) or "defaults"


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
