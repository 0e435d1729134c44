"""The report as text on a terminal or in a pipe.

Nothing depends on colour. Where the backends of a table do not fit side by side they get a line each; in a pipe
no line is wrapped or cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normcheck.printable import printable
from normcheck.report import Comparison, Report
from normcheck.reports import paragraphs
from normcheck.reports.compose import compose
from normcheck.reports.terminal import new_table, plain, write
from normcheck.reports.view import Detail, Figures, Line, Matrix, Pairs, Paragraph, Role, Row, Section

PIPE_WIDTH = 120  # columns that side-by-side tables may take where there is no terminal
NAME_WIDTH = 20  # of names and cases, which may be folded to it
GAP = 2  # columns between columns

STYLES = {
    Role.PLAIN: "",
    Role.TITLE: "bold",
    Role.QUIET: "dim",
    Role.GOOD: "green",
    Role.NOTICE: "yellow",
    Role.BAD: "bold red",
    Role.KNOWN: "yellow",
    Role.CODE: "cyan",
}


def render(report: Report, detail: Detail = Detail.USUAL) -> str:
    """The report as plain text: lines of any length, no colour, no trailing blanks."""
    return "".join(plain(block) for block in _blocks(report, PIPE_WIDTH, detail))


def failures(report: Report) -> str:
    """What keeps a run from passing: its paragraphs, and what stands below them in the table."""
    view = compose(report)
    blocks = [block for paragraph in view.paragraphs for block in _paragraph(paragraph)]
    blocks += [_below(_text(line)) for line in view.remarks]
    blocks.append(_below(Text("\n").join(map(_text, view.summary))))
    return "".join(plain(block) for block in blocks).strip()


def comparison(result: Comparison) -> str:
    """The paragraph on one result."""
    return "".join(plain(block) for block in _paragraph(paragraphs.alone(result))).strip()


def show(report: Report, console: Console, detail: Detail = Detail.USUAL) -> None:
    """Print the report to ``console``, fitted to its width, with its colours."""
    for block in _blocks(report, console.width if console.is_terminal else PIPE_WIDTH, detail):
        write(block, console)


def _blocks(report: Report, width: int, detail: Detail) -> Iterator[RenderableType]:
    view = compose(report, detail)
    if detail is Detail.VERDICT:
        yield Text("\n").join(map(_text, view.summary))
        return
    yield _text(view.head)
    for section in view.sections:
        yield from _section(section, width)
    for paragraph in view.paragraphs:
        yield from _paragraph(paragraph)
    for remark in view.remarks:
        yield _below(_text(remark))
    if view.untested:
        left_out = "; ".join(f"{kind}: {members}" for kind, members in view.untested)
        yield _below(_said(f"not tested  {left_out}", Role.QUIET))
    yield _below(Text("\n").join(map(_text, view.summary)))


def _section(section: Section, width: int) -> Iterator[RenderableType]:
    yield _below(_text(section.title))
    yield _text(section.answer)
    for matrix in section.matrices:
        if matrix.title:
            yield _below(_said(matrix.title, Role.QUIET))
        yield _matrix(matrix, width)
    yield from map(_text, section.remarks)
    if section.pairs is not None:
        yield _below(_said(section.pairs.title, Role.QUIET))
        yield _pairs(section.pairs, width)


def _matrix(matrix: Matrix, width: int) -> Table:
    """One line a row where the backends fit side by side; otherwise one line a row and backend."""
    columns = [_column([row.cells[i] for row in matrix.rows]) for i in range(len(matrix.columns))]
    widths = [max(len(name), *map(len, cells)) for name, cells in zip(matrix.columns, columns, strict=True)]
    last = max(len(matrix.last), *(len(row.last) for row in matrix.rows)) if matrix.rows else 0
    names = min(NAME_WIDTH, max((len(_name(row)) for row in matrix.rows), default=0))
    if names + GAP + sum(each + GAP for each in widths) + min(last, NAME_WIDTH) > width:
        return _stacked(matrix)
    table = new_table(matrix.corner, *matrix.columns)
    numeric = all(row.last.replace(".", "").isdigit() for row in matrix.rows)
    table.add_column(Text(matrix.last), justify="right" if numeric else "left", overflow="fold")
    for number, row in enumerate(matrix.rows):
        cells = (cells[number] for cells in columns)
        table.add_row(_name(row), *cells, _said(row.last, Role.PLAIN if numeric else Role.QUIET))
    return table


def _stacked(matrix: Matrix) -> Table:
    placed = any(cell is not None and cell.place for row in matrix.rows for cell in row.cells)
    table = new_table(f"{matrix.corner} / backend", "max |Δ|", "β", "allowed", "")
    if placed:
        table.add_column(Text(matrix.last), overflow="fold")
    for row in matrix.rows:
        table.add_row(_name(row))
        for name, cell in zip(matrix.columns, row.cells, strict=True):
            if cell is not None:
                beta = " ".join(filter(None, (cell.multiple, cell.backward_error)))
                figures = (cell.difference, beta, cell.allowed)
                verdict = _said(f"{cell.word} {cell.mark}", cell.role)
                place = [_said(cell.place, Role.QUIET)] if placed else []
                table.add_row(_said(f"  {name}"), *figures, verdict, *place)
    return table


def _name(row: Row) -> Text:
    name = _said(row.name)
    return name.append_text(_said(f"  {row.detail}", Role.QUIET)) if row.detail else name


def _column(cells: Sequence[Figures | None]) -> list[Text]:
    """A backend's cells, their numbers aligned."""
    width = max((len(cell.backward_error) for cell in cells if cell is not None), default=0)
    multiple = max((len(cell.multiple) for cell in cells if cell is not None), default=0)
    return [Text("") if cell is None else _cell(cell, width, multiple) for cell in cells]


def _cell(cell: Figures, width: int, multiple: int) -> Text:
    if not cell.backward_error:
        return _said(f"{cell.word} {cell.mark}", cell.role)
    beta = _said(f"{cell.backward_error:>{width}}", Role.QUIET if cell.role is Role.GOOD else cell.role)
    parts = [*([_said(cell.difference)] if cell.difference else []), beta]
    if multiple:
        parts.append(_said(f"{cell.multiple:>{multiple}}", Role.QUIET))
    parts.append(_said(cell.mark, cell.role))
    return Text(" ").join(parts)


def _pairs(pairs: Pairs, width: int) -> Table:
    names = pairs.names
    if sum(len(name) for name in names) + 12 * len(names) > width:
        table = new_table("backends", "max |Δ|")
        for (a, b), cell in pairs.cells.items():
            table.add_row(_said(f"{a} – {b}"), cell)
        return table
    table = new_table("", *names[1:])
    for number, row in enumerate(names[:-1]):
        cells = (
            pairs.cells.get((row, column), "") if place > number else ""
            for place, column in enumerate(names[1:], 1)
        )
        table.add_row(_said(row), *cells)
    return table


def _paragraph(paragraph: Paragraph) -> Iterator[RenderableType]:
    yield _below(_text(paragraph.head))
    lines = [*paragraph.lines]
    if paragraph.printed:
        lines += ["it printed:", *(f"  {line}" for line in paragraph.printed)]
    command = _said("reproduce: ", Role.QUIET).append_text(_said(paragraph.command, Role.CODE))
    shown = [_said("\n".join(lines)), *([command] if paragraph.command else [])]
    yield Padding(Group(*shown), (0, 0, 0, GAP))


def _text(line: Line) -> Text:
    return Text.assemble(*(_said(span.text, span.role) for span in line))


def _said(text: str, role: Role = Role.PLAIN) -> Text:
    """Text in its role; all that is drawn passes here, so that nothing in it can steer a terminal."""
    return Text.assemble((printable(text), STYLES[role]))


def _below(text: Text) -> Text:
    """``text`` below an empty line."""
    return Text("\n").append_text(text)
