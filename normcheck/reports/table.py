"""The report for people: per case, every backend against the oracle; then how far backends are apart.

Nothing depends on colour. Where the backends of a case do not fit side by side they get a line each; in a
pipe lines are as long as they are, and nothing is cut.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normcheck.case import Case, Method, Output
from normcheck.report import EXPECTED, Comparison, Known, Report
from normcheck.reports.command import reproduce
from normcheck.reports.laws import laws_table
from normcheck.reports.results import GAP, STYLES, badness, mark, new_table, style, word
from normcheck.reports.terminal import plain, write
from normcheck.reports.text import KNOWN, MARKS, number, printable, roundoffs
from normcheck.verdict import Verdict

PIPE_WIDTH = 120  # columns that side-by-side tables may take where there is no terminal
CASE_WIDTH = 24  # the least that the first column gets
STDERR_LINES = 12
PARAGRAPHS = 5  # for each backend
QUIET = {Verdict.PASS, Verdict.UNSUPPORTED}  # verdicts that need no paragraph


Rows = list[tuple[Case, dict[str, Comparison]]]


def render(report: Report) -> str:
    """The report as plain text: lines as long as they are, no colour, no trailing blanks."""
    return "".join(plain(block) for block in _blocks(report, PIPE_WIDTH))


def show(report: Report, console: Console) -> None:
    """Print the report to ``console``, as wide and as colourful as that is."""
    for block in _blocks(report, console.width if console.is_terminal else PIPE_WIDTH):
        write(block, console)


def _blocks(report: Report, width: int) -> Iterator[RenderableType]:
    yield _headline(report)
    for method, results in _by_method(report.results):
        title = Text(f"\n{method} norm", style="bold")
        yield title.append("  max |Δ| and backward error β of y against the oracle", style="not bold dim")
        by_oracle = [result for result in results if not result.law]
        yield _results_table([result for result in by_oracle if result.output is Output.Y], width)
        if others := [r for r in by_oracle if r.output is not Output.Y and r.backend != EXPECTED]:
            yield Text("\nthe other outputs, each where it is worst", style="dim")
            yield _others_table(others, width)
        if by_law := [result for result in results if result.law]:
            yield Text(
                "\nlaws, each where it is worst: backward error in units of what is allowed", style="dim"
            )
            yield laws_table(by_law)
        yield from _expected_lines(results)
        if matrix := _pair_matrix(report, method, width):
            yield matrix
    yield from _paragraphs(report)
    yield from _unsupported(report.results)
    yield from _known(report.results)
    yield from _stale(report)
    for note in report.notes:
        yield Text(f"\nnote: {printable(note)}", style="dim")
    yield _summary(report)


def _headline(report: Report) -> Text:
    versions = [
        f"{printable(name)} {facts.get('version', '')}".rstrip()
        for name, facts in report.environment.backends.items()
    ]
    return Text(" · ".join([f"normcheck {report.normcheck_version}", *versions]), style="dim")


def _by_method(results: Sequence[Comparison]) -> Iterator[tuple[Method, list[Comparison]]]:
    for method in dict.fromkeys(result.case.method for result in results):
        yield method, [result for result in results if result.case.method is method]


def _results_table(results: list[Comparison], width: int) -> Table:
    """One line a case where the backends fit side by side; otherwise one line a case and backend."""
    rows = list(_by_case(results))
    backends = list(dict.fromkeys(r.backend for r in results if r.backend != EXPECTED))
    columns = [_cells([found.get(backend) for _, found in rows]) for backend in backends]
    widths = [max(len(name), *map(len, cells)) for name, cells in zip(backends, columns, strict=True)]
    if CASE_WIDTH + sum(width + GAP for width in widths) + len("allowed") > width:
        return _stacked(rows)
    table = new_table("case", *backends, "allowed")
    for row, (case, found) in enumerate(rows):
        table.add_row(_case_name(case), *(cells[row] for cells in columns), roundoffs(_allowed(found)))
    return table


def _allowed(found: dict[str, Comparison]) -> float | None:
    bounds = [r.allowed for r in found.values() if r.backend != EXPECTED and r.allowed is not None]
    return bounds[0] if bounds else None


def _others_table(results: list[Comparison], width: int) -> Table:
    """Gradients and running statistics: for each output and backend, the case that was worst."""
    outputs = [output for output in Output if any(r.output is output for r in results)]
    backends = list(dict.fromkeys(result.backend for result in results))
    worst = {(r.output, r.backend): r for r in sorted(results, key=badness)}
    columns = [_cells([worst.get((output, backend)) for output in outputs]) for backend in backends]
    widths = [max(len(name), *map(len, cells)) for name, cells in zip(backends, columns, strict=True)]
    if CASE_WIDTH + sum(width + GAP for width in widths) > width:
        table = new_table("output / backend", "max |Δ|", "β", "allowed", "")
        for output in outputs:
            table.add_row(Text(output.value))
            _add_stacked(table, {b: worst[output, b] for b in backends if (output, b) in worst})
        return table
    table = new_table("output", *backends)
    for row, output in enumerate(outputs):
        table.add_row(Text(output.value), *(cells[row] for cells in columns))
    return table


def _stacked(rows: Rows) -> Table:
    table = new_table("case / backend", "max |Δ|", "β", "allowed", "")
    for case, found in rows:
        table.add_row(_case_name(case))
        _add_stacked(table, found)
    return table


def _add_stacked(table: Table, found: dict[str, Comparison]) -> None:
    for backend, result in found.items():
        if backend != EXPECTED:
            verdict = Text(word(result), style=style(result))
            figures = (
                number(result.max_abs_diff),
                roundoffs(result.backward_error),
                roundoffs(result.allowed),
            )
            table.add_row(Text(f"  {printable(backend)}"), *figures, verdict)


def _by_case(results: list[Comparison]) -> Iterator[tuple[Case, dict[str, Comparison]]]:
    """Each case with the comparison of every backend."""
    for case, group in itertools.groupby(results, key=lambda result: result.case):
        yield case, {result.backend: result for result in group}


def _case_name(case: Case) -> Text:
    name = Text(printable(case.fixture))
    details = list(case.options)
    if case.dtype != "float32":
        details.append(case.dtype.value)
    if details:
        name.append("  " + " ".join(details), style="dim")
    return name


def _cells(column: list[Comparison | None]) -> list[Text]:
    """A backend's max |Δ|, backward error and mark in every case, its numbers aligned."""
    width = max((len(roundoffs(r.backward_error)) for r in column if r is not None), default=0)
    return [Text("") if result is None else _cell(result, width) for result in column]


def _cell(result: Comparison, width: int) -> Text:
    colour = style(result)
    if result.max_abs_diff is None or not result.verdict.compared:
        return Text(word(result), style=colour)
    cell = Text(number(result.max_abs_diff))
    beta = f" {roundoffs(result.backward_error):>{width}}"
    return cell.append(beta, style="dim" if result.verdict.good else colour).append(
        f" {mark(result)}", colour
    )


def _expected_lines(results: list[Comparison]) -> Iterator[RenderableType]:
    for result in results:
        if result.backend == EXPECTED and result.verdict.good:
            text = Text(
                f"{printable(result.case.fixture)}: the values that the fixture states agree with the oracle "
            )
            text.append(f"(max |Δ| {number(result.max_abs_diff)}) ", style="dim")
            text.append(MARKS[result.verdict], style=STYLES[result.verdict])
            yield text


def _pair_matrix(report: Report, method: Method, width: int) -> RenderableType | None:
    """The largest difference between each two backends over all cases of ``method``."""
    cases = {case.id for case in report.cases if case.method is method}
    largest: dict[tuple[str, str], float] = {}
    for pair in report.pairs:
        if pair.case in cases and pair.output is Output.Y:
            difference = math.inf if pair.max_abs_diff is None else pair.max_abs_diff
            a, b = pair.backends
            known = largest.get((a, b), 0.0)
            largest[a, b] = (
                math.nan if math.isnan(difference) or math.isnan(known) else max(known, difference)
            )
    if not largest:
        return None
    names = list(dict.fromkeys(name for pair in largest for name in pair))
    plural = "case" if len(cases) == 1 else "cases"
    head = Text(f"\nmax |Δ| of y between backends, over {len(cases)} {plural}", style="dim")
    table: Table
    if sum(len(name) for name in names) + 12 * len(names) > width:
        table = new_table("backends", "max |Δ|")
        for (a, b), difference in largest.items():
            table.add_row(Text(printable(f"{a} – {b}")), _difference(difference))
    else:
        table = new_table("", *names[1:])
        for row in names[:-1]:
            cells = [
                _difference(largest.get((row, column))) if names.index(column) > names.index(row) else ""
                for column in names[1:]
            ]
            table.add_row(Text(printable(row)), *cells)
    return Group(head, table)


def _difference(value: float | None) -> str:
    if value is None:
        return ""
    return "shapes differ" if math.isinf(value) else number(value)


def _paragraphs(report: Report) -> Iterator[RenderableType]:
    """A paragraph for each result that is not a plain pass; of one backend's, the first few.

    A case that gave no result at all gets one, not one for each output.
    """
    unexpected = [r for r in report.results if r.known is None and r.verdict not in QUIET]
    bad = {_occasion(r): r for r in reversed(unexpected)}
    shown: Counter[str] = Counter()
    for result in reversed(bad.values()):
        shown[result.backend] += 1
        if shown[result.backend] <= PARAGRAPHS:
            yield _paragraph(result, report)
    for backend, count in shown.items():
        if count > PARAGRAPHS:
            more = f"\n… and {count - PARAGRAPHS} more of {backend}: see the table above, or --format json"
            yield Text(printable(more), style="dim")


def _occasion(result: Comparison) -> tuple[str, str, str | None]:
    output = result.output if result.verdict.compared or result.seconds is not None else None
    return result.backend, result.case_id, output


def _paragraph(result: Comparison, report: Report) -> RenderableType:
    """What went wrong, where, the values, what was allowed, and how to see just that again."""
    head = Text(f"\n{MARKS[result.verdict]} {result.verdict.value.upper()}  ", style=STYLES[result.verdict])
    where = [result.backend, result.case_id, *([result.output] if _occasion(result)[2] else [])]
    head.append(printable(" · ".join(where)), style="bold")
    lines: list[str] = []
    if result.reason:
        lines.append(f"{result.output}: {result.reason}" if result.verdict.compared else result.reason)
    if (worst := result.worst) is not None:
        source = "" if worst.x is None else f"x = {worst.x:.9g}, "
        gap = abs(worst.actual - worst.expected)
        reference = "the law demands" if result.law else "the oracle"
        lines.append(
            f"worst at {list(worst.index)}: {source}{result.backend} has {worst.actual:.9g}, "
            f"{reference} {worst.expected:.9g}, |Δ| {gap:.3g}"
        )
    if result.mismatched is not None and result.total:
        share = f"{result.mismatched} of {result.total} elements ({result.mismatched / result.total:.0%})"
        figures = [f"max |Δ| {number(result.max_abs_diff)}"]
        if result.max_rel_diff is not None:
            figures.append(f"relative {number(result.max_rel_diff)}")
        if result.max_ulp is not None:
            figures.append(f"{result.max_ulp} ulp")
        lines.append(f"{share} beyond what is allowed; {', '.join(figures)}")
    if result.stderr.strip():
        shown = result.stderr.rstrip().splitlines()[-STDERR_LINES:]
        lines += ["it printed:", *(f"  {line}" for line in shown)]
    body = Text("\n".join(map(printable, lines)))
    command = Text("reproduce: ", style="dim")
    command.append(printable(reproduce(result, report)), style="not dim cyan")
    return Group(head, Padding(Group(body, command), (0, 0, 0, 2)))


def _unsupported(results: Iterable[Comparison]) -> Iterator[RenderableType]:
    cases: dict[tuple[str, str], set[str]] = {}
    for result in results:
        if result.verdict is Verdict.UNSUPPORTED and result.known is None:
            cases.setdefault((result.backend, result.reason or ""), set()).add(result.case_id)
    for (backend, reason), found in cases.items():
        plural = "case" if len(found) == 1 else "cases"
        yield Text(printable(f"\n– {backend} does not support {len(found)} {plural}: {reason}"), style="dim")


def _known(results: Iterable[Comparison]) -> Iterator[RenderableType]:
    """What the ledger knows of, one line for each reason and backend."""
    occasions: dict[tuple[str, Known], list[Comparison]] = {}
    for result in results:
        if result.known is not None:
            occasions.setdefault((result.backend, result.known), []).append(result)
    for (backend, known), found in occasions.items():
        verdicts = " and ".join(dict.fromkeys(result.verdict.value for result in found))
        link = f" ({known.link})" if known.link else ""
        plural = "comparison" if len(found) == 1 else "comparisons"
        text = Text(f"\n{KNOWN} known  ", style="yellow")
        said = f"{backend}: {known.reason}{link}: {verdicts} in {len(found)} {plural}"
        yield text.append(printable(said), style="not bold default")


def _stale(report: Report) -> Iterator[RenderableType]:
    """The entries of the ledger that hold no more."""
    for problem in report.stale:
        text = Text(f"\n{MARKS[Verdict.FAIL]} LEDGER  ", style=STYLES[Verdict.FAIL])
        yield text.append(printable(problem), style="not bold default")


def _summary(report: Report) -> Text:
    unexpected = report.unexpected()
    parts = [f"{unexpected[verdict]} {verdict}" for verdict in Verdict if unexpected[verdict]]
    if known := len(report.results) - sum(unexpected.values()):
        parts.append(f"{known} known")
    if report.stale:
        parts.append(f"{len(report.stale)} stale in the ledger")
    counts = ", ".join(parts)
    verdict = report.verdict
    text = Text(f"\n{MARKS[verdict]} {verdict.value}", style=STYLES[verdict])
    plural = "case" if len(report.cases) == 1 else "cases"
    text.append(
        f"  {len(report.cases)} {plural}, {len(report.results)} comparisons: {counts}",
        style="not bold default",
    )
    if report.max_backward_error is not None:
        text.append(f"\nallowed backward error set by --max-backward-error: {report.max_backward_error:g}")
    for backend, method in report.uncovered():
        text.append(printable(f"\n{backend} was not compared in any case of {method} norm"), style="bold red")
    return text
