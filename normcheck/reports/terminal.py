"""Write rich's blocks: fitted to a terminal, elsewhere as plain whole lines."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from normcheck.printable import printable

UNLIMITED = 100_000  # columns: without a terminal nothing is wrapped or cut


def write(block: RenderableType, console: Console) -> None:
    """Print ``block``, fitted to the width of a terminal; elsewhere in its full width."""
    if console.is_terminal:
        console.print(block)
    else:
        console.file.write(plain(block))


def plain(block: RenderableType) -> str:
    """``block`` as text: lines of any length, no colour, no trailing blanks."""
    console = Console(file=io.StringIO(), width=UNLIMITED, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(block)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def new_table(first: str, *others: str) -> Table:
    """A table without lines; its first column is of names, the others of figures."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(first), overflow="fold")
    for name in others:
        table.add_column(Text(printable(name)), justify="right", no_wrap=True)
    return table
