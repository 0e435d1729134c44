"""What every table of results shares: styles, columns, the worst of several."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from normcheck.report import Comparison
from normcheck.reports.text import KNOWN, MARKS, printable
from normcheck.verdict import SEVERITY, Verdict

GAP = 2  # columns between columns

STYLES = {
    Verdict.PASS: "green",
    Verdict.LOOSE: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "bold red",
    Verdict.CRASH: "bold red",
    Verdict.TIMEOUT: "bold red",
    Verdict.UNSUPPORTED: "dim",
    Verdict.UNAVAILABLE: "bold red",
}


def new_table(first: str, *others: str) -> Table:
    """A table without lines; its first column is of names, the others of figures."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(first), overflow="fold")
    for name in others:
        table.add_column(Text(printable(name)), justify="right", no_wrap=True)
    return table


def badness(result: Comparison) -> tuple[int, float]:
    """The key to sort results by, the worst last; what is known is no worse than LOOSE."""
    verdict = result.verdict if result.known is None else Verdict.LOOSE
    return len(SEVERITY) - SEVERITY.index(verdict), ratio(result)


def ratio(result: Comparison) -> float:
    """The backward error in units of what is allowed; infinite where there is none."""
    if result.backward_error is None or not result.allowed:
        return math.inf
    return result.backward_error / result.allowed


def word(result: Comparison) -> str:
    """The verdict in a word, loud where it is bad, with its mark."""
    quiet = result.verdict.good or result.known is not None
    return f"{result.verdict.value if quiet else result.verdict.value.upper()} {mark(result)}"


def mark(result: Comparison) -> str:
    """The mark of the verdict, or of what is known."""
    return MARKS[result.verdict] if result.known is None else KNOWN


def style(result: Comparison) -> str:
    """How the verdict looks; calm where it is known."""
    return STYLES[result.verdict] if result.known is None else "yellow"
