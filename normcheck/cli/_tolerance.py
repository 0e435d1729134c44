"""Audits of tolerances as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from normcheck.printable import printable
from normcheck.reports.terminal import new_table, write
from normcheck.tolerance.audit import Audit, Implementation, Kind
from normcheck.tolerance.text import call, sentences, verdict

BAD, GOOD, QUIET = "bold red", "green", "dim"
SENSE = {  # of a tolerance that passes an implementation, or does not
    (Kind.BROKEN, True): "passes",
    (Kind.BROKEN, False): "catches",
    (Kind.HONEST, True): "passes",
    (Kind.HONEST, False): "accuses",
}


def show(audits: Sequence[Audit], notes: Sequence[str], console: Console) -> None:
    """Print all audits, what was left out, and what follows for the user's own tolerance."""
    for block in _blocks(audits, notes):
        write(block, console)


def _blocks(audits: Sequence[Audit], notes: Sequence[str]) -> Iterator[RenderableType]:
    for audit in audits:
        yield from _audit(audit)
    for note in notes:
        yield Text(f"note: {printable(note)}", QUIET)
    yield Text("of y alone; gradients: normcheck compare, or assert_parity, which need no tolerance", QUIET)
    if (found := verdict(audits)) is not None:
        yield Text(f"your tolerance: {found}", BAD if found == "fail" else GOOD)


def _audit(audit: Audit) -> Iterator[RenderableType]:
    yield Text(printable(f"{audit.case.id}, y of shape {audit.case.shape}"), "bold")
    yield Text("sound code needs, against an exact result and against other sound code:")
    yield Text(f"  {call(audit.needed.exact, 'expected')}")
    yield Text(f"  {call(audit.needed.each_other, 'other')}")
    for kind in Kind:
        yield Text("")
        yield _table(audit, kind)
    yield Text("")
    for finding in audit.findings:
        first, *more = sentences(finding)
        yield Text(first, "" if finding.sound else BAD)
        yield from map(Text, more)
    passed = dict.fromkeys(name for each in audit.findings for name in each.not_told_apart)
    if passed:
        words = "on this data nothing tells from sound code, normcheck's bound included"
        yield Text(f"{words}: {'; '.join(passed)}; normcheck compare has other data", QUIET)
    yield Text("")


def _table(audit: Audit, kind: Kind) -> Table:
    table = new_table(str(kind), "normcheck", *(each.tolerance.name for each in audit.findings))
    for each in audit.implementations:
        if each.kind is kind:
            cells = (_cell(each, finding.tolerance.name) for finding in audit.findings)
            table.add_row(Text(each.name), _judged(each), *cells)
    return table


def _judged(each: Implementation) -> Text:
    if each.verdict is None:
        return Text("no difference", QUIET)
    return Text(each.verdict.value, "" if each.counts else QUIET)


def _cell(each: Implementation, tolerance: str) -> Text:
    passes = each.passes[tolerance]
    if not each.differs and passes:
        return Text("–", QUIET)
    wrong = each.counts and passes is (each.kind is Kind.BROKEN)
    return Text(SENSE[each.kind, passes], BAD if wrong else "" if each.counts else QUIET)
