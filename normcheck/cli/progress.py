"""A line on the terminal that shows the progress of a long run. A pipe gets none."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping

from normcheck.printable import printable
from normcheck.run.record import OnProgress

SILENT = 1.0  # seconds; shorter runs show nothing
CLEAR = "\r\x1b[2K"


@contextlib.contextmanager
def progress_line() -> Iterator[OnProgress]:
    """A callback for :func:`normcheck.run.session.run`; the line is always cleared at the end."""
    start = time.monotonic()
    shown = False

    def update(done: Mapping[str, int], total: int) -> None:
        nonlocal shown
        if sys.stderr is not None and sys.stderr.isatty() and time.monotonic() - start > SILENT:
            text = "  ".join(f"{printable(name)} {count}/{total}" for name, count in done.items())
            _draw(f"{CLEAR}{text[: _columns() - 1]}")
            shown = True

    try:
        yield update
    finally:
        if shown:
            _draw(CLEAR)


def _draw(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may have gone
        sys.stderr.write(text)
        sys.stderr.flush()


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
