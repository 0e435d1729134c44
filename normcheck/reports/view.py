"""A report as text for people, in no format: sections, tables, paragraphs, the summary.

Every format for people draws the same view. A view has no widths and no colours: a :class:`Role` says what a text
is, and a format decides how that looks. Text is as it was given; a format writes out what could do harm in it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Detail(enum.Enum):
    """How much is said."""

    VERDICT = enum.auto()  # the last lines alone
    USUAL = enum.auto()  # passes in one row where something else needs attention
    ALL = enum.auto()  # every case


class Role(enum.Enum):
    """The meaning of a piece of text."""

    PLAIN = enum.auto()
    TITLE = enum.auto()
    QUIET = enum.auto()  # of less weight: heads, figures of results that pass
    GOOD = enum.auto()
    NOTICE = enum.auto()  # loose or inconclusive
    BAD = enum.auto()
    KNOWN = enum.auto()  # bad, and in the ledger
    CODE = enum.auto()  # a command


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line."""

    text: str
    role: Role = Role.PLAIN


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A result in a table.

    ``word`` is its verdict, ``place`` the case in which it was found where its row is of more than one. A result
    without figures has the empty string in their place. ``multiple`` is β as a multiple of that of the framework's own
    implementation, such as ``1.6×``; it decides nothing.
    """

    difference: str
    backward_error: str
    allowed: str
    mark: str
    word: str
    place: str
    role: Role
    multiple: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The results of all backends in one respect: a case, an output, a law. None where a backend has none.

    ``last`` stands behind them: what all of them are allowed, or the place of the worst.
    """

    name: str
    detail: str = ""
    cells: tuple[Figures | None, ...]
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A table of results: ``columns`` are backends, ``corner`` and ``last`` the heads of names and of last cells."""

    title: str
    corner: str
    columns: tuple[str, ...]
    last: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """A figure for each two of ``names``, in that order; ``cells`` are by their names."""

    title: str
    names: tuple[str, ...]
    cells: dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """The facts about one result, and the command that reproduces it; ``printed`` is the backend's own output."""

    head: Line
    lines: tuple[str, ...]
    printed: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The results of one method; ``answer`` says in a line whether the backends agree."""

    title: Line
    answer: Line
    matrices: tuple[Matrix, ...]
    remarks: tuple[Line, ...]
    pairs: Pairs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A report from top to bottom; ``remarks`` are lines that stand alone.

    ``untested`` is what the run left out, as kinds and their members.
    """

    head: Line
    sections: tuple[Section, ...]
    paragraphs: tuple[Paragraph, ...]
    remarks: tuple[Line, ...]
    untested: tuple[tuple[str, str], ...]
    summary: tuple[Line, ...]
