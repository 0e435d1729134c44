"""The laws in the report for people: for each law and backend, the comparison that was worst."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from normcheck.report import Comparison
from normcheck.reports.results import badness, mark, new_table, ratio, style, word
from normcheck.reports.text import roundoffs


def laws_table(results: Sequence[Comparison]) -> Table:
    """One line a law, one column a backend; ``results`` are comparisons by laws, at least one.

    An empty cell says that the law was not put to the backend: it is no pass.
    """
    laws = list(dict.fromkeys(result.law for result in results))
    backends = list(dict.fromkeys(result.backend for result in results))
    worst = {(r.law, r.backend): r for r in sorted(results, key=badness)}
    table = new_table("law", *backends)
    for law in laws:
        table.add_row(Text(law), *(_cell(worst.get((law, backend))) for backend in backends))
    return table


def _cell(result: Comparison | None) -> Text:
    if result is None:
        return Text("")
    if result.backward_error is None or not result.verdict.compared:
        return Text(word(result), style=style(result))
    cell = Text(roundoffs(ratio(result)), style="dim" if result.verdict.good else style(result))
    return cell.append(f" {mark(result)}", style(result))
