"""The report as GitHub-flavoured Markdown, for a comment or the summary of a step: the answer first.

Text of others is never markup: what has a meaning is escaped, and what GitHub would make a mention of is no word.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from normcheck.printable import one_line, printable
from normcheck.report import Report
from normcheck.reports.compose import compose
from normcheck.reports.view import Figures, Line, Matrix, Pairs, Paragraph, Role, Row, Section, View

LIMIT = 2**20  # bytes of a step's summary that GitHub shows

_MARKUP = re.compile(r"[\\`*_\[\]~|]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_APART = {sign: f"<span>{sign}</span>" for sign in "@#$"}  # mentions, references and formulas
_LIST = re.compile(r"(\d*)(?=[-+=.)])")
_FENCES = re.compile(r"`{3,}")


def render(report: Report, *, limit: int = LIMIT) -> str:
    """The report as Markdown of at most ``limit`` bytes; blocks that have no room are left out, and that is said."""
    left_out = "Left out: what is beyond the size that GitHub shows. `--format json` has all of it.\n"
    kept, room = [], limit - len(left_out) - 1
    for block in _blocks(compose(report)):
        if (size := len(f"{block}\n\n".encode())) > room:
            kept.append(left_out)
            break
        kept.append(f"{block}\n")
        room -= size
    text = "\n".join(kept)
    return text if len(text.encode()) <= limit else ""


def _blocks(view: View) -> Iterator[str]:
    """The blocks of the page, each of which can be left out with all that follow."""
    answer, *more = view.summary
    yield f"## normcheck: {_line(answer)}"
    yield from map(_whole, more)
    yield f"<sub>{_line(view.head)}</sub>"
    yield from map(_paragraph, view.paragraphs)
    remarks = [_whole(remark) for remark in view.remarks]
    if view.untested:
        left_out = "; ".join(f"{kind}: {members}" for kind, members in view.untested)
        remarks.append(f"not tested: {_said(left_out)}")
    if remarks:
        yield "\n".join(f"- {remark}" for remark in remarks)
    for section in view.sections:
        yield _section(section)


def _section(section: Section) -> str:
    """A heading, whether the backends agree, and the tables, folded where all is well."""
    bad = any(cell is not None and cell.role is Role.BAD for m in section.matrices for cell in _cells(m))
    parts = [f"### {_line(section.title[:1])}", _whole(section.answer)]
    parts += [f"<details{' open' if bad else ''}><summary>{_html(section.title[1:])}</summary>"]
    for matrix in section.matrices:
        parts += [_said(matrix.title)] if matrix.title else []
        parts.append(_matrix(matrix))
    parts += map(_whole, section.remarks)
    if section.pairs is not None:
        parts += [_said(section.pairs.title), _pairs(section.pairs)]
    return "\n\n".join([*parts, "</details>"])


def _cells(matrix: Matrix) -> Iterator[Figures | None]:
    return (cell for row in matrix.rows for cell in row.cells)


def _matrix(matrix: Matrix) -> str:
    head = (matrix.corner, *matrix.columns, matrix.last)
    rows = ((_name(row), *map(_figures, row.cells), _said(row.last)) for row in matrix.rows)
    return _table([_said(name) for name in head], rows)


def _name(row: Row) -> str:
    return " ".join(filter(None, (_said(row.name), _said(row.detail))))


def _figures(cell: Figures | None) -> str:
    if cell is None:
        return ""
    figures = [cell.word]
    if cell.backward_error:
        figures = [cell.difference, cell.backward_error, cell.multiple]
    return _in_role(_said(" ".join(filter(None, (*figures, cell.mark)))), cell.role)


def _pairs(pairs: Pairs) -> str:
    rows = ((_said(f"{a} – {b}"), _said(cell)) for (a, b), cell in pairs.cells.items())
    return _table(["backends", "max &#124;Δ&#124;"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _paragraph(paragraph: Paragraph) -> str:
    lines = [f"- {_at_the_start(_said(line))}" for text in paragraph.lines for line in text.splitlines()]
    parts = [f"### {_line(paragraph.head)}", *(["\n".join(lines)] if lines else [])]
    if paragraph.printed:
        parts += ["It printed:", _literal("\n".join(paragraph.printed), "text")]
    return "\n\n".join([*parts, _literal(paragraph.command, "sh")])


def _literal(text: str, language: str) -> str:
    """A block of code, fenced by more backticks than ``text`` has."""
    text = printable(text)
    fence = "`" * max(3, *(len(run) + 1 for run in [*_FENCES.findall(text), ""]))
    return f"{fence}{language}\n{text}\n{fence}"


def _html(line: Line) -> str:
    """A line within a tag that begins a block, where nothing is markup but HTML."""
    return html.escape(one_line("".join(span.text for span in line)).strip())


def _line(line: Line) -> str:
    return "".join(_spaced(span.text, span.role) for span in line)


def _whole(line: Line) -> str:
    """A line that stands at the start of one."""
    return _at_the_start(_line(line))


def _spaced(text: str, role: Role) -> str:
    """A span, the spaces around it outside of its markup."""
    bare = text.strip(" ")
    if not bare:
        return text
    before, _, after = text.partition(bare)
    return f"{before}{_in_role(_said(bare), role)}{after}"


def _in_role(text: str, role: Role) -> str:
    return f"<b>{text}</b>" if role in {Role.BAD, Role.KNOWN, Role.NOTICE} else text


def _said(text: str) -> str:
    """Text that is only text; all that is drawn passes here, but for blocks of code."""
    text = _MARKUP.sub(lambda sign: f"\\{sign[0]}", one_line(text).strip())
    return "".join(_ENTITIES.get(sign, _APART.get(sign, sign)) for sign in text)


def _at_the_start(text: str) -> str:
    """What is said at the start of a line, where ``-`` or ``1.`` would begin a list."""
    if (start := _LIST.match(text)) is None:
        return text
    return f"{start[1]}\\{text[start.end(1) :]}"
