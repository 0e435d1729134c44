"""Writing rich's blocks where they are read: on a terminal as it is, elsewhere as plain whole lines."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

UNLIMITED = 100_000  # columns: nothing is wrapped or cut where no terminal is


def write(block: RenderableType, console: Console) -> None:
    """Print ``block`` to a terminal as wide as that is; elsewhere as wide as the block is."""
    if console.is_terminal:
        console.print(block)
    else:
        console.file.write(plain(block))


def plain(block: RenderableType) -> str:
    """``block`` as text: lines as long as they are, no colour, no trailing blanks."""
    console = Console(file=io.StringIO(), width=UNLIMITED, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(block)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())
